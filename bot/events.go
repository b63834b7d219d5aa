package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// errIgnored says that a dispatch is of no concern: a direct message, or one that only one person sees.
var errIgnored = errors.New("ignored")

// decoders holds what each dispatch of interest becomes. It sets the event's guild, channel and body. READY and RESUMED
// are about the session and handled in dispatch.go.
var decoders = named(map[string]func(ev *tidings.Event, raw []byte) error{
	"GUILD_CREATE": guildCreate,
	"GUILD_UPDATE": guildUpdate,
	"GUILD_DELETE": guildDelete,

	"CHANNEL_CREATE": channelSeen,
	"CHANNEL_UPDATE": channelSeen,
	"CHANNEL_DELETE": channelGone,
	"THREAD_CREATE":  channelSeen,
	"THREAD_UPDATE":  channelSeen,
	"THREAD_DELETE":  channelGone,

	"THREAD_LIST_SYNC":      threadListSync,
	"THREAD_MEMBERS_UPDATE": threadMembersUpdate,
	"THREAD_MEMBER_UPDATE":  threadMemberUpdate,

	"GUILD_ROLE_CREATE": roleSeen,
	"GUILD_ROLE_UPDATE": roleSeen,
	"GUILD_ROLE_DELETE": roleGone,

	"GUILD_MEMBER_ADD":    memberSeen,
	"GUILD_MEMBER_UPDATE": memberSeen,
	"GUILD_MEMBER_REMOVE": memberGone,

	"MESSAGE_CREATE":      messageCreate,
	"MESSAGE_UPDATE":      messageUpdate,
	"MESSAGE_DELETE":      messageDelete,
	"MESSAGE_DELETE_BULK": messageDeleteBulk,
	"CHANNEL_PINS_UPDATE": pinsUpdate,

	"MESSAGE_REACTION_ADD":          reaction(tidings.ReactionAdded),
	"MESSAGE_REACTION_REMOVE":       reaction(tidings.ReactionRemoved),
	"MESSAGE_REACTION_REMOVE_EMOJI": reaction(tidings.ReactionsOfEmojiRemoved),
	"MESSAGE_REACTION_REMOVE_ALL":   reaction(tidings.ReactionsCleared),
	"MESSAGE_POLL_VOTE_ADD":         pollVote(false),
	"MESSAGE_POLL_VOTE_REMOVE":      pollVote(true),
})

// decoder reads the data of one kind of dispatch.
type decoder struct {
	name string
	read func(ev *tidings.Event, raw []byte) error
}

func named(all map[string]func(ev *tidings.Event, raw []byte) error) map[string]decoder {
	out := make(map[string]decoder, len(all))
	for name, read := range all {
		out[name] = decoder{name, read}
	}
	return out
}

// Intents are the gateway intents that the events above need: GUILDS, GUILD_MEMBERS, GUILD_MESSAGES,
// GUILD_MESSAGE_REACTIONS, MESSAGE_CONTENT and GUILD_MESSAGE_POLLS.
// Source: discord.com/developers/docs/events/gateway#list-of-intents.
const Intents = 1<<0 | 1<<1 | 1<<9 | 1<<10 | 1<<15 | 1<<24

// decode makes an event of one dispatch. errIgnored and [tidings.ErrInvalid] come without a usable event; an error that
// is errHalf comes beside one. raw becomes part of message events and must not change afterwards.
func decode(name string, raw []byte) (tidings.Event, error) {
	d, ok := decoders[name]
	if !ok {
		return tidings.Event{}, errIgnored
	}
	var ev tidings.Event
	err := d.read(&ev, raw)
	if err != nil && !errors.Is(err, errHalf) {
		return tidings.Event{}, err
	}
	if ev.Guild == 0 {
		return tidings.Event{}, errIgnored // Direct messages have no guild.
	}
	return ev, err
}

func invalid(what string, err error) error {
	return fmt.Errorf("%w %s: %w", tidings.ErrInvalid, what, err)
}

func missing(what, field string) error {
	return fmt.Errorf("%w %s: no %s", tidings.ErrInvalid, what, field)
}

func guildCreate(ev *tidings.Event, raw []byte) error {
	var w wireGuild
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("guild", err)
	}
	if w.ID == 0 {
		return missing("guild", "id")
	}
	ev.Guild = discord.GuildID(w.ID)
	if w.Unavailable {
		ev.Body = tidings.GuildGone{Outage: true}
		return nil
	}
	seen, err := w.seen()
	ev.Body = seen
	return err
}

