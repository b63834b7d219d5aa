package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// The sub-select is of the statement's own snapshot, so it gives the time from before the update. Two visits at once may
// both get the same one.
const visit = `
INSERT INTO visits AS v (user_id, scope_id, last_visit_at)
VALUES ($1, $2, now())
ON CONFLICT (user_id, scope_id) DO UPDATE
SET last_visit_at = greatest(v.last_visit_at, excluded.last_visit_at)
RETURNING (
	SELECT last_visit_at
	FROM visits
	WHERE user_id = $1 AND scope_id = $2
) AS last`

// Visit notes that the person looks at the feed (scope 0), a guild or a channel now, and returns when they last did; the zero
// time when they never did.
func (s *Store) Visit(ctx context.Context, user discord.UserID, scope discord.Snowflake) (time.Time, error) {
	var last *time.Time
	if err := s.db.GetContext(ctx, &last, visit, int64(user), int64(scope)); err != nil {
		return time.Time{}, fmt.Errorf("note visit of user %d: %w", user, unavailable(err))
	}
	if last == nil {
		return time.Time{}, nil
	}
	return *last, nil
}
