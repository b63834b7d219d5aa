package bot

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkMessageCreate is what a MESSAGE_CREATE of 1.3 KB costs between the socket and the sink, beside a bare decode of
// the same fields by encoding/json. Only their ratio says something.
func BenchmarkMessageCreate(b *testing.B) {
	raw := strings.Replace(message9(100), `"content":"m100"`, `"content":"`+strings.Repeat("hello there ", 40)+`","embeds":[{"title":"x","fields":[`+strings.Repeat(`{"name":"a","value":"b","inline":true},`, 15)+`{}]}]`, 1)
	frame := []byte(`{"t":"MESSAGE_CREATE","s":2,"op":0,"d":` + raw + `}`)
	b.Run("bot", func(b *testing.B) {
		var got *dispatch
		c := newConn(http.DefaultClient, 1, nil, nil, func(d *dispatch) error { got = d; return nil })
		c.ready.Store(true)
		b.SetBytes(int64(len(frame)))
		for b.Loop() {
			if _, err := c.take(b.Context(), frame); err != nil {
				b.Fatal(err)
			}
			if _, err := decode(got.name, got.raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.SetBytes(int64(len(frame)))
		for b.Loop() {
			var e struct {
				Op int             `json:"op"`
				S  int64           `json:"s"`
				T  string          `json:"t"`
				D  json.RawMessage `json:"d"`
			}
			if err := json.Unmarshal(frame, &e); err != nil {
				b.Fatal(err)
			}
			var m struct {
				ID        string `json:"id"`
				ChannelID string `json:"channel_id"`
				GuildID   string `json:"guild_id"`
				Content   string `json:"content"`
				Author    struct {
					ID string `json:"id"`
				} `json:"author"`
			}
			if err := json.Unmarshal(e.D, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
