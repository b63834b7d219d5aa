package sim

import (
	"crypto/subtle"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Webhook writes into a channel: an incoming one (type 1) by its token, a follower (type 2) what a news channel publishes.
type Webhook struct {
	ID            ID     `json:"id"`
	Type          int    `json:"type"`
	ChannelID     ID     `json:"channel_id"`
	GuildID       ID     `json:"guild_id"`
	Name          string `json:"name"`
	Token         string `json:"token,omitempty"`
	UserID        ID     `json:"user_id"`
	SourceChannel ID     `json:"source_channel,omitempty"`
}

type wireWebhook struct {
	ID            ID        `json:"id"`
	Type          int       `json:"type"`
	ChannelID     ID        `json:"channel_id"`
	GuildID       ID        `json:"guild_id"`
	Name          string    `json:"name"`
	Avatar        *string   `json:"avatar"`
	ApplicationID *ID       `json:"application_id"`
	User          *wireUser `json:"user,omitempty"`
	Token         string    `json:"token,omitempty"`
	URL           string    `json:"url,omitempty"`
	SourceGuild   *source   `json:"source_guild,omitempty"`
	SourceChannel *source   `json:"source_channel,omitempty"`
}

type source struct {
	ID   ID      `json:"id"`
	Name string  `json:"name"`
	Icon *string `json:"icon"`
}

// maxWebhooks is how many a channel may have.
const maxWebhooks = 15

var forbiddenNames = regexp.MustCompile(`(?i)clyde|discord`)

func (c *call) wireWebhook(w *Webhook, byToken bool) wireWebhook {
	out := wireWebhook{ID: w.ID, Type: w.Type, ChannelID: w.ChannelID, GuildID: w.GuildID, Name: w.Name}
	if u := c.users[w.UserID]; u != nil && !byToken {
		out.User = ptr(u.wire())
	}
	if w.Type == 1 {
		out.Token = w.Token
		out.URL = c.site() + "/api/webhooks/" + w.ID.String() + "/" + w.Token
	}
	if src := c.channels[w.SourceChannel]; src != nil {
		g := c.guilds[src.GuildID]
		out.SourceChannel = &source{ID: src.ID, Name: src.Name}
		out.SourceGuild = &source{ID: g.ID, Name: g.Name}
	}
	return out
}

func (c *call) manageWebhooks() (*Channel, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	if p&ManageWebhooks == 0 {
		return nil, errPermissions()
	}
	if ch.thread() || ch.Type == typeCategory {
		return nil, errChannelType()
	}
	return ch, nil
}

func (c *call) getChannelWebhooks() (any, error) {
	ch, err := c.manageWebhooks()
	if err != nil {
		return nil, err
	}
	out := []wireWebhook{}
	for _, w := range ch.Webhooks {
		out = append(out, c.wireWebhook(w, false))
	}
	return out, nil
}

func (c *call) getGuildWebhooks() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageWebhooks); err != nil {
		return nil, err
	}
	out := []wireWebhook{}
	for _, ch := range c.guildChannels(g) {
		for _, w := range ch.Webhooks {
			out = append(out, c.wireWebhook(w, false))
		}
	}
	return out, nil
}

func webhookName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 80 {
		return badField("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 80 in length.")
	}
	if x := forbiddenNames.FindString(name); x != "" {
		return badField("name", "USERNAME_INVALID_CONTAINS", "Username cannot contain \""+strings.ToLower(x)+"\"")
	}
	return nil
}

