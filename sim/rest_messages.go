package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// getMessages lists messages, newest first whatever the cursor. After a cursor the messages closest to it are meant.
// Without READ_MESSAGE_HISTORY the answer is an empty list, not an error.
func (c *call) getMessages() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	limit, err := c.queryInt("limit", 50, 1, 100)
	if err != nil {
		return nil, err
	}
	before, hasBefore, err := c.queryID("before")
	if err != nil {
		return nil, err
	}
	after, hasAfter, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	around, hasAround, err := c.queryID("around")
	if err != nil {
		return nil, err
	}
	if hasBefore && hasAfter || hasBefore && hasAround || hasAfter && hasAround {
		return nil, badField("_", "BASE_TYPE_EXCLUSIVE", "before, after and around are mutually exclusive.")
	}
	out := []wireMessage{}
	if p&ReadMessageHistory == 0 {
		return out, nil
	}
	for _, m := range ch.page(before, after, around, hasAfter, hasAround, limit) {
		out = append(out, c.withhold(c.wireMessage(m, c.user.ID, true), c.user.ID))
	}
	return out, nil
}

// page gives up to limit live messages, newest first.
func (ch *Channel) page(before, after, around ID, hasAfter, hasAround bool, limit int) []*Message {
	var out []*Message
	older := func(i, n int) {
		for ; i >= 0 && n > 0; i-- {
			if m := ch.Messages[i]; !m.Deleted {
				out = append(out, m)
				n--
			}
		}
	}
	newer := func(i, n int) {
		for ; i < len(ch.Messages) && n > 0; i++ {
			if m := ch.Messages[i]; !m.Deleted {
				out = append(out, m)
				n--
			}
		}
	}
	switch {
	case hasAfter:
		i, ok := ch.find(after)
		if ok {
			i++
		}
		newer(i, limit)
	case hasAround:
		i, _ := ch.find(around)
		older(i-1, limit/2)
		newer(i, limit-limit/2)
	case before != 0:
		i, _ := ch.find(before)
		older(i-1, limit)
	default:
		older(len(ch.Messages)-1, limit)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID > out[j].ID })
	return out
}

// theMessage gives the path's message with its channel.
func (c *call) theMessage() (*Channel, *Message, Perm, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, nil, 0, err
	}
	m := ch.message(c.pathID("message_id"))
	if m == nil {
		return nil, nil, 0, errUnknownMessage()
	}
	return ch, m, p, nil
}

func (c *call) getMessage() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	if p&ReadMessageHistory == 0 {
		return nil, errAccess()
	}
	m := ch.message(c.pathID("message_id"))
	if m == nil {
		return nil, errUnknownMessage()
	}
	return c.withhold(c.wireMessage(m, c.user.ID, true), c.user.ID), nil
}

// messageRequest is the body of POST messages, of webhooks, and of a forum post's first message.
type messageRequest struct {
	Content         *string             `json:"content"`
	Nonce           json.RawMessage     `json:"nonce"`
	TTS             bool                `json:"tts"`
	Embeds          []json.RawMessage   `json:"embeds"`
	AllowedMentions *allowedMentions    `json:"allowed_mentions"`
	Reference       *referenceRequest   `json:"message_reference"`
	Components      []json.RawMessage   `json:"components"`
	StickerIDs      []ID                `json:"sticker_ids"`
	Attachments     []attachmentRequest `json:"attachments"`
	Flags           int                 `json:"flags"`
	Poll            *pollRequest        `json:"poll"`
	EnforceNonce    bool                `json:"enforce_nonce"`
}

type referenceRequest struct {
	Type            int       `json:"type"`
	MessageID       ID        `json:"message_id"`
	ChannelID       ID        `json:"channel_id"`
	GuildID         ID        `json:"guild_id"`
	FailIfNotExists opt[bool] `json:"fail_if_not_exists"`
}

type pollRequest struct {
	Question PollMedia `json:"question"`
	Answers  []struct {
		Media PollMedia `json:"poll_media"`
	} `json:"answers"`
	Duration    int  `json:"duration"`
	Multiselect bool `json:"allow_multiselect"`
}

