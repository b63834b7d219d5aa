package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestCountsFromTailsAreThoseOfARecount does what changes counts in every order to two channels, through tails that are so short that positions
// lie in them and below them, and compares what people are told with a recount after each step.
func TestCountsFromTailsAreThoseOfARecount(t *testing.T) {
	t.Parallel()
	for _, limits := range []struct {
		age      time.Duration
		messages int
	}{{time.Hour, 3}, {24 * time.Hour, 1000}} {
		t.Run(fmt.Sprint(limits.messages), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			w.tails.age, w.tails.messages = limits.age, limits.messages
			sets := []*tidings.VisibleSet{set(me), set(alice)}
			w.user(alice)
			channels := []discord.ChannelID{general, news}
			ids := map[discord.ChannelID][]discord.MessageID{}
			now := time.Now()
			carried := 0
			for step := range 120 {
				c := channels[r.IntN(2)]
				list := ids[c]
				some := discord.MessageID(1)
				if len(list) > 0 {
					some = list[r.IntN(len(list))]
				}
				before := w.tails.of([]counted{{ID: general}, {ID: news}}, []int{0, 1}, now)
				what := r.IntN(12)
				switch {
				case what < 7 || len(list) < 3: // Something is said; at times late, at times a day ago.
					id := tidings.FirstID(now.Add(time.Duration(step) * time.Second))
					if what == 6 {
						id = tidings.FirstID(now.Add(-time.Duration(r.IntN(60)) * time.Hour))
					}
					author := []discord.UserID{me, alice, bob}[r.IntN(3)]
					w.post(c, author, []tidings.Mentions{nobody, users(me), everyone, roles(modsA)}[r.IntN(4)], id+discord.MessageID(step))
					ids[c] = append(list, id+discord.MessageID(step))
				case what == 7:
					i := slices.Index(list, some)
					ids[c] = slices.Delete(list, i, i+1)
					w.erase(c, some)
				case what == 8: // A delete and something new at once: the version moves by as much as two messages move it.
					i := slices.Index(list, some)
					ids[c] = slices.Delete(list, i, i+1)
					w.erase(c, some)
					id := tidings.FirstID(now.Add(time.Duration(step)*time.Second)) + discord.MessageID(step)
					w.post(c, bob, nobody, id)
					ids[c] = append(ids[c], id)
				case what == 9:
					if _, err := w.MarkRead(t.Context(), sets[r.IntN(2)], tidings.MarkRead{Channel: c, UpTo: some}); err != nil {
						t.Fatal(err)
					}
				case what == 10:
					if _, err := w.MarkUnread(t.Context(), sets[r.IntN(2)], c, some); err != nil {
						t.Fatal(err)
					}
				default:
					if _, err := w.Ignore(t.Context(), me, bob); err != nil {
						t.Fatal(err)
					}
				}
				for _, s := range sets {
					w.sameAsRecount(s)
				}
				if t.Failed() {
					t.Fatalf("step %d was of kind %d in channel %d", step, what, c)
				}
				for id, tail := range w.tails.of([]counted{{ID: general}, {ID: news}}, []int{0, 1}, now) {
					if old := before[id]; old != nil && old.version < tail.version && old.since.Equal(tail.since) {
						carried++
					}
				}
			}
			if carried == 0 {
				t.Error("no tail was ever carried on, so this shows less than it should")
			}
		})
	}
}

// TestATailThatMayNotBeCarriedOnIsReadAgain counts when as many messages have come as the version has moved, and when one less has.
func TestATailThatMayNotBeCarriedOnIsReadAgain(t *testing.T) {
	t.Parallel()
	old := &tail{version: 7, from: 10, ids: []int64{11, 12}, authors: []int64{1, 2}}
	if next := old.grown(9, []int64{13}, []int64{3}, 100); next != nil {
		t.Errorf("one message explains two versions: %+v", next)
	}
	next := old.grown(9, []int64{13, 14}, []int64{3, 1}, 100)
	if next == nil || next.version != 9 || !slices.Equal(next.ids, []int64{11, 12, 13, 14}) || len(old.ids) != 2 {
		t.Fatalf("two messages do not explain two versions: %+v", next)
	}
	if n, first, ok := next.after(11, []int64{1}); n != 2 || first != 12 || !ok {
		t.Errorf("after() = %d, %d, %v", n, first, ok)
	}
	if _, _, ok := next.after(9, nil); ok {
		t.Error("what lies below a tail is counted by it")
	}
	short := next.grown(11, []int64{15, 16}, []int64{3, 1}, 2)
	if short.from != 14 || len(short.ids) != 2 {
		t.Errorf("a tail grows without end: %+v", short)
	}
}

// TestTheTailsAreBounded forgets the channel that was counted least lately, and what is old.
func TestTheTailsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	held := newTails()
	held.most = 2 * (tailOverhead + 3)
	put := func(c discord.ChannelID, version int64) {
		held.keep(map[discord.ChannelID]*tail{c: {version: version, since: now, ids: make([]int64, 3)}})
	}
	look := func(c discord.ChannelID, at time.Time) *tail { return held.of([]counted{{ID: c}}, []int{0}, at)[c] }
	put(1, 5)
	put(2, 5)
	look(1, now)
	put(3, 5)
	if look(2, now) != nil || look(1, now) == nil || look(3, now) == nil {
		t.Error("the channel that was counted least lately is not the one that is forgotten")
	}
	put(1, 4)
	if look(1, now).version != 5 {
		t.Error("an older tail replaced a newer one")
	}
	if look(1, now.Add(rememberedFor+time.Second)) != nil || held.held != tailOverhead+3 {
		t.Errorf("what is old is believed; %d are held", held.held)
	}
}
