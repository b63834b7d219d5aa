package web

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/render"
	"tidings/store"
)

// first is what the page needs to come alive without asking again.
type first struct {
	User     tidings.User    `json:"-"`
	Me       me              `json:"user"`
	Unread   *tidings.Unread `json:"unread"`
	Parents  []ChannelView   `json:"parents"`
	View     view            `json:"view"`
	Messages []MessageView   `json:"messages"` // newest first
	Next     string          `json:"next"`
	// Loaded says that messages are those of the view; otherwise the page asks for them.
	Loaded bool `json:"loaded"`
	CDN    bool `json:"cdn"`
	// Views and Keywords are the person's own. The page counts for itself what the views show.
	Views    []SavedFeed `json:"views"`
	Keywords []string    `json:"keywords"`
	// Roles are those of the person's guilds, which all their members may know.
	Roles map[discord.RoleID]roleView `json:"roles"`
	// names are for the first view. The script has its own, which change while the page is open.
	names *render.Names
}

type roleView struct {
	Name  string `json:"name"`
	Color int    `json:"color"`
}

type me struct {
	ID   discord.UserID `json:"id"`
	Name string         `json:"name"`
}

// view says what the middle of the page shows.
type view struct {
	Kind    string `json:"kind"`           // unread, mentions, keywords, all, view, channel, search or saved
	View    string `json:"view,omitempty"` // the id of a saved view
	Channel string `json:"channel,omitempty"`
	Title   string `json:"title"`
	Guild   string `json:"guild,omitempty"` // the name of the channel's
	Topic   string `json:"topic,omitempty"`
}

func (s *Server) pageFeed(w http.ResponseWriter, r *http.Request, p who) {
	v := view{Kind: "unread", Title: "Unread"}
	switch r.URL.Query().Get("filter") {
	case "mentions":
		v = view{Kind: "mentions", Title: "Mentions"}
	case "keywords":
		v = view{Kind: "keywords", Title: "Keywords"}
	case "all":
		v = view{Kind: "all", Title: "Everything"}
	}
	q := store.FeedQuery{Filter: v.Kind}
	if r.URL.Query().Has("view") {
		saved, err := s.viewOf(r.Context(), p.user, r.URL.Query().Get("view"))
		if err != nil {
			s.pageError(w, r, err)
			return
		}
		q = saved.Filters.Query()
		v = view{Kind: "view", View: strconv.FormatInt(saved.ID, 10), Title: saved.Name}
	}
	if q.Keywords || q.Filter == store.FeedKeywords {
		if err := s.limited(r.Context(), "search", p, s.address(r)); err != nil {
			s.pageError(w, r, err)
			return
		}
	}
	q.Limit = firstPage
	set := s.o.Access.Visible(p.user)
	if g, err := parseID[discord.GuildID]("guild", ID(r.URL.Query().Get("guild"))); err == nil && v.Kind != "view" && hasGuild(set, g) {
		q.Guild = g
		for _, x := range set.Guilds {
			if x.Guild.ID == g {
				v.Title += " in " + x.Guild.Name
			}
		}
	}
	var counts *tidings.Unread
	var feed FeedBody
	err := s.steady(r.Context(), p.user, func(set *tidings.VisibleSet) (err error) {
		if counts, err = s.unreadBy(r.Context(), set); err == nil {
			feed, err = s.feedBy(r.Context(), set, q)
		}
		return err
	})
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.app(w, r, p, first{View: v, Unread: counts, Messages: feed.Messages, Next: string(feed.Next), Loaded: true})
}

// firstPage is how many messages the page begins with.
const firstPage = 50

// viewOf is a person's saved view by its id.
func (s *Server) viewOf(ctx context.Context, user discord.UserID, id string) (store.View, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 {
		return store.View{}, tidings.ErrNotFound
	}
	return s.o.Store.View(ctx, user, n)
}

// pageEmpty is a view whose messages the page fetches by itself.
func (s *Server) pageEmpty(v view) func(http.ResponseWriter, *http.Request, who) {
	return func(w http.ResponseWriter, r *http.Request, p who) {
		counts, err := s.unread(r.Context(), p.user)
		if err != nil {
			s.pageError(w, r, err)
			return
		}
		s.app(w, r, p, first{View: v, Unread: counts, Messages: []MessageView{}})
	}
}

func (s *Server) pageChannel(w http.ResponseWriter, r *http.Request, p who) {
	id, err := parseID[discord.ChannelID]("channel", ID(r.PathValue("channel")))
	if err != nil || id == 0 {
		s.pageNotFound(w, r)
		return
	}
	f := first{Loaded: true}
	var page MessagesBody
	err = s.steady(r.Context(), p.user, func(set *tidings.VisibleSet) error {
		g, c, err := readable(set, id)
		if err != nil {
			return err
		}
		f.View = view{Kind: "channel", Channel: id.String(), Title: c.Name, Guild: g.Guild.Name, Topic: c.Topic}
		if f.Unread, err = s.unreadBy(r.Context(), set); err == nil {
			page, err = s.messagesBy(r.Context(), set, store.PageQuery{Channel: id, Limit: firstPage})
		}
		return err
	})
	if errors.Is(err, tidings.ErrNotFound) {
		s.pageNotFound(w, r)
		return
	}
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	f.Messages = page.Messages
	if page.Next != 0 {
		f.Next = page.Next.String()
	}
	s.app(w, r, p, f)
}

