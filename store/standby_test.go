package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidings"
	"tidings/embedded"
)

// An address that has failed over leads, for some seconds, to a standby that is not promoted yet. What comes meanwhile has to wait: it is not
// something that can never be stored.
func TestAStandbyIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	p, err := embedded.StartPostgres(t.Context(), dir, log, "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Stop() }()
	s, err := Open(t.Context(), Options{DatabaseURL: p.URL(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	said := func(n int) error {
		_, err := s.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessageCreated{Message: tidings.Message{
			Channel: lobby, ID: nth(n), Guild: testGuild, Author: ann, Content: "hello", Countable: true,
		}})}, nil)
		return err
	}
	if err := said(1); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := os.WriteFile(filepath.Join(dir, "cluster", "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err = embedded.StartPostgres(t.Context(), dir, log, "fsync=off"); err != nil {
		t.Fatal(err)
	}
	if !one[bool](t, s, `SELECT pg_is_in_recovery()`) {
		t.Fatal("the database is no standby")
	}
	if err := said(2); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Record() on a standby = %v, want ErrUnavailable", err)
	}
	if _, err := s.DeadLetter(t.Context(), event(lobby, tidings.Unreadable{Name: "MESSAGE_CREATE", Raw: []byte(`{}`)}), errors.New("odd")); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("DeadLetter() on a standby = %v, want ErrUnavailable", err)
	}
	p.Stop()
	if err := os.Remove(filepath.Join(dir, "cluster", "standby.signal")); err != nil {
		t.Fatal(err)
	}
	if p, err = embedded.StartPostgres(t.Context(), dir, log, "fsync=off"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; { // a connection may be of before
		if err = said(2); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatalf("Record() when it is no standby any more = %v", err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM messages`); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}
