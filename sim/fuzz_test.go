package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzReceived feeds the gateway whatever a client may send: it must answer or close, never fall over.
func FuzzReceived(f *testing.F) {
	for _, s := range []string{
		`{"op":1,"d":null}`, `{"op":1,"d":5}`, `{"op":2,"d":{"token":"x","intents":1,"properties":{}}}`, `{"op":2,"d":{"properties":{},"shard":[1,0]}}`,
		`{"op":6,"d":{"token":"x","session_id":"y","seq":-1}}`, `{"op":8,"d":{"guild_id":"1","query":"","limit":-5}}`, `{"op":3}`, `[]`, `{"op":8,"d":{"guild_id":1,"user_ids":[1]}}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, authenticated bool) {
		s := New(Options{Rand: 1})
		s.mu.Lock()
		defer s.mu.Unlock()
		g := s.createGuild("g", s.createUser("ada", "").ID, everyoneDefault, Administrator)
		c := &conn{s: s, host: "127.0.0.1", version: 10, wake: make(chan struct{}, 1), gone: make(chan struct{})}
		if authenticated {
			id, _ := json.Marshal(map[string]any{"token": s.users[s.app.ID].Token, "intents": known, "properties": map[string]any{}})
			s.identify(c, id)
			b = bytes.ReplaceAll(b, []byte(`"1"`), []byte(`"`+g.ID.String()+`"`))
		}
		s.received(c, b)
		for _, out := range c.control {
			if !json.Valid(out) {
				t.Errorf("answer %q is not JSON", out)
			}
		}
		if x := c.sess; x != nil {
			for _, e := range x.ring {
				if !json.Valid(e.frame(nil)) {
					t.Errorf("dispatch %s is not JSON", e.t)
				}
			}
		}
	})
}

// FuzzMessage posts whatever a client may send as a message: the answer is JSON and never a 500.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		`{"content":"hello <@1> <@&2> @everyone"}`, `{"flags":32768,"components":[{"type":17,"components":[{"type":10,"content":"x"}]}]}`, `{"embeds":[{"title":"x"}]}`,
		`{"poll":{"question":{"text":"q"},"answers":[{"poll_media":{"text":"a"}}]}}`, `{"message_reference":{"message_id":"1"}}`, `{"nonce":{}}`, `{"nonce":12}`, `{`, `{"components":[null]}`,
		`{"allowed_mentions":{"parse":["users"],"users":["1"]}}`, `{"components":[{"type":9}],"flags":32768}`, `{"content":null}`, `{"sticker_ids":["1"]}`,
	} {
		f.Add(s, "application/json")
	}
	f.Add("--b\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\nhi\r\n--b--\r\n", "multipart/form-data; boundary=b")
	f.Add("content=x", "application/x-www-form-urlencoded")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		s := New(Options{Rand: 1})
		s.mu.Lock()
		ada := s.createUser("ada", "")
		g := s.createGuild("g", ada.ID, everyoneDefault, Administrator)
		ch := s.addChannel(&Channel{ID: s.newID(), GuildID: g.ID, Name: "general"})
		s.mu.Unlock()
		r := httptest.NewRequest(http.MethodPost, "/api/v10/channels/"+ch.ID.String()+"/messages", strings.NewReader(body))
		r.Header.Set("Authorization", ada.Token)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %d %q", w.Code, w.Body)
		}
	})
}

// FuzzReadChat reads whatever a chat file may hold.
func FuzzReadChat(f *testing.F) {
	f.Add([]byte(`{"channel":"a","nick":"b","text":"c"}` + "\n" + `{"channel":"a","nick":"b","text":"\ud800"}`))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := readChat(bytes.NewReader(b))
		if err == nil && len(b) > 0 && bytes.HasPrefix(b, []byte("{")) && len(lines) == 0 {
			t.Errorf("nothing read from %q, and no error", b)
		}
	})
}
