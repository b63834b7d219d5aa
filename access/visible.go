package access

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// person is somebody's visible set as last worked out. It is valid while nothing has been installed since: while want is
// still the set's own.
type person struct {
	want atomic.Uint64 // grows when a guild of theirs is installed
	set  atomic.Pointer[visibleSet]
	used atomic.Int64 // when last asked for, Unix seconds
	mu   sync.Mutex   // one works it out, the others wait
}

type visibleSet struct {
	tidings.VisibleSet
	want uint64
	of   map[discord.GuildID]*guild // what each part was worked out from
}

// epochs hands out ever growing numbers to all people together, so that a set that was dropped and worked out again is never
// of an older epoch than before.
type epochs struct{ last atomic.Int64 }

func (e *epochs) next() int64 { return e.last.Add(1) }

// Visible returns what a person may read now. It is never nil, and must not be changed. Its epoch grows when the channels or
// the roles differ from before; names and positions may change without.
func (a *Access) Visible(u discord.UserID) *tidings.VisibleSet {
	for {
		p := a.person(u)
		if s := p.set.Load(); s != nil && s.want == p.want.Load() {
			return &s.VisibleSet
		}
		s := a.renew(u, p)
		// A person who was dropped meanwhile may have been made anew already, and asked for under a lower epoch than this.
		if a.holds(u, p) {
			return &s.VisibleSet
		}
	}
}

// Confirm is Visible by what is stored of these guilds now: memory may be behind by the time that a change takes to come here. What was read before, and may
// be read by this set, was not said after its channel was shut: whatever was stored before the reading is in the set. An error means that nothing of
// it may be given out for now.
func (a *Access) Confirm(ctx context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error) {
	if len(guilds) == 0 {
		return a.Visible(u), nil
	}
	stored, err := a.loader.AccessVersionsOf(ctx, guilds)
	if err != nil {
		return nil, err
	}
	for _, g := range guilds {
		version, there := stored[g]
		if there && a.Version(g) >= version {
			continue
		}
		if err := a.reload(ctx, g, version, !there); err != nil {
			return nil, err
		}
	}
	return a.Visible(u), nil
}

func (a *Access) renew(u discord.UserID, p *person) *visibleSet {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Read before the guilds are: what is installed in between asks for another round.
	want := p.want.Load()
	old := p.set.Load()
	if old != nil && old.want == want {
		return old
	}
	s := a.workOut(u, old)
	s.want = want
	p.set.Store(s)
	return s
}

func (a *Access) holds(u discord.UserID, p *person) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.people[u] == p
}

func (a *Access) person(u discord.UserID) *person {
	now := time.Now().Unix()
	a.mu.RLock()
	p := a.people[u]
	a.mu.RUnlock()
	if p == nil {
		a.mu.Lock()
		p = a.people[u]
		if p == nil {
			if len(a.people) >= a.o.Cached {
				a.dropOne()
			}
			p = &person{}
			a.people[u] = p
		}
		a.mu.Unlock()
	}
	p.used.Store(now)
	return p
}

// dropOne forgets the set of somebody who has not been asked for in a while: the longest unused of a few picked by chance.
func (a *Access) dropOne() {
	const picks = 8
	var oldest discord.UserID
	var at int64
	n := 0
	for u, p := range a.people {
		if used := p.used.Load(); n == 0 || used < at {
			oldest, at = u, used
		}
		if n++; n == picks {
			break
		}
	}
	delete(a.people, oldest)
}

// workOut makes a person's set. Parts of guilds that have not moved are taken from the old one.
func (a *Access) workOut(u discord.UserID, old *visibleSet) *visibleSet {
	a.mu.RLock()
	ids := slices.Clone(a.member[u])
	of := make(map[discord.GuildID]*guild, len(ids))
	for _, id := range ids {
		of[id] = a.guilds[id]
	}
	a.mu.RUnlock()
	a.asks.hurry(u, ids)

	s := &visibleSet{of: of}
	s.User = u
	s.Guilds = make([]tidings.VisibleGuild, 0, len(of))
	if old != nil {
		for _, part := range old.Guilds {
			if id := part.Guild.ID; of[id] != nil && of[id] == old.of[id] {
				s.Guilds = append(s.Guilds, part)
			}
		}
	}
	for id, g := range of {
		if old != nil && old.of[id] == g {
			continue // there already
		}
		l := g.visible(u)
		s.Guilds = append(s.Guilds, tidings.VisibleGuild{
			Guild: g.state.Guild, Version: g.version, Roles: g.roles[u], Channels: l.channels, Parents: l.parents,
		})
	}
	slices.SortFunc(s.Guilds, func(x, y tidings.VisibleGuild) int {
		return cmp.Or(
			strings.Compare(strings.ToLower(x.Guild.Name), strings.ToLower(y.Guild.Name)),
			cmp.Compare(x.Guild.ID, y.Guild.ID),
		)
	})
	if old != nil {
		gained, lost, roles := Diff(&old.VisibleSet, &s.VisibleSet)
		if len(gained) == 0 && len(lost) == 0 && len(roles) == 0 {
			s.Epoch = old.Epoch
			return s
		}
	}
	s.Epoch = a.epochs.next()
	return s
}

// Diff says what changed from one set of a person to the next: the channels gained and lost, and the new roles in the guilds
// where they differ, which counts for a guild that came or went too. A nil set is an empty one.
func Diff(old, new *tidings.VisibleSet) (gained, lost []discord.ChannelID, roles map[discord.GuildID][]discord.RoleID) {
	var before, after map[discord.GuildID]*tidings.VisibleGuild
	before, after = byGuild(old), byGuild(new)
	roles = map[discord.GuildID][]discord.RoleID{}
	if new != nil {
		for i := range new.Guilds {
			now := &new.Guilds[i]
			was := before[now.Guild.ID]
			if was == nil {
				roles[now.Guild.ID] = now.Roles
				gained = append(gained, missing(now.Channels, nil)...)
				continue
			}
			if !slices.Equal(was.Roles, now.Roles) {
				roles[now.Guild.ID] = now.Roles
			}
			if sameList(was.Channels, now.Channels) {
				continue
			}
			gained = append(gained, missing(now.Channels, was.Channels)...)
			lost = append(lost, missing(was.Channels, now.Channels)...)
		}
	}
	if old != nil {
		for i := range old.Guilds {
			was := &old.Guilds[i]
			if after[was.Guild.ID] == nil {
				roles[was.Guild.ID] = []discord.RoleID{}
				lost = append(lost, missing(was.Channels, nil)...)
			}
		}
	}
	return gained, lost, roles
}

func byGuild(s *tidings.VisibleSet) map[discord.GuildID]*tidings.VisibleGuild {
	if s == nil {
		return nil
	}
	m := make(map[discord.GuildID]*tidings.VisibleGuild, len(s.Guilds))
	for i := range s.Guilds {
		m[s.Guilds[i].Guild.ID] = &s.Guilds[i]
	}
	return m
}

// sameList reports whether two lists are one and the same in memory, which shared lists often are.
func sameList(x, y []tidings.Channel) bool {
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}

// missing lists the channels of a that are not in b.
func missing(a, b []tidings.Channel) []discord.ChannelID {
	in := make(map[discord.ChannelID]bool, len(b))
	for i := range b {
		in[b[i].ID] = true
	}
	var ids []discord.ChannelID
	for i := range a {
		if !in[a[i].ID] {
			ids = append(ids, a[i].ID)
		}
	}
	return ids
}
