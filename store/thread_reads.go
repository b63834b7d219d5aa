package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Discord names the members of a private thread when they join or leave while a session listens, and at no other time: not those of a
// thread that is seen first, nor who made it. So they are asked for when a thread is seen first or comes back, after each silence and
// every now and then. What is told meanwhile counts the thread's events up, and an answer of before is refused.

// ReadThreadMembers is the kind of the job that asks who is in the private threads of a guild of which that is not known for sure. Its
// key is the guild's id.
const ReadThreadMembers = "read-thread-members"

// readThreads asks for the job.
func (b *barrier) readThreads(ctx context.Context, tx *sqlx.Tx) error {
	_, err := enqueue(ctx, tx, []NewJob{{Kind: ReadThreadMembers, Key: b.guild.String(), Guild: b.guild, Priority: priorityReader}})
	return err
}

const wantThreads = `
INSERT INTO thread_reads (thread_id, guild_id)
SELECT t, $2
FROM unnest($1::bigint[]) t
ORDER BY t
ON CONFLICT (thread_id) DO UPDATE
SET guild_id = excluded.guild_id,
    events = thread_reads.events + 1`

// wantThreads has the members of private threads asked for that are new here or have come back.
func (b *barrier) wantThreads(ctx context.Context, tx *sqlx.Tx, threads []discord.ChannelID) error {
	if len(threads) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, wantThreads, ids(threads), int64(b.guild)); err != nil {
		return err
	}
	return b.readThreads(ctx, tx)
}

const doubtThreads = `
INSERT INTO thread_reads (thread_id, guild_id, doubted_at)
SELECT id, guild_id, now()
FROM channels
WHERE guild_id = $1 AND type = 12 AND NOT deleted
ORDER BY id
ON CONFLICT (thread_id) DO UPDATE
SET events = thread_reads.events + 1,
    doubted_at = coalesce(thread_reads.doubted_at, excluded.doubted_at)`

// doubtThreads has the members of all private threads of the guild asked for, after nobody listened.
func (b *barrier) doubtThreads(ctx context.Context, tx *sqlx.Tx) error {
	res, err := tx.ExecContext(ctx, doubtThreads, int64(b.guild))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return b.readThreads(ctx, tx)
}

// What is known for sure stays so when a change of it is told.
const toldThread = `
INSERT INTO thread_reads (thread_id, guild_id, events)
VALUES ($1, $2, 1)
ON CONFLICT (thread_id) DO UPDATE
SET events = thread_reads.events + 1,
    read = CASE WHEN thread_reads.read = thread_reads.events THEN thread_reads.events + 1 ELSE thread_reads.read END`

const toldThreads = `
UPDATE thread_reads
SET events = events + 1,
    read = CASE WHEN read = events THEN events + 1 ELSE read END
WHERE guild_id = $1`

// loseThreads has the members of all of a guild's private threads asked for again.
const loseThreads = `
UPDATE thread_reads
SET events = events + 1
WHERE guild_id = $1`

// maxThreadsRead bounds one run of the job; the most active threads come first, and the rest is asked for by the next.
const maxThreadsRead = 10_000

const doubtedThreads = `
SELECT c.id
FROM channels c
LEFT JOIN thread_reads r ON r.thread_id = c.id
WHERE c.guild_id = $1 AND c.type = 12 AND NOT c.deleted AND (r.thread_id IS NULL OR r.read <> r.events)
ORDER BY c.archived, c.last_seen_id DESC, c.id
LIMIT $2`

// DoubtedThreads lists the private threads of a guild whose members have to be asked for, those first that are not archived.
func (s *Store) DoubtedThreads(ctx context.Context, g discord.GuildID) ([]discord.ChannelID, error) {
	var threads []discord.ChannelID
	if err := s.db.SelectContext(ctx, &threads, doubtedThreads, int64(g), maxThreadsRead); err != nil {
		return nil, fmt.Errorf("list the private threads of guild %d: %w", g, unavailable(err))
	}
	return threads, nil
}

const watchThread = `
INSERT INTO thread_reads (thread_id, guild_id)
VALUES ($1, $2)
ON CONFLICT (thread_id) DO NOTHING`

const threadEvents = `
SELECT events, read = events AS known
FROM thread_reads
WHERE thread_id = $1`

// WatchThread must be called before Discord is asked who is in a private thread: from then on what is told of its members is counted. It
// returns the count so far, for [tidings.ThreadMembersRead], and whether its members are known for sure as it stands.
func (s *Store) WatchThread(ctx context.Context, g discord.GuildID, thread discord.ChannelID) (events int64, known bool, err error) {
	var row struct {
		Events int64
		Known  bool
	}
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, watchThread, int64(thread), int64(g)); err != nil {
			return err
		}
		return tx.GetContext(ctx, &row, threadEvents, int64(thread))
	})
	if err != nil {
		return 0, false, fmt.Errorf("watch the members of thread %d: %w", thread, err)
	}
	return row.Events, row.Known, nil
}

