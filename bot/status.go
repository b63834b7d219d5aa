package bot

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is what the status page shows of the gateway.
type Status struct {
	Shards []ShardStatus `json:"shards"`
}

// ShardStatus is one shard of [Status].
type ShardStatus struct {
	Shard int `json:"shard"`
	// State is starting, standby (another process runs the shard), waiting, identifying, resuming, ready or stopped.
	State     string    `json:"state"`
	Session   string    `json:"-"`
	ReadyAt   time.Time `json:"ready_at"` // of the last READY or RESUMED
	LastEvent time.Time `json:"last_event"`
	LastError string    `json:"last_error,omitempty"` // why the last connection ended, until the next one is ready

	Received   int64 `json:"received"`   // dispatches that came
	Dispatched int64 `json:"dispatched"` // those of interest that were worked off
	Unreadable int64 `json:"unreadable"` // those that could not be understood, at least in part
	Lost       int64 `json:"lost"`       // sequences that Discord left out and did not replay
	Resumes    int64 `json:"resumes"`
	Identifies int64 `json:"identifies"`
	Reconnects int64 `json:"reconnects"`
	Overflows  int64 `json:"overflows"`

	Queued      int           `json:"queued"` // events between the socket and the sink
	QueuedBytes int           `json:"queued_bytes"`
	RoundTrip   time.Duration `json:"round_trip_ns"` // of the last heartbeat, 0 when none was acknowledged
}

// Status returns how the gateway does now. There are no shards before Run has asked Discord for their number.
func (b *Bot) Status() Status {
	b.mu.Lock()
	shards := b.shards
	b.mu.Unlock()
	var st Status
	for _, s := range shards {
		s.mu.Lock()
		one, c := s.status, s.conn
		s.mu.Unlock()
		one.Queued, one.QueuedBytes = s.queue.size()
		if c != nil {
			one.RoundTrip = time.Duration(c.rtt.Load())
		}
		st.Shards = append(st.Shards, one)
	}
	return st
}

// metrics are the bot's. Labels have few values, whatever Discord sends.
type metrics struct {
	received   *prometheus.CounterVec
	receivedOf map[string]prometheus.Counter // of received, by event
	unreadable *prometheus.CounterVec
	reconnects *prometheus.CounterVec
	requests   *prometheus.CounterVec
	dispatched prometheus.Counter
	waited     prometheus.Counter
	identifies prometheus.Counter
	resumes    prometheus.Counter
	lost       prometheus.Counter
	badLines   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, status func() Status) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tidings_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_" + name, Help: help}, labels)
	}
	m := &metrics{
		received:   vec("gateway_received_total", "Dispatches that came from Discord's gateway.", "event"),
		unreadable: vec("gateway_unreadable_total", "Dispatches that could not be understood, at least in part.", "event"),
		reconnects: vec("gateway_reconnects_total", "Connections that ended, by reason.", "reason"),
		requests:   vec("discord_requests_total", "Requests to Discord's REST API, by method and outcome.", "method", "outcome"),
		dispatched: counter("gateway_dispatched_total", "Events handed to ingest."),
		waited:     counter("gateway_sink_seconds_total", "Time spent handing events to ingest."),
		identifies: counter("gateway_identifies_total", "New sessions asked for; Discord allows 1,000 a day."),
		resumes:    counter("gateway_resumes_total", "Sessions resumed."),
		lost:       counter("gateway_lost_total", "Sequences that Discord left out and did not replay."),
		badLines:   counter("discord_unreadable_messages_total", "Messages of fetched pages that could not be understood."),
	}
	m.receivedOf = map[string]prometheus.Counter{}
	for name := range decoders {
		m.receivedOf[name] = m.received.WithLabelValues(name)
	}
	if reg == nil {
		return m, nil
	}
	sum := func(name, help string, of func(ShardStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidings_" + name, Help: help}, func() float64 {
			total := 0.0
			for _, s := range status().Shards {
				total += of(s)
			}
			return total
		})
	}
	for _, c := range []prometheus.Collector{
		m.received, m.unreadable, m.reconnects, m.requests, m.dispatched, m.waited, m.identifies, m.resumes, m.lost, m.badLines,
		sum("gateway_queued_events", "Events between the socket and ingest.", func(s ShardStatus) float64 { return float64(s.Queued) }),
		sum("gateway_queued_bytes", "Bytes of these events.", func(s ShardStatus) float64 { return float64(s.QueuedBytes) }),
		sum("gateway_shards_ready", "Shards that have a session.", func(s ShardStatus) float64 {
			if s.State == "ready" {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_gateway_heartbeat_seconds", Help: "The slowest shard's last heartbeat round trip.",
		}, func() float64 {
			slowest := time.Duration(0)
			for _, s := range status().Shards {
				slowest = max(slowest, s.RoundTrip)
			}
			return slowest.Seconds()
		}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// heard counts a dispatch.
func (m *metrics) heard(name string) {
	if c := m.receivedOf[name]; c != nil {
		c.Inc()
		return
	}
	m.received.WithLabelValues(label(name)).Inc()
}

// label keeps the set of event names in metrics fixed.
func label(name string) string {
	if _, ok := decoders[name]; ok || name == "READY" || name == "RESUMED" {
		return name
	}
	return "other"
}
