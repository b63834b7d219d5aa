package sim_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"tidings/sim"
)

func TestWebhookEventsAreSignedProbedAndRetried(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{RetryPause: 5 * time.Millisecond, NoRateLimits: true})
	key, err := hex.DecodeString(s.Bot.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	type hook struct {
		Type  int `json:"type"`
		Event struct {
			Type string         `json:"type"`
			Data map[string]any `json:"data"`
		} `json:"event"`
	}
	got := make(chan hook, 100)
	var failing, careless atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sig, _ := hex.DecodeString(r.Header.Get("X-Signature-Ed25519"))
		if careless.Load() == 0 && !ed25519.Verify(key, append([]byte(r.Header.Get("X-Signature-Timestamp")), body...), sig) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if failing.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var h hook
		if json.Unmarshal(body, &h) == nil && h.Type == 1 {
			got <- h
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	set := O{"event_webhooks_url": srv.URL, "event_webhooks_status": 2, "event_webhooks_types": []string{"APPLICATION_DEAUTHORIZED", "LOBBY_MESSAGE_CREATE", "LOBBY_MESSAGE_UPDATE", "LOBBY_MESSAGE_DELETE"}}

	careless.Store(1)
	if status := s.Do(s.BotToken(), "PATCH", "/applications/@me", set, nil); status != 400 {
		t.Errorf("an address that does not check signatures: %d, want 400", status)
	}
	careless.Store(0)
	s.Must(s.BotToken(), "PATCH", "/applications/@me", set, nil)

	s.Sim200("POST", "/sim/lobbies", O{"channel": s.ch}, nil)
	failing.Store(2)
	m := s.Say(s.bob, s.ch, "for the lobby")
	if h := <-got; h.Event.Type != "LOBBY_MESSAGE_CREATE" || h.Event.Data["content"] != "for the lobby" {
		t.Errorf("after two failures: %+v", h)
	}
	path := "/channels/" + s.ch + "/messages/" + m["id"].(string)
	s.Must(s.bob.Token, "PATCH", path, O{"content": "changed"}, nil)
	if h := <-got; h.Event.Type != "LOBBY_MESSAGE_UPDATE" || h.Event.Data["edited_timestamp"] == nil {
		t.Errorf("edit: %+v", h)
	}
	s.Must(s.bob.Token, "DELETE", path, nil, nil)
	if h := <-got; h.Event.Type != "LOBBY_MESSAGE_DELETE" || h.Event.Data["id"] != m["id"] {
		t.Errorf("delete: %+v", h)
	}

	token := signIn(t, s.Running, s.bob)
	s.Sim200("POST", "/sim/deauthorize", O{"user": s.bob.ID}, nil)
	if h := <-got; h.Event.Type != "APPLICATION_DEAUTHORIZED" || h.Event.Data["user"].(map[string]any)["id"] != s.bob.ID {
		t.Errorf("deauthorize: %+v", h)
	}
	if status := s.Do("Bearer "+token, "GET", "/users/@me", nil, nil); status != 401 {
		t.Errorf("the token afterwards: %d, want 401", status)
	}

	failing.Store(1 << 30)
	s.Say(s.bob, s.ch, "nobody takes this")
	eventually(t, "turning the address off", func() bool {
		var a O
		s.Must(s.BotToken(), "GET", "/applications/@me", nil, &a)
		return a["event_webhooks_status"] == 3.0
	})
}
