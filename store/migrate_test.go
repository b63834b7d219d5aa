package store

import (
	"os"
	"path/filepath"
	"strings"
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

// Each file of testdata/schemas is a schema.sql that people have. What is in such a database stays, and it becomes the same as one
// that was made today.
func TestEverySchemaBecomesTodays(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/schemas/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	fresh := open(t)
	plain := func(s *Store) string {
		return strings.ReplaceAll(one[string](t, s, catalogue), one[string](t, s, `SELECT current_schema()`)+".", "")
	}
	want := plain(fresh)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			url := testdb.Postgres(t)
			db, err := sqlx.Connect("postgres", url)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := migrateTo(t.Context(), db, string(text)); err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{
				`INSERT INTO guilds (id, name, removed_at) VALUES (100, 'old', NULL)`,
				`INSERT INTO channels (id, guild_id, type, name, version, last_live_id, last_seen_id) VALUES (200, 100, 0, 'older', 1, 1 << 30, 1 << 30)`,
				`INSERT INTO messages (channel_id, id, author_id, type, content, payload) VALUES (200, 1 << 30, 11, 0, 'still here', '{"id":"1073741824"}')`,
				`INSERT INTO live_buckets VALUES (200, 0, 1)`,
				`INSERT INTO users (id, name) VALUES (12, 'ben')`,
				`INSERT INTO baselines VALUES (12, 100, 0)`,
				`INSERT INTO jobs (kind, key) VALUES ('backfill', '200')`,
			} {
				if _, err := db.Exec(query); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
			}
			s, err := Open(t.Context(), Options{DatabaseURL: url})
			if err != nil {
				t.Fatalf("Open() of an older database = %v", err)
			}
			defer s.Close()
			if got := plain(s); got != want {
				t.Errorf("the schema has become\n%s\nwant\n%s", got, want)
			}
			page, err := s.Messages(t.Context(), PageQuery{Channel: 200, Limit: 10})
			if err != nil || len(page.Messages) != 1 || page.Messages[0].Content != "still here" {
				t.Errorf("what was stored is %+v, %v", page, err)
			}
			ev := tidings.Event{Guild: 100, Channel: 200, Body: tidings.MessageCreated{Message: message(t, 200, nth(1), wire{Content: "new"})}}
			if r, err := s.Record(t.Context(), []tidings.Event{ev}, nil); err != nil || len(r.Deltas) != 1 || r.Deltas[0].Version != 2 {
				t.Errorf("Record() = %+v, %v", r, err)
			}
		})
	}
}
