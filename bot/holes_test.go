package bot

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// ledger keeps in one list what is noted and which messages were put, because their order is what counts.
type ledger struct {
	*memory
	notes []string
	heard int // how often a session was vouched for
}

func (l *ledger) Put(ctx context.Context, ev tidings.Event) error {
	if b, ok := ev.Body.(tidings.MessageCreated); ok {
		l.note(fmt.Sprintf("message %d", b.Message.ID))
	}
	return l.memory.Put(ctx, ev)
}

func (l *ledger) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, what)
	l.bump()
}

func (l *ledger) Listening(_ context.Context, _ tidings.GatewaySession, on bool) error {
	l.note(fmt.Sprintf("listening %t", on))
	return nil
}

func (l *ledger) Heard(_ context.Context, g tidings.GatewaySession, _ tidings.ShardHealth) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.Session == "A" {
		l.heard++
	}
	l.bump()
	return nil
}

func (l *ledger) NoteHole(_ context.Context, _ tidings.GatewaySession, seq int64, _ discord.MessageID) error {
	l.note(fmt.Sprintf("hole %d", seq))
	return nil
}

func keepLedger(t *testing.T, f *fake, patient bool) *ledger {
	l := &ledger{memory: newMemory()}
	begin(t, f, l.memory, func(b *Bot) {
		b.sink, b.ledger = l, l
		b.pace.holeFresh = 0
		if patient {
			b.pace.hole = time.Hour
		}
	})
	return l
}

func (l *ledger) wait(t *testing.T, want ...string) {
	t.Helper()
	l.until(t, fmt.Sprint(want), func() bool { return slices.Equal(l.notes, want) })
}

func TestAHoleIsNotedBeforeWhatCameAfterIt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := keepLedger(t, f, true)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(2, "MESSAGE_CREATE", message9(100))
	c.dispatch(4, "MESSAGE_CREATE", message9(102)) // 3 is late
	c.dispatch(3, "MESSAGE_CREATE", message9(101))
	l.wait(t, "message 100", "hole 3", "message 102", "message 101", "hole 0")
}

func TestAHoleThatAResumeFillsIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := keepLedger(t, f, false)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(3, "MESSAGE_CREATE", message9(102))
	c = f.dialed(t) // it asks for what is missing
	c.expectResume("A", 1)
	c.dispatch(2, "MESSAGE_CREATE", message9(101))
	c.dispatch(3, "MESSAGE_CREATE", message9(102))
	c.dispatch(4, "RESUMED", `{}`)
	l.wait(t, "hole 2", "message 102", "listening false", "message 101", "message 102", "listening true", "hole 0")
}

func TestASessionThatLeavesAnEventOutTwiceIsGivenUp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := keepLedger(t, f, false)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	c.dispatch(3, "MESSAGE_CREATE", message9(102))
	c = f.dialed(t)
	c.expectResume("A", 1)
	c.dispatch(3, "MESSAGE_CREATE", message9(102))
	c.dispatch(4, "RESUMED", `{}`)
	c = f.dialed(t)
	c.expect(2) // a new session, in which everything is shown afresh
	c.ready("B", 7)
	l.until(t, "the new session is stored", func() bool { return l.session.Session == "B" })
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.notes, "hole 0") {
		t.Errorf("notes are %v: the hole was forgotten although nothing filled it", l.notes)
	}
}

