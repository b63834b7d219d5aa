package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"go.uber.org/goleak"

	"tidings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore records in memory and fails where a test says so. It notes commits and tellings in one list, because their
// order is what the tests are about.
type fakeStore struct {
	mu      sync.Mutex
	log     []string
	mark    int64
	dead    []discord.MessageID
	fail    func(ev tidings.Event) error
	refuse  error // what DeadLetter answers
	delay   func(ev tidings.Event) time.Duration
	batches int
	marked  int // batches that came with marks
}

func name(ev tidings.Event) string {
	if ev.Barrier() {
		return fmt.Sprintf("barrier %d", ev.Body.(tidings.RoleGone).ID)
	}
	return fmt.Sprintf("%d/%d", ev.Channel, ev.Body.(tidings.MessageCreated).Message.ID)
}

func (f *fakeStore) record(events []tidings.Event, marks []tidings.Mark) (tidings.Result, error) {
	for _, ev := range events {
		if f.delay != nil {
			time.Sleep(f.delay(ev))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ev := range events {
		if f.fail != nil {
			if err := f.fail(ev); err != nil {
				return tidings.Result{}, err
			}
		}
	}
	f.batches++
	var r tidings.Result
	for _, ev := range events {
		f.log = append(f.log, "stored "+name(ev))
		r.Deltas = append(r.Deltas, tidings.Delta{Channel: ev.Channel})
	}
	f.keep(marks)
	if len(marks) > 0 {
		f.marked++
	}
	return r, nil
}

func (f *fakeStore) keep(marks []tidings.Mark) {
	for _, m := range marks {
		f.mark = max(f.mark, m.Seq)
	}
}

func (f *fakeStore) Record(_ context.Context, events []tidings.Event, marks []tidings.Mark) (tidings.Result, error) {
	return f.record(events, marks)
}

func (f *fakeStore) RecordBarrier(_ context.Context, ev tidings.Event, marks []tidings.Mark) (tidings.Result, error) {
	return f.record([]tidings.Event{ev}, marks)
}

func (f *fakeStore) Concerns(_ context.Context, ev tidings.Event) (bool, error) {
	_, member := ev.Body.(tidings.MemberSeen)
	return !member, nil
}

func (f *fakeStore) SaveMarks(_ context.Context, marks []tidings.Mark) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(marks)
	return nil
}

func (f *fakeStore) DeadLetter(_ context.Context, ev tidings.Event, _ error) (tidings.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return tidings.Result{}, f.refuse
	}
	if ev.Barrier() {
		f.log = append(f.log, "doubted")
		return tidings.Result{Access: []tidings.AccessChange{{Guild: ev.Guild}}}, nil
	}
	f.dead = append(f.dead, ev.Body.(tidings.MessageCreated).Message.ID)
	return tidings.Result{}, nil
}

func (f *fakeStore) Tell(_ context.Context, r tidings.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(r.Access) > 0 {
		f.log = append(f.log, "told of access")
		return
	}
	f.log = append(f.log, fmt.Sprintf("told %d", len(r.Deltas)))
}

func message(guild discord.GuildID, channel discord.ChannelID, id discord.MessageID, seq int64) tidings.Event {
	return tidings.Event{Guild: guild, Channel: channel, Mark: tidings.Mark{Session: "s", Epoch: 1, Seq: seq},
		Body: tidings.MessageCreated{Message: tidings.Message{Channel: channel, ID: id}}}
}

func barrier(guild discord.GuildID, role discord.RoleID, seq int64) tidings.Event {
	return tidings.Event{Guild: guild, Mark: tidings.Mark{Session: "s", Epoch: 1, Seq: seq}, Body: tidings.RoleGone{ID: role}}
}

// run starts an Ingest in the test's bubble and returns it with a function that stops it and waits.
func run(t *testing.T, f *fakeStore, o Options) (*Ingest, func()) {
	t.Helper()
	i := New(f, f, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	return i, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}
}

func put(t *testing.T, i *Ingest, evs ...tidings.Event) {
	t.Helper()
	for _, ev := range evs {
		if err := i.Put(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChannelsEventsAreStoredInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		i, stop := run(t, f, Options{Batch: 7})
		for n := range 1000 {
			put(t, i, message(1, discord.ChannelID(1+n%13), discord.MessageID(n+1), int64(n+1)))
		}
		stop()
		last := map[int]int{}
		stored := 0
		for _, line := range f.log {
			var c, id int
			if n, _ := fmt.Sscanf(line, "stored %d/%d", &c, &id); n != 2 {
				continue
			}
			if id <= last[c] {
				t.Fatalf("channel %d: %d was stored after %d", c, id, last[c])
			}
			last[c] = id
			stored++
		}
		if stored != 1000 || f.mark != 1000 {
			t.Errorf("stored %d events up to sequence %d, want 1000 and 1000", stored, f.mark)
		}
	})
}

