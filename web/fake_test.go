package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings"
	"tidings/hub"
	"tidings/render"
	"tidings/store"
)

// world is a small service behind the handler: one person, two guilds, messages in memory. It stands for store, access, hub
// and Discord in tests of what web itself does.
type world struct {
	PreferenceStore // what is not written out below is not asked for
	CredentialStore
	ViewStore
	NotifyStore
	t        testing.TB
	mu       sync.Mutex
	users    map[discord.UserID]tidings.User
	sealed   map[discord.UserID][]byte
	sessions map[string][]byte
	tokens   map[string][]string
	sets     map[discord.UserID]*tidings.VisibleSet
	messages map[discord.ChannelID][]tidings.Message // oldest first
	version  map[discord.ChannelID]int64
	read     map[discord.ChannelID]discord.MessageID
	before   map[discord.ChannelID]discord.MessageID
	rev      int64
	marks    []tidings.MarkRead
	enrolled [][]discord.GuildID
	ended    []string
	sockets  map[chan string]bool
	broken   error // what the store answers when it is set
	oauth    error
	codes    map[string]string // code → verifier that it was asked with
	encoder  *render.Renderer
}

const (
	ada    = discord.UserID(7)
	nobody = discord.UserID(8) // signed in, in no guild
	bob    = discord.UserID(1_000_000 << 22)
)

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, users: map[discord.UserID]tidings.User{ada: {ID: ada, Name: "Ada"}, nobody: {ID: nobody, Name: "Nemo"}},
		sealed: map[discord.UserID][]byte{}, sessions: map[string][]byte{}, tokens: map[string][]string{"both": {"read", "ack"}, "reader": {"read"}, "acker": {"ack"}},
		messages: map[discord.ChannelID][]tidings.Message{}, version: map[discord.ChannelID]int64{}, read: map[discord.ChannelID]discord.MessageID{},
		before: map[discord.ChannelID]discord.MessageID{}, sockets: map[chan string]bool{}, codes: map[string]string{}, encoder: render.New(render.Options{}),
	}
	text := func(id discord.ChannelID, g discord.GuildID, name string) tidings.Channel {
		return tidings.Channel{ID: id, Guild: g, Name: name, Parent: 90}
	}
	w.sets = map[discord.UserID]*tidings.VisibleSet{
		ada: {User: ada, Epoch: 1, Guilds: []tidings.VisibleGuild{
			{Guild: tidings.Guild{ID: 4 << 22, Name: "Gophers <&>", Available: true}, Version: 1, Roles: []discord.RoleID{50},
				Channels: []tidings.Channel{text(10, 4<<22, "general"), text(11, 4<<22, "help-and-questions"), text(12, 4<<22, "random"),
					{ID: 15, Guild: 4 << 22, Name: "Why does my select spin?", Type: tidings.ChannelPublicThread, Parent: 11}},
				Parents: []tidings.Channel{{ID: 90, Guild: 4 << 22, Name: "Text", Type: tidings.ChannelCategory}}},
			{Guild: tidings.Guild{ID: 9 << 22, Name: "Sailing club", Available: true}, Version: 1,
				Channels: []tidings.Channel{text(20, 9<<22, "harbour"), text(21, 9<<22, "weather")}},
		}},
		nobody: {User: nobody},
	}
	return w
}

// at is an id of a time, so that pages show sensible dates.
func at(day, hour, minute int) discord.MessageID {
	return tidings.FirstID(time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC))
}

// say stores a message; more is merged into Discord's object.
func (w *world) say(c discord.ChannelID, id discord.MessageID, author discord.UserID, name, content string, more ...string) tidings.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sayLocked(c, id, author, name, content, more...)
}

