package hub_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/hub"
)

// What a process does that knows less of who may read what than is stored, or than it has heard. Scenario 5.

// names complains of each frame from number first on that names channel c1, but for those that say that it is lost.
func names(t *testing.T, s *socket, first int) {
	t.Helper()
	for _, f := range s.all()[first:] {
		if f.Op != "access" && strings.Contains(f.raw, `"1001"`) {
			t.Errorf("%s names a lost channel", f.raw)
		}
	}
}

// whenLooked runs f once access was asked for somebody's channels again.
func (p *process) whenLooked(f func()) {
	asked := p.visible.Load()
	go func() {
		for p.visible.Load() == asked {
			time.Sleep(5 * time.Millisecond)
		}
		f()
	}()
}

// Scenario 5: who comes is shown nothing as of before a change that this process has heard of.
func TestWhoComesWaitsForAccess(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	release, reloading := make(chan struct{}), make(chan struct{})
	p.reloading = sync.OnceFunc(func() { close(reloading); <-release })
	n := start(t, p, hub.Options{}, nil)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
	<-reloading
	w.create(c1, carl, tidings.Mentions{})
	p.whenLooked(func() { close(release) })
	a := n.open(t, anna, "")
	a.settle()
	names(t, a, 0)
}

// Scenario 5: a process that has just begun shows nothing before it has looked for what it could not hear.
func TestWhoComesWaitsForTheFirstSweep(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	w.allow(anna, c1, false) // after access was loaded, and before the hub listens
	n := start(t, p, hub.Options{}, nil)
	a := n.open(t, anna)
	if f := a.next("snapshot"); strings.Contains(f.raw, `"1001"`) {
		t.Errorf("%s names a lost channel", f.raw)
	}
	if !n.Ready() {
		t.Error("it is not ready")
	}
}

func TestWhatComesWhileAGuildIsBeingHidden(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	p := newProcess(w)
	var armed atomic.Bool
	hiding, release := make(chan struct{}), make(chan struct{})
	hide := sync.OnceFunc(func() { close(hiding); <-release })
	p.looking = func() {
		if armed.Load() {
			hide()
		}
	}
	n := start(t, p, hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	for _, s := range []*socket{a, b} {
		s.send(`{"op":"watch","all":true}`)
		s.settle()
	}
	first := len(a.all())
	p.breakReload(errors.New("away"))
	armed.Store(true)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
	<-hiding
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	a.settle()
	close(release)
	a.next("access")
	a.settle()
	names(t, a, first)
}

func TestAccessThatMovesWhileCountsAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	p.reloading = func() { <-release }
	var n *node
	p.summing = sync.OnceFunc(func() {
		shut := w.allow(anna, c1, false)
		w.create(c1, carl, tidings.Mentions{})
		p.whenLooked(let) // once the snapshot is not given, and begun again
		n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{shut}})
	})
	n = start(t, p, hub.Options{}, nil)
	a := n.open(t, anna)
	a.next("snapshot")
	names(t, a, 0)
}

func TestASweepFindsAccessBeforeWhatWasSaidAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	p := newProcess(w)
	var armed atomic.Bool
	p.versions = func() {
		if armed.CompareAndSwap(true, false) {
			w.allow(anna, c1, false)
			w.create(c1, carl, tidings.Mentions{})
		}
	}
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.Quicken(20*time.Millisecond, 300*time.Millisecond) })
	a, b := n.dial(t, anna), n.dial(t, ben)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	a.delta(c1, 1)
	b.delta(c1, 1)
	first := len(a.all())
	armed.Store(true)
	b.delta(c1, 2)
	a.next("access")
	a.settle()
	names(t, a, first)
}

// The log and the store say what was said before the bus has said that the channel was shut.
func TestWhatIsLoggedIsGivenByTheNewestAccess(t *testing.T) {
	t.Parallel()
	for name, deleted := range map[string]int{"all of it": -1, "some of it": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
			r, prefix := testdb.Redis(t)
			one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
			listening(t, r, prefix, 1)
			a, b := one.dial(t, anna), one.dial(t, ben)
			one.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
			a.delta(c1, 1)
			cursor := a.leave(one)
			eventually(t, "the journal is written", one.Journaled)

			// Under another prefix nothing of what the first tells is heard, as when the bus is slow.
			two := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix + "slow:"}, nil)
			eventually(t, "it has swept", two.Ready)
			one.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, false)}})
			one.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
			one.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
			b.delta(c1, 3)
			log := prefix + "hub:log:" + g1.String()
			eventually(t, "it is logged", func() bool { return r.XLen(bg, log).Val() == 3 })
			if deleted >= 0 {
				r.XDel(bg, log, r.XRange(bg, log, "-", "+").Val()[deleted].ID)
			}
			for _, key := range r.Keys(bg, prefix+"hub:*").Val() {
				if err := r.Copy(bg, key, prefix+"slow:"+strings.TrimPrefix(key, prefix), 0, true).Err(); err != nil {
					t.Fatal(err)
				}
			}
			knows := func(s *socket) { s.visible[c1], s.visible[c2], s.began = true, true, true }
			s := two.openWith(t, anna, knows, "cursor="+url.QueryEscape(cursor))
			hello := s.next("hello")
			s.settle()
			names(t, s, 0)
			if hello.Resumed {
				t.Errorf("hello = %s, want it not resumed", hello.raw)
			}
		})
	}
}

