//go:build unix

package hub

import "syscall"

// attempt is what try keeps of a socket.
type attempt struct {
	fd int // 0 before the first write
}

// known reports whether the socket has a descriptor, which is in fd then. The caller holds mu.
func (o *outbox) known() bool {
	if o.fd == 0 && o.raw != nil {
		_ = o.raw.Control(func(fd uintptr) { o.fd = int(fd) }) // what is closed has none
	}
	return o.fd != 0
}

// try writes as much of b as the socket takes now, which is one write(2) on a socket that never blocks. The caller holds mu, and no
// flusher runs. The descriptor is open while mu is held and closed is not set, because drop sets it before it closes; so Go's own lock
// of the descriptor need not be taken for each of very many short writes.
func (o *outbox) try(b []byte) (int, error) {
	if len(b) == 0 || !o.known() {
		return 0, nil
	}
	for {
		switch n, err := syscall.Write(o.fd, b); err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
