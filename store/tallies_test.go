package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func reaction(change tidings.ReactionChange, user discord.UserID, emoji string) tidings.Event {
	return event(testChannel, tidings.ReactionChanged{Change: change, Message: nth(1), User: user, Emoji: emoji})
}

// reactions is what the stored message shows, as "emoji count" in its order.
func reactions(t testing.TB, s *Store) string {
	t.Helper()
	list, _ := payload(t, s, nth(1))["reactions"].([]any)
	out := ""
	for _, r := range list {
		o := r.(map[string]any)
		e := o["emoji"].(map[string]any)
		out += fmt.Sprintf("%v/%v %v;", e["name"], e["id"], o["count"])
	}
	return out
}

func TestReactionsAreCountedOnceHoweverOftenTheyAreTold(t *testing.T) {
	t.Parallel()
	const add, remove = tidings.ReactionAdded, tidings.ReactionRemoved
	fetched := wire{Extra: map[string]any{"reactions": []any{
		map[string]any{"count": 3, "me": false, "emoji": map[string]any{"id": nil, "name": "🎉"}},
		map[string]any{"count": 1, "emoji": map[string]any{"id": "77", "name": "blob"}},
	}}}
	tests := []struct {
		name   string
		stored wire
		events []tidings.Event
		want   string
		deltas int
	}{
		{"one, told twice", wire{}, []tidings.Event{reaction(add, ann, "👍"), reaction(add, ann, "👍")}, "👍/<nil> 1;", 1},
		{"two people", wire{}, []tidings.Event{reaction(add, ann, "👍"), reaction(add, ben, "👍")}, "👍/<nil> 2;", 1},
		{"a custom emoji", wire{}, []tidings.Event{reaction(add, ann, "blob:77")}, "blob/77 1;", 1},
		{"a custom emoji under another name, taken back under none", fetched, []tidings.Event{reaction(add, ann, "renamed:77"), reaction(remove, ann, ":77")}, "🎉/<nil> 3;blob/77 1;", 1},
		{"a custom emoji cleared under no name", fetched, []tidings.Event{reaction(tidings.ReactionsOfEmojiRemoved, 0, ":77")}, "🎉/<nil> 3;", 1},
		{"taken back", wire{}, []tidings.Event{reaction(add, ann, "👍"), reaction(remove, ann, "👍"), reaction(remove, ann, "👍")}, "", 1},
		{"taken back before it was told", wire{}, []tidings.Event{reaction(remove, ann, "👍")}, "", 0},
		{"a fetched one taken back, told twice", fetched, []tidings.Event{reaction(remove, ann, "🎉"), reaction(remove, ann, "🎉")}, "🎉/<nil> 2;blob/77 1;", 1},
		{"one emoji cleared", fetched, []tidings.Event{reaction(add, ann, "🎉"), reaction(tidings.ReactionsOfEmojiRemoved, 0, "🎉")}, "blob/77 1;", 1},
		{"all cleared, then another", fetched, []tidings.Event{reaction(tidings.ReactionsCleared, 0, ""), reaction(add, ann, "🎉")}, "🎉/<nil> 1;", 1},
		{"cleared where there are none", wire{}, []tidings.Event{reaction(tidings.ReactionsCleared, 0, "")}, "", 0},
		{"an edit that does not name them", fetched, []tidings.Event{updated(t, nth(1), wire{Content: "edited"})}, "🎉/<nil> 3;blob/77 1;", 1},
		{"deleted", wire{}, []tidings.Event{reaction(add, ann, "👍"), removed(nth(1)), reaction(add, ben, "👍")}, "gone", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, together := range []bool{true, false} {
				s := open(t)
				record(t, s, created(t, nth(1), tt.stored))
				if together {
					if got := record(t, s, tt.events...); len(got) != tt.deltas {
						t.Errorf("Record() deltas = %q, want %d", say(got), tt.deltas)
					}
				} else {
					for _, ev := range tt.events {
						record(t, s, ev)
					}
				}
				if tt.want == "gone" {
					if n := one[int](t, s, `SELECT count(*) FROM reactions`); n != 0 {
						t.Errorf("%d reactions to a deleted message are left, want none", n)
					}
					continue
				}
				if got := reactions(t, s); got != tt.want {
					t.Errorf("reactions (in one batch: %v) = %q, want %q", together, got, tt.want)
				}
				if got := record(t, s, tt.events[len(tt.events)-1]); len(got) != 0 {
					t.Errorf("the last one again (in one batch: %v) gives %q, want nothing", together, say(got))
				}
			}
		})
	}
}

