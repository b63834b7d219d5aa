// Package ingest is the one door for what happens on Discord, whatever the source. It puts each event into the lane of its
// channel, records what has piled up there in one transaction, and tells the hub what really changed: store, commit, then
// tell. Changes of guilds, channels, roles and members are barriers for their guild.
//
// What an event means is for the root package to say, how it is written for store, and who hears of it for hub.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"tidings"
)

// Recorder stores events and returns what they changed. It is *store.Store.
type Recorder interface {
	// Record stores the events of some lanes, in order, and the marks, in one transaction. Recording the same event again
	// changes nothing. An error that is [tidings.ErrUnavailable] means that trying again will help.
	Record(ctx context.Context, events []tidings.Event, marks []tidings.Mark) (tidings.Result, error)
	// RecordBarrier stores one event whose Barrier method answers true.
	RecordBarrier(ctx context.Context, ev tidings.Event, marks []tidings.Mark) (tidings.Result, error)
	// Concerns reports whether a barrier may change anything. News of members who never signed in cannot, and they are by
	// far the most of a big guild's.
	Concerns(ctx context.Context, ev tidings.Event) (bool, error)
	// SaveMarks stores how far gateway sessions are committed.
	SaveMarks(ctx context.Context, marks []tidings.Mark) error
	// DeadLetter keeps an event that can never be recorded, and opens a gap where it belongs, or has nobody see its guild until that
	// is read again. Where the event itself is refused, the gap or the doubt is written without it.
	DeadLetter(ctx context.Context, ev tidings.Event, cause error) (tidings.Result, error)
}

// Teller is told what was committed. It is *hub.Hub. Tell must not wait for anybody.
type Teller interface {
	Tell(ctx context.Context, r tidings.Result)
}

// Options of an [Ingest]; the zero value serves.
type Options struct {
	// Workers record lanes side by side; a channel's lane always has the same one. 0 means 4: more only contend for
	// the disk's flush.
	Workers int
	// Batch is the most events of one transaction. 0 means 500, where multi-row inserts stop getting cheaper.
	Batch int
	// Waiting is the most events that wait or are being recorded; Put waits beyond it. 0 means 20,000.
	Waiting int64
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none
	// Trace is told how each event of a channel went through, once it was told; nil costs nothing. It must not wait for anybody.
	Trace func(Passage)
}

// Passage is an event's way through the door.
type Passage struct {
	Event tidings.Event
	Taken time.Time // it was put in
	Begun time.Time // its batch began to be recorded, the last time when it was tried again
	Done  time.Time // it was committed
	Told  time.Time // the hub had it
	Batch int       // how many events were recorded with it
}

// ErrClosed is returned by Put once the service is stopping.
var ErrClosed = errors.New("ingest is stopping")

// drainTime is how long a stopping Ingest goes on recording what it has taken. What it cannot finish is not lost: its
// sequence was never committed, so Discord sends it again.
const drainTime = 10 * time.Second

// Ingest is the door. Make one with [New], start it with Run.
type Ingest struct {
	recorder Recorder
	teller   Teller
	o        Options
	log      *slog.Logger
	metrics  *metrics

	room  *semaphore.Weighted // one unit for each event between Put and its commit
	marks tracker

	mu       sync.Mutex
	gates    map[gateKey]*gate
	lanes    []*lane
	barriers *lane
	closed   bool

	aside  chan struct{}  // a token for each event whose dead letter was refused
	trying sync.WaitGroup // those who try to keep them

	life context.Context // ends with Run
	end  context.CancelFunc
}

// New returns an Ingest that stores with r and tells t. Run starts it; Put may be called before and waits.
func New(r Recorder, t Teller, o Options) *Ingest {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.Waiting <= 0 {
		o.Waiting = 20_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	life, end := context.WithCancel(context.Background())
	i := &Ingest{
		life: life, end: end,
		recorder: r, teller: t, o: o, log: o.Log, metrics: newMetrics(o.Metrics),
		room:  semaphore.NewWeighted(o.Waiting),
		gates: map[gateKey]*gate{}, barriers: newLane(), aside: make(chan struct{}, maxAside),
	}
	for range o.Workers {
		i.lanes = append(i.lanes, newLane())
	}
	return i
}

// Put takes an event in. It waits while too many are on their way, and returns before the event is stored; events of one
// channel are stored in the order of their Puts. The error is ctx's, or [ErrClosed].
func (i *Ingest) Put(ctx context.Context, ev tidings.Event) error {
	return i.put(ctx, &item{ev: ev})
}

// Commit takes events in and waits until all are committed, or kept as dead letters. It is for those who must know, such as
// a job that closes a gap: an error says that one of them is kept nowhere, and they bring it again.
func (i *Ingest) Commit(ctx context.Context, evs ...tidings.Event) error {
	committed := make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(evs)) + 1) // one for this call itself, so that it cannot reach 0 in the middle
	var lost atomic.Pointer[error]
	done := func(err error) {
		if err != nil {
			lost.Store(&err)
		}
		if left.Add(-1) == 0 {
			close(committed)
		}
	}
	for _, ev := range evs {
		if err := i.put(ctx, &item{ev: ev, done: done}); err != nil {
			return err
		}
	}
	done(nil)
	select {
	case <-committed:
		if err := lost.Load(); err != nil {
			return *err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-i.life.Done():
		return ErrClosed
	}
}

