package sim

import (
	"cmp"
	"encoding/json"
	"slices"
	"sort"
)

// Discord's channel types.
const (
	typeText          = 0
	typeVoice         = 2
	typeCategory      = 4
	typeNews          = 5
	typeNewsThread    = 10
	typePublicThread  = 11
	typePrivateThread = 12
	typeStage         = 13
	typeForum         = 15
	typeMedia         = 16
)

// Overwrite changes what a role (type 0) or a member (type 1) may in one channel. Its JSON is Discord's.
type Overwrite struct {
	ID    ID   `json:"id"`
	Type  int  `json:"type"`
	Allow Perm `json:"allow"`
	Deny  Perm `json:"deny"`
}

// Tag is a label that posts of a forum may carry.
type Tag struct {
	ID        ID      `json:"id"`
	Name      string  `json:"name"`
	Moderated bool    `json:"moderated"`
	EmojiID   ID      `json:"emoji_id"`
	EmojiName *string `json:"emoji_name"`
}

// ThreadMember is one who has joined a thread.
type ThreadMember struct {
	UserID   ID    `json:"user_id"`
	JoinedAt Stamp `json:"join_timestamp"`
}

// Channel is a channel of a guild, a category, a thread or a forum post.
type Channel struct {
	ID            ID          `json:"id"`
	GuildID       ID          `json:"guild_id"`
	ParentID      ID          `json:"parent_id"`
	Type          int         `json:"type"`
	Name          string      `json:"name"`
	Topic         string      `json:"topic,omitempty"`
	Position      int         `json:"position"`
	NSFW          bool        `json:"nsfw,omitempty"`
	Slowmode      int         `json:"slowmode,omitempty"`
	Flags         int         `json:"flags,omitempty"`
	Overwrites    []Overwrite `json:"overwrites,omitempty"`
	Tags          []Tag       `json:"tags,omitempty"`
	LastMessageID ID          `json:"last_message_id"`
	LastPin       Stamp       `json:"last_pin"`
	Messages      []*Message  `json:"messages"`
	Webhooks      []*Webhook  `json:"webhooks,omitempty"`

	// The rest is for threads.
	OwnerID       ID                   `json:"owner_id"`
	Archived      bool                 `json:"archived,omitempty"`
	ArchivedAt    Stamp                `json:"archived_at"`
	AutoArchive   int                  `json:"auto_archive,omitempty"`
	Locked        bool                 `json:"locked,omitempty"`
	Invitable     bool                 `json:"invitable,omitempty"`
	AppliedTags   []ID                 `json:"applied_tags,omitempty"`
	MessageCount  int                  `json:"message_count,omitempty"`
	TotalSent     int                  `json:"total_sent,omitempty"`
	ThreadMembers map[ID]*ThreadMember `json:"thread_members,omitempty"`

	// lastBy is when each person last wrote here, for slowmode.
	lastBy map[ID]Stamp
}

func (ch *Channel) thread() bool {
	return ch.Type == typeNewsThread || ch.Type == typePublicThread || ch.Type == typePrivateThread
}

// textual says whether messages can be written in the channel.
func (ch *Channel) textual() bool {
	return ch.Type == typeText || ch.Type == typeNews || ch.Type == typeVoice || ch.Type == typeStage || ch.thread()
}

// find gives the message's place, or where it would be.
func (ch *Channel) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(ch.Messages, id, func(m *Message, id ID) int { return cmp.Compare(m.ID, id) })
}

// message gives a live message, or nil.
func (ch *Channel) message(id ID) *Message {
	if i, ok := ch.find(id); ok && !ch.Messages[i].Deleted {
		return ch.Messages[i]
	}
	return nil
}

type threadMetadata struct {
	Archived    bool  `json:"archived"`
	ArchivedAt  Stamp `json:"archive_timestamp"`
	AutoArchive int   `json:"auto_archive_duration"`
	Locked      bool  `json:"locked"`
	CreatedAt   Stamp `json:"create_timestamp"`
	Invitable   *bool `json:"invitable,omitempty"`
}

type wireThreadMember struct {
	ID       ID              `json:"id"`
	UserID   ID              `json:"user_id"`
	JoinedAt Stamp           `json:"join_timestamp"`
	Flags    int             `json:"flags"`
	GuildID  ID              `json:"guild_id,omitempty"`
	Member   *wireMember     `json:"member,omitempty"`
	Presence json.RawMessage `json:"presence,omitempty"`
}

