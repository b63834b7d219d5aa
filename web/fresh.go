package web

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/sync/singleflight"

	"tidings"
	"tidings/store"
)

// Fresh asks Discord, as the bot, for what is kept here but grows old there. It is cmd's fresh, over bot's REST. A refusal is
// [tidings.ErrUnavailable].
type Fresh interface {
	// Upto returns messages of a channel that end with one, up to 100 of them, newest first.
	Upto(ctx context.Context, g discord.GuildID, c discord.ChannelID, newest discord.MessageID) ([]tidings.Message, error)
	// Pins returns the newest pinned messages of a channel, the last pinned first, and whether there are more.
	Pins(ctx context.Context, c discord.ChannelID) (pinned []discord.MessageID, more bool, err error)
}

const (
	// freshWait bounds one question to Discord, for however many people wait for its answer.
	freshWait = 10 * time.Second
	// pinsFor is how long Discord's word about pins is believed.
	pinsFor = 15 * time.Second
	// linksFor is how long an answer without anything to sign is believed; one with links holds until they expire.
	linksFor = 5 * time.Minute
	// linkMargin is how long before its end a link is asked for anew: a film is loaded over a while.
	linkMargin = 10 * time.Minute
	// freshKept bounds how many messages' links, and channels' pins, are remembered.
	freshKept = 5_000
	// freshPages bounds how many pages of one channel one request may cost.
	freshPages = 4
)

// fresh remembers what Discord has said, and asks once for all who want to know the same.
type fresh struct {
	discord Fresh // nil: nobody to ask
	flight  singleflight.Group
	mu      sync.Mutex
	links   map[store.Quoted]signed
	pins    map[discord.ChannelID]pinned
}

// signed are the links of one message: from what stays of each to the whole.
type signed struct {
	links map[string]string
	until time.Time
}

type pinned struct {
	ids   []discord.MessageID
	more  bool
	until time.Time
}

func newFresh(d Fresh) *fresh {
	return &fresh{discord: d, links: map[store.Quoted]signed{}, pins: map[discord.ChannelID]pinned{}}
}

// ask lets one question run for all who ask it, and does not end it when the first of them leaves.
func (f *fresh) ask(ctx context.Context, key string, question func(context.Context) (any, error)) (any, error) {
	if f.discord == nil {
		return nil, tidings.ErrUnavailable
	}
	answer := f.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), freshWait)
		defer cancel()
		return question(ctx)
	})
	select {
	case a := <-answer:
		return a.Val, a.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pinsOf are the pins of a channel.
func (f *fresh) pinsOf(ctx context.Context, c discord.ChannelID) (pinned, error) {
	f.mu.Lock()
	known, ok := f.pins[c]
	f.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known, nil
	}
	a, err := f.ask(ctx, "pins "+c.String(), func(ctx context.Context) (any, error) {
		ids, more, err := f.discord.Pins(ctx, c)
		if err != nil {
			return nil, err
		}
		p := pinned{ids, more, time.Now().Add(pinsFor)}
		f.mu.Lock()
		defer f.mu.Unlock()
		makeRoom(f.pins)
		f.pins[c] = p
		return p, nil
	})
	if err != nil {
		return pinned{}, err
	}
	return a.(pinned), nil
}