// seen reads the lists of a whole guild. What is only half understood is kept as giving less; see errHalf.
func (w wireGuild) seen() (tidings.GuildSeen, error) {
	g := w.guild()
	seen := tidings.GuildSeen{Guild: g}
	var half error
	note := func(err error) bool {
		if err != nil && half == nil {
			half = fmt.Errorf("%w guild %d: %w", errHalf, g.ID, err)
		}
		return err == nil || errors.Is(err, errHalf)
	}
	for _, raw := range w.Roles {
		if r, err := parseRole(raw, g.ID); note(err) {
			seen.Roles = append(seen.Roles, r)
		}
	}
	for _, raw := range w.Channels {
		if c, err := parseChannel(raw, g.ID); note(err) {
			seen.Channels = append(seen.Channels, c)
		}
	}
	for _, raw := range w.Threads {
		if c, err := parseChannel(raw, g.ID); note(err) {
			seen.Threads = append(seen.Threads, c)
		}
	}
	for _, raw := range w.Members {
		if m, err := parseMember(raw, g.ID, 0); note(err) {
			seen.Members = append(seen.Members, m)
		}
	}
	return seen, half
}

func guildUpdate(ev *tidings.Event, raw []byte) error {
	var w wireGuild
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("guild", err)
	}
	if w.ID == 0 {
		return missing("guild", "id")
	}
	seen, err := wireGuild{ID: w.ID, Name: w.Name, Icon: w.Icon, OwnerID: w.OwnerID, Unavailable: w.Unavailable, Roles: w.Roles}.seen()
	ev.Guild = seen.Guild.ID
	ev.Body = tidings.GuildUpdated{Guild: seen.Guild, Roles: seen.Roles}
	return err
}

func guildDelete(ev *tidings.Event, raw []byte) error {
	var w struct {
		ID          id   `json:"id"`
		Unavailable bool `json:"unavailable"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("guild", err)
	}
	ev.Guild = discord.GuildID(w.ID)
	ev.Body = tidings.GuildGone{Outage: w.Unavailable}
	return nil
}

func channelSeen(ev *tidings.Event, raw []byte) error {
	c, err := parseChannel(raw, 0)
	if err != nil && !errors.Is(err, errHalf) {
		return err
	}
	ev.Guild, ev.Channel = c.Guild, c.ID
	ev.Body = tidings.ChannelSeen{Channel: c}
	return err
}

func channelGone(ev *tidings.Event, raw []byte) error {
	var w struct {
		ID      id `json:"id"`
		GuildID id `json:"guild_id"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("channel", err)
	}
	if w.ID == 0 {
		return missing("channel", "id")
	}
	ev.Guild, ev.Channel = discord.GuildID(w.GuildID), discord.ChannelID(w.ID)
	ev.Body = tidings.ChannelGone{ID: ev.Channel}
	return nil
}

func threadListSync(ev *tidings.Event, raw []byte) error {
	var w struct {
		GuildID    id                `json:"guild_id"`
		ChannelIDs ids               `json:"channel_ids"`
		Threads    []json.RawMessage `json:"threads"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("thread list", err)
	}
	ev.Guild = discord.GuildID(w.GuildID)
	body := tidings.ThreadsSynced{Parents: listOf[discord.ChannelID](w.ChannelIDs)}
	var half error
	for _, raw := range w.Threads {
		c, err := parseChannel(raw, ev.Guild)
		if err != nil {
			half = fmt.Errorf("%w thread list: %w", errHalf, err)
		}
		if c.ID != 0 {
			body.Threads = append(body.Threads, c)
		}
	}
	ev.Body = body
	return half
}

func threadMembersUpdate(ev *tidings.Event, raw []byte) error {
	var w struct {
		ID      id `json:"id"`
		GuildID id `json:"guild_id"`
		Added   []struct {
			UserID id `json:"user_id"`
		} `json:"added_members"`
		Removed ids `json:"removed_member_ids"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("thread members", err)
	}
	if w.ID == 0 {
		return missing("thread members", "id")
	}
	body := tidings.ThreadMembersChanged{Thread: discord.ChannelID(w.ID), Removed: listOf[discord.UserID](w.Removed)}
	for _, a := range w.Added {
		if a.UserID != 0 {
			body.Added = append(body.Added, discord.UserID(a.UserID))
		}
	}
	ev.Guild, ev.Channel, ev.Body = discord.GuildID(w.GuildID), body.Thread, body
	return nil
}

