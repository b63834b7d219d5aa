package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
)

// MaxPicked is how many messages may be asked for by name at once.
const MaxPicked = 250

const selectPicked = `
SELECT c.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM unnest($1::bigint[], $2::bigint[]) AS v (channel_id, id)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id AND NOT m.deleted
JOIN channels c ON c.id = m.channel_id` + joinMentions + `
ORDER BY m.id DESC, m.channel_id DESC`

// Picked returns those of the named messages that are live and in the set, newest first, each once. More than [MaxPicked] are
// [tidings.ErrInvalid].
func (s *Store) Picked(ctx context.Context, set *tidings.VisibleSet, of []Quoted) ([]tidings.Message, error) {
	if len(of) > MaxPicked {
		return nil, fmt.Errorf("picked messages: %w", tidings.InvalidField("messages", "name at most %d", MaxPicked))
	}
	seen := map[Quoted]bool{}
	var channels, messages []int64
	for _, q := range of {
		if seen[q] || len(within(set, []discord.ChannelID{q.Channel})) == 0 {
			continue
		}
		seen[q] = true
		channels, messages = append(channels, int64(q.Channel)), append(messages, int64(q.ID))
	}
	if len(channels) == 0 {
		return nil, nil
	}
	var rows []storedMessage
	if err := s.db.SelectContext(ctx, &rows, selectPicked, pq.Int64Array(channels), pq.Int64Array(messages)); err != nil {
		return nil, fmt.Errorf("picked messages of user %d: %w", set.User, unavailable(err))
	}
	out := make([]tidings.Message, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.message())
	}
	return out, nil
}
