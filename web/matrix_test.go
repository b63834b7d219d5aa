package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

const (
	cabin    = discord.ChannelID(503) // a private thread of the deck
	stewards = discord.RoleID(511)    // may manage the server
)

// person makes somebody with a token; member says whether they are in the guild.
func (w *whole) person(u discord.UserID, member bool, roles []discord.RoleID, scopes ...string) string {
	w.t.Helper()
	ctx := context.Background()
	if _, err := w.store.SaveUser(ctx, tidings.User{ID: u, Name: fmt.Sprint("user ", u)}); err != nil {
		w.t.Fatal(err)
	}
	if member {
		w.mu.Lock()
		w.roles[u] = roles
		w.mu.Unlock()
	}
	if err := w.access.Enroll(ctx, u, nil, nil); err != nil {
		w.t.Fatal(err)
	}
	token, err := w.store.CreateToken(ctx, u, "test", scopes)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// endpoint is one operation asked about something in a channel that not everybody may read.
type endpoint struct {
	method, path, body string
	scope              string
	ok                 int
	named              bool // the request names the channel or its message: to others there is no such thing
	right              right
}

// right is what somebody needs beside the scope.
type right int

const (
	toRead    right = iota
	toManage        // the server that is named, or to operate; to others there is no such server
	toOperate       // to be in ADMINS
)

// matrix lists every operation of the API; CHANNEL and MESSAGE stand for the secret ones.
var matrix = []endpoint{
	{"GET", "/api/messages?channel=CHANNEL", "", "read", 200, true, toRead},
	{"GET", "/api/messages?channel=CHANNEL&around=MESSAGE", "", "read", 200, true, toRead},
	{"POST", "/api/messages/read", `{"channel":"CHANNEL","up_to":"MESSAGE"}`, "ack", 200, true, toRead},
	{"POST", "/api/messages/read", `{"all":true,"up_to":"1"}`, "ack", 200, false, toRead},
	{"POST", "/api/messages/unread", `{"channel":"CHANNEL","message":"MESSAGE"}`, "ack", 200, true, toRead},
	{"POST", "/api/messages/undo", `{"rev":999999}`, "ack", 404, false, toRead},
	{"GET", "/api/unread", "", "read", 200, false, toRead},
	{"GET", "/api/unread/verify", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=all", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=unread", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=mentions", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=all&around=MESSAGE", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=all&channel=CHANNEL", "", "read", 200, true, toRead},
	{"GET", "/api/search?q=treasure", "", "read", 200, false, toRead},
	{"GET", "/api/search?q=in:CHANNEL+treasure", "", "read", 200, false, toRead},
	{"GET", "/api/search?q=in:cellar+mentions:me", "", "read", 200, false, toRead},
	{"GET", "/api/feed?filter=keywords", "", "read", 200, false, toRead},
	{"GET", "/api/feed?view=999999", "", "read", 404, false, toRead},
	{"GET", "/api/export?channel=CHANNEL", "", "read", 200, true, toRead},
	{"GET", "/api/export?channel=CHANNEL&format=json", "", "read", 200, true, toRead},
	{"PUT", "/api/keywords", `{"keywords":["treasure"]}`, "ack", 200, false, toRead},
	{"GET", "/api/keywords", "", "read", 200, false, toRead},
	{"POST", "/api/views", `{"name":"x","authors":["9"]}`, "ack", 200, false, toRead},
	{"GET", "/api/views", "", "read", 200, false, toRead},
	{"GET", "/api/views/999999", "", "read", 404, false, toRead},
	{"PUT", "/api/views/999999", `{"name":"x"}`, "ack", 404, false, toRead},
	{"DELETE", "/api/views/999999", "", "ack", 404, false, toRead},
	{"POST", "/api/views/999999/feed", "", "ack", 404, false, toRead},
	{"DELETE", "/api/views/999999/feed", "", "ack", 404, false, toRead},
	{"GET", "/api/webhooks", "", "read", 200, false, toRead},
	{"POST", "/api/webhooks", `{"url":"https://example.org/","view":"999999"}`, "ack", 422, false, toRead},
	{"DELETE", "/api/webhooks/999999", "", "ack", 404, false, toRead},
	{"GET", "/api/guilds", "", "read", 200, false, toRead},
	{"GET", "/api/channels/CHANNEL", "", "read", 200, true, toRead},
	{"GET", "/api/channels/CHANNEL/pins", "", "read", 200, true, toRead},
	{"POST", "/api/links", `{"messages":[{"channel":"CHANNEL","message":"MESSAGE"}]}`, "read", 200, false, toRead},
	{"GET", "/api/me", "", "read", 200, false, toRead},
	{"GET", "/api/coverage", "", "read", 200, false, toRead},
	{"GET", "/api/status", "", "read", 200, false, toRead},
	{"GET", "/api/mutes", "", "read", 200, false, toRead},
	{"PUT", "/api/mutes/CHANNEL", "", "ack", 200, true, toRead},
	{"DELETE", "/api/mutes/CHANNEL", "", "ack", 200, false, toRead},
	{"GET", "/api/suppressed", "", "read", 200, false, toRead},
	{"PUT", "/api/suppressed/999999", `{"suppress_roles":true}`, "ack", 404, false, toRead},
	{"DELETE", "/api/suppressed/999999", "", "ack", 200, false, toRead},
	{"GET", "/api/notifications", "", "read", 200, false, toRead},
	{"PUT", "/api/notifications", `{"level":"mentions","keywords":true,"quiet":{"from":"22:00","to":"07:00","zone":"Europe/Berlin"}}`, "ack", 200, false, toRead},
	{"PUT", "/api/notifications/levels/CHANNEL", `{"level":"all"}`, "ack", 200, true, toRead},
	{"DELETE", "/api/notifications/levels/CHANNEL", "", "ack", 200, false, toRead},
	{"POST", "/api/notifications/browsers", `{"endpoint":"https://127.0.0.1/x","keys":{"p256dh":"x","auth":"y"}}`, "ack", 422, false, toRead},
	{"DELETE", "/api/notifications/browsers/999999", "", "ack", 404, false, toRead},
	{"GET", "/api/ignored", "", "read", 200, false, toRead},
	{"PUT", "/api/ignored/12345", "", "ack", 200, false, toRead},
	{"DELETE", "/api/ignored/12345", "", "ack", 200, false, toRead},
	{"PUT", "/api/saved/CHANNEL/MESSAGE", "", "ack", 204, true, toRead},
	{"GET", "/api/saved", "", "read", 200, false, toRead},
	{"DELETE", "/api/saved/CHANNEL/MESSAGE", "", "ack", 204, false, toRead},
	{"GET", "/api/channels/CHANNEL/webhooks", "", "webhooks", 403, true, toRead},
	{"POST", "/api/channels/CHANNEL/webhooks", `{"name":"weather"}`, "webhooks", 403, true, toRead},
	{"DELETE", "/api/channels/CHANNEL/webhooks/777", "", "webhooks", 403, true, toRead},
	{"POST", "/api/channels/CHANNEL/followers", `{"channel":"501"}`, "webhooks", 403, true, toRead},
	{"GET", "/api/tokens", "", "admin", 200, false, toRead},
	{"POST", "/api/tokens", `{"name":"x","scopes":["read"]}`, "admin", 200, false, toRead},
	{"DELETE", "/api/tokens/999999", "", "admin", 404, false, toRead},
	{"GET", "/api/sessions", "", "admin", 200, false, toRead},
	{"DELETE", "/api/sessions/0123456789abcdef", "", "admin", 404, false, toRead},
	{"DELETE", "/api/sessions", "", "admin", 204, false, toRead},

	{"GET", "/api/me/data", "", "admin", 200, false, toRead},
	{"PUT", "/api/me/optout", "", "admin", 204, false, toRead},
	{"DELETE", "/api/me/optout", "", "admin", 204, false, toRead},
	{"GET", "/api/admin/jobs", "", "admin", 200, false, toOperate},
	{"POST", "/api/admin/jobs", `{"kind":"retention"}`, "admin", 204, false, toOperate},
	{"POST", "/api/admin/jobs/999999/retry", "", "admin", 404, false, toOperate},
	{"DELETE", "/api/admin/jobs/999999", "", "admin", 404, false, toOperate},
	{"PUT", "/api/admin/pauses/poll", "", "admin", 204, false, toOperate},
	{"DELETE", "/api/admin/pauses/poll", "", "admin", 204, false, toOperate},
	{"GET", "/api/admin/servers", "", "admin", 200, false, toRead},
	{"GET", "/api/admin/servers/500", "", "admin", 200, false, toManage},
	{"PUT", "/api/admin/servers/500", `{"kept":true}`, "admin", 204, false, toManage},
	{"PUT", "/api/admin/servers/500/channels/501", `{"kept":true}`, "admin", 204, false, toManage},
	{"POST", "/api/admin/servers/500/backfill", `{"since":"2026-01-01T00:00:00Z","channel":"501"}`, "admin", 200, false, toManage},
	{"POST", "/api/admin/servers/500/purge", `{"channel":"501"}`, "admin", 204, false, toManage},
	{"GET", "/api/admin/servers/4711", "", "admin", 404, false, toManage},
	{"PUT", "/api/admin/servers/4711", `{"kept":false}`, "admin", 404, false, toManage},
	{"POST", "/api/admin/servers/4711/purge", `{"channel":"501"}`, "admin", 404, false, toManage},
	{"POST", "/api/admin/authors/4711/purge", `{}`, "admin", 204, false, toOperate},
	{"GET", "/api/admin/audit?guild=500", "", "admin", 200, false, toManage},
	{"GET", "/api/admin/audit", "", "admin", 200, false, toOperate},
	{"GET", "/api/admin/people", "", "admin", 200, false, toOperate},
	{"DELETE", "/api/admin/people/4711/sessions", "", "admin", 204, false, toOperate},
}

// TestEveryEndpointForEverybody asks everything as everybody, about a channel for a role and about a private thread.
func TestEveryEndpointForEverybody(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	read := tidings.Permissions(1<<10 | 1<<16)
	w.barrier(tidings.RoleSeen{Role: tidings.Role{Guild: harbour, ID: stewards, Name: "stewards", Permissions: tidings.PermissionManageGuild}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: bridge, Guild: harbour, Name: "cellar", Overwrites: []tidings.Overwrite{
		{ID: discord.Snowflake(harbour), Type: tidings.OverwriteRole, Deny: read}, {ID: discord.Snowflake(officer), Type: tidings.OverwriteRole, Allow: read}}}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: cabin, Guild: harbour, Parent: deck, Type: tidings.ChannelPrivateThread, Name: "cellar"}})
	type somebody struct {
		name   string
		header []string
		scopes string
		member bool
		sees   map[discord.ChannelID]bool
		rights []right // beside toRead
	}
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	both := map[discord.ChannelID]bool{bridge: true, cabin: true}
	revoked := w.person(20, true, []discord.RoleID{officer}, "read", "ack")
	lost := w.person(21, true, []discord.RoleID{officer}, "read", "ack")
	people := []somebody{
		{"anonymous", nil, "", false, nil, nil},
		{"a revoked token", bearer(revoked), "", false, nil, nil},
		{"a member who may", bearer(w.token), "read ack", true, both, nil},
		{"a member who may, in a browser", nil, "read ack admin", true, both, nil},
		{"a token for reading", bearer(w.person(22, true, []discord.RoleID{officer}, "read")), "read", true, both, nil},
		{"a token for marking", bearer(w.person(23, true, []discord.RoleID{officer}, "ack")), "ack", true, both, nil},
		{"an officer outside the thread", bearer(w.person(24, true, []discord.RoleID{officer}, "read", "ack")), "read ack", true, map[discord.ChannelID]bool{bridge: true}, nil},
		{"a member of the thread only", bearer(w.person(25, true, nil, "read", "ack")), "read ack", true, map[discord.ChannelID]bool{cabin: true}, nil},
		{"a member who may neither", bearer(w.person(26, true, nil, "read", "ack")), "read ack", true, nil, nil},
		{"a member who just lost both", bearer(lost), "read ack", true, nil, nil},
		{"somebody of another server", bearer(w.person(27, false, nil, "read", "ack")), "read ack", false, nil, nil},
	}
	admin := func(u discord.UserID, member bool, roles ...discord.RoleID) []string {
		return bearer(w.person(u, member, roles, "read", "ack", "admin"))
	}
	people = append(people,
		somebody{"an operator", admin(operator, false), "read ack admin", false, nil, []right{toManage, toOperate}},
		somebody{"an operator with a token for reading", bearer(w.person(operator, false, nil, "read")), "read", false, nil, nil},
		somebody{"the server's owner", admin(1, true), "read ack admin", true, both, []right{toManage}},
		somebody{"a member who may manage the server", admin(28, true, stewards), "read ack admin", true, nil, []right{toManage}},
		somebody{"an owner with a token for reading", bearer(w.person(1, true, nil, "read")), "read", true, both, nil},
	)
	w.barrier(tidings.ThreadMembersChanged{Thread: cabin, Added: []discord.UserID{ada, 20, 21, 22, 23, 25}})
	secrets := map[discord.ChannelID]discord.MessageID{}
	for c := range both {
		secrets[c] = w.say(c, bob, "the treasure is here", `{"mention_everyone":true}`)
	}
	list, err := w.store.Tokens(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.RevokeToken(t.Context(), 20, list[0].ID); err != nil {
		t.Fatal(err)
	}
	visible := func(u discord.UserID, c discord.ChannelID) bool {
		_, _, err := readable(w.access.Visible(u), c)
		return err == nil
	}
	w.eventually("all see what they may", func() bool {
		return visible(ada, cabin) && visible(21, cabin) && visible(21, bridge) && visible(25, cabin)
	})
	// A socket that is open tells of nothing either, once it is lost.
	w.mu.Lock()
	w.roles[21] = nil
	w.mu.Unlock()
	w.barrier(tidings.MemberSeen{Member: tidings.Member{Guild: harbour, User: 21}})
	w.barrier(tidings.ThreadMembersChanged{Thread: cabin, Removed: []discord.UserID{21}})
	w.eventually("both are lost", func() bool { return !visible(21, bridge) && !visible(21, cabin) })

	cookie := sessionOf(t, w.store, ada)[0]
	people[3].header = []string{"Cookie", cookie.String()}
	asked := map[string]bool{}
	for c, id := range secrets {
		for _, p := range people {
			for _, e := range matrix {
				if c == cabin && e.scope == "admin" {
					continue // These are not about a channel's messages.
				}
				asked[e.method+" "+strings.NewReplacer("servers/500/channels/501", "servers/{guild}/channels/{channel}", "servers/500", "servers/{guild}", "levels/CHANNEL", "levels/{scope}", "servers/4711", "servers/{guild}",
					"authors/4711", "authors/{author}", "people/4711", "people/{user}", "pauses/poll", "pauses/{kind}",
					"suppressed/999999", "suppressed/{guild}", "999999", "{id}", "0123456789abcdef", "{id}", "12345", "{author}", "webhooks/777", "webhooks/{webhook}", "mutes/CHANNEL", "mutes/{scope}",
					"channels/CHANNEL", "channels/{id}", "CHANNEL/MESSAGE", "{channel}/{message}").Replace(strings.Split(e.path, "?")[0])] = true
				fill := strings.NewReplacer("CHANNEL", c.String(), "MESSAGE", id.String())
				status, body, _ := ask(t, newBrowser(t), e.method, w.base+fill.Replace(e.path), fill.Replace(e.body), p.header...)
				want := e.ok
				switch {
				case p.scopes == "":
					want = 401
				case !strings.Contains(p.scopes, e.scope):
					want = 403
				case e.method == "POST" && (strings.HasSuffix(e.path, "/feed") || e.path == "/api/webhooks" || e.path == "/api/notifications/browsers") && !strings.Contains(p.scopes, "read"):
					want = 403 // It gives out what may be read.
				case e.named && !p.sees[c]:
					want = 404
				case e.right == toManage && len(p.rights) == 0:
					want = 404
				case e.right == toOperate && !slices.Contains(p.rights, toOperate):
					want = 403
				}
				if status != want {
					t.Errorf("%s: %s %s of %d = %d, want %d: %.200s", p.name, e.method, e.path, c, status, want, body)
				}
				if !p.sees[c] && !slices.Contains(p.rights, toOperate) {
					body = strings.ReplaceAll(body, "in:"+c.String(), "")
					if strings.Contains(body, id.String()) || strings.Contains(body, `"`+c.String()+`"`) && e.path != "/api/mutes" {
						t.Errorf("%s: %s %s of %d tells of it: %.300s", p.name, e.method, e.path, c, body)
					}
				}
				if len(p.sees) == 0 && (!slices.Contains(p.rights, toOperate) || !strings.HasPrefix(e.path, "/api/admin/")) && (strings.Contains(body, "treasure is") || strings.Contains(body, "cellar")) {
					t.Errorf("%s: %s %s shows what is said there: %.300s", p.name, e.method, e.path, body)
				}
			}
		}
	}
	for _, p := range people {
		want := http.StatusUnauthorized
		if p.scopes != "" {
			want = http.StatusForbidden
		}
		if strings.Contains(p.scopes, "read") {
			want = http.StatusSwitchingProtocols
		}
		if got, text := w.socket(p.header); got != want || len(p.sees) == 0 && strings.Contains(text, "cellar") {
			t.Errorf("%s: the live socket = %d, want %d: %.300s", p.name, got, want, text)
		}
	}
	for _, p := range people {
		if strings.Contains(p.scopes, "read") {
			w.operateSocket(p.name, p.header, strings.Contains(p.scopes, "ack"), secrets, p.sees)
		}
	}
	// Who is forgotten is a stranger afterwards, so that this is asked last.
	asked["DELETE /api/me/data"] = true
	leaving := admin(29, true)
	if status, body, _ := ask(t, newBrowser(t), "DELETE", w.base+"/api/me/data", "", leaving...); status != 200 || !strings.Contains(body, `"users":1`) {
		t.Errorf("DELETE /api/me/data = %d %s", status, body)
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", w.base+"/api/me", "", leaving...); status != 401 {
		t.Errorf("GET /api/me of somebody who is forgotten = %d, want 401", status)
	}
	for _, p := range people {
		if strings.Contains(p.scopes, "admin") {
			continue
		}
		if status, _, _ := ask(t, newBrowser(t), "DELETE", w.base+"/api/me/data", "", p.header...); status/100 != 4 {
			t.Errorf("%s: DELETE /api/me/data = %d", p.name, status)
		}
	}
	var doc struct{ Paths map[string]map[string]any }
	_, text, _ := ask(t, newBrowser(t), "GET", w.base+"/api/openapi.json", "")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for m := range methods {
			if !asked[strings.ToUpper(m)+" "+path] {
				t.Errorf("nobody has asked %s %s", strings.ToUpper(m), path)
			}
		}
	}
}

