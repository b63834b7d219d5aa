package hub

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// MaxSnapshotsAtOnce is how many snapshots are read at the same time.
const MaxSnapshotsAtOnce = maxSnapshotsAtOnce

// Quicken shortens the hub's durations, so that tests see the effects of time without waiting for it.
func (h *Hub) Quicken(hold, sweep time.Duration) {
	h.timing.hold, h.timing.sweep = hold, sweep
	h.timing.retry = 50 * time.Millisecond
	h.timing.alive = sweep
	h.timing.journal = 10 * time.Millisecond
}

// Patience sets how long an answer of the store is waited for.
func (h *Hub) Patience(d time.Duration) { h.timing.query = d }

// Heartbeat sets the interval of pings.
func (h *Hub) Heartbeat(d time.Duration) { h.timing.heartbeat = d }

// Closing sets how long the peer's answer to a close frame is waited for.
func (h *Hub) Closing(d time.Duration) { h.timing.closing = d }

// BoundPending sets how many bytes may wait for one connection.
func (h *Hub) BoundPending(n int) { h.bounds.pending = n }

// BoundDeltas sets how many deltas may wait in each of the places where they may.
func (h *Hub) BoundDeltas(n int) { h.bounds.inbox, h.bounds.gate, h.bounds.held = n, n, n }

// Left reports what the hub still holds; all of it must be nothing when nobody is connected.
func (h *Hub) Left() (users, audiences, tracks, crowds int) {
	h.expire(time.Now().Add(h.timing.resume))
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.shards {
		done := make(chan int)
		s.do(func(s *shard) { done <- len(s.crowds) + len(s.index) + len(s.people) })
		crowds += <-done
	}
	if h.poller != nil {
		crowds += h.poller.waiting()
	}
	return len(h.users), len(h.audiences) + len(h.listed), len(h.tracks), crowds
}

// Running reports whether Run has begun: before that, connections wait for their peers in goroutines of their own.
func (h *Hub) Running() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ctx != nil
}

// Plain makes each write a call of its own, as where the kernel refuses more. It is called before Run.
func (h *Hub) Plain() { h.plain = true }

// Parked reports how many connections have no goroutine that reads.
func (h *Hub) Parked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.allConns() {
		if c.out.parked.Load() {
			n++
		}
	}
	return n
}

// Keep sets for how long what passed is kept.
func (h *Hub) Keep(d time.Duration) { h.timing.resume = d }

// Kept reports how many bytes are kept for those who come back.
func (h *Hub) Kept() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keptBytes
}

// Users reports how many people are connected.
func (h *Hub) Users() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.users)
}

// Break drops one of the connections without a word.
func (h *Hub) Break(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if all := h.allConns(); i < len(all) {
		all[i].out.drop()
	}
}

// Leaving reports how many connections have been sent a close frame and are still there.
func (h *Hub) Leaving() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.allConns() {
		if c.out.leaving() {
			n++
		}
	}
	return n
}

// Journaled reports whether everything that passed is in the journal.
func (h *Hub) Journaled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.moved) == 0 && h.journaled.Load() == h.pos
}

// Lasting is how long the word of a page holds that somebody looks at it.
func (h *Hub) Lasting(d time.Duration) { h.present.lasts = d }

// Compressed reports whether the newest snapshot of a person is so already. It can be asked once.
func (h *Hub) Compressed(u discord.UserID) bool {
	h.mu.Lock()
	f := h.recent[u].frame
	h.mu.Unlock()
	is := true
	f.packing.Do(func() { is, f.small = false, f.b })
	return is
}
