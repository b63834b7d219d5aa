package store

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestPagesComeBackFromRedisAsTheyWere puts a full page of messages that have everything, and asks for parts of it.
func TestPagesComeBackFromRedisAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []tidings.Message
	for n := range MaxPage {
		m := tidings.Message{
			Channel: general, Guild: guildA, ID: at(0, MaxPage-n), Author: alice, Type: n, Flags: math.MaxUint64 >> n, EditedMS: int64(n) - 3,
			Content: strings.Repeat("ü\x01", n), Countable: n%3 == 0,
			Mentions: tidings.Mentions{Everyone: n%2 == 0},
		}
		if n%4 > 0 {
			m.Payload = fmt.Appendf(nil, `{"id":"%d"}`, n)
			m.Mentions.Users = slices.Repeat([]discord.UserID{bob, math.MaxInt64}, n)
			m.Mentions.Roles = []discord.RoleID{7, 8}
		}
		all = append(all, m)
	}
	for _, held := range []int{0, 1, 49, 50, 51, 99, 100} {
		for _, more := range []bool{false, true} {
			w.cache.redis.Del(t.Context(), w.cache.key(general))
			w.cache.put(t.Context(), general, Page{Version: 9, Messages: all[:held], More: more})
			for _, limit := range []int{1, 49, 50, 51, 100} {
				got, ok := w.cache.get(t.Context(), general, limit)
				want := Page{Version: 9, Messages: all[:held], More: more}.cut(limit)
				if !ok || got.Version != 9 || got.More != want.More || !slices.EqualFunc(got.Messages, want.Messages, sameMessage) {
					t.Errorf("of %d, more %v, the newest %d are %d (%v), more %v", held, more, limit, len(got.Messages), ok, got.More)
				}
			}
		}
	}
}

// FuzzCachedPage reads whatever may lie in Redis: it is a page, of no more messages than asked for, or it is refused.
func FuzzCachedPage(f *testing.F) {
	f.Add(string(encodePage([]tidings.Message{{ID: 5, Author: 6, Content: "a", Payload: []byte("{}"), Mentions: tidings.Mentions{Users: []discord.UserID{1}}}}, true)), 3)
	f.Add("\x01\x00", 1)
	f.Add(`{"messages":[]}`, 1)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 0 || limit > MaxPage {
			return
		}
		messages, more, err := decodePage(text, general, limit)
		if err != nil {
			return
		}
		if len(messages) > limit {
			t.Fatalf("%d messages of at most %d", len(messages), limit)
		}
		again, still, err := decodePage(string(encodePage(messages, more)), general, len(messages))
		if err != nil || still != more || !slices.EqualFunc(messages, again, sameMessage) {
			t.Fatalf("%+v, more %v, written and read again: %+v, more %v, %v", messages, more, again, still, err)
		}
	})
}
