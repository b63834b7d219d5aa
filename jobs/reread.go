package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// The stated window of a re-reading: what was changed further back while nobody listened is not noticed.
const (
	rereadAge   = 24 * time.Hour
	rereadPages = 10 // of 100 messages
)

// Reread reads channels' recent messages again, because edits, deletes and messages may have been missed that nothing else
// tells of. Its methods are the handlers of [store.Reconcile] and [store.Audit].
type Reread struct {
	History History
	Door    Door
	Ledger  Ledger
}

// Ledger says what was read again, and keeps it. It is *store.Store.
type Ledger interface {
	Stored
	// Audit returns from where on a channel is to be read again, exclusive, and its version now; [tidings.ErrNotFound] for an
	// unknown channel.
	Audit(ctx context.Context, channel discord.ChannelID) (from discord.MessageID, version int64, err error)
	// Audited notes that a channel was read again from an id, exclusive, up to another, as of a version, beginning at a time of Clock.
	Audited(ctx context.Context, channel discord.ChannelID, version int64, began time.Time, above, to discord.MessageID) error
}

// Reconcile reads the messages of the last 24 hours again, the newest 1000 of them at most.
func (r *Reread) Reconcile(ctx context.Context, j store.Job) error {
	channel, err := channelOf(j)
	if err != nil {
		return err
	}
	_, _, err = r.down(ctx, j.Guild, channel, 0)
	return err
}

// Audit reads again what has come since the last time, and the newest 100 messages in any case. What Discord forgets to tell
// leaves no trace; so everything that was told live is held once against what is there.
func (r *Reread) Audit(ctx context.Context, j store.Job) error {
	channel, err := channelOf(j)
	if err != nil {
		return err
	}
	began, err := r.Ledger.Clock(ctx)
	if err != nil {
		return err
	}
	from, version, err := r.Ledger.Audit(ctx, channel)
	if err != nil {
		return ignoreClosed(err)
	}
	// What is newer than this may be on its way still and is left to the next time.
	to := tidings.FirstID(time.Now().Add(-time.Second))
	above, newest, err := r.down(ctx, j.Guild, channel, from)
	if err != nil {
		return err
	}
	return r.Ledger.Audited(ctx, channel, version, began, above, min(newest, to))
}

// down reads from the newest message on, within the bounds of the window, until a page has passed an id. It returns the id above
// which everything was read, and the newest that there was.
func (r *Reread) down(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, enough discord.MessageID) (above, newest discord.MessageID, err error) {
	rd := reader{history: r.History, door: r.Door, stored: r.Ledger}
	now := time.Now()
	oldest := tidings.FirstID(now.Add(-rereadAge))
	if enough > 0 {
		oldest = min(oldest, enough)
	}
	// Ids that are made from now on are above this one, so the first page is the newest.
	below := tidings.FirstID(now.Add(time.Hour))
	for range rereadPages {
		down, done, err := rd.page(ctx, guild, channel, oldest, below)
		if err != nil {
			return 0, 0, final(err)
		}
		if done || down <= enough {
			return down, rd.newest, nil
		}
		below = down + 1
	}
	return below - 1, rd.newest, nil
}

// AuditKind is the kind of the timetable's job that asks for [store.Audit] where something has moved.
const AuditKind = "audit-moved"

// Auditor finds the channels to read again. It is *store.Store.
type Auditor interface {
	EnqueueAudits(ctx context.Context, limit int) (int, error)
}

// auditsAtOnce bounds how many channels one look asks for: with a look each half minute it is a tenth of Discord's global limit.
const auditsAtOnce = 150

// AuditMoved is the handler of [AuditKind].
func AuditMoved(a Auditor, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := a.EnqueueAudits(ctx, auditsAtOnce)
		if n > 0 {
			log.Debug("channels are read again", "channels", n)
		}
		return err
	}
}

// Threads lists threads. It is bot's REST.
type Threads interface {
	// ArchivedThreads lists a channel's threads that were archived since a time: of private ones those that the bot is in, or all.
	ArchivedThreads(ctx context.Context, guild discord.GuildID, parent discord.ChannelID, since time.Time, all bool) ([]tidings.Channel, error)
	// ActiveThreads lists a guild's threads that are not archived.
	ActiveThreads(ctx context.Context, guild discord.GuildID) ([]tidings.Channel, error)
}

// Manager knows where the bot may manage threads, and so sees private ones that it is not in. It is *store.Store.
type Manager interface {
	ManagesThreads(ctx context.Context, channel discord.ChannelID) (bool, error)
}

// ListThreads is the handler of [store.ListThreads]: it says of each archived thread that it was seen, which makes a gap where
// something in it is missing. Where the bot manages threads that goes for private ones that are active too.
func ListThreads(t Threads, m Manager, door Door) Handler {
	return func(ctx context.Context, j store.Job) error {
		parent, err := channelOf(j)
		if err != nil {
			return err
		}
		var p store.ListThreadsPayload
		if err := json.Unmarshal(j.Payload, &p); err != nil {
			return Dead(fmt.Errorf("%w job: %w", tidings.ErrInvalid, err))
		}
		manages, err := m.ManagesThreads(ctx, parent)
		if err != nil {
			return err
		}
		threads, err := t.ArchivedThreads(ctx, j.Guild, parent, p.Since, manages)
		if err != nil {
			return final(ignoreClosed(err))
		}
		if manages {
			active, err := t.ActiveThreads(ctx, j.Guild)
			if err != nil {
				return final(ignoreClosed(err))
			}
			for _, c := range active {
				if c.Parent == parent && c.Type == tidings.ChannelPrivateThread {
					threads = append(threads, c)
				}
			}
		}
		now := time.Now()
		events := make([]tidings.Event, len(threads))
		for i, c := range threads {
			events[i] = tidings.Event{Source: tidings.SourceBackfill, Guild: j.Guild, Channel: c.ID, At: now, Body: tidings.ChannelSeen{Channel: c}}
		}
		return door.Commit(ctx, events...)
	}
}
