package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

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
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return counts, nil
}

// DeadJob is one that will not be tried again by itself.
type DeadJob struct {
	ID       int64           `db:"id" json:"id"`
	Kind     string          `db:"kind" json:"kind"`
	Key      string          `db:"key" json:"key"`
	Guild    discord.GuildID `db:"guild_id" json:"guild"`
	Payload  json.RawMessage `db:"payload" json:"payload"`
	Attempts int             `db:"attempt" json:"attempts"`
	Error    string          `db:"last_error" json:"error"`
	At       time.Time       `db:"finished_at" json:"at"`
}

const deadJobs = `
SELECT id, kind, key, guild_id, payload, attempt, last_error, finished_at
FROM jobs
WHERE state = 'dead'
ORDER BY finished_at DESC, id DESC
LIMIT $1`

// DeadJobs lists the jobs that died last, newest first.
func (s *Store) DeadJobs(ctx context.Context, limit int) ([]DeadJob, error) {
	var jobs []DeadJob
	if err := s.db.SelectContext(ctx, &jobs, deadJobs, limit); err != nil {
		return nil, fmt.Errorf("list dead jobs: %w", err)
	}
	return jobs, nil
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
	if pe := (*pq.Error)(nil); errors.As(err, &pe) && pe.Code == "23505" {
		return fmt.Errorf("revive job %d: it is open already: %w", id, tidings.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("revive job %d: %w", id, err)
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
		return fmt.Errorf("pause %s: %w", kind, err)
	}
	return nil
}

const resumeJobs = `
DELETE FROM job_pauses
WHERE kind = $1`

// ResumeJobs ends a pause.
func (s *Store) ResumeJobs(ctx context.Context, kind string) error {
	if _, err := s.db.ExecContext(ctx, resumeJobs, kind); err != nil {
		return fmt.Errorf("resume %s: %w", kind, err)
	}
	if _, err := s.db.ExecContext(ctx, notifyJobs); err != nil {
		return fmt.Errorf("resume %s: %w", kind, err)
	}
	return nil
}
