package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/store"
)

// summaryReaders is how many people come back, each for the first time; they are of ten roles and 500 channels.
const summaryReaders = 40

var fillReading = []string{
	`UPDATE channels c SET last_live_id = m.newest, last_seen_id = m.newest, version = m.n
		FROM (SELECT channel_id, max(id) AS newest, count(*) AS n FROM messages GROUP BY 1) m WHERE m.channel_id = c.id`,
	`UPDATE live_buckets b SET hours = h.hours FROM (
		SELECT k.channel_id, k.day, array_agg(coalesce(m.n, 0) ORDER BY k.hour) AS hours
		FROM (SELECT channel_id, day, hour FROM live_buckets CROSS JOIN generate_series(0, 23) hour) k
		LEFT JOIN (SELECT channel_id, ((id >> 22) / 86400000)::int AS day, ((id >> 22) / 3600000 % 24)::int AS hour, count(*)::int AS n FROM messages GROUP BY 1, 2, 3) m
		USING (channel_id, day, hour)
		GROUP BY 1, 2) h WHERE h.channel_id = b.channel_id AND h.day = b.day`,
	// One message in 50 mentions a person, one in 250 a role, one in 5,000 everyone.
	`INSERT INTO mention_targets SELECT 0, 100000 + id % 2000, channel_id, id, author_id FROM messages WHERE id / 1000 % 50 = 0`,
	`INSERT INTO mention_targets SELECT 1, 5000 + id % 20, channel_id, id, author_id FROM messages WHERE id / 1000 % 250 = 1`,
	`INSERT INTO mention_targets SELECT 2, 1, channel_id, id, author_id FROM messages WHERE id / 1000 % 5000 = 2`,
	`VACUUM ANALYZE mention_targets`, `VACUUM FULL ANALYZE live_buckets`, `VACUUM FULL ANALYZE channels`,
}

// reading measures searches and summaries over the same messages.
func reading(r *report, database, schema string, wanted func(string) bool) error {
	s, db, end, err := world(context.Background(), database, schema, searchMessages)
	if err != nil {
		return err
	}
	defer end()
	if wanted("search") {
		if err := searching(r, s, everything()); err != nil {
			return err
		}
	}
	if wanted("summary") {
		var schema string
		if err := db.QueryRow(`SELECT current_schema()`).Scan(&schema); err != nil {
			return err
		}
		return summarizing(r, s, db, everything(), func() (*store.Store, error) {
			return store.Open(context.Background(), store.Options{DatabaseURL: withSchema(database, schema)})
		})
	}
	return nil
}

