package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Whoever was removed while no session told of it is a member here still. So with each session that shows a guild anew, all that
// was known of its members and of its private threads' members becomes doubtful: it is asked about at once, believed meanwhile,
// so that an outage does not hide everything from everybody, and denied once DenyDoubted says that the time for asking is up.

// Someone who is doubtful from an earlier silence still keeps its time, or sessions that break again and again would put it off for ever.
const noteSilence = `
UPDATE guilds g
SET silences = g.silences + 1,
    silent_at = CASE
	WHEN g.silent_at IS NOT NULL AND (
		EXISTS (SELECT FROM members m WHERE m.guild_id = g.id AND m.state = 'in' AND m.settled < g.silences) OR
		EXISTS (SELECT FROM thread_reads r WHERE r.guild_id = g.id AND r.doubted_at IS NOT NULL))
	THEN g.silent_at
	ELSE now()
    END
WHERE g.id = $1
RETURNING g.silences`

const knowsMembers = `
SELECT EXISTS (SELECT FROM members WHERE guild_id = $1 AND state <> 'asking')`

// silence makes doubtful what events may have said that nobody heard.
func (b *barrier) silence(ctx context.Context, tx *sqlx.Tx) error {
	if err := tx.GetContext(ctx, &b.row.Silences, noteSilence, int64(b.guild)); err != nil {
		return err
	}
	var known bool
	if err := tx.GetContext(ctx, &known, knowsMembers, int64(b.guild)); err != nil {
		return err
	}
	if known { // Every process must see it, to ask.
		b.move()
	}
	if err := b.doubtThreads(ctx, tx); err != nil {
		return err
	}
	return b.doubtArchived(ctx, tx)
}

const doubtedMembers = `
SELECT m.user_id, m.state = 'in' AS member
FROM members m
JOIN guilds g ON g.id = m.guild_id
WHERE m.guild_id = $1 AND m.state <> 'asking' AND m.settled < g.silences
ORDER BY m.user_id`

// DoubtedMembers lists the people who have signed in and of whom it was said before the guild's last silence that they are members
// (in) or are not (out).
func (s *Store) DoubtedMembers(ctx context.Context, g discord.GuildID) (in, out []discord.UserID, err error) {
	var rows []struct {
		User   discord.UserID `db:"user_id"`
		Member bool           `db:"member"`
	}
	if err := s.db.SelectContext(ctx, &rows, doubtedMembers, int64(g)); err != nil {
		return nil, nil, fmt.Errorf("list the doubted members of guild %d: %w", g, unavailable(err))
	}
	for _, r := range rows {
		if r.Member {
			in = append(in, r.User)
		} else {
			out = append(out, r.User)
		}
	}
	return in, out, nil
}

const isSettled = `
SELECT EXISTS (
	SELECT
	FROM members m
	JOIN guilds g ON g.id = m.guild_id
	WHERE m.guild_id = $1 AND m.user_id = $2 AND m.state <> 'asking' AND m.settled >= g.silences)`

// MemberDoubted reports whether a membership is unknown or doubtful still: another process may have asked about it.
func (s *Store) MemberDoubted(ctx context.Context, g discord.GuildID, u discord.UserID) (bool, error) {
	var settled bool
	if err := s.db.GetContext(ctx, &settled, isSettled, int64(g), int64(u)); err != nil {
		return false, fmt.Errorf("look up member %d of guild %d: %w", u, g, unavailable(err))
	}
	return !settled, nil
}

const longSilent = `
SELECT id
FROM guilds
WHERE silent_at < now() - $1 * interval '1 second' AND removed_at IS NULL
ORDER BY id`

const stillSilent = `
SELECT coalesce((
	SELECT silent_at < now() - $2 * interval '1 second'
	FROM guilds
	WHERE id = $1), false)`

const denyMembers = `
UPDATE members m
SET state = 'asking',
    roles = '{}'
FROM guilds g
WHERE m.guild_id = $1 AND g.id = m.guild_id AND m.state = 'in' AND m.settled < g.silences
RETURNING m.user_id`

// Somebody's threads are known by thread; what is denied is not who is in it but what was believed about it.
const denyThreads = `
DELETE FROM thread_members t
USING thread_reads r
WHERE r.guild_id = $1 AND r.doubted_at IS NOT NULL AND r.read <> r.events AND t.thread_id = r.thread_id
RETURNING t.user_id`

const endSilence = `
UPDATE guilds
SET silent_at = NULL
WHERE id = $1`

const endDoubts = `
UPDATE thread_reads
SET doubted_at = NULL
WHERE guild_id = $1 AND doubted_at IS NOT NULL`

// DenyDoubted denies what has been doubtful for longer than a time: members who could not be asked about count as unknown again,
// and nobody is in a private thread whose members could not be read. It returns the guilds in which that moved something.
func (s *Store) DenyDoubted(ctx context.Context, after time.Duration) ([]tidings.AccessChange, error) {
	var guilds []discord.GuildID
	if err := s.db.SelectContext(ctx, &guilds, longSilent, after.Seconds()); err != nil {
		return nil, fmt.Errorf("look for doubted members: %w", unavailable(err))
	}
	var all []tidings.AccessChange
	for _, g := range guilds {
		var changes []tidings.AccessChange
		err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
			changes = nil
			b := barrier{guild: g}
			if known, err := b.lock(ctx, tx); err != nil || !known {
				return err
			}
			var still bool // Another process, or another silence, may have come first.
			if err := tx.GetContext(ctx, &still, stillSilent, int64(g), after.Seconds()); err != nil || !still {
				return err
			}
			var users, threads []discord.UserID
			if err := tx.SelectContext(ctx, &users, denyMembers, int64(g)); err != nil {
				return err
			}
			for _, u := range users {
				b.moveFor(u)
			}
			if err := tx.SelectContext(ctx, &threads, denyThreads, int64(g)); err != nil {
				return err
			}
			if len(threads) > 0 {
				b.move()
			}
			for _, end := range []string{endDoubts, endSilence} {
				if _, err := tx.ExecContext(ctx, end, int64(g)); err != nil {
					return err
				}
			}
			var err error
			changes, err = b.bump(ctx, tx)
			return err
		})
		if err != nil {
			return all, fmt.Errorf("deny what is doubted in guild %d: %w", g, err)
		}
		if len(changes) > 0 {
			s.afterCommit(context.WithoutCancel(ctx), tidings.Result{Access: changes})
			all = append(all, changes...)
		}
	}
	return all, nil
}
