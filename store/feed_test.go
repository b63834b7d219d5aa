package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// feedNumbers reads the whole feed in pages of limit and returns the numbers of its messages, as at(0, n) made them.
func (w *world) feedNumbers(q FeedQuery, limit int) []int {
	w.t.Helper()
	q.Limit = limit
	numbers := []int{}
	for range 100 {
		p, err := w.Feed(w.t.Context(), set(me), q)
		if err != nil {
			w.t.Fatalf("Feed(%+v) = %v", q, err)
		}
		if len(p.Messages) > limit {
			w.t.Fatalf("Feed(%+v) gave %d messages", q, len(p.Messages))
		}
		for _, m := range p.Messages {
			numbers = append(numbers, int(m.ID-at(0, 0)))
		}
		if p.Next == "" {
			return numbers
		}
		q.Cursor = p.Next
	}
	w.t.Fatalf("Feed(%+v) does not end", q)
	return nil
}

func TestFeedMergesChannelsNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(bob)
	w.post(general, alice, nobody, at(0, 1), at(0, 4))
	w.post(random, alice, users(me), at(0, 2), at(0, 5))
	w.post(news, alice, everyone, at(0, 3))
	w.post(general, me, users(me), at(0, 6))
	w.post(general, bob, roles(modsA), at(0, 7))
	w.post(general, alice, nobody, at(0, 8))
	w.post(general, alice, tidings.Mentions{Users: []discord.UserID{me}, Everyone: true}, at(0, 9))
	w.post(thread, alice, roles(modsB), at(0, 10))
	w.erase(general, at(0, 8))
	// The same id in two channels must neither be lost nor come twice at the border of two pages.
	w.post(random, alice, nobody, at(0, 9))
	w.exec(`INSERT INTO ignored_authors VALUES ($1, $2)`, int64(me), int64(bob))
	w.mustRead(read(random, at(0, 2)))
	w.mustRead(read(general, at(0, 1)))

	for _, tt := range []struct {
		name  string
		query FeedQuery
		want  []int
	}{
		{"unread", FeedQuery{Filter: FeedUnread}, []int{10, 9, 9, 5, 4, 3}},
		{"mentions, read ones too", FeedQuery{Filter: FeedMentions}, []int{9, 5, 3, 2}},
		{"all", FeedQuery{Filter: FeedAll}, []int{10, 9, 9, 6, 5, 4, 3, 2, 1}},
		{"unread of a guild", FeedQuery{Filter: FeedUnread, Guild: guildB}, []int{3}},
		{"unread of a channel", FeedQuery{Filter: FeedUnread, Channel: general}, []int{9, 4}},
		{"all of a channel", FeedQuery{Filter: FeedAll, Guild: guildA, Channel: random}, []int{9, 5, 2}},
		{"mentions of a channel", FeedQuery{Filter: FeedMentions, Channel: random}, []int{5, 2}},
		{"all of an author", FeedQuery{Filter: FeedAll, Authors: []discord.UserID{me}}, []int{6}},
		{"all of an ignored author", FeedQuery{Filter: FeedAll, Authors: []discord.UserID{bob}}, []int{7}},
		{"mentions of an ignored author", FeedQuery{Filter: FeedMentions, Authors: []discord.UserID{bob}}, []int{7}},
		{"unread of an ignored author", FeedQuery{Filter: FeedUnread, Authors: []discord.UserID{bob}}, []int{}},
		{"unread of an author", FeedQuery{Filter: FeedUnread, Authors: []discord.UserID{alice}}, []int{10, 9, 9, 5, 4, 3}},
	} {
		for _, limit := range []int{1, 2, 3, 100} {
			if got := w.feedNumbers(tt.query, limit); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %d a page: %v, want %v", tt.name, limit, got, tt.want)
			}
		}
	}
	p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedMentions, Limit: 1})
	if err != nil || len(p.Messages) != 1 {
		t.Fatalf("Feed() = %+v, %v", p, err)
	}
	m := p.Messages[0]
	if m.Guild != guildA || m.Channel != general || m.Author != alice || len(m.Payload) == 0 || !m.Mentions.Everyone || !slices.Equal(m.Mentions.Users, []discord.UserID{me}) {
		t.Errorf("Feed() = %+v", m)
	}
}

func TestFeedsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := set(me)
	s.Guilds = s.Guilds[:1]
	good := feedCursor{message: 5, channel: 6}.String()
	for _, tt := range []struct {
		name  string
		query FeedQuery
		want  error
	}{
		{"an unknown filter", FeedQuery{Filter: "old"}, tidings.ErrInvalid},
		{"too many", FeedQuery{Filter: FeedAll, Limit: 101}, tidings.ErrInvalid},
		{"an altered cursor", FeedQuery{Filter: FeedAll, Cursor: good[1:]}, tidings.ErrInvalid},
		{"no cursor at all", FeedQuery{Filter: FeedAll, Cursor: "%%%"}, tidings.ErrInvalid},
		{"a guild out of sight", FeedQuery{Filter: FeedAll, Guild: guildB}, tidings.ErrNotFound},
		{"a channel out of sight", FeedQuery{Filter: FeedAll, Channel: news}, tidings.ErrNotFound},
		{"a channel of another guild", FeedQuery{Filter: FeedAll, Guild: guildA, Channel: news}, tidings.ErrNotFound},
	} {
		if _, err := w.Feed(t.Context(), s, tt.query); !errors.Is(err, tt.want) {
			t.Errorf("%s: Feed() = %v, want %v", tt.name, err, tt.want)
		}
	}
	if p, err := w.Feed(t.Context(), &tidings.VisibleSet{User: me}, FeedQuery{Filter: FeedAll}); err != nil || len(p.Messages) != 0 {
		t.Errorf("the feed of somebody who sees nothing = %+v, %v", p, err)
	}
}

func FuzzFeedCursor(f *testing.F) {
	f.Add(feedCursor{message: 1, channel: 2}.String())
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseFeedCursor(s)
		if err != nil {
			if !errors.Is(err, tidings.ErrInvalid) {
				t.Errorf("parseFeedCursor(%q) = %v, want ErrInvalid", s, err)
			}
			return
		}
		if c.String() != s {
			t.Errorf("parseFeedCursor(%q) = %+v, which is %q", s, c, c.String())
		}
	})
}
