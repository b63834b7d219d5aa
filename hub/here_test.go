package hub_test

import (
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/embedded/testdb"
	"tidings/hub"
)

func TestWhoLooksIsKnownInEveryProcess(t *testing.T) {
	t.Parallel()
	client, prefix := testdb.Redis(t)
	w := newWorld()
	w.guild(1, []discord.UserID{7, 8}, 1001)
	o := hub.Options{Redis: client, Prefix: prefix}
	one, two := start(t, newProcess(w), o, nil), start(t, newProcess(w), o, nil)
	wait := func(what string, want bool) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for _, n := range []*node{one, two} {
			for {
				got, err := n.Here(t.Context(), 7)
				if err != nil {
					t.Fatal(err)
				}
				if got == want {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: Here() = %v", what, got)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		if got, err := two.Here(t.Context(), 8); got || err != nil {
			t.Errorf("%s: Here() of somebody else = %v, %v", what, got, err)
		}
	}
	desk, phone := one.dial(t, 7), two.dial(t, 7)
	wait("nobody has said so", false)
	desk.send(`{"op":"here","on":true}`)
	wait("at the desk", true)
	desk.send(`{"op":"here","on":false}`)
	wait("no longer", false)
	phone.send(`{"op":"here","on":true}`)
	wait("at the phone", true)
	if err := client.Del(t.Context(), prefix+"here:7").Err(); err != nil {
		t.Fatal(err)
	}
	phone.send(`{"op":"ping"}`)
	wait("after Redis has forgotten", true)
	phone.ws.CloseNow()
	wait("gone without a word", false)
}

func TestWhoLookedIsForgottenWithTheHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(1, []discord.UserID{7}, 1001)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) { h.Lasting(time.Nanosecond) })
	a := n.dial(t, 7)
	a.send(`{"op":"here","on":true}`)
	a.send(`{"op":"ping"}`)
	a.next("pong")
	if got, err := n.Here(t.Context(), 7); got || err != nil {
		t.Errorf("Here() long after = %v, %v", got, err)
	}
}
