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
	"sync"
	"syscall"
	"time"
)

// clients is the process of all readers: it does as little as it can for each byte, so that what is measured is the server.
type clients struct {
	epoll int
	in    *json.Decoder
	out   *json.Encoder

	mu    sync.Mutex
	conns map[int32]*reader // by descriptor
	seen  int
	took  []int64 // nanoseconds from publish to read

	ponged time.Time
}

// reader is one connection: its descriptor, and the end of what was read, which may be the beginning of a mark.
type reader struct {
	file *os.File
	tail []byte
}

// mark stands in front of the time of publishing, in all servers' frames.
var mark = []byte(`"id":"`)

const digits = 19 // of a Unix time in nanoseconds

type clientOrder struct {
	Do   string // connect, reset, stats
	Addr string
	Kind string
	N    int
}

type clientReport struct {
	Err      string
	Seen     int
	P50, P99 float64 // milliseconds
	Closed   int
}

func runClients() error {
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return err
	}
	c := &clients{epoll: epoll, conns: map[int32]*reader{}, in: json.NewDecoder(os.Stdin), out: json.NewEncoder(os.Stdout)}
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
		case "connect":
			if err := c.connect(o); err != nil {
				r.Err = err.Error()
			}
		case "reset":
			c.mu.Lock()
			if time.Since(c.ponged) > 15*time.Second { // servers drop who says nothing for long
				c.ponged = time.Now()
				for fd := range c.conns {
					_, _ = syscall.Write(int(fd), []byte{0x8a, 0x80, 0, 0, 0, 0})
				}
			}
			c.seen, c.took = 0, c.took[:0]
			c.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
		case "stats":
			r = c.stats()
		}
		if err := c.out.Encode(r); err != nil {
			return err
		}
	}
}

func (c *clients) stats() clientReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := clientReport{Seen: c.seen}
	slices.Sort(c.took)
	if n := len(c.took); n > 0 {
		r.P50, r.P99 = float64(c.took[n/2])/1e6, float64(c.took[n*99/100])/1e6
	}
	return r
}

// connect opens n connections, a few at a time.
func (c *clients) connect(o clientOrder) error {
	var wg sync.WaitGroup
	errs := make(chan error, o.N)
	turns := make(chan struct{}, 32)
	for i := range o.N {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if err := c.open(o, i); err != nil {
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
	if o.Kind == "tidings" {
		proto = "Sec-WebSocket-Protocol: tidings.v1\r\n"
	}
	fmt.Fprintf(nc, "GET /?user=%d HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", firstUser+i, proto)
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
		err = await(br, `"connect"`)
	case "tidings", "tidings-idle":
		if err = await(br, `"snapshot"`); err == nil && o.Kind == "tidings" {
			if _, err = nc.Write(masked(`{"op":"watch","all":true}` + "\n" + `{"op":"ping"}`)); err == nil {
				err = await(br, `"pong"`)
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
	c.mu.Lock()
	c.conns[fd] = &reader{file: f}
	c.mu.Unlock()
	return syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: fd})
}

// await reads frames until one contains the word.
func await(br *bufio.Reader, word string) error {
	for {
		var head [2]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return fmt.Errorf("wait for %s: %w", word, err)
		}
		n := int(head[1] & 0x7f)
		more := map[int]int{126: 2, 127: 8}[n]
		if more > 0 {
			n = 0
			for range more {
				b, err := br.ReadByte()
				if err != nil {
					return err
				}
				n = n<<8 | int(b)
			}
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			return err
		}
		if bytes.Contains(b, []byte(word)) {
			return nil
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
			c.mu.Unlock()
			if r == nil {
				continue
			}
			at := copy(buf, r.tail)
			n, err := syscall.Read(int(e.Fd), buf[at:])
			if n <= 0 {
				if err == syscall.EAGAIN || err == syscall.EINTR {
					continue
				}
				_ = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_DEL, int(e.Fd), nil)
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
			if len(c.took) < 4<<20 {
				c.took = append(c.took, now-at)
			}
		}
		b = rest
	}
	r.tail = append(r.tail[:0], b...)
}
