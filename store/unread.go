package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// effectivePosition is how far the person has read a channel, from rows of theirs: p of read_positions, fa and fg the floors of
// everything and of the guild, b of baselines, each of which may be missing.
//
//   - A position that is at least as new as the floors over its channel holds by itself. Whoever writes one has compared
//     it with the floors (see marks.go), so it is below them only after "mark unread from here".
//   - Otherwise it is the greatest of the position, or without one the baseline, and the floors.
//   - Without any of them, not even a baseline, it is 0: enrolment has not happened yet, and what is not known to be read
//     counts as unread rather than being read silently.
const effectivePosition = `
		CASE
			WHEN p.rev >= greatest(fa.rev, fg.rev, 0) THEN p.read_id
			ELSE greatest(coalesce(p.read_id, b.baseline_id), fa.floor_id, fg.floor_id, 0)
		END`

// withVisible begins a statement: $1 is the person, $2 the channels. "visible" has each channel with the effective position,
// read_id. "hidden" holds the authors whose messages are never unread: the person's own and those they ignore.
const withVisible = `
WITH visible AS MATERIALIZED (
	SELECT c.id, c.guild_id, c.version, c.last_live_id, c.last_seen_id, c.since_id, c.known_id, c.closed_at, c.kept,` + effectivePosition + ` AS read_id
	FROM unnest($2::bigint[]) AS v (id)
	JOIN channels c ON c.id = v.id
	LEFT JOIN read_positions p ON p.user_id = $1::bigint AND p.channel_id = c.id
	LEFT JOIN read_floors fa ON fa.user_id = $1 AND fa.scope_id = 0
	LEFT JOIN read_floors fg ON fg.user_id = $1 AND fg.scope_id = c.guild_id
	LEFT JOIN baselines b ON b.user_id = $1 AND b.guild_id = c.guild_id
), hidden AS MATERIALIZED (
	SELECT $1 || coalesce(array_agg(author_id), '{}') AS authors
	FROM ignored_authors
	WHERE user_id = $1
)`

// withTargets adds "target": what may be mentioned to mean the person, without what they suppress. $3 and $4 are their roles, as
// guild and role.
const withTargets = `, target AS (
	SELECT 0::smallint AS kind, $1 AS id, NULL::bigint AS guild_id
	UNION ALL
	SELECT 1::smallint, r.id, r.guild_id
	FROM unnest($3::bigint[], $4::bigint[]) AS r (guild_id, id)
	WHERE r.guild_id NOT IN (SELECT guild_id FROM suppressed WHERE user_id = $1 AND roles)
	UNION ALL
	SELECT 2::smallint, g.guild_id, g.guild_id
	FROM (SELECT DISTINCT guild_id FROM visible) g
	WHERE g.guild_id NOT IN (SELECT guild_id FROM suppressed WHERE user_id = $1 AND everyone)
)`

// withMentions adds "mentioned": each message above the read position that means the person, once however often it does.
const withMentions = withTargets + `, mentioned AS (
	SELECT v.id AS channel_id, t.message_id
	FROM target x
	JOIN mention_targets t ON t.kind = x.kind AND t.target_id = x.id
	JOIN visible v ON v.id = t.channel_id AND v.guild_id = coalesce(x.guild_id, v.guild_id)
	WHERE t.message_id > (SELECT min(read_id) FROM visible WHERE last_live_id > read_id)
	AND t.message_id > v.read_id
	AND t.author_id <> ALL ((SELECT authors FROM hidden)::bigint[])`

// Over many channels, all mentions of a target are read whatever their channel: one stretch of the index for each target. For
// a few channels, each pair of target and channel is looked up.
const (
	countMany = withVisible + withMentions + countUnread
	countFew  = withVisible + withMentions + `
	AND t.channel_id = ANY ($2)` + countUnread
	fewChannels = 8
)

