package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/jmoiron/sqlx"

	"tidings"
)

const schemaKnown = `
SELECT EXISTS (SELECT FROM schema_state WHERE hash = $1)`

// One process applies the schema at a time, in each Postgres schema. The wait for it is bounded by the caller's context;
// after that, waiting behind a long query of somebody else's would stop every other query too, so it is given up early.
const schemaLock = `
SELECT pg_advisory_xact_lock(1953064036, hashtext(current_schema()));
SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;
CREATE TABLE IF NOT EXISTS schema_state (
	hash       text        PRIMARY KEY,
	applied_at timestamptz NOT NULL DEFAULT now()
)`

const schemaApplied = `
INSERT INTO schema_state (hash)
VALUES ($1)`

// migrate applies schema.sql unless just this text has been applied before. Any number of processes may call it at once.
func migrate(ctx context.Context, db *sqlx.DB) error {
	_, err := migrateTo(ctx, db, tidings.SchemaSQL)
	return err
}

// migrateTo reports whether it had to apply text.
func migrateTo(ctx context.Context, db *sqlx.DB, text string) (applied bool, err error) {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	var known bool
	err = db.GetContext(ctx, &known, schemaKnown, hash)
	switch {
	case err == nil && known:
		return false, nil
	case coded(err, "42P01"): // There is no schema_state yet.
	case err != nil:
		return false, err
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schemaLock); err != nil {
		return false, fmt.Errorf("lock the schema: %w", err)
	}
	if err := tx.GetContext(ctx, &known, schemaKnown, hash); err != nil {
		return false, err
	}
	if known { // Another process applied it while this one waited.
		return false, nil
	}
	// Without arguments the whole file goes out as one simple query.
	if _, err := tx.ExecContext(ctx, text); err != nil {
		return false, fmt.Errorf("apply schema.sql: %w", err)
	}
	if _, err := tx.ExecContext(ctx, schemaApplied, hash); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
