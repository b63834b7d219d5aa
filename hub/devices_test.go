package hub_test

import (
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

// A person's device that comes may be shown a mark before their others are told of it. They learn of it all the same, also when no word of it comes.
func TestAMarkThatANewDeviceIsShownReachesTheOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		tell func(n *node, r tidings.ReadResult)
	}{
		{"whom somebody ignores", func(n *node, r tidings.ReadResult) {
			r.Channels = nil
			n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{r}})
		}},
		{"what was read, of which no word comes", func(*node, tidings.ReadResult) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna}, c1, c2)
			n := start(t, newProcess(w), hub.Options{}, nil)
			first := n.dial(t, anna)
			d := w.create(c1, ben, tidings.Mentions{})
			n.Tell(bg, told(d))
			first.delta(c1, 1)
			r, err := n.MarkRead(bg, n.Visible(anna), tidings.MarkRead{Channel: c1, UpTo: d.ID})
			if err != nil {
				t.Fatal(err)
			}
			n.dial(t, anna)
			tt.tell(n, r)
			first.until("the counts after the mark", func(f frame) bool { return f.Op == "read" && f.Rev == r.Rev && len(f.Channels) == 2 })
		})
	}
}

// Also the first mark that a person ever makes may be lost on its way.
func TestAFirstMarkThatWasMissedIsReadAfresh(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil)
	a := n.dial(t, anna)
	mark := func(c discord.ChannelID) tidings.ReadResult {
		r, err := n.MarkRead(bg, n.Visible(anna), tidings.MarkRead{Channel: c, UpTo: 5})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	mark(c1) // and the process ends before it tells
	n.Tell(bg, tidings.Result{Reads: []tidings.ReadResult{mark(c2)}})
	a.until("both channels", func(f frame) bool { return f.Op == "read" && f.Rev == 2 && len(f.Channels) == 2 })
}
