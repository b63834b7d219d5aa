package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Suppressed is what does not mention a person in one guild.
type Suppressed struct {
	Guild discord.GuildID `db:"guild_id"`
	tidings.Suppression
}

const selectSuppressed = `
SELECT guild_id, everyone, roles
FROM suppressed
WHERE user_id = $1
ORDER BY guild_id`

// Suppressed lists the guilds in which the person suppresses something.
func (s *Store) Suppressed(ctx context.Context, user discord.UserID) ([]Suppressed, error) {
	var list []Suppressed
	if err := s.db.SelectContext(ctx, &list, selectSuppressed, int64(user)); err != nil {
		return nil, fmt.Errorf("list what user %d suppresses: %w", user, unavailable(err))
	}
	return list, nil
}

const sameSuppressed = `
SELECT EXISTS (
	SELECT
	FROM suppressed
	WHERE user_id = $1 AND guild_id = $2 AND everyone = $3 AND roles = $4
)`

const upsertSuppressed = `
INSERT INTO suppressed (user_id, guild_id, everyone, roles)
SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM suppressed WHERE user_id = $1 AND guild_id <> $2) < $5
ON CONFLICT (user_id, guild_id) DO UPDATE
SET everyone = excluded.everyone, roles = excluded.roles`

const deleteSuppressed = `
DELETE FROM suppressed
WHERE user_id = $1 AND guild_id = $2`

// Suppress says what does not mention the person in a guild from now on, messages of the past too. That the person may know of the
// guild is for the caller to know.
func (s *Store) Suppress(ctx context.Context, user discord.UserID, guild discord.GuildID, what tidings.Suppression) (tidings.ReadResult, error) {
	if int64(guild) <= 0 {
		return tidings.ReadResult{}, fmt.Errorf("suppress: %w", tidings.InvalidField("guild", "it is no id"))
	}
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		if what == (tidings.Suppression{}) {
			return some(tx.ExecContext(ctx, deleteSuppressed, int64(user), int64(guild)))
		}
		var same bool
		if err := tx.GetContext(ctx, &same, sameSuppressed, int64(user), int64(guild), what.Everyone, what.Roles); err != nil || same {
			return false, err
		}
		res, err := tx.ExecContext(ctx, upsertSuppressed, int64(user), int64(guild), what.Everyone, what.Roles, MaxMutes)
		return put("guild", res, err)
	})
	if err != nil {
		return r, fmt.Errorf("suppress mentions in guild %d: %w", guild, err)
	}
	return r, nil
}
