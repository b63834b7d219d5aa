package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// RecordBarrier stores one change of a guild, its channels, roles or members, and the marks with it. It writes what differs
// from what is stored and nothing else. Result.Access holds the guild when anything moved that decides who may read what
// there or what things are called; saying the same again moves nothing.
func (s *Store) RecordBarrier(ctx context.Context, ev tidings.Event, marks []tidings.Mark) (tidings.Result, error) {
	var result tidings.Result
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		b := barrier{guild: ev.Guild, source: ev.Source, mark: ev.Mark, at: ev.At, history: s.historyID(ev.At), clock: s.clock}
		if b.at.IsZero() {
			b.at = time.Now()
		}
		if err := b.record(ctx, tx, ev.Body); err != nil {
			return err
		}
		change, err := b.bump(ctx, tx)
		if err != nil {
			return err
		}
		resets, err := reset(ctx, tx, b.mended)
		if err != nil {
			return err
		}
		result = tidings.Result{Access: change, Deltas: resets}
		return saveMarks(ctx, tx, marks)
	})
	if err != nil {
		return tidings.Result{}, fmt.Errorf("record %T of guild %d: %w", ev.Body, ev.Guild, err)
	}
	s.afterCommit(context.WithoutCancel(ctx), result)
	return result, nil
}

// barrier is one change of a guild. The guild's row is locked first, so that a guild's changes come one after another;
// channels are locked after it, in the order of their ids.
type barrier struct {
	guild  discord.GuildID
	row    guildRow
	source tidings.Source
	mark   tidings.Mark
	at     time.Time
	// history is how far back the past of a new channel is wanted.
	history discord.MessageID
	suspect discord.MessageID
	clock   func() time.Time // Discord's; nil for ours
	moved   bool             // the guild's access version must grow
	opened  []discord.ChannelID
	mended  []discord.ChannelID // what counts as a mention there has moved
	look    bool                // what the bot itself may read must be worked out anew
	// users are those whom the change concerns; anybody is set when they cannot be named.
	users   []discord.UserID
	anybody bool
}

type guildRow struct {
	tidings.Guild
	Removed     bool              `db:"removed"`
	LiveSession string            `db:"live_session"`
	Lived       bool              `db:"lived"`
	Suspect     discord.MessageID `db:"suspect_id"`
	Self        discord.UserID    `db:"self_id"`
	SelfRoles   pq.Int64Array     `db:"self_roles"`
	Silences    int64             `db:"silences"`
	Doubted     sql.NullTime      `db:"doubted_at"`
}

// discordNow is the time by which ids are made.
func (b *barrier) discordNow() time.Time {
	if b.clock == nil {
		return time.Now()
	}
	return b.clock()
}

// move notes a change that may concern anybody in the guild.
func (b *barrier) move() { b.moved, b.anybody, b.look = true, true, true }

// moveFor notes a change that concerns one person.
func (b *barrier) moveFor(u discord.UserID) {
	b.moved = true
	b.users = append(b.users, u)
}

