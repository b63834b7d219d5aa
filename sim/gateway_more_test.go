package sim_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestIntentsWithholdEventsAndContent(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	const guilds, messages = 1, 1 << 9
	blind, _ := login(t, s.Running, guilds|messages)
	blind.want("GUILD_CREATE")
	deaf, _ := login(t, s.Running, guilds)
	deaf.want("GUILD_CREATE")

	s.Say(s.bob, s.ch, "secret words")
	if f := blind.want("MESSAGE_CREATE"); f.get(t, "content") != "" {
		t.Errorf("without MESSAGE_CONTENT: %s", f.D)
	}
	s.Say(s.bob, s.ch, "to <@"+s.Bot.ID.String()+">")
	if f := blind.want("MESSAGE_CREATE"); f.get(t, "content") == "" {
		t.Errorf("a message that mentions the bot is empty")
	}
	s.Must(s.ada.Token, "PATCH", "/guilds/"+s.g.ID+"/members/"+s.bob.ID, O{"nick": "B"}, nil)
	s.Must(s.ada.Token, "PATCH", "/channels/"+s.ch, O{"topic": "end"}, nil)
	for {
		f, err := deaf.read()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(f.T, "MESSAGE") || f.T == "GUILD_MEMBER_UPDATE" {
			t.Errorf("a session with GUILDS only heard %s", f.T)
		}
		if f.T == "CHANNEL_UPDATE" {
			break
		}
	}
}

func TestApplicationWithoutContentGetsNoneOverREST(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{Refused: sim.IntentContent})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general"}, nil)
	r.Say(ada, g.Channel("general"), "secret words")
	var page []O
	r.Must(r.BotToken(), "GET", "/channels/"+g.Channel("general")+"/messages", nil, &page)
	if contents(page) != "" || len(page) != 1 {
		t.Errorf("the bot reads %q of %d messages, want one without content", contents(page), len(page))
	}
}

func TestHiddenChannelsSendNothingAndGainedOnesSync(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general", "hidden"}, O{"bot_permissions": "66560"})
	hidden, open := g.Channel("hidden"), g.Channel("general")
	r.Must(ada.Token, "PUT", "/channels/"+hidden+"/permissions/"+g.ID, O{"type": 0, "deny": "1024"}, nil)
	m := r.Say(ada, hidden, "start")
	r.Must(ada.Token, "POST", "/channels/"+hidden+"/messages/"+m["id"].(string)+"/threads", O{"name": "inside"}, nil)

	c, _ := login(t, r, allIntents)
	gc := c.want("GUILD_CREATE")
	if n := len(gc.get(t, "channels").([]any)); n != 2 {
		t.Errorf("GUILD_CREATE lists %d channels, want both", n)
	}
	if n := len(gc.get(t, "threads").([]any)); n != 0 {
		t.Errorf("GUILD_CREATE lists %d threads of hidden channels", n)
	}
	r.Say(ada, hidden, "unheard")
	r.Say(ada, open, "heard")
	if f := c.want("MESSAGE_CREATE"); f.get(t, "content") != "heard" {
		t.Errorf("heard %s", f.D)
	}
	r.Must(ada.Token, "DELETE", "/channels/"+hidden+"/permissions/"+g.ID, nil, nil)
	f := c.want("THREAD_LIST_SYNC")
	if len(f.get(t, "threads").([]any)) != 1 || f.get(t, "channel_ids").([]any)[0] != hidden {
		t.Errorf("THREAD_LIST_SYNC %s", f.D)
	}
}

