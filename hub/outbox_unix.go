//go:build unix

package hub

import "syscall"

// try writes as much of b as the socket takes now. The caller holds mu, and no flusher runs.
func (o *outbox) try(b []byte) (int, error) {
	if o.raw == nil {
		return 0, nil
	}
	o.tryB, o.tryN, o.tryErr = b, 0, nil
	err := o.raw.Write(o.attempt)
	o.tryB = nil
	if err != nil {
		return 0, err
	}
	return o.tryN, o.tryErr
}

// writeOnce is one write(2) on the socket, which never blocks.
func (o *outbox) writeOnce(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), o.tryB)
		switch err {
		case syscall.EINTR:
			continue
		case nil:
			o.tryN = n
		case syscall.EAGAIN:
		default:
			o.tryErr = err
		}
		return true
	}
}
