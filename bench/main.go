// Command bench compares the hub and the ingest line with peers, side by side in one run, because the machines on which it runs
// are shared: only ratios within a run mean something. It writes docs/BENCHMARKS.md and bench/results.json.
//
// It is a module of its own, so that the peers never enter the service's go.mod.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
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
		case "server":
			users, err := strconv.Atoi(os.Args[4])
			if err != nil {
				return err
			}
			return runServer(os.Args[2], os.Args[3], users)
		}
	}
	redis := flag.String("redis", os.Getenv("TEST_REDIS_URL"), "Redis, as host:port or unix://path")
	only := flag.String("only", "", "only the cases whose name contains this")
	rounds := flag.Int("rounds", 5, "interleaved repetitions")
	flag.Parse()
	return bench(*redis, *only, *rounds)
}
