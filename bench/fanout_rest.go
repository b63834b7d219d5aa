package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// idleFor is how long connections have been silent when they are weighed: for ten seconds the hub keeps the snapshots of those who came, up
// to 32 MB in all, for whoever comes again.
const idleFor = 20 * time.Second

// idle measures what a silent reader costs: the growth of the server's resident memory from 1 to 10,000 readers, with 50 channels and with
// ten times as many.
func idle(r *report, redis string, rounds int) error {
	size := func(n, channels int) (float64, error) {
		p, err := connect(serverConfig{Kind: "tidings", Redis: redis, Users: n, Channels: channels}, n, "tidings-idle")
		if err != nil {
			return 0, err
		}
		defer p.stop()
		if n > 1 {
			time.Sleep(idleFor)
		}
		var m serverReport
		err = p.server.ask(serverOrder{Do: "memory"}, &m)
		return float64(m.RSS), err
	}
	const many, more = 10_000, 10 * channels
	var kb, each []float64
	for range rounds {
		var at [4]float64
		for i, c := range [][2]int{{1, channels}, {many, channels}, {1, more}, {many, more}} {
			var err error
			if at[i], err = size(c[0], c[1]); err != nil {
				return err
			}
		}
		few, lot := (at[1]-at[0])/(many-1), (at[3]-at[2])/(many-1)
		kb = append(kb, few/1024)
		each = append(each, (lot-few)/(more-channels))
		fmt.Fprintf(os.Stderr, "idle %.2f KB a connection, %.1f bytes for each further channel\n", kb[len(kb)-1], each[len(each)-1])
	}
	r.add("idle_kb_per_conn_10000", kb)
	r.add("idle_bytes_per_further_channel", each)
	return nil
}

// handshakes compares the server's CPU for a connection until it has its first word, ours with its snapshot of 50 channels.
func handshakes(r *report, redis string, rounds int) error {
	const n = 2000
	var ratios []float64
	for round := range rounds {
		took := map[string]float64{}
		for i := range 2 {
			kind := kinds[(i+round)%2]
			readers := kind
			if kind == "tidings" {
				readers = "tidings-idle" // who asks for nothing
			}
			p, err := connect(serverConfig{Kind: kind, Redis: redis, Users: n}, 1, readers)
			if err != nil {
				return err
			}
			var before, after serverReport
			var up clientReport
			err = p.server.ask(serverOrder{Do: "cpu"}, &before)
			if err == nil {
				err = p.clients.ask(clientOrder{Do: "connect", Addr: p.addr, Kind: readers, N: n - 1, First: 1}, &up)
			}
			if err == nil {
				err = p.server.ask(serverOrder{Do: "cpu"}, &after)
			}
			p.stop()
			if err != nil || up.Err != "" {
				return fmt.Errorf("handshakes with %s: %v %s", kind, err, up.Err)
			}
			took[kind] = (after.CPU - before.CPU) / (n - 1)
			fmt.Fprintf(os.Stderr, "handshake round %d %-10s %.0f µs CPU\n", round+1, kind, took[kind]*1e6)
		}
		ratios = append(ratios, took["tidings"]/took["centrifuge"])
	}
	r.add("handshake_cpu_vs_centrifuge", ratios)
	return nil
}

