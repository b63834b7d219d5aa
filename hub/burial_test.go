package hub_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/hub"
)

// watchedAndLeft is a world in which anna watched all and has left, with the cursor that she left with.
func watchedAndLeft(t *testing.T) (w *world, n *node, a *socket, cursor string) {
	t.Helper()
	w = newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	for range 10 {
		w.create(c2, ben, tidings.Mentions{}) // whose ids are those of channels
	}
	n = start(t, newProcess(w), hub.Options{}, nil)
	a = n.dial(t, anna)
	a.send(`{"op":"watch","all":true}`)
	a.settle()
	return w, n, a, a.leave(n)
}

// What was deleted while somebody was away is not told to them any more; nor what names it, as an answer does: they read that again.
func TestWhoComesBackIsNotToldTheTextOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answer  bool
		resumed bool
	}{{"a message", false, true}, {"one with an answer", true, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, n, a, cursor := watchedAndLeft(t)
			gone, stays := w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{})
			if tt.answer {
				stays.Message.Content = "an answer to " + gone.ID.String()
			}
			other := w.create(c2, ben, tidings.Mentions{})
			d, _ := w.remove(c1, func(id discord.MessageID) bool { return id == gone.ID })
			n.Tell(bg, told(gone, stays, other, d))
			b, hello := n.resume(t, anna, cursor, a)
			if hello.Resumed != tt.resumed {
				t.Fatalf("hello = %s, want it resumed: %v", hello.raw, tt.resumed)
			}
			b.send(`{"op":"watch","all":true}`)
			b.settle()
			var texts []string
			for _, f := range b.all() {
				if f.Op == "message" {
					texts = append(texts, fmt.Sprintf("%d %d", f.C, f.V))
				}
			}
			want := "1001 2, 1002 11"
			if !tt.resumed {
				want = ""
			}
			if got := strings.Join(texts, ", "); got != want {
				t.Errorf("messages %q, want those that are there: %q", got, want)
			}
		})
	}
}

// Who has come back and does not watch yet is told of what is there when they do.
func TestWhatIsDeletedBeforeItIsWatchedIsNotTold(t *testing.T) {
	t.Parallel()
	w, n, a, cursor := watchedAndLeft(t)
	gone, stays := w.create(c1, ben, tidings.Mentions{}), w.create(c1, ben, tidings.Mentions{})
	n.Tell(bg, told(gone, stays))
	b, _ := n.resume(t, anna, cursor, a)
	b.delta(c1, 2)
	d, _ := w.remove(c1, func(id discord.MessageID) bool { return id == gone.ID })
	n.Tell(bg, told(d))
	b.delta(c1, 3)
	b.send(`{"op":"watch","all":true}`)
	b.settle()
	for _, f := range b.all() {
		if f.Op == "message" && f.V == 1 {
			t.Errorf("%s, which is deleted", f.raw)
		}
	}
}

// A Redis that has failed over may still have what was dropped from its log.
func TestALogThatHasGoneBackTellsNoTextOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	for range 10 {
		w.create(c2, ben, tidings.Mentions{})
	}
	r, prefix := testdb.Redis(t)
	key := prefix + "hub:log:" + g1.String()
	one := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 1)
	a := one.dial(t, anna)
	cursor := a.leave(one)
	eventually(t, "the journal is written", one.Journaled)
	gone := w.create(c1, ben, tidings.Mentions{})
	one.Tell(bg, told(gone))
	logged := func() []redis.XMessage {
		list, err := r.XRange(bg, key, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	eventually(t, "it is logged", func() bool { return len(logged()) == 1 })
	had := logged()[0]
	d, _ := w.remove(c1, func(id discord.MessageID) bool { return id == gone.ID })
	one.Tell(bg, told(d))
	eventually(t, "it is dropped, and the delete logged", func() bool { l := logged(); return len(l) == 1 && l[0].ID != had.ID })
	if err := r.XAdd(bg, &redis.XAddArgs{Stream: key, Values: had.Values}).Err(); err != nil {
		t.Fatal(err)
	}
	one.stop()
	two := start(t, newProcess(w), hub.Options{Redis: r, Prefix: prefix}, nil)
	listening(t, r, prefix, 1)
	b, hello := two.resume(t, anna, cursor, a)
	if !hello.Resumed {
		t.Fatalf("hello = %s, want it resumed", hello.raw)
	}
	b.send(`{"op":"watch","all":true}`)
	b.settle()
	for _, f := range b.all() {
		if f.Op == "message" {
			t.Errorf("%s, which is deleted", f.raw)
		}
	}
}
