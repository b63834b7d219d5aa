package hub

import (
	"strconv"

	"tidings"
)

// recovered tells whoever sees a channel that messages were found late, perhaps below what they have read. It has no version,
// because the messages have had their own deltas. While a guild's access is being reloaded it is left out: who may still see the
// channel is not known then, and the API says the same later.
func (h *Hub) recovered(r tidings.Recovered) {
	f := recoveredFrame(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.denied[r.Guild] || h.gates[r.Guild] != nil {
		return
	}
	for _, s := range h.shards {
		s.do(func(s *shard) {
			for _, cr := range s.index[r.Channel] {
				for _, p := range cr.people {
					for _, c := range p.conns {
						c.add(f)
					}
				}
			}
		})
	}
}

func recoveredFrame(r tidings.Recovered) *frame {
	b := append(room(128), `{"op":"recovered","c":`...)
	b = appendID(b, r.Channel)
	b = appendID(append(b, `,"from":`...), r.From)
	b = appendID(append(b, `,"to":`...), r.To)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(r.N), 10)
	return seal(append(b, '}'))
}
