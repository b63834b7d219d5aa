package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// Job is one that a worker has claimed.
type Job struct {
	ID       int64           `db:"id"`
	Kind     string          `db:"kind"`
	Key      string          `db:"key"`
	Guild    discord.GuildID `db:"guild_id"`
	Priority int             `db:"priority"`
	Payload  json.RawMessage `db:"payload"`
	Attempt  int             `db:"attempt"` // from 1
	Tries    int             `db:"max_attempts"`
	Claim    string          `db:"worker"` // under which claim it runs; what is written under an older one is refused
}

// NewJob says what is to be done.
type NewJob struct {
	Kind string
	// Key names the work: of jobs of one kind and key at most one is open. Asking for it again while it waits raises its
	// priority, and while it runs makes it run once more afterwards; the second Payload is dropped. "" is never the same.
	Key      string
	Guild    discord.GuildID // the job ends when the bot is removed from it; 0 for none
	Priority int             // -100 to 100; each is worth five minutes of waiting
	Payload  any             // in JSON; nil is {}
	After    time.Duration   // not before then
	Tries    int             // 0 means 8
}

const (
	defaultTries = 8
	jobsChannel  = "tidings_jobs" // that LISTEN hears
	maxJobError  = 1000
)

// prepare checks the job and fills in what was left out.
func (j NewJob) prepare() (NewJob, string, error) {
	if j.Kind == "" || strings.HasPrefix(j.Key, "@") {
		return j, "", fmt.Errorf("%w job: the kind %q or the key %q", tidings.ErrInvalid, j.Kind, j.Key)
	}
	j.Priority = min(max(j.Priority, -100), 100)
	if j.Tries <= 0 {
		j.Tries = defaultTries
	}
	if j.Payload == nil {
		return j, "{}", nil
	}
	payload, err := json.Marshal(j.Payload)
	return j, string(payload), err
}

// A job that has failed keeps its time: being asked for again is no reason to try sooner than the backoff says.
const enqueueJobs = `
INSERT INTO jobs (kind, key, guild_id, priority, payload, max_attempts, run_at, turn)
SELECT v.kind, v.key, v.guild_id, v.priority, v.payload, v.tries,
       now() + v.after_ms * interval '1 ms',
       now() + v.after_ms * interval '1 ms' - v.priority * interval '5 minutes'
FROM (VALUES %s) v(kind, key, guild_id, priority, payload, tries, after_ms)
ON CONFLICT (kind, key) WHERE state IN ('ready', 'running') AND key <> '' DO UPDATE
SET priority = greatest(jobs.priority, excluded.priority),
    run_at = CASE WHEN jobs.attempt > 0 THEN jobs.run_at ELSE least(jobs.run_at, excluded.run_at) END,
    turn = CASE WHEN jobs.attempt > 0 THEN jobs.run_at ELSE least(jobs.run_at, excluded.run_at) END
           - greatest(jobs.priority, excluded.priority) * interval '5 minutes',
    again = jobs.state = 'running'
RETURNING xmax = 0`

var enqueueJobsTypes = []string{"text", "text", "bigint", "smallint", "jsonb", "int", "bigint"}

const notifyJobs = `SELECT pg_notify('` + jobsChannel + `', '')`

// Enqueue asks for jobs and returns how many of them were not open already.
func (s *Store) Enqueue(ctx context.Context, jobs ...NewJob) (fresh int, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) (err error) {
		fresh, err = enqueue(ctx, tx, jobs)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("enqueue jobs: %w", err)
	}
	return fresh, nil
}

