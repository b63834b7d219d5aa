package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"tidings"
)

const leaseShard = `
INSERT INTO gateway_sessions (shard, shards, owner, lease_epoch, lease_until)
VALUES ($1, $2, $3, 1, now() + $4 * interval '1 millisecond')
ON CONFLICT (shard, shards) DO UPDATE
SET owner = excluded.owner,
    lease_epoch = gateway_sessions.lease_epoch + 1,
    lease_until = excluded.lease_until,
    updated_at = now()
WHERE gateway_sessions.lease_until <= now() OR gateway_sessions.owner = excluded.owner
RETURNING shard, shards, session_id, resume_url, seq, lease_epoch`

// LeaseShard makes owner the one who runs a shard for ttl, and returns the session to resume. The error is
// [tidings.ErrLeaseLost] while another owner holds a live lease. Leasing again, by the same owner too, ends the lease before.
func (s *Store) LeaseShard(ctx context.Context, shard, shards int, owner string, ttl time.Duration) (tidings.GatewaySession, error) {
	var g tidings.GatewaySession
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &g, leaseShard, shard, shards, owner, ttl.Milliseconds())
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrLeaseLost
	}
	if err != nil {
		return tidings.GatewaySession{}, fmt.Errorf("lease shard %d of %d: %w", shard, shards, err)
	}
	return g, nil
}

const renewShard = `
UPDATE gateway_sessions
SET lease_until = now() + $4 * interval '1 millisecond'
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// RenewShard makes the lease last for ttl from now. The error is [tidings.ErrLeaseLost] when somebody has leased it since.
func (s *Store) RenewShard(ctx context.Context, g tidings.GatewaySession, ttl time.Duration) error {
	if err := s.underLease(ctx, renewShard, g.Shard, g.Shards, g.Epoch, ttl.Milliseconds()); err != nil {
		return fmt.Errorf("renew shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

const releaseShard = `
UPDATE gateway_sessions
SET lease_until = now(),
    owner = '',
    updated_at = now()
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// ReleaseShard lets another process lease the shard at once. A lease that is lost already is no error.
func (s *Store) ReleaseShard(ctx context.Context, g tidings.GatewaySession) error {
	err := s.underLease(ctx, releaseShard, g.Shard, g.Shards, g.Epoch)
	if err != nil && !errors.Is(err, tidings.ErrLeaseLost) {
		return fmt.Errorf("release shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

const saveSession = `
UPDATE gateway_sessions
SET session_id = $4,
    resume_url = $5,
    seq = $6,
    updated_at = now()
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// SaveSession keeps a new session after READY; an empty one forgets it. The error is [tidings.ErrLeaseLost] when somebody has
// leased the shard since.
func (s *Store) SaveSession(ctx context.Context, g tidings.GatewaySession) error {
	if err := s.underLease(ctx, saveSession, g.Shard, g.Shards, g.Epoch, g.Session, g.ResumeURL, g.Seq); err != nil {
		return fmt.Errorf("save the session of shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

// underLease runs an update that meets its row only while the lease's epoch stands.
func (s *Store) underLease(ctx context.Context, query string, args ...any) error {
	return s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		r, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return tidings.ErrLeaseLost
		}
		return nil
	})
}

// SaveMarks keeps how far gateway sessions are committed. It only goes up, and a mark of another session or of an older lease
// than the row's is ignored: it is a late write of somebody who has been replaced.
func (s *Store) SaveMarks(ctx context.Context, marks []tidings.Mark) error {
	if len(marks) == 0 {
		return nil
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error { return saveMarks(ctx, tx, marks) })
	if err != nil {
		return fmt.Errorf("save marks: %w", err)
	}
	return nil
}

const raiseMarks = `
UPDATE gateway_sessions g
SET seq = GREATEST(g.seq, v.seq),
    updated_at = now()
FROM (VALUES %s) v(shard, session_id, epoch, seq)
WHERE g.shard = v.shard AND g.session_id = v.session_id AND g.lease_epoch = v.epoch AND g.seq < v.seq`

var raiseMarksTypes = []string{"int", "text", "bigint", "bigint"}

// saveMarks is the last statement of its transaction, so that lanes wait for each other's commit only.
func saveMarks(ctx context.Context, tx *sqlx.Tx, marks []tidings.Mark) error {
	highest := map[tidings.Mark]int64{}
	for _, m := range marks {
		k := m
		k.Seq = 0
		if m.Session != "" {
			highest[k] = max(highest[k], m.Seq)
		}
	}
	var rows [][]any
	for k, seq := range highest {
		rows = append(rows, []any{k.Shard, k.Session, k.Epoch, seq})
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(int), b[0].(int)) })
	return execRows(ctx, tx, raiseMarks, raiseMarksTypes, rows)
}
