package store

import (
	"fmt"
	"testing"
)

// kinds writes alerts in short.
func kinds(list []Alert) (out string) {
	for _, a := range list {
		out += a.Kind
		if a.Over {
			out += " over"
		}
		out += ";"
	}
	return out
}

func TestAKindThatFailsPersistentlyIsAnAlert(t *testing.T) {
	t.Parallel()
	// minutes ago it was asked for, its tries, and minutes ago something of the kind succeeded (0: never).
	for _, tt := range []struct {
		name      string
		state     string
		asked     int
		tries     int
		succeeded int
		alert     bool
	}{
		{"dead, and nothing succeeded", "dead", 20, 8, 0, true},
		{"tried again and again, and nothing succeeded", "ready", 20, 3, 0, true},
		{"something succeeded long ago", "dead", 20, 8, 15, true},
		{"something succeeded meanwhile", "dead", 20, 8, 5, false},
		{"only for a few minutes", "ready", 5, 4, 0, false},
		{"only two tries", "ready", 20, 2, 0, false},
		{"waiting, and never failed", "ready", 20, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			cause := "it broke"
			if tt.tries == 0 {
				cause = ""
			}
			if _, err := s.db.Exec(`INSERT INTO jobs (kind, key, state, attempt, last_error, created_at, finished_at)
				VALUES ('mow', '1', $1, $2, $3, now() - $4 * interval '1 minute', CASE WHEN $1 = 'dead' THEN now() END)`, tt.state, tt.tries, cause, tt.asked); err != nil {
				t.Fatal(err)
			}
			if tt.succeeded > 0 {
				if _, err := s.db.Exec(`INSERT INTO jobs (kind, state, finished_at) VALUES ('mow', 'done', now() - $1 * interval '1 minute')`, tt.succeeded); err != nil {
					t.Fatal(err)
				}
			}
			changed, err := s.Watch(t.Context(), true)
			if want := map[bool]string{true: "mow;"}[tt.alert]; err != nil || kinds(changed) != want {
				t.Errorf("Watch() = %q, %v, want %q", kinds(changed), err, want)
			}
		})
	}
}

// An alert is told once when it begins and once when it ends; one that comes and goes is not told each time, and the telling
// of alerts never tells of itself.
func TestAnAlertIsToldOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := s.db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	watch := func(when, want string, told int) {
		t.Helper()
		changed, err := s.Watch(t.Context(), true)
		if err != nil || kinds(changed) != want {
			t.Errorf("%s: Watch() = %q, %v, want %q", when, kinds(changed), err, want)
		}
		if n := one[int](t, s, `SELECT count(*) FROM jobs WHERE kind = 'send-alert' AND key NOT LIKE 'x%'`); n != told {
			t.Errorf("%s: %d tellings so far, want %d", when, n, told)
		}
	}
	fail := func(kind, key string) {
		t.Helper()
		exec(`INSERT INTO jobs (kind, key, state, attempt, last_error, created_at, finished_at) VALUES ($1, $2, 'dead', 8, 'it broke', now() - interval '1 hour', now())`, kind, key)
	}
	watch("at first", "", 0)
	fail("mow", "1")
	watch("it fails", "mow;", 1)
	watch("it goes on", "", 1)
	if list, err := s.Alerts(t.Context()); err != nil || len(list) != 1 || list[0].Reason != "it broke" || list[0].Failures != 8 {
		t.Errorf("Alerts() = %+v, %v", list, err)
	}
	exec(`INSERT INTO jobs (kind, state, finished_at) VALUES ('mow', 'done', now())`)
	watch("it works", "mow over;", 2)
	exec(`DELETE FROM jobs WHERE kind = 'mow' AND state = 'done'`)
	watch("it fails again at once", "mow;", 2)
	exec(`UPDATE jobs SET finished_at = now() - interval '2 hours' WHERE kind = 'mow'`)
	watch("nobody tries any more", "mow over;", 2)
	exec(`UPDATE alerts SET told_at = now() - interval '1 hour'`)
	fail("mow", "2")
	watch("it fails an hour later", "mow;", 3)

	for n := range 5 {
		fail("send-alert", fmt.Sprint("x", n))
	}
	watch("the telling fails", "send-alert;", 3)
	if list, err := s.Alerts(t.Context()); err != nil || kinds(list) != "mow;send-alert;" {
		t.Errorf("Alerts() = %q, %v", kinds(list), err)
	}
	exec(`UPDATE jobs SET finished_at = now() - interval '2 days' WHERE state = 'dead'`)
	if _, err := s.ReviveDue(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM jobs WHERE kind = 'send-alert' AND key LIKE 'x%' AND state = 'ready'`); n != 0 {
		t.Errorf("%d tellings are tried again days later, want none", n)
	}
}
