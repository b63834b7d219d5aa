package tidings

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Result is what recording events changed, in the order of commits. It is told to the hub after the commit, and only then.
type Result struct {
	Deltas []Delta
	Reads  []ReadResult   // own messages read their channel
	Access []AccessChange // guilds whose access version moved
	// Recovered are ranges of the past in which messages were found again: whoever may see the channel is told how many.
	Recovered []Recovered
}

// Delta is what changed in one channel. A channel's deltas have consecutive versions.
type Delta struct {
	Guild   discord.GuildID
	Channel discord.ChannelID
	Version int64
	// AccessVersion is the guild's, at the commit. A hub that knows an older one reloads before it delivers.
	AccessVersion int64
	Kind          DeltaKind
	ID            discord.MessageID
	Author        discord.UserID
	N             int       // the change of the channel's countable messages: 1, 0 or -1; with Deleted, for each of them
	Mentions      Mentions  // after the change; for a delete, those that the message had
	Before        *Mentions // the targets before, set when an edit changed them
	Deleted       []DeletedMessage
	// Message is what is stored now; nil for deletes and resets.
	Message *Message
	// At is when the event was received, for measuring.
	At time.Time
}

// DeltaKind says what happened.
type DeltaKind int

// The kinds of delta. A reset says: something changed that is not told in detail, ask for the counts.
const (
	DeltaCreate DeltaKind = iota
	DeltaUpdate
	DeltaDelete
	DeltaReset
)

// String returns the name on the live socket.
func (k DeltaKind) String() string {
	return [...]string{"create", "update", "delete", "reset"}[k]
}

// DeletedMessage is one of a bulk delete: what a client needs to lower its counts without asking.
type DeletedMessage struct {
	ID       discord.MessageID
	Author   discord.UserID
	Mentions Mentions
}

// AccessChange says that who may read what in a guild has changed.
type AccessChange struct {
	Guild   discord.GuildID
	Version int64
	// Users are those concerned when they are known; empty means anybody in the guild.
	Users []discord.UserID
	// Opened are channels that the bot itself may read again, and threads with them.
	Opened []discord.ChannelID
}

// Recovered says that messages were found again in a range of a channel that was not known to be complete.
type Recovered struct {
	Guild   discord.GuildID
	Channel discord.ChannelID
	// AccessVersion is the guild's, at the commit, as in [Delta].
	AccessVersion int64
	From, To      discord.MessageID // the range, both ends in it
	N             int               // messages found in it
}
