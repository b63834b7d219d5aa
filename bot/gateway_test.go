package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func TestBadTokenIsAskedOnceAndEndsRun(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answer("GET /gateway/bot", 401, `{"message":"401: Unauthorized","code":0}`)
	b := begin(t, f, newMemory(), nil)
	if err := b.ended(t); !errors.Is(err, tidings.ErrUnauthorized) {
		t.Errorf("Run() = %v, want ErrUnauthorized", err)
	}
	if n := f.count("GET /gateway/bot"); n != 1 {
		t.Errorf("/gateway/bot was asked %d times, want once", n)
	}
}

func TestIdentifyCarriesTokenShardAndIntents(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	begin(t, f, newMemory(), nil)
	c := f.dialed(t)
	var d struct {
		Token   string `json:"token"`
		Shard   []int  `json:"shard"`
		Intents int    `json:"intents"`
	}
	if err := json.Unmarshal(c.expect(2), &d); err != nil {
		t.Fatal(err)
	}
	if d.Token != "secret" || !slices.Equal(d.Shard, []int{0, 1}) || d.Intents != 16811523 {
		t.Errorf("IDENTIFY %+v, want the bare token, shard [0 1] and intents 16811523", d)
	}
	if c.path != "/gw" || c.query != "encoding=json&v=10" {
		t.Errorf("dialled %s?%s, want /gw?encoding=json&v=10", c.path, c.query)
	}
}

func TestEventsCarryTheirMark(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	m.until(t, "the message is put", func() bool { return len(m.events) == 1 })
	ev := m.events[0]
	want := tidings.Mark{Shard: 0, Session: "A", Epoch: m.session.Epoch, Seq: 2}
	if ev.Mark != want || ev.Guild != 7 || ev.Channel != 9 || ev.Source != tidings.SourceGateway || ev.At.IsZero() {
		t.Errorf("event %+v, want mark %+v in guild 7, channel 9", ev, want)
	}
	if m.session.Session != "A" || !strings.HasSuffix(m.session.ResumeURL, "/again") {
		t.Errorf("stored session %+v, want A with its resume URL", m.session)
	}
}

func TestDropResumesAtTheResumeURLFromTheCommittedSequence(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	m.until(t, "the first message is put", func() bool { return len(m.messages()) == 1 })
	m.mu.Lock()
	m.hold = true // What follows is received, but not committed.
	m.mu.Unlock()
	c.dispatch(3, "MESSAGE_CREATE", message9(101))
	m.until(t, "the second message is put", func() bool { return len(m.messages()) == 2 })
	c.drop()
	c = f.dialed(t)
	if c.path != "/again" || c.query != "encoding=json&v=10" {
		t.Errorf("resumed at %s?%s, want /again?encoding=json&v=10", c.path, c.query)
	}
	c.expectResume("A", 2)
	c.dispatch(3, "MESSAGE_CREATE", message9(101))
	c.dispatch(4, "RESUMED", `{}`)
	m.until(t, "the replay is put", func() bool { return len(m.messages()) == 3 })
}

func TestRestartResumesFromTheStore(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.session = tidings.GatewaySession{Session: "old", Seq: 41, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expectResume("old", 41)
	c.dispatch(42, "MESSAGE_CREATE", message9(100))
	c.dispatch(43, "RESUMED", `{}`)
	m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
	if st := b.Status().Shards[0]; st.Identifies != 0 {
		t.Errorf("%d sessions were started, want none", st.Identifies)
	}
}

func TestReconnectRequestIsFollowedByResume(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
	c.send(`{"op":7,"d":null}`)
	if code := websocket.CloseStatus(c.gone()); code == 1000 || code == 1001 {
		t.Errorf("closed with %d, which ends the session", code)
	}
	// It may come before HELLO as well.
	c = f.silent(t)
	c.send(`{"op":7,"d":null}`)
	c.gone()
	c = f.dialed(t)
	c.expectResume("A", 2)
}

func TestInvalidSessionThatMayResumeResumesAgain(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
	begin(t, f, m, nil)
	for range 3 {
		c := f.dialed(t)
		c.expectResume("A", 5)
		c.send(`{"op":9,"d":true}`)
		c.gone()
	}
	c := f.dialed(t)
	c.expectResume("A", 5)
	c.dispatch(6, "RESUMED", `{}`)
}

func TestInvalidSessionThatNeverResumesIsGivenUp(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
	begin(t, f, m, nil)
	for range 5 {
		c := f.dialed(t)
		c.expectResume("A", 5)
		c.send(`{"op":9,"d":true}`)
		c.gone()
	}
	f.dialed(t).expect(2)
}

func TestInvalidSessionStartsANewOne(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expectResume("A", 5)
	c.send(`{"op":9,"d":false}`)
	c = f.dialed(t)
	c.expect(2)
	c.ready("B", 7)
	m.until(t, "the new session is stored from its first event on", func() bool { return m.session.Session == "B" && m.session.Seq == 1 })
}

func TestCloseCodesThatEndTheSessionStartANewOne(t *testing.T) {
	t.Parallel()
	for _, code := range []int{4007, 4009} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			f, m := newFake(t), newMemory()
			m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
			begin(t, f, m, nil)
			c := f.dialed(t)
			c.expectResume("A", 5)
			c.socket.Close(websocket.StatusCode(code), "")
			f.dialed(t).expect(2)
		})
	}
}

