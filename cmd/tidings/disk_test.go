package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/sim"
	"tidings/sim/simtest"
)

// A disk that is nearly full stops what is taken in, and nothing else; with room again, what was missed comes.
func TestAFullDiskStopsWhatIsTakenIn(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(10 << 30)
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	c := configFor(t, d)
	c.MinFreeDisk = 100
	c.Statfs = func(string) (uint64, uint64, error) { return free.Load(), 100 << 30, nil }
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the channel is there", time.Minute, func() bool { return len(s.unread(me).channels()) == 1 })
	d.Say(owner, guild.Channel("general"), "while there is room")
	eventually(t, "one message is unread", time.Minute, func() bool { return s.unread(me).Total == 1 })

	stopped := func(want string) {
		t.Helper()
		eventually(t, "tidings_disk_stopped is "+want, time.Minute, func() bool {
			_, text, err := s.try(credential{}, "GET", "/metrics", nil)
			return err == nil && strings.Contains(string(text), "\ntidings_disk_stopped "+want+"\n")
		})
	}
	free.Store(50 << 20)
	stopped("1")
	var gone simtest.Object
	for _, text := range []string{"one", "two", "three"} {
		gone = d.Say(owner, guild.Channel("general"), text)
	}
	d.Must(owner.Token, "DELETE", "/channels/"+guild.Channel("general")+"/messages/"+gone["id"].(string), nil, nil)
	// Reading and marking go on.
	if status := s.call(me, "POST", "/api/messages/read", map[string]any{"all": true, "up_to": guild.Channel("general")}, nil); status != http.StatusOK {
		t.Errorf("marking as read with a full disk = %d", status)
	}
	if n := s.unread(me).Total; n > 1 {
		t.Errorf("%d messages are unread with a full disk, want no more than before", n)
	}
	free.Store(105 << 20) // not yet: it would flap
	free.Store(10 << 30)
	stopped("0")
	eventually(t, "what was missed is there", time.Minute, func() bool { return s.unread(me).Total == 3 })
}

func TestTheDoorDoesNotFlap(t *testing.T) {
	t.Parallel()
	d := newDiskWatch("/", 100, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	var free uint64
	d.statfs = func(string) (uint64, uint64, error) { return free, 1 << 40, nil }
	for _, step := range []struct {
		freeMB uint64
		part   string
		open   bool
	}{{1000, "good", true}, {399, "warn", true}, {100, "warn", true}, {99, "bad", false}, {105, "bad", false}, {111, "warn", true}, {401, "good", true}, {0, "bad", false}} {
		free = step.freeMB << 20
		d.look()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if open := d.wait(ctx) == nil; open != step.open || d.part().State != step.part {
			t.Errorf("with %d MB the door is open: %v, and the disk %q, want %v and %q", step.freeMB, open, d.part().State, step.open, step.part)
		}
	}
	// Whoever waits is let in once there is room.
	done := make(chan error, 1)
	go func() { done <- d.wait(t.Context()) }()
	free = 1 << 40
	d.look()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// What changes who may read what does not wait.
	free = 0
	d.look()
	if !(tidings.Event{Body: tidings.RoleGone{}}).Barrier() {
		t.Error("a role that is gone is no barrier")
	}
}
