package hub

import (
	"context"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// track is what the hub knows of one channel's versions. It exists while somebody who is connected sees the channel, and for
// as long after that as they may come back.
type track struct {
	guild   discord.GuildID
	seen    int   // audiences that contain the channel
	version int64 // of the last frame that passed
	known   bool  // version means something
	target  int64 // a version that is known to exist and has not passed
	due     time.Time
	held    []*delta // above a hole, sorted by version

	kept    []kept    // what passed lately
	dropped int64     // position of the newest that passed and is not in kept
	born    int64     // Hub.pos when the hub began to follow the channel
	left    time.Time // when the last audience with it went, if seen is 0
}

// dueTrack is a place in the queue of holes.
type dueTrack struct {
	channel discord.ChannelID
	at      time.Time
}

func (h *Hub) track(id discord.ChannelID, g discord.GuildID) *track {
	t := h.tracks[id]
	if t == nil {
		t = &track{guild: g, born: h.pos}
		h.tracks[id] = t
	}
	return t
}

// sequence passes a channel's deltas in the order of their versions: repeats are dropped, a hole is waited for. The caller
// holds h.mu.
func (h *Hub) sequence(d *delta) {
	t := h.tracks[d.channel]
	if t == nil {
		return // nobody here sees it
	}
	switch {
	case d.version == 0:
		h.post(t, d)
	case !t.known || d.version == t.version+1:
		t.version, t.known = d.version, true
		h.post(t, d)
		for len(t.held) > 0 && t.held[0].version <= t.version+1 {
			next := t.held[0]
			t.held = t.held[1:]
			if next.version == t.version+1 {
				t.version = next.version
				h.post(t, next)
			}
		}
		if len(t.held) == 0 {
			t.held = nil
		}
		if t.version >= t.target {
			t.due = time.Time{}
		}
	case d.version <= t.version:
		h.metrics.repeats.Inc()
	default:
		i, dup := slices.BinarySearchFunc(t.held, d, func(a, b *delta) int { return int(a.version - b.version) })
		if dup {
			return
		}
		t.held = slices.Insert(t.held, i, d)
		h.expect(d.channel, t, d.version)
		if len(t.held) > h.bounds.held {
			h.reset(d.channel, t, "hole")
		}
	}
}

// expect notes that a version exists which has not passed. When it does not come soon, the channel is reset. The caller
// holds h.mu.
func (h *Hub) expect(id discord.ChannelID, t *track, version int64) {
	t.target = max(t.target, version)
	if t.due.IsZero() {
		t.due = time.Now().Add(h.timing.hold)
		h.due = append(h.due, dueTrack{id, t.due})
		signal(h.janitor)
	}
}

// learn takes a version that was read from the store. The caller holds h.mu.
func (h *Hub) learn(id discord.ChannelID, t *track, version int64) {
	if !t.known {
		t.version, t.known = version, true
		h.passed(id, version)
	} else if version > t.version {
		h.expect(id, t, version)
	}
}

// reset skips what has not come: whoever sees the channel is told to ask. The caller holds h.mu.
func (h *Hub) reset(id discord.ChannelID, t *track, cause string) {
	h.metrics.resets.WithLabelValues(cause).Inc()
	t.version, t.known = max(t.target, t.version), true
	t.held, t.due = nil, time.Time{}
	h.post(t, &delta{guild: t.guild, channel: id, version: t.version, frame: resetFrame(t.guild, id, t.version)})
}

// runJanitor turns holes that lasted too long into resets.
func (h *Hub) runJanitor(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.janitor:
		case <-timer.C:
		}
		if next := h.resetDue(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// resetDue resets the channels whose holes are old, and returns when to look again; zero for when there are new ones.
func (h *Hub) resetDue(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.due) > 0 {
		q := h.due[0]
		if q.at.After(now) {
			return q.at
		}
		h.due = h.due[1:]
		t := h.tracks[q.channel]
		if t == nil || !t.due.Equal(q.at) {
			continue // closed since
		}
		t.due = time.Time{}
		if g := h.gates[t.guild]; g != nil && !g.hidden {
			// Nothing of this guild may pass before its access is known, and what is missing may wait at the gate.
			h.expect(q.channel, t, t.target)
			continue
		}
		h.reset(q.channel, t, "hole")
	}
	h.due = nil
	return time.Time{}
}
