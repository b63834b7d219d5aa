package jobs

import (
	"context"
	"log/slog"
	"time"

	"tidings/store"
)

// Cleaner deletes what has served. It is *store.Store.
type Cleaner interface {
	Cleanup(ctx context.Context) (map[string]int64, error)
}

// CleanupKind is the kind of the job that deletes what has served.
const CleanupKind = "cleanup"

// Cleanup is the handler of [CleanupKind].
func Cleanup(c Cleaner, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		deleted, err := c.Cleanup(ctx)
		for what, n := range deleted {
			if n > 0 {
				log.Info("deleted what has served", "what", what, "rows", n)
			}
		}
		return err
	}
}

// Healer asks for the fetching of gaps that nobody has asked for. It is *store.Store.
type Healer interface {
	EnqueueHealing(ctx context.Context, limit int) (int, error)
}

// HealKind is the kind of the job that looks for gaps without a job.
const HealKind = "heal-gaps"

// healAtOnce bounds how many channels' jobs one look makes; the rest is found by the next.
const healAtOnce = 1000

// Heal is the handler of [HealKind].
func Heal(h Healer, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		began := time.Now()
		n, err := h.EnqueueHealing(ctx, healAtOnce)
		if n > 0 {
			log.Info("found gaps to heal", "channels", n, "took", time.Since(began))
		}
		return err
	}
}
