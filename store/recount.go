package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// recount looks at every message above the positions ($2 channels, $3 their positions) one by one: no buckets, no heads, and
// whom a message mentions only as far as that message is really there.
const recount = `
SELECT c.id, c.guild_id, c.version, v.read_id,
	coalesce((
		SELECT max(m.id)
		FROM messages m
		WHERE m.channel_id = c.id AND NOT m.deleted AND m.countable
	), 0) AS last_live_id,
	count(m.id) AS unread,
	coalesce(min(m.id), 0) AS first_unread,
	count(m.id) FILTER (WHERE EXISTS (
		SELECT
		FROM mention_targets t
		WHERE t.channel_id = m.channel_id AND t.message_id = m.id AND (
			t.kind = 0 AND t.target_id = $1
			OR t.kind = 1 AND (c.guild_id, t.target_id) IN (
				SELECT r.guild_id, r.id
				FROM unnest($4::bigint[], $5::bigint[]) AS r (guild_id, id)
			) AND NOT EXISTS (SELECT FROM suppressed s WHERE s.user_id = $1 AND s.guild_id = c.guild_id AND s.roles)
			OR t.kind = 2 AND NOT EXISTS (SELECT FROM suppressed s WHERE s.user_id = $1 AND s.guild_id = c.guild_id AND s.everyone)
		)
	)) AS mentions
FROM unnest($2::bigint[], $3::bigint[]) AS v (id, read_id)
JOIN channels c ON c.id = v.id
LEFT JOIN messages m ON m.channel_id = c.id AND m.id > v.read_id AND NOT m.deleted AND m.countable
	AND m.author_id <> $1::bigint
	AND m.author_id NOT IN (SELECT author_id FROM ignored_authors WHERE user_id = $1)
GROUP BY c.id, v.read_id`

// Verify returns what is stated for the visible channels beside a recount of them, of one moment and in one order. Where what is
// remembered of a channel is right and counting it afresh would not be, it states the latter.
func (s *Store) Verify(ctx context.Context, set *tidings.VisibleSet) (stated, recounted []tidings.ReadChannel, err error) {
	return s.VerifySome(ctx, set, set.ChannelIDs())
}

// VerifySome is Verify for those of channels that the set holds.
func (s *Store) VerifySome(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) (stated, recounted []tidings.ReadChannel, err error) {
	list := within(set, channels)
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		// As they are stated: remembered ones too.
		person, err := s.counts(ctx, tx, set, list)
		if err != nil {
			return err
		}
		stated = readChannels(person.rows)
		states, err := statesOf(ctx, tx, set.User, list)
		if err != nil {
			return err
		}
		channels, positions := make(pq.Int64Array, len(states)), make(pq.Int64Array, len(states))
		for i, st := range states {
			channels[i], positions[i] = st.Channel, st.Position
		}
		guilds, roles := rolesOf(set)
		afresh, err := count(ctx, tx, set, list)
		if err != nil {
			return err
		}
		var rows []counted
		if err := tx.SelectContext(ctx, &rows, recount, int64(set.User), channels, positions, guilds, roles); err != nil {
			return err
		}
		recounted = inOrder(stated, readChannels(rows))
		for i, r := range inOrder(stated, readChannels(afresh)) {
			if stated[i] == recounted[i] {
				stated[i] = r
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("recount unread of user %d: %w", set.User, err)
	}
	return stated, recounted, nil
}

// inOrder returns rows in the order of the same channels in as.
func inOrder(as, rows []tidings.ReadChannel) []tidings.ReadChannel {
	at := make(map[discord.ChannelID]tidings.ReadChannel, len(rows))
	for _, r := range rows {
		at[r.ID] = r
	}
	out := make([]tidings.ReadChannel, len(as))
	for i, r := range as {
		out[i] = at[r.ID]
	}
	return out
}

const sampleReaders = `
SELECT id
FROM users
ORDER BY random()
LIMIT $1`

// SampleReaders picks people by chance.
func (s *Store) SampleReaders(ctx context.Context, n int) ([]discord.UserID, error) {
	var users []discord.UserID
	if err := s.db.SelectContext(ctx, &users, sampleReaders, n); err != nil {
		return nil, fmt.Errorf("pick people: %w", unavailable(err))
	}
	return users, nil
}
