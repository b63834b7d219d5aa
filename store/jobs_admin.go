package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// JobCount is how many jobs of a kind are in a state.
type JobCount struct {
	Kind   string  `db:"kind" json:"kind"`
	State  string  `db:"state" json:"state"` // ready, running, done or dead
	N      int     `db:"n" json:"n"`
	Oldest float64 `db:"oldest" json:"oldest_seconds"` // since when the longest waiting one has been due; 0 unless ready
	Paused bool    `db:"paused" json:"paused"`
}

const jobCounts = `
SELECT kind, state, count(*) AS n,
       coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'ready' AND run_at <= now())), 0)::float8 AS oldest,
       EXISTS (SELECT FROM job_pauses p WHERE p.kind = jobs.kind) AS paused
FROM jobs
GROUP BY kind, state
ORDER BY kind, state`

// JobCounts says how many jobs there are, by kind and state.
func (s *Store) JobCounts(ctx context.Context) ([]JobCount, error) {
	var counts []JobCount
	if err := s.db.SelectContext(ctx, &counts, jobCounts); err != nil {
		return nil, fmt.Errorf("count jobs: %w", unavailable(err))
	}
	return counts, nil
}

const reviveJob = `
UPDATE jobs
SET state = 'ready',
    attempt = 0,
    run_at = now(),
    turn = now() - priority * interval '5 minutes',
    finished_at = NULL
WHERE id = $1 AND state = 'dead'`

