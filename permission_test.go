package tidings_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Short names for the bits that the tables below use.
const (
	view    = tidings.PermissionViewChannel
	history = tidings.PermissionReadMessageHistory
	connect = tidings.PermissionConnect
	manage  = tidings.PermissionManageThreads
	admin   = tidings.PermissionAdministrator
	send    = tidings.Permissions(1 << 11)
)

// The guild of the tables: a member 7 with role 20; 30 is another role of the guild.
const (
	guildID = 1
	ownerID = 9
	meID    = 7
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func roleOverwrite(id uint64, allow, deny tidings.Permissions) tidings.Overwrite {
	return tidings.Overwrite{ID: discord.Snowflake(id), Type: tidings.OverwriteRole, Allow: allow, Deny: deny}
}

func memberOverwrite(id uint64, allow, deny tidings.Permissions) tidings.Overwrite {
	return tidings.Overwrite{ID: discord.Snowflake(id), Type: tidings.OverwriteMember, Allow: allow, Deny: deny}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	base := view | history | send
	tests := []struct {
		name string
		// change is made to a guild in which member 7 has roles 20 and sees text channel 100 through @everyone.
		change  func(s *tidings.GuildState, m *tidings.Member)
		channel discord.ChannelID // 0: 100
		want    tidings.Permissions
		read    bool
	}{
		{name: "everyone's base", want: base, read: true},
		{name: "roles add up", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[1].Permissions, s.Roles[2].Permissions = manage, connect
			m.Roles = []discord.RoleID{20, 30}
		}, want: base | manage | connect, read: true},
		{name: "a role that the member lacks adds nothing", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[2].Permissions = manage
		}, want: base, read: true},
		{name: "the owner has everything", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.User = ownerID
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view), memberOverwrite(ownerID, 0, view)}
		}, want: tidings.PermissionsAll, read: true},
		{name: "an unknown owner is nobody", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Guild.Owner, m.User = 0, 0
			s.Roles[0].Permissions = 0
		}},
		{name: "an administrator is above overwrites", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[1].Permissions = admin
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view), memberOverwrite(meID, 0, view)}
		}, want: tidings.PermissionsAll, read: true},
		{name: "an overwrite cannot make an administrator", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, admin, view)}
		}},
		{name: "everyone's denial", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view)}
		}},
		{name: "a role's allowance beats everyone's denial", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, view, 0), roleOverwrite(guildID, 0, view)}
		}, want: base, read: true},
		{name: "everyone's overwrite is not one of the roles even when the member names it", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.Roles = append(m.Roles, guildID)
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, 0, view), roleOverwrite(guildID, view, 0)}
		}},
		{name: "among roles allowances win, whatever the order", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.Roles = []discord.RoleID{20, 30}
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, view, 0), roleOverwrite(30, 0, view)}
		}, want: base, read: true},
		{name: "the member's denial beats a role's allowance", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{memberOverwrite(meID, 0, view), roleOverwrite(20, view, 0)}
		}},
		{name: "the member's allowance beats a role's denial", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{memberOverwrite(meID, view, 0), roleOverwrite(20, 0, view)}
		}, want: base, read: true},
		{name: "a member's id in a role overwrite is not the member's", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(meID, 0, view), memberOverwrite(20, 0, view)}
		}, want: base, read: true},
		{name: "an unknown kind of overwrite is not read as a member's", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].Permissions = 0
			s.Channels[0].Overwrites = []tidings.Overwrite{{ID: meID, Type: 2, Allow: base}}
		}},
		{name: "a role that is gone gives nothing, though the member still names it", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles = s.Roles[:1]
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view), roleOverwrite(20, view, 0)}
		}},
		{name: "without viewing nothing is left", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].Permissions = history | send
		}},
		{name: "viewing without the history", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, 0, history)}
		}, want: view | send},
		{name: "bits without a name stay", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].Permissions |= 1<<53 | 1<<61
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, 1<<58, 1<<61)}
		}, want: base | 1<<53 | 1<<58, read: true},
		{name: "a timeout leaves reading", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.TimeoutUntil = now.Add(time.Minute)
		}, want: view | history, read: true},
		{name: "a timeout that is over", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.TimeoutUntil = now.Add(-time.Minute)
		}, want: base, read: true},
		{name: "a timeout does not touch administrators", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[1].Permissions = admin
			m.TimeoutUntil = now.Add(time.Minute)
		}, want: tidings.PermissionsAll, read: true},
		{name: "a timed-out member reads a voice channel", channel: 102, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].Permissions |= connect
			m.TimeoutUntil = now.Add(time.Minute)
		}, want: view | history, read: true},
		{name: "a guest", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.Flags = tidings.MemberIsGuest
			s.Channels[0].Overwrites = []tidings.Overwrite{memberOverwrite(meID, base, 0)}
		}},
		{name: "other member flags mean nothing", change: func(s *tidings.GuildState, m *tidings.Member) {
			m.Flags = ^uint64(tidings.MemberIsGuest)
		}, want: base, read: true},
		{name: "a member of another guild", change: func(s *tidings.GuildState, m *tidings.Member) { m.Guild = 2 }},
		{name: "a guild whose everyone role is not known", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].ID, s.Roles[1].Permissions, m.User = 40, admin, ownerID
		}},
		{name: "voice with connecting", channel: 102, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Roles[0].Permissions |= connect
		}, want: base | connect, read: true},
		{name: "voice without connecting is seen but not read", channel: 102, want: view},
		{name: "a stage without connecting", channel: 113, want: view},
		{name: "an announcement channel", channel: 105, want: base, read: true},
		{name: "a category holds no messages", channel: 104, want: base},
		{name: "a category's overwrites are not inherited", change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Parent = 104
			for i := range s.Channels {
				if s.Channels[i].ID == 104 {
					s.Channels[i].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view)}
				}
			}
		}, want: base, read: true},
		{name: "a forum holds no messages itself", channel: 115, want: base},
		{name: "a forum's post", channel: 215, want: base, read: true},
		{name: "a forum's denial covers its posts", channel: 215, change: func(s *tidings.GuildState, m *tidings.Member) {
			for i := range s.Channels {
				if s.Channels[i].ID == 115 {
					s.Channels[i].Overwrites = []tidings.Overwrite{roleOverwrite(20, 0, view)}
				}
			}
		}},
		{name: "a channel of unknown type", channel: 199, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a channel of a type that is not known yet", channel: 198, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a channel that is not there", channel: 1000, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a public thread", channel: 211, want: base, read: true},
		{name: "an archived thread", channel: 212, want: base, read: true},
		{name: "a thread follows its parent's overwrites", channel: 211, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view)}
		}},
		{name: "a thread's own overwrites do not exist", channel: 211, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(guildID, 0, view)}
			for i := range s.Channels {
				s.Channels[i].Overwrites = append(s.Channels[i].Overwrites, memberOverwrite(meID, 0, 0))
				if s.Channels[i].ID == 211 {
					s.Channels[i].Overwrites = []tidings.Overwrite{memberOverwrite(meID, base, 0)}
				}
			}
		}},
		{name: "a thread whose parent is not there", channel: 213, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a thread whose parent is of unknown type", channel: 214, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a thread whose parent is a thread", channel: 216, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID }},
		{name: "a private thread, not in it", channel: 220},
		{name: "a private thread, in it", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.ThreadMembers = map[discord.ChannelID][]discord.UserID{220: {3, meID}}
		}, want: base, read: true},
		{name: "a private thread, in another one", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.ThreadMembers = map[discord.ChannelID][]discord.UserID{220: {3}, 211: {meID}}
		}},
		{name: "a private thread, in it, but the parent is denied", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.ThreadMembers = map[discord.ChannelID][]discord.UserID{220: {meID}}
			s.Channels[0].Overwrites = []tidings.Overwrite{memberOverwrite(meID, 0, view)}
		}},
		{name: "a private thread for who manages threads", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, manage, 0)}
		}, want: base | manage, read: true},
		{name: "managing threads is worth nothing in a parent that is not seen", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) {
			s.Channels[0].Overwrites = []tidings.Overwrite{roleOverwrite(20, manage, view)}
		}},
		{name: "the owner reads private threads", channel: 220, change: func(s *tidings.GuildState, m *tidings.Member) { m.User = ownerID },
			want: tidings.PermissionsAll, read: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &tidings.GuildState{
				Guild: tidings.Guild{ID: guildID, Owner: ownerID},
				Roles: []tidings.Role{{ID: guildID, Permissions: base}, {ID: 20}, {ID: 30}},
				Channels: []tidings.Channel{
					{ID: 100, Type: tidings.ChannelText},
					{ID: 102, Type: tidings.ChannelVoice},
					{ID: 104, Type: tidings.ChannelCategory},
					{ID: 105, Type: tidings.ChannelAnnouncement},
					{ID: 113, Type: tidings.ChannelStage},
					{ID: 115, Type: tidings.ChannelForum},
					{ID: 198, Type: 99},
					{ID: 199, Type: tidings.ChannelUnknown},
					{ID: 211, Type: tidings.ChannelPublicThread, Parent: 100},
					{ID: 212, Type: tidings.ChannelAnnouncementThread, Parent: 105, Archived: true},
					{ID: 213, Type: tidings.ChannelPublicThread, Parent: 1000},
					{ID: 214, Type: tidings.ChannelPublicThread, Parent: 199},
					{ID: 215, Type: tidings.ChannelPublicThread, Parent: 115},
					{ID: 216, Type: tidings.ChannelPublicThread, Parent: 211},
					{ID: 220, Type: tidings.ChannelPrivateThread, Parent: 100},
				},
			}
			m := &tidings.Member{Guild: guildID, User: meID, Roles: []discord.RoleID{20}}
			if tt.change != nil {
				tt.change(s, m)
			}
			channel := tt.channel
			if channel == 0 {
				channel = 100
			}
			r := tidings.NewRules(s)
			if got := r.Permissions(m, channel, now); got != tt.want {
				t.Errorf("Permissions() = %b, want %b", got, tt.want)
			}
			if got := r.CanRead(m, channel); got != tt.read {
				t.Errorf("CanRead() = %v, want %v", got, tt.read)
			}
		})
	}
}

