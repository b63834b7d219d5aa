package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestLimitsFillAndEmptyWithTime(t *testing.T) {
	t.Parallel()
	l, now, r := newLimiter(), time.Unix(1_000_000, 0), rate{time.Second, 3}
	for i := range 3 {
		if wait := l.take("a", r, now); wait != 0 {
			t.Fatalf("take %d must wait %v", i, wait)
		}
	}
	if wait := l.take("a", r, now); wait != time.Second {
		t.Errorf("the fourth waits %v, want 1 s", wait)
	}
	if wait := l.take("b", r, now); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	if wait := l.take("a", r, now.Add(time.Second)); wait != 0 {
		t.Errorf("a second later it waits %v", wait)
	}
	if wait := l.take("a", r, now.Add(time.Second)); wait != time.Second {
		t.Errorf("and then %v, want 1 s", wait)
	}
	if wait := l.take("a", rate{}, now); wait != 0 {
		t.Errorf("without a limit it waits %v", wait)
	}
}

// sharedLimits are those of all processes, or away.
type sharedLimits struct {
	l    *limiter
	away bool
}

func (l *sharedLimits) Take(_ context.Context, name string, step time.Duration, burst int) (time.Duration, error) {
	if l.away {
		return 0, tidings.ErrUnavailable
	}
	return l.l.take(name, rate{step, burst}, time.Unix(1_000_000, 0)), nil
}

// TestLimitsHoldOverAllProcesses asks four processes, with what they share and without.
func TestLimitsHoldOverAllProcesses(t *testing.T) {
	t.Parallel()
	search := limits["search"].person
	for _, away := range []bool{false, true} {
		shared := &sharedLimits{newLimiter(), away}
		allowed := 0
		for range aloneShare {
			s := &Server{o: Options{Limits: shared}, limiter: newLimiter()}
			for range 2 * search.burst {
				if s.limited(t.Context(), "search", who{user: 7}, "198.51.100.7") == nil {
					allowed++
				}
			}
		}
		// A moment passes while they ask alone, in which a few more may be paid for.
		if allowed < search.burst || allowed > search.burst+search.burst/2 {
			t.Errorf("away %v: %d are allowed together, want about %d", away, allowed, search.burst)
		}
	}
	s := &Server{limiter: newLimiter()}
	for i := range search.burst {
		if err := s.limited(t.Context(), "search", who{user: 7}, "198.51.100.7"); err != nil {
			t.Fatalf("the only process refuses the search %d: %v", i, err)
		}
	}
}

func TestLimitsRememberABoundedNumber(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(), time.Unix(1_000_000, 0)
	l.max = 100
	for i := range 1000 {
		l.take(strconv.Itoa(i), rate{time.Hour, 2}, now)
	}
	if len(l.paid) > 100 {
		t.Errorf("%d names are remembered, want 100 at most", len(l.paid))
	}
	l.take("new", rate{time.Hour, 2}, now.Add(24*time.Hour))
	if len(l.paid) != 1 {
		t.Errorf("%d names are remembered after all have paid, want 1", len(l.paid))
	}
}

func TestTheAddressOfARequest(t *testing.T) {
	t.Parallel()
	trusted, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		trust        []netip.Prefix
		want         string
	}{
		{"nobody is trusted", "10.0.0.1:5", []string{"203.0.113.9"}, nil, "10.0.0.1"},
		{"a stranger says something", "203.0.113.1:5", []string{"198.51.100.1"}, trusted, "203.0.113.1"},
		{"a proxy says who it was", "10.0.0.1:5", []string{"203.0.113.9"}, trusted, "203.0.113.9"},
		{"two proxies, and what the client made up", "10.0.0.1:5", []string{"1.2.3.4, 203.0.113.9, 192.0.2.7"}, trusted, "203.0.113.9"},
		{"over several lines", "10.0.0.1:5", []string{"203.0.113.9", "192.0.2.7"}, trusted, "203.0.113.9"},
		{"with a port", "10.0.0.1:5", []string{"203.0.113.9:1234"}, trusted, "203.0.113.9"},
		{"a proxy says nothing", "10.0.0.1:5", nil, trusted, "10.0.0.1"},
		{"a proxy says nonsense", "10.0.0.1:5", []string{"203.0.113.9, unknown"}, trusted, "10.0.0.1"},
		{"IPv6 is a network", "[2003:1:2:3:4:5:6:7]:5", nil, nil, "2003:1:2:3::/64"},
		{"IPv6 behind a proxy", "[2001:db8::1]:5", []string{"[2003:1:2:3::9]:77"}, trusted, "2003:1:2:3::/64"},
		{"IPv4 in IPv6", "[::ffff:203.0.113.1]:5", nil, nil, "203.0.113.1"},
		{"a unix socket", "@", nil, trusted, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.remote
			r.Header["X-Forwarded-For"] = tt.forwarded
			s := &Server{o: Options{TrustedProxies: tt.trust}}
			if got := s.address(r); got != tt.want {
				t.Errorf("address = %q, want %q", got, tt.want)
			}
		})
	}
	for _, bad := range []string{"everybody", "10.0.0.0/40", "::ffff:10.0.0.0/104"} {
		if _, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("10.0.0.1:5", "1.2.3.4, 10.0.0.9")
	trusted, _ := ParseProxies([]string{"0.0.0.0/0", "::/0"})
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header = remote, http.Header{"X-Forwarded-For": {forwarded}}
		if got := (&Server{o: Options{TrustedProxies: trusted}}).address(r); len(got) > 60 {
			t.Errorf("%q", got)
		}
	})
}

func TestWhoAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ts := w.serve()
	for what, path := range map[string]string{"verify": "/api/unread/verify", "search": "/api/search?q=x"} {
		refused := false
		for range 3 * limits[what].person.burst {
			status, body, h := ask(t, newBrowser(t), "GET", ts.URL+path, "", "Authorization", "Bearer both")
			if status == http.StatusOK {
				continue
			}
			refused = true
			seconds, err := strconv.Atoi(h.Get("Retry-After"))
			if status != http.StatusTooManyRequests || err != nil || seconds < 1 || h.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, "Try again in") {
				t.Errorf("%s = %d, Retry-After %q: %s", path, status, h.Get("Retry-After"), body)
			}
			break
		}
		if !refused {
			t.Errorf("%s is never refused", path)
		}
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/unread", "", "Authorization", "Bearer both"); status != http.StatusOK {
		t.Errorf("what is not expensive = %d", status)
	}
}

func TestPolledAnswersAreSentOnce(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.say(deck, bob, "one")
	get := func(path, known string) (int, string, string) {
		t.Helper()
		status, body, h := ask(t, newBrowser(t), "GET", w.base+path, "", "Authorization", "Bearer "+w.token, "If-None-Match", known)
		return status, body, h.Get("ETag")
	}
	for _, path := range []string{"/api/unread", "/api/messages?channel=501", "/api/feed?filter=unread", "/api/guilds", "/api/saved"} {
		status, body, tag := get(path, `"other"`)
		if status != http.StatusOK || len(tag) < 10 || tag[0] != '"' || body == "" {
			t.Fatalf("GET %s = %d, ETag %q", path, status, tag)
		}
		for _, known := range []string{tag, "W/" + tag, `"a", ` + tag, "*"} {
			if status, body, again := get(path, known); status != http.StatusNotModified || body != "" || again != tag {
				t.Errorf("GET %s with %s = %d %q, ETag %s", path, known, status, body, again)
			}
		}
	}
	tags := map[string]string{}
	for _, path := range []string{"/api/unread", "/api/messages?channel=501", "/api/feed?filter=unread"} {
		_, _, tags[path] = get(path, "")
	}
	w.say(deck, bob, "two")
	for path, tag := range tags {
		if status, body, again := get(path, tag); status != http.StatusOK || again == tag || body == "" {
			t.Errorf("GET %s after a message = %d, ETag %s", path, status, again)
		}
	}
	if status, _, tag := get("/api/messages?channel=999", "*"); status != http.StatusNotFound || tag != "" {
		t.Errorf("what there is not = %d, ETag %q", status, tag)
	}
}

func TestAWrongMethodIsNamed(t *testing.T) {
	t.Parallel()
	ts := newWorld(t).serve()
	for _, tt := range []struct {
		method, path, allow string
		status              int
	}{
		{"POST", "/api/unread", "GET, HEAD", 405},
		{"DELETE", "/api/messages/read", "POST", 405},
		{"GET", "/api/mutes/5", "PUT, DELETE", 405},
		{"PATCH", "/api/tokens", "GET, HEAD, POST", 405},
		{"OPTIONS", "/api/live", "GET, HEAD", 405},
		{"GET", "/api/nothing", "", 404},
		{"POST", "/api/nothing/at/all", "", 404},
	} {
		status, body, h := ask(t, newBrowser(t), tt.method, ts.URL+tt.path, "", "Authorization", "Bearer both")
		if status != tt.status || h.Get("Allow") != tt.allow || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s = %d, Allow %q, %s: %s; want %d, %q", tt.method, tt.path, status, h.Get("Allow"), h.Get("Content-Type"), body, tt.status, tt.allow)
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	for _, tt := range []struct{ method, path, body, field string }{
		{"GET", "/api/feed?cursor=abc", "", "query.cursor"},
		{"GET", "/api/feed?newer=abc", "", "query.cursor"},
		{"GET", "/api/feed?around=5&cursor=abc", "", "query.cursor"},
		{"GET", "/api/feed?filter=none", "", "query.filter"},
		{"GET", "/api/feed?limit=1000", "", "query.limit"},
		{"GET", "/api/feed?chanel=5", "", "query.chanel"},
		{"GET", "/api/search?q=from:", "", "query.q"},
		{"GET", "/api/search?q=%20", "", "query.q"},
		{"GET", "/api/search?q=x&cursor=abc", "", "query.cursor"},
		{"GET", "/api/saved?cursor=abc", "", "query.cursor"},
		{"GET", "/api/messages?channel=501&before=5&after=6", "", "query.around"},
		{"GET", "/api/messages?channel=x", "", "query.channel"},
		{"POST", "/api/messages/read", `{}`, "body.channel"},
		{"POST", "/api/messages/read", `{"all":true}`, "body.up_to"},
		{"POST", "/api/messages/unread", `{"channel":"501","message":"0"}`, "body.message"},
		{"PUT", "/api/mutes/501", `{"until":"2901-01-01T00:00:00Z","minutes":5}`, "body.until"},
		{"PUT", "/api/ignored/7", "", "path.author"},
	} {
		status, body := w.try(tt.method, tt.path, tt.body)
		var p struct{ Errors []struct{ Location string } }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 422 || len(p.Errors) == 0 || p.Errors[0].Location != tt.field {
			t.Errorf("%s %s %s = %d %s, want 422 that names %s", tt.method, tt.path, tt.body, status, body, tt.field)
		}
	}
}