func TestShardsGetTheirGuilds(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{Shards: 2, MaxConcurrency: 2})
	ada := r.Person("ada")
	// An id's time is in its upper bits, so guilds of different milliseconds spread over the shards.
	want := map[string]int{}
	seen := [2]bool{}
	for i := 0; !seen[0] || !seen[1]; i++ {
		g := r.Guild(fmt.Sprint(i), ada, nil, nil, nil)
		id, _ := strconv.ParseUint(g.ID, 10, 64)
		want[g.ID] = int((id >> 22) % 2)
		seen[want[g.ID]] = true
	}
	total := 0
	for shard := range 2 {
		c := connect(t, r, "")
		c.want("#10")
		id := identifyWith(r.Bot.Token, 1)
		id["shard"] = []int{shard, 2}
		c.send(2, id)
		ready := c.want("READY")
		for _, g := range ready.get(t, "guilds").([]any) {
			total++
			if id := g.(map[string]any)["id"].(string); want[id] != shard {
				t.Errorf("guild %s is on shard %d, want %d", id, shard, want[id])
			}
		}
	}
	if total != len(want) {
		t.Errorf("both shards have %d guilds, want %d", total, len(want))
	}
}

func TestIdentifyLimits(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := simtest.Start(t, sim.Options{IdentifyEvery: 5 * time.Second, IdentifyLimit: 3, Now: clock.now})
	identify := func() *client {
		c := connect(t, r, "")
		c.want("#10")
		c.send(2, identifyWith(r.Bot.Token, 1))
		return c
	}
	identify().want("READY")
	c := identify()
	c.want("#9")
	clock.advance(6 * time.Second)
	c.send(2, identifyWith(r.Bot.Token, 1))
	c.want("READY")
	clock.advance(6 * time.Second)
	identify().want("READY")
	var g struct {
		Limit struct{ Remaining, Total int } `json:"session_start_limit"`
	}
	r.Must(r.BotToken(), "GET", "/gateway/bot", nil, &g)
	if g.Limit.Remaining != 0 || g.Limit.Total != 3 {
		t.Errorf("session_start_limit = %+v, want 0 of 3", g.Limit)
	}
	clock.advance(6 * time.Second)
	if got := identify().closed(); got != 4004 {
		t.Errorf("past the day's limit: %d, want 4004", got)
	}
	if got := c.closed(); got != 4004 {
		t.Errorf("sessions that were open: %d, want 4004", got)
	}
	if got := r.Do(r.BotToken(), "GET", "/users/@me", nil, nil); got != 401 {
		t.Errorf("the old token: %d, want 401", got)
	}
}

func TestTooManySendsAndTooLargeOnes(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	for range 121 {
		s.c.send(1, s.c.seq)
	}
	if got := s.c.closed(); got != 4008 {
		t.Errorf("121 payloads in a minute: %d, want 4008", got)
	}
	c, _ := login(t, s.Running, 1)
	c.send(3, strings.Repeat("x", 4096))
	if got := c.closed(); got != 4002 {
		t.Errorf("a payload of more than 4096 bytes: %d, want 4002", got)
	}
}

func TestSilentClientsAreClosed(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{HeartbeatInterval: 20 * time.Millisecond})
	c, _ := login(t, r, 1)
	if got := c.closed(); got != 4009 {
		t.Errorf("without a heartbeat: %d, want 4009", got)
	}
}

func TestMemberChunks(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newStage(t, sim.Options{Now: clock.now})
	s.c.send(8, O{"guild_id": s.g.ID, "query": "", "limit": 0, "nonce": "n1"})
	f := s.c.want("GUILD_MEMBERS_CHUNK")
	if len(f.get(t, "members").([]any)) != 3 || f.get(t, "nonce") != "n1" || f.get(t, "chunk_count") != 1.0 {
		t.Errorf("chunk %s", f.D)
	}
	s.c.send(8, O{"guild_id": s.g.ID, "query": "", "limit": 0})
	if f := s.c.want("RATE_LIMITED"); f.get(t, "opcode") != 8.0 {
		t.Errorf("second request for all: %s", f.D)
	}
	s.c.send(8, O{"guild_id": s.g.ID, "user_ids": []string{s.bob.ID, "12345"}})
	f = s.c.want("GUILD_MEMBERS_CHUNK")
	if len(f.get(t, "members").([]any)) != 1 || len(f.get(t, "not_found").([]any)) != 1 {
		t.Errorf("chunk of one %s", f.D)
	}
}

