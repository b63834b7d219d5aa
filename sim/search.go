package sim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// searchMessages is Search Guild Messages: 202 while the index is made, then what matches in channels that the caller
// may read. Reactions are not in it.
func (c *call) searchMessages() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if c.user.Bot && !c.app.mayReadContent() {
		return nil, errAccess()
	}
	limit, err := c.queryInt("limit", 25, 1, 25)
	if err != nil {
		return nil, err
	}
	offset, err := c.queryInt("offset", 0, 0, 9975)
	if err != nil {
		return nil, err
	}
	minID, _, err := c.queryID("min_id")
	if err != nil {
		return nil, err
	}
	maxID, hasMax, err := c.queryID("max_id")
	if err != nil {
		return nil, err
	}
	if wait := g.Indexed.Sub(c.now()); wait > 0 {
		return accepted{struct {
			Message    string `json:"message"`
			Code       int    `json:"code"`
			Documents  int    `json:"documents_indexed"`
			RetryAfter int    `json:"retry_after"`
		}{"Index not yet available. Try again later", 110000, 0, int(wait.Seconds()) + 1}}, nil
	}
	q := c.r.URL.Query()
	words := strings.ToLower(q.Get("content"))
	ids := func(key string) (map[ID]bool, error) {
		out := map[ID]bool{}
		for _, v := range q[key] {
			id, ok := parseID(v)
			if !ok {
				return nil, badField(key, "NUMBER_TYPE_COERCE", "Value \""+v+"\" is not snowflake.")
			}
			out[id] = true
		}
		return out, nil
	}
	channels, err := ids("channel_id")
	if err != nil {
		return nil, err
	}
	authors, err := ids("author_id")
	if err != nil {
		return nil, err
	}
	mentions, err := ids("mentions")
	if err != nil {
		return nil, err
	}
	for id := range channels {
		if ch := c.channels[id]; ch == nil || ch.GuildID != g.ID || c.permissions(c.user.ID, ch)&ReadMessageHistory == 0 {
			return nil, errAccess()
		}
	}
	var found []*Message
	documents := 0
	for _, ch := range c.byGuild[g.ID] {
		if len(channels) > 0 && !channels[ch.ID] || !c.readsText(c.user.ID, ch) || c.permissions(c.user.ID, ch)&ReadMessageHistory == 0 {
			continue
		}
		documents += len(ch.Messages)
		for _, m := range ch.Messages {
			if m.Deleted || m.ID <= minID || hasMax && m.ID >= maxID || len(authors) > 0 && !authors[m.AuthorID] ||
				words != "" && !strings.Contains(strings.ToLower(m.Content), words) ||
				len(mentions) > 0 && !slices.ContainsFunc(m.Mentions, func(id ID) bool { return mentions[id] }) || !m.hasAll(q["has"]) {
				continue
			}
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *Message) int {
		if q.Get("sort_order") == "asc" {
			a, b = b, a
		}
		return cmp.Compare(b.ID, a.ID)
	})
	out := struct {
		Messages  [][]wireMessage    `json:"messages"`
		Deep      bool               `json:"doing_deep_historical_index"`
		Total     int                `json:"total_results"`
		Threads   []wireChannel      `json:"threads"`
		Members   []wireThreadMember `json:"members"`
		Documents int                `json:"documents_indexed"`
	}{Messages: [][]wireMessage{}, Total: len(found), Threads: []wireChannel{}, Members: []wireThreadMember{}, Documents: documents}
	for _, m := range found[min(offset, len(found)):min(offset+limit, len(found))] {
		w := c.wireMessage(m, c.user.ID, false)
		w.Reactions = nil
		w.extra = map[string]json.RawMessage{"hit": json.RawMessage("true")}
		out.Messages = append(out.Messages, []wireMessage{w})
		if ch := c.channels[m.ChannelID]; ch.thread() && !slices.ContainsFunc(out.Threads, func(t wireChannel) bool { return t.ID == ch.ID }) {
			out.Threads = append(out.Threads, c.wireChannel(ch, c.user.ID))
		}
	}
	return out, nil
}

// hasAll says whether the message has each of these: link, embed, file, image, poll, snapshot; "-x" is without.
func (m *Message) hasAll(want []string) bool {
	for _, w := range want {
		name, not := strings.CutPrefix(w, "-")
		if !not {
			name = w
		}
		has := false
		switch name {
		case "link":
			has = strings.Contains(m.Content, "://")
		case "embed":
			has = len(m.Embeds) > 0
		case "file":
			has = len(m.Attachments) > 0
		case "image":
			has = slices.ContainsFunc(m.Attachments, func(a Attachment) bool { return strings.HasPrefix(a.ContentType, "image/") })
		case "poll":
			has = m.Poll != nil
		case "snapshot":
			has = len(m.Snapshots) > 0
		}
		if has == not {
			return false
		}
	}
	return true
}
