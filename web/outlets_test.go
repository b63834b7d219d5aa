package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/store"
)

// Whose application is removed on Discord, and whose sessions and tokens an operator has ended, nobody reads on in their name: not at the secret
// address of a feed either, nor by a webhook that tells an address of theirs. Whoever was signed in as them may have made those.
func TestNothingGivenOutOutlivesSessionsAndTokens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, w *whole)
	}{
		{"they have removed the application", func(t *testing.T, w *whole) {
			tokens, done, err := w.store.Deauthorize(t.Context(), ada, time.Now())
			if err != nil || !done {
				t.Fatalf("Deauthorize() = %v, %v", done, err)
			}
			if _, err := w.site.EndUser(t.Context(), ada, tokens); err != nil {
				t.Fatal(err)
			}
		}},
		{"an operator ends it", func(t *testing.T, w *whole) {
			token := w.person(operator, false, nil, "admin")
			if status, body, _ := ask(t, newBrowser(t), "DELETE", fmt.Sprintf("%s/api/admin/people/%d/sessions", w.base, ada), "", "Authorization", "Bearer "+token); status != 204 {
				t.Fatalf("ending their sessions = %d %s", status, body)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWhole(t)
			w.say(deck, bob, "all hands")
			v := w.view(`{"name":"all"}`)
			var made struct{ Atom, JSON string }
			if err := json.Unmarshal([]byte(w.api("POST", "/api/views/"+v.ID+"/feed", "")), &made); err != nil {
				t.Fatal(err)
			}
			w.api("POST", "/api/webhooks", `{"url":"https://example.org/hook","mentions":true}`)
			// Somebody else's go on.
			theirs := w.person(30, true, nil, "read", "ack")
			other, err := w.store.CreateView(t.Context(), 30, "all", store.ViewFilters{})
			if err != nil {
				t.Fatal(err)
			}
			secret, err := w.store.OpenFeed(t.Context(), 30, other.ID)
			if err != nil {
				t.Fatal(err)
			}
			if status, body, _ := ask(t, newBrowser(t), "POST", w.base+"/api/webhooks", `{"url":"https://example.org/other","mentions":true}`, "Authorization", "Bearer "+theirs); status != 200 {
				t.Fatalf("POST /api/webhooks = %d %s", status, body)
			}
			get := func(address string) (int, bool) {
				t.Helper()
				status, body, _ := ask(t, newBrowser(t), "GET", address, "")
				return status, strings.Contains(body, "all hands")
			}
			if status, told := get(made.Atom); status != 200 || !told {
				t.Fatalf("the feed before = %d, says it: %v", status, told)
			}

			tt.end(t, w)

			for _, address := range []string{made.Atom, made.JSON} {
				if status, told := get(address); status != 404 || told {
					t.Errorf("GET %s afterwards = %d, says it: %v; want 404", address, status, told)
				}
			}
			hooks, err := w.store.OutgoingWebhooks(t.Context(), ada)
			if err != nil || len(hooks) != 1 || !hooks[0].Stopped || hooks[0].LastError == "" {
				t.Errorf("the webhooks afterwards = %+v, %v, want one that is stopped and says why", hooks, err)
			}
			if status, told := get(w.base + "/feeds/" + secret + ".atom"); status != 200 || !told {
				t.Errorf("somebody else's feed = %d, says it: %v", status, told)
			}
			if hooks, err := w.store.OutgoingWebhooks(t.Context(), 30); err != nil || len(hooks) != 1 || hooks[0].Stopped {
				t.Errorf("somebody else's webhooks = %+v, %v", hooks, err)
			}
			// They themselves can sign in again, and give out a new address.
			if _, err := w.store.SaveUser(t.Context(), tidings.User{ID: ada, Name: "Ada"}); err != nil {
				t.Fatal(err)
			}
			if w.token, err = w.store.CreateToken(t.Context(), ada, "test", []string{"read", "ack"}); err != nil {
				t.Fatal(err)
			}
			if list := w.api("GET", "/api/views", ""); !strings.Contains(list, `"feed":false`) {
				t.Errorf("their views = %s, want the one without an address", list)
			}
		})
	}
}
