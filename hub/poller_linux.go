package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// poller waits for the peers of all connections that have nothing to say, so that none of them needs a goroutine of its own,
// with its stack, for waiting.
type poller struct {
	file *os.File // the epoll descriptor: Go's own poller waits for it
	raw  syscall.RawConn

	mu   sync.Mutex
	next uint64
	// known holds every connection that ever waited, until it is closed. A descriptor's number is given out again after a
	// close, and an event of the old one may still be on its way; tokens are not.
	known map[uint64]*outbox
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), known: map[uint64]*outbox{}}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	return p, nil
}

// run wakes connections until ctx ends.
func (p *poller) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = p.file.Close() })
	defer stop()
	var events [128]syscall.EpollEvent
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:max(n, 0)] {
			p.mu.Lock()
			o := p.known[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]
			p.mu.Unlock()
			if o != nil {
				o.wake()
			}
		}
	}
}

// arm waits once for the peer of o. Whoever calls it is the reader of o.
func (p *poller) arm(o *outbox) error {
	op, token := syscall.EPOLL_CTL_MOD, o.token.Load()
	if token == 0 {
		op = syscall.EPOLL_CTL_ADD
		p.mu.Lock()
		p.next++
		token = p.next
		p.known[token] = o
		p.mu.Unlock()
		o.token.Store(token)
	}
	e := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32)),
	}
	// Both descriptors are held open meanwhile: the number of a closed one may be somebody else's already.
	var err error
	perr := p.raw.Control(func(epfd uintptr) {
		if cerr := o.raw.Control(func(fd uintptr) { err = syscall.EpollCtl(int(epfd), op, int(fd), &e) }); cerr != nil {
			err = cerr
		}
	})
	if err = errors.Join(perr, err); err != nil {
		return fmt.Errorf("wait for a peer: %w", err)
	}
	return nil
}

// forget drops a connection that is closed. The kernel forgets it with the descriptor.
func (p *poller) forget(token uint64) {
	p.mu.Lock()
	delete(p.known, token)
	p.mu.Unlock()
}

// waiting is how many connections the poller knows.
func (p *poller) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known)
}

// readNow reads what is there. It is errIdle when there is nothing.
func (o *outbox) readNow(b []byte) (int, error) {
	n, rerr := 0, error(nil)
	err := o.raw.Read(func(fd uintptr) bool {
		for {
			n, rerr = syscall.Read(int(fd), b)
			if rerr != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case rerr == syscall.EAGAIN:
		return 0, errIdle
	case rerr != nil:
		return 0, os.NewSyscallError("read", rerr)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
