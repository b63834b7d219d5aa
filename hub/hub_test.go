package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/hub"
)

var bg = context.Background()

func asClose(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }

func told(ds ...tidings.Delta) tidings.Result { return tidings.Result{Deltas: ds} }

const (
	anna discord.UserID    = 11
	ben  discord.UserID    = 12
	carl discord.UserID    = 13
	g1   discord.GuildID   = 101
	g2   discord.GuildID   = 102
	c1   discord.ChannelID = 1001
	c2   discord.ChannelID = 1002
	c3   discord.ChannelID = 1003
)

func TestDeltaReachesWhoMaySeeTheChannelAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	w.guild(g2, []discord.UserID{ben}, c3)
	n := start(t, newProcess(w), hub.Options{Metrics: prometheus.NewRegistry()}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	a.send(`{"op":"watch","channels":["1001"]}`)
	b.send(`{"op":"watch","all":true}`)
	a.settle()
	b.settle()
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{Users: []discord.UserID{anna}})))
	n.Tell(bg, told(w.create(c2, ben, tidings.Mentions{Everyone: true})))
	n.Tell(bg, told(w.create(c3, anna, tidings.Mentions{Roles: []discord.RoleID{77}})))

	if got, want := a.delta(c1, 1).raw, `{"op":"delta","c":"1001","g":"101","v":1,"k":"create","id":"1001","a":"12","n":1,"m":{"u":["11"],"r":[],"e":false}}`; got != want {
		t.Errorf("delta = %s, want %s", got, want)
	}
	if got, want := a.next("message").raw, `{"op":"message","c":"1001","v":1,"message":{"id":"1001","content":"m1001"}}`; got != want {
		t.Errorf("message = %s, want %s", got, want)
	}
	a.delta(c2, 1)
	b.delta(c3, 1)
	b.next("message")
	a.settle()
	b.settle()
	for _, f := range a.all() {
		if f.Op == "message" && f.C != c1 {
			t.Errorf("message of a channel that is not watched: %s", f.raw)
		}
	}
}

func TestFramesNameWhatClientsNeedToCount(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	del := func(n int) (ds []tidings.DeletedMessage) {
		for i := range n {
			ds = append(ds, tidings.DeletedMessage{ID: discord.MessageID(i + 1), Author: ben})
		}
		return ds
	}
	base := tidings.Delta{Guild: g1, Channel: c1, AccessVersion: 1}
	for i, tt := range []struct {
		name string
		edit func(*tidings.Delta)
		want string
	}{
		{"edit that changes mentions", func(d *tidings.Delta) {
			d.Kind, d.ID, d.Author, d.Before = tidings.DeltaUpdate, 7, ben, &tidings.Mentions{Everyone: true}
		}, `"k":"update","id":"7","a":"12","n":0,"m":{"u":[],"r":[],"e":false},"m0":{"u":[],"r":[],"e":true}}`},
		{"edit that does not", func(d *tidings.Delta) { d.Kind, d.ID, d.Author = tidings.DeltaUpdate, 7, ben },
			`"k":"update","id":"7","a":"12","n":0,"m":{"u":[],"r":[],"e":false}}`},
		{"delete", func(d *tidings.Delta) {
			d.Kind, d.ID, d.Author, d.N, d.Mentions.Users = tidings.DeltaDelete, 7, ben, -1, []discord.UserID{anna}
		}, `"k":"delete","id":"7","a":"12","n":-1,"m":{"u":["11"],"r":[],"e":false}}`},
		{"bulk delete of few", func(d *tidings.Delta) { d.Kind, d.N, d.Deleted = tidings.DeltaDelete, -1, del(2) },
			`"k":"delete","n":-1,"ids":[["1","12",{"u":[],"r":[],"e":false}],["2","12",{"u":[],"r":[],"e":false}]]}`},
		{"bulk delete of many", func(d *tidings.Delta) { d.Kind, d.N, d.Deleted = tidings.DeltaDelete, -1, del(101) }, `"k":"reset"}`},
		{"delete of what is not named", func(d *tidings.Delta) { d.Kind = tidings.DeltaDelete }, `"k":"reset"}`},
		{"reset", func(d *tidings.Delta) { d.Kind = tidings.DeltaReset }, `"k":"reset"}`},
	} {
		d := base
		d.Version = int64(i + 1)
		tt.edit(&d)
		n.Tell(bg, told(d))
		want := fmt.Sprintf(`{"op":"delta","c":"1001","g":"101","v":%d,`, d.Version) + tt.want
		if got := a.delta(c1, d.Version).raw; got != want {
			t.Errorf("%s: frame = %s, want %s", tt.name, got, want)
		}
	}
}

