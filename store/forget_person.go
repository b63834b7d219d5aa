package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// personRows are all rows that exist because a person uses this service, table by table. thread_members, mention_targets and
// messages are Discord's own, and are here whether they sign in or not; see docs/PRIVACY.md.
var personRows = []struct{ table, query string }{
	{"sessions", `
DELETE FROM sessions
WHERE token IN (SELECT token FROM session_people WHERE user_id = $1)`},
	{"session_people", `
DELETE FROM session_people
WHERE user_id = $1`},
	{"api_tokens", `
DELETE FROM api_tokens
WHERE user_id = $1`},
	{"oauth_tokens", `
DELETE FROM oauth_tokens
WHERE user_id = $1`},
	{"read_positions", `
DELETE FROM read_positions
WHERE user_id = $1`},
	{"read_floors", `
DELETE FROM read_floors
WHERE user_id = $1`},
	{"baselines", `
DELETE FROM baselines
WHERE user_id = $1`},
	{"read_log", `
DELETE FROM read_log
WHERE user_id = $1`},
	{"visits", `
DELETE FROM visits
WHERE user_id = $1`},
	{"ignored_authors", `
DELETE FROM ignored_authors
WHERE user_id = $1`},
	{"saved_messages", `
DELETE FROM saved_messages
WHERE user_id = $1`},
	{"mutes", `
DELETE FROM mutes
WHERE user_id = $1`},
	{"suppressed", `
DELETE FROM suppressed
WHERE user_id = $1`},
	{"keywords", `
DELETE FROM keywords
WHERE user_id = $1`},
	{"views", `
DELETE FROM views
WHERE user_id = $1`},
	{"outgoing_webhooks", `
DELETE FROM outgoing_webhooks
WHERE user_id = $1`},
	{"notify_prefs", `
DELETE FROM notify_prefs
WHERE user_id = $1`},
	{"notify_settings", `
DELETE FROM notify_settings
WHERE user_id = $1`},
	{"push_subscriptions", `
DELETE FROM push_subscriptions
WHERE user_id = $1`},
	{"servers_of", `
DELETE FROM servers_of
WHERE user_id = $1`},
	{"members", `
DELETE FROM members
WHERE user_id = $1`},
	{"users", `
DELETE FROM users
WHERE id = $1`},
}

const bumpMemberships = `
UPDATE guilds
SET access_version = access_version + 1
WHERE id IN (SELECT guild_id FROM members WHERE user_id = $1)
RETURNING id AS guild, access_version AS version`

// ForgetPerson deletes all that is kept of somebody because they use this service: sessions, tokens, positions, what they saved,
// muted and ignored, memberships and Discord's token. It returns how many rows of each table went, and what moved. What they wrote
// on Discord is [Store.Purge]'s. The receipt in the audit log names their id.
func (s *Store) ForgetPerson(ctx context.Context, user discord.UserID) (deleted map[string]int64, result tidings.Result, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		deleted, result = map[string]int64{}, tidings.Result{}
		var moved []struct {
			Guild   discord.GuildID `db:"guild"`
			Version int64           `db:"version"`
		}
		if err := tx.SelectContext(ctx, &moved, bumpMemberships, int64(user)); err != nil {
			return err
		}
		for _, m := range moved {
			result.Access = append(result.Access, tidings.AccessChange{Guild: m.Guild, Version: m.Version, Users: []discord.UserID{user}})
		}
		for _, p := range personRows {
			res, err := tx.ExecContext(ctx, p.query, int64(user))
			if err != nil {
				return fmt.Errorf("%s: %w", p.table, err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			if n > 0 {
				deleted[p.table] = n
			}
		}
		return note(ctx, tx, user, "forget person", deleted)
	})
	if err != nil {
		return nil, tidings.Result{}, fmt.Errorf("forget person %d: %w", user, err)
	}
	return deleted, result, nil
}
