package web

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// feedsPath is where people's feeds are.
const feedsPath = "/feeds/"

// feedSize is how many messages a feed holds.
const feedSize = 50

// shownPath is a request's path for logs: the secret of a feed is left out.
func shownPath(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, feedsPath) {
		return feedsPath + "…"
	}
	return r.URL.Path
}

// feedOut is a view as Atom or JSON Feed, at a secret address. What it shows is what its person may see at this moment.
func (s *Server) feedOut(w http.ResponseWriter, r *http.Request) {
	plain := func(status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}
	if err := s.limited(r.Context(), "feed", who{}, s.address(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	secret, atom := strings.CutSuffix(r.PathValue("file"), ".atom")
	if !atom {
		var ok bool
		if secret, ok = strings.CutSuffix(secret, ".json"); !ok {
			plain(http.StatusNotFound, "There is no such feed.")
			return
		}
	}
	v, err := s.o.Store.ViewByFeed(r.Context(), secret)
	if errors.Is(err, tidings.ErrNotFound) {
		plain(http.StatusNotFound, "There is no such feed.")
		return
	}
	var f outFeed
	if err == nil {
		f, err = s.outFeed(r.Context(), v, s.base(r))
	}
	if err != nil {
		p := problem(err)
		if p.Status >= 500 && r.Context().Err() == nil {
			s.log.Error("request failed", "what", "read a feed", "err", err)
		}
		plain(p.Status, p.Detail)
		return
	}
	var b []byte
	if atom {
		w.Header().Set("Content-Type", "application/atom+xml; charset=utf-8")
		b, err = xml.Marshal(f.atom())
		b = append([]byte(xml.Header), b...)
	} else {
		w.Header().Set("Content-Type", "application/feed+json; charset=utf-8")
		b, err = json.Marshal(f)
	}
	if err != nil {
		s.log.Error("request failed", "what", "write a feed", "err", err)
		plain(http.StatusInternalServerError, "Something went wrong here. It was logged; try again in a moment.")
		return
	}
	w.Write(b) // #nosec G705 -- an encoder of XML or JSON made it, and its type is stated
}

// outFeed is a feed as JSON Feed 1.1 has it: jsonfeed.org/version/1.1.
type outFeed struct {
	Version string     `json:"version"`
	Title   string     `json:"title"`
	Home    string     `json:"home_page_url"`
	Items   []feedItem `json:"items"`

	id      string
	updated time.Time
}

type feedItem struct {
	ID        string       `json:"id"`
	URL       string       `json:"url"`
	Title     string       `json:"title"`
	HTML      string       `json:"content_html"`
	Published time.Time    `json:"date_published"`
	Modified  *time.Time   `json:"date_modified,omitempty"`
	Authors   []feedAuthor `json:"authors"`
	Tags      []string     `json:"tags,omitempty"`
}

type feedAuthor struct {
	Name string `json:"name" xml:"name"`
}

func (s *Server) outFeed(ctx context.Context, v store.View, base string) (outFeed, error) {
	set := s.o.Access.Visible(v.User)
	q := v.Filters.Query()
	q.Limit = feedSize
	body, err := s.feed(ctx, set, q)
	if err != nil {
		return outFeed{}, err
	}
	names := map[discord.ChannelID]string{}
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			names[c.ID] = "#" + c.Name + " · " + g.Guild.Name
		}
	}
	f := outFeed{
		Version: "https://jsonfeed.org/version/1.1", Title: v.Name, Home: base + "/", Items: []feedItem{},
		id: fmt.Sprintf("urn:tidings:view:%d", v.ID), updated: v.CreatedAt.UTC(),
	}
	called := s.names(s.o.Access.Visible(v.User)) // by what was asked for after the messages were read
	for _, m := range body.Messages {
		m = m.named(called)
		item := feedItem{
			ID: "urn:tidings:message:" + m.ID.String(), URL: base + "/c/" + m.Channel.String(), Title: m.Author.Name + " in " + names[m.Channel],
			HTML: string(m.HTML), Published: m.ID.Time().UTC(), Authors: []feedAuthor{{m.Author.Name}},
		}
		for _, a := range m.Attachments {
			item.HTML += fmt.Sprintf(`<p><a href="%s">%s</a></p>`, html.EscapeString(a.URL), html.EscapeString(a.Name))
		}
		changed := item.Published
		if m.Edited != nil {
			changed = m.Edited.UTC()
			item.Modified = &changed
		}
		if m.Unread {
			item.Tags = append(item.Tags, "unread")
		}
		if m.MentionsMe {
			item.Tags = append(item.Tags, "mention")
		}
		if changed.After(f.updated) {
			f.updated = changed
		}
		f.Items = append(f.Items, item)
	}
	return f, nil
}

// atomFeed is a feed as RFC 4287 has it.
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Link    atomLink    `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID         string         `xml:"id"`
	Title      string         `xml:"title"`
	Updated    string         `xml:"updated"`
	Published  string         `xml:"published"`
	Link       atomLink       `xml:"link"`
	Authors    []feedAuthor   `xml:"author"`
	Categories []atomCategory `xml:"category"`
	Content    atomContent    `xml:"content"`
}

type atomCategory struct {
	Term string `xml:"term,attr"`
}

type atomContent struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

func (f outFeed) atom() atomFeed {
	out := atomFeed{ID: f.id, Title: f.Title, Updated: f.updated.Format(time.RFC3339), Link: atomLink{f.Home}}
	for _, i := range f.Items {
		e := atomEntry{
			ID: i.ID, Title: i.Title, Updated: i.Published.Format(time.RFC3339), Published: i.Published.Format(time.RFC3339), Link: atomLink{i.URL},
			Authors: i.Authors, Content: atomContent{"html", i.HTML},
		}
		if i.Modified != nil {
			e.Updated = i.Modified.Format(time.RFC3339)
		}
		for _, t := range i.Tags {
			e.Categories = append(e.Categories, atomCategory{t})
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}