func TestNobodyIsDenied(t *testing.T) {
	t.Parallel()
	s := &tidings.GuildState{
		Guild:    tidings.Guild{ID: 1, Owner: 9},
		Roles:    []tidings.Role{{ID: 1, Permissions: admin}},
		Channels: []tidings.Channel{{ID: 100}},
	}
	r := tidings.NewRules(s)
	if r.CanRead(nil, 100) || r.Permissions(nil, 100, now) != 0 || r.Base(nil) != 0 {
		t.Error("somebody who is not a member has permissions")
	}
	if got := r.Reader(nil).Readable(nil); len(got) != 1 || got[0] {
		t.Errorf("Readable() = %v, want one false", got)
	}
	if (tidings.Reader{}).CanRead(100) || len((tidings.Reader{}).Readable(nil)) != 0 {
		t.Error("the zero Reader reads")
	}
}

// TestPermissionsAgreeWithTheDocumentation compares with documentedPermissions below in random guilds.
func TestPermissionsAgreeWithTheDocumentation(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(2015, 1))
	const guilds = 10_000
	asked, readable, denied := 0, 0, 0
	var list []bool
	for n := range guilds {
		s := randomGuild(rnd)
		r := tidings.NewRules(s)
		for i := range s.Members {
			m := &s.Members[i]
			list = r.Reader(m).Readable(list)
			for k, c := range s.Channels {
				asked++
				want := documentedPermissions(s, *m, c)
				if got := r.Permissions(m, c.ID, now); got != want {
					t.Fatalf("guild %d: Permissions(member %d, channel %d) = %b, want %b\n%+v", n, m.User, c.ID, got, want, s)
				}
				// Whether one can read does not depend on a timeout.
				free := *m
				free.TimeoutUntil = time.Time{}
				wantRead := documentedRead(c, documentedPermissions(s, free, c))
				if got := r.CanRead(m, c.ID); got != wantRead || list[k] != got {
					t.Fatalf("guild %d: CanRead(member %d, channel %d) = %v, Readable() = %v, want %v\n%+v", n, m.User, c.ID, got, list[k], wantRead, s)
				}
				if wantRead {
					readable++
				} else {
					denied++
				}
			}
		}
	}
	// Guards against a generator that makes everything or nothing readable.
	if readable < asked/20 || denied < asked/20 {
		t.Errorf("of %d questions %d can be read and %d cannot: too lopsided to show anything", asked, readable, denied)
	}
}

