package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// RetryKind is the kind of the job that tries again what has died.
const RetryKind = "retry-failed"

// Reviver brings back jobs that have died, after a delay that grows with each time. It is *store.Store.
type Reviver interface {
	Clock(ctx context.Context) (time.Time, error)
	ReviveDue(ctx context.Context, limit int) (int, error)
	DeadEvents(ctx context.Context, limit int) ([]store.DeadEvent, error)
	// EventRevived forgets an event that is stored now; EventStillDead puts it off.
	EventRevived(ctx context.Context, d store.DeadEvent) error
	EventStillDead(ctx context.Context, id int64, cause error) error
	Record(ctx context.Context, events []tidings.Event, marks []tidings.Mark) (tidings.Result, error)
}

// retriesAtOnce bounds one look.
const retriesAtOnce = 200

// Retry is the handler of [RetryKind]. Of a dead message it asks Discord how it is now: since it died it may have been changed or
// deleted, and nobody may have been told.
func Retry(r Reviver, rest Hydrator, tell func(context.Context, tidings.Result), log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := r.ReviveDue(ctx, retriesAtOnce)
		if err != nil {
			return err
		}
		dead, err := r.DeadEvents(ctx, retriesAtOnce)
		if err != nil {
			return err
		}
		stored := 0
		for _, d := range dead {
			// Not through the door, which would bury it a second time.
			ev, err := asItIsNow(ctx, r, rest, d)
			var result tidings.Result
			if err == nil {
				result, err = r.Record(ctx, []tidings.Event{ev}, nil)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				if err := r.EventStillDead(ctx, d.ID, err); err != nil {
					return err
				}
				continue
			}
			tell(ctx, result)
			if err := r.EventRevived(ctx, d); err != nil {
				return err
			}
			stored++
		}
		if n > 0 || len(dead) > 0 {
			log.Info("what has died is tried again", "jobs", n, "events", len(dead), "stored", stored)
		}
		return nil
	}
}

// asItIsNow is what is to be stored instead of a dead event. A delete is final, so that is taken as it was told.
func asItIsNow(ctx context.Context, r Reviver, rest Hydrator, d store.DeadEvent) (tidings.Event, error) {
	id := d.Message()
	if id == 0 {
		return d.Event()
	}
	ev := tidings.Event{Source: tidings.SourceBackfill, Guild: d.Guild, Channel: d.Channel}
	asked, err := r.Clock(ctx)
	if err != nil {
		return ev, err
	}
	m, err := rest.Message(ctx, d.Channel, id)
	ev.At = time.Now()
	switch {
	case rest.Gone(err):
		ev.Body = tidings.MessagesDeleted{IDs: []discord.MessageID{id}}
		return ev, nil
	case err != nil:
		return ev, fmt.Errorf("ask Discord for it: %w", err)
	case m.Channel != d.Channel || m.ID != id:
		return ev, errors.New("the answer is another message")
	}
	m.Guild = d.Guild
	ev.Body = tidings.MessageCreated{Message: m, Asked: asked}
	return ev, nil
}
