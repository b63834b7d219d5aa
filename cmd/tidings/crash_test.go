package main

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"tidings/sim"
)

// freeAddress is one that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Killed at random moments while people post, edit and delete, the service loses nothing and doubles nothing. Discord's window
// of replay stays open here, so it must resume each time.
func TestKilledAtAnyMomentNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, sim.Options{})
	c := configFor(t, s.d)
	c.Listen = freeAddress(t)
	p := spawn(t, c)
	service := &service{t: t, url: "http://" + c.Listen}
	ready := func() bool {
		status, _, err := service.try(credential{}, "GET", "/readyz", nil)
		return err == nil && status == 200
	}
	identifies := func() (n, resumes int) {
		var log struct{ Identifies, Resumes int }
		s.d.Sim200("GET", "/sim/log", nil, &log)
		return log.Identifies, log.Resumes
	}
	eventually(t, "the gateway is connected", time.Minute, func() bool { n, _ := identifies(); return ready() && n > 0 })
	stop := s.traffic(8 * time.Millisecond)
	for range 6 {
		_, before := identifies()
		pause(time.Duration(100+s.chance(900)) * time.Millisecond)
		p.kill()
		pause(time.Duration(s.chance(300)) * time.Millisecond)
		p.start()
		// Sometimes it is killed again before it has come to itself.
		if s.chance(3) > 0 {
			eventually(t, "the session is resumed", time.Minute, func() bool { _, n := identifies(); return n > before })
		}
	}
	stop()
	s.settle(c.DatabaseURL, time.Minute)
	if n, resumes := identifies(); n > 2 || resumes < 1 {
		t.Errorf("%d new sessions and %d resumes, want at most two (the first may be killed before it is stored) and the others resumed", n, resumes)
	}
}

// pause lets traffic go on for a while: how long is what a test of random moments is about.
func pause(d time.Duration) { <-time.After(d) }

// chance gives a number below n.
func (s *stage) chance(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// An outage of an hour, which no resume bridges: people post, edit and delete meanwhile, and threads are made and archived.
// Afterwards the database equals the simulator's record, and who asked for a channel was never told that it was complete when
// it was not. The hour passes on Discord's clock, which runs behind until it is over.
func TestAnOutageOfAnHourIsHealed(t *testing.T) {
	t.Parallel()
	var behind atomic.Int64
	behind.Store(int64(time.Hour))
	s := newStage(t, 2, sim.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }})
	for range 150 { // a past from before the service
		s.act()
	}
	s.thread(true)
	c := configFor(t, s.d)
	reader := credential{token: makeToken(t, c, s.people[0].ID)}
	run := start(t, c)
	s.settle(c.DatabaseURL, time.Minute)
	w := watchComplete(s, run, reader)
	s.thread(false)
	for range 60 {
		s.act()
	}
	s.settle(c.DatabaseURL, time.Minute)

	s.fault("refuse_resume", map[string]any{"count": 3})
	s.fault("outage", map[string]any{"for_ms": time.Hour.Milliseconds()})
	const acts = 600
	for n := range acts {
		behind.Add(-int64(time.Hour / acts))
		s.act()
		if n == acts/2 {
			s.thread(true)
			s.thread(false)
		}
	}
	s.settle(c.DatabaseURL, time.Minute)
	eventually(t, "every channel is stated to be complete", time.Minute, func() bool { return w.allComplete() })
	w.finish()
	// The readers came when the hour was over by their clocks; from the first message on all of it is unread to them.
	for id, u := range run.unread(reader).channels() {
		var page struct{ Messages []struct{ ID string } }
		run.call(reader, "GET", "/api/messages?limit=1&after=1&channel="+id, nil, &page)
		if len(page.Messages) == 0 {
			continue
		}
		if status := run.call(reader, "POST", "/api/messages/unread", map[string]string{"channel": id, "message": page.Messages[0].ID}, nil); status != 200 {
			t.Fatalf("mark channel %s (%+v) unread = %d", id, u, status)
		}
	}
	if n := run.unread(reader).Total; n < acts/4 {
		t.Errorf("%d messages are unread after the hour", n)
	}
	for _, p := range s.people {
		s.sameCounts(run, p, c)
	}
}
