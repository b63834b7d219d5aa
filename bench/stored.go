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

// piling measures what one message costs on its whole way, from the gateway to the sockets of ten readers, as they come on any day and are
// committed one by one, and what the service holds, as stored messages grow.
func piling(r *report, database, redis string, rounds, stored int) error {
	const readers, said, rate = 10, 300, 50
	ctx := context.Background()
	sizes := storedSizes(stored)
	costs, memory := newCurve("line_messages", "cpu_us", sizes...), newCurve("memory_stored", "mb", sizes...)
	stretches := map[int]*stretch{}
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
		if master, err = postmaster(ctx, db); err != nil {
			return err
		}
		if err := pile(ctx, db, uint64(tidings.FirstID(time.Now())), n); err != nil {
			return fmt.Errorf("make %d messages: %w", n, err)
		}
	}
	for _, n := range sizes { // readers whom nobody tells anything for minutes are let go
		if err := stretches[n].join(readers); err != nil {
			return err
		}
		// What goes through fills whatever is kept of it.
		if _, err := stretches[n].run(said, rate, readers); err != nil {
			return err
		}
	}
	for round := range rounds {
		for i := range sizes {
			n := sizes[(i+round)%len(sizes)]
			s := stretches[n]
			var before, after serverReport
			if err := s.p.server.ask(serverOrder{Do: "cpu"}, &before); err != nil {
				return err
			}
			theirs := family(master)
			if _, err := s.run(said, rate, readers); err != nil {
				return fmt.Errorf("%d stored: %w", n, err)
			}
			theirs = family(master) - theirs
			if err := s.p.server.ask(serverOrder{Do: "cpu"}, &after); err != nil {
				return err
			}
			mb, err := s.resident()
			if err != nil {
				return err
			}
			own := after.CPU - before.CPU
			fmt.Fprintf(os.Stderr, "growth round %d, %8d stored: %.0f µs CPU a message and %.0f of Postgres, %.1f MB\n", round+1, n, own/said*1e6, theirs/said*1e6, mb)
			costs.costs[n] = append(costs.costs[n], (own+theirs)/said*1e6)
			memory.costs[n] = append(memory.costs[n], mb)
		}
	}
	costs.add(r)
	memory.add(r)
	return nil
}
