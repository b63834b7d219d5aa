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
	versions, lost, err := h.readVersions(ctx)
	if err != nil {
		return err
	}
	forgotten, err := h.sweepAccess(ctx)
	if err != nil {
		return err
	}
	if len(lost)+len(forgotten) > 0 {
		if err := h.outgrow(ctx, lost, forgotten); err != nil {
			return err
		}
		return h.sweep(ctx, mask|allChannels)
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

// outgrow follows a database that has gone back, to a replica that was behind: it gives versions once more that were told already, for something
// else. Nobody would believe them, and a channel that somebody loses would still be shown to them.
func (h *Hub) outgrow(ctx context.Context, channels map[discord.ChannelID]int64, guilds map[discord.GuildID]int64) error {
	ctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	h.log.Warn("the database knows less than it has said; all counts and rights are read anew", "channels", len(channels), "guilds", len(guilds))
	if err := h.store.Outgrow(ctx, channels, guilds); err != nil {
		return fmt.Errorf("outgrow what was told: %w", err)
	}
	return nil
}

// sweepAccess finds guilds whose access moved without word, and people whose channels access has changed by itself. lost are guilds of which more
// was applied than is stored.
func (h *Hub) sweepAccess(ctx context.Context) (lost map[discord.GuildID]int64, err error) {
	qctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	h.mu.Lock()
	applied := maps.Clone(h.applied) // what is applied was committed before the question
	h.mu.Unlock()
	stored, err := h.store.AccessVersions(qctx)
	if err != nil {
		return nil, fmt.Errorf("sweep access versions: %w", err)
	}
	lost = less(stored, maps.Clone(applied))
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
	for g, v := range applied {
		// Of a guild that is removed versions may begin again.
		if _, is := stored[g]; !is && h.applied[g] == v {
			delete(h.applied, g)
		}
	}
	for g, v := range stored {
		// A gate that is closed opens by itself.
		if h.gates[g] == nil {
			h.applied[g] = max(h.applied[g], min(reached[g], v))
		}
		if v > h.applied[g] && (h.gates[g] == nil || v > h.gates[g].want) {
			h.closeGate(g, v, nil)
		}
	}
	return lost, nil
}

// less lists what was known already and is stored with a lower version.
func less[K comparable](stored, known map[K]int64) map[K]int64 {
	maps.DeleteFunc(known, func(id K, v int64) bool {
		now, is := stored[id]
		return !is || now >= v
	})
	return known
}

// readVersions reads the versions of the channels of which something has passed: one of which nothing has is learnt from a snapshot, which must not
// find it already ahead. lost are those of which more has passed than is stored.
func (h *Hub) readVersions(ctx context.Context) (all, lost map[discord.ChannelID]int64, err error) {
	h.mu.Lock()
	ids := make([]discord.ChannelID, 0, len(h.tracks))
	passed := make(map[discord.ChannelID]int64, len(h.tracks)) // so it was committed before the question
	for id, t := range h.tracks {
		if t.known {
			ids = append(ids, id)
			passed[id] = t.version
		}
	}
	h.mu.Unlock()
	all = make(map[discord.ChannelID]int64, len(ids))
	for part := range slices.Chunk(ids, maxSwept) {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		versions, err := h.store.Versions(qctx, part)
		cancel()
		if err != nil {
			return nil, nil, fmt.Errorf("sweep versions: %w", err)
		}
		maps.Copy(all, versions)
	}
	return all, less(all, passed), nil
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
