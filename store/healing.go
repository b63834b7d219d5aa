package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// FetchMessages is the kind of the job that heals a channel's gaps. Its key is the channel's id.
const FetchMessages = "fetch-messages"

// PriorityFetch is the kind of the job that heals a channel's gaps while somebody looks at it. Its key is the channel's id.
const PriorityFetch = "priority-fetch"

// Gap is a range of a channel's ids that is not known to be complete. It is read from its newest end down.
type Gap struct {
	ID        int64             `db:"id"`
	Channel   discord.ChannelID `db:"channel_id"`
	Guild     discord.GuildID   `db:"guild_id"` // 0 when the channel is not known
	From      discord.MessageID `db:"from_id"`  // exclusive
	To        discord.MessageID `db:"to_id"`    // inclusive
	Rest      discord.MessageID `db:"rest_id"`  // what is still to be read ends here, inclusive; To when nothing was read yet
	Reason    string            `db:"reason"`
	Opened    time.Time         `db:"opened_at"`
	Recovered int               `db:"recovered"` // countable messages that were found so far
	Backfill  bool              `db:"backfill"`  // the past of a channel that is new here
	Unclear   bool              `db:"unclear"`   // Discord shows something there that cannot be made out
	Due       bool              `db:"due"`       // its time to be read has come; an unclear one is read again later and later
	// Asked is what BeginPage said to whoever reads the gap now; the zero time where no page was begun.
	Asked time.Time `db:"-"`
}

// Left estimates how long the gap's healing will take: from how far it has come, else from how long others took; 0 when neither tells.
func (g Gap) Left(now time.Time, typical time.Duration) time.Duration {
	took := now.Sub(g.Opened)
	if all, read := float64(g.To-g.From), float64(g.To-g.Rest); read > all/100 {
		return time.Duration(float64(took) * (all - read) / read)
	}
	if typical == 0 {
		return 0
	}
	return max(typical-took, time.Second)
}

const typicalHealing = `
SELECT coalesce(avg(extract(epoch FROM healed_at - opened_at)), 0)::float8
FROM (
	SELECT healed_at, opened_at
	FROM gaps
	WHERE healed_at > now() - interval '1 day' AND NOT backfill AND NOT unclear
	ORDER BY healed_at DESC
	LIMIT 20) g`

// TypicalHealing is how long the last gaps were open, on average; 0 when none has healed within a day.
func (s *Store) TypicalHealing(ctx context.Context) (time.Duration, error) {
	var seconds float64
	if err := s.db.GetContext(ctx, &seconds, typicalHealing); err != nil {
		return 0, fmt.Errorf("estimate how long healing takes: %w", unavailable(err))
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// OpenGap notes that the messages of a channel above from, up to and including to, may be missing, and asks for the job that
// fetches them. A range that is empty or lies in an open gap already says nothing new. What lies between the ledger's end
// and a range above it is part of the gap.
func (s *Store) OpenGap(ctx context.Context, channel discord.ChannelID, from, to discord.MessageID, reason string) error {
	return s.openGap(ctx, 0, channel, from, to, reason)
}

// openGap is OpenGap; said is the channel's guild where that is known to whoever asks, and perhaps not here.
func (s *Store) openGap(ctx context.Context, said discord.GuildID, channel discord.ChannelID, from, to discord.MessageID, reason string) error {
	if to <= from {
		return nil
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		from := from
		guild, err := lockChannel(ctx, tx, channel)
		if err != nil {
			return err
		}
		if guild == 0 {
			guild = said
		}
		var rows []ledgerRow
		if err := tx.SelectContext(ctx, &rows, loadLedger, ids([]discord.ChannelID{channel})); err != nil {
			return err
		}
		if len(rows) == 1 && rows[0].Since > 0 && to > rows[0].Known {
			from = min(from, rows[0].Known)
			moved := [][]any{{int64(channel), int64(rows[0].Since), int64(to)}}
			if err := execRows(ctx, tx, moveLedger, moveLedgerTypes, moved); err != nil {
				return err
			}
		}
		if err := openGaps(ctx, tx, []gap{{channel: channel, from: from, to: to, reason: reason}}); err != nil {
			return err
		}
		_, err = enqueue(ctx, tx, []NewJob{{Kind: FetchMessages, Key: channel.String(), Guild: guild}})
		return err
	})
	if err != nil {
		return fmt.Errorf("open a gap in channel %d: %w", channel, err)
	}
	return nil
}

const lockOneChannel = `
SELECT guild_id
FROM channels
WHERE id = $1
FOR UPDATE`

// lockChannel locks a channel's row; guild is 0 when there is none.
func lockChannel(ctx context.Context, tx *sqlx.Tx, channel discord.ChannelID) (guild discord.GuildID, err error) {
	err = tx.GetContext(ctx, &guild, lockOneChannel, int64(channel))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return guild, err
}

const openGapsOf = `
SELECT g.id, g.channel_id, coalesce(c.guild_id, 0) AS guild_id, g.from_id, g.to_id, g.rest_id, g.reason, g.opened_at, g.recovered,
       g.backfill, g.unclear, g.retry_at <= now() AS due
FROM gaps g
LEFT JOIN channels c ON c.id = g.channel_id
WHERE g.healed_at IS NULL AND ($1::bigint = 0 OR g.channel_id = $1)
ORDER BY g.channel_id, g.rest_id DESC, g.id`

// Gaps lists the open gaps of all channels.
func (s *Store) Gaps(ctx context.Context) ([]Gap, error) { return s.gaps(ctx, 0) }

// ChannelGaps lists the open gaps of a channel, newest range first.
func (s *Store) ChannelGaps(ctx context.Context, channel discord.ChannelID) ([]Gap, error) {
	return s.gaps(ctx, channel)
}

func (s *Store) gaps(ctx context.Context, channel discord.ChannelID) ([]Gap, error) {
	var gaps []Gap
	if err := s.db.SelectContext(ctx, &gaps, openGapsOf, int64(channel)); err != nil {
		return nil, fmt.Errorf("list gaps: %w", unavailable(err))
	}
	return gaps, nil
}

const beginPage = `
UPDATE gaps
SET asked_at = clock_timestamp()
WHERE id = $1 AND healed_at IS NULL
RETURNING asked_at`

// BeginPage notes that a page of a gap is about to be asked for, and returns when, by the database's clock. Until [Store.AdvanceGap]
// or [Store.CloseGap] follow, what is missing from now on is not covered by the gap: the page may have been made before. They are
// refused to whoever has asked before: of two who read a gap side by side, the later one's page counts. The error
// is [tidings.ErrNotFound] when the gap is not open any more.
func (s *Store) BeginPage(ctx context.Context, g Gap) (time.Time, error) {
	var asked time.Time
	err := s.db.GetContext(ctx, &asked, beginPage, g.ID)
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read gap %d of channel %d: %w", g.ID, g.Channel, unavailable(err))
	}
	return asked, nil
}

