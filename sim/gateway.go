package sim

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Op codes of the gateway.
const (
	opDispatch            = 0
	opHeartbeat           = 1
	opIdentify            = 2
	opPresence            = 3
	opVoiceState          = 4
	opResume              = 6
	opReconnect           = 7
	opRequestMembers      = 8
	opInvalidSession      = 9
	opHello               = 10
	opHeartbeatACK        = 11
	opSoundboard          = 31
	opRequestChannelsInfo = 43
)

// Close codes of the gateway.
const (
	closeUnknown          = 4000
	closeUnknownOp        = 4001
	closeDecode           = 4002
	closeNotAuthenticated = 4003
	closeAuthFailed       = 4004
	closeAlready          = 4005
	closeInvalidSeq       = 4007
	closeRateLimited      = 4008
	closeTimedOut         = 4009
	closeInvalidShard     = 4010
	closeShardingRequired = 4011
	closeInvalidVersion   = 4012
	closeInvalidIntents   = 4013
	closeRefusedIntents   = 4014
)

// ends says whether Discord forgets the session after a close with this code.
func ends(code int) bool {
	switch code {
	case 1000, 1001, closeAuthFailed, closeInvalidSeq, closeTimedOut, closeInvalidShard, closeShardingRequired, closeInvalidVersion, closeInvalidIntents, closeRefusedIntents:
		return true
	}
	return false
}

// maxPayload is what Discord takes from a client, and maxSends how many payloads in a minute.
const (
	maxPayload = 4096
	maxSends   = 120
)

// conn is one websocket to the gateway. Its reader is the goroutine that serves the request; its writer is another.
type conn struct {
	s       *Sim
	ws      *websocket.Conn
	host    string
	version int
	sess    *session
	// control are frames that are not dispatches; they go first.
	control [][]byte
	wake    chan struct{}
	gone    chan struct{}
	// code is set when the server ends the connection; -1 drops it without a close frame.
	code   int
	reason string
	beat   *time.Timer
	sends  []time.Time
	stall  time.Time
	noACK  bool
	hello  bool
	zip    *zlib.Writer
	zipped bytes.Buffer
}

func (c *conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// drop cuts the connection as a lost network does.
func (c *conn) drop() { c.end(-1, "") }

// end closes the connection after what is already on its way in control.
func (c *conn) end(code int, reason string) {
	if c.code == 0 {
		c.code, c.reason = code, reason
		c.poke()
	}
}

func (c *conn) send(op int, d any) {
	b, err := json.Marshal(map[string]any{"op": op, "d": d, "s": nil, "t": nil})
	if err != nil {
		return
	}
	c.control = append(c.control, b)
	c.poke()
}

// serveGateway accepts a gateway connection and reads it until it ends.
func (s *Sim) serveGateway(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed || s.out() != nil {
		s.mu.Unlock()
		http.Error(w, "error code: 521", http.StatusServiceUnavailable)
		return
	}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 20)
	q := r.URL.Query()
	c := &conn{s: s, ws: ws, host: r.Host, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	c.version, _ = strconv.Atoi(q.Get("v"))

	s.mu.Lock()
	s.record.Connections++
	s.conns[c] = true
	switch {
	case c.version != 9 && c.version != 10:
		c.end(closeInvalidVersion, "Invalid API version.")
	case q.Get("encoding") != "" && q.Get("encoding") != "json":
		c.end(closeDecode, "Error while decoding payload.")
	case q.Get("compress") == "zlib-stream":
		c.zip = zlib.NewWriter(&c.zipped)
	}
	if s.closed {
		c.drop()
	}
	s.greet(c)
	s.mu.Unlock()

	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	code := c.read()
	s.mu.Lock()
	s.detach(c, code)
	s.mu.Unlock()
	close(c.gone)
	<-written
	ws.CloseNow()
}

// greet sends HELLO and begins to listen for the heart.
func (s *Sim) greet(c *conn) {
	if s.beforeHello(c) {
		return
	}
	c.hello = true
	c.send(opHello, map[string]any{"heartbeat_interval": s.o.HeartbeatInterval.Milliseconds(), "_trace": []string{"[\"sim\",{\"micros\":0}]"}})
	patience := s.o.HeartbeatInterval*3/2 + 2*time.Second
	c.beat = time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.end(closeTimedOut, "Session timed out.")
	})
}

// detach lets the session, if it survives, wait for its client.
func (s *Sim) detach(c *conn, code int) {
	delete(s.conns, c)
	if c.beat != nil {
		c.beat.Stop()
	}
	x := c.sess
	if x == nil || x.conn != c {
		return
	}
	x.conn, x.detached = nil, s.now()
	if ends(code) {
		delete(s.sessions, x.id)
	}
	// A replay that waited for this connection goes on.
	s.poke()
}

