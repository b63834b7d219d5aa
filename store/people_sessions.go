package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Session is a browser in which a person is signed in.
type Session struct {
	Key       string    `db:"token"` // see [TokenKey]
	Agent     string    `db:"agent"` // what the browser calls itself
	CreatedAt time.Time `db:"created_at"`
	Expires   time.Time `db:"expires"`
}

// maxAgent bounds what is kept of a browser's name for itself.
const maxAgent = 300

const noteSession = `
INSERT INTO session_people (token, user_id, agent)
VALUES ($1, $2, $3)
ON CONFLICT (token) DO UPDATE
SET user_id = excluded.user_id, agent = excluded.agent`

// NoteSession notes whose session it is.
func (s *Store) NoteSession(ctx context.Context, key string, user discord.UserID, agent string) error {
	agent = clean(agent[:min(len(agent), maxAgent)])
	if _, err := s.db.ExecContext(ctx, noteSession, key, int64(user), agent); err != nil {
		return fmt.Errorf("note session of user %d: %w", user, unavailable(err))
	}
	return nil
}

const selectSessions = `
SELECT p.token, p.agent, p.created_at, s.expires
FROM session_people p
JOIN sessions s ON s.token = p.token AND s.expires > now()
WHERE p.user_id = $1
ORDER BY p.created_at DESC, p.token`

// Sessions lists where the person is signed in, the newest first.
func (s *Store) Sessions(ctx context.Context, user discord.UserID) ([]Session, error) {
	var list []Session
	if err := s.db.SelectContext(ctx, &list, selectSessions, int64(user)); err != nil {
		return nil, fmt.Errorf("list sessions of user %d: %w", user, unavailable(err))
	}
	return list, nil
}

const endSessions = `
WITH ended AS (
	DELETE FROM session_people
	WHERE user_id = $1 AND token = ANY ($2::text[])
	RETURNING token
)
DELETE FROM sessions
WHERE token IN (SELECT token FROM ended)`

// EndSessionsOf ends those of the person's sessions that have the keys.
func (s *Store) EndSessionsOf(ctx context.Context, user discord.UserID, keys []string) error {
	if _, err := s.db.ExecContext(ctx, endSessions, int64(user), pq.StringArray(keys)); err != nil {
		return fmt.Errorf("end sessions of user %d: %w", user, unavailable(err))
	}
	return nil
}

const closeFeedsOf = `
UPDATE views
SET feed_hash = NULL
WHERE user_id = $1 AND feed_hash IS NOT NULL`

const stopOutgoingOf = `
UPDATE outgoing_webhooks
SET stopped = true, last_error = $2
WHERE user_id = $1 AND NOT stopped`

// EndOutlets ends what lets others read in a person's name without a session or a token of theirs: secret addresses of feeds, webhooks, which
// are stopped, and browsers that are told by Web Push. It is for after those have ended that could make new ones.
func (s *Store) EndOutlets(ctx context.Context, user discord.UserID) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, closeFeedsOf, int64(user)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, stopOutgoingOf, int64(user), "it was stopped when all of your sessions and tokens were ended; delete it and make another"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, endPushOf, int64(user))
		return err
	})
	if err != nil {
		return fmt.Errorf("end what user %d has given out: %w", user, err)
	}
	return nil
}

const selectSessionStands = `
SELECT EXISTS (
	SELECT
	FROM sessions
	WHERE token = $1 AND expires > now()
)`

// SessionStands reports whether there is a session with that key.
func (s *Store) SessionStands(ctx context.Context, key string) (bool, error) {
	var stands bool
	if err := s.db.GetContext(ctx, &stands, selectSessionStands, key); err != nil {
		return false, fmt.Errorf("session: %w", unavailable(err))
	}
	return stands, nil
}
