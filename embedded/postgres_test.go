package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDataOutlivesAStop(t *testing.T) {
	t.Parallel()
	forUsers(t, func(t *testing.T, as *syscall.Credential) {
		o := both(dirFor(t, as))
		h := mustStart(t, as, o)
		mustRun(t, h.first.URL, `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT v FROM kept`)
		h.stop()
		if _, err := run(h.first.URL, `SELECT 1`); err == nil {
			t.Fatal("Postgres answers after Stop")
		}
		again := mustStart(t, as, o)
		if again.first.URL != h.first.URL {
			t.Errorf("URL() = %s, want %s", again.first.URL, h.first.URL)
		}
		if v := mustRun(t, again.first.URL, `SELECT v FROM kept`); v != "yes" {
			t.Errorf("kept = %q", v)
		}
	})
}

func TestRealDataIsSyncedAndTheServerIsPrivate(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p, err := StartPostgres(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "", "server_encoding": "UTF8", "is_superuser": "off",
	} {
		if got := mustRun(t, p.URL(), `SELECT current_setting('`+name+`')`); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := mustRun(t, p.URL(), `SELECT (current_setting('max_connections')::int >= 100)::text`); got != "true" {
		t.Error("fewer than 100 connections are allowed")
	}
	if got := mustRun(t, p.URL(), `SELECT lower('ÄÖÜ')`); got != "äöü" {
		t.Errorf("lower('ÄÖÜ') = %q", got)
	}
	st, err := os.Stat(p.b.socket)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v", st.Mode(), err)
	}
}

func TestKilledParentTakesItsServersAlongAndCanBeRestartedAtOnce(t *testing.T) {
	t.Parallel()
	forUsers(t, func(t *testing.T, as *syscall.Credential) {
		o := both(dirFor(t, as))
		h := mustStart(t, as, o)
		mustRun(t, h.first.URL, `CREATE TABLE kept (n int)`, `SELECT 1`)
		for n := range 2 {
			old := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}
			mustRun(t, h.first.URL, fmt.Sprintf(`INSERT INTO kept VALUES (%d)`, n), `SELECT 1`)
			h.kill()
			h = mustStart(t, as, o)
			for _, pid := range old {
				eventually(t, "a killed process's server ends", gone(pid))
			}
			if got := mustRun(t, h.first.URL, `SELECT count(*) FROM kept`); got != fmt.Sprint(n+1) {
				t.Fatalf("%s rows, want %d", got, n+1)
			}
			if err := client(t, h.first.Address).Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestSecondProcessAttachesAndTakesOverWhenTheFirstEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*holder){"stopped": (*holder).stop, "killed": (*holder).kill}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUsers(t, func(t *testing.T, as *syscall.Credential) {
				o := both(dirFor(t, as))
				first := mustStart(t, as, o)
				pids := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}
				second := mustStart(t, as, o)
				if second.first != first.first {
					t.Fatalf("the second has %+v, the first %+v", second.first, first.first)
				}
				if now := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}; now[0] != pids[0] || now[1] != pids[1] {
					t.Fatalf("servers %v, want %v: the second started its own", now, pids)
				}
				mustRun(t, second.first.URL, `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT 1`)
				end(first)
				eventually(t, "Postgres answers again", func() error {
					_, err := run(second.first.URL, `SELECT v FROM kept`)
					return err
				})
				c := client(t, second.first.Address)
				eventually(t, "Redis answers again", func() error { return c.Ping(t.Context()).Err() })
				// A third finds the second as the owner, and the second's stop is clean.
				third := mustStart(t, as, o)
				third.stop()
				mustRun(t, second.first.URL, `SELECT v FROM kept`)
				second.stop()
			})
		})
	}
}

func TestSecondProcessThatStopsLeavesTheServerAlone(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p := startHere(t, dir)
	second := startHere(t, dir)
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	<-second.Exited()
	if err := second.Err(); err != nil {
		t.Errorf("Err() = %v after Stop", err)
	}
	mustRun(t, p.URL(), `SELECT 1`)
}

func TestManyStartersMakeOneServer(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	type result struct {
		p   *Postgres
		err error
	}
	results := make(chan result)
	for range 8 {
		go func() {
			p, err := StartPostgres(context.Background(), dir, quiet(), "fsync=off")
			results <- result{p, err}
		}()
	}
	started := map[string]bool{}
	for range 8 {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		t.Cleanup(func() { r.p.Stop() })
		at, err := run(r.p.URL(), `SELECT pg_postmaster_start_time()::text`)
		if err != nil {
			t.Error(err)
		}
		started[at] = true
	}
	if len(started) != 1 {
		t.Errorf("servers started at %v, want one", started)
	}
}

func TestCrashedServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p := startHere(t, dir)
	mustRun(t, p.URL(), `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT 1`)
	for range 2 {
		pid := serverPid(t, dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another server runs", func() error {
			if now := serverPid(t, dir); now == pid {
				return errors.New("the same pid")
			}
			_, err := run(p.URL(), `SELECT v FROM kept`)
			return err
		})
	}
	select {
	case <-p.Exited():
		t.Fatalf("Exited although it runs again: %v", p.Err())
	default:
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop() = %v", err)
	}
}

func TestBackendThatOutlivesAKilledServerDoesNotHinderTheNext(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p := startHere(t, dir)
	busy := make(chan error, 1)
	go func() {
		_, err := run(p.URL(), `DO $$ BEGIN LOOP END LOOP; END $$`, `SELECT 1`)
		busy <- err
	}()
	eventually(t, "the backend is busy", func() error {
		n, err := run(p.URL(), `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'`)
		if err == nil && n != "1" {
			err = fmt.Errorf("%s backends", n)
		}
		return err
	})
	if err := syscall.Kill(serverPid(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-busy; err == nil {
		t.Error("the busy backend went on")
	}
	eventually(t, "another server runs", func() error { _, err := run(p.URL(), `SELECT 1`); return err })
}

// wrapped makes a folder whose postgres does what a shell line says and is otherwise the real one.
func wrapped(t *testing.T, line string) (bin string) {
	t.Helper()
	all := installations(t.Context(), search())
	if len(all) == 0 {
		t.Fatal("no PostgreSQL is installed")
	}
	bin = dirFor(t, nil)
	script := "#!/bin/sh\n[ \"$1\" = --version ] && exec " + all[0].dir + "/postgres --version\n" + line + "\nexec " + all[0].dir + "/postgres \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "postgres"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	script = "#!/bin/sh\nexec " + all[0].dir + "/initdb \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "initdb"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestServerThatDoesNotComeBackIsGivenUpWithItsLastWords(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	broken := filepath.Join(dirFor(t, nil), "broken")
	bin := wrapped(t, "[ -e "+broken+" ] && echo the disk is on fire >&2 && exit 1")
	p, err := startPostgres(t.Context(), dir, quiet(), []string{bin}, []string{"fsync=off"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(serverPid(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("Err() = %v, want the server's last words", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop() of what has ended = %v", err)
	}
	// The directory is free for another process.
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	mustRun(t, startHere(t, dir).URL(), `SELECT 1`)
}

func TestFirstStartThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	_, err := StartPostgres(t.Context(), dir, quiet(), "fsync=off", "shared_buffers=nonsense")
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Fatalf("StartPostgres() error = %v, want the server's words", err)
	}
	mustRun(t, startHere(t, dir).URL(), `SELECT 1`)
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	marker := filepath.Join(dirFor(t, nil), "started")
	if err := os.Chmod(filepath.Dir(marker), 0o777); err != nil {
		t.Fatal(err)
	}
	bin := wrapped(t, "[ -e "+dir+"/cluster/PG_VERSION ] && touch "+marker+" && exec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := startPostgres(ctx, dir, quiet(), []string{bin}, []string{"fsync=off"})
		failed <- err
	}()
	eventually(t, "the server starts", func() error { _, err := os.Stat(marker); return err })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v, want %v", err, context.Canceled)
	}
}

// tree lists every file below dir with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestClusterIsNeverWiped(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
	}{
		{"another version", "PG_VERSION", "9\n", []string{"made by PostgreSQL 9", "installed: ", "Nothing was changed", "pg_upgrade"}},
		{"a version that is none", "PG_VERSION", "", []string{"does not hold a version", "Nothing was changed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := dirFor(t, nil)
			p := startHere(t, dir)
			mustRun(t, p.URL(), `CREATE TABLE kept AS SELECT 'yes' AS v`, `SELECT 1`)
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "cluster", tt.file)
			real, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, filepath.Join(dir, "cluster"))
			_, err = StartPostgres(t.Context(), dir, quiet())
			if err == nil {
				t.Fatal("StartPostgres() took a cluster that is not its own")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			after := tree(t, filepath.Join(dir, "cluster"))
			if len(after) != len(before) {
				t.Errorf("%d files, before %d", len(after), len(before))
			}
			for path, content := range before {
				if after[path] != content {
					t.Errorf("%s changed", path)
				}
			}
			if err := os.WriteFile(file, real, 0o600); err != nil {
				t.Fatal(err)
			}
			if v := mustRun(t, startHere(t, dir).URL(), `SELECT v FROM kept`); v != "yes" {
				t.Errorf("kept = %q", v)
			}
		})
	}
}

