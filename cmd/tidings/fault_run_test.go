package main

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
)

// soakVariable makes the fault run longer: a duration such as 30m. soakSeed fixes another course of events.
const (
	soakVariable = "TIDINGS_SOAK"
	soakSeed     = "TIDINGS_SOAK_SEED"
)

// Everything goes wrong, one thing after another and as chance has it, while people post, edit and delete. Afterwards the
// database equals the simulator's record, every reader's counts equal a recount, and nobody was told that a channel was
// complete when it was not.
func TestWhateverFailsNothingIsLost(t *testing.T) {
	length, seed := 20*time.Second, uint64(7)
	if v := os.Getenv(soakVariable); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatalf("%s: %v", soakVariable, err)
		}
		length = d
	}
	if v := os.Getenv(soakSeed); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", soakSeed, err)
		}
		seed = n
	}
	// Discord's limits are faults of their own here (429); without them the end need not be waited for as long.
	s := newStage(t, seed, sim.Options{NoRateLimits: true})
	for range 50 {
		s.act()
	}
	postgres, redis := testdb.RestartablePostgres(t), testdb.RestartableRedis(t)
	c := configFor(t, s.d)
	c.DatabaseURL, c.RedisURL, c.Listen = postgres.URL(), "unix://"+redis.Options().Addr, freeAddress(t)
	token := makeToken(t, c, s.people[0].ID)
	p := spawn(t, c)
	run := &service{t: t, url: "http://" + c.Listen}
	ready := func() bool {
		status, _, err := run.try(credential{}, "GET", "/readyz", nil)
		return err == nil && status == 200
	}
	eventually(t, "the service is ready", time.Minute, ready)
	s.settle(c.DatabaseURL, time.Minute)
	w := watchComplete(s, run, credential{token: token})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	live := map[credential]*listener{}
	for _, person := range s.people[:min(3, len(s.people))] {
		who := credential{token: makeToken(t, c, person.ID)}
		live[who] = listen(ctx, run, who)
	}

	// Each fault lasts for a moment and ends by itself.
	a := func(kind string, more simtest.Object) func() { return func() { s.fault(kind, more) } }
	faults := []struct {
		name string
		do   func()
	}{
		{"the socket drops", a("drop", nil)},
		{"Discord asks to reconnect", a("reconnect", nil)},
		{"the session may be resumed, later", a("invalid_session", simtest.Object{"args": simtest.Object{"resumable": true}})},
		{"the session is gone", a("invalid_session", nil)},
		{"a resume is refused", func() {
			s.fault("refuse_resume", simtest.Object{"count": 1})
			s.fault("drop", nil)
		}},
		{"the socket closes with an error", a("close", simtest.Object{"args": simtest.Object{"code": 4000}})},
		{"the socket stalls", a("stall", simtest.Object{"for_ms": 1500})},
		{"events come twice", a("repeat", simtest.Object{"probability": 0.3, "for_ms": 1500})},
		{"events come in another order", a("reorder", simtest.Object{"probability": 0.3, "for_ms": 1500})},
		{"calls are answered late", a("latency", simtest.Object{"args": simtest.Object{"ms": 300}, "for_ms": 2000})},
		{"calls fail with 500", a("status", simtest.Object{"args": simtest.Object{"status": 500}, "probability": 0.7, "for_ms": 2500})},
		{"calls are limited", a("status", simtest.Object{"args": simtest.Object{"status": 429, "retry_after": 0.3}, "probability": 0.5, "for_ms": 2000})},
		{"Cloudflare refuses", a("cloudflare_1015", simtest.Object{"for_ms": 1500})},
		{"all of Discord is out", a("outage", simtest.Object{"for_ms": 2500})},
		{"a server is out", a("outage", simtest.Object{"for_ms": 2000, "match": simtest.Object{"guild": s.guild.ID}})},
		{"the service is killed", func() { p.kill(); p.start() }},
		{"the service is away, and the resume is refused", func() {
			s.fault("refuse_resume", simtest.Object{"count": 1})
			p.kill()
			pause(time.Duration(500+s.chance(1500)) * time.Millisecond)
			p.start()
		}},
		{"Postgres is restarted", func() { postgres.Stop(); postgres.Start() }},
		{"Redis is restarted, empty", func() { redis.Stop(); redis.Start() }},
		{"a thread is made", func() { s.thread(false) }},
		{"a thread is made and archived", func() { s.thread(true) }},
	}
	stop := s.traffic(12 * time.Millisecond)
	began := time.Now()
	for n := 0; time.Since(began) < length || n < len(faults); n++ {
		// The first round has each once, in another order with each seed.
		if n%len(faults) == 0 {
			s.mu.Lock()
			s.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
			s.mu.Unlock()
		}
		f := faults[n%len(faults)]
		t.Logf("%6.1fs %s", time.Since(began).Seconds(), f.name)
		f.do()
		pause(time.Duration(200+s.chance(1800)) * time.Millisecond)
	}
	// What Discord swallows without a hole in its numbering cannot be noticed when it happens: what is stated meanwhile is
	// not judged. Reading the channels again brings it.
	w.settle("the service has come to itself", c.DatabaseURL, 4*time.Minute)
	w.judge(false)
	t.Logf("%6.1fs events are lost", time.Since(began).Seconds())
	s.fault("lose", simtest.Object{"probability": 0.3, "for_ms": 1500})
	pause(2 * time.Second)
	stop()
	s.d.Sim200("DELETE", "/sim/faults", nil, nil)
	t.Logf("%6.1fs all faults are over", time.Since(began).Seconds())
	eventually(t, "the service is ready", time.Minute, ready)
	s.settle(c.DatabaseURL, 5*time.Minute)
	t.Logf("%6.1fs the database equals the record", time.Since(began).Seconds())
	w.judge(true)
	w.settle("every channel is stated to be complete", c.DatabaseURL, 4*time.Minute)
	w.finish()
	for _, person := range s.people {
		s.sameCounts(run, person, c)
	}
	for who, l := range live {
		eventually(t, "a live socket ends in the truth", 2*time.Minute, func() bool { return l.unread() == run.unread(who).Total })
	}
	var verify struct{ Mismatches []any }
	if status := run.call(credential{token: token}, "GET", "/api/unread/verify", nil, &verify); status != 200 || len(verify.Mismatches) > 0 {
		t.Errorf("GET /api/unread/verify = %d with mismatches %v", status, verify.Mismatches)
	}
}

// judge says whether what is stated from now on is judged.
func (w *watcher) judge(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = !on
}
