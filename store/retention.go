package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// rowsPerRetention keeps a channel's lock short while its old messages are deleted.
const rowsPerRetention = 2000

const expiredChannels = `
SELECT c.id, greatest($2, o.horizon) AS horizon
FROM channels c
LEFT JOIN unnest($3::bigint[], $4::bigint[]) o(guild_id, horizon) ON o.guild_id = c.guild_id
WHERE c.id > $1 AND EXISTS (SELECT FROM messages m WHERE m.channel_id = c.id AND m.id < greatest($2, o.horizon))
ORDER BY c.id
LIMIT 100`

const ownRetentions = `
SELECT id, retention_days
FROM guilds
WHERE retention_days > 0`

// Retain deletes the messages that are older than [Options].Retention, or than their guild's own, channel by channel and in bounded steps under the
// channel's lock, and tells of each step: counts have changed in a way that no delta says. It returns how many messages went.
func (s *Store) Retain(ctx context.Context, tell func(context.Context, tidings.Result)) (deleted int, err error) {
	now := time.Now()
	horizon := s.Horizon(now)
	var own []struct {
		Guild int64 `db:"id"`
		Days  int   `db:"retention_days"`
	}
	if err := s.db.SelectContext(ctx, &own, ownRetentions); err != nil {
		return 0, fmt.Errorf("look for retentions: %w", unavailable(err))
	}
	if horizon == 0 && len(own) == 0 {
		return 0, nil
	}
	var guilds, horizons pq.Int64Array
	for _, o := range own {
		guilds, horizons = append(guilds, o.Guild), append(horizons, int64(below(o.Days, now)+1))
	}
	for after := discord.ChannelID(0); ; {
		var channels []struct {
			ID      discord.ChannelID `db:"id"`
			Horizon discord.MessageID `db:"horizon"`
		}
		if err := s.db.SelectContext(ctx, &channels, expiredChannels, int64(after), int64(horizon), guilds, horizons); err != nil {
			return deleted, fmt.Errorf("look for old messages: %w", unavailable(err))
		}
		for _, c := range channels {
			for n := rowsPerRetention; n == rowsPerRetention; {
				var r tidings.Result
				if n, r, err = s.retainStep(ctx, c.ID, c.Horizon, false); err != nil {
					return deleted, fmt.Errorf("delete old messages of channel %d: %w", c.ID, err)
				}
				deleted += n
				s.afterCommit(context.WithoutCancel(ctx), r)
				tell(ctx, r)
			}
			after = c.ID
		}
		if len(channels) == 0 {
			break
		}
	}
	if err := s.unquoteOld(ctx, horizon, guilds, horizons, tell); err != nil {
		return deleted, fmt.Errorf("delete quotes of old messages: %w", unavailable(err))
	}
	return deleted, nil
}

const lockForRetention = `
SELECT guild_id
FROM channels
WHERE id = $1
FOR UPDATE`

const expireMessages = `
WITH old AS (
	SELECT id
	FROM messages
	WHERE channel_id = $1 AND id < $2
	ORDER BY id
	LIMIT $3
), gone AS (
	DELETE FROM messages m
	USING old
	WHERE m.channel_id = $1 AND m.id = old.id
	RETURNING m.id
)
SELECT array_agg(id) AS ids
FROM gone`

// The horizon is the first id of a day and steps go upwards, so a bucket is of days that are gone or is counted anew.
var expireOthers = []string{`
DELETE FROM mention_targets
WHERE channel_id = $1 AND message_id <= $2`, `
DELETE FROM reactions
WHERE channel_id = $1 AND message_id <= $2`, `
DELETE FROM poll_votes
WHERE channel_id = $1 AND message_id <= $2`, `
DELETE FROM live_buckets
WHERE channel_id = $1 AND day < ($2::bigint >> 22) / 86400000`, `
UPDATE live_buckets
SET n = (
	SELECT count(*)
	FROM messages
	WHERE channel_id = $1 AND id > $2 AND id < (live_buckets.day + 1)::bigint * 86400000 << 22 AND NOT deleted AND countable)
WHERE channel_id = $1 AND day = ($2::bigint >> 22) / 86400000`, `
DELETE FROM saved_messages
WHERE channel_id = $1 AND message_id <= $2`, `
DELETE FROM gaps
WHERE channel_id = $1 AND to_id <= $2`, `
UPDATE gaps
SET from_id = $2,
    rest_id = greatest(rest_id, $2)
WHERE channel_id = $1 AND from_id < $2`,
}

const retained = `
UPDATE channels
SET version = version + 1,
    since_id = CASE WHEN since_id > 0 THEN greatest(since_id, $2::bigint + 1) ELSE 0 END,
    known_id = CASE WHEN since_id > 0 THEN greatest(known_id, $2) ELSE known_id END,
    last_live_id = CASE WHEN last_live_id <= $2 THEN 0 ELSE last_live_id END
WHERE id = $1
RETURNING version, coalesce((SELECT g.access_version FROM guilds g WHERE g.id = channels.guild_id), 0) AS access_version`

// retainStep deletes the oldest messages of a channel, up to rowsPerRetention of those below the horizon. whole has the channel's
// row moved although there were none.
func (s *Store) retainStep(ctx context.Context, channel discord.ChannelID, horizon discord.MessageID, whole bool) (n int, result tidings.Result, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		n, result = 0, tidings.Result{}
		var guild discord.GuildID
		err := tx.GetContext(ctx, &guild, lockForRetention, int64(channel))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var list pq.Int64Array
		if err := tx.GetContext(ctx, &list, expireMessages, int64(channel), int64(horizon), rowsPerRetention); err != nil || len(list) == 0 && !whole {
			return err
		}
		upTo := horizon - 1 // nothing is left below
		gone := make([]discord.MessageID, len(list))
		for i, id := range list {
			gone[i] = discord.MessageID(id)
		}
		if len(gone) == rowsPerRetention {
			upTo = slices.Max(gone)
		}
		quoting, err := forgetCopies(ctx, tx, gone)
		if err != nil {
			return err
		}
		delete(quoting, channel)
		others, err := reset(ctx, tx, slices.Collect(maps.Keys(quoting)))
		if err != nil {
			return err
		}
		for _, query := range expireOthers {
			if _, err := tx.ExecContext(ctx, query, int64(channel), int64(upTo)); err != nil {
				return err
			}
		}
		d := tidings.Delta{Guild: guild, Channel: channel, Kind: tidings.DeltaReset, At: time.Now()}
		if err := tx.QueryRowContext(ctx, retained, int64(channel), int64(upTo)).Scan(&d.Version, &d.AccessVersion); err != nil {
			return err
		}
		n, result.Deltas = len(gone), append(others, d)
		return nil
	})
	return n, result, err
}