func TestCloseCodesThatKeepTheSessionResume(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1000, 1001, 1012, 4000, 4001, 4002, 4003, 4005, 4008} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			f, m := newFake(t), newMemory()
			m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws" + strings.TrimPrefix(f.URL, "http") + "/again"}
			begin(t, f, m, nil)
			c := f.dialed(t)
			c.expectResume("A", 5)
			c.socket.Close(websocket.StatusCode(code), "")
			f.dialed(t).expectResume("A", 5)
		})
	}
}

func TestFatalCloseCodesEndRunWithWhatToDo(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		4004: "refuses the bot token", 4010: "start again", 4011: "start again", 4012: "newer release", 4013: "newer release",
		4014: "switch on Message Content Intent at https://discord.com/developers/applications",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.answer("GET /applications/@me", 200, map[string]any{"id": "1", "name": "x", "flags": 1 << 15})
			b := begin(t, f, newMemory(), nil)
			c := f.dialed(t)
			c.expect(2)
			c.socket.Close(websocket.StatusCode(code), "no")
			err := b.ended(t)
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, tidings.ErrUnauthorized) != (code == 4004) ||
				errors.Is(err, tidings.ErrForbidden) != (code >= 4012) {
				t.Errorf("Run() = %v, want %q", err, want)
			}
			select {
			case <-f.conns:
				t.Error("it has connected again")
			default:
			}
		})
	}
}

func TestZombieIsLeftAndResumed(t *testing.T) {
	t.Parallel()
	for _, talks := range []bool{false, true} {
		t.Run(fmt.Sprintf("talks=%v", talks), func(t *testing.T) {
			t.Parallel()
			f, m := newFake(t), newMemory()
			b := begin(t, f, m, nil)
			c := f.greet(t, 600*time.Millisecond)
			c.expect(2)
			c.ready("A", 7)
			c.dispatch(2, "MESSAGE_CREATE", message9(100))
			m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
			for seq := int64(3); talks; seq++ { // Dispatches without acknowledgements are no sign of life.
				c.dispatch(seq, "TYPING_START", `{}`)
				select {
				case <-c.over:
					talks = false
				case <-time.After(5 * time.Millisecond):
				}
			}
			c = f.dialed(t)
			c.expectResume("A", 2)
			c.dispatch(1000, "RESUMED", `{}`)
			if st := b.Status().Shards[0]; st.Reconnects != 1 {
				t.Errorf("%d reconnects, want 1: %+v", st.Reconnects, st)
			}
		})
	}
}

func TestHeartbeatsCarryTheSequenceAndAcknowledgedOnesKeepTheConnection(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.greet(t, 300*time.Millisecond)
	c.expect(2)
	c.send(`{"op":1,"d":null}`) // Discord may ask for a heartbeat.
	for first := true; ; {
		var beat sent
		select {
		case beat = <-c.got:
		case <-time.After(patience):
			t.Fatal("no heartbeat came")
		}
		if beat.Op != opHeartbeat {
			t.Fatalf("got op %d %s, want a heartbeat", beat.Op, beat.D)
		}
		c.send(`{"op":11}`)
		if string(beat.D) == "3" {
			break
		}
		if first {
			if first = false; string(beat.D) != "null" {
				t.Errorf("the first heartbeat says %s, want null", beat.D)
			}
			c.ready("A", 7)
			c.dispatch(2, "SOMETHING_NEW", `{"x":[1]}`)
			c.dispatch(3, "TYPING_START", `{}`)
		}
	}
	for range 4 { // More than 1.5 intervals.
		c.expectBeat()
	}
	if st := b.Status().Shards[0]; st.State != "ready" || st.RoundTrip <= 0 || st.Reconnects != 0 {
		t.Errorf("status %+v, want ready with a round trip and no reconnect", st)
	}
}

