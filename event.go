package tidings

import (
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Source says where an event comes from. Sources differ in trust: what the gateway said stands against the others.
type Source int

// The four sources.
const (
	SourceGateway Source = iota
	SourceWebhook
	SourcePoll
	SourceBackfill
)

// String returns the name that metrics and logs use.
func (s Source) String() string {
	return [...]string{"gateway", "webhook", "poll", "backfill"}[s]
}

// Event is one thing that a source says has happened. It may be told once, twice or late; recording it is idempotent.
type Event struct {
	Source  Source
	Guild   discord.GuildID
	Channel discord.ChannelID // 0 for what concerns a whole guild
	At      time.Time         // when this process received it
	Mark    Mark              // the place in the gateway's stream; zero for other sources
	Body    Body
}

// Mark is a place in a gateway session's stream of dispatches.
type Mark struct {
	Shard   int
	Session string // Discord's session_id
	Epoch   int64  // the lease under which this process runs the shard; a late write of an older one is refused
	Seq     int64
	// Known is up to where the database has said before that it has all; 0 for nothing. One that knows less has gone back.
	Known int64
}

// Body is what an [Event] says. The types below are all there are.
type Body interface{ body() }

// Bodies that concern one channel's messages. They go through that channel's lane.
type (
	// MessageCreated is a message that is new to whoever says so: a dispatch, or one line of a fetched page.
	MessageCreated struct {
		Message Message
		// Asked is when the page was asked for, by the database's clock; zero for what was not read to be compared. Then the
		// message's reactions are news as well.
		Asked time.Time
	}
	// MessageUpdated is an edit, a resolved embed, or a pin; Message.Partial when it names only what changed.
	MessageUpdated struct{ Message Message }
	// MessagesDeleted is one delete or one bulk delete (at most 100 ids by Discord's own limit).
	MessagesDeleted struct{ IDs []discord.MessageID }
	// ReactionChanged is one of Discord's MESSAGE_REACTION_* dispatches, by Change.
	ReactionChanged struct {
		Change  ReactionChange
		Message discord.MessageID
		User    discord.UserID // 0 for the two removals of all
		// Emoji is "name:id" of a custom one, of which the id alone tells it from others and the name may be empty; the character
		// itself otherwise; "" for ReactionsCleared.
		Emoji string
	}
	// PinsChanged is CHANNEL_PINS_UPDATE. Discord does not say which message; LastPin is zero when none is left.
	PinsChanged struct{ LastPin time.Time }
	// PollVoted is MESSAGE_POLL_VOTE_ADD or _REMOVE.
	PollVoted struct {
		Message discord.MessageID
		User    discord.UserID
		Answer  int
		Removed bool
	}
)

// ReactionChange says what happened to reactions.
type ReactionChange int

// The four reaction dispatches.
const (
	ReactionAdded ReactionChange = iota
	ReactionRemoved
	ReactionsOfEmojiRemoved
	ReactionsCleared
)

// Bodies that change who may read what, or the names of things. Each is a barrier for its guild.
type (
	// GuildSeen is GUILD_CREATE: the whole guild. Channels, threads and roles that it does not name are gone, except
	// archived threads, which it never names.
	GuildSeen struct {
		Guild    Guild
		Roles    []Role
		Channels []Channel
		Threads  []Channel // active ones that the bot can view
		// Members holds whatever members came along; often only the bot itself.
		Members []Member
		// Self is who the bot is, by which its own member is found among Members; 0 when the source does not say.
		Self discord.UserID
	}
	// GuildUpdated is GUILD_UPDATE: the guild and its roles; channels are not named.
	GuildUpdated struct {
		Guild Guild
		Roles []Role
	}
	// GuildGone is GUILD_DELETE: an outage, or the bot was removed.
	GuildGone struct{ Outage bool }
	// ChannelSeen is CHANNEL_CREATE, CHANNEL_UPDATE, THREAD_CREATE or THREAD_UPDATE.
	ChannelSeen struct{ Channel Channel }
	// ChannelGone is CHANNEL_DELETE or THREAD_DELETE; threads of a deleted channel go with it.
	ChannelGone struct{ ID discord.ChannelID }
	// RoleSeen is GUILD_ROLE_CREATE or _UPDATE.
	RoleSeen struct{ Role Role }
	// RoleGone is GUILD_ROLE_DELETE.
	RoleGone struct{ ID discord.RoleID }
	// MemberSeen is GUILD_MEMBER_ADD or _UPDATE. Only members who have signed in are kept, and the bot itself.
	MemberSeen struct{ Member Member }
	// MemberGone is GUILD_MEMBER_REMOVE: left, kicked or banned.
	MemberGone struct{ User discord.UserID }
	// ThreadMembersChanged is THREAD_MEMBERS_UPDATE, or THREAD_MEMBER_UPDATE for the bot itself.
	ThreadMembersChanged struct {
		Thread  discord.ChannelID
		Added   []discord.UserID
		Removed []discord.UserID
	}
	// ThreadMembersRead is Discord's answer to who is in a private thread. It counts only when nothing was told of them since they
	// were asked for.
	ThreadMembersRead struct {
		Thread  discord.ChannelID
		Members []discord.UserID
		// Of, where it is set, are those who were asked about one by one; of everybody else the answer says nothing.
		Of     []discord.UserID
		Events int64 // of the thread, before it was asked
	}
	// ThreadsSynced is THREAD_LIST_SYNC: all active threads of Parents, or of the whole guild when Parents is empty.
	ThreadsSynced struct {
		Parents []discord.ChannelID
		Threads []Channel
	}
)

func (MessageCreated) body()       {}
func (MessageUpdated) body()       {}
func (MessagesDeleted) body()      {}
func (ReactionChanged) body()      {}
func (PinsChanged) body()          {}
func (PollVoted) body()            {}
func (GuildSeen) body()            {}
func (GuildUpdated) body()         {}
func (GuildGone) body()            {}
func (ChannelSeen) body()          {}
func (ChannelGone) body()          {}
func (RoleSeen) body()             {}
func (RoleGone) body()             {}
func (MemberSeen) body()           {}
func (MemberGone) body()           {}
func (ThreadMembersChanged) body() {}
func (ThreadMembersRead) body()    {}
func (ThreadsSynced) body()        {}

// Unreadable is a dispatch of which not even what it is about could be understood. It is not recorded but kept as a dead letter: in a
// guild whose roles, channels or members it may have changed nobody sees anything until the guild was read again; in a channel
// whose messages it was about there is a gap. Without a guild it is kept only.
type Unreadable struct {
	Name string // of the dispatch
	Raw  []byte // as it came
}

// AboutMessages reports whether it was about a channel's messages.
func (u Unreadable) AboutMessages() bool {
	return strings.HasPrefix(u.Name, "MESSAGE_") || u.Name == "CHANNEL_PINS_UPDATE"
}

func (Unreadable) body() {}

// Barrier reports whether the event must be stored after everything that came before it in its guild and before
// everything that came after: whatever may change who can read what.
func (e Event) Barrier() bool {
	switch e.Body.(type) {
	case MessageCreated, MessageUpdated, MessagesDeleted, ReactionChanged, PinsChanged, PollVoted:
		return false
	}
	return true
}