// Scenario 3.
func TestSnapshotThenOnlyWhatIsNewer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2, c3)
	p := newProcess(w)
	var n *node
	var once sync.Once
	var late tidings.Delta
	p.summaries = func(*tidings.Unread) {
		once.Do(func() {
			// After the snapshot was read and before it is sent: these follow it. One was committed before the snapshot and
			// is told only later: it must not follow.
			n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{}), w.create(c2, ben, tidings.Mentions{})))
		})
	}
	n = start(t, p, hub.Options{}, nil)
	late = w.create(c3, ben, tidings.Mentions{})
	a := n.dial(t, anna)
	a.delta(c1, 1)
	a.delta(c1, 2)
	a.delta(c2, 1)
	n.Tell(bg, told(late, w.create(c3, ben, tidings.Mentions{})))
	a.delta(c3, 2) // and the checker sees that 1 did not come
}

func TestSnapshotAheadOfFramesInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Quicken(time.Minute, time.Hour) })
	b := n.dial(t, ben)
	d1, d2 := w.create(c1, carl, tidings.Mentions{}), w.create(c1, carl, tidings.Mentions{})
	a := n.dial(t, anna) // its snapshot has both
	n.Tell(bg, told(d1, d2, w.create(c1, carl, tidings.Mentions{})))
	b.delta(c1, 1)
	b.delta(c1, 2)
	b.delta(c1, 3)
	a.delta(c1, 3) // and the checker sees that 1 and 2 did not come
}

// Scenario 2.
func TestVersionsToldOutOfOrderLeaveInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Quicken(time.Minute, time.Hour) })
	a := n.dial(t, anna)
	d := []tidings.Delta{w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{})}
	n.Tell(bg, told(d[0], d[3]))
	n.Tell(bg, told(d[2], d[2]))
	n.Tell(bg, told(d[1], d[0], d[3]))
	for v := int64(1); v <= 4; v++ {
		if f := a.delta(c1, v); f.K != "create" {
			t.Errorf("version %d came as %s", v, f.raw)
		}
	}
}

// Scenario 2.
func TestHoleThatStaysBecomesAReset(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	w.create(c1, ben, tidings.Mentions{}) // never told
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	if f := a.delta(c1, 2); f.K != "reset" {
		t.Errorf("frame above the hole = %s, want a reset", f.raw)
	}
	a.send(`{"op":"sync","channels":["1001"]}`)
	if f := a.next("count"); string(f.Unread) != "2" || f.V != 2 {
		t.Errorf("count = %s, want 2 unread at version 2", f.raw)
	}
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.delta(c1, 3)
}

// Scenario 1.
func TestSweepFindsWhatWasCommittedAndNeverTold(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Quicken(20*time.Millisecond, 20*time.Millisecond) })
	a := n.dial(t, anna)
	w.create(c1, ben, tidings.Mentions{})
	if f := a.delta(c1, 1); f.K != "reset" {
		t.Errorf("frame = %s, want a reset", f.raw)
	}
	change := w.allow(anna, c2, false) // never told either
	if f := a.next("access"); len(f.Lost) != 1 || f.Lost[0] != c2 {
		t.Errorf("access = %s after version %d, want %d lost", f.raw, change.Version, c2)
	}
}

// Scenario 5.
func TestDenialAppliesBeforeTheNextMessage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	a.delta(c1, 1)
	w.allow(anna, c1, false)
	// The message is told before the change, or the change was told to another process: its access version is newer.
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{}), w.create(c2, carl, tidings.Mentions{})))
	b.delta(c1, 2)
	a.delta(c2, 1)
	if f := a.all(); !strings.Contains(f[len(f)-2].raw, `"lost":["1001"]`) {
		t.Errorf("the frame before the next message is %s, want the loss", f[len(f)-2].raw)
	}
	a.settle() // and the checker saw no frame of c1
}

