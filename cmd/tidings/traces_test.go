package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
)

// The way of a message is one trace, although a process for the gateway takes it in and one for the web hands it to a socket.
func TestTheWayOfAMessageIsTraced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var spans []span
	services := map[string]bool{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []attribute }
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Api-Key") != "a b" {
			t.Errorf("%s with %v: %v", r.URL, r.Header, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range body.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				services[a.Key+"="+a.Value["stringValue"].(string)] = true
			}
			for _, ss := range rs.ScopeSpans {
				spans = append(spans, ss.Spans...)
			}
		}
	}))
	defer collector.Close()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	c := configFor(t, d)
	c.EncryptionKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	c.Traces = TraceConfig{Endpoint: collector.URL, Headers: "api-key=a%20b", Service: "tidings", Attributes: "deployment.environment.name=test", Every: 20 * time.Millisecond}
	if faults := c.faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	token := makeToken(t, c, reader.ID)
	gateway, web := *c, *c
	gateway.Roles, gateway.DataDir = []string{"gateway", "jobs"}, t.TempDir()
	web.Roles, web.DataDir = []string{"web"}, t.TempDir()
	start(t, &gateway)
	run := start(t, &web)
	eventually(t, "the reader sees the channel", time.Minute, func() bool { return len(run.unread(credential{token: token}).channels()) == 1 })
	live, err := client.Dial(t.Context(), run.url, client.Options{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, err := live.Next(ctx); err != nil {
				return
			}
		}
	})
	defer reading.Wait()
	defer leave()
	// The socket may not be open to its shard yet when the first is said.
	names := []string{"message", "dispatch", "lane", "commit", "tell", "socket write"}
	var whole []span
	eventually(t, "a message's whole way is traced", time.Minute, func() bool {
		d.Say(owner, guild.Channel("general"), "Good morning")
		mu.Lock()
		defer mu.Unlock()
		byTrace := map[string][]span{}
		for _, s := range spans {
			byTrace[s.Trace] = append(byTrace[s.Trace], s)
		}
		for _, list := range byTrace {
			if !slices.ContainsFunc(names, func(name string) bool {
				return !slices.ContainsFunc(list, func(s span) bool { return s.Name == name })
			}) {
				whole = list
				return true
			}
		}
		return false
	})
	at := map[string][2]int64{}
	root := ""
	for _, s := range whole {
		if s.Name == "message" {
			root = s.ID
		}
		begin, _ := strconv.ParseInt(s.Start, 10, 64)
		end, _ := strconv.ParseInt(s.End, 10, 64)
		if len(s.Trace) != 32 || len(s.ID) != 16 || begin > end {
			t.Errorf("a span is %+v", s)
		}
		at[s.Name] = [2]int64{begin, end}
	}
	for _, s := range whole {
		if s.Name != "message" && s.Parent != root {
			t.Errorf("the parent of %s is %q, want %q", s.Name, s.Parent, root)
		}
	}
	for i, name := range names[2:5] {
		if before := names[1:5][i]; at[before][1] > at[name][0] {
			t.Errorf("%s ends after %s begins", before, name)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"service.name=tidings", "deployment.environment.name=test"} {
		if !services[want] {
			t.Errorf("the processes call themselves %v, want %s", services, want)
		}
	}
}

func TestTraceSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		c     TraceConfig
		at    string
		fault string
	}{
		{name: "off by default", c: TraceConfig{Exporter: "otlp"}},
		{name: "a collector", c: TraceConfig{Endpoint: "http://c:4318/"}, at: "http://c:4318/v1/traces"},
		{name: "a collector for traces", c: TraceConfig{Endpoint: "http://c", TracesEndpoint: "https://d/x"}, at: "https://d/x"},
		{name: "none", c: TraceConfig{Endpoint: "http://c", Exporter: "none"}},
		{name: "disabled", c: TraceConfig{Endpoint: "http://c", Disabled: true}},
		{name: "another protocol", c: TraceConfig{Endpoint: "http://c", Protocol: "grpc"}, at: "http://c/v1/traces", fault: "only http/json"},
		{name: "another exporter", c: TraceConfig{Endpoint: "http://c", Exporter: "zipkin"}, at: "http://c/v1/traces", fault: "otlp and none"},
		{name: "another sampler", c: TraceConfig{Endpoint: "http://c", Sampler: "sometimes"}, at: "http://c/v1/traces", fault: "sometimes"},
		{name: "too large a share", c: TraceConfig{Endpoint: "http://c", Sampler: "traceidratio", SamplerArg: "2"}, at: "http://c/v1/traces", fault: "between 0 and 1"},
		{name: "no address", c: TraceConfig{Endpoint: "c:4318"}, at: "c:4318/v1/traces", fault: "not an http"},
		{name: "headers", c: TraceConfig{Endpoint: "http://c", Headers: "secret"}, at: "http://c/v1/traces", fault: "name=value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if at := tt.c.endpoint(); at != tt.at {
				t.Errorf("endpoint() = %q, want %q", at, tt.at)
			}
			faults := strings.Join(tt.c.faults(), "\n")
			if !strings.Contains(faults, tt.fault) || tt.fault == "" && faults != "" || strings.Contains(faults, "secret") {
				t.Errorf("faults() = %q, want %q", faults, tt.fault)
			}
		})
	}
	half := &tracer{share: 0.5}
	n := 0
	for i := range 1000 {
		if _, _, traced := half.idsOf(1, discord.MessageID(1<<40+i)); traced {
			n++
		}
	}
	if n < 400 || n > 600 {
		t.Errorf("half of the messages are %d of 1000", n)
	}
}