// ReviveJob lets a dead job be tried again from the start. [tidings.ErrNotFound] when there is no such dead job,
// [tidings.ErrConflict] when the same work waits or runs already.
func (s *Store) ReviveJob(ctx context.Context, id int64) error {
	res, err := s.db.ExecContext(ctx, reviveJob, id)
	if coded(err, "23505") {
		return fmt.Errorf("revive job %d: it is open already: %w", id, tidings.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("revive job %d: %w", id, unavailable(err))
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("revive job %d: %w", id, tidings.ErrNotFound)
	}
	_, err = s.db.ExecContext(ctx, notifyJobs)
	return err
}

const pauseJobs = `
INSERT INTO job_pauses (kind)
VALUES ($1)
ON CONFLICT DO NOTHING`

// PauseJobs lets no job of a kind start, in any process, until ResumeJobs. What runs goes on.
func (s *Store) PauseJobs(ctx context.Context, kind string) error {
	if _, err := s.db.ExecContext(ctx, pauseJobs, kind); err != nil {
		return fmt.Errorf("pause %s: %w", kind, unavailable(err))
	}
	return nil
}

const resumeJobs = `
DELETE FROM job_pauses
WHERE kind = $1`

// ResumeJobs ends a pause.
func (s *Store) ResumeJobs(ctx context.Context, kind string) error {
	if _, err := s.db.ExecContext(ctx, resumeJobs, kind); err != nil {
		return fmt.Errorf("resume %s: %w", kind, unavailable(err))
	}
	if _, err := s.db.ExecContext(ctx, notifyJobs); err != nil {
		return fmt.Errorf("resume %s: %w", kind, unavailable(err))
	}
	return nil
}

// JobAttempt is how one attempt of a job went.
type JobAttempt struct {
	Attempt int        `json:"attempt"`  // from 1; from 1 again once the job was brought back from the dead
	Began   *time.Time `json:"began_at"` // nil where that is not known
	Ended   time.Time  `json:"ended_at"`
	Outcome string     `json:"outcome" enum:"done,failed,dead"`
	Error   string     `json:"error"` // its first 300 characters
}

// Took is how long the attempt lasted, 0 where that is not known.
func (a JobAttempt) Took() time.Duration {
	if a.Began == nil {
		return 0
	}
	return max(a.Ended.Sub(*a.Began), 0)
}

// JobHistory holds the last ten attempts of a job, the oldest first.
type JobHistory []JobAttempt

// Scan reads what the database has of it.
func (h *JobHistory) Scan(v any) error {
	text, ok := v.([]byte)
	if !ok {
		return fmt.Errorf("a job's history is a %T", v)
	}
	return json.Unmarshal(text, h)
}

// ListedJob is a job as operators see it.
type ListedJob struct {
	ID       int64           `db:"id" json:"id"`
	Kind     string          `db:"kind" json:"kind"`
	Key      string          `db:"key" json:"key"`
	Guild    discord.GuildID `db:"guild_id" json:"guild"`
	State    string          `db:"state" json:"state"` // ready, running, done or dead
	Attempt  int             `db:"attempt" json:"attempt"`
	Tries    int             `db:"max_attempts" json:"tries"`
	Priority int             `db:"priority" json:"priority"`
	Created  time.Time       `db:"created_at" json:"created_at"`
	Due      time.Time       `db:"run_at" json:"due_at"`
	Finished *time.Time      `db:"finished_at" json:"finished_at"`
	Error    string          `db:"last_error" json:"error"` // of the last attempt that failed
	Revived  int             `db:"revived" json:"revived"`  // how often it was brought back from the dead
	History  JobHistory      `db:"history" json:"history"`
	// Stuck: its process has not been heard of for longer than its lease, or it has been due for a quarter of an hour and
	// is not paused.
	Stuck  bool `db:"stuck" json:"stuck"`
	Paused bool `db:"paused" json:"paused"`
}

const listJobs = `
SELECT id, kind, key, guild_id, state, attempt, max_attempts, priority, created_at, run_at, finished_at, last_error, revived, history,
       state = 'running' AND lease_until < now() - interval '30 seconds'
       OR state = 'ready' AND run_at < now() - interval '15 minutes' AND NOT EXISTS (SELECT FROM job_pauses p WHERE p.kind = jobs.kind) AS stuck,
       EXISTS (SELECT FROM job_pauses p WHERE p.kind = jobs.kind) AS paused
FROM jobs
WHERE state = $1 AND ($2 = '' OR kind = $2)
ORDER BY CASE WHEN state IN ('done', 'dead') THEN finished_at END DESC, turn, id
LIMIT $3`

// ListJobs lists jobs of a state, of one kind where that is not "": those that wait in the order of their turns, those that have
// ended the latest first.
func (s *Store) ListJobs(ctx context.Context, state, kind string, limit int) ([]ListedJob, error) {
	list := []ListedJob{}
	if err := s.db.SelectContext(ctx, &list, listJobs, state, kind, limit); err != nil {
		return nil, fmt.Errorf("list %s jobs: %w", state, unavailable(err))
	}
	return list, nil
}

const pausedKinds = `
SELECT kind
FROM job_pauses
ORDER BY kind`

// PausedKinds lists the kinds of which no job is started.
func (s *Store) PausedKinds(ctx context.Context) ([]string, error) {
	kinds := []string{}
	if err := s.db.SelectContext(ctx, &kinds, pausedKinds); err != nil {
		return nil, fmt.Errorf("list pauses: %w", unavailable(err))
	}
	return kinds, nil
}

// One that is dead stays, with the reason that it had: cancelling only keeps it from being brought back.
const cancelJob = `
UPDATE jobs
SET state = 'dead',
    last_error = CASE WHEN state = 'dead' THEN last_error ELSE 'cancelled' END,
    revived = 100,
    again = false,
    lease_until = NULL,
    worker = '',
    finished_at = now()
WHERE id = $1 AND state IN ('ready', 'running', 'dead')`

// CancelJob ends a job that waits or runs, and keeps one that has died from being tried again. The process that runs it notices
// when it renews its lease, within half a minute. [tidings.ErrNotFound] when there is none.
func (s *Store) CancelJob(ctx context.Context, id int64) error {
	res, err := s.db.ExecContext(ctx, cancelJob, id)
	if err != nil {
		return fmt.Errorf("cancel job %d: %w", id, unavailable(err))
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("cancel job %d: %w", id, tidings.ErrNotFound)
	}
	return nil
}
