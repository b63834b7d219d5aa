package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
	"tidings/embedded/testdb"
	"tidings/hub"
	"tidings/render"
	"tidings/store"
)

// whole is the real store, access and hub below the handler. Only Discord is left out.
type whole struct {
	t      *testing.T
	store  *store.Store
	access *access.Access
	hub    *hub.Hub
	site   *Server
	base   string
	// database is the address of what store stores in.
	database string
	token    string
	last     discord.MessageID
	mu       sync.Mutex
	roles    map[discord.UserID][]discord.RoleID
	// discord is Discord's side of channels' webhooks, log all that the server has logged.
	discord hooksOnDiscord
	log     logText
}

const (
	harbour = discord.GuildID(500)
	// operator is in ADMINS.
	operator = discord.UserID(90)
	deck     = discord.ChannelID(501)
	bridge   = discord.ChannelID(502) // for role 510 only
	officer  = discord.RoleID(510)
)

// Member is Discord's answer about a member.
func (w *whole) Member(_ context.Context, g discord.GuildID, u discord.UserID) (*tidings.Member, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	roles, ok := w.roles[u]
	if !ok || g != harbour {
		return nil, tidings.ErrNotFound
	}
	return &tidings.Member{Guild: g, User: u, Roles: roles}, nil
}

// newWhole has a database and a Redis of its own.
func newWhole(t *testing.T) *whole { t.Helper(); return newWholeOn(t, testdb.Postgres(t)) }