func (w *world) sayLocked(c discord.ChannelID, id discord.MessageID, author discord.UserID, name, content string, more ...string) tidings.Message {
	object := map[string]any{"id": id, "channel_id": c, "content": content, "type": 0, "author": map[string]any{"id": author, "username": name}}
	for _, m := range more {
		if err := json.Unmarshal([]byte(m), &object); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := tidings.ParseMessage(b, w.guildOf(c))
	if err != nil {
		w.t.Fatal(err)
	}
	w.messages[c] = append(w.messages[c], m)
	slices.SortFunc(w.messages[c], func(a, b tidings.Message) int { return int(int64(a.ID) - int64(b.ID)) })
	w.version[c]++
	return m
}

// guildOf is the guild of a channel that ada may read; that of a channel which she lost is its first one's.
func (w *world) guildOf(c discord.ChannelID) discord.GuildID {
	for _, g := range w.sets[ada].Guilds {
		for _, x := range g.Channels {
			if x.ID == c {
				return g.Guild.ID
			}
		}
	}
	return 4 << 22
}

func (w *world) counts(set *tidings.VisibleSet, c discord.ChannelID, roles []discord.RoleID) tidings.ReadChannel {
	r := tidings.ReadChannel{ID: c, Version: w.version[c], ReadID: w.read[c]}
	for _, m := range w.messages[c] {
		if !m.Countable {
			continue
		}
		r.LastID = m.ID
		if m.ID > r.ReadID && m.Author != set.User {
			if r.Unread++; r.FirstUnread == 0 {
				r.FirstUnread = m.ID
			}
			if mentions(m.Mentions, reader{user: set.User, roles: roles}) {
				r.Mentions++
			}
		}
	}
	return r
}

func (w *world) Permissions(discord.UserID, discord.ChannelID) tidings.Permissions { return 0 }

func (w *world) Summary(_ context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	u := &tidings.Unread{Rev: w.rev}
	for _, g := range set.Guilds {
		ug := tidings.UnreadGuild{ID: g.Guild.ID, Name: g.Guild.Name, Roles: g.Roles}
		for _, c := range g.Channels {
			r := w.counts(set, c.ID, g.Roles)
			ug.Channels = append(ug.Channels, tidings.UnreadChannel{ID: c.ID, Name: c.Name, Type: c.Type, Parent: c.Parent, Unread: r.Unread, Mentions: r.Mentions,
				FirstUnread: r.FirstUnread, ReadID: r.ReadID, LastID: r.LastID, Version: r.Version})
			ug.Unread += r.Unread
			ug.Mentions += r.Mentions
		}
		u.Total += ug.Unread
		u.Mentions += ug.Mentions
		u.Guilds = append(u.Guilds, ug)
	}
	return u, nil
}

func (w *world) Counts(_ context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) ([]tidings.ReadChannel, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []tidings.ReadChannel
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if slices.Contains(channels, c.ID) {
				out = append(out, w.counts(set, c.ID, g.Roles))
			}
		}
	}
	return out, nil
}

func (w *world) Search(context.Context, *tidings.VisibleSet, store.SearchQuery, string, int) (store.FeedPage, error) {
	return store.FeedPage{}, nil
}

func (w *world) Views(context.Context, discord.UserID) ([]store.View, error) { return nil, nil }

func (w *world) Keywords(context.Context, discord.UserID) ([]string, error) { return nil, nil }

func (w *world) Picked(_ context.Context, set *tidings.VisibleSet, of []store.Quoted) ([]tidings.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []tidings.Message
	for _, q := range of {
		for _, m := range w.messages[q.Channel] {
			if m.ID == q.ID && slices.Contains(set.ChannelIDs(), q.Channel) {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b tidings.Message) int { return int(int64(b.ID) - int64(a.ID)) })
	return out, nil
}

func (w *world) NoteSession(context.Context, string, discord.UserID, string) error { return nil }

func (w *world) SessionStands(_ context.Context, key string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for token := range w.sessions {
		if store.TokenKey(token) == key {
			return true, nil
		}
	}
	return false, nil
}

func (w *world) TokenStands(_ context.Context, key, scope string) (bool, error) {
	for token, scopes := range w.tokens {
		if store.TokenKey(token) == key {
			return slices.Contains(scopes, scope), nil
		}
	}
	return false, nil
}

func (w *world) Ignored(context.Context, discord.UserID) ([]discord.UserID, error) { return nil, nil }

func (w *world) Suppressed(context.Context, discord.UserID) ([]store.Suppressed, error) {
	return nil, nil
}

func (w *world) Verify(ctx context.Context, set *tidings.VisibleSet) (stated, recounted []tidings.ReadChannel, err error) {
	stated, err = w.Counts(ctx, set, set.ChannelIDs())
	return stated, stated, err
}

func (w *world) Messages(_ context.Context, q store.PageQuery) (store.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return store.Page{}, w.broken
	}
	p := store.Page{Version: w.version[q.Channel]}
	for _, m := range slices.Backward(w.messages[q.Channel]) {
		if q.Before != 0 && m.ID >= q.Before || q.After != 0 && m.ID <= q.After {
			continue
		}
		if len(p.Messages) == q.Limit {
			p.More = true
			break
		}
		p.Messages = append(p.Messages, m)
	}
	return p, nil
}

func (w *world) Feed(_ context.Context, set *tidings.VisibleSet, q store.FeedQuery) (store.FeedPage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return store.FeedPage{}, w.broken
	}
	var p store.FeedPage
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			for _, m := range w.messages[c.ID] {
				unread := m.ID > w.read[c.ID] && m.Author != set.User && m.Countable
				mine := m.Author != set.User && mentions(m.Mentions, reader{user: set.User, roles: g.Roles})
				if q.Filter == "unread" && !unread || q.Filter == "mentions" && !mine || q.Channel != 0 && q.Channel != c.ID || q.Guild != 0 && q.Guild != g.Guild.ID {
					continue
				}
				p.Messages = append(p.Messages, m)
			}
		}
	}
	slices.SortFunc(p.Messages, func(a, b tidings.Message) int { return int(int64(b.ID) - int64(a.ID)) })
	p.Messages = p.Messages[:min(len(p.Messages), q.Limit)]
	return p, nil
}

