package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// answer is what ben answers to a message of ann's in the lobby that was never stored here.
func answer(t testing.TB, id, to discord.MessageID) tidings.Event {
	return event(lobby, tidings.MessageCreated{Message: message(t, lobby, id, wire{Author: ben, Type: tidings.TypeReply, Content: "indeed", Extra: map[string]any{"referenced_message": map[string]any{
		"id": fmt.Sprint(uint64(to)), "channel_id": fmt.Sprint(uint64(lobby)), "content": canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
	}}})})
}

func TestOfAPurgedAuthorNothingIsKeptThatWasNeverStored(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	old := tidings.FirstID(time.Now().Add(-time.Hour))
	_, err := l.Record(t.Context(), []tidings.Event{answer(t, old+5, old)}, nil)
	l.check(err)
	_, err = l.Messages(t.Context(), PageQuery{Channel: lobby, Limit: 50})
	l.check(err)
	if got := whoHolds(t, l.Store, canary); got != "messages redis" {
		t.Fatalf("the canary is in %q; the test does not see what it should", got)
	}
	var told []tidings.Delta
	_, err = l.Purge(t.Context(), Purge{Author: ann}, func(_ context.Context, r tidings.Result) { told = append(told, r.Deltas...) })
	l.check(err)
	if got := whoHolds(t, l.Store, canary); got != "" {
		t.Errorf("after the purge the text is in %s", got)
	}
	if len(told) != 1 || told[0].Kind != tidings.DeltaReset || told[0].Channel != lobby {
		t.Errorf("told is %+v, want a reset of the lobby", told)
	}
	// A gap is healed, an answer comes, and she goes on writing.
	young := tidings.FirstID(time.Now().Add(time.Second))
	_, err = l.Record(t.Context(), []tidings.Event{
		from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, old-5, wire{Author: ann, Content: canary})})),
	}, nil)
	l.check(err)
	_, err = l.Record(t.Context(), []tidings.Event{answer(t, young, old)}, nil)
	l.check(err)
	if got := whoHolds(t, l.Store, canary); got != "" {
		t.Errorf("the text is back in %s", got)
	}
	_, err = l.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessageCreated{Message: message(t, lobby, young+1, wire{Author: ann, Content: "new"})})}, nil)
	l.check(err)
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE NOT deleted`); n != 3 {
		t.Errorf("%d messages are stored, want the two answers and what she has written since", n)
	}
}

func TestAQuoteIsNotKeptLongerThanWhatItQuotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		later func(l *listener)
	}{
		{"everywhere", func(l *listener) { l.retention = 10 * 24 * time.Hour }},
		{"in its server", func(l *listener) { l.exec(`UPDATE guilds SET retention_days = 10`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.retention = 30 * 24 * time.Hour
			l.ready("one")
			l.shown(0, 0)
			ago := func(days int) discord.MessageID { return tidings.FirstID(time.Now().AddDate(0, 0, -days)) }
			_, err := l.Record(t.Context(), []tidings.Event{answer(t, ago(5), ago(20)), answer(t, ago(4), ago(6))}, nil)
			l.check(err)
			c.later(l)
			n, err := l.Retain(t.Context(), quietly)
			l.check(err)
			if quotes := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE position(convert_to($1, 'UTF8') IN payload) > 0`, canary); n != 0 || quotes != 1 {
				t.Errorf("%d messages went and %d quotes are left, want none and the younger one", n, quotes)
			}
		})
	}
}
