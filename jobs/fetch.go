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

// History reads a channel's past from Discord. It is bot's REST, with a page's options filled in by cmd.
type History interface {
	// MessagesAfter returns up to limit messages closest above an id, newest first, as Discord does. An empty page does
	// not mean that there are none: that is also Discord's answer without READ_MESSAGE_HISTORY.
	MessagesAfter(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, after discord.MessageID, limit int) ([]tidings.Message, error)
	// MayReadHistory reports whether the bot itself may read the channel's history, as Discord says now.
	MayReadHistory(ctx context.Context, guild discord.GuildID, channel discord.ChannelID) (bool, error)
}

// Door is where fetched messages go in, like all others. It is *ingest.Ingest. Commit returns once they are stored.
type Door interface {
	Commit(ctx context.Context, events ...tidings.Event) error
}

// Gaps keeps what is missing. It is *store.Store.
type Gaps interface {
	ChannelGaps(ctx context.Context, channel discord.ChannelID) ([]store.Gap, error)
	AdvanceGap(ctx context.Context, g store.Gap, to discord.MessageID) (recovered int, err error)
	CloseGap(ctx context.Context, g store.Gap) (recovered int, err error)
}

// Fetch heals gaps. Its Handle is the handler of [store.FetchMessages].
type Fetch struct {
	History History
	Door    Door
	Gaps    Gaps
	Log     *slog.Logger
	// Healed, when set, is told of each gap that was closed, with how many messages were recovered in it.
	Healed func(ctx context.Context, g store.Gap)
}

const (
	pageSize = 100 // Discord's limit
	// pagesPerTurn is how many pages a job reads before it lets others have their turn.
	pagesPerTurn = 50
)

// Handle reads all gaps of the channel that the job's key names, page by page upwards. Each page is stored before the gap is
// noted to be shorter, so that it goes on there after a crash.
func (f *Fetch) Handle(ctx context.Context, j store.Job) error {
	id, err := strconv.ParseUint(j.Key, 10, 64)
	if err != nil || id == 0 {
		return Dead(fmt.Errorf("%w job: its key %q is not a channel", tidings.ErrInvalid, j.Key))
	}
	gaps, err := f.Gaps.ChannelGaps(ctx, discord.ChannelID(id))
	if err != nil {
		return err
	}
	pages := pagesPerTurn
	for _, g := range gaps {
		if g.Guild == 0 {
			g.Guild = j.Guild
		}
		err := f.heal(ctx, g, &pages)
		switch {
		case errors.Is(err, tidings.ErrForbidden), errors.Is(err, tidings.ErrUnauthorized):
			return Dead(err) // The gap stays open and is looked at again in an hour.
		case err != nil:
			return err
		}
	}
	return nil
}

// heal reads one gap.
func (f *Fetch) heal(ctx context.Context, g store.Gap, pages *int) error {
	for at := g.HealedTo; at < g.To; {
		if *pages == 0 {
			return ErrYield
		}
		*pages--
		// Discord takes after=0 for no bound at all, which would give the newest page.
		page, err := f.History.MessagesAfter(ctx, g.Guild, g.Channel, max(at, 1), pageSize)
		if errors.Is(err, tidings.ErrNotFound) {
			break // The channel is deleted: nothing can be missing in it any more.
		}
		if err != nil {
			return err
		}
		if len(page) == 0 {
			may, err := f.History.MayReadHistory(ctx, g.Guild, g.Channel)
			if err != nil {
				return err
			}
			if !may {
				return fmt.Errorf("%w: the bot may not read the history of channel %d", tidings.ErrForbidden, g.Channel)
			}
			break // There is nothing above.
		}
		newest, err := f.record(ctx, g, at, page)
		if err != nil {
			return err
		}
		at = newest
		if at >= g.To {
			break
		}
		if _, err := f.Gaps.AdvanceGap(ctx, g, at); err != nil {
			return ignoreClosed(err)
		}
	}
	n, err := f.Gaps.CloseGap(ctx, g)
	if err != nil {
		return ignoreClosed(err)
	}
	g.Recovered = n
	if f.Log != nil {
		f.Log.Info("a gap is healed", "channel", g.Channel, "reason", g.Reason, "recovered", n)
	}
	if f.Healed != nil {
		f.Healed(ctx, g)
	}
	return nil
}

// record puts a page's messages that lie in the gap through the door, oldest first, and returns the page's newest id.
func (f *Fetch) record(ctx context.Context, g store.Gap, after discord.MessageID, page []tidings.Message) (newest discord.MessageID, err error) {
	now := time.Now()
	events := make([]tidings.Event, 0, len(page))
	for i := len(page) - 1; i >= 0; i-- {
		m := page[i]
		if m.ID <= after || m.Channel != g.Channel {
			return 0, fmt.Errorf("channel %d: a page above %d holds message %d of channel %d", g.Channel, after, m.ID, m.Channel)
		}
		newest = max(newest, m.ID)
		if m.ID > g.To {
			continue
		}
		if m.Guild == 0 {
			m.Guild = g.Guild
		}
		events = append(events, tidings.Event{
			Source: tidings.SourceBackfill, Guild: m.Guild, Channel: m.Channel, At: now, Body: tidings.MessageCreated{Message: m},
		})
	}
	if len(events) == 0 {
		return newest, nil
	}
	return newest, f.Door.Commit(ctx, events...)
}

// ignoreClosed lets a gap be that somebody else has closed.
func ignoreClosed(err error) error {
	if errors.Is(err, tidings.ErrNotFound) {
		return nil
	}
	return err
}
