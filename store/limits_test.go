package store

import (
	"errors"
	"testing"
	"time"

	"tidings"
	"tidings/embedded/testdb"
)

// TestProcessesShareALimit takes from two stores in turn, as two processes do.
func TestProcessesShareALimit(t *testing.T) {
	t.Parallel()
	client, prefix := testdb.Redis(t)
	url := testdb.Postgres(t)
	var processes [2]*Store
	for i := range processes {
		s, err := Open(t.Context(), Options{DatabaseURL: url, Redis: client, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		s.cache.wait = time.Minute
		processes[i] = s
	}
	for i := range 4 {
		if wait, err := processes[i%2].Take(t.Context(), "search by 7", time.Hour, 4); wait != 0 || err != nil {
			t.Fatalf("take %d = %v, %v", i, wait, err)
		}
	}
	for i, s := range processes {
		if wait, err := s.Take(t.Context(), "search by 7", time.Hour, 4); err != nil || wait <= 59*time.Minute || wait > time.Hour {
			t.Errorf("the fifth, of process %d, waits %v, %v, want an hour", i, wait, err)
		}
	}
	if wait, err := processes[0].Take(t.Context(), "search by 8", time.Hour, 4); wait != 0 || err != nil {
		t.Errorf("somebody else waits %v, %v", wait, err)
	}
}

func TestWithoutRedisALimitIsNotKnown(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{DatabaseURL: testdb.Postgres(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Take(t.Context(), "search by 7", time.Second, 4); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Take() = %v, want ErrUnavailable", err)
	}
}
