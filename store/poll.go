package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// PollGuild is the kind of the job that looks for news in one guild. Its key is the guild's id.
const PollGuild = "poll-guild"

// GuildPoll says when a guild was looked at by polling.
type GuildPoll struct {
	Guild   discord.GuildID `db:"guild_id"`
	Known   bool            `db:"known"`  // the guild is stored and not removed
	Polled  float64         `db:"polled"` // seconds ago; very many when never
	Learned float64         `db:"learned"`
	Moved   float64         `db:"moved"`
	// Held says that some process keeps the gateway session of the guild's shard, or is about to.
	Held bool `db:"held"`
}

// The newest number of shards is the one that counts; rows of an older one stay. A shard of which nobody has said for half a minute
// that it listens is down, however long its lease lasts; one that is being connected is its process' to judge. Where the lease ran
// out less than half a minute ago it may be on its way from one process to another.
const guildPolls = `
WITH sharding AS (
	SELECT shards
	FROM gateway_sessions
	ORDER BY updated_at DESC
	LIMIT 1),
held AS (
	SELECT s.shard, s.shards
	FROM gateway_sessions s
	JOIN sharding USING (shards)
	WHERE CASE WHEN s.listening THEN s.heard_until > now() - interval '25 seconds' ELSE s.lease_until > now() - interval '30 seconds' END)
SELECT coalesce(g.id, p.guild_id) AS guild_id, g.id IS NOT NULL AND g.removed_at IS NULL AS known,
       least(extract(epoch FROM now() - p.polled_at), 1e9)::float8 AS polled,
       least(extract(epoch FROM now() - nullif(p.learned_at, '-infinity')), 1e9)::float8 AS learned,
       least(extract(epoch FROM now() - p.moved_at), 1e9)::float8 AS moved,
       EXISTS (SELECT FROM held h WHERE (coalesce(g.id, p.guild_id) >> 22) % h.shards = h.shard) AS held
FROM guilds g
FULL JOIN guild_polls p ON p.guild_id = g.id
ORDER BY p.polled_at NULLS FIRST, 1`

// GuildPolls lists the guilds that are or were polled, the one that was not looked at for longest first.
func (s *Store) GuildPolls(ctx context.Context) ([]GuildPoll, error) {
	var rows []struct {
		GuildPoll
		Polled  *float64 `db:"polled"`
		Learned *float64 `db:"learned"`
		Moved   *float64 `db:"moved"`
	}
	if err := s.db.SelectContext(ctx, &rows, guildPolls); err != nil {
		return nil, fmt.Errorf("list polled guilds: %w", unavailable(err))
	}
	const never = 1e9
	age := func(f *float64) float64 {
		if f == nil {
			return never
		}
		return *f
	}
	polls := make([]GuildPoll, len(rows))
	for i, r := range rows {
		r.GuildPoll.Polled, r.GuildPoll.Learned, r.GuildPoll.Moved = age(r.Polled), age(r.Learned), age(r.Moved)
		if r.Moved == nil {
			r.GuildPoll.Moved = 0
		}
		polls[i] = r.GuildPoll
	}
	return polls, nil
}

const savePoll = `
INSERT INTO guild_polls (guild_id, polled_at, learned_at, moved_at)
VALUES ($1, now(), CASE WHEN $2 THEN now() ELSE 'epoch' END, now())
ON CONFLICT (guild_id) DO UPDATE
SET polled_at = now(),
    learned_at = CASE WHEN $2 THEN now() ELSE guild_polls.learned_at END,
    moved_at = CASE WHEN $3 THEN now() ELSE guild_polls.moved_at END`

// SavePoll notes that a guild was looked at: whether all of it was learned, and whether there was news.
func (s *Store) SavePoll(ctx context.Context, g discord.GuildID, learned, moved bool) error {
	if _, err := s.db.ExecContext(ctx, savePoll, int64(g), learned, moved); err != nil {
		return fmt.Errorf("note the poll of guild %d: %w", g, unavailable(err))
	}
	return nil
}

const forgetPoll = `
DELETE FROM guild_polls
WHERE guild_id = $1`

