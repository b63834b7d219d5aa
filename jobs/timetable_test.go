package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/jobs"
	"tidings/store"
)

// TestTenProcessesEnqueueATickOnce also runs the jobs, so that a slower process asks for ticks that are done already.
func TestTenProcessesEnqueueATickOnce(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	var stops []func()
	for range 10 {
		j := jobs.New(s, jobs.Options{Poll: 20 * time.Millisecond})
		j.Handle("k", func(context.Context, store.Job) error { return nil }, 1)
		if err := j.Schedule("* * * * * *", store.NewJob{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
		stops = append(stops, run(t, j))
	}
	eventually(t, "three ticks are done", func() bool { return len(states(t, db, "k")) >= 3 })
	for _, stop := range stops {
		stop()
	}
	var keys []string
	if err := db.Select(&keys, `SELECT key FROM jobs ORDER BY key`); err != nil {
		t.Fatal(err)
	}
	if unique := slices.Compact(slices.Clone(keys)); len(unique) != len(keys) {
		t.Errorf("the ticks are %v: one came twice", keys)
	}
}

func TestTicksDoNotPileUp(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	at := time.Date(2026, 8, 1, 3, 0, 0, 0, time.UTC)
	for n, want := range []bool{true, false, false} {
		fresh, err := s.EnqueueTick(t.Context(), store.NewJob{Kind: "k", Priority: 2}, at.Add(time.Duration(n)*time.Hour))
		if err != nil || fresh != want {
			t.Errorf("tick %d: EnqueueTick() = %v, %v, want %v", n, fresh, err, want)
		}
	}
	db.MustExec(`UPDATE jobs SET state = 'done', finished_at = now()`)
	for hour, want := range []bool{false, true} {
		fresh, err := s.EnqueueTick(t.Context(), store.NewJob{Kind: "k"}, at.Add(time.Duration(hour)*time.Hour))
		if err != nil || fresh != want {
			t.Errorf("tick at hour %d after the first is done: EnqueueTick() = %v, %v, want %v", hour, fresh, err, want)
		}
	}
}

// TestAMissedTickIsMadeUpFor: a service that is off at night still cleans up.
func TestAMissedTickIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	// A daily time that was two hours ago.
	ago := time.Now().UTC().Add(-2 * time.Hour)
	spec := fmt.Sprintf("%d %d * * *", ago.Minute(), ago.Hour())
	for range 2 { // the second start must not do it again
		j := jobs.New(s, jobs.Options{Poll: 20 * time.Millisecond})
		j.Handle("k", func(context.Context, store.Job) error { return nil }, 1)
		if err := j.Schedule(spec, store.NewJob{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
		enqueue(t, s, store.NewJob{Kind: "marker"})
		marked := make(chan struct{})
		j.Handle("marker", func(context.Context, store.Job) error { close(marked); return nil }, 1)
		stop := run(t, j)
		eventually(t, "the missed tick is done", func() bool { return slices.Equal(states(t, db, "k"), []string{"done"}) })
		<-marked
		stop()
	}
	if got := states(t, db, "k"); len(got) != 1 {
		t.Errorf("the tick was enqueued %d times", len(got))
	}
}

func TestParseSchedule(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 8, 1, 12, 34, 56, 789, time.UTC)
	tests := []struct{ spec, want string }{
		{"*/5 * * * *", "2026-08-01T12:35:00Z"},
		{"30 */5 * * * *", "2026-08-01T12:35:30Z"},
		{"@hourly", "2026-08-01T13:00:00Z"},
		{"@every 90s", "2026-08-01T12:36:00Z"},
		{"@daily", "2026-08-02T00:00:00Z"},
		{"CRON_TZ=Europe/Berlin 0 15 * * *", "2026-08-01T13:00:00Z"},
	}
	for _, tt := range tests {
		next, err := jobs.ParseSchedule(tt.spec)
		if err != nil {
			t.Errorf("ParseSchedule(%q) = %v", tt.spec, err)
			continue
		}
		// Whatever a process' own zone is.
		if got := next(at.In(time.FixedZone("x", 3600))).UTC().Format(time.RFC3339); got != tt.want {
			t.Errorf("%q after %v ticks at %s, want %s", tt.spec, at, got, tt.want)
		}
	}
	for _, bad := range []string{"", "hourly", "61 * * * *", "* * * *", "TZ=UTC", "CRON_TZ=UTC "} {
		if _, err := jobs.ParseSchedule(bad); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("ParseSchedule(%q) = %v, want ErrInvalid", bad, err)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "@every 1h", "CRON_TZ=UTC 0 0 1 1 *", "0 0 31 2 *", "@every -1s"} {
		f.Add(s)
	}
	at := time.Date(2026, 8, 1, 12, 34, 56, 0, time.UTC)
	f.Fuzz(func(t *testing.T, spec string) {
		next, err := jobs.ParseSchedule(spec)
		if err != nil {
			return
		}
		if n := next(at); !n.IsZero() && !n.After(at) {
			t.Errorf("%q after %v ticks at %v", spec, at, n)
		}
	})
}
