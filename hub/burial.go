package hub

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
)

// burial is what a delta deletes: messages of its channel, or whatever of it was changed where all is set.
type burial struct {
	all bool
	ids map[discord.MessageID]bool
}

// burial reads what a delta deletes, nil for nothing. A delta of another process is known by its frame alone.
func (d *delta) burial() *burial {
	b := d.frame.body()
	if d.version == 0 || !bytes.Contains(b, []byte(`"k":"delete"`)) && !bytes.Contains(b, []byte(`"k":"reset"`)) {
		return nil
	}
	f := readDelta(b)
	x := &burial{all: f.K == "reset", ids: map[discord.MessageID]bool{}}
	if f.ID != 0 {
		x.ids[f.ID] = true
	}
	for _, one := range f.IDs {
		var id discord.MessageID
		if len(one) == 0 || json.Unmarshal(one[0], &id) != nil {
			x.all = true // to be sure
			continue
		}
		x.ids[id] = true
	}
	return x
}

type deltaHead struct {
	K   string              `json:"k"`
	ID  discord.MessageID   `json:"id"`
	IDs [][]json.RawMessage `json:"ids"`
}

func readDelta(frame []byte) (f deltaHead) {
	if json.Unmarshal(frame, &f) != nil {
		return deltaHead{K: "reset"}
	}
	return f
}

// touches reports whether a message, as JSON, is deleted, or names one that is, as an answer does.
func (x *burial) touches(message []byte) bool {
	if x.all {
		return true
	}
	for id := range x.ids {
		if bytes.Contains(message, []byte(id.String())) {
			return true
		}
	}
	return false
}

// bury takes the texts of what a delta deletes out of what is kept of its channel, so that nobody who comes back is told them. Where something else
// names it, all up to there is dropped: who has missed that gets a snapshot. The caller holds h.mu.
func (h *Hub) bury(t *track, d *delta) {
	if !slices.ContainsFunc(t.kept, func(k kept) bool { return k.message != nil }) {
		return
	}
	x := d.burial()
	if x == nil {
		return
	}
	drop := 0
	for i, k := range t.kept {
		if k.message == nil || !x.touches(k.message.b) {
			continue
		}
		if !x.all && !x.ids[readDelta(k.frame.body()).ID] {
			drop = i + 1
		}
		silent := *k.delta
		silent.frame, silent.message, silent.both = textFrame(bytes.Clone(k.frame.body())), nil, nil
		h.keptBytes += silent.size() - k.size()
		t.kept[i].delta = &silent
	}
	h.unkeep(t, drop)
}

// bury takes the texts of what a delta deletes out of what a connection that has come back may still ask for.
func (c *conn) bury(d *delta) {
	if x := d.burial(); x != nil {
		c.missed = slices.DeleteFunc(c.missed, func(m *delta) bool { return m.channel == d.channel && x.touches(m.message.b) })
	}
}
