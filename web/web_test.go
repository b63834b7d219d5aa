package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/render"
	"tidings/store"
	"tidings/web/browsertest"
)

var update = flag.Bool("update", false, "write golden files anew")

// ask sends a request and returns its status, body and headers. It does not follow redirects.
func ask(t testing.TB, c *http.Client, method, address, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// browser is a client with cookies that does not follow redirects.
func newBrowser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signIn goes the whole way through Discord's half.
func signIn(t testing.TB, w *world, base, to string) (*http.Client, string) {
	t.Helper()
	c := newBrowser(t)
	status, _, h := ask(t, c, "GET", base+"/login?to="+url.QueryEscape(to), "")
	if status != http.StatusSeeOther {
		t.Fatalf("GET /login = %d", status)
	}
	u, err := url.Parse(h.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.codes["good"] = u.Query().Get("code_challenge")
	w.mu.Unlock()
	status, body, h := ask(t, c, "GET", base+"/login/callback?code=good&state="+u.Query().Get("state"), "")
	if status != http.StatusSeeOther {
		t.Fatalf("GET /login/callback = %d %s", status, body)
	}
	return c, h.Get("Location")
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	c, to := signIn(t, w, ts.URL, "/c/10?x=1")
	if to != "/c/10?x=1" {
		t.Errorf("after signing in the person goes to %q", to)
	}
	if len(w.enrolled) != 1 || len(w.enrolled[0]) != 1 {
		t.Errorf("enrolled = %v, want once with the one guild", w.enrolled)
	}
	if bytes.Contains(w.sealed[ada], []byte("discord-secret")) || len(w.sealed[ada]) == 0 {
		t.Error("Discord's token is not sealed")
	}
	s, err := newSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.open(ada, w.sealed[ada]); err != nil || !bytes.Contains(b, []byte("discord-secret")) {
		t.Errorf("open = %s, %v", b, err)
	}
	if _, err := s.open(bob, w.sealed[ada]); err == nil {
		t.Error("another person's id opens the token")
	}
	if status, body, _ := ask(t, c, "GET", ts.URL+"/api/me", ""); status != 200 || !strings.Contains(body, `"id":"7"`) {
		t.Errorf("GET /api/me = %d %s", status, body)
	}
	if status, _, _ := ask(t, c, "POST", ts.URL+"/logout", "", "Origin", ts.URL, "Sec-Fetch-Site", "same-origin"); status != http.StatusSeeOther {
		t.Errorf("POST /logout = %d", status)
	}
	if status, _, _ := ask(t, c, "GET", ts.URL+"/api/me", ""); status != http.StatusUnauthorized {
		t.Errorf("GET /api/me after signing out = %d", status)
	}
	if len(w.ended) != 1 {
		t.Errorf("ended sockets = %v, want one", w.ended)
	}
}

func TestSigningInRenewsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	c := newBrowser(t)
	_, _, h := ask(t, c, "GET", ts.URL+"/login", "")
	before := h.Get("Set-Cookie")
	u, _ := url.Parse(h.Get("Location"))
	w.codes["good"] = u.Query().Get("code_challenge")
	_, _, h = ask(t, c, "GET", ts.URL+"/login/callback?code=good&state="+u.Query().Get("state"), "")
	after := h.Get("Set-Cookie")
	value := func(s string) string { s, _, _ = strings.Cut(s, ";"); return s }
	if value(before) == value(after) || before == "" || after == "" {
		t.Errorf("the cookie before, %q, and after, %q, must differ", before, after)
	}
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(after, want) {
			t.Errorf("cookie %q lacks %s", after, want)
		}
	}
}

func TestCookieIsSecureBehindHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve(func(o *Options) { o.PublicURL = "https://tidings.test" })
	_, _, h := ask(t, newBrowser(t), "GET", ts.URL+"/login", "")
	if c := h.Get("Set-Cookie"); !strings.Contains(c, "Secure") || !strings.HasPrefix(c, "__Host-tidings=") {
		t.Errorf("cookie = %q", c)
	}
	if l := h.Get("Location"); !strings.Contains(l, "redirect_uri=https://tidings.test/login/callback") {
		t.Errorf("Location = %q", l)
	}
	if h.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
}

func TestSigningInFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, query string
		oauth       error
		status      int
		says        string
	}{
		{"the person said no", "error=access_denied&state=STATE", nil, 403, "You said no"},
		{"state of another browser", "code=good&state=other", nil, 400, "This sign-in has expired"},
		{"no state", "code=good", nil, 400, "This sign-in has expired"},
		{"code refused", "code=bad&state=STATE", nil, 400, "Discord did not accept this sign-in"},
		{"bad client secret", "code=good&state=STATE", tidings.ErrUnauthorized, 400, "Discord did not accept this sign-in"},
		{"Discord away", "code=good&state=STATE", errors.New("dial: refused"), 502, "Discord is away"},
		{"another error", "error=server_error&error_description=%3Cscript%3E&state=STATE", nil, 502, "Discord could not sign you in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.oauth = c.oauth
			ts := w.serve()
			b := newBrowser(t)
			_, _, h := ask(t, b, "GET", ts.URL+"/login", "")
			u, _ := url.Parse(h.Get("Location"))
			status, body, _ := ask(t, b, "GET", ts.URL+"/login/callback?"+strings.Replace(c.query, "STATE", u.Query().Get("state"), 1), "")
			if status != c.status || !strings.Contains(body, c.says) || !strings.Contains(body, `href="/login"`) || strings.Contains(body, "<script>") {
				t.Errorf("callback = %d %s", status, body)
			}
			if status, _, _ := ask(t, b, "GET", ts.URL+"/api/me", ""); status != 401 {
				t.Errorf("GET /api/me = %d, want 401", status)
			}
			// The attempt is used up: the same address does nothing a second time.
			if status, _, _ := ask(t, b, "GET", ts.URL+"/login/callback?code=good&state="+u.Query().Get("state"), ""); status != 400 {
				t.Errorf("second callback = %d, want 400", status)
			}
		})
	}
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "/", "/": "/", "/c/10": "/c/10", "/?filter=mentions": "/?filter=mentions",
		"https://evil.test": "/", "//evil.test": "/", "/\\evil.test": "/", "\\\\evil.test": "/", "/%2F/evil.test": "/", "javascript:alert(1)": "/",
		"/\tevil": "/", "/login": "/", "/login/callback?code=1": "/", "/api/me": "/", "/logout": "/", "/" + strings.Repeat("a", 600): "/", "evil.test": "/", "///evil.test": "/",
	} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	f.Add("/c/1")
	f.Add("//x")
	f.Fuzz(func(t *testing.T, in string) {
		base, _ := url.Parse("https://tidings.test/login/callback")
		got := localPath(in)
		u, err := base.Parse(got)
		if err != nil || u.Host != "tidings.test" || u.Scheme != "https" || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\n\r") {
			t.Errorf("localPath(%q) = %q leads to %v, %v", in, got, u, err)
		}
	})
}

// Every route is asked as nobody, with a token of each scope and with a session.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.say(10, at(2, 9, 0), bob, "bob", "hello")
	ts := w.serve()
	session, _ := signIn(t, w, ts.URL, "/")
	id := m.ID.String()
	for _, c := range []struct {
		method, path, body                  string
		nobody, reader, acker, both, signed int
	}{
		{"GET", "/api/messages?channel=10", "", 401, 200, 403, 200, 200},
		{"GET", "/api/unread", "", 401, 200, 403, 200, 200},
		{"GET", "/api/unread/verify", "", 401, 200, 403, 200, 200},
		{"GET", "/api/feed", "", 401, 200, 403, 200, 200},
		{"GET", "/api/guilds", "", 401, 200, 403, 200, 200},
		{"GET", "/api/channels/10", "", 401, 200, 403, 200, 200},
		{"GET", "/api/me", "", 401, 200, 403, 200, 200},
		{"GET", "/api/status", "", 401, 200, 403, 200, 200},
		{"POST", "/api/messages/read", `{"channel":"10","up_to":"` + id + `"}`, 401, 403, 200, 200, 200},
		{"POST", "/api/messages/unread", `{"channel":"10","message":"` + id + `"}`, 401, 403, 200, 200, 200},
		{"GET", "/api/live", "", 401, 426, 403, 426, 426},
		{"GET", "/api/openapi.json", "", 200, 200, 200, 200, 200},
		{"GET", "/api/nothing", "", 404, 404, 404, 404, 404},
		{"DELETE", "/api/messages", "", 405, 405, 405, 405, 405},
		{"GET", "/healthz", "", 200, 200, 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200, 200, 200},
		{"GET", "/", "", 401, 200, 401, 200, 200},
		{"GET", "/c/10", "", 401, 200, 401, 200, 200},
	} {
		try := func(as string, client *http.Client, want int, headers ...string) {
			t.Helper()
			status, body, h := ask(t, client, c.method, ts.URL+c.path, c.body, headers...)
			if status != want {
				t.Errorf("%s %s as %s = %d, want %d: %.300s", c.method, c.path, as, status, want, body)
			}
			if status >= 400 && status != 426 && strings.HasPrefix(c.path, "/api/") && !strings.HasPrefix(h.Get("Content-Type"), "application/problem+json") {
				t.Errorf("%s %s as %s: Content-Type %q", c.method, c.path, as, h.Get("Content-Type"))
			}
		}
		try("nobody", newBrowser(t), c.nobody)
		try("a wrong token", newBrowser(t), c.nobody, "Authorization", "Bearer wrong")
		try("reader", newBrowser(t), c.reader, "Authorization", "Bearer reader")
		try("acker", newBrowser(t), c.acker, "Authorization", "Bearer acker")
		try("both", newBrowser(t), c.both, "Authorization", "bearer both")
		try("a session", session, c.signed)
		try("a session with a wrong token", session, c.nobody, "Authorization", "Bearer wrong")
	}
}

func TestUnreadableChannelLooksLikeNoChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(666, at(2, 9, 0), bob, "bob", "secret") // exists, but is in nobody's set
	ts := w.serve()
	token := []string{"Authorization", "Bearer both"}
	for _, c := range [][3]string{
		{"GET", "/api/messages?channel=%s", ""}, {"GET", "/api/channels/%s", ""}, {"GET", "/api/feed?channel=%s", ""}, {"GET", "/api/feed?guild=%s", ""}, {"GET", "/c/%s", ""},
		{"POST", "/api/messages/read", `{"channel":"%s","up_to":"9"}`}, {"POST", "/api/messages/read", `{"guild":"%s","up_to":"9"}`}, {"POST", "/api/messages/unread", `{"channel":"%s","message":"9"}`},
	} {
		var got [2]string
		for i, id := range []string{"666", "667"} {
			status, body, _ := ask(t, newBrowser(t), c[0], ts.URL+strings.Replace(c[1], "%s", id, 1), strings.Replace(c[2], "%s", id, 1), token...)
			if status != 404 {
				t.Errorf("%s %s of %s = %d %s", c[0], c[1], id, status, body)
			}
			got[i] = strings.ReplaceAll(body, id, "ID")
		}
		if got[0] != got[1] {
			t.Errorf("%s %s tells which one exists: %s and %s", c[0], c[1], got[0], got[1])
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.say(10, at(2, 9, 0), bob, "bob", "one")
	w.say(10, at(2, 9, 1), ada, "ada", "mine")
	last := w.say(10, at(2, 9, 2), bob, "bob", "**three**", `{"mention_roles":["50"]}`)
	w.read[10] = first.ID
	ts := w.serve()
	_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/messages?channel=10&limit=2", "", "Authorization", "Bearer reader")
	var got struct {
		Channel, Up_to, First_unread, Next string
		Version                            int64
		Unread, Mentions                   int
		Complete_since                     *string
		Messages                           []struct {
			ID, HTML            string
			Unread, Mentions_me bool
			Guild               string
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err, body)
	}
	if got.Channel != "10" || got.Version != 3 || got.Unread != 1 || got.Mentions != 1 || got.First_unread != last.ID.String() || got.Up_to != last.ID.String() || len(got.Messages) != 2 {
		t.Fatalf("GET /api/messages = %s", body)
	}
	if m := got.Messages[0]; m.HTML != "<p><strong>three</strong></p>" || !m.Unread || !m.Mentions_me {
		t.Errorf("newest = %+v", m)
	}
	if m := got.Messages[1]; m.Unread || m.Mentions_me || got.Next != m.ID {
		t.Errorf("own message = %+v, next %s", m, got.Next)
	}
	for _, field := range []string{`"complete_since":null`, `"edited_timestamp":null`, `"attachments":[]`, `"embeds":[]`, `"reactions":[]`} {
		if !strings.Contains(body, field) {
			t.Errorf("no %s in %s", field, body)
		}
	}
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/messages?channel=12", "", "Authorization", "Bearer reader"); status != 200 || !strings.Contains(body, `"messages":[]`) || !strings.Contains(body, `"first_unread":null`) {
		t.Errorf("empty channel = %d %s", status, body)
	}
}

// kicking is a store in which the person loses a guild while they are being answered.
type kicking struct {
	*world
	once sync.Once
}

func (k *kicking) kick() {
	k.once.Do(func() {
		set := *k.sets[ada]
		set.Epoch++
		set.Guilds = set.Guilds[1:]
		k.sets[ada] = &set
	})
}

func (k *kicking) Summary(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	defer k.kick()
	return k.world.Summary(ctx, set)
}

func (k *kicking) Feed(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery) (store.FeedPage, error) {
	defer k.kick()
	return k.world.Feed(ctx, set, q)
}

