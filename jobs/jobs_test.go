package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"go.uber.org/goleak"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/jobs"
	"tidings/store"
)

// workerURL, in the environment, makes the test binary a worker that takes jobs of the kind "hang" and never ends them.
const workerURL = "TIDINGS_TEST_HANGING_WORKER"

const shortLease = time.Second

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		hang(url)
		return
	}
	goleak.VerifyTestMain(testdb.M{M: m})
}

func hang(url string) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{DatabaseURL: url})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	j := jobs.New(s, jobs.Options{Lease: shortLease, Name: "hanging"})
	j.Handle("hang", func(ctx context.Context, _ store.Job) error {
		fmt.Println("taken")
		<-ctx.Done()
		return ctx.Err()
	}, 1)
	j.Run(ctx)
}

// open gives a store on an empty schema, and a connection beside it for looking at rows.
func open(t *testing.T) (*store.Store, *sqlx.DB, string) {
	t.Helper()
	url := testdb.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlx.Connect("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Close()
		s.Close()
	})
	return s, db, url
}

// run runs j until the test ends, or until the function that it returns is called.
func run(t *testing.T, j *jobs.Jobs) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}

func enqueue(t *testing.T, s *store.Store, n ...store.NewJob) int {
	t.Helper()
	fresh, err := s.Enqueue(t.Context(), n...)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

type row struct {
	ID       int64   `db:"id"`
	State    string  `db:"state"`
	Attempt  int     `db:"attempt"`
	Error    string  `db:"last_error"`
	Priority int     `db:"priority"`
	Wait     float64 `db:"wait"`
}

// rows lists the jobs of a kind as they stand.
func rows(t *testing.T, db *sqlx.DB, kind string) []row {
	t.Helper()
	var rows []row
	err := db.Select(&rows, `
		SELECT id, state, attempt, last_error, priority, extract(epoch FROM run_at - now())::float8 AS wait
		FROM jobs WHERE kind = $1 ORDER BY id`, kind)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func states(t *testing.T, db *sqlx.DB, kind string) []string {
	t.Helper()
	var all []string
	for _, r := range rows(t, db, kind) {
		all = append(all, r.State)
	}
	return all
}

func soon(int) time.Duration { return time.Millisecond }

func TestAJobIsDoneWithItsPayload(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	// It is woken, for the poll would take an hour.
	j := jobs.New(s, jobs.Options{Poll: time.Hour})
	got := make(chan store.Job, 1)
	j.Handle("greet", func(_ context.Context, job store.Job) error { got <- job; return nil }, 1)
	run(t, j)
	enqueue(t, s, store.NewJob{Kind: "greet", Key: "k", Guild: 5, Payload: map[string]string{"name": "ä\"ö"}})
	job := <-got
	var payload struct{ Name string }
	if err := json.Unmarshal(job.Payload, &payload); err != nil || payload.Name != "ä\"ö" || job.Key != "k" || job.Guild != 5 || job.Attempt != 1 {
		t.Errorf("the handler got %+v with %s", job, job.Payload)
	}
	eventually(t, "it is done", func() bool { return slices.Equal(states(t, db, "greet"), []string{"done"}) })
}

func TestOneOpenJobForAKey(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	if n := enqueue(t, s, store.NewJob{Kind: "k", Key: "a"}, store.NewJob{Kind: "k", Key: "a", Priority: 3}, store.NewJob{Kind: "k", Key: "b"}); n != 2 {
		t.Errorf("Enqueue() = %d, want 2", n)
	}
	if n := enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Priority: 2}); n != 0 {
		t.Errorf("Enqueue() of an open job = %d, want 0", n)
	}
	if got := rows(t, db, "k"); len(got) != 2 || got[0].Priority != 3 {
		t.Errorf("there are %+v, want two, the first of priority 3", got)
	}
	if n := enqueue(t, s, store.NewJob{Kind: "k"}, store.NewJob{Kind: "k"}); n != 2 {
		t.Errorf("Enqueue() without keys = %d, want 2", n)
	}
	for _, bad := range []store.NewJob{{Key: "a"}, {Kind: "k", Key: "@2026"}} {
		if _, err := s.Enqueue(t.Context(), bad); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("Enqueue(%+v) = %v, want ErrInvalid", bad, err)
		}
	}
}

