package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tidings"
	"tidings/embedded/testdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.M{M: m}) }

// patience bounds every wait of the tests; nothing is asserted about how long it takes.
const patience = 2 * time.Minute

// fake is a little Discord: a test answers its REST by handlers and talks on its gateway's connections by hand.
type fake struct {
	*httptest.Server
	conns chan *fakeConn

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // "GET /path" without /api/v10
	asked    map[string]int
	gateway  map[string]any
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{conns: make(chan *fakeConn, 16), handlers: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	f.limits(1000, 1000, time.Hour, 1)
	return f
}

// limits sets what /gateway/bot answers.
func (f *fake) limits(total, remaining int, reset time.Duration, concurrency int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gateway = map[string]any{
		"url": "ws" + strings.TrimPrefix(f.URL, "http") + "/gw", "shards": 1,
		"session_start_limit": map[string]any{
			"total": total, "remaining": remaining, "reset_after": reset.Milliseconds(), "max_concurrency": concurrency,
		},
	}
}

func (f *fake) on(route string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[route] = h
}

func (f *fake) answer(route string, status int, body any) {
	f.on(route, func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) })
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if s, ok := body.(string); ok {
		fmt.Fprint(w, s)
		return
	}
	json.NewEncoder(w).Encode(body)
}

func (f *fake) count(route string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[route]
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/gw" || r.URL.Path == "/again" {
		f.accept(w, r)
		return
	}
	route := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v10")
	f.mu.Lock()
	f.asked[route]++
	h, gw := f.handlers[route], f.gateway
	f.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case route == "GET /gateway/bot":
		reply(w, 200, gw)
	default:
		reply(w, 404, map[string]any{"message": "404: Not Found", "code": 0})
	}
}

// fakeConn is the far end of one connection.
type fakeConn struct {
	t      *testing.T
	socket *websocket.Conn
	path   string
	query  string
	host   string
	got    chan sent
	over   chan error // why reading ended
}

type sent struct {
	Op int             `json:"op"`
	D  json.RawMessage `json:"d"`
}

func (f *fake) accept(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	socket.SetReadLimit(1 << 20)
	c := &fakeConn{socket: socket, path: r.URL.Path, query: r.URL.RawQuery, host: r.Host, got: make(chan sent, 1000), over: make(chan error, 1)}
	f.conns <- c
	for {
		_, b, err := socket.Read(context.Background())
		if err != nil {
			c.over <- err
			return
		}
		var m sent
		if err := json.Unmarshal(b, &m); err != nil {
			c.over <- err
			return
		}
		c.got <- m
	}
}

// dialed waits for the next connection and greets it.
func (f *fake) dialed(t *testing.T) *fakeConn { return f.greet(t, 45*time.Second) }

func (f *fake) greet(t *testing.T, beat time.Duration) *fakeConn {
	t.Helper()
	c := f.silent(t)
	c.send(fmt.Sprintf(`{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":%d,"_trace":[]}}`, beat.Milliseconds()))
	return c
}

func (f *fake) silent(t *testing.T) *fakeConn {
	t.Helper()
	select {
	case c := <-f.conns:
		c.t = t
		return c
	case <-time.After(patience):
		t.Fatal("nobody has connected")
		return nil
	}
}

