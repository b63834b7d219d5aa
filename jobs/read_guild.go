package jobs

import (
	"context"
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

// ReadGuild is the handler of [store.ReadGuild]: it reads a guild whole, after which people see it again. Who is in
// its private threads is read by another job.
func ReadGuild(s Scout, door Door, who Rescanner, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		g, err := guildOf(j)
		if err != nil {
			return err
		}
		began := time.Now()
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
		who.Rescan(g)
		log.Info("a guild was read again, because something that was told of it was not understood", "guild", g)
		return nil
	}
}
