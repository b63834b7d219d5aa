package hub_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/hub"
)

// A person's second device gets the summary that the first one got, as long as nothing that it says has changed.
func TestASummaryIsReadOnceForAPersonsDevices(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	p := newProcess(w)
	var read atomic.Int64
	p.summaries = func(*tidings.Unread) { read.Add(1) }
	n := start(t, p, hub.Options{}, nil)
	opens := func(when string, want int64) *socket {
		t.Helper()
		before := read.Load()
		s := n.dial(t, anna)
		if got := read.Load() - before; got != want {
			t.Errorf("%s: %d summaries were read, want %d", when, got, want)
		}
		return s
	}
	first := opens("the first device", 1)
	second := opens("the second", 0)
	if a, b := first.all()[1].raw, second.all()[1].raw; a != b {
		t.Errorf("snapshots differ: %s and %s", a, b)
	}
	d := w.create(c1, ben, tidings.Mentions{})
	n.Tell(bg, told(d))
	second.delta(c1, 1)
	opens("after a message", 1)
	opens("and again", 0)
	if _, err := p.MarkRead(bg, p.Visible(anna), tidings.MarkRead{Channel: c1, UpTo: d.ID}); err != nil { // told to nobody
		t.Fatal(err)
	}
	before := read.Load()
	n.dial(t, anna)
	first.next("read") // the devices that did not know of it are told
	if got := read.Load() - before; got != 2 {
		t.Errorf("after a mark that was made elsewhere: %d summaries were read, want 2: the new device's, and the others'", got)
	}
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
	first.next("access")
	last := opens("after a channel was lost", 1)
	last.mu.Lock()
	if last.visible[c2] {
		t.Error("the lost channel is in the snapshot")
	}
	last.mu.Unlock()
	n.dial(t, ben)
	if read.Load() != 6 {
		t.Errorf("%d summaries were read in all, want 6: ben's is his own", read.Load())
	}
}

// When everybody comes at once, each waits for a turn; what one device of a person was given meanwhile is not read again for the others.
func TestDevicesThatWaitForTheirTurnShareASummary(t *testing.T) {
	t.Parallel()
	w := newWorld()
	people := []discord.UserID{anna}
	for i := range hub.MaxSnapshotsAtOnce {
		people = append(people, discord.UserID(900+i))
	}
	w.guild(g1, people, c1, c2)
	p := newProcess(w)
	var read atomic.Int64
	turn := make(chan struct{})
	p.summaries = func(*tidings.Unread) {
		if read.Add(1) <= hub.MaxSnapshotsAtOnce {
			<-turn
		}
	}
	reg := prometheus.NewRegistry()
	n := start(t, p, hub.Options{Metrics: reg}, nil)
	t.Cleanup(sync.OnceFunc(func() { close(turn) }))
	for _, u := range people[1:] {
		n.open(t, u)
	}
	eventually(t, "all turns are taken", func() bool { return read.Load() == hub.MaxSnapshotsAtOnce })
	devices := []*socket{n.open(t, anna), n.open(t, anna), n.open(t, anna)}
	eventually(t, "anna's devices are connected", func() bool { return counter(t, reg, "tidings_hub_connections") == hub.MaxSnapshotsAtOnce+3 })
	turn <- struct{}{}
	for _, s := range devices {
		s.next("hello")
		s.next("snapshot")
	}
	if got := read.Load() - hub.MaxSnapshotsAtOnce; got != 1 {
		t.Errorf("%d summaries were read for three devices, want 1", got)
	}
}