// TestAskedForWhileRunning: what the running job has passed already must not be lost.
func TestAskedForWhileRunning(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	j := jobs.New(s, jobs.Options{})
	started, release := make(chan struct{}), make(chan struct{})
	var runs atomic.Int64
	j.Handle("k", func(context.Context, store.Job) error {
		if runs.Add(1) == 1 {
			close(started)
			<-release
		}
		return nil
	}, 2)
	run(t, j)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	<-started
	for range 3 {
		if n := enqueue(t, s, store.NewJob{Kind: "k", Key: "a"}); n != 0 {
			t.Errorf("Enqueue() while it runs = %d, want 0", n)
		}
	}
	close(release)
	eventually(t, "it is done", func() bool { return slices.Equal(states(t, db, "k"), []string{"done"}) })
	if n := runs.Load(); n != 2 {
		t.Errorf("it ran %d times, want once and once more", n)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "plain"}, store.NewJob{Kind: "k", Key: "old"}, store.NewJob{Kind: "k", Key: "raised"},
		store.NewJob{Kind: "k", Key: "urgent", Priority: 5}, store.NewJob{Kind: "k", Key: "later", Priority: 99, After: time.Hour})
	enqueue(t, s, store.NewJob{Kind: "k", Key: "raised", Priority: 9})
	// An hour of waiting beats a priority of 9, which is worth 45 minutes.
	db.MustExec(`UPDATE jobs SET run_at = run_at - interval '1 hour', turn = turn - interval '1 hour' WHERE key = 'old'`)
	var order []string
	for n := range 5 {
		jobs, err := s.ClaimJobs(t.Context(), fmt.Sprint("claim ", n), map[string]int{"k": 1, "other": 4}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			order = append(order, j.Key)
		}
	}
	if want := []string{"old", "raised", "urgent", "plain"}; !slices.Equal(order, want) {
		t.Errorf("the jobs came in the order %v, want %v", order, want)
	}
}

func TestClaimsTakeNoMoreThanTheirLimits(t *testing.T) {
	t.Parallel()
	s, _, _ := open(t)
	var all []store.NewJob
	for n := range 100 {
		all = append(all, store.NewJob{Kind: fmt.Sprint("k", n%2), Key: fmt.Sprint(n)})
	}
	enqueue(t, s, all...)
	var mu sync.Mutex
	taken := map[int64]int{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 6 {
				jobs, err := s.ClaimJobs(context.Background(), fmt.Sprint(w, "#", n), map[string]int{"k0": 3, "k1": 2}, time.Minute)
				if err != nil {
					t.Error(err)
				}
				per := map[string]int{}
				mu.Lock()
				for _, j := range jobs {
					taken[j.ID]++
					per[j.Kind]++
				}
				mu.Unlock()
				if per["k0"] > 3 || per["k1"] > 2 {
					t.Errorf("a claim took %v", per)
				}
			}
		})
	}
	wg.Wait()
	if len(taken) != 100 {
		t.Errorf("%d jobs were taken, want 100", len(taken))
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("job %d was taken %d times", id, n)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	oops := errors.New("connection reset")
	tests := []struct {
		name   string
		tries  int
		handle func(run int64) error
		runs   int64
		want   row
	}{
		{"it works the third time", 5, func(run int64) error {
			if run < 3 {
				return oops
			}
			return nil
		}, 3, row{State: "done"}},
		{"it never works", 3, func(int64) error { return oops }, 3, row{State: "dead", Error: "connection reset"}},
		{"trying again is pointless", 8, func(int64) error { return jobs.Dead(fmt.Errorf("channel 5: %w", tidings.ErrNotFound)) }, 1,
			row{State: "dead", Error: "channel 5: not found"}},
		{"waits do not use up tries", 2, func(run int64) error {
			if run < 6 {
				return fmt.Errorf("wrapped: %w", jobs.RetryAfter(errors.New("429"), time.Millisecond))
			}
			return nil
		}, 6, row{State: "done"}},
		{"shares of work do not use up tries", 1, func(run int64) error {
			if run < 6 {
				return jobs.ErrYield
			}
			return nil
		}, 6, row{State: "done"}},
		{"a panic is an error", 1, func(int64) error { panic("index out of range") }, 1, row{State: "dead", Error: "panic: index out of range"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, db, _ := open(t)
			j := jobs.New(s, jobs.Options{Backoff: soon, Poll: 50 * time.Millisecond})
			var runs atomic.Int64
			j.Handle("k", func(context.Context, store.Job) error { return tt.handle(runs.Add(1)) }, 1)
			run(t, j)
			enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Tries: tt.tries})
			var got []row
			eventually(t, "it ends", func() bool {
				got = rows(t, db, "k")
				return got[0].State == tt.want.State
			})
			if n := runs.Load(); n != tt.runs {
				t.Errorf("it ran %d times, want %d", n, tt.runs)
			}
			if want := tt.want.Error; len(got[0].Error) < len(want) || got[0].Error[:len(want)] != want {
				t.Errorf("the reason is %q, want %q", got[0].Error, want)
			}
		})
	}
}

