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
	defer h.mu.Unlock()
	h.lostMask |= 1 << busChannel
	h.heard |= 1 << busChannel
	h.owe()
}

// deaf notes that nothing comes on a bus channel. A sweep looks at once; what it cannot find, as ends of sessions, is looked for when the channel is
// listened to again, which [Hub.lost] says.
func (h *Hub) deaf(busChannel int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard |= 1 << busChannel
	h.owe()
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
		mask, losses := h.lostMask, h.losses
		h.lostMask = 0
		heard := h.heard == allChannels || ticked // Redis may hesitate
		h.mu.Unlock()
		err := h.sweep(ctx, mask)
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		h.sessionMask |= mask
		if err != nil {
			h.lostMask |= mask
		} else {
			h.resumeLate()
			if heard {
				h.settle(losses)
			}
		}
		h.mu.Unlock()
		if mask != 0 {
			signal(h.lookNow)
		}
		switch {
		case err != nil && !failing:
			h.log.Warn("sweep fails", "err", err)
		case err == nil && failing:
			h.log.Info("sweep works again")
		}
		failing = err != nil
		h.expire(time.Now())
	}
}

// sweep compares what the hub knows with what is stored. mask names the bus channels that have lost something.
func (h *Hub) sweep(ctx context.Context, mask uint32) error {
	began := time.Now()
	// Versions are read first: who had lost a channel before something was said there has lost it by the access that is read then.
	versions, err := h.readVersions(ctx)
	if err != nil {
		return err
	}
	if err := h.sweepAccess(ctx); err != nil {
		return err
	}
	h.learnAll(versions)
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

// readVersions reads the versions of the channels of which something has passed: one of which nothing has is learnt from a snapshot, which must not
// find it already ahead.
func (h *Hub) readVersions(ctx context.Context) (map[discord.ChannelID]int64, error) {
	h.mu.Lock()
	ids := make([]discord.ChannelID, 0, len(h.tracks))
	for id, t := range h.tracks {
		if t.known {
			ids = append(ids, id)
		}
	}
	h.mu.Unlock()
	all := make(map[discord.ChannelID]int64, len(ids))
	for part := range slices.Chunk(ids, maxSwept) {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		versions, err := h.store.Versions(qctx, part)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("sweep versions: %w", err)
		}
		maps.Copy(all, versions)
	}
	return all, nil
}

// learnAll finds channels whose version moved without a frame.
func (h *Hub) learnAll(versions map[discord.ChannelID]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, v := range versions {
		if t := h.tracks[id]; t != nil && t.known {
			h.learn(id, t, v)
		}
	}
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