// ForgetPoll forgets a guild that the bot has left.
func (s *Store) ForgetPoll(ctx context.Context, g discord.GuildID) error {
	if _, err := s.db.ExecContext(ctx, forgetPoll, int64(g)); err != nil {
		return fmt.Errorf("forget the polls of guild %d: %w", g, unavailable(err))
	}
	return nil
}

// A head up to the ledger's end is known. Where there is no ledger yet, what is stored is known. first is the snowflake of the
// moment in which the guild was seen first.
const movedChannels = `
SELECT v.channel_id, v.head, coalesce(f.first, 0) AS first, coalesce(CASE WHEN c.since_id > 0 THEN c.known_id ELSE c.last_seen_id END, 0) AS seen
FROM unnest($1::bigint[], $2::bigint[]) v(channel_id, head)
LEFT JOIN channels c ON c.id = v.channel_id
LEFT JOIN (
	SELECT (extract(epoch FROM first_seen)::numeric * 1000 - 1420070400000)::bigint << 22 AS first
	FROM guilds
	WHERE id = $3) f ON true
WHERE v.head > coalesce(CASE WHEN c.since_id > 0 THEN c.known_id ELSE c.last_seen_id END, 0)
  AND NOT EXISTS (SELECT FROM gaps g WHERE g.channel_id = v.channel_id AND g.healed_at IS NULL AND g.from_id < v.head AND g.rest_id >= v.head)
ORDER BY v.head DESC`

// OpenNews opens a gap in each channel whose newest message, as Discord lists it, is above everything that is stored, and asks
// for the jobs that fetch what is between. Nothing at or below the horizon is asked for, and unless history says so nothing
// of before the guild was seen first: that is for the first backfill. It returns how many channels moved.
func (s *Store) OpenNews(ctx context.Context, guild discord.GuildID, heads map[discord.ChannelID]discord.MessageID, horizon discord.MessageID, history bool, reason string) (moved int, err error) {
	channels, newest := make([]discord.ChannelID, 0, len(heads)), make([]discord.MessageID, 0, len(heads))
	for c, m := range heads {
		if m > horizon {
			channels, newest = append(channels, c), append(newest, m)
		}
	}
	if len(channels) == 0 {
		return 0, nil
	}
	var rows []struct {
		Channel discord.ChannelID `db:"channel_id"`
		Head    discord.MessageID `db:"head"`
		First   discord.MessageID `db:"first"`
		Seen    discord.MessageID `db:"seen"`
	}
	if err := s.db.SelectContext(ctx, &rows, movedChannels, ids(channels), ids(newest), int64(guild)); err != nil {
		return 0, fmt.Errorf("look for news in guild %d: %w", guild, unavailable(err))
	}
	jobs := make([]NewJob, 0, len(rows))
	for _, r := range rows {
		from := max(r.Seen, horizon)
		if !history {
			from = max(from, r.First)
		}
		if r.Head <= from {
			continue
		}
		if err := s.openGap(ctx, guild, r.Channel, from, r.Head, reason); err != nil {
			return 0, err
		}
		// Ahead of backfills: this is what people read now.
		jobs = append(jobs, NewJob{Kind: FetchMessages, Key: r.Channel.String(), Guild: guild, Priority: newsPriority})
	}
	if len(jobs) > 0 {
		if _, err := s.Enqueue(ctx, jobs...); err != nil {
			return 0, err
		}
	}
	return len(jobs), nil
}

const newsPriority = 5

const headsOf = `
SELECT id, last_seen_id
FROM channels
WHERE id = $1`

// LastSeen returns the newest id ever recorded in a channel, 0 for none.
func (s *Store) LastSeen(ctx context.Context, c discord.ChannelID) (discord.MessageID, error) {
	var rows []struct {
		ID   discord.ChannelID `db:"id"`
		Seen discord.MessageID `db:"last_seen_id"`
	}
	if err := s.db.SelectContext(ctx, &rows, headsOf, int64(c)); err != nil {
		return 0, fmt.Errorf("newest message of channel %d: %w", c, unavailable(err))
	}
	if len(rows) == 0 {
		return 0, nil
	}
	return rows[0].Seen, nil
}

// Horizon is the id below which nothing is fetched: messages older than so many days.
func Horizon(days int, now time.Time) discord.MessageID {
	return tidings.FirstID(now.AddDate(0, 0, -days))
}
