package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// someOverview is a status page with something of each kind on it.
func someOverview(context.Context) Overview {
	now := time.Now()
	return Overview{
		Process: ProcessView{Name: "abcdef12", Roles: []string{"gateway", "web"}, Started: now.Add(-3 * time.Hour), Goroutines: 120, MemoryMB: 80},
		Processes: []ProcessView{
			{Name: "abcdef12", Roles: []string{"gateway", "web"}, Started: now.Add(-3 * time.Hour), Goroutines: 120, MemoryMB: 80, Sockets: 12},
			{Name: "12fedcba", Roles: []string{"jobs"}, Started: now.Add(-time.Hour), Goroutines: 60, MemoryMB: 40},
		},
		Parts: []PartView{
			{"PostgreSQL", "good", "version 17.2, answers in 0.4 ms, 12 of 100 connections used, 2.1 GB"},
			{"Redis", "warn", "does not answer: pages come from PostgreSQL, other processes follow within seconds"}, {"Disk", "bad", "110 MB free"},
		},
		Shards:  []ShardView{{Shard: 0, State: "ready", LastEvent: &now, RoundTripMS: 41, Resumes: 3, Identifies: 1}, {Shard: 1, State: "resuming", LastError: "<script>alert(1)</script>"}},
		Sources: []SourceView{{"gateway", 9000, .9}, {"backfill", 1000, .1}},
		Plots: []Plot{
			{"Events taken in", "a second", 30, []float64{1, 4, 9, 3, -1, -1, 7, 12, 8}}, {"From receiving to commit, mean", "ms", 30, []float64{4, 5, 4.2, 6, 5, 4, 4, 5.5, 3}},
			{"Live sockets", "open", 30, []float64{0, 0, 0}}, {"Nothing", "ms", 30, nil},
		},
		Jobs: []store.JobCount{{Kind: "poll", State: "ready", N: 2, Oldest: 3}, {Kind: "backfill", State: "dead", N: 1}}, JobsStuck: 1, Sockets: 12,
	}
}

