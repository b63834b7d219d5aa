package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// gap is a range of ids that is not known to be complete.
type gap struct {
	channel discord.ChannelID
	from    discord.MessageID // exclusive
	to      discord.MessageID // inclusive
	reason  string
	// backfill marks the past of a channel that is new here. Nobody waits for it, so it is fetched last.
	backfill bool
}

// A gap that lies in what is still to be read of an open one says nothing new, unless that one can wait and this one cannot. Of one
// of which a page is under way nobody knows whether the page was made before or after.
const addGaps = `
INSERT INTO gaps (channel_id, from_id, to_id, rest_id, reason, backfill)
SELECT v.channel_id, v.from_id, v.to_id, v.to_id, v.reason, v.backfill
FROM (VALUES %s) v(channel_id, from_id, to_id, reason, backfill)
WHERE v.from_id < v.to_id AND NOT EXISTS (
	SELECT
	FROM gaps g
	WHERE g.channel_id = v.channel_id AND g.healed_at IS NULL AND g.from_id <= v.from_id AND g.rest_id >= v.to_id
	  AND g.asked_at IS NULL AND NOT g.unclear AND (v.backfill OR NOT g.backfill))`

var addGapsTypes = []string{"bigint", "bigint", "bigint", "text", "boolean"}

func openGaps(ctx context.Context, tx *sqlx.Tx, gaps []gap) error {
	var rows [][]any
	seen := map[messageKey]bool{}
	for _, g := range gaps {
		if k := (messageKey{g.channel, g.to}); !seen[k] {
			seen[k] = true
			rows = append(rows, []any{int64(g.channel), int64(g.from), int64(g.to), clean(g.reason), g.backfill})
		}
	}
	return execRows(ctx, tx, addGaps, addGapsTypes, rows)
}

// An unclear gap is read again after a minute, then two, four, and so on up to six hours. Only one that still has all of the range to
// be read keeps it.
const putOffUnclear = `
UPDATE gaps
SET tries = tries + 1,
    retry_at = now() + least(interval '6 hours', interval '1 minute' * 2 ^ least(tries, 20)),
    asked_at = NULL
WHERE channel_id = $1 AND from_id <= $2 AND rest_id >= $3 AND unclear AND healed_at IS NULL`

// What lies within a range that is kept whole says nothing more.
const dropWithin = `
DELETE FROM gaps
WHERE channel_id = $1 AND from_id >= $2 AND rest_id <= $3 AND unclear AND healed_at IS NULL AND recovered = 0`

const addUnclear = `
INSERT INTO gaps (channel_id, from_id, to_id, rest_id, reason, unclear, tries, retry_at)
VALUES ($1, $2, $3, $3, $4, true, 1, now() + interval '1 minute')`

// keepUnclear keeps a range in which something cannot be made out, and reports whether that is new.
func keepUnclear(ctx context.Context, tx *sqlx.Tx, channel discord.ChannelID, r tidings.IDRange, reason string) (fresh bool, err error) {
	res, err := tx.ExecContext(ctx, putOffUnclear, int64(channel), int64(r.After), int64(r.To))
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, dropWithin, int64(channel), int64(r.After), int64(r.To)); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, addUnclear, int64(channel), int64(r.After), int64(r.To), clean(reason))
	return true, err
}

// KeepUnclear keeps ranges of a channel in which something that Discord shows cannot be made out. Each is a gap, shown like others,
// which is read again later and later; what is in it already is put off further.
func (s *Store) KeepUnclear(ctx context.Context, channel discord.ChannelID, ranges []tidings.IDRange) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := lockChannel(ctx, tx, channel); err != nil {
			return err
		}
		for _, r := range ranges {
			if _, err := keepUnclear(ctx, tx, channel, r, "a message cannot be made out"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep what is unclear in channel %d: %w", channel, err)
	}
	return nil
}

const addDeadEvent = `
INSERT INTO dead_events (guild_id, channel_id, kind, raw, cause)
VALUES ($1, $2, $3, $4, $5)`

