package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

var errOdd = errors.New("invalid byte sequence")

// refusing is a database that stores neither some events nor their dead letters.
func refusing(poison func(ev tidings.Event) bool) *fakeStore {
	f := &fakeStore{refuse: errors.New("index is corrupted")}
	f.fail = func(ev tidings.Event) error {
		if poison(ev) {
			return errOdd
		}
		return nil
	}
	return f
}

// look calls fn with what f holds now.
func (f *fakeStore) look(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// What is kept nowhere is not finished, and is nobody's trouble but its own: its lane, its channel and its guild go on.
func TestAnEventWhoseDeadLetterIsRefusedIsNotLostAndStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := refusing(func(ev tidings.Event) bool { return ev.Mark.Seq == 30 })
		i, stop := run(t, f, Options{Workers: 1})
		for n := range 100 {
			put(t, i, message(1, 1, discord.MessageID(n+1), int64(n+1)))
		}
		put(t, i, barrier(1, 7, 101), message(1, 1, 102, 102))
		time.Sleep(time.Hour)
		f.look(func() {
			for _, line := range []string{"stored 1/31", "stored 1/100", "stored barrier 7", "stored 1/102"} {
				if !slices.Contains(f.log, line) {
					t.Errorf("%q is not in the log: it waits for an event that is none of its business", line)
				}
			}
			if f.mark != 29 {
				t.Errorf("sequence %d counts as committed while 30 is kept nowhere, want 29", f.mark)
			}
			f.refuse = nil
		})
		time.Sleep(time.Minute)
		f.look(func() {
			if !slices.Equal(f.dead, []discord.MessageID{30}) || f.mark != 102 {
				t.Errorf("once letters are kept again: dead %v, committed up to %d; want [30] and 102", f.dead, f.mark)
			}
		})
		stop()
	})
}

// Who may read what is not known where a change of it is kept nowhere: its guild waits, and no other.
func TestAChangeWhoseDeadLetterIsRefusedHoldsItsGuildAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := refusing(func(ev tidings.Event) bool { return ev.Barrier() && ev.Guild == 1 })
		i, stop := run(t, f, Options{Workers: 1})
		for n := range int64(4) { // more than there are workers for barriers
			put(t, i, barrier(1, discord.RoleID(n+1), n+1))
		}
		put(t, i, message(1, 1, 5, 5), message(2, 2, 6, 6), barrier(2, 9, 7))
		time.Sleep(time.Hour)
		f.look(func() {
			if slices.Contains(f.log, "stored 1/5") {
				t.Error("a message was told after a change of who may read it that is kept nowhere")
			}
			if !slices.Contains(f.log, "stored 2/6") || !slices.Contains(f.log, "stored barrier 9") {
				t.Errorf("the log is %q, want another guild's message and change in it", f.log)
			}
			f.refuse = nil
		})
		time.Sleep(time.Minute)
		f.look(func() {
			told := slices.Index(f.log, "told of access")
			if at := slices.Index(f.log, "stored 1/5"); told < 0 || at < told || f.mark != 7 {
				t.Errorf("the log is %q up to %d, want the doubt told before message 5, up to 7", f.log, f.mark)
			}
		})
		stop()
	})
}

// A database that takes nothing is waited for, whatever it answers.
func TestADatabaseThatRefusesEverythingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuses := true
		f := refusing(func(tidings.Event) bool { return refuses })
		i, stop := run(t, f, Options{Workers: 1, Waiting: 1000})
		const all = 600
		for n := range all {
			put(t, i, message(1, 1, discord.MessageID(n+1), int64(n+1)))
		}
		time.Sleep(time.Hour)
		f.look(func() {
			if len(f.log) != 0 || len(f.dead) != 0 || f.mark != 0 {
				t.Errorf("%q, dead %v, committed up to %d while nothing can be stored", f.log, f.dead, f.mark)
			}
			refuses, f.refuse = false, nil
		})
		time.Sleep(time.Minute)
		stop()
		var stored []string
		for _, line := range f.log {
			if line[0] == 's' {
				stored = append(stored, line)
			}
		}
		var want []string
		for id := all - len(stored) + 1; id <= all; id++ {
			want = append(want, fmt.Sprintf("stored 1/%d", id))
		}
		if len(stored)+len(f.dead) != all || !slices.Equal(stored, want) || f.mark != all {
			t.Errorf("%d are stored and %d dead, up to %d; want %d together, and what is stored in order", len(stored), len(f.dead), f.mark, all)
		}
		if len(f.dead) > all/4 {
			t.Errorf("%d of %d became dead letters, want few: most can be stored", len(f.dead), all)
		}
	})
}

// A job that closes a gap, or takes a webhook in, must not count as done.
func TestWhoCommitsAnEventThatIsKeptNowhereIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := refusing(func(ev tidings.Event) bool { return ev.Channel == 2 })
		i, stop := run(t, f, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := i.Commit(ctx, message(1, 1, 1, 0), message(1, 2, 2, 0)); !errors.Is(err, f.refuse) {
			t.Errorf("Commit() = %v, want that the second is kept nowhere", err)
		}
		if !slices.Contains(f.log, "stored 1/1") {
			t.Error("the first is not stored")
		}
		stop()
	})
}
