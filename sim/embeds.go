package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// embed takes the embeds of a request: each becomes a "rich" one.
func (c *call) embed(m *Message, in []json.RawMessage) error {
	m.Embeds = nil
	for _, raw := range in {
		e := map[string]json.RawMessage{}
		if json.Unmarshal(raw, &e) != nil {
			return badField("embeds", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
		}
		for k, v := range e {
			if string(v) == "null" {
				delete(e, k)
			}
		}
		if len(e) == 0 || len(e) == 1 && e["type"] != nil {
			return badField("embeds", "EMBED_EMPTY", "This embed is empty.")
		}
		e["type"] = json.RawMessage(`"rich"`)
		var fields []map[string]json.RawMessage
		if json.Unmarshal(e["fields"], &fields) == nil {
			for _, f := range fields {
				if f["inline"] == nil {
					f["inline"] = json.RawMessage("false")
				}
			}
			e["fields"], _ = json.Marshal(fields)
		}
		b, _ := json.Marshal(e)
		m.Embeds = append(m.Embeds, b)
	}
	return nil
}

// lay takes the components of a request. Text displays, containers and the like need the Components V2 flag, and with
// it content and embeds are not allowed.
func (c *call) lay(m *Message, in []json.RawMessage) error {
	m.Components = nil
	if m.Flags&flagComponentsV2 != 0 {
		if m.Content != "" || len(m.Embeds) > 0 || m.Poll != nil {
			return badField("content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "The 'content' field cannot be used when using MessageFlags.IS_COMPONENTS_V2")
		}
	}
	next := 0
	for _, raw := range in {
		b, n, err := c.component(raw, m.Flags&flagComponentsV2 != 0, &next)
		if err != nil {
			return err
		}
		if n > 40 {
			return badField("components", "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "The total number of components cannot exceed 40")
		}
		m.Components = append(m.Components, b)
	}
	return nil
}

// component numbers a component and what is in it, and fills in the fields that Discord always sends.
func (c *call) component(raw json.RawMessage, v2 bool, next *int) (json.RawMessage, int, error) {
	e := map[string]any{}
	if json.Unmarshal(raw, &e) != nil {
		return nil, 0, badField("components", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
	}
	out, err := c.fill(e, v2, next, 0)
	if err != nil {
		return nil, 0, err
	}
	b, err := json.Marshal(out)
	return b, *next, err
}

func (c *call) fill(e map[string]any, v2 bool, next *int, depth int) (map[string]any, error) {
	kind, _ := e["type"].(float64)
	if kind < 1 || kind > 20 || depth > 4 || kind >= 9 && !v2 || kind != 1 && depth == 0 && !v2 {
		return nil, badField("components", "UNION_TYPE_CHOICES", "Value of field \"type\" is not allowed here.")
	}
	*next++
	if e["id"] == nil {
		e["id"] = *next
	}
	media := func(v any) any {
		if x, ok := v.(map[string]any); ok {
			x["id"], x["proxy_url"] = c.newID(), x["url"]
		}
		return v
	}
	defaults := map[string]any{}
	switch kind {
	case 2:
		defaults = map[string]any{"style": 2}
	case 9:
		acc, ok := e["accessory"].(map[string]any)
		if !ok {
			return nil, badField("components.accessory", "BASE_TYPE_REQUIRED", "This field is required")
		}
		var err error
		if e["accessory"], err = c.fill(acc, v2, next, depth+1); err != nil {
			return nil, err
		}
	case 11:
		e["media"] = media(e["media"])
		defaults = map[string]any{"description": nil, "spoiler": false}
	case 12:
		items, _ := e["items"].([]any)
		for _, it := range items {
			if x, ok := it.(map[string]any); ok {
				x["media"] = media(x["media"])
				for k, v := range map[string]any{"description": nil, "spoiler": false} {
					if _, ok := x[k]; !ok {
						x[k] = v
					}
				}
			}
		}
	case 13:
		e["file"] = media(e["file"])
		defaults = map[string]any{"spoiler": false, "name": nil, "size": nil}
	case 14:
		defaults = map[string]any{"spacing": 1, "divider": true}
	case 17:
		defaults = map[string]any{"accent_color": nil, "spoiler": false}
	}
	for k, v := range defaults {
		if _, ok := e[k]; !ok {
			e[k] = v
		}
	}
	children, _ := e["components"].([]any)
	for i, ch := range children {
		x, ok := ch.(map[string]any)
		if !ok {
			return nil, badField("components", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
		}
		var err error
		if children[i], err = c.fill(x, v2, next, depth+1); err != nil {
			return nil, err
		}
	}
	return e, nil
}

var link = regexp.MustCompile(`https?://[^\s<>()\[\]"']+`)

// unfurl resolves the links of a message later, as Discord's crawler does: a MESSAGE_UPDATE adds embeds, without
// touching edited_timestamp. Nothing is fetched; what a link shows is made up from its address.
func (s *Sim) unfurl(m *Message) {
	if m.Flags&flagSuppressEmbeds != 0 || len(m.Embeds) > 0 || m.WebhookID != 0 || !strings.Contains(m.Content, "://") {
		return
	}
	text := codeSpans.ReplaceAllString(m.Content, " ")
	text = regexp.MustCompile(`<https?://[^>]*>`).ReplaceAllString(text, " ")
	found := link.FindAllString(text, 5)
	if len(found) == 0 {
		return
	}
	var embeds []json.RawMessage
	for _, l := range found {
		u, err := url.Parse(l)
		if err != nil || u.Hostname() == "" {
			continue
		}
		title := strings.TrimSpace(strings.NewReplacer("-", " ", "_", " ", ".html", "").Replace(u.Path[strings.LastIndexByte(u.Path, '/')+1:]))
		if title == "" {
			title = u.Hostname()
		}
		b, err := json.Marshal(map[string]any{"type": "link", "url": l, "title": title, "description": "A page at " + u.Hostname() + ".", "provider": map[string]any{"name": u.Hostname()}})
		if err == nil {
			embeds = append(embeds, b)
		}
	}
	if len(embeds) == 0 {
		return
	}
	content := m.Content
	delay := time.Duration(200+s.rand.IntN(600)) * time.Millisecond
	s.start(func(ctx context.Context) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.channels[m.ChannelID] == nil || m.Deleted || m.Content != content || m.Flags&flagSuppressEmbeds != 0 {
			return
		}
		m.Embeds = embeds
		// Discord cuts the edit's time to milliseconds here, so that it may lie before the edit's own.
		m.Edited = Stamp{m.Edited.Truncate(time.Millisecond)}
		s.emitMessage("MESSAGE_UPDATE", m)
	})
}

// forward makes the message a copy of another, which its author must be able to read.
func (c *call) forward(m *Message, in *referenceRequest) error {
	src := c.channels[in.ChannelID]
	if src == nil {
		return badField("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
	}
	if p := c.permissions(c.user.ID, src); p&(ViewChannel|ReadMessageHistory) != ViewChannel|ReadMessageHistory {
		return fail(http.StatusBadRequest, 160014, "You cannot forward a message whose content you cannot read.")
	}
	o := src.message(in.MessageID)
	if o == nil {
		return badField("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
	}
	if m.Content != "" {
		return fail(http.StatusBadRequest, 160011, "Forward messages cannot have additional content")
	}
	w := c.wireMessage(o, c.user.ID, false)
	m.Flags |= flagHasSnapshot
	m.Reference = &Reference{Type: referenceForward, MessageID: o.ID, ChannelID: src.ID, GuildID: src.GuildID}
	if len(o.Snapshots) > 0 {
		m.Snapshots = o.Snapshots
		return nil
	}
	m.Snapshots = []Snapshot{{snapshotMessage{
		Type: o.Type, Content: o.Content, Mentions: w.Mentions, MentionRoles: w.MentionRoles, Attachments: w.Attachments, Embeds: w.Embeds,
		Timestamp: o.At, Edited: o.Edited, Flags: o.Flags, Components: w.Components, StickerItems: o.StickerItems,
	}}}
	return nil
}