// An unclear gap that was put off while its page was under way is not closed by it, and no gap by a page that was asked for before
// somebody else's: what was found missing in between would be taken for covered by theirs, or put off by ours.
//
// What backfilling has stored since the gap was opened is what was missing; messages that were here already are not, nor what another gap over
// the same range has counted. Of a past nobody is told, so that what it has counted counts still.
const advanceGap = `
UPDATE gaps g
SET rest_id = $2,
    asked_at = NULL,
    healed_at = CASE WHEN $3 THEN now() END,
    recovered = recovered + (
	SELECT count(*)
	FROM messages m
	WHERE m.channel_id = g.channel_id AND m.id > $2 AND m.id <= g.rest_id
	  AND m.source = $4 AND m.recorded_at >= g.opened_at AND NOT m.deleted AND m.countable
	  AND NOT EXISTS (
		SELECT
		FROM gaps o
		WHERE o.channel_id = g.channel_id AND o.healed_at IS NULL AND o.id <> g.id
		  AND m.id > o.rest_id AND m.id <= o.to_id AND m.recorded_at >= o.opened_at AND (g.backfill OR NOT o.backfill))
	  AND NOT EXISTS (
		SELECT
		FROM gaps o
		WHERE o.channel_id = g.channel_id AND o.healed_at >= m.recorded_at AND o.recovered > 0
		  AND m.id > o.rest_id AND m.id <= o.to_id AND m.recorded_at >= o.opened_at AND (g.backfill OR NOT o.backfill)))
WHERE g.id = $1 AND g.healed_at IS NULL AND g.rest_id >= $2 AND g.asked_at IS NOT DISTINCT FROM $5 AND (NOT g.unclear OR g.asked_at IS NOT NULL)
RETURNING recovered`

const readByOther = `
SELECT EXISTS (
	SELECT
	FROM gaps
	WHERE id = $1 AND healed_at IS NULL AND asked_at IS DISTINCT FROM $2 AND (NOT unclear OR asked_at IS NOT NULL))`

// AdvanceGap notes that everything above an id is stored, so that healing goes on from there after a crash. It returns how
// many messages have been recovered in all. Its errors are those of [Store.CloseGap].
func (s *Store) AdvanceGap(ctx context.Context, g Gap, above discord.MessageID) (recovered int, err error) {
	return s.advanceGap(ctx, g, max(above, g.From), false)
}

// CloseGap notes that the whole range is known to be complete, and returns how many messages were recovered in it.
// [tidings.ErrNotFound] when the gap is not open any more, or is unclear and was put off; [tidings.ErrLeaseLost] when somebody else
// has asked for a page of it since g.Asked.
func (s *Store) CloseGap(ctx context.Context, g Gap) (recovered int, err error) {
	return s.advanceGap(ctx, g, g.From, true)
}