// randomGuild makes a small guild in which everything that matters happens often.
func randomGuild(rnd *rand.Rand) *tidings.GuildState {
	bits := []tidings.Permissions{view, history, connect, manage, send, 1 << 54, 1 << 62}
	some := func(likely float64) (p tidings.Permissions) {
		for _, b := range bits {
			if rnd.Float64() < likely {
				p |= b
			}
		}
		return p
	}
	s := &tidings.GuildState{
		Guild:         tidings.Guild{ID: discord.GuildID(1 + rnd.Uint64N(3)), Owner: discord.UserID(rnd.Uint64N(4))},
		ThreadMembers: map[discord.ChannelID][]discord.UserID{},
	}
	everyone := tidings.Role{ID: discord.RoleID(s.Guild.ID), Permissions: some(0.7)}
	if rnd.IntN(30) != 0 {
		s.Roles = append(s.Roles, everyone)
	}
	for id := range 4 { // Of the roles 10 to 13 some do not exist.
		if rnd.IntN(4) != 0 {
			role := tidings.Role{ID: discord.RoleID(10 + id), Permissions: some(0.2)}
			if rnd.IntN(15) == 0 {
				role.Permissions |= admin
			}
			s.Roles = append(s.Roles, role)
		}
	}
	for range 1 + rnd.IntN(3) {
		m := tidings.Member{Guild: s.Guild.ID, User: discord.UserID(1 + rnd.Uint64N(5))}
		for id := range 4 {
			if rnd.IntN(3) == 0 {
				m.Roles = append(m.Roles, discord.RoleID(10+id))
			}
		}
		switch rnd.IntN(8) {
		case 0:
			m.Flags = tidings.MemberIsGuest
		case 1:
			m.TimeoutUntil = now.Add(time.Duration(rnd.IntN(3)-1) * time.Minute)
		case 2:
			m.Guild++
		case 3:
			m.Roles = append(m.Roles, discord.RoleID(s.Guild.ID))
		}
		s.Members = append(s.Members, m)
	}
	kinds := []int{-1, 0, 0, 0, 2, 4, 5, 13, 15, 16, 14, 77}
	for i := range 3 + rnd.IntN(4) {
		c := tidings.Channel{ID: discord.ChannelID(100 + i), Type: kinds[rnd.IntN(len(kinds))], Parent: discord.ChannelID(98 + rnd.IntN(8))}
		for _, target := range rnd.Perm(6)[:rnd.IntN(4)] {
			o := tidings.Overwrite{Allow: some(0.25), Deny: some(0.25)}
			switch target {
			case 0:
				o.ID = discord.Snowflake(s.Guild.ID)
			case 5:
				o.ID, o.Type = discord.Snowflake(1+rnd.Uint64N(5)), tidings.OverwriteMember
			default:
				o.ID = discord.Snowflake(9 + target)
			}
			c.Overwrites = append(c.Overwrites, o)
		}
		s.Channels = append(s.Channels, c)
	}
	for i := range rnd.IntN(5) {
		c := tidings.Channel{ID: discord.ChannelID(200 + i), Type: 10 + rnd.IntN(3), Parent: discord.ChannelID(100 + rnd.IntN(7))}
		if rnd.IntN(6) == 0 {
			c.Parent = discord.ChannelID(200 + rnd.IntN(5))
		}
		for u := range 5 {
			if rnd.IntN(2) == 0 {
				s.ThreadMembers[c.ID] = append(s.ThreadMembers[c.ID], discord.UserID(1+u))
			}
		}
		s.Channels = append(s.Channels, c)
	}
	rnd.Shuffle(len(s.Channels), func(i, j int) { s.Channels[i], s.Channels[j] = s.Channels[j], s.Channels[i] })
	return s
}

