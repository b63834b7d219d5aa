package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"tidings"
	"tidings/store"
)

// settleTime bounds the writing of a job's outcome, which happens after ctx has ended too.
const settleTime = 10 * time.Second

// settleEvery is how often writing it is tried meanwhile.
const settleEvery = 250 * time.Millisecond

// running is a job at work here.
type running struct {
	job    store.Job
	cancel context.CancelCauseFunc
	until  time.Time // when the lease surely still stands, by this process' clock
}

// claim takes as many jobs as there are hands free, and starts them.
func (j *Jobs) claim(ctx context.Context, wg *sync.WaitGroup) error {
	free := map[string]int{}
	j.mu.Lock()
	for name, k := range j.kinds {
		if n := k.concurrency - k.busy; n > 0 {
			free[name] = n
		}
	}
	j.mu.Unlock()
	if len(free) == 0 {
		return nil
	}
	// The name is new with each claim, so that what an earlier claim of this process writes late is refused.
	name := j.o.Name + "#" + strconv.FormatInt(j.claims.Add(1), 10)
	// Counted from before the question, so that our idea of the lease ends before the store's.
	until := time.Now().Add(j.o.Lease)
	taken, err := j.queue.ClaimJobs(ctx, name, free, j.o.Lease)
	if err != nil {
		return err
	}
	for _, job := range taken {
		jobCtx, cancel := context.WithCancelCause(ctx)
		r := &running{job: job, cancel: cancel, until: until}
		j.mu.Lock()
		k := j.kinds[job.Kind]
		k.busy++
		if old := j.running[job.ID]; old != nil {
			old.cancel(tidings.ErrLeaseLost) // Its lease ran out before we noticed.
		}
		j.running[job.ID] = r
		j.mu.Unlock()
		wg.Go(func() {
			defer cancel(nil)
			j.work(jobCtx, k, r)
			j.mu.Lock()
			k.busy--
			if j.running[job.ID] == r {
				delete(j.running, job.ID)
			}
			j.mu.Unlock()
			j.nudge()
		})
	}
	return nil
}

// work runs a job's handler and writes down how it went.
func (j *Jobs) work(ctx context.Context, k *kind, r *running) {
	log := j.log.With("kind", r.job.Kind, "key", r.job.Key, "job", r.job.ID, "attempt", r.job.Attempt)
	began := time.Now()
	err := protect(ctx, k.handle, r.job)
	took := time.Since(began)

	lost := errors.Is(context.Cause(ctx), tidings.ErrLeaseLost)
	stopping := ctx.Err() != nil && !lost
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	var outcome string
	var settle func() error
	var said interface{ RetryAfter() time.Duration }
	dead := (*deadError)(nil)
	switch {
	case lost:
		outcome = "lost"
		log.Warn("another worker has taken the job over")
	case err == nil:
		outcome = "done"
		settle = func() error { _, err := j.queue.FinishJob(ctx, r.job); return err }
	case stopping || errors.Is(err, ErrYield):
		outcome = "released"
		settle = func() error { return j.queue.ReleaseJob(ctx, r.job, errors.Is(err, ErrYield)) }
	case errors.As(err, &dead):
		outcome = "dead"
		log.Error("the job cannot be done", "err", err)
		settle = func() error { _, err := j.queue.BuryJob(ctx, r.job, err); return err }
	case errors.As(err, &said):
		outcome = "waits"
		settle = func() error { return j.retry(ctx, r.job, said.RetryAfter(), err, true) }
	case r.job.Attempt >= r.job.Tries:
		outcome = "dead"
		log.Error("the job has failed too often", "err", err)
		settle = func() error { _, err := j.queue.BuryJob(ctx, r.job, err); return err }
	default:
		outcome = "failed"
		wait := j.o.Backoff(r.job.Attempt)
		log.Warn("the job has failed and is tried again", "wait", wait, "err", err)
		settle = func() error { return j.retry(ctx, r.job, wait, err, false) }
	}
	j.metrics.ended(r.job.Kind, outcome, took)
	if settle == nil {
		return
	}
	// A database that is only restarted must not cost the rest of the lease.
	wrote := settle()
	for wrote != nil && !errors.Is(wrote, tidings.ErrLeaseLost) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(settleEvery):
			wrote = settle()
		}
	}
	switch {
	case errors.Is(wrote, tidings.ErrLeaseLost):
		log.Warn("another worker has taken the job over")
	case wrote != nil:
		// The lease runs out and the job is done again.
		log.Warn("the job's outcome could not be written", "outcome", outcome, "err", wrote)
	}
}

func (j *Jobs) retry(ctx context.Context, job store.Job, wait time.Duration, cause error, free bool) error {
	err := j.queue.RetryJob(ctx, job, wait, cause, free)
	if wait < j.o.Poll {
		time.AfterFunc(wait+time.Millisecond, j.nudge)
	}
	return err
}

// protect calls a handler and turns a panic into an error: one bad job must not end the process.
func protect(ctx context.Context, h Handler, job store.Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, job)
}

// keepLeases renews the leases of what runs here, and stops what is no longer ours: two must not do the same job.
func (j *Jobs) keepLeases(ctx context.Context) {
	every := time.NewTicker(j.o.Lease / 3)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		j.renew(ctx)
	}
}

func (j *Jobs) renew(ctx context.Context) {
	j.mu.Lock()
	mine := make([]*running, 0, len(j.running))
	jobs := make([]store.Job, 0, len(j.running))
	for _, r := range j.running {
		mine, jobs = append(mine, r), append(jobs, r.job)
	}
	j.mu.Unlock()
	if len(jobs) == 0 {
		return
	}
	until := time.Now().Add(j.o.Lease)
	ask, cancel := context.WithTimeout(ctx, j.o.Lease/6)
	held, err := j.queue.RenewJobs(ask, jobs, j.o.Lease)
	cancel()
	if err != nil && ctx.Err() == nil {
		j.log.Warn("leases of jobs cannot be renewed", "err", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range mine {
		switch {
		case err == nil && slices.Contains(held, r.job.ID):
			r.until = until
		case err == nil && j.running[r.job.ID] == r, err != nil && time.Until(r.until) < j.o.Lease/3:
			// In the second case nobody has taken it yet, but somebody may before we can ask again.
			r.cancel(tidings.ErrLeaseLost)
		}
	}
}
