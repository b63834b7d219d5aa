package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
)

// SendAlert is the kind of the job that tells operators of an alert. Its payload is an [Alert].
const SendAlert = "send-alert"

// Alert says that a kind of job fails persistently: nothing of it has succeeded for a while, although it was tried.
type Alert struct {
	Kind     string    `db:"kind" json:"kind"`
	Since    time.Time `db:"since" json:"since"`
	Failures int       `db:"failures" json:"failures"` // tries of what is failing now
	Reason   string    `db:"reason" json:"reason"`     // of the last one; for operators only
	Over     bool      `db:"-" json:"over"`            // it works again, or is not tried any more
}

const (
	// alertAfter is for how long nothing of a kind must have succeeded, and alertFailures how many tries must have failed.
	alertAfter    = 10 * time.Minute
	alertFailures = 3
	// alertPause is the least time between two tellings of one kind that comes and goes.
	alertPause = 30 * time.Minute
)

// A job that died more than an hour ago says nothing about now.
const failingKinds = `
WITH failing AS (
	SELECT kind, min(created_at) AS since, sum(attempt)::int AS failures, (array_agg(last_error ORDER BY coalesce(finished_at, run_at) DESC))[1] AS reason
	FROM jobs
	WHERE (state = 'dead' AND finished_at > now() - interval '1 hour' OR state IN ('ready', 'running')) AND last_error <> '' AND attempt > 0
	GROUP BY kind)
SELECT kind, since, failures, reason
FROM failing f
WHERE failures >= $1 AND since < now() - $2 * interval '1 second'
  AND NOT EXISTS (SELECT FROM jobs d WHERE d.kind = f.kind AND d.state = 'done' AND d.finished_at > now() - $2 * interval '1 second')
ORDER BY kind`

const openAlerts = `
SELECT kind, since, failures, reason
FROM alerts
WHERE ended_at IS NULL
ORDER BY kind`

// A kind that comes and goes keeps its row, so that it is not told each time.
const raiseAlert = `
INSERT INTO alerts AS a (kind, since, failures, reason, told_at)
VALUES ($1, $2, $3, $4, now())
ON CONFLICT (kind) DO UPDATE
SET since = CASE WHEN a.ended_at IS NULL THEN a.since ELSE excluded.since END,
    failures = excluded.failures,
    reason = excluded.reason,
    began_told = CASE WHEN a.ended_at IS NULL THEN a.began_told ELSE a.told_at < now() - $5 * interval '1 second' END,
    told_at = CASE WHEN a.ended_at IS NOT NULL AND a.told_at < now() - $5 * interval '1 second' THEN now() ELSE a.told_at END,
    ended_at = NULL
RETURNING began_told`

const endAlert = `
UPDATE alerts
SET ended_at = now()
WHERE kind = $1
RETURNING began_told`

// Watch looks for kinds of jobs that fail persistently and returns those that have begun or ended to. With tell, the telling of each is
// enqueued: once when it begins and once when it ends, and of a kind that comes and goes at most every half hour. The telling itself
// is watched as well, and never told.
func (s *Store) Watch(ctx context.Context, tell bool) (changed []Alert, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		changed = nil
		var now, open []Alert
		if err := tx.SelectContext(ctx, &now, failingKinds, alertFailures, alertAfter.Seconds()); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &open, openAlerts); err != nil {
			return err
		}
		is := func(list []Alert, kind string) bool {
			return slices.ContainsFunc(list, func(a Alert) bool { return a.Kind == kind })
		}
		var told []Alert
		for _, a := range now {
			var tellIt bool
			if err := tx.GetContext(ctx, &tellIt, raiseAlert, a.Kind, a.Since, a.Failures, clean(a.Reason), alertPause.Seconds()); err != nil {
				return err
			}
			if !is(open, a.Kind) {
				changed = append(changed, a)
				if tellIt {
					told = append(told, a)
				}
			}
		}
		for _, a := range open {
			if is(now, a.Kind) {
				continue
			}
			var began bool
			if err := tx.GetContext(ctx, &began, endAlert, a.Kind); err != nil {
				return err
			}
			a.Over = true
			changed = append(changed, a)
			if began {
				told = append(told, a)
			}
		}
		var jobs []NewJob
		for _, a := range told {
			if tell && a.Kind != SendAlert {
				// Each telling has a key of its own, so that the end does not replace the beginning.
				key := fmt.Sprintf("%s %d", a.Kind, time.Now().UnixNano())
				jobs = append(jobs, NewJob{Kind: SendAlert, Key: key, Payload: a, Priority: priorityReader, Tries: 6})
			}
		}
		_, err := enqueue(ctx, tx, jobs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch over jobs: %w", err)
	}
	return changed, nil
}

// Alerts lists the kinds of jobs that fail persistently now.
func (s *Store) Alerts(ctx context.Context) ([]Alert, error) {
	var list []Alert
	if err := s.db.SelectContext(ctx, &list, openAlerts); err != nil {
		return nil, fmt.Errorf("list alerts: %w", unavailable(err))
	}
	return list, nil
}