// postMessage is POST messages: someone speaks.
func (c *call) postMessage() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	if err := c.maySend(ch, p); err != nil {
		return nil, err
	}
	var in messageRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	m := &Message{AuthorID: c.user.ID}
	if err := c.compose(m, ch, p, &in); err != nil {
		return nil, err
	}
	if in.EnforceNonce && len(m.Nonce) > 0 {
		for _, old := range ch.Messages[max(0, len(ch.Messages)-50):] {
			if old.AuthorID == m.AuthorID && string(old.Nonce) == string(m.Nonce) {
				return c.wireMessage(old, c.user.ID, true), nil
			}
		}
	}
	if ch.lastBy == nil {
		ch.lastBy = map[ID]Stamp{}
	}
	ch.lastBy[c.user.ID] = Stamp{c.now()}
	c.publish(ch, m)
	return c.wireMessage(m, c.user.ID, true), nil
}

// maySend asks whether the caller may write into the channel now, and unarchives a thread that is written to.
func (c *call) maySend(ch *Channel, p Perm) error {
	want := SendMessages
	if ch.thread() {
		want = SendMessagesInThreads
	}
	if p&want == 0 {
		return errPermissions()
	}
	if ch.thread() && (ch.Archived || ch.Locked) {
		if ch.Locked && p&ManageThreads == 0 {
			return errArchived()
		}
	}
	if ch.Slowmode > 0 && p&(ManageMessages|ManageChannels|BypassSlowmode) == 0 {
		if wait := float64(ch.Slowmode) - c.now().Sub(ch.lastBy[c.user.ID].Time).Seconds(); wait > 0 {
			e := fail(http.StatusTooManyRequests, 20016, "This action cannot be performed due to slowmode rate limit")
			e.Body = map[string]any{"message": e.Message, "code": e.Code, "retry_after": wait, "global": false}
			e.Header = map[string]string{"Retry-After": fmt.Sprint(math.Ceil(wait)), "X-RateLimit-Scope": "user"}
			return e
		}
	}
	return nil
}