// DeadLetter keeps an event that cannot be recorded, such as one that was not even understood, and tells at once of whom that shuts
// out. It does not wait for what was put before.
func (i *Ingest) DeadLetter(ctx context.Context, ev tidings.Event, cause error) error {
	r, err := i.recorder.DeadLetter(ctx, ev, cause)
	if err == nil && len(r.Access) > 0 {
		i.teller.Tell(ctx, r)
	}
	return err
}

// Settle waits until everything is committed that was put of a mark's session so far. It is for those who must know that nothing
// below a sequence is under way any more.
func (i *Ingest) Settle(ctx context.Context, m tidings.Mark) error {
	seqs := i.marks.underWay(m)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if i.marks.settled(m, seqs) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-i.life.Done():
			return ErrClosed
		}
	}
}

// Flush is Settle, and has the database know how far the session is committed, which it is told somewhat later otherwise; 0 when nothing
// of it was put. It is for who leaves the session to another process: that goes on from what the database knows.
func (i *Ingest) Flush(ctx context.Context, m tidings.Mark) (upTo int64, err error) {
	if err := i.Settle(ctx, m); err != nil {
		return 0, err
	}
	marks := i.marks.unsaved()
	if err := i.recorder.SaveMarks(ctx, marks); err != nil {
		return 0, err
	}
	i.marks.saved(marks)
	return i.marks.upTo(m), nil
}

func (i *Ingest) put(ctx context.Context, it *item) error {
	if ev := it.ev; ev.Barrier() {
		// A person who signs in right now is asked about at Discord afterwards, so skipping loses nothing.
		if may, err := i.recorder.Concerns(ctx, ev); err == nil && !may {
			i.marks.given(ev.Mark)
			i.marks.committed(ev.Mark)
			if it.done != nil {
				it.done(nil)
			}
			return nil
		}
	}
	if !i.room.TryAcquire(1) {
		if err := i.waitForRoom(ctx); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		i.room.Release(1)
		return ErrClosed
	}
	i.marks.given(it.ev.Mark)
	i.metrics.taken(it.ev)
	if i.o.Trace != nil {
		it.taken = time.Now()
	}
	g := i.gateOf(it.ev)
	g.held = append(g.held, it)
	i.advance(g)
	return nil
}

func (i *Ingest) waitForRoom(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(i.life, func() { cancel(ErrClosed) })
	defer stop()
	if err := i.room.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Run records until ctx ends, then finishes what it has taken, for ten seconds at most.
func (i *Ingest) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var g errgroup.Group
	for _, l := range i.lanes {
		g.Go(func() error { i.runLane(work, l); return nil })
	}
	for range 2 { // guilds' barriers go side by side, a guild's own one after another
		g.Go(func() error { i.runBarriers(work); return nil })
	}
	g.Go(func() error { i.flushMarks(work); return nil })

	<-ctx.Done()
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	drained, stop := context.WithTimeout(work, drainTime)
	defer stop()
	// When all units are back, nothing is on its way any more.
	if err := i.room.Acquire(drained, i.o.Waiting); err == nil {
		i.room.Release(i.o.Waiting)
	} else {
		i.log.Warn("stopped before everything was stored; what is missing will be sent again")
	}
	cancel()
	for _, l := range append(i.lanes, i.barriers) {
		l.close()
	}
	err := g.Wait()
	i.trying.Wait()
	i.end()
	return err
}

// flushMarks stores committed sequences that no later batch carried: of two lanes that commit at the same time, neither
// knows yet that the other's events are in.
func (i *Ingest) flushMarks(ctx context.Context) {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for stopping := false; !stopping; {
		save := ctx
		select {
		case <-t.C:
		case <-ctx.Done():
			var cancel context.CancelFunc
			save, cancel = context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			stopping = true
		}
		if marks := i.marks.unsaved(); len(marks) > 0 {
			if err := i.recorder.SaveMarks(save, marks); err != nil {
				i.log.Warn("saving how far the gateway is committed; a restart would replay more", "err", err)
				continue
			}
			i.marks.saved(marks)
		}
	}
}