// levels gives messages to 5,000 readers of whom 50 watch the channel, and to the same when nobody does.
func levels(r *report, redis string, rounds int) error {
	const all, looking = 5000, 50
	watched, err := json.Marshal([]string{channelID(0).String()})
	if err != nil {
		return err
	}
	pairs := map[string]*pair{}
	for _, how := range []string{"some look", "nobody looks"} {
		p, err := connect(serverConfig{Kind: "tidings", Redis: redis, Users: all, Window: usual}, 0, "")
		if err != nil {
			return err
		}
		defer p.stop()
		p.readers = all
		n := 0
		if how == "some look" {
			n = looking
		}
		for _, o := range []clientOrder{{N: n, Watch: string(watched)}, {N: all - n, First: n, Watch: "none"}} {
			var up clientReport
			o.Do, o.Addr, o.Kind = "connect", p.addr, "tidings"
			if err := p.clients.ask(o, &up); err != nil || up.Err != "" {
				return fmt.Errorf("levels: %v %s", err, up.Err)
			}
		}
		pairs[how] = p
	}
	var ratios []float64
	for round := range rounds {
		took := map[string]sample{}
		for i := range 2 {
			how := []string{"some look", "nobody looks"}[(i+round)%2]
			s, err := pairs[how].run(fanoutCase{name: "levels", rate: 20, ms: 2500, channel: true})
			if err != nil {
				return fmt.Errorf("levels: %w", err)
			}
			took[how] = s
			fmt.Fprintf(os.Stderr, "levels round %d, %s: %.2f µs CPU and %.0f bytes a delivery\n", round+1, how, s.cpu, s.bytes)
		}
		ratios = append(ratios, took["some look"].cpu/took["nobody looks"].cpu)
	}
	r.add("message_50_of_5000_look_vs_deltas_alone", ratios)
	return nil
}

// compression compares readers who accept compressed frames with readers who do not.
func compression(r *report, redis string, rounds int) error {
	const n = 1000
	pairs := map[string]*pair{}
	for _, k := range []string{"tidings", "tidings-packed"} {
		p, err := connect(serverConfig{Kind: "tidings", Redis: redis, Users: n, Window: usual}, n, k)
		if err != nil {
			return err
		}
		defer p.stop()
		pairs[k] = p
	}
	var cpus, sizes []float64
	for round := range rounds {
		took := map[string]sample{}
		for i := range 2 {
			k := []string{"tidings", "tidings-packed"}[(i+round)%2]
			s, err := pairs[k].run(fanoutCase{name: "compression", rate: 20, ms: 3000})
			if err != nil {
				return fmt.Errorf("compression: %w", err)
			}
			took[k] = s
			fmt.Fprintf(os.Stderr, "compression round %d %-14s %.2f µs CPU and %.0f bytes a delivery\n", round+1, k, s.cpu, s.bytes)
		}
		cpus = append(cpus, took["tidings-packed"].cpu/took["tidings"].cpu)
		sizes = append(sizes, took["tidings-packed"].bytes/took["tidings"].bytes)
	}
	r.add("compression_cpu_vs_plain", cpus)
	r.add("compression_bytes_vs_plain", sizes)
	return nil
}

// stalled compares the latency of 950 readers while 50 others read nothing with the same while those read.
func stalled(r *report, redis string, rounds int) error {
	const good, lazy = 950, 50
	var late, grown []float64
	for round := range rounds {
		p, err := connect(serverConfig{Kind: "tidings", Redis: redis, Users: good + lazy, Window: usual}, good, "tidings")
		if err != nil {
			return err
		}
		var up clientReport
		var before, after serverReport
		load := fanoutCase{name: "stalled", rate: 100, ms: 8000} // what stalls is past what the kernel takes and what may wait
		both := map[string]sample{}
		err = p.clients.ask(clientOrder{Do: "connect", Addr: p.addr, Kind: "tidings", N: lazy, First: good, Lazy: true}, &up)
		for i := 0; i < 2 && err == nil; i++ {
			how := []string{"go on", "stall"}[i]
			if err = p.clients.ask(clientOrder{Do: how}, &up); err != nil {
				break
			}
			if err = p.server.ask(serverOrder{Do: "memory"}, &before); err != nil {
				break
			}
			if both[how], err = p.run(load); err != nil {
				break
			}
			err = p.server.ask(serverOrder{Do: "memory"}, &after)
		}
		p.stop()
		if err != nil || up.Err != "" {
			return fmt.Errorf("stalled: %v %s", err, up.Err)
		}
		late = append(late, both["stall"].p99/both["go on"].p99)
		grown = append(grown, float64(after.RSS-before.RSS)/1024/lazy)
		fmt.Fprintf(os.Stderr, "stalled round %d: p99 %.2f ms, %.2f while 5%% of the readers are stalled; %.0f KB more for each\n", round+1, both["go on"].p99, both["stall"].p99, grown[len(grown)-1])
	}
	r.add("stalled_5_percent_p99_vs_none", late)
	r.add("stalled_kb_for_each", grown)
	return nil
}
