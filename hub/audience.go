package hub

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// audience is one set of channels of one guild. Everybody with the same roles has the same, so it is kept once.
type audience struct {
	key      audienceKey
	channels []discord.ChannelID // sorted
	list     *tidings.Channel    // the first of the list that it was made from, which is one and the same for all who may read the same
	refs     int                 // users who have it; guarded by Hub.mu
}

type audienceKey struct {
	guild discord.GuildID
	sum   [16]byte
}

func (a *audience) has(id discord.ChannelID) bool {
	_, ok := slices.BinarySearch(a.channels, id)
	return ok
}

// known lists the audience of each guild of a visible set, as far as others have the same list. The caller holds h.mu.
func (h *Hub) known(set *tidings.VisibleSet) []*audience {
	as := make([]*audience, len(set.Guilds))
	for i, g := range set.Guilds {
		if len(g.Channels) > 0 {
			as[i] = h.listed[&g.Channels[0]]
		}
	}
	return as
}

// audiencesOf makes the audiences of a visible set that are not known, not yet interned. Guilds in which nothing is visible have none.
func audiencesOf(set *tidings.VisibleSet, as []*audience) []*audience {
	var buf []byte
	for i, g := range set.Guilds {
		if as[i] != nil || len(g.Channels) == 0 {
			continue
		}
		ids := make([]discord.ChannelID, len(g.Channels))
		for j, c := range g.Channels {
			ids[j] = c.ID
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		buf = buf[:0]
		for _, id := range ids {
			buf = binary.BigEndian.AppendUint64(buf, uint64(id))
		}
		sum := sha256.Sum256(buf)
		as[i] = &audience{key: audienceKey{g.Guild.ID, [16]byte(sum[:16])}, channels: ids, list: &g.Channels[0]}
	}
	return as
}

// intern returns the one audience with this key, and counts its channels as seen when it is new. The caller holds h.mu.
func (h *Hub) intern(a *audience) *audience {
	if have := h.audiences[a.key]; have != nil {
		have.refs++
		if have.list != a.list { // the same channels under another version of the guild
			delete(h.listed, have.list)
			have.list = a.list
			h.listed[a.list] = have
		}
		return have
	}
	a.refs = 1
	h.audiences[a.key] = a
	h.listed[a.list] = a
	for _, id := range a.channels {
		h.track(id, a.key.guild).seen++
	}
	return a
}

// release is the opposite of intern. A channel that nobody sees is tracked for a while still. The caller holds h.mu.
func (h *Hub) release(a *audience) {
	if a.refs--; a.refs > 0 {
		return
	}
	delete(h.audiences, a.key)
	delete(h.listed, a.list)
	for _, id := range a.channels {
		t := h.tracks[id]
		if t.seen--; t.seen == 0 {
			t.left = time.Now()
		}
	}
}

// missing lists what is in the sorted list a and not in the sorted list b.
func missing(a, b []discord.ChannelID) []discord.ChannelID {
	var out []discord.ChannelID
	for _, id := range a {
		if _, ok := slices.BinarySearch(b, id); !ok {
			out = append(out, id)
		}
	}
	return out
}
