package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"
)

// Quoted names a message that another one quotes.
type Quoted struct {
	Channel discord.ChannelID
	ID      discord.MessageID
}

const selectDeleted = `
SELECT m.channel_id, m.id
FROM unnest($1::bigint[], $2::bigint[]) AS v (channel_id, id)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id
WHERE m.deleted`

// Deleted returns those of the messages that are known to be deleted. What quotes them still holds their text, as Discord
// told it when they were quoted.
func (s *Store) Deleted(ctx context.Context, of []Quoted) (map[Quoted]bool, error) {
	gone := map[Quoted]bool{}
	if len(of) == 0 {
		return gone, nil
	}
	channels, messages := make(pq.Int64Array, len(of)), make(pq.Int64Array, len(of))
	for i, q := range of {
		channels[i], messages[i] = int64(q.Channel), int64(q.ID)
	}
	var rows []struct {
		Channel discord.ChannelID `db:"channel_id"`
		ID      discord.MessageID `db:"id"`
	}
	if err := s.db.SelectContext(ctx, &rows, selectDeleted, channels, messages); err != nil {
		return nil, fmt.Errorf("look for deleted messages among quoted ones: %w", unavailable(err))
	}
	for _, r := range rows {
		gone[Quoted{r.Channel, r.ID}] = true
	}
	return gone, nil
}