func newWholeOn(t *testing.T, database string) *whole {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	rdb, prefix := testdb.Redis(t)
	s, err := store.Open(ctx, store.Options{DatabaseURL: database, Redis: rdb, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &whole{t: t, database: database, store: s, roles: map[discord.UserID][]discord.RoleID{ada: {officer}}}
	var h *hub.Hub
	w.access = access.New(s, w, access.Options{Tell: func(ctx context.Context, r tidings.Result) { h.Tell(ctx, r) }})
	var server *Server
	h = hub.New(hub.Options{
		Access: w.access, Store: s, Redis: rdb, Prefix: prefix, Encode: render.New(render.Options{}).Encode,
		Alive: func(ctx context.Context, session string) (bool, error) { return server.Alive(ctx, session) },
	})
	w.hub = h
	read := tidings.Permissions(1<<10 | 1<<16)
	w.barrier(tidings.GuildSeen{
		Guild: tidings.Guild{ID: harbour, Name: "Harbour", Owner: 1, Available: true},
		Roles: []tidings.Role{{Guild: harbour, ID: discord.RoleID(harbour), Name: "@everyone", Permissions: read}, {Guild: harbour, ID: officer, Name: "officers"}},
		Channels: []tidings.Channel{{ID: deck, Guild: harbour, Name: "deck"}, {ID: bridge, Guild: harbour, Name: "bridge", Overwrites: []tidings.Overwrite{
			{ID: discord.Snowflake(harbour), Type: tidings.OverwriteRole, Deny: read}, {ID: discord.Snowflake(officer), Type: tidings.OverwriteRole, Allow: read}}}},
	})
	if _, err := s.SaveUser(ctx, tidings.User{ID: ada, Name: "Ada"}); err != nil {
		t.Fatal(err)
	}
	if err := w.access.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.access.Enroll(ctx, ada, nil, nil); err != nil {
		t.Fatal(err)
	}
	if w.token, err = s.CreateToken(ctx, ada, "test", []string{"read", "ack"}); err != nil {
		t.Fatal(err)
	}
	server, err = New(Options{Store: s, Access: w.access, Live: h, OAuth: discordSide{newWorld(t)}, EncryptionKey: make([]byte, 32), Version: "test",
		Channels: &w.discord, Fresh: &freshOnDiscord{}, BotReads: w.botReads, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Admins: []discord.UserID{operator}, Admin: &AdminOptions{Store: s, Guilds: w.access, Kinds: []string{"retention"}, RetentionDays: 30, Overview: someOverview}})
	if err != nil {
		t.Fatal(err)
	}
	w.site = server
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	running.Go(func() { w.access.Run(ctx) })
	ts := serveHTTP(t, server)
	w.base = ts
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// botReads: the bot reads the deck only.
func (w *whole) botReads(_ context.Context, g discord.GuildID) (func(discord.ChannelID) bool, error) {
	if g != harbour {
		return nil, tidings.ErrUnavailable
	}
	return func(c discord.ChannelID) bool { return c == deck }, nil
}

func (w *whole) barrier(body tidings.Body) {
	w.t.Helper()
	r, err := w.store.RecordBarrier(context.Background(), tidings.Event{Guild: harbour, At: time.Now(), Body: body}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.base != "" {
		w.hub.Tell(context.Background(), r)
	}
}

func (w *whole) record(c discord.ChannelID, body tidings.Body) {
	w.t.Helper()
	r, err := w.store.Record(context.Background(), []tidings.Event{{Guild: harbour, Channel: c, At: time.Now(), Body: body}}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hub.Tell(context.Background(), r)
}

// say records a message of now and tells of it, as ingest does.
func (w *whole) say(c discord.ChannelID, author discord.UserID, content string, more ...string) discord.MessageID {
	w.t.Helper()
	w.last = max(w.last+1, tidings.FirstID(time.Now()))
	return w.put(c, w.last, author, content, more...)
}

func (w *whole) put(c discord.ChannelID, id discord.MessageID, author discord.UserID, content string, more ...string) discord.MessageID {
	w.t.Helper()
	object := map[string]any{"id": id, "channel_id": c, "content": content, "type": 0, "author": map[string]any{"id": author, "username": "bob"}}
	for _, m := range more {
		if err := json.Unmarshal([]byte(m), &object); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := tidings.ParseMessage(b, harbour)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(c, tidings.MessageCreated{Message: m})
	return id
}

func (w *whole) edit(c discord.ChannelID, id discord.MessageID, author discord.UserID, content string) {
	w.t.Helper()
	b, err := json.Marshal(map[string]any{"id": id, "channel_id": c, "content": content, "type": 0, "edited_timestamp": time.Now(), "author": map[string]any{"id": author, "username": "bob"}})
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := tidings.ParseMessage(b, harbour)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(c, tidings.MessageUpdated{Message: m})
}

// api asks as Ada.
func (w *whole) api(method, path, body string) string {
	w.t.Helper()
	status, got, _ := ask(w.t, http.DefaultClient, method, w.base+path, body, "Authorization", "Bearer "+w.token)
	if status != 200 {
		w.t.Fatalf("%s %s = %d %s", method, path, status, got)
	}
	return got
}

// The page in a real browser over the real store, access and hub: counts follow messages, deletes, marks and roles.
func TestPageOverTheWholeService(t *testing.T) {
	w := newWhole(t)
	ctx := tabWith(t, w.base, func() []*http.Cookie {
		// A session as signing in makes it.
		return sessionOf(t, w.store, ada)
	})
	do(t, ctx, chromedp.Navigate(w.base+"/"))
	until(t, ctx, live+` && document.title === 'Tidings'`)

	w.say(deck, bob, "one")
	two := w.say(deck, bob, "two <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.say(bridge, bob, "three <@&510>", `{"mention_roles":["510"]}`)
	w.say(bridge, ada, "my own")
	until(t, ctx, `document.title === '(2) Tidings' || document.title === '(3) Tidings'`)
	until(t, ctx, `document.querySelectorAll('article').length === 3 && document.querySelector('#mentions').textContent !== ''`)
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{two}})
	until(t, ctx, `document.querySelectorAll('article').length === 2`)
	agree(t, ctx, w)

	// An edit shows, a quote goes with what it quotes.
	quoted := w.say(deck, bob, "quoted secret")
	quoting := w.say(deck, bob, "well", fmt.Sprintf(`{"type":19,"message_reference":{"message_id":"%d"},"referenced_message":{"id":"%d","channel_id":"501","type":0,"content":"quoted secret","author":{"id":"9","username":"bob"}}}`, quoted, quoted))
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"] .reply')?.textContent.includes('quoted secret')`, quoting))
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{quoted}})
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"] .reply')?.textContent.includes('deleted') && !document.body.innerText.includes('quoted secret')`, quoting))
	w.edit(deck, quoting, bob, "well, **edited**")
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"] strong')?.textContent === 'edited' && !!document.querySelector('article[data-id="%d"] .edited')`, quoting, quoting))
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{quoting}})
	until(t, ctx, `document.querySelectorAll('article').length === 2`)
	agree(t, ctx, w)

	// A quoted line names roles and channels as messages do.
	named := w.say(deck, bob, "all <@&510> to <#502>, <b>")
	naming := w.say(deck, bob, "aye", fmt.Sprintf(`{"type":19,"message_reference":{"message_id":"%d"},"referenced_message":{"id":"%d","channel_id":"501","type":0,"content":"all <@&510> to <#502>, <b>","author":{"id":"9","username":"bob"}}}`, named, named))
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"] .reply')?.textContent === 'bob all @officers to #bridge, <b>'`, naming))
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{named, naming}})
	until(t, ctx, `document.querySelectorAll('article').length === 2`)
	agree(t, ctx, w)

	// A burst that the browser must end level with.
	for i := range 60 {
		w.say(deck, bob, fmt.Sprint("burst ", i))
	}
	until(t, ctx, `document.querySelectorAll('article[data-channel="501"]').length === 61`)
	agree(t, ctx, w)

	// The role goes, and with it the channel, its count and its messages.
	w.mu.Lock()
	w.roles[ada] = nil
	w.mu.Unlock()
	w.barrier(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: ada}})
	until(t, ctx, `!document.querySelector('a[data-open="502"]') && !document.querySelector('article[data-channel="502"]')`)
	agree(t, ctx, w)
	w.say(bridge, bob, "not for Ada")
	w.barrier(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: ada, Roles: []discord.RoleID{officer}}})
	until(t, ctx, `!!document.querySelector('a[data-open="502"]')`)
	agree(t, ctx, w)

	// Reading elsewhere reads here.
	w.api("POST", "/api/messages/read", fmt.Sprintf(`{"all":true,"up_to":"%d"}`, w.last))
	until(t, ctx, `document.title === 'Tidings' && !document.querySelector('#end').hidden`)
	agree(t, ctx, w)
	press(t, ctx, "g", "f")
	until(t, ctx, `document.querySelectorAll('article').length === 0`)
}

