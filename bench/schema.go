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
	admin, err := sql.Open("postgres", database)
	if err != nil {
		return nil, nil, nil, err
	}
	schema := "bench_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := admin.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
		admin.Close()
		return nil, nil, nil, err
	}
	drop = func() {
		if db != nil {
			db.Close()
		}
		if s != nil {
			s.Close()
		}
		_, _ = admin.ExecContext(ctx, `DROP SCHEMA `+schema+` CASCADE`)
		admin.Close()
	}
	there := withSchema(database, schema)
	if s, err = store.Open(ctx, store.Options{DatabaseURL: there}); err == nil {
		db, err = sql.Open("postgres", there)
	}
	if err != nil {
		drop()
		return nil, nil, nil, err
	}
	return s, db, drop, nil
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
