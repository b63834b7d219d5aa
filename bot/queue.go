package bot

import (
	"context"
	"sync"

	"tidings"
)

// The bounds of a shard's buffer between the socket and the sink.
const (
	maxQueued      = 100_000
	maxQueuedBytes = 256 << 20
)

// queued is one dispatch on its way to the sink, with the session that it belongs to.
type queued struct {
	*dispatch
	session *tidings.GatewaySession // never changed
}

// queue is a bounded first-in-first-out buffer with one reader. A full queue refuses; it never waits and never drops what
// it holds.
type queue struct {
	mu       sync.Mutex
	items    []queued
	head     int
	bytes    int
	more     chan struct{}
	idle     chan struct{} // closed while nothing is queued or worked on
	idling   bool
	max      int
	maxBytes int
}

func newQueue(max, maxBytes int) *queue {
	q := &queue{more: make(chan struct{}, 1), idle: make(chan struct{}), idling: true, max: max, maxBytes: maxBytes}
	close(q.idle)
	return q
}

// push reports whether there was room.
func (q *queue) push(it queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items) - q.head
	if n >= q.max || n > 0 && q.bytes+len(it.raw) > q.maxBytes {
		return false
	}
	if q.head >= n && q.head > 0 && len(q.items) == cap(q.items) {
		// What was taken makes room before the slice grows.
		kept := copy(q.items, q.items[q.head:])
		clear(q.items[kept:])
		q.items, q.head = q.items[:kept], 0
	}
	q.items = append(q.items, it)
	q.bytes += len(it.raw)
	if q.idling {
		q.idle, q.idling = make(chan struct{}), false
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
	return true
}

// pop waits for the next item. The one taken before counts as done.
func (q *queue) pop(ctx context.Context) (queued, error) {
	for {
		q.mu.Lock()
		if q.head < len(q.items) {
			it := q.items[q.head]
			q.items[q.head] = queued{}
			q.head++
			q.bytes -= len(it.raw)
			q.mu.Unlock()
			return it, ctx.Err()
		}
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 4096 {
			q.items = nil
		}
		if !q.idling {
			q.idling = true
			close(q.idle)
		}
		q.mu.Unlock()
		select {
		case <-q.more:
		case <-ctx.Done():
			return queued{}, ctx.Err()
		}
	}
}

// drained waits until nothing is queued and the last item was worked off.
func (q *queue) drained(ctx context.Context) error {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// size returns how much is held, without what is being worked on.
func (q *queue) size() (events, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head, q.bytes
}
