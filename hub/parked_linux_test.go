package hub_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

func TestSilentReadersTakeNoGoroutine(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	const readers = 30
	var all []*socket
	for range readers {
		all = append(all, n.dial(t, anna))
	}
	for round := int64(1); round <= 3; round++ {
		eventually(t, "nobody reads", func() bool { return n.Parked() == readers })
		n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
		for _, s := range all {
			s.delta(c1, round)
			s.settle() // its word is heard
		}
	}
}

// A message of which a part came is waited for, also when the part ends at a border of frames; then the connection rests.
func TestAPartOfAMessageIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	r := n.raw(t, anna)
	r.frame()
	r.frame()
	for i := range 3 {
		eventually(t, "it rests", func() bool { return n.Parked() == 1 })
		r.Write(masked(false, 1, `{"op":`))
		eventually(t, "it is read", func() bool { return n.Parked() == 0 })
		r.Write(masked(true, 9, fmt.Sprint(i)))
		if op, p := r.frame(); op != 10 || p != fmt.Sprint(i) {
			t.Fatalf("answer to a ping between two parts = %d %q", op, p)
		}
		if n.Parked() != 0 {
			t.Fatal("a connection rests in the middle of a message")
		}
		r.Write(masked(true, 0, `"ping"}`))
		if _, p := r.frame(); !strings.Contains(p, `"pong"`) {
			t.Fatalf("answer = %q", p)
		}
	}
	eventually(t, "it rests", func() bool { return n.Parked() == 1 })
	r.Write(masked(true, 9, "alone")) // a control frame is no message, and the connection rests after it too
	if op, p := r.frame(); op != 10 || p != "alone" {
		t.Fatalf("answer to a ping = %d %q", op, p)
	}
	eventually(t, "it rests", func() bool { return n.Parked() == 1 })
}

// The end of a connection that rests is noticed, whoever makes it.
func TestRestingConnectionsEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(n *node, r *rawSocket)
		code string // of the close frame; empty for none
	}{
		{"the peer is gone", func(_ *node, r *rawSocket) { r.Close() }, ""},
		{"the peer closes", func(_ *node, r *rawSocket) { r.Write(masked(true, 8, "\x03\xe8")) }, "\x03\xe8"},
		{"the session ends, the peer answers", func(n *node, r *rawSocket) {
			n.EndSession("s")
			r.Write(masked(true, 8, "\x0f\xa3"))
		}, "\x0f\xa3"},
		{"the session ends, the peer does not answer", func(n *node, _ *rawSocket) { n.EndSession("s") }, "\x0f\xa3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.guild(g1, []discord.UserID{anna}, c1)
			n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Closing(200 * time.Millisecond) })
			r := n.raw(t, anna, "session=s")
			r.frame()
			r.frame()
			eventually(t, "it rests", func() bool { return n.Parked() == 1 })
			tt.end(n, r)
			if tt.code != "" {
				if op, p := r.frame(); op != 8 || !strings.HasPrefix(p, tt.code) {
					t.Errorf("the last frame = %d %q, want a close frame that begins with %q", op, p, tt.code)
				}
			}
			eventually(t, "nothing is left", func() bool {
				u, a, tr, cr := n.Left()
				return u+a+tr+cr == 0
			})
		})
	}
}
