package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"

	"tidings"
	"tidings/embedded/testdb"
)

func TestADatabaseThatIsAwayIsWorthWaitingFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(t.Context(), Options{DatabaseURL: "postgres:///x?sslmode=disable&host=" + dir}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Open() without a server = %v, want ErrUnavailable", err)
	}
	// A server that hangs up at once.
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := Open(t.Context(), Options{DatabaseURL: "postgres:///x?sslmode=disable&host=" + dir}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Open() of a server that hangs up = %v, want ErrUnavailable", err)
	}

	s := open(t)
	_, err = s.db.Exec(`SELECT pg_terminate_backend(pg_backend_pid())`)
	if !errors.Is(unavailable(err), tidings.ErrUnavailable) {
		t.Errorf("a connection that was ended gives %v, want ErrUnavailable", err)
	}
	if _, err := s.Record(t.Context(), []tidings.Event{created(t, nth(1), wire{})}, nil); err != nil {
		t.Errorf("Record() after it = %v, want a new connection", err)
	}
}

func TestOperatorsAreToldThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Open("postgres", "postgres:///x?sslmode=disable&host="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &Store{db: db}
	_, counted := s.JobCounts(t.Context())
	for what, err := range map[string]error{
		"JobCounts": counted, "ReviveJob": s.ReviveJob(t.Context(), 1), "PauseJobs": s.PauseJobs(t.Context(), "k"), "ResumeJobs": s.ResumeJobs(t.Context(), "k"),
	} {
		if !errors.Is(err, tidings.ErrUnavailable) {
			t.Errorf("%s() without a server = %v, want ErrUnavailable", what, err)
		}
	}
}

// Postgres holds no NUL and nothing that is not UTF-8; whoever sends it is told so, and nobody's log.
func TestWhatIsNoTextIsInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, bad := range []string{"a\x00b", "a\xffb"} {
		_, token := w.CreateToken(t.Context(), me, bad, []string{"read"})
		_, view := w.CreateView(t.Context(), me, bad, ViewFilters{})
		_, webhook := w.CreateOutgoing(t.Context(), OutgoingWebhook{User: me, URL: "https://example.org/" + bad, Secret: []byte("x"), Mentions: true})
		_, jobs := w.ListJobs(t.Context(), "dead", bad, 10)
		for what, err := range map[string]error{"a token": token, "a view": view, "a webhook": webhook, "jobs": jobs, "a pause": w.PauseJobs(t.Context(), bad)} {
			if !errors.Is(err, tidings.ErrInvalid) {
				t.Errorf("%s with %q = %v, want ErrInvalid", what, bad, err)
			}
		}
		// What Discord says is kept all the same.
		if u, err := w.SaveUser(t.Context(), tidings.User{ID: me, Name: bad}); err != nil || u.Name != "a\uFFFDb" {
			t.Errorf("SaveUser() = %+v, %v", u, err)
		}
	}
}

func TestAnEventThatCannotBeStoredIsNotWorthWaitingFor(t *testing.T) {
	t.Parallel()
	s := open(t)
	good, bad := created(t, nth(1), wire{}), created(t, nth(2), wire{})
	s.db.MustExec(fmt.Sprintf(`ALTER TABLE messages ADD CONSTRAINT odd CHECK (id <> %d)`, nth(2)))
	if _, err := s.Record(t.Context(), []tidings.Event{good, bad}, nil); err == nil || errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Record() = %v, want an error that does not pass", err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM messages`); n != 0 {
		t.Errorf("%d messages of a batch that failed are stored, want none", n)
	}
	barrier := event(0, tidings.RoleGone{ID: 1})
	if _, err := s.Record(t.Context(), []tidings.Event{barrier}, nil); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("Record() of a barrier = %v, want ErrInvalid", err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM channels WHERE id = 0`); n != 0 {
		t.Error("an event of no channel has made one")
	}
	if _, err := s.RecordBarrier(t.Context(), good, nil); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("RecordBarrier() of a message = %v, want ErrInvalid", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Record(gone, []tidings.Event{good}, nil); !errors.Is(err, context.Canceled) || errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Record() without time = %v, want context.Canceled", err)
	}
}

// catalogue is what a schema consists of.
const catalogue = `
SELECT string_agg(x, E'\n' ORDER BY x)
FROM (SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) AS x
      FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'schema_state'
      UNION ALL
      SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename <> 'schema_state'
      UNION ALL
      SELECT conrelid::regclass || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace) c`

func TestApplyingTheSchemaTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Connect("postgres", testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var first, second string
	for i, have := range []*string{&first, &second} {
		// The second text is the same but for its hash.
		if applied, err := migrateTo(t.Context(), db, tidings.SchemaSQL+"\n-- "+string(rune('0'+i))); err != nil || !applied {
			t.Fatalf("migrateTo() = %v, %v", applied, err)
		}
		if err := db.Get(have, catalogue); err != nil {
			t.Fatal(err)
		}
	}
	if first != second {
		t.Errorf("the schema after the second time:\n%s\nwant:\n%s", second, first)
	}
	if applied, err := migrateTo(t.Context(), db, tidings.SchemaSQL+"\n-- 0"); err != nil || applied {
		t.Errorf("migrateTo() of a text that was applied before = %v, %v, want it skipped", applied, err)
	}
}
