package hub_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/hub"
)

// leave ends a connection and returns the cursor that it had last.
func (s *socket) leave(n *node) string {
	s.t.Helper()
	s.send(`{"op":"ping"}`)
	cursor := s.next("pong").Cursor
	s.ws.Close(websocket.StatusNormalClosure, "")
	return cursor
}

// resume comes back with a cursor, knowing what the earlier connection knew, and returns the hello.
func (n *node) resume(t *testing.T, user discord.UserID, cursor string, before *socket) (*socket, frame) {
	t.Helper()
	before.mu.Lock()
	seed := func(s *socket) {
		s.began = true
		for c, v := range before.version {
			s.version[c] = v
		}
		for c := range before.visible {
			s.visible[c] = true
		}
	}
	defer before.mu.Unlock()
	s := n.openWith(t, user, seed, "cursor="+url.QueryEscape(cursor))
	return s, s.next("hello")
}

func TestWhoComesBackGetsExactlyWhatWasMissed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2, c3)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	a.send(`{"op":"watch","channels":["1001"]}`)
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.delta(c1, 1)
	cursor := a.leave(n)
	eventually(t, "she has left", func() bool { return n.Users() == 0 })

	n.Tell(bg, told(w.create(c3, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{})))
	n.Tell(bg, tidings.Result{Recovered: []tidings.Recovered{{Guild: g1, Channel: c2, From: 1, To: 2, N: 3}}})
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))

	b, hello := n.resume(t, anna, cursor, a)
	if !hello.Resumed {
		t.Fatalf("hello = %s, want it resumed", hello.raw)
	}
	b.send(`{"op":"watch","channels":["1001"]}`)
	b.settle()
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	b.until("the message of now", func(f frame) bool { return f.Op == "message" && f.V == 4 })
	var got []string
	for _, f := range b.all() {
		got = append(got, fmt.Sprintf("%s %d %d", f.Op, f.C, f.V))
	}
	want := []string{
		"hello 0 0", "delta 1003 1", "delta 1001 2", "recovered 1002 0", "delta 1001 3", "message 1001 2", "message 1001 3", "pong 0 0",
		"delta 1001 4", "message 1001 4",
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("after coming back:\n%s, want\n%s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
	// Whoever comes back with the cursor of the hello gets all of that once more, and what came since.
	b.ws.CloseNow()
	n.Tell(bg, told(w.create(c2, ben, tidings.Mentions{})))
	c, again := n.resume(t, anna, hello.Cursor, a)
	if !again.Resumed {
		t.Fatalf("hello = %s, want it resumed", again.raw)
	}
	c.delta(c1, 4)
	c.delta(c2, 1)
}

func TestWhoCannotBeResumedGetsASnapshot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, w *world, n *node)
		cursor func(string) string
		user   discord.UserID
	}{
		{name: "a mark was made", change: func(t *testing.T, w *world, n *node) {
			d := w.create(c1, ben, tidings.Mentions{})
			n.Tell(bg, told(d))
			other := n.dial(t, anna)
			other.send(fmt.Sprintf(`{"op":"read","channel":"1001","up_to":"%d"}`, d.ID))
			other.next("read")
		}},
		{name: "a mark was made and never told", change: func(_ *testing.T, w *world, n *node) {
			n.MarkRead(bg, w.set(anna), tidings.MarkRead{Channel: c1, UpTo: 5})
		}},
		{name: "a channel was lost", change: func(_ *testing.T, w *world, n *node) {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
		}},
		{name: "a channel was gained", change: func(_ *testing.T, w *world, n *node) {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c3, true)}})
		}},
		{name: "roles are others", change: func(_ *testing.T, w *world, n *node) {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(anna, g1, 77)}})
		}},
		{name: "it was too long ago", change: func(t *testing.T, w *world, n *node) {
			n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
			n.Left() // as after the time for which things are kept
		}},
		{name: "more was missed than is kept", change: func(_ *testing.T, w *world, n *node) {
			for range 600 {
				n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
			}
		}},
		{name: "somebody else's cursor", user: ben},
		{name: "a cursor of another hub", cursor: func(c string) string {
			parts := strings.Split(c, ".")
			parts[1] = "0123456789abcdef"
			return strings.Join(parts, ".")
		}},
		{name: "a cursor of the future", cursor: func(c string) string {
			parts := strings.Split(c, ".")
			parts[2] = "zzzz"
			return strings.Join(parts, ".")
		}},
		{name: "no cursor", cursor: func(string) string { return "2.x'--.1.1.1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
			w.guild(g2, []discord.UserID{ben}, c3)
			n := start(t, newProcess(w), hub.Options{}, nil)
			a := n.dial(t, anna)
			cursor := a.leave(n)
			eventually(t, "she has left", func() bool { return n.Users() == 0 })
			if tt.change != nil {
				tt.change(t, w, n)
			}
			if tt.cursor != nil {
				cursor = tt.cursor(cursor)
			}
			user := anna
			if tt.user != 0 {
				user = tt.user
			}
			b := n.open(t, user, "cursor="+url.QueryEscape(cursor))
			if f := b.next("hello"); f.Resumed {
				t.Errorf("hello = %s, want it not resumed", f.raw)
			}
			b.next("snapshot")
			n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
			b.next("delta")
		})
	}
}

