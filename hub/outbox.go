package hub

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sendBuffer caps the kernel's share, which would grow to 4 MB a connection and show nowhere.
const sendBuffer = 128 << 10

// flushWait is how long a socket may take for flushPart bytes before it is given up: who reads slowly and steadily gets a long snapshot too.
const (
	flushWait = 10 * time.Second
	flushPart = 16 << 10
)

// partWait is how long a close frame may wait for a peer that is not waited for otherwise.
const partWait = 2 * time.Second

var errSlow = errors.New("slow consumer")

// outbox is the socket as the websocket library sees it, with the writing side in the hub's hands: prepared frames go
// straight to the socket, while the library keeps handshake, reading, and the answers to pings and closes. Each of the
// library's control frames arrives as one Write, because its buffer holds the longest; so mu orders them with ours, and no
// frame is ever inside another.
type outbox struct {
	net.Conn
	raw  syscall.RawConn // nil when the connection has no file descriptor of its own, as under TLS
	pre  []byte          // what the HTTP server had read already
	seen atomic.Int64    // when the peer was last heard, in Unix nanoseconds

	// Reading without a goroutine: while the peer says nothing, the connection waits in the poller and woken starts a reader
	// when there is something to read or the end begins. Only the reader touches border and stay.
	poller *poller // nil: a reader waits in Read
	stay   bool    // the poller does not take it: a reader waits in Read
	woken  func()
	border border
	token  atomic.Uint64 // in the poller
	parked atomic.Bool   // no reader
	ending atomic.Bool   // closing or closed: whoever reads does so until the end

	tasks *sync.WaitGroup // owns the flusher

	mu       sync.Mutex
	answer   []byte  // the server's half of the handshake, which leaves with the first frame
	queue    []chunk // what waits while the socket is full
	waiting  int     // counted bytes in queue
	max      int
	flushing bool // a flusher owns the socket
	closing  bool // a close frame is written or queued: nothing may follow it
	parting  bool // the flusher closes the socket when the close frame is out
	closed   bool

	attempt
}

// chunk is one or more whole frames, or the rest of them.
type chunk struct {
	b       []byte
	counted int  // towards the bound
	begun   bool // the socket has taken a part, or it begins with the answer to the handshake: it must leave, whatever happens
}

func newOutbox(c net.Conn, pre []byte, bound int, tasks *sync.WaitGroup) *outbox {
	o := &outbox{Conn: c, pre: pre, max: bound, tasks: tasks}
	o.seen.Store(time.Now().UnixNano())
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(sendBuffer) // only a matter of memory
	}
	switch c := c.(type) {
	case *net.TCPConn:
		o.raw, _ = c.SyscallConn()
	case *net.UnixConn:
		o.raw, _ = c.SyscallConn()
	}
	return o
}

// send writes whole frames without waiting; what the socket does not take now is queued. It is errSlow when too much waits
// already. A free send is not counted towards the bound.
func (o *outbox) send(b []byte, free bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.closing {
		return net.ErrClosed
	}
	counted := len(b)
	if free {
		counted = 0
	}
	if o.flushing && o.waiting+counted > o.max {
		return errSlow
	}
	return o.put(b, counted)
}

// begin writes the first frames together with the answer to the handshake, as one write. They are gathered in buf, which it returns for
// the next connection. What it sends is not counted towards the bound.
func (o *outbox) begin(buf []byte, frames ...[]byte) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.closing {
		return buf, net.ErrClosed
	}
	begun := o.answer != nil
	buf = append(buf[:0], o.answer...)
	o.answer = nil
	for _, f := range frames {
		buf = append(buf, f...)
	}
	n := 0
	if !o.flushing {
		var err error
		if n, err = o.try(buf); err != nil || n == len(buf) {
			return buf, err
		}
	}
	o.wait(slices.Clone(buf[n:]), 0, begun || n > 0)
	return buf, nil
}

// greet answers the handshake when the first frame has to wait.
func (o *outbox) greet() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answer != nil && !o.closed {
		_ = o.put(nil, 0) // a broken socket shows itself to the reader
	}
}

// put writes or queues b. The caller holds mu.
func (o *outbox) put(b []byte, counted int) error {
	begun := o.answer != nil
	if begun {
		b, o.answer = append(o.answer, b...), nil
	}
	if !o.flushing {
		n, err := o.try(b)
		if err != nil {
			return err
		}
		if n == len(b) {
			return nil
		}
		b, begun = b[n:], begun || n > 0
	}
	o.wait(b, counted, begun)
	return nil
}

// wait queues b for the flusher. The caller holds mu.
func (o *outbox) wait(b []byte, counted int, begun bool) {
	if !o.flushing {
		o.flushing = true
		o.tasks.Go(o.flush)
	}
	o.queue = append(o.queue, chunk{b, counted, begun})
	o.waiting += counted
}

// shut sends a close frame as the last thing. What is queued goes first, unless drop is set.
func (o *outbox) shut(b []byte, drop bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.closing {
		return
	}
	if drop {
		keep := 0
		if len(o.queue) > 0 && o.queue[0].begun {
			keep = 1
		}
		for _, c := range o.queue[keep:] {
			o.waiting -= c.counted
		}
		o.queue = o.queue[:keep]
	}
	_ = o.put(b, 0) // a broken socket shows itself to the reader
	o.closing = true
	o.ending.Store(true)
}

