package sim_test

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestClientLogsInAndHearsMessages(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general"}, nil)

	c, ready := login(t, r, allIntents)
	if got := ready.get(t, "guilds").([]any); len(got) != 1 || got[0].(map[string]any)["unavailable"] != true {
		t.Errorf("READY guilds = %v, want one, unavailable", got)
	}
	gc := c.want("GUILD_CREATE")
	if got := gc.get(t, "id"); got != g.ID {
		t.Errorf("GUILD_CREATE id = %v, want %s", got, g.ID)
	}
	if got := gc.get(t, "members").([]any); len(got) != 1 {
		t.Errorf("GUILD_CREATE has %d members, want only the bot", len(got))
	}

	m := r.Say(bob, g.Channel("general"), "  hello <@"+ada.ID+"> \n")
	f := c.want("MESSAGE_CREATE")
	if f.get(t, "id") != m["id"] || f.get(t, "content") != "hello <@"+ada.ID+">" || f.get(t, "guild_id") != g.ID {
		t.Errorf("MESSAGE_CREATE = %s", f.D)
	}
	if got := f.get(t, "mentions").([]any); len(got) != 1 || got[0].(map[string]any)["id"] != ada.ID {
		t.Errorf("mentions = %v, want ada", got)
	}
	path := "/channels/" + g.Channel("general") + "/messages/" + m["id"].(string)
	r.Must(bob.Token, "PATCH", path, simtest.Object{"content": "hi"}, nil)
	if f := c.want("MESSAGE_UPDATE"); f.get(t, "content") != "hi" || f.get(t, "edited_timestamp") == nil {
		t.Errorf("MESSAGE_UPDATE = %s", f.D)
	}
	r.Must(ada.Token, "DELETE", path, nil, nil)
	if f := c.want("MESSAGE_DELETE"); f.get(t, "id") != m["id"] {
		t.Errorf("MESSAGE_DELETE = %s", f.D)
	}
}

func TestResumeReplaysWhatWasMissed(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general"}, nil)
	c, ready := login(t, r, allIntents)
	c.want("GUILD_CREATE")
	r.Say(ada, g.Channel("general"), "one")
	c.want("MESSAGE_CREATE")
	c.ws.Close(websocket.StatusCode(4000), "")
	waitDetached(t, r)

	r.Say(ada, g.Channel("general"), "two")
	url := ready.get(t, "resume_gateway_url").(string) + "/?v=10&encoding=json"
	c2 := connect(t, r, url)
	c2.want("#10")
	c2.send(6, map[string]any{"token": r.Bot.Token, "session_id": ready.get(t, "session_id"), "seq": c.seq})
	if f := c2.want("MESSAGE_CREATE"); f.get(t, "content") != "two" || f.S != c.seq+1 {
		t.Errorf("replayed %d %s, want two at %d", f.S, f.D, c.seq+1)
	}
	c2.want("RESUMED")
	r.Say(ada, g.Channel("general"), "three")
	if f := c2.want("MESSAGE_CREATE"); f.get(t, "content") != "three" {
		t.Errorf("after RESUMED: %s", f.D)
	}
}

func TestSessionEndsWhenItsClientClosesWith1000(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	c, ready := login(t, r, allIntents)
	c.ws.Close(websocket.StatusNormalClosure, "")
	waitDetached(t, r)
	c2 := connect(t, r, "")
	c2.want("#10")
	c2.send(6, map[string]any{"token": r.Bot.Token, "session_id": ready.get(t, "session_id"), "seq": c.seq})
	if f := c2.want("#9"); string(f.D) != "false" {
		t.Errorf("op 9 d = %s, want false", f.D)
	}
}

func TestReplayWindowIsBoundedByCountAndAge(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := simtest.Start(t, sim.Options{ReplayEvents: 3, ReplayAge: time.Minute, Now: clock.now})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general"}, nil)
	resume := func(c *client, ready frame) (string, *client) {
		c2 := connect(t, r, "")
		c2.want("#10")
		c2.send(6, map[string]any{"token": r.Bot.Token, "session_id": ready.get(t, "session_id"), "seq": c.seq})
		for {
			f, err := c2.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.Op == 9 {
				return "invalid", c2
			}
			if f.T == "RESUMED" {
				return "resumed", c2
			}
		}
	}
	c, ready := login(t, r, allIntents)
	c.want("GUILD_CREATE")
	c.ws.CloseNow()
	waitDetached(t, r)
	r.Say(ada, g.Channel("general"), "1")
	r.Say(ada, g.Channel("general"), "2")
	got, c2 := resume(c, ready)
	if got != "resumed" {
		t.Fatalf("after 2 of 3 events: %s", got)
	}
	c2.ws.CloseNow()
	waitDetached(t, r)
	for range 5 {
		r.Say(ada, g.Channel("general"), "more")
	}
	got, c3 := resume(c2, ready)
	if got != "invalid" {
		t.Errorf("after 5 events with a window of 3: %s, want invalid", got)
	}
	c3.ws.CloseNow()

	c, ready = login(t, r, allIntents)
	c.want("GUILD_CREATE")
	c.ws.CloseNow()
	waitDetached(t, r)
	clock.advance(2 * time.Minute)
	if got, _ := resume(c, ready); got != "invalid" {
		t.Errorf("after 2 minutes with a window of 1: %s, want invalid", got)
	}
}

func TestBadIdentifiesAreClosedWithTheirCode(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{Refused: sim.IntentMembers})
	ada := r.Person("ada")
	with := func(k string, v any) map[string]any {
		m := identifyWith(r.Bot.Token, 1)
		m[k] = v
		return m
	}
	tests := []struct {
		name string
		url  string
		op   int
		d    any
		want int
	}{
		{"bad token", "", 2, with("token", "nonsense"), 4004},
		{"a person's token", "", 2, with("token", ada.Token), 4004},
		{"unknown intent", "", 2, with("intents", 1<<30), 4013},
		{"no intents", "", 2, with("intents", nil), 4013},
		{"intent that is not granted", "", 2, with("intents", 2), 4014},
		{"shard beyond its number", "", 2, with("shard", []int{2, 2}), 4010},
		{"unknown op", "", 99, nil, 4001},
		{"not an object", "", 2, "x", 4002},
		{"presence before identify", "", 3, map[string]any{}, 4003},
		{"version 8", "?v=8&encoding=json", 2, with("intents", 1), 4012},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := ""
			if tt.url != "" {
				url = "ws" + r.URL[4:] + "/gateway/" + tt.url
			}
			c := connect(t, r, url)
			c.want("#10")
			c.send(tt.op, tt.d)
			if got := c.closed(); got != tt.want {
				t.Errorf("close code = %d, want %d", got, tt.want)
			}
		})
	}
	t.Run("identify twice", func(t *testing.T) {
		c, _ := login(t, r, 1)
		c.send(2, identifyWith(r.Bot.Token, 1))
		if got := c.closed(); got != 4005 {
			t.Errorf("close code = %d, want 4005", got)
		}
	})
}
