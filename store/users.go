package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Without a name nothing is known but the id, and what is known already stays.
const saveUser = `
INSERT INTO users AS u (id, name, avatar)
VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE
SET name = CASE WHEN excluded.name = '' THEN u.name ELSE excluded.name END,
	avatar = CASE WHEN excluded.name = '' THEN u.avatar ELSE excluded.avatar END,
	seen_at = now()
RETURNING id, name, avatar, rev`

// SaveUser makes the person known, or brings their name and avatar up to date; with an empty name only the id is taken. It
// returns them as they are now. Rev is not written.
func (s *Store) SaveUser(ctx context.Context, u tidings.User) (tidings.User, error) {
	var saved tidings.User
	if int64(u.ID) <= 0 {
		return saved, fmt.Errorf("save user: %w id", tidings.ErrInvalid)
	}
	if err := s.db.GetContext(ctx, &saved, saveUser, int64(u.ID), clean(u.Name), clean(u.Avatar)); err != nil {
		return tidings.User{}, fmt.Errorf("save user %d: %w", u.ID, unavailable(err))
	}
	return saved, nil
}

const selectUser = `
SELECT id, name, avatar, rev
FROM users
WHERE id = $1`

// User returns a person who has signed in or has a token, otherwise [tidings.ErrNotFound].
func (s *Store) User(ctx context.Context, id discord.UserID) (tidings.User, error) {
	var u tidings.User
	err := s.db.GetContext(ctx, &u, selectUser, int64(id))
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return tidings.User{}, fmt.Errorf("user %d: %w", id, unavailable(err))
	}
	return u, nil
}

const selectRevs = `
SELECT id, rev
FROM users
WHERE id = ANY($1::bigint[])`

// Revs returns the rev of each person who is known.
func (s *Store) Revs(ctx context.Context, users []discord.UserID) (map[discord.UserID]int64, error) {
	var rows []struct {
		ID  discord.UserID `db:"id"`
		Rev int64          `db:"rev"`
	}
	if err := s.db.SelectContext(often(ctx, len(users)), &rows, selectRevs, ids(users)); err != nil {
		return nil, fmt.Errorf("revs of %d users: %w", len(users), unavailable(err))
	}
	revs := make(map[discord.UserID]int64, len(rows))
	for _, r := range rows {
		revs[r.ID] = r.Rev
	}
	return revs, nil
}

const saveOAuthToken = `
INSERT INTO oauth_tokens (user_id, sealed)
VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE
SET sealed = excluded.sealed, updated_at = now()`

const deleteOAuthToken = `
DELETE FROM oauth_tokens
WHERE user_id = $1`

// SaveOAuthToken keeps the person's token for Discord, which the caller has encrypted; empty forgets it.
func (s *Store) SaveOAuthToken(ctx context.Context, user discord.UserID, sealed []byte) error {
	var err error
	if len(sealed) == 0 {
		_, err = s.db.ExecContext(ctx, deleteOAuthToken, int64(user))
	} else {
		_, err = s.db.ExecContext(ctx, saveOAuthToken, int64(user), sealed)
	}
	if err != nil {
		return fmt.Errorf("save oauth token of user %d: %w", user, unavailable(err))
	}
	return nil
}

const selectHeld = `
SELECT (SELECT count(*) FROM session_people WHERE user_id = $1) AS sessions,
       (SELECT count(*) FROM api_tokens WHERE user_id = $1) AS tokens,
       (SELECT count(*) FROM read_positions WHERE user_id = $1) AS positions,
       (SELECT count(*) FROM saved_messages WHERE user_id = $1) AS saved,
       (SELECT count(*) FROM mutes WHERE user_id = $1) AS mutes,
       (SELECT count(*) FROM ignored_authors WHERE user_id = $1) AS ignored,
       (SELECT count(*) FROM push_subscriptions WHERE user_id = $1) AS push,
       (SELECT count(*) FROM members WHERE user_id = $1) AS memberships,
       EXISTS (SELECT FROM oauth_tokens WHERE user_id = $1) AS discord_token,
       EXISTS (SELECT FROM author_optouts WHERE author_id = $1) AS opted_out`

