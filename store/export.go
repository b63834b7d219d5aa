package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// rowsPerExport bounds what one statement of an export reads.
const rowsPerExport = 500

const exportedChannels = `
SELECT id, guild_id, parent_id, type, name, topic, position, nsfw, archived, deleted, overwrites, last_message_id
FROM channels
WHERE CASE WHEN $1::bigint <> 0 THEN guild_id = $1 ELSE id = $2 OR parent_id = $2 END
ORDER BY id`

// ExportChannels lists a guild's channels, or one channel and its threads, whoever may see them; [tidings.ErrNotFound] when there are none.
func (s *Store) ExportChannels(ctx context.Context, guild discord.GuildID, channel discord.ChannelID) ([]tidings.Channel, error) {
	var rows []storedChannel
	if err := s.db.SelectContext(ctx, &rows, exportedChannels, int64(guild), int64(channel)); err != nil {
		return nil, fmt.Errorf("list channels to export: %w", unavailable(err))
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: nothing is held of it", tidings.ErrNotFound)
	}
	if err := unpack(rows); err != nil {
		return nil, err
	}
	channels := make([]tidings.Channel, len(rows))
	for i, r := range rows {
		channels[i] = r.Channel
	}
	return channels, nil
}

const exportMessages = `
SELECT id, author_id, type, flags, content, payload, edited_ms
FROM messages
WHERE channel_id = $1 AND id > $2 AND NOT deleted
ORDER BY id
LIMIT $3`

// Export gives each stored message of a channel to each, the oldest first, and stops at its first error. Deleted ones are not
// among them.
func (s *Store) Export(ctx context.Context, c tidings.Channel, each func(tidings.Message) error) error {
	var rows []struct {
		ID       discord.MessageID `db:"id"`
		Author   discord.UserID    `db:"author_id"`
		Type     int               `db:"type"`
		Flags    int64             `db:"flags"`
		Content  string            `db:"content"`
		Payload  []byte            `db:"payload"`
		EditedMS int64             `db:"edited_ms"`
	}
	for after := discord.MessageID(0); ; after = rows[len(rows)-1].ID {
		rows = rows[:0]
		if err := s.db.SelectContext(ctx, &rows, exportMessages, int64(c.ID), int64(after), rowsPerExport); err != nil {
			return fmt.Errorf("export channel %d: %w", c.ID, unavailable(err))
		}
		for _, r := range rows {
			if err := each(tidings.Message{
				Channel: c.ID, Guild: c.Guild, ID: r.ID, Author: r.Author, Type: r.Type, Flags: uint64(r.Flags), Content: r.Content,
				Payload: r.Payload, EditedMS: r.EditedMS,
			}); err != nil {
				return err
			}
		}
		if len(rows) < rowsPerExport {
			return nil
		}
	}
}