// app shows the one page that people keep open. The counts in f were read before its messages: the page then hears of what
// came in between a second time, which is harmless, and never not at all.
func (s *Server) app(w http.ResponseWriter, r *http.Request, p who, f first) {
	ctx := r.Context()
	set := s.o.Access.Visible(p.user)
	var err error
	if f.User, err = s.o.Store.User(ctx, p.user); err != nil {
		s.pageError(w, r, err)
		return
	}
	if len(set.Guilds) == 0 {
		s.nothingToRead(w, r, f.User)
		return
	}
	f.Me = me{f.User.ID, f.User.Name}
	f.CDN, f.names = s.o.DiscordCDN, s.names(set)
	saved, err := s.o.Store.Views(ctx, p.user)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	f.Views = make([]SavedFeed, 0, len(saved))
	for _, v := range saved {
		f.Views = append(f.Views, savedFeed(v))
	}
	words, err := s.o.Store.Keywords(ctx, p.user)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	f.Keywords = append([]string{}, words...)
	f.Parents, f.Roles = []ChannelView{}, map[discord.RoleID]roleView{}
	for _, g := range set.Guilds {
		if state, ok := s.o.Access.Guild(g.Guild.ID); ok {
			for _, r := range state.Roles {
				f.Roles[r.ID] = roleView{r.Name, r.Color}
			}
		}
	}
	for _, g := range guildViews(set) {
		f.Parents = append(f.Parents, g.Parents...)
	}
	s.show(w, r, http.StatusOK, "app.html", f)
}

// nothingToRead is the first page of somebody who may read nothing: it says why, and what to do about it. It looks again
// by itself, every five seconds.
func (s *Server) nothingToRead(w http.ResponseWriter, r *http.Request, u tidings.User) {
	n := notice{Title: "No channel for you yet", SignOut: true, Again: 5, Action: r.URL.RequestURI(), Label: "Look again", Steps: []string{
		"If you have just signed in, wait a moment: your servers may still be on their way, and this page looks again by itself.",
		"Otherwise ask whoever runs this service to invite its bot to your server,",
		"or ask in the server for a role that may read something.",
	}}
	n.Text = "You are signed in as " + u.Name + ", but you are in no server that this service knows, or you may read no channel there."
	if s.o.Guilds != nil {
		guilds, err := s.o.Guilds(r.Context())
		if err != nil {
			s.pageError(w, r, err)
			return
		}
		if len(guilds) == 0 {
			n.Title = "The bot is in no server yet"
			n.Text = "You are signed in as " + u.Name + ". As soon as the bot is in a server that you are in, its channels appear here."
			n.Steps = []string{
				"Invite the bot to a server that you manage.",
				"Let it see the channels that are to be read here.",
				"Come back: this page looks again by itself.",
			}
			if s.o.Invite != "" {
				n.Action, n.Label = s.o.Invite, "Invite the bot"
			}
		}
	}
	s.show(w, r, http.StatusOK, "notice.html", n)
}

// JSON is the state for the page's script. It stands in a data block, which no browser runs; "<" is escaped so that
// nothing in it can end the block.
func (f first) JSON() (template.JS, error) {
	b, err := json.Marshal(f)
	return template.JS(b), err
}

// Days groups the stream for the first view: oldest first, with a line for each day and each change of author.
func (f first) Days() []streamDay {
	var days []streamDay
	names := map[discord.ChannelID]string{}
	for _, g := range f.Unread.Guilds {
		for _, c := range g.Channels {
			names[c.ID] = c.Name
		}
	}
	last := MessageView{}
	for i := len(f.Messages) - 1; i >= 0; i-- {
		m := f.Messages[i]
		date := m.Timestamp.UTC().Truncate(24 * time.Hour)
		if len(days) == 0 || !days[len(days)-1].Date.Equal(date) {
			days = append(days, streamDay{Date: date})
			last = MessageView{}
		}
		d := &days[len(days)-1]
		grouped := last.ID != 0 && last.Author == m.Author && last.Channel == m.Channel && m.Reply == nil && m.System == "" && last.System == "" &&
			m.Timestamp.Sub(last.Timestamp) < 7*time.Minute
		d.Messages = append(d.Messages, streamMessage{MessageView: m.named(f.names), Grouped: grouped, ChannelName: names[m.Channel], InFeed: f.View.Kind != "channel"})
		last = m
	}
	return days
}

type streamDay struct {
	Date     time.Time
	Messages []streamMessage
}

type streamMessage struct {
	MessageView
	Grouped     bool
	InFeed      bool
	ChannelName string
}