// summarizing measures how long a person waits for all counts, over the messages that were made for the searches. open opens the store once more.
func summarizing(r *report, s *store.Store, db *sql.DB, set *tidings.VisibleSet, open func() (*store.Store, error)) error {
	ctx := context.Background()
	set.Guilds[0].Roles = []discord.RoleID{5000, 5002, 5004, 5006, 5008, 5010, 5012, 5014, 5016, 5018}
	// The messages may have been made some time ago.
	var newest discord.MessageID
	if err := db.QueryRowContext(ctx, `SELECT max(last_live_id) FROM channels`).Scan(&newest); err != nil {
		return err
	}
	user := discord.UserID(100_000)
	for _, c := range []struct {
		name   string
		behind time.Duration
		every  int  // of so many channels one is behind, the others are read
		moving bool // a message has come in a tenth of the channels since anybody asked
	}{{name: "24h", behind: 24 * time.Hour, every: 1}, {name: "24h_in_50_channels", behind: 24 * time.Hour, every: 10},
		{name: "24h_after_50_messages", behind: 24 * time.Hour, every: 1, moving: true}, {name: "30d", behind: 30 * 24 * time.Hour, every: 1}} {
		var first, again []float64
		for range summaryReaders {
			user++
			if _, err := s.SaveUser(ctx, tidings.User{ID: user, Name: "reader"}); err != nil {
				return err
			}
			if _, err := db.ExecContext(ctx, `INSERT INTO read_positions (user_id, channel_id, read_id, rev)
				SELECT $1::bigint, id, CASE WHEN id % $3::int = 0 THEN $2::bigint ELSE last_seen_id END, 1 FROM channels
				ON CONFLICT (user_id, channel_id) DO UPDATE SET read_id = excluded.read_id`, int64(user), int64(tidings.FirstID(newest.Time().Add(-c.behind))), c.every); err != nil {
				return err
			}
		}
		if _, err := db.ExecContext(ctx, `VACUUM ANALYZE read_positions`); err != nil {
			return err
		}
		for n := range summaryReaders {
			set.User = user - discord.UserID(n)
			if c.moving {
				if err := oneEach(ctx, s, n%10); err != nil {
					return err
				}
			}
			for i := range 3 {
				began := time.Now()
				if _, err := s.Summary(ctx, set); err != nil {
					return err
				}
				took := float64(time.Since(began).Microseconds()) / 1000
				switch {
				case n < summaryReaders/4: // The first few warm up.
				case i == 0:
					first = append(first, took)
				default:
					again = append(again, took)
				}
			}
			if n == 0 {
				stated, recounted, err := s.Verify(ctx, set)
				if err != nil {
					return err
				}
				if !slices.Equal(stated, recounted) {
					return fmt.Errorf("summary %s: the counts are not those of a recount", c.name)
				}
			}
		}
		r.add("summary_ms_"+c.name, first)
		r.add("summary_ms_"+c.name+"_again", again)
	}
	// What the first person waits for after a start: nothing is known in the process.
	var cold []float64
	set.User = 100_001 + summaryReaders/2
	for range 5 {
		fresh, err := open()
		if err != nil {
			return err
		}
		if err = fresh.Ping(ctx); err == nil {
			began := time.Now()
			_, err = fresh.Summary(ctx, set)
			cold = append(cold, float64(time.Since(began).Microseconds())/1000)
		}
		if err = errors.Join(err, fresh.Close()); err != nil {
			return err
		}
	}
	r.add("summary_ms_24h_after_a_start", cold)
	return nil
}

// oneEach records a message in every tenth channel.
func oneEach(ctx context.Context, s *store.Store, from int) error {
	var events []tidings.Event
	next := tidings.FirstID(time.Now())
	for c := from; c < searchChannels; c += 10 {
		next++
		m := gatewayMessage(next, c, 1)
		m.Guild, m.Channel = 1, discord.ChannelID(1000+c)
		events = append(events, tidings.Event{Guild: 1, Channel: m.Channel, At: time.Now(), Body: tidings.MessageCreated{Message: m}})
	}
	_, err := s.Record(ctx, events, nil)
	return err
}

// spentOn is the CPU of this process, of Postgres' processes that work for db's schema, and of Redis, in seconds.
func spentOn(ctx context.Context, db *sql.DB, client redis.UniversalClient) (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	all := float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	rows, err := db.QueryContext(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return 0, err
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // It has ended.
		}
		_, after, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(after)
		var user, system float64
		if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
			return 0, err
		}
		all += (user + system) / 100
	}
	if err := rows.Err(); err != nil || client == nil {
		return all, err
	}
	info, err := client.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		var n float64
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if text, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscan(text, &n); err != nil {
					return 0, err
				}
				all += n
			}
		}
	}
	return all, nil
}

