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

// Gap is a range of a channel's ids that is not known to be complete.
type Gap struct {
	ID        int64             `db:"id"`
	Channel   discord.ChannelID `db:"channel_id"`
	Guild     discord.GuildID   `db:"guild_id"`  // 0 when the channel is not known
	From      discord.MessageID `db:"from_id"`   // exclusive
	To        discord.MessageID `db:"to_id"`     // inclusive
	HealedTo  discord.MessageID `db:"healed_to"` // read up to here; From when nothing was read yet
	Reason    string            `db:"reason"`
	Opened    time.Time         `db:"opened_at"`
	Recovered int               `db:"recovered"` // countable messages that were found so far
}

// OpenGap notes that the messages of a channel above from, up to and including to, may be missing, and asks for the job that
// fetches them. A range that is empty or lies in an open gap already says nothing new.
func (s *Store) OpenGap(ctx context.Context, channel discord.ChannelID, from, to discord.MessageID, reason string) error {
	if to <= from {
		return nil
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		guild, err := lockChannel(ctx, tx, channel)
		if err != nil {
			return err
		}
		if err := openGaps(ctx, tx, []gap{{channel, from, to, clean(reason)}}); err != nil {
			return err
		}
		if err := uncover(ctx, tx, channel, int64(from)+1, int64(to)); err != nil {
			return err
		}
		_, err = enqueue(ctx, tx, []NewJob{fetchJob(channel, guild)})
		return err
	})
	if err != nil {
		return fmt.Errorf("open a gap in channel %d: %w", channel, err)
	}
	return nil
}

func fetchJob(channel discord.ChannelID, guild discord.GuildID) NewJob {
	return NewJob{Kind: FetchMessages, Key: channel.String(), Guild: guild}
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

const gapColumns = `
SELECT g.id, g.channel_id, coalesce(c.guild_id, 0) AS guild_id, g.from_id, g.to_id, greatest(g.healed_to, g.from_id) AS healed_to,
       g.reason, g.opened_at, g.recovered
FROM gaps g
LEFT JOIN channels c ON c.id = g.channel_id
WHERE g.healed_at IS NULL`

const openGapsOf = gapColumns + ` AND ($1::bigint = 0 OR g.channel_id = $1)
ORDER BY g.channel_id, g.from_id, g.id`

// Gaps lists the open gaps of all channels.
func (s *Store) Gaps(ctx context.Context) ([]Gap, error) { return s.gaps(ctx, 0) }

// ChannelGaps lists the open gaps of a channel, oldest range first.
func (s *Store) ChannelGaps(ctx context.Context, channel discord.ChannelID) ([]Gap, error) {
	return s.gaps(ctx, channel)
}

func (s *Store) gaps(ctx context.Context, channel discord.ChannelID) ([]Gap, error) {
	var gaps []Gap
	if err := s.db.SelectContext(ctx, &gaps, openGapsOf, int64(channel)); err != nil {
		return nil, fmt.Errorf("list gaps: %w", err)
	}
	return gaps, nil
}

// What backfilling has stored since the gap was opened is what was missing; messages that were here already are not.
const advanceGap = `
UPDATE gaps g
SET healed_to = $2,
    healed_at = CASE WHEN $3 THEN now() END,
    recovered = recovered + (
	SELECT count(*)
	FROM messages m
	WHERE m.channel_id = g.channel_id AND m.id > greatest(g.healed_to, g.from_id) AND m.id <= $2
	  AND m.source = $4 AND m.recorded_at >= g.opened_at AND NOT m.deleted AND m.countable)
WHERE g.id = $1 AND g.healed_at IS NULL AND $2 >= greatest(g.healed_to, g.from_id)
RETURNING recovered`

// AdvanceGap notes that everything up to an id is stored, so that healing goes on from there after a crash. It returns how
// many messages have been recovered in all.
func (s *Store) AdvanceGap(ctx context.Context, g Gap, to discord.MessageID) (recovered int, err error) {
	return s.advanceGap(ctx, g, min(to, g.To), false)
}

// CloseGap notes that the whole range is known to be complete, and returns how many messages were recovered in it.
// [tidings.ErrNotFound] when the gap is not open any more.
func (s *Store) CloseGap(ctx context.Context, g Gap) (recovered int, err error) {
	return s.advanceGap(ctx, g, g.To, true)
}

func (s *Store) advanceGap(ctx context.Context, g Gap, to discord.MessageID, done bool) (recovered int, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := lockChannel(ctx, tx, g.Channel); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &recovered, advanceGap, g.ID, int64(to), done, int(tidings.SourceBackfill))
		if errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		}
		if err != nil {
			return err
		}
		return cover(ctx, tx, g.Channel, int64(g.From)+1, int64(to))
	})
	if err != nil {
		return 0, fmt.Errorf("heal gap %d of channel %d: %w", g.ID, g.Channel, err)
	}
	return recovered, nil
}