// countUnread counts exactly, above any number, without reading all that is unread. What is unread above a position is the
// rest of the position's own hour ("near", which also finds the first unread message), the later hours of that day and the
// later days ("later", by the buckets), less what hidden authors wrote. Where the hours of the day are not known, the rest of
// the day is read instead.
const countUnread = `
	GROUP BY v.id, t.message_id
)
SELECT v.id, v.guild_id, v.version, v.read_id, v.last_live_id,
	CASE
		WHEN l.later > 0 THEN l.later + coalesce(u.n, 0) - (
			SELECT count(*)
			FROM messages m
			WHERE m.channel_id = v.id AND m.author_id = ANY ((SELECT authors FROM hidden)::bigint[]) AND m.id > v.read_id
			AND NOT m.deleted AND m.countable
		)
		ELSE coalesce(u.shown, 0)
	END AS unread,
	coalesce(n.mentions, 0) AS mentions,
	coalesce(u.first, CASE
		WHEN l.later > 0 THEN (
			SELECT m.id
			FROM messages m
			WHERE m.channel_id = v.id AND m.id > v.read_id AND NOT m.deleted AND m.countable
			AND m.author_id <> ALL ((SELECT authors FROM hidden)::bigint[])
			ORDER BY m.id
			LIMIT 1
		)
	END, 0) AS first_unread
FROM visible v
LEFT JOIN LATERAL (
	SELECT sum(CASE
			WHEN b.day > (v.read_id >> 22) / 86400000 THEN b.n
			ELSE (
				SELECT sum(h.n)::int
				FROM unnest(b.hours[(v.read_id >> 22) / 3600000 % 24 + 2:24]) AS h (n)
			)
		END) AS later,
		sum(CASE
			WHEN b.day > (v.read_id >> 22) / 86400000 THEN 0
			WHEN b.hours IS NULL THEN b.n
			ELSE b.hours[(v.read_id >> 22) / 3600000 % 24 + 1]
		END) AS near,
		bool_or(b.hours IS NULL AND b.day = (v.read_id >> 22) / 86400000) AS whole
	FROM live_buckets b
	WHERE v.last_live_id > v.read_id AND b.channel_id = v.id AND b.day >= (v.read_id >> 22) / 86400000
) l ON true
LEFT JOIN LATERAL (
	SELECT count(*) AS n,
		count(*) FILTER (WHERE m.author_id <> ALL ((SELECT authors FROM hidden)::bigint[])) AS shown,
		min(m.id) FILTER (WHERE m.author_id <> ALL ((SELECT authors FROM hidden)::bigint[])) AS first
	FROM messages m
	WHERE l.near > 0 AND m.channel_id = v.id AND m.id > v.read_id
	AND m.id < CASE
		WHEN l.whole THEN ((v.read_id >> 22) / 86400000 + 1) * 86400000
		ELSE ((v.read_id >> 22) / 3600000 + 1) * 3600000
	END << 22
	AND NOT m.deleted AND m.countable
) u ON true
LEFT JOIN (
	SELECT channel_id, count(*) AS mentions
	FROM mentioned
	GROUP BY channel_id
) n ON n.channel_id = v.id`

// counted is one channel, as countMany and countFew give it.
type counted struct {
	ID          discord.ChannelID `db:"id"`
	Guild       discord.GuildID   `db:"guild_id"`
	Version     int64             `db:"version"`
	ReadID      discord.MessageID `db:"read_id"`
	LastID      discord.MessageID `db:"last_live_id"`
	Unread      int               `db:"unread"`
	Mentions    int               `db:"mentions"`
	FirstUnread discord.MessageID `db:"first_unread"`
}

func (c counted) read() tidings.ReadChannel {
	return tidings.ReadChannel{
		ID: c.ID, Version: c.Version, ReadID: c.ReadID, Unread: c.Unread, Mentions: c.Mentions,
		FirstUnread: c.FirstUnread, LastID: c.LastID,
	}
}