func (c *fakeConn) expectBeat() {
	c.t.Helper()
	select {
	case m := <-c.got:
		if m.Op != opHeartbeat {
			c.t.Fatalf("got op %d, want a heartbeat", m.Op)
		}
		c.send(`{"op":11}`)
	case <-time.After(patience):
		c.t.Fatal("no heartbeat came")
	}
}

func TestHelloWithoutAnIntervalDoesNotPanic(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	begin(t, f, newMemory(), nil)
	for _, d := range []string{`{"heartbeat_interval":0}`, `{"heartbeat_interval":-5}`, `{}`, `null`, `{"heartbeat_interval":1e300}`, `"x"`} {
		c := f.silent(t)
		c.send(`{"op":10,"d":` + d + `}`)
		c.gone()
	}
	f.dialed(t).expect(2)
}

func TestOverflowDropsTheSocketAndResumesFromTheCommittedSequence(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.block = make(chan struct{})
	b := begin(t, f, m, func(b *Bot) { b.pace.queue = 10 })
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	m.until(t, "the session is stored", func() bool { return m.session.Session == "A" })
	for i := range 50 {
		c.dispatch(int64(2+i), "MESSAGE_CREATE", message9(100+i))
	}
	c.gone()
	m.mu.Lock()
	if len(m.messages()) != 0 {
		t.Errorf("%v were put although the sink was blocked", m.messages())
	}
	close(m.block)
	m.block = nil
	m.mu.Unlock()
	c = f.dialed(t)
	// Everything that was held has been worked off before the resume; the fake commits at once.
	var r resumeFrame
	if err := json.Unmarshal(c.expect(6), &r); err != nil {
		t.Fatal(err)
	}
	if r.Session != "A" || r.Seq < 10 || r.Seq > 14 {
		t.Fatalf("RESUME %+v, want A from what was committed", r)
	}
	for seq := r.Seq + 1; seq < 52; seq++ {
		// Discord sends no faster than the test's sink works, so that the small buffer holds.
		c.dispatch(seq, "MESSAGE_CREATE", message9(98+int(seq)))
		m.until(t, "the message is put", func() bool { return slices.Contains(m.messages(), 98+int(seq)) })
	}
	c.dispatch(52, "RESUMED", `{}`)
	got := slices.Clone(m.messages())
	slices.Sort(got)
	got = slices.Compact(got)
	if len(got) != 50 || got[0] != 100 || got[49] != 149 {
		t.Errorf("put %v, want 100 to 149 without a hole", got)
	}
	if st := b.Status().Shards[0]; st.Overflows != 1 {
		t.Errorf("%d overflows, want 1", st.Overflows)
	}
}

func TestAMissingSequenceIsAskedForOnce(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	c.dispatch(4, "MESSAGE_CREATE", message9(102))
	c.dispatch(3, "MESSAGE_CREATE", message9(101)) // Late is not lost.
	c.dispatch(6, "MESSAGE_CREATE", message9(104))
	c = f.dialed(t)
	c.expectResume("A", 4) // Although 6 is committed.
	c.dispatch(6, "MESSAGE_CREATE", message9(104))
	c.dispatch(7, "RESUMED", `{}`)
	c.dispatch(8, "MESSAGE_CREATE", message9(105))
	m.until(t, "it goes on without", func() bool { return slices.Contains(m.messages(), 105) })
	late := time.After(patience)
	for b.Status().Shards[0].Lost != 1 {
		select {
		case <-late:
			t.Fatalf("status %+v, want 1 lost", b.Status().Shards[0])
		case <-time.After(time.Millisecond):
		}
	}
	if st := b.Status().Shards[0]; st.Reconnects != 1 {
		t.Errorf("%d reconnects, want 1", st.Reconnects)
	}
}

func TestAFrameThatCannotBeReadIsAskedForOnce(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
	broken := `{"op":0,"s":3,"t":"MESSAGE_CREATE","d":{"id":"10`
	c.send(broken)
	c = f.dialed(t)
	c.expectResume("A", 2)
	c.send(broken)
	c.dispatch(4, "MESSAGE_CREATE", message9(102))
	m.until(t, "the next message is put", func() bool { return slices.Contains(m.messages(), 102) })
}

func TestNoReadyInTimeIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	begin(t, f, newMemory(), func(b *Bot) { b.pace.ready = 50 * time.Millisecond })
	c := f.dialed(t)
	c.expect(2)
	c.gone()
	f.dialed(t).expect(2)
}

func TestUnknownEventsAndOpsAreNoTrouble(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "SOMETHING_NEW", `[1,{"a":"}"}]`)
	c.send(`{"op":99,"d":{"x":1}}`)
	c.send(`{"op":43}`)
	c.dispatch(3, "GUILD_SOUNDBOARD_SOUND_CREATE", `null`)
	c.dispatch(4, "MESSAGE_CREATE", message9(100))
	m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
	if st := b.Status().Shards[0]; st.Received != 4 || st.Reconnects != 0 || st.Unreadable != 0 {
		t.Errorf("status %+v, want 4 received and nothing wrong", st)
	}
}