// A channel whose fetching has died is left alone for an hour: what kept it from being read seldom passes sooner.
const unhealedChannels = `
SELECT DISTINCT ON (g.channel_id) g.channel_id, c.guild_id
FROM gaps g
JOIN channels c ON c.id = g.channel_id
JOIN guilds ON guilds.id = c.guild_id AND guilds.removed_at IS NULL
WHERE g.healed_at IS NULL
  AND NOT EXISTS (
	SELECT
	FROM jobs j
	WHERE j.kind = $1 AND j.key = g.channel_id::text
	  AND (j.state IN ('ready', 'running') OR j.state = 'dead' AND j.finished_at > now() - interval '1 hour'))
LIMIT $2`

// EnqueueHealing asks for the fetching of channels that have a gap and no job, at most so many, and returns how many.
func (s *Store) EnqueueHealing(ctx context.Context, limit int) (int, error) {
	var channels []struct {
		Channel discord.ChannelID `db:"channel_id"`
		Guild   discord.GuildID   `db:"guild_id"`
	}
	if err := s.db.SelectContext(ctx, &channels, unhealedChannels, FetchMessages, limit); err != nil {
		return 0, fmt.Errorf("look for gaps: %w", err)
	}
	jobs := make([]NewJob, len(channels))
	for i, c := range channels {
		jobs[i] = fetchJob(c.Channel, c.Guild)
	}
	if len(jobs) == 0 {
		return 0, nil
	}
	return s.Enqueue(ctx, jobs...)
}

// span is a range of ids, both ends included.
type span struct {
	From int64 `db:"from_id"`
	To   int64 `db:"to_id"`
}

const takeCoverage = `
DELETE FROM coverage
WHERE channel_id = $1 AND to_id >= $2 AND from_id <= $3
RETURNING from_id, to_id`

const addCoverage = `
INSERT INTO coverage (channel_id, from_id, to_id)
VALUES ($1, $2, $3)`

// cover notes that a range is complete, and joins it with those that touch it. The channel's row is locked.
func cover(ctx context.Context, tx *sqlx.Tx, channel discord.ChannelID, from, to int64) error {
	if to < from {
		return nil
	}
	var touching []span
	if err := tx.SelectContext(ctx, &touching, takeCoverage, int64(channel), from-1, to+1); err != nil {
		return err
	}
	for _, t := range touching {
		from, to = min(from, t.From), max(to, t.To)
	}
	_, err := tx.ExecContext(ctx, addCoverage, int64(channel), from, to)
	return err
}

// uncover notes that a range is not known to be complete any more. The channel's row is locked.
func uncover(ctx context.Context, tx *sqlx.Tx, channel discord.ChannelID, from, to int64) error {
	var overlapping []span
	if err := tx.SelectContext(ctx, &overlapping, takeCoverage, int64(channel), from, to); err != nil {
		return err
	}
	for _, o := range overlapping {
		for _, rest := range []span{{o.From, from - 1}, {to + 1, o.To}} {
			if rest.To < rest.From {
				continue
			}
			if _, err := tx.ExecContext(ctx, addCoverage, int64(channel), rest.From, rest.To); err != nil {
				return err
			}
		}
	}
	return nil
}
