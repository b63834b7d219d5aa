package bot

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings"
	"tidings/sim"
	"tidings/sim/simtest"
)

// world is a simulated Discord with one guild and one channel, and a bot that is connected to it.
type world struct {
	*simtest.Running
	t       *testing.T
	m       *memory
	bot     *testBot
	ann     simtest.Person
	guild   simtest.Guild
	channel string
}

func simulated(t *testing.T, o sim.Options) *world {
	t.Helper()
	o.NoRateLimits = true
	r := simtest.Start(t, o)
	w := &world{Running: r, t: t, m: newMemory(), ann: r.Person("ann")}
	w.guild = r.Guild("Gophers", w.ann, nil, []string{"general"}, nil)
	w.channel = w.guild.Channel("general")
	w.bot = beginAt(t, w.m, r.URL, r.Bot.Token, nil)
	w.m.until(t, "the guild is seen", func() bool {
		return slices.ContainsFunc(w.m.events, func(ev tidings.Event) bool {
			_, ok := ev.Body.(tidings.GuildSeen)
			return ok
		})
	})
	return w
}

func (w *world) fault(body simtest.Object) {
	w.t.Helper()
	w.Sim200("POST", "/sim/faults", body, nil)
}

// heard replays what the sink was given, as a store would, into what each live message says.
func (w *world) heard() map[string]string {
	said, gone := map[string]string{}, map[string]bool{}
	put := func(m tidings.Message) {
		if key := m.ID.String(); !gone[key] && !m.Partial {
			said[key] = m.Content
		}
	}
	for _, ev := range w.m.events {
		switch b := ev.Body.(type) {
		case tidings.MessageCreated:
			if _, ok := said[b.Message.ID.String()]; !ok { // Twice is once.
				put(b.Message)
			}
		case tidings.MessageUpdated:
			put(b.Message)
		case tidings.MessagesDeleted:
			for _, id := range b.IDs {
				gone[id.String()] = true
				delete(said, id.String())
			}
		}
	}
	return said
}

// truth is what each live message of the channel says.
func (w *world) truth() map[string]string {
	w.t.Helper()
	var all []struct {
		ID      string `json:"id"`
		Content string `json:"content"`
		Deleted bool   `json:"deleted"`
	}
	w.Sim200("GET", "/sim/messages?channel="+w.channel, nil, &all)
	said := map[string]string{}
	for _, m := range all {
		if !m.Deleted {
			said[m.ID] = m.Content
		}
	}
	return said
}

// agree waits until what was heard is what was said.
func (w *world) agree() {
	w.t.Helper()
	want := w.truth()
	w.m.until(w.t, fmt.Sprintf("all %d messages are heard as they are", len(want)), func() bool {
		got := w.heard()
		if len(got) != len(want) {
			return false
		}
		for id, content := range want {
			if got[id] != content {
				return false
			}
		}
		return true
	})
}

func TestNothingIsLostWhileConnectionsBreak(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{HeartbeatInterval: 400 * time.Millisecond, Rand: 1})
	faults := []simtest.Object{
		{"kind": "drop"}, {"kind": "close", "args": simtest.Object{"code": 4000}}, {"kind": "reconnect"},
		{"kind": "invalid_session", "args": simtest.Object{"resumable": true}},
		{"kind": "repeat", "count": 5}, {"kind": "no_ack", "for_ms": 1500},
		{"kind": "drop", "match": simtest.Object{"event": "MESSAGE_CREATE"}, "count": 2},
		{"kind": "reconnect", "args": simtest.Object{"before_hello": true}, "count": 1}, {"kind": "drop"},
		{"kind": "close", "args": simtest.Object{"code": 4008}},
	}
	var ids []string
	for i := range 150 {
		m := w.Say(w.ann, w.channel, "message "+strconv.Itoa(i))
		ids = append(ids, m["id"].(string))
		switch i % 7 {
		case 3:
			w.Must(w.ann.Token, "PATCH", "/channels/"+w.channel+"/messages/"+ids[i-2], simtest.Object{"content": "edited " + strconv.Itoa(i)}, nil)
		case 5:
			w.Must(w.ann.Token, "DELETE", "/channels/"+w.channel+"/messages/"+ids[i-1], nil, nil)
		}
		if i%15 == 7 {
			w.fault(faults[i/15%len(faults)])
		}
	}
	w.agree()
	st := w.bot.Status().Shards[0]
	if st.Identifies != 1 || st.Resumes == 0 || st.Unreadable != 0 {
		t.Errorf("status %+v, want one session, resumed, and nothing unreadable", st)
	}
}

func TestALostSessionIsTold(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	w.fault(simtest.Object{"kind": "invalid_session"})
	w.m.until(t, "a new session is stored", func() bool { return w.m.session.Session != "" && w.m.session.Session != w.m.saved[0].Session })
	w.Say(w.ann, w.channel, "hello again")
	w.m.until(t, "the message comes", func() bool { return len(w.m.messages()) == 1 })
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	w.Say(w.ann, w.channel, "one")
	w.m.until(t, "the first message comes", func() bool { return len(w.m.messages()) == 1 })
	w.bot.stop()
	w.Say(w.ann, w.channel, "two")
	w.Say(w.ann, w.channel, "three")
	w.bot = beginAt(t, w.m, w.URL, w.Bot.Token, nil)
	w.agree()
	if n := w.bot.Status().Shards[0].Identifies; n != 0 {
		t.Errorf("%d sessions were started, want the old one resumed", n)
	}
}

