package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const (
	// miniTick is how late a key of miniredis may expire: it has no clock of its own.
	miniTick = 250 * time.Millisecond
	// miniBehind is how many bytes a client of miniredis may leave unread before it is cut off. Redis's own limit for
	// subscribers is the same.
	miniBehind = 32 << 20
)

// miniServer is miniredis behind a unix socket, so that other processes on the directory reach it too.
//
// A miniredis that writes to a client who does not read holds its one lock, and all stand still. So what it writes goes into
// a queue per client, and who lets the queue grow too long is cut off.
type miniServer struct {
	mini   *miniredis.Miniredis
	listen net.Listener
	limit  int
	log    *slog.Logger
	ended  chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once stopped
}

func startMini(socket string, log *slog.Logger) (*miniServer, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("run miniredis: %w", err)
	}
	if err := os.Chmod(socket, 0o700); err != nil {
		l.Close()
		return nil, fmt.Errorf("run miniredis: %w", err)
	}
	m := &miniServer{mini: miniredis.NewMiniRedis(), listen: l, limit: miniBehind, log: log, ended: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	m.wg.Go(m.accept)
	m.wg.Go(m.tick)
	return m, nil
}

func (m *miniServer) exited() <-chan struct{} { return m.ended }
func (m *miniServer) describe() string        { return fmt.Sprintf("miniredis %d", os.Getpid()) }
func (m *miniServer) lastWords() string       { return "" }

func (m *miniServer) stop() error {
	m.mu.Lock()
	conns := m.conns
	m.conns = nil
	m.mu.Unlock()
	close(m.ended)
	err := m.listen.Close() // It removes the socket.
	for c := range conns {
		c.Close()
	}
	m.wg.Wait()
	m.mini.Close()
	return err
}

func (m *miniServer) tick() {
	t := time.NewTicker(miniTick)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-m.ended:
			return
		case now := <-t.C:
			m.mini.FastForward(now.Sub(last))
			last = now
		}
	}
}

func (m *miniServer) accept() {
	for {
		client, err := m.listen.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // No file descriptor is free: wait for one.
			m.log.Warn("miniredis cannot take a connection", "err", err)
			select {
			case <-m.ended:
				return
			case <-time.After(miniTick):
				continue
			}
		}
		server, err := m.mini.Dial()
		if err != nil {
			client.Close()
			continue
		}
		if !m.keep(client) {
			client.Close()
			server.Close()
			return
		}
		m.wg.Go(func() { m.relay(client, server) })
	}
}

func (m *miniServer) keep(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns == nil {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

// relay carries bytes between a client and miniredis until either ends.
func (m *miniServer) relay(client, server net.Conn) {
	q := newQueue(m.limit)
	var wg sync.WaitGroup
	end := func() { client.Close(); server.Close(); q.close() }
	wg.Go(func() { // requests
		defer end()
		pump(server, client)
	})
	wg.Go(func() { // replies into the queue; this one never waits for the client
		defer q.close()
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 && !q.put(buf[:n]) {
				m.log.Warn("a client of miniredis does not read and is cut off", "limit", m.limit)
				end()
			}
			if err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer end()
	for {
		b, ok := q.take()
		if !ok {
			break
		}
		if _, err := client.Write(b); err != nil {
			break
		}
	}
	m.mu.Lock()
	delete(m.conns, client)
	m.mu.Unlock()
}

func pump(dst, src net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// queue holds the bytes for one client, up to a limit.
type queue struct {
	limit int

	mu     sync.Mutex
	more   sync.Cond
	bytes  []byte
	closed bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.more.L = &q.mu
	return q
}

// put reports false when the bytes do not fit. After close it drops them.
func (q *queue) put(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if len(q.bytes)+len(b) > q.limit {
		return false
	}
	q.bytes = append(q.bytes, b...)
	q.more.Signal()
	return true
}

// take waits for bytes and returns all there are, or false when there will be none.
func (q *queue) take() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.bytes) == 0 && !q.closed {
		q.more.Wait()
	}
	b := q.bytes
	q.bytes = nil
	return b, len(b) > 0
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.more.Broadcast()
	q.mu.Unlock()
}