func (b *barrier) record(ctx context.Context, tx *sqlx.Tx, body tidings.Body) error {
	switch body.(type) {
	case tidings.GuildSeen, tidings.MemberSeen:
	default:
		if err := b.outdate(ctx, tx); err != nil {
			return err
		}
	}
	switch e := body.(type) {
	case tidings.MemberSeen:
		return b.memberSeen(ctx, tx, e.Member)
	case tidings.MemberGone:
		return b.memberGone(ctx, tx, e.User)
	case tidings.GuildGone:
		if known, err := b.lock(ctx, tx); err != nil || !known {
			return err
		}
		return b.guildGone(ctx, tx, e.Outage)
	}
	if err := b.lockOrAdd(ctx, tx); err != nil {
		return err
	}
	if b.outdated(body) {
		return nil
	}
	switch e := body.(type) {
	case tidings.GuildSeen:
		return b.guildSeen(ctx, tx, e)
	case tidings.GuildUpdated:
		e.Guild.Available = b.row.Available
		if err := b.saveGuild(ctx, tx, e.Guild, b.row.Removed); err != nil {
			return err
		}
		if err := b.saveRoles(ctx, tx, e.Roles); err != nil {
			return err
		}
		return b.ownSight(ctx, tx, false)
	case tidings.ChannelSeen:
		if err := b.saveChannels(ctx, tx, []tidings.Channel{e.Channel}); err != nil {
			return err
		}
		if !e.Channel.IsThread() {
			if err := b.ownSight(ctx, tx, false); err != nil {
				return err
			}
		}
		return b.compare(ctx, tx, []tidings.Channel{e.Channel}, false)
	case tidings.ChannelGone:
		return b.removeChannels(ctx, tx, []discord.ChannelID{e.ID})
	case tidings.RoleSeen:
		if err := b.saveRole(ctx, tx, e.Role); err != nil {
			return err
		}
		return b.ownSight(ctx, tx, false)
	case tidings.RoleGone:
		if err := b.removeRoles(ctx, tx, []discord.RoleID{e.ID}); err != nil {
			return err
		}
		return b.ownSight(ctx, tx, false)
	case tidings.ThreadMembersChanged:
		return b.threadMembers(ctx, tx, e)
	case tidings.ThreadMembersRead:
		return b.threadRead(ctx, tx, e)
	case tidings.ThreadsSynced:
		return b.syncThreads(ctx, tx, e)
	}
	return fmt.Errorf("%w event: %T is no barrier", tidings.ErrInvalid, body)
}

const lockGuild = `
SELECT id, name, icon, owner_id, available, removed_at IS NOT NULL AS removed, live_session, lived, suspect_id, self_id, self_roles, silences, doubted_at
FROM guilds
WHERE id = $1
FOR UPDATE`