func TestTheSimulatorsRESTIsRead(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	for i := range 5 {
		w.Say(w.ann, w.channel, "m"+strconv.Itoa(i))
	}
	r := w.bot.REST()
	n, _ := strconv.ParseUint(w.channel, 10, 64)
	channel := discord.ChannelID(n)
	ms, err := r.Messages(t.Context(), channel, PageQuery{Limit: 3})
	if err != nil || len(ms) != 3 || ms[0].Content != "m4" || ms[2].Content != "m2" {
		t.Fatalf("Messages() = %+v, %v, want m4, m3, m2", ms, err)
	}
	if m, err := r.Message(t.Context(), channel, ms[1].ID); err != nil || m.Content != "m3" {
		t.Errorf("Message() = %+v, %v", m, err)
	}
	w.Must(w.ann.Token, "DELETE", "/channels/"+w.channel+"/messages/"+ms[1].ID.String(), nil, nil)
	if _, err := r.Message(t.Context(), channel, ms[1].ID); Code(err) != 10008 {
		t.Errorf("Message() of a deleted one = %v, want 10008", err)
	}
	g, _ := strconv.ParseUint(w.guild.ID, 10, 64)
	u, _ := strconv.ParseUint(w.ann.ID, 10, 64)
	seen, err := r.GuildSeen(t.Context(), discord.GuildID(g))
	if err != nil || seen.Guild.Name != "Gophers" || seen.Guild.Owner != discord.UserID(u) || len(seen.Channels) == 0 || len(seen.Roles) == 0 {
		t.Errorf("GuildSeen() = %+v, %v", seen, err)
	}
	if m, err := r.Member(t.Context(), discord.GuildID(g), discord.UserID(u)); err != nil || m.User != discord.UserID(u) {
		t.Errorf("Member() = %+v, %v", m, err)
	}
	if _, err := r.Member(t.Context(), discord.GuildID(g), 1234); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("Member() of a stranger = %v, want ErrNotFound", err)
	}
	for _, fault := range []simtest.Object{
		{"kind": "status", "args": simtest.Object{"status": 503}, "count": 2}, {"kind": "truncate", "count": 1},
		{"kind": "status", "args": simtest.Object{"status": 429, "retry_after": 0.05}, "count": 2},
	} {
		w.fault(fault)
		if ms, err := r.Messages(t.Context(), channel, PageQuery{}); err != nil || len(ms) != 4 {
			t.Errorf("with %v: %d messages, %v, want 4", fault, len(ms), err)
		}
	}
}

func TestSigningInAtTheSimulator(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	const back = "http://127.0.0.1:1/login/callback"
	o, err := NewOAuth(OAuthOptions{ClientID: fmt.Sprint(w.Bot.ClientID), ClientSecret: w.Bot.ClientSecret, URL: w.URL, HTTP: client(t)})
	if err != nil {
		t.Fatal(err)
	}
	verifier := oauth2.GenerateVerifier()
	page, err := url.Parse(o.AuthURL("st", verifier, back))
	if err != nil {
		t.Fatal(err)
	}
	form := page.Query()
	form.Set("user_id", w.ann.ID)
	c := client(t)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.PostForm(w.URL+"/oauth2/authorize", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil || to.Query().Get("state") != "st" {
		t.Fatalf("sent back to %v, %v", to, err)
	}
	code := to.Query().Get("code")
	token, err := o.Exchange(t.Context(), code, verifier, back)
	if err != nil {
		t.Fatal(err)
	}
	me, err := o.Me(t.Context(), token)
	if err != nil || me.ID.String() != w.ann.ID {
		t.Errorf("Me() = %+v, %v, want ann", me, err)
	}
	guilds, err := o.MyGuilds(t.Context(), token)
	if err != nil || len(guilds) != 1 || guilds[0].ID.String() != w.guild.ID {
		t.Fatalf("MyGuilds() = %v, %v", guilds, err)
	}
	if m, err := o.MyMember(t.Context(), token, guilds[0].ID); err != nil || m.User != me.ID {
		t.Errorf("MyMember() = %+v, %v", m, err)
	}
	if _, err := o.Exchange(t.Context(), code, verifier, back); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("Exchange() of a used code = %v, want ErrInvalid", err)
	}
	if err := o.Revoke(t.Context(), token); err != nil {
		t.Errorf("Revoke() = %v", err)
	}
	if _, err := o.Me(t.Context(), token); !errors.Is(err, tidings.ErrUnauthorized) {
		t.Errorf("Me() after Revoke() = %v, want ErrUnauthorized", err)
	}
}

func TestTheSimulatorPassesTheCheck(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	for _, f := range Check(t.Context(), CheckOptions{
		Token: w.Bot.Token, ClientID: fmt.Sprint(w.Bot.ClientID), ClientSecret: w.Bot.ClientSecret, URL: w.URL, HTTP: client(t),
	}) {
		if !f.OK {
			t.Errorf("finding %+v", f)
		}
	}
}

func TestRefusedIntentsAreNamed(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{Refused: sim.IntentMembers})
	b := beginAt(t, newMemory(), r.URL, r.Bot.Token, nil)
	if err := b.ended(t); err == nil || !strings.Contains(err.Error(), "Server Members Intent") {
		t.Errorf("Run() = %v, want the Server Members Intent named", err)
	}
}