// TestBackoffIsKept: being asked for again must not make a failing job hammer.
func TestBackoffIsKept(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	j := jobs.New(s, jobs.Options{Backoff: func(n int) time.Duration { return time.Duration(n) * time.Hour }})
	var runs atomic.Int64
	j.Handle("k", func(context.Context, store.Job) error { runs.Add(1); return errors.New("503") }, 1)
	run(t, j)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	eventually(t, "it has failed", func() bool { r := rows(t, db, "k")[0]; return r.State == "ready" && r.Attempt == 1 })
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Priority: 50})
	if r := rows(t, db, "k")[0]; r.Wait < 3500 || runs.Load() != 1 {
		t.Errorf("it runs again in %v s after %d runs, want in an hour", r.Wait, runs.Load())
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	for _, attempt := range []int{1, 5, 100} {
		enqueue(t, s, store.NewJob{Kind: "k", Key: fmt.Sprint(attempt), Tries: 200})
		db.MustExec(`UPDATE jobs SET attempt = key::int - 1 WHERE key = $1`, fmt.Sprint(attempt))
	}
	j := jobs.New(s, jobs.Options{})
	j.Handle("k", func(context.Context, store.Job) error { return errors.New("503") }, 3)
	run(t, j)
	var got []row
	eventually(t, "all have failed", func() bool {
		got = rows(t, db, "k")
		return !slices.ContainsFunc(got, func(r row) bool { return r.Error == "" })
	})
	for i, most := range []float64{2, 32, 3600} {
		if w := got[i].Wait; w > most || w < most/2-25 {
			t.Errorf("attempt %d waits %v s, want between half of %v and that", got[i].Attempt, w, most)
		}
	}
}

// TestAKilledWorkersJobIsTakenOver kills a process; before that, its lease is renewed, so that nobody takes the job.
func TestAKilledWorkersJobIsTakenOver(t *testing.T) {
	t.Parallel()
	s, db, url := open(t)
	enqueue(t, s, store.NewJob{Kind: "hang", Key: "a"})
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), workerURL+"="+url)
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	killed := sync.OnceFunc(func() {
		worker.Process.Kill()
		io.Copy(io.Discard, out)
		worker.Wait()
	})
	t.Cleanup(killed)
	if _, err := io.ReadFull(out, make([]byte, len("taken\n"))); err != nil {
		t.Fatal(err)
	}

	j := jobs.New(s, jobs.Options{Lease: shortLease, Poll: 20 * time.Millisecond})
	got := make(chan store.Job, 1)
	j.Handle("hang", func(_ context.Context, job store.Job) error { got <- job; return nil }, 1)
	run(t, j)
	// The lease is seen to be renewed beyond its first end.
	var first, renewed time.Time
	if err := db.Get(&first, `SELECT lease_until FROM jobs`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease outlives its first term", func() bool {
		var passed bool
		if err := db.QueryRow(`SELECT lease_until, now() > $1 FROM jobs`, first).Scan(&renewed, &passed); err != nil {
			t.Fatal(err)
		}
		return passed && renewed.After(first)
	})
	select {
	case <-got:
		t.Fatal("the job was taken from a living worker")
	default:
	}
	killed()
	if job := <-got; job.Attempt != 2 {
		t.Errorf("it is attempt %d, want 2", job.Attempt)
	}
	eventually(t, "it is done", func() bool { return slices.Equal(states(t, db, "hang"), []string{"done"}) })
}

// TestALostLeaseStopsTheHandler: the job was given to somebody else, say after this machine had slept.
func TestALostLeaseStopsTheHandler(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	j := jobs.New(s, jobs.Options{Lease: 300 * time.Millisecond, Poll: time.Hour})
	started, stopped := make(chan store.Job, 1), make(chan error, 1)
	j.Handle("k", func(ctx context.Context, job store.Job) error {
		started <- job
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return nil
	}, 1)
	run(t, j)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	old := <-started
	db.MustExec(`UPDATE jobs SET worker = 'somebody else', attempt = 2, lease_until = now() + interval '1 hour'`)
	if err := <-stopped; !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("the handler ended over %v, want ErrLeaseLost", err)
	}
	// What the old worker writes late is refused.
	if _, err := s.FinishJob(t.Context(), old); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("FinishJob() = %v, want ErrLeaseLost", err)
	}
	if err := s.RetryJob(t.Context(), old, 0, nil, false); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("RetryJob() = %v, want ErrLeaseLost", err)
	}
	if got := states(t, db, "k"); !slices.Equal(got, []string{"running"}) {
		t.Errorf("the job is %v, want running at somebody else's", got)
	}
}

