package sim_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings/sim/simtest"
)

// frame is one gateway payload as a client reads it.
type frame struct {
	Op int             `json:"op"`
	S  int64           `json:"s"`
	T  string          `json:"t"`
	D  json.RawMessage `json:"d"`
}

func (f frame) get(t testing.TB, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(f.D, &v); err != nil {
		t.Fatal(err)
	}
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s has no %v: %s", f.T, path, f.D)
		}
		v = m[p]
	}
	return v
}

// client is a bare gateway client.
type client struct {
	t   testing.TB
	ws  *websocket.Conn
	ctx context.Context
	seq int64
}

// allIntents are all but presences, with which GUILD_CREATE would carry all members.
const allIntents = (1<<17 - 1 | 1<<24) &^ (1 << 8)

func connect(t testing.TB, r *simtest.Running, url string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	if url == "" {
		var g struct{ URL string }
		r.Must(r.BotToken(), "GET", "/gateway/bot", nil, &g)
		url = g.URL + "/?v=10&encoding=json"
	}
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(64 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &client{t: t, ws: ws, ctx: ctx}
}

func (c *client) send(op int, d any) {
	c.t.Helper()
	b, err := json.Marshal(map[string]any{"op": op, "d": d})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.ws.Write(c.ctx, websocket.MessageText, b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (frame, error) {
	_, b, err := c.ws.Read(c.ctx)
	if err != nil {
		return frame{}, err
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatalf("frame %q: %v", b, err)
	}
	if f.Op == 0 {
		c.seq = f.S
	}
	return f, nil
}

// want reads until a dispatch of the type, or for "#N" a payload with op N.
func (c *client) want(t string) frame {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", t, err)
		}
		if f.T == t || f.T == "" && t == "#"+string(json.Number(jsonInt(f.Op))) {
			return f
		}
	}
}

func jsonInt(n int) string { b, _ := json.Marshal(n); return string(b) }

// closed reads until the connection ends, and gives the close code.
func (c *client) closed() int {
	for {
		if _, err := c.read(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

func identifyWith(token string, intents int) map[string]any {
	return map[string]any{"token": token, "intents": intents, "properties": map[string]string{"os": "linux", "browser": "test", "device": "test"}}
}

// login connects, identifies and gives READY.
func login(t testing.TB, r *simtest.Running, intents int) (*client, frame) {
	t.Helper()
	c := connect(t, r, "")
	c.want("#10")
	c.send(2, identifyWith(r.Bot.Token, intents))
	return c, c.want("READY")
}
