package hub_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/hub"
)

// valve is a network path to Redis that a test can shut.
type valve struct {
	mu    sync.Mutex
	shut  bool
	conns map[*deafConn]bool
}

// deafConn is a connection that can go deaf: nothing comes through any more in either direction, and nobody says so.
type deafConn struct {
	net.Conn
	deaf atomic.Bool
}

func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.deaf.Load() {
			return n, err
		}
	}
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.deaf.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// deafen makes all connections of now deaf.
func (v *valve) deafen() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for c := range v.conns {
		c.deaf.Store(true)
	}
}

// client returns a client whose connections go through the valve. Its options are those of the test's own client.
func (v *valve) client(t *testing.T, c redis.UniversalClient, name string) *redis.Client {
	t.Helper()
	o := *c.(*redis.Client).Options()
	v.conns = map[*deafConn]bool{}
	o.ClientName = name
	o.DialTimeout = time.Second
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.shut {
			return nil, errors.New("the valve is shut")
		}
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &deafConn{Conn: nc}
		v.conns[c] = true
		return c, nil
	}
	out := redis.NewClient(&o)
	t.Cleanup(func() { out.Close() })
	return out
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	if shut {
		for c := range v.conns {
			c.Close()
		}
		clear(v.conns)
	}
}

// counter reads a metric that has no labels.
func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// listening waits until n clients of a prefix are subscribed.
func listening(t *testing.T, c redis.UniversalClient, prefix string, n int64) {
	t.Helper()
	eventually(t, "the hubs listen", func() bool {
		subs, err := c.PubSubNumSub(bg, prefix+"hub:15", prefix+"hub:0").Result()
		return err == nil && subs[prefix+"hub:15"] >= n && subs[prefix+"hub:0"] >= n
	})
}

func TestTwoProcessesTellEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	r, prefix := testdb.Redis(t)
	one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	two := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	a1, a2, b2 := one.dial(t, anna), two.dial(t, anna, "session=s"), two.dial(t, ben)
	a2.send(`{"op":"watch","all":true}`)
	a2.settle()

	d := w.create(c1, carl, tidings.Mentions{})
	one.Tell(bg, told(d))
	a1.delta(c1, 1)
	a2.delta(c1, 1)
	if f := a2.next("message"); !strings.Contains(f.raw, `"content":"m`) {
		t.Errorf("message through Redis = %s", f.raw)
	}
	b2.delta(c1, 1)

	a1.send(`{"op":"read","channel":"1001","up_to":"` + d.ID.String() + `"}`)
	if got, want := a2.next("read").raw, a1.next("read").raw; got != want {
		t.Errorf("read in the other process = %s, want %s", got, want)
	}

	one.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
	for _, s := range []*socket{a1, a2} {
		if f := s.next("access"); len(f.Lost) != 1 || f.Lost[0] != c2 {
			t.Errorf("access = %s, want %d lost", f.raw, c2)
		}
	}
	// A message of an access version that the other process has not heard of.
	w.allow(anna, c1, false)
	one.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	b2.delta(c1, 2)
	a2.next("access")

	one.EndSession("s")
	if ce := a2.end(); ce.Code != 4003 {
		t.Errorf("ended session: closed with %v, want 4003", ce)
	}
}

func TestKilledRedisConnectionHeals(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	r, prefix := testdb.Redis(t)
	one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	name := strings.ReplaceAll(prefix, ":", "")
	two := start(t, newProcess(w), hub.Options{Redis: new(valve).client(t, r, name), Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	a := two.dial(t, anna)

	stop := make(chan struct{})
	var teller sync.WaitGroup
	var last tidings.Delta
	teller.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				last = w.create(c1, ben, tidings.Mentions{})
				one.Tell(bg, told(last))
			}
		}
	})
	for range 3 {
		killed := 0
		eventually(t, "the subscriber's connection is killed", func() bool {
			list, err := r.ClientList(bg).Result()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(list, "\n") {
				if !strings.Contains(line, " name="+name+" ") || !strings.Contains(line, " sub=16 ") {
					continue
				}
				id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
				if err := r.Do(bg, "CLIENT", "KILL", "ID", id).Err(); err == nil {
					killed++
				}
			}
			return killed > 0
		})
		listening(t, r, prefix, 2)
	}
	close(stop)
	teller.Wait()
	// What was lost shows as a reset, what was not as a delta: the checker saw no hole, and the newest has come.
	a.delta(c1, last.Version)
}

