package store

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func numbersOf(p FeedPage) []int {
	var list []int
	for _, m := range p.Messages {
		list = append(list, int(m.ID-at(0, 0)))
	}
	return list
}

// TestFeedGoesBothWaysAndAround pages through messages of which some share an id with one of another channel.
func TestFeedGoesBothWaysAndAround(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 9; n++ {
		w.post([]discord.ChannelID{general, random, news}[n%3], alice, users(me), at(0, n))
	}
	w.post(news, alice, users(me), at(0, 4), at(0, 7))
	w.post(random, alice, users(me), at(0, 9))
	all := []int{9, 9, 8, 7, 7, 6, 5, 4, 4, 3, 2, 1}
	for _, filter := range []string{FeedAll, FeedUnread, FeedMentions} {
		for _, limit := range []int{1, 2, 5, 100} {
			first, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: filter, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			// From the oldest message up, page by page.
			last := first.Messages[len(first.Messages)-1]
			up := []int{int(last.ID - at(0, 0))}
			cursor := feedCursor{message: int64(last.ID), channel: int64(last.Channel)}.String()
			for range 20 {
				p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: filter, Newer: cursor, Limit: limit})
				if err != nil {
					t.Fatal(err)
				}
				if len(p.Messages) == 0 {
					if p.Newer != cursor {
						t.Errorf("an empty page does not keep its place")
					}
					break
				}
				up = append(numbersOf(p), up...)
				cursor = p.Newer
			}
			if !slices.Equal(up, all) {
				t.Errorf("%s upwards by %d: %v, want %v", filter, limit, up, all)
			}
		}
		for _, tt := range []struct {
			around, limit int
			want          []int
		}{{5, 5, []int{7, 6, 5, 4, 4}}, {1, 4, []int{4, 3, 2, 1}}, {9, 4, []int{9, 9, 8, 7}}, {5, 100, all}, {50, 2, []int{9, 9}}} {
			p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: filter, Around: at(0, tt.around), Limit: tt.limit})
			if err != nil || !slices.Equal(numbersOf(p), tt.want) {
				t.Errorf("%s around %d by %d: %v, %v, want %v", filter, tt.around, tt.limit, numbersOf(p), err, tt.want)
				continue
			}
			// Both of its cursors go on without a hole or a repeat.
			down, _ := w.Feed(t.Context(), set(me), FeedQuery{Filter: filter, Cursor: p.Next, Limit: 100})
			up, _ := w.Feed(t.Context(), set(me), FeedQuery{Filter: filter, Newer: p.Newer, Limit: 100})
			if p.Next == "" {
				down = FeedPage{}
			}
			if got := slices.Concat(numbersOf(up), numbersOf(p), numbersOf(down)); !slices.Equal(got, all) {
				t.Errorf("%s around %d by %d, and on: %v, want %v", filter, tt.around, tt.limit, got, all)
			}
		}
	}
	p, _ := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Limit: 3})
	w.post(general, alice, nobody, at(0, 20))
	if p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Newer: p.Newer}); err != nil || !slices.Equal(numbersOf(p), []int{20}) {
		t.Errorf("what has come since = %v, %v, want 20", numbersOf(p), err)
	}
	if p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Around: math.MaxInt64}); err != nil || len(p.Messages) == 0 {
		t.Errorf("around the greatest id = %d messages, %v, want the newest page", len(p.Messages), err)
	}
	if _, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Newer: feedCursor{message: math.MaxInt64, channel: 6}.String()}); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("newer than the greatest id = %v, want ErrInvalid", err)
	}
	if _, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Newer: p.Newer, Around: 5}); err == nil {
		t.Error("two places at once are taken")
	}
}

func TestFeedByCategoryAndFeature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(general, alice, users(me), at(0, 1))
	w.post(thread, alice, users(me), at(0, 2))
	w.post(random, alice, users(me), at(0, 3))
	w.post(news, alice, users(me), at(0, 4))
	w.exec(`UPDATE messages SET has = $1 WHERE id = $2`, int(tidings.HasLink|tidings.HasFile), int64(at(0, 2)))
	w.exec(`UPDATE messages SET has = $1 WHERE id = $2`, int(tidings.HasFile), int64(at(0, 4)))
	for _, filter := range []string{FeedAll, FeedUnread, FeedMentions} {
		for _, tt := range []struct {
			query FeedQuery
			want  []int
		}{
			{FeedQuery{Category: 1000}, []int{2, 1}},
			{FeedQuery{Has: tidings.HasFile}, []int{4, 2}},
			{FeedQuery{Has: tidings.HasFile | tidings.HasLink}, []int{2}},
			{FeedQuery{Has: tidings.HasPoll}, nil},
			{FeedQuery{Category: 1000, Has: tidings.HasFile, Authors: []discord.UserID{alice}}, []int{2}},
		} {
			tt.query.Filter = filter
			p, err := w.Feed(t.Context(), set(me), tt.query)
			if err != nil || !slices.Equal(numbersOf(p), tt.want) {
				t.Errorf("Feed(%+v) = %v, %v, want %v", tt.query, numbersOf(p), err, tt.want)
			}
		}
	}
	if _, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedAll, Category: 77}); err == nil {
		t.Error("a category that is not there is taken")
	}
}
