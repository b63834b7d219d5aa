package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/web/browsertest"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	for _, path := range []string{"/", "/nothing", "/api/me", "/healthz", "/c/10", "/login"} {
		_, _, h := ask(t, newBrowser(t), "GET", ts.URL+path, "")
		p := h.Get("Content-Security-Policy")
		if !strings.Contains(p, "default-src 'none'") || !strings.Contains(p, "script-src 'self'") || strings.Contains(p, "unsafe") || strings.Contains(p, "http") {
			t.Errorf("GET %s: policy %q", path, p)
		}
		for _, k := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"} {
			if h.Get(k) == "" {
				t.Errorf("GET %s: no %s", path, k)
			}
		}
		if !strings.Contains(h.Get("Cache-Control"), "no-store") {
			t.Errorf("GET %s: Cache-Control %q", path, h.Get("Cache-Control"))
		}
	}
	ts = w.serve(func(o *Options) { o.DiscordCDN = true })
	if _, _, h := ask(t, newBrowser(t), "GET", ts.URL+"/", ""); !strings.Contains(h.Get("Content-Security-Policy"), "img-src 'self' https://cdn.discordapp.com") {
		t.Errorf("policy with the CDN = %q", h.Get("Content-Security-Policy"))
	}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve(func(o *Options) {
		o.Ready = func(ctx context.Context) error { return errors.New("the database is away") }
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
	})
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/readyz", ""); status != 503 || !strings.Contains(body, "the database is away") {
		t.Errorf("GET /readyz = %d %s", status, body)
	}
	// Where the database is, and who signs in there, is nothing for strangers.
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/readyz", "", "X-Forwarded-For", "203.0.113.7"); status != 503 || body != "not ready\n" {
		t.Errorf("GET /readyz from elsewhere = %d %s", status, body)
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+"/healthz", ""); status != 200 {
		t.Errorf("GET /healthz = %d", status)
	}
	if _, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/metrics", ""); body != "up 1\n" {
		t.Errorf("GET /metrics = %s", body)
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	_, page, _ := ask(t, newBrowser(t), "GET", ts.URL+"/", "", "Authorization", "Bearer reader")
	found := regexp.MustCompile(`/static/[^"]+`).FindAllString(page, -1)
	if len(found) < 5 {
		t.Fatalf("the page names %v", found)
	}
	for _, f := range found {
		status, body, h := ask(t, newBrowser(t), "GET", ts.URL+f, "")
		if status != 200 || body == "" || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("ETag") == "" {
			t.Errorf("GET %s = %d %v", f, status, h)
		}
		if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+f, "", "If-None-Match", h.Get("ETag")); status != 304 {
			t.Errorf("GET %s again = %d, want 304", f, status)
		}
	}
	if _, _, h := ask(t, newBrowser(t), "GET", ts.URL+"/static/old/app.js", ""); h.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(h.Get("Content-Type"), "text/javascript") {
		t.Errorf("old version: %v", h)
	}
	for _, f := range []string{"/static/x/../web.go", "/static/x/state.test.js", "/static/x/%2e%2e/web.go", "/static/x/"} {
		if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+f, ""); status == 200 {
			t.Errorf("GET %s = 200", f)
		}
	}
}

// What makes the page an application is there without signing in, and what is sent often is sent small.
func TestShell(t *testing.T) {
	t.Parallel()
	ts := newWorld(t).serve()
	for _, c := range []struct{ path, kind, has string }{
		{"/manifest.webmanifest", "application/manifest+json", `"start_url":"/"`},
		{"/worker.js", "text/javascript; charset=utf-8", "const version = \""},
		{"/offline", "text/html; charset=utf-8", "No connection"},
		{"/icon.svg?unread=12", "image/svg+xml", ">12</text>"},
		{"/icon.svg?mentions=100", "image/svg+xml", ">99+</text>"},
	} {
		status, body, h := ask(t, newBrowser(t), "GET", ts.URL+c.path, "")
		if status != 200 || h.Get("Content-Type") != c.kind || !strings.Contains(body, c.has) {
			t.Errorf("GET %s = %d %s %.200s", c.path, status, h.Get("Content-Type"), body)
		}
	}
	for _, path := range []string{"/icon.svg", "/icon.svg?unread=0", "/icon.svg?unread=<b>"} {
		if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+path, ""); status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, status)
		}
	}
	plain, _, _ := ask(t, newBrowser(t), "GET", ts.URL+"/static/x/app.js", "", "Accept-Encoding", "identity")
	_, packed, h := ask(t, newBrowser(t), "GET", ts.URL+"/static/x/app.js", "", "Accept-Encoding", "br, gzip")
	if plain != 200 || h.Get("Content-Encoding") != "gzip" || len(packed) > 10<<10 {
		t.Errorf("app.js is sent as %q in %d bytes", h.Get("Content-Encoding"), len(packed))
	}
	if _, _, h := ask(t, newBrowser(t), "GET", ts.URL+"/static/x/app.js", "", "Accept-Encoding", "gzip;q=0"); h.Get("Content-Encoding") != "" {
		t.Errorf("who takes no gzip gets %q", h.Get("Content-Encoding"))
	}
}

