package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestServersDoNotGetTheServicesSecrets(t *testing.T) {
	t.Parallel()
	o := both(dirFor(t, nil))
	mustStart(t, nil, o, "DISCORD_TOKEN=very-secret", "PGPASSWORD=very-secret")
	for _, dir := range []string{o.Postgres, o.Redis} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", serverPid(t, dir)))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 || bytes.Contains(b, []byte("very-secret")) {
			t.Errorf("%s: environment %q", dir, b)
		}
	}
}

func TestServersDoNotRunAsRoot(t *testing.T) {
	t.Parallel()
	o := both(dirFor(t, nil))
	mustStart(t, nil, o)
	for _, dir := range []string{o.Postgres, o.Redis} {
		st, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", serverPid(t, dir)))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(st, []byte("\nUid:\t0\t")) {
			t.Errorf("%s is served by root", dir)
		}
	}
}

func TestEveryWayOfNotBeingRootWorks(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		// Then there is one way.
		a, err := ordinaryUser("", "/", "/nonexistent")
		if err != nil || a.cred != nil || a.capability != 0 || a.namespace != 0 {
			t.Fatalf("ordinaryUser() = %+v, %v", a, err)
		}
		return
	}
	ways := 0
	for _, a := range insteadOfRoot(nil, []string{"postgres", "nobody"}) {
		dir := t.TempDir() // 0700
		if a.capability == 0 && a.namespace == 0 {
			dir = dirFor(t, nil)
		}
		if err := a.canUse("/bin/true", dir); err != nil {
			t.Logf("not to be had on this machine: %s: %v", a.name, err)
			continue
		}
		ways++
		t.Run(a.name, func(t *testing.T) {
			s, err := newSupervisor("Postgres", dir, quiet())
			if err != nil {
				t.Fatal(err)
			}
			given := func(string, string, string, ...string) (identity, error) { return a, nil }
			b := &postgresBackend{as: given, dir: s.dir, cluster: filepath.Join(s.dir, "cluster"), socket: socketDir(s.dir, postgresSocket), search: search(), settings: []string{"fsync=off"}, log: quiet()}
			s.backend = b
			for range 2 {
				in, err := b.launch(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := run(b.url(appName, appName), `SELECT 1`); err != nil {
					t.Error(err)
				}
				if err := in.stop(); err != nil {
					t.Error(err)
				}
				// Whose the data is decides who runs the next one.
				next, err := ordinaryUser(filepath.Join(installations(t.Context(), search())[0].dir, "postgres"), b.dir, b.cluster)
				if err != nil {
					t.Fatal(err)
				}
				if (next.cred == nil) != (a.cred == nil) || a.cred != nil && next.cred.Uid != a.cred.Uid {
					t.Errorf("made as %+v, run next as %+v", a, next)
				}
			}
		})
	}
	if ways == 0 {
		t.Error("root can run Postgres as nobody else")
	}
}
