package jobs

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/store"
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

// AlertList lists the kinds of jobs that fail persistently. It is *store.Store.
type AlertList interface {
	Alerts(ctx context.Context) ([]store.Alert, error)
}

// NewAlertMetrics is the metric of those kinds, the same in every process. It asks whenever it is read.
func NewAlertMetrics(a AlertList) prometheus.Collector {
	return alertMetrics{a, prometheus.NewDesc("tidings_jobs_failing", "How many tries of a kind of job have failed, of those kinds that fail persistently.", []string{"kind"}, nil)}
}

type alertMetrics struct {
	alerts AlertList
	desc   *prometheus.Desc
}

func (m alertMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

func (m alertMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	list, err := m.alerts.Alerts(ctx)
	if err != nil {
		return // Without the database there is nothing to say, and the other metrics say that.
	}
	for _, a := range list {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(a.Failures), a.Kind)
	}
}
