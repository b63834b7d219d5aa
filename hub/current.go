package hub

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// current refreshes a person who comes, and waits until what they are shown is what they may see by all that this process had heard: while access of
// a guild is reloaded for them, neither its counts nor what was missed may be given out as of before. What a process that has just begun, or that
// did not hear the others for a moment, has not heard it knows once it has swept.
func (h *Hub) current(ctx context.Context, u *user) (*tidings.VisibleSet, error) {
	h.mu.Lock()
	owed := h.owed
	if h.ctx == nil {
		owed = nil
	}
	h.mu.Unlock()
	if owed != nil {
		if err := h.waitFor(ctx, owed); err != nil {
			return nil, fmt.Errorf("no sweep succeeds: %w", err)
		}
	}
	h.refresh(u)
	h.mu.Lock()
	var behind map[discord.GuildID]int64
	for g := range u.audiences {
		if gate := h.gates[g]; gate != nil && h.holds(gate, u) {
			if behind == nil {
				behind = map[discord.GuildID]int64{}
			}
			behind[g] = gate.want
		}
	}
	set := u.set
	h.mu.Unlock()
	if behind == nil {
		return set, nil
	}
	for g, want := range behind {
		if err := h.reached(ctx, g, want); err != nil {
			return nil, fmt.Errorf("access is being reloaded: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return u.set, nil
}

// heardOf reports whether this process has heard of all changes of access that are stored for a person's guilds. What was read from the store before is then not of
// newer access than they are shown. Gates are closed where it has not.
func (h *Hub) heardOf(ctx context.Context, set *tidings.VisibleSet) (bool, error) {
	if len(set.Guilds) == 0 {
		return true, nil
	}
	guilds := make([]discord.GuildID, len(set.Guilds))
	for i, g := range set.Guilds {
		guilds[i] = g.Guild.ID
	}
	stored, err := h.store.AccessVersionsOf(ctx, guilds)
	if err != nil {
		return false, fmt.Errorf("access versions of user %d: %w", set.User, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	heard := true
	for _, g := range set.Guilds {
		if v := stored[g.Guild.ID]; v > max(g.Version, h.applied[g.Guild.ID]) {
			h.closeGate(g.Guild.ID, v, nil)
			heard = false
		}
	}
	return heard, nil
}

// holds reports whether a gate keeps something from a person: whether what they are shown of its guild may be older than what was heard. The caller
// holds h.mu.
func (h *Hub) holds(g *gate, u *user) bool {
	if h.ctx == nil || g.hidden {
		return false
	}
	_, is := g.concerned[u.id]
	return is || g.anybody
}

// behind returns a gate that keeps something from a person, nil when there is none. The caller holds h.mu.
func (h *Hub) behind(u *user) *gate {
	if len(h.gates) == 0 {
		return nil
	}
	for id := range u.audiences {
		if g := h.gates[id]; g != nil && h.holds(g, u) {
			return g
		}
	}
	return nil
}

// reached waits until everybody is shown what they may see of a guild at a version, or nobody sees anything of it.
func (h *Hub) reached(ctx context.Context, id discord.GuildID, want int64) error {
	for {
		h.mu.Lock()
		g := h.gates[id]
		if g == nil || g.hidden || h.applied[id] >= want {
			h.mu.Unlock()
			return nil
		}
		moved := g.moved
		h.mu.Unlock()
		if err := h.waitFor(ctx, moved); err != nil {
			return err
		}
	}
}

// waitFor waits as long as for an answer of the store, and not when the hub goes away.
func (h *Hub) waitFor(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	select {
	case <-done:
		return nil
	case <-h.leaving:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step lets go on who waits for a gate. The caller holds h.mu.
func (h *Hub) step(g *gate) {
	close(g.moved)
	g.moved = make(chan struct{})
	for _, u := range g.parked {
		u.queued = false
		if !u.gone {
			h.queue(u)
		}
	}
	g.parked = nil
}

// owe notes that this process may not have heard something. Who comes waits for the sweep that makes up for it. The caller holds h.mu.
func (h *Hub) owe() {
	h.losses++
	if h.owed == nil {
		h.owed = make(chan struct{})
	}
	signal(h.sweepNow)
}

// settle ends the waiting for a sweep that began when so many losses were known. The caller holds h.mu.
func (h *Hub) settle(losses int64) {
	if h.losses == losses && h.owed != nil {
		close(h.owed)
		h.owed = nil
		h.ready = true
	}
}

// Ready reports whether this process has made up for what was told before it could hear.
func (h *Hub) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}
