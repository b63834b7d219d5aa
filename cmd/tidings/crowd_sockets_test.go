package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/hub/client"
)

// crowdSocket is one device of one person: a live socket that comes back whenever it breaks, to whichever process takes it, as behind a proxy.
type crowdSocket struct {
	of     *crowdPerson
	places *[]string // the addresses of the web processes
	http   *http.Client
	crowd  *crowd

	shown atomic.Pointer[[]client.Channel] // nil while it is not connected
	told  *arrivals

	late []lateFrame // frames of the moving channel; of the socket's goroutine until it has ended
}

// lateFrame is a message that came to somebody to whom its channel is open at times only.
type lateFrame struct {
	channel discord.ChannelID
	id      discord.MessageID
	at      time.Time
}

// arrivals gathers how sockets came back.
type arrivals struct {
	mu      sync.Mutex
	at      []time.Time
	resumed int
	hinted  int
}

func (a *arrivals) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at, a.resumed, a.hinted = nil, 0, 0
}

func (a *arrivals) note(resumed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	if resumed {
		a.resumed++
	}
}

// sums says how many came back, how many of them resumed, how many had been told when, and over what time they came.
func (a *arrivals) sums() (n, resumed, hinted int, over time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.at) == 0 {
		return 0, 0, a.hinted, 0
	}
	over = slices.MaxFunc(a.at, time.Time.Compare).Sub(slices.MinFunc(a.at, time.Time.Compare))
	return len(a.at), a.resumed, a.hinted, over
}

// run keeps the socket connected until ctx ends.
func (s *crowdSocket) run(ctx context.Context) {
	var state client.State
	for attempt := 0; ctx.Err() == nil; attempt++ {
		place := (*s.places)[rand.IntN(len(*s.places))]
		wait := s.connect(ctx, place, &state, &attempt)
		s.shown.Store(nil)
		if wait < 0 { // nobody is there, the proxy chooses again
			wait = rand.N(200 * time.Millisecond)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// connect is one connection. It returns how long to wait for the next, negative when nobody was there.
func (s *crowdSocket) connect(ctx context.Context, place string, state *client.State, attempt *int) time.Duration {
	dial, cancel := context.WithTimeout(ctx, 10*time.Second)
	c, err := client.Resume(dial, place, client.Options{Token: s.of.token, HTTP: s.http}, *state)
	cancel()
	if err != nil {
		return -1
	}
	defer func() {
		*state = c.State
		over, cancel := context.WithCancel(context.Background())
		cancel() // which closes the connection
		_, _ = c.Next(over)
	}()
	for {
		ev, err := c.Next(ctx)
		if err != nil {
			wait, again := client.RetryAfter(err, *attempt)
			var closed websocket.CloseError
			if errors.As(err, &closed) && closed.Code == 1012 {
				s.told.mu.Lock()
				s.told.hinted++
				s.told.mu.Unlock()
			}
			if !again {
				s.crowd.fault("%s was told not to come back: %v", s.of.Username, err)
			}
			return wait
		}
		*attempt = 0
		s.heard(ev)
		if ev.Op == "hello" {
			var f struct{ Resumed bool }
			_ = json.Unmarshal(ev.Frame, &f)
			s.told.note(f.Resumed)
			if !f.Resumed {
				continue // the snapshot comes
			}
		}
		channels := c.State.Channels()
		s.shown.Store(&channels)
	}
}

// heard looks at whether a frame may come to this person.
func (s *crowdSocket) heard(ev client.Event) {
	if ev.Op == "snapshot" {
		for id, c := range s.crowd.byID {
			if s.of.never(c) && bytes.Contains(ev.Frame, []byte(`"`+id.String()+`"`)) {
				s.crowd.fault("the snapshot of %s names channel %d (%s)", s.of.Username, id, c.name)
			}
		}
	}
	c := s.crowd.byID[ev.Channel]
	if c == nil {
		return
	}
	if s.of.never(c) {
		s.crowd.fault("%s got %s of channel %d (%s)", s.of.Username, ev.Op, c.id, c.name)
		return
	}
	if ev.Op != "delta" || c.name != movingName || s.of.crew {
		return
	}
	var f struct {
		K  string
		ID discord.MessageID
	}
	_ = json.Unmarshal(ev.Frame, &f)
	if f.K == "create" {
		s.late = append(s.late, lateFrame{c.id, f.ID, time.Now()})
	}
}

// judge holds what came of the moving channels against when they were shut: nothing that was said while one was shut may have come before it was opened.
func (w *crowd) judge(s *crowdSocket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range s.late {
		for _, shut := range w.byID[f.channel].shut {
			if said := w.posted[f.id]; said.After(shut[0]) && f.at.After(shut[0]) && (shut[1].IsZero() || said.Before(shut[1]) && f.at.Before(shut[1])) {
				w.faults = append(w.faults, fmt.Sprintf("%s got message %d of channel %d, which was shut to them", s.of.Username, f.id, f.channel))
			}
		}
	}
}

// mark has somebody read a channel up to the newest message that one of their devices shows, at whichever process answers.
func (w *crowd) mark(s *crowdSocket) {
	shown := s.shown.Load()
	if shown == nil || len(*shown) == 0 {
		return
	}
	c := (*shown)[rand.IntN(len(*shown))]
	if c.LastID == 0 || c.Stale || w.byID[c.ID].name == movingName {
		return
	}
	body, _ := json.Marshal(map[string]string{"channel": c.ID.String(), "up_to": strconv.FormatUint(uint64(c.LastID), 10)})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for n := rand.IntN(len(*s.places)); ctx.Err() == nil; n++ {
		req, _ := http.NewRequestWithContext(ctx, "POST", (*s.places)[n%len(*s.places)]+"/api/messages/read", bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+s.of.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := s.http.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				w.marked(s.of, c.ID, c.LastID)
				return
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	w.fault("%s could not mark a channel for two minutes", s.of.Username)
}

// wrongs says how many sockets do not show the truth, and what the first of them are.
func wrongs(w *crowd, sockets []*crowdSocket) (n int, first string) {
	var lines []string
	for _, s := range sockets {
		diff := "is not connected"
		if shown := s.shown.Load(); shown != nil {
			diff = w.wrong(s.of, *shown)
		}
		if diff == "" {
			continue
		}
		if n++; len(lines) < 5 {
			lines = append(lines, s.of.Username+": "+diff)
		}
	}
	return n, strings.Join(lines, "\n")
}