func TestAQueueThatPilesUpLeavesInFewBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(tidings.Event) time.Duration { return time.Millisecond }}
		i, stop := run(t, f, Options{Workers: 1})
		for n := range 1001 {
			put(t, i, message(1, 1, discord.MessageID(n+1), int64(n+1)))
		}
		stop()
		if f.batches > 5 {
			t.Errorf("1001 events took %d transactions", f.batches)
		}
	})
}

// Each mark is a statement more, and a row at which lanes meet; what is told again after a crash is bounded by the pause.
func TestMarksDoNotGoWithEachBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		i, stop := run(t, f, Options{})
		for n := range int64(200) {
			put(t, i, message(1, discord.ChannelID(n%7+1), discord.MessageID(n+1), n+1))
			time.Sleep(10 * time.Millisecond)
			f.mu.Lock()
			if behind := n + 1 - f.mark; behind > 50 {
				t.Fatalf("after event %d the newest mark is %d, want it half a second old at most", n+1, f.mark)
			}
			f.mu.Unlock()
		}
		stop()
		if f.batches != 200 || f.marked > 12 || f.mark != 200 {
			t.Errorf("%d of %d batches had marks and the last is %d, want about one in 200 ms, and 200", f.marked, f.batches, f.mark)
		}
	})
}

// Who goes on with the session is told nothing again that was stored.
func TestAFlushKeepsHowFarASessionIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(ev tidings.Event) time.Duration { return time.Duration(ev.Mark.Seq%3) * 10 * time.Millisecond }}
		i, stop := run(t, f, Options{})
		defer stop()
		for n := range int64(50) {
			put(t, i, message(1, discord.ChannelID(n%7+1), discord.MessageID(n+1), n+1))
		}
		upTo, err := i.Flush(t.Context(), message(1, 1, 1, 0).Mark)
		if err != nil || upTo != 50 {
			t.Fatalf("Flush() = %d, %v, want 50", upTo, err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mark != 50 || len(f.log) < 50 {
			t.Errorf("after Flush() the mark is %d, want 50", f.mark)
		}
	})
}

// Scenario 5 of the design: deny, then a message, on different lanes.
func TestABarrierWaitsForWhatCameBeforeAndHoldsWhatComesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(ev tidings.Event) time.Duration {
			return time.Duration(ev.Mark.Seq%5) * 10 * time.Millisecond // lanes of different speed
		}}
		i, stop := run(t, f, Options{})
		var before, after []string
		for n := range 40 {
			ev := message(1, discord.ChannelID(n+1), 1, int64(n+1))
			before = append(before, "stored "+name(ev))
			put(t, i, ev)
		}
		put(t, i, barrier(1, 77, 41))
		for n := range 40 {
			ev := message(1, discord.ChannelID(n+1), 2, int64(n+42))
			after = append(after, "stored "+name(ev))
			put(t, i, ev)
		}
		stop()
		at := slices.Index(f.log, "stored barrier 77")
		for _, line := range before {
			if k := slices.Index(f.log, line); k < 0 || k > at {
				t.Errorf("%q at %d, want it before the barrier at %d", line, k, at)
			}
		}
		for _, line := range after {
			if k := slices.Index(f.log, line); k < at {
				t.Errorf("%q at %d, want it after the barrier at %d", line, k, at)
			}
		}
		if f.log[at+1] != "told 1" {
			t.Errorf("after the barrier came %q, want it told before anything else is stored", f.log[at+1])
		}
	})
}

func TestABarrierOfOneGuildHoldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(ev tidings.Event) time.Duration {
			if ev.Barrier() {
				return time.Hour
			}
			return 0
		}}
		i, stop := run(t, f, Options{})
		put(t, i, barrier(1, 5, 1), message(2, 20, 1, 2))
		synctest.Wait()
		f.mu.Lock()
		stored := slices.Contains(f.log, "stored 20/1")
		f.mu.Unlock()
		if !stored {
			t.Error("a message of another guild waits for the barrier")
		}
		time.Sleep(2 * time.Hour)
		stop()
	})
}

func TestNewsOfStrangersHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(tidings.Event) time.Duration { return time.Millisecond }}
		i, stop := run(t, f, Options{Workers: 1, Batch: 1000})
		for n := range int64(500) {
			put(t, i, message(1, 1, discord.MessageID(n+1), 2*n+1))
			put(t, i, tidings.Event{Guild: 1, Mark: tidings.Mark{Session: "s", Epoch: 1, Seq: 2*n + 2}, Body: tidings.MemberSeen{}})
		}
		stop()
		if f.batches > 5 || f.mark != 1000 {
			t.Errorf("500 messages took %d transactions and are committed up to %d, want few and 1000", f.batches, f.mark)
		}
	})
}

