package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"go.uber.org/goleak"

	"tidings/embedded/testdb"
	"tidings/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.M{M: m}) }

// patience is how long a test waits for an effect before it fails.
const patience = 2 * time.Minute

// node is a hub that runs behind an HTTP server.
type node struct {
	*hub.Hub
	*process
	url  string
	stop func() // ends Run and waits for it
}

// start runs a hub for the test. change may adapt it before it runs.
func start(t *testing.T, p *process, o hub.Options, change func(*hub.Hub)) *node {
	t.Helper()
	o.Access, o.Store, o.Encode = p, p, encode
	h := hub.New(o)
	h.Quicken(100*time.Millisecond, time.Hour)
	if change != nil {
		change(h)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := strconv.Atoi(r.URL.Query().Get("user"))
		h.Serve(w, r, hub.Who{User: discord.UserID(u), Session: r.URL.Query().Get("session"), CanAck: r.URL.Query().Get("ack") != "no", Address: r.URL.Query().Get("from")})
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	eventually(t, "it runs", h.Running)
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run() = %v", err)
				}
			case <-time.After(patience):
				t.Error("Run does not return")
			}
			srv.Close()
		})
	}
	t.Cleanup(stop)
	return &node{Hub: h, process: p, url: srv.URL, stop: stop}
}

// socket is a test's connection. Everything that it reads is checked against the protocol's promises.
type socket struct {
	t  *testing.T
	ws *websocket.Conn

	mu     sync.Mutex
	frames []frame
	closed error
	wake   chan struct{}
	at     int // frames that were looked at

	version map[discord.ChannelID]int64 // last passed
	visible map[discord.ChannelID]bool
	began   bool
}

type frame struct {
	Op       string              `json:"op"`
	C        discord.ChannelID   `json:"c"`
	V        int64               `json:"v"`
	K        string              `json:"k"`
	ID       discord.MessageID   `json:"id"`
	Rev      int64               `json:"rev"`
	Code     string              `json:"code"`
	Gained   []discord.ChannelID `json:"gained"`
	Lost     []discord.ChannelID `json:"lost"`
	Channels []struct {
		C      discord.ChannelID `json:"c"`
		Unread int               `json:"unread"`
	} `json:"channels"`
	Roles  map[string][]discord.RoleID `json:"roles"`
	Unread json.RawMessage             `json:"unread"`

	Resumed bool   `json:"resumed"`
	Cursor  string `json:"cursor"`
	raw     string
}

func (n *node) dial(t *testing.T, user discord.UserID, query ...string) *socket {
	t.Helper()
	s := n.open(t, user, query...)
	s.next("hello")
	s.next("snapshot")
	return s
}

// open connects and waits for nothing.
func (n *node) open(t *testing.T, user discord.UserID, query ...string) *socket {
	t.Helper()
	return n.openWith(t, user, func(*socket) {}, query...)
}

// openWith connects a reader who knows something already.
func (n *node) openWith(t *testing.T, user discord.UserID, seed func(*socket), query ...string) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	how := &websocket.DialOptions{Subprotocols: []string{"tidings.v1"}}
	if slices.Contains(query, "packed") {
		how.CompressionMode = websocket.CompressionNoContextTakeover
	}
	ws, _, err := websocket.Dial(ctx, fmt.Sprintf("%s/api/live?user=%d&%s", n.url, user, strings.Join(query, "&")), how)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	ws.SetReadLimit(16 << 20)
	s := &socket{
		t: t, ws: ws, wake: make(chan struct{}, 1), version: map[discord.ChannelID]int64{}, visible: map[discord.ChannelID]bool{},
	}
	seed(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read()
	}()
	t.Cleanup(func() {
		ws.CloseNow()
		<-done
	})
	return s
}