func (c *call) postWebhook() (any, error) {
	ch, err := c.manageWebhooks()
	if err != nil {
		return nil, err
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := webhookName(in.Name); err != nil {
		return nil, err
	}
	w, err := c.addWebhook(ch, &Webhook{Type: 1, Name: in.Name, UserID: c.user.ID, Token: c.secret(51)})
	if err != nil {
		return nil, err
	}
	return c.wireWebhook(w, false), nil
}

func (s *Sim) addWebhook(ch *Channel, w *Webhook) (*Webhook, error) {
	if len(ch.Webhooks) >= maxWebhooks {
		return nil, fail(http.StatusBadRequest, 30007, "Maximum number of webhooks reached (15)")
	}
	w.ID, w.ChannelID, w.GuildID = s.newID(), ch.ID, ch.GuildID
	ch.Webhooks = append(ch.Webhooks, w)
	s.webhooks[w.ID] = w
	s.emitWebhooks(ch)
	return w, nil
}

func (s *Sim) emitWebhooks(ch *Channel) {
	s.emit(s.guilds[ch.GuildID], "WEBHOOKS_UPDATE", IntentWebhooks, nil, same(map[string]ID{"guild_id": ch.GuildID, "channel_id": ch.ID}))
}

// theWebhook gives the path's webhook: by its token, or to whom may manage it.
func (c *call) theWebhook() (*Webhook, *Channel, bool, error) {
	w := c.webhooks[c.pathID("webhook_id")]
	if w == nil {
		return nil, nil, false, errUnknownWebhook()
	}
	ch := c.channels[w.ChannelID]
	if t := c.r.PathValue("webhook_token"); t != "" {
		if w.Type != 1 || subtle.ConstantTimeCompare([]byte(t), []byte(w.Token)) != 1 {
			return nil, nil, false, fail(http.StatusUnauthorized, 50027, "Invalid Webhook Token")
		}
		return w, ch, true, nil
	}
	if c.user == nil || c.permissions(c.user.ID, ch)&ManageWebhooks == 0 {
		return nil, nil, false, errPermissions()
	}
	return w, ch, false, nil
}

func (c *call) getWebhook() (any, error) {
	w, _, byToken, err := c.theWebhook()
	if err != nil {
		return nil, err
	}
	return c.wireWebhook(w, byToken), nil
}

func (c *call) patchWebhook() (any, error) {
	w, ch, byToken, err := c.theWebhook()
	if err != nil {
		return nil, err
	}
	var in struct {
		Name opt[string] `json:"name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Name.There() {
		if err := webhookName(in.Name.V); err != nil {
			return nil, err
		}
		w.Name = in.Name.V
	}
	c.emitWebhooks(ch)
	return c.wireWebhook(w, byToken), nil
}

func (c *call) deleteWebhook() (any, error) {
	w, ch, _, err := c.theWebhook()
	if err != nil {
		return nil, err
	}
	delete(c.webhooks, w.ID)
	for i, x := range ch.Webhooks {
		if x == w {
			ch.Webhooks = append(ch.Webhooks[:i:i], ch.Webhooks[i+1:]...)
			break
		}
	}
	c.emitWebhooks(ch)
	return empty{}, nil
}

// webhookPerm is what a webhook may: everything that its request asks for, also @everyone.
const webhookPerm = allPermissions

// executeWebhook writes a message. Without wait there is no answer.
func (c *call) executeWebhook() (any, error) {
	w, ch, _, err := c.theWebhook()
	if err != nil {
		return nil, err
	}
	var in struct {
		messageRequest
		Username   string `json:"username"`
		AvatarURL  string `json:"avatar_url"`
		ThreadName string `json:"thread_name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	m := &Message{AuthorID: w.ID, WebhookID: w.ID, WebhookName: w.Name}
	if in.Username != "" {
		if err := webhookName(in.Username); err != nil {
			return nil, err
		}
		m.WebhookName = in.Username
	}
	target := ch
	if id, there, err := c.queryID("thread_id"); err != nil {
		return nil, err
	} else if there {
		if target = c.channels[id]; target == nil || target.ParentID != ch.ID || !target.thread() {
			return nil, errUnknownChannel()
		}
	}
	if target.Type == typeForum || target.Type == typeMedia {
		if in.ThreadName == "" {
			return nil, fail(http.StatusBadRequest, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
		}
		m.ID = c.newID()
		if err := c.compose(m, target, webhookPerm, &in.messageRequest); err != nil {
			return nil, err
		}
		target = c.newThread(target, m.ID, typePublicThread, w.ID, &threadRequest{Name: in.ThreadName})
	} else if err := c.compose(m, target, webhookPerm, &in.messageRequest); err != nil {
		return nil, err
	}
	c.publish(target, m)
	if c.r.URL.Query().Get("wait") != "true" {
		return empty{}, nil
	}
	return c.wireMessage(m, 0, false), nil
}

// webhookMessage gives the path's message, which must be the webhook's own.
func (c *call) webhookMessage() (*Channel, *Message, error) {
	w, ch, _, err := c.theWebhook()
	if err != nil {
		return nil, nil, err
	}
	if id, there, err := c.queryID("thread_id"); err != nil {
		return nil, nil, err
	} else if there {
		if ch = c.channels[id]; ch == nil {
			return nil, nil, errUnknownChannel()
		}
	}
	m := ch.message(c.pathID("message_id"))
	if m == nil || m.WebhookID != w.ID {
		return nil, nil, errUnknownMessage()
	}
	return ch, m, nil
}

func (c *call) getWebhookMessage() (any, error) {
	_, m, err := c.webhookMessage()
	if err != nil {
		return nil, err
	}
	return c.wireMessage(m, 0, false), nil
}

func (c *call) patchWebhookMessage() (any, error) {
	ch, m, err := c.webhookMessage()
	if err != nil {
		return nil, err
	}
	var in editRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.amend(m, ch, webhookPerm, &in); err != nil {
		return nil, err
	}
	return c.wireMessage(m, 0, false), nil
}

func (c *call) deleteWebhookMessage() (any, error) {
	ch, m, err := c.webhookMessage()
	if err != nil {
		return nil, err
	}
	c.remove(ch, m)
	return empty{}, nil
}

// follow makes a channel receive what the path's news channel publishes, through a webhook of type 2.
func (c *call) follow() (any, error) {
	src, _, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	if src.Type != typeNews {
		return nil, errChannelType()
	}
	var in struct {
		Target ID `json:"webhook_channel_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ch := c.channels[in.Target]
	if ch == nil {
		return nil, errUnknownChannel()
	}
	if c.permissions(c.user.ID, ch)&ManageWebhooks == 0 {
		return nil, errPermissions()
	}
	w, err := c.addWebhook(ch, &Webhook{Type: 2, Name: c.guilds[src.GuildID].Name + " #" + src.Name, UserID: c.user.ID, SourceChannel: src.ID})
	if err != nil {
		return nil, err
	}
	c.publish(ch, &Message{AuthorID: c.user.ID, Type: typeFollowAdd, Content: w.Name, Reference: &Reference{ChannelID: src.ID, GuildID: src.GuildID}})
	return map[string]ID{"channel_id": src.ID, "webhook_id": w.ID}, nil
}

// crosspost publishes a message of a news channel: a copy arrives in every channel that follows it.
func (c *call) crosspost() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if ch.Type != typeNews {
		return nil, errChannelType()
	}
	if m.AuthorID != c.user.ID && p&ManageMessages == 0 || p&SendMessages == 0 {
		return nil, errPermissions()
	}
	if m.Flags&flagCrossposted != 0 {
		return nil, fail(http.StatusBadRequest, 40033, "This message has already been crossposted.")
	}
	m.Flags |= flagCrossposted
	c.emitMessage("MESSAGE_UPDATE", m)
	for _, w := range c.webhooks {
		if w.Type != 2 || w.SourceChannel != ch.ID {
			continue
		}
		c.publish(c.channels[w.ChannelID], &Message{
			AuthorID: w.ID, WebhookID: w.ID, WebhookName: w.Name, Content: m.Content, Embeds: m.Embeds, Attachments: m.Attachments,
			Flags: flagIsCrosspost, Reference: &Reference{MessageID: m.ID, ChannelID: ch.ID, GuildID: ch.GuildID},
		})
	}
	return c.wireMessage(m, c.user.ID, true), nil
}
