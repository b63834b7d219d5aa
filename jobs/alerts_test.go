package jobs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidings/jobs"
	"tidings/store"
)

func TestAnAlertIsPosted(t *testing.T) {
	t.Parallel()
	alert := store.Alert{Kind: "reconcile", Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Failures: 9, Reason: strings.Repeat("broken @everyone ", 100)}
	for _, tt := range []struct {
		name    string
		status  int
		wantErr bool
		dead    bool
	}{
		{"taken", 204, false, false},
		{"too many", 429, true, false},
		{"failing", 503, true, false},
		{"gone", 404, true, true},
		{"not allowed", 401, true, true},
		{"somewhere else", 302, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got map[string]any
			hits := 0
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hits++
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Method != "POST" {
					t.Errorf("%s %v", r.Method, err)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
			}))
			defer ts.Close()
			payload, err := json.Marshal(alert)
			if err != nil {
				t.Fatal(err)
			}
			err = jobs.NewAlerter(ts.URL+"/secret", "https://tidings.example").Handle(t.Context(), store.Job{Payload: payload})
			if (err != nil) != tt.wantErr || isDead(err) != tt.dead {
				t.Errorf("Handle() = %v (given up: %v)", err, isDead(err))
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error names the address: %v", err)
			}
			text, _ := got["content"].(string)
			if hits != 1 || !strings.Contains(text, "reconcile") || len(text) > 1000 || got["text"] != got["content"] {
				t.Errorf("%d requests; posted %v", hits, got)
			}
			if m, _ := got["allowed_mentions"].(map[string]any); m == nil || len(m["parse"].([]any)) != 0 {
				t.Errorf("mentions in it notify: %v", got["allowed_mentions"])
			}
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		t.Parallel()
		err := jobs.NewAlerter("http://127.0.0.1:1/secret", "here").Handle(t.Context(), store.Job{Payload: []byte(`{"kind":"x"}`)})
		if err == nil || isDead(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Handle() = %v, want to be tried again without naming the address", err)
		}
	})
}

// isDead reports whether an error ends a job: what marks it is not exported.
func isDead(err error) bool {
	return err != nil && reflect.TypeOf(err) == reflect.TypeOf(jobs.Dead(nil))
}
