package web

import (
	"context"
	"strings"
	"sync"
	"testing"

	"tidings"
)

// TestMarksMeanwhileAreNoMismatch marks as fast as it goes while counts are verified: no version moves with a mark.
func TestMarksMeanwhileAreNoMismatch(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	first := w.say(deck, bob, "one", "{}")
	last := w.say(deck, bob, "two", "{}")
	w.eventually("the deck is seen", func() bool {
		_, _, err := readable(w.access.Visible(ada), deck)
		return err == nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var marking sync.WaitGroup
	marking.Go(func() {
		for set := w.access.Visible(ada); ctx.Err() == nil; {
			if _, err := w.store.MarkRead(t.Context(), set, tidings.MarkRead{Channel: deck, UpTo: last}); err != nil {
				t.Error(err)
				return
			}
			if _, err := w.store.MarkUnread(t.Context(), set, deck, first); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 50 {
		if got := w.api("GET", "/api/unread/verify", ""); !strings.Contains(got, `"mismatches":[]`) {
			t.Errorf("verify = %s", got)
			break
		}
	}
	cancel()
	marking.Wait()
}