func (s *Sim) poke() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// read handles what the client sends, until the connection ends. It gives the code that ended it: the server's own
// when it had closed, otherwise the client's, or -1.
func (c *conn) read() int {
	for {
		_, b, err := c.ws.Read(context.Background())
		if code, over := c.heard(b, err); over {
			return code
		}
	}
}

// heard handles what a read has given.
func (c *conn) heard(b []byte, err error) (code int, over bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case err == nil && c.code == 0:
		c.s.received(c, b)
	case err == nil:
	case c.code != 0:
		return c.code, true
	default:
		return int(websocket.CloseStatus(err)), true
	}
	return 0, false
}

// write sends control frames and dispatches until the connection ends.
func (c *conn) write() {
	var frame []byte
	for {
		select {
		case <-c.gone:
			return
		case <-c.wake:
		}
		for {
			c.s.mu.Lock()
			if d := c.stall.Sub(c.s.now()); d > 0 && c.code == 0 {
				c.s.mu.Unlock()
				select {
				case <-c.gone:
					return
				case <-time.After(min(d, 50*time.Millisecond)):
				}
				continue
			}
			control, code, reason := c.control, c.code, c.reason
			c.control = nil
			var events []event
			if code == 0 && c.sess != nil && c.sess.conn == c {
				events = c.sess.take(128)
			}
			c.s.mu.Unlock()
			for _, b := range control {
				if c.out(b) != nil {
					return
				}
			}
			for _, e := range events {
				frame = e.frame(frame[:0])
				if c.out(frame) != nil {
					return
				}
				if f := c.s.o.OnEvent; f != nil {
					f(e.t, e.d)
				}
			}
			if len(events) > 0 {
				c.s.poke()
			}
			if code > 0 {
				c.ws.Close(websocket.StatusCode(code), reason)
				return
			}
			if code < 0 {
				c.ws.CloseNow()
				return
			}
			if len(control) == 0 && len(events) == 0 {
				break
			}
		}
	}
}

// frame is the dispatch as it goes over the wire. Only the sequence differs from session to session.
func (e event) frame(b []byte) []byte {
	b = append(b, `{"op":0,"s":`...)
	b = strconv.AppendInt(b, e.seq, 10)
	b = append(b, `,"t":"`...)
	b = append(b, e.t...)
	b = append(b, `","d":`...)
	b = append(b, e.d...)
	return append(b, '}')
}

func (c *conn) out(b []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if c.zip == nil {
		return c.ws.Write(ctx, websocket.MessageText, b)
	}
	c.zipped.Reset()
	if _, err := c.zip.Write(b); err != nil {
		return err
	}
	if err := c.zip.Flush(); err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageBinary, c.zipped.Bytes())
}

type payload struct {
	Op int             `json:"op"`
	D  json.RawMessage `json:"d"`
}

// received handles one payload of the client.
func (s *Sim) received(c *conn, b []byte) {
	now := s.now()
	for len(c.sends) > 0 && now.Sub(c.sends[0]) > time.Minute {
		c.sends = c.sends[1:]
	}
	if c.sends = append(c.sends, now); len(c.sends) > maxSends {
		c.end(closeRateLimited, "Rate limited.")
		return
	}
	var p payload
	if len(b) > maxPayload || json.Unmarshal(b, &p) != nil {
		c.end(closeDecode, "Error while decoding payload.")
		return
	}
	switch p.Op {
	case opHeartbeat:
		s.heartbeat(c, p.D)
		return
	case opIdentify:
		s.identify(c, p.D)
		return
	case opResume:
		s.resume(c, p.D)
		return
	case opPresence, opVoiceState, opRequestMembers, opSoundboard, opRequestChannelsInfo:
		if c.sess == nil {
			c.end(closeNotAuthenticated, "Not authenticated.")
		} else if p.Op == opRequestMembers {
			s.requestMembers(c, p.D)
		}
		return
	}
	c.end(closeUnknownOp, "Unknown opcode.")
}

func (s *Sim) heartbeat(c *conn, d json.RawMessage) {
	var seq *int64
	if json.Unmarshal(d, &seq) != nil {
		c.end(closeDecode, "Error while decoding payload.")
		return
	}
	if seq != nil && c.sess != nil && *seq > c.sess.seq {
		c.end(closeInvalidSeq, "Invalid seq.")
		return
	}
	if c.beat != nil {
		c.beat.Reset(s.o.HeartbeatInterval*3/2 + 2*time.Second)
	}
	if !c.noACK && !s.unacknowledged(c) {
		c.send(opHeartbeatACK, nil)
	}
}
