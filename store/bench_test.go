package store

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// benchMessages is the size of the read side's benchmarks; 3670000 is what DESIGN.md states its targets for:
//
//	go test ./store -run '^$' -bench Summary -bench.messages 3670000
var benchMessages = flag.Int("bench.messages", 100_000, "messages that the read side's benchmarks count in")

const (
	benchChannels = 500
	benchGuilds   = 5
	benchDays     = 61.7 // the 3.67 million messages are about 60,000 a day
)

// benchWorld fills a store with set-based statements: five guilds of 100 channels, some far busier than others; one message in
// 50 mentions a person, one in 250 one of 20 roles of the guild, one in 5000 everyone.
func benchWorld(b *testing.B) (*Store, *tidings.VisibleSet) {
	b.Helper()
	s := open(b)
	now := int64(tidings.FirstID(time.Now()) >> 22)
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`SELECT setseed(0.5)`, nil},
		{`INSERT INTO guilds (id, name) SELECT g, 'guild ' || g FROM generate_series(1, $1::int) g`, []any{benchGuilds}},
		{`INSERT INTO channels (id, guild_id, type, name) SELECT 1000 + c, 1 + c % $2::int, 0, 'channel ' || c FROM generate_series(0, $1::int - 1) c`,
			[]any{benchChannels, benchGuilds}},
		{`INSERT INTO messages (channel_id, id, author_id, type, content, payload)
			SELECT 1000 + floor($2::int * power(random(), 1.5))::int, (($3::bigint - (random() * $4::float8 * 86400000)::bigint) << 22) + (g & 4194303),
				100000 + floor(10000 * power(random(), 2))::int, 0, 'message ' || g, '{}'
			FROM generate_series(1, $1::int) g`, []any{*benchMessages, benchChannels, now, benchDays}},
		{`INSERT INTO live_buckets (channel_id, day, n) SELECT channel_id, (id >> 22) / 86400000, count(*) FROM messages GROUP BY 1, 2`, nil},
		{`UPDATE channels c SET last_live_id = m.newest, last_seen_id = m.newest, version = m.n
			FROM (SELECT channel_id, max(id) AS newest, count(*) AS n FROM messages GROUP BY 1) m WHERE m.channel_id = c.id`, nil},
		{`INSERT INTO mention_targets SELECT 0, 100000 + floor(10000 * power(random(), 2))::int, channel_id, id, author_id FROM messages WHERE id % 50 = 0`, nil},
		{`INSERT INTO mention_targets SELECT 1, 2000 + 100 * (1 + (channel_id - 1000) % $1::int) + floor(random() * 20)::int, channel_id, id, author_id
			FROM messages WHERE id % 250 = 1`, []any{benchGuilds}},
		{`INSERT INTO mention_targets SELECT 2, 1 + (channel_id - 1000) % $1::int, channel_id, id, author_id FROM messages WHERE id % 5000 = 2`, []any{benchGuilds}},
		// Counts are index-only where vacuum has been; in service autovacuum keeps it so.
		{`VACUUM ANALYZE messages`, nil}, {`VACUUM ANALYZE mention_targets`, nil}, {`VACUUM ANALYZE live_buckets`, nil}, {`VACUUM ANALYZE channels`, nil},
	} {
		if _, err := s.db.ExecContext(b.Context(), q.sql, q.args...); err != nil {
			b.Fatalf("%s: %v", q.sql, err)
		}
	}
	set := &tidings.VisibleSet{User: 100000}
	for g := range benchGuilds {
		vg := tidings.VisibleGuild{Guild: tidings.Guild{ID: discord.GuildID(g + 1)}}
		for r := range 4 {
			vg.Roles = append(vg.Roles, discord.RoleID(2100+100*g+r))
		}
		for c := g; c < benchChannels; c += benchGuilds {
			vg.Channels = append(vg.Channels, tidings.Channel{ID: discord.ChannelID(1000 + c), Guild: vg.Guild.ID})
		}
		set.Guilds = append(set.Guilds, vg)
	}
	return s, set
}

func BenchmarkSummary(b *testing.B) {
	s, set := benchWorld(b)
	behind := func(d time.Duration) int64 { return int64(tidings.FirstID(time.Now().Add(-d))) }
	for i, bb := range []struct {
		name     string
		channels int // that are behind; the others are read
		behind   time.Duration
	}{
		{"nothing unread", 0, 0},
		{"50 channels 24 h behind", 50, 24 * time.Hour},
		{"all 6 h behind", benchChannels, 6 * time.Hour},
		{"all 24 h behind", benchChannels, 24 * time.Hour},
		{"all 12 days behind", benchChannels, 12*24*time.Hour + 7*time.Hour},
		{"all 30 days behind", benchChannels, 30 * 24 * time.Hour},
	} {
		b.Run(bb.name, func(b *testing.B) {
			set.User = discord.UserID(100000 + i)
			if _, err := s.SaveUser(b.Context(), tidings.User{ID: set.User}); err != nil {
				b.Fatal(err)
			}
			if _, err := s.db.ExecContext(b.Context(), `
				INSERT INTO read_positions (user_id, channel_id, read_id, rev)
				SELECT $1, id, CASE WHEN (id - 1000) % 500 * 7 % 500 < $2 THEN $3 ELSE last_seen_id END, 1 FROM channels
				ON CONFLICT DO NOTHING`, int64(set.User), bb.channels, behind(bb.behind)); err != nil {
				b.Fatal(err)
			}
			s.db.Exec(`ANALYZE read_positions`)
			var u *tidings.Unread
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				var err error
				if u, err = s.Summary(b.Context(), set); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(u.Total), "unread")
			b.ReportMetric(float64(u.Mentions), "mentions")
			b.ReportMetric(float64(best.Microseconds())/1000, "best-ms")
			stated, recounted, err := s.Verify(b.Context(), set)
			if err != nil {
				b.Fatal(err)
			}
			for i := range stated {
				if stated[i] != recounted[i] {
					b.Fatalf("stated %+v, recounted %+v", stated[i], recounted[i])
				}
			}
		})
	}
	for _, n := range []int{1, fewChannels, 2 * fewChannels} {
		b.Run(fmt.Sprintf("counts of %d channels", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Counts(b.Context(), set, set.ChannelIDs()[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, filter := range []string{FeedUnread, FeedMentions, FeedAll} {
		b.Run("feed "+filter, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Feed(b.Context(), set, FeedQuery{Filter: filter}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