// What was never told of reactions is set right when their message is read again, unless they moved while it was being read.
func TestReactionsAreSetRightByAPage(t *testing.T) {
	t.Parallel()
	const add, remove = tidings.ReactionAdded, tidings.ReactionRemoved
	list := func(of ...any) map[string]any {
		out := []any{}
		for i := 0; i < len(of); i += 3 {
			out = append(out, map[string]any{"count": of[i+2], "emoji": map[string]any{"name": of[i], "id": of[i+1]}})
		}
		return map[string]any{"reactions": out}
	}
	var none map[string]any
	tests := []struct {
		name       string
		told       []tidings.Event
		shown      map[string]any
		late       bool // the page was asked for only just after what was told
		want       string
		afterwards []tidings.Event
		wantAfter  string
	}{
		{name: "one that was never told", shown: list("👍", nil, 2), want: "👍/<nil> 2;", afterwards: []tidings.Event{reaction(remove, ann, "👍")}, wantAfter: "👍/<nil> 1;"},
		{name: "one taken back that was never told", told: []tidings.Event{reaction(add, ann, "👍"), reaction(add, ben, "🎉")}, shown: list("🎉", nil, 1), want: "🎉/<nil> 1;",
			afterwards: []tidings.Event{reaction(add, ann, "👍"), reaction(add, ben, "🎉")}, wantAfter: "🎉/<nil> 1;👍/<nil> 1;"},
		{name: "all gone", told: []tidings.Event{reaction(add, ann, "👍")}, shown: none, want: ""},
		{name: "the same under another name", told: []tidings.Event{reaction(add, ann, "blob:77")}, shown: list("renamed", "77", 1), want: "blob/77 1;"},
		{name: "they moved while the page was read", told: []tidings.Event{reaction(add, ann, "👍")}, shown: none, late: true, want: "👍/<nil> 1;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			record(t, s, created(t, nth(1), wire{}))
			record(t, s, tt.told...)
			asked, err := s.Clock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !tt.late {
				asked = asked.Add(time.Minute)
			}
			page := event(testChannel, tidings.MessageCreated{Message: message(t, testChannel, nth(1), wire{Extra: tt.shown}), Asked: asked})
			page.Source = tidings.SourceBackfill
			record(t, s, page)
			if got := reactions(t, s); got != tt.want {
				t.Errorf("after the page the reactions are %q, want %q", got, tt.want)
			}
			if got := record(t, s, page); len(got) != 0 {
				t.Errorf("the same page again gives %q, want nothing", say(got))
			}
			if tt.afterwards == nil {
				return
			}
			record(t, s, tt.afterwards...)
			if got := reactions(t, s); got != tt.wantAfter {
				t.Errorf("and then the reactions are %q, want %q", got, tt.wantAfter)
			}
		})
	}
}

func TestAReactionToAMessageThatIsNotStoredChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	wantDeltas(t, record(t, s, reaction(tidings.ReactionAdded, ann, "👍")), "")
	if n := one[int](t, s, `SELECT count(*) FROM reactions`); n != 0 {
		t.Errorf("%d reactions are stored, want none", n)
	}
}

func TestPollVotesAndPins(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{Extra: map[string]any{"poll": map[string]any{"question": map[string]any{"text": "?"}}}}))
	vote := func(user discord.UserID, answer int, removed bool) tidings.Event {
		return event(testChannel, tidings.PollVoted{Message: nth(1), User: user, Answer: answer, Removed: removed})
	}
	got := record(t, s, vote(ann, 1, false), vote(ben, 1, false), vote(ben, 1, false), vote(ann, 1, true), vote(ann, 2, false))
	wantDeltas(t, got, "update v2 n+0;")
	wantDeltas(t, record(t, s, vote(ann, 2, false)), "")
	record(t, s, updated(t, nth(1), wire{Content: "edited", Extra: map[string]any{"poll": map[string]any{"question": map[string]any{"text": "?"}}}}))
	counts := fmt.Sprint(payload(t, s, nth(1))["poll"].(map[string]any)["results"].(map[string]any)["answer_counts"])
	if want := "[map[count:1 id:1 me_voted:false] map[count:1 id:2 me_voted:false]]"; counts != want {
		t.Errorf("answer counts = %s, want %s", counts, want)
	}

	pins := event(testChannel, tidings.PinsChanged{LastPin: noon})
	wantDeltas(t, record(t, s, pins, pins), "")
	if ms := one[int64](t, s, `SELECT last_pin_ms FROM pins WHERE channel_id = $1`, int64(testChannel)); ms != noon.UnixMilli() {
		t.Errorf("last pin = %d, want %d", ms, noon.UnixMilli())
	}
}

// What is odd about a message does not keep what is told of it later from being stored.
func TestAMessageWithOddListsIsStillCounted(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{Extra: map[string]any{"reactions": 5, "poll": "odd", "attachments": map[string]any{}}}))
	record(t, s, reaction(tidings.ReactionAdded, ann, "👍"),
		event(testChannel, tidings.PollVoted{Message: nth(1), User: ann, Answer: 1}))
	page := tidings.MessageCreated{Message: message(t, testChannel, nth(1), wire{Extra: map[string]any{"reactions": "odd"}}), Asked: time.Now().Add(time.Minute)}
	record(t, s, from(tidings.SourceBackfill, event(testChannel, page)))
	if got := reactions(t, s); got != "👍/<nil> 1;" {
		t.Errorf("the reactions are %q, want one", got)
	}
	record(t, s, reaction(tidings.ReactionsCleared, 0, ""))
	if got := reactions(t, s); got != "" {
		t.Errorf("the reactions are %s, want none", got)
	}
}