// A connection to Redis that is cut, or on which nothing comes through any more and nobody says so, at the one who hears or at the one who
// tells, is made anew by itself: changes themselves come again, not only the sweep's word that there were some.
func TestADeafRedisConnectionHeals(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	r, prefix := testdb.Redis(t)
	teller, hearer := new(valve), new(valve)
	one := start(t, newProcess(w), hub.Options{Redis: teller.client(t, r, "teller"), Prefix: prefix}, nil)
	two := start(t, newProcess(w), hub.Options{Redis: hearer.client(t, r, "hearer"), Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	a := two.dial(t, anna)
	stop := make(chan struct{})
	var talk sync.WaitGroup
	var newest atomic.Int64
	talk.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				d := w.create(c1, ben, tidings.Mentions{})
				one.Tell(bg, told(d))
				newest.Store(d.Version)
			}
		}
	})
	for range 2 {
		for _, tt := range []struct {
			name string
			do   func()
		}{
			{"the hearer's connections are cut", func() { hearer.set(true); hearer.set(false) }},
			{"the hearer's connections go deaf", hearer.deafen},
			{"the teller's connections are cut", func() { teller.set(true); teller.set(false) }},
			{"the teller's connections go deaf", teller.deafen},
		} {
			began := time.Now()
			tt.do()
			after := newest.Load() + 20 // what was told before may be on its way
			a.until(tt.name, func(f frame) bool { return f.Op == "delta" && f.K == "create" && f.V > after })
			t.Logf("%s: changes come again after %v", tt.name, time.Since(began).Round(time.Millisecond))
		}
	}
	close(stop)
	talk.Wait()
	a.reaches(c1, newest.Load())
}

func TestRedisAwayAtStartAndLater(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	r, prefix := testdb.Redis(t)
	v1, v2 := &valve{shut: true}, &valve{shut: true}
	p1, p2 := newProcess(w), newProcess(w)
	reg := prometheus.NewRegistry()
	one := start(t, p1, hub.Options{Redis: v1.client(t, r, "one"), Prefix: prefix, Metrics: reg}, nil)
	two := start(t, p2, hub.Options{Redis: v2.client(t, r, "two"), Prefix: prefix}, nil)
	a1, a2 := one.dial(t, anna), two.dial(t, anna)

	one.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a1.delta(c1, 1) // local sockets go on
	v1.set(false)
	v2.set(false)
	if f := a2.delta(c1, 1); f.K != "reset" {
		t.Errorf("frame of what was lost = %s, want a reset", f.raw)
	}
	listening(t, r, prefix, 2)
	one.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a1.delta(c1, 2)
	a2.delta(c1, 2)

	lost := counter(t, reg, "tidings_hub_bus_unpublished_total")
	v1.set(true) // the publisher alone is cut off
	d := w.create(c2, ben, tidings.Mentions{})
	one.Tell(bg, told(d))
	a1.delta(c2, 1)
	a1.send(`{"op":"read","channel":"1002","up_to":"` + d.ID.String() + `"}`)
	a1.next("read")
	eventually(t, "both cannot be published", func() bool { return counter(t, reg, "tidings_hub_bus_unpublished_total") >= lost+2 })
	v1.set(false)
	var reset, mark bool
	a2.until("the reset and the mark that were lost", func(f frame) bool {
		reset = reset || f.Op == "delta" && f.C == c2 && f.K == "reset"
		mark = mark || f.Op == "read" && f.Rev == 1
		return reset && mark
	})
	one.Tell(bg, told(w.create(c2, ben, tidings.Mentions{})))
	a2.delta(c2, 2)
}

