// Package jobs does the work that must happen although nobody waits for it: it takes jobs from the queue in the store, runs
// their handlers with bounds on number and time, tries again what failed, and enqueues what is due by the timetable.
//
// The queue is a table, so a job is enqueued in the transaction of its cause and survives everything. A job may run more than
// once: a handler leaves the same behind however often it runs, and goes on where it stopped. A running job is leased; the
// lease is renewed while its process lives and taken over when it does not.
//
// What the jobs do with Discord goes through an interface; what they find on Discord goes through ingest like everything else.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/store"
)

// Queue is where jobs wait. It is *store.Store, whose methods say what each does.
type Queue interface {
	ClaimJobs(ctx context.Context, claim string, free map[string]int, lease time.Duration) ([]store.Job, error)
	RenewJobs(ctx context.Context, jobs []store.Job, lease time.Duration) (held []int64, err error)
	FinishJob(ctx context.Context, j store.Job) (again bool, err error)
	BuryJob(ctx context.Context, j store.Job, cause error) (again bool, err error)
	RetryJob(ctx context.Context, j store.Job, wait time.Duration, cause error, free bool) error
	ReleaseJob(ctx context.Context, j store.Job, progressed bool) error
	ExpireJobs(ctx context.Context) (int, error)
	ReclaimJobs(ctx context.Context, name string) (int, error)
	EnqueueTick(ctx context.Context, j store.NewJob, tick time.Time) (fresh bool, err error)
	ListenJobs(ctx context.Context, wake func()) error
}

// Handler does one job. ctx ends when the service stops or the lease is lost, and the handler then returns soon; what it did
// so far stays, and the job runs again.
type Handler func(ctx context.Context, j store.Job) error

// Options adjusts a [Jobs]. The zero value is fine.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
	// Lease is how long a job stays with a process that is not heard of. It is renewed three times as often. Default 1 minute.
	Lease time.Duration
	// Poll is how often the queue is looked at although nothing woke us. Default 5 seconds.
	Poll time.Duration
	// Backoff is the wait after failed attempt number n, from 1. Default: 2 s doubling to an hour, with jitter.
	Backoff func(n int) time.Duration
	// Name tells this process from all others that run now. What an earlier process of the same name left running is done again
	// at once. Default: host and process id.
	Name string
}

// Jobs runs jobs. Handle and Schedule come before Run.
type Jobs struct {
	queue Queue
	o     Options
	log   *slog.Logger
	kinds map[string]*kind
	ticks []*tick

	claims  atomic.Int64
	wake    chan struct{}
	metrics metrics

	mu      sync.Mutex
	running map[int64]*running
}

type kind struct {
	handle      Handler
	concurrency int
	busy        int // guarded by Jobs.mu
}

// New makes a Jobs without handlers.
func New(q Queue, o Options) *Jobs {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lease <= 0 {
		o.Lease = time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.Backoff == nil {
		o.Backoff = exponential
	}
	if o.Name == "" {
		host, _ := os.Hostname()
		o.Name = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	return &Jobs{
		queue: q, o: o, log: o.Log, kinds: map[string]*kind{}, wake: make(chan struct{}, 1),
		running: map[int64]*running{}, metrics: newMetrics(o.Metrics),
	}
}

// Handle says who does a kind of job, and how many of them at once in this process.
func (j *Jobs) Handle(name string, h Handler, concurrency int) {
	j.kinds[name] = &kind{handle: h, concurrency: max(concurrency, 1)}
}

// Dead marks an error after which trying again is pointless: the job ends and stays to be seen.
func Dead(err error) error { return &deadError{err} }

type deadError struct{ error }

func (e *deadError) Unwrap() error { return e.error }

// RetryAfter marks an error after which Discord, or whoever it was, said how long to wait. It uses up none of the job's tries.
func RetryAfter(err error, wait time.Duration) error { return &waitError{err, wait} }

type waitError struct {
	error
	wait time.Duration
}

func (e *waitError) Unwrap() error             { return e.error }
func (e *waitError) RetryAfter() time.Duration { return e.wait }

// ErrYield is returned by a handler that has done its share: the job goes on after those that wait.
var ErrYield = errors.New("yield")

// exponential is the default backoff. Its jitter keeps jobs that failed together from coming back together.
func exponential(n int) time.Duration {
	d := min(2*time.Second<<min(n-1, 20), time.Hour)
	return d/2 + rand.N(d/2+1)
}

// Run takes and does jobs until ctx ends; those that run are then given back. It returns nil when all its goroutines have ended.
func (j *Jobs) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if n, err := j.queue.ReclaimJobs(ctx, j.o.Name); err != nil && ctx.Err() == nil {
		j.log.Warn("jobs that an earlier process left are done again later", "err", err)
	} else if n > 0 {
		j.log.Info("jobs that an earlier process left are done again", "jobs", n)
	}
	wg.Go(func() { j.listen(ctx) })
	wg.Go(func() { j.keepLeases(ctx) })
	wg.Go(func() { j.expire(ctx) })
	for _, t := range j.ticks {
		wg.Go(func() { j.tickTock(ctx, t) })
	}
	poll := time.NewTicker(j.o.Poll)
	defer poll.Stop()
	failing := false
	for {
		err := j.claim(ctx, &wg)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			j.log.Warn("jobs cannot be claimed", "err", err)
		case err == nil && failing:
			j.log.Info("jobs are claimed again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		case <-poll.C:
		}
	}
}

// nudge makes Run look at the queue.
func (j *Jobs) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// listen wakes Run when a job was asked for. Without it jobs are found by polling, only later.
func (j *Jobs) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := j.queue.ListenJobs(ctx, j.nudge); err != nil && ctx.Err() == nil {
			j.log.Warn("jobs are found by polling only for now", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(j.o.Poll):
		}
	}
}

// expire gives back the jobs of processes that were lost.
func (j *Jobs) expire(ctx context.Context) {
	every := time.NewTicker(j.o.Lease / 2)
	defer every.Stop()
	for {
		n, err := j.queue.ExpireJobs(ctx)
		if err != nil && ctx.Err() == nil {
			j.log.Warn("lost jobs cannot be looked for", "err", err)
		}
		if n > 0 {
			j.log.Warn("jobs of a lost worker are done again", "jobs", n)
			j.nudge()
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
