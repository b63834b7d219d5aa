package store

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"tidings/embedded/testdb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// open opens a store on an empty schema and a Redis prefix of the test's own.
func open(t testing.TB) *Store {
	t.Helper()
	client, prefix := testdb.Redis(t)
	s, err := Open(t.Context(), Options{
		DatabaseURL: testdb.Postgres(t), Redis: client, Prefix: prefix,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}
