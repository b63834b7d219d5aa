package main

import "strings"

func bench(redis, database, schema, only string, rounds int) error {
	r := newReport(rounds)
	wanted := func(name string) bool {
		return only == "" || strings.Contains(name, only) || strings.HasPrefix(only, name)
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"idle", func() error { return idle(r, redis) }},
		{"handshake", func() error { return handshakes(r, redis, rounds) }},
		{"levels", func() error { return levels(r, redis, rounds) }},
		{"compression", func() error { return compression(r, redis, rounds) }},
		{"stalled", func() error { return stalled(r, redis, rounds) }},
		{"decode", func() error { return decode(r, rounds) }},
		{"ingest", func() error { return ingesting(r, database, rounds) }},
		{"cache", func() error { return firstPages(r, database, redis, rounds) }},
		{"writes", func() error { return writing(r, database, rounds) }},
	} {
		if wanted(part.name) {
			if err := part.run(); err != nil {
				return err
			}
		}
	}
	if wanted("search") || wanted("summary") {
		if err := reading(r, database, schema, wanted); err != nil {
			return err
		}
	}
	if err := fanouts(r, redis, rounds, func(name string) bool { return only == "" || strings.Contains(name, only) }); err != nil {
		return err
	}
	return r.write()
}