func TestHostileContentStaysText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := `</script><script>alert(1)</script><img src=x onerror=alert(1)>`
	w.say(10, at(2, 9, 0), bob, evil, evil, `{"embeds":[{"title":"`+`</script><script>alert(2)</script>`+`"}],"attachments":[{"id":"1","filename":"\"><script>x</script>","url":"javascript:alert(1)"}]}`)
	w.sets[ada].Guilds[0].Channels[0].Name = evil
	w.users[ada] = tidings.User{ID: ada, Name: evil}
	ts := w.serve()
	for _, path := range []string{"/", "/c/10"} {
		_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+path, "", "Authorization", "Bearer reader")
		lower := strings.ToLower(body)
		if n := strings.Count(lower, "<script"); n != 3 {
			t.Errorf("GET %s has %d scripts, want the looks, the module and the data", path, n)
		}
		if strings.Contains(lower, "<img src=x") || strings.Contains(body, `href="javascript:`) {
			t.Errorf("GET %s lets markup through", path)
		}
	}
}

func TestPagesForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(10, at(2, 9, 0), bob, "bob", "one")
	ts := w.serve()
	if _, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/c/10", ""); !strings.Contains(body, `href="/login?to=%2Fc%2F10"`) {
		t.Errorf("sign-in page = %s", body)
	}
	w.sets[ada] = &tidings.VisibleSet{User: ada}
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/", "", "Authorization", "Bearer reader"); status != 200 || !strings.Contains(body, "you are in no server that this service knows") {
		t.Errorf("page without guilds = %d %s", status, body)
	}
	none := func(context.Context) ([]discord.GuildID, error) { return nil, nil }
	first := w.serve(func(o *Options) { o.Guilds, o.Invite = none, "https://discord.test/invite" })
	if status, body, _ := ask(t, newBrowser(t), "GET", first.URL+"/", "", "Authorization", "Bearer reader"); status != 200 || !strings.Contains(body, "The bot is in no server yet") || !strings.Contains(body, `href="https://discord.test/invite"`) {
		t.Errorf("page of a bot without guilds = %d %s", status, body)
	}
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/nothing", ""); status != 404 || !strings.Contains(body, "There is nothing here") {
		t.Errorf("GET /nothing = %d %s", status, body)
	}
}

// The first view without any script; its golden file is what a reviewer reads.
func TestFirstPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(10, at(2, 9, 0), bob, "bob", "hello **there**, <@&50> in <#11> and <#99>")
	w.say(10, at(2, 9, 1), bob, "bob", "<@7> look", `{"mentions":[{"id":"7","username":"ada"}],"reactions":[{"count":2,"emoji":{"name":"👍"}}]}`)
	w.say(20, at(3, 8, 0), bob+1<<22, "eve", "ahoy", `{"attachments":[{"id":"1","filename":"chart.png","content_type":"image/png","size":2048,"url":"https://cdn.discordapp.com/chart.png"}]}`)
	ts := w.serve()
	_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/", "", "Authorization", "Bearer reader")
	body = regexp.MustCompile(`/static/[0-9a-f]+/`).ReplaceAllString(body, "/static/VERSION/")
	golden := filepath.Join("testdata", "first_page.html")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if body != string(want) {
		t.Errorf("the first page has changed; look at it and run go test ./web -run TestFirstPage -update\n%s", body)
	}
}

// The colour must not change when the page's scripts take over; web/static/parts.test.js has the same ids.
func TestTheColourOfAPerson(t *testing.T) {
	for id, want := range map[discord.UserID]string{8: "tone-5", 1443450134275948545: "tone-0", 1443450134275948547: "tone-1", 1575722076281634816: "tone-3"} {
		if got := tone(id); got != want {
			t.Errorf("tone(%d) = %s, want %s", id, got, want)
		}
	}
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/openapi.json", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %q", doc.OpenAPI)
	}
	for _, p := range []string{"/api/messages", "/api/messages/read", "/api/messages/unread", "/api/messages/undo", "/api/unread", "/api/unread/verify", "/api/feed", "/api/guilds", "/api/channels/{id}", "/api/me", "/api/status"} {
		if doc.Paths[p] == nil {
			t.Errorf("%s is not described", p)
		}
	}
}

// The rules of the read state and of the live socket's client are tested where they run.
func TestModules(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("node", "--test", "static/").CombinedOutput()
	if err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("# fail 0")) || bytes.Contains(out, []byte("# pass 0\n")) {
		t.Errorf("node --test ran nothing:\n%s", out)
	}
}

// The modules hold to the types that their comments state.
func TestModulesAreTyped(t *testing.T) {
	t.Parallel()
	dir := browsertest.Modules(t)
	tsc := exec.Command("node", "node_modules/typescript/bin/tsc", "--project", ".")
	tsc.Dir = dir
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}