// enqueue is Enqueue within the transaction of what causes the jobs.
func enqueue(ctx context.Context, tx *sqlx.Tx, jobs []NewJob) (fresh int, err error) {
	type identity struct{ kind, key string }
	var rows [][]any
	seen := map[identity]int{}
	now := false
	for _, j := range jobs {
		j, payload, err := j.prepare()
		if err != nil {
			return 0, err
		}
		now = now || j.After <= 0
		row := []any{j.Kind, j.Key, int64(j.Guild), j.Priority, payload, j.Tries, max(j.After, 0).Milliseconds()}
		k := identity{j.Kind, j.Key}
		if i, ok := seen[k]; ok && j.Key != "" { // One statement cannot touch a row twice.
			rows[i][3] = max(rows[i][3].(int), j.Priority)
			rows[i][6] = min(rows[i][6].(int64), row[6].(int64))
			continue
		}
		seen[k] = len(rows)
		rows = append(rows, row)
	}
	// Two that ask for the same jobs lock them in the same order.
	slices.SortFunc(rows, func(a, b []any) int {
		return cmp.Or(cmp.Compare(a[0].(string), b[0].(string)), cmp.Compare(a[1].(string), b[1].(string)))
	})
	for part := range slices.Chunk(rows, rowsPerStatement) {
		list, args := values(enqueueJobsTypes, part)
		var made []bool
		if err := tx.SelectContext(ctx, &made, fmt.Sprintf(enqueueJobs, list), args...); err != nil {
			return 0, err
		}
		for _, m := range made {
			if m {
				fresh++
			}
		}
	}
	if now {
		_, err = tx.ExecContext(ctx, notifyJobs)
	}
	return fresh, err
}

// The key stays taken after the job is done, so that a process whose clock is behind does not ask for the tick again. While
// an earlier tick is open, the new one would only pile up.
const enqueueTick = `
INSERT INTO jobs (kind, key, guild_id, priority, payload, max_attempts, run_at, turn)
SELECT $1, $2, $3, $4, $5::jsonb, $6, now(), now() - $4::smallint * interval '5 minutes'
WHERE NOT EXISTS (
	SELECT
	FROM jobs
	WHERE kind = $1 AND key LIKE '@%' AND state IN ('ready', 'running'))
ON CONFLICT DO NOTHING`

// EnqueueTick asks for a timetable's job of one tick, once however many processes ask. The job's Key is not used.
func (s *Store) EnqueueTick(ctx context.Context, j NewJob, tick time.Time) (fresh bool, err error) {
	j.Key = ""
	j, payload, err := j.prepare()
	if err != nil {
		return false, err
	}
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		key := "@" + tick.UTC().Format(time.RFC3339)
		res, err := tx.ExecContext(ctx, enqueueTick, j.Kind, key, int64(j.Guild), j.Priority, payload, j.Tries)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if fresh = n > 0; err != nil || !fresh {
			return err
		}
		_, err = tx.ExecContext(ctx, notifyJobs)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("enqueue %s of %s: %w", j.Kind, tick.UTC().Format(time.RFC3339), err)
	}
	return fresh, nil
}

// A CTE that locks is evaluated once; a sub-select in its place may be evaluated again, and then locks more than its limit.
const claimJobs = `
WITH next AS MATERIALIZED (
	SELECT j.id
	FROM unnest($1::text[], $2::int[]) k(kind, n)
	CROSS JOIN LATERAL (
		SELECT id
		FROM jobs
		WHERE state = 'ready' AND kind = k.kind AND run_at <= now()
		ORDER BY turn, id
		LIMIT k.n
		FOR UPDATE SKIP LOCKED) j
	WHERE NOT EXISTS (SELECT FROM job_pauses p WHERE p.kind = k.kind))
UPDATE jobs
SET state = 'running',
    attempt = attempt + 1,
    again = false,
    lease_until = now() + $3 * interval '1 ms',
    worker = $4
FROM next
WHERE jobs.id = next.id
RETURNING jobs.id, kind, key, guild_id, priority, payload, attempt, max_attempts, worker`

