package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// memberRow is what is known of a signed-in person's membership.
type memberRow struct {
	State   string        `db:"state"`
	Nick    string        `db:"nick"`
	Roles   pq.Int64Array `db:"roles"`
	Flags   int64         `db:"flags"`
	Timeout sql.NullTime  `db:"timeout_until"`
	Events  int64         `db:"events"`
	Settled int64         `db:"settled"` // the guild's silences as of when this was said
}

// The states of a member row.
const (
	stateAsking = "asking"
	stateIn     = "in"
	stateOut    = "out"
)

const lockMember = `
SELECT state, nick, roles, flags, timeout_until, events, settled
FROM members
WHERE guild_id = $1 AND user_id = $2
FOR UPDATE`

func loadMember(ctx context.Context, tx *sqlx.Tx, g discord.GuildID, u discord.UserID) (row memberRow, known bool, err error) {
	err = tx.GetContext(ctx, &row, lockMember, int64(g), int64(u))
	if errors.Is(err, sql.ErrNoRows) {
		return memberRow{}, false, nil
	}
	return row, err == nil, err
}

// memberOf is the row of a person who is in the guild.
func memberOf(m tidings.Member) memberRow {
	return memberRow{
		State: stateIn, Nick: clean(m.Nick), Roles: ids(compact(m.Roles)), Flags: int64(m.Flags),
		Timeout: sql.NullTime{Time: m.TimeoutUntil.Truncate(time.Microsecond), Valid: !m.TimeoutUntil.IsZero()},
	}
}

// decides reports whether two rows differ in what decides what the person may see and do, or how they are called. That somebody who
// was being asked about is not a member changes nothing: they were denied before.
func (r memberRow) decides(next memberRow) bool {
	if (r.State == stateIn) != (next.State == stateIn) {
		return true
	}
	return next.State == stateIn && (r.Nick != next.Nick || r.Flags != next.Flags || !slices.Equal(r.Roles, next.Roles) ||
		r.Timeout.Valid != next.Timeout.Valid || !r.Timeout.Time.Equal(next.Timeout.Time))
}

func (r memberRow) same(next memberRow) bool { return r.State == next.State && !r.decides(next) }

const writeMember = `
INSERT INTO members (guild_id, user_id, state, nick, roles, flags, timeout_until, events, settled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (guild_id, user_id) DO UPDATE
SET state = excluded.state,
    nick = excluded.nick,
    roles = excluded.roles,
    flags = excluded.flags,
    timeout_until = excluded.timeout_until,
    events = excluded.events,
    settled = excluded.settled,
    checked_at = now()`

// Nobody has missed what was written before they were first seen in a guild.
const addBaseline = `
INSERT INTO baselines (user_id, guild_id, baseline_id)
VALUES ($1, $2, $3)
ON CONFLICT (user_id, guild_id) DO NOTHING`

// saveMember writes a membership over the row was, and notes what it moved.
func (b *barrier) saveMember(ctx context.Context, tx *sqlx.Tx, u discord.UserID, was, next memberRow) error {
	_, err := tx.ExecContext(ctx, writeMember, int64(b.guild), int64(u), next.State, next.Nick, next.Roles, next.Flags, next.Timeout, next.Events,
		b.row.Silences)
	if err != nil {
		return err
	}
	if was.decides(next) {
		b.moveFor(u)
	}
	switch {
	case next.State == stateIn:
		if was.State != stateIn {
			if err := b.newcomer(ctx, tx); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, addBaseline, int64(u), int64(b.guild), int64(tidings.FirstID(b.discordNow())))
	case was.State == stateIn:
		err = b.leaveThreads(ctx, tx, u)
	}
	return err
}

// Most of a guild's members never sign in here, and what happens to them must cost no write.
const concernsUs = `
SELECT EXISTS (SELECT FROM users WHERE id = $2) OR EXISTS (SELECT FROM members WHERE guild_id = $1 AND user_id = $2)`

const isSelf = `
EXISTS (SELECT FROM guilds WHERE id = $1 AND self_id = $2 AND self_id <> 0)`

const concernsWhom = concernsUs + ` AS ours,` + isSelf + ` AS self`

