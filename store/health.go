package store

import (
	"context"
	"fmt"
	"time"
)

// Health is how Postgres is.
type Health struct {
	Version string        `db:"version"` // as 17.2
	Number  int           `db:"number"`  // as 170002
	Used    int           `db:"used"`    // connections of everybody
	Allowed int           `db:"allowed"`
	Bytes   int64         `db:"bytes"` // of the database
	Now     time.Time     `db:"now"`
	Took    time.Duration `db:"-"` // for a question that reads nothing
}

const selectHealth = `
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       current_setting('max_connections')::int AS allowed,
       pg_database_size(current_database()) AS bytes,
       clock_timestamp() AS now`

// Health asks Postgres how it is.
func (s *Store) Health(ctx context.Context) (Health, error) {
	var h Health
	began := time.Now()
	if err := s.Ping(ctx); err != nil {
		return h, err
	}
	took := time.Since(began)
	if err := s.db.GetContext(ctx, &h, selectHealth); err != nil {
		return h, fmt.Errorf("ask how the database is: %w", unavailable(err))
	}
	h.Took = took
	return h, nil
}
