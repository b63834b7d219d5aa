package access_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
)

// After events of a guild were lost for good its members are asked about at once, whoever is here first, and not with the next
// round of all members.
func TestDoubtedMembersAreAskedAboutAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	const people = 30
	for u := discord.UserID(1); u <= people; u++ {
		w.join(1, u)
	}
	var mu sync.Mutex
	var asked []discord.UserID
	w.onFetch = func(_ discord.GuildID, u discord.UserID) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, u)
	}
	var heard told
	a := load(t, w, access.Options{
		Recheck: -1, Rate: 1000, Asks: 1, Backoff: soon, Tell: heard.tell, Here: func(u discord.UserID) bool { return u == 20 },
	})
	run(t, a)
	a.Visible(21) // has just asked for something
	w.edit(func() { delete(w.discord, key{1, 7}) })
	version := w.silence(1)
	if !a.CanRead(7, 10) {
		t.Error("a member is denied before they could be asked about")
	}
	if err := a.Reload(t.Context(), 1, version); err != nil {
		t.Fatal(err)
	}
	eventually(t, "who was kicked reads no more", func() bool { return !a.CanRead(7, 10) })
	eventually(t, "all were asked about", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(asked) == people
	})
	first := slices.Clone(asked[:2])
	slices.Sort(first)
	if !slices.Equal(first, []discord.UserID{20, 21}) {
		t.Errorf("asked about first were %v, want the two who are here", first)
	}
	if !a.CanRead(8, 10) {
		t.Error("who is a member still is denied")
	}
	eventually(t, "the one who was kicked is told, and nobody else", func() bool { return len(heard.all()) == 1 })
}

func TestWhoCannotBeAskedAboutIsDenied(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7)
	var heard told
	a := load(t, w, access.Options{Recheck: -1, Sweep: time.Millisecond, Backoff: soon, Tell: heard.tell})
	w.edit(func() { // as the store does
		w.remove(1, 7)
		w.guilds[1].Version = 5
		w.denied = []tidings.AccessChange{{Guild: 1, Version: 5, Users: []discord.UserID{7}}}
	})
	run(t, a)
	eventually(t, "they read no more", func() bool { return !a.CanRead(7, 10) })
	eventually(t, "and are told", func() bool {
		return slices.ContainsFunc(heard.all(), func(c tidings.AccessChange) bool { return len(c.Users) == 1 })
	})
}