// Signing out in one place ends the page in another, at once.
func TestSigningOutEndsTheOpenPage(t *testing.T) {
	w := newWhole(t)
	cookies := sessionOf(t, w.store, ada)
	ctx := tabWith(t, w.base, func() []*http.Cookie { return cookies })
	do(t, ctx, chromedp.Navigate(w.base+"/"))
	until(t, ctx, live)
	status, _, _ := ask(t, newBrowser(t), "POST", w.base+"/logout", "", "Cookie", cookies[0].String(), "Origin", w.base)
	if status != http.StatusSeeOther {
		t.Fatalf("POST /logout = %d", status)
	}
	until(t, ctx, `document.querySelector('#toast').textContent.includes('signed out') && !!document.querySelector('#toast a[href^="/login"]')`)
}

// agree waits until the page's counts are those of the API, which are those of a recount.
func agree(t *testing.T, ctx context.Context, w *whole) {
	t.Helper()
	if got := w.api("GET", "/api/unread/verify", ""); !strings.Contains(got, `"mismatches":[]`) {
		t.Errorf("verify = %s", got)
	}
	var u tidings.Unread
	if err := json.Unmarshal([]byte(w.api("GET", "/api/unread", "")), &u); err != nil {
		t.Fatal(err)
	}
	want := ""
	if u.Mentions > 0 {
		want = fmt.Sprint(u.Mentions)
	}
	total := ""
	if u.Total > 0 {
		total = fmt.Sprint(u.Total)
	}
	until(t, ctx, fmt.Sprintf(`document.querySelector('#total').textContent === %q && document.querySelector('#mentions').textContent === %q`, total, want))
}

