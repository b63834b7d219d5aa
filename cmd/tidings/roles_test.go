package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// One process for Discord, one for jobs and two for readers, on one database and Redis: each web process shows the same truth, also while they are
// restarted one after the other and messages go on coming.
func TestRolesInProcessesOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "tides"}, nil)
	channels := []string{guild.Channel("general"), guild.Channel("tides")}
	base := configFor(t, d)
	base.EncryptionKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	base.Admins = []string{owner.ID}
	role := func(name string) *Config {
		c := *base
		c.Roles, c.DataDir = []string{name}, t.TempDir()
		return &c
	}
	me := credential{token: makeToken(t, base, reader.ID)}
	operator := makeToken(t, base, owner.ID, "read", "admin")
	err := tokenCreateCmd{User: reader.ID, Scopes: []string{"read", "admin"}}.Run(t.Context(), base, slog.New(slog.DiscardHandler), &output{io.Discard, io.Discard})
	if !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), "ADMINS") {
		t.Errorf("a token with the scope admin for somebody not in ADMINS: %v", err)
	}
	gateway, jobs := role("gateway"), role("jobs")
	others := map[string]*service{"gateway": start(t, gateway), "jobs": start(t, jobs)}
	settings := []*Config{role("web"), role("web")}
	webs := []*service{start(t, settings[0]), start(t, settings[1])}
	for i, w := range webs {
		eventually(t, fmt.Sprintf("web process %d knows the channels", i), time.Minute, func() bool { return len(w.unread(me).channels()) == 2 })
	}
	said := 0
	say := func(n int) {
		for range n {
			d.Say(owner, channels[said%2], fmt.Sprint("message ", said))
			said++
		}
	}
	same := func(when string, unread int) {
		t.Helper()
		for i, w := range webs {
			eventually(t, fmt.Sprintf("%s, web process %d counts %d", when, i, unread), time.Minute, func() bool { return w.unread(me).Total == unread })
			var v struct{ Mismatches []any }
			if status := w.call(me, "GET", "/api/unread/verify", nil, &v); status != 200 || len(v.Mismatches) > 0 {
				t.Errorf("%s: GET /api/unread/verify = %d, %v", when, status, v.Mismatches)
			}
		}
	}
	say(6)
	same("at first", 6)
	for i := range webs {
		if err := webs[i].stop(); err != nil {
			t.Fatal(err)
		}
		say(3)
		webs[i] = start(t, settings[i])
		say(2)
	}
	same("after a rolling restart", said)
	// A process for readers shows what runs in others.
	var shown struct {
		Overview struct {
			Processes []struct{ Roles []string }
			Shards    []struct {
				State, Process string
				LastEvent      *time.Time `json:"last_event"`
				RoundTripMS    int        `json:"round_trip_ms"`
				Resumes        int
				Identifies     int
			}
		}
	}
	one := func(is func() bool) func() bool {
		return func() bool {
			webs[0].call(credential{token: operator}, "GET", "/api/status", nil, &shown)
			return len(shown.Overview.Shards) == 1 && shown.Overview.Shards[0].State == "ready" && shown.Overview.Shards[0].Process != "" && is()
		}
	}
	eventually(t, "the status shows the shard of another process", time.Minute, one(func() bool {
		s := shown.Overview.Shards[0]
		return s.Identifies == 1 && s.Resumes == 0 && s.LastEvent != nil
	}))
	if p := shown.Overview.Processes; len(p) != 4 || p[0].Roles[0] != "web" {
		t.Errorf("the status shows the processes %v, want all four, the one that was asked first", p)
	}
	d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "drop", "count": 1}, nil)
	eventually(t, "the status shows that the shard of another process was resumed", time.Minute, one(func() bool { return shown.Overview.Shards[0].Resumes == 1 }))
	var state struct {
		Gateway   string
		LastEvent *time.Time `json:"last_event"`
	}
	webs[1].call(me, "GET", "/api/status", nil, &state)
	if state.Gateway != "on" || state.LastEvent == nil {
		t.Errorf("GET /api/status beside a connected process = %+v, want on, and when Discord last told something", state)
	}
	// Whatever a process does, it says how it is.
	for name, s := range others {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/api/unread": 404, "/login": 404} {
			status, text, err := s.try(me, "GET", path, nil)
			if err != nil || status != want {
				t.Errorf("%s: GET %s = %d, %v, want %d", name, path, status, err, want)
			}
			if want == 404 && !strings.Contains(string(text), `"detail":"This process has no web role`) {
				t.Errorf("%s: GET %s = %s, which does not say why", name, path, text)
			}
		}
		c := role(name)
		c.Listen = strings.TrimPrefix(s.url, "http://")
		if err := (healthCmd{}).Run(t.Context(), c, &output{io.Discard, io.Discard}); err != nil {
			t.Errorf("tidings health beside %s: %v", name, err)
		}
	}
	// A mark that is made at one is known at the other, and a session too.
	var page struct {
		UpTo string `json:"up_to"`
	}
	webs[0].call(me, "GET", "/api/messages?channel="+channels[0], nil, &page)
	if status := webs[0].call(me, "POST", "/api/messages/read", map[string]any{"channel": channels[0], "up_to": page.UpTo}, nil); status != 200 {
		t.Fatalf("POST /api/messages/read = %d", status)
	}
	same("after a mark", said/2)
	if u := webs[1].unread(credential{cookie: webs[0].signIn(reader.ID)}); u.Total != said/2 {
		t.Errorf("a session of one process counts %d at the other, want %d", u.Total, said/2)
	}
	if err := others["gateway"].stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status says that no process is connected", time.Minute, func() bool {
		webs[0].call(me, "GET", "/api/status", nil, &state)
		return state.Gateway == "away"
	})
}
