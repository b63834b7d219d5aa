package web

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// ViewFields are what somebody says of a view.
type ViewFields struct {
	Name       string   `json:"name" minLength:"1" maxLength:"100"`
	Guilds     []ID     `json:"guilds,omitempty" maxItems:"200" doc:"What is in any of guilds, categories and channels; everything when all three are empty"`
	Categories []ID     `json:"categories,omitempty" maxItems:"200" doc:"Categories and forums"`
	Channels   []ID     `json:"channels,omitempty" maxItems:"200" doc:"With their threads"`
	Authors    []ID     `json:"authors,omitempty" maxItems:"100" doc:"Any of them"`
	Has        []string `json:"has,omitempty" maxItems:"9" enum:"link,file,image,video,sound,embed,poll,sticker,forward" doc:"All of them"`
	Mentions   bool     `json:"mentions_only,omitempty" doc:"Only what mentions you"`
	Unread     bool     `json:"unread_only,omitempty"`
	Keywords   bool     `json:"keywords_only,omitempty" doc:"Only what holds one of your keywords"`
}

func (f *ViewFields) filters() (out store.ViewFilters, err error) {
	out = store.ViewFilters{Has: f.Has, Mentions: f.Mentions, Unread: f.Unread, Keywords: f.Keywords}
	if out.Guilds, err = parseIDs[discord.GuildID]("body.guilds", f.Guilds); err != nil {
		return out, err
	}
	if out.Categories, err = parseIDs[discord.ChannelID]("body.categories", f.Categories); err != nil {
		return out, err
	}
	if out.Channels, err = parseIDs[discord.ChannelID]("body.channels", f.Channels); err != nil {
		return out, err
	}
	out.Authors, err = parseIDs[discord.UserID]("body.authors", f.Authors)
	return out, err
}

func parseIDs[T ~uint64](field string, list []ID) ([]T, error) {
	var out []T
	for _, id := range list {
		n, err := parseID[T](field, id)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func givenIDs[T interface{ String() string }](ids []T) []ID {
	out := make([]ID, len(ids))
	for i, id := range ids {
		out[i] = ID(id.String())
	}
	return out
}

// SavedFeed is a view with its counts.
type SavedFeed struct {
	ID string `json:"id"`
	ViewFields
	Feed      bool      `json:"feed" doc:"It can be read at a secret address, as Atom and as JSON Feed"`
	CreatedAt time.Time `json:"created_at"`
	Unread    int       `json:"unread" doc:"How many unread messages it shows, muted channels left out"`
	Mentions  int       `json:"mentions" doc:"Of its channels, muted ones too"`
	Capped    bool      `json:"capped" doc:"There are more than unread says. Only with authors, has or keywords_only, whose messages are counted up to 1,000"`
}

// ownID writes an id of ours as the API has ids.
func ownID(id int64) string { return strconv.FormatInt(id, 10) }

// maxCounted is how far the messages of a view are counted whose counts do not follow from those of channels.
const maxCounted = 1000

// savedFeeds adds the counts of now to views.
func (s *Server) savedFeeds(ctx context.Context, user discord.UserID, views []store.View) ([]SavedFeed, error) {
	out := make([]SavedFeed, 0, len(views))
	if len(views) == 0 {
		return out, nil
	}
	err := s.steady(ctx, user, func(set *tidings.VisibleSet) error {
		u, err := s.unreadBy(ctx, set)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, v := range views {
			f := savedFeed(v)
			f.Unread, f.Mentions = viewCounts(u, set, v.Filters)
			if !v.Filters.ByChannel() {
				of := set
				if !v.Filters.Mentions {
					of = unmuted(set, u)
				}
				if f.Unread, err = s.o.Store.CountFeed(ctx, of, v.Filters.Query(), maxCounted+1); err != nil {
					return err
				}
				if f.Capped = f.Unread > maxCounted; f.Capped {
					f.Unread = maxCounted
				}
			}
			out = append(out, f)
		}
		return nil
	})
	return out, err
}

func savedFeed(v store.View) SavedFeed {
	f := v.Filters
	return SavedFeed{ID: ownID(v.ID), Feed: v.Feed, CreatedAt: v.CreatedAt.UTC(), ViewFields: ViewFields{
		Name: v.Name, Guilds: givenIDs(f.Guilds), Categories: givenIDs(f.Categories), Channels: givenIDs(f.Channels), Authors: givenIDs(f.Authors),
		Has: f.Has, Mentions: f.Mentions, Unread: f.Unread, Keywords: f.Keywords,
	}}
}

// viewCounts sums up the channels of a view. Of one that shows only mentions, what is unread are the mentions.
func viewCounts(u *tidings.Unread, set *tidings.VisibleSet, f store.ViewFilters) (unread, mentions int) {
	counts := map[discord.ChannelID]tidings.UnreadChannel{}
	for _, g := range u.Guilds {
		for _, c := range g.Channels {
			counts[c.ID] = c
		}
	}
	places := f.Places()
	for _, g := range set.Guilds {
		parents := map[discord.ChannelID]discord.ChannelID{}
		for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
			for _, c := range list {
				parents[c.ID] = c.Parent
			}
		}
		for _, c := range g.Channels {
			n, known := counts[c.ID]
			if !known || !store.InPlaces(places, c, parents[c.Parent]) {
				continue
			}
			mentions += n.Mentions
			if !n.Muted {
				unread += n.Unread
			}
		}
	}
	if f.Mentions {
		unread = mentions
	}
	return unread, mentions
}

// unmuted is what of a set is not muted.
func unmuted(set *tidings.VisibleSet, u *tidings.Unread) *tidings.VisibleSet {
	muted := map[discord.ChannelID]bool{}
	for _, g := range u.Guilds {
		for _, c := range g.Channels {
			muted[c.ID] = c.Muted
		}
	}
	out := *set
	out.Guilds = slices.Clone(set.Guilds)
	for i, g := range out.Guilds {
		out.Guilds[i].Channels = slices.DeleteFunc(slices.Clone(g.Channels), func(c tidings.Channel) bool { return muted[c.ID] })
	}
	return &out
}

type viewsOutput struct {
	Body struct {
		Views []SavedFeed `json:"views"`
	}
}

func (s *Server) getViews(ctx context.Context, _ *struct{}) (*viewsOutput, error) {
	user := asking(ctx).user
	views, err := s.o.Store.Views(ctx, user)
	if err != nil {
		return nil, s.failed(ctx, "list views", err)
	}
	out := &viewsOutput{}
	if out.Body.Views, err = s.savedFeeds(ctx, user, views); err != nil {
		return nil, s.failed(ctx, "count views", err)
	}
	return out, nil
}

type viewIDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

type viewOutput struct{ Body SavedFeed }

func (s *Server) viewAnswer(ctx context.Context, v store.View, err error) (*viewOutput, error) {
	if err != nil {
		return nil, s.failed(ctx, "save a view", err)
	}
	list, err := s.savedFeeds(ctx, v.User, []store.View{v})
	if err != nil {
		return nil, s.failed(ctx, "count a view", err)
	}
	return &viewOutput{list[0]}, nil
}

func (s *Server) getView(ctx context.Context, in *viewIDInput) (*viewOutput, error) {
	v, err := s.o.Store.View(ctx, asking(ctx).user, in.ID)
	return s.viewAnswer(ctx, v, err)
}

type newViewInput struct{ Body ViewFields }

func (s *Server) postView(ctx context.Context, in *newViewInput) (*viewOutput, error) {
	f, err := in.Body.filters()
	if err != nil {
		return nil, err
	}
	v, err := s.o.Store.CreateView(ctx, asking(ctx).user, in.Body.Name, f)
	return s.viewAnswer(ctx, v, err)
}

type changedViewInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body ViewFields
}

