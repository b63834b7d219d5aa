package web

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// hooksOnDiscord is Discord as the bot reaches it: it knows nothing of who asks, only what the bot may do.
type hooksOnDiscord struct {
	mu      sync.Mutex
	hooks   []tidings.ChannelWebhook
	reasons []string
	refuse  error
	calls   int
}

func (d *hooksOnDiscord) do(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.refuse != nil {
		return d.refuse
	}
	return f()
}

func (d *hooksOnDiscord) ChannelWebhooks(_ context.Context, c discord.ChannelID) (list []tidings.ChannelWebhook, err error) {
	err = d.do(func() error {
		for _, w := range d.hooks {
			if w.Channel == c {
				list = append(list, w)
			}
		}
		return nil
	})
	return list, err
}

func (d *hooksOnDiscord) CreateWebhook(_ context.Context, c discord.ChannelID, name, reason string) (w tidings.ChannelWebhook, err error) {
	err = d.do(func() error {
		w = tidings.ChannelWebhook{
			ID: tidings.WebhookID(9000 + len(d.hooks)), Kind: tidings.WebhookIncoming, Channel: c, Name: name, URL: "https://discord.example/api/webhooks/1/very-secret",
		}
		d.hooks, d.reasons = append(d.hooks, w), append(d.reasons, reason)
		return nil
	})
	return w, err
}

func (d *hooksOnDiscord) FollowChannel(_ context.Context, news, into discord.ChannelID, reason string) (id tidings.WebhookID, err error) {
	err = d.do(func() error {
		id = tidings.WebhookID(9000 + len(d.hooks))
		d.hooks = append(d.hooks, tidings.ChannelWebhook{ID: id, Kind: tidings.WebhookFollower, Channel: into, Source: news.String()})
		return nil
	})
	return id, err
}

func (d *hooksOnDiscord) DeleteWebhook(_ context.Context, id tidings.WebhookID, _ string) error {
	return d.do(func() error {
		d.hooks = slices.DeleteFunc(d.hooks, func(w tidings.ChannelWebhook) bool { return w.ID == id })
		return nil
	})
}

// logText is a log that can be read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The channels of the tests of webhooks, beside deck, which harbourmasters manage, and bridge, which they do not see.
const (
	notices discord.ChannelID = 505 // an announcement channel that everybody may read
	chapel  discord.ChannelID = 506 // harbourmasters see it and may not manage its webhooks
	topics  discord.ChannelID = 507 // a forum
	aside   discord.ChannelID = 508 // a thread of the deck
	master  discord.RoleID    = 511
)

func newHooks(t *testing.T) *whole {
	t.Helper()
	w := newWhole(t)
	manage := func(c tidings.Channel) {
		c.Guild = harbour
		c.Overwrites = append(c.Overwrites, tidings.Overwrite{ID: discord.Snowflake(master), Allow: tidings.PermissionManageWebhooks})
		w.barrier(tidings.ChannelSeen{Channel: c})
	}
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: master, Name: "harbourmasters"}})
	manage(tidings.Channel{ID: deck, Name: "deck"})
	manage(tidings.Channel{ID: topics, Name: "topics", Type: tidings.ChannelForum})
	manage(tidings.Channel{ID: bridge, Name: "bridge", Overwrites: []tidings.Overwrite{{ID: discord.Snowflake(harbour), Deny: tidings.PermissionViewChannel}}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: notices, Guild: harbour, Name: "notices", Type: tidings.ChannelAnnouncement}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: chapel, Guild: harbour, Name: "chapel"}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: aside, Guild: harbour, Parent: deck, Type: tidings.ChannelPublicThread, Name: "aside"}})
	// A post, without which the forum is shown to nobody.
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: 509, Guild: harbour, Parent: topics, Type: tidings.ChannelPublicThread, Name: "post"}})
	w.discord.hooks = []tidings.ChannelWebhook{
		{ID: 801, Kind: tidings.WebhookIncoming, Channel: deck, Name: "of the deck", URL: "https://discord.example/very-secret"},
		{ID: 802, Kind: tidings.WebhookIncoming, Channel: bridge, Name: "of the bridge"},
		{ID: 803, Kind: tidings.WebhookIncoming, Channel: chapel, Name: "of the chapel"},
	}
	return w
}

