package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// A kind of job that fails for long is told to the operators, shown in the status and in the metrics, and so is its end.
func TestOperatorsAreToldOfWhatFailsPersistently(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	var mu sync.Mutex
	var told []string
	refusals := 0
	operators := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if refusals++; refusals == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		told = append(told, string(body))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer operators.Close()
	c := configFor(t, d)
	c.AlertWebhookURL = operators.URL + "/secret"
	me := credential{token: makeToken(t, c, reader.ID)}
	run := start(t, c)
	db := database(t, c)
	look := func() { db.MustExec(`INSERT INTO jobs (kind) VALUES ('watch-jobs')`) }
	heard := func(what string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(told) > 0 && strings.Contains(told[len(told)-1], what)
		}
	}
	alerts := func() (n int) {
		var status struct {
			Alerts []struct {
				Kind     string
				Failures int
			}
		}
		run.call(me, "GET", "/api/status", nil, &status)
		for _, a := range status.Alerts {
			if a.Kind == "mow" && a.Failures == 8 {
				n++
			}
		}
		return n
	}
	db.MustExec(`INSERT INTO jobs (kind, key, state, attempt, last_error, created_at, finished_at)
		VALUES ('mow', '1', 'dead', 8, 'the meadow is under water', now() - interval '1 hour', now())`)
	look()
	eventually(t, "the operators are told, although their address failed once", time.Minute, heard("the meadow is under water"))
	if alerts() != 1 {
		t.Error("GET /api/status does not show the alert")
	}
	_, metrics, err := run.try(credential{}, "GET", "/metrics", nil)
	if err != nil || !strings.Contains(string(metrics), `tidings_jobs_failing{kind="mow"} 8`) {
		t.Errorf("the metrics do not show the alert: %v", err)
	}
	_, text, err := run.try(me, "GET", "/api/status", nil)
	if err != nil || strings.Contains(string(text), "meadow") {
		t.Errorf("the status tells everybody why: %s, %v", text, err)
	}
	db.MustExec(`INSERT INTO jobs (kind, state, finished_at) VALUES ('mow', 'done', now())`)
	look()
	eventually(t, "the operators are told of the end", time.Minute, heard("do not fail any more"))
	if alerts() != 0 {
		t.Error("GET /api/status still shows the alert")
	}
	var leaks int
	if err := db.Get(&leaks, `SELECT count(*) FROM jobs WHERE last_error LIKE '%secret%' OR payload::text LIKE '%secret%'`); err != nil || leaks != 0 {
		t.Errorf("%d jobs name the operators' address, %v", leaks, err)
	}
}
