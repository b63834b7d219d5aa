package sim

// Perm is a set of Discord's permission bits.
type Perm uint64

// The bits that the simulator asks for. The names are Discord's.
const (
	CreateInvite          Perm = 1 << 0
	KickMembers           Perm = 1 << 1
	BanMembers            Perm = 1 << 2
	Administrator         Perm = 1 << 3
	ManageChannels        Perm = 1 << 4
	ManageGuild           Perm = 1 << 5
	AddReactions          Perm = 1 << 6
	ViewAuditLog          Perm = 1 << 7
	Stream                Perm = 1 << 9
	ViewChannel           Perm = 1 << 10
	SendMessages          Perm = 1 << 11
	SendTTS               Perm = 1 << 12
	ManageMessages        Perm = 1 << 13
	EmbedLinks            Perm = 1 << 14
	AttachFiles           Perm = 1 << 15
	ReadMessageHistory    Perm = 1 << 16
	MentionEveryone       Perm = 1 << 17
	UseExternalEmojis     Perm = 1 << 18
	Connect               Perm = 1 << 20
	Speak                 Perm = 1 << 21
	UseVAD                Perm = 1 << 25
	ChangeNickname        Perm = 1 << 26
	ManageNicknames       Perm = 1 << 27
	ManageRoles           Perm = 1 << 28
	ManageWebhooks        Perm = 1 << 29
	UseCommands           Perm = 1 << 31
	ManageThreads         Perm = 1 << 34
	CreatePublicThreads   Perm = 1 << 35
	CreatePrivateThreads  Perm = 1 << 36
	SendMessagesInThreads Perm = 1 << 38
	ModerateMembers       Perm = 1 << 40
	SendVoiceMessages     Perm = 1 << 46
	SendPolls             Perm = 1 << 49
	PinMessages           Perm = 1 << 51
	BypassSlowmode        Perm = 1 << 52
)

const (
	allPermissions = Perm(1<<53 - 1)

	// everyoneDefault is what a new guild's @everyone has: Discord's old 104324673 with threads, commands and polls.
	everyoneDefault = Perm(104324673) | UseCommands | CreatePublicThreads | CreatePrivateThreads | SendMessagesInThreads |
		SendVoiceMessages | SendPolls

	// timedOut is all that a timeout leaves.
	timedOut = ViewChannel | ReadMessageHistory
)

// base is what a member may in a guild before any channel has its say. It is 0 for who is not a member.
func (g *Guild) base(user ID) Perm {
	m := g.Members[user]
	if m == nil {
		return 0
	}
	if g.OwnerID == user {
		return allPermissions
	}
	p := g.Roles[g.ID].Permissions
	for _, id := range m.Roles {
		if r := g.Roles[id]; r != nil {
			p |= r.Permissions
		}
	}
	if p&Administrator != 0 {
		return allPermissions
	}
	return p
}

// permissions is what a person may in a channel or thread now. It is 0 where the person cannot see the channel.
func (s *Sim) permissions(user ID, ch *Channel) Perm {
	g := s.guilds[ch.GuildID]
	if g == nil {
		return 0
	}
	m := g.Members[user]
	p := g.base(user)
	if m == nil || p == 0 {
		return 0
	}
	if p == allPermissions {
		return p
	}
	ruled := ch
	if ch.thread() {
		if ruled = s.channels[ch.ParentID]; ruled == nil {
			return 0
		}
	}
	var everyone, roles, member Overwrite
	for _, o := range ruled.Overwrites {
		switch {
		case o.Type == 0 && o.ID == g.ID:
			everyone = o
		case o.Type == 0 && m.has(o.ID):
			roles.Allow |= o.Allow
			roles.Deny |= o.Deny
		case o.Type == 1 && o.ID == user:
			member = o
		}
	}
	for _, o := range []Overwrite{everyone, roles, member} {
		p = p&^o.Deny | o.Allow
	}
	if p&ViewChannel == 0 {
		return 0
	}
	if ch.Type == typePrivateThread && ch.ThreadMembers[user] == nil && p&ManageThreads == 0 {
		return 0
	}
	if m.TimedOutUntil.After(s.now()) {
		p &= timedOut
	}
	return p
}

// sees says whether a person sees a channel at all.
func (s *Sim) sees(user ID, ch *Channel) bool { return s.permissions(user, ch)&ViewChannel != 0 }

// readsText says whether messages of the channel reach the person: in voice and stage channels CONNECT is needed too.
func (s *Sim) readsText(user ID, ch *Channel) bool {
	p := s.permissions(user, ch)
	if p&ViewChannel == 0 {
		return false
	}
	return ch.Type != typeVoice && ch.Type != typeStage || p&Connect != 0
}

// topRole is the position of a member's highest role; the owner stands above all.
func (g *Guild) topRole(user ID) int {
	if g.OwnerID == user {
		return 1 << 30
	}
	top := 0
	if m := g.Members[user]; m != nil {
		for _, id := range m.Roles {
			if r := g.Roles[id]; r != nil {
				top = max(top, r.Position)
			}
		}
	}
	return top
}
