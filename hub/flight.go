package hub

import "net"

// flight is one write between its two halves, during which its outbox is locked.
type flight struct {
	c    *conn
	b    []byte
	n    int   // bytes that the socket has taken
	err  error // of the socket
	done bool
}

// launch is the first half of a send through a ring. When it reports true, the outbox stays locked until land; otherwise the bytes are
// written or queued already, or the error says why not.
func (o *outbox) launch(b []byte) (bool, error) {
	o.mu.Lock()
	switch {
	case o.closed || o.closing:
		o.mu.Unlock()
		return false, net.ErrClosed
	case o.flushing || !o.known():
		defer o.mu.Unlock()
		if o.flushing && o.waiting+len(b) > o.max {
			return false, errSlow
		}
		return false, o.put(b, len(b))
	}
	return true, nil
}

// land is the second half.
func (o *outbox) land(f *flight) error {
	defer o.mu.Unlock()
	switch {
	case !f.done:
		return o.put(f.b, len(f.b))
	case f.err != nil:
		return f.err
	case f.n < len(f.b):
		o.wait(f.b[f.n:], len(f.b), f.n > 0)
	}
	return nil
}

// launch sends through the shard's ring. Between the first launch and fly the loop does nothing else: outboxes stay locked.
func (s *shard) launch(c *conn, b []byte) {
	up, err := c.out.launch(b)
	if err != nil {
		c.failed(err)
	}
	if !up {
		return
	}
	s.ring.flights = append(s.ring.flights, flight{c: c, b: b})
	if s.ring.full() {
		s.fly()
	}
}

// fly writes what was launched.
func (s *shard) fly() {
	r := s.ring
	if r == nil || len(r.flights) == 0 {
		return
	}
	var broken error
	if len(r.flights) > 1 { // one costs no less through the ring
		broken = r.fly()
	}
	for i := range r.flights {
		f := &r.flights[i]
		f.err = f.c.out.land(f)
	}
	for i := range r.flights { // none is locked any more
		if f := &r.flights[i]; f.err != nil {
			f.c.failed(f.err)
		}
	}
	clear(r.flights)
	r.flights = r.flights[:0]
	if broken != nil {
		s.hub.log.Warn("each write to a live socket is a call of its own from here on", "err", broken)
		s.ring = nil
		r.close()
	}
}