// An access change and an answer that are still on their way make a cursor that is not resumed from.
func TestCursorDoesNotStandForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	p := newProcess(w)
	held := make(chan struct{})
	p.counted = func([]discord.ChannelID) { <-held }
	n := start(t, p, hub.Options{}, nil)
	a := n.dial(t, anna)
	a.send(`{"op":"sync","channels":["1001"]}`)
	cursor := a.leave(n)
	close(held)
	b, hello := n.resume(t, anna, cursor, a)
	if hello.Resumed {
		t.Errorf("resumed although the counts asked for had not come")
	}
	b.next("snapshot")
}

// A connection may break between any two frames: a cursor stands for what came before it, never for what follows.
func TestACursorStandsForWhatCameBeforeIt(t *testing.T) {
	t.Parallel()
	create := func(w *world, n *node) { n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}))) }
	for _, tt := range []struct {
		name string
		// cursor returns one, and the connection on which it came, as if that had broken right after it.
		cursor func(t *testing.T, w *world, n *node) (string, *socket)
		missed func(frame) bool
	}{
		{"the hello of who came back", func(t *testing.T, w *world, n *node) (string, *socket) {
			a := n.dial(t, anna)
			cursor := a.leave(n)
			create(w, n)
			b, hello := n.resume(t, anna, cursor, a)
			b.delta(c1, 1)
			b.ws.CloseNow()
			return hello.Cursor, a
		}, isDelta(c1, 1)},
		{"a snapshot, before a delta", func(t *testing.T, w *world, n *node) (string, *socket) {
			var once sync.Once
			n.summaries = func(*tidings.Unread) { once.Do(func() { create(w, n) }) }
			a := n.open(t, anna)
			hello := a.next("hello")
			a.delta(c1, 1)
			a.ws.CloseNow()
			a.mu.Lock()
			defer a.mu.Unlock()
			a.version[c1] = 0
			return hello.Cursor, a
		}, isDelta(c1, 1)},
		{"a snapshot, before a mark", func(t *testing.T, w *world, n *node) (string, *socket) {
			create(w, n)
			var once sync.Once
			n.summaries = func(*tidings.Unread) {
				once.Do(func() {
					r, err := n.MarkRead(bg, w.set(anna), tidings.MarkRead{Channel: c1, UpTo: w.newest()})
					if err != nil {
						t.Error(err)
					}
					n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{r}})
				})
			}
			a := n.open(t, anna)
			hello := a.next("hello")
			a.next("read")
			a.ws.CloseNow()
			return hello.Cursor, a
		}, func(f frame) bool { return f.Op == "read" }},
		{"a snapshot that is older than what has passed", func(t *testing.T, w *world, n *node) (string, *socket) {
			create(w, n)
			n.summaries = func(u *tidings.Unread) {
				u.Guilds[0].Channels[0].Version = 0
				n.summaries = nil
			}
			a := n.open(t, anna)
			hello := a.next("hello")
			a.delta(c1, 1)
			a.ws.CloseNow()
			a.mu.Lock()
			defer a.mu.Unlock()
			a.version[c1] = 0
			return hello.Cursor, a
		}, isDelta(c1, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna, ben}, c1, c2, c3)
			n := start(t, newProcess(w), hub.Options{}, nil)
			other := n.dial(t, ben)
			n.Tell(bg, told(w.create(c2, carl, tidings.Mentions{})))
			other.delta(c2, 1) // access is known: nothing waits for it from here on
			cursor, before := tt.cursor(t, w, n)
			eventually(t, "she has left", func() bool { return !n.Connected(anna) })
			s, hello := n.resume(t, anna, cursor, before)
			s.settle()
			if hello.Resumed && !slices.ContainsFunc(s.all(), tt.missed) {
				t.Errorf("who comes back to %s is not given what they missed:%s", hello.raw, s.tail())
			}
		})
	}
}

