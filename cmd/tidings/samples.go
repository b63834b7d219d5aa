package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tidings/web"
)

// samples remembers how a few figures of this process went over the last hours, for the status page, and tells the other processes. It
// reads the metrics that there are anyway.
type samples struct {
	from  prometheus.Gatherer
	step  time.Duration
	peers *peers

	mu     sync.Mutex
	taken  []sample // a ring once it is full
	next   int
	before reading
}

// sample is what one step was like. What has a mean is kept as its sum and the number of what was summed, so that those of several
// processes can be added.
type sample struct{ events, lagSum, lagN, ageSum, ageN, toldSum, toldN, sockets float64 }

func (s sample) plus(o sample) sample {
	return sample{
		s.events + o.events, s.lagSum + o.lagSum, s.lagN + o.lagN, s.ageSum + o.ageSum, s.ageN + o.ageN, s.toldSum + o.toldSum, s.toldN + o.toldN, s.sockets + o.sockets,
	}
}

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

func newSamples(from prometheus.Gatherer, p *peers) *samples {
	return &samples{from: from, step: sampleStep, peers: p}
}

func (s *samples) Run(ctx context.Context) error {
	tick := time.NewTicker(s.step)
	defer tick.Stop()
	s.take(time.Now())
	s.peers.tell(ctx, s)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.take(now)
			s.peers.tell(ctx, s)
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
	x := sample{
		max(r.events-b.events, 0) / took, r.lagSum - b.lagSum, r.lagN - b.lagN, r.ageSum - b.ageSum, r.ageN - b.ageN,
		r.toldSum - b.toldSum, r.toldN - b.toldN, r.sockets,
	}
	if len(s.taken) < maxSamples {
		s.taken = append(s.taken, x)
		return
	}
	s.taken[s.next] = x
	s.next = (s.next + 1) % maxSamples
}

// told gives what is remembered, the oldest first, and when the newest of it was taken.
func (s *samples) told() ([]sample, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.taken[s.next:], s.taken[:s.next]), s.before.at
}

// plots draws what the processes remember together, this one and those given.
func (s *samples) plots(others []peer) []web.Plot {
	plots := []web.Plot{
		{Title: "Events taken in", Unit: "a second"}, {Title: "From receiving to commit, mean", Unit: "ms"},
		{Title: "From Discord's timestamp to commit, mean", Unit: "ms"}, {Title: "From Discord's timestamp to sockets, mean", Unit: "ms"}, {Title: "Live sockets", Unit: "open"},
	}
	slot := func(t time.Time) int64 { return t.UnixNano() / int64(s.step) }
	at := map[int64]sample{}
	add := func(list []sample, newest time.Time) {
		for i, x := range list {
			n := slot(newest) - int64(len(list)-1-i)
			at[n] = at[n].plus(x)
		}
	}
	own, now := s.told()
	add(own, now)
	for _, o := range others {
		add(o.Samples, o.At)
	}
	first, last := slot(now)+1, slot(now)
	for n := range at {
		first = min(first, n)
	}
	first = max(first, last-maxSamples+1)
	mean := func(sum, n float64) float64 {
		if n <= 0 {
			return -1
		}
		return 1000 * sum / n
	}
	for i := range plots {
		plots[i].Step, plots[i].Points = int(s.step/time.Second), make([]float64, 0, last-first+1)
	}
	for n := first; n <= last; n++ {
		v := [...]float64{-1, -1, -1, -1, -1}
		if x, ok := at[n]; ok {
			v = [...]float64{x.events, mean(x.lagSum, x.lagN), mean(x.ageSum, x.ageN), mean(x.toldSum, x.toldN), x.sockets}
		}
		for k := range plots {
			plots[k].Points = append(plots[k].Points, v[k])
		}
	}
	return plots
}

// sources says where the events of this process and of those given came from, and how many live sockets they have.
func (s *samples) sources(others []peer) (list []web.SourceView, sockets int) {
	r := s.read(time.Now())
	sockets = int(r.sockets)
	for _, o := range others {
		sockets += o.Process.Sockets
		for name, n := range o.Sources {
			r.bySource[name] += n
			r.events += n
		}
	}
	for _, name := range []string{"gateway", "webhook", "poll", "backfill"} {
		if n := r.bySource[name]; n > 0 {
			list = append(list, web.SourceView{Name: name, Events: int64(n), Share: n / r.events})
		}
	}
	return list, sockets
}