// firstPages compares what the newest page of a channel costs when Redis has it and when it has not.
func firstPages(r *report, database, redisURL string, rounds int) error {
	ctx := context.Background()
	client, err := redisClient(redisURL)
	if err != nil {
		return err
	}
	defer client.Close()
	plain, db, drop, err := emptySchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	var schema string
	if err := db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema); err != nil {
		return err
	}
	cached, err := store.Open(ctx, store.Options{DatabaseURL: withSchema(database, schema), Redis: client, Prefix: fmt.Sprintf("bench-%d-", time.Now().UnixNano())})
	if err != nil {
		return err
	}
	defer cached.Close()
	if _, err := db.ExecContext(ctx, `INSERT INTO guilds (id, name) VALUES (1, 'bench')`); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO channels (id, guild_id, type, name) SELECT 1000 + c, 1, 0, 'c' FROM generate_series(0, 49) c`); err != nil {
		return err
	}
	next := uint64(tidings.FirstID(time.Now()))
	for range 10 {
		var events []tidings.Event
		for i := range 500 {
			next += 1 << 22 / 8
			m := gatewayMessage(discord.MessageID(next), i, 50)
			events = append(events, tidings.Event{Guild: 1, Channel: m.Channel, At: time.Now(), Body: tidings.MessageCreated{Message: m}})
		}
		if _, err := plain.Record(ctx, events, nil); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	var ratios []float64
	for round := range rounds + 1 {
		var cost [2]float64
		for i := range 2 {
			k := (i + round) % 2
			before, err := spentOn(ctx, db, client)
			if err != nil {
				return err
			}
			for n := range 3000 {
				q := store.PageQuery{Channel: discord.ChannelID(1000 + n%50)}
				if _, err := []*store.Store{plain, cached}[k].Messages(ctx, q); err != nil {
					return err
				}
			}
			after, err := spentOn(ctx, db, client)
			if err != nil {
				return err
			}
			cost[k] = (after - before) / 3000 * 1e6
		}
		if round > 0 {
			fmt.Fprintf(os.Stderr, "first page: %.0f µs of CPU from Postgres, %.0f from the cache\n", cost[0], cost[1])
			ratios = append(ratios, cost[0]/cost[1])
		}
	}
	r.add("first_page_cpu_postgres_vs_cache", ratios)
	return nil
}

// writing compares what recording a message costs in a server of ten and of 100,000 people who have signed in.
func writing(r *report, database string, rounds int) error {
	ctx := context.Background()
	s, db, drop, err := emptySchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	for _, text := range []string{
		`INSERT INTO guilds (id, name) VALUES (1, 'few'), (2, 'many')`,
		`INSERT INTO channels (id, guild_id, type, name) VALUES (1000, 1, 0, 'few'), (1001, 2, 0, 'many')`,
		`INSERT INTO users (id, name) SELECT 1000000 + n, 'reader' FROM generate_series(1, 100000) n`,
		`INSERT INTO members (guild_id, user_id, state) SELECT g, 1000000 + n, 'in' FROM generate_series(1, 100000) n, generate_series(1, 2) g WHERE g = 2 OR n <= 10`,
		`INSERT INTO baselines SELECT user_id, guild_id, 1 FROM members`,
		`INSERT INTO read_positions (user_id, channel_id, read_id, rev) SELECT user_id, 999 + guild_id, 1, 1 FROM members`,
		`VACUUM ANALYZE`,
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	next := uint64(tidings.FirstID(time.Now()))
	var ratios []float64
	for round := range rounds + 1 {
		// One message at a time, by turns, so that whatever else the machine does falls on both.
		var cost [2][]float64
		for n := range 1500 {
			for i := range 2 {
				k := (i + n) % 2
				next += 1 << 22 / 8
				m := gatewayMessage(discord.MessageID(next), n, 50)
				m.Guild, m.Channel = discord.GuildID(1+k), discord.ChannelID(1000+k)
				began := time.Now()
				if _, err := s.Record(ctx, []tidings.Event{{Guild: m.Guild, Channel: m.Channel, At: began, Body: tidings.MessageCreated{Message: m}}}, nil); err != nil {
					return err
				}
				cost[k] = append(cost[k], float64(time.Since(began).Microseconds()))
			}
		}
		for k := range cost {
			slices.Sort(cost[k])
		}
		few, many := cost[0][len(cost[0])/2], cost[1][len(cost[1])/2]
		if round > 0 {
			fmt.Fprintf(os.Stderr, "write: %.0f µs for 10 members, %.0f for 100,000\n", few, many)
			ratios = append(ratios, many/few)
		}
	}
	r.add("write_cost_100000_vs_10_members", ratios)
	var slopes []float64
	for _, x := range ratios {
		slopes = append(slopes, exponent([]int{10, 100_000}, []float64{1, x}))
	}
	r.add("write_cost_members_exponent", slopes)
	return nil
}

// redisClient connects to what the flag names.
func redisClient(address string) (redis.UniversalClient, error) {
	o := &redis.Options{Addr: address}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		o.Network, o.Addr = "unix", path
	}
	client := redis.NewClient(o)
	if err := client.Ping(context.Background()).Err(); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}
