package store

import (
	"errors"
	"testing"

	"tidings"
)

// reading begins a page of the one open gap of the lobby.
func (l *listener) reading() Gap {
	l.t.Helper()
	gaps, err := l.ChannelGaps(l.t.Context(), lobby)
	l.check(err)
	if len(gaps) != 1 {
		l.t.Fatalf("the gaps are %+v, want one", gaps)
	}
	g := gaps[0]
	g.Asked, err = l.BeginPage(l.t.Context(), g)
	l.check(err)
	return g
}

// Of two who read a gap side by side, the one who asked first says nothing about it any more: what is found missing while the other's
// page is under way would count as covered by a gap that this page then closes.
func TestWhatIsMissedBetweenTwoReadersOfAGapStaysMissing(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.check(l.OpenGap(t.Context(), lobby, nth(0), nth(9), "test"))
	first, second := l.reading(), l.reading()
	if _, err := l.AdvanceGap(t.Context(), first, nth(8)); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("AdvanceGap() of who has asked before = %v, want ErrLeaseLost", err)
	}
	missed := event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(5), wire{})})
	l.dead(missed) // after Discord has made the second's page
	_, err := l.CloseGap(t.Context(), second)
	l.check(err)
	l.want("the second page has closed its gap", lobby, "5-5", "6")
}

// An unclear gap that was put off is not closed by a page that was asked for before, also when somebody else is asking again.
func TestAnUnclearGapIsNotClosedByAnOlderPage(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	odd := []tidings.IDRange{{After: nth(4), To: nth(5)}}
	l.check(l.KeepUnclear(t.Context(), lobby, odd))
	first := l.reading()
	l.check(l.KeepUnclear(t.Context(), lobby, odd)) // It could not be made out at that time either.
	second := l.reading()
	if _, err := l.CloseGap(t.Context(), first); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("CloseGap() of who has asked before = %v, want ErrLeaseLost", err)
	}
	if got := l.gapsOf(lobby); got != "5-5" {
		t.Errorf("the gaps are %q, want that of the one which nobody can make out", got)
	}
	if _, err := l.CloseGap(t.Context(), second); err != nil {
		t.Errorf("CloseGap() of who has asked last = %v", err)
	}
}

// What cannot be made out is kept whole: an unclear gap that holds only a part of it, or has read that part already, does not stand
// for the rest, and one elsewhere is not put off.
func TestWhatIsUnclearIsKeptWhole(t *testing.T) {
	t.Parallel()
	type ranges []tidings.IDRange
	for name, c := range map[string]struct {
		there, then ranges
		read        int // how far down what is there was read; 0 for not at all
		gaps        string
		tries       int // most
	}{
		"again":               {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(1), To: nth(5)}}, 0, "2-5", 2},
		"a part":              {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(2), To: nth(3)}}, 0, "2-5", 2},
		"partly elsewhere":    {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(3), To: nth(9)}}, 0, "4-9 2-5", 1},
		"the whole around it": {ranges{{After: nth(3), To: nth(4)}}, ranges{{After: nth(1), To: nth(5)}}, 0, "2-5", 1},
		"in what was read":    {ranges{{After: nth(1), To: nth(9)}}, ranges{{After: nth(6), To: nth(7)}}, 4, "7-7 2-4", 1},
		"beside it":           {ranges{{After: nth(1), To: nth(2)}}, ranges{{After: nth(2), To: nth(3)}}, 0, "3-3 2-2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.shown(0, 0)
			l.check(l.KeepUnclear(t.Context(), lobby, c.there))
			if c.read > 0 {
				_, err := l.AdvanceGap(t.Context(), l.reading(), nth(c.read))
				l.check(err)
			}
			l.check(l.KeepUnclear(t.Context(), lobby, c.then))
			if got := l.gapsOf(lobby); got != c.gaps {
				t.Errorf("the gaps are %q, want %q", got, c.gaps)
			}
			if got := one[int](t, l.Store, `SELECT max(tries) FROM gaps`); got != c.tries {
				t.Errorf("one is put off %d times, want %d", got, c.tries)
			}
		})
	}
}
