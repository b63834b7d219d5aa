package hub_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

// A summary from a cache that is older than what has passed already.
func TestSnapshotOlderThanWhatHasPassed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	b := n.dial(t, ben)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c1, carl, tidings.Mentions{})))
	b.delta(c1, 2)
	p.summaries = func(u *tidings.Unread) { u.Guilds[0].Channels[0].Version = 1 }
	a := n.dial(t, anna)
	if f := a.delta(c1, 2); f.K != "reset" {
		t.Errorf("frame after an old snapshot = %s, want a reset", f.raw)
	}
}

func TestSnapshotOfWhatMayNoLongerBeSeen(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	first := n.dial(t, anna)
	n.Tell(bg, told(w.create(c2, ben, tidings.Mentions{}))) // so that the first one's summary will not do
	first.delta(c2, 1)
	var once sync.Once
	p.summaries = func(*tidings.Unread) {
		once.Do(func() {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
			first.next("access")
		})
	}
	second := n.open(t, anna)
	if f := second.next("snapshot"); strings.Contains(f.raw, `"name":"c1001"`) {
		t.Errorf("snapshot = %s, want nothing of the lost channel", f.raw)
	}
}

func TestSnapshotHasTheMarksThatCameBeforeIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	first := n.dial(t, anna)
	r, err := p.MarkRead(bg, p.Visible(anna), tidings.MarkRead{Channel: c1, UpTo: 5})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	p.summaries = func(*tidings.Unread) {
		once.Do(func() {
			n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{r}})
			first.next("read")
			r, err := p.MarkRead(bg, p.Visible(anna), tidings.MarkRead{Channel: c1, UpTo: 6})
			if err != nil {
				t.Error(err)
			}
			n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{r}})
		})
	}
	second := n.dial(t, anna)
	if f := second.next("read"); f.Rev != 2 {
		t.Errorf("first read after the snapshot = %s, want that of rev 2", f.raw)
	}
}

// Scenario 5.
func TestStepThatWasNeverToldConcernsAnybody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
	a.next("access")
	w.allow(ben, c1, false) // lost on its way
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
	a.next("access")
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	if f := b.next("access"); len(f.Lost) != 1 || f.Lost[0] != c1 {
		t.Errorf("access = %s, want %d lost", f.raw, c1)
	}
	b.settle() // and the checker saw no frame of c1
}

// Scenario 5: a reset says that something happened in a channel, and must not reach who has lost it either.
func TestResetsWaitForAccessToo(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	w.guild(g2, []discord.UserID{anna}, c3)
	p := newProcess(w)
	release := make(chan struct{})
	p.reloading = func() { <-release }
	n := start(t, p, hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	a.delta(c1, 1)
	w.create(c1, carl, tidings.Mentions{})
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}))) // above a hole
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
	w.create(c3, carl, tidings.Mentions{})
	n.Tell(bg, told(w.create(c3, carl, tidings.Mentions{}))) // above another, which is due later
	a.delta(c3, 2)
	close(release)
	b.delta(c1, 3)
	a.next("access")
	a.settle()
	for _, f := range a.all() {
		if f.Op == "delta" && f.C == c1 && f.V > 1 {
			t.Errorf("frame of a lost channel: %s", f.raw)
		}
	}
}

// Scenario 5: what is told while a guild is hidden may be of access that the hub has not heard of, and must not be given later to who lost it.
func TestHiddenGuildIsShownAsOfTheNewestWord(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	b, a := n.dial(t, ben), n.dial(t, anna)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	b.delta(c1, 1)
	a.delta(c1, 1)
	cursor := a.leave(n)
	eventually(t, "she has left", func() bool { return !n.Connected(anna) })
	p.breakReload(errors.New("away"))
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(ben, c2, false)}})
	b.next("access")         // nothing is seen of it
	w.allow(anna, c1, false) // lost on its way
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	p.mu.Lock()
	p.loaded[g1] = 2 // access is back, as far as what was told
	p.mu.Unlock()
	p.breakReload(nil)
	b.next("access")
	again, _ := n.resume(t, anna, cursor, a)
	again.settle()
	for _, f := range again.all() {
		if f.Op == "delta" && f.C == c1 {
			t.Errorf("frame of a lost channel: %s", f.raw)
		}
	}
}

func TestMoreThanAGateHoldsBecomesAReset(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	p := newProcess(w)
	release := make(chan struct{})
	p.reloading = func() { <-release }
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.BoundDeltas(3) })
	b := n.dial(t, ben)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
	for range 10 {
		n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	}
	close(release)
	for v := int64(1); v <= 3; v++ {
		if f := b.delta(c1, v); f.K != "create" {
			t.Errorf("frame that had room = %s", f.raw)
		}
	}
	if f := b.delta(c1, 10); f.K != "reset" {
		t.Errorf("frame for what had no room = %s, want a reset", f.raw)
	}
}

func TestMoreThanAShardCanTakeBecomesAReset(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.BoundDeltas(3) })
	a := n.dial(t, anna)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c2, carl, tidings.Mentions{})))
	a.delta(c2, 1) // the guild's gate is open
	const many = 2000
	for range many - 1 {
		n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c2, carl, tidings.Mentions{})))
	}
	done, resets := map[discord.ChannelID]bool{}, 0
	a.until("the newest of both channels", func(f frame) bool {
		if f.K == "reset" {
			resets++
		}
		done[f.C] = done[f.C] || f.Op == "delta" && f.V == many
		return done[c1] && done[c2]
	})
	if resets == 0 {
		t.Error("no reset, although there was room for three")
	}
}

func TestChangesOfAccessLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2, c3)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	for i := range 20 {
		n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1+discord.ChannelID(i%3), i%2 == 0)}})
	}
	a.until("the last change", func(f frame) bool { return f.Op == "access" && len(f.Lost)+len(f.Gained) > 0 })
	a.ws.CloseNow()
	b.ws.CloseNow()
	eventually(t, "everything is forgotten", func() bool {
		u, a, tr, cr := n.Left()
		return u+a+tr+cr == 0
	})
}

// Scenario 20, and whatever else changes counts without being told in detail.
func TestResetOfTheStorePassesLikeADelta(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Quicken(time.Minute, time.Hour) })
	a := n.dial(t, anna)
	d := w.create(c1, ben, tidings.Mentions{})
	n.Tell(bg, told(tidings.Delta{Guild: g1, Channel: c1, Version: d.Version, AccessVersion: 1, Kind: tidings.DeltaReset}))
	if got, want := a.delta(c1, 1).raw, `{"op":"delta","c":"1001","g":"101","v":1,"k":"reset"}`; got != want {
		t.Errorf("reset = %s, want %s", got, want)
	}
}