func TestGainedChannelComesWithItsCounts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1, c2)
	w.allow(anna, c1, false)
	w.create(c1, ben, tidings.Mentions{})
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c1, true)}})
	if f := a.next("access"); len(f.Gained) != 1 || f.Gained[0] != c1 {
		t.Errorf("access = %s, want %d gained", f.raw, c1)
	}
	if f := a.next("count"); f.C != c1 || string(f.Unread) != "1" {
		t.Errorf("count = %s, want 1 unread in %d", f.raw, c1)
	}
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.delta(c1, 2)
}

// Scenario 4.
func TestChangedRolesComeWithNewCounts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	w.create(c1, ben, tidings.Mentions{Roles: []discord.RoleID{77}})
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(anna, g1, 77)}})
	if f := a.next("access"); len(f.Roles["101"]) != 1 || f.Roles["101"][0] != 77 {
		t.Errorf("access = %s, want role 77", f.raw)
	}
	if f := a.next("count"); !strings.Contains(f.raw, `"mentions":1`) {
		t.Errorf("count = %s, want one mention", f.raw)
	}
}

// Scenario 5.
func TestGuildThatCannotBeReloadedIsHidden(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	w.guild(g2, []discord.UserID{anna}, c2)
	p := newProcess(w)
	var log bytes.Buffer
	var mu sync.Mutex
	n := start(t, p, hub.Options{Log: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))}, nil)
	a := n.dial(t, anna)
	p.breakReload(errors.New("the database is away"))
	n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(anna, g1, 5)}})
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{}), w.create(c2, ben, tidings.Mentions{})))
	if f := a.next("access"); len(f.Lost) != 1 || f.Lost[0] != c1 {
		t.Errorf("access = %s, want %d lost", f.raw, c1)
	}
	a.send(`{"op":"sync","channels":["1001"]}`)
	if f := a.next("error"); f.Code != "not_found" {
		t.Errorf("sync of a hidden channel = %s", f.raw)
	}
	b := n.open(t, anna)
	if f := b.next("snapshot"); strings.Contains(f.raw, `"1001"`) {
		t.Errorf("snapshot = %s, want nothing of the hidden guild", f.raw)
	}
	p.breakReload(nil)
	if f := a.next("access"); len(f.Gained) != 1 || f.Gained[0] != c1 {
		t.Errorf("access = %s, want %d gained", f.raw, c1)
	}
	a.until("count of c1", func(f frame) bool { return f.Op == "count" && f.C == c1 && string(f.Unread) == "1" })
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.delta(c1, 2)
	mu.Lock()
	defer mu.Unlock()
	if got := log.String(); strings.Count(got, "it is hidden until it can") != 1 {
		t.Errorf("log = %s, want one line for the hidden guild", got)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestReadReachesAllDevices(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	d := w.create(c1, ben, tidings.Mentions{})
	n.Tell(bg, told(d))
	phone, desk, other := n.dial(t, anna), n.dial(t, anna), n.dial(t, ben)
	phone.send(`{"op":"read","channel":"1001","up_to":"` + d.ID.String() + `"}`)
	want := fmt.Sprintf(`{"op":"read","rev":1,"channels":[{"c":"1001","v":1,"read_id":"%d","unread":0,"mentions":0,"first_unread":null}]}`, d.ID)
	for _, s := range []*socket{phone, desk} {
		if got := s.next("read").raw; got != want {
			t.Errorf("read = %s, want %s", got, want)
		}
	}
	// A mark that was based on an older rev loses, also one of somebody who had marked nothing.
	desk.send(`{"op":"read","channel":"1001","up_to":"9","rev":0}`)
	if f := desk.next("error"); f.Code != "conflict" {
		t.Errorf("automatic read from before all marks = %s", f.raw)
	}
	desk.send(`{"op":"read","channel":"1001","up_to":"9","rev":1}`)
	desk.next("read")
	desk.send(`{"op":"read","channel":"1001","up_to":"9","rev":1}`)
	if f := desk.next("error"); f.Code != "conflict" {
		t.Errorf("late automatic read = %s", f.raw)
	}
	other.settle()
	for _, f := range other.all() {
		if f.Op == "read" {
			t.Errorf("somebody else's read: %s", f.raw)
		}
	}
	limited := n.dial(t, anna, "ack=no")
	limited.send(`{"op":"read","channel":"1001","up_to":"9"}`)
	if f := limited.next("error"); f.Code != "forbidden" {
		t.Errorf("read without the scope = %s", f.raw)
	}
	// What the store did of its own accord: an own message read the channel.
	n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{{User: ben, Rev: 1, Channels: []tidings.ReadChannel{{ID: c1, Version: 1}, {ID: c2, Version: 1}}}}})
	if f := other.next("read"); len(f.Channels) != 1 {
		t.Errorf("read = %s, want only the channel that ben may see", f.raw)
	}
}

