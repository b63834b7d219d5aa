package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// sample is one measured run of one server.
type sample struct {
	cpu      float64 // microseconds of the server's CPU for one delivery
	p50, p99 float64 // milliseconds from publish to the reader
	rate     float64 // deliveries a second
}

// fanoutCase is one load for all servers.
type fanoutCase struct {
	name  string
	conns int
	rate  float64 // messages a second; 0 for as fast as it goes
	burst int
	ms    int
	most  int
}

var fanoutCases = []fanoutCase{
	{name: "1000x20", conns: 1000, rate: 20, ms: 3000},
	{name: "1000x100", conns: 1000, rate: 100, ms: 2000},
	{name: "1000x20_bursts_of_10", conns: 1000, rate: 20, burst: 10, ms: 3000},
}

var kinds = []string{"tidings", "centrifuge", "floor"}

func bench(redis, database, schema, only string, rounds int) error {
	r := newReport(rounds)
	wanted := func(name string) bool { return only == "" || strings.Contains(name, only) }
	if wanted("idle") {
		if err := idle(r, redis); err != nil {
			return err
		}
	}
	if wanted("fanout") {
		if err := fanout(r, redis, rounds); err != nil {
			return err
		}
	}
	if wanted("decode") {
		if err := decode(r, rounds); err != nil {
			return err
		}
	}
	if wanted("ingest") {
		if err := ingesting(r, database, rounds); err != nil {
			return err
		}
	}
	if wanted("pages") {
		if err := firstPages(r, database, redis, rounds); err != nil {
			return err
		}
	}
	if wanted("writes") {
		if err := writing(r, database, rounds); err != nil {
			return err
		}
	}
	if wanted("search") || wanted("summary") {
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
			if err := summarizing(r, s, db, everything()); err != nil {
				return err
			}
		}
	}
	return r.write()
}

// fanout connects the same readers to each server and gives all of them the same load in turns, each round in another order.
func fanout(r *report, redis string, rounds int) error {
	pairs := map[string]*pair{}
	defer func() {
		for _, p := range pairs {
			p.stop()
		}
	}()
	for _, k := range kinds {
		p, err := connect(k, redis, fanoutCases[0].conns, k)
		if err != nil {
			return err
		}
		pairs[k] = p
	}
	for _, c := range fanoutCases {
		got := map[string][]sample{}
		for round := range rounds {
			for i := range kinds {
				k := kinds[(i+round)%len(kinds)]
				s, err := pairs[k].run(c)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", c.name, k, err)
				}
				fmt.Fprintf(os.Stderr, "fanout %-22s round %d %-10s %6.2f µs CPU a delivery, p50 %6.2f ms, p99 %6.2f ms\n", c.name, round+1, k, s.cpu, s.p50, s.p99)
				got[k] = append(got[k], s)
			}
		}
		per := func(a, b string, f func(sample) float64) []float64 {
			var out []float64
			for i := range rounds {
				out = append(out, f(got[a][i])/f(got[b][i]))
			}
			return out
		}
		spent := func(s sample) float64 { return s.cpu }
		late := func(s sample) float64 { return s.p99 }
		r.add("fanout_cpu_vs_centrifuge_redis_"+c.name, per("tidings", "centrifuge", spent))
		r.add("fanout_cpu_vs_floor_"+c.name, per("tidings", "floor", spent))
		r.add("fanout_p99_vs_centrifuge_redis_"+c.name, per("tidings", "centrifuge", late))
	}
	return nil
}

// run gives a server one load, and fails when a reader has missed something.
func (p *pair) run(c fanoutCase) (sample, error) {
	var cr clientReport
	if err := p.clients.ask(clientOrder{Do: "reset"}, &cr); err != nil {
		return sample{}, err
	}
	var before, after, sr serverReport
	if err := p.server.ask(serverOrder{Do: "cpu"}, &before); err != nil {
		return sample{}, err
	}
	if err := p.server.ask(serverOrder{Do: "publish", Rate: c.rate, Burst: c.burst, MS: c.ms, Most: c.most}, &sr); err != nil {
		return sample{}, err
	}
	if sr.Err != "" {
		return sample{}, fmt.Errorf("publish: %s", sr.Err)
	}
	want := sr.Published * c.conns
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := p.clients.ask(clientOrder{Do: "stats"}, &cr); err != nil {
			return sample{}, err
		}
		if cr.Seen == want {
			break
		}
		if time.Now().After(deadline) {
			return sample{}, fmt.Errorf("%d of %d deliveries came", cr.Seen, want)
		}
	}
	// Until the last reader has the last message, so that nothing that was put off is left out.
	if err := p.server.ask(serverOrder{Do: "cpu"}, &after); err != nil {
		return sample{}, err
	}
	return sample{cpu: (after.CPU - before.CPU) / float64(want) * 1e6, p50: cr.P50, p99: cr.P99, rate: float64(want) / sr.Took}, nil
}

// idle measures what a silent reader costs: the growth of the server's resident memory from 1 to 10,000 readers.
func idle(r *report, redis string) error {
	size := func(n int) (int64, error) {
		p, err := connect("tidings", redis, n, "tidings-idle")
		if err != nil {
			return 0, err
		}
		defer p.stop()
		var m serverReport
		err = p.server.ask(serverOrder{Do: "memory"}, &m)
		return m.RSS, err
	}
	var kb []float64
	for range 3 {
		few, err := size(1)
		if err != nil {
			return err
		}
		many, err := size(10_000)
		if err != nil {
			return err
		}
		kb = append(kb, float64(many-few)/9_999/1024)
		fmt.Fprintf(os.Stderr, "idle %.2f KB a connection\n", kb[len(kb)-1])
	}
	r.add("idle_kb_per_conn_10000", kb)
	return nil
}
