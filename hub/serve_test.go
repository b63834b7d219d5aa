package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
	"tidings/hub/client"
)

func TestWrongFramesAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	w.guild(g2, []discord.UserID{ben}, c3)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	for _, tt := range []struct{ name, frame, code string }{
		{"unknown op", `{"op":"dance"}`, "unknown_op"},
		{"no op", `{}`, "unknown_op"},
		{"number as an id", `{"op":"sync","channels":[1001]}`, "invalid"},
		{"no channels", `{"op":"sync"}`, "invalid"},
		{"no id", `{"op":"watch","channels":["x"]}`, "invalid"},
		{"negative id", `{"op":"watch","channels":["-1"]}`, "invalid"},
		{"too many channels", `{"op":"watch","channels":["1"` + strings.Repeat(`,"1"`, 2000) + `]}`, "invalid"},
		{"someone else's channel, sync", `{"op":"sync","channels":["1003"]}`, "not_found"},
		{"someone else's channel, watch", `{"op":"watch","channels":["1003"]}`, "not_found"},
		{"someone else's channel, read", `{"op":"read","channel":"1003","up_to":"5"}`, "not_found"},
		{"channel that does not exist", `{"op":"sync","channels":["99"]}`, "not_found"},
		{"read without a place", `{"op":"read","channel":"1001"}`, "invalid"},
		{"long frame", `{"op":"ping","x":"` + strings.Repeat("x", 5000) + `"}`, "invalid"},
	} {
		a.send(tt.frame)
		if f := a.next("error"); f.Code != tt.code {
			t.Errorf("%s: answer = %s, want code %s", tt.name, f.raw, tt.code)
		}
	}
	a.send("{\"op\":\"ping\"}\n{\"op\":\"ping\"}\n")
	a.next("pong")
	a.next("pong")
	a.send(`{"op":`)
	if ce := a.end(); ce.Code != 4000 {
		t.Errorf("broken JSON: closed with %v, want 4000", ce)
	}
	b := n.dial(t, anna)
	if err := b.ws.Write(bg, websocket.MessageBinary, []byte(`{"op":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	if ce := b.end(); ce.Code != 4000 {
		t.Errorf("binary frame: closed with %v, want 4000", ce)
	}
	big := n.dial(t, anna)
	big.send(`{"op":"` + strings.Repeat("x", 70<<10) + `"}`)
	if ce := big.end(); ce.Code != websocket.StatusMessageTooBig {
		t.Errorf("huge frame: closed with %v, want %v", ce, websocket.StatusMessageTooBig)
	}
}

func TestCountsThatCannotBeReadComeLater(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	p := newProcess(w)
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.Quicken(100*time.Millisecond, 50*time.Millisecond) })
	a := n.dial(t, anna)
	p.uncounted.Store(true)
	a.send(`{"op":"sync","channels":["1001"]}`)
	if f := a.next("error"); f.Code != "unavailable" {
		t.Errorf("got code %q, want unavailable", f.Code)
	}
	p.uncounted.Store(false)
	if f := a.next("count"); f.C != c1 {
		t.Errorf("counts of %d, want %d", f.C, c1)
	}
}

func TestUnwatchEndsMessages(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	a.send(`{"op":"watch","all":true}`)
	a.settle()
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.next("message")
	a.send(`{"op":"unwatch","all":true}`)
	a.settle()
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
	a.delta(c1, 2)
	a.settle()
	if f := a.all(); f[len(f)-2].Op == "message" {
		t.Errorf("message after unwatch: %s", f[len(f)-2].raw)
	}
}

func TestSlowReaderIsDroppedAndOthersAreNot(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	ctx, cancel := context.WithTimeout(bg, patience)
	defer cancel()
	slow, err := client.Dial(ctx, n.url+"/api/live?user=12", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // hello and snapshot, and then nothing more
		if _, err := slow.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := slow.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	good := n.dial(t, anna)
	good.send(`{"op":"watch","all":true}`)
	good.settle()
	messages := int64(0)
	for n.Leaving() == 0 && messages < 5000 {
		for range 20 {
			d := w.create(c1, carl, tidings.Mentions{})
			d.Message.Content = strings.Repeat("x", 5000)
			n.Tell(bg, told(d))
			messages = d.Version
		}
		good.delta(c1, messages) // keeps up
	}
	var last error
	for last == nil {
		_, last = slow.Next(bg)
	}
	var ce websocket.CloseError
	if !errors.As(last, &ce) || ce.Code != 4008 || !strings.HasPrefix(ce.Reason, "retry_ms=") {
		t.Errorf("slow reader ended with %v, want 4008 and a time to come back", last)
	}
	if _, again := client.RetryAfter(last, 0); !again {
		t.Errorf("a client does not come back after %v", last)
	}
	// It comes back with what it had, and knows the truth, of what it missed and of what comes then.
	missed, ok := slow.State.Channel(c1)
	if !ok || missed.Version >= messages {
		t.Fatalf("the slow reader has %+v of %d messages, so nothing was missed", missed, messages)
	}
	back, err := client.Resume(ctx, n.url+"/api/live?user=12", client.Options{}, slow.State)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	shows := func(want int64) {
		t.Helper()
		for {
			c, _ := back.State.Channel(c1)
			if c.Version == want && int64(c.Unread) == want && back.State.Settled() {
				return
			}
			if ev, err := back.Next(ctx); err != nil {
				t.Fatalf("back again, it shows %+v after %s, want %d: %v", c, ev.Op, want, err)
			}
		}
	}
	shows(messages)
	n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{})))
	good.delta(c1, messages+1)
	shows(messages + 1)
}

func TestEndedSessionIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a, b := n.dial(t, anna, "session=one"), n.dial(t, anna, "session=two")
	n.EndSession("one")
	if ce := a.end(); ce.Code != 4003 {
		t.Errorf("closed with %v, want 4003", ce)
	}
	n.EndSession("")
	b.settle()
}

func TestExpiredSessionIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{
		Alive: func(_ context.Context, session string) (bool, error) { return session != "old", nil },
	}, func(h *hub.Hub) { h.Quicken(time.Second, 20*time.Millisecond) })
	a, b := n.dial(t, anna, "session=old"), n.dial(t, anna, "session=new")
	if ce := a.end(); ce.Code != 4003 {
		t.Errorf("closed with %v, want 4003", ce)
	}
	b.settle()
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{Origins: []string{"friend.example"}, MaxConnsPerUser: 2}, nil)
	if ce := n.open(t, 0).end(); ce.Code != 4001 {
		t.Errorf("nobody: closed with %v, want 4001", ce)
	}
	for _, tt := range []struct {
		name, origin, protocol string
		want                   int
	}{
		{"another origin", "https://evil.example", "tidings.v1", http.StatusForbidden},
		{"another protocol", "", "tidings.v9", http.StatusBadRequest},
		{"a friend's origin", "https://friend.example", "tidings.v1", http.StatusSwitchingProtocols},
	} {
		h := http.Header{}
		if tt.origin != "" {
			h.Set("Origin", tt.origin)
		}
		ws, resp, err := websocket.Dial(bg, n.url+"/?user=11", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{tt.protocol}})
		if resp == nil || resp.StatusCode != tt.want {
			t.Errorf("%s: answer = %v, %v, want status %d", tt.name, resp, err, tt.want)
		}
		if resp != nil && tt.want >= 400 {
			var problem struct {
				Status int
				Detail string
			}
			if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil || problem.Status != tt.want || problem.Detail == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: refused with %+v (%v) as %s, want a problem", tt.name, problem, err, resp.Header.Get("Content-Type"))
			}
		}
		if err == nil {
			ws.CloseNow()
		}
	}
	eventually(t, "the friend has left", func() bool { users, _, _, _ := n.Left(); return users == 0 })
	a, b := n.dial(t, anna), n.dial(t, anna)
	if ce := n.open(t, anna).end(); ce.Code != 4009 {
		t.Errorf("third connection: closed with %v, want 4009", ce)
	}
	a.settle()
	b.settle()
}

func TestShutdownTellsEveryoneWhenToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a, b := n.dial(t, anna), n.dial(t, ben)
	n.stop()
	for _, s := range []*socket{a, b} {
		if ce := s.end(); ce.Code != 1012 || !strings.HasPrefix(ce.Reason, "retry_ms=") {
			t.Errorf("closed with %v, want 1012 and a time to come back", ce)
		}
	}
}

func TestSilentConnectionIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Heartbeat(200 * time.Millisecond) })
	live := n.dial(t, anna) // answers pings, as it reads
	dead, _, err := websocket.Dial(bg, n.url+"/?user=12", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dead.CloseNow()
	eventually(t, "the silent one is dropped", func() bool { users, _, _, _ := n.Left(); return users == 1 })
	live.settle()
}

func TestNothingIsLeftOfWhoHasGone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	users := []discord.UserID{anna, ben, carl}
	w.guild(g1, users, ids(t, 30)...)
	n := start(t, newProcess(w), hub.Options{}, nil)
	stop := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			n.Tell(bg, told(w.create(discord.ChannelID(5000+i%30), 99, tidings.Mentions{})))
		}
	})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 8 {
				s := n.dial(t, users[i%3])
				s.send(`{"op":"watch","all":true}`)
				s.next("delta")
				if j%2 == 0 {
					s.ws.Close(websocket.StatusNormalClosure, "")
				} else {
					s.ws.CloseNow()
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	teller.Wait()
	eventually(t, "everything is forgotten", func() bool {
		u, a, tr, cr := n.Left()
		return u+a+tr+cr == 0
	})
}
