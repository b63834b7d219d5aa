package store

import (
	"container/list"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// What bounds the remembered counts.
const (
	// rememberedChannels is how many channels of people are remembered, about 150 bytes each. Who has asked least lately is forgotten first.
	rememberedChannels = 100_000
	// rememberedFor bounds how long a count is believed, in case that a database is put back to an earlier state below a running process.
	rememberedFor = 10 * time.Minute
)

// remembered keeps what was counted last for people, so that asking again counts only what has moved since. A count is of one version of its
// channel, one position and one taste: everything else that decides it. It is only used when the snapshot that asks has the same.
type remembered struct {
	mu     sync.Mutex
	people map[discord.UserID]*list.Element // of *rememberedPerson
	order  *list.List                       // who has asked last is in front
	held   int                              // channels, of all
	most   int
}

type rememberedPerson struct {
	user  discord.UserID
	taste string
	since time.Time
	rows  map[discord.ChannelID]counted // never changed once it is here
}

func newRemembered() *remembered {
	return &remembered{people: map[discord.UserID]*list.Element{}, order: list.New(), most: rememberedChannels}
}

// of returns what was counted for a person of that taste, nil for nothing.
func (r *remembered) of(user discord.UserID, taste string, now time.Time) map[discord.ChannelID]counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.people[user]
	if e == nil {
		return nil
	}
	p := e.Value.(*rememberedPerson)
	if p.taste != taste || now.Sub(p.since) > rememberedFor {
		r.forget(e)
		return nil
	}
	r.order.MoveToFront(e)
	return p.rows
}

// keep remembers the rows. since is when the oldest of them may have been counted.
func (r *remembered) keep(user discord.UserID, taste string, since time.Time, rows []counted) {
	p := &rememberedPerson{user: user, taste: taste, since: since, rows: make(map[discord.ChannelID]counted, len(rows))}
	for _, c := range rows {
		p.rows[c.ID] = c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.people[user]; e != nil {
		if old := e.Value.(*rememberedPerson); old.taste == taste && old.since.Before(since) {
			p.since = old.since
		}
		r.forget(e)
	}
	r.people[user] = r.order.PushFront(p)
	for r.held += len(p.rows); r.held > r.most; {
		r.forget(r.order.Back())
	}
}

func (r *remembered) forget(e *list.Element) {
	p := r.order.Remove(e).(*rememberedPerson)
	delete(r.people, p.user)
	r.held -= len(p.rows)
}

// tasteOf is what decides a person's counts besides messages and positions: whom they ignore, their roles, what they suppress.
func tasteOf(set *tidings.VisibleSet, p *standing) string {
	var b []byte
	add := func(n uint64) { b = binary.AppendUvarint(b, n) }
	add(uint64(len(p.Ignored)))
	for _, id := range p.Ignored {
		add(uint64(id))
	}
	for _, s := range p.suppressed {
		for i, on := range []bool{s.Everyone, s.Roles} {
			if on {
				add(uint64(s.Guild)<<1 + uint64(i))
			}
		}
	}
	add(0)
	for _, g := range set.Guilds {
		add(uint64(g.Guild.ID))
		add(uint64(len(g.Roles)))
		for _, r := range slices.Sorted(slices.Values(g.Roles)) {
			add(uint64(r))
		}
	}
	return string(b)
}

// counts counts the channels like count, and reads what the person has set. What has not moved since they asked last is not counted again.
func (s *Store) counts(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, channels []discord.ChannelID) (*standing, error) {
	now := time.Now()
	p, err := readStanding(ctx, tx, set.User, channels)
	if err != nil || len(p.rows) == 0 {
		return p, err
	}
	taste := tasteOf(set, p)
	var known map[discord.ChannelID]counted
	// Who looks at a single channel must not have all others forgotten for it.
	single := len(p.rows) == 1
	if !single {
		known = s.remembered.of(set.User, taste, now)
	}
	var again []int // of p.rows
	for i, r := range p.rows {
		k, ok := known[r.ID]
		if ok && k.Guild == r.Guild && k.Version == r.Version && k.ReadID == r.ReadID && k.LastID == r.LastID {
			p.rows[i] = k
		} else {
			again = append(again, i)
		}
	}
	if err := s.tally(ctx, tx, set, p, again); err != nil {
		return nil, err
	}
	if !single && (len(again) > 0 || len(known) != len(p.rows)) {
		s.remembered.keep(set.User, taste, now, p.rows)
	}
	return p, nil
}