func TestForeignFilesAreNotTakenForACluster(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	precious := filepath.Join(dir, "cluster", "precious.txt")
	if err := os.Mkdir(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), dir, quiet())
	if err == nil || !strings.Contains(err.Error(), "holds no PostgreSQL data") {
		t.Errorf("error = %v", err)
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "mine" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestStartAfterInitdbWasKilled(t *testing.T) {
	t.Parallel()
	forUsers(t, func(t *testing.T, as *syscall.Credential) {
		o := both(dirFor(t, as))
		bin := wrapped(t, "")
		// This initdb makes half of what it should and hangs.
		script := "#!/bin/sh\ntouch \"$2/PG_VERSION\"\nexec sleep 1000\n"
		good, err := os.ReadFile(filepath.Join(bin, "initdb"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "initdb"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		h := holderWithoutWord(t, as, order{Postgres: o.Postgres, Search: []string{bin, "/bin", "/usr/bin"}})
		eventually(t, "initdb begins", func() error {
			found, _ := filepath.Glob(filepath.Join(o.Postgres, "initdb-*", "PG_VERSION"))
			if len(found) != 1 {
				return fmt.Errorf("found %v", found)
			}
			return nil
		})
		h.kill()
		if err := os.WriteFile(filepath.Join(bin, "initdb"), good, 0o755); err != nil {
			t.Fatal(err)
		}
		again := mustStart(t, as, order{Postgres: o.Postgres, Search: []string{bin}})
		mustRun(t, again.first.URL, `SELECT 1`)
		if left, _ := filepath.Glob(filepath.Join(o.Postgres, "initdb-*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestInterruptReachesTheServiceAndNotItsServers(t *testing.T) {
	t.Parallel()
	o := both(dirFor(t, nil))
	h := mustStart(t, nil, o)
	pids := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}
	// As a terminal does it: to the whole foreground process group.
	if err := syscall.Kill(-h.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if w := h.next(); !w.Interrupted {
		t.Fatalf("the holder says %+v", w)
	}
	mustRun(t, h.first.URL, `SELECT 1`)
	if err := client(t, h.first.Address).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if now := []int{serverPid(t, o.Postgres), serverPid(t, o.Redis)}; now[0] != pids[0] || now[1] != pids[1] {
		t.Errorf("servers %v, want %v", now, pids)
	}
}

func TestPostgresVariablesOfTheEnvironmentDoNotLeadAstray(t *testing.T) {
	t.Parallel()
	o := order{Postgres: dirFor(t, nil)}
	h := mustStart(t, nil, o, "PGDATA=/nonexistent", "PGPORT=1", "PGHOST=192.0.2.1", "PGUSER=who", "PGDATABASE=what", "PGSSLMODE=verify-full", "PGTARGETSESSIONATTRS=standby", "LC_ALL=xx_YY.nonsense")
	mustRun(t, h.first.URL, `SELECT 1`)
	h.stop()
	for _, variable := range []string{"PGHOSTADDR=192.0.2.1", "PGREQUIREPEER=someone"} {
		name, _, _ := strings.Cut(variable, "=")
		h := startHolder(t, nil, o, variable)
		if !strings.Contains(h.first.Err, "unset "+name) {
			t.Errorf("%s: error = %s", variable, h.first.Err)
		}
	}
}

func TestStaleFilesOfADeadServerAreCleared(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p := startHere(t, dir)
	socket := p.b.socket
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	// A living stranger has the number that the dead server had.
	words := fmt.Sprintf("%d\n%s/cluster\n1700000000\n5432\n%s\n\n", os.Getpid(), dir, socket)
	for _, file := range []string{dir + "/cluster/postmaster.pid", socket + "/.s.PGSQL.5432.lock", socket + "/.s.PGSQL.5432"} {
		if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, startHere(t, dir).URL(), `SELECT 1`)
}

func TestLogHoldsNothingThatPeopleWrote(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	p := startHere(t, dir)
	for _, s := range []string{
		`CREATE TABLE u (v text PRIMARY KEY)`, `INSERT INTO u VALUES ('my secret')`, `INSERT INTO u VALUES ('my secret')`, `SELECT 'my secret'::int`, `syntax 'my secret'`,
		`DO $$ BEGIN RAISE WARNING 'my secret'; END $$`,
	} {
		run(p.URL(), s, `SELECT 1`)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("ready to accept connections")) || bytes.Contains(b, []byte("secret")) {
		t.Errorf("postgres.log holds:\n%s", b)
	}
}

func TestOldLogIsPutAside(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	if err := os.WriteFile(dir+"/postgres.log", make([]byte, maxLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	startHere(t, dir)
	if st, err := os.Stat(dir + "/postgres.log"); err != nil || st.Size() > maxLog {
		t.Errorf("postgres.log: %v, %v", st.Size(), err)
	}
}

func TestSecondProcessLogsWhatItDoes(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	first := startHere(t, dir)
	lines := make(chan string, 100)
	p, err := StartPostgres(t.Context(), dir, slog.New(slog.NewTextHandler(lineWriter(lines), nil)), "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	if line := <-lines; !strings.Contains(line, "attached to Postgres of another process") {
		t.Errorf("first line: %s", line)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if line := <-lines; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "has ended") {
		t.Errorf("second line: %s", line)
	}
	if line := <-lines; !strings.Contains(line, "Postgres runs") {
		t.Errorf("third line: %s", line)
	}
}

type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}