func (w *world) Deleted(context.Context, []store.Quoted) (map[store.Quoted]bool, error) {
	return nil, nil
}

func (w *world) mark(set *tidings.VisibleSet, to map[discord.ChannelID]discord.MessageID) tidings.ReadResult {
	w.rev++
	w.before = map[discord.ChannelID]discord.MessageID{}
	r := tidings.ReadResult{User: set.User, Rev: w.rev}
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if id, ok := to[c.ID]; ok {
				w.before[c.ID] = w.read[c.ID]
				w.read[c.ID] = id
				r.Channels = append(r.Channels, w.counts(set, c.ID, g.Roles))
			}
		}
	}
	return r
}

func (w *world) MarkRead(_ context.Context, set *tidings.VisibleSet, m tidings.MarkRead) (tidings.ReadResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks = append(w.marks, m)
	to := map[discord.ChannelID]discord.MessageID{}
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if (m.All || m.Guild == g.Guild.ID || m.Channel == c.ID) && m.UpTo > w.read[c.ID] {
				to[c.ID] = m.UpTo
			}
		}
	}
	return w.mark(set, to), nil
}

func (w *world) MarkUnread(_ context.Context, set *tidings.VisibleSet, c discord.ChannelID, m discord.MessageID) (tidings.ReadResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark(set, map[discord.ChannelID]discord.MessageID{c: m - 1}), nil
}

func (w *world) Undo(_ context.Context, set *tidings.VisibleSet, rev int64) (tidings.ReadResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rev != w.rev {
		return tidings.ReadResult{}, fmt.Errorf("undo %d: %w", rev, tidings.ErrConflict)
	}
	return w.mark(set, w.before), nil
}

func (w *world) User(_ context.Context, id discord.UserID) (tidings.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := w.users[id]
	if !ok {
		return u, tidings.ErrNotFound
	}
	return u, nil
}

func (w *world) SaveUser(_ context.Context, u tidings.User) (tidings.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users[u.ID] = u
	return u, nil
}

func (w *world) SaveOAuthToken(_ context.Context, u discord.UserID, sealed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed[u] = sealed
	return nil
}

func (w *world) UserByToken(_ context.Context, token string) (discord.UserID, []string, error) {
	if scopes, ok := w.tokens[token]; ok {
		return ada, scopes, nil
	}
	return 0, nil, tidings.ErrNotFound
}

func (w *world) FindCtx(_ context.Context, token string) ([]byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.sessions[token]
	return b, ok, nil
}

func (w *world) CommitCtx(_ context.Context, token string, b []byte, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[token] = b
	return nil
}

func (w *world) DeleteCtx(_ context.Context, token string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, token)
	return nil
}

func (w *world) Find(token string) ([]byte, bool, error) {
	return w.FindCtx(context.Background(), token)
}
func (w *world) Delete(token string) error { return w.DeleteCtx(context.Background(), token) }
func (w *world) Commit(token string, b []byte, e time.Time) error {
	return w.CommitCtx(context.Background(), token, b, e)
}

func (w *world) Visible(u discord.UserID) *tidings.VisibleSet {
	if s := w.sets[u]; s != nil {
		return s
	}
	return &tidings.VisibleSet{User: u}
}

func (w *world) CatchUp(context.Context) error { return nil }

func (w *world) Guild(g discord.GuildID) (*tidings.GuildState, bool) {
	return &tidings.GuildState{Roles: []tidings.Role{{Guild: g, ID: 50, Name: "Gardeners", Color: 0x4c56c8}}}, g == 4<<22
}

