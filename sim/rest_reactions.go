package sim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// emojiOf reads a path's emoji: a character, or name:id of a guild's own.
func (c *call) emojiOf(g *Guild) (id ID, name string, err error) {
	raw := c.r.PathValue("emoji_name")
	name, num, own := strings.Cut(raw, ":")
	if !own {
		if raw == "" || len(raw) > 32 || raw[0] < 0x80 && !strings.Contains(raw, "\u20e3") {
			return 0, "", errUnknownEmoji()
		}
		return 0, raw, nil
	}
	id, _ = parseID(num)
	for _, e := range g.Emojis {
		if e.ID == id {
			return id, e.Name, nil
		}
	}
	return 0, "", errUnknownEmoji()
}

func (m *Message) reaction(id ID, name string) *Reaction {
	for _, r := range m.Reactions {
		if r.EmojiID == id && (id != 0 || r.EmojiName == name) {
			return r
		}
	}
	return nil
}

type reactionEvent struct {
	UserID    ID                 `json:"user_id,omitempty"`
	ChannelID ID                 `json:"channel_id"`
	MessageID ID                 `json:"message_id"`
	GuildID   ID                 `json:"guild_id"`
	Member    *wireMember        `json:"member,omitempty"`
	Emoji     *wireReactionEmoji `json:"emoji,omitempty"`
	AuthorID  ID                 `json:"message_author_id,omitempty"`
	Burst     *bool              `json:"burst,omitempty"`
	Type      *int               `json:"type,omitempty"`
}

func (c *call) putReaction() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&ReadMessageHistory == 0 {
		return nil, errAccess()
	}
	id, name, err := c.emojiOf(c.guilds[ch.GuildID])
	if err != nil {
		return nil, err
	}
	if m.reaction(id, name) == nil {
		if p&AddReactions == 0 {
			return nil, errPermissions()
		}
		if len(m.Reactions) >= maxReactionsPerMessage {
			return nil, fail(http.StatusBadRequest, 30010, "Maximum number of reactions reached (20)")
		}
	}
	c.react(ch, m, c.user.ID, id, name)
	return empty{}, nil
}

// react adds one person's reaction and tells everybody. Twice is once.
func (s *Sim) react(ch *Channel, m *Message, user, emoji ID, name string) {
	r := m.reaction(emoji, name)
	if r == nil {
		r = &Reaction{EmojiID: emoji, EmojiName: name}
		m.Reactions = append(m.Reactions, r)
	}
	if slices.Contains(r.Users, user) {
		return
	}
	r.Users = append(r.Users, user)
	g := s.guilds[ch.GuildID]
	e := reactionEvent{UserID: user, ChannelID: ch.ID, MessageID: m.ID, GuildID: g.ID, Emoji: ptr(r.emoji()), Burst: ptr(false), Type: ptr(0)}
	if m.WebhookID == 0 {
		e.AuthorID = m.AuthorID
	}
	if mem := g.Members[user]; mem != nil {
		e.Member = ptr(s.wireMember(mem, true))
	}
	s.emit(g, "MESSAGE_REACTION_ADD", IntentReactions, ch, same(e))
}

func (c *call) deleteReaction() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	id, name, err := c.emojiOf(c.guilds[ch.GuildID])
	if err != nil {
		return nil, err
	}
	user := c.pathID("user_id")
	if user != c.user.ID && p&ManageMessages == 0 {
		return nil, errPermissions()
	}
	r := m.reaction(id, name)
	if r == nil || !slices.Contains(r.Users, user) {
		return nil, errUnknownEmoji()
	}
	c.unreact(ch, m, r, user)
	return empty{}, nil
}

func (s *Sim) unreact(ch *Channel, m *Message, r *Reaction, user ID) {
	r.Users = slices.DeleteFunc(slices.Clone(r.Users), func(id ID) bool { return id == user })
	if len(r.Users) == 0 {
		m.Reactions = slices.DeleteFunc(slices.Clone(m.Reactions), func(x *Reaction) bool { return x == r })
	}
	s.emit(s.guilds[ch.GuildID], "MESSAGE_REACTION_REMOVE", IntentReactions, ch, same(reactionEvent{
		UserID: user, ChannelID: ch.ID, MessageID: m.ID, GuildID: ch.GuildID, Emoji: ptr(r.emoji()), Burst: ptr(false), Type: ptr(0)}))
}

func (c *call) getReactions() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&ReadMessageHistory == 0 {
		return nil, errAccess()
	}
	id, name, err := c.emojiOf(c.guilds[ch.GuildID])
	if err != nil {
		return nil, err
	}
	limit, err := c.queryInt("limit", 25, 1, 100)
	if err != nil {
		return nil, err
	}
	after, _, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	out := []wireUser{}
	if r := m.reaction(id, name); r != nil {
		ids := slices.Clone(r.Users)
		slices.Sort(ids)
		for _, u := range ids {
			if u > after && len(out) < limit {
				out = append(out, c.users[u].wire())
			}
		}
	}
	return out, nil
}

