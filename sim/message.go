package sim

import (
	"encoding/json"
	"fmt"
	"time"
)

// Message flags and types that the simulator acts on. The names are Discord's.
const (
	flagCrossposted        = 1 << 0
	flagIsCrosspost        = 1 << 1
	flagSuppressEmbeds     = 1 << 2
	flagSourceDeleted      = 1 << 3
	flagHasThread          = 1 << 5
	flagSilent             = 1 << 12
	flagVoiceMessage       = 1 << 13
	flagHasSnapshot        = 1 << 14
	flagComponentsV2       = 1 << 15
	settableFlags          = flagSuppressEmbeds | flagSilent | flagVoiceMessage | flagComponentsV2
	typeDefault            = 0
	typePin                = 6
	typeJoin               = 7
	typeFollowAdd          = 12
	typeThreadCreated      = 18
	typeReply              = 19
	typeThreadStarter      = 21
	typePollResult         = 46
	referenceForward       = 1
	maxContent             = 2000
	maxReactionsPerMessage = 20
)

// Message is one message as the world keeps it. What depends on who looks (reactions, pings) is made when it is sent.
type Message struct {
	ID              ID                `json:"id"`
	ChannelID       ID                `json:"channel_id"`
	AuthorID        ID                `json:"author_id"`
	Type            int               `json:"type,omitempty"`
	Content         string            `json:"content"`
	At              Stamp             `json:"at"`
	Edited          Stamp             `json:"edited"`
	Flags           int               `json:"flags,omitempty"`
	TTS             bool              `json:"tts,omitempty"`
	Pinned          bool              `json:"pinned,omitempty"`
	PinnedAt        Stamp             `json:"pinned_at"`
	MentionEveryone bool              `json:"mention_everyone,omitempty"`
	Mentions        []ID              `json:"mentions,omitempty"`
	MentionRoles    []ID              `json:"mention_roles,omitempty"`
	Attachments     []Attachment      `json:"attachments,omitempty"`
	Embeds          []json.RawMessage `json:"embeds,omitempty"`
	Components      []json.RawMessage `json:"components,omitempty"`
	StickerItems    []StickerItem     `json:"sticker_items,omitempty"`
	Reactions       []*Reaction       `json:"reactions,omitempty"`
	Reference       *Reference        `json:"reference,omitempty"`
	Snapshots       []Snapshot        `json:"snapshots,omitempty"`
	Poll            *Poll             `json:"poll,omitempty"`
	Nonce           json.RawMessage   `json:"nonce,omitempty"`
	WebhookID       ID                `json:"webhook_id"`
	WebhookName     string            `json:"webhook_name,omitempty"`
	WebhookAvatar   string            `json:"webhook_avatar,omitempty"`
	ApplicationID   ID                `json:"application_id"`
	ThreadID        ID                `json:"thread_id"`
	Position        int               `json:"position,omitempty"`
	Deleted         bool              `json:"deleted,omitempty"`
	// Extra are fields for messages of kinds that the simulator does not know.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}

// Attachment is a file of a message. Its JSON is Discord's, without the signature in the address.
type Attachment struct {
	ID           ID       `json:"id"`
	Filename     string   `json:"filename"`
	Title        string   `json:"title,omitempty"`
	Description  string   `json:"description,omitempty"`
	ContentType  string   `json:"content_type,omitempty"`
	Size         int      `json:"size"`
	URL          string   `json:"url"`
	ProxyURL     string   `json:"proxy_url"`
	Width        *int     `json:"width,omitempty"`
	Height       *int     `json:"height,omitempty"`
	DurationSecs *float64 `json:"duration_secs,omitempty"`
	Waveform     string   `json:"waveform,omitempty"`
	Flags        int      `json:"flags,omitempty"`
}

// StickerItem is a sticker of a message.
type StickerItem struct {
	ID         ID     `json:"id"`
	Name       string `json:"name"`
	FormatType int    `json:"format_type"`
}

// Reaction is one emoji under a message and who chose it, in order.
type Reaction struct {
	EmojiID   ID     `json:"emoji_id"`
	EmojiName string `json:"emoji_name"`
	Animated  bool   `json:"animated,omitempty"`
	Users     []ID   `json:"users"`
}

// Reference is what a message answers (type 0) or forwards (type 1). Its JSON is Discord's.
type Reference struct {
	Type      int `json:"type"`
	MessageID ID  `json:"message_id,omitempty"`
	ChannelID ID  `json:"channel_id"`
	GuildID   ID  `json:"guild_id,omitempty"`
}

// Snapshot is the copy of a message in a forward. Its JSON is Discord's.
type Snapshot struct {
	Message snapshotMessage `json:"message"`
}

type snapshotMessage struct {
	Type         int               `json:"type"`
	Content      string            `json:"content"`
	Mentions     []wireUser        `json:"mentions"`
	MentionRoles []ID              `json:"mention_roles"`
	Attachments  []Attachment      `json:"attachments"`
	Embeds       []json.RawMessage `json:"embeds"`
	Timestamp    Stamp             `json:"timestamp"`
	Edited       Stamp             `json:"edited_timestamp"`
	Flags        int               `json:"flags"`
	Components   []json.RawMessage `json:"components"`
	StickerItems []StickerItem     `json:"sticker_items,omitempty"`
}

type wireReactionEmoji struct {
	ID       ID      `json:"id"`
	Name     *string `json:"name"`
	Animated bool    `json:"animated,omitempty"`
}

type wireReaction struct {
	Emoji        wireReactionEmoji `json:"emoji"`
	Count        int               `json:"count"`
	CountDetails struct {
		Burst  int `json:"burst"`
		Normal int `json:"normal"`
	} `json:"count_details"`
	BurstColors []string `json:"burst_colors"`
	MeBurst     bool     `json:"me_burst"`
	Me          bool     `json:"me"`
}

// wireMessage is Discord's message object.
type wireMessage struct {
	ID                ID                         `json:"id"`
	ChannelID         ID                         `json:"channel_id"`
	GuildID           ID                         `json:"guild_id,omitempty"`
	Author            wireUser                   `json:"author"`
	Member            *wireMember                `json:"member,omitempty"`
	Type              int                        `json:"type"`
	Content           string                     `json:"content"`
	Timestamp         Stamp                      `json:"timestamp"`
	Edited            Stamp                      `json:"edited_timestamp"`
	TTS               bool                       `json:"tts"`
	MentionEveryone   bool                       `json:"mention_everyone"`
	Mentions          []wireUser                 `json:"mentions"`
	MentionRoles      []ID                       `json:"mention_roles"`
	Attachments       []Attachment               `json:"attachments"`
	Embeds            []json.RawMessage          `json:"embeds"`
	Components        []json.RawMessage          `json:"components"`
	StickerItems      []StickerItem              `json:"sticker_items,omitempty"`
	Reactions         []wireReaction             `json:"reactions,omitempty"`
	Pinned            bool                       `json:"pinned"`
	Flags             int                        `json:"flags"`
	Nonce             json.RawMessage            `json:"nonce,omitempty"`
	WebhookID         ID                         `json:"webhook_id,omitempty"`
	ApplicationID     ID                         `json:"application_id,omitempty"`
	Reference         *Reference                 `json:"message_reference,omitempty"`
	Snapshots         []Snapshot                 `json:"message_snapshots,omitempty"`
	ReferencedMessage json.RawMessage            `json:"referenced_message,omitempty"`
	Thread            *wireChannel               `json:"thread,omitempty"`
	Position          *int                       `json:"position,omitempty"`
	Poll              *wirePoll                  `json:"poll,omitempty"`
	ChannelType       *int                       `json:"channel_type,omitempty"`
	extra             map[string]json.RawMessage `json:"-"`
}

// plainMessage is a message without fields of unknown kinds: encoding it needs no second pass.
type plainMessage wireMessage

// MarshalJSON adds the fields of unknown kinds of messages.
func (w wireMessage) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(plainMessage(w))
	if err != nil || len(w.extra) == 0 {
		return b, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for k, v := range w.extra {
		all[k] = v
	}
	return json.Marshal(all)
}

// wireMessage gives the message as viewer gets it over REST. deep adds the message that it answers.
func (s *Sim) wireMessage(m *Message, viewer ID, deep bool) wireMessage {
	ch := s.channels[m.ChannelID]
	w := wireMessage{
		ID: m.ID, ChannelID: m.ChannelID, Author: s.author(m), Type: m.Type, Content: m.Content, Timestamp: m.At, Edited: m.Edited,
		TTS: m.TTS, MentionEveryone: m.MentionEveryone, Mentions: []wireUser{}, MentionRoles: m.MentionRoles, Attachments: []Attachment{},
		Embeds: m.Embeds, Components: m.Components, StickerItems: m.StickerItems, Pinned: m.Pinned, Flags: m.Flags, WebhookID: m.WebhookID,
		ApplicationID: m.ApplicationID, Nonce: m.Nonce, Reference: m.Reference, Snapshots: m.Snapshots, extra: m.Extra,
	}
	if w.MentionRoles == nil {
		w.MentionRoles = []ID{}
	}
	if w.Embeds == nil {
		w.Embeds = []json.RawMessage{}
	}
	if w.Components == nil {
		w.Components = []json.RawMessage{}
	}
	for _, id := range m.Mentions {
		if u := s.users[id]; u != nil {
			w.Mentions = append(w.Mentions, u.wire())
		}
	}
	for _, a := range m.Attachments {
		w.Attachments = append(w.Attachments, s.signed(a))
	}
	for _, r := range m.Reactions {
		w.Reactions = append(w.Reactions, r.wire(viewer))
	}
	if m.Poll != nil {
		w.Poll = m.Poll.wire(viewer)
	}
	if ch != nil && ch.thread() {
		w.Position = ptr(m.Position)
	}
	if m.ThreadID != 0 {
		if th := s.channels[m.ThreadID]; th != nil {
			w.Thread = ptr(s.wireChannel(th, viewer))
		}
	}
	if deep && m.Reference != nil && m.Reference.Type == 0 && (m.Type == typeReply || m.Type == typeThreadStarter) {
		w.ReferencedMessage = json.RawMessage("null")
		if rc := s.channels[m.Reference.ChannelID]; rc != nil {
			if rm := rc.message(m.Reference.MessageID); rm != nil {
				if b, err := json.Marshal(s.withhold(s.wireMessage(rm, viewer, false), viewer)); err == nil {
					w.ReferencedMessage = b
				}
			}
		}
	}
	return w
}

// author is the user object of who wrote the message: a webhook's is made up for it, as Discord does.
func (s *Sim) author(m *Message) wireUser {
	if m.WebhookID != 0 {
		w := wireUser{ID: m.WebhookID, Username: m.WebhookName, Discriminator: "0000", Bot: true}
		if m.WebhookAvatar != "" {
			w.Avatar = ptr(m.WebhookAvatar)
		}
		return w
	}
	if u := s.users[m.AuthorID]; u != nil {
		return u.wire()
	}
	return wireUser{ID: m.AuthorID, Username: "Deleted User", Discriminator: "0000"}
}

// gatewayMessage is the message with what only the gateway adds: guild, member, members of the mentioned.
func (s *Sim) gatewayMessage(m *Message, viewer ID) wireMessage {
	w := s.wireMessage(m, viewer, true)
	ch := s.channels[m.ChannelID]
	g := s.guilds[ch.GuildID]
	w.GuildID = g.ID
	w.ChannelType = ptr(ch.Type)
	if mem := g.Members[m.AuthorID]; mem != nil && m.WebhookID == 0 {
		w.Member = ptr(s.wireMember(mem, false))
	}
	for i := range w.Mentions {
		if mem := g.Members[w.Mentions[i].ID]; mem != nil {
			w.Mentions[i].Member = ptr(s.wireMember(mem, false))
		}
	}
	return w
}

// withhold empties what an application without the MESSAGE_CONTENT permission does not get. Its own messages and those
// that mention it are whole.
func (s *Sim) withhold(w wireMessage, viewer ID) wireMessage {
	u := s.users[viewer]
	if u == nil || !u.Bot || s.app.mayReadContent() {
		return w
	}
	return bare(w, viewer)
}

func bare(w wireMessage, viewer ID) wireMessage {
	if w.Author.ID == viewer {
		return w
	}
	for _, u := range w.Mentions {
		if u.ID == viewer {
			return w
		}
	}
	w.Content, w.Attachments, w.Embeds, w.Components, w.Poll, w.Snapshots = "", []Attachment{}, []json.RawMessage{}, []json.RawMessage{}, nil, nil
	return w
}

// signed gives the attachment with an address that expires, as Discord's do.
func (s *Sim) signed(a Attachment) Attachment {
	ex := s.now().Add(24 * time.Hour).Unix()
	q := fmt.Sprintf("?ex=%x&is=%x&hm=%016x", ex, ex-86400, uint64(a.ID)*0x9e3779b97f4a7c15)
	a.URL += q
	a.ProxyURL += q
	return a
}

func (r *Reaction) wire(viewer ID) wireReaction {
	w := wireReaction{Emoji: r.emoji(), Count: len(r.Users), BurstColors: []string{}}
	w.CountDetails.Normal = len(r.Users)
	for _, u := range r.Users {
		w.Me = w.Me || u == viewer
	}
	return w
}

func (r *Reaction) emoji() wireReactionEmoji {
	return wireReactionEmoji{ID: r.EmojiID, Name: ptr(r.EmojiName), Animated: r.Animated}
}
