package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMissingProgramsNameTheCommandToType(t *testing.T) {
	t.Parallel()
	sudo := func(s string) string {
		if os.Geteuid() != 0 {
			return "sudo sh -c '" + s + "'"
		}
		return s
	}
	for manager, want := range map[string]string{
		"apt-get": sudo("apt-get update && apt-get install -y postgresql redis-server"),
		"dnf":     sudo("dnf install -y postgresql-server valkey"),
		"none":    "package manager",
	} {
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			bin := dirFor(t, nil)
			if err := os.WriteFile(filepath.Join(bin, manager), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(dirFor(t, nil), "postgres")
			_, err := startPostgres(t.Context(), dir, quiet(), []string{bin}, nil)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "DATABASE_URL=") {
				t.Errorf("error = %v, want %q in it", err, want)
			}
		})
	}
}

func TestTooOldPostgresIsNotUsed(t *testing.T) {
	t.Parallel()
	bin := dirFor(t, nil)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 11.22'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := startPostgres(t.Context(), dirFor(t, nil), quiet(), []string{bin}, nil)
	if err == nil || !strings.Contains(err.Error(), "installed: 11 in "+bin) {
		t.Errorf("error = %v", err)
	}
}

func TestUnusableDirectorySaysWhatToDo(t *testing.T) {
	t.Parallel()
	as := ordinary(t)
	base := dirFor(t, as)
	t.Run("not writable", func(t *testing.T) {
		t.Parallel()
		dir := dirFor(t, as)
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		for _, o := range []order{{Postgres: dir + "/postgres"}, {Redis: dir + "/redis"}, {Postgres: dir}, {Redis: dir}} {
			h := startHolder(t, as, o)
			for _, want := range []string{dir, "permission denied", "sudo chown -R ", "DATA_DIR"} {
				if !strings.Contains(h.first.Err, want) {
					t.Errorf("%+v: error lacks %q: %s", o, want, h.first.Err)
				}
			}
		}
	})
	t.Run("a file in the way", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(dirFor(t, nil), "data")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{file, file + "/postgres"} {
			_, err := StartPostgres(t.Context(), dir, quiet())
			if err == nil || !strings.Contains(err.Error(), "a file is in the way") {
				t.Errorf("error = %v", err)
			}
		}
	})
	if as != nil {
		// Root's files in an ordinary user's hands: this needs two users.
		t.Run("another user's data", func(t *testing.T) {
			t.Parallel()
			o := both(base)
			mustStart(t, as, o).stop()
			if err := os.Chown(filepath.Join(o.Postgres, "cluster"), 0, 0); err != nil {
				t.Fatal(err)
			}
			h := startHolder(t, as, o)
			if !strings.Contains(h.first.Err, "belongs to root") || !strings.Contains(h.first.Err, "run this program as that user") {
				t.Errorf("error = %s", h.first.Err)
			}
		})
	}
}

func TestRootMayRunOnceOnAnOrdinaryUsersData(t *testing.T) {
	t.Parallel()
	as := ordinary(t)
	o := both(dirFor(t, as))
	mustStart(t, as, o).stop()
	mustStart(t, nil, o).stop()
	mustRun(t, mustStart(t, as, o).first.URL, `SELECT 1`)
}

func TestDirectoryBelowAPrivateHome(t *testing.T) {
	t.Parallel()
	// t.TempDir is 0700: when this is root, no other user may pass through.
	o := both(t.TempDir())
	h := mustStart(t, nil, o)
	mustRun(t, h.first.URL, `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT 1`)
	old := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}
	h.kill()
	again := mustStart(t, nil, o)
	for _, pid := range old {
		eventually(t, "a killed process's server ends", gone(pid))
	}
	if v := mustRun(t, again.first.URL, `SELECT v FROM kept`); v != "yes" {
		t.Errorf("kept = %q", v)
	}
}

func TestPathTooLongForASocket(t *testing.T) {
	t.Parallel()
	forUsers(t, func(t *testing.T, as *syscall.Credential) {
		dir := dirFor(t, as) + "/" + strings.Repeat("long-and-with a space-", 9)
		o := both(dir)
		h := mustStart(t, as, o)
		second := mustStart(t, as, o, "TMPDIR=/somewhere/else")
		mustRun(t, second.first.URL, `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT 1`)
		if err := client(t, second.first.Address).Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
		second.stop()
		h.stop()
		os.RemoveAll(socketDir(o.Postgres, postgresSocket))
		os.RemoveAll(socketDir(o.Redis, redisSocket))
	})
}

func TestSocketDirectoryOfAStrangerIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(dirFor(t, nil), strings.Repeat("long", 40))
	socket := socketDir(dir, postgresSocket)
	if err := os.Mkdir(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	_, err := StartPostgres(t.Context(), dir, quiet(), "fsync=off")
	if err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("error = %v", err)
	}
}
