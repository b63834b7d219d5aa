package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"time"

	"tidings"
)

// storedSizes are how many messages are stored before each of the growing cases: the thousandfold of 1, 10 and so on, up to stored.
func storedSizes(stored int) []int {
	sizes := []int{1000}
	for n := 10_000; n <= stored; n *= 10 {
		sizes = append(sizes, n)
	}
	return sizes
}

// pile replaces what is stored by n messages of the last 20 days before the id until, in the channels that there are. Indexes are made
// afterwards: that takes a fraction of the time.
func pile(ctx context.Context, db *sql.DB, until uint64, n int) error {
	exec := func(q string) error {
		_, err := db.ExecContext(ctx, q)
		return err
	}
	if err := exec(`TRUNCATE messages, live_buckets`); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'messages' AND indexname <> 'messages_pkey'`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names, makes []string
	for rows.Next() {
		var name, def string
		if err := rows.Scan(&name, &def); err != nil {
			return err
		}
		names, makes = append(names, name), append(makes, def)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	first := until - 20*24*3600*1000<<22
	var steps []string
	for _, name := range names {
		steps = append(steps, `DROP INDEX `+name)
	}
	steps = append(steps,
		`INSERT INTO messages (channel_id, id, author_id, type, content, payload)
		 SELECT c.ids[1 + g % c.n], `+strconv.FormatUint(first, 10)+` + ((`+strconv.FormatUint(until-first, 10)+`::numeric / `+strconv.Itoa(n)+`) * g)::bigint, `+speakerSQL("g % c.n")+`, 0,
		        `+chatterSQL("g")+`, convert_to(repeat('{"a":"b"}', 20), 'UTF8')
		 FROM generate_series(0, `+strconv.Itoa(n-1)+`) g, (SELECT array_agg(id ORDER BY id) AS ids, count(*)::int AS n FROM channels WHERE type = 0) c`)
	steps = append(steps, makes...)
	steps = append(steps,
		`INSERT INTO live_buckets (channel_id, day, n) SELECT channel_id, (id >> 22) / 86400000, count(*) FROM messages GROUP BY 1, 2`,
		`UPDATE channels c SET last_live_id = m.newest, last_seen_id = greatest(c.last_seen_id, m.newest), version = c.version + m.n
		 FROM (SELECT channel_id, max(id) AS newest, count(*) AS n FROM messages GROUP BY 1) m WHERE m.channel_id = c.id`,
		`VACUUM ANALYZE messages`, `VACUUM ANALYZE channels`)
	for _, q := range steps {
		if err := exec(q); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	_ = exec(`CHECKPOINT`) // Who may not has it come in the midst of a round, which then stands out.
	return nil
}

// pace is how fast so many messages come. The index of words puts off some ten thousand of them, and works them in together: less than that
// would pay for too much of it, or for none.
type pace struct {
	name       string
	said, rate int
	worked     bool // with the work that the index of words puts off
}

// On any day each message is committed when it comes; in the busiest of communities some share a commit.
var paces = []pace{{"", 300, 50, false}, {"_1000_a_second", 10_000, 1000, true}}

// piling measures what one message costs on its whole way, from the gateway to the sockets of ten readers, and what the service holds, as stored
// messages grow.
func piling(r *report, database, redis string, rounds, stored int) error {
	const readers = 10
	ctx := context.Background()
	sizes := storedSizes(stored)
	memory := newCurve("memory_stored", "mb", sizes...)
	costs := make([]*curve, len(paces))
	for i, p := range paces {
		costs[i] = newCurve("line_messages"+p.name, "cpu_us", sizes...)
	}
	stretches, tables := map[int]*stretch{}, map[int]*sql.DB{}
	master := 0
	for _, n := range sizes {
		u, db, drop, err := ownSchema(ctx, database)
		if err != nil {
			return err
		}
		defer drop()
		if stretches[n], err = newQuietStretch(u, redis, readers); err != nil {
			return err
		}
		defer stretches[n].stop()
		tables[n] = db
		if master, err = postmaster(ctx, db); err != nil {
			return err
		}
		if err := pile(ctx, db, uint64(tidings.FirstID(time.Now())), n); err != nil {
			return fmt.Errorf("make %d messages: %w", n, err)
		}
	}
	for _, n := range sizes {
		if err := stretches[n].join(readers); err != nil {
			return err
		}
	}
	for k, p := range paces {
		spent := func(n int) (own, theirs float64, err error) {
			if err := awake(stretches); err != nil {
				return 0, 0, err
			}
			own, theirs, err = stretches[n].spent(ctx, tables[n], master, p, readers)
			if err != nil {
				err = fmt.Errorf("%d stored: %w", n, err)
			}
			return own, theirs, err
		}
		for _, n := range sizes { // what goes through fills whatever is kept of it
			if _, _, err := spent(n); err != nil {
				return err
			}
		}
		for round := range rounds {
			for i := range sizes {
				n := sizes[(i+round)%len(sizes)]
				own, theirs, err := spent(n)
				if err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "growth round %d, %8d stored, %4d a second: %.0f µs CPU a message and %.0f of Postgres\n", round+1, n, p.rate, own, theirs)
				costs[k].costs[n] = append(costs[k].costs[n], own+theirs)
				if k > 0 {
					continue // how much was said in the last minutes would be seen in what is held
				}
				mb, err := stretches[n].resident()
				if err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "growth round %d, %8d stored: %.1f MB\n", round+1, n, mb)
				memory.costs[n] = append(memory.costs[n], mb)
			}
		}
		costs[k].add(r)
	}
	memory.add(r)
	return nil
}

// awake has all readers answer a ping: who is silent for a minute is let go.
func awake(of map[int]*stretch) error {
	for _, s := range of {
		var cr clientReport
		if s.p.readers == 0 {
			continue // not there yet
		}
		if err := s.p.clients.ask(clientOrder{Do: "reset"}, &cr); err != nil {
			return err
		}
	}
	return nil
}

// spent has messages said and come, and returns the processor time that one of them took the service and Postgres, in microseconds.
func (s *stretch) spent(ctx context.Context, db *sql.DB, master int, p pace, readers int) (own, theirs float64, err error) {
	work := func() error {
		if !p.worked {
			return nil
		}
		_, err := db.ExecContext(ctx, `SELECT gin_clean_pending_list('messages_words')`)
		return err
	}
	if err := work(); err != nil { // of what came before
		return 0, 0, err
	}
	var before, after serverReport
	if err := s.p.server.ask(serverOrder{Do: "cpu"}, &before); err != nil {
		return 0, 0, err
	}
	theirs = family(master)
	if _, err := s.run(p.said, float64(p.rate), readers); err != nil {
		return 0, 0, err
	}
	if err := work(); err != nil {
		return 0, 0, err
	}
	theirs = family(master) - theirs
	if err := s.p.server.ask(serverOrder{Do: "cpu"}, &after); err != nil {
		return 0, 0, err
	}
	each := 1e6 / float64(p.said)
	return (after.CPU - before.CPU) * each, theirs * each, nil
}
