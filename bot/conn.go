package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/diamondburned/arikawa/v3/gateway"
	"github.com/diamondburned/arikawa/v3/utils/ws"
)

const (
	// maxFrame bounds one message of the gateway; a GUILD_CREATE of a large guild has tens of megabytes.
	maxFrame = 64 << 20
	// keepBuffer is how large a read buffer may stay between messages.
	keepBuffer  = 1 << 20
	dialTimeout = 15 * time.Second
	sendTimeout = 10 * time.Second
	// maxHeartbeat bounds what a HELLO may ask for; Discord's is 41,250 ms.
	maxHeartbeat = 10 * time.Minute
)

// What ends a connection from our side, or as Discord asks.
var (
	errZombie        = errors.New("no heartbeat was acknowledged for 1.5 intervals")
	errReconnect     = errors.New("asked to reconnect")
	errSessionPaused = errors.New("session refused for now")
	errSessionGone   = errors.New("session is gone")
	errHello         = errors.New("HELLO without a usable heartbeat_interval")
	errUsed          = errors.New("a connection is dialled once")
)

// dispatch is one op 0 as it came.
type dispatch struct {
	name string
	seq  int64
	raw  []byte // "d", a copy of its own
	at   time.Time
}

// frameError says that a frame could not be read, and after which sequence it came.
type frameError struct {
	after int64
	err   error
}

// Error implements error.
func (e *frameError) Error() string { return e.err.Error() }

// Unwrap returns the parser's error.
func (e *frameError) Unwrap() error { return e.err }

// conn is one connection to Discord's gateway, below arikawa's gateway.Gateway. It lives for one dial: arikawa's own
// reconnecting would wipe the session on op 9 and knows no resume URL, so the shard makes a new one instead.
//
// It keeps the bytes of every dispatch, takes whatever it does not know, beats the heart, and finds a dead connection
// within 1.5 heartbeats. Dispatches do not go through arikawa, which has no use for them. It answers HELLO with IDENTIFY or
// RESUME. Its own heartbeat would come without jitter, say 0 for null, wait behind its limit of commands, and notice a dead
// connection late or never.
type conn struct {
	http *http.Client
	// identify is called right before IDENTIFY is sent.
	identify func()
	// heard is given each dispatch, by the reader; it must not wait. An error ends the connection.
	heard func(*dispatch) error
	// skip names the sequences after which a frame that cannot be read is left out. Elsewhere it ends the connection, so
	// that a resume brings it again.
	skip   map[int64]bool
	seq    atomic.Int64  // the last one seen, 0 for none
	ready  atomic.Bool   // READY or RESUMED came
	alive  atomic.Int64  // when the last sign of life came, in nanoseconds since 1970
	beaten atomic.Int64  // when the last heartbeat was sent, 0 once it was acknowledged
	rtt    atomic.Int64  // of the last heartbeat, in nanoseconds
	asked  chan struct{} // Discord wants a heartbeat now

	mu     sync.Mutex
	socket *websocket.Conn
	cancel context.CancelCauseFunc
	dialed bool
	wg     sync.WaitGroup
}

var _ ws.Connection = (*conn)(nil)

// newConn returns an undialled connection that goes on after seq; 0 for a new session.
func newConn(client *http.Client, seq int64, skip map[int64]bool, identify func(), heard func(*dispatch) error) *conn {
	c := &conn{http: client, skip: skip, identify: identify, heard: heard, asked: make(chan struct{}, 1)}
	c.seq.Store(seq)
	return c
}

