package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sample is one measured run of one server.
type sample struct {
	cpu            float64 // microseconds of the server's CPU for one delivery
	p50, p99, p999 float64 // milliseconds from publish to the reader
	rate           float64 // deliveries a second
	bytes          float64 // for one delivery, websocket headers included
	each           float64 // deliveries with one write
	theirs         float64 // microseconds of the readers' CPU for one delivery
}

// fanoutCase is one load for all servers.
type fanoutCase struct {
	name  string
	conns int
	rate  float64 // messages a second; 0 for as fast as it goes
	burst int
	ms    int
	// channel puts all messages into the first one.
	channel bool
	window  time.Duration // of ours
	kinds   []string      // nil for all three with Redis
}

const (
	usual  = 5 * time.Millisecond
	widest = 10 * time.Millisecond
)

var fanoutCases = []fanoutCase{
	{name: "1000x20", conns: 1000, rate: 20, ms: 6000, window: usual},
	{name: "1000x100", conns: 1000, rate: 100, ms: 2000, window: widest},
	{name: "1000x100_window_5ms", conns: 1000, rate: 100, ms: 2000, window: usual},
	{name: "1000x20_bursts_of_10", conns: 1000, rate: 20, burst: 10, ms: 3000, window: usual},
	{name: "max_1000", conns: 1000, ms: 2000, window: usual},
	{name: "5000x20", conns: 5000, rate: 20, ms: 3000, window: usual},
	{name: "max_5000", conns: 5000, ms: 2000, window: usual},
	{name: "10000x20", conns: 10_000, rate: 20, ms: 2000, window: usual},
	{name: "1000x20_beside_memory", conns: 1000, rate: 20, ms: 3000, window: usual, kinds: []string{"tidings-memory", "centrifuge-memory"}},
}

var kinds = []string{"tidings", "centrifuge", "floor"}

// fanouts runs the wanted cases. Servers and readers stay for the cases that follow one another with the same number of readers.
func fanouts(r *report, redis string, rounds int, wanted func(string) bool) error {
	pairs := map[string]*pair{}
	stop := func() {
		for _, p := range pairs {
			p.stop()
		}
		clear(pairs)
	}
	defer stop()
	last := ""
	var failed error
	for _, c := range fanoutCases {
		if !wanted("fanout_" + c.name) {
			continue
		}
		if c.kinds == nil {
			c.kinds = kinds
		}
		if setting := fmt.Sprint(c.conns, c.window, c.kinds); setting != last {
			stop()
			last = setting
		}
		for _, k := range c.kinds {
			if pairs[k] != nil {
				continue
			}
			p, err := connect(serverConfig{Kind: k, Redis: redis, Users: c.conns, Window: c.window}, c.conns, "")
			if err != nil {
				return err
			}
			pairs[k] = p
		}
		if err := fanout(r, pairs, c, rounds); err != nil {
			failed = errors.Join(failed, err)
			stop() // what is behind would be so in the next case too
		}
	}
	return failed
}

// fanout gives all servers the same load in turns, each round in another order.
func fanout(r *report, pairs map[string]*pair, c fanoutCase, rounds int) error {
	got := map[string][]sample{}
	for round := range rounds {
		for i := range c.kinds {
			k := c.kinds[(i+round)%len(c.kinds)]
			s, err := pairs[k].run(c)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", c.name, k, err)
			}
			fmt.Fprintf(os.Stderr, "fanout %-22s round %d %-17s %6.2f µs CPU and %4.0f bytes a delivery, %5.2f a write, %8.0f a second, p50 %6.2f p99 %6.2f p99.9 %6.2f ms; %.2f µs of the readers\n",
				c.name, round+1, k, s.cpu, s.bytes, s.each, s.rate, s.p50, s.p99, s.p999, s.theirs)
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
	later := func(s sample) float64 { return s.p999 }
	fast := func(s sample) float64 { return s.rate }
	if len(c.kinds) == 2 {
		r.add("fanout_cpu_vs_centrifuge_memory_1000x20", per(c.kinds[0], c.kinds[1], spent))
		return nil
	}
	if c.rate == 0 {
		r.add(fmt.Sprintf("fanout_max_rate_vs_centrifuge_redis_%d", c.conns), per("tidings", "centrifuge", fast))
		r.add(fmt.Sprintf("fanout_max_rate_vs_floor_%d", c.conns), per("tidings", "floor", fast))
		r.add(fmt.Sprintf("fanout_cpu_vs_centrifuge_redis_%dxmax", c.conns), per("tidings", "centrifuge", spent))
		return nil
	}
	r.add("fanout_cpu_vs_centrifuge_redis_"+c.name, per("tidings", "centrifuge", spent))
	r.add("fanout_cpu_vs_floor_"+c.name, per("tidings", "floor", spent))
	r.add("fanout_p99_vs_centrifuge_redis_"+c.name, per("tidings", "centrifuge", late))
	r.add("fanout_p999_vs_centrifuge_redis_"+c.name, per("tidings", "centrifuge", later))
	return nil
}

// profiles is a folder in which each server leaves a CPU profile of its last load; "" for none.
var profiles string

// run gives a server one load, and fails when a reader has missed something.
func (p *pair) run(c fanoutCase) (sample, error) {
	var cr clientReport
	if err := p.clients.ask(clientOrder{Do: "reset"}, &cr); err != nil {
		return sample{}, err
	}
	idle := cr.CPU
	var before, after, sr serverReport
	if profiles != "" {
		file := filepath.Join(profiles, c.name+"."+p.kind+".pprof")
		if err := p.server.ask(serverOrder{Do: "profile", File: file}, &sr); err != nil {
			return sample{}, err
		}
	}
	if err := p.server.ask(serverOrder{Do: "cpu"}, &before); err != nil {
		return sample{}, err
	}
	began := time.Now()
	if err := p.server.ask(serverOrder{Do: "publish", Rate: c.rate, Burst: c.burst, MS: c.ms, One: c.channel}, &sr); err != nil {
		return sample{}, err
	}
	if sr.Err != "" {
		return sample{}, fmt.Errorf("publish: %s", sr.Err)
	}
	want := sr.Published * p.readers
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := p.clients.ask(clientOrder{Do: "count"}, &cr); err != nil {
			return sample{}, err
		}
		if cr.Seen == want {
			break
		}
		if time.Now().After(deadline) {
			return sample{}, fmt.Errorf("%d of %d deliveries came, %d connections were closed", cr.Seen, want, cr.Closed)
		}
	}
	took := time.Since(began).Seconds()
	// Until the last reader has the last message, so that nothing that was put off is left out.
	if err := p.server.ask(serverOrder{Do: "cpu"}, &after); err != nil {
		return sample{}, err
	}
	if profiles != "" {
		if err := p.server.ask(serverOrder{Do: "profile"}, &sr); err != nil {
			return sample{}, err
		}
	}
	if err := p.clients.ask(clientOrder{Do: "stats"}, &cr); err != nil {
		return sample{}, err
	}
	return sample{
		cpu: (after.CPU - before.CPU) / float64(want) * 1e6, p50: cr.P50, p99: cr.P99, p999: cr.P999, rate: float64(want) / took,
		bytes: float64(cr.Bytes) / float64(want), each: float64(want) / float64(cr.Pieces), theirs: (cr.CPU - idle) / float64(want) * 1e6,
	}, nil
}
