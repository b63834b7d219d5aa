package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
)

// answer gives a request straight to the handler.
func answer(h http.Handler, method, path, query, body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://tidings.example"+path, strings.NewReader(body))
	req.URL.RawQuery = query
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

// FuzzAPIRequest sends queries and bodies of all kinds to the API. No answer is a fault of the service's, every refusal is in the form that is promised, and no
// mark reaches a channel that the person does not see.
func FuzzAPIRequest(f *testing.F) {
	for i, s := range []string{
		"channel=10", "channel=10&before=5&limit=50", "filter=mentions&guild=16777216&cursor=abc", `{"channel":"10","up_to":"99"}`, `{"all":true,"up_to":"1"}`,
		`{"guild":"16777216","up_to":"18446744073709551615"}`, `{"channel":"10","message":"5"}`, `{"rev":-1}`, `{"channel":10,"up_to":{}}`, "limit=-1&around=%00", `{"channel":"10"`, "[]", "null",
	} {
		f.Add(uint8(i), s, s)
	}
	w := newWorld(f)
	for n := range 20 {
		w.say(10, at(1, 0, n), bob, "Bob", "hello")
	}
	h := w.serve().Config.Handler
	ways := [][2]string{
		{"GET", "/api/messages"}, {"GET", "/api/feed"}, {"GET", "/api/unread"}, {"GET", "/api/unread/verify"}, {"GET", "/api/me"}, {"GET", "/api/channels/10"},
		{"POST", "/api/messages/read"}, {"POST", "/api/messages/unread"}, {"POST", "/api/messages/undo"},
	}
	f.Fuzz(func(t *testing.T, way uint8, query, body string) {
		to := ways[int(way)%len(ways)]
		rec := answer(h, to[0], to[1], query, body, "Authorization", "Bearer both", "Content-Type", "application/json")
		switch kind := rec.Header().Get("Content-Type"); {
		case rec.Code >= 500:
			t.Errorf("%s %s?%s with %q = %d %s", to[0], to[1], query, body, rec.Code, rec.Body)
		case rec.Code >= 400 && !strings.HasPrefix(kind, "application/problem+json"):
			t.Errorf("%s %s?%s with %q = %d as %q", to[0], to[1], query, body, rec.Code, kind)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range w.marks {
			if m.Channel != 0 && !slices.Contains([]discord.ChannelID{10, 11, 12, 15, 20, 21}, m.Channel) {
				t.Errorf("a mark reached channel %d", m.Channel)
			}
		}
		w.marks = nil
	})
}

// FuzzCredentials sends cookies and Authorization headers of all kinds. Nobody gets in without one that was given out.
func FuzzCredentials(f *testing.F) {
	w := newWorld(f)
	h := w.serve().Config.Handler
	cookie := sessionOf(f, w, ada)[0]
	for _, s := range []string{"", cookie.String(), cookie.Name + "=", cookie.Name + "=x; " + cookie.String(), "Bearer both", "Bearer", "bearer  both", "Basic YTpi", "\x00", strings.Repeat("a", 9000)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, cookies, authorization string) {
		rec := answer(h, "GET", "/api/me", "", "", "Cookie", cookies, "Authorization", authorization)
		if rec.Code >= 500 {
			t.Errorf("Cookie %q and Authorization %q = %d %s", cookies, authorization, rec.Code, rec.Body)
		}
		known := strings.Contains(cookies, cookie.Value)
		for _, token := range []string{"both", "reader", "acker"} {
			known = known || strings.Contains(authorization, token)
		}
		if rec.Code == http.StatusOK && !known {
			t.Errorf("Cookie %q and Authorization %q get in", cookies, authorization)
		}
	})
}

// FuzzOAuthCallback comes back from Discord with queries of all kinds, in a session that has asked and in one that has not. Only the state and code that belong to the
// session sign anybody in, and nobody is led to another site.
func FuzzOAuthCallback(f *testing.F) {
	w := newWorld(f)
	h := w.serve().Config.Handler
	for _, s := range []string{"", "code=good&state=x", "code=%00&state=%00", "error=access_denied&error_description=<script>", "state=a&state=b&code=good", "code=good&state={state}", "code=bad&state={state}"} {
		f.Add(s, "/c/10", true)
		f.Add(s, "//evil.example", false)
	}
	f.Fuzz(func(t *testing.T, query, back string, asked bool) {
		cookie, state := "", "never-given"
		if asked {
			rec := answer(h, "GET", "/login", url.Values{"to": {back}}.Encode(), "")
			if rec.Code >= 500 {
				t.Fatalf("GET /login?to=%q = %d", back, rec.Code)
			}
			if u, err := url.Parse(rec.Header().Get("Location")); err == nil {
				state = u.Query().Get("state")
				w.mu.Lock()
				w.codes["good"] = u.Query().Get("code_challenge")
				w.mu.Unlock()
			}
			for _, c := range rec.Result().Cookies() {
				cookie = c.Name + "=" + c.Value
			}
		}
		whole := strings.ReplaceAll(query, "{state}", url.QueryEscape(state))
		rec := answer(h, "GET", "/login/callback", whole, "", "Cookie", cookie)
		if rec.Code >= 500 && rec.Code != http.StatusBadGateway && rec.Code != http.StatusServiceUnavailable { // these are Discord's faults
			t.Errorf("GET /login/callback?%s = %d %s", whole, rec.Code, rec.Body)
		}
		if to := rec.Header().Get("Location"); to != "" {
			if u, err := url.Parse(to); err != nil || u.Host != "" || strings.HasPrefix(to, "//") || strings.Contains(to, "\\") {
				t.Errorf("GET /login/callback?%s leads to %q", whole, to)
			}
		}
		for _, c := range rec.Result().Cookies() {
			me := answer(h, "GET", "/api/me", "", "", "Cookie", c.Name+"="+c.Value)
			q, _ := url.ParseQuery(whole)
			if me.Code == http.StatusOK && (!asked || q.Get("state") != state) {
				t.Errorf("GET /login/callback?%s signs somebody in without the state %q", whole, state)
			}
		}
	})
}
