package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// Server is a guild as operators see it.
type Server struct {
	ID        discord.GuildID `db:"id" json:"id"`
	Name      string          `db:"name" json:"name"`
	Removed   *time.Time      `db:"removed_at" json:"removed_at"`
	Forgotten *time.Time      `db:"purged_at" json:"forgotten_at"`
	FirstSeen time.Time       `db:"first_seen" json:"first_seen"`
	Kept      bool            `db:"kept" json:"kept"`
	Retention int             `db:"retention_days" json:"retention_days"` // 0: as everywhere
	Channels  int             `db:"channels" json:"channels"`
	People    int             `db:"people" json:"people"`     // who use the service
	Messages  int64           `db:"messages" json:"messages"` // live and countable ones
	Gaps      int             `db:"gaps" json:"gaps"`         // open ones, pasts left out
	Pasts     int             `db:"pasts" json:"pasts"`       // channels whose past is being fetched
	PastDone  float64         `db:"past_done" json:"past_done"`
}

const selectServers = `
SELECT g.id, g.name, g.removed_at, g.purged_at, g.first_seen, g.kept, g.retention_days,
       (SELECT count(*) FROM channels c WHERE c.guild_id = g.id AND NOT c.deleted) AS channels,
       (SELECT count(*) FROM members m WHERE m.guild_id = g.id AND m.state = 'in') AS people,
       (SELECT coalesce(sum(b.n), 0) FROM live_buckets b JOIN channels c ON c.id = b.channel_id WHERE c.guild_id = g.id) AS messages,
       p.gaps, p.pasts, p.past_done
FROM guilds g
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE NOT a.backfill) AS gaps,
	       count(DISTINCT a.channel_id) FILTER (WHERE a.backfill) AS pasts,
	       coalesce(avg((a.to_id - a.rest_id)::float8 / nullif(a.to_id - a.from_id, 0)) FILTER (WHERE a.backfill), 1)::float8 AS past_done
	FROM channels c
	JOIN gaps a ON a.channel_id = c.id AND a.healed_at IS NULL
	WHERE c.guild_id = g.id
) p
WHERE $1::bigint[] IS NULL OR g.id = ANY($1)
ORDER BY g.removed_at IS NOT NULL, g.name, g.id
LIMIT 1000`

// Servers lists guilds as operators see them, those of a list where it is not nil, at most 1000.
func (s *Store) Servers(ctx context.Context, of []discord.GuildID) ([]Server, error) {
	var list pq.Int64Array
	if of != nil {
		list = ids(of)
	}
	servers := []Server{}
	if err := s.db.SelectContext(ctx, &servers, selectServers, list); err != nil {
		return nil, fmt.Errorf("list servers: %w", unavailable(err))
	}
	return servers, nil
}

// ServerChannel is a channel as operators see it.
type ServerChannel struct {
	ID       discord.ChannelID `db:"id" json:"id"`
	Parent   discord.ChannelID `db:"parent_id" json:"parent"`
	Name     string            `db:"name" json:"name"`
	Type     int               `db:"type" json:"type"`
	Kept     bool              `db:"kept" json:"kept"`
	Messages int64             `db:"messages" json:"messages"`
	Gaps     int               `db:"gaps" json:"gaps"`
}

const selectServerChannels = `
SELECT c.id, c.parent_id, c.name, c.type, c.kept,
       (SELECT coalesce(sum(b.n), 0) FROM live_buckets b WHERE b.channel_id = c.id) AS messages,
       (SELECT count(*) FROM gaps a WHERE a.channel_id = c.id AND a.healed_at IS NULL) AS gaps
FROM channels c
WHERE c.guild_id = $1 AND NOT c.deleted AND c.type NOT IN (-1, 4)
ORDER BY c.position, c.name, c.id
LIMIT 2000`

// ServerChannels lists a guild's channels as operators see them, at most 2000.
func (s *Store) ServerChannels(ctx context.Context, g discord.GuildID) ([]ServerChannel, error) {
	list := []ServerChannel{}
	if err := s.db.SelectContext(ctx, &list, selectServerChannels, int64(g)); err != nil {
		return nil, fmt.Errorf("list channels of server %d: %w", g, unavailable(err))
	}
	return list, nil
}

const selectKept = `
SELECT kept
FROM guilds
WHERE id = $1
FOR UPDATE`

const setServer = `
UPDATE guilds
SET kept = $2,
    retention_days = $3
WHERE id = $1`