// documentedPermissions is the pseudo code of discord.com/developers/docs/topics/permissions#permission-overwrites, line by
// line over plain maps, with the page's paragraphs on implicit denials, threads and timeouts after it. It shares nothing with
// the package.
func documentedPermissions(guild *tidings.GuildState, member tidings.Member, channel tidings.Channel) tidings.Permissions {
	const (
		ADMINISTRATOR        = 0x8
		VIEW_CHANNEL         = 0x400
		READ_MESSAGE_HISTORY = 0x10000
		CONNECT              = 0x100000
		MANAGE_THREADS       = 0x400000000
		ALL                  = 0xFFFFFFFFFFFFFFFF
	)
	guildRoles := map[uint64]uint64{}
	for _, role := range guild.Roles {
		guildRoles[uint64(role.ID)] = uint64(role.Permissions)
	}
	channels := map[uint64]tidings.Channel{}
	for _, c := range guild.Channels {
		channels[uint64(c.ID)] = c
	}
	isOwner := guild.Guild.Owner != 0 && guild.Guild.Owner == member.User

	computeBasePermissions := func() uint64 {
		if isOwner {
			return ALL
		}
		permissions := guildRoles[uint64(guild.Guild.ID)] // role_everyone
		for _, role := range member.Roles {
			permissions |= guildRoles[uint64(role)]
		}
		if permissions&ADMINISTRATOR == ADMINISTRATOR {
			return ALL
		}
		return permissions
	}
	computeOverwrites := func(basePermissions uint64, in tidings.Channel) uint64 {
		if basePermissions&ADMINISTRATOR == ADMINISTRATOR {
			return ALL
		}
		permissions := basePermissions
		type target struct {
			kind int
			id   uint64
		}
		overwrites := map[target]tidings.Overwrite{}
		for _, o := range in.Overwrites {
			overwrites[target{int(o.Type), uint64(o.ID)}] = o
		}
		if overwriteEveryone, ok := overwrites[target{0, uint64(guild.Guild.ID)}]; ok {
			permissions &= ^uint64(overwriteEveryone.Deny)
			permissions |= uint64(overwriteEveryone.Allow)
		}
		allow, deny := uint64(0), uint64(0)
		for _, roleID := range member.Roles {
			_, exists := guildRoles[uint64(roleID)]
			overwriteRole, ok := overwrites[target{0, uint64(roleID)}]
			if ok && exists && uint64(roleID) != uint64(guild.Guild.ID) {
				allow |= uint64(overwriteRole.Allow)
				deny |= uint64(overwriteRole.Deny)
			}
		}
		permissions &= ^deny
		permissions |= allow
		if overwriteMember, ok := overwrites[target{1, uint64(member.User)}]; ok {
			permissions &= ^uint64(overwriteMember.Deny)
			permissions |= uint64(overwriteMember.Allow)
		}
		return permissions
	}

	_, everyoneKnown := guildRoles[uint64(guild.Guild.ID)]
	if !everyoneKnown || member.Guild != guild.Guild.ID || (member.Flags>>4)&1 == 1 && !isOwner {
		return 0
	}
	in := channel
	if channel.Type >= 10 && channel.Type <= 12 { // "Threads inherit permissions from the parent channel"
		parent, ok := channels[uint64(channel.Parent)]
		if !ok || !map[int]bool{0: true, 5: true, 15: true, 16: true}[parent.Type] {
			return 0
		}
		in = parent
	}
	if !map[int]bool{0: true, 2: true, 4: true, 5: true, 13: true, 15: true, 16: true}[in.Type] {
		return 0
	}
	permissions := computeOverwrites(computeBasePermissions(), in)
	if permissions&VIEW_CHANNEL == 0 { // "implicitly denies other permissions on the channel"
		permissions = 0
	}
	if (in.Type == 2 || in.Type == 13) && permissions&CONNECT == 0 {
		permissions &= VIEW_CHANNEL
	}
	if channel.Type == 12 && permissions&MANAGE_THREADS == 0 {
		invited := false
		for _, user := range guild.ThreadMembers[channel.ID] {
			invited = invited || user == member.User
		}
		if !invited {
			permissions = 0
		}
	}
	if member.TimeoutUntil.After(now) && computeBasePermissions()&ADMINISTRATOR == 0 {
		permissions &= VIEW_CHANNEL | READ_MESSAGE_HISTORY
	}
	return tidings.Permissions(permissions)
}

