package sim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings/sim"
	"tidings/sim/simtest"
)

type O = simtest.Object

// stage is a simulator with one guild, two people and a logged-in client that has seen GUILD_CREATE.
type stage struct {
	*simtest.Running
	ada, bob simtest.Person
	g        simtest.Guild
	ch       string
	c        *client
	ready    frame
}

func newStage(t *testing.T, o sim.Options) *stage {
	t.Helper()
	s := &stage{Running: simtest.Start(t, o)}
	s.ada, s.bob = s.Person("ada"), s.Person("bob")
	s.g = s.Guild("Works", s.ada, []simtest.Person{s.bob}, []string{"general"}, nil)
	s.ch = s.g.Channel("general")
	s.c, s.ready = login(t, s.Running, allIntents)
	s.c.want("GUILD_CREATE")
	return s
}

func (s *stage) fault(t *testing.T, f O) string {
	t.Helper()
	var out struct{ ID string }
	s.Sim200("POST", "/sim/faults", f, &out)
	return out.ID
}

func (s *stage) resume(t *testing.T, from int64) *client {
	t.Helper()
	c := connect(t, s.Running, s.ready.get(t, "resume_gateway_url").(string)+"?v=10&encoding=json")
	c.want("#10")
	c.send(6, O{"token": s.Bot.Token, "session_id": s.ready.get(t, "session_id"), "seq": from})
	return c
}

