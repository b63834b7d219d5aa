package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages holds the parsed templates.
type pages struct{ t *template.Template }

func parsePages(a *assets) (*pages, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"asset":   a.url,
		"initial": initial,
		"size":    humanSize,
		"clock":   func(t time.Time) string { return t.UTC().Format("15:04") },
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"day":     func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006") },
	}).Funcs(adminFuncs).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse templates: %w", err)
	}
	return &pages{t}, nil
}

// show writes a whole page, or none of it.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.t.ExecuteTemplate(&b, name, data); err != nil {
		s.log.Error("write a page", "page", name, "err", err)
		http.Error(w, "Something went wrong here. Try again in a moment.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// notice is a page with one thing to say and one thing to do.
type notice struct {
	Title, Text   string
	Action, Label string // a link; none when empty
	SignOut       bool
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	n := notice{Title: title, Text: text, Action: "/", Label: "Back to the feed"}
	if status >= 500 {
		n.Action, n.Label = r.URL.Path, "Try again"
	}
	s.show(w, r, status, "notice.html", n)
}

func (s *Server) pageError(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, err) }

func (s *Server) pageNotFound(w http.ResponseWriter, r *http.Request) {
	s.errorPage(w, r, http.StatusNotFound, "There is nothing here", "The address is wrong, or what was here is gone or not for you to see.")
}

func (s *Server) loginFailed(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.show(w, r, status, "notice.html", notice{Title: title, Text: text, Action: "/login", Label: "Sign in with Discord"})
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) {
	to := localPath(r.URL.RequestURI())
	login := "/login"
	if to != "/" {
		login += "?to=" + url.QueryEscape(to)
	}
	s.show(w, r, http.StatusUnauthorized, "signin.html", struct{ Login string }{login})
}

// first is what the page needs to come alive without asking again.
type first struct {
	User     tidings.User    `json:"-"`
	Me       me              `json:"user"`
	Unread   *tidings.Unread `json:"unread"`
	Parents  []ChannelView   `json:"parents"`
	View     view            `json:"view"`
	Messages []MessageView   `json:"messages"` // newest first
	Next     string          `json:"next"`
	CDN      bool            `json:"cdn"`
}

type me struct {
	ID   discord.UserID `json:"id"`
	Name string         `json:"name"`
}

// view says what the middle of the page shows.
type view struct {
	Kind    string `json:"kind"` // unread, mentions, all or channel
	Channel string `json:"channel,omitempty"`
	Title   string `json:"title"`
	Guild   string `json:"guild,omitempty"`
	Topic   string `json:"topic,omitempty"`
}

func (s *Server) pageFeed(w http.ResponseWriter, r *http.Request, p who) {
	v := view{Kind: "unread", Title: "Unread"}
	switch r.URL.Query().Get("filter") {
	case "mentions":
		v = view{Kind: "mentions", Title: "Mentions"}
	case "all":
		v = view{Kind: "all", Title: "Everything"}
	}
	set := s.o.Access.Visible(p.user)
	counts, err := s.unread(r.Context(), p.user)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	feed, err := s.feed(r.Context(), set, store.FeedQuery{Filter: v.Kind, Limit: 50})
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.app(w, r, p, first{View: v, Unread: counts, Messages: feed.Messages, Next: feed.Next})
}

func (s *Server) pageChannel(w http.ResponseWriter, r *http.Request, p who) {
	id, err := parseID[discord.ChannelID]("channel", ID(r.PathValue("channel")))
	if err != nil || id == 0 {
		s.pageNotFound(w, r)
		return
	}
	g, c, err := readable(s.o.Access.Visible(p.user), id)
	if err != nil {
		s.pageNotFound(w, r)
		return
	}
	counts, err := s.unread(r.Context(), p.user)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	page, err := s.messages(r.Context(), p, store.PageQuery{Channel: id, Limit: 50})
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	f := first{View: view{Kind: "channel", Channel: id.String(), Title: c.Name, Guild: g.Guild.Name, Topic: c.Topic}, Unread: counts, Messages: page.Messages}
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
		w.Header().Set("Refresh", "5") // The page looks again by itself, every 5 s.
		s.show(w, r, http.StatusOK, "notice.html", notice{
			Title: "No servers yet", SignOut: true, Action: r.URL.RequestURI(), Label: "Look again",
			Text: "You are signed in as " + f.User.Name + ", but you are in no server that this service knows, or you may read no channel there. " +
				"Ask whoever runs it to invite its bot to your server. If you have just signed in, memberships may still be on their way.",
		})
		return
	}
	f.Me = me{f.User.ID, f.User.Name}
	f.CDN = s.o.DiscordCDN
	f.Parents = []ChannelView{}
	for _, g := range guildViews(set) {
		f.Parents = append(f.Parents, g.Parents...)
	}
	s.show(w, r, http.StatusOK, "app.html", f)
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
		d.Messages = append(d.Messages, streamMessage{MessageView: m, Grouped: grouped, ChannelName: names[m.Channel], InFeed: f.View.Kind != "channel"})
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

func initial(name string) string {
	for _, c := range strings.TrimSpace(name) {
		return strings.ToUpper(string(c))
	}
	return "?"
}

func humanSize(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