// What was not kept lies below since_id from now on, so that nothing is said to be complete that is not.
const keepChannelsAgain = `
UPDATE channels
SET purged_id = greatest(purged_id, $3),
    since_id = CASE WHEN since_id > 0 THEN greatest(since_id, $3 + 1) ELSE 0 END,
    known_id = CASE WHEN since_id > 0 THEN greatest(known_id, $3) ELSE known_id END
WHERE CASE WHEN $1::bigint <> 0 THEN guild_id = $1 ELSE id = $2 END`

// SetServer sets whether a guild's messages are stored and for how many days, 0 for as many as everywhere; by says who wants it. What
// is stored already stays until it is too old or purged.
func (s *Store) SetServer(ctx context.Context, g discord.GuildID, kept bool, retention int, by discord.UserID) error {
	if retention < 0 || retention > 36500 {
		return fmt.Errorf("set server %d: %w retention: %d days", g, tidings.ErrInvalid, retention)
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		var was bool
		if err := tx.GetContext(ctx, &was, selectKept, int64(g)); errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		} else if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, setServer, int64(g), kept, retention); err != nil {
			return err
		}
		if kept && !was {
			if _, err := tx.ExecContext(ctx, keepChannelsAgain, int64(g), 0, int64(tidings.FirstID(time.Now())-1)); err != nil {
				return err
			}
		}
		return note(ctx, tx, by, "set server", map[string]any{"guild": g, "kept": kept, "retention_days": retention})
	})
	if err != nil {
		return fmt.Errorf("set server %d: %w", g, err)
	}
	return nil
}

const selectChannelKept = `
SELECT kept
FROM channels
WHERE id = $1 AND guild_id = $2
FOR UPDATE`

const setChannelKept = `
UPDATE channels
SET kept = $3
WHERE id = $1 AND guild_id = $2`

// KeepChannel sets whether a channel's messages are stored; threads are channels of their own.
func (s *Store) KeepChannel(ctx context.Context, g discord.GuildID, c discord.ChannelID, kept bool, by discord.UserID) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		var was bool
		if err := tx.GetContext(ctx, &was, selectChannelKept, int64(c), int64(g)); errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		} else if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, setChannelKept, int64(c), int64(g), kept); err != nil {
			return err
		}
		if kept && !was {
			if _, err := tx.ExecContext(ctx, keepChannelsAgain, 0, int64(c), int64(tidings.FirstID(time.Now())-1)); err != nil {
				return err
			}
		}
		return note(ctx, tx, by, "keep channel", map[string]any{"guild": g, "channel": c, "kept": kept})
	})
	if err != nil {
		return fmt.Errorf("keep channel %d: %w", c, err)
	}
	return nil
}

// Person is somebody who uses the service, as operators see them.
type Person struct {
	ID        discord.UserID `db:"id" json:"id"`
	Name      string         `db:"name" json:"name"`
	FirstSeen time.Time      `db:"first_seen" json:"first_seen"`
	SeenAt    time.Time      `db:"seen_at" json:"seen_at"`
	Sessions  int            `db:"sessions" json:"sessions"`
	Tokens    int            `db:"tokens" json:"tokens"`
	Servers   int            `db:"servers" json:"servers"`
}

const selectPeople = `
SELECT u.id, u.name, u.first_seen, u.seen_at,
       (SELECT count(*) FROM session_people p JOIN sessions s ON s.token = p.token AND s.expires > now() WHERE p.user_id = u.id) AS sessions,
       (SELECT count(*) FROM api_tokens t WHERE t.user_id = u.id AND t.revoked_at IS NULL) AS tokens,
       (SELECT count(*) FROM members m WHERE m.user_id = u.id AND m.state = 'in') AS servers
FROM users u
WHERE u.id > $1
ORDER BY u.id
LIMIT $2`

// People lists those who use the service, by id, after an id.
func (s *Store) People(ctx context.Context, after discord.UserID, limit int) ([]Person, error) {
	list := []Person{}
	if err := s.db.SelectContext(ctx, &list, selectPeople, int64(after), limit); err != nil {
		return nil, fmt.Errorf("list people: %w", unavailable(err))
	}
	return list, nil
}

// RevokeTokens revokes all of a person's API tokens.
func (s *Store) RevokeTokens(ctx context.Context, user discord.UserID) error {
	if _, err := s.db.ExecContext(ctx, revokeTokens, int64(user)); err != nil {
		return fmt.Errorf("revoke tokens of user %d: %w", user, unavailable(err))
	}
	return nil
}