func (w *world) Enroll(_ context.Context, _ discord.UserID, hint []discord.GuildID, _ func(context.Context, discord.GuildID) (*tidings.Member, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enrolled = append(w.enrolled, hint)
	return nil
}

// discordSide answers what Discord would for signing in.
type discordSide struct{ *world }

func (d discordSide) AuthURL(state, verifier, redirect string) string {
	return "https://discord.test/oauth2/authorize?" + "state=" + state + "&code_challenge=" + oauth2.S256ChallengeFromVerifier(verifier) + "&redirect_uri=" + redirect
}

func (d discordSide) Exchange(_ context.Context, code, verifier, _ string) (*oauth2.Token, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.oauth != nil {
		return nil, d.oauth
	}
	if d.codes[code] != oauth2.S256ChallengeFromVerifier(verifier) {
		return nil, tidings.ErrInvalid
	}
	delete(d.codes, code)
	return &oauth2.Token{AccessToken: "discord-secret"}, nil
}

func (d discordSide) Me(context.Context, *oauth2.Token) (tidings.User, error) {
	return tidings.User{ID: ada, Name: "Ada"}, nil
}

func (d discordSide) MyMember(context.Context, *oauth2.Token, discord.GuildID) (*tidings.Member, error) {
	return nil, tidings.ErrNotFound
}

func (d discordSide) MyGuilds(context.Context, *oauth2.Token) ([]tidings.Guild, error) {
	return []tidings.Guild{{ID: 4 << 22, Name: "Gophers"}}, nil
}

func (w *world) SaveServers(context.Context, discord.UserID, []tidings.Guild) error { return nil }

func (w *world) ServersWithout(context.Context, discord.UserID) ([]tidings.Guild, time.Time, error) {
	return nil, time.Time{}, nil
}

// Serve is a live socket that sends a snapshot, answers sync, and passes on what push is given.
func (w *world) Serve(rw http.ResponseWriter, r *http.Request, who hub.Who) {
	c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"tidings.v1"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := r.Context()
	out := make(chan string, 100)
	w.mu.Lock()
	w.sockets[out] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.sockets, out)
		w.mu.Unlock()
	}()
	set := w.Visible(who.User)
	u, _ := w.Summary(ctx, set)
	snapshot, _ := json.Marshal(map[string]any{"op": "snapshot", "unread": u})
	out <- `{"op":"hello","session":"x","user":"7","heartbeat_ms":20000,"resumed":false,"cursor":"1"}` + "\n" + string(snapshot)
	go func() {
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				close(out)
				return
			}
			var f struct {
				Op       string
				Channels []discord.ChannelID
			}
			if json.Unmarshal(b, &f) == nil && f.Op == "sync" {
				counts, _ := w.Counts(ctx, set, f.Channels)
				for _, k := range counts {
					out <- countsFrame("count", k)
				}
			}
		}
	}()
	for m := range out {
		if m == hangUp || c.Write(ctx, websocket.MessageText, []byte(m)) != nil {
			return
		}
	}
}

func countsFrame(op string, k tidings.ReadChannel) string {
	b, _ := json.Marshal(map[string]any{"op": op, "c": k.ID, "v": k.Version, "unread": k.Unread, "mentions": k.Mentions, "first_unread": k.FirstUnread, "read_id": k.ReadID, "last_id": k.LastID})
	return string(b)
}

func (w *world) Tell(_ context.Context, r tidings.Result) {
	for _, read := range r.Reads {
		var channels []json.RawMessage
		for _, k := range read.Channels {
			channels = append(channels, json.RawMessage(countsFrame("", k)))
		}
		b, _ := json.Marshal(map[string]any{"op": "read", "rev": read.Rev, "channels": channels})
		w.push(string(b))
	}
}

func (w *world) push(frame string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.sockets {
		s <- frame
	}
}

// hangUp breaks every live socket.
func (w *world) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.sockets {
		s <- hangUp
	}
}

const hangUp = "hang up"

func (w *world) EndSession(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, session)
}

// serve starts the handler over the world.
func (w *world) serve(change ...func(*Options)) *httptest.Server {
	w.t.Helper()
	o := Options{
		Store: w, Access: w, Live: w, OAuth: discordSide{w}, EncryptionKey: make([]byte, 32), Version: "test", Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ts := httptest.NewServer(s)
	w.t.Cleanup(ts.Close)
	return ts
}

// serveHTTP serves a handler until the test ends, and returns its address.
func serveHTTP(t testing.TB, h http.Handler) string {
	ts := httptest.NewServer(h)
	t.Cleanup(func() {
		ts.CloseClientConnections()
		ts.Close()
	})
	return ts.URL
}

// sessionOf makes a session in a store as signing in does, and returns its cookie.
func sessionOf(t testing.TB, s scs.Store, u discord.UserID) []*http.Cookie {
	t.Helper()
	m := newSessions(s, false)
	ctx, err := m.Load(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	m.Put(ctx, sessionUser, u.String())
	token, _, err := m.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return []*http.Cookie{{Name: m.Cookie.Name, Value: token}}
}

func (w *world) NotifyPrefs(context.Context, discord.UserID) (tidings.NotifyPrefs, error) {
	return tidings.NotifyPrefs{Keywords: true}, nil
}

func (w *world) PushSubscriptions(context.Context, discord.UserID) ([]store.PushSubscription, error) {
	return nil, nil
}

func (w *world) EndPush(context.Context, ...string) error { return nil }

func (w *world) PushKeys(_ context.Context, _ []byte, fresh func() (string, []byte, error)) (string, []byte, error) {
	return fresh()
}
