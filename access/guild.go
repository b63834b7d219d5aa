package access

import (
	"cmp"
	"slices"
	"sync"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// guild is one version of a guild's state, prepared for asking. It does not change, its lists aside, which are a cache.
type guild struct {
	version int64
	gone    bool // removed; all that is known is since which version
	state   *tidings.GuildState
	index   map[discord.ChannelID]int32
	rules   *tidings.Rules
	readers map[discord.UserID]tidings.Reader
	roles   map[discord.UserID][]discord.RoleID // sorted, only roles that exist

	mu       sync.Mutex
	lists    map[string]*list // by which channels are readable, one bit each
	readable []bool
	bits     []byte
}

// list is what can be read in a guild. Everybody who may read the same shares one: with a thousand people it makes the
// difference between one copy of the channels and a thousand.
type list struct {
	channels []tidings.Channel
	parents  []tidings.Channel
}

// newGuild prepares a state, which it takes over and puts in order.
func newGuild(s *tidings.GuildState) *guild {
	sortChannels(s.Channels)
	g := &guild{
		version: s.Version,
		state:   s,
		index:   make(map[discord.ChannelID]int32, len(s.Channels)),
		rules:   tidings.NewRules(s),
		readers: make(map[discord.UserID]tidings.Reader, len(s.Members)),
		roles:   make(map[discord.UserID][]discord.RoleID, len(s.Members)),
		lists:   map[string]*list{},
	}
	for i := range s.Channels {
		g.index[s.Channels[i].ID] = int32(i)
	}
	exists := make(map[discord.RoleID]bool, len(s.Roles))
	for _, r := range s.Roles {
		exists[r.ID] = discord.GuildID(r.ID) != s.Guild.ID
	}
	for i := range s.Members {
		m := &s.Members[i]
		g.readers[m.User] = g.rules.Reader(m)
		roles := make([]discord.RoleID, 0, len(m.Roles))
		for _, r := range m.Roles {
			if exists[r] {
				roles = append(roles, r)
			}
		}
		slices.Sort(roles)
		g.roles[m.User] = slices.Compact(roles)
	}
	return g
}

func (g *guild) channel(c discord.ChannelID) (tidings.Channel, bool) {
	i, ok := g.index[c]
	if !ok {
		return tidings.Channel{}, false
	}
	return g.state.Channels[i], true
}

// visible returns what a member may read.
func (g *guild) visible(u discord.UserID) *list {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readable = g.readers[u].Readable(g.readable)
	g.bits = append(g.bits[:0], make([]byte, (len(g.readable)+7)/8)...)
	for i, ok := range g.readable {
		if ok {
			g.bits[i/8] |= 1 << (i % 8)
		}
	}
	l, ok := g.lists[string(g.bits)]
	if !ok {
		l = g.list(g.readable)
		g.lists[string(g.bits)] = l
	}
	return l
}

// list picks the readable channels, and the categories and forums above them.
func (g *guild) list(readable []bool) *list {
	l := &list{}
	above := map[int32]bool{}
	for i, ok := range readable {
		if !ok {
			continue
		}
		c := g.state.Channels[i]
		l.channels = append(l.channels, c)
		// A thread's parent may have a category of its own; nothing is nested deeper.
		for range 2 {
			parent, ok := g.index[c.Parent]
			if !ok || c.Parent == 0 {
				break
			}
			above[parent] = true
			c = g.state.Channels[parent]
		}
	}
	for i, c := range g.state.Channels {
		switch c.Type {
		case tidings.ChannelCategory, tidings.ChannelForum, tidings.ChannelMedia:
			if above[int32(i)] {
				l.parents = append(l.parents, c)
			}
		}
	}
	return l
}

// rank is a channel's place in the order in which channels are shown.
type rank struct {
	group            int // 0 outside categories, 1 in one, 2 threads whose parent is not known
	categoryPosition int
	category         discord.ChannelID
	below            int // 0 the category itself, 1 what is in it
	position         int
	channel, thread  discord.ChannelID
}

func (r rank) compare(s rank) int {
	return cmp.Or(
		cmp.Compare(r.group, s.group),
		cmp.Compare(r.categoryPosition, s.categoryPosition),
		cmp.Compare(r.category, s.category),
		cmp.Compare(r.below, s.below),
		cmp.Compare(r.position, s.position),
		cmp.Compare(r.channel, s.channel),
		cmp.Compare(r.thread, s.thread),
	)
}

// sortChannels orders by category, position and id; categories stand before what is in them, channels without a category first
// of all, and threads right after their parents, oldest first.
func sortChannels(channels []tidings.Channel) {
	byID := make(map[discord.ChannelID]*tidings.Channel, len(channels))
	for i := range channels {
		byID[channels[i].ID] = &channels[i]
	}
	type ranked struct {
		rank
		tidings.Channel
	}
	all := make([]ranked, len(channels))
	for i := range channels {
		all[i] = ranked{rankOf(&channels[i], byID), channels[i]}
	}
	slices.SortFunc(all, func(x, y ranked) int { return x.compare(y.rank) })
	for i := range all {
		channels[i] = all[i].Channel
	}
}

func rankOf(c *tidings.Channel, byID map[discord.ChannelID]*tidings.Channel) rank {
	var r rank
	if c.IsThread() {
		r.thread = c.ID
		parent := byID[c.Parent]
		if parent == nil || parent.IsThread() {
			r.group = 2
			return r
		}
		c = parent
	}
	if c.Type == tidings.ChannelCategory {
		r.group, r.categoryPosition, r.category = 1, c.Position, c.ID
		return r
	}
	if category := byID[c.Parent]; category != nil && category.Type == tidings.ChannelCategory {
		r.group, r.categoryPosition, r.category, r.below = 1, category.Position, category.ID, 1
	}
	r.position, r.channel = c.Position, c.ID
	return r
}
