package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
)

type metrics struct {
	events *prometheus.CounterVec
	batch  prometheus.Histogram
	lag    prometheus.Histogram
	age    prometheus.Histogram
	dead   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_ingest_events_total", Help: "Events taken in, by source."}, []string{"source"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_ingest_batch_events", Help: "Events of one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_ingest_lag_seconds", Help: "From receiving an event to its commit.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_message_age_seconds", Help: "From the time in the id of a message that the gateway told to its commit. It holds the difference of the clocks.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_ingest_dead_letters_total", Help: "Events that could not be stored and were set aside."}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.batch, m.lag, m.age, m.dead)
	}
	return m
}

func (m *metrics) taken(ev tidings.Event) {
	m.events.WithLabelValues(ev.Source.String()).Inc()
}

func (m *metrics) recorded(events []tidings.Event) {
	m.batch.Observe(float64(len(events)))
	now := time.Now()
	for _, ev := range events {
		if !ev.At.IsZero() {
			m.lag.Observe(now.Sub(ev.At).Seconds())
		}
		if e, ok := ev.Body.(tidings.MessageCreated); ok && ev.Source == tidings.SourceGateway {
			m.age.Observe(max(now.Sub(e.Message.ID.Time()).Seconds(), 0))
		}
	}
}
