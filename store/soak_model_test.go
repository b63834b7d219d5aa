package store

import (
	"maps"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// soakModel is all of it in plain maps: what was written, who may read what, and what people did. It is told of things in the order of
// their commits and knows nothing of buckets, heads, floors in SQL, caches or versions.
type soakModel struct {
	guilds   map[discord.GuildID]*soakGuild
	messages map[discord.ChannelID]map[discord.MessageID]*soakMessage
	people   map[discord.UserID]*soakPerson
	late     soakLate
}

type soakGuild struct {
	owner    discord.UserID
	roles    map[discord.RoleID]tidings.Permissions
	channels map[discord.ChannelID]tidings.Channel
	members  map[discord.UserID][]discord.RoleID
	threads  map[discord.ChannelID]map[discord.UserID]bool
}

// soakMessage is what all events about a message say together, in whatever order they came.
type soakMessage struct {
	author    discord.UserID
	countable bool
	seen      bool
	deleted   bool
	edit      int // the newest
}

func (m *soakMessage) live() bool { return m.seen && !m.deleted }

type soakRow struct {
	id     discord.MessageID
	manual bool
	rev    int64
}

// soakKey is a channel's position, or a floor: of a guild, or with the guild 0 of everything.
type soakKey struct {
	channel discord.ChannelID
	guild   discord.GuildID
}

type soakChange struct {
	key           soakKey
	before, after soakRow // rev 0: there is none
}

type soakPerson struct {
	id        discord.UserID
	rev       int64
	rows      map[soakKey]soakRow
	baselines map[discord.GuildID]discord.MessageID
	log       map[int64][]soakChange
	undos     []int64 // revs of undos
	ignored   map[discord.UserID]bool
	muted     map[discord.Snowflake]bool
	quiet     map[discord.GuildID]tidings.Suppression
}

func newSoakModel() *soakModel {
	return &soakModel{
		guilds:   map[discord.GuildID]*soakGuild{},
		messages: map[discord.ChannelID]map[discord.MessageID]*soakMessage{},
		people:   map[discord.UserID]*soakPerson{},
		late:     newSoakLate(),
	}
}

// Access --------------------------------------------------------------------------------------------------------------

func (g *soakGuild) apply(body tidings.Body) {
	switch e := body.(type) {
	case tidings.RoleSeen:
		g.roles[e.Role.ID] = e.Role.Permissions
	case tidings.RoleGone:
		if _, ok := g.roles[e.ID]; !ok {
			return
		}
		delete(g.roles, e.ID)
		for u, roles := range g.members {
			g.members[u] = slices.DeleteFunc(slices.Clone(roles), func(r discord.RoleID) bool { return r == e.ID })
		}
	case tidings.ChannelSeen:
		g.channels[e.Channel.ID] = e.Channel
	case tidings.ChannelGone:
		for id, c := range g.channels {
			if id == e.ID || c.Parent == e.ID && c.IsThread() {
				delete(g.channels, id)
				delete(g.threads, id)
			}
		}
	case tidings.MemberSeen:
		g.members[e.Member.User] = e.Member.Roles
	case tidings.MemberGone:
		delete(g.members, e.User)
		for _, in := range g.threads {
			delete(in, e.User)
		}
	case tidings.ThreadMembersChanged:
		in := g.threads[e.Thread]
		if in == nil {
			in = map[discord.UserID]bool{}
			g.threads[e.Thread] = in
		}
		for _, u := range e.Added {
			in[u] = true
		}
		for _, u := range e.Removed {
			delete(in, u)
		}
	}
}

// reads follows Discord's documentation of permissions, for the bits that decide reading.
func (g *soakGuild) reads(id discord.GuildID, u discord.UserID, c tidings.Channel) bool {
	roles, member := g.members[u]
	if !member || !c.HoldsMessages() {
		return false
	}
	where := c
	if c.IsThread() {
		var ok bool
		if where, ok = g.channels[c.Parent]; !ok {
			return false
		}
	}
	const view, history, admin, manage = 1 << 10, 1 << 16, 1 << 3, 1 << 34
	bits := g.roles[discord.RoleID(id)]
	for _, r := range roles {
		bits |= g.roles[r]
	}
	if u == g.owner || bits&admin != 0 {
		return true
	}
	var deny, allow tidings.Permissions
	step := func() { bits = bits&^deny | allow; deny, allow = 0, 0 }
	for _, o := range where.Overwrites {
		if o.Type == tidings.OverwriteRole && o.ID == discord.Snowflake(id) {
			deny, allow = o.Deny, o.Allow
		}
	}
	step()
	for _, o := range where.Overwrites {
		_, exists := g.roles[discord.RoleID(o.ID)]
		if o.Type == tidings.OverwriteRole && o.ID != discord.Snowflake(id) && exists && slices.Contains(roles, discord.RoleID(o.ID)) {
			deny, allow = deny|o.Deny, allow|o.Allow
		}
	}
	step()
	for _, o := range where.Overwrites {
		if o.Type == tidings.OverwriteMember && o.ID == discord.Snowflake(u) {
			deny, allow = o.Deny, o.Allow
		}
	}
	step()
	if bits&view == 0 || bits&history == 0 {
		return false
	}
	return c.Type != tidings.ChannelPrivateThread || g.threads[c.ID][u] || bits&manage != 0
}

// visible lists what a person may read.
func (m *soakModel) visible(u discord.UserID) []discord.ChannelID {
	var list []discord.ChannelID
	for id, g := range m.guilds {
		for _, c := range g.channels {
			if g.reads(id, u, c) {
				list = append(list, c.ID)
			}
		}
	}
	slices.Sort(list)
	return list
}

// Messages ------------------------------------------------------------------------------------------------------------

// liveIn lists the live messages of a channel, oldest first.
func (m *soakModel) liveIn(c discord.ChannelID) []discord.MessageID {
	var list []discord.MessageID
	for id, msg := range m.messages[c] {
		if msg.live() {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// count counts a channel for a person who has the roles there, message by message.
func (m *soakModel) count(p *soakPerson, guild discord.GuildID, c discord.ChannelID) (n tidings.ReadChannel) {
	n.ID, n.ReadID = c, p.position(guild, c)
	for _, id := range m.liveIn(c) {
		msg := m.messages[c][id]
		if !msg.countable {
			continue
		}
		n.LastID = id
		if id <= n.ReadID || msg.author == p.id || p.ignored[msg.author] {
			continue
		}
		if n.Unread++; n.FirstUnread == 0 {
			n.FirstUnread = id
		}
		means := soakMentions(id, msg.edit, guild)
		mine := means.Everyone && !p.quiet[guild].Everyone || slices.Contains(means.Users, p.id)
		for _, r := range means.Roles {
			_, exists := m.guilds[guild].roles[r]
			mine = mine || exists && !p.quiet[guild].Roles && slices.Contains(m.guilds[guild].members[p.id], r)
		}
		if mine {
			n.Mentions++
		}
	}
	return n
}

// People --------------------------------------------------------------------------------------------------------------

// holds reports whether a channel's own position decides: it is at least as new as the floors over it.
func (p *soakPerson) holds(guild discord.GuildID, c discord.ChannelID) bool {
	own := p.rows[soakKey{channel: c}]
	return own.rev > 0 && own.rev >= max(p.rows[soakKey{}].rev, p.rows[soakKey{guild: guild}].rev)
}

func (p *soakPerson) position(guild discord.GuildID, c discord.ChannelID) discord.MessageID {
	own := p.rows[soakKey{channel: c}]
	if p.holds(guild, c) {
		return own.id
	}
	from := p.baselines[guild]
	if own.rev > 0 {
		from = own.id
	}
	return max(from, p.rows[soakKey{}].id, p.rows[soakKey{guild: guild}].id)
}

func (p *soakPerson) set(rev int64, key soakKey, row soakRow) {
	p.log[rev] = append(p.log[rev], soakChange{key, p.rows[key], row})
	if row.rev == 0 {
		delete(p.rows, key)
		return
	}
	p.rows[key] = row
}

// manual reports whether "mark unread" stands.
func (p *soakPerson) manual(guild discord.GuildID, c discord.ChannelID) bool {
	return p.holds(guild, c) && p.rows[soakKey{channel: c}].manual
}

// acts reports whether a mark does anything to a channel.
func (p *soakPerson) acts(m tidings.MarkRead, guild discord.GuildID, c discord.ChannelID) bool {
	forward := m.UpTo > p.position(guild, c)
	if !m.Auto {
		return forward || p.manual(guild, c)
	}
	if slices.ContainsFunc(p.undos, func(rev int64) bool { return rev > m.Rev }) {
		return false
	}
	return forward && !(p.manual(guild, c) && p.rows[soakKey{channel: c}].rev > m.Rev)
}

// markRead marks those of the visible channels that the mark is about, with the rev that it got; visible maps them to their guilds. It reports
// whether that changed anything.
func (p *soakPerson) markRead(rev int64, m tidings.MarkRead, visible map[discord.ChannelID]discord.GuildID) bool {
	scope := maps.Clone(visible)
	maps.DeleteFunc(scope, func(c discord.ChannelID, g discord.GuildID) bool {
		return m.Channel != 0 && m.Channel != c || m.Guild != 0 && m.Guild != g
	})
	acts := false
	stood := map[discord.ChannelID]bool{}
	to := map[discord.ChannelID]discord.MessageID{}
	for c, g := range scope {
		to[c] = p.position(g, c)
		if p.acts(m, g, c) {
			acts = true
			to[c] = max(m.UpTo, to[c])
		} else if p.manual(g, c) {
			stood[c] = true
		}
	}
	if !acts {
		return false
	}
	floor := soakKey{guild: m.Guild}
	if m.Channel == 0 && m.UpTo >= p.rows[floor].id {
		p.set(rev, floor, soakRow{id: m.UpTo, rev: rev})
		for c := range stood {
			p.set(rev, soakKey{channel: c}, soakRow{id: p.rows[soakKey{channel: c}].id, manual: true, rev: rev})
		}
	}
	// The channels are read exactly so far, whatever older floors say.
	for c := range scope {
		if m.Channel != 0 || p.position(scope[c], c) != to[c] || p.acts(m, scope[c], c) {
			p.set(rev, soakKey{channel: c}, soakRow{id: to[c], rev: rev})
		}
	}
	return true
}

func (p *soakPerson) markUnread(rev int64, guild discord.GuildID, c discord.ChannelID, id discord.MessageID) bool {
	if p.manual(guild, c) && p.rows[soakKey{channel: c}].id == id-1 {
		return false
	}
	p.set(rev, soakKey{channel: c}, soakRow{id: id - 1, manual: true, rev: rev})
	return true
}

// undo takes the mark with the rev of back; refused when a later one changed the same.
func (p *soakPerson) undo(rev, of int64) (changed, refused bool) {
	for _, ch := range p.log[of] {
		if p.rows[ch.key] != ch.after {
			return false, true
		}
	}
	for _, ch := range p.log[of] {
		p.set(rev, ch.key, ch.before)
	}
	p.undos = append(p.undos, rev)
	return true, false
}
