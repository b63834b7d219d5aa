package store

import (
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// What is found missing while a page is under way is a gap of its own, over a range that the page may cover as well.
func TestWhatTwoGapsHaveMissedIsRecoveredOnce(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(nth(9), 0)
	l.heal(lobby)
	l.said(lobby, nth(10))
	page := func(asked Gap, list ...discord.MessageID) {
		t.Helper()
		for _, id := range list {
			ev := from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, id, wire{}), Asked: asked.Asked}))
			_, err := l.Record(t.Context(), []tidings.Event{ev}, nil)
			l.check(err)
		}
	}
	begun := func(n int) Gap {
		t.Helper()
		gaps, err := l.ChannelGaps(t.Context(), lobby)
		l.check(err)
		if len(gaps) != n {
			t.Fatalf("%d gaps are open, want %d", len(gaps), n)
		}
		g := gaps[n-1]
		g.Asked, err = l.BeginPage(t.Context(), g)
		l.check(err)
		return g
	}
	l.check(l.OpenGap(t.Context(), lobby, nth(1), nth(8), "a"))
	first := begun(1)
	l.check(l.OpenGap(t.Context(), lobby, nth(3), nth(8), "b"))
	page(first, nth(5), nth(6))
	if n, err := l.CloseGap(t.Context(), first); n != 2 || err != nil {
		t.Errorf("the first gap recovered %d, %v, want 2", n, err)
	}
	second := begun(1)
	page(second, nth(5), nth(7))
	if n, err := l.CloseGap(t.Context(), second); n != 1 || err != nil {
		t.Errorf("the second gap recovered %d, %v, want the other one", n, err)
	}
}
