package store

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"tidings"
	"tidings/embedded/testdb"
)

func TestSixteenStartersApplyTheSchemaOnce(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Connect("postgres", testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var applied atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			did, err := migrateTo(t.Context(), db, tidings.SchemaSQL)
			if err != nil {
				t.Error(err)
			}
			if did {
				applied.Add(1)
			}
		})
	}
	wg.Wait()
	if n := applied.Load(); n != 1 {
		t.Errorf("%d of 16 starters applied the schema, want 1", n)
	}
}