func TestWhoIsKickedWhileAPageIsReadIsNotShownIt(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/messages?channel=10", "/api/feed?filter=all", "/api/unread"} {
		w := newWorld(t)
		w.say(10, at(2, 9, 0), bob, "bob", "not for ada any more")
		ts := w.serve(func(o *Options) { o.Store = &kicking{world: w} })
		_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+path, "", "Authorization", "Bearer reader")
		if strings.Contains(body, "not for ada") || strings.Contains(body, "Gophers") {
			t.Errorf("GET %s = %s", path, body)
		}
	}
}

// meanwhile is a store in which somebody speaks between the reading of a page and of its counts.
type meanwhile struct {
	*world
	speak sync.Once
}

func (m *meanwhile) Summary(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	m.speak.Do(func() { m.say(10, at(2, 9, 1), bob, "bob", "two") })
	return m.world.Summary(ctx, set)
}

// Who follows the channel on the socket from the page's version on would count the message a second time.
func TestAPageAndItsCountsAreOfOneVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(10, at(2, 9, 0), bob, "bob", "one")
	ts := w.serve(func(o *Options) { o.Store = &meanwhile{world: w} })
	_, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/messages?channel=10", "", "Authorization", "Bearer reader")
	var got struct {
		Version  int64
		Unread   int
		Messages []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err, body)
	}
	if got.Version != 2 || got.Unread != 2 || len(got.Messages) != 2 {
		t.Errorf("version %d with %d unread and %d messages, want 2 of each", got.Version, got.Unread, len(got.Messages))
	}
}

func TestQuotesOfDeletedMessagesAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(10, at(2, 9, 0), bob, "bob", "first")
	w.say(10, at(2, 9, 2), bob, "bob", "answer", `{"type":19,"message_reference":{"message_id":"`+at(2, 9, 1).String()+`"},"referenced_message":{"id":"`+at(2, 9, 1).String()+`","channel_id":"10","content":"gone","type":0,"author":{"id":"9","username":"x"}}}`)
	_, body, _ := ask(t, newBrowser(t), "GET", w.serve().URL+"/api/messages?channel=10", "", "Authorization", "Bearer reader")
	if strings.Contains(body, "gone") || !strings.Contains(body, `"deleted":true`) {
		t.Errorf("messages = %s", body)
	}
}

func TestUnderstandableErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/api/messages", "", 422, "query.channel"},
		{"GET", "/api/messages?channel=abc", "", 422, "query.channel"},
		{"GET", "/api/messages?channel=0", "", 422, "query.channel"},
		{"GET", "/api/messages?channel=18446744073709551615", "", 422, "query.channel"},
		{"GET", "/api/messages?channel=99999999999999999999", "", 422, "query.channel"},
		{"GET", "/api/messages?channel=10&before=1&after=2", "", 422, "exclude each other"},
		{"GET", "/api/messages?channel=10&limit=1000", "", 422, "query.limit"},
		{"GET", "/api/messages?channel=10&chanel=1", "", 422, "chanel"},
		{"GET", "/api/feed?filter=nonsense", "", 422, "query.filter"},
		{"POST", "/api/messages/read", `{"channel":"10"}`, 422, "up_to"},
		{"POST", "/api/messages/read", `{"channel":"10","all":true,"up_to":"5"}`, 422, "exactly one"},
		{"POST", "/api/messages/read", `{"up_to":"5"}`, 422, "exactly one"},
		{"POST", "/api/messages/read", `{"channel":10,"up_to":"5"}`, 422, "body.channel"},
		{"POST", "/api/messages/read", `{"channel":"10","up_to":"-5"}`, 422, "body.up_to"},
		{"POST", "/api/messages/read", `{`, 400, ""},
		{"POST", "/api/messages/read", ``, 400, "body"},
		{"POST", "/api/messages/undo", `{"rev":77}`, 409, "newer"},
		{"POST", "/api/messages/read", `{"channel":"` + strings.Repeat("1", maxBody) + `"}`, 413, ""},
	} {
		status, body, h := ask(t, newBrowser(t), c.method, ts.URL+c.path, c.body, "Authorization", "Bearer both")
		if status != c.status || !strings.Contains(body, c.says) || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.60s = %d %s (%s), want %d naming %q", c.method, c.path, c.body, status, body, h.Get("Content-Type"), c.status, c.says)
		}
	}
	w.broken = errors.New("pq: password leaked in here")
	for path, html := range map[string]bool{"/api/unread": false, "/": true} {
		status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+path, "", "Authorization", "Bearer both")
		if status != 500 || strings.Contains(body, "leaked") || strings.Contains(body, "<html") != html {
			t.Errorf("GET %s with a broken store = %d %s", path, status, body)
		}
	}
	w.broken = tidings.ErrUnavailable
	if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/unread", "", "Authorization", "Bearer both"); status != 503 {
		t.Errorf("GET /api/unread with an absent store = %d", status)
	}
}

func TestMarkingReadIsToldAndCanBeUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.say(10, at(2, 9, 0), bob, "bob", "one")
	ts := w.serve()
	post := func(path, body string) string {
		t.Helper()
		status, got, _ := ask(t, newBrowser(t), "POST", ts.URL+path, body, "Authorization", "Bearer both")
		if status != 200 {
			t.Fatalf("POST %s = %d %s", path, status, got)
		}
		return got
	}
	if got := post("/api/messages/read", `{"channel":"10","up_to":"`+m.ID.String()+`","rev":0}`); !strings.Contains(got, `"rev":1`) || !strings.Contains(got, `"unread":0`) || !strings.Contains(got, `"read_id":"`+m.ID.String()+`"`) {
		t.Errorf("read = %s", got)
	}
	if want := (tidings.MarkRead{Channel: 10, UpTo: m.ID}); w.marks[0] != want {
		t.Errorf("MarkRead(%+v), want %+v", w.marks[0], want)
	}
	if got := post("/api/messages/undo", `{"rev":1}`); !strings.Contains(got, `"unread":1`) {
		t.Errorf("undo = %s", got)
	}
	post("/api/messages/read", `{"all":true,"up_to":"`+m.ID.String()+`"}`)
	if got := post("/api/messages/unread", `{"channel":"10","message":"`+m.ID.String()+`"}`); !strings.Contains(got, `"unread":1`) {
		t.Errorf("unread = %s", got)
	}
	if _, got, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/unread/verify", "", "Authorization", "Bearer both"); !strings.Contains(got, `{"checked":6,"mismatches":[]}`) {
		t.Errorf("verify = %s", got)
	}
}

// A socket hangs on the credential that opened it.
func TestAliveFollowsTheCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := New(Options{Store: w, Access: w, Live: w, OAuth: discordSide{w}, EncryptionKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	cookie := sessionOf(t, w, ada)[0]
	alive := func(session string, want bool) {
		t.Helper()
		if got, err := s.Alive(context.Background(), session); got != want || err != nil {
			t.Errorf("Alive(%.6s…) = %v, %v, want %v", session, got, err, want)
		}
	}
	alive(kindCookie+store.TokenKey(cookie.Value), true)
	alive(kindToken+store.TokenKey("reader"), true)
	alive(kindToken+store.TokenKey("acker"), false)
	alive(kindToken+store.TokenKey("revoked"), false)
	alive(cookie.Value, false)
	alive("", false)
	w.mu.Lock()
	clear(w.sessions)
	w.mu.Unlock()
	alive(kindCookie+store.TokenKey(cookie.Value), false)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{EncryptionKey: make([]byte, 16)}, {EncryptionKey: make([]byte, 32), PublicURL: "tidings.test"}, {EncryptionKey: make([]byte, 32), PublicURL: "https://tidings.test/path"},
		{EncryptionKey: make([]byte, 32), PublicURL: "ftp://tidings.test"},
	} {
		if _, err := New(o); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("New(%q, %d bytes of key) = %v", o.PublicURL, len(o.EncryptionKey), err)
		}
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.say(10, at(2, 9, 0), bob, "bob", "one")
	ts := w.serve()
	c, _ := signIn(t, w, ts.URL, "/")
	for _, path := range []string{"/api/messages/read", "/logout"} {
		status, _, _ := ask(t, c, "POST", ts.URL+path, `{"channel":"10","up_to":"`+m.ID.String()+`"}`, "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site")
		if status != 403 {
			t.Errorf("POST %s from another site = %d, want 403", path, status)
		}
	}
	if len(w.marks) != 0 {
		t.Errorf("marks = %v", w.marks)
	}
}

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
	w.say(10, at(2, 9, 0), bob, "bob", "hello **there**")
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

// What the socket sends has the same fields as what the API answers, so that the page draws both alike.
func TestSocketAndAPIShowTheSameMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.say(10, at(2, 9, 0), bob, "bob", "x")
	b, err := render.New(render.Options{}).Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := ask(t, newBrowser(t), "GET", w.serve().URL+"/api/messages?channel=10", "", "Authorization", "Bearer reader")
	if want := strings.TrimSuffix(string(b), "}"); !strings.Contains(body, want) {
		t.Errorf("the API answers %s, the socket %s", body, b)
	}
}
