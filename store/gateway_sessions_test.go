package store

import (
	"errors"
	"testing"
	"time"

	"tidings"
)

func lease(t testing.TB, s *Store, owner string, ttl time.Duration) tidings.GatewaySession {
	t.Helper()
	g, err := s.LeaseShard(t.Context(), 0, 1, owner, ttl)
	if err != nil {
		t.Fatalf("LeaseShard() = %v", err)
	}
	return g
}

func seq(t testing.TB, s *Store) int64 {
	t.Helper()
	return one[int64](t, s, `SELECT seq FROM gateway_sessions`)
}

func TestAnOldSessionsLateWriteDoesNotRaiseTheNewOnesSequence(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := lease(t, s, "one", time.Minute)
	g.Session, g.ResumeURL, g.Seq = "first", "wss://resume", 1
	if err := s.SaveSession(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	old := tidings.Mark{Session: "first", Epoch: g.Epoch, Seq: 900}
	if err := s.SaveMarks(t.Context(), []tidings.Mark{{Session: "first", Epoch: g.Epoch, Seq: 7}, {Session: "first", Epoch: g.Epoch, Seq: 5}, {}}); err != nil {
		t.Fatal(err)
	}
	if got := seq(t, s); got != 7 {
		t.Errorf("seq = %d, want the highest, 7", got)
	}

	g.Session, g.Seq = "second", 1
	if err := s.SaveSession(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(t.Context(), []tidings.Event{created(t, nth(1), wire{})}, []tidings.Mark{old}); err != nil {
		t.Fatal(err)
	}
	if got := seq(t, s); got != 1 {
		t.Errorf("seq after the old session's mark = %d, want 1", got)
	}

	now := lease(t, s, "one", time.Minute)
	if now.Session != "second" || now.ResumeURL != "wss://resume" || now.Epoch != g.Epoch+1 {
		t.Errorf("LeaseShard() = %+v, want the session to resume under a new epoch", now)
	}
	marks := []tidings.Mark{{Session: "second", Epoch: g.Epoch, Seq: 50}}
	if _, err := s.RecordBarrier(t.Context(), event(0, tidings.RoleSeen{Role: tidings.Role{ID: 1}}), marks); err != nil {
		t.Fatal(err)
	}
	if got := seq(t, s); got != 1 {
		t.Errorf("seq after an older lease's mark = %d, want 1", got)
	}
	marks[0].Epoch = now.Epoch
	if _, err := s.RecordBarrier(t.Context(), event(0, tidings.MemberGone{User: ann}), marks); err != nil {
		t.Fatal(err)
	}
	if got := seq(t, s); got != 50 {
		t.Errorf("seq after an event that changes nothing = %d, want its mark, 50", got)
	}
	if err := s.SaveSession(t.Context(), g); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("SaveSession() under the older lease = %v, want ErrLeaseLost", err)
	}
}

func TestOneOwnerRunsAShard(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := lease(t, s, "one", time.Minute)
	if _, err := s.LeaseShard(t.Context(), 0, 1, "two", time.Minute); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("LeaseShard() by another = %v, want ErrLeaseLost", err)
	}
	if _, err := s.LeaseShard(t.Context(), 1, 2, "two", time.Minute); err != nil {
		t.Errorf("LeaseShard() of another shard = %v", err)
	}
	if err := s.RenewShard(t.Context(), g, -time.Second); err != nil { // It runs out.
		t.Errorf("RenewShard() = %v", err)
	}
	taken := lease(t, s, "two", time.Minute)
	if err := s.RenewShard(t.Context(), g, time.Minute); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("RenewShard() of a lease that was taken over = %v, want ErrLeaseLost", err)
	}
	if err := s.ReleaseShard(t.Context(), g); err != nil {
		t.Errorf("ReleaseShard() of a lost lease = %v, want nil", err)
	}
	if _, err := s.LeaseShard(t.Context(), 0, 1, "one", time.Minute); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("LeaseShard() after releasing a lost lease = %v, want ErrLeaseLost", err)
	}
	if err := s.ReleaseShard(t.Context(), taken); err != nil {
		t.Errorf("ReleaseShard() = %v", err)
	}
	if g := lease(t, s, "one", time.Minute); g.Epoch != taken.Epoch+1 {
		t.Errorf("LeaseShard() epoch = %d, want %d", g.Epoch, taken.Epoch+1)
	}
}

func TestADeadLetterKeepsTheEventAndOpensAGap(t *testing.T) {
	t.Parallel()
	s := open(t)
	bad := created(t, nth(3), wire{Content: "poison"})
	for range 2 {
		if _, err := s.DeadLetter(t.Context(), bad, errors.New("no \x00 good")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeadLetter(t.Context(), removed(nth(9), nth(5)), errors.New("bad")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeadLetter(t.Context(), event(0, tidings.RoleGone{ID: 1}), errors.New("bad")); err != nil {
		t.Fatal(err)
	}
	if got := one[string](t, s, `SELECT string_agg(kind, ' ' ORDER BY id) FROM dead_events`); got != "MessageCreated MessageCreated MessagesDeleted RoleGone" {
		t.Errorf("dead events = %q", got)
	}
	if got := one[string](t, s, `SELECT convert_from(raw, 'UTF8')::jsonb->>'content' FROM dead_events ORDER BY id LIMIT 1`); got != "poison" {
		t.Errorf("the dead event says %q, want Discord's object", got)
	}
	type row struct {
		From int64 `db:"from_id"`
		To   int64 `db:"to_id"`
	}
	var got []row
	if err := s.db.Select(&got, `SELECT from_id, to_id FROM gaps WHERE channel_id = $1 AND healed_at IS NULL ORDER BY id`, int64(testChannel)); err != nil {
		t.Fatal(err)
	}
	want := []row{{int64(nth(3)) - 1, int64(nth(3))}, {int64(nth(5)) - 1, int64(nth(9))}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("gaps = %+v, want %+v", got, want)
	}
}

// Two processes of one name are a folder and its copy: the one that began later runs the shard, and they do not take it from each
// other again and again.
func TestALaterRunOfANameTakesOverOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	lease(t, s, "twin#5", time.Minute)
	lease(t, s, "twin#5", time.Minute) // It connects again.
	later := lease(t, s, "twin#7", time.Minute)
	for _, owner := range []string{"twin#5", "other#9", "twin"} {
		if _, err := s.LeaseShard(t.Context(), 0, 1, owner, time.Minute); !errors.Is(err, tidings.ErrLeaseLost) {
			t.Errorf("LeaseShard() of %s = %v, want ErrLeaseLost", owner, err)
		}
	}
	if err := s.RenewShard(t.Context(), later, time.Minute); err != nil {
		t.Errorf("RenewShard() of the later run = %v", err)
	}
}

// Discord lets a bot begin so many sessions in five seconds, whichever process begins them.
func TestProcessesBeginSessionsInTurn(t *testing.T) {
	t.Parallel()
	s := open(t)
	take := func(key int) time.Duration {
		t.Helper()
		wait, err := s.TakeTurn(t.Context(), key, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	if wait := take(0); wait != 0 {
		t.Fatalf("the first has to wait for %v", wait)
	}
	if wait := take(0); wait <= 59*time.Minute || wait > time.Hour {
		t.Errorf("the second has to wait for %v, want as long as the first may take", wait)
	}
	if wait := take(1); wait != 0 {
		t.Errorf("one of another key has to wait for %v", wait)
	}
	if err := s.LeaveTurn(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	if wait := take(0); wait != 0 {
		t.Errorf("after the first has left, the next has to wait for %v", wait)
	}
}
