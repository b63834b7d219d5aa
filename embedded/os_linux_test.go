package embedded

import (
	"bytes"
	"fmt"
	"os"
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
