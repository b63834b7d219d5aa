package sim_test

import (
	"sync"
	"testing"
	"time"

	"tidings/sim/simtest"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		case <-tick.C:
		}
	}
}

// waitDetached waits until the simulator has noticed that no client is connected.
func waitDetached(t testing.TB, r *simtest.Running) {
	t.Helper()
	eventually(t, "noticing that the client is gone", func() bool {
		var l struct {
			Open int `json:"open"`
		}
		r.Sim200("GET", "/sim/log", nil, &l)
		return l.Open == 0
	})
}
