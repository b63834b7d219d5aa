package web

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"tidings"
	"tidings/render"
	"tidings/store"
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
	// As Discord's own API is asked for a channel's beginning.
	if status, body, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/messages?channel=10&after=0", "", "Authorization", "Bearer reader"); status != 200 || strings.Count(body, `"html"`) != 3 {
		t.Errorf("GET /api/messages?after=0 = %d %s, want all three messages", status, body)
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
		{"GET", "/api/messages?channel=9223372036854775808", "", 422, "query.channel"},
		{"POST", "/api/views", `{"name":"far","guilds":["9223372036854775808"]}`, 422, "body.guilds"},
		{"POST", "/api/views", `{"name":"far","authors":["5","9999999999999999999"]}`, 422, "body.authors"},
		{"GET", "/api/messages?channel=10&before=1&after=2", "", 422, "exclude each other"},
		{"GET", "/api/messages?channel=10&limit=1000", "", 422, "query.limit"},
		{"GET", "/api/messages?channel=10&chanel=1", "", 422, "chanel"},
		{"GET", "/api/messages?channel=10&channel=20", "", 422, "query.channel"},
		{"GET", "/api/feed?filter=all&channel=%zz", "", 422, "cannot be read"},
		{"GET", "/api/feed?filter=all&channel=10&channel=20", "", 422, "query.channel"},
		{"GET", "/api/feed?filter=nonsense", "", 422, "query.filter"},
		{"POST", "/api/messages/read", `{"channel":"10"}`, 422, "up_to"},
		{"POST", "/api/messages/read", `{"channel":"10","all":true,"up_to":"5"}`, 422, "exactly one"},
		{"POST", "/api/messages/read", `{"up_to":"5"}`, 422, "exactly one"},
		{"POST", "/api/messages/read", `{"channel":10,"up_to":"5"}`, 422, "body.channel"},
		{"POST", "/api/messages/read", `{"channel":"10","up_to":"-5"}`, 422, "body.up_to"},
		{"POST", "/api/messages/read", `{`, 400, ""},
		{"POST", "/api/messages/read", ``, 400, "body"},
		{"PUT", "/api/mutes/10", `{"minutes":0}`, 422, "body.minutes"},
		{"POST", "/api/messages/undo", `{"rev":77}`, 409, "newer"},
		{"POST", "/api/messages/read", `{"channel":"` + strings.Repeat("1", maxBody) + `"}`, 413, ""},
	} {
		status, body, h := ask(t, newBrowser(t), c.method, ts.URL+c.path, c.body, "Authorization", "Bearer both")
		if status != c.status || !strings.Contains(body, c.says) || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.60s = %d %s (%s), want %d naming %q", c.method, c.path, c.body, status, body, h.Get("Content-Type"), c.status, c.says)
		}
	}
	for path, allow := range map[string]string{"/": "GET, HEAD", "/healthz": "GET, HEAD", "/login": "GET, HEAD", "/logout": "POST"} {
		status, _, h := ask(t, newBrowser(t), "PUT", ts.URL+path, "", "Authorization", "Bearer both")
		if status != 405 || h.Get("Allow") != allow {
			t.Errorf("PUT %s = %d, Allow %q, want 405 and %q", path, status, h.Get("Allow"), allow)
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
	if want := (tidings.MarkRead{Channel: 10, UpTo: m.ID, Auto: true}); w.marks[0] != want {
		t.Errorf("MarkRead(%+v), want %+v", w.marks[0], want)
	}
	if got := post("/api/messages/undo", `{"rev":1}`); !strings.Contains(got, `"unread":1`) {
		t.Errorf("undo = %s", got)
	}
	post("/api/messages/read", `{"all":true,"up_to":"`+m.ID.String()+`"}`)
	if want := (tidings.MarkRead{All: true, UpTo: m.ID}); w.marks[1] != want {
		t.Errorf("by hand: MarkRead(%+v), want %+v", w.marks[1], want)
	}
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
