package sim

import (
	"regexp"
	"slices"
	"strings"
)

var (
	codeSpans   = regexp.MustCompile("(?s)```.*?```|``.+?``|`[^`\n]+`")
	userMention = regexp.MustCompile(`<@!?(\d{1,20})>`)
	roleMention = regexp.MustCompile(`<@&(\d{1,20})>`)
	broadcast   = regexp.MustCompile(`@(everyone|here)\b`)
)

// allowedMentions is the request's own limit on whom a message pings. Absent, everything in the text counts.
type allowedMentions struct {
	Parse       []string  `json:"parse"`
	Users       []ID      `json:"users"`
	Roles       []ID      `json:"roles"`
	RepliedUser opt[bool] `json:"replied_user"`
}

func (a *allowedMentions) check() error {
	if a == nil {
		return nil
	}
	f := form{}
	for _, p := range a.Parse {
		if p != "users" && p != "roles" && p != "everyone" {
			f.add("allowed_mentions.parse", "BASE_TYPE_CHOICES", "Value must be one of ('users', 'roles', 'everyone').")
		}
		if p == "users" && len(a.Users) > 0 || p == "roles" && len(a.Roles) > 0 {
			f.add("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", "parse:[\""+p+"\"] and "+p+": [ids...] are mutually exclusive.")
		}
	}
	return f.err()
}

func (a *allowedMentions) allows(kind string, id ID) bool {
	if a == nil || slices.Contains(a.Parse, kind) {
		return true
	}
	switch kind {
	case "users":
		return slices.Contains(a.Users, id)
	case "roles":
		return slices.Contains(a.Roles, id)
	}
	return false
}

// ping fills in whom a message mentions: what its text names, as far as the request allows it and the author may.
// Text in code does not mention.
func (s *Sim) ping(m *Message, ch *Channel, may Perm, allowed *allowedMentions) {
	m.Mentions, m.MentionRoles, m.MentionEveryone = nil, nil, false
	g := s.guilds[ch.GuildID]
	if strings.ContainsRune(m.Content, '@') {
		text := codeSpans.ReplaceAllString(m.Content, " ")
		for _, x := range userMention.FindAllStringSubmatch(text, 100) {
			id, _ := parseID(x[1])
			if s.users[id] != nil && allowed.allows("users", id) && !slices.Contains(m.Mentions, id) {
				m.Mentions = append(m.Mentions, id)
			}
		}
		for _, x := range roleMention.FindAllStringSubmatch(text, 100) {
			id, _ := parseID(x[1])
			r := g.Roles[id]
			if r == nil || id == g.ID || !allowed.allows("roles", id) || slices.Contains(m.MentionRoles, id) {
				continue
			}
			if r.Mentionable || may&MentionEveryone != 0 {
				m.MentionRoles = append(m.MentionRoles, id)
			}
		}
		m.MentionEveryone = may&MentionEveryone != 0 && allowed.allows("everyone", 0) && broadcast.MatchString(text)
	}
	if m.Type == typeReply && m.Reference != nil {
		if rc := s.channels[m.Reference.ChannelID]; rc != nil {
			rm := rc.message(m.Reference.MessageID)
			pings := allowed == nil || allowed.RepliedUser.Or(false)
			if rm != nil && pings && rm.WebhookID == 0 && s.users[rm.AuthorID] != nil && !slices.Contains(m.Mentions, rm.AuthorID) {
				m.Mentions = append(m.Mentions, rm.AuthorID)
			}
		}
	}
}