func documentedRead(c tidings.Channel, p tidings.Permissions) bool {
	holds := map[int]bool{0: true, 2: true, 5: true, 10: true, 11: true, 12: true, 13: true}
	return holds[c.Type] && p>>10&1 == 1 && p>>16&1 == 1
}

func TestReadingAllocatesNothing(t *testing.T) {
	s := randomGuild(rand.New(rand.NewPCG(1, 1)))
	r := tidings.NewRules(s)
	m := &s.Members[0]
	list := make([]bool, 0, len(s.Channels))
	if n := testing.AllocsPerRun(100, func() {
		for i := range s.Channels {
			r.CanRead(m, s.Channels[i].ID)
		}
		list = r.Reader(m).Readable(list)
	}); n != 0 {
		t.Errorf("asking allocates %v times, want 0", n)
	}
}

func TestPermissionsInJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want tidings.Permissions
		ok   bool
	}{
		{`"0"`, 0, true},
		{`"66560"`, view | history, true},
		{`66560`, view | history, true},
		{`"9007199254740993"`, 1<<53 + 1, true},
		{`"18446744073709551615"`, tidings.PermissionsAll, true},
		{`"18446744073709551617"`, 1, true}, // 1<<64 | 1: the bit that is not known yet is dropped
		{`null`, 0, false},
		{`""`, 0, false},
		{`"-1"`, 0, false},
		{`1.5`, 0, false},
		{`1e3`, 0, false},
		{`true`, 0, false},
		{`"0x400"`, 0, false},
		{`"` + strings.Repeat("9", 101) + `"`, 0, false},
	}
	for _, tt := range tests {
		var p tidings.Permissions
		err := json.Unmarshal([]byte(tt.in), &p)
		if p != tt.want || (err == nil) != tt.ok {
			t.Errorf("Unmarshal(%s) = %d, %v, want %d, ok %v", tt.in, p, err, tt.want, tt.ok)
		}
		if err != nil && !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("Unmarshal(%s) = %v, want ErrInvalid", tt.in, err)
		}
	}
	o := tidings.Overwrite{ID: 5, Type: tidings.OverwriteMember, Allow: 1 << 53, Deny: view}
	b, err := json.Marshal(o)
	if want := `{"id":"5","type":1,"allow":"9007199254740992","deny":"1024"}`; err != nil || string(b) != want {
		t.Errorf("Marshal() = %s, %v, want %s", b, err, want)
	}
}

