package main

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/embedded/testdb"
	"tidings/web"
)

// What processes take in and tell is shown together at each of them, the means by how much each has of it; without Redis each knows of itself.
func TestWhatProcessesDoIsShownTogether(t *testing.T) {
	t.Parallel()
	client, prefix := testdb.Redis(t)
	started := time.Now()
	process := func(name, role string) (*samples, prometheus.Counter, prometheus.Histogram) {
		reg := prometheus.NewRegistry()
		events := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_ingest_events_total"}, []string{"source"})
		age := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tidings_message_age_seconds"})
		reg.MustRegister(events, age)
		c := &Config{RedisPrefix: prefix, Roles: []string{role}}
		return newSamples(reg, newPeers(c, name, &backends{redis: client}, slog.New(slog.DiscardHandler))), events.WithLabelValues(role), age
	}
	gateway, events, age := process("gateway-process", "gateway")
	polling, polled, polledAge := process("polling-process", "poll")
	readers, _, _ := process("web-process", "web")
	all := []*samples{gateway, polling, readers}
	for _, s := range all {
		s.take(started.Add(-2 * sampleStep))
	}
	events.Add(270)
	polled.Add(30)
	for range 3 {
		age.Observe(.1)
	}
	polledAge.Observe(.5)
	for _, s := range all {
		s.take(started.Add(-sampleStep))
		s.peers.tell(t.Context(), s)
	}
	for _, s := range all {
		others, err := s.peers.others(t.Context())
		if err != nil || len(others) != 2 {
			t.Fatalf("%s knows of %d others, %v", s.peers.name, len(others), err)
		}
		plots := map[string]web.Plot{}
		for _, p := range s.plots(others) {
			plots[p.Title] = p
		}
		sources, _ := s.sources(others)
		got := fmt.Sprintf("%.1f %.0f %v", plots["Events taken in"].Points, plots["From Discord's timestamp to commit, mean"].Points, sources)
		if want := "[10.0] [200] [{gateway 270 0.9} {poll 30 0.1}]"; got != want {
			t.Errorf("%s shows %s, want %s", s.peers.name, got, want)
		}
	}
	// Who has told nothing for a while is not counted any more.
	gateway.take(started.Add(-2 * peerLasts))
	gateway.peers.tell(t.Context(), gateway)
	if others, err := readers.peers.others(t.Context()); err != nil || len(others) != 1 || others[0].Process.Roles[0] != "poll" {
		t.Errorf("after a silence the others are %+v, %v", others, err)
	}
	client.Close()
	if _, err := readers.peers.others(t.Context()); err == nil {
		t.Error("without Redis nothing is said of it")
	}
	if p := readers.plots(nil); len(p) == 0 || len(p[0].Points) != 1 {
		t.Errorf("without Redis the plots are %+v", p)
	}
}
