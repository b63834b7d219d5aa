package hub_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

const jump = 1 << 32

// Outgrow is what the store does when it was found to have gone back.
func (p *process) Outgrow(_ context.Context, channels map[discord.ChannelID]int64, guilds map[discord.GuildID]int64) error {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	for _, c := range p.world.channels {
		c.version += jump
	}
	for _, g := range p.world.guilds {
		g.version += jump
	}
	for _, u := range p.world.users {
		u.rev += jump
	}
	return nil
}

// A database that fails over to a replica that was behind knows less than was told: the same versions come once more, for something else.
func TestADatabaseThatHasGoneBackIsFollowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		told string // a part of the last frame before it
		lost func(t *testing.T, w *world, n *node) (back func())
		then func(w *world, n *node)
	}{
		{"messages", `"id":"1003"`, func(t *testing.T, w *world, n *node) func() {
			n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{})))
			return func() {
				w.remove(c1, func(id discord.MessageID) bool { return id > w.nextID-2 })
				w.mu.Lock()
				defer w.mu.Unlock()
				w.channels[c1].version = 1
			}
		}, func(w *world, n *node) { n.Tell(bg, told(w.create(c1, carl, tidings.Mentions{Everyone: true}))) }},
		{"who may read what", `["77","78"]`, func(t *testing.T, w *world, n *node) func() {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(anna, g1, 77)}})
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.setRoles(anna, g1, 77, 78)}})
			return func() {
				w.setRoles(anna, g1)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.guilds[g1].version = 1
			}
		}, func(w *world, n *node) {
			n.Tell(bg, tidings.Result{Access: []tidings.AccessChange{w.allow(anna, c2, false)}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna}, c1, c2)
			n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Quicken(50*time.Millisecond, 50*time.Millisecond) })
			f := follow(t, n, anna)
			n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
			back := tt.lost(t, w, n)
			eventually(t, "she was told", func() bool { return f.heard(tt.told) })
			back()
			tt.then(w, n)
			eventually(t, "it was noticed", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.guilds[g1].version > jump
			})
			f.becomes(w)
			follow(t, n, anna).becomes(w)
		})
	}
}

// A guild that was removed and purged begins again when the bot is invited again: nothing has gone back.
func TestAGuildThatComesBackAfterAPurgeIsNoDatabaseThatHasGoneBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	w.guild(g2, nil, c3)
	for range 5 {
		w.setRoles(ben, g2, 77)
	}
	p := newProcess(w)
	var sweeps atomic.Int64
	p.versions = func() { sweeps.Add(1) }
	n := start(t, p, hub.Options{}, func(h *hub.Hub) { h.Quicken(50*time.Millisecond, 20*time.Millisecond) })
	swept := func() {
		t.Helper()
		from := sweeps.Load()
		eventually(t, "a whole sweep", func() bool { return sweeps.Load() >= from+2 })
	}
	n.dial(t, anna)
	n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{}))) // so that sweeps ask for its version
	swept()
	w.mu.Lock()
	delete(w.guilds, g2)
	w.mu.Unlock()
	swept()
	w.guild(g2, nil, c3)
	swept()
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.guilds[g1].version; v != 1 {
		t.Errorf("version %d, want it where it was", v)
	}
}

func (f *follower) heard(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.last, func(frame string) bool { return strings.Contains(frame, text) })
}