func (s *Store) advanceGap(ctx context.Context, g Gap, above discord.MessageID, done bool) (recovered int, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := lockChannel(ctx, tx, g.Channel); err != nil {
			return err
		}
		asked := sql.NullTime{Time: g.Asked, Valid: !g.Asked.IsZero()}
		err := tx.GetContext(ctx, &recovered, advanceGap, g.ID, int64(above), done, int(tidings.SourceBackfill), asked)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var overtaken bool
		if err := tx.GetContext(ctx, &overtaken, readByOther, g.ID, asked); err != nil {
			return err
		}
		if overtaken {
			return tidings.ErrLeaseLost
		}
		return tidings.ErrNotFound
	})
	if err != nil {
		return 0, fmt.Errorf("heal gap %d of channel %d: %w", g.ID, g.Channel, err)
	}
	return recovered, nil
}

// A channel whose fetching has died is left alone for an hour: what kept it from being read seldom passes sooner. One that is
// closed to the bot is asked for as soon as it opens; once a day it is tried all the same, should that have been worked out wrongly.
const unhealedChannels = `
SELECT DISTINCT ON (g.channel_id, g.backfill) g.channel_id, c.guild_id, g.backfill
FROM gaps g
JOIN channels c ON c.id = g.channel_id
JOIN guilds ON guilds.id = c.guild_id AND guilds.removed_at IS NULL
WHERE g.healed_at IS NULL AND g.retry_at <= now() AND (c.closed_at IS NULL OR c.closed_at < now() - interval '1 day')
  AND NOT EXISTS (
	SELECT
	FROM jobs j
	WHERE j.kind = CASE WHEN g.backfill THEN $2 ELSE $1 END AND j.key = g.channel_id::text
	  AND (j.state IN ('ready', 'running') OR j.state = 'dead' AND j.finished_at > now() - CASE WHEN c.closed_at IS NULL THEN interval '1 hour' ELSE interval '1 day' END))
LIMIT $3`

// EnqueueHealing asks for the fetching of channels that have a gap and no job, at most so many, and returns how many.
func (s *Store) EnqueueHealing(ctx context.Context, limit int) (int, error) {
	var channels []struct {
		Channel  discord.ChannelID `db:"channel_id"`
		Guild    discord.GuildID   `db:"guild_id"`
		Backfill bool              `db:"backfill"`
	}
	if err := s.db.SelectContext(ctx, &channels, unhealedChannels, FetchMessages, Backfill, limit); err != nil {
		return 0, fmt.Errorf("look for gaps: %w", unavailable(err))
	}
	jobs := make([]NewJob, len(channels))
	for i, c := range channels {
		jobs[i] = NewJob{Kind: FetchMessages, Key: c.Channel.String(), Guild: c.Guild, Priority: priorityCatchUp}
		if c.Backfill {
			jobs[i].Kind, jobs[i].Priority = Backfill, priorityBackfill
		}
	}
	if len(jobs) == 0 {
		return 0, nil
	}
	return s.Enqueue(ctx, jobs...)
}

const gapsOfInterest = `
SELECT DISTINCT g.channel_id, c.guild_id
FROM gaps g
JOIN channels c ON c.id = g.channel_id
WHERE g.healed_at IS NULL AND g.retry_at <= now() AND g.channel_id = ANY($1::bigint[])
  AND NOT EXISTS (
	SELECT
	FROM jobs j
	WHERE j.kind = $2 AND j.key = g.channel_id::text
	  AND (j.state IN ('ready', 'running') OR j.state = 'dead' AND j.finished_at > now() - interval '10 minutes'))`

// Opened asks for the gaps of channels that somebody looks at to be healed ahead of everything else.
func (s *Store) Opened(ctx context.Context, channels []discord.ChannelID) error {
	var behind []struct {
		Channel discord.ChannelID `db:"channel_id"`
		Guild   discord.GuildID   `db:"guild_id"`
	}
	if err := s.db.SelectContext(ctx, &behind, gapsOfInterest, ids(channels), PriorityFetch); err != nil {
		return fmt.Errorf("look for gaps: %w", unavailable(err))
	}
	if len(behind) == 0 {
		return nil
	}
	jobs := make([]NewJob, len(behind))
	for i, c := range behind {
		jobs[i] = NewJob{Kind: PriorityFetch, Key: c.Channel.String(), Guild: c.Guild, Priority: priorityReader, Tries: 3}
	}
	_, err := s.Enqueue(ctx, jobs...)
	return err
}

const selectClock = `
SELECT clock_timestamp()`

// Clock is the database's time.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := s.db.GetContext(ctx, &now, selectClock); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", unavailable(err))
	}
	return now, nil
}

const selectLive = `
SELECT id
FROM messages
WHERE channel_id = $1 AND id > $2 AND id < $3 AND NOT deleted AND recorded_at < $4
ORDER BY id DESC`

// LiveIDs lists a channel's stored messages between two ids, both exclusive, that were recorded before a time of [Store.Clock].
func (s *Store) LiveIDs(ctx context.Context, channel discord.ChannelID, above, below discord.MessageID, before time.Time) ([]discord.MessageID, error) {
	var list []discord.MessageID
	if err := s.db.SelectContext(ctx, &list, selectLive, int64(channel), int64(above), int64(below), before); err != nil {
		return nil, fmt.Errorf("list messages of channel %d: %w", channel, unavailable(err))
	}
	return list, nil
}