func FuzzPermissionsJSON(f *testing.F) {
	for _, s := range []string{`"0"`, `66560`, `null`, `"18446744073709551616"`, `""`, `"1`, `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p tidings.Permissions
		if json.Unmarshal(b, &p) != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again tidings.Permissions
		if err := json.Unmarshal(out, &again); err != nil || again != p {
			t.Errorf("%s became %d, then %s, then %d (%v)", b, p, out, again, err)
		}
	})
}

func BenchmarkReadable(b *testing.B) {
	s := &tidings.GuildState{Guild: tidings.Guild{ID: 1, Owner: 9}, Roles: []tidings.Role{{ID: 1, Permissions: view | history}}}
	for i := range 20 {
		s.Roles = append(s.Roles, tidings.Role{ID: discord.RoleID(10 + i)})
	}
	for i := range 500 {
		c := tidings.Channel{ID: discord.ChannelID(100 + i)}
		for k := range 10 {
			c.Overwrites = append(c.Overwrites, roleOverwrite(uint64(10+(i+k)%20), view, history))
		}
		s.Channels = append(s.Channels, c)
	}
	m := &tidings.Member{Guild: 1, User: 7, Roles: []discord.RoleID{10, 12, 14, 16, 18, 20}}
	r := tidings.NewRules(s)
	v := r.Reader(m)
	var list []bool
	b.ReportAllocs()
	for b.Loop() {
		list = v.Readable(list)
	}
}
