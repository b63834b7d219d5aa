package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
)

// Discord lists threads that are active, and nothing says whether one that is listed no longer was archived or deleted. So each is
// looked for by itself; and after a silence those archived ones too in which somebody wrote last, for they may be gone as well.

// FindThreads is the kind of the job that looks for threads that were not named any more. Its key is the guild's id.
const FindThreads = "find-threads"

// maxArchivedDoubted is how many archived threads of a guild are looked for after a silence, one request each.
const maxArchivedDoubted = 200

func (b *barrier) findThreads(ctx context.Context, tx *sqlx.Tx) error {
	_, err := enqueue(ctx, tx, []NewJob{{Kind: FindThreads, Key: b.guild.String(), Guild: b.guild, Priority: priorityReconcile}})
	return err
}

const doubtArchived = `
WITH newest AS (
	SELECT id
	FROM channels
	WHERE guild_id = $1 AND archived AND NOT deleted AND NOT unnamed AND type BETWEEN 10 AND 12 AND last_live_id > 0
	ORDER BY last_live_id DESC
	LIMIT $2),
locked AS (
	SELECT id
	FROM channels
	WHERE id IN (SELECT id FROM newest)
	ORDER BY id
	FOR UPDATE)
UPDATE channels
SET unnamed = true
WHERE id IN (SELECT id FROM locked)`

// doubtArchived has archived threads looked for that may have been deleted while nobody listened.
func (b *barrier) doubtArchived(ctx context.Context, tx *sqlx.Tx) error {
	res, err := tx.ExecContext(ctx, doubtArchived, int64(b.guild), maxArchivedDoubted)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return b.findThreads(ctx, tx)
}

const unnamedThreads = `
SELECT id
FROM channels
WHERE guild_id = $1 AND unnamed AND NOT deleted
ORDER BY last_live_id DESC, id
LIMIT $2`

// UnnamedThreads lists threads of a guild that have to be looked for, at most limit.
func (s *Store) UnnamedThreads(ctx context.Context, g discord.GuildID, limit int) ([]discord.ChannelID, error) {
	var threads []discord.ChannelID
	if err := s.db.SelectContext(ctx, &threads, unnamedThreads, int64(g), limit); err != nil {
		return nil, fmt.Errorf("list the threads of guild %d that are not named: %w", g, unavailable(err))
	}
	return threads, nil
}

const stillUnnamed = `
SELECT EXISTS (SELECT FROM channels WHERE id = $1 AND unnamed AND NOT deleted)`

// ThreadUnnamed reports whether a thread has to be looked for still: something may have been told of it meanwhile.
func (s *Store) ThreadUnnamed(ctx context.Context, thread discord.ChannelID) (bool, error) {
	var still bool
	if err := s.db.GetContext(ctx, &still, stillUnnamed, int64(thread)); err != nil {
		return false, fmt.Errorf("look up thread %d: %w", thread, unavailable(err))
	}
	return still, nil
}

const letUnnamed = `
UPDATE channels
SET unnamed = false
WHERE id = $1 AND unnamed`

// LetThread notes that a thread was looked for in vain: the bot may not see it, which says neither that it is there nor that it is not.
func (s *Store) LetThread(ctx context.Context, thread discord.ChannelID) error {
	if _, err := s.db.ExecContext(ctx, letUnnamed, int64(thread)); err != nil {
		return fmt.Errorf("note that thread %d was looked for: %w", thread, unavailable(err))
	}
	return nil
}
