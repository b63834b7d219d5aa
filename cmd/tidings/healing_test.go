package main

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
)

// Whoever opens a channel is served first: healing in general is paused here, and only what somebody looks at is fetched. They
// are told of what was found below what they had read, live and by the API.
func TestAReaderIsServedFirstAndToldOfWhatWasRecovered(t *testing.T) {
	t.Parallel()
	s := newStage(t, 3, sim.Options{})
	c := configFor(t, s.d)
	general := s.channels[0]
	me := credential{token: makeToken(t, c, s.people[0].ID)}
	other := credential{token: makeToken(t, c, s.people[1].ID)}
	run := start(t, c)
	eventually(t, "the reader sees the channels", 20*time.Second, func() bool { return len(run.unread(me).channels()) == len(s.channels) })
	type detail struct {
		Since *time.Time `json:"complete_since"`
		Gaps  []struct{ From, To string }
		Found []struct {
			From, To string
			N        int
		} `json:"recovered"`
	}
	read := func() (d detail) {
		run.call(me, "GET", "/api/channels/"+general, nil, &d)
		return d
	}
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The reader's token has brought the server in already; what is said before the gateway's session begins counts as recovered.
	eventually(t, "the gateway tells of the server", 30*time.Second, func() bool {
		var live bool
		return db.QueryRow(`SELECT bool_and(live_session <> '') FROM guilds`).Scan(&live) == nil && live
	})
	for range 3 {
		s.d.Say(s.people[2], general, "before")
	}
	s.settle(c.DatabaseURL, 20*time.Second)
	if _, err := db.Exec(`INSERT INTO job_pauses (kind) SELECT unnest(ARRAY['fetch-messages', 'reconcile', 'audit'])`); err != nil {
		t.Fatal(err)
	}
	s.fault("refuse_resume", simtest.Object{"count": 1})
	s.fault("outage", simtest.Object{"for_ms": 1500})
	for range 5 {
		s.d.Say(s.people[2], general, "meanwhile")
	}
	eventually(t, "the gap is known", 40*time.Second, func() bool { return len(read().Gaps) == 1 })
	last := s.d.Say(s.people[2], general, "after")["id"].(string)
	eventually(t, "the message from after the gap is there", 10*time.Second, func() bool { return run.unread(me).channels()[general].LastID == last })
	if d := read(); d.Since == nil || len(d.Gaps) != 1 || len(d.Found) != 0 {
		t.Errorf("before anybody looked the channel is %+v, want a gap and to be complete since its end", d)
	}
	var status struct {
		Healing struct{ Gaps int }
	}
	if run.call(me, "GET", "/api/status", nil, &status); status.Healing.Gaps != 1 {
		t.Errorf("GET /api/status says %d gaps, want 1", status.Healing.Gaps)
	}
	frames := listenFor(t, run, other, "recovered")
	// Opening the feed is enough.
	if got := run.call(me, "GET", "/api/feed", nil, nil); got != 200 {
		t.Fatalf("GET /api/feed = %d", got)
	}
	eventually(t, "the gap is healed", 20*time.Second, func() bool { return len(read().Gaps) == 0 })
	eventually(t, "the channel's newest page is put into Redis", 30*time.Second, func() bool {
		var filled int
		err := db.QueryRow(`SELECT count(*) FROM jobs WHERE kind = 'refresh-cache' AND key = $1 AND state = 'done'`, general).Scan(&filled)
		return err == nil && filled > 0
	})
	d := read()
	if len(d.Found) != 1 || d.Found[0].N != 5 || d.Since == nil {
		t.Errorf("after healing the channel is %+v, want 5 recovered", d)
	}
	select {
	case f := <-frames:
		if !strings.Contains(f, `"c":"`+general+`"`) || !strings.Contains(f, `"n":5`) {
			t.Errorf("the frame is %s", f)
		}
	case <-time.After(time.Minute):
		t.Error("nobody was told of what was recovered")
	}
	s.settle(c.DatabaseURL, 20*time.Second)
}

func TestBackfillFetchesThePastAndSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	s := newStage(t, 4, sim.Options{})
	for range 120 {
		s.act()
	}
	c := configFor(t, s.d)
	c.HistoryDays = 0 // the service wants no past by itself
	makeToken(t, c, s.people[0].ID)
	cmd := func(b backfillCmd) string {
		t.Helper()
		var out bytes.Buffer
		if err := b.Run(t.Context(), c, slog.New(slog.NewTextHandler(logWriter{t}, nil)), &output{&out, io.Discard}); err != nil {
			t.Fatalf("backfill: %v\n%s", err, out.String())
		}
		return out.String()
	}
	if out := cmd(backfillCmd{Days: 1_000_000, Wait: true}); !strings.Contains(out, "5 channels have a past") || !strings.Contains(out, "100% done") {
		t.Errorf("backfill says %q", out)
	}
	s.settle(c.DatabaseURL, time.Second)
	for _, days := range []int{7, 5000, 1_000_000} { // from before there was Discord, and longer than times can be apart
		if out := cmd(backfillCmd{Days: days, Wait: true}); !strings.Contains(out, "0 channels have a past") {
			t.Errorf("backfill again says %q", out)
		}
	}
	for _, b := range []backfillCmd{{Channel: "4711"}, {Guild: "4711"}} {
		var out bytes.Buffer
		if err := b.Run(t.Context(), c, slog.New(slog.DiscardHandler), &output{&out, io.Discard}); err == nil || err.Error() != "nothing is known of it" {
			t.Errorf("backfill of what there is not = %v, and says %q", err, out.String())
		}
	}
}

// Otherwise a service and a backfill beside it would ask Discord for almost twice what it allows.
func TestBackfillSharesDiscordsLimitWithAService(t *testing.T) {
	t.Parallel()
	s := newStage(t, 4, sim.Options{})
	for range 20 {
		s.act()
	}
	c := configFor(t, s.d)
	c.HistoryDays = 0
	makeToken(t, c, s.people[0].ID)
	c.RedisPrefix = "backfill" + c.RedisPrefix // so that what is found there is the backfill's alone
	log := slog.New(slog.NewTextHandler(logWriter{t}, nil))
	if err := (backfillCmd{Days: 7, Wait: true}).Run(t.Context(), c, log, &output{io.Discard, io.Discard}); err != nil {
		t.Fatal(err)
	}
	err := withBackends(t.Context(), c, log, func(_ *store.Store, servers *backends) error {
		limiter, err := newLimiter(c, servers, log, nil)
		if err != nil {
			return err
		}
		budget, err := limiter.Budget(t.Context())
		if budget.Processes != 1 {
			t.Errorf("of the processes that share Discord's limit a service sees %d, want the backfill's", budget.Processes)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listenFor connects a live socket and gives the frames of an op that come.
func listenFor(t *testing.T, run *service, who credential, op string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	frames := make(chan string, 100)
	ready := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		known := false
		_ = client.Follow(ctx, run.url, client.Options{Token: who.token, Cookie: who.cookie}, func(_ *client.State, ev client.Event) {
			if ev.Op == "snapshot" && !known {
				known = true
				close(ready)
			}
			if ev.Op == op {
				frames <- string(ev.Frame)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the live socket gives no snapshot")
	}
	return frames
}

// A message that the database refuses, and its dead letter too, is a gap that everybody sees, and there once it is taken.
func TestAMessageThatCannotBeKeptAtAllIsAGapAndComesBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, 12, sim.Options{})
	c := configFor(t, s.d)
	general := s.channels[0]
	me := credential{token: makeToken(t, c, s.people[0].ID)}
	run := start(t, c)
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	do := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the gateway tells of the server", 30*time.Second, func() bool {
		var live bool
		return db.QueryRow(`SELECT bool_and(live_session <> '') FROM guilds`).Scan(&live) == nil && live
	})
	s.d.Say(s.people[2], general, "before")
	s.settle(c.DatabaseURL, 20*time.Second)
	do(`INSERT INTO job_pauses (kind) SELECT unnest(ARRAY['fetch-messages', 'priority-fetch', 'reconcile', 'audit'])`)
	do(`ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (content <> 'poison')`)
	do(`ALTER TABLE dead_events ADD CONSTRAINT none CHECK (false)`)
	poison := s.d.Say(s.people[2], general, "poison")["id"].(string)
	last := s.d.Say(s.people[2], general, "after")["id"].(string)
	eventually(t, "the message from afterwards is there", 20*time.Second, func() bool { return run.unread(me).channels()[general].LastID == last })
	type detail struct {
		Since *time.Time `json:"complete_since"`
		Gaps  []struct{ From, To string }
	}
	read := func() (d detail) {
		run.call(me, "GET", "/api/channels/"+general, nil, &d)
		return d
	}
	if d := read(); len(d.Gaps) != 1 || d.Gaps[0].To != poison {
		t.Errorf("with a message missing the channel is %+v, want a gap up to %s", d, poison)
	}
	do(`ALTER TABLE messages DROP CONSTRAINT no_poison`)
	do(`ALTER TABLE dead_events DROP CONSTRAINT none`)
	do(`DELETE FROM job_pauses`)
	run.contents(me, general) // Somebody who looks is served at once.
	eventually(t, "the gap is healed", time.Minute, func() bool { return len(read().Gaps) == 0 })
	if got := run.contents(me, general); got[poison] != "poison" {
		t.Errorf("the channel's messages are %v, want the one that was refused among them", got)
	}
	s.settle(c.DatabaseURL, 20*time.Second)
}