// wireChannel is Discord's channel object, for channels and threads alike.
type wireChannel struct {
	ID                 ID                `json:"id"`
	Type               int               `json:"type"`
	GuildID            ID                `json:"guild_id"`
	Name               string            `json:"name"`
	ParentID           *ID               `json:"parent_id"`
	Position           *int              `json:"position,omitempty"`
	Topic              *string           `json:"topic,omitempty"`
	NSFW               *bool             `json:"nsfw,omitempty"`
	LastMessageID      *ID               `json:"last_message_id,omitempty"`
	LastPin            *Stamp            `json:"last_pin_timestamp,omitempty"`
	RateLimitPerUser   *int              `json:"rate_limit_per_user,omitempty"`
	Bitrate            *int              `json:"bitrate,omitempty"`
	UserLimit          *int              `json:"user_limit,omitempty"`
	RTCRegion          *string           `json:"rtc_region,omitempty"`
	Flags              int               `json:"flags"`
	Overwrites         *[]Overwrite      `json:"permission_overwrites,omitempty"`
	AvailableTags      *[]Tag            `json:"available_tags,omitempty"`
	DefaultForumLayout *int              `json:"default_forum_layout,omitempty"`
	DefaultAutoArchive *int              `json:"default_auto_archive_duration,omitempty"`
	OwnerID            ID                `json:"owner_id,omitempty"`
	ThreadMetadata     *threadMetadata   `json:"thread_metadata,omitempty"`
	MessageCount       *int              `json:"message_count,omitempty"`
	MemberCount        *int              `json:"member_count,omitempty"`
	TotalMessageSent   *int              `json:"total_message_sent,omitempty"`
	AppliedTags        *[]ID             `json:"applied_tags,omitempty"`
	Member             *wireThreadMember `json:"member,omitempty"`
	NewlyCreated       bool              `json:"newly_created,omitempty"`
	Message            *wireMessage      `json:"message,omitempty"`
}

// wireChannel gives the channel's object as viewer gets it (a thread says whether the viewer has joined it).
func (s *Sim) wireChannel(ch *Channel, viewer ID) wireChannel {
	w := wireChannel{ID: ch.ID, Type: ch.Type, GuildID: ch.GuildID, Name: ch.Name, ParentID: ptr(ch.ParentID), Flags: ch.Flags}
	if ch.Type != typeCategory {
		w.LastMessageID = ptr(ch.LastMessageID)
		w.RateLimitPerUser = ptr(ch.Slowmode)
	}
	if !ch.LastPin.IsZero() {
		w.LastPin = ptr(ch.LastPin)
	}
	if ch.thread() {
		w.OwnerID = ch.OwnerID
		w.ThreadMetadata = &threadMetadata{Archived: ch.Archived, ArchivedAt: ch.ArchivedAt, AutoArchive: ch.AutoArchive, Locked: ch.Locked, CreatedAt: Stamp{ch.ID.Time()}}
		if ch.Type == typePrivateThread {
			w.ThreadMetadata.Invitable = ptr(ch.Invitable)
		}
		w.MessageCount, w.TotalMessageSent = ptr(ch.MessageCount), ptr(ch.TotalSent)
		w.MemberCount = ptr(min(len(ch.ThreadMembers), 50))
		if parent := s.channels[ch.ParentID]; parent != nil && (parent.Type == typeForum || parent.Type == typeMedia) {
			w.AppliedTags = ptr(append([]ID{}, ch.AppliedTags...))
		}
		if tm := ch.ThreadMembers[viewer]; tm != nil {
			w.Member = &wireThreadMember{ID: ch.ID, UserID: viewer, JoinedAt: tm.JoinedAt}
		}
		return w
	}
	w.Position = ptr(ch.Position)
	w.Overwrites = ptr(append([]Overwrite{}, ch.Overwrites...))
	w.NSFW = ptr(ch.NSFW)
	switch ch.Type {
	case typeText, typeNews, typeForum, typeMedia:
		w.Topic = ptr(ch.Topic)
	case typeVoice, typeStage:
		w.Bitrate, w.UserLimit = ptr(64000), ptr(0)
	}
	if ch.Type == typeForum || ch.Type == typeMedia {
		w.AvailableTags = ptr(append([]Tag{}, ch.Tags...))
		w.DefaultForumLayout = ptr(0)
	}
	return w
}

// guildChannels are a guild's channels without threads, by position.
func (s *Sim) guildChannels(g *Guild) []*Channel {
	var out []*Channel
	for _, ch := range s.byGuild[g.ID] {
		if !ch.thread() {
			out = append(out, ch)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Position != out[j].Position {
			return out[i].Position < out[j].Position
		}
		return out[i].ID < out[j].ID
	})
	return out
}

// activeThreads are the guild's threads that are not archived and that the viewer may see, newest first. With a
// parent, only that channel's.
func (s *Sim) activeThreads(g *Guild, viewer, parent ID) []*Channel {
	var out []*Channel
	for _, ch := range s.byGuild[g.ID] {
		if ch.thread() && !ch.Archived && (parent == 0 || ch.ParentID == parent) && s.sees(viewer, ch) {
			out = append(out, ch)
		}
	}
	slices.SortFunc(out, func(a, b *Channel) int { return cmp.Compare(b.ID, a.ID) })
	return out
}

// addChannel puts a channel into the world.
func (s *Sim) addChannel(ch *Channel) *Channel {
	s.channels[ch.ID] = ch
	if s.byGuild[ch.GuildID] == nil {
		s.byGuild[ch.GuildID] = map[ID]*Channel{}
	}
	s.byGuild[ch.GuildID][ch.ID] = ch
	return ch
}

func (s *Sim) dropChannel(ch *Channel) {
	delete(s.channels, ch.ID)
	delete(s.byGuild[ch.GuildID], ch.ID)
}
