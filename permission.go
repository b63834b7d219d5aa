package tidings

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Permissions is Discord's permission bit set. In JSON it is a decimal string. Bits without a name here are kept as they are.
type Permissions uint64

// The bits that decide reading. Source: discord.com/developers/docs/topics/permissions#permissions-bitwise-permission-flags.
const (
	PermissionAdministrator      Permissions = 1 << 3
	PermissionManageGuild        Permissions = 1 << 5
	PermissionViewChannel        Permissions = 1 << 10
	PermissionReadMessageHistory Permissions = 1 << 16
	PermissionConnect            Permissions = 1 << 20
	PermissionManageThreads      Permissions = 1 << 34
	// PermissionManageWebhooks decides nothing about reading; see [Reader.Permissions].
	PermissionManageWebhooks Permissions = 1 << 29

	// PermissionsAll is what owners and administrators have: every bit, those of the future too.
	PermissionsAll = ^Permissions(0)

	// permissionsRead is what reading a channel takes; it is also all that a timeout leaves to a member.
	// Source: discord.com/developers/docs/topics/permissions#permissions-for-timed-out-members.
	permissionsRead = PermissionViewChannel | PermissionReadMessageHistory
)

// Has reports whether all bits of want are set.
func (p Permissions) Has(want Permissions) bool { return p&want == want }

// MarshalJSON writes a decimal string, as Discord does: a number would lose bits above 53 in JavaScript.
func (p Permissions) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatUint(uint64(p), 10)), nil
}

// UnmarshalJSON reads a decimal string or a whole number. Bits above 63, which Discord may add one day, are dropped: none of
// them can be one that decides reading. Anything else, null too, is [ErrInvalid]: a denial must not be read as nothing.
func (p *Permissions) UnmarshalJSON(b []byte) error {
	digits := b
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		digits = b[1 : n-1]
	}
	if len(digits) == 0 || len(digits) > 100 {
		return fmt.Errorf("%w permissions: not a decimal number", ErrInvalid)
	}
	var bits uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return fmt.Errorf("%w permissions: not a decimal number", ErrInvalid)
		}
		bits = bits*10 + uint64(d-'0') // Overflow wraps, which keeps exactly the low 64 bits.
	}
	*p = Permissions(bits)
	return nil
}

// Rules answers who may do what in one guild. It is made once from a [GuildState] and never changes afterwards, so that many
// goroutines may ask it. No answer allocates.
//
// It follows discord.com/developers/docs/topics/permissions. What is unknown is denied: a guild without its @everyone role, a
// channel of an unknown type, a thread whose parent is not there. Roles that do not exist (any more) give and take nothing.
// Implicit denials among the bits for writing are left out, because nothing here writes.
type Rules struct {
	guild    discord.GuildID
	owner    discord.UserID
	known    bool // the @everyone role is there
	everyone Permissions
	roles    map[discord.RoleID]Permissions
	places   []place // one for each of GuildState.Channels, in that order
	index    map[discord.ChannelID]int32
	inThread map[threadMember]struct{}
}

// place is a channel as far as permissions go.
type place struct {
	id       discord.ChannelID
	kind     int
	source   int32 // the place whose overwrites count: its own, or a thread's parent's; noSource denies
	everyone allowDeny
	roles    []Overwrite
	members  []Overwrite
}

type allowDeny struct{ allow, deny Permissions }

type threadMember struct {
	thread discord.ChannelID
	user   discord.UserID
}

const noSource = -1