// operateSocket does every operation of the live socket on the secret channels. For whom may not see one, the answers are to the byte those
// for a channel that there never was.
func (w *whole) operateSocket(name string, header []string, ack bool, secrets map[discord.ChannelID]discord.MessageID, sees map[discord.ChannelID]bool) {
	w.t.Helper()
	h := http.Header{"Origin": {w.base}}
	h.Set(header[0], header[1])
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, w.base+"/api/live", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{"tidings.v1"}})
	if err != nil {
		w.t.Errorf("%s: %v", name, err)
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	var lines []string
	next := func() string {
		for len(lines) == 0 {
			_, b, err := c.Read(ctx)
			if err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			lines = strings.Split(string(b), "\n")
		}
		line := lines[0]
		lines = lines[1:]
		return line
	}
	for !strings.HasPrefix(next(), `{"op":"snapshot"`) {
	}
	// do sends an operation and returns what came until the pong behind it, and until a frame of the op want.
	do := func(frame, want string) (answers []string) {
		for _, f := range []string{frame, `{"op":"ping"}`} {
			if err := c.Write(ctx, websocket.MessageText, []byte(f)); err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
		}
		for pong, found := false, want == ""; !pong || !found; {
			line := next()
			if strings.HasPrefix(line, `{"op":"pong"`) {
				pong = true
				continue
			}
			found = found || strings.HasPrefix(line, `{"op":"`+want+`"`)
			answers = append(answers, line)
		}
		return answers
	}
	const never = discord.ChannelID(987654321)
	for channel, id := range secrets {
		for _, o := range []struct{ frame, want string }{
			{`{"op":"sync","channels":["CHANNEL"]}`, "count"}, {`{"op":"watch","channels":["CHANNEL"]}`, ""}, {`{"op":"unwatch","channels":["CHANNEL"]}`, ""},
			{`{"op":"read","channel":"CHANNEL","up_to":"MESSAGE"}`, "read"},
		} {
			fill := func(c discord.ChannelID) string {
				return strings.NewReplacer("CHANNEL", c.String(), "MESSAGE", id.String()).Replace(o.frame)
			}
			want := o.want
			if want == "read" && !ack {
				want = "error"
			}
			if !sees[channel] {
				want = ""
				if !strings.Contains(o.frame, `"unwatch"`) {
					want = "error"
				}
			}
			got := do(fill(channel), want)
			if sees[channel] {
				if all := strings.Join(got, "\n"); strings.Contains(all, `"not_found"`) || strings.Contains(all, `"forbidden"`) != (o.want == "read" && !ack) {
					w.t.Errorf("%s: %s = %s", name, fill(channel), all)
				}
				continue
			}
			if unknown := do(fill(never), want); !slices.Equal(got, unknown) || strings.Contains(strings.Join(got, ""), channel.String()) {
				w.t.Errorf("%s: %s = %q, and of a channel that there never was %q", name, fill(channel), got, unknown)
			}
		}
	}
}

