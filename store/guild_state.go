package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// snapshot is how everything that is read together is read.
var snapshot = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}

const guildIDs = `
SELECT id
FROM guilds
WHERE removed_at IS NULL
ORDER BY id`

// GuildIDs lists the guilds that the bot is in.
func (s *Store) GuildIDs(ctx context.Context) ([]discord.GuildID, error) {
	var list []discord.GuildID
	if err := s.db.SelectContext(ctx, &list, guildIDs); err != nil {
		return nil, fmt.Errorf("list guilds: %w", unavailable(err))
	}
	return list, nil
}

const accessVersions = `
SELECT id, access_version
FROM guilds
WHERE removed_at IS NULL`

// AccessVersions gives the access version of each guild that the bot is in. Whoever missed a removal sees it by the guild's
// absence.
func (s *Store) AccessVersions(ctx context.Context) (map[discord.GuildID]int64, error) {
	return s.accessVersions(ctx, accessVersions)
}

func (s *Store) accessVersions(ctx context.Context, query string, args ...any) (map[discord.GuildID]int64, error) {
	var rows []struct {
		ID      discord.GuildID `db:"id"`
		Version int64           `db:"access_version"`
	}
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("list access versions: %w", unavailable(err))
	}
	versions := make(map[discord.GuildID]int64, len(rows))
	for _, r := range rows {
		versions[r.ID] = r.Version
	}
	return versions, nil
}

// AccessVersionsOf is AccessVersions of some guilds.
func (s *Store) AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error) {
	ids := make(pq.Int64Array, len(guilds))
	for i, g := range guilds {
		ids[i] = int64(g)
	}
	return s.accessVersions(often(ctx, len(ids)), accessVersions+` AND id = ANY($1)`, ids)
}

const stateGuild = `
SELECT id, name, icon, owner_id, available, access_version, silences
FROM guilds
WHERE id = $1 AND removed_at IS NULL`

const stateChannels = `
SELECT id, guild_id, parent_id, type, name, topic, position, nsfw, archived, overwrites, last_message_id
FROM channels
WHERE guild_id = $1 AND NOT deleted
ORDER BY id`

// A guild in doubt has no members here, and so nobody who sees anything of it; see DeadLetter.
const stateMembers = `
SELECT user_id, nick, roles, flags, timeout_until
FROM members
WHERE guild_id = $1 AND state = 'in' AND NOT EXISTS (SELECT FROM guilds WHERE id = $1 AND doubted_at IS NOT NULL)
ORDER BY user_id`

const stateThreadMembers = `
SELECT t.thread_id, t.user_id
FROM members m
JOIN thread_members t ON t.user_id = m.user_id
JOIN channels c ON c.id = t.thread_id AND c.guild_id = m.guild_id AND NOT c.deleted
WHERE m.guild_id = $1 AND m.state = 'in'
ORDER BY t.thread_id, t.user_id`

// GuildState reads all that decides who may read what in a guild, as it stood at one moment. The error is
// [tidings.ErrNotFound] for a guild that the bot is not in.
func (s *Store) GuildState(ctx context.Context, g discord.GuildID) (*tidings.GuildState, error) {
	var state *tidings.GuildState
	err := s.inTx(ctx, snapshot, func(tx *sqlx.Tx) (err error) {
		state, err = guildState(ctx, tx, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read guild %d: %w", g, err)
	}
	return state, nil
}

func guildState(ctx context.Context, tx *sqlx.Tx, g discord.GuildID) (*tidings.GuildState, error) {
	var row struct {
		tidings.Guild
		Version  int64 `db:"access_version"`
		Silences int64 `db:"silences"`
	}
	if err := tx.GetContext(ctx, &row, stateGuild, int64(g)); errors.Is(err, sql.ErrNoRows) {
		return nil, tidings.ErrNotFound
	} else if err != nil {
		return nil, err
	}
	state := &tidings.GuildState{Guild: row.Guild, Version: row.Version, Silences: row.Silences, ThreadMembers: map[discord.ChannelID][]discord.UserID{}}
	if err := tx.SelectContext(ctx, &state.Roles, guildRoles+"\nORDER BY id", int64(g)); err != nil {
		return nil, err
	}
	var channels []storedChannel
	if err := tx.SelectContext(ctx, &channels, stateChannels, int64(g)); err != nil {
		return nil, err
	}
	if err := unpack(channels); err != nil {
		return nil, err
	}
	for _, c := range channels {
		state.Channels = append(state.Channels, c.Channel)
	}
	var members []struct {
		User discord.UserID `db:"user_id"`
		memberRow
	}
	if err := tx.SelectContext(ctx, &members, stateMembers, int64(g)); err != nil {
		return nil, err
	}
	for _, m := range members {
		member := tidings.Member{Guild: g, User: m.User, Nick: m.Nick, Flags: uint64(m.Flags), TimeoutUntil: m.Timeout.Time}
		for _, r := range m.Roles {
			member.Roles = append(member.Roles, discord.RoleID(r))
		}
		state.Members = append(state.Members, member)
	}
	var threads []struct {
		Thread discord.ChannelID `db:"thread_id"`
		User   discord.UserID    `db:"user_id"`
	}
	if err := tx.SelectContext(ctx, &threads, stateThreadMembers, int64(g)); err != nil {
		return nil, err
	}
	for _, t := range threads {
		state.ThreadMembers[t.Thread] = append(state.ThreadMembers[t.Thread], t.User)
	}
	return state, nil
}