// NewRules prepares the rules of a guild. It keeps nothing of s that could change under it.
func NewRules(s *GuildState) *Rules {
	r := &Rules{
		guild:  s.Guild.ID,
		owner:  s.Guild.Owner,
		roles:  make(map[discord.RoleID]Permissions, len(s.Roles)),
		places: make([]place, len(s.Channels)),
		index:  make(map[discord.ChannelID]int32, len(s.Channels)),
	}
	for _, role := range s.Roles {
		r.roles[role.ID] = role.Permissions
	}
	r.everyone, r.known = r.roles[discord.RoleID(s.Guild.ID)]
	for i := range s.Channels {
		r.places[i] = r.place(&s.Channels[i])
		r.index[s.Channels[i].ID] = int32(i)
	}
	for i := range s.Channels {
		r.places[i].source = r.source(&s.Channels[i], int32(i))
	}
	for thread, users := range s.ThreadMembers {
		for _, u := range users {
			if r.inThread == nil {
				r.inThread = make(map[threadMember]struct{})
			}
			r.inThread[threadMember{thread, u}] = struct{}{}
		}
	}
	return r
}

// place sorts a channel's overwrites by the order in which they apply.
func (r *Rules) place(c *Channel) place {
	p := place{id: c.ID, kind: c.Type}
	if c.IsThread() {
		return p
	}
	for _, o := range c.Overwrites {
		switch {
		case o.Type == OverwriteMember:
			p.members = append(p.members, o)
		case o.Type != OverwriteRole:
		case discord.GuildID(o.ID) == r.guild:
			p.everyone = allowDeny{o.Allow, o.Deny}
		default:
			if _, ok := r.roles[discord.RoleID(o.ID)]; ok {
				p.roles = append(p.roles, o)
			}
		}
	}
	return p
}

// source finds the place whose overwrites decide about a channel. Categories are never asked: Discord copies their
// overwrites into the channels that are in sync with them.
func (r *Rules) source(c *Channel, self int32) int32 {
	switch c.Type {
	case ChannelText, ChannelVoice, ChannelCategory, ChannelAnnouncement, ChannelStage, ChannelForum, ChannelMedia:
		return self
	case ChannelAnnouncementThread, ChannelPublicThread, ChannelPrivateThread:
		parent, ok := r.index[c.Parent]
		if !ok {
			return noSource
		}
		switch r.places[parent].kind {
		case ChannelText, ChannelAnnouncement, ChannelForum, ChannelMedia:
			return parent
		}
	}
	return noSource
}

// Base returns what a member may do before the overwrites of channels: all of it for the owner and administrators, nothing for
// nil, for guests and for a member of another guild. A timeout is not looked at; see [Rules.Everywhere].
func (r *Rules) Base(m *Member) Permissions {
	if !r.admits(m) {
		return 0
	}
	if r.owns(m) {
		return PermissionsAll
	}
	p := r.everyone
	for _, id := range m.Roles {
		p |= r.roles[id]
	}
	if p.Has(PermissionAdministrator) {
		return PermissionsAll
	}
	return p
}

// admits reports whether the member can have permissions here at all.
func (r *Rules) admits(m *Member) bool {
	return r.known && m != nil && m.Guild == r.guild && (m.Flags&MemberIsGuest == 0 || r.owns(m))
}

func (r *Rules) owns(m *Member) bool { return r.owner != 0 && m.User == r.owner }

// Permissions returns what a member may do in a channel at a moment. The moment decides whether a timeout still runs, which
// leaves nothing but viewing and the history. An unknown channel gives 0.
func (r *Rules) Permissions(m *Member, channel discord.ChannelID, now time.Time) Permissions {
	base := r.Base(m)
	return r.timed(m, base, r.in(m, base, channel), now)
}

// Everywhere is [Rules.Base] at a moment, as a timeout leaves it: what a member may do in the guild as a whole.
func (r *Rules) Everywhere(m *Member, now time.Time) Permissions {
	base := r.Base(m)
	return r.timed(m, base, base, now)
}

// timed is what a timeout leaves of permissions. The owner and administrators cannot be timed out.
func (r *Rules) timed(m *Member, base, p Permissions, now time.Time) Permissions {
	if m != nil && m.TimeoutUntil.After(now) && base != PermissionsAll {
		p &= permissionsRead
	}
	return p
}

// CanRead reports whether a member may read the messages of a channel: view it and its history, connect to it when it is a
// voice or stage channel, and be in it or manage threads when it is a private thread. Channels that hold no messages cannot be
// read. A timeout takes nothing away.
func (r *Rules) CanRead(m *Member, channel discord.ChannelID) bool {
	return r.Reader(m).CanRead(channel)
}

