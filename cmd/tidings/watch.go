package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/store"
)

// storeWatch puts into the metrics what only the database and Redis know: what is missing, what waits, whether they answer.
type storeWatch struct {
	store   *store.Store
	servers *backends
	log     *slog.Logger

	databaseUp, redisUp, databaseBytes prometheus.Gauge
	gaps, pasts                        prometheus.Gauge
	waiting, running, dead, oldest     prometheus.Gauge
}

// watchEvery is often enough for alerts, and costs a few short questions.
const watchEvery = 30 * time.Second

func newStoreWatch(st *store.Store, servers *backends, log *slog.Logger, r prometheus.Registerer) *storeWatch {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidings_" + name, Help: help})
		r.MustRegister(g)
		return g
	}
	return &storeWatch{
		store: st, servers: servers, log: log,
		databaseUp:    gauge("database_up", "1 while PostgreSQL answers."),
		redisUp:       gauge("redis_up", "1 while Redis answers."),
		databaseBytes: gauge("database_bytes", "Size of the database."),
		gaps:          gauge("gaps_open", "Ranges of channels in which messages may be missing."),
		pasts:         gauge("pasts_open", "Channels whose past is being fetched."),
		waiting:       gauge("jobs_waiting", "Jobs that wait for their turn."),
		running:       gauge("jobs_running", "Jobs that run, in all processes."),
		dead:          gauge("jobs_dead", "Jobs that have failed for good, or until they are revived."),
		oldest:        gauge("jobs_oldest_seconds", "Since when the longest waiting job has been due."),
	}
}

func (w *storeWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *storeWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery/2)
	defer cancel()
	up := func(g prometheus.Gauge, err error) bool {
		if err != nil {
			g.Set(0)
			w.log.Debug("a part does not answer", "err", err)
			return false
		}
		g.Set(1)
		return true
	}
	up(w.redisUp, w.servers.redis.Ping(ctx).Err())
	h, err := w.store.Health(ctx)
	if !up(w.databaseUp, err) {
		return
	}
	w.databaseBytes.Set(float64(h.Bytes))
	if healing, err := w.store.Healing(ctx); err == nil {
		w.gaps.Set(float64(healing.Gaps))
		w.pasts.Set(float64(healing.Pasts))
	}
	counts, err := w.store.JobCounts(ctx)
	if err != nil {
		return
	}
	sum, oldest := map[string]int{}, 0.0
	for _, c := range counts {
		sum[c.State] += c.N
		if !c.Paused {
			oldest = max(oldest, c.Oldest)
		}
	}
	w.waiting.Set(float64(sum["ready"]))
	w.running.Set(float64(sum["running"]))
	w.dead.Set(float64(sum["dead"]))
	w.oldest.Set(oldest)
}
