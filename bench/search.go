package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// The search is over searchMessages of 35 days in 500 channels, of 12 words each from 5,000: the most frequent stands in about half of the
// messages, the hundredth in one of a hundred.
const (
	searchMessages = 3_700_000
	searchChannels = 500
	searchWords    = 5000
	searchRounds   = 4
)

// $1 is the first message of this part, $2 the last; $3 the oldest id, $4 the ids between two of them.
const fillSearch = `
INSERT INTO messages (channel_id, id, author_id, type, content, payload, has)
SELECT 1000 + floor(` + "500 * random() ^ 1.6" + `)::bigint, $3::bigint + n * $4::bigint, 100000 + floor(2000 * random() ^ 2)::bigint, 0, w.content,
	convert_to('{"id":"' || n || '","type":0,"author":{"id":"100000","username":"somebody"},"attachments":[],"embeds":[]}', 'UTF8'), (random() < 0.05)::int
FROM generate_series($1::bigint, $2::bigint) n
CROSS JOIN LATERAL (
	SELECT string_agg('w' || floor(5000 * random() ^ 3)::int, ' ') AS content
	FROM generate_series(1, 12 + 0 * n)
) w`

// world opens the schema of the 3.7 million messages. Its name is "" for one that is made and dropped; another one is kept, and used again.
func world(ctx context.Context, database, name string, messages int) (s *store.Store, db *sql.DB, end func(), err error) {
	if name == "" {
		s, db, end, err = emptySchema(ctx, database)
	} else {
		s, db, end, err = openSchema(ctx, database, name)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	var filled bool
	if err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM messages)`).Scan(&filled); err == nil && !filled {
		err = fill(ctx, db, messages)
	}
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return s, db, end, nil
}

func fill(ctx context.Context, db *sql.DB, messages int) error {
	const span = 35 * 24 * time.Hour
	oldest := int64(tidings.FirstID(time.Now().Add(-span)))
	step := (int64(tidings.FirstID(time.Now())) - oldest) / int64(messages)
	began := time.Now()
	for _, text := range []string{
		`INSERT INTO guilds (id, name) VALUES (1, 'bench')`,
		`INSERT INTO channels (id, guild_id, type, name) SELECT 1000 + c, 1, 0, 'c' FROM generate_series(0, 499) c`,
		// The index is made at the end, as a whole: filling it row by row takes several times as long and gives the same.
		`DROP INDEX messages_words`,
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	const part = 100_000
	for n := 0; n < messages; n += part {
		if _, err := db.ExecContext(ctx, fillSearch, n, min(n+part, messages)-1, oldest, step); err != nil {
			return err
		}
	}
	for _, text := range append([]string{`INSERT INTO live_buckets SELECT channel_id, ((id >> 22) / 86400000)::int, count(*) FROM messages GROUP BY 1, 2`,
		`CREATE INDEX messages_words ON messages USING gin (words)`, `VACUUM ANALYZE messages`}, fillReading...) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%.60s: %w", text, err)
		}
	}
	_, _ = db.ExecContext(ctx, `CHECKPOINT`) // Who may not has it while something is measured.
	fmt.Fprintf(os.Stderr, "%d messages in %v\n", messages, time.Since(began).Round(time.Second))
	return nil
}

// everything is what somebody sees who may see all of it.
func everything() *tidings.VisibleSet {
	set := &tidings.VisibleSet{User: 7, Guilds: []tidings.VisibleGuild{{Guild: tidings.Guild{ID: 1}}}}
	for c := range searchChannels {
		set.Guilds[0].Channels = append(set.Guilds[0].Channels, tidings.Channel{ID: discord.ChannelID(1000 + c), Guild: 1})
	}
	return set
}

// searching measures how long searches take that somebody does who may see everything.
func searching(r *report, s *store.Store, set *tidings.VisibleSet) error {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		text func(i int) string
	}{
		{"common_word", func(i int) string { return fmt.Sprintf("w%d", i) }},
		{"two_common_words", func(i int) string { return fmt.Sprintf("w%d w%d", i, i+7) }},
		{"common_phrase", func(i int) string { return fmt.Sprintf(`"w%d w%d"`, i%10, (i+3)%10) }},
		{"common_word_of_an_author", func(i int) string { return fmt.Sprintf("w%d from:%d", i, 100_000+i) }},
		{"rare_word", func(i int) string { return fmt.Sprintf("w%d", searchWords-1-i) }},
		{"rare_pair", func(i int) string { return fmt.Sprintf("w%d w%d", 2000+i, 3000+i) }},
	} {
		var took []float64
		var last store.FeedPage
		for round := range searchRounds {
			for i := range 50 {
				q, err := store.ParseSearch(c.text(i))
				if err != nil {
					return err
				}
				began := time.Now()
				if last, err = s.Search(ctx, set, q, "", 25); err != nil {
					return err
				}
				if round > 0 { // The first round warms up.
					took = append(took, float64(time.Since(began).Microseconds())/1000)
				}
			}
		}
		slices.Sort(took)
		p95 := took[len(took)*95/100]
		fmt.Fprintf(os.Stderr, "search %s: median %.1f ms, p95 %.1f ms, p99 %.1f ms, most %.1f ms, %d found last\n", c.name, took[len(took)/2], p95, took[len(took)*99/100], took[len(took)-1], len(last.Messages))
		r.add("search_p95_ms_"+c.name, []float64{p95})
	}
	return nil
}