// linksOf are the links of a message, from the page of its channel that ends with it; all that is on the page is remembered.
func (f *fresh) linksOf(ctx context.Context, m tidings.Message) (map[string]string, error) {
	if l, ok := f.known(m); ok {
		return l, nil
	}
	_, err := f.ask(ctx, "links "+m.Channel.String()+" "+m.ID.String(), func(ctx context.Context) (any, error) {
		page, err := f.discord.Upto(ctx, m.Guild, m.Channel, m.ID)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		makeRoom(f.links)
		f.links[store.Quoted{Channel: m.Channel, ID: m.ID}] = signed{until: time.Now().Add(linksFor)} // unless it is on the page
		for _, p := range page {
			makeRoom(f.links)
			f.links[store.Quoted{Channel: m.Channel, ID: p.ID}] = signedIn(p.Payload, time.Now())
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	l, _ := f.known(m)
	return l, nil
}

func (f *fresh) known(m tidings.Message) (map[string]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.links[store.Quoted{Channel: m.Channel, ID: m.ID}]
	return s.links, ok && time.Now().Before(s.until)
}

// makeRoom forgets something when there is too much.
func makeRoom[K comparable, V any](m map[K]V) {
	for k := range m {
		if len(m) < freshKept {
			return
		}
		delete(m, k)
	}
}

// signedIn finds the signed links in Discord's message object, wherever in it they are.
func signedIn(payload []byte, now time.Time) signed {
	s := signed{links: map[string]string{}, until: now.Add(24 * time.Hour)}
	var object any
	if json.Unmarshal(payload, &object) != nil {
		return signed{until: now.Add(linksFor)}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case string:
			bare, until, ok := expiring(v)
			if !ok {
				return
			}
			s.links[bare] = v
			if until = until.Add(-linkMargin); until.Before(s.until) {
				s.until = until
			}
		}
	}
	walk(object)
	if len(s.links) == 0 || s.until.Before(now) {
		s.until = now.Add(linksFor)
	}
	return s
}

// expiring takes a link of Discord's CDN apart: what stays of it and until when it is good.
func expiring(link string) (bare string, until time.Time, ok bool) {
	if !strings.HasPrefix(link, "https://cdn.discordapp.com/") && !strings.HasPrefix(link, "https://media.discordapp.net/") {
		return "", until, false
	}
	bare, query, _ := strings.Cut(link, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", until, false
	}
	seconds, err := strconv.ParseInt(q.Get("ex"), 16, 64)
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return "", until, false
	}
	return bare, time.Unix(seconds, 0), true
}

// PinsBody is what is pinned in a channel.
type PinsBody struct {
	Messages  []MessageView       `json:"messages" doc:"The last pinned first"`
	Elsewhere []discord.MessageID `json:"elsewhere" doc:"Pinned too, but older than what is kept here: to be read in Discord"`
	More      bool                `json:"more" doc:"There are more pins than Discord told at once"`
}

type pinsOutput struct{ Body PinsBody }

func (s *Server) getPins(ctx context.Context, in *channelInput) (*pinsOutput, error) {
	id, err := parseID[discord.ChannelID]("path.id", in.ID)
	if err != nil {
		return nil, err
	}
	set := s.o.Access.Visible(asking(ctx).user)
	g, _, err := readable(set, id)
	if err != nil {
		return nil, s.failed(ctx, "list pins", err)
	}
	pins, err := s.fresh.pinsOf(ctx, id)
	if err != nil {
		return nil, s.failed(ctx, "list pins", err)
	}
	of := make([]store.Quoted, 0, len(pins.ids))
	for _, m := range pins.ids {
		of = append(of, store.Quoted{Channel: id, ID: m})
	}
	kept, err := s.o.Store.Picked(ctx, set, of)
	if err != nil {
		return nil, s.failed(ctx, "list pins", err)
	}
	// Of a channel that is lost not even the ids of what is pinned are told.
	if err := s.confirmed(ctx, set.User, g.Guild.ID, id); err != nil {
		return nil, s.failed(ctx, "list pins", err)
	}
	views, err := s.viewsBy(ctx, set, kept)
	if err != nil {
		return nil, s.failed(ctx, "list pins", err)
	}
	out := &pinsOutput{PinsBody{Messages: []MessageView{}, Elsewhere: []discord.MessageID{}, More: pins.more}}
	for _, m := range pins.ids {
		if i := slices.IndexFunc(views, func(v MessageView) bool { return v.ID == m }); i >= 0 {
			out.Body.Messages = append(out.Body.Messages, views[i])
		} else {
			out.Body.Elsewhere = append(out.Body.Elsewhere, m)
		}
	}
	return out, nil
}

type linksInput struct {
	Body struct {
		Messages []struct {
			Channel ID `json:"channel"`
			Message ID `json:"message"`
		} `json:"messages" minItems:"1" maxItems:"100" doc:"Those whose files are looked at. Others are left out of the answer, as are those that you may not read"`
	}
}

type linksOutput struct {
	Body struct {
		Links map[string]string `json:"links" doc:"From each link without its query to one that is good now, for a day as Discord has it"`
	}
}

// postLinks asks Discord for messages again, whose answer signs the links in them anew. It answers with links of what is kept
// here alone: neither what was deleted nor what was never kept.
func (s *Server) postLinks(ctx context.Context, in *linksInput) (*linksOutput, error) {
	var of []store.Quoted
	for _, m := range in.Body.Messages {
		c, err := parseID[discord.ChannelID]("body.messages", m.Channel)
		if err != nil {
			return nil, err
		}
		id, err := parseID[discord.MessageID]("body.messages", m.Message)
		if err != nil {
			return nil, err
		}
		of = append(of, store.Quoted{Channel: c, ID: id})
	}
	set := s.o.Access.Visible(asking(ctx).user)
	kept, err := s.o.Store.Picked(ctx, set, of)
	if err != nil {
		return nil, s.failed(ctx, "refresh links", err)
	}
	out := &linksOutput{}
	out.Body.Links = map[string]string{}
	asked := map[discord.ChannelID]int{}
	for _, m := range kept { // newest first: one page of a channel answers for what is older on it
		wanted := signedIn(m.Payload, time.Now()).links
		if len(wanted) == 0 {
			continue
		}
		if _, known := s.fresh.known(m); !known {
			if asked[m.Channel]++; asked[m.Channel] > freshPages {
				continue
			}
		}
		links, err := s.fresh.linksOf(ctx, m)
		if err != nil {
			return nil, s.failed(ctx, "refresh links", err)
		}
		for bare := range wanted {
			if link, ok := links[bare]; ok {
				out.Body.Links[bare] = link
			}
		}
	}
	if seen, err := s.still(ctx, set, kept); err != nil {
		return nil, s.failed(ctx, "refresh links", err)
	} else if len(seen) < len(kept) {
		return nil, s.failed(ctx, "refresh links", tidings.ErrNotFound) // it was lost meanwhile
	}
	return out, nil
}
