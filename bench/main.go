// Command bench compares the hub and the ingest line with peers, side by side in one run, because the machines on which it runs
// are shared: only ratios within a run mean something. It writes docs/BENCHMARKS.md and bench/results.json.
//
// It is a module of its own, so that the peers never enter the service's go.mod.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"tidings/embedded"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "clients":
			return runClients()
		case "gateway":
			return runGateway()
		case "consume":
			return runConsumer(os.Args[2], os.Args[3])
		case "server":
			return runServer(os.Args[2])
		case "discord":
			return runDiscord()
		}
	}
	redis := flag.String("redis", os.Getenv("TEST_REDIS_URL"), "Redis, as host:port or unix://path; empty starts one")
	database := flag.String("database", os.Getenv("TEST_DATABASE_URL"), "Postgres, as an URL, in which a schema is made and dropped; empty starts one")
	only := flag.String("only", "", "only the cases whose names contain one of these, separated by commas, as idle, handshake, levels, compression, stalled, storm, fanout_1000x20, fanout_max_5000, decode, ingest, whole, latency, growth_recording, growth_line, growth_stored, growth_memory, cache, writes, search, summary; a name that ends in $ is whole; \"page\" only writes docs/BENCHMARKS.md anew")
	flag.StringVar(&profiles, "profiles", "", "a folder for CPU profiles of the servers")
	schema := flag.String("world", "", "the schema with 3.7 million messages for search and summary, which is filled if it is empty, and kept; empty makes one and drops it")
	rounds := flag.Int("rounds", 5, "interleaved repetitions")
	stored := flag.Int("stored", 1_000_000, "how many messages the largest tables of growth_recording and growth_stored hold; ten million take some minutes and 10 GB")
	dry := flag.Bool("dry", false, "print the figures and write no file")
	flag.Parse()
	if err := moreFiles(); err != nil {
		return err
	}
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	if *redis == "" {
		dir, err := os.MkdirTemp("", "bench-redis-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		r, err := embedded.StartRedis(ctx, dir, log)
		if err != nil {
			return err
		}
		defer r.Stop()
		o := r.Options()
		*redis = o.Addr
		if o.Network == "unix" {
			*redis = "unix://" + o.Addr
		}
	}
	if *database == "" {
		dir, err := os.MkdirTemp("", "bench-postgres-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p, err := embedded.StartPostgres(ctx, dir, log)
		if err != nil {
			return err
		}
		defer p.Stop()
		*database = p.URL()
	}
	return bench(*redis, *database, *schema, *only, *rounds, *stored, *dry)
}