// socket opens the live socket and returns the status and the first frames.
func (w *whole) socket(header []string) (int, string) {
	w.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	if len(header) > 0 && header[0] == "Cookie" {
		h.Set("Origin", w.base)
	}
	if h.Get("Authorization") == "" && h.Get("Cookie") == "" {
		h.Set("Authorization", "Bearer nobody") // without any, the refusal is a close code
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	c, res, err := websocket.Dial(ctx, w.base+"/api/live", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{"tidings.v1"}})
	if err != nil {
		if res == nil {
			w.t.Fatal(err)
		}
		return res.StatusCode, ""
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	var all strings.Builder
	for !strings.Contains(all.String(), `"op":"snapshot"`) {
		_, b, err := c.Read(ctx)
		if err != nil {
			return int(websocket.CloseStatus(err)), all.String()
		}
		all.Write(b)
	}
	return res.StatusCode, all.String()
}

// eventually waits until ok.
func (w *whole) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("still not: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestTokensAndSessions(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	one, two := sessionOf(t, w.store, ada)[0], sessionOf(t, w.store, ada)[0]
	for _, c := range []*http.Cookie{one, two} {
		if err := w.store.NoteSession(t.Context(), store.TokenKey(c.Value), ada, "Firefox"); err != nil {
			t.Fatal(err)
		}
	}
	as := func(c *http.Cookie, method, path, body string) (int, string) {
		t.Helper()
		status, got, _ := ask(t, newBrowser(t), method, w.base+path, body, "Cookie", c.String(), "Origin", w.base)
		return status, got
	}
	status, got := as(one, "POST", "/api/tokens", `{"name":"status bar","scopes":["read"]}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(got), &made); err != nil || status != 200 || !strings.HasPrefix(made.Token, "tdg_") {
		t.Fatalf("POST /api/tokens = %d %s", status, got)
	}
	if status, got := as(one, "POST", "/api/tokens", `{"name":"more","scopes":["admin"]}`); status != 403 {
		t.Errorf("a token for operating, by somebody who is no operator = %d %s", status, got)
	}
	if status, _ := as(one, "POST", "/api/tokens", `{"name":"more","scopes":["fly"]}`); status != 422 {
		t.Errorf("an unknown scope = %d", status)
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", w.base+"/api/me", "", "Authorization", "Bearer "+made.Token); status != 200 {
		t.Errorf("the new token = %d", status)
	}
	var list struct {
		Tokens []TokenView
	}
	_, got = as(one, "GET", "/api/tokens", "")
	if err := json.Unmarshal([]byte(got), &list); err != nil || len(list.Tokens) != 2 || list.Tokens[1].Name != "status bar" || list.Tokens[1].UsedAt == nil || !strings.Contains(got, `"id":"`+list.Tokens[1].ID+`"`) || strings.Contains(got, made.Token) {
		t.Fatalf("GET /api/tokens = %s", got)
	}
	// What hangs on a token or session ends with it, at once.
	socket := func(header http.Header) func() websocket.StatusCode {
		header.Set("Origin", w.base)
		c, _, err := websocket.Dial(t.Context(), w.base+"/api/live", &websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{"tidings.v1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.CloseNow() })
		c.SetReadLimit(1 << 20)
		if _, _, err := c.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return func() websocket.StatusCode {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			for {
				if _, _, err := c.Read(ctx); err != nil {
					return websocket.CloseStatus(err)
				}
			}
		}
	}
	ended := socket(http.Header{"Authorization": {"Bearer " + made.Token}})
	if status, got := as(one, "DELETE", fmt.Sprint("/api/tokens/", list.Tokens[1].ID), ""); status != 204 {
		t.Errorf("DELETE /api/tokens = %d %s", status, got)
	}
	if code := ended(); code != 4003 {
		t.Errorf("the revoked token's socket ended with %d, want 4003", code)
	}
	if status, _, _ := ask(t, newBrowser(t), "GET", w.base+"/api/me", "", "Authorization", "Bearer "+made.Token); status != 401 {
		t.Errorf("the revoked token = %d", status)
	}
	var sessions struct{ Sessions []SessionView }
	_, got = as(one, "GET", "/api/sessions", "")
	if err := json.Unmarshal([]byte(got), &sessions); err != nil || len(sessions.Sessions) != 2 || sessions.Sessions[0].Agent != "Firefox" || sessions.Sessions[0].Current == sessions.Sessions[1].Current {
		t.Fatalf("GET /api/sessions = %s", got)
	}
	for _, x := range sessions.Sessions {
		if x.Current {
			continue
		}
		ended = socket(http.Header{"Cookie": {two.String()}})
		if status, got := as(one, "DELETE", "/api/sessions/"+x.ID, ""); status != 204 {
			t.Errorf("DELETE /api/sessions/{id} = %d %s", status, got)
		}
		if code := ended(); code != 4003 {
			t.Errorf("the ended session's socket ended with %d, want 4003", code)
		}
	}
	if status, _ := as(two, "GET", "/api/me", ""); status != 401 {
		t.Errorf("the ended session = %d", status)
	}
	if status, _ := as(one, "DELETE", "/api/sessions", ""); status != 204 {
		t.Errorf("DELETE /api/sessions = %d", status)
	}
	if status, _ := as(one, "GET", "/api/me", ""); status != 401 {
		t.Errorf("after signing out everywhere = %d", status)
	}
}
