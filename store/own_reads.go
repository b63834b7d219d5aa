package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// ownKey is a person who wrote in a channel.
type ownKey struct {
	user    discord.UserID
	channel discord.ChannelID
}

// ownMessage is the newest message that a batch has brought from them there.
type ownMessage struct {
	id      discord.MessageID
	channel *channelRow
}

// readBy notes that the author of a new message, should they read here, has read the channel up to it. Deleting the message
// later takes nothing back. Who signs in for the first time while it is recorded has written before.
func (b *batch) readBy(row *heldMessage, c *channelRow) {
	if !b.signedIn[row.Author] {
		return
	}
	k := ownKey{row.Author, row.Channel}
	if o := b.own[k]; row.ID > o.id {
		b.own[k] = ownMessage{row.ID, c}
	}
}

// The users' locks come after the channels', which are held already, and in the order of ids.
const lockUsers = `
SELECT id
FROM users
WHERE id = ANY($1::bigint[])
ORDER BY id
FOR UPDATE`

// A person without a baseline in the guild is not enrolled there yet; their history will begin after this message. A
// manual mark that is as new as the floors stands.
const ownPositions = `
SELECT v.user_id, v.channel_id, v.guild_id, v.message_id
FROM (VALUES %s) v(user_id, channel_id, guild_id, message_id)
JOIN baselines b ON b.user_id = v.user_id AND b.guild_id = v.guild_id
LEFT JOIN read_positions p ON p.user_id = v.user_id AND p.channel_id = v.channel_id
LEFT JOIN read_floors fa ON fa.user_id = v.user_id AND fa.scope_id = 0
LEFT JOIN read_floors fg ON fg.user_id = v.user_id AND fg.scope_id = v.guild_id
WHERE (p.manual AND p.rev >= greatest(fa.rev, fg.rev, 0)) IS NOT TRUE
AND v.message_id >` + effectivePosition + `
ORDER BY v.user_id, v.channel_id`

var ownPositionsTypes = []string{"bigint", "bigint", "bigint", "bigint"}

const bumpRevs = `
UPDATE users
SET rev = rev + 1
WHERE id = ANY($1::bigint[])
RETURNING id, rev`

const setPositions = `
INSERT INTO read_positions (user_id, channel_id, read_id, manual, rev)
VALUES %s
ON CONFLICT (user_id, channel_id) DO UPDATE
SET read_id = excluded.read_id,
    manual = false,
    rev = excluded.rev`

// readOwn advances the positions of those authors who have signed in, and returns their channels' counts. It writes no
// read_log: nobody undoes having written, and undoing an older mark sees that the position has a newer rev.
func readOwn(ctx context.Context, tx *sqlx.Tx, own map[ownKey]ownMessage) ([]tidings.ReadResult, error) {
	if len(own) == 0 {
		return nil, nil
	}
	authors := make(map[discord.UserID]bool, len(own))
	for k := range own {
		authors[k.user] = true
	}
	var users []discord.UserID
	if err := tx.SelectContext(ctx, &users, lockUsers, ids(slices.Collect(maps.Keys(authors)))); err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, nil
	}
	var rows [][]any
	for k, o := range own {
		if slices.Contains(users, k.user) {
			rows = append(rows, []any{int64(k.user), int64(k.channel), int64(o.channel.guild), int64(o.id)})
		}
	}
	var moved []ownPosition
	for part := range slices.Chunk(rows, rowsPerStatement) {
		list, args := values(ownPositionsTypes, part)
		var some []ownPosition
		if err := tx.SelectContext(ctx, &some, fmt.Sprintf(ownPositions, list), args...); err != nil {
			return nil, err
		}
		moved = append(moved, some...)
	}
	if len(moved) == 0 {
		return nil, nil
	}
	slices.SortFunc(moved, func(x, y ownPosition) int {
		return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.Channel, y.Channel))
	})
	return movePositions(ctx, tx, moved, own)
}

type ownPosition struct {
	User    discord.UserID    `db:"user_id"`
	Channel discord.ChannelID `db:"channel_id"`
	Guild   discord.GuildID   `db:"guild_id"`
	Message discord.MessageID `db:"message_id"`
}

