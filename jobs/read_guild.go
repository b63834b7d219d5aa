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

// Doubts knows which guilds are in doubt. It is *store.Store.
type Doubts interface {
	// Clock is the database's.
	Clock(ctx context.Context) (time.Time, error)
	Doubted(ctx context.Context, g discord.GuildID) (bool, error)
}

// ReadGuild is the handler of [store.ReadGuild]: it reads a guild whole, after which people see it again. What the gateway tells
// meanwhile stands against what was read, and then it is read once more.
func ReadGuild(s WholeScout, d Doubts, door Door, who Rescanner, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		id, err := strconv.ParseUint(j.Key, 10, 64)
		if err != nil || id == 0 {
			return Dead(fmt.Errorf("%w job: its key %q is not a guild", tidings.ErrInvalid, j.Key))
		}
		g := discord.GuildID(id)
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
		var events []tidings.Event
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
		// The whole guild comes last: with it the doubt ends.
		events = append(events, tidings.Event{Source: tidings.SourceBackfill, Guild: g, At: began, Body: seen})
		if err := door.Commit(ctx, events...); err != nil {
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
