package web

import (
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Who is timed out may do nothing on Discord but read, and so the bot does nothing for them and their server's settings are closed to them,
// from the moment on in which it is told: a webhook that they made would speak for them.
func TestWhoIsTimedOutMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := newHooks(t)
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: 512, Name: "mayors", Permissions: tidings.PermissionManageGuild}})
	w.say(deck, bob, "all hands")
	token := w.person(30, true, []discord.RoleID{master, 512}, "read", "webhooks", "admin")
	timeout := func(until time.Time) {
		t.Helper()
		w.barrier(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: 30, Roles: []discord.RoleID{master, 512}, TimeoutUntil: until}})
	}
	for _, tt := range []struct {
		method, path, body string
		free, out          int
	}{
		{"GET", "/api/messages?channel=501", "", 200, 200},
		{"GET", "/api/channels/501/webhooks", "", 200, 403},
		{"POST", "/api/channels/501/webhooks", `{"name":"weather"}`, 200, 403},
		{"POST", "/api/channels/505/followers", `{"channel":"501"}`, 200, 403},
		{"GET", "/api/admin/servers/500", "", 200, 404},
		{"PUT", "/api/admin/servers/500", `{"kept":true}`, 204, 404},
		{"POST", "/api/admin/servers/500/purge", `{"channel":"501"}`, 204, 404},
		{"GET", "/api/admin/audit?guild=500", "", 200, 404},
	} {
		for _, is := range []struct {
			name  string
			until time.Time
			want  int
		}{{"before", time.Time{}, tt.free}, {"in", time.Now().Add(time.Hour), tt.out}, {"after", time.Now().Add(-time.Second), tt.free}} {
			timeout(is.until)
			if is.want == tt.free { // what is given is given a moment later, what is taken is taken at once
				w.eventually("they may again", func() bool { return w.access.Permissions(30, deck).Has(tidings.PermissionManageWebhooks) })
			}
			status, got, _ := ask(t, newBrowser(t), tt.method, w.base+tt.path, tt.body, "Authorization", "Bearer "+token)
			if status != is.want {
				t.Errorf("%s the timeout, %s %s = %d %.200s, want %d", is.name, tt.method, tt.path, status, got, is.want)
			}
		}
	}
}
