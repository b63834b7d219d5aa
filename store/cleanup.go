package store

import (
	"context"
	"fmt"
)

// rowsPerCleanup keeps each deletion short, so that nobody waits for its locks.
const rowsPerCleanup = 5000

// leftovers are what is deleted after a while. Done jobs stay for two days, because the timetable's keys in them keep a tick
// from being done twice; dead ones for as long as somebody may want to see why.
var leftovers = []struct{ what, query string }{
	{"jobs", `
DELETE FROM jobs
WHERE id IN (
	SELECT id
	FROM jobs
	WHERE state IN ('done', 'dead') AND finished_at < now() - CASE state WHEN 'done' THEN interval '2 days' ELSE interval '14 days' END
	LIMIT $1)`},
	{"sessions", `
DELETE FROM sessions
WHERE token IN (SELECT token FROM sessions WHERE expires < now() LIMIT $1)`},
	{"session_people", `
DELETE FROM session_people
WHERE token IN (
	SELECT p.token
	FROM session_people p
	WHERE p.created_at < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM sessions s WHERE s.token = p.token)
	LIMIT $1)`},
	{"push_subscriptions", `
DELETE FROM push_subscriptions
WHERE id IN (
	SELECT p.id
	FROM push_subscriptions p
	WHERE NOT EXISTS (SELECT FROM sessions s WHERE 'cookie ' || s.token = p.session)
	AND NOT EXISTS (SELECT FROM api_tokens t WHERE 'token ' || encode(t.hash, 'hex') = p.session AND t.revoked_at IS NULL)
	LIMIT $1)`},
	{"read_log", `
DELETE FROM read_log
WHERE ctid IN (SELECT ctid FROM read_log WHERE at < now() - interval '30 days' LIMIT $1)`},
	{"dead_events", `
DELETE FROM dead_events
WHERE id IN (SELECT id FROM dead_events WHERE at < now() - interval '30 days' LIMIT $1)`},
	{"webhook_events", `
DELETE FROM webhook_events
WHERE id IN (
	SELECT id
	FROM webhook_events
	WHERE received_at < now() - CASE WHEN processed_at IS NULL THEN interval '14 days' ELSE interval '1 day' END
	LIMIT $1)`},
	{"gaps", `
DELETE FROM gaps
WHERE id IN (SELECT id FROM gaps WHERE healed_at < now() - interval '90 days' LIMIT $1)`},
}

// Cleanup deletes what has served: old jobs, expired sessions with their push subscriptions, marks too old to be undone, dead events that nobody looked at, webhook
// events that were processed, gaps healed long ago, and the names of authors of whom nothing is left. It returns how many rows of each table went. Cut short, it goes on the next time.
func (s *Store) Cleanup(ctx context.Context) (map[string]int64, error) {
	deleted := map[string]int64{}
	for _, l := range leftovers {
		for {
			res, err := s.db.ExecContext(ctx, l.query, rowsPerCleanup)
			if err != nil {
				return deleted, fmt.Errorf("clean up %s: %w", l.what, err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return deleted, fmt.Errorf("clean up %s: %w", l.what, err)
			}
			deleted[l.what] += n
			if n < rowsPerCleanup {
				break
			}
		}
	}
	n, err := s.forgetNames(ctx)
	deleted["author_names"] = n
	return deleted, err
}
