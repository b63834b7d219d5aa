package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

const removedGuilds = `
SELECT id
FROM guilds
WHERE removed_at < now() - $1 * interval '1 second' AND purged_at IS NULL
ORDER BY removed_at
LIMIT 100`

// ForgetRemoved deletes all that is held of the guilds that removed the bot longer ago than the grace period, and tells of it. Of a
// guild and its channels the ids and counters stay: versions that began anew would be taken for old ones. It returns how many
// guilds were forgotten.
func (s *Store) ForgetRemoved(ctx context.Context, grace time.Duration, tell Tell) (int, error) {
	var guilds []discord.GuildID
	if err := s.db.SelectContext(ctx, &guilds, removedGuilds, int64(grace/time.Second)); err != nil {
		return 0, fmt.Errorf("look for guilds to forget: %w", unavailable(err))
	}
	for i, g := range guilds {
		if err := s.forgetGuild(ctx, g, tell); err != nil {
			return i, fmt.Errorf("forget guild %d: %w", g, unavailable(err))
		}
	}
	return len(guilds), nil
}

const stillRemoved = `
SELECT EXISTS (SELECT FROM guilds WHERE id = $1 AND removed_at IS NOT NULL AND purged_at IS NULL)`

// What people did there goes as well; their baselines too, so that their history begins anew should the bot come back.
var forgetGuildRows = []string{`
DELETE FROM read_positions
WHERE channel_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM saved_messages
WHERE channel_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM visits
WHERE scope_id = $1 OR scope_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM mutes
WHERE scope_id = $1 OR scope_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM thread_members
WHERE thread_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM thread_reads
WHERE guild_id = $1`, `
DELETE FROM gaps
WHERE channel_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM lobby_channels
WHERE channel_id IN (SELECT id FROM channels WHERE guild_id = $1)`, `
DELETE FROM read_floors
WHERE scope_id = $1`, `
DELETE FROM baselines
WHERE guild_id = $1`, `
DELETE FROM suppressed
WHERE guild_id = $1`, `
DELETE FROM servers_of
WHERE guild_id = $1`, `
DELETE FROM members
WHERE guild_id = $1`, `
DELETE FROM roles
WHERE guild_id = $1`, `
DELETE FROM guild_polls
WHERE guild_id = $1`, `
DELETE FROM jobs
WHERE guild_id = $1 AND state <> 'running'`, `
UPDATE channels
SET name = '',
    topic = '',
    overwrites = '[]',
    deleted = true,
    last_message_id = 0,
    since_id = 0,
    known_id = 0,
    purged_id = 0
WHERE guild_id = $1`,
}

const guildForgotten = `
UPDATE guilds
SET name = '',
    icon = '',
    owner_id = 0,
    self_id = 0,
    self_roles = '{}',
    purged_at = now(),
    purged_id = 0,
    lived = false,
    suspect_id = 0,
    access_version = access_version + 1
WHERE id = $1
RETURNING access_version`

func (s *Store) forgetGuild(ctx context.Context, g discord.GuildID, tell Tell) error {
	r := PurgeReceipt{Purge: Purge{Guild: g, Before: time.Now()}}
	// Its messages go step by step before the guild is locked.
	var none bool
	if err := s.db.GetContext(ctx, &none, `SELECT NOT EXISTS (SELECT FROM channels WHERE guild_id = $1)`, int64(g)); err != nil {
		return err
	}
	if !none {
		if err := s.purgeChannels(ctx, &r, tell); err != nil {
			return err
		}
	}
	var change []tidings.AccessChange
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		change = nil
		b := barrier{guild: g}
		if known, err := b.lock(ctx, tx); err != nil || !known {
			return err
		}
		var still bool
		if err := tx.GetContext(ctx, &still, stillRemoved, int64(g)); err != nil || !still {
			return err // The bot was invited again meanwhile.
		}
		for _, query := range forgetGuildRows {
			if _, err := tx.ExecContext(ctx, query, int64(g)); err != nil {
				return err
			}
		}
		c := tidings.AccessChange{Guild: g}
		if err := tx.GetContext(ctx, &c.Version, guildForgotten, int64(g)); err != nil {
			return err
		}
		change = []tidings.AccessChange{c}
		return note(ctx, tx, 0, "forget server", r)
	})
	if err != nil {
		return err
	}
	tell(ctx, tidings.Result{Access: change})
	return nil
}
