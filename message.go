package tidings

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Message is what the rules need of one of Discord's message objects. Payload is the whole object as it came; everything
// that is only shown (author names, embeds, attachments) is read from there.
type Message struct {
	Channel discord.ChannelID
	ID      discord.MessageID
	Guild   discord.GuildID
	Author  discord.UserID // the webhook's id for what a webhook sent
	// AuthorNames are the author's user name and display name, as the object has them. A message that is read from the store has none.
	AuthorNames [2]string
	Type        int // Discord's message type; an open set, unknown ones are kept
	Flags       uint64
	Content     string
	Payload     []byte // JSON
	// EditedMS is edited_timestamp in milliseconds since 1970, 0 when never edited. Discord sometimes truncates it to
	// milliseconds (discord-api-docs#8281), so nothing finer may be compared.
	EditedMS int64
	// Countable tells whether the message counts as unread; see [Countable].
	Countable bool
	Mentions  Mentions
	Has       Features // what it has besides text
	// Partial is set when the object lacks an author: an old-style update that names only what changed.
	Partial bool
}

// Mentions says whom a message mentions, by Discord's own arrays; the text is never parsed for it.
type Mentions struct {
	Users    []discord.UserID
	Roles    []discord.RoleID
	Everyone bool // @everyone and @here alike
}

// None reports whether nobody is mentioned.
func (m Mentions) None() bool { return len(m.Users) == 0 && len(m.Roles) == 0 && !m.Everyone }

// Message types with a meaning of their own here.
// Source: discord.com/developers/docs/resources/message#message-object-message-types.
const (
	TypeDefault            = 0
	TypeThreadCreated      = 18
	TypeReply              = 19
	TypeChatInputCommand   = 20
	TypeThreadStarter      = 21
	TypeContextMenuCommand = 23
)

// FlagEphemeral marks a message that only one person sees; such messages are never stored.
const FlagEphemeral = 1 << 6

// systemTypes are lines that Discord writes itself: joins, pins, boosts, thread notices and the like.
var systemTypes = map[int]bool{
	1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true, 12: true,
	14: true, 15: true, 16: true, 17: true, 18: true, 21: true, 22: true, 24: true, 25: true, 26: true, 27: true, 28: true,
	29: true, 31: true, 32: true, 36: true, 37: true, 38: true, 39: true, 44: true, 46: true, 55: true,
}

// Countable reports whether messages of a type count as unread. What people and bots write does; Discord's own system lines
// do not. A type that is not known yet counts: it is better seen than missed.
func Countable(messageType int) bool { return !systemTypes[messageType] }

// wireMessage names the fields of Discord's message object that the rules need.
type wireMessage struct {
	ID        discord.MessageID `json:"id"`
	ChannelID discord.ChannelID `json:"channel_id"`
	GuildID   discord.GuildID   `json:"guild_id"`
	Author    *wireAuthor       `json:"author"`
	// A type that does not fit is unknown, and no database's column holds it.
	Type            int32            `json:"type"`
	Flags           uint64           `json:"flags"`
	Content         string           `json:"content"`
	EditedTimestamp string           `json:"edited_timestamp"`
	MentionEveryone bool             `json:"mention_everyone"`
	Mentions        []wireMention    `json:"mentions"`
	MentionRoles    []discord.RoleID `json:"mention_roles"`
	wireFeatures
}

type wireAuthor struct {
	ID         discord.UserID `json:"id"`
	Username   loose          `json:"username"`
	GlobalName loose          `json:"global_name"`
}

type wireMention struct {
	ID discord.UserID `json:"id"`
}

// loose is a string; what is of another kind is "".
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = ""
	}
	*l = loose(s)
	return nil
}

// decodeMessage is for what scanMessage is not sure of.
func decodeMessage(payload []byte) (w wireMessage, err error) {
	err = json.Unmarshal(payload, &w)
	return w, err
}

// ParseMessage reads one of Discord's message objects. It keeps payload, which the caller must not change afterwards.
// Unknown fields and types are fine, and a field of another kind than Discord documents counts as absent; an object whose id,
// channel or author cannot be made out is [ErrInvalid].
func ParseMessage(payload []byte, guild discord.GuildID) (Message, error) {
	var w wireMessage
	if !scanMessage(payload, &w) {
		var err error
		if w, err = decodeMessage(payload); err != nil {
			w, err = looseMessage(payload)
		}
		if err != nil {
			return Message{}, fmt.Errorf("%w message: %w", ErrInvalid, err)
		}
	}
	w.ID, w.ChannelID = known(w.ID), known(w.ChannelID)
	if w.ID == 0 || w.ChannelID == 0 {
		return Message{}, fmt.Errorf("%w message: no id or no channel_id", ErrInvalid)
	}
	m := Message{
		Channel: w.ChannelID, ID: w.ID, Guild: known(w.GuildID), Type: int(w.Type), Flags: w.Flags,
		// Postgres' text cannot hold a zero byte; the payload keeps it.
		Content: strings.ReplaceAll(w.Content, "\x00", "\uFFFD"), Payload: payload,
		Countable: Countable(int(w.Type)), Partial: w.Author == nil, Has: w.features(w.Content),
	}
	if m.Guild == 0 {
		m.Guild = guild
	}
	if w.Author != nil {
		m.Author = known(w.Author.ID)
		m.AuthorNames = [2]string{string(w.Author.Username), string(w.Author.GlobalName)}
	}
	if w.EditedTimestamp != "" {
		if t, err := time.Parse(time.RFC3339Nano, w.EditedTimestamp); err == nil {
			m.EditedMS = t.UnixMilli()
		}
	}
	m.Mentions.Everyone = w.MentionEveryone
	for _, u := range w.Mentions {
		if id := known(u.ID); id != 0 {
			m.Mentions.Users = append(m.Mentions.Users, id)
		}
	}
	for _, r := range w.MentionRoles {
		if id := known(r); id != 0 {
			m.Mentions.Roles = append(m.Mentions.Roles, id)
		}
	}
	return m, nil
}
