//go:build unix

package hub

import "syscall"

// attempt is what try keeps of a socket.
type attempt struct {
	fd int // 0 before the first write
}

// try writes as much of b as the socket takes now, which is one write(2) on a socket that never blocks. The caller holds mu, and no
// flusher runs. The descriptor is open while mu is held and closed is not set, because drop sets it before it closes; so Go's own lock
// of the descriptor need not be taken for each of very many short writes.
func (o *outbox) try(b []byte) (int, error) {
	if o.raw == nil || len(b) == 0 {
		return 0, nil
	}
	if o.fd == 0 {
		if err := o.raw.Control(func(fd uintptr) { o.fd = int(fd) }); err != nil {
			return 0, err
		}
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