// threadMemberUpdate says that the bot itself has become a member of a thread.
func threadMemberUpdate(ev *tidings.Event, raw []byte) error {
	var w struct {
		ID      id `json:"id"`
		GuildID id `json:"guild_id"`
		UserID  id `json:"user_id"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("thread member", err)
	}
	if w.ID == 0 || w.UserID == 0 {
		return missing("thread member", "id or user_id")
	}
	ev.Guild, ev.Channel = discord.GuildID(w.GuildID), discord.ChannelID(w.ID)
	ev.Body = tidings.ThreadMembersChanged{Thread: ev.Channel, Added: []discord.UserID{discord.UserID(w.UserID)}}
	return nil
}

func roleSeen(ev *tidings.Event, raw []byte) error {
	var w struct {
		GuildID id              `json:"guild_id"`
		Role    json.RawMessage `json:"role"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("role", err)
	}
	r, err := parseRole(w.Role, discord.GuildID(w.GuildID))
	if err != nil && !errors.Is(err, errHalf) {
		return err
	}
	ev.Guild, ev.Body = r.Guild, tidings.RoleSeen{Role: r}
	return err
}

func roleGone(ev *tidings.Event, raw []byte) error {
	var w struct {
		GuildID id `json:"guild_id"`
		RoleID  id `json:"role_id"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("role", err)
	}
	if w.RoleID == 0 {
		return missing("role", "role_id")
	}
	ev.Guild, ev.Body = discord.GuildID(w.GuildID), tidings.RoleGone{ID: discord.RoleID(w.RoleID)}
	return nil
}

// memberSeen reads a member. When that does not work but the person is known, the person counts as gone until access asks
// Discord again: roles that are not known may deny something.
func memberSeen(ev *tidings.Event, raw []byte) error {
	ev.Guild = discord.GuildID(guildOf(raw))
	m, err := parseMember(raw, ev.Guild, 0)
	if err == nil {
		ev.Body = tidings.MemberSeen{Member: m}
		return nil
	}
	if gone := memberGone(ev, raw); gone != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errHalf, err)
}

func memberGone(ev *tidings.Event, raw []byte) error {
	var w struct {
		GuildID id `json:"guild_id"`
		User    struct {
			ID id `json:"id"`
		} `json:"user"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("member", err)
	}
	if w.User.ID == 0 {
		return missing("member", "user")
	}
	ev.Guild, ev.Body = discord.GuildID(w.GuildID), tidings.MemberGone{User: discord.UserID(w.User.ID)}
	return nil
}

func messageCreate(ev *tidings.Event, raw []byte) error {
	m, err := message(ev, raw)
	if err == nil && m.Author == 0 {
		return missing("message", "author")
	}
	ev.Body = tidings.MessageCreated{Message: m}
	return err
}

func messageUpdate(ev *tidings.Event, raw []byte) error {
	m, err := message(ev, raw)
	if err == nil && m.Author == 0 && !m.Partial {
		return missing("message", "author")
	}
	ev.Body = tidings.MessageUpdated{Message: m}
	return err
}

func message(ev *tidings.Event, raw []byte) (tidings.Message, error) {
	m, err := tidings.ParseMessage(raw, 0)
	if err != nil {
		return m, err
	}
	if m.Guild == 0 || m.Flags&tidings.FlagEphemeral != 0 {
		return m, errIgnored
	}
	ev.Guild, ev.Channel = m.Guild, m.Channel
	return m, nil
}

// messagePlace names where a message event belongs.
type messagePlace struct {
	ID        id  `json:"id"`
	IDs       ids `json:"ids"`
	MessageID id  `json:"message_id"`
	ChannelID id  `json:"channel_id"`
	GuildID   id  `json:"guild_id"`
}

func (w messagePlace) put(ev *tidings.Event) {
	ev.Guild, ev.Channel = discord.GuildID(w.GuildID), discord.ChannelID(w.ChannelID)
}

func messageDelete(ev *tidings.Event, raw []byte) error {
	var w messagePlace
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("delete", err)
	}
	if w.ID == 0 || w.ChannelID == 0 {
		return missing("delete", "id or channel_id")
	}
	w.put(ev)
	ev.Body = tidings.MessagesDeleted{IDs: []discord.MessageID{discord.MessageID(w.ID)}}
	return nil
}