// Held is what is kept of a person, in numbers.
type Held struct {
	Sessions     int  `db:"sessions" json:"sessions"`
	Tokens       int  `db:"tokens" json:"tokens"`
	Positions    int  `db:"positions" json:"positions"`
	Saved        int  `db:"saved" json:"saved"`
	Mutes        int  `db:"mutes" json:"mutes"`
	Ignored      int  `db:"ignored" json:"ignored"`
	Push         int  `db:"push" json:"push" doc:"Browsers that are told while no page is open"`
	Memberships  int  `db:"memberships" json:"memberships"`
	DiscordToken bool `db:"discord_token" json:"discord_token"`
	OptedOut     bool `db:"opted_out" json:"opted_out" doc:"What the person writes is kept back"`
}

// Held counts what is kept of a person.
func (s *Store) Held(ctx context.Context, user discord.UserID) (Held, error) {
	var h Held
	if err := s.db.GetContext(ctx, &h, selectHeld, int64(user)); err != nil {
		return Held{}, fmt.Errorf("count what is held of user %d: %w", user, unavailable(err))
	}
	return h, nil
}

// sealed are the columns that hold what is encrypted. What was saved meanwhile is under the new key already.
var sealed = []struct{ each, replace string }{{`
SELECT user_id AS id, user_id, sealed
FROM oauth_tokens
WHERE user_id > $1
ORDER BY user_id
LIMIT 500`, `
UPDATE oauth_tokens
SET sealed = $3
WHERE user_id = $1 AND sealed = $2`}, {`
SELECT id, user_id, secret AS sealed
FROM outgoing_webhooks
WHERE id > $1
ORDER BY id
LIMIT 500`, `
UPDATE outgoing_webhooks
SET secret = $3
WHERE id = $1 AND secret = $2`}, {`
SELECT id, user_id, sealed
FROM push_subscriptions
WHERE id > $1
ORDER BY id
LIMIT 500`, `
UPDATE push_subscriptions
SET sealed = $3
WHERE id = $1 AND sealed = $2`}, {`
SELECT id, 0 AS user_id, sealed
FROM service_keys
WHERE id > $1
ORDER BY id
LIMIT 500`, `
UPDATE service_keys
SET sealed = $3
WHERE id = $1 AND sealed = $2`}}

// ReplaceSealed puts in place of each sealed token and secret what reseal gives, where that is not nil, and returns how many were
// replaced and how many reseal has refused.
func (s *Store) ReplaceSealed(ctx context.Context, reseal func(discord.UserID, []byte) ([]byte, error)) (replaced, refused int, err error) {
	var rows []struct {
		ID     int64          `db:"id"`
		User   discord.UserID `db:"user_id"`
		Sealed []byte         `db:"sealed"`
	}
	for _, column := range sealed {
		for after, full := int64(0), true; full; {
			rows = rows[:0]
			if err := s.db.SelectContext(ctx, &rows, column.each, after); err != nil {
				return replaced, refused, fmt.Errorf("read what is sealed: %w", unavailable(err))
			}
			for _, r := range rows {
				next, err := reseal(r.User, r.Sealed)
				switch {
				case err != nil:
					refused++
				case next != nil:
					if _, err := s.db.ExecContext(ctx, column.replace, r.ID, r.Sealed, next); err != nil {
						return replaced, refused, fmt.Errorf("replace what is sealed of user %d: %w", r.User, unavailable(err))
					}
					replaced++
				}
				after = r.ID
			}
			full = len(rows) == 500
		}
	}
	return replaced, refused, nil
}

const selectOAuthToken = `
SELECT sealed
FROM oauth_tokens
WHERE user_id = $1`

// OAuthToken returns what SaveOAuthToken kept, otherwise [tidings.ErrNotFound].
func (s *Store) OAuthToken(ctx context.Context, user discord.UserID) ([]byte, error) {
	var sealed []byte
	err := s.db.GetContext(ctx, &sealed, selectOAuthToken, int64(user))
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("oauth token of user %d: %w", user, unavailable(err))
	}
	return sealed, nil
}