func TestAnEventThatCannotBeStoredBecomesADeadLetterAndTheRestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: func(ev tidings.Event) error {
			if m, ok := ev.Body.(tidings.MessageCreated); ok && m.Message.ID == 30 {
				return errors.New("invalid byte sequence")
			}
			return nil
		}}
		i, stop := run(t, f, Options{Workers: 1})
		for n := range 100 {
			put(t, i, message(1, 1, discord.MessageID(n+1), int64(n+1)))
		}
		time.Sleep(time.Minute)
		stop()
		stored := 0
		for _, line := range f.log {
			if line[0] == 's' {
				stored++
			}
		}
		if stored != 99 || !slices.Equal(f.dead, []discord.MessageID{30}) || f.mark != 100 {
			t.Errorf("stored %d, dead %v, committed up to %d; want 99, [30] and 100", stored, f.dead, f.mark)
		}
	})
}

// Who may see a guild is not known from the moment when a change of it could not be stored: that is told as soon as it is committed.
func TestADoubtIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: func(tidings.Event) error { return errors.New("invalid byte sequence") }}
		i, stop := run(t, f, Options{})
		put(t, i, barrier(1, 7, 1))
		time.Sleep(time.Minute)
		if err := i.DeadLetter(t.Context(), barrier(2, 8, 2), errors.New("not understood")); err != nil {
			t.Error(err)
		}
		stop()
		want := []string{"doubted", "told of access", "doubted", "told of access"}
		if !slices.Equal(f.log, want) || f.mark != 1 {
			t.Errorf("the log is %q up to %d, want %q and 1", f.log, f.mark, want)
		}
	})
}

func TestAnAbsentDatabaseIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		f := &fakeStore{fail: func(tidings.Event) error {
			if away {
				return fmt.Errorf("connect: %w", tidings.ErrUnavailable)
			}
			return nil
		}}
		i, stop := run(t, f, Options{Waiting: 10})
		put(t, i, message(1, 1, 1, 1), message(1, 1, 2, 2))
		time.Sleep(time.Hour)
		f.mu.Lock()
		if len(f.dead) != 0 || f.mark != 0 {
			t.Errorf("dead %v, mark %d while the database is away, want none", f.dead, f.mark)
		}
		away = false
		f.mu.Unlock()
		time.Sleep(3 * time.Second)
		f.mu.Lock()
		if f.mark != 2 {
			t.Errorf("committed up to %d after the database came back, want 2", f.mark)
		}
		f.mu.Unlock()
		stop()
	})
}

// Scenario 7 of the design: a sequence may count as committed only when everything before it is.
func TestTheCommittedSequenceNeverPassesAnEventThatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(ev tidings.Event) time.Duration {
			if ev.Mark.Seq == 3 {
				return time.Hour
			}
			return 0
		}}
		i, stop := run(t, f, Options{})
		for n := range 200 {
			put(t, i, message(1, discord.ChannelID(n+1), 1, int64(n+1)))
		}
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		if f.mark > 2 {
			t.Errorf("sequence %d counts as committed while 3 is not stored", f.mark)
		}
		f.mu.Unlock()
		time.Sleep(2 * time.Hour)
		f.mu.Lock()
		if f.mark != 200 {
			t.Errorf("committed up to %d in the end, want 200", f.mark)
		}
		f.mu.Unlock()
		stop()
	})
}

func TestCommitWaitsForTheTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{delay: func(tidings.Event) time.Duration { return time.Second }}
		i, stop := run(t, f, Options{})
		start := time.Now()
		if err := i.Commit(t.Context(), message(1, 1, 1, 0), message(1, 2, 1, 0)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < time.Second {
			t.Errorf("Commit returned after %v, before its events were stored", d)
		}
		stop()
		if err := i.Commit(t.Context(), message(1, 1, 2, 0)); !errors.Is(err, ErrClosed) {
			t.Errorf("Commit() after the end = %v, want %v", err, ErrClosed)
		}
	})
}

func TestAFullIngestMakesPutWaitAndLetsItGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: func(tidings.Event) error { return tidings.ErrUnavailable }}
		i, stop := run(t, f, Options{Waiting: 2})
		put(t, i, message(1, 1, 1, 1), message(1, 1, 2, 2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := i.Put(ctx, message(1, 1, 3, 3)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put() into a full Ingest = %v, want it to wait until its deadline", err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- i.Put(context.Background(), message(1, 1, 4, 4)) }()
		synctest.Wait()
		stop()
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("a waiting Put() at the end = %v, want %v", err, ErrClosed)
		}
	})
}