func TestAMessageThatCannotBeUnderstoodIsDeadLetteredAndTheNextOnesCome(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	bad := `{"id":"100","channel_id":"9","guild_id":"7","content":"x","author":["nobody"]}`
	c.dispatch(2, "MESSAGE_CREATE", bad)
	c.dispatch(3, "MESSAGE_CREATE", message9(101))
	m.until(t, "the next message is put", func() bool { return len(m.messages()) == 1 })
	if len(m.dead) != 1 {
		t.Fatalf("%d dead letters, want 1", len(m.dead))
	}
	got, ok := m.dead[0].Body.(tidings.MessageCreated)
	if !ok || string(got.Message.Payload) != bad || got.Message.ID != 100 || got.Message.Channel != 9 || m.dead[0].Mark.Seq != 2 {
		t.Errorf("dead letter %+v, want message 100 with its bytes and mark", m.dead[0])
	}
	if st := b.Status().Shards[0]; st.Unreadable != 1 {
		t.Errorf("%d unreadable, want 1", st.Unreadable)
	}
}

// What cannot be understood of a guild, its channels, roles and members is kept, whole; see store for what follows from it.
func TestWhatIsToldOfGuildsIsNotLostForBeingOdd(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	odd := []struct{ name, raw string }{
		{"GUILD_UPDATE", `{"id":"7","roles":{}}`},
		{"CHANNEL_UPDATE", `{"id":[],"guild_id":"7"}`},
		{"GUILD_ROLE_UPDATE", `{"guild_id":"7","role":{"id":"x"}}`},
		{"GUILD_MEMBER_UPDATE", `{"guild_id":"7","user":5}`},
		{"THREAD_MEMBERS_UPDATE", `{"guild_id":"7","id":{}}`},
	}
	for i, o := range odd {
		c.dispatch(int64(i+2), o.name, o.raw)
	}
	c.dispatch(20, "CHANNEL_CREATE", `{"id":[],"type":1}`) // a direct message's
	c.dispatch(21, "MESSAGE_CREATE", message9(101))
	m.until(t, "the message is put", func() bool { return len(m.messages()) == 1 })
	if len(m.dead) != len(odd) {
		t.Fatalf("%d dead letters, want %d: %+v", len(m.dead), len(odd), m.dead)
	}
	for i, o := range odd {
		got, _ := m.dead[i].Body.(tidings.Unreadable)
		if got.Name != o.name || string(got.Raw) != o.raw || m.dead[i].Guild != 7 || m.dead[i].Mark.Seq != int64(i+2) {
			t.Errorf("dead letter %+v, want %s of guild 7 with its bytes and mark", m.dead[i], o.name)
		}
	}
}

// An event that nobody can place is as good as left out: what it was about only a new session shows.
func TestAnEventWithoutAPlaceCostsTheSession(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := keepLedger(t, f, false)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "GUILD_ROLE_UPDATE", `{"guild_id":{},"role":{}}`)
	c = f.dialed(t)
	c.expect(2)
	c.ready("B", 7)
	l.until(t, "the new session listens", func() bool { return l.session.Session == "B" })
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.notes, "hole 2") || len(l.dead) != 1 {
		t.Errorf("noted are %v with %d dead letters, want the hole and one letter", l.notes, len(l.dead))
	}
}

func TestGuildsLeftWhileAwayAreGone(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.guilds = []discord.GuildID{7, 8}
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	m.until(t, "the guild is gone", func() bool { return len(m.events) == 1 })
	ev := m.events[0]
	if ev.Guild != 8 || ev.Body != (tidings.GuildGone{}) {
		t.Errorf("put %+v, want guild 8 gone", ev)
	}
	if m.saved[0].Seq != 0 || m.session.Seq != 1 {
		t.Errorf("the session was saved at %d and is at %d, want 0 until the guild is recorded as gone, then 1", m.saved[0].Seq, m.session.Seq)
	}
}

func TestAReadyThatCannotBeReadTakesNoGuildAway(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.guilds = []discord.GuildID{7, 8}
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.dispatch(1, "READY", `{"session_id":"A","resume_gateway_url":"ws://127.0.0.1:1/","guilds":[{"id":"7"},{"id":{}}]}`)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	m.until(t, "the message is put", func() bool { return len(m.events) > 0 })
	if len(m.events) != 1 || len(m.messages()) != 1 {
		t.Errorf("put %+v, want the message alone", m.events)
	}
}
