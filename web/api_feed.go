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
	views, err := s.views(ctx, set, page.Messages)
	return FeedBody{Messages: views, Next: page.Next}, err
}