// flush exists only while the socket is full. It writes part by part until nothing waits.
func (o *outbox) flush() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.closed {
			_ = o.Conn.SetWriteDeadline(time.Time{}) // an old one would fail the next write
			o.flushing = false
			o.queue = nil
			o.waiting = 0
			parting := o.parting
			o.mu.Unlock()
			if parting {
				o.drop()
			}
			return
		}
		o.queue[0].begun = true // and stays first
		b := o.queue[0].b
		b = b[:min(len(b), flushPart)]
		if !o.parting {
			_ = o.Conn.SetWriteDeadline(time.Now().Add(flushWait))
		}
		o.mu.Unlock()
		if _, err := o.Conn.Write(b); err != nil {
			o.drop()
			continue
		}
		o.mu.Lock()
		if first := &o.queue[0]; len(b) < len(first.b) {
			first.b = first.b[len(b):]
		} else {
			o.waiting -= first.counted
			o.queue = o.queue[1:]
		}
		o.mu.Unlock()
	}
}

// Write takes a control frame from the websocket library.
func (o *outbox) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, net.ErrClosed
	}
	if o.closing {
		return len(b), nil // the answer to a close frame that crossed ours
	}
	if o.flushing && o.waiting+len(b) > 2*o.max {
		return 0, errSlow // a peer that pings and never reads
	}
	// The library uses its buffer again after this call.
	if err := o.put(append([]byte(nil), b...), len(b)); err != nil {
		return 0, err
	}
	if len(b) > 0 && b[0]&0xf == 8 {
		o.closing = true
		o.ending.Store(true)
	}
	return len(b), nil
}

// Read hands the peer's bytes to the websocket library. Between two messages it does not wait: it is errIdle then, after
// which the library can be asked again.
func (o *outbox) Read(b []byte) (int, error) {
	if len(o.pre) > 0 {
		n := copy(b, o.pre)
		o.pre = o.pre[n:]
		if len(o.pre) == 0 {
			o.pre = nil
		}
		o.border.pass(b[:n])
		return n, nil
	}
	read := o.Conn.Read
	if o.poller != nil && !o.stay && o.border.clean() && !o.ending.Load() {
		read = o.readNow
	}
	n, err := read(b)
	if n > 0 {
		o.seen.Store(time.Now().UnixNano())
		o.border.pass(b[:n])
	}
	return n, err
}

// errIdle is the answer of [outbox.Read] when the peer has said everything that it began, and nothing more.
var errIdle = errors.New("nothing to read now")

// park gives the connection to the poller, after Read was errIdle. When it reports true, woken starts the next reader; when
// it does not, the caller goes on reading.
func (o *outbox) park() bool {
	o.parked.Store(true)
	err := o.poller.arm(o)
	if err == nil && !o.ending.Load() {
		return true
	}
	if o.ending.Load() {
		o.poller.forget(o.token.Load()) // it may have been closed before it was known
	}
	if !o.parked.CompareAndSwap(true, false) {
		return true // woken by the end, or by the peer
	}
	if err != nil {
		o.stay = true
	}
	return false
}

// wake starts a reader when there is none.
func (o *outbox) wake() {
	if o.parked.CompareAndSwap(true, false) {
		o.woken()
	}
}

// Close closes the socket as the websocket library wants it: at once, unless its close frame still waits to be written.
func (o *outbox) Close() error {
	o.mu.Lock()
	if o.flushing && o.closing && !o.closed {
		if !o.parting {
			o.parting = true
			_ = o.Conn.SetWriteDeadline(time.Now().Add(partWait))
		}
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()
	return o.drop()
}

// drop closes the socket at once.
func (o *outbox) drop() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	said := o.closing
	o.mu.Unlock()
	o.ending.Store(true)
	if o.poller != nil {
		o.poller.forget(o.token.Load())
	}
	if c, ok := o.Conn.(*tls.Conn); ok && !said {
		// TLS would say goodbye, for which a socket that is full makes it wait for seconds.
		_ = c.NetConn().Close()
	}
	err := o.Conn.Close()
	o.wake() // its reader sees the end
	return err
}

// leaving reports whether a close frame is on its way and the socket is still open.
func (o *outbox) leaving() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing && !o.closed
}

// hijacker gives an outbox and small buffers to websocket.Accept, and keeps the answer to the handshake for the first write.
type hijacker struct {
	refusal
	bound int
	tasks *sync.WaitGroup
	out   *outbox // set by Hijack
}

// Sizes of the websocket library's buffers. A control frame has at most 127+2 bytes and must fit, so that it is one Write.
const (
	readBuffer  = 256
	writeBuffer = 160
)

// WriteHeader implements [http.ResponseWriter]. Accept agrees to the handshake with it, before it hijacks.
func (h *hijacker) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		h.refusal.WriteHeader(status)
	}
}

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	var pre []byte
	if n := brw.Reader.Buffered(); n > 0 {
		b, _ := brw.Reader.Peek(n)
		pre = append(pre, b...)
	}
	h.out = newOutbox(c, pre, h.bound, h.tasks)
	answer := bytes.NewBufferString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Header().Write(answer) // a buffer takes everything
	answer.WriteString("\r\n")
	h.out.answer = answer.Bytes()
	return h.out, bufio.NewReadWriter(bufio.NewReaderSize(h.out, readBuffer), bufio.NewWriterSize(h.out, writeBuffer)), nil
}
