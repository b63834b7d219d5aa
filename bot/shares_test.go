package bot

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/ingest"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
)

// fleet is processes that share a database and the shards of one bot.
type fleet struct {
	t      *testing.T
	st     *store.Store
	url    string
	token  string
	shards int
	drain  time.Duration // 0: as other tests have it
	block  chan struct{} // when set, a message is put when it is closed

	mu      sync.Mutex
	put     map[discord.ChannelID][]string // what each channel's messages said, in the order in which they were put, by whichever process
	refused int                            // how often ShardWanted has said no to somebody
	agreed  int                            // and yes
}

type quietTeller struct{}

func (quietTeller) Tell(context.Context, tidings.Result) {}

func newFleet(t *testing.T, url, token string, shards int) *fleet {
	t.Helper()
	client, prefix := testdb.Redis(t)
	st, err := store.Open(t.Context(), store.Options{
		DatabaseURL: testdb.Postgres(t), Redis: client, Prefix: prefix, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &fleet{t: t, st: st, url: url, token: token, shards: shards, put: map[discord.ChannelID][]string{}}
}

// asked is the store, and counts who is asked for shards.
type asked struct {
	*store.Store
	f *fleet
}

func (a asked) ShardWanted(ctx context.Context, shards int, owner string) (bool, error) {
	wanted, err := a.Store.ShardWanted(ctx, shards, owner)
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	switch {
	case err != nil:
	case wanted:
		a.f.agreed++
	default:
		a.f.refused++
	}
	return wanted, err
}

// door is a process' ingest, and notes what comes through it.
type door struct {
	*ingest.Ingest
	f *fleet
}

func (d door) Put(ctx context.Context, ev tidings.Event) error {
	if b, ok := ev.Body.(tidings.MessageCreated); ok {
		if d.f.block != nil {
			select {
			case <-d.f.block:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		d.f.mu.Lock()
		d.f.put[ev.Channel] = append(d.f.put[ev.Channel], b.Message.Content)
		d.f.mu.Unlock()
	}
	return d.Ingest.Put(ctx, ev)
}

// start starts a process; stopping what it returns ends it in good order.
func (f *fleet) start(owner string) *testBot {
	f.t.Helper()
	in := ingest.New(f.st, quietTeller{}, ingest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := in.Run(ctx); err != nil {
			f.t.Errorf("ingest.Run() = %v", err)
		}
	}()
	f.t.Cleanup(func() { cancel(); <-ended })
	return beginAt(f.t, newMemory(), f.url, f.token, func(b *Bot) {
		b.sink, b.sessions, b.owner = door{in, f}, asked{f.st, f}, owner
		b.sharer, b.flusher, b.ledger, b.guilds, b.dead = asked{f.st, f}, in, f.st, f.st, in
		b.pace.leaseTTL, b.pace.share, b.pace.given, b.pace.hole = 2*time.Second, 50*time.Millisecond, 10*time.Millisecond, time.Hour
		b.pace.drain = cmp.Or(f.drain, b.pace.drain)
	})
}

// run says how many shards each owner runs, those that listen.
func (f *fleet) run() map[string]int {
	f.t.Helper()
	list, err := f.st.ShardLeases(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	n := map[string]int{}
	for _, l := range list {
		if l.Held && l.Listening {
			n[l.Owner]++
		}
	}
	return n
}

// until waits for ok, and does something meanwhile.
func (f *fleet) until(what string, meanwhile func(), ok func() bool) {
	f.t.Helper()
	for late := time.Now().Add(patience); !ok(); {
		if time.Now().After(late) {
			f.t.Fatalf("%s: did not come about; there are %v", what, f.run())
		}
		if meanwhile != nil {
			meanwhile()
			continue
		}
		<-time.After(5 * time.Millisecond)
	}
}

// runs waits until each owner runs so many shards.
func (f *fleet) runs(want map[string]int, meanwhile func()) {
	f.t.Helper()
	f.until(fmt.Sprint(want), meanwhile, func() bool {
		got := f.run()
		for owner, n := range want {
			if got[owner] != n {
				return false
			}
		}
		return true
	})
}

func (f *fleet) given(owner string) []int {
	f.t.Helper()
	list, err := f.st.GivenShards(f.t.Context(), f.shards, owner)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func (f *fleet) looks() (agreed, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.agreed, f.refused
}

// discordFleet is a simulated Discord with a server on each shard, and the fleet of its bot.
type discordFleet struct {
	*simtest.Running
	*fleet
	ann      simtest.Person
	channels []string // one of each shard
	said     map[string][]string
	n        int
}

func newDiscordFleet(t *testing.T, shards int) *discordFleet {
	t.Helper()
	r := simtest.Start(t, sim.Options{Shards: shards, RequireShards: true, MaxConcurrency: shards, NoRateLimits: true})
	d := &discordFleet{Running: r, fleet: newFleet(t, r.URL, r.Bot.Token, shards), ann: r.Person("ann"), said: map[string][]string{}}
	d.channels = make([]string, shards)
	for left := shards; left > 0; {
		g := r.Guild("Gophers", d.ann, nil, []string{"general"}, nil)
		id, err := strconv.ParseUint(g.ID, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if of := &d.channels[int(id>>22)%shards]; *of == "" {
			*of = g.Channel("general")
			left--
		}
	}
	return d
}

// say says the next thing, each time on another shard.
func (d *discordFleet) say() {
	channel := d.channels[d.n%len(d.channels)]
	d.n++
	d.Say(d.ann, channel, "message "+strconv.Itoa(d.n))
	d.said[channel] = append(d.said[channel], "message "+strconv.Itoa(d.n))
}

type begun struct{ Identifies, Resumed int }

func (d *discordFleet) begun() (b begun) {
	d.t.Helper()
	d.Sim200("GET", "/sim/log", nil, &b)
	return b
}

// fresh forgets what was said so far, when the last of it has come.
func (d *discordFleet) fresh() {
	for range d.channels {
		d.say()
	}
	d.until("the last thing that was said comes", nil, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for channel, said := range d.said {
			id, _ := strconv.ParseUint(channel, 10, 64)
			if put := d.put[discord.ChannelID(id)]; len(put) == 0 || put[len(put)-1] != said[len(said)-1] {
				return false
			}
		}
		return true
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.put)
	clear(d.said)
}

// agree waits until all that was said has come, and holds it against that: each thing once, and in order.
func (d *discordFleet) agree() {
	d.t.Helper()
	d.until("all that was said comes", nil, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		n := 0
		for _, list := range d.put {
			n += len(list)
		}
		for _, list := range d.said {
			n -= len(list)
		}
		return n >= 0
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for channel, want := range d.said {
		id, _ := strconv.ParseUint(channel, 10, 64)
		if got := d.put[discord.ChannelID(id)]; !slices.Equal(got, want) {
			d.t.Errorf("in channel %s came %v, want %v", channel, got, want)
		}
	}
}

func TestAProcessThatComesBackGetsItsShareOfTheShards(t *testing.T) {
	t.Parallel()
	d := newDiscordFleet(t, 4)
	d.start("one#1")
	d.runs(map[string]int{"one#1": 4}, nil)
	two := d.start("two#1")
	d.runs(map[string]int{"one#1": 2, "two#1": 2}, d.say)
	d.agree()
	two.stop()
	d.runs(map[string]int{"one#1": 4}, nil)
	d.fresh() // What was not counted yet when it stopped has come twice.
	before := d.begun()
	d.start("two#2")
	d.runs(map[string]int{"one#1": 2, "two#2": 2}, d.say)
	for range 40 { // Both go on.
		d.say()
	}
	d.agree()
	after := d.begun()
	if after.Identifies != before.Identifies || after.Resumed < before.Resumed+2 {
		t.Errorf("%d sessions were begun and %d resumed, want two resumed", after.Identifies-before.Identifies, after.Resumed-before.Resumed)
	}
}

func TestWhoHasOneShardMoreKeepsIt(t *testing.T) {
	t.Parallel()
	d := newDiscordFleet(t, 3)
	d.start("one#1")
	d.runs(map[string]int{"one#1": 3}, nil)
	d.start("two#1")
	d.runs(map[string]int{"one#1": 2, "two#1": 1}, nil)
	before, _ := d.begun(), d.run()
	_, from := d.looks()
	d.until("it was asked for shards some times more", d.say, func() bool { _, n := d.looks(); return n > from+10 })
	d.agree()
	if after, got := d.begun(), d.run(); after != before || got["one#1"] != 2 || got["two#1"] != 1 {
		t.Errorf("sessions %+v of %v, want %+v as before, of two and one", after, got, before)
	}
}

// One that says that it waits, is given a shard and is gone.
func TestAShardOfAProcessThatDiesWhenItIsHandedOverIsTakenBack(t *testing.T) {
	t.Parallel()
	d := newDiscordFleet(t, 4)
	d.start("one#1")
	d.runs(map[string]int{"one#1": 4}, nil)
	before := d.begun()
	given := func() []int { return d.given("ghost#1") }
	if _, err := d.st.AwaitShards(t.Context(), 4, "ghost#1", time.Minute); err != nil {
		t.Fatal(err)
	}
	d.until("a shard is handed over", d.say, func() bool { return len(given()) > 0 })
	if _, err := d.st.AwaitShards(t.Context(), 4, "ghost#1", 0); err != nil {
		t.Fatal(err)
	}
	if n := len(given()); n > 1 {
		t.Errorf("%d shards were handed over, want one until it is taken up", n)
	}
	d.runs(map[string]int{"one#1": 4}, d.say)
	d.agree()
	if after := d.begun(); after.Identifies != before.Identifies {
		t.Errorf("%d sessions were begun, want the old ones resumed", after.Identifies-before.Identifies)
	}
}

// What was received is the holder's to store.
func TestAShardIsNotHandedOverBeforeAllThatCameIsStored(t *testing.T) {
	t.Parallel()
	d := newDiscordFleet(t, 4)
	d.drain, d.block = 100*time.Millisecond, make(chan struct{})
	d.start("one#1")
	d.runs(map[string]int{"one#1": 4}, nil)
	before := d.begun()
	for range d.shards {
		d.say()
	}
	if _, err := d.st.AwaitShards(t.Context(), d.shards, "ghost#1", time.Minute); err != nil {
		t.Fatal(err)
	}
	d.until("it was tried to hand shards over", nil, func() bool { return d.begun().Resumed >= before.Resumed+3 })
	if given := d.given("ghost#1"); len(given) > 0 {
		t.Fatalf("the shards %v were handed over before their messages were stored", given)
	}
	close(d.block)
	d.until("a shard is handed over", nil, func() bool { return len(d.given("ghost#1")) > 0 })
	for _, g := range d.given("ghost#1") {
		id, _ := strconv.ParseUint(d.channels[g], 10, 64)
		if page, err := d.st.Messages(t.Context(), store.PageQuery{Channel: discord.ChannelID(id), Limit: 10}); err != nil || len(page.Messages) != 1 {
			t.Errorf("of the shard that was handed over %+v is stored, %v, want its message", page.Messages, err)
		}
	}
}

// What is missing of a session is known to the process that runs it.
func TestAShardWithAHoleIsNotHandedOver(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.limits(1000, 1000, time.Hour, 2)
	f.gateway["shards"] = 2
	d := newFleet(t, f.URL, "Bot secret", 2)
	d.start("one#1")
	conns := []*fakeConn{f.dialed(t), f.dialed(t)}
	for i, c := range conns {
		c.expect(2)
		c.ready("session " + strconv.Itoa(i))
	}
	d.runs(map[string]int{"one#1": 2}, nil)
	for i, c := range conns {
		c.dispatch(3, "MESSAGE_CREATE", message9(1003+i))
	}
	d.until("both messages come", nil, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.put[9]) == 2 })
	if _, err := d.st.AwaitShards(t.Context(), 2, "ghost#1", time.Minute); err != nil {
		t.Fatal(err)
	}
	from, _ := d.looks()
	d.until("a shard was wanted some times", nil, func() bool { n, _ := d.looks(); return n > from+10 })
	if got := d.run()["one#1"]; got != 2 {
		t.Fatalf("it runs %d shards, want both kept", got)
	}
	for i, c := range conns {
		c.dispatch(2, "MESSAGE_CREATE", message9(1001+i))
	}
	d.until("the hole is filled and a shard is handed over", nil, func() bool { return len(d.given("ghost#1")) == 1 })
	if got := d.given("one#1"); len(got) != 1 {
		t.Errorf("it has the shards %v, want one", got)
	}
}