// All processes end with the same, whoever told what and whatever Redis lost.
func TestClientsOfTwoProcessesEndWithTheTruth(t *testing.T) {
	t.Parallel()
	w := newWorld()
	users := []discord.UserID{anna, ben, carl}
	channels := ids(t, 6)
	w.guild(g1, users, channels[:3]...)
	w.guild(g2, users, channels[3:]...)
	r, prefix := testdb.Redis(t)
	v := &valve{}
	nodes := []*node{
		start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, func(h *hub.Hub) { h.Quicken(30*time.Millisecond, 200*time.Millisecond) }),
		start(t, newProcess(w), hub.Options{Redis: v.client(t, r, "two"), Prefix: prefix}, func(h *hub.Hub) { h.Quicken(30*time.Millisecond, 200*time.Millisecond) }),
	}
	listening(t, r, prefix, 2)
	rnd := rand.New(rand.NewPCG(1, 2))
	var follows []*follower
	for i, u := range users {
		follows = append(follows, follow(t, nodes[i%2], u), follow(t, nodes[(i+1)%2], u))
	}
	for i := range 1500 {
		n := nodes[rnd.IntN(2)]
		c, u := channels[rnd.IntN(len(channels))], users[rnd.IntN(len(users))]
		switch x := rnd.IntN(20); {
		case x < 12:
			m := tidings.Mentions{Everyone: rnd.IntN(10) == 0}
			if rnd.IntN(3) == 0 {
				m.Users = []discord.UserID{users[rnd.IntN(3)]}
			}
			if rnd.IntN(3) == 0 {
				m.Roles = []discord.RoleID{discord.RoleID(1 + rnd.IntN(2))}
			}
			d := w.create(c, u, m)
			if rnd.IntN(30) != 0 { // else it crashes before telling
				n.Tell(bg, told(d))
			}
		case x < 15:
			some := rnd.IntN(12)
			if d, ok := w.remove(c, func(id discord.MessageID) bool { return int(id)%12 == some }); ok {
				n.Tell(bg, told(d))
			}
		case x < 16:
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(u, c, rnd.IntN(2) == 0)}})
		case x < 17:
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(u, g1, discord.RoleID(1+rnd.IntN(2)))}})
		default:
			set := n.process.Visible(u)
			m, err := n.process.MarkRead(bg, set, tidings.MarkRead{Channel: c, UpTo: w.newest() - discord.MessageID(rnd.IntN(20))})
			if err == nil && rnd.IntN(10) != 0 { // else it crashes before telling
				n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{m}})
			}
		}
		if i%400 == 200 {
			v.set(true)
		}
		if i%400 == 300 {
			v.set(false)
		}
	}
	v.set(false)
	// A mark that was never told shows with the next one of the same person.
	for _, u := range users {
		p := nodes[0].process
		m, err := p.MarkRead(bg, p.Visible(u), tidings.MarkRead{Channel: channels[0], UpTo: 1})
		for _, c := range channels {
			if err == nil {
				break
			}
			m, err = p.MarkRead(bg, p.Visible(u), tidings.MarkRead{Channel: c, UpTo: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].Tell(bg, tidings.Result{Reads: []tidings.ReadResult{m}})
	}
	for _, f := range follows {
		f.becomes(w)
	}
}

func TestRecoveredMessagesAreToldToWhoMaySeeTheChannel(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	r, prefix := testdb.Redis(t)
	one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	two := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	a1, a2, b2 := one.dial(t, anna), two.dial(t, anna), two.dial(t, ben)

	// Ben loses the channel in the same moment: the word of it is newer than what his process knows.
	w.allow(ben, c1, false)
	recovered := tidings.Recovered{Guild: g1, Channel: c1, AccessVersion: 2, From: 500, To: 600, N: 3}
	one.Tell(bg, tidings.Result{
		Deltas:    []tidings.Delta{w.create(c1, carl, tidings.Mentions{}), w.create(c2, carl, tidings.Mentions{})},
		Recovered: []tidings.Recovered{recovered},
	})
	for _, s := range []*socket{a1, a2} {
		if got, want := s.next("recovered").raw, `{"op":"recovered","c":"1001","from":"500","to":"600","n":3}`; got != want {
			t.Errorf("frame = %s, want %s", got, want)
		}
	}
	one.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	a1.delta(c1, 2) // the channel's versions go on as if nothing had been between
	a2.delta(c1, 2)
	one.Tell(bg, told(w.create(c2, carl, tidings.Mentions{})))
	b2.delta(c2, 2)
	for _, f := range b2.all() {
		if f.Op == "recovered" {
			t.Errorf("ben was told of what he may not see: %s", f.raw)
		}
	}
}
