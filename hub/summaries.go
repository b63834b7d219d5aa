package hub

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// recent is a summary that was read lately, as it was sent. It is still true when the person's rev, what they may see, and the versions
// of all of their channels are the same: so a person's other devices, and one whose connection breaks again and again, cost no summary each.
type recent struct {
	set      *tidings.VisibleSet // the same object: access makes another one with each change
	rev      int64
	versions []channelVersion
	frame    *frame
	read     time.Time
}

type channelVersion struct {
	channel discord.ChannelID
	version int64
}

// newRecent encodes a summary, of which it keeps nothing else.
func newRecent(set *tidings.VisibleSet, sum *tidings.Unread) (*recent, error) {
	f, err := snapshotFrame(sum)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, g := range sum.Guilds {
		n += len(g.Channels)
	}
	r := &recent{set: set, rev: sum.Rev, versions: make([]channelVersion, 0, n), frame: f, read: time.Now()}
	for i := range sum.Guilds {
		for j := range sum.Guilds[i].Channels {
			ch := &sum.Guilds[i].Channels[j]
			r.versions = append(r.versions, channelVersion{ch.ID, ch.Version})
		}
	}
	return r, nil
}

const (
	// recentFor bounds how old what has no version may be: since when a channel is complete, whether a mute has ended.
	recentFor      = 10 * time.Second
	maxRecent      = 4000     // people
	maxRecentBytes = 32 << 20 // of frames
)

// remember keeps a summary. The caller has read it after the person's connection was registered.
func (h *Hub) remember(u discord.UserID, r *recent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.recent[u]; old != nil {
		h.recentBytes -= len(old.frame.b)
	} else if len(h.recent) >= maxRecent {
		return
	}
	delete(h.recent, u)
	if h.recentBytes+len(r.frame.b) > maxRecentBytes {
		return
	}
	h.recentBytes += len(r.frame.b)
	h.recent[u] = r
}

// recall returns a summary that is as true as one read now, nil when there is none. The connection is registered: what moves after
// the versions were compared comes to it by itself, and so do marks after the question for the rev.
func (h *Hub) recall(ctx context.Context, u *user, set *tidings.VisibleSet) *recent {
	h.mu.Lock()
	r := h.recent[u.id]
	ok := r != nil && r.set == set && time.Since(r.read) < recentFor && h.unmoved(r.versions)
	h.mu.Unlock()
	if !ok {
		return nil
	}
	if rev, err := h.revs.of(ctx, u.id); err != nil || rev != r.rev {
		return nil
	}
	return r
}

// unmoved reports whether a summary's versions are those that this hub has passed last. The caller holds h.mu.
func (h *Hub) unmoved(versions []channelVersion) bool {
	for _, x := range versions {
		if t := h.tracks[x.channel]; t == nil || !t.known || t.version != x.version || t.target > x.version {
			return false
		}
	}
	return true
}

// forgetRecent drops summaries that are too old. The caller holds h.mu.
func (h *Hub) forgetRecent(now time.Time) {
	for u, r := range h.recent {
		if now.Sub(r.read) >= recentFor {
			h.recentBytes -= len(r.frame.b)
			delete(h.recent, u)
		}
	}
}
