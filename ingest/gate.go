package ingest

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// item is one event on its way from Put to its commit.
type item struct {
	ev   tidings.Event
	done func(lost error) // may be nil
	// lost is why it is kept nowhere, which only those are told who brought it and wait.
	lost error
	// passed is set when its guild's gate waits for it no more.
	passed bool
	// taken is when it was put in; zero where nobody traces.
	taken time.Time
}

type gateKey = discord.GuildID

// gate keeps a guild's barriers in their place. Ordinary events pass while no barrier is before them; a barrier passes when
// everything before it is committed and told. So a message that was sent before a permission was taken away is delivered by
// the old permissions, and one sent after by the new, although they travel in different lanes.
type gate struct {
	guild   discord.GuildID
	pending int     // ordinary events that passed and are not finished
	barrier bool    // a barrier is being recorded
	held    []*item // in the order of Puts
}

func (i *Ingest) gateOf(ev tidings.Event) *gate {
	g := i.gates[ev.Guild]
	if g == nil {
		g = &gate{guild: ev.Guild}
		i.gates[ev.Guild] = g
	}
	return g
}

// advance lets through what may go. The caller holds i.mu.
func (i *Ingest) advance(g *gate) {
	n := 0
	for n < len(g.held) && !g.barrier {
		it := g.held[n]
		if it.ev.Barrier() {
			if g.pending > 0 {
				break
			}
			g.barrier = true
			i.barriers.push(it)
		} else {
			g.pending++
			i.lanes[i.laneOf(it.ev.Channel)].push(it)
		}
		g.held[n] = nil
		n++
	}
	if g.held = g.held[n:]; len(g.held) == 0 {
		g.held = nil // so that what was let through can be collected
		if g.pending == 0 && !g.barrier {
			delete(i.gates, g.guild)
		}
	}
}

// laneOf spreads channels over the workers. The low 22 bits of a snowflake are mostly the same, its time is not.
func (i *Ingest) laneOf(c discord.ChannelID) int {
	x := uint64(c) * 0x9E3779B97F4A7C15 // Fibonacci hashing
	return int((x >> 32) % uint64(len(i.lanes)))
}

// pass has a guild's gate wait for an item no more. The caller holds i.mu.
func (i *Ingest) pass(it *item) {
	if it.passed {
		return
	}
	it.passed = true
	g := i.gates[it.ev.Guild]
	if it.ev.Barrier() {
		g.barrier = false
	} else {
		g.pending--
	}
	if !g.barrier && (g.pending == 0 || len(g.held) > 0) {
		i.advance(g)
	}
}

// finish is called when items are committed and told, or dead.
func (i *Ingest) finish(items []*item) {
	i.mu.Lock()
	for _, it := range items {
		i.marks.committed(it.ev.Mark)
		i.pass(it)
	}
	i.mu.Unlock()
	for _, it := range items {
		if it.done != nil {
			it.done(it.lost)
		}
	}
	i.room.Release(int64(len(items)))
}