// Who may manage webhooks of a channel on Discord may do so here, and nobody else; the bot's own rights are nobody's.
func TestWebhooksAreForThoseWhoMayManageThem(t *testing.T) {
	t.Parallel()
	w := newHooks(t)
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	people := []struct {
		name   string
		header []string
		manage bool // in deck and topics
		denied int  // what they are answered everywhere, 0 for what is said there
	}{
		{"a harbourmaster", bearer(w.person(30, true, []discord.RoleID{master}, "webhooks")), true, 0},
		{"a harbourmaster's token for reading", bearer(w.person(31, true, []discord.RoleID{master}, "read", "ack")), false, 403},
		{"a member", bearer(w.person(32, true, nil, "webhooks")), false, 0},
		{"the owner", bearer(w.person(1, true, nil, "webhooks")), true, 0},
		{"somebody of another server", bearer(w.person(33, false, nil, "webhooks")), false, 404},
		{"nobody", nil, false, 401},
	}
	w.eventually("all see the deck", func() bool {
		for _, u := range []discord.UserID{30, 32, 1} {
			if _, ok := visibleChannel(w.access.Visible(u), topics); !ok {
				return false
			}
			if _, ok := visibleChannel(w.access.Visible(u), notices); !ok {
				return false
			}
		}
		return w.access.Permissions(30, deck).Has(tidings.PermissionManageWebhooks)
	})
	for _, p := range people {
		owner := p.name == "the owner"
		want := func(method, path, body string, ok int, allowed bool, otherwise int) string {
			t.Helper()
			expected := otherwise
			switch {
			case p.denied != 0:
				expected = p.denied
			case allowed:
				expected = ok
			}
			status, got, _ := ask(t, newBrowser(t), method, w.base+path, body, p.header...)
			if status != expected {
				t.Errorf("%s: %s %s = %d, want %d: %.200s", p.name, method, path, status, expected, got)
			}
			return got
		}
		if got := want("GET", "/api/channels/501/webhooks", "", 200, p.manage, 403); p.manage && (!strings.Contains(got, "of the deck") || strings.Contains(got, "secret")) {
			t.Errorf("%s: the deck's webhooks are %s", p.name, got)
		}
		want("GET", "/api/channels/507/webhooks", "", 200, p.manage, 403)
		want("GET", "/api/channels/502/webhooks", "", 200, owner, 404) // not seen
		want("GET", "/api/channels/506/webhooks", "", 200, owner, 403) // seen
		want("GET", "/api/channels/508/webhooks", "", 422, p.manage, 403)
		want("GET", "/api/channels/999/webhooks", "", 404, true, 404)

		got := want("POST", "/api/channels/501/webhooks", `{"name":"weather"}`, 200, p.manage, 403)
		var made struct{ ID, URL string }
		if p.manage {
			if err := json.Unmarshal([]byte(got), &made); err != nil || !strings.Contains(made.URL, "very-secret") {
				t.Errorf("%s: the new webhook is %s", p.name, got)
			}
		}
		if p.manage {
			want("POST", "/api/channels/501/webhooks", `{"name":" "}`, 422, true, 422)
		}
		want("POST", "/api/channels/505/followers", `{"channel":"501"}`, 200, p.manage, 403)
		want("POST", "/api/channels/505/followers", `{"channel":"502"}`, 200, owner, 404)
		want("POST", "/api/channels/501/followers", `{"channel":"501"}`, 422, p.manage, 403)
		// The bot could delete any of these; who manages one channel's may not thereby delete another's.
		for _, id := range []int{802, 803, 12345} {
			want("DELETE", fmt.Sprint("/api/channels/501/webhooks/", id), "", 404, p.manage, 403)
		}
		if p.manage {
			want("DELETE", "/api/channels/501/webhooks/"+made.ID, "", 204, true, 403)
		}
		want("DELETE", "/api/channels/501/webhooks/801", "", 204, owner, map[bool]int{true: 204, false: 403}[p.manage])
		w.discord.mu.Lock()
		w.discord.hooks = slices.DeleteFunc(w.discord.hooks, func(h tidings.ChannelWebhook) bool { return h.ID == 801 })
		w.discord.hooks = append(w.discord.hooks, tidings.ChannelWebhook{ID: 801, Kind: 1, Channel: deck, Name: "of the deck", URL: "https://discord.example/very-secret"})
		w.discord.mu.Unlock()
	}
	for _, reason := range w.discord.reasons {
		if !strings.Contains(reason, "user 30") && !strings.Contains(reason, "user 1 ") {
			t.Errorf("the server's audit log says %q", reason)
		}
	}
	for _, id := range []tidings.WebhookID{802, 803} {
		if !slices.ContainsFunc(w.discord.hooks, func(h tidings.ChannelWebhook) bool { return h.ID == id }) {
			t.Errorf("webhook %d of another channel was deleted", id)
		}
	}
	if strings.Contains(w.log.String(), "secret") {
		t.Errorf("the log tells the secret: %s", w.log.String())
	}
}

// The bot needs the permission as well, and who asked for it is told so.
func TestWhatDiscordRefusesOfWebhooksIsExplained(t *testing.T) {
	t.Parallel()
	w := newHooks(t)
	token := w.person(30, true, []discord.RoleID{master}, "webhooks")
	w.eventually("the harbourmaster may", func() bool { return w.access.Permissions(30, deck).Has(tidings.PermissionManageWebhooks) })
	for _, tt := range []struct {
		err  error
		want int
		says string
	}{
		{tidings.ErrForbidden, 403, "bot"}, {tidings.ErrInvalid, 409, "15"}, {tidings.ErrUnavailable, 503, "away"}, {tidings.ErrNotFound, 404, "no such"},
	} {
		w.discord.mu.Lock()
		w.discord.refuse = fmt.Errorf("make a webhook: %w", tt.err)
		w.discord.mu.Unlock()
		status, body, _ := ask(t, newBrowser(t), "POST", w.base+"/api/channels/501/webhooks", `{"name":"weather"}`, "Authorization", "Bearer "+token)
		if status != tt.want || !strings.Contains(body, tt.says) {
			t.Errorf("%v is told as %d %s, want %d and %q", tt.err, status, body, tt.want, tt.says)
		}
	}
}
