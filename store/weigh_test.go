package store

import (
	"fmt"
	"testing"
	"time"

	"tidings"
)

// told marks an event with its place in a session.
func told(session string, seq int64, ev tidings.Event) tidings.Event {
	ev.Mark = tidings.Mark{Session: session, Epoch: 1, Seq: seq}
	return ev
}

func pinned(on bool) wire { return wire{Content: "text", Extra: map[string]any{"pinned": on}} }

// What Discord changes without an edit has nothing to order it but the session's own numbering.
func TestTiesGoByTheSessionsNumbering(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, told("one", 5, created(t, nth(1), pinned(false))))
	record(t, s, told("one", 8, updated(t, nth(1), pinned(true))))
	for _, late := range []tidings.Event{
		told("one", 7, updated(t, nth(1), pinned(false))),
		told("one", 5, created(t, nth(1), pinned(false))),
		told("one", 8, updated(t, nth(1), pinned(true))),
	} {
		wantDeltas(t, record(t, s, late), "")
	}
	if p := payload(t, s, nth(1)); p["pinned"] != true {
		t.Error("an event that was told before, and came once more, has taken the pin away")
	}
	// The session that the guild is told about by now is the later one.
	barrierOf(t, s, tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild}}})
	s.db.MustExec(`UPDATE guilds SET live_session = 'two'`)
	wantDeltas(t, record(t, s, told("two", 2, updated(t, nth(1), pinned(false)))), "update v3 n+0;")
	// What the old one still brings is neither before nor after: it is fetched.
	wantDeltas(t, record(t, s, told("one", 9, updated(t, nth(1), pinned(true)))), "")
	gaps, err := s.ChannelGaps(t.Context(), testChannel)
	if err != nil || len(gaps) != 1 || gaps[0].From != nth(1)-1 || gaps[0].To != nth(1) {
		t.Errorf("the gaps are %+v, %v, want one around the message", gaps, err)
	}
}

// A page is believed about what changes without an edit, unless the gateway has spoken since it was asked for.
func TestReadingAgainRepairsWhatChangesWithoutAnEdit(t *testing.T) {
	t.Parallel()
	file := func(signature string) map[string]any {
		return map[string]any{"url": "https://cdn.discordapp.com/attachments/1/2/a.png?ex=" + signature}
	}
	before := map[string]any{
		"member": map[string]any{"nick": "Annie"}, "guild_id": fmt.Sprint(uint64(testGuild)), "pinned": false,
		"embeds": []any{map[string]any{"title": "a page", "image": file("old")}},
	}
	poll := func(votes ...int) map[string]any {
		counts := []any{}
		for i, n := range votes {
			counts = append(counts, map[string]any{"id": i + 1, "count": n, "me_voted": false})
		}
		return map[string]any{"question": map[string]any{"text": "?"}, "results": map[string]any{"is_finalized": false, "answer_counts": counts}}
	}
	now := time.Now()
	tests := []struct {
		name  string
		first wire
		page  wire
		asked time.Time
		want  string
	}{
		{"a pin", wire{Extra: before}, wire{Extra: map[string]any{"pinned": true, "embeds": before["embeds"]}}, now.Add(time.Hour), "update v2 n+0;"},
		{"a flag", wire{Extra: before}, wire{Flags: 1 << 5, Extra: map[string]any{"pinned": false, "embeds": before["embeds"]}}, now.Add(time.Hour), "update v2 n+0;"},
		{"embeds that were taken away", wire{Extra: before}, wire{Flags: suppressEmbeds, Extra: map[string]any{"pinned": false}}, now.Add(time.Hour), "update v2 n+0;"},
		{"embeds that were given back", wire{Flags: suppressEmbeds}, wire{Extra: map[string]any{"embeds": before["embeds"]}}, now.Add(time.Hour), "update v2 n+0;"},
		{"components", wire{}, wire{Extra: map[string]any{"components": []any{map[string]any{"type": 1}}}}, now.Add(time.Hour), "update v2 n+0;"},
		{"votes", wire{Extra: map[string]any{"poll": poll(1, 0)}}, wire{Extra: map[string]any{"poll": poll(1, 4)}}, now.Add(time.Hour), "update v2 n+0;"},
		{"the same votes", wire{Extra: map[string]any{"poll": poll(1, 0)}}, wire{Extra: map[string]any{"poll": poll(1)}}, now.Add(time.Hour), ""},
		{"only how it is shown", wire{Extra: before}, wire{Extra: map[string]any{
			"pinned": false, "components": []any{}, "embeds": []any{map[string]any{"title": "a page", "image": file("new")}},
		}}, now.Add(time.Hour), ""},
		{"the gateway has spoken since", wire{Extra: before}, wire{Extra: map[string]any{"pinned": true}}, now.Add(-time.Minute), ""},
		{"nobody compares", wire{Extra: before}, wire{Extra: map[string]any{"pinned": true}}, time.Time{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			record(t, s, created(t, nth(1), tt.first))
			page := tidings.MessageCreated{Message: message(t, testChannel, nth(1), tt.page), Asked: tt.asked}
			for i, want := range []string{tt.want, ""} { // Reading it once more finds nothing.
				wantDeltas(t, record(t, s, from(tidings.SourceBackfill, event(testChannel, page))), want)
				if i == 0 && tt.first.Extra["member"] != nil && payload(t, s, nth(1))["member"] == nil {
					t.Error("the name that only the gateway tells is gone")
				}
			}
			verify(t, s)
		})
	}
}
