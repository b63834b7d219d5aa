package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// storedChannel is a channel's row, without its counters.
type storedChannel struct {
	tidings.Channel
	Deleted bool   `db:"deleted"`
	Unnamed bool   `db:"unnamed"` // it has to be looked for, unless it is named now
	Raw     string `db:"overwrites"`
}

// unpack reads the overwrites of rows that were selected with them.
func unpack(rows []storedChannel) error {
	for i := range rows {
		if err := json.Unmarshal([]byte(rows[i].Raw), &rows[i].Overwrites); err != nil {
			return fmt.Errorf("read the overwrites of channel %d: %w", rows[i].ID, err)
		}
	}
	return nil
}

const loadChannels = `
SELECT id, guild_id, parent_id, type, name, topic, position, nsfw, archived, deleted, unnamed, overwrites, last_message_id
FROM channels
WHERE id = ANY($1::bigint[])
ORDER BY id
FOR UPDATE`

// saveChannels writes those channels that differ from what is stored.
func (b *barrier) saveChannels(ctx context.Context, tx *sqlx.Tx, channels []tidings.Channel) error {
	next := map[discord.ChannelID]tidings.Channel{}
	var named []discord.ChannelID
	for _, c := range channels {
		if c.ID == 0 {
			continue
		}
		if _, twice := next[c.ID]; !twice {
			named = append(named, c.ID)
		}
		next[c.ID] = b.channelRow(c)
	}
	if len(named) == 0 {
		return nil
	}
	slices.Sort(named)
	var stored []storedChannel
	if err := tx.SelectContext(ctx, &stored, loadChannels, ids(named)); err != nil {
		return err
	}
	if err := unpack(stored); err != nil {
		return err
	}
	private := map[discord.ChannelID]bool{}
	for id, c := range next {
		private[id] = c.Type == tidings.ChannelPrivateThread
	}
	var learned []discord.ChannelID
	first := make(map[discord.ChannelID]bool, len(named))
	for _, id := range named {
		first[id] = true
	}
	for _, was := range stored {
		c := next[was.ID]
		private[was.ID] = private[was.ID] && (was.Deleted || was.Type != c.Type || was.Archived && !c.Archived)
		first[was.ID] = was.Type == tidings.ChannelUnknown
		if was.Guild == 0 {
			learned = append(learned, was.ID)
		}
		c.LastMessage = max(c.LastMessage, was.LastMessage)
		next[was.ID] = c
		same := was
		same.LastMessage = c.LastMessage
		switch {
		case was.Deleted || !sameChannel(same.Channel, c):
			b.move()
		case c.LastMessage == was.LastMessage && !was.Unnamed:
			delete(next, was.ID)
		}
	}
	if len(named) > len(stored) {
		b.move()
	}
	var rows [][]any
	for _, id := range named {
		c, changed := next[id]
		if !changed {
			continue
		}
		overwrites, err := json.Marshal(c.Overwrites)
		if err != nil {
			return err
		}
		rows = append(rows, []any{
			int64(c.ID), int64(c.Guild), int64(c.Parent), c.Type, c.Name, c.Topic, c.Position, c.NSFW, c.Archived,
			string(overwrites), int64(c.LastMessage),
		})
	}
	if err := execRows(ctx, tx, writeChannels, nil, rows); err != nil {
		return err
	}
	if fresh := slices.DeleteFunc(slices.Clone(named), func(id discord.ChannelID) bool { return !first[id] }); len(fresh) > 0 {
		if _, err := tx.ExecContext(ctx, inheritPurge, ids(fresh)); err != nil {
			return err
		}
	}
	mended, err := mendEveryone(ctx, tx, b.guild, learned)
	if err != nil {
		return err
	}
	b.mended = append(b.mended, mended...)
	return b.wantThreads(ctx, tx, slices.DeleteFunc(named, func(id discord.ChannelID) bool { return !private[id] }))
}

const writeChannels = `
INSERT INTO channels (id, guild_id, parent_id, type, name, topic, position, nsfw, archived, overwrites, last_message_id)
VALUES %s
ON CONFLICT (id) DO UPDATE
SET guild_id = excluded.guild_id,
    parent_id = excluded.parent_id,
    type = excluded.type,
    name = excluded.name,
    topic = excluded.topic,
    position = excluded.position,
    nsfw = excluded.nsfw,
    archived = excluded.archived,
    overwrites = excluded.overwrites,
    last_message_id = GREATEST(channels.last_message_id, excluded.last_message_id),
    deleted = false,
    unnamed = false`

// What was purged before a channel was seen first is not taken in from there either; of a purged channel that goes for its threads.
const inheritPurge = `
UPDATE channels c
SET purged_id = greatest(c.purged_id, (
		SELECT g.purged_id
		FROM guilds g
		WHERE g.id = c.guild_id
	), (
		SELECT p.purged_id
		FROM channels p
		WHERE p.id = c.parent_id AND c.type BETWEEN 10 AND 12
	))
WHERE c.id = ANY($1::bigint[])`

