package main

import (
	"context"
	"sync"

	"tidings/hub/client"
)

// listener is somebody on a live socket, who looks at the sum and holds every frame to the promises of the socket.
type listener struct {
	mu  sync.Mutex
	sum int
}

// listen follows the live socket until ctx ends.
func listen(ctx context.Context, s *service, who credential) *listener {
	l := &listener{sum: -1}
	done := make(chan struct{})
	s.t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		var promises client.Checker
		client.Follow(ctx, s.url, client.Options{Token: who.token, Cookie: who.cookie}, func(state *client.State, ev client.Event) {
			if err := promises.Check(ev); err != nil {
				s.t.Errorf("a live socket: %v", err)
			}
			unread, _ := state.Totals()
			l.mu.Lock()
			l.sum = unread
			l.mu.Unlock()
		})
	}()
	return l
}

// unread is the sum that frames have led to; -1 before the snapshot.
func (l *listener) unread() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}