// count counts the channels. Counts, positions and versions are of one snapshot, because it is one statement.
func count(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, channels []discord.ChannelID) ([]counted, error) {
	if len(channels) == 0 {
		return nil, nil
	}
	guilds, roles := rolesOf(set)
	var rows []counted
	query := countMany
	if len(channels) <= fewChannels {
		query = countFew
	}
	err := tx.SelectContext(ctx, &rows, query, int64(set.User), ids(channels), guilds, roles)
	return rows, err
}

// rolesOf lists the person's roles as pairs of guild and role.
func rolesOf(set *tidings.VisibleSet) (guilds, roles pq.Int64Array) {
	guilds, roles = pq.Int64Array{}, pq.Int64Array{}
	for _, g := range set.Guilds {
		for _, r := range g.Roles {
			guilds, roles = append(guilds, int64(g.Guild.ID)), append(roles, int64(r))
		}
	}
	return guilds, roles
}

// The planner's cost of counting is high enough for its just-in-time compiler, which takes far longer than the counting.
const noCompiler = `
SET LOCAL jit = off`

// snapshot runs fn in one read-only transaction that sees one moment.
func (s *Store) snapshot(ctx context.Context, fn func(tx *sqlx.Tx) error) error {
	return s.inTx(ctx, snapshot, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, noCompiler); err != nil {
			return err
		}
		return fn(tx)
	})
}

// selectStanding is one row: what a person has set, and of each visible channel where they stand, each column strung together in
// Postgres' binary form, which costs a fraction of as many rows. Since when a channel is complete (froms, 0 for not) is derived from the
// ledger; see ledger.go. The planner's compiler is switched off like in [Store.snapshot].
const selectStanding = withVisible + `
SELECT coalesce((
	SELECT rev
	FROM users
	WHERE id = $1
), 0) AS rev, ARRAY (
	SELECT author_id
	FROM ignored_authors
	WHERE user_id = $1
	ORDER BY author_id
) AS ignored, (
	SELECT coalesce(json_agg(json_build_object('Scope', scope_id::text, 'Until', until)), '[]')
	FROM mutes
	WHERE user_id = $1 AND (until IS NULL OR until > now())
) AS mutes, (
	SELECT coalesce(json_agg(json_build_object('Guild', guild_id::text, 'Everyone', everyone, 'Roles', roles) ORDER BY guild_id), '[]')
	FROM suppressed
	WHERE user_id = $1
) AS suppressed, set_config('jit', 'off', true) AS jit,
	coalesce(string_agg(int8send(v.id), ''), '') AS ids,
	coalesce(string_agg(int8send(v.guild_id), ''), '') AS guilds,
	coalesce(string_agg(int8send(v.version), ''), '') AS versions,
	coalesce(string_agg(int8send(v.read_id), ''), '') AS reads,
	coalesce(string_agg(int8send(v.last_live_id), ''), '') AS lasts,
	coalesce(string_agg(int8send(CASE
		WHEN s.session_id IS NOT NULL THEN greatest(v.since_id, coalesce(h.top + 1, 0))
		ELSE 0
	END), ''), '') AS froms
FROM visible v
LEFT JOIN (guilds g JOIN gateway_sessions s ON s.session_id = g.live_session AND g.live_session <> '' AND s.listening AND s.hole = 0 AND s.heard_until > now())
	ON g.id = v.guild_id AND g.kept AND v.kept AND v.closed_at IS NULL AND v.since_id > 0 AND v.last_live_id <= v.known_id
LEFT JOIN (
	SELECT o.channel_id, max(o.rest_id) AS top
	FROM unnest($2::bigint[]) AS u (id)
	JOIN gaps o ON o.channel_id = u.id AND o.healed_at IS NULL
	GROUP BY o.channel_id
) h ON h.channel_id = v.id`

