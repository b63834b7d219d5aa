package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The methods below make Store a store of alexedwards/scs. The cookie's token is kept as a hash only, so whoever reads the
// table cannot use what is in it. [Store.Cleanup] removes the expired ones.

// sessionWait bounds the methods that scs calls without a context.
const sessionWait = 5 * time.Second

const findSession = `
SELECT data
FROM sessions
WHERE token = $1 AND expires > now()`

// FindCtx returns a session's data; found is false when there is none or it has expired.
func (s *Store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = s.db.GetContext(often(ctx, 1), &data, findSession, TokenKey(token))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", unavailable(err))
	}
	return data, true, nil
}

const commitSession = `
INSERT INTO sessions (token, data, expires)
VALUES ($1, $2, $3)
ON CONFLICT (token) DO UPDATE
SET data = excluded.data, expires = excluded.expires`

// CommitCtx saves a session until expiry.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	if _, err := s.db.ExecContext(ctx, commitSession, TokenKey(token), data, expiry); err != nil {
		return fmt.Errorf("save session: %w", unavailable(err))
	}
	return nil
}

const deleteSession = `
DELETE FROM sessions
WHERE token = $1`

// DeleteCtx ends a session. One that does not exist is no error.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if _, err := s.db.ExecContext(ctx, deleteSession, TokenKey(token)); err != nil {
		return fmt.Errorf("delete session: %w", unavailable(err))
	}
	return nil
}

// Find is [Store.FindCtx] for callers without a context.
func (s *Store) Find(token string) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sessionWait)
	defer cancel()
	return s.FindCtx(ctx, token)
}

// Commit is [Store.CommitCtx] for callers without a context.
func (s *Store) Commit(token string, data []byte, expiry time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), sessionWait)
	defer cancel()
	return s.CommitCtx(ctx, token, data, expiry)
}

// Delete is [Store.DeleteCtx] for callers without a context.
func (s *Store) Delete(token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sessionWait)
	defer cancel()
	return s.DeleteCtx(ctx, token)
}
