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
