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

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
)

// Confirm of the small service of other tests: it knows all that is stored.
func (w *world) Confirm(_ context.Context, u discord.UserID, _ ...discord.GuildID) (*tidings.VisibleSet, error) {
	return w.Visible(u), nil
}

// behind is a second process over the same store, which nobody tells of access, and which does not look for it by itself.
type behind struct {
	*whole
	access   *access.Access
	versions *countedVersions
	discord  *bridgeOnDiscord
	site     *Server
	base     string
}

// countedVersions counts how often it is asked what is stored.
type countedVersions struct {
	access.Loader
	mu    sync.Mutex
	asked int
	err   error
}

func (c *countedVersions) AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; c.err != nil {
		return nil, c.err
	}
	return c.Loader.AccessVersionsOf(ctx, guilds)
}

// count is how often that was since the last time.
func (c *countedVersions) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.asked
	c.asked = 0
	return n
}

// bridgeOnDiscord has one message, which is pinned, with a file.
type bridgeOnDiscord struct {
	id   discord.MessageID
	name string
}

func (d *bridgeOnDiscord) Upto(_ context.Context, g discord.GuildID, c discord.ChannelID, id discord.MessageID) ([]tidings.Message, error) {
	return []tidings.Message{{Guild: g, Channel: c, ID: id, Payload: []byte(fileOf(d.name, time.Now().Add(24*time.Hour)))}}, nil
}

func (d *bridgeOnDiscord) Pins(context.Context, discord.ChannelID) ([]discord.MessageID, bool, error) {
	return []discord.MessageID{d.id}, false, nil
}

func fileOf(name string, until time.Time) string {
	return fmt.Sprintf(`{"attachments":[{"id":"1","filename":"%s.png","content_type":"image/png","size":1,"url":"https://cdn.discordapp.com/attachments/1/2/%s.png?ex=%x&is=1&hm=1"}]}`, name, name, until.Unix())
}

func newBehind(w *whole) *behind {
	w.t.Helper()
	b := &behind{whole: w, versions: &countedVersions{Loader: w.store}, discord: &bridgeOnDiscord{}}
	b.access = access.New(b.versions, w, access.Options{})
	if err := b.access.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	s, err := New(Options{
		Store: w.store, Access: b.access, Live: w.hub, OAuth: discordSide{newWorld(w.t)}, EncryptionKey: make([]byte, 32), Version: "test",
		Channels: &w.discord, Fresh: b.discord, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Admin: &AdminOptions{Store: w.store, Guilds: b.access, Kinds: []string{"retention"}, RetentionDays: 30, Overview: someOverview},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	b.site = s
	b.base = serveHTTP(w.t, s)
	return b
}

// untold stores a change, and tells it to nobody.
func (w *whole) untold(body tidings.Body) {
	w.t.Helper()
	if _, err := w.store.RecordBarrier(context.Background(), tidings.Event{Guild: harbour, At: time.Now(), Body: body}, nil); err != nil {
		w.t.Fatal(err)
	}
}

// roles gives somebody these roles alone, of which nobody hears.
func (w *whole) untoldRoles(u discord.UserID, roles ...discord.RoleID) {
	w.t.Helper()
	w.untold(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: u, Roles: roles}})
}