// DeadLetter keeps an event that cannot be recorded, whole, and opens a gap around the messages that it names, so that they
// are fetched again. Where it names none its channel's recent messages are read again, and where it has no channel its guild is.
// Result.Access holds the guild where nobody may see anything of it from now on.
//
// All that comes from outside goes into the letter's row. What follows from it is numbers, and is written without the row where that is
// refused for good.
func (s *Store) DeadLetter(ctx context.Context, ev tidings.Event, cause error) (tidings.Result, error) {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", ev.Body), "tidings.")
	if unreadable, odd := ev.Body.(tidings.Unreadable); odd {
		kind = unreadable.Name
	}
	result, err := s.setAside(ctx, ev, func(tx *sqlx.Tx) error {
		keep, err := keepsWords(ctx, tx, ev)
		if err != nil || !keep {
			return err
		}
		_, err = tx.ExecContext(ctx, addDeadEvent, int64(ev.Guild), int64(ev.Channel), clean(kind), rawEvent(ev), clean(fmt.Sprint(cause)))
		return err
	})
	if refused := err; err != nil && !errors.Is(err, tidings.ErrUnavailable) && ctx.Err() == nil && (ev.Guild != 0 || ev.Channel != 0) {
		if result, err = s.setAside(ctx, ev, func(*sqlx.Tx) error { return nil }); err == nil {
			s.log.Error("a dead letter cannot be kept; what it is about is read again", "kind", kind, "guild", ev.Guild, "channel", ev.Channel, "err", refused)
		}
	}
	if err != nil {
		return tidings.Result{}, fmt.Errorf("keep a dead %s: %w", kind, err)
	}
	s.afterCommit(context.WithoutCancel(ctx), result)
	return result, nil
}

// setAside is DeadLetter with a keeping of the event of its own.
func (s *Store) setAside(ctx context.Context, ev tidings.Event, keep func(tx *sqlx.Tx) error) (tidings.Result, error) {
	var result tidings.Result
	unreadable, odd := ev.Body.(tidings.Unreadable)
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		result = tidings.Result{}
		// What was fetched is there to be fetched again; it is kept once, and read again later and later.
		fetched := ev.Source == tidings.SourceBackfill || ev.Source == tidings.SourcePoll
		around := gapsAround(ev)
		if odd && len(around) > 0 {
			if err := reachDown(ctx, tx, &around[0]); err != nil {
				return err
			}
		}
		if fetched && len(around) > 0 {
			g := around[0]
			if _, err := lockChannel(ctx, tx, g.channel); err != nil {
				return err
			}
			if fresh, err := keepUnclear(ctx, tx, g.channel, tidings.IDRange{After: g.from, To: g.to}, g.reason); err != nil || !fresh {
				return err
			}
			return keep(tx)
		}
		if err := keep(tx); err != nil {
			return err
		}
		switch about := !ev.Barrier() || odd && unreadable.AboutMessages(); {
		case about && ev.Channel != 0 && (odd || len(around) == 0):
			// Which message it was about nobody knows; what it did to it is found by reading the recent ones again.
			again := NewJob{Kind: Reconcile, Key: ev.Channel.String(), Guild: ev.Guild, Priority: priorityReconcile}
			if _, err := enqueue(ctx, tx, []NewJob{again}); err != nil {
				return err
			}
		case (ev.Barrier() || ev.Channel == 0) && ev.Guild != 0:
			moved, err := doubt(ctx, tx, ev)
			if err != nil {
				return err
			}
			result.Access = []tidings.AccessChange{moved}
		}
		return openGaps(ctx, tx, around)
	})
	return result, err
}

// reachDown has the gap of a message without an id begin where the ledger ends: a replay may tell of it long after it was said.
func reachDown(ctx context.Context, tx *sqlx.Tx, g *gap) error {
	var rows []ledgerRow
	if err := tx.SelectContext(ctx, &rows, loadLedger, ids([]discord.ChannelID{g.channel})); err != nil {
		return err
	}
	if len(rows) == 1 && rows[0].Since > 0 {
		g.from = min(g.from, rows[0].Known)
	}
	return nil
}

// keepsWords reports whether an event may be kept as it came: not one by an author who has opted out.
func keepsWords(ctx context.Context, tx *sqlx.Tx, ev tidings.Event) (bool, error) {
	var author discord.UserID
	switch e := ev.Body.(type) {
	case tidings.MessageCreated:
		author = e.Message.Author
	case tidings.MessageUpdated:
		author = e.Message.Author
	}
	var out bool
	err := tx.GetContext(ctx, &out, selectOptedOut, int64(author))
	return !out, err
}

// ReadGuild is the kind of the job that reads a whole guild from Discord, because something that was told of it could not be
// understood or stored. Its key is the guild's id.
const ReadGuild = "read-guild"

// While a guild is in doubt it counts as one without members: nobody sees anything of it. Who its members are is asked anew too.
const doubtGuild = `
INSERT INTO guilds (id, doubted_at)
VALUES ($1, greatest($2, clock_timestamp()))
ON CONFLICT (id) DO UPDATE
SET doubted_at = greatest(guilds.doubted_at, excluded.doubted_at),
    access_version = guilds.access_version + 1
RETURNING access_version`

