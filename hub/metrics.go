package hub

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections  prometheus.Gauge
	resumed      prometheus.Counter
	recalled     prometheus.Counter
	summaries    *prometheus.CounterVec
	delivered    prometheus.Counter
	dropped      *prometheus.CounterVec
	limits       *prometheus.CounterVec
	resets       *prometheus.CounterVec
	repeats      prometheus.Counter
	reloadErrors prometheus.Counter
	published    prometheus.Counter
	received     prometheus.Counter
	unpublished  prometheus.Counter
	busLosses    prometheus.Counter
	sweep        prometheus.Histogram
	age          prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidings", Subsystem: "hub", Name: name, Help: help})
	}
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "connections", Help: "Live sockets open now.",
		}),
		resumed:  counter("resumed_total", "Live sockets that were given what they had missed instead of a snapshot."),
		recalled: counter("snapshots_recalled_total", "Live sockets that were given the snapshot that another one of the person had got a moment before."),
		summaries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "summaries_total", Help: "Questions to the database for all of a person's counts, by cause.",
		}, []string{"cause"}),
		delivered: counter("frames_delivered_total", "Frames handed to live sockets."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "connections_dropped_total", Help: "Live sockets closed by the hub, by cause.",
		}, []string{"cause"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "limits_total", Help: "Times that a client of the live socket met a limit, by which.",
		}, []string{"limit"}),
		resets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "resets_total", Help: "Channels for which clients were told to ask, by cause.",
		}, []string{"cause"}),
		repeats:      counter("repeats_total", "Frames that had passed already and were not passed again."),
		reloadErrors: counter("access_reload_errors_total", "Attempts to reload a guild's access that did not work."),
		published:    counter("bus_published_total", "Envelopes given to Redis."),
		received:     counter("bus_received_total", "Envelopes of other processes that came through Redis."),
		unpublished:  counter("bus_unpublished_total", "Envelopes that could not be given to Redis; the others' sweeps find what was in them."),
		busLosses:    counter("bus_losses_total", "Times that something may have been lost on the way through Redis."),
		sweep: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tidings", Subsystem: "hub", Name: "sweep_seconds", Help: "Duration of a sweep.",
			Buckets: []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10},
		}),
	}
	m.age = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "tidings", Subsystem: "hub", Name: "message_age_seconds", Help: "From Discord's timestamp of a new message to its frame being handed to sockets, of those younger than ten minutes.",
		Buckets: []float64{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 600},
	})
	if r != nil {
		r.MustRegister(m.connections, m.age, m.resumed, m.recalled, m.summaries, m.delivered, m.dropped, m.limits, m.resets, m.repeats, m.reloadErrors, m.published, m.received,
			m.unpublished, m.busLosses, m.sweep)
	}
	return m
}