// TestNothingIsToldByRightsThatAreOld: what was said after a channel was shut is not shown to who lost it, by a process too that has not heard of it.
func TestNothingIsToldByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	cookie := sessionOf(t, w.store, ada)[0].String()
	made := func(fields string) (view, feed string) {
		t.Helper()
		var v struct{ ID string }
		if err := json.Unmarshal([]byte(w.api("POST", "/api/views", fields)), &v); err != nil {
			t.Fatal(err)
		}
		var out struct{ Atom string }
		if err := json.Unmarshal([]byte(w.api("POST", "/api/views/"+v.ID+"/feed", "")), &out); err != nil {
			t.Fatal(err)
		}
		return v.ID, strings.TrimPrefix(out.Atom, w.base)
	}
	all, feed := made(`{"name":"all"}`)
	quiet, _ := made(`{"name":"of the channel","channels":["502"]}`)
	byBob, _ := made(fmt.Sprintf(`{"name":"of bob","channels":["502"],"authors":["%d"]}`, bob))
	w.api("PUT", "/api/keywords", `{"keywords":["treasure"]}`)
	w.say(deck, bob, "a treasure of the deck <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	said := 0
	// tells is what is answered as long as the bridge may be read; NAME, MESSAGE and SAID are of what was said there last.
	for _, route := range []struct{ method, path, body, tells string }{
		{"GET", "/api/messages?channel=502", "", "NAME"},
		{"GET", "/api/messages?channel=502&around=MESSAGE", "", "NAME"},
		{"GET", "/api/feed", "", "NAME"},
		{"GET", "/api/feed?filter=all", "", "NAME"},
		{"GET", "/api/feed?filter=mentions", "", "NAME"},
		{"GET", "/api/feed?filter=keywords", "", "NAME"},
		{"GET", "/api/feed?filter=all&channel=502", "", "NAME"},
		{"GET", "/api/feed?view=" + all, "", "NAME"},
		{"GET", "/api/search?q=treasure", "", "NAME"},
		{"GET", "/api/search?q=in:502+treasure", "", "NAME"},
		{"GET", "/api/saved", "", "NAME"},
		{"GET", "/api/export?channel=502", "", "NAME"},
		{"GET", "/api/export?channel=502&format=json", "", "NAME"},
		{"GET", "/api/export?view=" + all, "", "NAME"},
		{"GET", "/api/channels/502/pins", "", "MESSAGE"},
		{"POST", "/api/links", `{"messages":[{"channel":"502","message":"MESSAGE"}]}`, "NAME"},
		{"GET", feed, "", "NAME"},
		{"GET", strings.TrimSuffix(feed, ".atom") + ".json", "", "NAME"},
		{"GET", "/", "", "NAME"},
		{"GET", "/?filter=all", "", "NAME"},
		{"GET", "/?view=" + all, "", "NAME"},
		{"GET", "/c/502", "", "NAME"},
		// Nothing of what was said, but that it was.
		{"GET", "/search", "", "bridge"},
		{"GET", "/api/unread", "", "bridge"},
		{"GET", "/api/unread/verify", "", `"checked":2`},
		{"GET", "/api/channels/502", "", "bridge"},
		{"GET", "/api/views/" + quiet, "", `"unread":SAID`},
		{"GET", "/api/views/" + byBob, "", `"unread":SAID`},
	} {
		b := newBehind(w)
		// try says something, and asks.
		try := func() (status int, told bool, got string) {
			t.Helper()
			said++
			name := fmt.Sprintf("gold%d.", said)
			id := w.say(bridge, bob, "the treasure is "+name+" <@7>", fileOf(name, time.Unix(1, 0)), `{"mentions":[{"id":"7","username":"ada"}]}`)
			*b.discord = bridgeOnDiscord{id, name}
			clear(b.site.fresh.pins)
			if err := w.store.Save(t.Context(), b.access.Visible(ada), bridge, id); err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("NAME", name, "MESSAGE", id.String(), "SAID", fmt.Sprint(said))
			header := []string{"Authorization", "Bearer " + w.token}
			if !strings.HasPrefix(route.path, "/api/") {
				header = []string{"Cookie", cookie}
			}
			b.versions.count()
			status, got, _ = ask(t, newBrowser(t), route.method, b.base+fill.Replace(route.path), fill.Replace(route.body), header...)
			return status, strings.Contains(got, fill.Replace(route.tells)), got
		}
		status, told, got := try()
		if status != http.StatusOK || !told {
			t.Errorf("%s %s, as long as the channel may be read = %d %.600s", route.method, route.path, status, got)
		}
		if n := b.versions.count(); n != 1 {
			t.Errorf("%s %s asked %d times what is stored of access, want once", route.method, route.path, n)
		}
		w.untoldRoles(ada)
		if status, told, got = try(); status != http.StatusOK && status != http.StatusNotFound || told {
			t.Errorf("%s %s, after the channel was shut = %d and tells of it: %.600s", route.method, route.path, status, got)
		}
		w.untoldRoles(ada, officer)
	}
}

// Where it cannot be looked whether rights are still what they were, nothing is told.
func TestNothingIsToldByRightsThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	b := newBehind(w)
	w.say(deck, bob, "the treasure is gold")
	b.versions.err = fmt.Errorf("list access versions: %w", tidings.ErrUnavailable)
	for _, path := range []string{"/api/messages?channel=501", "/api/feed", "/api/search?q=treasure", "/api/export?channel=501", "/api/unread", "/api/channels/501"} {
		status, got, _ := ask(t, newBrowser(t), "GET", b.base+path, "", "Authorization", "Bearer "+w.token)
		if status != http.StatusServiceUnavailable || strings.Contains(got, "gold") {
			t.Errorf("GET %s = %d %.300s, want 503", path, status, got)
		}
	}
}