func (b *barrier) memberSeen(ctx context.Context, tx *sqlx.Tx, m tidings.Member) error {
	var who struct{ Ours, Self bool }
	if err := tx.GetContext(ctx, &who, concernsWhom, int64(b.guild), int64(m.User)); err != nil || !who.Ours && !who.Self {
		return err
	}
	if err := b.lockOrAdd(ctx, tx); err != nil {
		return err
	}
	if who.Self {
		if err := b.outdate(ctx, tx); err != nil {
			return err
		}
		if err := b.saveSelf(ctx, tx, m); err != nil {
			return err
		}
		if err := b.ownSight(ctx, tx, false); err != nil || !who.Ours {
			return err
		}
	}
	was, _, err := loadMember(ctx, tx, b.guild, m.User)
	if err != nil {
		return err
	}
	next := memberOf(m)
	next.Events = was.Events + 1
	return b.saveMember(ctx, tx, m.User, was, next)
}

func (b *barrier) memberGone(ctx context.Context, tx *sqlx.Tx, u discord.UserID) error {
	var ours bool
	if err := tx.GetContext(ctx, &ours, concernsUs, int64(b.guild), int64(u)); err != nil {
		return err
	}
	if !ours {
		// Private threads know all their members; who comes back to the guild is not in them any more.
		return b.leaveThreads(ctx, tx, u)
	}
	if err := b.lockOrAdd(ctx, tx); err != nil {
		return err
	}
	was, known, err := loadMember(ctx, tx, b.guild, u)
	if err != nil {
		return err
	}
	if !known { // Nobody has asked yet, so no answer can be under way that is older than this.
		return b.leaveThreads(ctx, tx, u)
	}
	next := memberRow{State: stateOut, Roles: pq.Int64Array{}, Events: was.Events + 1}
	if err := b.saveMember(ctx, tx, u, was, next); err != nil || was.State == stateIn {
		return err
	}
	return b.leaveThreads(ctx, tx, u)
}

const signedIn = `
SELECT id
FROM users
WHERE id = ANY($1::bigint[])
ORDER BY id`

// membersSeen takes in those members that came along with a whole guild. One who is stored just so is left alone.
func (b *barrier) membersSeen(ctx context.Context, tx *sqlx.Tx, members []tidings.Member) error {
	if len(members) == 0 {
		return nil
	}
	latest := map[discord.UserID]tidings.Member{}
	var named []discord.UserID
	for _, m := range members {
		latest[m.User] = m
		named = append(named, m.User)
	}
	var ours []discord.UserID
	if err := tx.SelectContext(ctx, &ours, signedIn, ids(named)); err != nil {
		return err
	}
	for _, u := range ours {
		was, known, err := loadMember(ctx, tx, b.guild, u)
		if err != nil {
			return err
		}
		next := memberOf(latest[u])
		if known && was.same(next) && was.Settled == b.row.Silences {
			continue
		}
		next.Events = was.Events + 1
		if err := b.saveMember(ctx, tx, u, was, next); err != nil {
			return err
		}
	}
	return nil
}

const leaveThreads = `
DELETE FROM thread_members t
USING channels c
WHERE t.user_id = $2 AND c.id = t.thread_id AND c.guild_id = $1`

func (b *barrier) leaveThreads(ctx context.Context, tx *sqlx.Tx, u discord.UserID) error {
	if _, err := tx.ExecContext(ctx, leaveThreads, int64(b.guild), int64(u)); err != nil {
		return err
	}
	// A list of members that is under way may name them still.
	_, err := tx.ExecContext(ctx, toldThreads, int64(b.guild))
	return err
}

const threadType = `
SELECT type
FROM channels
WHERE id = $1`

const joinThread = `
INSERT INTO thread_members (thread_id, user_id)
SELECT $1, u
FROM unnest($2::bigint[]) u
ON CONFLICT DO NOTHING
RETURNING user_id`

const leaveThread = `
DELETE FROM thread_members
WHERE thread_id = $1 AND user_id = ANY($2::bigint[])
RETURNING user_id`

// threadMembers keeps who is in a private thread: everybody, because Discord does not say it again when one of them signs
// in. In other threads it decides nothing and is not kept.
func (b *barrier) threadMembers(ctx context.Context, tx *sqlx.Tx, e tidings.ThreadMembersChanged) error {
	var kind int
	err := tx.GetContext(ctx, &kind, threadType, int64(e.Thread))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil && kind != tidings.ChannelPrivateThread && kind != tidings.ChannelUnknown {
		return nil
	}
	if _, err := tx.ExecContext(ctx, toldThread, int64(e.Thread), int64(b.guild)); err != nil {
		return err
	}
	if err := b.moveThread(ctx, tx, e.Thread, e.Added, e.Removed); err != nil {
		return err
	}
	// The bot can see the thread now, and may have been refused before.
	if b.row.Self != 0 && slices.Contains(e.Added, b.row.Self) {
		return b.readThreads(ctx, tx)
	}
	return nil
}