// ClaimJobs takes up to so many due jobs of each kind and leases them to a claim, whose name must be new each time. It passes
// over kinds that are paused. The jobs come in no order.
func (s *Store) ClaimJobs(ctx context.Context, claim string, free map[string]int, lease time.Duration) ([]Job, error) {
	kinds, limits := make(pq.StringArray, 0, len(free)), make(pq.Int32Array, 0, len(free))
	for kind, n := range free {
		kinds, limits = append(kinds, kind), append(limits, int32(n))
	}
	var jobs []Job
	err := s.db.SelectContext(ctx, &jobs, claimJobs, kinds, limits, lease.Milliseconds(), claim)
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	return jobs, nil
}

const renewJobs = `
UPDATE jobs
SET lease_until = now() + $3 * interval '1 ms'
FROM unnest($1::bigint[], $2::text[]) v(id, worker)
WHERE jobs.id = v.id AND jobs.worker = v.worker AND state = 'running'
RETURNING jobs.id`

// RenewJobs prolongs leases and returns the ids of the jobs that are still held; the others were taken over.
func (s *Store) RenewJobs(ctx context.Context, jobs []Job, lease time.Duration) (held []int64, err error) {
	ids, claims := make(pq.Int64Array, len(jobs)), make(pq.StringArray, len(jobs))
	for i, j := range jobs {
		ids[i], claims[i] = j.ID, j.Claim
	}
	if err := s.db.SelectContext(ctx, &held, renewJobs, ids, claims, lease.Milliseconds()); err != nil {
		return nil, fmt.Errorf("renew jobs: %w", err)
	}
	return held, nil
}

// endJob ends a claim for good, or starts the job anew when it was asked for meanwhile.
const endJob = `
UPDATE jobs
SET state = CASE WHEN again THEN 'ready' ELSE $3 END,
    attempt = CASE WHEN again THEN 0 ELSE attempt END,
    run_at = CASE WHEN again THEN now() ELSE run_at END,
    turn = CASE WHEN again THEN now() - priority * interval '5 minutes' ELSE turn END,
    finished_at = CASE WHEN again THEN NULL ELSE now() END,
    again = false,
    lease_until = NULL,
    worker = '',
    last_error = $4
WHERE id = $1 AND worker = $2 AND state = 'running'
RETURNING state = 'ready'`

// FinishJob ends a job that is done. again says that it was asked for meanwhile, and waits anew. [tidings.ErrLeaseLost] when
// another worker has taken it over.
func (s *Store) FinishJob(ctx context.Context, j Job) (again bool, err error) {
	return s.endJob(ctx, j, "done", "")
}

// BuryJob ends a job that will not be tried again; it stays to be seen, with the reason.
func (s *Store) BuryJob(ctx context.Context, j Job, cause error) (again bool, err error) {
	return s.endJob(ctx, j, "dead", jobError(cause))
}

func (s *Store) endJob(ctx context.Context, j Job, state, cause string) (again bool, err error) {
	var ended []bool
	err = s.db.SelectContext(ctx, &ended, endJob, j.ID, j.Claim, state, cause)
	switch {
	case err != nil:
		return false, fmt.Errorf("end job %d: %w", j.ID, err)
	case len(ended) == 0:
		return false, fmt.Errorf("end job %d: %w", j.ID, tidings.ErrLeaseLost)
	}
	return ended[0], nil
}

const releaseJob = `
UPDATE jobs
SET state = 'ready',
    attempt = $3,
    max_attempts = max_attempts + $4,
    run_at = now() + $5 * interval '1 ms',
    turn = now() + $5 * interval '1 ms' - priority * interval '5 minutes',
    again = false,
    lease_until = NULL,
    worker = '',
    last_error = $6
WHERE id = $1 AND worker = $2 AND state = 'running'`

// RetryJob gives a job back to be tried again after a wait. free says that this try does not count against the job's
// tries, for waits that are nobody's fault, such as a rate limit's.
func (s *Store) RetryJob(ctx context.Context, j Job, wait time.Duration, cause error, free bool) error {
	more := 0
	if free {
		more = 1
	}
	return s.releaseJob(ctx, j, j.Attempt, more, wait, jobError(cause))
}

