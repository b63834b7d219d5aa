package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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

// An unclear gap is read again after a minute, then two, four, and so on up to six hours.
const putOffUnclear = `
UPDATE gaps
SET tries = tries + 1,
    retry_at = now() + least(interval '6 hours', interval '1 minute' * 2 ^ least(tries, 20)),
    asked_at = NULL
WHERE channel_id = $1 AND from_id < $3 AND to_id > $2 AND unclear AND healed_at IS NULL`

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
// are fetched again.
func (s *Store) DeadLetter(ctx context.Context, ev tidings.Event, cause error) error {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", ev.Body), "tidings.")
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		// What was fetched is there to be fetched again; it is kept once, and read again later and later.
		fetched := ev.Source == tidings.SourceBackfill || ev.Source == tidings.SourcePoll
		around := gapsAround(ev)
		for _, g := range around {
			if !fetched {
				break
			}
			if _, err := lockChannel(ctx, tx, g.channel); err != nil {
				return err
			}
			fresh, err := keepUnclear(ctx, tx, g.channel, tidings.IDRange{After: g.from, To: g.to}, g.reason)
			if err != nil || !fresh {
				return err
			}
			around = nil
		}
		keep, err := keepsWords(ctx, tx, ev)
		if err != nil {
			return err
		}
		if keep {
			if _, err := tx.ExecContext(ctx, addDeadEvent, int64(ev.Guild), int64(ev.Channel), kind, rawEvent(ev), clean(fmt.Sprint(cause))); err != nil {
				return err
			}
		}
		return openGaps(ctx, tx, around)
	})
	if err != nil {
		return fmt.Errorf("keep a dead %s: %w", kind, err)
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

// rawEvent is Discord's object where the event has one, else what this process understood of it.
func rawEvent(ev tidings.Event) []byte {
	switch e := ev.Body.(type) {
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

func gapsAround(ev tidings.Event) []gap {
	const reason = "an event could not be stored"
	var first, last discord.MessageID
	switch e := ev.Body.(type) {
	case tidings.MessageCreated:
		first, last = e.Message.ID, e.Message.ID
	case tidings.MessageUpdated:
		first, last = e.Message.ID, e.Message.ID
	case tidings.MessagesDeleted:
		if len(e.IDs) > 0 {
			first, last = slices.Min(e.IDs), slices.Max(e.IDs)
		}
	case tidings.ReactionChanged:
		first, last = e.Message, e.Message
	case tidings.PollVoted:
		first, last = e.Message, e.Message
	}
	if first == 0 {
		return nil
	}
	return []gap{{channel: ev.Channel, from: first - 1, to: last, reason: reason}}
}