func (c *call) deleteAllReactions() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&ManageMessages == 0 {
		return nil, errPermissions()
	}
	m.Reactions = nil
	c.emit(c.guilds[ch.GuildID], "MESSAGE_REACTION_REMOVE_ALL", IntentReactions, ch, same(reactionEvent{ChannelID: ch.ID, MessageID: m.ID, GuildID: ch.GuildID}))
	return empty{}, nil
}

func (c *call) deleteEmojiReactions() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&ManageMessages == 0 {
		return nil, errPermissions()
	}
	id, name, err := c.emojiOf(c.guilds[ch.GuildID])
	if err != nil {
		return nil, err
	}
	r := m.reaction(id, name)
	if r == nil {
		return nil, errUnknownEmoji()
	}
	m.Reactions = slices.DeleteFunc(slices.Clone(m.Reactions), func(x *Reaction) bool { return x == r })
	c.emit(c.guilds[ch.GuildID], "MESSAGE_REACTION_REMOVE_EMOJI", IntentReactions, ch, same(reactionEvent{ChannelID: ch.ID, MessageID: m.ID, GuildID: ch.GuildID, Emoji: ptr(r.emoji())}))
	return empty{}, nil
}

// pinned gives the channel's pinned messages, newest pin first.
func (ch *Channel) pinned() []*Message {
	var out []*Message
	for _, m := range ch.Messages {
		if m.Pinned && !m.Deleted {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *Message) int { return b.PinnedAt.Compare(a.PinnedAt.Time) })
	return out
}

func (c *call) getPins() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	limit, err := c.queryInt("limit", 50, 1, 50)
	if err != nil {
		return nil, err
	}
	var before time.Time
	if v := c.r.URL.Query().Get("before"); v != "" {
		if before, err = time.Parse(time.RFC3339Nano, v); err != nil {
			return nil, badField("before", "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.")
		}
	}
	type item struct {
		PinnedAt Stamp       `json:"pinned_at"`
		Message  wireMessage `json:"message"`
	}
	out := struct {
		Items   []item `json:"items"`
		HasMore bool   `json:"has_more"`
	}{Items: []item{}}
	if p&ReadMessageHistory == 0 {
		return out, nil
	}
	for _, m := range ch.pinned() {
		if !before.IsZero() && !m.PinnedAt.Before(before) {
			continue
		}
		if len(out.Items) == limit {
			out.HasMore = true
			break
		}
		out.Items = append(out.Items, item{m.PinnedAt, c.withhold(c.wireMessage(m, c.user.ID, false), c.user.ID)})
	}
	return out, nil
}

func (c *call) getOldPins() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	out := []wireMessage{}
	if p&ReadMessageHistory == 0 {
		return out, nil
	}
	for _, m := range ch.pinned() {
		out = append(out, c.withhold(c.wireMessage(m, c.user.ID, false), c.user.ID))
	}
	return out, nil
}

func (c *call) putPin() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&PinMessages == 0 {
		return nil, errPermissions()
	}
	if m.Pinned {
		return empty{}, nil
	}
	if len(ch.pinned()) >= 250 {
		return nil, fail(http.StatusBadRequest, 30003, "Maximum number of pinned messages reached (250)")
	}
	m.Pinned, m.PinnedAt, ch.LastPin = true, Stamp{c.now()}, Stamp{c.now()}
	c.emitPins(ch)
	c.emitMessage("MESSAGE_UPDATE", m)
	c.publish(ch, &Message{AuthorID: c.user.ID, Type: typePin, Reference: &Reference{MessageID: m.ID, ChannelID: ch.ID, GuildID: ch.GuildID}})
	return empty{}, nil
}

func (c *call) deletePin() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if p&PinMessages == 0 {
		return nil, errPermissions()
	}
	if m.Pinned {
		m.Pinned, m.PinnedAt = false, Stamp{}
		c.emitPins(ch)
		c.emitMessage("MESSAGE_UPDATE", m)
	}
	return empty{}, nil
}

func (s *Sim) emitPins(ch *Channel) {
	s.emit(s.guilds[ch.GuildID], "CHANNEL_PINS_UPDATE", IntentGuilds, ch, same(struct {
		GuildID   ID    `json:"guild_id"`
		ChannelID ID    `json:"channel_id"`
		At        Stamp `json:"last_pin_timestamp"`
	}{ch.GuildID, ch.ID, ch.LastPin}))
}

func (c *call) typing() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	if p&(SendMessages|SendMessagesInThreads) == 0 {
		return nil, errPermissions()
	}
	g := c.guilds[ch.GuildID]
	c.emit(g, "TYPING_START", IntentTyping, ch, same(map[string]any{
		"channel_id": ch.ID, "guild_id": g.ID, "user_id": c.user.ID, "timestamp": c.now().Unix(), "member": c.wireMember(g.Members[c.user.ID], true)}))
	return empty{}, nil
}
