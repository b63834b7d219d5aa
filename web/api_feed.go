package web

import (
	"context"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// FeedBody is a page of messages of several channels.
type FeedBody struct {
	Messages []MessageView `json:"messages" doc:"Newest first, each with guild and channel"`
	Next     string        `json:"next" doc:"Pass as cursor for the following page; empty at the end"`
}

type feedInput struct {
	Filter  string `query:"filter" enum:"unread,mentions,all" default:"unread"`
	Guild   ID     `query:"guild"`
	Channel ID     `query:"channel"`
	Author  ID     `query:"author"`
	Cursor  string `query:"cursor" maxLength:"200"`
	Limit   int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
}

type feedOutput struct{ Body FeedBody }

func (s *Server) getFeed(ctx context.Context, in *feedInput) (*feedOutput, error) {
	q := store.FeedQuery{Filter: in.Filter, Cursor: in.Cursor, Limit: in.Limit}
	var errs [3]error
	q.Guild, errs[0] = parseID[discord.GuildID]("query.guild", in.Guild)
	q.Channel, errs[1] = parseID[discord.ChannelID]("query.channel", in.Channel)
	q.Author, errs[2] = parseID[discord.UserID]("query.author", in.Author)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	set := s.o.Access.Visible(asking(ctx).user)
	if q.Channel != 0 {
		if _, _, err := readable(set, q.Channel); err != nil {
			return nil, s.failed(ctx, "read the feed", err)
		}
	}
	if q.Guild != 0 && !hasGuild(set, q.Guild) {
		return nil, s.failed(ctx, "read the feed", tidings.ErrNotFound)
	}
	body, err := s.feed(ctx, set, q)
	if err != nil {
		return nil, s.failed(ctx, "read the feed", err)
	}
	return &feedOutput{body}, nil
}

// feed is a page of the feed, for the API and for the first page.
func (s *Server) feed(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery) (FeedBody, error) {
	page, err := s.o.Store.Feed(ctx, set, q)
	if err != nil {
		return FeedBody{}, err
	}
	body := FeedBody{Messages: make([]MessageView, 0, len(page.Messages)), Next: page.Next}
	if len(page.Messages) == 0 {
		return body, nil
	}
	var ids []discord.ChannelID
	seen := map[discord.ChannelID]bool{}
	for _, m := range page.Messages {
		if !seen[m.Channel] {
			seen[m.Channel] = true
			ids = append(ids, m.Channel)
		}
	}
	counts, err := s.o.Store.Counts(ctx, set, ids)
	if err != nil {
		return FeedBody{}, err
	}
	read := make(map[discord.ChannelID]discord.MessageID, len(counts))
	for _, c := range counts {
		read[c.ID] = c.ReadID
	}
	roles := make(map[discord.GuildID][]discord.RoleID, len(set.Guilds))
	for _, g := range set.Guilds {
		roles[g.Guild.ID] = g.Roles
	}
	now := s.o.Access.Visible(set.User)
	for _, m := range page.Messages {
		if now.Epoch != set.Epoch {
			if _, _, err := readable(now, m.Channel); err != nil {
				continue // It was lost while the page was being read.
			}
		}
		body.Messages = append(body.Messages, s.view(m, set.User, roles[m.Guild], read[m.Channel]))
	}
	if err := s.hideDeletedQuotes(ctx, body.Messages); err != nil {
		return FeedBody{}, err
	}
	return body, nil
}