const membersIn = `
SELECT user_id
FROM members
WHERE guild_id = $1 AND state = 'in'
ORDER BY user_id`

// MembersIn lists the people who have signed in and are members of a guild.
func (s *Store) MembersIn(ctx context.Context, g discord.GuildID) ([]discord.UserID, error) {
	var users []discord.UserID
	if err := s.db.SelectContext(ctx, &users, membersIn, int64(g)); err != nil {
		return nil, fmt.Errorf("list the members of guild %d: %w", g, unavailable(err))
	}
	return users, nil
}

const lockRead = `
SELECT r.events
FROM thread_reads r
JOIN channels c ON c.id = r.thread_id AND c.type = 12 AND NOT c.deleted
WHERE r.thread_id = $1
FOR UPDATE OF r`

const inThread = `
SELECT user_id
FROM thread_members
WHERE thread_id = $1`

const saveRead = `
UPDATE thread_reads
SET read = events,
    partial = $2,
    doubted_at = NULL
WHERE thread_id = $1`

// threadRead takes in who is in a private thread, unless something was told of its members since they were asked for.
func (b *barrier) threadRead(ctx context.Context, tx *sqlx.Tx, e tidings.ThreadMembersRead) error {
	var events int64
	err := tx.GetContext(ctx, &events, lockRead, int64(e.Thread))
	if errors.Is(err, sql.ErrNoRows) || err == nil && events != e.Events {
		return nil
	}
	if err != nil {
		return err
	}
	var stored []discord.UserID
	if err := tx.SelectContext(ctx, &stored, inThread, int64(e.Thread)); err != nil {
		return err
	}
	var left []discord.UserID
	for _, u := range stored {
		if !slices.Contains(e.Members, u) && (e.Of == nil || slices.Contains(e.Of, u)) {
			left = append(left, u)
		}
	}
	if err := b.moveThread(ctx, tx, e.Thread, e.Members, left); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, saveRead, int64(e.Thread), e.Of != nil)
	return err
}

// moveThread lets people into a thread and out of it.
func (b *barrier) moveThread(ctx context.Context, tx *sqlx.Tx, thread discord.ChannelID, in, out []discord.UserID) error {
	var joined, left, ours []discord.UserID
	if err := tx.SelectContext(ctx, &joined, joinThread, int64(thread), ids(compact(in))); err != nil {
		return err
	}
	if err := tx.SelectContext(ctx, &left, leaveThread, int64(thread), ids(out)); err != nil {
		return err
	}
	if err := tx.SelectContext(ctx, &ours, signedIn, ids(append(joined, left...))); err != nil {
		return err
	}
	for _, u := range ours {
		b.moveFor(u)
	}
	return nil
}

const partialThreads = `
UPDATE thread_reads
SET read = -1
WHERE guild_id = $1 AND partial AND read <> -1`

// newcomer has threads asked about again of which it is known only for those who were members here before.
func (b *barrier) newcomer(ctx context.Context, tx *sqlx.Tx) error {
	res, err := tx.ExecContext(ctx, partialThreads, int64(b.guild))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return b.readThreads(ctx, tx)
}

const wantAllThreads = `
WITH due AS (
	SELECT r.thread_id
	FROM thread_reads r
	JOIN channels c ON c.id = r.thread_id AND c.type = 12 AND NOT c.archived AND NOT c.deleted
	JOIN guilds g ON g.id = r.guild_id AND g.removed_at IS NULL
	ORDER BY r.thread_id
	FOR UPDATE OF r)
UPDATE thread_reads r
SET read = -1
FROM due
WHERE due.thread_id = r.thread_id
RETURNING r.guild_id`

// RecheckThreads has the members of all private threads that are not archived asked for again, by jobs. It returns of how many.
func (s *Store) RecheckThreads(ctx context.Context) (int, error) {
	n := 0
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		var guilds []discord.GuildID
		if err := tx.SelectContext(ctx, &guilds, wantAllThreads); err != nil {
			return err
		}
		n = len(guilds)
		slices.Sort(guilds)
		var jobs []NewJob
		for _, g := range slices.Compact(guilds) {
			jobs = append(jobs, NewJob{Kind: ReadThreadMembers, Key: g.String(), Guild: g, Priority: priorityReconcile})
		}
		_, err := enqueue(ctx, tx, jobs)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the members of private threads again: %w", err)
	}
	return n, nil
}
