package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub/client"
)

// try asks as Ada and returns the status too.
func (w *whole) try(method, path, body string) (int, string) {
	w.t.Helper()
	status, got, _ := ask(w.t, http.DefaultClient, method, w.base+path, body, "Authorization", "Bearer "+w.token)
	return status, got
}

func (w *whole) unread() tidings.Unread {
	w.t.Helper()
	var u tidings.Unread
	if err := json.Unmarshal([]byte(w.api("GET", "/api/unread", "")), &u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// device is a live socket of Ada's that is read as frames come.
func (w *whole) device() *client.Client {
	w.t.Helper()
	c, err := client.Dial(w.t.Context(), w.base, client.Options{Token: w.token})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	w.follow(c, "the snapshot", func() bool { return len(c.State.Channels()) > 0 })
	return c
}

// follow reads frames until ok.
func (w *whole) follow(c *client.Client, what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	for !ok() || !c.State.Settled() {
		if _, err := c.Next(ctx); err != nil {
			w.t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// lose takes Ada's role away, and waits until the channel is gone from what she may see.
func (w *whole) lose(c discord.ChannelID) {
	w.t.Helper()
	w.mu.Lock()
	w.roles[ada] = nil
	w.mu.Unlock()
	w.barrier(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: ada}})
	deadline := time.After(2 * time.Minute)
	for {
		if _, _, err := readable(w.access.Visible(ada), c); err != nil {
			return
		}
		select {
		case <-deadline:
			w.t.Fatalf("channel %d is not lost", c)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestMutesAndIgnoredAuthorsReachAllDevices(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	const eve = discord.UserID(5 << 22)
	w.say(deck, bob, "one <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.say(deck, eve, "two <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.say(bridge, eve, "three")
	c := w.device()
	totals := func(what string, unread, mentions int) {
		t.Helper()
		w.follow(c, what, func() bool {
			u, m := c.State.Totals()
			return u == unread && m == mentions
		})
		if u := w.unread(); u.Total != unread || u.Mentions != mentions {
			t.Errorf("%s: the API has %d and %d, want %d and %d", what, u.Total, u.Mentions, unread, mentions)
		}
		if got := w.api("GET", "/api/unread/verify", ""); !strings.Contains(got, `"mismatches":[]`) {
			t.Errorf("%s: verify = %s", what, got)
		}
	}
	totals("at first", 3, 2)
	w.api("PUT", "/api/mutes/501", "")
	totals("the channel muted", 1, 2)
	w.api("PUT", "/api/mutes/500", `{"minutes":60}`)
	totals("the guild muted", 0, 2)
	if got := w.api("GET", "/api/mutes", ""); !strings.Contains(got, `{"scope":"501","until":null}`) || !strings.Contains(got, `{"scope":"500","until":"20`) {
		t.Errorf("mutes = %s", got)
	}
	w.api("DELETE", "/api/mutes/501", "")
	w.api("DELETE", "/api/mutes/500", "")
	totals("nothing muted", 3, 2)

	w.api("PUT", fmt.Sprint("/api/ignored/", uint64(eve)), "")
	totals("eve ignored", 1, 1)
	w.say(deck, eve, "four <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.say(bridge, bob, "five")
	totals("eve goes on", 2, 1)
	page := w.api("GET", "/api/messages?channel=501", "")
	if strings.Count(page, `"unread":true`) != 1 || strings.Count(page, `"ignored":true`) != 2 || strings.Count(page, `"mentions_me":true`) != 1 {
		t.Errorf("the page has other flags than one unread, two ignored: %s", page)
	}
	if feed := w.api("GET", fmt.Sprintf("/api/feed?filter=all&author=%d", eve), ""); strings.Contains(feed, `"unread":true`) || strings.Count(feed, `"ignored":true`) != 3 {
		t.Errorf("the feed of an ignored author: %s", feed)
	}
	if got := w.api("GET", "/api/ignored", ""); got != fmt.Sprintf("{\"authors\":[\"%d\"]}\n", eve) {
		t.Errorf("ignored = %s", got)
	}
	w.api("DELETE", fmt.Sprint("/api/ignored/", uint64(eve)), "")
	totals("eve counts again", 5, 3)

	w.say(deck, bob, "six <@&510>", `{"mention_roles":["510"]}`)
	w.say(bridge, bob, "seven @everyone", `{"mention_everyone":true}`)
	totals("a role and everyone", 7, 5)
	w.api("PUT", "/api/suppressed/500", `{"suppress_everyone":true}`)
	totals("@everyone suppressed", 7, 4)
	w.say(bridge, bob, "eight @everyone", `{"mention_everyone":true}`)
	w.say(bridge, bob, "nine <@&510>", `{"mention_roles":["510"]}`)
	totals("both again", 9, 5)
	w.api("PUT", "/api/suppressed/500", `{"suppress_everyone":true,"suppress_roles":true}`)
	totals("roles suppressed too", 9, 3)
	ten := w.say(bridge, bob, "ten <@&510> @everyone", `{"mention_roles":["510"],"mention_everyone":true}`)
	totals("which stays so for what comes", 10, 3)
	if got := w.api("GET", "/api/suppressed", ""); got != `{"guilds":[{"guild":"500","suppress_everyone":true,"suppress_roles":true}]}`+"\n" {
		t.Errorf("suppressed = %s", got)
	}
	for _, path := range []string{"/api/feed?filter=mentions", "/api/search?q=mentions:me"} {
		if got := w.api("GET", path, ""); strings.Contains(got, fmt.Sprint(ten)) || strings.Count(got, `"mentions_me":true`) != 3 {
			t.Errorf("%s shows what is suppressed: %s", path, got)
		}
	}
	if got := w.api("GET", "/api/messages?channel=502", ""); strings.Contains(got, `"mentions_me":true`) {
		t.Errorf("the page shows what is suppressed: %s", got)
	}
	if u, m := w.device().State.Totals(); u != 10 || m != 3 {
		t.Errorf("a new device has %d and %d, want 10 and 3", u, m)
	}
	w.api("DELETE", "/api/suppressed/500", "")
	totals("nothing suppressed", 10, 8)

	late := w.device()
	if u, m := late.State.Totals(); u != 10 || m != 8 {
		t.Errorf("a new device has %d and %d, want 10 and 8", u, m)
	}
	for _, bad := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/api/mutes/999", "", 404},
		{"PUT", "/api/mutes/501", `{"until":"2001-01-01T00:00:00Z"}`, 422},
		{"PUT", "/api/mutes/501", `{"until":"2901-01-01T00:00:00Z","minutes":5}`, 422},
		{"PUT", "/api/mutes/501", `{"minutes":-5}`, 422},
		{"PUT", "/api/mutes/abc", "", 422},
		{"PUT", "/api/ignored/7", "", 422},
		{"PUT", "/api/suppressed/501", `{"suppress_roles":true}`, 404},
		{"PUT", "/api/ignored/0", "", 422},
	} {
		if status, got := w.try(bad.method, bad.path, bad.body); status != bad.status {
			t.Errorf("%s %s %s = %d %s, want %d", bad.method, bad.path, bad.body, status, got, bad.status)
		}
	}
}

func TestSavedForLater(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	one, two := w.say(deck, bob, "one"), w.say(bridge, bob, "two")
	for _, path := range []string{fmt.Sprint("/api/saved/501/", one), fmt.Sprint("/api/saved/502/", two), fmt.Sprint("/api/saved/501/", one)} {
		if status, got := w.try("PUT", path, ""); status != 204 {
			t.Errorf("PUT %s = %d %s", path, status, got)
		}
	}
	var page struct {
		Messages []struct {
			ID, Content string
			Unread      bool
			Saved_at    time.Time
		}
		Next string
	}
	get := func(query string) {
		t.Helper()
		page.Messages, page.Next = nil, ""
		if err := json.Unmarshal([]byte(w.api("GET", "/api/saved"+query, "")), &page); err != nil {
			t.Fatal(err)
		}
	}
	if get("?limit=1"); len(page.Messages) != 1 || page.Messages[0].Content != "two" || page.Next == "" || !page.Messages[0].Unread || page.Messages[0].Saved_at.IsZero() {
		t.Errorf("first page = %+v", page)
	}
	if get("?limit=1&cursor=" + page.Next); len(page.Messages) != 1 || page.Messages[0].Content != "one" || page.Next != "" {
		t.Errorf("second page = %+v", page)
	}
	w.lose(bridge)
	if status, _ := w.try("PUT", fmt.Sprint("/api/saved/502/", two), ""); status != 404 {
		t.Errorf("saving in a lost channel = %d, want 404", status)
	}
	if get(""); len(page.Messages) != 1 || page.Messages[0].Content != "one" {
		t.Errorf("after losing the bridge: %+v", page)
	}
	if status, _ := w.try("DELETE", fmt.Sprint("/api/saved/501/", one), ""); status != 204 {
		t.Errorf("DELETE = %d", status)
	}
	if get(""); len(page.Messages) != 0 {
		t.Errorf("after taking it back: %+v", page)
	}
}

func TestReadingWhatIsOlderThan(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	now := time.Now()
	// Ada has not missed what was there before she came; she marks it unread.
	for i := range 4 {
		w.put(deck, tidings.FirstID(now.Add(time.Duration(i-4)*time.Hour)), bob, fmt.Sprint(i))
	}
	w.api("POST", "/api/messages/unread", fmt.Sprintf(`{"channel":"501","message":"%d"}`, tidings.FirstID(now.Add(-4*time.Hour))))
	if u := w.unread(); u.Total != 4 {
		t.Fatalf("total = %d, want 4", u.Total)
	}
	var r struct{ Rev int64 }
	got := w.api("POST", "/api/messages/read", fmt.Sprintf(`{"all":true,"older_than":%q}`, now.Add(-2*time.Hour).Format(time.RFC3339Nano)))
	if err := json.Unmarshal([]byte(got), &r); err != nil {
		t.Fatal(err)
	}
	if u := w.unread(); u.Total != 2 {
		t.Errorf("after reading all older than two hours, %d are unread, want 2: %s", u.Total, got)
	}
	w.api("POST", "/api/messages/undo", fmt.Sprintf(`{"rev":%d}`, r.Rev))
	if u := w.unread(); u.Total != 4 {
		t.Errorf("after undo %d are unread, want 4", u.Total)
	}
	for _, body := range []string{`{"all":true,"older_than":"2101-01-01T00:00:00Z"}`, `{"all":true,"older_than":"2001-01-01T00:00:00Z"}`,
		`{"all":true,"older_than":"2026-01-01T00:00:00Z","up_to":"5"}`, `{"all":true,"older_than":"yesterday"}`, `{"all":true}`} {
		if status, got := w.try("POST", "/api/messages/read", body); status != 422 {
			t.Errorf("%s = %d %s, want 422", body, status, got)
		}
	}
}

func TestWhatOneSeesOnDiscordOnlyIsNamed(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	if got := w.api("GET", "/api/coverage", ""); got != `{"servers":[],"asked_at":null,"channels":[{"id":"502","guild":"500","guild_name":"Harbour","name":"bridge"}],"unchecked":[]}`+"\n" {
		t.Errorf("before Discord was asked: %s", got)
	}
	for range 2 {
		if err := w.store.SaveServers(t.Context(), ada, []tidings.Guild{{ID: harbour, Name: "Harbour"}, {ID: 600, Name: "Lighthouse", Icon: "x"}, {ID: 601, Name: "a\x00b"}, {ID: 600}}); err != nil {
			t.Fatal(err)
		}
	}
	got := w.api("GET", "/api/coverage", "")
	if !strings.Contains(got, `"servers":[{"id":"601","name":"ab","icon":""},{"id":"600","name":"Lighthouse","icon":"x"}],"asked_at":"20`) {
		t.Errorf("afterwards: %s", got)
	}
	w.lose(bridge)
	if got := w.api("GET", "/api/coverage", ""); strings.Contains(got, "bridge") {
		t.Errorf("a channel that is hidden from the person is named: %s", got)
	}
}