// standing is what a person has set and where they stand.
type standing struct {
	Rev        int64         `db:"rev"`
	Ignored    pq.Int64Array `db:"ignored"`
	Mutes      string        `db:"mutes"`
	Suppressed string        `db:"suppressed"`
	JIT        string        `db:"jit"`
	IDs        []byte        `db:"ids"`
	Guilds     []byte        `db:"guilds"`
	Versions   []byte        `db:"versions"`
	Reads      []byte        `db:"reads"`
	Lasts      []byte        `db:"lasts"`
	Froms      []byte        `db:"froms"`

	rows       []counted                        // not counted yet
	from       []discord.MessageID              // of rows: where what is complete begins; 0 for unknown
	muted      map[discord.Snowflake]*time.Time // until when; nil for ever
	suppressed []Suppressed
}

func readStanding(ctx context.Context, tx *sqlx.Tx, user discord.UserID, channels []discord.ChannelID) (*standing, error) {
	p := &standing{muted: map[discord.Snowflake]*time.Time{}}
	if err := tx.GetContext(often(ctx, len(channels)), p, selectStanding, int64(user), idList(channels)); err != nil {
		return nil, err
	}
	var mutes []struct {
		Scope int64 `json:",string"`
		Until *time.Time
	}
	var suppressed []struct {
		Guild           int64 `json:",string"`
		Everyone, Roles bool
	}
	if err := errors.Join(json.Unmarshal([]byte(p.Mutes), &mutes), json.Unmarshal([]byte(p.Suppressed), &suppressed)); err != nil {
		return nil, err
	}
	for _, m := range mutes {
		p.muted[discord.Snowflake(m.Scope)] = m.Until
	}
	for _, s := range suppressed {
		p.suppressed = append(p.suppressed, Suppressed{discord.GuildID(s.Guild), tidings.Suppression{Everyone: s.Everyone, Roles: s.Roles}})
	}
	n := len(p.IDs) / 8
	p.rows, p.from = make([]counted, n), make([]discord.MessageID, n)
	for i := range p.rows {
		at := func(column []byte) uint64 { return binary.BigEndian.Uint64(column[8*i:]) }
		p.rows[i] = counted{
			ID: discord.ChannelID(at(p.IDs)), Guild: discord.GuildID(at(p.Guilds)), Version: int64(at(p.Versions)),
			ReadID: discord.MessageID(at(p.Reads)), LastID: discord.MessageID(at(p.Lasts)),
		}
		p.from[i] = discord.MessageID(at(p.Froms))
	}
	return p, nil
}