func movePositions(ctx context.Context, tx *sqlx.Tx, moved []ownPosition, own map[ownKey]ownMessage) ([]tidings.ReadResult, error) {
	var users []discord.UserID
	for _, p := range moved {
		users = append(users, p.User)
	}
	var bumped []struct {
		ID  discord.UserID `db:"id"`
		Rev int64          `db:"rev"`
	}
	if err := tx.SelectContext(ctx, &bumped, bumpRevs, ids(slices.Compact(users))); err != nil {
		return nil, err
	}
	revs := map[discord.UserID]int64{}
	for _, u := range bumped {
		revs[u.ID] = u.Rev
	}
	var rows [][]any
	for _, p := range moved {
		rows = append(rows, []any{int64(p.User), int64(p.Channel), int64(p.Message), false, revs[p.User]})
	}
	if err := execRows(ctx, tx, setPositions, nil, rows); err != nil {
		return nil, err
	}
	counts, err := countAbove(ctx, tx, moved, own)
	if err != nil {
		return nil, err
	}
	var reads []tidings.ReadResult
	for i, p := range moved {
		if i == 0 || moved[i-1].User != p.User {
			reads = append(reads, tidings.ReadResult{User: p.User, Rev: revs[p.User]})
		}
		r := &reads[len(reads)-1]
		r.Channels = append(r.Channels, counts[i])
	}
	return reads, nil
}

const countOwn = `
SELECT v.user_id, v.channel_id, n.unread, n.first_unread, t.mentions
FROM (VALUES %s) v(user_id, channel_id, guild_id, read_id)
CROSS JOIN LATERAL (
	SELECT count(*) AS unread, COALESCE(min(m.id), 0) AS first_unread
	FROM messages m
	WHERE m.channel_id = v.channel_id AND m.id > v.read_id AND NOT m.deleted AND m.countable AND m.author_id <> v.user_id
	  AND NOT EXISTS (SELECT FROM ignored_authors i WHERE i.user_id = v.user_id AND i.author_id = m.author_id)
) n
CROSS JOIN LATERAL (
	SELECT count(DISTINCT t.message_id) AS mentions
	FROM mention_targets t
	WHERE t.channel_id = v.channel_id AND t.message_id > v.read_id AND t.author_id <> v.user_id
	  AND (t.kind = 0 AND t.target_id = v.user_id
	    OR t.kind = 1 AND t.target_id IN (
			SELECT unnest(e.roles) FROM members e WHERE e.guild_id = v.guild_id AND e.user_id = v.user_id AND e.state = 'in')
	      AND NOT EXISTS (SELECT FROM suppressed s WHERE s.user_id = v.user_id AND s.guild_id = v.guild_id AND s.roles)
	    OR t.kind = 2 AND NOT EXISTS (SELECT FROM suppressed s WHERE s.user_id = v.user_id AND s.guild_id = v.guild_id AND s.everyone))
	  AND NOT EXISTS (SELECT FROM ignored_authors i WHERE i.user_id = v.user_id AND i.author_id = t.author_id)
) t`

// countAbove counts what is left above the new positions: little, for they are at the end of their channels. It states what
// countChannels would, but for all people in one statement; asking that for each of them made a batch with twenty signed-in
// authors five times as long. The result has the order of moved.
func countAbove(ctx context.Context, tx *sqlx.Tx, moved []ownPosition, own map[ownKey]ownMessage) ([]tidings.ReadChannel, error) {
	var rows [][]any
	for _, p := range moved {
		rows = append(rows, []any{int64(p.User), int64(p.Channel), int64(p.Guild), int64(p.Message)})
	}
	type counted struct {
		User        discord.UserID    `db:"user_id"`
		Channel     discord.ChannelID `db:"channel_id"`
		Unread      int               `db:"unread"`
		FirstUnread discord.MessageID `db:"first_unread"`
		Mentions    int               `db:"mentions"`
	}
	if _, err := tx.ExecContext(ctx, noCompiler); err != nil {
		return nil, err
	}
	found := map[ownKey]counted{}
	for part := range slices.Chunk(rows, rowsPerStatement) {
		list, args := values(ownPositionsTypes, part)
		var some []counted
		if err := tx.SelectContext(ctx, &some, fmt.Sprintf(countOwn, list), args...); err != nil {
			return nil, err
		}
		for _, c := range some {
			found[ownKey{c.User, c.Channel}] = c
		}
	}
	out := make([]tidings.ReadChannel, len(moved))
	for i, p := range moved {
		k := ownKey{p.User, p.Channel}
		c := own[k].channel
		out[i] = tidings.ReadChannel{
			ID: p.Channel, Version: c.version, ReadID: p.Message, LastID: c.lastLive,
			Unread: found[k].Unread, Mentions: found[k].Mentions, FirstUnread: found[k].FirstUnread,
		}
	}
	return out, nil
}
