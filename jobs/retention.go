package jobs

import (
	"context"
	"log/slog"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// RetentionKind is the kind of the job that deletes messages by age.
const RetentionKind = "retention"

// Retainer deletes messages by age. It is *store.Store.
type Retainer interface {
	Retain(ctx context.Context, tell func(context.Context, tidings.Result)) (deleted int, err error)
}

// Retention is the handler of [RetentionKind].
func Retention(r Retainer, tell func(context.Context, tidings.Result), log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := r.Retain(ctx, tell)
		if n > 0 {
			log.Info("old messages are deleted", "messages", n)
		}
		return err
	}
}

// RefreshKind is the kind of the job that fills a channel's recent messages into Redis again. Its key is the channel's id.
const RefreshKind = store.FillCache

// Refresher fills the cache. It is *store.Store.
type Refresher interface {
	RefreshCache(ctx context.Context, channel discord.ChannelID) error
}

// WarmKind is the kind of the timetable's job that has the cache filled again when Redis came back empty.
const WarmKind = "warm-cache"

// Warmer asks for the filling of the cache where it has been lost. It is *store.Store.
type Warmer interface {
	EnqueueWarming(ctx context.Context, limit int) (int, error)
}

// warmAtOnce is how many channels are filled into an empty cache; others are when somebody opens them.
const warmAtOnce = 200

// Warm is the handler of [WarmKind].
func Warm(w Warmer, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := w.EnqueueWarming(ctx, warmAtOnce)
		if n > 0 {
			log.Info("the cache is empty and is filled", "channels", n)
		}
		return err
	}
}

// Refresh is the handler of [RefreshKind].
func Refresh(r Refresher) Handler {
	return func(ctx context.Context, j store.Job) error {
		channel, err := channelOf(j)
		if err != nil {
			return err
		}
		return ignoreClosed(r.RefreshCache(ctx, channel))
	}
}