func (s *socket) read() {
	for {
		_, b, err := s.ws.Read(context.Background())
		s.mu.Lock()
		if err != nil {
			s.closed = err
		} else {
			for line := range strings.SplitSeq(string(b), "\n") {
				f := frame{raw: line}
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					s.t.Errorf("frame %q: %v", line, err)
				}
				s.check(f)
				s.frames = append(s.frames, f)
			}
		}
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// check holds a frame to the promises: versions without holes or repeats, nothing at or below the snapshot, no frame of a
// channel that its reader may not see.
func (s *socket) check(f frame) {
	see := func(c discord.ChannelID) {
		if !s.visible[c] {
			s.t.Errorf("frame of a channel that the reader may not see: %s", f.raw)
		}
	}
	switch f.Op {
	case "snapshot":
		var u struct {
			Guilds []struct {
				Channels []struct {
					ID      discord.ChannelID
					Version int64
				}
			}
		}
		if err := json.Unmarshal(f.Unread, &u); err != nil {
			s.t.Errorf("snapshot %s: %v", f.raw, err)
		}
		for _, g := range u.Guilds {
			for _, c := range g.Channels {
				s.visible[c.ID] = true
				s.version[c.ID] = c.Version
			}
		}
		s.began = true
	case "access":
		for _, c := range f.Lost {
			delete(s.visible, c)
			delete(s.version, c)
		}
		for _, c := range f.Gained {
			s.visible[c] = true
		}
	case "delta":
		see(f.C)
		if !s.began {
			s.t.Errorf("delta before the snapshot: %s", f.raw)
		}
		last, known := s.version[f.C]
		switch {
		case known && f.V <= last:
			s.t.Errorf("version %d of channel %d after %d: %s", f.V, f.C, last, f.raw)
		case known && f.V != last+1 && f.K != "reset":
			s.t.Errorf("hole: version %d of channel %d after %d: %s", f.V, f.C, last, f.raw)
		}
		s.version[f.C] = f.V
	case "message", "count", "recovered":
		see(f.C)
	case "read":
		for _, c := range f.Channels {
			see(c.C)
		}
	}
}

// until waits for a frame, looking at each only once, and returns it.
func (s *socket) until(what string, ok func(frame) bool) frame {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		for s.at < len(s.frames) {
			f := s.frames[s.at]
			s.at++
			if ok(f) {
				s.mu.Unlock()
				return f
			}
		}
		closed := s.closed
		s.mu.Unlock()
		if closed != nil {
			s.t.Fatalf("socket closed while waiting for %s: %v", what, closed)
		}
		select {
		case <-s.wake:
		case <-deadline:
			s.t.Fatalf("no %s came; last frames: %s", what, s.tail())
		}
	}
}

func (s *socket) next(op string) frame {
	s.t.Helper()
	return s.until(op, func(f frame) bool { return f.Op == op })
}

func (s *socket) delta(c discord.ChannelID, v int64) frame {
	s.t.Helper()
	return s.until(fmt.Sprintf("delta %d of channel %d", v, c), func(f frame) bool { return f.Op == "delta" && f.C == c && f.V == v })
}

// reaches waits until the socket was told of version v of a channel, or looked past it.
func (s *socket) reaches(c discord.ChannelID, v int64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("version %d of channel %d", v, c), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.version[c] >= v
	})
}

// end waits for the close frame.
func (s *socket) end() websocket.CloseError {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		err := s.closed
		s.mu.Unlock()
		if err != nil {
			var ce websocket.CloseError
			if !asClose(err, &ce) {
				s.t.Fatalf("socket ended without a close frame: %v", err)
			}
			return ce
		}
		select {
		case <-s.wake:
		case <-deadline:
			s.t.Fatal("the socket was not closed")
		}
	}
}

func (s *socket) send(line string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.ws.Write(ctx, websocket.MessageText, []byte(line)); err != nil {
		s.t.Fatalf("send %.100s: %v", line, err)
	}
}

// settle waits until everything that the hub was told before has come: a pong passes nothing by.
func (s *socket) settle() {
	s.t.Helper()
	s.send(`{"op":"ping"}`)
	s.next("pong")
}

// all returns every frame so far.
func (s *socket) all() []frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]frame(nil), s.frames...)
}

func (s *socket) tail() string {
	var b strings.Builder
	fs := s.all()
	for _, f := range fs[max(0, len(fs)-5):] {
		fmt.Fprintf(&b, "\n  %.200s", f.raw)
	}
	return b.String()
}

// eventually waits for something that nobody announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
