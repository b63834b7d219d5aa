package hub_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/hub/client"
)

// follower is a real client whose state can be compared with the world.
type follower struct {
	t    *testing.T
	user discord.UserID
	mu   sync.Mutex
	now  string
	last []string
}

func follow(t *testing.T, n *node, u discord.UserID) *follower {
	t.Helper()
	f := &follower{t: t, user: u}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	began := make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		_ = client.Follow(ctx, fmt.Sprintf("%s/api/live?user=%d", n.url, u), client.Options{}, func(s *client.State, ev client.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.now = describe(s)
			f.last = append(f.last, string(ev.Frame))
			if ev.Op == "snapshot" {
				once.Do(func() { close(began) })
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	<-began
	return f
}

func describe(s *client.State) string {
	var b strings.Builder
	for _, c := range s.Channels() {
		fmt.Fprintf(&b, "%d: v%d read %d unread %d mentions %d stale %v\n", c.ID, c.Version, c.ReadID, c.Unread, c.Mentions, c.Stale)
	}
	return b.String()
}

// becomes waits until the client's state is what the world says.
func (f *follower) becomes(w *world) {
	f.t.Helper()
	w.mu.Lock()
	var b strings.Builder
	for _, g := range w.set(f.user).Guilds {
		for _, ch := range g.Channels {
			c := w.count(f.user, g.Roles, ch.ID)
			fmt.Fprintf(&b, "%d: v%d read %d unread %d mentions %d stale false\n", c.ID, c.Version, c.ReadID, c.Unread, c.Mentions)
		}
	}
	w.mu.Unlock()
	want := b.String()
	f.t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.now != want {
			f.t.Errorf("user %d ends with\n%swant\n%slast frames:\n%.300s", f.user, f.now, want, strings.Join(f.last[max(0, len(f.last)-4):], "\n"))
		}
	})
	eventually(f.t, fmt.Sprintf("user %d knows the truth", f.user), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.now == want
	})
}