// A saved message keeps the time when it was saved, also when one before it is not shown.
func TestWhenSomethingWasSaved(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	ids := []discord.MessageID{w.say(deck, bob, "of the deck"), w.say(bridge, bob, "of the bridge")}
	b := newBehind(w)
	for i, c := range []discord.ChannelID{deck, bridge} {
		if err := w.store.Save(t.Context(), b.access.Visible(ada), c, ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	saved := func() (body SavedBody) {
		t.Helper()
		_, got, _ := ask(t, newBrowser(t), "GET", b.base+"/api/saved", "", "Authorization", "Bearer "+w.token)
		if err := json.Unmarshal([]byte(got), &body); err != nil {
			t.Fatal(err)
		}
		return body
	}
	before := saved().Messages
	if len(before) != 2 || before[1].ID != ids[0] {
		t.Fatalf("saved are %+v, want what is of the deck last", before)
	}
	w.untoldRoles(ada)
	if after := saved().Messages; len(after) != 1 || after[0].ID != ids[0] || !after[0].SavedAt.Equal(before[1].SavedAt) {
		t.Errorf("without the bridge, saved is %+v, want only what was saved at %v", after, before[1].SavedAt)
	}
}

// The bot does nothing on Discord for who could have asked for it before.
func TestNothingIsDoneOnDiscordByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	w := newHooks(t)
	token := w.person(30, true, []discord.RoleID{master}, "webhooks")
	shut := tidings.Channel{ID: notices, Guild: harbour, Name: "notices", Type: tidings.ChannelAnnouncement, Overwrites: []tidings.Overwrite{{ID: discord.Snowflake(harbour), Deny: tidings.PermissionViewChannel}}}
	open := shut
	open.Overwrites = nil
	dismissed := func() { w.untoldRoles(30) }
	for _, tt := range []struct {
		method, path, body string
		change             func()
		want               int
	}{
		{"GET", "/api/channels/501/webhooks", "", dismissed, 403},
		{"POST", "/api/channels/501/webhooks", `{"name":"weather"}`, dismissed, 403},
		{"DELETE", "/api/channels/501/webhooks/801", "", dismissed, 403},
		{"POST", "/api/channels/505/followers", `{"channel":"501"}`, dismissed, 403},
		{"POST", "/api/channels/505/followers", `{"channel":"501"}`, func() { w.untold(tidings.ChannelSeen{Channel: shut}) }, 404},
	} {
		b := newBehind(w)
		w.discord.mu.Lock()
		w.discord.calls = 0
		w.discord.mu.Unlock()
		tt.change()
		status, got, _ := ask(t, newBrowser(t), tt.method, b.base+tt.path, tt.body, "Authorization", "Bearer "+token)
		w.discord.mu.Lock()
		if status != tt.want || w.discord.calls != 0 {
			t.Errorf("%s %s = %d %s after %d calls of Discord, want %d and none", tt.method, tt.path, status, got, w.discord.calls, tt.want)
		}
		w.discord.mu.Unlock()
		if n := b.versions.count(); n > 1 {
			t.Errorf("%s %s asked %d times what is stored of access", tt.method, tt.path, n)
		}
		w.untoldRoles(30, master)
		w.untold(tidings.ChannelSeen{Channel: open})
	}
}

// Who could look after a server may not do so any more, whichever process they ask.
func TestNobodyLooksAfterAServerByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: 512, Name: "mayors", Permissions: tidings.PermissionManageGuild}})
	token := w.person(30, true, []discord.RoleID{512}, "admin")
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "", ""},
		{"PUT", "", `{"kept":false,"retention_days":1}`},
		{"PUT", "/channels/501", `{"kept":false}`},
		{"POST", "/purge", `{}`},
	} {
		b := newBehind(w)
		path := fmt.Sprintf("%s/api/admin/servers/%d%s", b.base, harbour, tt.path)
		try := func() (int, string) {
			t.Helper()
			status, got, _ := ask(t, newBrowser(t), tt.method, path, tt.body, "Authorization", "Bearer "+token)
			return status, got
		}
		if status, got := try(); status >= 300 {
			t.Errorf("%s %s of the mayor = %d %.300s", tt.method, tt.path, status, got)
		}
		w.untoldRoles(30)
		if status, got := try(); status != http.StatusNotFound {
			t.Errorf("%s %s of who is mayor no more = %d %.300s, want 404", tt.method, tt.path, status, got)
		}
		w.untoldRoles(30, 512)
	}
}
