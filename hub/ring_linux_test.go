package hub

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ringShard is a shard whose loop the test is, with n connections and the peers of them.
func ringShard(t *testing.T, n int) (*shard, []*conn, []net.Conn) {
	t.Helper()
	h := New(Options{})
	s := h.shards[0]
	var err error
	if s.ring, err = newRing(); err != nil {
		// A container's profile may refuse it; then the test is about the way without.
		if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOMEM) {
			t.Fatal(err)
		}
		t.Log(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []*conn
	var peers []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.out.drop()
		}
		for _, p := range peers {
			p.Close()
		}
		l.Close()
		h.tasks.Wait()
		if s.ring != nil {
			s.ring.close()
		}
	})
	for range n {
		p, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p.SetDeadline(time.Now().Add(2 * time.Minute))
		peers = append(peers, p)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, &conn{hub: h, shard: s, out: newOutbox(c, nil, 8<<20, &h.tasks), state: connLive})
	}
	return s, conns, peers
}

// give gives frames to connections as a pass of the loop does.
func (s *shard) give(conns []*conn, frames ...*frame) {
	for _, c := range conns {
		for _, f := range frames {
			c.add(f)
		}
	}
	s.flush()
}

// Many connections get everything in order through the ring, also those whose socket takes only a part at once; a peer that is gone and
// one that is being closed do no harm to the others.
func TestManyWritesWithOneCall(t *testing.T) {
	t.Parallel()
	const n, gone, closing = 2*ringSize + 7, 5, ringSize + 1
	s, conns, peers := ringShard(t, n)
	small, other := textFrame([]byte(`{"op":"small"}`)), textFrame([]byte(`{"op":"other"}`))
	large := textFrame(bytes.Repeat([]byte("large"), 120_000)) // more than a socket takes
	bye := closeBytes(statusRestart, "retry_ms=1")

	peers[gone].(*net.TCPConn).SetLinger(0)
	peers[gone].Close()
	var b [1]byte
	conns[gone].out.Conn.Read(b[:]) // until the end has come
	conns[closing].out.shut(bye, false)

	want := make([][]byte, n)
	for i := range want {
		if i == closing {
			want[i] = bye
			continue
		}
		want[i] = append(want[i], small.b...)
		if i < n/2 {
			want[i] = append(want[i], large.b...)
		}
		want[i] = append(append(want[i], small.b...), other.b...)
		if i == 0 {
			want[i] = append(want[i], other.b...)
		}
	}
	s.give(conns, small)
	s.give(conns[:n/2], large) // in the way of what comes after them
	s.give(conns, small, other)
	s.give(conns[:1], other)
	var wg sync.WaitGroup
	for i, p := range peers {
		if i == gone {
			continue
		}
		wg.Go(func() {
			got := make([]byte, len(want[i]))
			n, err := io.ReadFull(p, got)
			if !bytes.Equal(got, want[i]) {
				t.Errorf("connection %d got %d bytes, %v, want %d, or others", i, n, err, len(want[i]))
			}
			conns[i].out.drop()
			if rest, err := io.ReadAll(p); err != nil || len(rest) > 0 {
				t.Errorf("connection %d got %d bytes more, %v", i, len(rest), err)
			}
		})
	}
	wg.Wait()
	if conns[gone].state != connGone || conns[0].state != connLive {
		t.Errorf("states of a connection that is gone and of another = %v, %v", conns[gone].state, conns[0].state)
	}
}

// A ring that stops working loses nothing: what it has not taken is written one by one, and so is all that follows.
func TestARingThatBreaks(t *testing.T) {
	t.Parallel()
	s, conns, peers := ringShard(t, ringSize+3)
	first, second, third := textFrame([]byte("first")), textFrame([]byte("second")), textFrame([]byte("third"))
	s.give(conns, first)
	if s.ring != nil {
		null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(null)
		if err := unix.Dup3(null, s.ring.fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	s.give(conns, second)
	if s.ring != nil {
		t.Error("a broken ring is still used")
	}
	s.give(conns, third)
	want := append(append(bytes.Clone(first.b), second.b...), third.b...)
	for i, p := range peers {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("connection %d got %q, %v, want %q", i, got, err, want)
		}
	}
}