// A guild was hidden and is shown again, and a newer change is heard of before what waited has passed.
func TestWhoComesWaitsForAccessAgain(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	p := newProcess(w)
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	var armed, held atomic.Bool
	p.reloading = func() {
		if held.Load() {
			<-release
		}
	}
	var n *node
	newer := sync.OnceFunc(func() {
		p.mu.Lock()
		p.loaded[g1] = 2
		p.mu.Unlock()
		held.Store(true)
		shut := w.allow(anna, c1, false)
		w.create(c1, carl, tidings.Mentions{})
		n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{shut}})
	})
	p.looking = func() {
		if armed.Load() {
			newer()
		}
	}
	n = start(t, p, hub.Options{}, nil)
	b := n.dial(t, ben)
	p.breakReload(errors.New("away"))
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(ben, c2, false)}})
	b.next("access") // hidden
	armed.Store(true)
	p.mu.Lock()
	p.loaded[g1] = 2
	p.mu.Unlock()
	p.breakReload(nil)
	b.next("access") // shown
	p.whenLooked(let)
	a := n.open(t, anna)
	a.next("snapshot")
	names(t, a, 0)
}

// A guild that is reloaded slowly keeps nobody of other guilds waiting.
func TestWhoWaitsForAccessTakesNobodysTurn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var users []discord.UserID
	for i := range 20 {
		users = append(users, discord.UserID(50+i))
	}
	w.guild(g1, users, c1, c2)
	w.guild(g2, []discord.UserID{carl, ben}, c3)
	p := newProcess(w)
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	p.reloading = func() { <-release }
	n := start(t, p, hub.Options{}, nil)
	var all []*socket
	for _, u := range users {
		all = append(all, n.dial(t, u))
	}
	c := n.dial(t, carl)
	change := w.allow(users[0], c2, false)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{{Guild: g1, Version: change.Version}}})
	for _, s := range all {
		s.send(`{"op":"sync","channels":["1001"]}`)
		s.settle()
	}
	asked := p.visible.Load()
	var further sync.WaitGroup
	for _, u := range users {
		further.Go(func() { n.open(t, u) })
	}
	eventually(t, "their further devices wait", func() bool { return p.visible.Load() >= asked+int64(len(users)) })
	c.send(`{"op":"sync","channels":["1003"]}`)
	c.next("count")
	n.dial(t, ben)
	let()
	for _, s := range all {
		s.next("count")
	}
	further.Wait()
}

func TestTheEndDoesNotWaitForTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	p := newProcess(w)
	p.noAccess.Store(true)
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.Patience(time.Hour) })
	a := n.open(t, anna)
	n.stop()
	if got := a.end().Code; got != 1012 {
		t.Errorf("closed with %d, want 1012", got)
	}
}

// Looking at sessions takes long and holds up no sweep.
func TestSweepsGoOnWhileSessionsAreLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	looking := make(chan struct{})
	look := sync.OnceFunc(func() { close(looking) })
	n := start(t, newProcess(w), hub.Options{Alive: func(ctx context.Context, _ string) (bool, error) {
		look()
		<-ctx.Done()
		return false, ctx.Err()
	}}, func(h *hub.Hub) { h.Quicken(20*time.Millisecond, 20*time.Millisecond); h.Patience(time.Hour) })
	a := n.dial(t, anna, "session=s1")
	<-looking
	w.allow(anna, c1, false) // untold
	a.next("access")
}

// A process to which no word of a change has come yet finds it stored beside what was said after it.
func TestCountsAreNotOfNewerAccessThanWasHeard(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil) // which sweeps but once
	a := n.dial(t, anna)
	first := len(a.all())
	w.allow(anna, c1, false)
	w.create(c1, carl, tidings.Mentions{})
	a.send(`{"op":"sync","channels":["1001"]}`)
	a.next("access")
	names(t, a, first)

	w.allow(anna, c2, false)
	w.create(c2, carl, tidings.Mentions{})
	further := n.open(t, anna)
	if f := further.next("snapshot"); strings.Contains(f.raw, `"1002"`) {
		t.Errorf("%s names a lost channel", f.raw)
	}
}
