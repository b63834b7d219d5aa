package hub

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// gate holds back a guild's deltas while its access is reloaded.
type gate struct {
	want    int64 // the access version to reach
	waiting []*delta
	lost    map[discord.ChannelID]int64 // newest versions of what did not fit
	// users are those whom the steps up to want concern; all says that this is not known.
	users map[discord.UserID]struct{}
	all   bool
	began bool
	// concerned and anybody are the same for all of the gate's time.
	concerned map[discord.UserID]struct{}
	anybody   bool
	hidden    bool          // nobody is shown the guild any more
	moved     chan struct{} // closed with each step: a version is reached, or the guild is hidden
	parked    []*user       // whose counts are to be read after the next step
}

// dispatch takes a delta from this process or from the bus: it passes, or waits until the guild's access is known.
func (h *Hub) dispatch(d *delta) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.gates[d.guild]
	if d.accessVersion > h.applied[d.guild] && (g == nil || d.accessVersion > g.want) {
		g = h.closeGate(d.guild, d.accessVersion, nil)
	}
	if g != nil && !g.hidden {
		h.wait(g, d)
		return
	}
	h.sequence(d) // of a hidden guild too, because nobody sees it
}

func (h *Hub) wait(g *gate, d *delta) {
	if len(g.waiting) >= h.bounds.gate || g.lost[d.channel] > 0 {
		if d.version == 0 {
			return
		}
		if g.lost == nil {
			g.lost = map[discord.ChannelID]int64{}
		}
		g.lost[d.channel] = max(g.lost[d.channel], d.version)
		return
	}
	g.waiting = append(g.waiting, d)
}

// closeGate holds back a guild until everybody connected has what they may see at version want. users are those that the
// change to exactly this version concerns; empty means anybody. The caller holds h.mu.
func (h *Hub) closeGate(id discord.GuildID, want int64, users []discord.UserID) *gate {
	g := h.gates[id]
	if g == nil {
		g = &gate{moved: make(chan struct{}), concerned: map[discord.UserID]struct{}{}}
		h.gates[id] = g
	}
	if len(users) == 0 || want != max(g.want, h.applied[id])+1 {
		g.all, g.anybody = true, true // a step that is not known may concern anybody
	} else {
		if g.users == nil {
			g.users = map[discord.UserID]struct{}{}
		}
		for _, u := range users {
			g.users[u], g.concerned[u] = struct{}{}, struct{}{}
		}
	}
	g.want = max(g.want, want)
	h.startGate(id, g)
	return g
}

// startGate works on a gate as soon as Run runs. The caller holds h.mu.
func (h *Hub) startGate(id discord.GuildID, g *gate) {
	if h.ctx == nil || h.ended || g.began {
		return
	}
	g.began = true
	ctx := h.ctx
	h.tasks.Go(func() { h.openGate(ctx, id, g) })
}

// accessMoved takes a change from this process or from the bus.
func (h *Hub) accessMoved(a tidings.AccessChange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Version > h.applied[a.Guild] {
		h.closeGate(a.Guild, a.Version, a.Users)
	}
}

// openGate reloads the guild, shows everybody what they may see now, and lets pass what waited. While the guild cannot be
// reloaded nobody sees anything of it.
func (h *Hub) openGate(ctx context.Context, id discord.GuildID, g *gate) {
	pause := 50 * time.Millisecond
	for {
		h.mu.Lock()
		want, users, all := g.want, g.users, g.all || h.denied[id]
		g.users, g.all = nil, false
		h.mu.Unlock()
		if err := h.reload(ctx, id, want); err != nil {
			if ctx.Err() != nil {
				return
			}
			h.deny(id, g, err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, h.timing.retry)
			continue
		}
		version := want
		if all {
			// Read before people are listed and their sets are taken, so that what is applied is never claimed to be newer
			// than it is.
			version = max(want, h.access.Version(id))
		}
		us, ok := h.concerned(id, g, want, users, all)
		if !ok {
			continue
		}
		for _, u := range us {
			h.refresh(u)
		}
		if h.pass(id, g, version) {
			return
		}
	}
}

func (h *Hub) reload(ctx context.Context, id discord.GuildID, want int64) error {
	if h.access.Version(id) >= want {
		return nil // access was quicker
	}
	select {
	case h.reloads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.reloads }()
	ctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	return h.access.Reload(ctx, id, want)
}

// concerned lists the connected people whose channels must be compared. A guild that was hidden is so no longer, unless a change was
// heard of meanwhile: what has passed unseen since may be of that, and can still be given to who comes back.
func (h *Hub) concerned(id discord.GuildID, g *gate, want int64, users map[discord.UserID]struct{}, all bool) ([]*user, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.denied[id] {
		if g.want > want {
			return nil, false
		}
		delete(h.denied, id)
		g.hidden = false
		h.denials++
		h.log.Info("access of a guild is known again", "guild", id)
	}
	if all {
		return slices.Collect(maps.Values(h.users)), true
	}
	var us []*user
	for u := range users {
		if u := h.users[u]; u != nil {
			us = append(us, u)
		}
	}
	return us, true
}

// deny hides a guild from everybody, because who may see what in it is not known.
func (h *Hub) deny(id discord.GuildID, g *gate, cause error) {
	h.metrics.reloadErrors.Inc()
	h.mu.Lock()
	if h.denied[id] {
		h.mu.Unlock()
		return
	}
	h.denied[id] = true
	h.denials++
	us := slices.Collect(maps.Values(h.users))
	h.mu.Unlock()
	h.log.Warn("access of a guild cannot be read, it is hidden until it can", "guild", id, "err", cause)
	for _, u := range us {
		h.refresh(u)
	}
	h.mu.Lock()
	g.hidden = true // from here on nobody sees what passes; before, somebody still may
	h.drain(g)
	h.step(g)
	h.mu.Unlock()
}

// pass lets through what waited when the gate's version is reached, and reports whether the gate is open.
func (h *Hub) pass(id discord.GuildID, g *gate, version int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.applied[id] = max(h.applied[id], version)
	open := g.want <= h.applied[id]
	if open {
		delete(h.gates, id)
		h.drain(g)
	}
	h.step(g)
	return open
}

// drain passes what waited at a gate. The caller holds h.mu.
func (h *Hub) drain(g *gate) {
	for _, d := range g.waiting {
		h.sequence(d)
	}
	for id, v := range g.lost {
		if t := h.tracks[id]; t != nil {
			h.learn(id, t, v)
		}
	}
	g.waiting, g.lost = nil, nil
}