// compose checks a request and fills in the message that it asks for.
func (c *call) compose(m *Message, ch *Channel, p Perm, in *messageRequest) error {
	var f form
	if in.Content != nil {
		m.Content = strings.TrimSpace(*in.Content)
	}
	if n := utf8.RuneCountInString(m.Content); n > maxContent {
		f.add("content", "BASE_TYPE_MAX_LENGTH", fmt.Sprintf("Must be %d or fewer in length.", maxContent))
	}
	if len(in.Embeds) > 10 {
		f.add("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
	}
	if err := f.err(); err != nil {
		return err
	}
	if err := in.AllowedMentions.check(); err != nil {
		return err
	}
	m.Flags = in.Flags & settableFlags
	if err := validNonce(in.Nonce); err != nil {
		return err
	}
	if string(in.Nonce) != "null" {
		m.Nonce = in.Nonce
	}
	m.TTS = in.TTS && p&SendTTS != 0
	if err := c.embed(m, in.Embeds); err != nil {
		return err
	}
	if p&EmbedLinks == 0 {
		m.Embeds = nil
	}
	if err := c.lay(m, in.Components); err != nil {
		return err
	}
	if in.Poll != nil {
		if err := c.ask(m, in.Poll, p); err != nil {
			return err
		}
	}
	for _, id := range in.StickerIDs {
		m.StickerItems = append(m.StickerItems, StickerItem{ID: id, Name: "sticker " + id.String()[max(0, len(id.String())-4):], FormatType: 1})
	}
	if err := c.attach(m, ch, p, in.Attachments); err != nil {
		return err
	}
	if in.Reference != nil {
		if err := c.refer(m, ch, p, in.Reference); err != nil {
			return err
		}
	}
	if m.Content == "" && len(m.Embeds)+len(m.Attachments)+len(m.StickerItems)+len(m.Components)+len(m.Snapshots) == 0 && m.Poll == nil {
		return errEmptyMessage()
	}
	c.ping(m, ch, p, in.AllowedMentions)
	return nil
}

func validNonce(b json.RawMessage) error {
	if len(b) == 0 {
		return nil
	}
	var v any
	if json.Unmarshal(b, &v) != nil {
		return nil
	}
	switch x := v.(type) {
	case nil, float64:
		return nil
	case string:
		if len(x) <= 25 {
			return nil
		}
		return badField("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")
	}
	return badField("nonce", "NONCE_TYPE_BAD", "Nonce must be a string or an integer.")
}

// refer makes the message a reply or a forward.
func (c *call) refer(m *Message, ch *Channel, p Perm, in *referenceRequest) error {
	if in.Type == referenceForward {
		return c.forward(m, in)
	}
	m.Type = typeReply
	rm := ch.message(in.MessageID)
	if rm == nil || p&ReadMessageHistory == 0 {
		if rm == nil && !in.FailIfNotExists.Or(true) {
			m.Type = typeDefault
			return nil
		}
		if rm != nil {
			return fail(http.StatusBadRequest, 160002, "Cannot reply without permission to read message history")
		}
		return badField("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
	}
	m.Reference = &Reference{MessageID: rm.ID, ChannelID: ch.ID, GuildID: ch.GuildID}
	return nil
}

// publish gives a message its id and place in the world, and tells everybody. It is the one way for new messages.
func (s *Sim) publish(ch *Channel, m *Message) {
	if m.ID == 0 {
		m.ID = s.newID()
	}
	m.ChannelID = ch.ID
	if m.At.IsZero() {
		m.At = Stamp{m.ID.Time()}
	}
	if ch.thread() {
		if ch.Archived {
			s.setArchived(ch, false)
		}
		// The starter of a forum post is not counted.
		if m.ID != ch.ID {
			ch.MessageCount++
			ch.TotalSent++
			m.Position = ch.TotalSent
		}
		if m.WebhookID == 0 {
			s.joinThread(ch, m.AuthorID)
		}
		for _, id := range m.Mentions {
			s.joinThread(ch, id)
		}
	}
	s.insert(ch, m)
	s.emitMessage("MESSAGE_CREATE", m)
	s.unfurl(m)
}

// insert puts the message where its id belongs and keeps the channel's newest id.
func (s *Sim) insert(ch *Channel, m *Message) {
	if n := len(ch.Messages); n == 0 || ch.Messages[n-1].ID < m.ID {
		ch.Messages = append(ch.Messages, m)
	} else if i, ok := ch.find(m.ID); !ok {
		ch.Messages = slices.Insert(ch.Messages, i, m)
	}
	ch.LastMessageID = max(ch.LastMessageID, m.ID)
	s.dirty = true
}

// editRequest is the body of PATCH message.
type editRequest struct {
	Content         opt[string]              `json:"content"`
	Embeds          opt[[]json.RawMessage]   `json:"embeds"`
	Flags           opt[int]                 `json:"flags"`
	AllowedMentions *allowedMentions         `json:"allowed_mentions"`
	Components      opt[[]json.RawMessage]   `json:"components"`
	Attachments     opt[[]attachmentRequest] `json:"attachments"`
}

func (c *call) patchMessage() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	var in editRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if m.AuthorID != c.user.ID || m.WebhookID != 0 {
		// Others may only suppress embeds.
		onlyFlags := in.Flags.Set && !in.Content.Set && !in.Embeds.Set && !in.Components.Set && !in.Attachments.Set
		if !onlyFlags {
			return nil, errOtherAuthor()
		}
		if p&ManageMessages == 0 {
			return nil, errPermissions()
		}
	}
	if err := c.amend(m, ch, p, &in); err != nil {
		return nil, err
	}
	return c.wireMessage(m, c.user.ID, true), nil
}

// amend applies an edit and tells everybody.
func (c *call) amend(m *Message, ch *Channel, p Perm, in *editRequest) error {
	if err := in.AllowedMentions.check(); err != nil {
		return err
	}
	next := *m
	if in.Content.Set {
		next.Content = strings.TrimSpace(in.Content.V)
		if utf8.RuneCountInString(next.Content) > maxContent {
			return badField("content", "BASE_TYPE_MAX_LENGTH", fmt.Sprintf("Must be %d or fewer in length.", maxContent))
		}
	}
	if in.Embeds.Set {
		if err := c.embed(&next, in.Embeds.V); err != nil {
			return err
		}
	}
	if in.Flags.Set {
		next.Flags = next.Flags&^(flagSuppressEmbeds|flagComponentsV2) | in.Flags.V&(flagSuppressEmbeds|flagComponentsV2)
	}
	if in.Components.Set {
		if err := c.lay(&next, in.Components.V); err != nil {
			return err
		}
	}
	if in.Attachments.Set || len(c.files) > 0 {
		if err := c.attach(&next, ch, p, in.Attachments.V); err != nil {
			return err
		}
	}
	if next.Content == "" && len(next.Embeds)+len(next.Attachments)+len(next.StickerItems)+len(next.Components)+len(next.Snapshots) == 0 && next.Poll == nil {
		return errEmptyMessage()
	}
	if in.Content.Set {
		c.ping(&next, ch, p, in.AllowedMentions)
	}
	if in.Content.Set || in.Embeds.Set || in.Components.Set || in.Attachments.Set {
		next.Edited = Stamp{c.now()}
	}
	*m = next
	c.emitMessage("MESSAGE_UPDATE", m)
	return nil
}

type deletion struct {
	ID        ID   `json:"id,omitempty"`
	IDs       []ID `json:"ids,omitempty"`
	ChannelID ID   `json:"channel_id"`
	GuildID   ID   `json:"guild_id"`
}

func (c *call) deleteMessage() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if (m.AuthorID != c.user.ID || m.WebhookID != 0) && p&ManageMessages == 0 {
		return nil, errPermissions()
	}
	if m.Type == typeThreadStarter {
		return nil, errSystemMessage()
	}
	c.remove(ch, m)
	return empty{}, nil
}

