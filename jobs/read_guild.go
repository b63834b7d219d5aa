package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Rescanner asks about the members of a guild of whom it is not known whether they are. It is *access.Access.
type Rescanner interface {
	Rescan(g discord.GuildID)
}

// Doubts knows which guilds are in doubt. It is *store.Store.
type Doubts interface {
	// Clock is the database's.
	Clock(ctx context.Context) (time.Time, error)
	Doubted(ctx context.Context, g discord.GuildID) (bool, error)
}

// ReadGuild is the handler of [store.ReadGuild]: it reads a guild whole, after which people see it again. What the gateway tells
// meanwhile stands against what was read, and then it is read once more. Who is in its private threads is read by another job.
func ReadGuild(s Scout, d Doubts, door Door, who Rescanner, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		g, err := guildOf(j)
		if err != nil {
			return err
		}
		began, err := d.Clock(ctx)
		if err != nil {
			return err
		}
		self, err := s.Self(ctx, g)
		if err != nil {
			return err
		}
		guild, roles, err := s.Guild(ctx, g)
		if err != nil {
			return err
		}
		channels, err := s.Channels(ctx, g)
		if err != nil {
			return err
		}
		threads, err := s.ActiveThreads(ctx, g)
		if err != nil {
			return err
		}
		seen := tidings.GuildSeen{Guild: guild, Roles: roles, Channels: channels, Threads: threads, Members: []tidings.Member{*self}, Self: self.User}
		if err := door.Commit(ctx, tidings.Event{Source: tidings.SourceBackfill, Guild: g, At: began, Body: seen}); err != nil {
			return err
		}
		if still, err := d.Doubted(ctx, g); err != nil {
			return err
		} else if still {
			return fmt.Errorf("%w: guild %d has changed while it was read", tidings.ErrUnavailable, g)
		}
		who.Rescan(g)
		log.Info("a guild was read again, because something that was told of it was not understood", "guild", g)
		return nil
	}
}
