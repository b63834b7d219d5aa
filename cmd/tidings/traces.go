package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/hub"
	"tidings/ingest"
)

// TraceConfig is OpenTelemetry's own environment, as far as it is heeded here.
// Source: opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and …/protocol/exporter.
type TraceConfig struct {
	Endpoint       string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT" name:"otel-exporter-otlp-endpoint" placeholder:"URL" help:"Where traces of each message's way are sent, as OTLP over HTTP; /v1/traces is added. Empty: nothing is traced."`
	TracesEndpoint string        `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" name:"otel-exporter-otlp-traces-endpoint" placeholder:"URL" help:"The same as a whole address."`
	Headers        string        `env:"OTEL_EXPORTER_OTLP_HEADERS" name:"otel-exporter-otlp-headers" placeholder:"NAME=VALUE,…" help:"Headers for the collector."`
	Protocol       string        `env:"OTEL_EXPORTER_OTLP_PROTOCOL" name:"otel-exporter-otlp-protocol" placeholder:"http/json" help:"http/json, the only one that there is."`
	Timeout        int           `env:"OTEL_EXPORTER_OTLP_TIMEOUT" name:"otel-exporter-otlp-timeout" default:"10000" help:"Milliseconds that the collector may take."`
	Exporter       string        `env:"OTEL_TRACES_EXPORTER" name:"otel-traces-exporter" default:"otlp" help:"otlp or none."`
	Disabled       bool          `env:"OTEL_SDK_DISABLED" name:"otel-sdk-disabled" help:"Trace nothing."`
	Service        string        `env:"OTEL_SERVICE_NAME" name:"otel-service-name" default:"tidings" help:"The name in traces."`
	Attributes     string        `env:"OTEL_RESOURCE_ATTRIBUTES" name:"otel-resource-attributes" placeholder:"NAME=VALUE,…" help:"Further attributes of this process in traces."`
	Sampler        string        `env:"OTEL_TRACES_SAMPLER" name:"otel-traces-sampler" default:"parentbased_always_on" help:"always_on, always_off or traceidratio, with parentbased_ before it or not."`
	SamplerArg     string        `env:"OTEL_TRACES_SAMPLER_ARG" name:"otel-traces-sampler-arg" placeholder:"0…1" help:"The share of messages that traceidratio traces."`
	Every          time.Duration `kong:"-"` // between two exports; 0 means 5 s, which is OpenTelemetry's default
}

// endpoint is where traces go, "" when they are off.
func (c TraceConfig) endpoint() string {
	switch {
	case c.Disabled, c.Exporter == "none":
		return ""
	case c.TracesEndpoint != "":
		return c.TracesEndpoint
	case c.Endpoint != "":
		return strings.TrimSuffix(c.Endpoint, "/") + "/v1/traces"
	}
	return ""
}

func (c TraceConfig) faults() (f []string) {
	bad := func(format string, a ...any) { f = append(f, fmt.Sprintf(format, a...)) }
	e := c.endpoint()
	if e == "" {
		return nil
	}
	if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		bad("OTEL_EXPORTER_OTLP_ENDPOINT %q is not an http or https address.", e)
	}
	if c.Protocol != "" && c.Protocol != "http/json" {
		bad("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only http/json is spoken, which collectors take at the same port as http/protobuf (4318).", c.Protocol)
	}
	if c.Exporter != "" && c.Exporter != "otlp" {
		bad("OTEL_TRACES_EXPORTER is %q: there are otlp and none.", c.Exporter)
	}
	if _, err := c.share(); err != nil {
		bad("OTEL_TRACES_SAMPLER: %v.", err)
	}
	for _, list := range []string{c.Headers, c.Attributes} {
		if _, err := pairs(list); err != nil {
			bad("OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES are like name=value,name=value.") // a header may be secret
		}
	}
	return f
}

// share is the share of messages to be traced.
func (c TraceConfig) share() (float64, error) {
	switch strings.TrimPrefix(c.Sampler, "parentbased_") {
	case "always_on", "":
		return 1, nil
	case "always_off":
		return 0, nil
	case "traceidratio":
		if c.SamplerArg == "" {
			return 1, nil
		}
		if v, err := strconv.ParseFloat(c.SamplerArg, 64); err == nil && v >= 0 && v <= 1 {
			return v, nil
		}
		return 0, fmt.Errorf("its argument %q is not between 0 and 1", c.SamplerArg)
	}
	return 0, fmt.Errorf("there is no %q", c.Sampler)
}

// pairs reads name=value,name=value, with values as in a URL.
func pairs(list string) (out [][2]string, err error) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if value, err = url.QueryUnescape(strings.TrimSpace(value)); !ok || err != nil {
			return nil, fmt.Errorf("%q is not name=value", name)
		}
		out = append(out, [2]string{strings.TrimSpace(name), value})
	}
	return out, nil
}

// tracer sends the way of each new message to a collector: from Discord's dispatch to the sockets, whichever processes it goes through. Its ids are
// made of the message's, so that processes need not tell each other. A collector that is away costs what there was to trace, and nothing else.
type tracer struct {
	c       TraceConfig
	share   float64
	log     *slog.Logger
	http    *http.Client
	head    []attribute
	queue   chan span
	dropped prometheus.Counter
}

const (
	tracesWaiting = 4096
	tracesAtOnce  = 512
)