// Dial implements ws.Connection.
func (c *conn) Dial(ctx context.Context, addr string) (<-chan ws.Op, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialed {
		return nil, errUsed
	}
	c.dialed = true
	dialCtx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	socket, resp, err := websocket.Dial(dialCtx, addr, &websocket.DialOptions{
		HTTPClient: c.http, HTTPHeader: http.Header{"User-Agent": {UserAgent}},
	})
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%s: %w", resp.Status, err)
		}
		return nil, err
	}
	socket.SetReadLimit(maxFrame)
	// The connection outlives the dial's context and ends by Close.
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c.socket, c.cancel = socket, cancel
	c.alive.Store(time.Now().UnixNano())
	out := make(chan ws.Op, 64)
	c.wg.Go(func() {
		defer close(out)
		err := c.read(life, socket, out)
		if cause := context.Cause(life); cause != nil {
			err = cause
		}
		c.fail(err)
		ev := &ws.CloseEvent{Err: err, Code: int(websocket.CloseStatus(err))}
		select {
		case out <- ws.Op{Code: ev.Op(), Type: ev.EventType(), Data: ev}:
		case <-ctx.Done(): // The loop that would take it has ended.
		}
	})
	return out, nil
}

// Send implements ws.Connection.
func (c *conn) Send(ctx context.Context, b []byte) error {
	c.mu.Lock()
	socket := c.socket
	c.mu.Unlock()
	if socket == nil {
		return ws.ErrWebsocketClosed
	}
	if f, err := parseFrame(b); err == nil && f.op == opIdentify {
		c.identify()
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return socket.Write(ctx, websocket.MessageText, b)
}

// Close implements ws.Connection. It never sends a close frame: 1000 and 1001 would end Discord's session.
func (c *conn) Close(bool) error {
	c.fail(ws.ErrWebsocketClosed)
	return nil
}

// fail ends the connection; the reader reports why. The first cause stands.
func (c *conn) fail(cause error) {
	c.mu.Lock()
	socket, cancel := c.socket, c.cancel
	c.mu.Unlock()
	if socket == nil {
		return
	}
	cancel(cause)
	socket.CloseNow()
}

// wait returns when the connection's goroutines have ended. It is called after Close.
func (c *conn) wait() { c.wg.Wait() }

// read passes everything on until the connection ends, and returns why it did.
func (c *conn) read(ctx context.Context, socket *websocket.Conn, out chan<- ws.Op) error {
	var buf bytes.Buffer
	for {
		buf.Reset()
		if buf.Cap() > keepBuffer {
			buf = bytes.Buffer{}
		}
		// fail ends a read by closing the socket, which is cheaper than a context for every message.
		_, r, err := socket.Reader(context.Background())
		if err != nil {
			return err
		}
		if _, err := buf.ReadFrom(r); err != nil {
			return err
		}
		op, err := c.take(ctx, buf.Bytes())
		if err != nil {
			return err
		}
		if op.Data == nil {
			continue
		}
		select {
		case out <- op:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take gives a dispatch to heard, and turns any other message into what arikawa's loop needs; without data there is nothing for it.
// An error ends the connection.
func (c *conn) take(ctx context.Context, b []byte) (ws.Op, error) {
	f, err := parseFrame(b)
	if after := c.seq.Load(); err != nil && c.skip[after] {
		return ws.Op{Code: -1, Data: unknownOp(-1)}, nil
	} else if err != nil {
		return ws.Op{}, &frameError{after: after, err: err}
	}
	if !c.ready.Load() {
		// A long replay may hold up acknowledgements; while it flows the connection lives.
		c.alive.Store(time.Now().UnixNano())
	}
	switch f.op {
	case opDispatch:
		d := &dispatch{name: f.name, seq: f.seq, raw: bytes.Clone(f.data), at: time.Now()}
		if f.seq > c.seq.Load() || f.name == "READY" {
			c.seq.Store(f.seq)
		}
		if f.name == "READY" || f.name == "RESUMED" {
			c.alive.Store(time.Now().UnixNano())
			c.ready.Store(true)
		}
		return ws.Op{}, c.heard(d)
	case opHello:
		return c.hello(ctx, f)
	case opHeartbeatACK:
		now := time.Now().UnixNano()
		c.alive.Store(now)
		if sent := c.beaten.Swap(0); sent > 0 {
			c.rtt.Store(now - sent)
		}
		return ws.Op{Code: opHeartbeatACK, Data: unknownOp(opHeartbeatACK)}, nil
	case opHeartbeat:
		select {
		case c.asked <- struct{}{}:
		default:
		}
		return ws.Op{Code: opHeartbeat, Data: unknownOp(opHeartbeat)}, nil
	case opReconnect:
		return ws.Op{}, errReconnect
	case opInvalidSession:
		var resumable bool
		if json.Unmarshal(f.data, &resumable) == nil && resumable {
			return ws.Op{}, errSessionPaused
		}
		return ws.Op{}, errSessionGone
	}
	// An op code that nobody knows is passed on as something that nobody acts on.
	return ws.Op{Code: ws.OpCode(f.op), Data: unknownOp(f.op)}, nil
}

// unknownOp is an op code without a meaning for arikawa.
type unknownOp int

// Op implements ws.Event.
func (o unknownOp) Op() ws.OpCode { return ws.OpCode(o) }

// EventType implements ws.Event.
func (o unknownOp) EventType() ws.EventType { return ws.EventType("op " + strconv.Itoa(int(o))) }

func (c *conn) hello(ctx context.Context, f frame) (ws.Op, error) {
	var d struct {
		Interval float64 `json:"heartbeat_interval"`
	}
	if err := json.Unmarshal(f.data, &d); err != nil {
		return ws.Op{}, fmt.Errorf("%w: %w", errHello, err)
	}
	// Zero would panic in arikawa's ticker.
	if !(d.Interval >= 1) || d.Interval > float64(maxHeartbeat.Milliseconds()) {
		return ws.Op{}, fmt.Errorf("%w: %g ms", errHello, d.Interval)
	}
	interval := time.Duration(d.Interval * float64(time.Millisecond))
	c.wg.Go(func() { c.keep(ctx, interval) })
	return ws.Op{Code: opHello, Data: &gateway.HelloEvent{HeartbeatInterval: arikawaNever}}, nil
}

// arikawaNever is the heartbeat interval for arikawa, in milliseconds: longer than any connection lasts.
const arikawaNever = discord.Milliseconds(365 * 24 * 3600 * 1000)

// keep beats the heart, the first time after a random part of the interval so that a fleet does not beat in step, and ends
// a connection whose heartbeats are not acknowledged for 1.5 intervals.
func (c *conn) keep(ctx context.Context, interval time.Duration) {
	limit := interval + interval/2
	beat := time.NewTimer(rand.N(interval))
	defer beat.Stop()
	dead := time.NewTimer(limit)
	defer dead.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			beat.Reset(interval)
		case <-c.asked:
		case <-dead.C:
			silent := time.Since(time.Unix(0, c.alive.Load()))
			if silent >= limit {
				c.fail(errZombie)
				return
			}
			dead.Reset(limit - silent)
			continue
		}
		if err := c.beat(ctx, min(interval/2, sendTimeout)); err != nil {
			c.fail(fmt.Errorf("send a heartbeat: %w", err))
			return
		}
	}
}

// prompt reports whether no heartbeat has waited for its acknowledgement for longer than limit. A connection that is dead is doubted
// from then on, long before it counts as dead.
func (c *conn) prompt(limit time.Duration) bool {
	sent := c.beaten.Load()
	return sent == 0 || time.Since(time.Unix(0, sent)) <= limit
}

// beat sends one heartbeat. Its sequence is null before the first dispatch.
func (c *conn) beat(ctx context.Context, limit time.Duration) error {
	b := []byte(`{"op":1,"d":null}`)
	if seq := c.seq.Load(); seq > 0 {
		b = fmt.Appendf(nil, `{"op":1,"d":%d}`, seq)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.beaten.CompareAndSwap(0, time.Now().UnixNano())
	return c.Send(ctx, b)
}
