package tidings

import "github.com/diamondburned/arikawa/v3/discord"

// Channel is one of Discord's channels; threads and forum posts too.
type Channel struct {
	ID         discord.ChannelID `db:"id"`
	Guild      discord.GuildID   `db:"guild_id"`
	Parent     discord.ChannelID `db:"parent_id"` // the category, or a thread's channel; 0 for none
	Type       int               `db:"type"`
	Name       string            `db:"name"`
	Topic      string            `db:"topic"`
	Position   int               `db:"position"`
	NSFW       bool              `db:"nsfw"`
	Archived   bool              `db:"archived"` // threads only
	Overwrites []Overwrite       `db:"-"`        // always empty for threads, which use their parent's
	// LastMessage is Discord's last_message_id: the newest message there ever was, perhaps deleted since.
	// For forums it is the newest post. 0 when unknown.
	LastMessage discord.MessageID `db:"last_message_id"`
}

// Overwrite changes a channel's permissions for one role or one member.
type Overwrite struct {
	ID    discord.Snowflake `json:"id"`
	Type  OverwriteType     `json:"type"`
	Allow Permissions       `json:"allow"`
	Deny  Permissions       `json:"deny"`
}

// OverwriteType says what an overwrite's id names.
type OverwriteType int

// The two kinds of overwrite.
const (
	OverwriteRole   OverwriteType = 0
	OverwriteMember OverwriteType = 1
)

// Channel types. Source: discord.com/developers/docs/resources/channel#channel-object-channel-types.
const (
	ChannelUnknown            = -1 // a message came before its channel; nobody may read it until the channel is known
	ChannelText               = 0
	ChannelVoice              = 2
	ChannelCategory           = 4
	ChannelAnnouncement       = 5
	ChannelAnnouncementThread = 10
	ChannelPublicThread       = 11
	ChannelPrivateThread      = 12
	ChannelStage              = 13
	ChannelForum              = 15
	ChannelMedia              = 16
)

// IsThread reports whether the channel is a thread or a forum post.
func (c Channel) IsThread() bool {
	return c.Type >= ChannelAnnouncementThread && c.Type <= ChannelPrivateThread
}

// HoldsMessages reports whether messages can be in the channel itself; categories, forums and unknown channels hold none.
func (c Channel) HoldsMessages() bool {
	switch c.Type {
	case ChannelText, ChannelVoice, ChannelAnnouncement, ChannelStage,
		ChannelAnnouncementThread, ChannelPublicThread, ChannelPrivateThread:
		return true
	}
	return false
}
