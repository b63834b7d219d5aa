package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// figure is one result over the rounds of a run.
type figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

type report struct {
	rounds  int
	figures map[string]figure
}

func newReport(rounds int) *report { return &report{rounds, map[string]figure{}} }

func (r *report) add(name string, all []float64) {
	s := slices.Sorted(slices.Values(all))
	median := s[len(s)/2]
	if len(s)%2 == 0 {
		median = (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	f := figure{round(median), round(s[0]), round(s[len(s)-1]), len(s)}
	r.figures[name] = f
	fmt.Printf("%-52s %8.3f  (%.3f to %.3f, n=%d)\n", name, f.Median, f.Min, f.Max, f.N)
}

func round(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// goals are the figures that were set beforehand; a figure that misses its goal says so.
var goals = map[string]float64{
	"fanout_cpu_vs_centrifuge_redis_1000x20": 0.62, "fanout_cpu_vs_floor_1000x20": 1.25, "fanout_cpu_vs_centrifuge_redis_1000x100": 0.45,
	"fanout_cpu_vs_centrifuge_redis_1000x20_bursts_of_10": 0.15, "fanout_p99_vs_centrifuge_redis_1000x20": 0.75, "idle_kb_per_conn_10000": 8,
	"fanout_cpu_vs_centrifuge_redis_5000x20": 0.62, "fanout_cpu_vs_floor_5000x20": 1.25, "idle_bytes_per_further_channel": 30,
	"handshake_cpu_vs_centrifuge": 0.25, "message_50_of_5000_look_vs_deltas_alone": 1.2, "compression_cpu_vs_plain": 1.05,
	"stalled_5_percent_p99_vs_none": 1.1, "reconnect_10000_resumed_s": 10, "reconnect_10000_resumed_postgres_cpu_s": 2, "reconnect_10000_snapshots_s": 10,
	"decode_cpu_vs_bare": 1, "search_p95_ms_common_word": 100, "search_p95_ms_two_common_words": 100,
	"summary_ms_24h": 5, "summary_ms_30d": 30, "write_cost_100000_vs_10_members": 1.1,
}

// rates are goals that a figure should reach or pass.
var rates = map[string]float64{
	"ingest_rate_vs_copy": 0.5, "first_page_cpu_postgres_vs_cache": 3, "fanout_max_rate_vs_centrifuge_redis_1000": 6, "fanout_max_rate_vs_centrifuge_redis_5000": 6,
	"ingest_events_per_second_whole": 8000,
}

// lineGoals are those of what comes in, from the gateway to the commit and on to the sockets.
var lineGoals = map[string]float64{
	"live_p99_vs_commit_plus_floor_100": 3, "growth_ingest_messages_1000000_vs_1000": 1.1, "growth_ingest_messages_10000000_vs_1000": 1.1,
	"growth_line_readers_exponent": 1, "growth_memory_connections_exponent": 1, "growth_memory_stored_1000000_vs_1000": 1.1,
	"growth_line_messages_1000000_vs_1000": 1.1, "growth_line_messages_10000000_vs_1000": 1.1,
	"growth_line_messages_1000_a_second_1000000_vs_1000": 1.1, "growth_line_messages_1000_a_second_10000000_vs_1000": 1.1, "growth_memory_stored_10000000_vs_1000": 1.1,
}

var meaning = []struct{ prefix, text string }{
	{"fanout_cpu_vs_centrifuge_redis", "CPU of our server process for one delivery, beside centrifuge v0.38.0's with its Redis broker"},
	{"fanout_cpu_vs_floor", "the same beside one write(2) of a prebuilt frame for each connection"},
	{"fanout_cpu_vs_centrifuge_memory", "both without Redis, as one process alone"},
	{"fanout_max_rate_vs", "deliveries a second when the next message is published as soon as the readers are less than 128 messages behind"},
	{"fanout_p99_vs_centrifuge_redis", "99th percentile from publish to read, beside centrifuge's; p999 is the 99.9th"},
	{"idle_kb_per_conn", "resident memory for one of 10,000 readers who have been silent for 20 s, in KB: session, access, 50 channels"},
	{"idle_bytes_per_further_channel", "what each further channel adds to that, from 50 to 500"},
	{"handshake_cpu_vs_centrifuge", "CPU of the server from a reader's connection to its first word, which with ours is a snapshot of 50 channels, beside centrifuge's with 50 subscriptions"},
	{"message_50_of_5000_look_vs_deltas_alone", "CPU of a message in a channel that 5,000 readers may see and 50 look at, beside the same when nobody looks"},
	{"compression_cpu_vs_plain", "CPU for a delivery to readers who accept compressed frames, beside readers who do not, at 1000x20; bytes likewise"},
	{"stalled_5_percent_p99_vs_none", "99th percentile of 950 readers while 50 others read nothing, beside the same while those read; 100 messages a second"},
	{"stalled_kb_for_each", "by how much the server's resident memory is more after that than before, divided by the stalled readers, in KB; it fell when below 0"},
	{"reconnect_10000", "10,000 readers of a process that was killed and started again come back at the same moment, with a change in each of their 50 channels meanwhile: seconds until the last has all of " +
		"them, or a snapshot, and Postgres' CPU for it; the readers are on the same two cores"},
	{"decode_cpu_vs_bare", "CPU for one event from the gateway's socket to what ingest would take, beside coder/websocket and encoding/json into a struct of the same fields"},
	{"search_p95_ms", "95th percentile in milliseconds of a search's first page, by somebody who may see all of 3.7 million messages of 35 days in 500 channels, warm; not a ratio, " +
		"so it says how loaded the machine was, too"},
	{"decode_cpu_vs_arikawa", "the same beside arikawa's session, without state"},
	{"decode_cpu_vs_discordgo", "beside discordgo, without state and with handlers in order"},
	{"decode_cpu_vs_disgo", "beside disgo's gateway, without the client's caches"},
	{"decode_bytes_vs", "bytes allocated for one event, beside the same four"},
	{"ingest_rate_vs_copy", "events committed a second, beside COPY of the same rows into the same table by one connection; in 50 channels where no number is named"},
	{"ingest_rate_vs_single_inserts", "the same beside one INSERT a transaction, by one connection"},
	{"ingest_events_per_second_whole", "the real chat of 63,941 messages through everything there is, over one gateway connection: the simulated Discord, the service with all " +
		"of its roles, Postgres and Redis, each a process of its own on this machine; events a second from the first that is said to the last that is committed"},
	{"live_p99_vs_commit_plus_floor", "99th percentile from the simulator's send to a reader's socket at so many messages a second and 1,000 readers, beside the sum of those of one " +
		"INSERT with its commit and of the floor's bare writes to as many sockets"},
	{"live_p99_ms", "the two sides of that ratio, in milliseconds"},
	{"growth_ingest_channels", "processor time for recording one message, the service's and Postgres' together, in microseconds, as channels grow"},
	{"growth_ingest_messages", "the same as fast as it goes, many to a commit, as stored messages grow"},
	{"growth_line_readers", "processor time of the service for one message as readers grow"},
	{"growth_line_messages", "processor time for one message on its whole way, from the gateway to the sockets of ten readers, the service's and Postgres' together, at 50 a second, each committed when it comes, or as said 10,000 at 1,000 a second, some to a commit, with the work of the index of words, as stored messages grow"},
	{"growth_memory_connections", "resident memory of the service in MB as connections grow"},
	{"growth_memory_stored", "the same as stored messages grow, with ten readers"},
	{"growth_", "where a name ends in exponent, the slope on logarithmic scales: 0 is flat, 1 is linear"},
	{"summary_ms", "milliseconds until all counts of 500 channels are there, over the same messages, for somebody who is so far behind in all of them (or in 50, and has read the others) and " +
		"asks for the first time, of a process that others have asked; `_again` for who has asked before and nothing has moved, `_after_50_messages` when a message has come in 50 of the channels since anybody asked, " +
		"`_after_a_start` for the first person whom a process answers; not a ratio either"},
	{"first_page_cpu_postgres_vs_cache", "CPU of this process, Postgres and Redis for the newest 50 messages of a channel, read from Postgres, beside those that Redis has; more is better"},
	{"write_cost_members_exponent", "the slope of the next on logarithmic scales, 0 is flat"},
	{"write_cost_100000_vs_10_members", "time to record one message where 100,000 members have signed in and read, beside where 10 have"},
}

// write keeps the figures of cases that did not run this time.
func (r *report) write() error {
	const name = "results.json"
	all := map[string]figure{}
	if b, err := os.ReadFile(name); err == nil {
		if err := json.Unmarshal(b, &all); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	maps.Copy(all, r.figures)
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile("../docs/BENCHMARKS.md", []byte(page(all)), 0o644)
}

func page(all map[string]figure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\n`make bench` runs what is compared side by side: each round gives every server the same load in turn, each round in another\n"+
		"order, and a figure is the ratio within a round. Only these ratios mean something: on another machine, or beside other work, all\nfigures are others. "+
		"Servers and readers are processes of their own, on the same machine; what the readers spend is not counted.\nLower is better unless it says rate or per_second.\n"+
		"`cd bench && go run . -only NAME` measures one of: idle, fanout, decode, ingest, whole, latency, growth_recording, growth_line,\ngrowth_stored, growth_memory, cache, writes, search, summary; figures of the others stay as they were.\n\n")
	fmt.Fprintf(&b, "Last run: %s, %s, %d CPUs, %s/%s, %s", time.Now().UTC().Format("2006-01-02"), cpuName(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, want := range []string{"centrifugal/centrifuge", "coder/websocket", "redis/go-redis", "redis/rueidis", "lib/pq", "diamondburned/arikawa", "bwmarrin/discordgo", "disgoorg/disgo"} {
				if strings.Contains(d.Path, want) {
					fmt.Fprintf(&b, ", %s %s", d.Path, d.Version)
				}
			}
		}
	}
	b.WriteString(".\n\n| figure | median | least | most | rounds | goal |\n|---|---|---|---|---|---|\n")
	for _, n := range slices.Sorted(maps.Keys(all)) {
		f := all[n]
		goal := ""
		if g, ok := rates[n]; ok {
			goal = fmt.Sprintf("≥ %g", g)
			if f.Median < g {
				goal += ", missed"
			}
		}
		g, ok := goals[n]
		if !ok {
			g, ok = lineGoals[n]
		}
		if ok {
			goal = fmt.Sprintf("≤ %g", g)
			if f.Median > g {
				goal += ", missed"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %.3g | %.3g | %.3g | %d | %s |\n", n, f.Median, f.Min, f.Max, f.N, goal)
	}
	b.WriteString("\n")
	for _, m := range meaning {
		if slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(n string) bool { return strings.HasPrefix(n, m.prefix) }) {
			fmt.Fprintf(&b, "- `%s…`: %s.\n", m.prefix, m.text)
		}
	}
	b.WriteString("\nThe load of `1000x20` is 1,000 readers and 20 messages a second over 50 channels, all of which every reader may see and watches. Every server gives every\n" +
		"reader the same object of 500 bytes for a message; centrifuge adds its envelope of about 40 bytes, we add ours and the small delta that everybody gets, about 240 together, so that\n" +
		"a delivery of ours is the larger one. `bursts_of_10` sends ten at once. Ours has its window at 5 ms, and at 10 ms where 100 messages come a second, unless the name says\n" +
		"otherwise; the floor writes each message at once. centrifuge is as its documentation sets it up, with JSON, without a history.\n")
	b.WriteString("\nAll rows are of 2026-11-27, with nothing else running. Between two runs of a day medians differ by a tenth, those of handshakes between 0.220 and 0.241 in seven runs,\n" +
		"and that of growth to ten million messages between 1.03 and 1.34.\n")
	b.WriteString("\nWhat is recorded has as often the same words, and as much of it the same people, as 63,941 messages of a real chat (bench/words.go). As fast as it goes, one message costs 8 to 15 µs more at ten\n" +
		"million stored ones than at a thousand. On its whole way it costs 1,100 µs and more, of which that is a hundredth: no more than rounds differ. Each of the three trees by channel is reached through\n" +
		"four pages then instead of two, the index of words reads 0.6 pages a message that are no longer in memory and that of authors 0.2, and after a checkpoint the log takes 3.0 KB a message instead of 1.75 (counted, not timed). Where the growth goes (perf, 20 rounds at each size, and with indexes left out): half of it to\n" +
		"the B-trees and to looking pages up, whose cache misses grow with the depth, a fifth to the index of words, and the rest to pages that are no longer all among PostgreSQL's 128 MB of shared buffers and\n" +
		"are read and written out again. With all pages in a gigabyte of shared buffers on huge pages it is still 1.25 times: what is left is the processor's own caches. In order of the channels, so that neighbours share\n" +
		"their pages, it is the same. The table of a thousand is made anew for each round: one that is emptied gets back the memory that it had and never writes it, which made it a tenth cheaper.\n")
	b.WriteString("\nWhat the fan-out costs (2026-11-27, nothing else running): a write of ours at 1000x20 takes about 6.5 µs of processor time, and nearly all of it is the kernel's TCP; the hub's own code is\n" +
		"a few percent. Through io_uring, 64 writes with one call, a delivery costs 22 to 30 % less than with write(2) each, which is what a kernel that refuses io_uring, or a container's\n" +
		"profile, falls back to: 0.61 of centrifuge instead of 0.47 at 1000x20, and 0.49 instead of 0.42 at 1000x100. There a window of 10 ms, in which a message may wait for the next one, makes 1.5 deliveries\n" +
		"a write: the messages come exactly 10 ms apart, so that the next one comes just before the window ends or just after; centrifuge writes 1.0 to 1.15 a write. A p99 at 1000x20 is about\n" +
		"that of the slowest message of a hundred: readers and server share two cores, and a round in which something else had one of them for 20 ms shows just that.\n" +
		"A handshake of ours carries a snapshot of 50 channels, centrifuge's a list of 50 names; what it is made of is the same object for everybody in both, as the database is not what is compared. Who cannot resume costs Postgres about 0.4 ms.\n")
	return b.String()
}

func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown CPU"
}
