package hub

import (
	"context"
	"time"
)

// runSessions looks whether the sessions of connections still stand: now and then, and after the bus has lost something. It is beside the sweeps, because a question
// for each connection takes long.
func (h *Hub) runSessions(ctx context.Context) {
	tick := time.NewTicker(h.timing.sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.lookNow:
		}
		h.mu.Lock()
		mask := h.sessionMask
		h.sessionMask = 0
		h.mu.Unlock()
		h.checkSessions(ctx, mask)
	}
}

// checkSessions closes connections whose session does not stand any more. mask names the bus channels on which an end may
// have been lost.
func (h *Hub) checkSessions(ctx context.Context, mask uint32) {
	now := time.Now()
	h.mu.Lock()
	var due []*conn
	for _, c := range h.allConns() {
		if c.key != (sessionKey{}) && (now.Sub(c.checked) >= h.timing.alive || mask&(1<<c.key.channel()) != 0) {
			c.checked = now
			due = append(due, c)
		}
	}
	h.mu.Unlock()
	for _, c := range due {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		ok, err := h.alive(qctx, c.who.Session)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// Unknown now is asked again; the sockets of a session that ended are not worth all others in an outage.
			h.log.Warn("sessions cannot be checked", "err", err)
			h.mu.Lock()
			for _, c := range due {
				c.checked = time.Time{}
			}
			h.mu.Unlock()
			return
		}
		if !ok {
			c.endSession()
		}
	}
}