// remove deletes one message and tells everybody.
func (s *Sim) remove(ch *Channel, m *Message) {
	s.bury(ch, m)
	s.emit(s.guilds[ch.GuildID], "MESSAGE_DELETE", IntentMessages, ch, same(deletion{ID: m.ID, ChannelID: ch.ID, GuildID: ch.GuildID}))
	s.relay("MESSAGE_DELETE", m)
}

// bury marks a message as deleted. Its text stays for /sim/messages, which tells the truth.
func (s *Sim) bury(ch *Channel, m *Message) {
	m.Deleted = true
	if ch.thread() && m.ID != ch.ID && ch.MessageCount > 0 {
		ch.MessageCount--
	}
	s.dirty = true
}

// bulkDelete deletes 2 to 100 messages that are younger than two weeks.
func (c *call) bulkDelete() (any, error) {
	ch, p, err := c.inText()
	if err != nil {
		return nil, err
	}
	if p&ManageMessages == 0 {
		return nil, errPermissions()
	}
	var in struct {
		Messages []ID `json:"messages"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	slices.Sort(in.Messages)
	in.Messages = slices.Compact(in.Messages)
	if len(in.Messages) < 2 || len(in.Messages) > 100 {
		return nil, fail(http.StatusBadRequest, 50016, "Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete.")
	}
	oldest := idAt(c.now().AddDate(0, 0, -14))
	var ids []ID
	for _, id := range in.Messages {
		if id < oldest {
			return nil, fail(http.StatusBadRequest, 50034, "You can only bulk delete messages that are under 14 days old.")
		}
		if m := ch.message(id); m != nil {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		c.bury(ch, ch.message(id))
	}
	if len(ids) > 0 {
		c.emit(c.guilds[ch.GuildID], "MESSAGE_DELETE_BULK", IntentMessages, ch, same(deletion{IDs: ids, ChannelID: ch.ID, GuildID: ch.GuildID}))
	}
	return empty{}, nil
}
