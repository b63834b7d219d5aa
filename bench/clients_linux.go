package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clients is the process of all readers: it does as little as it can for each byte, so that what is measured is the server.
type clients struct {
	epoll int
	in    *json.Decoder
	out   *json.Encoder

	mu     sync.Mutex
	conns  map[int32]*reader // by descriptor
	seen   int
	shared *int64  // seen, for the server
	read   int     // bytes
	closed int     // connections that the server has ended
	pieces uint64  // segments that had come before the last reset
	took   []int64 // nanoseconds from publish to read
	kind   string
	had    []arrival // instead of took, where the ids are Discord's
	stall  bool      // readers that may stall do
	// cursors are what readers who come back bring, by number; resumed is how many got what they had missed.
	cursors map[int]string
	resumed int

	ponged time.Time
}

// reader is one connection: its descriptor, and the end of what was read, which may be the beginning of a mark.
type reader struct {
	file *os.File
	tail []byte
	// lazy readers read nothing while told to stall, and are not counted.
	lazy   bool
	frames *frames // counted instead of marks, of a reader of compressed frames; nil for others
}

// arrival is when a reader had a message.
type arrival struct{ id, at int64 }

// mark stands in front of the time of publishing, in all servers' frames.
var mark = []byte(`"id":"`)

const digits = 19 // of a Unix time in nanoseconds, and of a snowflake of our days

type clientOrder struct {
	Do    string // connect, reconnect, reset, count, stats, stall, go on
	Addr  string
	Kind  string
	N     int
	Count string // the file for what they have
	First int    // number of the first reader
	Watch string // what readers of ours watch: "" all, "none", or channels as JSON
	Lazy  bool   // these readers stall when told to
	// Sent says when Discord sent which message, in nanoseconds; nil where the ids are times themselves.
	Sent map[string]int64
	// Resume says that those who reconnect bring their cursors.
	Resume bool
}

type clientReport struct {
	Err            string
	Seen           int
	Bytes          int
	Pieces         uint64  // segments that came, which is writes on loopback
	P50, P99, P999 float64 // milliseconds
	Closed         int
	Resumed        int
	CPU            float64 // seconds
}

func newClients() (*clients, error) {
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	return &clients{epoll: epoll, shared: new(int64), conns: map[int32]*reader{}, cursors: map[int]string{}}, nil
}

func runClients() error {
	c, err := newClients()
	if err != nil {
		return err
	}
	c.in, c.out = json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	go c.poll()
	for {
		var o clientOrder
		if err := c.in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var r clientReport
		switch o.Do {
		case "connect", "reconnect":
			if o.Count != "" {
				if c.shared, err = sharedCount(o.Count); err != nil {
					return err
				}
			}
			if err := c.connect(o); err != nil {
				r.Err = err.Error()
			}
		case "reset":
			c.reset()
			time.Sleep(100 * time.Millisecond)
		case "stall", "go on":
			c.mu.Lock()
			c.stall = o.Do == "stall"
			c.mu.Unlock()
		case "count":
			c.mu.Lock()
			r.Seen, r.Closed, r.Resumed = c.seen, c.closed, c.resumed
			c.mu.Unlock()
		case "stats":
			r = c.stats(o.Sent)
		}
		r.CPU = cpu()
		if err := c.out.Encode(r); err != nil {
			return err
		}
	}
}

func (c *clients) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.ponged) > 15*time.Second { // servers drop who says nothing for long
		c.ponged = time.Now()
		for fd := range c.conns {
			_, _ = syscall.Write(int(fd), []byte{0x8a, 0x80, 0, 0, 0, 0})
		}
	}
	c.seen, c.read, c.took, c.had = 0, 0, c.took[:0], c.had[:0]
	c.pieces = c.segments()
	atomic.StoreInt64(c.shared, 0)
}

// segments is how many segments with data all readers have got. On loopback a short write is one. The caller holds mu.
func (c *clients) segments() uint64 {
	n := uint64(0)
	for fd := range c.conns {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n += uint64(info.Data_segs_in)
		}
	}
	return n
}

