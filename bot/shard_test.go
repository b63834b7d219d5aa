package bot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings"
)

func TestAResumeURLThatDoesNotAnswerIsReplaced(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	m.session = tidings.GatewaySession{Session: "A", Seq: 5, ResumeURL: "ws://127.0.0.1:1/"}
	begin(t, f, m, nil)
	c := f.dialed(t)
	c.expectResume("A", 5)
	if c.path != "/gw" {
		t.Errorf("resumed at %s, want /gw", c.path)
	}
}

func TestALostLeaseEndsTheConnectionAndStandsBy(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	m.until(t, "the session is stored", func() bool { return m.session.Session == "A" })
	m.mu.Lock()
	m.stolen = true
	m.mu.Unlock()
	c.gone()
	late := time.After(patience)
	for b.Status().Shards[0].State != "standby" {
		select {
		case <-late:
			t.Fatalf("status %+v, want standby", b.Status().Shards[0])
		case <-time.After(time.Millisecond):
		}
	}
	m.mu.Lock()
	m.stolen = false // The other process is gone.
	m.mu.Unlock()
	f.dialed(t).expectResume("A", 1)
}

func TestStoppingKeepsTheSessionForTheNextStart(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	b := begin(t, f, m, nil)
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	m.until(t, "the session is stored", func() bool { return m.session.Session == "A" })
	b.stop()
	if err := b.ended(t); err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
	if code := websocket.CloseStatus(c.gone()); code == 1000 || code == 1001 {
		t.Errorf("closed with %d, which ends the session", code)
	}
	if m.released != 1 || m.session.Session != "A" {
		t.Errorf("released %d times with session %q, want once with A", m.released, m.session.Session)
	}
	if st := b.Status().Shards[0]; st.State != "stopped" {
		t.Errorf("state %s, want stopped", st.State)
	}
}

func TestShardsIdentifyOneAfterTheOther(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.gateway["shards"] = 3
	begin(t, f, newMemory(), func(b *Bot) { b.pace.leaseTTL = time.Hour })
	seen := map[int]bool{}
	for range 3 {
		var d struct{ Shard [2]int }
		if err := json.Unmarshal(f.dialed(t).expect(2), &d); err != nil {
			t.Fatal(err)
		}
		seen[d.Shard[0]] = d.Shard[1] == 3
	}
	if !seen[0] || !seen[1] || !seen[2] {
		t.Errorf("shards %v identified, want 0, 1 and 2 of 3", seen)
	}
}

func TestAnIdentifyWaitsForTheOneBefore(t *testing.T) {
	t.Parallel()
	const spacing = 100 * time.Millisecond
	fetch := func(context.Context) (GatewayInfo, error) {
		return GatewayInfo{URL: "ws://x", Total: 1000, Remaining: 1000, MaxConcurrency: 2, at: time.Now()}, nil
	}
	g := newGate(spacing, fetch, slog.New(slog.DiscardHandler))
	first, err := g.enter(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := g.enter(t.Context(), 1) // Another key need not wait.
	if err != nil {
		t.Fatal(err)
	}
	other.leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("enter() while another has the turn = %v, want to wait for it", err)
	}
	began := time.Now()
	first.sent()
	first.leave()
	second, err := g.enter(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer second.leave()
	if waited := time.Since(began); waited < spacing {
		t.Errorf("the next one goes after %s, want at least %s", waited, spacing)
	}
	if left := g.info.Remaining; left != 999 {
		t.Errorf("%d session starts left, want 999", left)
	}
}

func TestNoSessionIsStartedWhenTheDaysLimitIsUsedUp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.limits(1000, 0, 200*time.Millisecond, 1)
	begin(t, f, newMemory(), nil)
	select {
	case <-f.conns:
		t.Fatal("connected although no session start is left")
	case <-time.After(50 * time.Millisecond): // It is the absence that is shown.
	}
	f.limits(1000, 1000, time.Hour, 1)
	f.dialed(t).expect(2)
}

// A line that breaks again and again costs seconds each time, not a wait that doubles: a session that is resumed uses up none of the day's.
func TestALineThatKeepsBreakingIsResumedSoon(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), newMemory()
	begin(t, f, m, func(b *Bot) { b.pace.backoffMin, b.pace.backoffMax = 20*time.Millisecond, time.Hour })
	c := f.dialed(t)
	c.expect(2)
	c.ready("A", 7)
	m.until(t, "the session is stored", func() bool { return m.session.Session == "A" })
	for n := range 16 { // The last wait would be ten minutes.
		c.drop()
		c = f.dialed(t)
		c.expect(6)
		c.dispatch(int64(2+2*n), "RESUMED", `{}`)
		c.dispatch(int64(3+2*n), "MESSAGE_CREATE", message9(100+n))
		m.until(t, "what was said after it is put", func() bool { return len(m.messages()) == n+1 })
	}
	for range 16 { // Discord hangs up without a word.
		c.drop()
		c = f.dialed(t)
	}
	c.drop()
	c = f.dialed(t)
	c.expect(6)
}
