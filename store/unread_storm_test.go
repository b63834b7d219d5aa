package store

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestCountsStandWhileOthersWriteAndMark records messages, own ones among them, edits and deletes from several writers while the
// same people mark, undo and read pages. Whatever moment a reader sees, its counts are what its messages say.
func TestCountsStandWhileOthersWriteAndMark(t *testing.T) {
	t.Parallel()
	people := []discord.UserID{me, alice, bob}
	channels := []discord.ChannelID{general, random, news}
	w := enrolled(t, people...)
	w.exec(`INSERT INTO ignored_authors VALUES ($1, $2)`, int64(me), int64(bob))

	var writers, others sync.WaitGroup
	done := make(chan struct{})
	for n := range 3 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			var mine []tidings.Event
			for i := range 80 {
				before := len(mine)
				c := channels[r.IntN(3)]
				var m tidings.Mentions
				switch r.IntN(4) {
				case 0:
					m = tidings.Mentions{Users: []discord.UserID{people[r.IntN(3)]}, Roles: []discord.RoleID{modsA}}
				case 1:
					m.Everyone = true
				}
				mine = append(mine, w.write(c, people[r.IntN(3)], at(r.Float64()*96-80, i*3+n), m))
				if r.IntN(4) == 0 {
					old := mine[r.IntN(len(mine))]
					old.Body = tidings.MessagesDeleted{IDs: []discord.MessageID{messageID(old)}}
					mine = append(mine, old)
				}
				if _, err := w.Record(t.Context(), mine[before:], nil); err != nil {
					t.Error(err)
					return
				}
			}
			// All of it again: nothing may change.
			if r, err := w.Record(t.Context(), mine, nil); err != nil || len(r.Deltas) != 0 {
				t.Errorf("recording it all again made %d deltas, %v: %s", len(r.Deltas), err, say(r.Deltas))
			}
		})
	}
	for n, p := range people {
		others.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 2))
			var rev int64
			for {
				select {
				case <-done:
					return
				default:
				}
				c, id := channels[r.IntN(3)], at(r.Float64()*96-80, 0)
				var got tidings.ReadResult
				var err error
				switch r.IntN(5) {
				case 0:
					got, err = w.MarkRead(t.Context(), set(p), tidings.MarkRead{Channel: c, UpTo: id})
				case 1:
					got, err = w.MarkRead(t.Context(), set(p), tidings.MarkRead{Guild: guildA, UpTo: id, Auto: true, Rev: rev})
				case 2:
					got, err = w.MarkUnread(t.Context(), set(p), c, id)
				case 3:
					got, err = w.MarkRead(t.Context(), set(p), tidings.MarkRead{All: true, UpTo: id})
				case 4:
					// An own message may have come between; then there is nothing to undo.
					got, _ = w.Undo(t.Context(), set(p), rev)
				}
				if err != nil {
					t.Error(err)
					return
				}
				rev = max(rev, got.Rev)
				w.sameAsRecount(set(p))
			}
		})
	}
	writers.Wait()
	close(done)
	others.Wait()
	for _, p := range people {
		w.sameAsRecount(set(p))
	}
	verify(t, w.Store)
}

func messageID(ev tidings.Event) discord.MessageID {
	switch b := ev.Body.(type) {
	case tidings.MessageCreated:
		return b.Message.ID
	case tidings.MessagesDeleted:
		return b.IDs[0]
	}
	return 0
}
