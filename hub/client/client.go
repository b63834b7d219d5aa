// Package client is a client of the live socket (docs/LIVE.md): it keeps the counts of every visible channel by the
// protocol's rules, and asks where it has missed something.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
)

// Options says who connects.
type Options struct {
	Token  string       // a bearer token; or
	Cookie *http.Cookie // a browser's session
	// HTTP makes the connection; nil means http.DefaultClient.
	HTTP *http.Client
}

// Client is one connection. Use it from one goroutine at a time; State belongs to that goroutine too.
type Client struct {
	State State
	ws    *websocket.Conn
	lines [][]byte
	moved bool // what may be read, or how far it was, has changed: nothing is resumed from the cursor before it
}

// maxMessage bounds a websocket message: the snapshot of very many channels.
const maxMessage = 64 << 20

// Dial connects to the live socket of a server, whose address may be written as http(s):// or ws(s)://, with or without the
// path. The hello and the snapshot are the first two events.
func Dial(ctx context.Context, address string, o Options) (*Client, error) {
	return Resume(ctx, address, o, State{})
}

// Resume connects as [Dial] does and goes on from the state of an earlier connection, which must not be used any more. When the
// server remembers what was missed since, there is no snapshot; messages must be watched again.
func Resume(ctx context.Context, address string, o Options, s State) (*Client, error) {
	header := http.Header{}
	if o.Token != "" {
		header.Set("Authorization", "Bearer "+o.Token)
	}
	if o.Cookie != nil {
		header.Set("Cookie", o.Cookie.Name+"="+o.Cookie.Value)
	}
	if !strings.Contains(address, "/api/live") {
		address = strings.TrimSuffix(address, "/") + "/api/live"
	}
	if s.Cursor != "" {
		sep := "?"
		if strings.Contains(address, "?") {
			sep = "&"
		}
		address += sep + "cursor=" + url.QueryEscape(s.Cursor)
	}
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: o.HTTP, HTTPHeader: header, Subprotocols: []string{"tidings.v1"},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the live socket: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	return &Client{ws: ws, State: s}, nil
}

// Next waits for the next frame, applies it to State, and asks for counts where one is missing. After an error the
// connection is of no use; see [RetryAfter].
func (c *Client) Next(ctx context.Context) (Event, error) {
	for len(c.lines) == 0 {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			return Event{}, fmt.Errorf("live socket: %w", err)
		}
		for line := range bytes.SplitSeq(b, []byte{'\n'}) {
			if len(bytes.TrimSpace(line)) > 0 {
				c.lines = append(c.lines, line)
			}
		}
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	ev, ask, err := c.State.Apply(line)
	if err != nil {
		return Event{}, err
	}
	if len(ask) > 0 {
		if err := c.Sync(ctx, ask...); err != nil {
			return Event{}, err
		}
	}
	if c.moved = c.moved || ev.Op == "access" || ev.Op == "read"; c.moved && c.State.Settled() {
		c.moved = false
		if err := c.Ping(ctx); err != nil {
			return Event{}, err
		}
	}
	return ev, nil
}

// Watch asks for the messages of channels; of all when none is named.
func (c *Client) Watch(ctx context.Context, channels ...discord.ChannelID) error {
	return c.send(ctx, listOp("watch", channels))
}

// Unwatch is the opposite of [Client.Watch].
func (c *Client) Unwatch(ctx context.Context, channels ...discord.ChannelID) error {
	return c.send(ctx, listOp("unwatch", channels))
}

// Sync asks for the counts of channels.
func (c *Client) Sync(ctx context.Context, channels ...discord.ChannelID) error {
	const most = 1000
	for len(channels) > most {
		if err := c.send(ctx, listOp("sync", channels[:most])); err != nil {
			return err
		}
		channels = channels[most:]
	}
	return c.send(ctx, listOp("sync", channels))
}

// Read marks a channel as read up to a message, by hand.
func (c *Client) Read(ctx context.Context, channel discord.ChannelID, upTo discord.MessageID) error {
	return c.send(ctx, map[string]any{"op": "read", "channel": channel, "up_to": upTo})
}

// Ping asks for a pong.
func (c *Client) Ping(ctx context.Context) error { return c.send(ctx, map[string]any{"op": "ping"}) }

// Close says goodbye.
func (c *Client) Close() error { return c.ws.Close(websocket.StatusNormalClosure, "") }

func listOp(op string, channels []discord.ChannelID) map[string]any {
	if len(channels) == 0 {
		return map[string]any{"op": op, "all": true}
	}
	return map[string]any{"op": op, "channels": channels}
}

func (c *Client) send(ctx context.Context, frame map[string]any) error {
	b, err := json.Marshal(frame)
	if err != nil {
		return fmt.Errorf("live frame: %w", err)
	}
	if err := c.ws.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("live socket: %w", err)
	}
	return nil
}

// RetryAfter returns how long to wait before connecting again after err: what the server asks for, or a random time that
// grows with the attempts made in vain. It is false when connecting again would not help.
func RetryAfter(err error, attempts int) (time.Duration, bool) {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		switch closed.Code {
		case 4000, 4001, 4003:
			return 0, false
		}
		if ms, ok := strings.CutPrefix(closed.Reason, "retry_ms="); ok {
			if n, err := strconv.Atoi(ms); err == nil && n >= 0 && n <= 600_000 {
				return time.Duration(n) * time.Millisecond, true
			}
		}
	}
	most := time.Second << min(attempts, 5)
	return rand.N(most), true
}

// Follow connects, gives every event and the state after it to f, and connects again whenever the connection breaks, until
// ctx ends or the server says that connecting again would not help.
func Follow(ctx context.Context, address string, o Options, f func(*State, Event)) error {
	var last State
	for attempts := 0; ; attempts++ {
		err := follow(ctx, address, o, &last, func(s *State, ev Event) {
			attempts = 0
			f(s, ev)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait, again := RetryAfter(err, attempts)
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func follow(ctx context.Context, address string, o Options, last *State, f func(*State, Event)) error {
	c, err := Resume(ctx, address, o, *last)
	if err != nil {
		return err
	}
	defer func() {
		c.ws.CloseNow()
		*last = c.State
	}()
	for {
		ev, err := c.Next(ctx)
		if err != nil {
			return err
		}
		f(&c.State, ev)
	}
}
