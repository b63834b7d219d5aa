package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Rescanner asks about the members of a guild of whom it is not known whether they are. It is *access.Access.
type Rescanner interface {
	Rescan(g discord.GuildID)
}

// WholeScout also says who is in a private thread. It is bot's REST.
type WholeScout interface {
	Scout
	ThreadMembers(ctx context.Context, thread discord.ChannelID) ([]discord.UserID, error)
}

// ReadGuild is the handler of [store.ReadGuild]: it reads a guild whole, after which people see it again.
func ReadGuild(s WholeScout, door Door, who Rescanner, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		id, err := strconv.ParseUint(j.Key, 10, 64)
		if err != nil || id == 0 {
			return Dead(fmt.Errorf("%w job: its key %q is not a guild", tidings.ErrInvalid, j.Key))
		}
		g := discord.GuildID(id)
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
		events := []tidings.Event{{Source: tidings.SourceBackfill, Guild: g, At: began, Body: seen}}
		for _, c := range threads {
			if c.Type != tidings.ChannelPrivateThread {
				continue
			}
			in, err := s.ThreadMembers(ctx, c.ID)
			if errors.Is(err, tidings.ErrNotFound) || errors.Is(err, tidings.ErrForbidden) {
				continue // It went meanwhile, or closed.
			}
			if err != nil {
				return err
			}
			events = append(events, tidings.Event{
				Source: tidings.SourceBackfill, Guild: g, Channel: c.ID, At: began, Body: tidings.ThreadMembersChanged{Thread: c.ID, Added: in},
			})
		}
		if err := door.Commit(ctx, events...); err != nil {
			return err
		}
		who.Rescan(g)
		log.Info("a guild was read again, because something that was told of it was not understood", "guild", g)
		return nil
	}
}