// newTracer returns nil when traces are off.
func newTracer(c TraceConfig, instance string, log *slog.Logger, r prometheus.Registerer) *tracer {
	if c.endpoint() == "" {
		return nil
	}
	t := &tracer{
		c: c, log: log, queue: make(chan span, tracesWaiting), http: &http.Client{Timeout: time.Duration(max(c.Timeout, 1)) * time.Millisecond},
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "tidings_trace_spans_dropped_total", Help: "Spans that the collector of traces did not get."}),
	}
	t.share, _ = c.share()
	t.head = []attribute{text("service.name", c.Service), text("service.version", version), text("service.instance.id", instance)}
	more, _ := pairs(c.Attributes)
	for _, p := range more {
		t.head = append(t.head, text(p[0], p[1]))
	}
	r.MustRegister(t.dropped)
	return t
}

// span is one in OTLP's JSON. Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".
type span struct {
	Trace      string      `json:"traceId"`
	ID         string      `json:"spanId"`
	Parent     string      `json:"parentSpanId,omitempty"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"`
	Start      string      `json:"startTimeUnixNano"`
	End        string      `json:"endTimeUnixNano"`
	Attributes []attribute `json:"attributes,omitempty"`
}

type attribute struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func text(key, value string) attribute { return attribute{key, map[string]any{"stringValue": value}} }
func number(key string, n int) attribute {
	return attribute{key, map[string]any{"intValue": strconv.Itoa(n)}}
}

// Kinds of span.
const (
	kindInternal = 1
	kindProducer = 4
	kindConsumer = 5
)

// idsOf makes the ids of a message's trace and of its first span, and says whether it is traced.
func (t *tracer) idsOf(c discord.ChannelID, m discord.MessageID) (trace, root string, traced bool) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(c)), uint64(m)))
	traced = t.share >= 1 || binary.BigEndian.Uint64(sum[8:16])>>1 < uint64(t.share*math.MaxInt64)
	return hex.EncodeToString(sum[:16]), hex.EncodeToString(sum[16:24]), traced
}

func nanos(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }

func (t *tracer) add(s span, name string, start, end time.Time) {
	s.Name, s.Start, s.End = name, nanos(start), nanos(end)
	if s.ID == "" {
		sum := sha256.Sum256([]byte(s.Trace + s.Parent + name + s.Start + s.End + fmt.Sprint(s.Attributes)))
		s.ID = hex.EncodeToString(sum[:8])
	}
	select {
	case t.queue <- s:
	default:
		t.dropped.Inc()
	}
}

// passage takes a message's way through the door. Its first span begins when Discord made the message, by Discord's clock.
func (t *tracer) passage(p ingest.Passage) {
	body, ok := p.Event.Body.(tidings.MessageCreated)
	if !ok {
		return
	}
	m := body.Message
	trace, root, traced := t.idsOf(p.Event.Channel, m.ID)
	if !traced {
		return
	}
	t.add(span{Trace: trace, ID: root, Kind: kindConsumer, Attributes: []attribute{
		text("tidings.guild", p.Event.Guild.String()), text("tidings.channel", p.Event.Channel.String()), text("tidings.message", m.ID.String()),
		text("tidings.source", p.Event.Source.String()),
	}}, "message", m.ID.Time(), p.Told)
	child := span{Trace: trace, Parent: root, Kind: kindInternal}
	if at := p.Event.At; !at.IsZero() && !at.After(p.Taken) {
		t.add(child, "dispatch", at, p.Taken)
	}
	t.add(child, "lane", p.Taken, p.Begun)
	commit := child
	commit.Attributes = []attribute{number("tidings.batch", p.Batch)}
	t.add(commit, "commit", p.Begun, p.Done)
	child.Kind = kindProducer
	t.add(child, "tell", p.Done, p.Told)
}

// delivery takes the last step of a message: its frame is handed to sockets.
func (t *tracer) delivery(d hub.Delivery) {
	if trace, root, traced := t.idsOf(d.Channel, d.ID); traced {
		t.add(span{Trace: trace, Parent: root, Kind: kindConsumer, Attributes: []attribute{number("tidings.sockets", d.Sockets)}}, "socket write", d.Begun, d.Ended)
	}
}

// Run sends what there is until ctx ends, and then what is left.
func (t *tracer) Run(ctx context.Context) error {
	every := t.c.Every
	if every <= 0 {
		every = 5 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var spans []span
	away := false
	send := func(ctx context.Context) {
		if len(spans) == 0 {
			return
		}
		err := t.export(ctx, spans)
		if err != nil {
			t.dropped.Add(float64(len(spans)))
		}
		if (err != nil) != away {
			away = err != nil
			if away {
				t.log.Warn("traces cannot be sent and are dropped", "err", err)
			} else {
				t.log.Info("traces are sent again")
			}
		}
		spans = spans[:0]
	}
	for {
		select {
		case s := <-t.queue:
			if spans = append(spans, s); len(spans) >= tracesAtOnce {
				send(ctx)
			}
		case <-tick.C:
			send(ctx)
		case <-ctx.Done():
			for len(t.queue) > 0 && len(spans) < tracesWaiting {
				spans = append(spans, <-t.queue)
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			send(last)
			return nil
		}
	}
}

func (t *tracer) export(ctx context.Context, spans []span) error {
	type object = map[string]any
	body, err := json.Marshal(object{"resourceSpans": []object{{
		"resource":   object{"attributes": t.head},
		"scopeSpans": []object{{"scope": object{"name": "tidings", "version": version}, "spans": slices.Clone(spans)}},
	}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.c.endpoint(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	headers, _ := pairs(t.c.Headers)
	for _, h := range headers {
		req.Header.Set(h[0], h[1])
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}
