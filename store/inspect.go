package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/jmoiron/sqlx"

	"tidings"
)

// SchemaState says which schema a database has.
type SchemaState int

// A database is empty, of this version, or of another one, which the next start brings up to this.
const (
	SchemaNone SchemaState = iota
	SchemaCurrent
	SchemaOther
)

// Inspect looks at a database without changing anything in it.
func Inspect(ctx context.Context, url string) (Health, SchemaState, error) {
	db, err := sqlx.ConnectContext(ctx, "postgres", url)
	if err != nil {
		return Health{}, SchemaNone, fmt.Errorf("connect to the database: %w", unavailable(err))
	}
	defer db.Close()
	s := &Store{db: db}
	h, err := s.Health(ctx)
	if err != nil {
		return h, SchemaNone, err
	}
	sum := sha256.Sum256([]byte(tidings.SchemaSQL))
	var known bool
	err = db.GetContext(ctx, &known, schemaKnown, hex.EncodeToString(sum[:]))
	switch {
	case coded(err, "42P01"):
		return h, SchemaNone, nil
	case err != nil:
		return h, SchemaNone, fmt.Errorf("look for the schema: %w", unavailable(err))
	case known:
		return h, SchemaCurrent, nil
	}
	return h, SchemaOther, nil
}
