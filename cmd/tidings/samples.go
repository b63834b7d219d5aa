package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tidings/web"
)

// samples remembers how a few figures of this process went over the last hours, for the status page. It reads the metrics that
// there are anyway.
type samples struct {
	from prometheus.Gatherer
	step time.Duration

	mu     sync.Mutex
	taken  []sample // a ring once it is full
	next   int
	before reading
}

// sample is what one step was like; -1 where nothing is known.
type sample struct{ events, lag, age, told, sockets float64 }

// reading is where the counters stood.
type reading struct {
	at                         time.Time
	toldSum, toldN             float64
	events                     float64
	lagSum, lagN, ageSum, ageN float64
	sockets                    float64
	bySource                   map[string]float64
}

// Six hours in steps of half a minute.
const (
	sampleStep = 30 * time.Second
	maxSamples = 720
)

func newSamples(from prometheus.Gatherer) *samples { return &samples{from: from, step: sampleStep} }

func (s *samples) Run(ctx context.Context) error {
	tick := time.NewTicker(s.step)
	defer tick.Stop()
	s.take(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.take(now)
		}
	}
}

func (s *samples) read(now time.Time) reading {
	r := reading{at: now, bySource: map[string]float64{}}
	families, err := s.from.Gather()
	if err != nil && len(families) == 0 {
		return r
	}
	for _, f := range families {
		switch f.GetName() {
		case "tidings_ingest_events_total":
			for _, m := range f.GetMetric() {
				r.events += m.GetCounter().GetValue()
				r.bySource[label(m, "source")] += m.GetCounter().GetValue()
			}
		case "tidings_ingest_lag_seconds":
			r.lagSum, r.lagN = histogram(f)
		case "tidings_message_age_seconds":
			r.ageSum, r.ageN = histogram(f)
		case "tidings_hub_message_age_seconds":
			r.toldSum, r.toldN = histogram(f)
		case "tidings_hub_connections":
			for _, m := range f.GetMetric() {
				r.sockets += m.GetGauge().GetValue()
			}
		}
	}
	return r
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func histogram(f *dto.MetricFamily) (sum, n float64) {
	for _, m := range f.GetMetric() {
		sum += m.GetHistogram().GetSampleSum()
		n += float64(m.GetHistogram().GetSampleCount())
	}
	return sum, n
}

// take notes what has been since the last time.
func (s *samples) take(now time.Time) {
	r := s.read(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.before
	s.before = r
	took := r.at.Sub(b.at).Seconds()
	if b.at.IsZero() || took <= 0 {
		return
	}
	mean := func(sum, n float64) float64 {
		if n <= 0 {
			return -1
		}
		return 1000 * sum / n
	}
	x := sample{
		events: max(r.events-b.events, 0) / took, sockets: r.sockets,
		lag: mean(r.lagSum-b.lagSum, r.lagN-b.lagN), age: mean(r.ageSum-b.ageSum, r.ageN-b.ageN),
		told: mean(r.toldSum-b.toldSum, r.toldN-b.toldN),
	}
	if len(s.taken) < maxSamples {
		s.taken = append(s.taken, x)
		return
	}
	s.taken[s.next] = x
	s.next = (s.next + 1) % maxSamples
}

// plots gives what is remembered.
func (s *samples) plots() []web.Plot {
	s.mu.Lock()
	defer s.mu.Unlock()
	plots := []web.Plot{
		{Title: "Events taken in", Unit: "a second"}, {Title: "From receiving to commit, mean", Unit: "ms"},
		{Title: "From Discord's timestamp to commit, mean", Unit: "ms"}, {Title: "From Discord's timestamp to sockets, mean", Unit: "ms"}, {Title: "Live sockets", Unit: "open"},
	}
	for i := range plots {
		plots[i].Step, plots[i].Points = int(s.step/time.Second), make([]float64, 0, len(s.taken))
	}
	for i := range s.taken {
		x := s.taken[(s.next+i)%len(s.taken)]
		for k, v := range [...]float64{x.events, x.lag, x.age, x.told, x.sockets} {
			plots[k].Points = append(plots[k].Points, v)
		}
	}
	return plots
}

// sources says where this process' events came from, and how many live sockets it has.
func (s *samples) sources() (list []web.SourceView, sockets int) {
	r := s.read(time.Now())
	for _, name := range []string{"gateway", "webhook", "poll", "backfill"} {
		if n := r.bySource[name]; n > 0 {
			list = append(list, web.SourceView{Name: name, Events: int64(n), Share: n / r.events})
		}
	}
	return list, int(r.sockets)
}
