package web

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/render"
	"tidings/store"
)

// MessageView is a message as one person sees it.
type MessageView struct {
	render.View
	Unread     bool `json:"unread" doc:"Above how far the person has read, and countable, and neither their own nor of somebody whom they ignore"`
	MentionsMe bool `json:"mentions_me" doc:"Names the person, one of their roles, or everyone, as far as they do not suppress that, and is not of somebody whom they ignore"`
	Ignored    bool `json:"ignored" doc:"The person ignores its author"`
}

// MessagesBody is a page of a channel's messages with the channel's counts.
type MessagesBody struct {
	Channel       discord.ChannelID `json:"channel"`
	Version       int64             `json:"version"`
	Messages      []MessageView     `json:"messages" doc:"Newest first"`
	Unread        int               `json:"unread"`
	Mentions      int               `json:"mentions"`
	FirstUnread   discord.MessageID `json:"first_unread" doc:"null for none"`
	ReadID        discord.MessageID `json:"read_id" doc:"How far the person has read"`
	UpTo          discord.MessageID `json:"up_to" doc:"The newest message here: what to send when marking as read; null when there is none"`
	CompleteSince *time.Time        `json:"complete_since" doc:"Since when nothing is known to be missing; null when unknown"`
	Next          discord.MessageID `json:"next" doc:"Pass as before (or as after, when that was asked for) for the following page; null at the end"`
}

type messagesInput struct {
	Channel ID  `query:"channel" required:"true"`
	Before  ID  `query:"before" doc:"Only messages older than this"`
	After   ID  `query:"after" doc:"Only messages newer than this, the nearest ones; 0 for the oldest ones"`
	Around  ID  `query:"around" doc:"Messages on both sides of this one"`
	Limit   int `query:"limit" default:"50" minimum:"1" maximum:"100"`
}

type messagesOutput struct{ Body MessagesBody }

func (s *Server) getMessages(ctx context.Context, in *messagesInput) (*messagesOutput, error) {
	q := store.PageQuery{Limit: in.Limit}
	var errs [4]error
	q.Channel, errs[0] = parseID[discord.ChannelID]("query.channel", in.Channel)
	q.Before, errs[1] = parseID[discord.MessageID]("query.before", in.Before)
	if in.After == "0" { // which is how Discord's own API is asked for a channel's beginning
		in.After = "1"
	}
	q.After, errs[2] = parseID[discord.MessageID]("query.after", in.After)
	q.Around, errs[3] = parseID[discord.MessageID]("query.around", in.Around)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	given := 0
	for _, id := range []ID{in.Before, in.After, in.Around} {
		if id.given() {
			given++
		}
	}
	if given > 1 {
		return nil, fieldProblem("query.around", "before, after and around exclude each other; send at most one", nil)
	}
	body, err := s.messages(ctx, asking(ctx), q)
	if err != nil {
		return nil, s.failed(ctx, "read messages", err)
	}
	s.opened(ctx, []discord.ChannelID{q.Channel})
	return &messagesOutput{body}, nil
}

// messages is a page of a channel with its counts.
func (s *Server) messages(ctx context.Context, p who, q store.PageQuery) (MessagesBody, error) {
	set := s.o.Access.Visible(p.user)
	g, _, err := readable(set, q.Channel)
	if err != nil {
		return MessagesBody{}, err
	}
	body, err := s.messagesBy(ctx, set, q)
	if err != nil {
		return MessagesBody{}, err
	}
	// Who lost the channel before all of it was said is shown nothing of it.
	if err := s.confirmed(ctx, p.user, g.Guild.ID, q.Channel); err != nil {
		return MessagesBody{}, err
	}
	return body, nil
}

// messagesBy is messages by a set; whether that still holds has yet to be asked.
func (s *Server) messagesBy(ctx context.Context, set *tidings.VisibleSet, q store.PageQuery) (MessagesBody, error) {
	g, c, err := readable(set, q.Channel)
	if err != nil {
		return MessagesBody{}, err
	}
	page, uc, prefs, err := s.pageAndCounts(ctx, narrowed(set, g, c), q)
	if err != nil {
		return MessagesBody{}, err
	}
	body := MessagesBody{
		Channel: q.Channel, Version: page.Version, Messages: make([]MessageView, 0, len(page.Messages)),
		Unread: uc.Unread, Mentions: uc.Mentions, FirstUnread: uc.FirstUnread, ReadID: uc.ReadID, CompleteSince: uc.CompleteSince,
	}
	for _, m := range page.Messages {
		body.Messages = append(body.Messages, s.view(m, reader{set.User, g.Roles, prefs.Suppressed[g.Guild.ID], body.ReadID, prefs.Ignored}))
	}
	hideMissingQuotes(body.Messages)
	if err := s.hideDeletedQuotes(ctx, body.Messages); err != nil {
		return MessagesBody{}, err
	}
	if n := len(page.Messages); n > 0 {
		body.UpTo = page.Messages[0].ID
		if page.More {
			body.Next = page.Messages[n-1].ID
			if q.After != 0 {
				body.Next = page.Messages[0].ID
			}
		}
	}
	return body, nil
}

