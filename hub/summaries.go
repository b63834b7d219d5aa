package hub

import (
	"context"
	"iter"
	"time"
	"unsafe"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// recent is a summary that was read lately. It is still true when the person's rev, what they may see, and the versions of all of their channels
// are the same: so a person's other devices, and one whose connection breaks again and again, cost no summary each.
type recent struct {
	set  *tidings.VisibleSet // the same object: access makes another one with each change
	sum  *tidings.Unread
	size int // about how many bytes it takes
	read time.Time
}

func newRecent(set *tidings.VisibleSet, sum *tidings.Unread) *recent {
	r := &recent{set: set, sum: sum, read: time.Now()}
	for i := range sum.Guilds {
		r.size += 256 + len(sum.Guilds[i].Channels)*int(unsafe.Sizeof(tidings.UnreadChannel{}))
	}
	return r
}

// channels are those of the summary.
func (r *recent) channels() iter.Seq[*tidings.UnreadChannel] {
	return func(yield func(*tidings.UnreadChannel) bool) {
		for i := range r.sum.Guilds {
			all := r.sum.Guilds[i].Channels
			for j := range all {
				if !yield(&all[j]) {
					return
				}
			}
		}
	}
}

const (
	// recentFor bounds how old what has no version may be: since when a channel is complete, whether a mute has ended.
	recentFor      = 10 * time.Second
	maxRecent      = 4000 // people
	maxRecentBytes = 32 << 20
)

// remember keeps a summary. The caller has read it after the person's connection was registered.
func (h *Hub) remember(u discord.UserID, r *recent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.recent[u]; old != nil {
		h.recentBytes -= old.size
	} else if len(h.recent) >= maxRecent {
		return
	}
	delete(h.recent, u)
	if h.recentBytes+r.size > maxRecentBytes {
		return
	}
	h.recentBytes += r.size
	h.recent[u] = r
}

// recall returns a summary that is as true as one read now, nil when there is none. The connection is registered: what moves after
// the versions were compared comes to it by itself, and so do marks after the question for the rev.
func (h *Hub) recall(ctx context.Context, u *user, set *tidings.VisibleSet) *recent {
	h.mu.Lock()
	r := h.recent[u.id]
	ok := r != nil && r.set == set && time.Since(r.read) < recentFor && h.unmoved(r)
	h.mu.Unlock()
	if !ok {
		return nil
	}
	if rev, err := h.revs.of(ctx, u.id); err != nil || rev != r.sum.Rev {
		return nil
	}
	return r
}

// unmoved reports whether a summary's versions are those that this hub has passed last. The caller holds h.mu.
func (h *Hub) unmoved(r *recent) bool {
	for x := range r.channels() {
		if t := h.tracks[x.ID]; t == nil || !t.known || t.version != x.Version || t.target > x.Version {
			return false
		}
	}
	return true
}

// forgetRecent drops summaries that are too old. The caller holds h.mu.
func (h *Hub) forgetRecent(now time.Time) {
	for u, r := range h.recent {
		if now.Sub(r.read) >= recentFor {
			h.recentBytes -= r.size
			delete(h.recent, u)
		}
	}
}
