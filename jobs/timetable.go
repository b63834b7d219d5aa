package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"tidings"
	"tidings/store"
)

// tick is one line of the timetable.
type tick struct {
	job  store.NewJob
	next func(time.Time) time.Time
}

// lookBack is how far back a tick is made up for that passed while no process ran. Done jobs, whose keys tell that it need not
// be, are kept longer than that.
const lookBack = 24 * time.Hour

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseSchedule checks a cron expression: five fields, or six with the seconds first, or @hourly, @every 90s and the like. Times
// are UTC unless it begins with CRON_TZ=. It returns the function from a time to the next tick after it, which depends on
// nothing else, so that all processes agree about the ticks.
func ParseSchedule(spec string) (next func(time.Time) time.Time, err error) {
	// The library panics over a zone with nothing after it.
	if zone, rest, _ := strings.Cut(spec, " "); strings.Contains(zone, "TZ=") && strings.TrimSpace(rest) == "" {
		return nil, fmt.Errorf("%w schedule %q: nothing follows the zone", tidings.ErrInvalid, spec)
	}
	s, err := parser.Parse(spec)
	if err != nil {
		return nil, fmt.Errorf("%w schedule %q: %w", tidings.ErrInvalid, spec, err)
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return func(t time.Time) time.Time { return t.UTC().Truncate(every.Delay).Add(every.Delay) }, nil
	}
	return func(t time.Time) time.Time { return s.Next(t.UTC()) }, nil
}

// Schedule enqueues a job with every tick of a cron expression, once however many processes do so. A tick is left out while an
// earlier one's job is open; of the ticks that passed while no process ran, the last is made up for. One line a kind.
func (j *Jobs) Schedule(spec string, job store.NewJob) error {
	next, err := ParseSchedule(spec)
	if err != nil {
		return err
	}
	j.ticks = append(j.ticks, &tick{job, next})
	return nil
}

// tickTock enqueues a line's jobs until ctx ends.
func (j *Jobs) tickTock(ctx context.Context, t *tick) {
	at, ok := last(t.next, time.Now())
	if !ok {
		at = t.next(time.Now())
	}
	for !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if _, err := j.queue.EnqueueTick(ctx, t.job, at); err != nil && ctx.Err() == nil {
			// The same tick is asked for again until the next one is due; its key keeps it from being done twice.
			j.log.Warn("a job of the timetable could not be enqueued", "kind", t.job.Kind, "tick", at, "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(j.o.Poll):
			}
			if next := t.next(at); next.After(time.Now()) {
				continue
			}
		}
		at = t.next(at)
		// After a long sleep only the latest tick counts.
		if newer, ok := last(t.next, time.Now()); ok && newer.After(at) {
			at = newer
		}
	}
}

// last returns the latest tick that is not after now.
func last(next func(time.Time) time.Time, now time.Time) (at time.Time, ok bool) {
	// Steps of growing length back keep this short for ticks by the second.
	for back := time.Minute; ; back *= 8 {
		back = min(back, lookBack)
		for t := next(now.Add(-back)); !t.IsZero() && !t.After(now); t = next(t) {
			at, ok = t, true
		}
		if ok || back == lookBack {
			return at, ok
		}
	}
}