func (c *fakeConn) send(frame string) {
	c.t.Helper()
	if err := c.socket.Write(context.Background(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Logf("send: %v", err)
	}
}

func (c *fakeConn) dispatch(seq int64, name, d string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"t":%q,"s":%d,"op":0,"d":%s}`, name, seq, d))
}

// expect waits for an op, acknowledging heartbeats meanwhile.
func (c *fakeConn) expect(op int) json.RawMessage {
	c.t.Helper()
	for {
		select {
		case m := <-c.got:
			if m.Op == op {
				return m.D
			}
			if m.Op == opHeartbeat {
				c.send(`{"op":11}`)
				continue
			}
			c.t.Fatalf("got op %d %s, want op %d", m.Op, m.D, op)
		case <-time.After(patience):
			c.t.Fatalf("op %d did not come", op)
		}
	}
}

type resumeFrame struct {
	Token   string `json:"token"`
	Session string `json:"session_id"`
	Seq     int64  `json:"seq"`
}

func (c *fakeConn) expectResume(session string, seq int64) {
	c.t.Helper()
	var r resumeFrame
	if err := json.Unmarshal(c.expect(6), &r); err != nil {
		c.t.Fatal(err)
	}
	if r.Session != session || r.Seq != seq || r.Token != "secret" {
		c.t.Fatalf("RESUME %+v, want session %s, seq %d and the bare token", r, session, seq)
	}
}

func (c *fakeConn) ready(session string, guilds ...int) {
	c.t.Helper()
	list := []string{}
	for _, g := range guilds {
		list = append(list, fmt.Sprintf(`{"id":"%d","unavailable":true}`, g))
	}
	resume := "ws://" + c.host + "/again"
	c.dispatch(1, "READY", fmt.Sprintf(`{"v":10,"session_id":%q,"resume_gateway_url":%q,"guilds":[%s],"user":{"id":"5","bot":true}}`,
		session, resume, strings.Join(list, ",")))
}

// message makes a message in guild 7, channel 9.
func message9(id int) string {
	return fmt.Sprintf(`{"id":"%d","channel_id":"9","guild_id":"7","type":0,"content":"m%d","author":{"id":"3"},"mentions":[],"mention_roles":[]}`, id, id)
}

// drop ends the connection without a close frame.
func (c *fakeConn) drop() { c.socket.CloseNow() }

// gone waits until the other side has ended the connection and returns how.
func (c *fakeConn) gone() error {
	c.t.Helper()
	select {
	case err := <-c.over:
		return err
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
		return nil
	}
}

// memory is a sink and a session store. What it is given counts as committed unless held.
type memory struct {
	mu       sync.Mutex
	session  tidings.GatewaySession
	owner    string
	released int
	saved    []tidings.GatewaySession
	events   []tidings.Event
	dead     []tidings.Event
	guilds   []discord.GuildID
	hold     bool          // what is put is not committed
	block    chan struct{} // when set, Put waits for it
	stolen   bool          // another process has the lease
	changed  chan struct{}
}

func newMemory() *memory { return &memory{changed: make(chan struct{})} }

func (m *memory) bump() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) Put(ctx context.Context, ev tidings.Event) error {
	m.mu.Lock()
	block := m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, ev)
	s := &m.session
	if !m.hold && ev.Mark.Session == s.Session && ev.Mark.Epoch == s.Epoch {
		s.Seq = max(s.Seq, ev.Mark.Seq)
	}
	m.bump()
	return nil
}

func (m *memory) LeaseShard(_ context.Context, shard, shards int, owner string, _ time.Duration) (tidings.GatewaySession, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.bump()
	if m.stolen {
		return tidings.GatewaySession{}, tidings.ErrLeaseLost
	}
	m.owner = owner
	m.session.Shard, m.session.Shards = shard, shards
	m.session.Epoch++
	return m.session, nil
}

func (m *memory) RenewShard(_ context.Context, g tidings.GatewaySession, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stolen || g.Epoch != m.session.Epoch {
		return tidings.ErrLeaseLost
	}
	return nil
}

func (m *memory) ReleaseShard(context.Context, tidings.GatewaySession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released++
	return nil
}

func (m *memory) SaveSession(_ context.Context, g tidings.GatewaySession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.Epoch != m.session.Epoch {
		return tidings.ErrLeaseLost
	}
	m.session = g
	m.saved = append(m.saved, g)
	m.bump()
	return nil
}

func (m *memory) DeadLetter(_ context.Context, ev tidings.Event, _ error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = append(m.dead, ev)
	m.bump()
	return nil
}

func (m *memory) GuildIDs(context.Context) ([]discord.GuildID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.guilds), nil
}

// until waits for a condition on what the memory holds.
func (m *memory) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		m.mu.Lock()
		done, changed := ok(), m.changed
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: did not come about", what)
		}
	}
}

// messages lists the ids of the messages that were put.
func (m *memory) messages() []int {
	var out []int
	for _, ev := range m.events {
		if b, ok := ev.Body.(tidings.MessageCreated); ok {
			out = append(out, int(b.Message.ID))
		}
	}
	return out
}

var quick = pace{
	leaseTTL: 300 * time.Millisecond, ready: 10 * time.Second, backoffMin: 5 * time.Millisecond, backoffMax: 50 * time.Millisecond,
	steady: time.Hour, pauseMin: time.Millisecond, pauseMax: 5 * time.Millisecond, hole: 30 * time.Millisecond,
	holeEvery: 10 * time.Millisecond, drain: 5 * time.Second, identify: 10 * time.Millisecond, heard: 5 * time.Millisecond, prompt: 5 * time.Second,
	queue: maxQueued, queueBytes: maxQueuedBytes,
}

// testBot is a running bot against a fake.
type testBot struct {
	*Bot
	stop func()
	err  chan error // what Run returned
}

// client returns an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func begin(t *testing.T, f *fake, m *memory, change func(*Bot)) *testBot {
	t.Helper()
	return beginAt(t, m, f.URL, "Bot secret", change)
}

func beginAt(t *testing.T, m *memory, at, token string, change func(*Bot)) *testBot {
	t.Helper()
	b, err := New(Options{
		Token: token, URL: at, Sink: m, Sessions: m, HTTP: client(t), Metrics: prometheus.NewRegistry(), Owner: "test",
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.pace = quick
	b.rest.transport.retry = time.Millisecond
	if change != nil {
		change(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tb := &testBot{Bot: b, err: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tb.err <- b.Run(ctx)
	}()
	tb.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	}
	t.Cleanup(tb.stop)
	return tb
}

// ended waits for Run's error.
func (b *testBot) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-b.err:
		return err
	case <-time.After(patience):
		t.Fatal("Run does not return")
		return nil
	}
}
