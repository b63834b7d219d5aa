package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"tidings"
	"tidings/store"
)

// ForgetKind is the kind of the job that deletes servers that removed the bot, after the grace period.
const ForgetKind = "forget-removed"

// Purger forgets. It is *store.Store.
type Purger interface {
	Purge(ctx context.Context, p store.Purge, tell store.Tell) (store.PurgeReceipt, error)
	ForgetRemoved(ctx context.Context, grace time.Duration, tell store.Tell) (int, error)
}

// Purge is the handler of [store.PurgeMessages].
func Purge(p Purger, tell store.Tell, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		var what store.Purge
		if err := json.Unmarshal(j.Payload, &what); err != nil {
			return Dead(err)
		}
		r, err := p.Purge(ctx, what, tell)
		if errors.Is(err, tidings.ErrInvalid) || errors.Is(err, tidings.ErrNotFound) {
			return Dead(err)
		}
		log.Info("purged", "server", what.Guild, "channel", what.Channel, "author", what.Author, "channels", r.Channels, "messages", r.Messages, "err", err)
		return err
	}
}

// Forget is the handler of [ForgetKind].
func Forget(p Purger, grace time.Duration, tell store.Tell, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := p.ForgetRemoved(ctx, grace, tell)
		if n > 0 {
			log.Info("servers that removed the bot are forgotten", "servers", n)
		}
		return err
	}
}