func TestMetricsAreForThisMachineAndOperators(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	if _, err := w.store.SaveUser(t.Context(), tidings.User{ID: operator, Name: "op"}); err != nil {
		t.Fatal(err)
	}
	token := func(u discord.UserID, scopes ...string) string {
		t.Helper()
		token, err := w.store.CreateToken(t.Context(), u, "test", scopes)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	server, err := New(Options{
		Store: w.store, Access: w.access, Live: w.hub, OAuth: discordSide{newWorld(t)}, EncryptionKey: make([]byte, 32), Admins: []discord.UserID{operator},
		Metrics: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("figures")) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, remote, host string
		header             []string
		want               int
	}{
		{"here", "127.0.0.1:1", "127.0.0.1:8080", nil, 200},
		{"here by name", "[::1]:1", "localhost:8080", nil, 200},
		{"here by IPv6", "[::1]:1", "[::1]:8080", nil, 200},
		{"from elsewhere", "192.0.2.1:1", "tidings.example.org", nil, 403},
		{"from elsewhere, naming this machine", "192.0.2.1:1", "localhost", nil, 403},
		{"through a proxy here that keeps the host", "127.0.0.1:1", "tidings.example.org", nil, 403},
		{"through a proxy here that says for whom", "127.0.0.1:1", "127.0.0.1:8080", []string{"X-Forwarded-For", "192.0.2.1"}, 403},
		{"a page that points a name of its own here", "127.0.0.1:1", "evil.example:8080", nil, 403},
		{"an operator's token from elsewhere", "192.0.2.1:1", "tidings.example.org", []string{"Authorization", "Bearer " + token(operator, "admin")}, 200},
		{"an operator's token for reading", "192.0.2.1:1", "tidings.example.org", []string{"Authorization", "Bearer " + token(operator, "read")}, 403},
		{"somebody else's", "192.0.2.1:1", "tidings.example.org", []string{"Authorization", "Bearer " + token(ada, "read", "ack", "admin")}, 403},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		for i := 0; i+1 < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		if rec.Code != c.want || (rec.Code == 200) != (rec.Body.String() == "figures") {
			t.Errorf("%s: GET /metrics = %d %.80s, want %d", c.name, rec.Code, rec.Body, c.want)
		}
	}
}

// The pages of operators, in a browser: nothing on them breaks the policy, scripts are not needed, forms work.
func TestOperatorsPages(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	admin := tidings.User{ID: operator, Name: "Olga"}
	if _, err := w.store.SaveUser(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	w.say(deck, bob, "hello")
	if _, err := w.store.Enqueue(t.Context(), store.NewJob{Kind: "backfill", Key: "501", Guild: harbour}); err != nil {
		t.Fatal(err)
	}
	claimed, err := w.store.ClaimJobs(t.Context(), "test#1", map[string]int{"backfill": 1}, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("ClaimJobs() = %v, %v", claimed, err)
	}
	if err := w.store.RetryJob(t.Context(), claimed[0], time.Hour, errors.New("Discord is away"), false); err != nil {
		t.Fatal(err)
	}
	cookies := sessionOf(t, w.store, operator)
	b := tabWith(t, w.base, func() []*http.Cookie { return cookies })
	do(t, b, chromedp.Navigate(w.base+"/status"))
	until(t, b, `document.querySelector('h1').innerText === 'Status' && document.querySelectorAll('figure svg').length === 4 && document.querySelectorAll('.parts li').length === 3 &&
		document.querySelectorAll('section[aria-labelledby=processes] tbody tr').length === 2`)
	until(t, b, `document.querySelector('script[data-every]') && document.body.innerText.includes('<script>alert(1)</script>') && [...document.scripts].every((s) => s.src.startsWith(location.origin + '/static/'))`)
	shoot(t, b, "status")
	do(t, b, chromedp.Navigate(w.base+"/admin"))
	until(t, b, `document.querySelector('tbody a').innerText === 'Harbour'`)
	shoot(t, b, "servers")
	do(t, b, chromedp.Click(chromedp.CSS(`tbody a`)))
	until(t, b, `location.pathname === '/admin/servers/500' && document.querySelector('input[name=retention]')`)
	do(t, b, chromedp.SetValue(chromedp.CSS(`input[name=retention]`), "5"), chromedp.Click(chromedp.CSS(`form:has(input[name=retention]) button`)))
	until(t, b, `document.querySelector('.said')?.innerText === 'Saved.' && document.querySelector('input[name=retention]').value === '5'`)
	until(t, b, `document.querySelector('#audit')?.parentElement.innerText.includes('set server')`)
	shoot(t, b, "server")
	// Deleting wants to be sure, which the browser asks for.
	do(t, b, chromedp.Click(chromedp.CSS(`section[aria-labelledby=purge] input[type=checkbox]`)), chromedp.Click(chromedp.CSS(`section[aria-labelledby=purge] button`)))
	until(t, b, `document.querySelector('.said')?.innerText.startsWith('It is being deleted')`)
	do(t, b, chromedp.Navigate(w.base+"/admin/jobs"))
	until(t, b, `document.querySelector('section[aria-labelledby=waiting]').innerText.includes('purge')`)
	until(t, b, `[...document.querySelectorAll('section[aria-labelledby=waiting] tr')].find((r) => r.innerText.includes('backfill'))?.querySelector('summary').innerText === '1 attempt'`)
	do(t, b, chromedp.Click(chromedp.CSS(`section[aria-labelledby=waiting] summary`)))
	until(t, b, `/failed\s+attempt 1, .* ago, after [0-9.]+m?s: Discord is away/.test(document.querySelector('section[aria-labelledby=waiting] details[open] li').innerText)`)
	shoot(t, b, "jobs")
	do(t, b, chromedp.Click(chromedp.CSS(`section[aria-labelledby=waiting] tbody tr button`)))
	until(t, b, `document.querySelector('.said')?.innerText === 'The job is cancelled.' && document.querySelector('section[aria-labelledby=dead]').innerText.includes('cancelled')`)
	do(t, b, chromedp.Click(chromedp.CSS(`section[aria-labelledby=dead] tbody tr button`)))
	until(t, b, `document.querySelector('.said')?.innerText === 'The job is tried again.'`)
	for _, page := range []string{"people", "audit", "me"} {
		do(t, b, chromedp.Navigate(w.base+"/admin/"+page))
		until(t, b, `document.querySelector('h1')`)
		shoot(t, b, page)
	}
	do(t, b, chromedp.Click(chromedp.CSS(`section[aria-labelledby=use] input[type=checkbox]`)), chromedp.Click(chromedp.CSS(`section[aria-labelledby=use] button`)))
	until(t, b, `document.querySelector('h1').innerText === 'You are forgotten'`)
	if _, err := w.store.User(t.Context(), operator); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("the person is still known: %v", err)
	}
}

// Forms of people who may not, and of other sites, do nothing.
func TestOperatorsFormsAreForOperators(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	if _, err := w.store.SaveUser(t.Context(), tidings.User{ID: operator, Name: "Olga"}); err != nil {
		t.Fatal(err)
	}
	mine, theirs := sessionOf(t, w.store, ada)[0], sessionOf(t, w.store, operator)[0]
	post := func(cookie *http.Cookie, site, form string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.base+"/admin/do", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for _, form := range []string{
		"do=purge&guild=500&sure=yes", "do=server&guild=500&kept=no&retention=1", "do=channel&guild=500&channel=501&kept=no", "do=backfill&guild=500&since=2026-01-01",
		"do=pause&kind=poll", "do=resume&kind=poll", "do=run&kind=retention", "do=retry&job=1", "do=cancel&job=1", "do=author&person=8&sure=yes", "do=end&person=8",
	} {
		if got := post(mine, "same-origin", form); got != 403 && got != 404 {
			t.Errorf("%s by a member = %d, want it refused", form, got)
		}
		if got := post(theirs, "cross-site", form); got != 403 {
			t.Errorf("%s from another site = %d, want 403", form, got)
		}
		if got := post(nil, "same-origin", form); got != 401 {
			t.Errorf("%s by nobody = %d, want 401", form, got)
		}
	}
	for _, form := range []string{"do=purge&guild=500", "do=fly", "", "do=server&guild=x", "do=forget", "do=optout", "do=backfill&guild=500&since=soon", "do=run&kind=purge"} {
		if got := post(theirs, "same-origin", form); got != 422 {
			t.Errorf("%q by an operator = %d, want 422", form, got)
		}
	}
	if list, err := w.store.ListJobs(t.Context(), "ready", "", 10); err != nil || len(list) != 0 {
		t.Errorf("jobs are %+v, %v, want none", list, err)
	}
	for _, page := range []string{"/status", "/admin", "/admin/jobs", "/admin/people", "/admin/audit"} {
		if status, _, _ := ask(t, newBrowser(t), "GET", w.base+page, "", "Cookie", mine.String()); status != 403 {
			t.Errorf("%s by a member = %d, want 403", page, status)
		}
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", w.base+"/admin/servers/500", "", "Cookie", mine.String()); status != 404 {
		t.Errorf("a server by a member = %d, want 404", status)
	}
}

// What is kept of a person takes the same scope on its page as in the API.
func TestWhatIsKeptOfAPersonTakesTheScope(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	for _, tt := range []struct {
		scope string
		want  int
	}{{"read", 403}, {"admin", 200}} {
		token := w.person(operator, false, nil, "read", tt.scope)
		for _, path := range []string{"/api/me/data", "/admin/me"} {
			if status, body, _ := ask(t, newBrowser(t), "GET", w.base+path, "", "Authorization", "Bearer "+token); status != tt.want {
				t.Errorf("%s with the scope %s = %d %.200s, want %d", path, tt.scope, status, body, tt.want)
			}
		}
	}
}

// Who may manage a server and not see one of its channels does not learn here that there is one, nor what comes in there.
func TestWhoManagesAServerSeesOfItsChannelsWhatDiscordShows(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: 512, Name: "mayors", Permissions: tidings.PermissionManageGuild}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: cabin, Guild: harbour, Parent: deck, Type: tidings.ChannelPrivateThread, Name: "cabin"}})
	w.say(bridge, bob, "the treasure is here")
	for _, who := range []struct {
		name  string
		token string
		sees  bool
	}{
		{"the mayor", w.person(30, true, []discord.RoleID{512}, "read", "admin"), false},
		{"the owner", w.person(1, true, nil, "read", "admin"), true},
		{"an operator", w.person(operator, false, nil, "read", "admin"), true},
	} {
		call := func(method, path, body string) (int, string) {
			t.Helper()
			status, got, _ := ask(t, newBrowser(t), method, w.base+path, body, "Authorization", "Bearer "+who.token)
			return status, got
		}
		for _, page := range []string{"/api/admin/servers/500", "/admin/servers/500"} {
			status, got := call("GET", page, "")
			if status != http.StatusOK || !strings.Contains(got, "deck") {
				t.Errorf("%s: %s = %d %.300s, want the deck on it", who.name, page, status, got)
			}
			for _, name := range []string{"bridge", "cabin"} {
				if strings.Contains(got, name) != who.sees {
					t.Errorf("%s: %s names the %s: %v, want %v", who.name, page, name, !who.sees, who.sees)
				}
			}
		}
		for _, tt := range []struct {
			method, path, body string
			ok                 int
		}{
			{"PUT", "/api/admin/servers/500/channels/%d", `{"kept":true}`, 204},
			{"POST", "/api/admin/servers/500/purge", `{"channel":"%d"}`, 204},
			{"POST", "/api/admin/servers/500/backfill", `{"channel":"%d","since":"2026-01-01T00:00:00Z"}`, 200},
		} {
			for _, c := range []discord.ChannelID{deck, bridge, cabin} {
				fill := func(s string) string { return strings.Replace(s, "%d", c.String(), 1) }
				want := tt.ok
				if c != deck && !who.sees {
					want = http.StatusNotFound
				}
				if status, got := call(tt.method, fill(tt.path), fill(tt.body)); status != want {
					t.Errorf("%s: %s %s of %d = %d %.200s, want %d", who.name, tt.method, tt.path, c, status, got, want)
				}
			}
		}
	}
}