// Summary counts every channel of the set, all at one moment. A person who has never marked anything, or is not known at
// all, has rev 0.
func (s *Store) Summary(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	var person *standing
	err := s.inTx(ctx, snapshot, func(tx *sqlx.Tx) (err error) {
		person, err = s.counts(ctx, tx, set, set.ChannelIDs())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("summarize unread of user %d: %w", set.User, err)
	}
	counts := make(map[discord.ChannelID]counted, len(person.rows))
	since := make(map[discord.ChannelID]time.Time)
	for i, r := range person.rows {
		counts[r.ID] = r
		if from := person.from[i]; from > 0 {
			// Rounded up: others of the same millisecond may be missing.
			since[r.ID] = (from + 1<<22 - 1).Time().UTC()
		}
	}

	u := &tidings.Unread{
		Rev: person.Rev, Guilds: make([]tidings.UnreadGuild, 0, len(set.Guilds)), Ignored: make([]discord.UserID, len(person.Ignored)),
	}
	for i, id := range person.Ignored {
		u.Ignored[i] = discord.UserID(id)
	}
	for _, g := range set.Guilds {
		ug := summarizeGuild(g, counts, since, person.muted)
		for _, s := range person.suppressed {
			if s.Guild == g.Guild.ID {
				ug.SuppressEveryone, ug.SuppressRoles = s.Everyone, s.Roles
			}
		}
		u.Total += ug.Unread
		u.Mentions += ug.Mentions
		u.Guilds = append(u.Guilds, ug)
	}
	return u, nil
}

func summarizeGuild(g tidings.VisibleGuild, counts map[discord.ChannelID]counted, since map[discord.ChannelID]time.Time, muted map[discord.Snowflake]*time.Time) tidings.UnreadGuild {
	ug := tidings.UnreadGuild{
		ID: g.Guild.ID, Name: g.Guild.Name, Icon: g.Guild.Icon,
		Roles: append([]discord.RoleID{}, g.Roles...), Channels: make([]tidings.UnreadChannel, 0, len(g.Channels)),
	}
	parents := make(map[discord.ChannelID]discord.ChannelID, len(g.Channels)+len(g.Parents))
	for _, c := range g.Channels {
		parents[c.ID] = c.Parent
	}
	for _, c := range g.Parents {
		parents[c.ID] = c.Parent
	}
	for _, c := range g.Channels {
		n := counts[c.ID]
		uc := tidings.UnreadChannel{
			ID: c.ID, Name: c.Name, Type: c.Type, Parent: c.Parent,
			Unread: n.Unread, Mentions: n.Mentions, FirstUnread: n.FirstUnread, ReadID: n.ReadID, LastID: n.LastID,
			Version: n.Version,
		}
		mute(&uc, muted, discord.Snowflake(g.Guild.ID))
		// A thread is in a channel, which is in a category: three levels at most, whatever the data say.
		for id, level := c.ID, 0; id != 0 && level < 3; id, level = parents[id], level+1 {
			mute(&uc, muted, discord.Snowflake(id))
		}
		if t, ok := since[c.ID]; ok {
			uc.CompleteSince = &t
		}
		if !uc.Muted {
			ug.Unread += n.Unread
		}
		ug.Mentions += n.Mentions
		ug.Channels = append(ug.Channels, uc)
	}
	return ug
}

// mute mutes a channel by a scope that it is in, where that is muted. Of several mutes the longest counts.
func mute(c *tidings.UnreadChannel, muted map[discord.Snowflake]*time.Time, scope discord.Snowflake) {
	until, ok := muted[scope]
	switch {
	case !ok:
	case until == nil, c.Muted && c.MutedUntil == nil:
		c.Muted, c.MutedUntil = true, nil
	case c.MutedUntil == nil || until.After(*c.MutedUntil):
		c.Muted, c.MutedUntil = true, until
	}
}

// Counts counts those of channels that are in the set, all at one moment, in no particular order.
func (s *Store) Counts(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) ([]tidings.ReadChannel, error) {
	visible := within(set, channels)
	if len(visible) == 0 {
		return nil, nil
	}
	var rows []counted
	err := s.snapshot(ctx, func(tx *sqlx.Tx) (err error) {
		rows, err = count(ctx, tx, set, visible)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count unread of user %d: %w", set.User, err)
	}
	return readChannels(rows), nil
}

func readChannels(rows []counted) []tidings.ReadChannel {
	out := make([]tidings.ReadChannel, len(rows))
	for i, r := range rows {
		out[i] = r.read()
	}
	return out
}

// within keeps those of channels that the set holds, each once.
func within(set *tidings.VisibleSet, channels []discord.ChannelID) []discord.ChannelID {
	want := make(map[discord.ChannelID]bool, len(channels))
	for _, id := range channels {
		want[id] = true
	}
	var list []discord.ChannelID
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if want[c.ID] {
				list = append(list, c.ID)
			}
		}
	}
	return list
}

const selectVersions = `
SELECT id, version
FROM channels
WHERE id = ANY ($1::bigint[])`

// Versions returns the current version of each of channels; those that are not known are left out.
func (s *Store) Versions(ctx context.Context, channels []discord.ChannelID) (map[discord.ChannelID]int64, error) {
	var rows []struct {
		ID      discord.ChannelID `db:"id"`
		Version int64             `db:"version"`
	}
	if err := s.db.SelectContext(often(ctx, len(channels)), &rows, selectVersions, ids(channels)); err != nil {
		return nil, fmt.Errorf("read channel versions: %w", unavailable(err))
	}
	versions := make(map[discord.ChannelID]int64, len(rows))
	for _, r := range rows {
		versions[r.ID] = r.Version
	}
	return versions, nil
}
