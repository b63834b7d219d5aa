package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// lateRange holds the countable messages of a channel that came after newer ones.
type lateRange struct {
	guild  discord.GuildID
	access int64
	ids    []discord.MessageID
	// fetched are those that a page brought. Where they lie in an open gap, the gap counts them and tells of them once.
	fetched []discord.MessageID
}

// comesLate notes a message below others that are stored already: somebody may have read past it.
func (b *batch) comesLate(ev tidings.Event, id discord.MessageID) {
	l := b.late[ev.Channel]
	if l == nil {
		l = &lateRange{guild: b.channels[ev.Channel].guild, access: b.channels[ev.Channel].access}
		b.late[ev.Channel] = l
	}
	if ev.Source == tidings.SourceBackfill {
		l.fetched = append(l.fetched, id)
	} else {
		l.ids = append(l.ids, id)
	}
}

const openRanges = `
SELECT channel_id, from_id, rest_id
FROM gaps
WHERE healed_at IS NULL AND channel_id = ANY($1::bigint[])`

const addRecovered = `
INSERT INTO gaps (channel_id, from_id, to_id, rest_id, reason, recovered, healed_at)
SELECT v.channel_id, v.from_id, v.to_id, v.from_id, 'it came late', v.n, now()
FROM (VALUES %s) v(channel_id, from_id, to_id, n)`

var addRecoveredTypes = []string{"bigint", "bigint", "bigint", "int"}

// writeLate keeps what came late as gaps that are healed, one for each channel, and returns them.
func (b *batch) writeLate(ctx context.Context, tx *sqlx.Tx) ([]tidings.Recovered, error) {
	var fetched []discord.ChannelID
	for id, l := range b.late {
		if len(l.fetched) > 0 {
			fetched = append(fetched, id)
		}
	}
	if len(fetched) > 0 {
		var open []struct {
			Channel discord.ChannelID `db:"channel_id"`
			From    discord.MessageID `db:"from_id"`
			Rest    discord.MessageID `db:"rest_id"`
		}
		if err := tx.SelectContext(ctx, &open, openRanges, ids(fetched)); err != nil {
			return nil, err
		}
		for _, id := range fetched {
			l := b.late[id]
			for _, m := range l.fetched {
				inGap := false
				for _, g := range open {
					inGap = inGap || g.Channel == id && m > g.From && m <= g.Rest
				}
				if !inGap {
					l.ids = append(l.ids, m)
				}
			}
		}
	}
	var out []tidings.Recovered
	var rows [][]any
	for id, l := range b.late {
		if len(l.ids) == 0 {
			continue
		}
		r := tidings.Recovered{Guild: l.guild, Channel: id, AccessVersion: l.access, From: slices.Min(l.ids), To: slices.Max(l.ids), N: len(l.ids)}
		out = append(out, r)
		rows = append(rows, []any{int64(id), int64(r.From) - 1, int64(r.To), r.N})
	}
	return out, execRows(ctx, tx, addRecovered, addRecoveredTypes, rows)
}

// Healed is a range of a channel in which messages were found late.
type Healed struct {
	From discord.MessageID `db:"from_id"` // exclusive
	To   discord.MessageID `db:"to_id"`
	N    int               `db:"recovered"`
}

const healedRanges = `
SELECT from_id, to_id, recovered
FROM gaps
WHERE channel_id = $1 AND healed_at > now() - interval '7 days' AND recovered > 0 AND NOT backfill
ORDER BY healed_at DESC, id DESC
LIMIT $2`

// Recovered lists where messages of a channel were found late within the last seven days, the latest find first.
func (s *Store) Recovered(ctx context.Context, channel discord.ChannelID, limit int) ([]Healed, error) {
	var list []Healed
	if err := s.db.SelectContext(ctx, &list, healedRanges, int64(channel), limit); err != nil {
		return nil, fmt.Errorf("list what channel %d recovered: %w", channel, unavailable(err))
	}
	return list, nil
}