func TestFaultsOfTheGateway(t *testing.T) {
	t.Parallel()
	t.Run("close with any code, session kept", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "close", "args": O{"code": 4008, "reason": "Rate limited."}})
		if got := s.c.closed(); got != 4008 {
			t.Errorf("close code = %d, want 4008", got)
		}
		waitDetached(t, s.Running)
		s.resume(t, s.c.seq).want("RESUMED")
	})
	t.Run("close with 4009 ends the session", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "close", "args": O{"code": 4009}})
		s.c.closed()
		waitDetached(t, s.Running)
		if f := s.resume(t, s.c.seq).want("#9"); string(f.D) != "false" {
			t.Errorf("op 9 = %s, want false", f.D)
		}
	})
	t.Run("drop without a close frame", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "drop"})
		if got := s.c.closed(); got != -1 {
			t.Errorf("close code = %d, want none", got)
		}
	})
	t.Run("drop at an event", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "drop", "match": O{"event": "MESSAGE_CREATE"}, "count": 1})
		s.Say(s.ada, s.ch, "one")
		s.c.closed()
		waitDetached(t, s.Running)
		if f := s.resume(t, s.c.seq).want("MESSAGE_CREATE"); f.get(t, "content") != "one" {
			t.Errorf("replayed %s", f.D)
		}
	})
	t.Run("a heart that is not answered", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		id := s.fault(t, O{"kind": "no_ack"})
		s.c.send(1, s.c.seq)
		s.Say(s.ada, s.ch, "one")
		s.c.want("MESSAGE_CREATE")
		s.Sim200("DELETE", "/sim/faults/"+id, nil, nil)
		s.c.send(1, s.c.seq)
		s.c.want("#11")
	})
	t.Run("op 7 before HELLO", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "reconnect", "args": O{"before_hello": true, "close_after_ms": 50}, "count": 1})
		c := connect(t, s.Running, "")
		if f, err := c.read(); err != nil || f.Op != 7 {
			t.Errorf("first frame = %+v %v, want op 7", f, err)
		}
		if got := c.closed(); got != 4000 {
			t.Errorf("close code = %d, want 4000", got)
		}
		connect(t, s.Running, "").want("#10")
	})
	t.Run("op 9 at identify, then it works on the same connection", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "invalid_session", "args": O{"on": "identify"}, "count": 1})
		c := connect(t, s.Running, "")
		c.want("#10")
		c.send(2, identifyWith(s.Bot.Token, 1))
		c.want("#9")
		c.send(2, identifyWith(s.Bot.Token, 1))
		c.want("READY")
	})
	t.Run("op 9 true keeps the session, false ends it", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		s.fault(t, O{"kind": "invalid_session", "args": O{"resumable": true}})
		s.c.want("#9")
		s.c.send(6, O{"token": s.Bot.Token, "session_id": s.ready.get(t, "session_id"), "seq": s.c.seq})
		s.c.want("RESUMED")
		s.fault(t, O{"kind": "invalid_session"})
		s.c.want("#9")
		s.c.send(6, O{"token": s.Bot.Token, "session_id": s.ready.get(t, "session_id"), "seq": s.c.seq})
		if f := s.c.want("#9"); string(f.D) != "false" {
			t.Errorf("resuming an ended session: op 9 %s, want false", f.D)
		}
	})
	t.Run("lose, repeat, reorder", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		match := O{"event": "MESSAGE_CREATE"}
		next := func(want ...string) {
			t.Helper()
			for _, w := range want {
				if got := s.c.want("MESSAGE_CREATE").get(t, "content"); got != w {
					t.Fatalf("heard %q, want %q", got, w)
				}
			}
		}
		s.fault(t, O{"kind": "lose", "match": match, "count": 1})
		s.Say(s.ada, s.ch, "lost")
		s.Say(s.ada, s.ch, "kept")
		next("kept")
		s.fault(t, O{"kind": "repeat", "match": match, "count": 1, "args": O{"times": 3}})
		s.Say(s.ada, s.ch, "again")
		next("again", "again", "again")
		s.fault(t, O{"kind": "reorder", "match": match, "count": 1})
		s.Say(s.ada, s.ch, "first")
		s.Say(s.ada, s.ch, "second")
		next("second", "first")
	})
	t.Run("probability with a seed repeats itself", func(t *testing.T) {
		t.Parallel()
		run := func() string {
			s := newStage(t, sim.Options{})
			s.fault(t, O{"kind": "lose", "match": O{"event": "MESSAGE_CREATE"}, "probability": 0.5, "seed": 42})
			for i := range 20 {
				s.Say(s.ada, s.ch, fmt.Sprint(i))
			}
			s.Sim200("DELETE", "/sim/faults", nil, nil)
			s.Say(s.ada, s.ch, "end")
			var got []string
			for {
				text := s.c.want("MESSAGE_CREATE").get(t, "content").(string)
				if text == "end" {
					return strings.Join(got, " ")
				}
				got = append(got, text)
			}
		}
		a, b := run(), run()
		if a != b || a == "" || len(strings.Fields(a)) == 20 {
			t.Errorf("two runs heard %q and %q, want the same part of twenty", a, b)
		}
	})
	t.Run("an outage of a guild, people go on talking", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		id := s.fault(t, O{"kind": "outage", "match": O{"guild": s.g.ID}})
		if f := s.c.want("GUILD_DELETE"); f.get(t, "unavailable") != true {
			t.Errorf("GUILD_DELETE %s, want unavailable", f.D)
		}
		s.Say(s.bob, s.ch, "in the dark")
		if got := s.Do(s.BotToken(), "GET", "/channels/"+s.ch+"/messages", nil, nil); got != 500 {
			t.Errorf("the bot reads during the outage: %d, want 500", got)
		}
		s.Sim200("DELETE", "/sim/faults/"+id, nil, nil)
		s.c.want("GUILD_CREATE")
		var page []O
		s.Must(s.BotToken(), "GET", "/channels/"+s.ch+"/messages", nil, &page)
		if contents(page) != "in the dark" {
			t.Errorf("history = %q", contents(page))
		}
	})
	t.Run("an outage of everything", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		id := s.fault(t, O{"kind": "outage"})
		s.c.closed()
		if _, resp, err := websocket.Dial(context.Background(), "ws"+s.URL[4:]+"/gateway/?v=10&encoding=json", nil); err == nil || resp == nil || resp.StatusCode != 503 {
			t.Errorf("connecting during the outage: %v, want 503", err)
		}
		if got := s.Do(s.BotToken(), "GET", "/users/@me", nil, new(any)); got != 502 {
			t.Errorf("REST during the outage: %d, want 502", got)
		}
		s.Say(s.bob, s.ch, "still talking")
		s.Sim200("DELETE", "/sim/faults/"+id, nil, nil)
		s.resume(t, s.c.seq).want("MESSAGE_CREATE")
	})
	t.Run("a stalled socket", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, sim.Options{})
		id := s.fault(t, O{"kind": "stall", "args": O{"ms": 600000}})
		for i := range 50 {
			s.Say(s.ada, s.ch, fmt.Sprint(i))
		}
		s.Sim200("DELETE", "/sim/faults/"+id, nil, nil)
		for i := range 50 {
			if got := s.c.want("MESSAGE_CREATE").get(t, "content"); got != fmt.Sprint(i) {
				t.Fatalf("heard %v, want %d", got, i)
			}
		}
	})
}

