package main

import (
	"context"
	"database/sql"
	"net/url"

	"tidings/store"
)

// emptySchema makes a schema of its own in a database, with all tables in it. drop closes what was opened and drops the schema.
func emptySchema(ctx context.Context, database string) (s *store.Store, db *sql.DB, drop func(), err error) {
	u, db, drop, err := ownSchema(ctx, database)
	if err != nil {
		return nil, nil, nil, err
	}
	if s, err = store.Open(ctx, store.Options{DatabaseURL: u}); err != nil {
		drop()
		return nil, nil, nil, err
	}
	return s, db, func() { s.Close(); drop() }, nil
}

// withSchema is the database's URL with a schema in which names are looked up.
func withSchema(database, schema string) string {
	u, err := url.Parse(database)
	if err != nil {
		return database // opening it says why
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}
