package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const takeTurn = `
INSERT INTO identify_turns (key, taken_till)
VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond')
ON CONFLICT (key) DO UPDATE
SET taken_till = excluded.taken_till
WHERE identify_turns.taken_till <= clock_timestamp()
RETURNING 0`

const turnLeft = `
SELECT greatest(ceil(extract(epoch FROM taken_till - clock_timestamp()) * 1000), 1)::bigint
FROM identify_turns
WHERE key = $1`

// TakeTurn gives the turn to begin a gateway session to one process at a time, for each of Discord's rate_limit_keys. It is held for
// so long, or until [Store.LeaveTurn]; wait is how long somebody else has it still, 0 when it is ours.
func (s *Store) TakeTurn(ctx context.Context, key int, hold time.Duration) (wait time.Duration, err error) {
	var ms int64
	err = s.db.GetContext(ctx, &ms, takeTurn, key, hold.Milliseconds())
	if errors.Is(err, sql.ErrNoRows) {
		err = s.db.GetContext(ctx, &ms, turnLeft, key)
	}
	if err != nil {
		return 0, fmt.Errorf("take the turn to begin a session: %w", unavailable(err))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

const leaveTurn = `
UPDATE identify_turns
SET taken_till = clock_timestamp() + $2 * interval '1 millisecond'
WHERE key = $1`

// LeaveTurn lets the next process have the turn after a wait.
func (s *Store) LeaveTurn(ctx context.Context, key int, wait time.Duration) error {
	if _, err := s.db.ExecContext(ctx, leaveTurn, key, wait.Milliseconds()); err != nil {
		return fmt.Errorf("leave the turn to begin a session: %w", unavailable(err))
	}
	return nil
}