func (b *barrier) lock(ctx context.Context, tx *sqlx.Tx) (known bool, err error) {
	err = tx.GetContext(ctx, &b.row, lockGuild, int64(b.guild))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

const addGuild = `
INSERT INTO guilds (id)
VALUES ($1)
ON CONFLICT (id) DO NOTHING`

func (b *barrier) lockOrAdd(ctx context.Context, tx *sqlx.Tx) error {
	if b.guild == 0 {
		return fmt.Errorf("%w event: it names no guild", tidings.ErrInvalid)
	}
	known, err := b.lock(ctx, tx)
	if err != nil || known {
		return err
	}
	if _, err := tx.ExecContext(ctx, addGuild, int64(b.guild)); err != nil {
		return err
	}
	b.move()
	_, err = b.lock(ctx, tx)
	return err
}

const bumpAccess = `
UPDATE guilds
SET access_version = access_version + 1
WHERE id = $1
RETURNING access_version`

// bump moves the guild's access version if anything has moved, and says so.
func (b *barrier) bump(ctx context.Context, tx *sqlx.Tx) ([]tidings.AccessChange, error) {
	if !b.moved {
		return nil, nil
	}
	c := tidings.AccessChange{Guild: b.guild, Opened: b.opened}
	if err := tx.GetContext(ctx, &c.Version, bumpAccess, int64(b.guild)); err != nil {
		return nil, err
	}
	if !b.anybody {
		c.Users = compact(b.users)
	}
	return []tidings.AccessChange{c}, nil
}

// guildSeen brings everything in line with the whole guild as Discord shows it.
func (b *barrier) guildSeen(ctx context.Context, tx *sqlx.Tx, e tidings.GuildSeen) error {
	e.Guild.Available, b.look = true, true
	if err := b.saveGuild(ctx, tx, e.Guild, false); err != nil {
		return err
	}
	if err := b.saveRoles(ctx, tx, e.Roles); err != nil {
		return err
	}
	if err := b.saveChannels(ctx, tx, append(slices.Clone(e.Channels), e.Threads...)); err != nil {
		return err
	}
	if err := b.removeUnnamed(ctx, tx, e.Channels); err != nil {
		return err
	}
	closed, err := b.archiveUnnamed(ctx, tx, nil, e.Threads)
	if err != nil {
		return err
	}
	if err := b.selfAmong(ctx, tx, e); err != nil {
		return err
	}
	if err := b.ownSight(ctx, tx, true); err != nil {
		return err
	}
	if err := b.seenWhole(ctx, tx, e, closed); err != nil {
		return err
	}
	if err := b.believe(ctx, tx); err != nil {
		return err
	}
	return b.membersSeen(ctx, tx, e.Members)
}

const outdateReading = `
UPDATE guilds
SET doubted_at = greatest(doubted_at, $2, clock_timestamp())
WHERE id = $1 AND doubted_at IS NOT NULL`

// outdate notes in a guild in doubt that the gateway tells of a change: what is being read of it now may be of before.
func (b *barrier) outdate(ctx context.Context, tx *sqlx.Tx) error {
	if b.source != tidings.SourceGateway {
		return nil
	}
	_, err := tx.ExecContext(ctx, outdateReading, int64(b.guild), b.at)
	return err
}

// outdated reports whether something was read of a guild in doubt before the gateway told of a change, or of the whole guild: it must
// not take the place of that.
func (b *barrier) outdated(body tidings.Body) bool {
	switch body.(type) {
	case tidings.GuildSeen, tidings.ThreadMembersChanged:
		if b.source == tidings.SourcePoll {
			return b.row.Doubted.Valid && !b.row.Doubted.Time.Before(b.at)
		}
		return b.source == tidings.SourceBackfill && !(b.row.Doubted.Valid && b.row.Doubted.Time.Before(b.at))
	}
	return false
}

const believeGuild = `
UPDATE guilds
SET doubted_at = NULL
WHERE id = $1 AND doubted_at < $2`

// believe ends the doubt about a guild, where what is shown now was asked for, or told, after what caused it. What polling shows may
// repeat roles that are stored, and is as old as its first request.
func (b *barrier) believe(ctx context.Context, tx *sqlx.Tx) error {
	if b.source == tidings.SourcePoll {
		return nil
	}
	res, err := tx.ExecContext(ctx, believeGuild, int64(b.guild), b.at)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	b.move()
	return nil
}

const saveGuild = `
UPDATE guilds
SET name = $2,
    icon = $3,
    owner_id = $4,
    available = $5,
    removed_at = CASE WHEN $6 THEN removed_at END,
    purged_at = CASE WHEN $6 THEN purged_at END
WHERE id = $1`

func (b *barrier) saveGuild(ctx context.Context, tx *sqlx.Tx, g tidings.Guild, removed bool) error {
	g.ID, g.Name, g.Icon = b.guild, clean(g.Name), clean(g.Icon)
	if g == b.row.Guild && removed == b.row.Removed {
		return nil
	}
	_, err := tx.ExecContext(ctx, saveGuild, int64(g.ID), g.Name, g.Icon, int64(g.Owner), g.Available, removed)
	b.move()
	return err
}

const guildAway = `
UPDATE guilds
SET available = false,
    live_session = '',
    unheard_at = coalesce(unheard_at, now())
WHERE id = $1`

const guildRemoved = `
UPDATE guilds
SET removed_at = now(),
    live_session = '',
    unheard_at = coalesce(unheard_at, now())
WHERE id = $1`

// Whoever was a member may have left by the time the bot is back, so they are asked anew then; an answer that is under way
// now is of before.
const forgetMembers = `
UPDATE members
SET state = 'asking',
    roles = '{}',
    events = events + 1
WHERE guild_id = $1`

func (b *barrier) guildGone(ctx context.Context, tx *sqlx.Tx, outage bool) error {
	if b.row.Removed || (outage && !b.row.Available) {
		return nil
	}
	b.move()
	if outage {
		_, err := tx.ExecContext(ctx, guildAway, int64(b.guild))
		return err
	}
	if _, err := tx.ExecContext(ctx, guildRemoved, int64(b.guild)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, forgetMembers, int64(b.guild))
	return err
}

const guildRoles = `
SELECT guild_id, id, name, color, position, permissions
FROM roles
WHERE guild_id = $1`

// saveRoles makes the guild's roles those that are named. A guild always has one, so none named says nothing.
func (b *barrier) saveRoles(ctx context.Context, tx *sqlx.Tx, roles []tidings.Role) error {
	if len(roles) == 0 {
		return nil
	}
	stored, err := loadRoles(ctx, tx, b.guild)
	if err != nil {
		return err
	}
	var changed []tidings.Role
	for _, r := range roles {
		r = b.roleRow(r)
		if was, known := stored[r.ID]; !known || was != r {
			changed = append(changed, r)
		}
		delete(stored, r.ID)
	}
	if err := b.writeRoles(ctx, tx, changed); err != nil {
		return err
	}
	return b.removeRoles(ctx, tx, slices.Collect(maps.Keys(stored)))
}

func (b *barrier) saveRole(ctx context.Context, tx *sqlx.Tx, r tidings.Role) error {
	stored, err := loadRoles(ctx, tx, b.guild)
	if err != nil {
		return err
	}
	r = b.roleRow(r)
	if was, known := stored[r.ID]; known && was == r {
		return nil
	}
	return b.writeRoles(ctx, tx, []tidings.Role{r})
}

// roleRow is a role as its row says it.
func (b *barrier) roleRow(r tidings.Role) tidings.Role {
	r.Guild, r.Name = b.guild, clean(r.Name)
	r.Permissions &= 1<<63 - 1 // A bigint's; Discord does not use the last bit.
	return r
}

func loadRoles(ctx context.Context, tx *sqlx.Tx, guild discord.GuildID) (map[discord.RoleID]tidings.Role, error) {
	var rows []tidings.Role
	if err := tx.SelectContext(ctx, &rows, guildRoles, int64(guild)); err != nil {
		return nil, err
	}
	stored := make(map[discord.RoleID]tidings.Role, len(rows))
	for _, r := range rows {
		stored[r.ID] = r
	}
	return stored, nil
}

const writeRoles = `
INSERT INTO roles (guild_id, id, name, color, position, permissions)
VALUES %s
ON CONFLICT (guild_id, id) DO UPDATE
SET name = excluded.name,
    color = excluded.color,
    position = excluded.position,
    permissions = excluded.permissions`

func (b *barrier) writeRoles(ctx context.Context, tx *sqlx.Tx, roles []tidings.Role) error {
	if len(roles) == 0 {
		return nil
	}
	b.move()
	latest := map[discord.RoleID][]any{} // A role that is named twice must not meet its row twice.
	for _, r := range roles {
		latest[r.ID] = []any{int64(r.Guild), int64(r.ID), r.Name, r.Color, r.Position, int64(r.Permissions)}
	}
	return execRows(ctx, tx, writeRoles, nil, slices.Collect(maps.Values(latest)))
}

const removeRoles = `
DELETE FROM roles
WHERE guild_id = $1 AND id = ANY($2::bigint[])`

// Discord says nothing about the members who had the role, and a mention of it must not count for them any more.
const stripRoles = `
UPDATE members
SET roles = ARRAY(SELECT r FROM unnest(roles) r WHERE r <> ALL($2::bigint[]) ORDER BY r)
WHERE guild_id = $1 AND roles && $2::bigint[]`

func (b *barrier) removeRoles(ctx context.Context, tx *sqlx.Tx, roles []discord.RoleID) error {
	if len(roles) == 0 {
		return nil
	}
	r, err := tx.ExecContext(ctx, removeRoles, int64(b.guild), ids(roles))
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	b.move()
	_, err = tx.ExecContext(ctx, stripRoles, int64(b.guild), ids(roles))
	return err
}
