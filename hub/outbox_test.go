package hub

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A frame of which a part was sent goes out whole even when everything else is dropped.
func TestDroppingWhatWaitsKeepsFramesWhole(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 20 {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var tasks sync.WaitGroup
		o := newOutbox(c, nil, 4<<20, &tasks)
		f := textFrame(bytes.Repeat([]byte{byte('a' + i%26)}, 300_000+i))
		sent := 0
		for {
			if err := o.send(f.b, false); err != nil {
				t.Fatal(err)
			}
			sent++
			o.mu.Lock()
			full := o.flushing
			o.mu.Unlock()
			if full {
				break
			}
		}
		o.send(f.b, false)
		o.shut(closeBytes(statusSlow, "retry_ms=1"), true)
		if err := o.send(f.b, true); err == nil {
			t.Error("a frame after the close frame is taken")
		}
		o.Close() // waits for the close frame
		peer.SetDeadline(time.Now().Add(10 * time.Second))
		all, err := io.ReadAll(peer)
		if err != nil {
			t.Fatal(err)
		}
		rest := all
		whole := 0
		for bytes.HasPrefix(rest, f.b) {
			rest = rest[len(f.b):]
			whole++
		}
		if want := closeBytes(statusSlow, "retry_ms=1"); !bytes.Equal(rest, want) || whole < sent-1 || whole > sent+1 {
			t.Fatalf("after %d whole frames of %d sent came %d bytes %.20q, want the close frame", whole, sent, len(rest), rest)
		}
		tasks.Wait()
		peer.Close()
	}
}

// steadyConn takes so many bytes for each wait that it is given, as a narrow link does.
type steadyConn struct {
	net.Conn
	left, most int
	got        bytes.Buffer
}

func (c *steadyConn) SetWriteDeadline(time.Time) error {
	c.left = c.most
	return nil
}

func (c *steadyConn) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	c.got.Write(b[:n])
	if n < len(b) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (c *steadyConn) Close() error { return nil }

// A snapshot may take longer than a socket may take nothing: who reads slowly and steadily gets all of it, and what follows.
func TestALongFrameToASlowReader(t *testing.T) {
	t.Parallel()
	c := &steadyConn{most: 100_000}
	var tasks sync.WaitGroup
	o := newOutbox(c, nil, 256<<10, &tasks)
	long, short := textFrame(bytes.Repeat([]byte("long"), 200_000)), textFrame([]byte("short"))
	if err := o.send(long.b, true); err != nil {
		t.Fatal(err)
	}
	o.send(short.b, false)
	tasks.Wait()
	if want := len(long.b) + len(short.b); c.got.Len() != want || o.closed {
		t.Errorf("%d bytes of %d came, closed = %v", c.got.Len(), want, o.closed)
	}
}

// fullConn notes what is written to it once it is full; a socket would make that wait.
type fullConn struct {
	net.Conn
	full   atomic.Bool
	waited atomic.Int64
}

func (c *fullConn) Write(b []byte) (int, error) {
	if c.full.Load() {
		c.waited.Add(1)
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Write(b)
}

func (c *fullConn) Close() error {
	c.full.Store(false)
	return c.Conn.Close()
}

// The loop drops who was silent too long, and must not wait for a socket that is full to take TLS' goodbye.
func TestDroppingDoesNotWaitForTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &fullConn{Conn: ours}
	peer := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = peer.Handshake() })
	conn := tls.Server(c, srv.TLS)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	tasks.Wait()
	o := newOutbox(conn, nil, 1<<20, &tasks)
	c.full.Store(true)
	o.drop()
	if n := c.waited.Load(); n > 0 {
		t.Errorf("%d writes to a full socket", n)
	}
}