// pageAndCounts reads a page and the channel's counts, both of the page's version: who follows the channel from there on
// counts nothing twice. Where messages come too fast for that, the version is the older of the two, and nothing is missed.
func (s *Server) pageAndCounts(ctx context.Context, set *tidings.VisibleSet, q store.PageQuery) (store.Page, tidings.UnreadChannel, *tidings.Preferences, error) {
	const tries = 3
	for try := 1; ; try++ {
		page, err := s.o.Store.Messages(ctx, q)
		if err != nil {
			return store.Page{}, tidings.UnreadChannel{}, nil, err
		}
		counts, err := s.o.Store.Summary(ctx, set)
		if err != nil {
			return store.Page{}, tidings.UnreadChannel{}, nil, err
		}
		var uc tidings.UnreadChannel
		for _, ug := range counts.Guilds {
			for _, c := range ug.Channels {
				uc = c
			}
		}
		if uc.Version == page.Version || try == tries {
			return page, uc, counts.Preferences(), nil
		}
	}
}

// hideDeletedQuotes takes away quotes of messages that were deleted after they were answered: the answer still holds their text.
func (s *Server) hideDeletedQuotes(ctx context.Context, list []MessageView) error {
	var quoted []store.Quoted
	for _, m := range list {
		if m.Reply != nil && !m.Reply.Deleted {
			quoted = append(quoted, quotedBy(m))
		}
	}
	if len(quoted) == 0 {
		return nil
	}
	gone, err := s.o.Store.Deleted(ctx, quoted)
	if err != nil {
		return err
	}
	for i, m := range list {
		if m.Reply != nil && gone[quotedBy(m)] {
			list[i].Reply = &render.Reply{ID: m.Reply.ID, Deleted: true}
		}
	}
	return nil
}

func quotedBy(m MessageView) store.Quoted {
	return store.Quoted{Channel: cmp.Or(m.Reply.Channel, m.Channel), ID: m.Reply.ID}
}

// hideMissingQuotes takes away quotes of messages that are not known: a channel's page holds every live message of its range,
// so what is quoted from that range and is not there is gone.
func hideMissingQuotes(page []MessageView) {
	if len(page) == 0 {
		return
	}
	newest, oldest := page[0].ID, page[len(page)-1].ID
	live := make(map[discord.MessageID]bool, len(page))
	for _, m := range page {
		live[m.ID] = true
	}
	for i := range page {
		if r := page[i].Reply; r != nil && cmp.Or(r.Channel, page[i].Channel) == page[i].Channel && r.ID >= oldest && r.ID <= newest && !live[r.ID] {
			page[i].Reply = &render.Reply{ID: r.ID, Deleted: true}
		}
	}
}

// names are what the reader of a set may call roles and channels.
func (s *Server) names(set *tidings.VisibleSet) *render.Names {
	return render.NewNames(set, s.o.Access.Guild)
}

// named is the message for where no page fills in names.
func (m MessageView) named(n *render.Names) MessageView {
	m.View = m.View.Named(n)
	return m
}

// reader is for whom a message is shown.
type reader struct {
	user    discord.UserID
	roles   []discord.RoleID    // in the message's guild
	quiet   tidings.Suppression // likewise
	read    discord.MessageID   // how far they have read its channel
	ignored []discord.UserID
}

func (s *Server) view(m tidings.Message, r reader) MessageView {
	ignored := slices.Contains(r.ignored, m.Author)
	hidden := ignored || m.Author == r.user
	return MessageView{
		View:       s.render.Message(m),
		Unread:     m.Countable && !hidden && m.ID > r.read,
		MentionsMe: !hidden && mentions(m.Mentions, r),
		Ignored:    ignored,
	}
}

// views shows messages of several channels of a set, without those that may not be seen now that they are read.
func (s *Server) views(ctx context.Context, set *tidings.VisibleSet, messages []tidings.Message) ([]MessageView, error) {
	messages, err := s.still(ctx, set, messages)
	if err != nil {
		return nil, err
	}
	return s.viewsBy(ctx, set, messages)
}

// viewsBy is views by a set of which was asked, or has yet to be asked, whether it still holds.
func (s *Server) viewsBy(ctx context.Context, set *tidings.VisibleSet, messages []tidings.Message) ([]MessageView, error) {
	out := make([]MessageView, 0, len(messages))
	if len(messages) == 0 {
		return out, nil
	}
	var ids []discord.ChannelID
	seen := map[discord.ChannelID]bool{}
	for _, m := range messages {
		if !seen[m.Channel] {
			seen[m.Channel] = true
			ids = append(ids, m.Channel)
		}
	}
	counts, err := s.o.Store.Counts(ctx, set, ids)
	if err != nil {
		return nil, err
	}
	ignored, err := s.o.Store.Ignored(ctx, set.User)
	if err != nil {
		return nil, err
	}
	suppressed, err := s.o.Store.Suppressed(ctx, set.User)
	if err != nil {
		return nil, err
	}
	quiet := make(map[discord.GuildID]tidings.Suppression, len(suppressed))
	for _, x := range suppressed {
		quiet[x.Guild] = x.Suppression
	}
	read := make(map[discord.ChannelID]discord.MessageID, len(counts))
	for _, c := range counts {
		read[c.ID] = c.ReadID
	}
	roles := make(map[discord.GuildID][]discord.RoleID, len(set.Guilds))
	for _, g := range set.Guilds {
		roles[g.Guild.ID] = g.Roles
	}
	for _, m := range messages {
		out = append(out, s.view(m, reader{set.User, roles[m.Guild], quiet[m.Guild], read[m.Channel], ignored}))
	}
	return out, s.hideDeletedQuotes(ctx, out)
}

func mentions(m tidings.Mentions, r reader) bool {
	if m.Everyone && !r.quiet.Everyone || slices.Contains(m.Users, r.user) {
		return true
	}
	return !r.quiet.Roles && slices.ContainsFunc(m.Roles, func(role discord.RoleID) bool { return slices.Contains(r.roles, role) })
}
