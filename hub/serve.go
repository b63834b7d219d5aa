package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// subprotocol names the protocol of docs/LIVE.md.
const subprotocol = "tidings.v1"

// Serve makes the request a live socket and returns when its snapshot is on its way; the socket then goes on until it ends,
// without what net/http keeps for a request. A zero user is told, by close code 4001, that they are not signed in: a
// browser's script does not see HTTP's status.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, who Who) {
	if !speaks(r) {
		http.Error(&refusal{ResponseWriter: w}, "The live socket speaks the subprotocol "+subprotocol+".", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		w.Header().Set("Retry-After", "5")
		http.Error(&refusal{ResponseWriter: w}, "This process is about to end. Come again in a moment.", http.StatusServiceUnavailable)
		return
	}
	h.serving.Add(1)
	poller := h.poller
	h.mu.Unlock()

	hj := &hijacker{refusal: refusal{ResponseWriter: w}, bound: h.bounds.pending, tasks: &h.tasks}
	ws, err := websocket.Accept(hj, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, OriginPatterns: h.origins, CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		h.log.Debug("live socket refused", "err", err)
		h.serving.Done()
		return // Accept has answered
	}
	ws.SetReadLimit(maxFrame)
	c := &conn{hub: h, who: who, id: randomHex(8), key: keyOf(who.Session), ws: ws, out: hj.out}
	c.packed = w.Header().Get("Sec-WebSocket-Extensions") != "" // Accept has agreed to permessage-deflate, the only one that it knows
	c.out.woken = func() { go c.read() }
	if c.out.raw != nil {
		c.out.poller = poller
	}
	c.welcome(r)
	if c.out.poller != nil && len(c.out.pre) == 0 && c.out.park() {
		return // most say nothing before they have the snapshot
	}
	go c.read()
}

// welcome gives a connection its snapshot, or a reason why not.
func (c *conn) welcome(r *http.Request) {
	h := c.hub
	c.draining = true
	if !h.admit(c) {
		c.refuse(limitAddress)
		return
	}
	if c.who.User == 0 {
		h.metrics.dropped.WithLabelValues("not signed in").Inc()
		c.shut(statusSignedOut, "not signed in")
		return
	}
	var reached limit
	switch err := h.register(c); {
	case errors.As(err, &reached):
		c.refuse(reached)
		return
	case err != nil:
		c.shut(statusRestart, retryHint(h.timing.spread))
		return
	}
	ctx := context.WithoutCancel(r.Context())
	var err error
	resumed := false
	if cur, ok := parseCursor(r.URL.Query().Get("cursor")); ok {
		resumed, err = h.resume(ctx, c, cur)
	}
	if !resumed && err == nil {
		err = h.attach(ctx, c)
	}
	if err != nil {
		h.log.Warn("live socket cannot be given its snapshot", "user", c.who.User, "err", err)
		c.shut(statusRestart, retryHint(h.timing.spread))
		return
	}
	c.draining = false
}

// speaks reports whether the client asks for our subprotocol, or for none.
func speaks(r *http.Request) bool {
	asked := r.Header.Values("Sec-WebSocket-Protocol")
	if len(asked) == 0 {
		return true
	}
	return slices.ContainsFunc(strings.Split(strings.Join(asked, ","), ","), func(p string) bool {
		return strings.EqualFold(strings.TrimSpace(p), subprotocol)
	})
}

// Limits of what a client may send.
const (
	maxFrame       = 64 << 10 // bytes of a websocket message, for long lists of channels
	maxShortFrame  = 4 << 10  // bytes of a frame without such a list
	maxListed      = 2000     // channels in one frame
	maxWatched     = 5000     // channels watched by a connection
	framesASecond  = 20
	framesAtOnce   = 60
	channelsPerOne = 100 // so many listed channels weigh as much as a frame
)

// read takes the client's frames until there is none for now, or the socket ends.
func (c *conn) read() {
	for {
		typ, b, err := c.ws.Read(context.Background())
		switch {
		case errors.Is(err, errIdle):
			if c.out.park() {
				return
			}
		case err != nil:
			if websocket.CloseStatus(err) < 0 && errors.Is(err, websocket.ErrMessageTooBig) {
				c.hub.metrics.limits.WithLabelValues("frame size").Inc()
			}
			c.ended(err)
			c.finish()
			return
		case c.draining:
			// Until the peer has answered the close frame, or the deadline that came with it.
		case typ != websocket.MessageText:
			c.wrong("frames are text")
		default:
			c.heed(string(b))
		}
	}
}

// heed does what the frames of a message ask. Whoever sends faster than it may is read more slowly: nothing is lost, and the
// rest waits at the client.
func (c *conn) heed(message string) {
	if c.limit == nil {
		c.limit = rate.NewLimiter(framesASecond, framesAtOnce)
	}
	for line := range strings.SplitSeq(message, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		weight, err := c.act(context.Background(), line)
		if err != nil {
			c.wrong(err.Error())
			return
		}
		wait := c.limit.ReserveN(time.Now(), min(weight, framesAtOnce)).Delay()
		if wait == 0 {
			c.slowed = false
			continue
		}
		if !c.slowed {
			c.slowed = true
			c.hub.metrics.limits.WithLabelValues("frame rate").Inc()
			c.tell(errorFrame("rate", "too many frames: they are read more slowly now"))
		}
		time.Sleep(min(wait, time.Second))
	}
}

// wrong closes the connection of a client that does not keep to the protocol.
func (c *conn) wrong(reason string) {
	c.draining = true
	c.hub.metrics.dropped.WithLabelValues("protocol").Inc()
	c.shut(statusProtocol, reason)
}

// finish forgets the connection. The reader that saw its end calls it, once.
func (c *conn) finish() {
	_ = c.ws.CloseNow()
	if c.user != nil {
		c.setHere(false)
		c.hub.unregister(c)
	}
	c.hub.dismiss(c)
	c.hub.serving.Done()
}

// ended takes leave of a peer whose frames can no longer be read. What it still sends is read and thrown away for a
// while: closing a socket with unread bytes would reset it, and the close frame with the reason could be lost.
func (c *conn) ended(err error) {
	if websocket.CloseStatus(err) >= 0 || !c.out.leaving() {
		return
	}
	_ = c.out.Conn.SetReadDeadline(time.Now().Add(c.hub.timing.closing))
	_, _ = io.CopyN(io.Discard, c.out, maxDiscarded)
}

// maxDiscarded is how many bytes are read from a peer after its connection was closed.
const maxDiscarded = 1 << 20

// tell sends a frame from outside the loop.
func (c *conn) tell(f *frame) {
	c.shard.do(func(*shard) { c.add(f) })
}