// Reader returns m's side of the rules, with what does not depend on the channel worked out. m must not change afterwards.
func (r *Rules) Reader(m *Member) Reader { return Reader{rules: r, member: m, base: r.Base(m)} }

// Reader is one member's side of a guild's [Rules]. The zero Reader may read nothing.
type Reader struct {
	rules  *Rules
	member *Member
	base   Permissions
}

// CanRead is [Rules.CanRead] for this member.
func (v Reader) CanRead(channel discord.ChannelID) bool {
	if v.rules == nil {
		return false
	}
	i, ok := v.rules.index[channel]
	return ok && readable(v.rules.places[i].kind, v.rules.in(v.member, v.base, channel))
}

// Permissions is [Rules.Permissions] for this member.
func (v Reader) Permissions(channel discord.ChannelID, now time.Time) Permissions {
	if v.rules == nil {
		return 0
	}
	return v.rules.Permissions(v.member, channel, now)
}

// Readable sets into[i] to whether the i-th of the state's channels can be read, and returns into, grown as needed. Where threads
// follow their parents, it works out a parent once, so that a forum's ten thousand posts cost little more than the forum.
func (v Reader) Readable(into []bool) []bool {
	if v.rules == nil {
		return into[:0]
	}
	places := v.rules.places
	into = slices.Grow(into[:0], len(places))[:len(places)]
	clear(into)
	if !v.rules.admits(v.member) {
		return into
	}
	last, lastPermissions := int32(noSource), Permissions(0)
	for i := range places {
		p := &places[i]
		if p.source == noSource {
			continue
		}
		if p.source != last {
			last, lastPermissions = p.source, v.rules.at(v.member, v.base, &places[p.source])
		}
		into[i] = readable(p.kind, v.rules.thread(v.member, p, lastPermissions))
	}
	return into
}

// in returns a member's permissions in a channel, a timeout aside.
func (r *Rules) in(m *Member, base Permissions, channel discord.ChannelID) Permissions {
	i, ok := r.index[channel]
	if !ok || !r.admits(m) {
		return 0
	}
	p := &r.places[i]
	if p.source == noSource {
		return 0
	}
	return r.thread(m, p, r.at(m, base, &r.places[p.source]))
}

// at applies a place's overwrites in Discord's order: @everyone's, then all denials and all allowances of the roles at once,
// then the member's own; and then what follows from not viewing or not connecting.
func (r *Rules) at(m *Member, base Permissions, p *place) Permissions {
	if base == PermissionsAll {
		return base
	}
	perms := base&^p.everyone.deny | p.everyone.allow
	var allow, deny Permissions
	for i := range p.roles {
		if slices.Contains(m.Roles, discord.RoleID(p.roles[i].ID)) {
			allow |= p.roles[i].Allow
			deny |= p.roles[i].Deny
		}
	}
	perms = perms&^deny | allow
	for i := range p.members {
		if discord.UserID(p.members[i].ID) == m.User {
			perms = perms&^p.members[i].Deny | p.members[i].Allow
		}
	}
	if !perms.Has(PermissionViewChannel) {
		return 0
	}
	if (p.kind == ChannelVoice || p.kind == ChannelStage) && !perms.Has(PermissionConnect) {
		return PermissionViewChannel
	}
	return perms
}

// thread narrows what a member may do in the parent to what they may do in a private thread; other places stay as they are.
func (r *Rules) thread(m *Member, p *place, parent Permissions) Permissions {
	if p.kind != ChannelPrivateThread || parent.Has(PermissionManageThreads) {
		return parent
	}
	if _, ok := r.inThread[threadMember{p.id, m.User}]; !ok {
		return 0
	}
	return parent
}

func readable(kind int, p Permissions) bool {
	return Channel{Type: kind}.HoldsMessages() && p.Has(permissionsRead)
}
