package web

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tidings"
	"tidings/store"
)

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

// Whoever signs in takes the browser over: what was open in it for whoever was signed in before is told nothing more, at once.
func TestSigningInEndsWhatTheBrowserHadOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	c, _ := signIn(t, w, ts.URL, "/")
	held := func() string {
		t.Helper()
		u, err := url.Parse(ts.URL)
		if err != nil || len(c.Jar.Cookies(u)) != 1 {
			t.Fatalf("cookies = %v, %v, want one", c.Jar.Cookies(u), err)
		}
		return kindCookie + store.TokenKey(c.Jar.Cookies(u)[0].Value)
	}
	before := held()
	_, _, h := ask(t, c, "GET", ts.URL+"/login", "")
	if len(w.ended) != 0 {
		t.Errorf("before the sign-in is through, %v is ended", w.ended)
	}
	u, _ := url.Parse(h.Get("Location"))
	w.codes["second"] = u.Query().Get("code_challenge")
	if status, body, _ := ask(t, c, "GET", ts.URL+"/login/callback?code=second&state="+u.Query().Get("state"), ""); status != http.StatusSeeOther {
		t.Fatalf("signing in again = %d %s", status, body)
	}
	if len(w.ended) != 1 || w.ended[0] != before || held() == before {
		t.Errorf("ended = %v, want %s, which the browser holds no more", w.ended, before)
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