func TestZlibStream(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+s.URL[4:]+"/gateway?v=10&encoding=json&compress=zlib-stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	var stream bytes.Buffer
	var z io.ReadCloser
	next := func() frame {
		typ, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if typ != websocket.MessageBinary || !bytes.HasSuffix(b, []byte{0, 0, 0xff, 0xff}) {
			t.Fatalf("frame does not end with a flush")
		}
		stream.Write(b)
		if z == nil {
			if z, err = zlib.NewReader(&stream); err != nil {
				t.Fatal(err)
			}
		}
		var f frame
		if err := json.NewDecoder(z).Decode(&f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := next(); f.Op != 10 {
		t.Errorf("first frame %+v, want HELLO", f)
	}
	b, _ := json.Marshal(map[string]any{"op": 2, "d": identifyWith(s.Bot.Token, allIntents)})
	if err := ws.Write(ctx, websocket.MessageText, b); err != nil {
		t.Fatal(err)
	}
	if f := next(); f.T != "READY" {
		t.Errorf("second frame %s, want READY", f.T)
	}
}

func TestHeartbeatWithASequenceThatNeverWas(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	s.c.send(1, 1_000_000)
	if got := s.c.closed(); got != 4007 {
		t.Errorf("close code = %d, want 4007", got)
	}
}

func TestWhichClosesEndASession(t *testing.T) {
	t.Parallel()
	ends := map[int]bool{4000: false, 4001: false, 4002: false, 4003: false, 4005: false, 4008: false, 4004: true, 4007: true, 4009: true,
		4010: true, 4011: true, 4012: true, 4013: true, 4014: true}
	for code, want := range ends {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, sim.Options{})
			s.fault(t, O{"kind": "close", "args": O{"code": code}})
			if got := s.c.closed(); got != code {
				t.Errorf("close code = %d", got)
			}
			waitDetached(t, s.Running)
			c := s.resume(t, s.c.seq)
			f, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if ended := f.Op == 9; ended != want {
				t.Errorf("after %d the session has ended: %v, want %v", code, ended, want)
			}
		})
	}
}

func TestShardingCanBeRequired(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{RequireShards: true})
	c := connect(t, r, "")
	c.want("#10")
	c.send(2, identifyWith(r.Bot.Token, 1))
	if got := c.closed(); got != 4011 {
		t.Errorf("close code = %d, want 4011", got)
	}
}

func TestPrivateThreadsReachOnlyWhoIsInThem(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general"}, O{"bot_permissions": "66560"})
	ch := g.Channel("general")
	c, _ := login(t, r, allIntents)
	c.want("GUILD_CREATE")
	var th O
	r.Must(ada.Token, "POST", "/channels/"+ch+"/threads", O{"name": "between us", "type": 12}, &th)
	id := th["id"].(string)
	r.Say(ada, id, "unheard")
	r.Say(ada, ch, "heard")
	if f := c.want("MESSAGE_CREATE"); f.get(t, "content") != "heard" {
		t.Errorf("heard %s", f.D)
	}
	r.Must(ada.Token, "PUT", "/channels/"+id+"/thread-members/"+r.Bot.ID.String(), nil, nil)
	if f := c.want("THREAD_CREATE"); f.get(t, "id") != id || f.get(t, "member") == nil {
		t.Errorf("THREAD_CREATE %s, want the private thread with the bot in it", f.D)
	}
	r.Say(ada, id, "now with the bot")
	if f := c.want("MESSAGE_CREATE"); f.get(t, "content") != "now with the bot" {
		t.Errorf("heard %s", f.D)
	}
	r.Must(ada.Token, "DELETE", "/channels/"+id+"/thread-members/"+r.Bot.ID.String(), nil, nil)
	if f := c.want("THREAD_MEMBERS_UPDATE"); len(f.get(t, "removed_member_ids").([]any)) != 1 {
		t.Errorf("THREAD_MEMBERS_UPDATE %s", f.D)
	}
	if got := r.Do(r.BotToken(), "GET", "/channels/"+id+"/messages", nil, nil); got != 403 {
		t.Errorf("the bot reads a private thread that it was removed from: %d, want 403", got)
	}
}