func (c *clients) stats(sent map[string]int64) clientReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := clientReport{Seen: c.seen, Bytes: c.read, Closed: c.closed, Pieces: c.segments() - c.pieces}
	if sent != nil {
		times := make(map[int64]int64, len(sent))
		for id, at := range sent {
			n, _ := strconv.ParseInt(id, 10, 64)
			times[n] = at
		}
		c.took = c.took[:0]
		for _, a := range c.had {
			c.took = append(c.took, a.at-times[a.id])
		}
	}
	slices.Sort(c.took)
	if n := len(c.took); n > 0 {
		r.P50, r.P99, r.P999 = float64(c.took[n/2])/1e6, float64(c.took[n*99/100])/1e6, float64(c.took[n*999/1000])/1e6
	}
	return r
}

// connect opens n connections, a few at a time.
func (c *clients) connect(o clientOrder) error {
	c.kind = o.Kind
	var wg sync.WaitGroup
	errs := make(chan error, o.N)
	turns := make(chan struct{}, 32)
	for i := range o.N {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if err := c.open(o, o.First+i); err != nil {
				errs <- fmt.Errorf("connection %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (c *clients) open(o clientOrder, i int) error {
	nc, err := net.Dial("tcp", o.Addr)
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	proto := ""
	if strings.HasPrefix(o.Kind, "tidings") || o.Kind == "line" {
		proto = "Sec-WebSocket-Protocol: tidings.v1\r\n"
	}
	packed := o.Kind == "tidings-packed"
	if packed {
		proto += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	again := o.Do == "reconnect"
	cursor := ""
	if o.Resume {
		c.mu.Lock()
		cursor = "&cursor=" + c.cursors[i]
		c.mu.Unlock()
	}
	fmt.Fprintf(nc, "GET /?user=%d%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", firstUser+i, cursor, proto)
	br := bufio.NewReaderSize(nc, 4096)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake: %s", resp.Status)
	}
	// Nobody is counted as connected before the server has said its first word.
	switch o.Kind {
	case "centrifuge":
		if _, err := nc.Write(masked(`{"id":1,"connect":{}}`)); err != nil {
			return err
		}
		_, err = await(br, `"connect"`)
	case "tidings", "tidings-idle", "tidings-packed", "line":
		if again {
			var hello string
			if hello, err = await(br, `"hello"`); err == nil && strings.Contains(hello, `"resumed":true`) {
				c.mu.Lock()
				c.resumed++
				c.mu.Unlock()
				break
			}
		}
		if packed {
			err = frameUnread(br, 2) // hello and the snapshot, which is compressed
		} else if err == nil {
			_, err = await(br, `"snapshot"`)
		}
		watch := `{"op":"watch","all":true}`
		if o.Watch != "" {
			watch = `{"op":"watch","channels":` + o.Watch + `}`
		}
		if o.Watch == "none" {
			watch = ""
		}
		if err == nil && o.Kind != "tidings-idle" && o.Kind != "line" {
			if _, err = nc.Write(masked(watch + "\n" + `{"op":"ping"}`)); err == nil {
				var pong string
				pong, err = await(br, `"pong"`)
				_, pong, _ = strings.Cut(pong, `"cursor":"`)
				pong, _, _ = strings.Cut(pong, `"`)
				c.mu.Lock()
				c.cursors[i] = pong
				c.mu.Unlock()
			}
		}
	}
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Time{})
	f, err := nc.(*net.TCPConn).File() // out of Go's poller, into ours
	nc.Close()
	if err != nil {
		return err
	}
	fd := int32(f.Fd())
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return err
	}
	rd := &reader{file: f, lazy: o.Lazy}
	if packed {
		rd.frames = new(frames)
	}
	if early, _ := br.Peek(br.Buffered()); len(early) > 0 {
		c.take(rd, early, time.Now().UnixNano())
	}
	c.mu.Lock()
	c.conns[fd] = rd
	c.mu.Unlock()
	return syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: fd})
}