func TestMissedOrLateMarksAreReadAfresh(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	w.create(c1, ben, tidings.Mentions{})
	d := w.create(c2, ben, tidings.Mentions{})
	a := n.dial(t, anna)
	mark := func(c discord.ChannelID) tidings.ReadResult {
		r, err := p.MarkRead(bg, p.Visible(anna), tidings.MarkRead{Channel: c, UpTo: d.ID})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	mark(c1)
	first := mark(c1)
	n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{first}}) // rev 1 is known, 2 comes
	lost, told := mark(c1), mark(c2)
	n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{told}})
	whole := func(f frame) bool { return f.Op == "read" && f.Rev == 4 && len(f.Channels) == 2 }
	a.until("both channels", whole)
	n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{lost}})
	a.until("both channels again", whole)
	a.settle()
	newest := int64(0)
	for _, f := range a.all() {
		if f.Op == "read" {
			if f.Rev < newest {
				t.Errorf("rev %d after %d", f.Rev, newest)
			}
			newest = f.Rev
		}
	}
}

// Counts that were read before a mark must not be shown after it.
func TestCountsReadBeforeAMarkAreNotShownAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, nil)
	d := w.create(c1, ben, tidings.Mentions{})
	a := n.dial(t, anna)
	var once sync.Once
	p.answered = func([]tidings.ReadChannel) {
		once.Do(func() {
			r, err := p.MarkRead(bg, p.Visible(anna), tidings.MarkRead{Channel: c1, UpTo: d.ID})
			if err != nil {
				t.Error(err)
			}
			n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{r}})
		})
	}
	a.send(`{"op":"sync","channels":["1001"]}`)
	a.next("read")
	if f := a.next("count"); string(f.Unread) != "0" {
		t.Errorf("count after the mark = %s, want nothing unread", f.raw)
	}
	for _, f := range a.all() {
		if f.Op == "count" && string(f.Unread) != "0" {
			t.Errorf("old count: %s", f.raw)
		}
	}
}

// Scenario 19.
func TestManyQuestionsOfOnePersonAreOneFlight(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	p := newProcess(w)
	asked, release := make(chan []discord.ChannelID, 100), make(chan struct{})
	p.counted = func(ids []discord.ChannelID) {
		asked <- ids
		<-release
	}
	n := start(t, p, hub.Options{}, nil)
	socks := []*socket{n.dial(t, anna), n.dial(t, anna), n.dial(t, anna)}
	socks[0].send(`{"op":"sync","channels":["1001"]}`)
	<-asked
	for range 5 {
		for _, s := range socks {
			s.send(`{"op":"sync","channels":["1001","1002"]}`)
		}
	}
	for _, s := range socks {
		s.settle()
	}
	close(release)
	if second := <-asked; len(second) != 2 {
		t.Errorf("second question names %v, want both channels once", second)
	}
	for _, s := range socks {
		s.until("count of c2", func(f frame) bool { return f.Op == "count" && f.C == c2 })
	}
	if len(asked) > 0 {
		t.Errorf("%d more questions than needed", len(asked))
	}
}
