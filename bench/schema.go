package main

import (
	"context"
	"database/sql"
	"net/url"
	"strconv"
	"time"

	"tidings/store"
)

// emptySchema makes a schema of its own in a database, with all tables in it. drop closes what was opened and drops the schema.
func emptySchema(ctx context.Context, database string) (s *store.Store, db *sql.DB, drop func(), err error) {
	schema := "bench_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	s, db, end, err := openSchema(ctx, database, schema)
	if err != nil {
		return nil, nil, nil, err
	}
	return s, db, func() {
		_, _ = db.ExecContext(context.WithoutCancel(ctx), `DROP SCHEMA `+schema+` CASCADE`)
		end()
	}, nil
}

// openSchema opens a schema, and makes it when it is not there. end closes what was opened.
func openSchema(ctx context.Context, database, schema string) (s *store.Store, db *sql.DB, end func(), err error) {
	u := withSchema(database, schema)
	if db, err = sql.Open("postgres", u); err != nil {
		return nil, nil, nil, err
	}
	if _, err := db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		db.Close()
		return nil, nil, nil, err
	}
	if s, err = store.Open(ctx, store.Options{DatabaseURL: u}); err != nil {
		db.Close()
		return nil, nil, nil, err
	}
	return s, db, func() {
		s.Close()
		db.Close()
	}, nil
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