const memberEvents = `
SELECT m.events + coalesce(g.silences, 0)
FROM members m
LEFT JOIN guilds g ON g.id = m.guild_id
WHERE m.guild_id = $1 AND m.user_id = $2`

const watchMember = `
INSERT INTO members (guild_id, user_id)
VALUES ($1, $2)
ON CONFLICT (guild_id, user_id) DO NOTHING`

// WatchMember must be called before Discord is asked about a member: from then on, events about them are counted, and silences of the
// guild, in which some may have been lost. It returns the count so far, for [Store.SaveMember] to see whether one came between.
func (s *Store) WatchMember(ctx context.Context, g discord.GuildID, u discord.UserID) (events int64, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &events, memberEvents, int64(g), int64(u))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := tx.ExecContext(ctx, watchMember, int64(g), int64(u)); err != nil {
			return err
		}
		return tx.GetContext(ctx, &events, memberEvents, int64(g), int64(u))
	})
	if err != nil {
		return 0, fmt.Errorf("watch member %d of guild %d: %w", u, g, err)
	}
	return events, nil
}

// SaveMember stores Discord's answer about a member, nil for nobody, unless an event about them has come since events were
// counted: then current is false and Discord must be asked again. Whoever is in for the first time has their baseline set to
// now. The change has a version only when the guild's access version moved.
func (s *Store) SaveMember(
	ctx context.Context, g discord.GuildID, u discord.UserID, m *tidings.Member, events int64,
) (change tidings.AccessChange, current bool, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		change, current = tidings.AccessChange{}, false
		b := barrier{guild: g, clock: s.clock}
		if known, err := b.lock(ctx, tx); err != nil {
			return err
		} else if !known {
			return tidings.ErrNotFound
		}
		was, known, err := loadMember(ctx, tx, g, u)
		if err != nil || !known || was.Events+b.row.Silences != events {
			return err
		}
		current = true
		next := memberRow{State: stateOut, Roles: pq.Int64Array{}}
		if m != nil {
			next = memberOf(*m)
		}
		next.Events = was.Events
		if err := b.saveMember(ctx, tx, u, was, next); err != nil {
			return err
		}
		moved, err := b.bump(ctx, tx)
		if err == nil && len(moved) > 0 {
			change = moved[0]
		}
		return err
	})
	if err != nil {
		return tidings.AccessChange{}, false, fmt.Errorf("save member %d of guild %d: %w", u, g, err)
	}
	if change.Version != 0 {
		s.afterCommit(context.WithoutCancel(ctx), tidings.Result{Access: []tidings.AccessChange{change}})
	}
	return change, current, nil
}

const unaskedMembers = `
SELECT u.id
FROM users u
LEFT JOIN members m ON m.guild_id = $1 AND m.user_id = u.id
WHERE m.user_id IS NULL OR m.state = 'asking'
ORDER BY u.id`

// UnaskedMembers lists the people who have signed in and of whom it is not known whether they are in the guild.
func (s *Store) UnaskedMembers(ctx context.Context, g discord.GuildID) ([]discord.UserID, error) {
	var users []discord.UserID
	if err := s.db.SelectContext(ctx, &users, unaskedMembers, int64(g)); err != nil {
		return nil, fmt.Errorf("list the unasked members of guild %d: %w", g, unavailable(err))
	}
	return users, nil
}

const goneConcernsUs = concernsUs + `
OR EXISTS (SELECT FROM thread_members WHERE user_id = $2)`

// Concerns reports whether recording a barrier may change anything: what happens to members who have never signed in does not,
// unless one who leaves is in a private thread. Such news is most of a big guild's, and need not hold its messages up.
func (s *Store) Concerns(ctx context.Context, ev tidings.Event) (bool, error) {
	query, user := concernsUs+` OR `+isSelf, discord.UserID(0)
	switch e := ev.Body.(type) {
	case tidings.MemberSeen:
		user = e.Member.User
	case tidings.MemberGone:
		query, user = goneConcernsUs, e.User
	default:
		return true, nil
	}
	var ours bool
	if err := s.db.GetContext(ctx, &ours, query, int64(ev.Guild), int64(user)); err != nil {
		return true, unavailable(fmt.Errorf("look up member %d: %w", user, err))
	}
	return ours, nil
}
