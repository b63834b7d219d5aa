package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tidings"
)

// lane is a queue that one worker takes from in batches. It has no bound of its own: Ingest.room bounds all of them.
type lane struct {
	mu     sync.Mutex
	queue  []*item
	ready  chan struct{} // one token while there may be something
	closed chan struct{}
	once   sync.Once
}

func newLane() *lane {
	return &lane{ready: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (l *lane) push(it *item) {
	l.mu.Lock()
	l.queue = append(l.queue, it)
	l.mu.Unlock()
	l.wake()
}

func (l *lane) wake() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

func (l *lane) close() { l.once.Do(func() { close(l.closed) }) }

// take waits for something and returns up to n items; nil when the lane is closed. Whoever comes while a batch is being
// recorded leaves with the next: batches grow with the load and add no delay without it.
func (l *lane) take(n int) []*item {
	for {
		select {
		case <-l.closed:
			return nil
		case <-l.ready:
		}
		l.mu.Lock()
		n := min(n, len(l.queue))
		batch := slices.Clone(l.queue[:n])
		clear(l.queue[:n]) // so that the array does not keep them
		l.queue = l.queue[n:]
		left := len(l.queue) > 0
		if !left {
			l.queue = nil
		}
		l.mu.Unlock()
		if left {
			l.wake()
		}
		if len(batch) > 0 {
			return batch
		}
	}
}

func (i *Ingest) runLane(ctx context.Context, l *lane) {
	for {
		batch := l.take(i.o.Batch)
		if batch == nil {
			return
		}
		i.record(ctx, batch)
	}
}

// record stores a batch and tells what it changed. A batch that cannot be stored is halved until the event that is to blame
// stands alone; that one becomes a dead letter and the others go on.
func (i *Ingest) record(ctx context.Context, batch []*item) {
	events := make([]tidings.Event, len(batch))
	for n, it := range batch {
		events[n] = it.ev
	}
	err := i.persist(ctx, len(batch) == 1, func() error {
		marks := i.marks.due(events)
		begun := time.Now()
		r, err := i.recorder.Record(ctx, events, marks)
		if err != nil {
			return err
		}
		done := time.Now()
		i.marks.saved(marks)
		i.metrics.recorded(events)
		i.teller.Tell(ctx, r)
		if i.o.Trace != nil {
			told := time.Now()
			for _, it := range batch {
				i.o.Trace(Passage{Event: it.ev, Taken: it.taken, Begun: begun, Done: done, Told: told, Batch: len(batch)})
			}
		}
		return nil
	})
	switch {
	case err == nil:
		i.finish(batch)
	case ctx.Err() != nil:
		return // not committed: Discord, or the job, will say it again
	case len(batch) > 1:
		half := len(batch) / 2
		i.record(ctx, batch[:half])
		i.record(ctx, batch[half:])
	default:
		i.bury(ctx, batch[0], err)
	}
}

func (i *Ingest) runBarriers(ctx context.Context) {
	for {
		batch := i.barriers.take(1)
		if batch == nil {
			return
		}
		it := batch[0]
		err := i.persist(ctx, true, func() error {
			marks := i.marks.due([]tidings.Event{it.ev})
			r, err := i.recorder.RecordBarrier(ctx, it.ev, marks)
			if err != nil {
				return err
			}
			i.marks.saved(marks)
			i.teller.Tell(ctx, r)
			return nil
		})
		switch {
		case err == nil:
			i.finish(batch)
		case ctx.Err() == nil:
			i.bury(ctx, it, err)
		}
	}
}

// bury keeps an event that cannot be recorded as a dead letter, so that it counts as handled without being lost.
//
// Where even the gap is refused that a letter leaves, which is numbers alone, it is the database's doing and not the event's.
// The event is not finished then, or its sequence would be committed with nothing to show for it. Whoever waits for it is told, and brings
// it again. Any other is laid aside and tried again without end while its lane goes on: what is broken may be one table or one row,
// and one event must stop nobody who can go on. Its sequence stays open: after a crash it is told again, and until it is
// kept nobody is told that all is committed; a shard that resumes meanwhile waits (see Settle). At most maxAside lie there. Where all
// are refused the lanes wait, in order, as they do while the database is away.
func (i *Ingest) bury(ctx context.Context, it *item, cause error) {
	i.log.Error("an event cannot be stored and is kept as a dead letter",
		"guild", it.ev.Guild, "channel", it.ev.Channel, "source", it.ev.Source.String(), "err", cause)
	i.metrics.dead.Inc()
	err := i.persist(ctx, false, func() error { return i.DeadLetter(ctx, it.ev, cause) })
	switch {
	case ctx.Err() != nil:
	case err == nil:
		i.finish([]*item{it})
	case it.done != nil:
		it.lost = fmt.Errorf("an event of channel %d cannot be stored: %w", it.ev.Channel, err)
		i.finish([]*item{it})
	default:
		i.layAside(ctx, it, cause, err)
	}
}

// maxAside is how many events wait at most, beside the lanes, for a database that refuses even their dead letters.
const maxAside = 100

func (i *Ingest) layAside(ctx context.Context, it *item, cause, refused error) {
	select {
	case i.aside <- struct{}{}:
	case <-ctx.Done():
		return
	}
	i.log.Error("the database refuses the dead letter too; it is tried again until it is kept",
		"guild", it.ev.Guild, "channel", it.ev.Channel, "err", refused)
	// What comes after a change of who may read what must not be seen by those whom it shuts out: such a one holds its guild.
	// Of any other nothing is told, so its guild's changes need not wait for it.
	if !it.ev.Barrier() {
		i.mu.Lock()
		i.pass(it)
		i.mu.Unlock()
	}
	i.trying.Go(func() {
		defer func() { <-i.aside }()
		for try := 0; ; try++ {
			select {
			case <-ctx.Done():
				return // not committed: Discord will say it again
			case <-time.After(5 * backoff(try)):
			}
			if i.DeadLetter(ctx, it.ev, cause) == nil {
				i.log.Info("a dead letter that was refused is kept now", "guild", it.ev.Guild, "channel", it.ev.Channel)
				i.finish([]*item{it})
				return
			}
		}
	})
}

// persist runs f until it succeeds, ctx ends or trying again cannot help. An absent database is waited for without end: the
// queues before this one are bounded, and their overflow has its own cure. Other errors are tried again a few times when
// the event stands alone, for it would be buried next.
func (i *Ingest) persist(ctx context.Context, alone bool, f func() error) error {
	away := false
	for try := 0; ; try++ {
		err := f()
		if err == nil {
			if away {
				i.log.Info("the database is back; storing goes on")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, tidings.ErrUnavailable) && (!alone || try >= 2) {
			return err
		}
		if !away && errors.Is(err, tidings.ErrUnavailable) {
			i.log.Warn("the database is away; events wait", "err", err)
			away = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff(try)):
		}
	}
}

// backoff returns 25 to 50 ms at first, doubled with each try, 1 to 2 s at most.
func backoff(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try, 10), 2*time.Second)
	return d/2 + rand.N(d/2)
}
