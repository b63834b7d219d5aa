package web

import (
	"context"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// FeedBody is a page of messages of several channels.
type FeedBody struct {
	Messages []MessageView `json:"messages" doc:"Newest first, each with guild and channel"`
	Next     Cursor        `json:"next"`
	Newer    string        `json:"newer,omitempty" doc:"Pass as newer for what is newer than this page, and again later for what has come since"`
}

type feedInput struct {
	Filter   string   `query:"filter" enum:"unread,mentions,all,keywords" doc:"unread without it and without view. keywords: what holds one of yours, read or not"`
	View     int64    `query:"view" minimum:"1" doc:"Only what this view of yours shows"`
	Guild    ID       `query:"guild"`
	Channel  ID       `query:"channel"`
	Category ID       `query:"category" doc:"A category or forum"`
	Author   ID       `query:"author"`
	Has      []string `query:"has" enum:"link,file,image,video,sound,embed,poll,sticker,forward" maxItems:"9" doc:"All of these, separated by commas"`
	Cursor   string   `query:"cursor" maxLength:"200" doc:"The next of a page: what is older"`
	Newer    string   `query:"newer" maxLength:"200" doc:"The newer of a page: what is newer, the nearest first to come"`
	Around   ID       `query:"around" doc:"Messages on both sides of this one. At most one of cursor, newer and around"`
	Limit    int      `query:"limit" default:"50" minimum:"1" maximum:"100"`
}

type feedOutput struct{ Body FeedBody }

func (s *Server) getFeed(ctx context.Context, in *feedInput) (*feedOutput, error) {
	q := store.FeedQuery{Filter: store.FeedUnread}
	if in.View != 0 {
		v, err := s.o.Store.View(ctx, asking(ctx).user, in.View)
		if err != nil {
			return nil, s.failed(ctx, "read the feed", err)
		}
		q = v.Filters.Query()
	}
	switch only := q.Filter == store.FeedMentions; { // of the view, which a filter narrows
	case only && in.Filter == store.FeedUnread:
		q.Unread = true
	case only && in.Filter == store.FeedKeywords:
		q.Keywords = true
	case !only && in.Filter != "":
		q.Filter = in.Filter
	}
	q.Cursor, q.Newer, q.Limit = in.Cursor, in.Newer, in.Limit
	for _, name := range in.Has {
		f, _ := tidings.FeatureNamed(name)
		q.Has |= f
	}
	var errs [5]error
	q.Category, errs[3] = parseID[discord.ChannelID]("query.category", in.Category)
	q.Around, errs[4] = parseID[discord.MessageID]("query.around", in.Around)
	q.Guild, errs[0] = parseID[discord.GuildID]("query.guild", in.Guild)
	q.Channel, errs[1] = parseID[discord.ChannelID]("query.channel", in.Channel)
	author, err := parseID[discord.UserID]("query.author", in.Author)
	errs[2] = err
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if author != 0 {
		if len(q.Authors) > 0 && !slices.Contains(q.Authors, author) {
			return nil, fieldProblem("query.author", "the view is about other authors", in.Author)
		}
		q.Authors = []discord.UserID{author}
	}
	if q.Keywords || q.Filter == store.FeedKeywords {
		if err := s.limitedNow(ctx, "search"); err != nil {
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
	if q.Cursor == "" {
		s.opened(ctx, set.ChannelIDs())
	}
	return &feedOutput{body}, nil
}

// feed is a page of the feed.
func (s *Server) feed(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery) (FeedBody, error) {
	page, err := s.o.Store.Feed(ctx, set, q)
	if err != nil {
		return FeedBody{}, err
	}
	views, err := s.views(ctx, set, page.Messages)
	return FeedBody{Messages: views, Next: Cursor(page.Next), Newer: page.Newer}, err
}

// feedBy is feed by a set of which has yet to be asked whether it still holds.
func (s *Server) feedBy(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery) (FeedBody, error) {
	page, err := s.o.Store.Feed(ctx, set, q)
	if err != nil {
		return FeedBody{}, err
	}
	views, err := s.viewsBy(ctx, set, page.Messages)
	return FeedBody{Messages: views, Next: Cursor(page.Next), Newer: page.Newer}, err
}