func messageDeleteBulk(ev *tidings.Event, raw []byte) error {
	var w messagePlace
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("bulk delete", err)
	}
	if len(w.IDs) == 0 || w.ChannelID == 0 {
		return missing("bulk delete", "ids or channel_id")
	}
	w.put(ev)
	ev.Body = tidings.MessagesDeleted{IDs: listOf[discord.MessageID](w.IDs)}
	return nil
}

func pinsUpdate(ev *tidings.Event, raw []byte) error {
	var w struct {
		messagePlace
		LastPin moment `json:"last_pin_timestamp"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return invalid("pins", err)
	}
	if w.ChannelID == 0 {
		return missing("pins", "channel_id")
	}
	w.put(ev)
	ev.Body = tidings.PinsChanged{LastPin: time.Time(w.LastPin)}
	return nil
}

func reaction(change tidings.ReactionChange) func(*tidings.Event, []byte) error {
	return func(ev *tidings.Event, raw []byte) error {
		var w struct {
			messagePlace
			UserID id `json:"user_id"`
			Emoji  struct {
				ID   id   `json:"id"`
				Name text `json:"name"`
			} `json:"emoji"`
		}
		if err := json.Unmarshal(raw, &w); err != nil {
			return invalid("reaction", err)
		}
		if w.MessageID == 0 || w.ChannelID == 0 {
			return missing("reaction", "message_id or channel_id")
		}
		w.put(ev)
		body := tidings.ReactionChanged{
			Change: change, Message: discord.MessageID(w.MessageID), User: discord.UserID(w.UserID), Emoji: string(w.Emoji.Name),
		}
		if w.Emoji.ID != 0 {
			body.Emoji = fmt.Sprintf("%s:%d", w.Emoji.Name, w.Emoji.ID)
		}
		ev.Body = body
		return nil
	}
}

func pollVote(removed bool) func(*tidings.Event, []byte) error {
	return func(ev *tidings.Event, raw []byte) error {
		var w struct {
			messagePlace
			UserID   id  `json:"user_id"`
			AnswerID int `json:"answer_id"`
		}
		if err := json.Unmarshal(raw, &w); err != nil {
			return invalid("poll vote", err)
		}
		if w.MessageID == 0 || w.ChannelID == 0 || w.UserID == 0 {
			return missing("poll vote", "message_id, channel_id or user_id")
		}
		w.put(ev)
		ev.Body = tidings.PollVoted{
			Message: discord.MessageID(w.MessageID), User: discord.UserID(w.UserID), Answer: w.AnswerID, Removed: removed,
		}
		return nil
	}
}

// salvage makes an event of a dispatch that could not be decoded, as good as it can be: where it belongs, what it is about and the
// bytes as they came. It is for a dead letter, not for the sink. ok is false for direct messages, and placed when it cannot be
// made out to which guild, or to which channel's messages, the dispatch belongs.
func salvage(name string, raw []byte) (ev tidings.Event, placed, ok bool) {
	ev.Body = tidings.Unreadable{Name: name, Raw: raw}
	about := ev.Body.(tidings.Unreadable).AboutMessages()
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return ev, false, true
	}
	ev.Guild = discord.GuildID(guildOf(raw))
	if ev.Guild == 0 && (name == "GUILD_CREATE" || name == "GUILD_UPDATE" || name == "GUILD_DELETE") {
		ev.Guild = discord.GuildID(idOf(raw))
	}
	switch {
	case ev.Guild == 0:
		// Only what belongs to a guild names one, also where it cannot be read.
		return ev, false, fields["guild_id"] != nil || !about && !strings.HasPrefix(name, "CHANNEL_")
	case !about:
		return ev, true, true
	}
	if ev.Channel = discord.ChannelID(field(raw, "channel_id")); ev.Channel == 0 {
		return ev, false, true
	}
	message := discord.MessageID(idOf(raw))
	if message == 0 {
		return ev, true, true
	}
	m := tidings.Message{Guild: ev.Guild, Channel: ev.Channel, ID: message, Payload: raw, Partial: true}
	switch name {
	case "MESSAGE_CREATE":
		ev.Body = tidings.MessageCreated{Message: m}
	case "MESSAGE_UPDATE":
		ev.Body = tidings.MessageUpdated{Message: m}
	case "MESSAGE_DELETE":
		ev.Body = tidings.MessagesDeleted{IDs: []discord.MessageID{message}}
	}
	return ev, true, true
}