func TestAPIOverTheWholeService(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	one := w.say(deck, bob, "**one**")
	two := w.say(deck, bob, "two <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	var m struct {
		Unread, Mentions    int
		First_unread, Up_to string
		Messages            []struct {
			ID, HTML            string
			Unread, Mentions_me bool
		}
		Version int64
	}
	get := func() {
		t.Helper()
		m.Messages = nil
		if err := json.Unmarshal([]byte(w.api("GET", "/api/messages?channel=501", "")), &m); err != nil {
			t.Fatal(err)
		}
	}
	get()
	if m.Unread != 2 || m.Mentions != 1 || m.First_unread != one.String() || m.Up_to != two.String() || len(m.Messages) != 2 || m.Messages[1].HTML != "<p><strong>one</strong></p>" || !m.Messages[0].Mentions_me || m.Version != 2 {
		t.Errorf("messages = %+v", m)
	}
	got := w.api("POST", "/api/messages/read", fmt.Sprintf(`{"channel":"501","up_to":"%d"}`, one))
	get()
	if m.Unread != 1 || m.Messages[1].Unread || !m.Messages[0].Unread {
		t.Errorf("after reading one: %s, then %+v", got, m)
	}
	var r struct{ Rev int64 }
	if err := json.Unmarshal([]byte(got), &r); err != nil {
		t.Fatal(err)
	}
	w.api("POST", "/api/messages/undo", fmt.Sprintf(`{"rev":%d}`, r.Rev))
	if get(); m.Unread != 2 {
		t.Errorf("after undo: %+v", m)
	}
	w.api("POST", "/api/messages/read", fmt.Sprintf(`{"guild":"500","up_to":"%d"}`, two))
	w.api("POST", "/api/messages/unread", fmt.Sprintf(`{"channel":"501","message":"%d"}`, two))
	if get(); m.Unread != 1 || m.First_unread != two.String() {
		t.Errorf("after mark unread: %+v", m)
	}
	if got := w.api("GET", "/api/feed?filter=mentions", ""); strings.Count(got, `"mentions_me":true`) != 1 {
		t.Errorf("feed = %s", got)
	}
	if got := w.api("GET", "/api/unread/verify", ""); got != "{\"checked\":2,\"mismatches\":[]}\n" {
		t.Errorf("verify = %s", got)
	}
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{two}})
	if get(); m.Unread != 0 || len(m.Messages) != 1 {
		t.Errorf("after the delete: %+v", m)
	}
	if status, _, _ := ask(t, http.DefaultClient, "GET", w.base+"/api/unread", "", "Authorization", "Bearer tdg_wrong"); status != 401 {
		t.Errorf("a wrong token = %d", status)
	}
}

// What somebody deleted is shown nowhere, also where an answer to it still holds its text.
func TestWhatWasDeletedIsNotQuoted(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	quoted := w.say(deck, bob, "quoted secret")
	w.say(deck, bob, "well", fmt.Sprintf(`{"type":19,"message_reference":{"message_id":"%d","channel_id":"501"},"referenced_message":{"id":"%d","channel_id":"501","type":0,"content":"quoted secret","author":{"id":"9","username":"bob"}}}`, quoted, quoted))
	last := w.say(deck, bob, "later")
	paths := []string{"/api/feed?filter=all", "/api/feed?filter=unread", fmt.Sprintf("/api/messages?channel=501&before=%d&limit=1", last)}
	for _, path := range paths {
		if got := w.api("GET", path, ""); !strings.Contains(got, "quoted secret") {
			t.Errorf("GET %s before the delete = %s", path, got)
		}
	}
	w.record(deck, tidings.MessagesDeleted{IDs: []discord.MessageID{quoted}})
	for _, path := range paths {
		if got := w.api("GET", path, ""); strings.Contains(got, "quoted secret") || !strings.Contains(got, `"deleted":true`) {
			t.Errorf("GET %s after the delete = %s", path, got)
		}
	}
}
