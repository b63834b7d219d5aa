package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tidings"
	"tidings/bot"
)

// decodeEvents is how many dispatches a consumer takes in one round.
const decodeEvents = 40_000

// decode gives the same dispatches to our line, up to the event that ingest would get, and to a bare loop of the same websocket
// library and encoding/json, each in a process of its own.
func decode(r *report, rounds int) error {
	var ratios []float64
	for round := range rounds {
		took := map[string]float64{}
		for i := range 2 {
			kind := []string{"bot", "bare"}[(i+round)%2]
			g, err := start("gateway")
			if err != nil {
				return err
			}
			var up, used serverReport
			if err := g.ask(nil, &up); err != nil {
				g.stop()
				return err
			}
			c, err := start("consume", kind, up.Addr)
			if err != nil {
				g.stop()
				return err
			}
			err = c.ask(nil, &used)
			c.stop()
			g.stop()
			if err != nil || used.Err != "" {
				return fmt.Errorf("decode by %s: %v %s", kind, err, used.Err)
			}
			took[kind] = used.CPU
		}
		fmt.Fprintf(os.Stderr, "decode round %d: bot %.2f µs CPU an event, bare %.2f\n", round+1, took["bot"]/decodeEvents*1e6, took["bare"]/decodeEvents*1e6)
		ratios = append(ratios, took["bot"]/took["bare"])
	}
	r.add("decode_cpu_vs_bare", ratios)
	return nil
}

// runGateway is Discord as far as the consumers need it.
func runGateway() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(serverReport{Addr: l.Addr().String()}); err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"url":"ws://%s","shards":1,"session_start_limit":{"total":1000,"remaining":999,"reset_after":1000,"max_concurrency":1}}`, l.Addr())
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		_ = dispatches(r.Context(), ws, l.Addr().String())
	}))
}

func dispatches(ctx context.Context, ws *websocket.Conn, addr string) error {
	say := func(b []byte) error { return ws.Write(ctx, websocket.MessageText, b) }
	if err := say([]byte(`{"op":10,"d":{"heartbeat_interval":600000},"s":null,"t":null}`)); err != nil {
		return err
	}
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(`"op":2`)) {
			break
		}
	}
	if err := say(fmt.Appendf(nil, `{"op":0,"s":1,"t":"READY","d":{"v":10,"user":{"id":"9","username":"bench","discriminator":"0","bot":true},"guilds":[],`+
		`"session_id":"bench","resume_gateway_url":"ws://%s","shard":[0,1],"application":{"id":"9","flags":0}}}`, addr)); err != nil {
		return err
	}
	go func() { // heartbeats
		for {
			if _, _, err := ws.Read(ctx); err != nil {
				return
			}
			_ = say([]byte(`{"op":11}`))
		}
	}()
	for i := range decodeEvents {
		m := gatewayMessage(1_200_000_000_000_000_000, i)
		if err := say(fmt.Appendf(nil, `{"t":"MESSAGE_CREATE","s":%d,"op":0,"d":%s}`, i+2, m.Payload)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// counting is the sink, and the keeper of sessions, of a bot that is measured.
type counting struct {
	mu   sync.Mutex
	n    int
	from float64
	done chan float64
}

func (c *counting) Put(_ context.Context, ev tidings.Event) error {
	if _, ok := ev.Body.(tidings.MessageCreated); !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.n++; c.n {
	case 1:
		c.from = cpu()
	case decodeEvents:
		c.done <- cpu() - c.from
	}
	return nil
}

func (c *counting) LeaseShard(_ context.Context, shard, shards int, owner string, _ time.Duration) (tidings.GatewaySession, error) {
	return tidings.GatewaySession{Shard: shard, Epoch: 1}, nil
}

func (c *counting) RenewShard(context.Context, tidings.GatewaySession, time.Duration) error {
	return nil
}

func (c *counting) ReleaseShard(context.Context, tidings.GatewaySession) error { return nil }

func (c *counting) SaveSession(context.Context, tidings.GatewaySession) error { return nil }

func runConsumer(kind, addr string) error {
	var r serverReport
	var err error
	if kind == "bot" {
		r.CPU, err = consumeByBot(addr)
	} else {
		r.CPU, err = consumeBare(addr)
	}
	if err != nil {
		r.Err = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func consumeByBot(addr string) (float64, error) {
	c := &counting{done: make(chan float64, 1)}
	b, err := bot.New(bot.Options{Token: "bench", URL: "http://" + addr, Sink: c, Sessions: c})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	select {
	case used := <-c.done:
		return used, nil
	case err := <-ended:
		return 0, fmt.Errorf("the bot ended after %d events: %w", c.n, err)
	}
}

func consumeBare(addr string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr, nil)
	if err != nil {
		return 0, err
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"op":2,"d":{}}`)); err != nil {
		return 0, err
	}
	n, from := 0, 0.0
	for n < decodeEvents {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return 0, err
		}
		var e struct {
			Op int    `json:"op"`
			S  int64  `json:"s"`
			T  string `json:"t"`
			D  struct {
				ID      string `json:"id"`
				Channel string `json:"channel_id"`
				Guild   string `json:"guild_id"`
				Content string `json:"content"`
				Author  struct {
					ID string `json:"id"`
				} `json:"author"`
			} `json:"d"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			return 0, err
		}
		if e.T == "MESSAGE_CREATE" {
			if n++; n == 1 {
				from = cpu()
			}
			if _, err := strconv.ParseUint(e.D.ID, 10, 64); err != nil {
				return 0, err
			}
		}
	}
	return cpu() - from, nil
}