// Likewise a pong that comes before the reset which stands for more than a shard could take.
func TestACursorDoesNotStandForAResetBehindIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2, c3)
	p := newProcess(w)
	heeded, held := make(chan struct{}), make(chan struct{})
	p.counted = func([]discord.ChannelID) { close(heeded) }
	n := start(t, p, hub.Options{Trace: func(d hub.Delivery) {
		if d.Channel == c2 {
			<-held
		}
	}}, func(h *hub.Hub) { h.BoundDeltas(1) })
	a := n.dial(t, anna)
	n.Tell(bg, told(w.create(c2, carl, tidings.Mentions{})))
	a.delta(c2, 1) // the loop stands now
	n.Tell(bg, told(w.create(c3, carl, tidings.Mentions{})))
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}))) // has no room
	a.send(`{"op":"ping"}`)
	a.send(`{"op":"sync","channels":["1002"]}`)
	<-heeded
	close(held)
	cursor := a.next("pong").Cursor
	if f := a.delta(c1, 1); f.K != "reset" {
		t.Fatalf("frame for what had no room = %s, want a reset", f.raw)
	}
	a.ws.CloseNow()
	eventually(t, "she has left", func() bool { return n.Users() == 0 })
	a.mu.Lock()
	a.version[c1] = 0 // as if it had broken after the pong
	a.mu.Unlock()
	b, hello := n.resume(t, anna, cursor, a)
	b.settle()
	if hello.Resumed && !slices.ContainsFunc(b.all(), isDelta(c1, 1)) {
		t.Errorf("who comes back to %s is not given what they missed:%s", hello.raw, b.tail())
	}
}

func isDelta(c discord.ChannelID, v int64) func(frame) bool {
	return func(f frame) bool { return f.Op == "delta" && f.C == c && f.V == v }
}

// A channel is gained on a connection and lost again after it broke. The cursor from before both would fit what may be read now; the client would go on
// showing the channel.
func TestACursorIsOfWhatCouldBeReadThen(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
	a := n.dial(t, anna)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, true)}})
	access := a.next("access")
	if access.Cursor == "" {
		t.Fatalf("%s has no cursor", access.raw)
	}
	a.ws.CloseNow()
	eventually(t, "she has left", func() bool { return n.Users() == 0 })
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
	b := n.open(t, anna, "cursor="+url.QueryEscape(access.Cursor))
	if f := b.next("hello"); f.Resumed {
		t.Errorf("hello = %s, want it not resumed: the client shows channel %d", f.raw, c2)
	}
	b.next("snapshot")
}

// While messages come and connections break all the time, everybody ends with the truth, and most come back without a snapshot.
func TestBreakingConnectionsMissNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	users := []discord.UserID{anna, ben, carl}
	channels := ids(t, 8)
	w.guild(g1, users, channels...)
	var snapshots atomic.Int64
	p := newProcess(w)
	p.summaries = func(*tidings.Unread) { snapshots.Add(1) }
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.Quicken(50*time.Millisecond, 50*time.Millisecond) })
	var all []*follower
	for i := range 12 {
		all = append(all, follow(t, n, users[i%3]))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 150 {
				d := w.create(channels[rand.IntN(len(channels))], users[rand.IntN(3)], tidings.Mentions{Everyone: i%5 == 0})
				if i%20 != 19 { // now and then the process crashes, as it were, between the commit and the word of it
					n.Tell(bg, told(d))
				}
				if i%10 == 0 {
					n.Break(rand.IntN(12))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	for _, f := range all {
		f.becomes(w)
	}
	if n := snapshots.Load(); n > 40 {
		t.Errorf("%d snapshots for 12 readers and 60 breaks", n)
	}
}

func TestKeptDeltasAreBoundedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, ids(t, 20)...)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.BoundPending(64 << 20) })
	a := n.dial(t, anna)
	for i := range 12_000 {
		n.Tell(bg, told(w.create(discord.ChannelID(5000+i%20), ben, tidings.Mentions{})))
	}
	a.settle()
	if kept := n.Kept(); kept == 0 || kept > 20*512*1000 {
		t.Errorf("%d bytes are kept", kept)
	}
	a.ws.CloseNow()
	eventually(t, "everything is forgotten", func() bool {
		_, _, tracks, _ := n.Left()
		return tracks == 0 && n.Kept() == 0
	})
}

