package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// maxSwept is how many channels one question of the sweep names.
const maxSwept = 5000

// lost notes that a bus channel may have lost something. The next sweep, which comes at once, finds what it was.
func (h *Hub) lost(busChannel int) {
	h.mu.Lock()
	h.lostMask |= 1 << busChannel
	h.heard |= 1 << busChannel
	h.mu.Unlock()
	signal(h.sweepNow)
}

// Ready reports whether this process has made up for what was told before it could hear. Live sockets that come earlier wait for it.
func (h *Hub) Ready() bool {
	select {
	case <-h.swept:
		return true
	default:
		return false
	}
}

// runSweeps looks every few seconds for what was committed and never told: by a process that crashed in between, or by a
// bus that lost it.
func (h *Hub) runSweeps(ctx context.Context) {
	tick := time.NewTicker(h.timing.sweep)
	defer tick.Stop()
	failing := false
	for {
		ticked := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ticked = true
		case <-h.sweepNow:
		}
		h.mu.Lock()
		mask := h.lostMask
		h.lostMask = 0
		heard := h.heard == allChannels || ticked // Redis may hesitate
		h.mu.Unlock()
		err := h.sweep(ctx, mask)
		if err == nil && heard && !h.Ready() {
			close(h.swept)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.mu.Lock()
			h.lostMask |= mask
			h.mu.Unlock()
			if !failing {
				h.log.Warn("sweep fails", "err", err)
			}
		} else if failing {
			h.log.Info("sweep works again")
		}
		failing = err != nil
		h.checkSessions(ctx, mask)
		h.expire(time.Now())
	}
}

// sweep compares what the hub knows with what is stored. mask names the bus channels that have lost something.
func (h *Hub) sweep(ctx context.Context, mask uint32) error {
	began := time.Now()
	if err := h.sweepAccess(ctx); err != nil {
		return err
	}
	if err := h.sweepVersions(ctx); err != nil {
		return err
	}
	if mask != 0 {
		if err := h.sweepRevs(ctx, mask); err != nil {
			return err
		}
	}
	h.metrics.sweep.Observe(time.Since(began).Seconds())
	return nil
}

// sweepAccess finds guilds whose access moved without word, and people whose channels access has changed by itself.
func (h *Hub) sweepAccess(ctx context.Context) error {
	qctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	stored, err := h.store.AccessVersions(qctx)
	if err != nil {
		return fmt.Errorf("sweep access versions: %w", err)
	}
	reached := map[discord.GuildID]int64{}
	for g := range stored {
		reached[g] = h.access.Version(g)
	}
	// People are listed after the versions were read: whoever comes later has a set that is at least of these.
	h.mu.Lock()
	users := slices.Collect(maps.Values(h.users))
	h.mu.Unlock()
	for _, u := range users {
		h.refresh(u)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for g, v := range stored {
		// A gate that is closed opens by itself.
		if h.gates[g] == nil {
			h.applied[g] = max(h.applied[g], reached[g])
		}
		if v > h.applied[g] && (h.gates[g] == nil || v > h.gates[g].want) {
			h.closeGate(g, v, nil)
		}
	}
	return nil
}

// sweepVersions finds channels whose version moved without a frame.
func (h *Hub) sweepVersions(ctx context.Context) error {
	h.mu.Lock()
	ids := slices.Collect(maps.Keys(h.tracks))
	h.mu.Unlock()
	for part := range slices.Chunk(ids, maxSwept) {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		versions, err := h.store.Versions(qctx, part)
		cancel()
		if err != nil {
			return fmt.Errorf("sweep versions: %w", err)
		}
		h.mu.Lock()
		for id, v := range versions {
			// A channel of which nothing has passed yet is learnt from a snapshot, which must not find it already ahead.
			if t := h.tracks[id]; t != nil && t.known {
				h.learn(id, t, v)
			}
		}
		h.mu.Unlock()
	}
	return nil
}

// sweepRevs finds people who have made a mark of which no word came. When Redis was away for a moment that may be anybody; all of their counts
// are read for those only who have.
func (h *Hub) sweepRevs(ctx context.Context, mask uint32) error {
	h.mu.Lock()
	var all []discord.UserID
	for id := range h.users {
		if mask&(1<<channelOf(uint64(id))) != 0 {
			all = append(all, id)
		}
	}
	h.mu.Unlock()
	for part := range slices.Chunk(all, maxRevs) {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		revs, err := h.store.Revs(qctx, part)
		cancel()
		if err != nil {
			return fmt.Errorf("sweep revs: %w", err)
		}
		h.mu.Lock()
		for _, id := range part {
			if u := h.users[id]; u != nil && u.rev < revs[id] {
				u.catchUp = true
				h.queue(u)
			}
		}
		h.mu.Unlock()
	}
	return nil
}

// checkSessions closes connections whose session does not stand any more. mask names the bus channels on which an end may
// have been lost.
func (h *Hub) checkSessions(ctx context.Context, mask uint32) {
	if h.alive == nil {
		return
	}
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
