package web

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/store"
)

// contents lists what the messages of a page say.
func (w *whole) contents(path string) []string {
	w.t.Helper()
	var page struct {
		Messages []struct{ Content string }
	}
	if err := json.Unmarshal([]byte(w.api("GET", path, "")), &page); err != nil {
		w.t.Fatal(err)
	}
	said := []string{}
	for _, m := range page.Messages {
		said = append(said, m.Content)
	}
	return said
}

// view saves a view.
func (w *whole) view(fields string) SavedFeed {
	w.t.Helper()
	var v SavedFeed
	if err := json.Unmarshal([]byte(w.api("POST", "/api/views", fields)), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

func TestViews(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	const eve = discord.UserID(5 << 22)
	w.say(deck, bob, "one <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	two := w.say(deck, eve, "two of high tide")
	w.say(bridge, eve, "three https://example.org")
	w.say(bridge, bob, "four High  Tide", `{"mention_everyone":true}`)
	w.say(deck, ada, "five, my own high tide")
	w.api("POST", "/api/messages/unread", fmt.Sprintf(`{"channel":"501","message":"%d"}`, two))
	w.api("PUT", "/api/keywords", `{"keywords":["high tide","HIGH TIDE"," ebb "]}`)
	if got := w.api("GET", "/api/keywords", ""); got != `{"keywords":["high tide","ebb"]}`+"\n" {
		t.Errorf("keywords = %s", got)
	}
	// Of the deck one is read and two is not; nothing of the bridge is read.
	for _, tt := range []struct {
		name, fields     string
		shows            []string
		unread, mentions int
	}{
		{"everything", `{"name":"a"}`, []string{"five, my own high tide", "four High  Tide", "three https://example.org", "two of high tide", "one <@7>"}, 3, 1},
		{"unread of a channel", `{"name":"a","channels":["501"],"unread_only":true}`, []string{"two of high tide"}, 1, 0},
		{"a guild", `{"name":"a","guilds":["500"],"unread_only":true}`, []string{"four High  Tide", "three https://example.org", "two of high tide"}, 3, 1},
		{"a channel that may not be seen", `{"name":"a","channels":["99"]}`, []string{}, 0, 0},
		{"one of either", `{"name":"a","channels":["502"],"guilds":["98"]}`, []string{"four High  Tide", "three https://example.org"}, 2, 1},
		{"mentions", `{"name":"a","mentions_only":true}`, []string{"four High  Tide", "one <@7>"}, 1, 1},
		{"unread mentions", `{"name":"a","mentions_only":true,"unread_only":true}`, []string{"four High  Tide"}, 1, 1},
		{"an author", fmt.Sprintf(`{"name":"a","authors":["%d"]}`, eve), []string{"three https://example.org", "two of high tide"}, 2, 1},
		{"links", `{"name":"a","has":["link"]}`, []string{"three https://example.org"}, 1, 1},
		{"keywords of others", `{"name":"a","keywords_only":true}`, []string{"four High  Tide", "two of high tide"}, 2, 1},
		{"unread keywords of a channel", `{"name":"a","keywords_only":true,"unread_only":true,"channels":["501"]}`, []string{"two of high tide"}, 1, 0},
		{"keywords in mentions", `{"name":"a","keywords_only":true,"mentions_only":true}`, []string{"four High  Tide"}, 1, 1},
	} {
		v := w.view(tt.fields)
		if v.Unread != tt.unread || v.Mentions != tt.mentions || v.Capped {
			t.Errorf("%s: %d unread, %d mentions, want %d, %d", tt.name, v.Unread, v.Mentions, tt.unread, tt.mentions)
		}
		if got := w.contents(fmt.Sprint("/api/feed?view=", v.ID)); !slices.Equal(got, tt.shows) {
			t.Errorf("%s: shows %q, want %q", tt.name, got, tt.shows)
		}
	}
	// A filter narrows a view, and what is muted does not count as unread.
	mentions, of := w.view(`{"name":"m","mentions_only":true}`).ID, w.view(`{"name":"w","keywords_only":true}`).ID
	for query, shows := range map[string][]string{
		"filter=unread&view=" + mentions: {"four High  Tide"}, "filter=all&view=" + mentions: {"four High  Tide", "one <@7>"},
		"filter=keywords&view=" + mentions: {"four High  Tide"}, "filter=unread&view=" + of: {"four High  Tide", "two of high tide"}, "filter=mentions&view=" + of: {"four High  Tide"},
	} {
		if got := w.contents("/api/feed?" + query); !slices.Equal(got, shows) {
			t.Errorf("%s: shows %q, want %q", query, got, shows)
		}
	}
	w.try("DELETE", "/api/views/"+mentions, "")
	w.try("DELETE", "/api/views/"+of, "")
	w.api("PUT", "/api/mutes/502", "")
	for fields, unread := range map[string]int{
		`{"name":"a","channels":["501","502"]}`: 1, fmt.Sprintf(`{"name":"a","authors":["%d"]}`, eve): 1, `{"name":"a","has":["link"]}`: 0,
		`{"name":"a","keywords_only":true}`: 1, `{"name":"a","keywords_only":true,"mentions_only":true}`: 1, // mentions of what is muted count
	} {
		v := w.view(fields)
		if v.Unread != unread {
			t.Errorf("with a muted channel, %s: %d unread, want %d", fields, v.Unread, unread)
		}
		w.try("DELETE", "/api/views/"+v.ID, "")
	}
	w.api("DELETE", "/api/mutes/502", "")
	if got := w.contents("/api/feed?filter=keywords"); !slices.Equal(got, []string{"four High  Tide", "two of high tide"}) {
		t.Errorf("the feed of keywords = %q", got)
	}
	var page struct{ Next string }
	if err := json.Unmarshal([]byte(w.api("GET", "/api/feed?filter=keywords&limit=1", "")), &page); err != nil {
		t.Fatal(err)
	}
	if got := w.contents("/api/feed?filter=keywords&limit=1&cursor=" + page.Next); !slices.Equal(got, []string{"two of high tide"}) {
		t.Errorf("its second page = %q", got)
	}

	var list struct{ Views []SavedFeed }
	if err := json.Unmarshal([]byte(w.api("GET", "/api/views", "")), &list); err != nil || len(list.Views) != 12 {
		t.Fatalf("%d views, %v", len(list.Views), err)
	}
	first := list.Views[0].ID
	w.api("PUT", fmt.Sprint("/api/views/", first), `{"name":"b","channels":["502"]}`)
	var v SavedFeed
	if err := json.Unmarshal([]byte(w.api("GET", fmt.Sprint("/api/views/", first), "")), &v); err != nil || v.Name != "b" || v.Unread != 2 || len(v.Channels) != 1 {
		t.Errorf("the changed view = %+v, %v", v, err)
	}
	w.lose(bridge)
	if err := json.Unmarshal([]byte(w.api("GET", fmt.Sprint("/api/views/", first), "")), &v); err != nil || v.Unread != 0 || v.Mentions != 0 {
		t.Errorf("the view of a lost channel = %+v, %v", v, err)
	}
	if got := w.contents(fmt.Sprint("/api/feed?view=", first)); len(got) != 0 {
		t.Errorf("the view of a lost channel shows %q", got)
	}
	other := w.person(31, true, nil, "read", "ack")
	for _, e := range [][2]string{{"GET", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/feed"}, {"DELETE", "/feed"}} {
		if status, body, _ := ask(t, http.DefaultClient, e[0], fmt.Sprint(w.base, "/api/views/", first, e[1]), map[bool]string{true: `{"name":"c"}`}[e[0] == "PUT"], "Authorization", "Bearer "+other); status != 404 {
			t.Errorf("somebody else: %s %s = %d %s", e[0], e[1], status, body)
		}
	}
	if status, _ := w.try("DELETE", fmt.Sprint("/api/views/", first), ""); status != 204 {
		t.Errorf("DELETE = %d", status)
	}
	if status, _ := w.try("GET", fmt.Sprint("/api/feed?view=", first), ""); status != 404 {
		t.Errorf("the feed of a deleted view = %d", status)
	}
	for _, bad := range []struct{ method, path, body, field string }{
		{"PUT", "/api/keywords", `{"keywords":["ok","!!!"]}`, "body.keywords"},
		{"PUT", "/api/keywords", `{"keywords":[""]}`, "body.keywords"},
		{"PUT", "/api/keywords", fmt.Sprintf(`{"keywords":[%q]}`, strings.Repeat("x", 101)), "body.keywords"},
		{"POST", "/api/views", `{"name":""}`, "body.name"},
		{"POST", "/api/views", `{"name":"a","guilds":["0"]}`, "body.guilds"},
		{"POST", "/api/views", `{"name":"a","has":["hope"]}`, "body.has[0]"},
		{"GET", "/api/feed?filter=keywords&newer=AQAAAAAAAAAFAAAAAAAAAAU", "", "query.cursor"},
		{"GET", "/api/export", "", "query.channel"},
		{"GET", "/api/export?channel=501&cursor=x", "", "query.cursor"},
	} {
		var p struct{ Errors []struct{ Location string } }
		if status, got := w.try(bad.method, bad.path, bad.body); status != 422 || json.Unmarshal([]byte(got), &p) != nil || len(p.Errors) == 0 || p.Errors[0].Location != bad.field {
			t.Errorf("%s %s %s = %d %s, want 422 for %s", bad.method, bad.path, bad.body, status, got, bad.field)
		}
	}
}

func TestAViewIsAFeedAtASecretAddress(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.say(deck, bob, "one & <b>two</b>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.say(bridge, bob, "three")
	v := w.view(`{"name":"All <of> it"}`)
	open := func() (atom, jsonFeed string) {
		t.Helper()
		var made struct{ Atom, JSON string }
		if err := json.Unmarshal([]byte(w.api("POST", "/api/views/"+v.ID+"/feed", "")), &made); err != nil {
			t.Fatal(err)
		}
		return made.Atom, made.JSON
	}
	get := func(address string) (int, string, http.Header) {
		t.Helper()
		return ask(t, newBrowser(t), "GET", address, "")
	}
	atom, jsonFeed := open()
	if !strings.HasPrefix(atom, w.base+"/feeds/") || !strings.HasSuffix(atom, ".atom") {
		t.Fatalf("the address is %s", atom)
	}
	status, body, h := get(atom)
	var doc atomFeed
	if err := xml.Unmarshal([]byte(body), &doc); err != nil || status != 200 || h.Get("Content-Type") != "application/atom+xml; charset=utf-8" {
		t.Fatalf("GET .atom = %d, %v: %s", status, err, body)
	}
	if len(doc.Entries) != 2 || doc.Title != "All <of> it" || doc.Entries[1].Title != "bob in #deck · Harbour" ||
		doc.Entries[1].Content.Text != "<p>one &amp; &lt;b&gt;two&lt;/b&gt;</p>" || len(doc.Entries[1].Categories) != 2 {
		t.Errorf("the feed = %+v", doc)
	}
	if status, body, _ := ask(t, newBrowser(t), "GET", atom, "", "If-None-Match", h.Get("ETag")); status != 304 || body != "" {
		t.Errorf("the same feed again = %d %s", status, body)
	}
	status, body, h = get(jsonFeed)
	var items struct {
		Items []struct{ Content_html, URL string }
	}
	if err := json.Unmarshal([]byte(body), &items); err != nil || status != 200 || h.Get("Content-Type") != "application/feed+json; charset=utf-8" ||
		len(items.Items) != 2 || items.Items[0].Content_html != "<p>three</p>" || items.Items[0].URL != w.base+"/c/502" {
		t.Errorf("GET .json = %d, %v: %s", status, err, body)
	}
	if got := w.api("GET", "/api/views", ""); !strings.Contains(got, `"feed":true`) || strings.Contains(got, strings.TrimSuffix(strings.TrimPrefix(atom, w.base+"/feeds/"), ".atom")) {
		t.Errorf("views = %s", got)
	}

	w.lose(bridge)
	if _, body, _ = get(atom); strings.Contains(body, "three") || !strings.Contains(body, "deck") || strings.Contains(body, "bridge") {
		t.Errorf("after the bridge is lost: %s", body)
	}
	old := atom
	atom, _ = open()
	if status, _, _ := get(old); status != 404 {
		t.Errorf("the old address = %d", status)
	}
	if status, _, _ := get(atom); status != 200 {
		t.Errorf("the new address = %d", status)
	}
	if status, body := w.try("DELETE", "/api/views/"+v.ID+"/feed", ""); status != 204 {
		t.Errorf("DELETE = %d %s", status, body)
	}
	for _, address := range []string{atom, w.base + "/feeds/.atom", w.base + "/feeds/x.json", w.base + "/feeds/x", w.base + "/feeds/"} {
		if status, body, _ := get(address); status != 404 || strings.Contains(body, "deck") {
			t.Errorf("GET %s = %d %s", address, status, body)
		}
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	const n = 230 // three pages
	var said []string
	for i := range n {
		c := deck
		if i%10 == 0 {
			c = bridge
		}
		w.say(c, bob, fmt.Sprint("message ", i))
		if c == deck {
			said = append([]string{fmt.Sprint("message ", i)}, said...)
		}
	}
	lines := func(query string) (got []ExportedMessage, next *string, ended bool) {
		t.Helper()
		scan := bufio.NewScanner(strings.NewReader(w.api("GET", "/api/export?"+query, "")))
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			var line struct {
				ExportedMessage
				Next *string `json:"next"`
			}
			if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
				t.Fatalf("%q: %v", scan.Text(), err)
			}
			if line.Cursor == "" {
				next, ended = line.Next, true
				continue
			}
			got = append(got, line.ExportedMessage)
		}
		return got, next, ended
	}
	contents := func(list []ExportedMessage) (out []string) {
		for _, m := range list {
			out = append(out, m.Content)
		}
		return out
	}
	got, next, ended := lines("channel=501")
	if !slices.Equal(contents(got), said) || next != nil || !ended {
		t.Fatalf("%d messages, next %v, ended %v, want %d", len(got), next, ended, len(said))
	}
	// Whoever was cut off goes on behind the last line that came.
	rest, _, _ := lines("channel=501&cursor=" + got[149].Cursor)
	if !slices.Equal(contents(rest), said[150:]) {
		t.Errorf("the rest has %d messages, want %d", len(rest), len(said)-150)
	}
	var whole ExportBody
	if err := json.Unmarshal([]byte(w.api("GET", "/api/export?format=json&channel=501", "")), &whole); err != nil || !slices.Equal(contents(whole.Messages), said) {
		t.Errorf("json: %d messages, %v", len(whole.Messages), err)
	}
	v := w.view(`{"name":"all"}`)
	if got, _, ended := lines(fmt.Sprint("view=", v.ID)); len(got) != n || !ended {
		t.Errorf("the view has %d messages, want %d", len(got), n)
	}
	w.api("PUT", "/api/keywords", `{"keywords":["message 17","message 207","message 20"]}`)
	v = w.view(`{"name":"some","keywords_only":true}`)
	if got, _, _ := lines(fmt.Sprint("view=", v.ID)); !slices.Equal(contents(got), []string{"message 207", "message 20", "message 17"}) {
		t.Errorf("the view of keywords has %q", contents(got))
	}
	if err := json.Unmarshal([]byte(w.api("GET", "/api/export?format=json&channel=501&cursor="+got[len(got)-1].Cursor, "")), &whole); err != nil || len(whole.Messages) != 0 {
		t.Errorf("behind the last: %d messages, %v", len(whole.Messages), err)
	}
	if status, _ := w.try("GET", "/api/export?channel=999", ""); status != 404 {
		t.Errorf("a channel that there is not = %d", status)
	}
}

func TestWebhooksAreMadeForPublicAddresses(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	v := w.view(`{"name":"a"}`)
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(w.api("POST", "/api/webhooks", fmt.Sprintf(`{"url":"https://example.org/hook?a=b","mentions":true,"view":%q}`, v.ID))), &made); err != nil || len(made.Secret) < 20 {
		t.Fatalf("%+v, %v", made, err)
	}
	list, err := w.store.OutgoingWebhooks(t.Context(), ada)
	if err != nil || len(list) != 1 || strings.Contains(string(list[0].Secret), made.Secret) {
		t.Errorf("kept: %+v, %v", list, err)
	}
	if got := w.api("GET", "/api/webhooks", ""); !strings.Contains(got, `"url":"https://example.org/hook?a=b","mentions":true,"keywords":false,"view":"1",`) || strings.Contains(got, made.Secret) {
		t.Errorf("webhooks = %s", got)
	}
	for body, field := range map[string]string{
		`{"url":"http://example.org/","mentions":true}`:               "body.url",
		`{"url":"https://127.0.0.1/","mentions":true}`:                "body.url",
		`{"url":"https://[::1]:8080/","mentions":true}`:               "body.url",
		`{"url":"https://169.254.169.254/","mentions":true}`:          "body.url",
		`{"url":"https://localhost/","mentions":true}`:                "body.url",
		`{"url":"https://me:pw@example.org","mentions":true}`:         "body.url",
		`{"url":"https://","mentions":true}`:                          "body.url",
		`{"url":"hook","mentions":true}`:                              "body.url",
		`{"url":"https://example.org/"}`:                              "body.mentions",
		`{"url":"https://example.org/","view":"99"}`:                  "body.view",
		`{"url":"https://example.org/","view":1}`:                     "body.view",
		`{"url":"https://example.org/","view":"0"}`:                   "body.view",
		`{"url":"https://example.org/","view":"9999999999999999999"}`: "body.view",
	} {
		var p struct{ Errors []struct{ Location string } }
		if status, got := w.try("POST", "/api/webhooks", body); status != 422 || json.Unmarshal([]byte(got), &p) != nil || len(p.Errors) == 0 || p.Errors[0].Location != field {
			t.Errorf("%s = %d %s, want 422 for %s", body, status, got, field)
		}
	}
	for range store.MaxOutgoing - 1 {
		w.api("POST", "/api/webhooks", `{"url":"https://example.org/","keywords":true}`)
	}
	if status, _ := w.try("POST", "/api/webhooks", `{"url":"https://example.org/","keywords":true}`); status != 422 {
		t.Errorf("one too many = %d", status)
	}
	if status, _ := w.try("DELETE", fmt.Sprint("/api/webhooks/", made.ID), ""); status != 204 {
		t.Errorf("DELETE = %d", status)
	}
}
