package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// HistoryPage is a page of a channel's past.
type HistoryPage struct {
	Messages []tidings.Message // newest first
	Full     bool              // there may be more below
	// Unclear are ranges in which there is a message that cannot be made out; After is 0 in that of the page's last.
	Unclear []tidings.IDRange
}

// lowest is the lowest id that the page is known to show; 0 for none.
func (p HistoryPage) lowest() discord.MessageID {
	var low discord.MessageID
	if n := len(p.Messages); n > 0 {
		low = p.Messages[n-1].ID
	}
	for _, r := range p.Unclear {
		if r.After > 0 && (low == 0 || r.After+1 < low) {
			low = r.After + 1
		}
	}
	return low
}

// newest is the highest id that the page may show.
func (p HistoryPage) newest() discord.MessageID {
	var top discord.MessageID
	if len(p.Messages) > 0 {
		top = p.Messages[0].ID
	}
	for _, r := range p.Unclear {
		if r.After > 0 {
			top = max(top, r.After+1)
		}
	}
	return top
}

// unclear returns the parts of the page's unclear ranges that lie above one id, exclusive, and up to another, inclusive.
func (p HistoryPage) unclear(after, to discord.MessageID) []tidings.IDRange {
	var list []tidings.IDRange
	for _, r := range p.Unclear {
		if r = r.Within(after, to); !r.Empty() {
			list = append(list, r)
		}
	}
	return list
}

// History reads a channel's past from Discord. It is bot's REST, with a page's options filled in by cmd.
type History interface {
	// MessagesBefore returns up to limit messages closest below an id. An empty page does not mean that there are none: that is
	// also Discord's answer without READ_MESSAGE_HISTORY.
	MessagesBefore(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, before discord.MessageID, limit int) (HistoryPage, error)
	// MayReadHistory reports whether the bot itself may read the channel's history, as Discord says now.
	MayReadHistory(ctx context.Context, guild discord.GuildID, channel discord.ChannelID) (bool, error)
	// Deleted reports whether Discord says of one message that it does not exist (404 with the code 10008).
	Deleted(ctx context.Context, channel discord.ChannelID, message discord.MessageID) (bool, error)
}

// Door is where fetched messages go in, like all others. It is *ingest.Ingest. Commit returns once they are stored.
type Door interface {
	Commit(ctx context.Context, events ...tidings.Event) error
}

// Stored says what is stored already. It is *store.Store.
type Stored interface {
	// Clock is the database's time, by which it notes when a message was recorded.
	Clock(ctx context.Context) (time.Time, error)
	// LiveIDs lists messages between two ids, both exclusive, that were recorded before a time and are not deleted.
	LiveIDs(ctx context.Context, channel discord.ChannelID, above, below discord.MessageID, before time.Time) ([]discord.MessageID, error)
	// KeepUnclear keeps ranges in which something that Discord shows cannot be made out as gaps, which are read again later and later.
	KeepUnclear(ctx context.Context, channel discord.ChannelID, ranges []tidings.IDRange) error
}

const pageSize = 100 // Discord's limit

// reader reads channels page by page, downwards, and brings what is stored in line with what is there.
type reader struct {
	history History
	door    Door
	stored  Stored
	// begin, where it is set, notes that a page is about to be asked for, and when; otherwise the time is enough.
	begin  func(context.Context) (time.Time, error)
	newest discord.MessageID // of all pages
}

// page reads the newest messages between two ids, above exclusive and below exclusive too, puts them through the door and
// buries what is stored there but gone. It returns the id above which everything is settled now, or kept as unclear, and whether
// that is all.
func (r *reader) page(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, above, below discord.MessageID) (down discord.MessageID, done bool, err error) {
	begin := r.begin
	if begin == nil {
		begin = r.stored.Clock
	}
	asked, err := begin(ctx)
	if err != nil {
		return 0, false, err
	}
	page, err := r.history.MessagesBefore(ctx, guild, channel, below, pageSize)
	if errors.Is(err, tidings.ErrNotFound) {
		return above, true, nil // The channel is deleted: nothing can be missing in it any more.
	}
	if err != nil {
		return 0, false, err
	}
	if len(page.Messages) == 0 && len(page.Unclear) == 0 && !page.Full {
		may, err := r.history.MayReadHistory(ctx, guild, channel)
		if err != nil {
			return 0, false, err
		}
		if !may {
			return 0, false, fmt.Errorf("%w: the bot may not read the history of channel %d", tidings.ErrForbidden, channel)
		}
	}
	r.newest = max(r.newest, page.newest())
	down = above
	if page.Full {
		low := page.lowest()
		if low == 0 {
			return 0, false, fmt.Errorf("channel %d: nothing on a page below %d could be understood", channel, below)
		}
		down = max(above, low-1)
	}
	if err := r.record(ctx, guild, channel, page.Messages, down, below, asked); err != nil {
		return 0, false, err
	}
	unclear := page.unclear(down, below-1)
	if len(unclear) > 0 {
		if err := r.stored.KeepUnclear(ctx, channel, unclear); err != nil {
			return 0, false, err
		}
	}
	if err := r.bury(ctx, guild, channel, page.Messages, unclear, down, below, asked); err != nil {
		return 0, false, err
	}
	return down, down <= above, nil
}

// record puts those of a page's messages through the door that lie in the range, oldest first.
func (r *reader) record(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, page []tidings.Message, above, below discord.MessageID, asked time.Time) error {
	now := time.Now()
	events := make([]tidings.Event, 0, len(page))
	for _, m := range slices.Backward(page) {
		if m.ID >= below || m.Channel != channel {
			return fmt.Errorf("channel %d: a page below %d holds message %d of channel %d", channel, below, m.ID, m.Channel)
		}
		if m.ID <= above {
			continue
		}
		if m.Guild == 0 {
			m.Guild = guild
		}
		events = append(events, tidings.Event{
			Source: tidings.SourceBackfill, Guild: m.Guild, Channel: m.Channel, At: now, Body: tidings.MessageCreated{Message: m, Asked: asked},
		})
	}
	if len(events) == 0 {
		return nil
	}
	return r.door.Commit(ctx, events...)
}

// bury deletes what was stored in the range before the page was asked for and is not on it. A message may have come to the
// page late, and the bot may have lost its right to read: so Discord is asked about each.
func (r *reader) bury(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, page []tidings.Message, unclear []tidings.IDRange, above, below discord.MessageID, asked time.Time) error {
	live, err := r.stored.LiveIDs(ctx, channel, above, below, asked)
	if err != nil || len(live) == 0 {
		return err
	}
	there := make(map[discord.MessageID]bool, len(page))
	for _, m := range page {
		there[m.ID] = true
	}
	for _, id := range live {
		if there[id] || slices.ContainsFunc(unclear, func(r tidings.IDRange) bool { return r.Holds(id) }) {
			continue
		}
		gone, err := r.history.Deleted(ctx, channel, id)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		err = r.door.Commit(ctx, tidings.Event{
			Source: tidings.SourceBackfill, Guild: guild, Channel: channel, At: time.Now(),
			Body: tidings.MessagesDeleted{IDs: []discord.MessageID{id}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
