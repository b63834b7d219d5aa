package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
)

// held keeps a socket and says how many channels it shows.
func held(t *testing.T, s *service, who credential) func() int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var shown atomic.Int64
	shown.Store(-1)
	done := make(chan error, 1)
	go func() {
		done <- client.Follow(ctx, s.url, client.Options{Token: who.token}, func(state *client.State, _ client.Event) {
			shown.Store(int64(len(state.Channels())))
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() int { return int(shown.Load()) }
}

// Whom Discord takes for a guest, as in a voice channel by a link, reads nothing here, on whatever way they ask; and everything again
// when they are a member like others.
func TestAGuestReadsNothing(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader, other := d.Person("owner"), d.Person("reader"), d.Person("other")
	g := d.Guild("Harbour", owner, []simtest.Person{reader, other}, []string{"general"}, nil)
	c := configFor(t, d)
	me, them := credential{token: makeToken(t, c, reader.ID)}, credential{token: makeToken(t, c, other.ID)}
	s := start(t, c)
	socket := held(t, s, me)
	d.Say(owner, g.Channel("general"), "hello zulu")
	sees := func(who credential) bool {
		var found struct{ Messages []struct{} }
		page := s.call(who, "GET", "/api/messages?channel="+g.Channel("general"), nil, nil) == http.StatusOK
		search := s.call(who, "GET", "/api/search?q=zulu", nil, &found) == http.StatusOK && len(found.Messages) == 1
		return page && search && len(s.unread(who).channels()) == 1
	}
	blind := func(who credential) bool {
		var found struct{ Messages []struct{} }
		return s.call(who, "GET", "/api/messages?channel="+g.Channel("general"), nil, nil) == http.StatusNotFound &&
			s.call(who, "GET", "/api/search?q=zulu", nil, &found) == http.StatusOK && len(found.Messages) == 0 && len(s.unread(who).channels()) == 0
	}
	flag := func(flags int) {
		d.Must(owner.Token, "PATCH", "/guilds/"+g.ID+"/members/"+reader.ID, simtest.Object{"flags": flags}, nil)
	}
	eventually(t, "the reader sees the channel", 20*time.Second, func() bool { return sees(me) && sees(them) && socket() == 1 })
	flag(1 << 4)
	eventually(t, "the guest sees nothing", 20*time.Second, func() bool { return blind(me) && socket() == 0 })
	if !sees(them) {
		t.Error("somebody else lost the channel")
	}
	flag(0)
	eventually(t, "the member sees it again", 20*time.Second, func() bool { return sees(me) && socket() == 1 })
}

// Without the members intent Discord lets no session begin that asks for it: serve ends, and check says where to switch it on. What the
// intent would have told is missing in the same way when events are lost: who was kicked loses everything by the recheck.
func TestWithoutTheMembersIntent(t *testing.T) {
	t.Parallel()
	t.Run("it is named", func(t *testing.T) {
		t.Parallel()
		d := simtest.Start(t, sim.Options{Refused: sim.IntentMembers})
		c := configFor(t, d)
		err := serve(t.Context(), c, slog.New(slog.DiscardHandler), func(string) {})
		if err == nil || !strings.Contains(err.Error(), "Server Members Intent") || strings.Contains(err.Error(), "Message Content") {
			t.Errorf("serve() = %v, want the Server Members Intent named", err)
		}
		var out bytes.Buffer
		if err := (checkCmd{}).Run(t.Context(), c, &output{&out, io.Discard}); err == nil || !strings.Contains(out.String(), "FAIL  privileged intents are switched off: Server Members Intent\n") {
			t.Errorf("tidings check = %v:\n%s", err, out.String())
		}
	})
	t.Run("nobody tells of a kick", func(t *testing.T) {
		t.Parallel()
		d := simtest.Start(t, sim.Options{})
		owner, reader, other := d.Person("owner"), d.Person("reader"), d.Person("other")
		g := d.Guild("Harbour", owner, []simtest.Person{reader, other}, []string{"general"}, nil)
		d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "lose", "match": simtest.Object{"event": "GUILD_MEMBER_REMOVE"}, "for_ms": 3_600_000}, nil)
		c := configFor(t, d)
		c.Recheck = 2 * time.Second
		me, them := credential{token: makeToken(t, c, reader.ID)}, credential{token: makeToken(t, c, other.ID)}
		s := start(t, c)
		socket := held(t, s, me)
		sees := func(who credential) bool {
			return s.call(who, "GET", "/api/messages?channel="+g.Channel("general"), nil, nil) == http.StatusOK
		}
		eventually(t, "both see the channel", 20*time.Second, func() bool { return sees(me) && sees(them) && socket() == 1 })
		d.Must(owner.Token, "DELETE", "/guilds/"+g.ID+"/members/"+reader.ID, nil, nil)
		eventually(t, "who was kicked sees nothing", 20*time.Second, func() bool { return !sees(me) && len(s.unread(me).channels()) == 0 && socket() == 0 })
		if !sees(them) {
			t.Error("somebody else lost the channel")
		}
	})
}
