package main

import (
	"errors"
	"slices"
	"strings"
)

func bench(redis, database, schema, only string, rounds, stored int, dry bool) error {
	r := newReport(rounds)
	wanted := func(name string) bool {
		return only == "" || slices.ContainsFunc(strings.Split(only, ","), func(o string) bool {
			exact, whole := strings.CutSuffix(o, "$")
			return whole && name == exact || !whole && strings.Contains(name, o)
		})
	}
	var failed error
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"idle", func() error { return idle(r, redis, rounds) }},
		{"handshake", func() error { return handshakes(r, redis, rounds) }},
		{"levels", func() error { return levels(r, redis, rounds) }},
		{"compression", func() error { return compression(r, redis, rounds) }},
		{"stalled", func() error { return stalled(r, redis, rounds) }},
		{"storm", func() error { return storm(r, redis, database) }},
		{"decode", func() error { return decode(r, rounds) }},
		{"ingest", func() error { return ingesting(r, database, rounds) }},
		{"whole", func() error { return wholeLine(r, database, redis, rounds) }},
		{"latency", func() error { return latency(r, database, redis, rounds) }},
		{"growth_recording", func() error { return growing(r, database, rounds, stored) }},
		{"growth_line", func() error { return spreading(r, database, redis, rounds) }},
		{"growth_stored", func() error { return piling(r, database, redis, rounds, stored) }},
		{"growth_memory", func() error { return remembering(r, database, redis, rounds) }},
		{"cache", func() error { return firstPages(r, database, redis, rounds) }},
		{"writes", func() error { return writing(r, database, rounds) }},
	} {
		if wanted(part.name) {
			failed = errors.Join(failed, part.run())
		}
	}
	if wanted("search") || wanted("summary") {
		failed = errors.Join(failed, reading(r, database, schema, wanted))
	}
	failed = errors.Join(failed, fanouts(r, redis, rounds, wanted))
	if dry {
		return failed
	}
	return errors.Join(failed, r.write()) // what was measured is kept
}