func (s *Server) putView(ctx context.Context, in *changedViewInput) (*viewOutput, error) {
	f, err := in.Body.filters()
	if err != nil {
		return nil, err
	}
	v, err := s.o.Store.UpdateView(ctx, asking(ctx).user, in.ID, in.Body.Name, f)
	return s.viewAnswer(ctx, v, err)
}

func (s *Server) deleteView(ctx context.Context, in *viewIDInput) (*struct{}, error) {
	if err := s.o.Store.DeleteView(ctx, asking(ctx).user, in.ID); err != nil {
		return nil, s.failed(ctx, "delete a view", err)
	}
	return nil, nil
}

type openedFeedOutput struct {
	Body struct {
		Atom string `json:"atom" doc:"Shown this once. Whoever knows the address may read the view as you see it"`
		JSON string `json:"json" doc:"The same as JSON Feed"`
	}
}

// postViewFeed gives out what may be read without signing in, so whoever asks must be allowed to read, and not only to mark.
func (s *Server) postViewFeed(ctx context.Context, in *viewIDInput) (*openedFeedOutput, error) {
	p := asking(ctx)
	if !p.may(scopeRead) {
		return nil, scopeMissing(scopeRead)
	}
	secret, err := s.o.Store.OpenFeed(ctx, p.user, in.ID)
	if err != nil {
		return nil, s.failed(ctx, "open a feed", err)
	}
	a, _ := ctx.Value(askedKey{}).(asked)
	base := a.base
	out := &openedFeedOutput{}
	out.Body.Atom, out.Body.JSON = base+feedsPath+secret+".atom", base+feedsPath+secret+".json"
	return out, nil
}

func (s *Server) deleteViewFeed(ctx context.Context, in *viewIDInput) (*struct{}, error) {
	if err := s.o.Store.CloseFeed(ctx, asking(ctx).user, in.ID); err != nil {
		return nil, s.failed(ctx, "close a feed", err)
	}
	return nil, nil
}

// KeywordsBody are the words and phrases that a person wants to hear of.
type KeywordsBody struct {
	Keywords []string `json:"keywords" maxItems:"100" doc:"Words and phrases of up to 100 characters. Whole words; upper and lower case are the same"`
}

type keywordsOutput struct{ Body KeywordsBody }

func (s *Server) getKeywords(ctx context.Context, _ *struct{}) (*keywordsOutput, error) {
	words, err := s.o.Store.Keywords(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list keywords", err)
	}
	return &keywordsOutput{KeywordsBody{append([]string{}, words...)}}, nil
}

type keywordsInput struct{ Body KeywordsBody }

func (s *Server) putKeywords(ctx context.Context, in *keywordsInput) (*keywordsOutput, error) {
	words, err := s.o.Store.SetKeywords(ctx, asking(ctx).user, in.Body.Keywords)
	if err != nil {
		return nil, s.failed(ctx, "set keywords", err)
	}
	return &keywordsOutput{KeywordsBody{words}}, nil
}