// await reads frames until one contains the word, and returns that.
func await(br *bufio.Reader, word string) (string, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return "", fmt.Errorf("wait for %s: %w", word, err)
		}
		n := int(head[1] & 0x7f)
		more := map[int]int{126: 2, 127: 8}[n]
		if more > 0 {
			n = 0
			for range more {
				b, err := br.ReadByte()
				if err != nil {
					return "", err
				}
				n = n<<8 | int(b)
			}
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			return "", err
		}
		if bytes.Contains(b, []byte(word)) {
			return string(b), nil
		}
	}
}

func masked(s string) []byte {
	b := []byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}
	return append(b, s...) // shorter than 126, masked with zeros
}

func (c *clients) poll() {
	events := make([]syscall.EpollEvent, 512)
	buf := make([]byte, 256<<10)
	for {
		n, err := syscall.EpollWait(c.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			return
		}
		for _, e := range events[:max(n, 0)] {
			c.mu.Lock()
			r := c.conns[e.Fd]
			stalls := r != nil && r.lazy && c.stall
			c.mu.Unlock()
			if r == nil {
				continue
			}
			if stalls { // level-triggered: it is taken out, or it would come again at once
				_ = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_DEL, int(e.Fd), nil)
				continue
			}
			at := copy(buf, r.tail)
			n, err := syscall.Read(int(e.Fd), buf[at:])
			if n <= 0 {
				if err == syscall.EAGAIN || err == syscall.EINTR {
					continue
				}
				_ = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_DEL, int(e.Fd), nil)
				c.mu.Lock()
				c.closed++
				delete(c.conns, e.Fd)
				c.mu.Unlock()
				_ = r.file.Close()
				continue
			}
			c.take(r, buf[:at+n], time.Now().UnixNano())
		}
	}
}

// take counts the marks in what one reader has got.
func (c *clients) take(r *reader, b []byte, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.lazy {
		return
	}
	c.read += len(b) - len(r.tail)
	defer func() { atomic.StoreInt64(c.shared, int64(c.seen)) }()
	if r.frames != nil {
		c.seen += r.frames.pass(b)
		return
	}
	for {
		i := bytes.Index(b, mark)
		if i < 0 {
			b = b[max(0, len(b)-len(mark)+1):]
			break
		}
		rest := b[i+len(mark):]
		if len(rest) < digits {
			b = b[i:]
			break
		}
		if at, err := strconv.ParseInt(string(rest[:digits]), 10, 64); err == nil {
			c.seen++
			if c.kind == "line" {
				c.had = append(c.had, arrival{at, now})
			} else if len(c.took) < 4<<20 {
				c.took = append(c.took, now-at)
			}
		}
		b = rest
	}
	r.tail = append(r.tail[:0], b...)
}

// frames counts data frames in what a server sends.
type frames struct {
	left int // bytes of the payload under way
	head []byte
}

// pass takes the next bytes, and returns how many data frames began in them.
func (f *frames) pass(b []byte) int {
	n := 0
	for len(b) > 0 {
		if f.left > 0 {
			k := min(f.left, len(b))
			f.left -= k
			b = b[k:]
			continue
		}
		f.head = append(f.head, b[0])
		b = b[1:]
		if len(f.head) < 2 {
			continue
		}
		size, length := 2, int(f.head[1])
		switch length {
		case 126:
			size = 4
		case 127:
			size = 10
		}
		if len(f.head) < size {
			continue
		}
		if size > 2 {
			length = 0
			for _, x := range f.head[2:] {
				length = length<<8 | int(x)
			}
		}
		if f.head[0]&0xf < 8 {
			n++
		}
		f.left, f.head = length, f.head[:0]
	}
	return n
}

// frameUnread skips frames.
func frameUnread(br *bufio.Reader, n int) error {
	for range n {
		if _, err := await(br, ""); err != nil {
			return err
		}
	}
	return nil
}

// moreFiles raises this process' limit of descriptors, and with it that of the processes that it starts.
func moreFiles() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= 1<<16 {
		return nil
	}
	l.Cur = min(l.Max, 1<<16)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}
