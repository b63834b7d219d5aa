package hub_test

import (
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
)

// labelled reads a metric with one label.
func labelled(t *testing.T, reg *prometheus.Registry, name, value string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == value {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// Each limit has a close reason, or an error, that says which it was, and a metric by which operators see it.
func TestEveryLimitSaysWhichItWas(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben, carl}, ids(t, 5100)...)
	reg := prometheus.NewRegistry()
	n := start(t, newProcess(w), hub.Options{Metrics: reg, MaxConns: 6, MaxConnsPerUser: 2, MaxConnsPerAddress: 3}, nil)
	refused := func(s *socket, reason, label string) {
		t.Helper()
		if ce := s.end(); ce.Code != 4009 || ce.Reason != reason {
			t.Errorf("closed with %d %q, want 4009 %q", ce.Code, ce.Reason, reason)
		}
		if got := labelled(t, reg, "tidings_hub_limits_total", label); got != 1 {
			t.Errorf("limits_total of %q = %v, want 1", label, got)
		}
	}
	a, b, c := n.dial(t, anna, "from=192.0.2.1"), n.dial(t, anna, "from=192.0.2.1"), n.dial(t, ben, "from=192.0.2.1")
	refused(n.open(t, carl, "from=192.0.2.1"), "too many connections of an address", "connections of an address")
	refused(n.open(t, anna, "from=192.0.2.2"), "too many connections of a person", "connections of a person")
	others := []*socket{n.dial(t, carl), n.dial(t, carl), n.dial(t, ben)}
	refused(n.open(t, 14), "too many connections", "connections")
	// Whoever leaves makes room.
	c.ws.Close(websocket.StatusNormalClosure, "")
	eventually(t, "there is room again", func() bool {
		s := n.open(t, ben, "from=192.0.2.1")
		defer s.ws.CloseNow()
		// The leaver's place may not be free yet: then this one is refused too.
		eventually(t, "an answer", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.frames) > 0 || s.closed != nil
		})
		return len(s.all()) > 0
	})

	for from := 0; from < 5100; from += 1700 {
		var some []string
		for i := range 1700 {
			some = append(some, `"`+discord.ChannelID(5000+from+i).String()+`"`)
		}
		a.send(`{"op":"watch","channels":[` + strings.Join(some, ",") + `]}`)
	}
	if f := a.next("error"); f.Code != "too_many" {
		t.Errorf("answer to too many subscriptions = %s", f.raw)
	}
	for range 65 {
		b.send(`{"op":"ping"}`)
	}
	if f := b.next("error"); f.Code != "rate" {
		t.Errorf("answer to too many frames = %s", f.raw)
	}
	others[0].send(`{"op":"` + strings.Repeat("x", 70<<10) + `"}`)
	if ce := others[0].end(); ce.Code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v, want %v", ce, websocket.StatusMessageTooBig)
	}
	for label, want := range map[string]float64{"subscriptions": 1, "frame rate": 1, "frame size": 1} {
		eventually(t, "the limit "+label+" is counted", func() bool { return labelled(t, reg, "tidings_hub_limits_total", label) == want })
	}
	others[1].send(`{`)
	if ce := others[1].end(); ce.Code != 4000 || labelled(t, reg, "tidings_hub_connections_dropped_total", "protocol") != 1 {
		t.Errorf("closed with %v, want 4000 and counted", ce)
	}
}