// A process ends, and its readers come back to others: to one that heard everything, and to one that has just begun.
func TestWhoComesBackToAnotherProcessGetsWhatWasMissed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2, c3)
	r, prefix := testdb.Redis(t)
	one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	two := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	a, b2 := one.dial(t, anna), two.dial(t, ben)
	two.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c2, carl, tidings.Mentions{})))
	a.delta(c1, 1)
	a.delta(c2, 1)
	cursor := a.leave(one)
	eventually(t, "the journal is written", one.Journaled)
	one.stop()
	two.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c1, carl, tidings.Mentions{})))
	b2.delta(c1, 3)

	came := func(n *node, who string, versions ...string) {
		t.Helper()
		s, hello := n.resume(t, anna, cursor, a)
		if !hello.Resumed {
			t.Errorf("%s: hello = %s, want it resumed", who, hello.raw)
			return
		}
		s.send(`{"op":"watch","all":true}`)
		s.settle()
		var got []string
		for _, f := range s.all() {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d %d %s", f.Op, f.C, f.V, f.K)))
		}
		want := append([]string{"hello 0 0"}, versions...)
		if strings.Join(got, ", ") != strings.Join(append(want, "pong 0 0"), ", ") {
			t.Errorf("%s: %s, want %s", who, strings.Join(got, ", "), strings.Join(want, ", "))
		}
		s.ws.CloseNow()
	}
	missed := []string{"delta 1001 2 create", "delta 1001 3 create", "message 1001 2", "message 1001 3"}
	came(two, "a process that heard everything", missed...)
	three := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 2)
	came(three, "a process that has just begun", missed...)

	// What was committed and never told, or is no longer in the log, is a reset.
	w.create(c3, carl, tidings.Mentions{})
	four := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	r.Del(bg, prefix+"hub:log:101")
	came(four, "a process that finds no log", "delta 1001 3 reset", "delta 1003 1 reset")
}

// Everybody comes back at once: nobody's summary is read again, and few questions are put to the store.
func TestManyWhoComeBackAtOnceAskLittle(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var users []discord.UserID
	for i := range 60 {
		users = append(users, discord.UserID(100+i))
	}
	w.guild(g1, users, ids(t, 10)...)
	p := newProcess(w)
	var snapshots atomic.Int64
	p.summaries = func(*tidings.Unread) { snapshots.Add(1) }
	n := start(t, p, hub.Options{}, nil)
	var all []*socket
	var cursors []string
	for _, u := range users {
		all = append(all, n.dial(t, u))
	}
	for _, s := range all {
		cursors = append(cursors, s.leave(n))
	}
	eventually(t, "all have left", func() bool { return n.Users() == 0 })
	n.Tell(bg, told(w.create(5003, carl, tidings.Mentions{})))
	first := snapshots.Load()
	var wg sync.WaitGroup
	for i, u := range users {
		wg.Go(func() {
			s, hello := n.resume(t, u, cursors[i], all[i])
			if !hello.Resumed {
				t.Errorf("hello = %s, want it resumed", hello.raw)
			}
			s.delta(5003, 1)
		})
	}
	wg.Wait()
	if n := snapshots.Load() - first; n > 0 {
		t.Errorf("%d summaries were read", n)
	}
	if n := p.asked.Load(); n > 40 {
		t.Errorf("%d questions for 60 people", n)
	}
}

// What was deleted, or purged, is not kept in Redis for those who come back: text that is gone is gone there, too.
func TestTheLogDropsWhatWasDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{carl}, ids(t, 2)...)
	r, prefix := testdb.Redis(t)
	n := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix, Encode: func(m tidings.Message) ([]byte, error) {
		return fmt.Appendf(nil, `{"id":"%d","content":%q}`, m.ID, m.Content), nil
	}}, nil)
	listening(t, r, prefix, 1)
	key := prefix + "hub:log:" + g1.String()
	holds := func(text string) bool {
		all, err := r.XRange(bg, key, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(fmt.Sprint(all), text)
	}
	tell := func(version int64, kind tidings.DeltaKind, id discord.MessageID, content string) {
		d := tidings.Delta{Guild: g1, Channel: c1, Version: version, Kind: kind, ID: id, Author: carl}
		if kind == tidings.DeltaCreate {
			d.N, d.Message = 1, &tidings.Message{Channel: c1, ID: id, Guild: g1, Author: carl, Content: content}
		}
		n.Tell(bg, told(d))
	}
	tell(1, tidings.DeltaCreate, 1<<30, "first canary")
	tell(2, tidings.DeltaCreate, 2<<30, "second canary")
	tell(3, tidings.DeltaCreate, 3<<30, "third canary")
	eventually(t, "all are logged", func() bool { return holds("first") && holds("second") && holds("third") })
	tell(4, tidings.DeltaDelete, 1<<30, "")
	eventually(t, "the deleted one is dropped", func() bool { return !holds("first") })
	if !holds("second") || !holds("third") {
		t.Error("others are dropped with it")
	}
	tell(5, tidings.DeltaReset, 0, "")
	eventually(t, "all of the channel are dropped", func() bool { return !holds("canary") })
}