// ReleaseJob gives a job back as if it had not been claimed, behind those that wait already. progressed says that it got
// ahead, so that its tries count from the start.
func (s *Store) ReleaseJob(ctx context.Context, j Job, progressed bool) error {
	attempt := j.Attempt - 1
	if progressed {
		attempt = 0
	}
	return s.releaseJob(ctx, j, attempt, 0, 0, "")
}

func (s *Store) releaseJob(ctx context.Context, j Job, attempt, more int, wait time.Duration, cause string) error {
	res, err := s.db.ExecContext(ctx, releaseJob, j.ID, j.Claim, attempt, more, max(wait, 0).Milliseconds(), cause)
	if err != nil {
		return fmt.Errorf("give back job %d: %w", j.ID, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("give back job %d: %w", j.ID, tidings.ErrLeaseLost)
	}
	return nil
}

// giveBackLost gives running jobs back whose worker was lost; what follows it says which. The try counts, so that a job that ends
// its process each time dies in the end.
const giveBackLost = `
UPDATE jobs
SET state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'ready' END,
    finished_at = CASE WHEN attempt >= max_attempts THEN now() END,
    run_at = now(),
    turn = now() - priority * interval '5 minutes',
    again = false,
    lease_until = NULL,
    worker = '',
    last_error = 'its worker was lost'
WHERE state = 'running' AND `

const reclaimJobs = giveBackLost + `left(worker, length($1) + 1) = $1 || '#'`

// ReclaimJobs gives back what an earlier process of a name left running when it ended without a word, and returns how many
// jobs that are.
func (s *Store) ReclaimJobs(ctx context.Context, name string) (int, error) {
	res, err := s.db.ExecContext(ctx, reclaimJobs, name)
	if err != nil {
		return 0, fmt.Errorf("reclaim jobs: %w", unavailable(err))
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func jobError(err error) string {
	if err == nil {
		return ""
	}
	text := clean(err.Error())
	if len(text) > maxJobError {
		text = clean(text[:maxJobError]) + "…"
	}
	return text
}

const expireJobs = giveBackLost + `lease_until < now()`

const buryOrphans = `
UPDATE jobs
SET state = 'dead',
    finished_at = now(),
    last_error = 'the bot was removed from the guild'
FROM guilds
WHERE jobs.state = 'ready' AND guilds.id = jobs.guild_id AND guilds.removed_at IS NOT NULL`

// ExpireJobs gives back the jobs of lost workers and ends those of guilds that the bot was removed from. It returns how many
// jobs were given back.
func (s *Store) ExpireJobs(ctx context.Context) (int, error) {
	res, err := s.db.ExecContext(ctx, expireJobs)
	if err != nil {
		return 0, fmt.Errorf("expire jobs: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	if _, err := s.db.ExecContext(ctx, buryOrphans); err != nil {
		return 0, fmt.Errorf("end jobs of removed guilds: %w", err)
	}
	return int(n), nil
}

// ListenJobs calls wake when a job has been asked for, and whenever one may have been missed, until ctx ends. Behind a pooler that
// hands connections from one transaction to another nothing is heard; see [Options].DirectURL.
func (s *Store) ListenJobs(ctx context.Context, wake func()) error {
	failing := false
	l := pq.NewListener(s.direct, time.Second, time.Minute, func(_ pq.ListenerEventType, err error) {
		if (err != nil) != failing {
			failing = err != nil
			s.log.Warn("listening for jobs", "failing", failing, "err", err)
		}
	})
	defer l.Close()
	// It waits for the first connection, and so would outlast ctx.
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	if err := l.Listen(jobsChannel); err != nil && ctx.Err() == nil && !errors.Is(err, pq.ErrChannelAlreadyOpen) {
		return fmt.Errorf("listen for jobs: %w", err)
	}
	wake()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.NotificationChannel(): // nil after a reconnection
			wake()
		}
	}
}
