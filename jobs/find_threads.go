package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Unnamed says which threads have to be looked for. It is *store.Store.
type Unnamed interface {
	UnnamedThreads(ctx context.Context, g discord.GuildID, limit int) ([]discord.ChannelID, error)
	ThreadUnnamed(ctx context.Context, thread discord.ChannelID) (bool, error)
	LetThread(ctx context.Context, thread discord.ChannelID) error
}

// threadsPerTurn is how many threads are looked for before other jobs have their turn.
const threadsPerTurn = 50

// FindThreads is the handler of [store.FindThreads]: a thread that Discord says does not exist is deleted here too, and of any other it
// says how it is.
func FindThreads(look ThreadLook, s Unnamed, door Door, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		g, err := guildOf(j)
		if err != nil {
			return err
		}
		threads, err := s.UnnamedThreads(ctx, g, threadsPerTurn)
		if err != nil {
			return err
		}
		for _, thread := range threads {
			var body tidings.Body
			c, err := look.Channel(ctx, thread)
			switch {
			case errors.Is(err, tidings.ErrNotFound):
				body = tidings.ChannelGone{ID: thread}
			case errors.Is(err, tidings.ErrForbidden):
				if err := s.LetThread(ctx, thread); err != nil {
					return err
				}
				continue
			case err != nil:
				return err
			default:
				body = tidings.ChannelSeen{Channel: c}
			}
			// What was told of it meanwhile is newer than this answer.
			if still, err := s.ThreadUnnamed(ctx, thread); err != nil {
				return err
			} else if !still {
				continue
			}
			ev := tidings.Event{Source: tidings.SourceBackfill, Guild: g, Channel: thread, At: time.Now(), Body: body}
			if err := door.Commit(ctx, ev); err != nil {
				return err
			}
			if _, gone := body.(tidings.ChannelGone); gone {
				log.Info("a thread was deleted while nobody listened", "guild", g, "thread", thread)
			}
		}
		if len(threads) == threadsPerTurn {
			return ErrYield
		}
		return nil
	}
}
