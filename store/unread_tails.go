package store

import (
	"context"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// tally counts the person's rows that again names, in the snapshot that they are of. What is above the start of a channel's tail is counted
// in memory; mentions, and what is older, are asked for.
func (s *Store) tally(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, p *standing, again []int) error {
	again = slices.DeleteFunc(slices.Clone(again), func(i int) bool { return p.rows[i].LastID <= p.rows[i].ReadID })
	if len(again) == 0 {
		return nil
	}
	hidden := append([]int64{int64(set.User)}, p.Ignored...)
	slices.Sort(hidden)
	tails, err := s.tailsOf(ctx, tx, p.rows, again)
	if err != nil {
		return err
	}
	var deep []int
	for _, i := range again {
		r := &p.rows[i]
		n, first, ok := tails[r.ID].after(int64(r.ReadID), hidden)
		if !ok {
			deep = append(deep, i)
			continue
		}
		r.Unread, r.FirstUnread = n, discord.MessageID(first)
	}
	if err := countDeep(ctx, tx, p.rows, deep, tails, hidden); err != nil {
		return err
	}
	return countMentions(ctx, tx, set, p, again, hidden)
}

// selectDeep counts what a tail does not say, for positions ($1 channels, $2 positions) below its start: the rest of the position's own hour
// ("near", and of it what is "shown", not of hidden authors, $3), the later hours of its day ("rest"), what hidden authors wrote above
// it, and the first that is shown. Where the hours of the day are not known, near is the rest of the day.
const selectDeep = `
SELECT coalesce(string_agg(int8send(d.id), ''), '') AS ids,
	coalesce(string_agg(int8send(d.near), ''), '') AS near,
	coalesce(string_agg(int8send(d.shown), ''), '') AS shown,
	coalesce(string_agg(int8send(d.rest), ''), '') AS rest,
	coalesce(string_agg(int8send(d.hidden), ''), '') AS hidden,
	coalesce(string_agg(int8send(d.first), ''), '') AS first
FROM (
	SELECT v.id, u.n AS near, u.shown, coalesce(b.rest, 0) AS rest, (
		SELECT count(*)
		FROM messages m
		WHERE m.channel_id = v.id AND m.author_id = ANY ($3::bigint[]) AND m.id > v.read_id AND NOT m.deleted AND m.countable
	) AS hidden, coalesce(u.first, (
		SELECT m.id
		FROM messages m
		WHERE m.channel_id = v.id AND m.id > v.read_id AND NOT m.deleted AND m.countable AND m.author_id <> ALL ($3::bigint[])
		ORDER BY m.id
		LIMIT 1
	), 0) AS first
	FROM unnest($1::bigint[], $2::bigint[]) AS v (id, read_id)
	LEFT JOIN LATERAL (
		SELECT hours IS NULL AS whole, coalesce(hours[(v.read_id >> 22) / 3600000 % 24 + 1], n) AS near, (
			SELECT sum(h.n)
			FROM unnest(hours[(v.read_id >> 22) / 3600000 % 24 + 2:24]) AS h (n)
		) AS rest
		FROM live_buckets
		WHERE channel_id = v.id AND day = (v.read_id >> 22) / 86400000
	) b ON true
	LEFT JOIN LATERAL (
		SELECT count(*) AS n,
			count(*) FILTER (WHERE m.author_id <> ALL ($3::bigint[])) AS shown,
			min(m.id) FILTER (WHERE m.author_id <> ALL ($3::bigint[])) AS first
		FROM messages m
		WHERE b.near > 0 AND m.channel_id = v.id AND m.id > v.read_id
		AND m.id < CASE
			WHEN b.whole THEN ((v.read_id >> 22) / 86400000 + 1) * 86400000
			ELSE ((v.read_id >> 22) / 3600000 + 1) * 3600000
		END << 22
		AND NOT m.deleted AND m.countable
	) u ON true
) d`

// countDeep counts the rows that deep names, whose positions lie below their tails.
func countDeep(ctx context.Context, tx *sqlx.Tx, rows []counted, deep []int, tails map[discord.ChannelID]*tail, hidden []int64) error {
	if len(deep) == 0 {
		return nil
	}
	channels, positions := int8s(len(deep)), int8s(len(deep))
	at := make(map[discord.ChannelID]int, len(deep))
	for _, i := range deep {
		at[rows[i].ID] = i
		channels.int8(int64(rows[i].ID))
		positions.int8(int64(rows[i].ReadID))
	}
	var got struct {
		IDs    []byte `db:"ids"`
		Near   []byte `db:"near"`
		Shown  []byte `db:"shown"`
		Rest   []byte `db:"rest"`
		Hidden []byte `db:"hidden"`
		First  []byte `db:"first"`
	}
	if err := tx.GetContext(ctx, &got, selectDeep, channels, positions, idList(discordIDs(hidden))); err != nil {
		return err
	}
	near, shown, rest, mine, first := unpackInt8s(got.Near), unpackInt8s(got.Shown), unpackInt8s(got.Rest), unpackInt8s(got.Hidden), unpackInt8s(got.First)
	for n, id := range unpackInt8s(got.IDs) {
		r := &rows[at[discord.ChannelID(id)]]
		r.FirstUnread = discord.MessageID(first[n])
		later := int(rest[n]) + tails[r.ID].later(int64(r.ReadID))
		if r.Unread = int(shown[n]); later > 0 {
			r.Unread = int(near[n]-mine[n]) + later
		}
	}
	return nil
}

func discordIDs(list []int64) []discord.Snowflake {
	out := make([]discord.Snowflake, len(list))
	for i, id := range list {
		out[i] = discord.Snowflake(id)
	}
	return out
}

// selectMentioned counts the messages above the positions ($4 channels, $5 their guilds, $6 positions, $7 the lowest of these) that name one of
// the targets ($1 kinds, $2 ids, $3 the guilds in which they count, -1 for all), each once however often it does. $8 are hidden authors.
const selectMentioned = `
SELECT t.channel_id, count(DISTINCT t.message_id) AS mentions
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS x (kind, target_id, guild_id)
JOIN mention_targets t ON t.kind = x.kind AND t.target_id = x.target_id
JOIN unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS v (id, guild_id, read_id) ON v.id = t.channel_id AND x.guild_id IN (-1, v.guild_id)
WHERE t.message_id > $7 AND t.message_id > v.read_id AND t.author_id <> ALL ($8::bigint[])`

// Over many channels, all mentions of a target are read whatever their channel: one stretch of the index for each target. For a few
// channels, each pair of target and channel is looked up.
const (
	mentionedInMany = selectMentioned + `
GROUP BY t.channel_id`
	mentionedInFew = selectMentioned + `
AND t.channel_id = ANY ($4)
GROUP BY t.channel_id`
)

// countMentions counts the mentions of the rows that again names.
func countMentions(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, p *standing, again []int, hidden []int64) error {
	quiet := make(map[discord.GuildID]tidings.Suppression, len(p.suppressed))
	for _, s := range p.suppressed {
		quiet[s.Guild] = s.Suppression
	}
	channels, guilds, positions := int8s(len(again)), int8s(len(again)), int8s(len(again))
	at := make(map[discord.ChannelID]int, len(again))
	in := map[discord.GuildID]bool{}
	lowest := p.rows[again[0]].ReadID
	for _, i := range again {
		r := p.rows[i]
		at[r.ID] = i
		in[r.Guild] = true
		lowest = min(lowest, r.ReadID)
		channels.int8(int64(r.ID))
		guilds.int8(int64(r.Guild))
		positions.int8(int64(r.ReadID))
	}
	kinds, targets, where := int4s(1), int8s(1), int8s(1)
	target := func(kind int, id discord.Snowflake, guild discord.GuildID) {
		kinds.int4(kind)
		targets.int8(int64(id))
		where.int8(int64(guild))
	}
	const everywhere = ^discord.GuildID(0) // -1
	target(mentionUser, discord.Snowflake(set.User), everywhere)
	for guild := range in {
		if !quiet[guild].Everyone {
			target(mentionEveryone, discord.Snowflake(guild), guild)
		}
	}
	for _, g := range set.Guilds {
		if !in[g.Guild.ID] || quiet[g.Guild.ID].Roles {
			continue
		}
		for _, r := range g.Roles {
			target(mentionRole, discord.Snowflake(r), g.Guild.ID)
		}
	}
	query := mentionedInMany
	if len(again) <= fewChannels {
		query = mentionedInFew
	}
	var found []struct {
		ID       discord.ChannelID `db:"channel_id"`
		Mentions int               `db:"mentions"`
	}
	err := tx.SelectContext(often(ctx, len(again)+targets.n), &found, query, kinds, targets, where, channels, guilds, positions, int64(lowest), idList(discordIDs(hidden)))
	for _, f := range found {
		p.rows[at[f.ID]].Mentions = f.Mentions
	}
	return err
}
