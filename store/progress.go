package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Healing says how far what is missing has been fetched.
type Healing struct {
	Gaps     int `db:"gaps"`     // open ones where something was missed
	Pasts    int `db:"pasts"`    // channels whose past is being fetched
	Messages int `db:"messages"` // that were found in open gaps so far
	// Done is the part of the time that is fetched already, of the pasts that are wanted now: 0 to 1.
	Done    float64   `db:"done"`
	Started time.Time `db:"started"` // when the longest open one of them began; now when there is none
}

// Left estimates how long the pasts will take, from how long they took so far; 0 when that cannot be told yet.
func (h Healing) Left(now time.Time) time.Duration {
	if h.Pasts == 0 || h.Done < 0.01 {
		return 0
	}
	took := now.Sub(h.Started)
	return time.Duration(float64(took) * (1 - h.Done) / h.Done).Round(time.Second)
}

const selectHealing = `
WITH open AS (
	SELECT count(*) FILTER (WHERE NOT backfill) AS gaps,
		count(DISTINCT channel_id) FILTER (WHERE backfill) AS pasts,
		coalesce(sum(recovered), 0) AS messages,
		coalesce(min(opened_at) FILTER (WHERE backfill), now()) AS started
	FROM gaps
	WHERE healed_at IS NULL
)
SELECT o.gaps, o.pasts, o.messages, o.started, coalesce((
	SELECT avg(CASE WHEN g.healed_at IS NOT NULL THEN 1 ELSE (g.to_id - g.rest_id)::float8 / (g.to_id - g.from_id) END)
	FROM gaps g
	WHERE g.backfill AND g.opened_at >= o.started
), 1)::float8 AS done
FROM open o`

// Healing sums up what is missing and how far it has been fetched.
func (s *Store) Healing(ctx context.Context) (Healing, error) {
	var h Healing
	if err := s.db.GetContext(ctx, &h, selectHealing); err != nil {
		return Healing{}, fmt.Errorf("sum up what is missing: %w", unavailable(err))
	}
	return h, nil
}

const youngPasts = `
SELECT id, guild_id, since_id, known_id, last_seen_id, purged_id
FROM channels
WHERE since_id > $1 AND NOT deleted AND ($2::bigint = 0 OR guild_id = $2) AND ($3::bigint = 0 OR id = $3)
  AND id < since_id
ORDER BY id
FOR UPDATE`

// WantPast asks for the past of channels from a time on, where it is not wanted already: of one channel, of those of one guild,
// or of all where both are 0. It returns how many channels have something to fetch. What lies beyond [Options].Retention
// is not wanted.
func (s *Store) WantPast(ctx context.Context, guild discord.GuildID, channel discord.ChannelID, from time.Time) (channels int, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		channels = 0
		begin := max(s.Horizon(time.Now()), tidings.FirstID(from), 1)
		var rows []struct {
			ledgerRow
			Guild discord.GuildID `db:"guild_id"`
		}
		if err := tx.SelectContext(ctx, &rows, youngPasts, int64(begin), int64(guild), int64(channel)); err != nil {
			return err
		}
		var gaps []gap
		var moved [][]any
		var jobs []NewJob
		for _, r := range rows {
			since := max(begin, discord.MessageID(r.ID), r.Purged+1)
			if since >= r.Since {
				continue
			}
			gaps = append(gaps, gap{channel: r.ID, from: since - 1, to: r.Since - 1, reason: "its past", backfill: true})
			moved = append(moved, []any{int64(r.ID), int64(since), int64(r.Known)})
			jobs = append(jobs, NewJob{Kind: Backfill, Key: r.ID.String(), Guild: r.Guild, Priority: priorityBackfill})
		}
		channels = len(gaps)
		if err := openGaps(ctx, tx, gaps); err != nil {
			return err
		}
		if err := execRows(ctx, tx, moveLedger, moveLedgerTypes, moved); err != nil {
			return err
		}
		_, err := enqueue(ctx, tx, jobs)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("want the past of channels: %w", err)
	}
	return channels, nil
}

const stuckPasts = `
SELECT count(DISTINCT g.channel_id)
FROM gaps g
WHERE g.healed_at IS NULL AND g.backfill AND NOT EXISTS (
	SELECT
	FROM jobs j
	WHERE j.kind = $1 AND j.key = g.channel_id::text AND j.state IN ('ready', 'running'))`

// StuckPasts counts the channels whose past is wanted and has no job: Discord refused it.
func (s *Store) StuckPasts(ctx context.Context) (int, error) {
	var n int
	if err := s.db.GetContext(ctx, &n, stuckPasts, Backfill); err != nil {
		return 0, fmt.Errorf("count pasts that are stuck: %w", unavailable(err))
	}
	return n, nil
}