// Whom a thread lets in is not known any more when a change of its members is not.
const forgetThreadMembers = `
DELETE FROM thread_members t
USING channels c
WHERE c.id = t.thread_id AND c.guild_id = $1`

// doubt lets nobody see anything of a guild until it was read again: who may read what has changed in a way that is not known.
func doubt(ctx context.Context, tx *sqlx.Tx, ev tidings.Event) (tidings.AccessChange, error) {
	moved := tidings.AccessChange{Guild: ev.Guild}
	at := ev.At
	if at.IsZero() {
		at = time.Now()
	}
	jobs := []NewJob{{Kind: ReadGuild, Key: ev.Guild.String(), Guild: ev.Guild, Priority: priorityReader}}
	if err := tx.GetContext(ctx, &moved.Version, doubtGuild, int64(ev.Guild), at); err != nil {
		return moved, err
	}
	if _, err := tx.ExecContext(ctx, forgetMembers, int64(ev.Guild)); err != nil {
		return moved, err
	}
	if mayLeaveThread(ev) {
		for _, query := range []string{forgetThreadMembers, loseThreads} {
			if _, err := tx.ExecContext(ctx, query, int64(ev.Guild)); err != nil {
				return moved, err
			}
		}
		jobs = append(jobs, NewJob{Kind: ReadThreadMembers, Key: ev.Guild.String(), Guild: ev.Guild, Priority: priorityReader})
	}
	_, err := enqueue(ctx, tx, jobs)
	return moved, err
}

// mayLeaveThread reports whether an event may have been that somebody is no longer in a thread. Whoever leaves the guild leaves its
// threads too.
func mayLeaveThread(ev tidings.Event) bool {
	switch e := ev.Body.(type) {
	case tidings.ThreadMembersChanged, tidings.MemberGone:
		return true
	case tidings.Unreadable:
		return strings.HasPrefix(e.Name, "THREAD_MEMBER") || e.Name == "GUILD_MEMBER_REMOVE"
	}
	return false
}

const selectDoubted = `
SELECT EXISTS (
	SELECT
	FROM guilds
	WHERE id = $1 AND doubted_at IS NOT NULL)`

// Doubted reports whether it is not known who may read what in a guild.
func (s *Store) Doubted(ctx context.Context, g discord.GuildID) (bool, error) {
	var is bool
	if err := s.db.GetContext(ctx, &is, selectDoubted, int64(g)); err != nil {
		return false, fmt.Errorf("read whether guild %d is in doubt: %w", g, unavailable(err))
	}
	return is, nil
}

// rawEvent is Discord's object where the event has one, else what this process understood of it.
func rawEvent(ev tidings.Event) []byte {
	switch e := ev.Body.(type) {
	case tidings.Unreadable:
		return e.Raw
	case tidings.MessageCreated:
		if len(e.Message.Payload) > 0 {
			return e.Message.Payload
		}
	case tidings.MessageUpdated:
		if len(e.Message.Payload) > 0 {
			return e.Message.Payload
		}
	}
	raw, err := json.Marshal(ev.Body)
	if err != nil {
		return nil
	}
	return raw
}

// gapsAround is the range of the messages that an event names; empty when it names none.
func gapsAround(ev tidings.Event) []gap {
	const reason = "an event could not be stored"
	if ev.Channel == 0 {
		return nil
	}
	var named []discord.MessageID
	switch e := ev.Body.(type) {
	case tidings.MessageCreated:
		named = append(named, e.Message.ID)
	case tidings.MessageUpdated:
		named = append(named, e.Message.ID)
	case tidings.MessagesDeleted:
		named = append(named, e.IDs...)
	case tidings.ReactionChanged:
		named = append(named, e.Message)
	case tidings.PollVoted:
		named = append(named, e.Message)
	case tidings.Unreadable:
		if e.Name == "MESSAGE_CREATE" {
			named = append(named, tidings.FirstID(ev.At.Add(-clockMargin)), tidings.FirstID(ev.At.Add(clockMargin)))
		}
	}
	// What can be no id names nothing, and would make a gap that nobody can list.
	named = slices.DeleteFunc(named, func(id discord.MessageID) bool { return id == 0 || id > math.MaxInt64 })
	if len(named) == 0 {
		return nil
	}
	return []gap{{channel: ev.Channel, from: slices.Min(named) - 1, to: slices.Max(named), reason: reason}}
}
