package web

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A client that oapi-codegen makes of the API's own description lists what is unread and marks it as read.
func TestAGeneratedClientListsUnreadAndMarksRead(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.say(deck, bob, "ahoy")
	w.say(deck, bob, "<@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join("clienttest", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, description, _ := ask(t, newBrowser(t), "GET", w.base+"/api/openapi-3.0.json", "")
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), []byte(description), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// Its libraries come over the network when they are not here yet, which may be away for a moment.
	for try := 1; ; try++ {
		out, err := run("go", "mod", "download")
		if err == nil {
			break
		}
		if try == 4 {
			t.Fatalf("go mod download: %v\n%s", err, out)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(time.Duration(try) * 3 * time.Second):
		}
	}
	if out, err := run("go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "main", "-o", "client.gen.go", "openapi.json"); err != nil {
		t.Fatalf("oapi-codegen: %v\n%s", err, out)
	}
	if out, err := run("go", "build", "-o", "client", "."); err != nil {
		t.Fatalf("the generated client does not build: %v\n%s", err, out)
	}
	out, err := run("./client", w.base, w.token)
	const want = `total 2 mentions 1
Harbour deck 2
bob said <@7>
bob said ahoy
total 0
a channel that there is not: 404 404
`
	if err != nil || out != want {
		t.Errorf("the client: %v\n%s\nwant\n%s", err, out, want)
	}
	if u := w.unread(); u.Total != 0 {
		t.Errorf("%d are unread afterwards, want none", u.Total)
	}
}