func TestAJobWhoseWorkersAreLostTooOftenDies(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Tries: 2})
	for n := range 2 {
		if jobs, err := s.ClaimJobs(t.Context(), fmt.Sprint(n), map[string]int{"k": 1}, time.Minute); err != nil || len(jobs) != 1 {
			t.Fatalf("claim %d took %v, %v", n, jobs, err)
		}
		if lost, err := s.ExpireJobs(t.Context()); err != nil || lost != 0 {
			t.Fatalf("ExpireJobs() = %d, %v while the lease stands", lost, err)
		}
		db.MustExec(`UPDATE jobs SET lease_until = now() - interval '1 second'`)
		if lost, err := s.ExpireJobs(t.Context()); err != nil || lost != 1 {
			t.Fatalf("ExpireJobs() = %d, %v, want 1", lost, err)
		}
	}
	dead := rows(t, db, "k")[0]
	if dead.State != "dead" || dead.Error != "its worker was lost" {
		t.Errorf("the job is %+v, want dead", dead)
	}
	if err := s.ReviveJob(t.Context(), dead.ID); err != nil {
		t.Fatal(err)
	}
	if r := rows(t, db, "k")[0]; r.State != "ready" || r.Attempt != 0 {
		t.Errorf("the revived job is %+v", r)
	}
	if err := s.ReviveJob(t.Context(), dead.ID); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("ReviveJob() of a living job = %v, want ErrNotFound", err)
	}
}

func TestRevivingWhatIsOpenAlready(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	db.MustExec(`UPDATE jobs SET state = 'dead', finished_at = now()`)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	if err := s.ReviveJob(t.Context(), rows(t, db, "k")[0].ID); !errors.Is(err, tidings.ErrConflict) {
		t.Errorf("ReviveJob() = %v, want ErrConflict", err)
	}
}

func TestStoppingGivesJobsBack(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	j := jobs.New(s, jobs.Options{})
	started := make(chan struct{})
	j.Handle("k", func(ctx context.Context, _ store.Job) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}, 1)
	stop := run(t, j)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	<-started
	stop()
	if r := rows(t, db, "k")[0]; r.State != "ready" || r.Attempt != 0 || r.Wait > 0 {
		t.Errorf("after stopping the job is %+v, want ready at once", r)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	if err := s.PauseJobs(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a"})
	j := jobs.New(s, jobs.Options{Poll: time.Hour})
	var done atomic.Int64
	h := func(context.Context, store.Job) error { done.Add(1); return nil }
	j.Handle("k", h, 1)
	j.Handle("other", h, 1)
	run(t, j)
	enqueue(t, s, store.NewJob{Kind: "other", Key: "a"})
	eventually(t, "the other kind is done", func() bool { return slices.Equal(states(t, db, "other"), []string{"done"}) })
	if got := states(t, db, "k"); !slices.Equal(got, []string{"ready"}) {
		t.Errorf("a paused job is %v", got)
	}
	counts, err := s.JobCounts(t.Context())
	if err != nil || len(counts) != 2 || counts[0].Kind != "k" || !counts[0].Paused || counts[0].N != 1 || counts[1].Paused {
		t.Errorf("JobCounts() = %+v, %v", counts, err)
	}
	if err := s.ResumeJobs(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the resumed job is done", func() bool { return slices.Equal(states(t, db, "k"), []string{"done"}) })
}

func TestJobsOfARemovedGuildEnd(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	db.MustExec(`INSERT INTO guilds (id, removed_at) VALUES (1, now()), (2, NULL)`)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "a", Guild: 1}, store.NewJob{Kind: "k", Key: "b", Guild: 2}, store.NewJob{Kind: "k", Key: "c"})
	if _, err := s.ExpireJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := states(t, db, "k"); !slices.Equal(got, []string{"dead", "ready", "ready"}) {
		t.Errorf("the jobs are %v", got)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