func TestFaultsOfREST(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	const route = "GET /channels/{channel_id}/messages"
	get := func() (*http.Response, string, error) {
		req, _ := http.NewRequest("GET", s.URL+"/api/v10/channels/"+s.ch+"/messages", nil)
		req.Header.Set("Authorization", s.BotToken())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	only := O{"route": route}

	s.fault(t, O{"kind": "status", "args": O{"status": 503}, "match": only, "count": 1})
	if resp, body, err := get(); err != nil || resp.StatusCode != 503 || !strings.Contains(body, "message") {
		t.Errorf("status: %v %v %q", resp, err, body)
	}
	s.fault(t, O{"kind": "status", "args": O{"status": 429, "retry_after": 1.5, "scope": "shared"}, "match": only, "count": 1})
	if resp, body, err := get(); err != nil || resp.StatusCode != 429 || resp.Header.Get("X-RateLimit-Scope") != "shared" || !strings.Contains(body, `"retry_after":1.5`) || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("429: %v %v %q", resp, err, body)
	}
	s.fault(t, O{"kind": "cloudflare_1015", "match": only, "count": 1})
	if resp, body, err := get(); err != nil || resp.StatusCode != 429 || body != "error code: 1015" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("cloudflare: %v %v %q", resp, err, body)
	}
	s.fault(t, O{"kind": "lying_headers", "match": only, "count": 1})
	if resp, _, err := get(); err != nil || resp.Header.Get("X-RateLimit-Limit") != "1000" || resp.Header.Get("X-RateLimit-Remaining") != "999" {
		t.Errorf("lying headers: %v %v", resp, err)
	}
	s.Say(s.ada, s.ch, "something to cut")
	s.fault(t, O{"kind": "truncate", "match": only, "count": 1})
	if _, body, err := get(); err == nil {
		t.Errorf("truncate: whole body %q", body)
	}
	s.fault(t, O{"kind": "latency", "args": O{"ms": 150}, "match": only, "count": 1})
	begin := time.Now()
	if resp, _, err := get(); err != nil || resp.StatusCode != 200 || time.Since(begin) < 150*time.Millisecond {
		t.Errorf("latency: %v %v after %v", resp, err, time.Since(begin))
	}
	s.fault(t, O{"kind": "status", "args": O{"status": 500}})
	s.Say(s.ada, s.ch, "people are not struck")
	if got := s.Do(s.BotToken(), "GET", "/users/@me", nil, nil); got != 500 {
		t.Errorf("a fault for every call: %d, want 500", got)
	}
}

func TestRateLimitsByBucketAndMajor(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newStage(t, sim.Options{Now: clock.now})
	var other O
	s.Must(s.ada.Token, "POST", "/guilds/"+s.g.ID+"/channels", O{"name": "other"}, &other)
	get := func(ch string) *http.Response {
		req, _ := http.NewRequest("GET", s.URL+"/api/v10/channels/"+ch+"/messages", nil)
		req.Header.Set("Authorization", s.BotToken())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for i := range 5 {
		if resp := get(s.ch); resp.StatusCode != 200 || resp.Header.Get("X-RateLimit-Remaining") != fmt.Sprint(4-i) {
			t.Errorf("call %d: %d, remaining %s", i+1, resp.StatusCode, resp.Header.Get("X-RateLimit-Remaining"))
		}
	}
	resp := get(s.ch)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-RateLimit-Scope") != "user" || resp.Header.Get("X-RateLimit-Bucket") == "" {
		t.Errorf("sixth call: %d %v, want 429 with headers", resp.StatusCode, resp.Header)
	}
	if resp := get(other["id"].(string)); resp.StatusCode != 200 {
		t.Errorf("another channel: %d, want 200", resp.StatusCode)
	}
	clock.advance(6 * time.Second)
	if resp := get(s.ch); resp.StatusCode != 200 {
		t.Errorf("after the window: %d, want 200", resp.StatusCode)
	}

	clock.advance(20 * time.Second)
	for i := range 50 {
		path := []string{"/users/@me", "/gateway/bot"}[i%2]
		s.Must(s.BotToken(), "GET", path, nil, nil)
	}
	var e struct{ Global bool }
	if got := s.Do(s.BotToken(), "GET", "/applications/@me", nil, &e); got != 429 || !e.Global {
		t.Errorf("call 51 in a second: %d global %v, want 429 global", got, e.Global)
	}
	var l struct {
		Invalid int `json:"invalid_requests"`
	}
	s.Sim200("GET", "/sim/log", nil, &l)
	if l.Invalid != 2 {
		t.Errorf("invalid requests = %d, want the two 429", l.Invalid)
	}
}

func TestTenThousandInvalidRequestsAreABan(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newStage(t, sim.Options{Now: clock.now, OnExchange: func(sim.Exchange) {}})
	for range 10_000 {
		s.Do("Bot nonsense", "GET", "/users/@me", nil, nil)
	}
	req, _ := http.NewRequest("GET", s.URL+"/api/v10/users/@me", nil)
	req.Header.Set("Authorization", s.BotToken())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 429 || strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		t.Errorf("after 10,000 invalid requests: %d %v, want Cloudflare's 429", resp.StatusCode, resp.Header)
	}
	clock.advance(11 * time.Minute)
	s.Must(s.BotToken(), "GET", "/users/@me", nil, nil)
}