// The audit log of a server says nothing of channels that its reader is not shown, and leaves out nothing else.
func TestTheAuditLogNamesNoHiddenChannel(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: 512, Name: "mayors", Permissions: tidings.PermissionManageGuild}})
	for range 3 {
		for _, c := range []discord.ChannelID{deck, bridge} {
			if err := w.store.KeepChannel(t.Context(), harbour, c, true, operator); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Of a channel that is gone nobody can say who may have seen it: its owner knows of it all the same.
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: 504, Guild: harbour, Name: "raft"}})
	if err := w.store.KeepChannel(t.Context(), harbour, 504, false, operator); err != nil {
		t.Fatal(err)
	}
	w.barrier(tidings.ChannelGone{ID: 504})
	w.eventually("the raft is gone", func() bool { _, ok := w.access.Channel(504); return !ok })
	type entry struct {
		ID     int64
		Detail struct{ Channel string }
	}
	for _, who := range []struct {
		name  string
		token string
		want  []string // newest first
	}{
		{"the mayor", w.person(30, true, []discord.RoleID{512}, "read", "admin"), []string{"501", "501", "501"}},
		{"the owner", w.person(1, true, nil, "read", "admin"), []string{"504", "502", "501", "502", "501", "502", "501"}},
		{"an operator", w.person(operator, false, nil, "read", "admin"), []string{"504", "502", "501", "502", "501", "502", "501"}},
	} {
		var got []string
		for before := int64(0); ; { // page by page, of one line each
			var page struct{ Entries []entry }
			status, body, _ := ask(t, newBrowser(t), "GET", fmt.Sprintf("%s/api/admin/audit?guild=500&limit=1&before=%d", w.base, before), "", "Authorization", "Bearer "+who.token)
			if err := json.Unmarshal([]byte(body), &page); status != http.StatusOK || err != nil {
				t.Fatalf("%s: the audit log = %d %s", who.name, status, body)
			}
			if len(page.Entries) == 0 {
				break
			}
			got, before = append(got, page.Entries[0].Detail.Channel), page.Entries[0].ID
		}
		if !slices.Equal(got, who.want) {
			t.Errorf("%s reads of the channels %v, want %v", who.name, got, who.want)
		}
		if _, body, _ := ask(t, newBrowser(t), "GET", w.base+"/admin/servers/500", "", "Authorization", "Bearer "+who.token); strings.Contains(body, "502") != slices.Contains(who.want, "502") {
			t.Errorf("%s: the server's page tells of the bridge: %v", who.name, !slices.Contains(who.want, "502"))
		}
	}
}

// shoot keeps a picture of the page where SCREENSHOTS says to.
func shoot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
