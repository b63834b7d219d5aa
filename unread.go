package tidings

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Unread is one person's read state: what GET /api/unread answers and what a live socket's snapshot carries.
type Unread struct {
	Rev      int64         `json:"rev"`
	Total    int           `json:"total"`    // muted channels left out
	Mentions int           `json:"mentions"` // muted channels counted
	Guilds   []UnreadGuild `json:"guilds"`
	// Ignored are the authors whose messages count for nothing, so that a client can leave them out by itself.
	Ignored []discord.UserID `json:"ignored"`
}

// UnreadGuild is one guild of [Unread].
type UnreadGuild struct {
	ID       discord.GuildID  `json:"id"`
	Name     string           `json:"name"`
	Icon     string           `json:"icon"`
	Unread   int              `json:"unread"` // muted channels left out
	Mentions int              `json:"mentions"`
	Roles    []discord.RoleID `json:"roles"` // the person's, so that a client can tell which mentions are theirs
	// What does not mention the person here.
	SuppressEveryone bool            `json:"suppress_everyone"`
	SuppressRoles    bool            `json:"suppress_roles"`
	Channels         []UnreadChannel `json:"channels"`
}

// Suppression returns what does not mention the person in the guild.
func (g *UnreadGuild) Suppression() Suppression {
	return Suppression{g.SuppressEveryone, g.SuppressRoles}
}

// Suppression is what does not mention a person in a guild, because they do not want it to.
type Suppression struct {
	Everyone bool `json:"suppress_everyone" db:"everyone"` // @everyone and @here
	Roles    bool `json:"suppress_roles" db:"roles"`       // mentions of their roles
}

// UnreadChannel is one visible channel of [Unread]; those with nothing unread are listed too.
type UnreadChannel struct {
	ID            discord.ChannelID `json:"id"`
	Name          string            `json:"name"`
	Type          int               `json:"type"`
	Parent        discord.ChannelID `json:"parent"` // null for none
	Unread        int               `json:"unread"`
	Mentions      int               `json:"mentions"`
	FirstUnread   discord.MessageID `json:"first_unread"` // null for none
	ReadID        discord.MessageID `json:"read_id"`      // the effective position
	LastID        discord.MessageID `json:"last_id"`      // the newest live countable message, null for none
	Version       int64             `json:"version"`
	Muted         bool              `json:"muted"`          // itself, or what it is in
	MutedUntil    *time.Time        `json:"muted_until"`    // null when it is not muted, or for ever
	CompleteSince *time.Time        `json:"complete_since"` // null when nothing is known to be complete
}

// Preferences is what decides, besides how far somebody has read, how they are shown what is unread.
type Preferences struct {
	Ignored []discord.UserID
	Muted   map[discord.ChannelID]*time.Time // visible muted channels and until when; nil for ever
	// Suppressed are the visible guilds in which something is.
	Suppressed map[discord.GuildID]Suppression
}

// Preferences returns those that u was made with.
func (u *Unread) Preferences() *Preferences {
	p := &Preferences{Ignored: u.Ignored, Muted: map[discord.ChannelID]*time.Time{}, Suppressed: map[discord.GuildID]Suppression{}}
	for _, g := range u.Guilds {
		if s := g.Suppression(); s != (Suppression{}) {
			p.Suppressed[g.ID] = s
		}
		for _, c := range g.Channels {
			if c.Muted {
				p.Muted[c.ID] = c.MutedUntil
			}
		}
	}
	return p
}

// VisibleSet is what a person may read at one moment. Only channels that hold messages are in it; categories and forums
// above them are in Parents, for their names.
type VisibleSet struct {
	User   discord.UserID
	Epoch  int64 // grows when the person's set or roles change, within one process
	Guilds []VisibleGuild
}

// VisibleGuild is one guild of a [VisibleSet].
type VisibleGuild struct {
	Guild    Guild
	Version  int64            // the guild's access version that this was computed from
	Roles    []discord.RoleID // the person's
	Channels []Channel        // readable ones, threads after their parents
	Parents  []Channel        // categories and forums that contain them
}

// ChannelIDs lists the readable channels of all guilds.
func (v *VisibleSet) ChannelIDs() []discord.ChannelID {
	var ids []discord.ChannelID
	for _, g := range v.Guilds {
		for _, c := range g.Channels {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// MarkRead asks to read up to a message. Exactly one of Channel, Guild and All is set.
type MarkRead struct {
	Channel discord.ChannelID
	Guild   discord.GuildID
	All     bool
	// UpTo is the newest id that the person was shown. It is clamped to the newest id known there.
	UpTo discord.MessageID
	// Auto says that the person did not act by hand: the mark loses to a manual one that is newer than Rev, the person's
	// rev that it was based on. That is 0 for somebody who had marked nothing. What was done by hand always counts.
	Auto bool
	Rev  int64
}

// ReadResult is what a mark changed. All of the person's devices are told. One with a new rev and without channels says that
// something else has changed, such as whom the person ignores: whoever tells the devices reads the whole afresh.
type ReadResult struct {
	User     discord.UserID
	Rev      int64
	Channels []ReadChannel
	// Preferences is set where the whole was read afresh.
	Preferences *Preferences
}

// ReadChannel is one channel of a [ReadResult], counted in the transaction that made the mark.
type ReadChannel struct {
	ID          discord.ChannelID
	Version     int64 // the channel's, when the counts were taken
	ReadID      discord.MessageID
	Unread      int
	Mentions    int
	FirstUnread discord.MessageID // 0 for none
	LastID      discord.MessageID // 0 for none
}