// A shard says again and again that it still hears everything, unless Discord leaves a heartbeat without an answer.
func TestAShardVouchesForItselfWhileDiscordAnswers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := &ledger{memory: newMemory()}
	begin(t, f, l.memory, func(b *Bot) {
		b.sink, b.ledger = l, l
		b.pace.heard, b.pace.prompt = time.Millisecond, 0
	})
	c := f.greet(t, 9*time.Minute)
	c.expect(2)
	c.ready("A", 7)
	more := func(what string) {
		t.Helper()
		var was int
		l.mu.Lock()
		was = l.heard
		l.mu.Unlock()
		l.until(t, what, func() bool { return l.heard > was+2 })
	}
	more("the shard vouches for itself")
	c.send(`{"op":1,"d":null}`)
	if beat := <-c.got; beat.Op != opHeartbeat {
		t.Fatalf("got op %d, want a heartbeat", beat.Op)
	}
	l.mu.Lock()
	was := l.heard
	l.mu.Unlock()
	for n := range 100 { // Each takes a while; the connection is well but for its heartbeat.
		c.dispatch(int64(n+2), "MESSAGE_CREATE", message9(100+n))
		l.until(t, "a message is put", func() bool { return len(l.events) > n })
	}
	l.mu.Lock()
	if l.heard > was+1 { // One may have been under way.
		t.Errorf("the shard vouched for itself %d times without an answer to its heartbeat", l.heard-was)
	}
	l.mu.Unlock()
	c.send(`{"op":11}`)
	more("the shard vouches for itself again")
}

// behind resumes a session in which frames are told while nothing is worked off, and returns what lets it go on.
func (l *ledger) behind(t *testing.T, c *fakeConn, b *Bot, frames func()) (goOn func()) {
	t.Helper()
	block := make(chan struct{})
	l.mu.Lock()
	l.block = block
	l.mu.Unlock()
	c.expectResume("A", 1)
	c.dispatch(2, "MESSAGE_CREATE", message9(101))
	frames()
	l.until(t, "a message is on its way", func() bool { return slices.Contains(l.notes, "message 101") })
	for late := time.After(patience); b.Status().Shards[0].Resumes == 0; time.Sleep(time.Millisecond) {
		select {
		case <-late:
			t.Fatal("the session was not resumed")
		default:
		}
	}
	return func() {
		l.mu.Lock()
		l.block = nil
		l.mu.Unlock()
		close(block)
	}
}

// What a replay tells and nobody can place is as good as left out, also where the replay is over before it was looked at.
func TestWhatCannotBePlacedIsNotForgottenWithTheReplay(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := &ledger{memory: newMemory()}
	var bot *Bot
	begin(t, f, l.memory, func(b *Bot) {
		bot, b.sink, b.ledger, b.dead = b, l, l, l
		b.pace.holeFresh = 0
	})
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	l.until(t, "the session is stored", func() bool { return l.session.Session == "A" })
	c.drop()
	c = f.dialed(t)
	l.behind(t, c, bot, func() {
		c.dispatch(3, "MESSAGE_CREATE", `{"guild_id":{},"channel_id":[]}`)
		c.dispatch(4, "MESSAGE_CREATE", message9(102))
		c.dispatch(5, "RESUMED", `{}`)
	})()
	c = f.dialed(t)
	c.expect(2) // a new session, in which everything is shown afresh
	c.ready("B", 7)
	l.until(t, "the new session is stored", func() bool { return l.session.Session == "B" })
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.notes, "hole 3") || slices.Contains(l.notes, "hole 0") {
		t.Errorf("notes are %v, want a hole at 3 that stays", l.notes)
	}
}

// A connection that has ended does not listen, also where its beginning is worked off after its end.
func TestAConnectionThatHasEndedDoesNotListen(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := &ledger{memory: newMemory()}
	var bot *Bot
	begin(t, f, l.memory, func(b *Bot) {
		bot, b.sink, b.ledger = b, l, l
		b.pace.drain = patience
	})
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	l.until(t, "the session is stored", func() bool { return l.session.Session == "A" })
	c.drop()
	c = f.dialed(t)
	goOn := l.behind(t, c, bot, func() { c.dispatch(3, "RESUMED", `{}`) })
	c.drop()
	off := func() (n int) {
		for _, note := range l.notes {
			if note == "listening false" {
				n++
			}
		}
		return n
	}
	l.until(t, "it is noted that nobody listens", func() bool { return off() == 2 })
	goOn()
	l.until(t, "the end stands", func() bool {
		i := slices.Index(l.notes, "listening true")
		return i >= 0 && slices.Contains(l.notes[i:], "listening false")
	})
}