// channelRow is a channel as its row says it: overwrites in one order, whatever Discord's, and none for threads.
func (b *barrier) channelRow(c tidings.Channel) tidings.Channel {
	c.Guild, c.Name, c.Topic = b.guild, clean(c.Name), clean(c.Topic)
	overwrites := []tidings.Overwrite{}
	if !c.IsThread() {
		overwrites = append(overwrites, c.Overwrites...)
	}
	slices.SortFunc(overwrites, func(x, y tidings.Overwrite) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.ID, y.ID))
	})
	c.Overwrites = overwrites
	return c
}

func sameChannel(a, b tidings.Channel) bool {
	overwrites := slices.Equal(a.Overwrites, b.Overwrites)
	return overwrites && a.ID == b.ID && a.Guild == b.Guild && a.Parent == b.Parent && a.Type == b.Type &&
		a.Name == b.Name && a.Topic == b.Topic && a.Position == b.Position && a.NSFW == b.NSFW && a.Archived == b.Archived &&
		a.LastMessage == b.LastMessage
}

// Threads go with their channel; the channels of a category stay.
const lockGone = `
SELECT id
FROM channels
WHERE NOT deleted AND (id = ANY($1::bigint[]) OR (parent_id = ANY($1::bigint[]) AND type BETWEEN 10 AND 12))
ORDER BY id
FOR UPDATE`

const removeChannels = `
UPDATE channels
SET deleted = true
WHERE id = ANY($1::bigint[])`

var forgetThreads = []string{`
DELETE FROM thread_members
WHERE thread_id = ANY($1::bigint[])`, `
DELETE FROM thread_reads
WHERE thread_id = ANY($1::bigint[])`}

func (b *barrier) removeChannels(ctx context.Context, tx *sqlx.Tx, channels []discord.ChannelID) error {
	var gone []discord.ChannelID
	if err := tx.SelectContext(ctx, &gone, lockGone, ids(channels)); err != nil || len(gone) == 0 {
		return err
	}
	b.move()
	if _, err := tx.ExecContext(ctx, removeChannels, ids(gone)); err != nil {
		return err
	}
	for _, query := range forgetThreads {
		if _, err := tx.ExecContext(ctx, query, ids(gone)); err != nil {
			return err
		}
	}
	return nil
}

// A placeholder (type -1) may be of an archived thread, which Discord does not name.
const unnamedChannels = `
SELECT id
FROM channels
WHERE guild_id = $1 AND NOT deleted AND type >= 0 AND type NOT BETWEEN 10 AND 12 AND id <> ALL($2::bigint[])`

// removeUnnamed removes the channels that a list of all of the guild's channels does not name.
func (b *barrier) removeUnnamed(ctx context.Context, tx *sqlx.Tx, named []tidings.Channel) error {
	var gone []discord.ChannelID
	if err := tx.SelectContext(ctx, &gone, unnamedChannels, int64(b.guild), channelIDs(named)); err != nil || len(gone) == 0 {
		return err
	}
	return b.removeChannels(ctx, tx, gone)
}

const lockUnnamedThreads = `
SELECT id
FROM channels
WHERE guild_id = $1 AND NOT deleted AND NOT archived AND type BETWEEN 10 AND 12
  AND id <> ALL($2::bigint[]) AND (cardinality($3::bigint[]) = 0 OR parent_id = ANY($3::bigint[]))
ORDER BY id
FOR UPDATE`

const archiveThreads = `
UPDATE channels
SET archived = true,
    unnamed = true
WHERE id = ANY($1::bigint[])`

// archiveUnnamed closes the threads that a list of all active threads of parents, or of the guild, does not name. They may
// have been archived or deleted; an archived thread stays readable, and each is looked for, by a job.
// It returns those that it closed.
func (b *barrier) archiveUnnamed(ctx context.Context, tx *sqlx.Tx, parents []discord.ChannelID, named []tidings.Channel) ([]discord.ChannelID, error) {
	var closed []discord.ChannelID
	err := tx.SelectContext(ctx, &closed, lockUnnamedThreads, int64(b.guild), channelIDs(named), ids(parents))
	if err != nil || len(closed) == 0 {
		return nil, err
	}
	b.move()
	if _, err := tx.ExecContext(ctx, archiveThreads, ids(closed)); err != nil {
		return nil, err
	}
	return closed, b.findThreads(ctx, tx)
}

func (b *barrier) syncThreads(ctx context.Context, tx *sqlx.Tx, e tidings.ThreadsSynced) error {
	if err := b.saveChannels(ctx, tx, e.Threads); err != nil {
		return err
	}
	if _, err := b.archiveUnnamed(ctx, tx, e.Parents, e.Threads); err != nil {
		return err
	}
	return b.compare(ctx, tx, e.Threads, false)
}

func channelIDs(channels []tidings.Channel) any {
	list := make([]discord.ChannelID, len(channels))
	for i, c := range channels {
		list[i] = c.ID
	}
	return ids(list)
}
