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

// Mute is a muted channel, category or guild. Its unread messages are not in anybody's total; its mentions are.
type Mute struct {
	Scope discord.Snowflake `db:"scope_id"`
	Until *time.Time        `db:"until"` // nil for ever
}

// Bounds of what one person may keep.
const (
	MaxMutes   = 2000
	MaxIgnored = 1000
)

const upsertMute = `
INSERT INTO mutes AS m (user_id, scope_id, until)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM mutes WHERE user_id = $1 AND scope_id <> $2) < $4
ON CONFLICT (user_id, scope_id) DO UPDATE
SET until = excluded.until`

const sameMute = `
SELECT EXISTS (
	SELECT
	FROM mutes
	WHERE user_id = $1 AND scope_id = $2 AND until IS NOT DISTINCT FROM $3
)`

// Mute mutes a channel, a category with all that is in it, or a guild, until a time or, when that is zero, for ever. That the
// person may know of the scope is for the caller to know.
func (s *Store) Mute(ctx context.Context, user discord.UserID, scope discord.Snowflake, until time.Time) (tidings.ReadResult, error) {
	if int64(scope) <= 0 {
		return tidings.ReadResult{}, fmt.Errorf("mute: %w", tidings.InvalidField("scope", "it is no id"))
	}
	end := sql.NullTime{Time: until.UTC().Truncate(time.Microsecond), Valid: !until.IsZero()}
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		var same bool
		if err := tx.GetContext(ctx, &same, sameMute, int64(user), int64(scope), end); err != nil || same {
			return false, err
		}
		res, err := tx.ExecContext(ctx, upsertMute, int64(user), int64(scope), end, MaxMutes)
		return put("scope", res, err)
	})
	if err != nil {
		return r, fmt.Errorf("mute %d: %w", scope, err)
	}
	return r, nil
}

const deleteMute = `
DELETE FROM mutes
WHERE user_id = $1 AND scope_id = $2`

// Unmute ends a mute. One that there is not is no error.
func (s *Store) Unmute(ctx context.Context, user discord.UserID, scope discord.Snowflake) (tidings.ReadResult, error) {
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		return some(tx.ExecContext(ctx, deleteMute, int64(user), int64(scope)))
	})
	if err != nil {
		return r, fmt.Errorf("unmute %d: %w", scope, err)
	}
	return r, nil
}

const selectMutes = `
SELECT scope_id, until
FROM mutes
WHERE user_id = $1 AND (until IS NULL OR until > now())
ORDER BY scope_id`

// Mutes lists what the person mutes now.
func (s *Store) Mutes(ctx context.Context, user discord.UserID) ([]Mute, error) {
	var mutes []Mute
	if err := s.db.SelectContext(ctx, &mutes, selectMutes, int64(user)); err != nil {
		return nil, fmt.Errorf("list mutes of user %d: %w", user, unavailable(err))
	}
	return mutes, nil
}

const insertIgnored = `
INSERT INTO ignored_authors (user_id, author_id)
SELECT $1, $2
WHERE (SELECT count(*) FROM ignored_authors WHERE user_id = $1) < $3`

const selectIsIgnored = `
SELECT EXISTS (
	SELECT
	FROM ignored_authors
	WHERE user_id = $1 AND author_id = $2
)`

// Ignore leaves an author's messages out of the person's counts and of their feed, those of the past too.
func (s *Store) Ignore(ctx context.Context, user, author discord.UserID) (tidings.ReadResult, error) {
	if int64(author) <= 0 {
		return tidings.ReadResult{}, fmt.Errorf("ignore: %w", tidings.InvalidField("author", "it is no id"))
	}
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		var already bool
		if err := tx.GetContext(ctx, &already, selectIsIgnored, int64(user), int64(author)); err != nil || already {
			return false, err
		}
		res, err := tx.ExecContext(ctx, insertIgnored, int64(user), int64(author), MaxIgnored)
		return put("author", res, err)
	})
	if err != nil {
		return r, fmt.Errorf("ignore %d: %w", author, err)
	}
	return r, nil
}

const deleteIgnored = `
DELETE FROM ignored_authors
WHERE user_id = $1 AND author_id = $2`

// Unignore counts an author's messages again. One who is not ignored is no error.
func (s *Store) Unignore(ctx context.Context, user, author discord.UserID) (tidings.ReadResult, error) {
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		return some(tx.ExecContext(ctx, deleteIgnored, int64(user), int64(author)))
	})
	if err != nil {
		return r, fmt.Errorf("count %d again: %w", author, err)
	}
	return r, nil
}

const selectIgnored = `
SELECT author_id
FROM ignored_authors
WHERE user_id = $1
ORDER BY author_id`

// Ignored lists whom the person ignores.
func (s *Store) Ignored(ctx context.Context, user discord.UserID) ([]discord.UserID, error) {
	var authors []discord.UserID
	if err := s.db.SelectContext(ctx, &authors, selectIgnored, int64(user)); err != nil {
		return nil, fmt.Errorf("list who is ignored by user %d: %w", user, unavailable(err))
	}
	return authors, nil
}

// prefer changes what a person prefers, under the lock that their marks take too. When fn has changed something their rev
// grows, and the result says so to their devices by having no channels. Otherwise its rev is the present one.
func (s *Store) prefer(ctx context.Context, user discord.UserID, fn func(tx *sqlx.Tx) (changed bool, err error)) (tidings.ReadResult, error) {
	var r tidings.ReadResult
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		r = tidings.ReadResult{User: user}
		err := tx.GetContext(ctx, &r.Rev, lockUser, int64(user))
		if errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		}
		if err != nil {
			return err
		}
		changed, err := fn(tx)
		if err != nil || !changed {
			return err
		}
		r.Rev++
		_, err = tx.ExecContext(ctx, updateRev, int64(user), r.Rev)
		return err
	})
	if err != nil {
		return tidings.ReadResult{}, err
	}
	return r, nil
}

// some reports whether a statement has changed a row.
func some(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// put is some for a row that is only refused when there are too many.
func put(field string, r sql.Result, err error) (bool, error) {
	ok, err := some(r, err)
	if err == nil && !ok {
		err = tidings.InvalidField(field, "there are too many of them; take one back first")
	}
	return ok, err
}
