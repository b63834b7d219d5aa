package jobs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	count    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_jobs_total", Help: "Jobs that have run, by kind and how it ended.",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_job_seconds", Help: "How long jobs ran, by kind.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"kind"}),
	}
	if r != nil {
		r.MustRegister(m.count, m.duration)
	}
	return m
}

func (m metrics) ended(kind, outcome string, took time.Duration) {
	m.count.WithLabelValues(kind, outcome).Inc()
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
}
