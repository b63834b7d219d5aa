package jobs_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings/store"
)

// What an operator is shown of a job that died: each of its last attempts, when it began, how long it took, why it failed, also when its worker was lost.
func TestAJobsAttemptsAreRemembered(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Tries: 12})
	attempt := func(n int) store.Job {
		t.Helper()
		jobs, err := s.ClaimJobs(t.Context(), fmt.Sprint("worker ", n), map[string]int{"k": 1}, time.Minute)
		if err != nil || len(jobs) != 1 {
			t.Fatalf("attempt %d took %v, %v", n, jobs, err)
		}
		db.MustExec(`UPDATE jobs SET claimed_at = now() - interval '3 seconds' WHERE state = 'running'`)
		return jobs[0]
	}
	for n := 1; n <= 10; n++ {
		if err := s.RetryJob(t.Context(), attempt(n), 0, fmt.Errorf("reason %d", n), false); err != nil {
			t.Fatal(err)
		}
	}
	// Giving it back is no attempt.
	if err := s.ReleaseJob(t.Context(), attempt(11), false); err != nil {
		t.Fatal(err)
	}
	attempt(11)
	db.MustExec(`UPDATE jobs SET lease_until = now() - interval '1 second'`)
	if n, err := s.ExpireJobs(t.Context()); err != nil || n != 1 {
		t.Fatalf("ExpireJobs() = %d, %v", n, err)
	}
	if _, err := s.BuryJob(t.Context(), attempt(12), errors.New("the last reason")); err != nil {
		t.Fatal(err)
	}
	list, err := s.ListJobs(t.Context(), "dead", "k", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("ListJobs(dead) = %+v, %v", list, err)
	}
	var got []string
	for _, a := range list[0].History {
		got = append(got, fmt.Sprint(a.Attempt, " ", a.Outcome, ": ", a.Error))
		if a.Took() < 3*time.Second || a.Took() > time.Minute {
			t.Errorf("attempt %d took %v, want about 3 s", a.Attempt, a.Took())
		}
	}
	want := []string{
		"3 failed: reason 3", "4 failed: reason 4", "5 failed: reason 5", "6 failed: reason 6", "7 failed: reason 7", "8 failed: reason 8", "9 failed: reason 9", "10 failed: reason 10",
		"11 failed: its worker was lost", "12 dead: the last reason",
	}
	if !slices.Equal(got, want) {
		t.Errorf("its attempts were %q, want %q", got, want)
	}
}
