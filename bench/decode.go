package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tidings"
	"tidings/bot"
)

// decodeEvents is how many dispatches a consumer takes in one round.
const decodeEvents = 40_000

var consumers = []string{"bot", "bare", "arikawa", "discordgo", "disgo"}

// decode gives the same dispatches to our line, up to the event that ingest would get, to a bare loop of the same websocket
// library and encoding/json, and to other libraries up to their handlers, each in a process of its own.
func decode(r *report, rounds int) error {
	cpus, bytes := map[string][]float64{}, map[string][]float64{}
	for round := range rounds {
		took := map[string]serverReport{}
		for i := range consumers {
			kind := consumers[(i+round)%len(consumers)]
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
			took[kind] = used
			fmt.Fprintf(os.Stderr, "decode round %d %-10s %6.2f µs CPU and %6.0f bytes an event\n", round+1, kind, used.CPU/decodeEvents*1e6, float64(used.Bytes)/decodeEvents)
		}
		for _, k := range consumers[1:] {
			cpus[k] = append(cpus[k], took["bot"].CPU/took[k].CPU)
			bytes[k] = append(bytes[k], float64(took["bot"].Bytes)/float64(took[k].Bytes))
		}
	}
	for _, k := range consumers[1:] {
		r.add("decode_cpu_vs_"+k, cpus[k])
		r.add("decode_bytes_vs_"+k, bytes[k])
	}
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
		if err := say(everyday(i)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// everyday is a MESSAGE_CREATE of 1.3 KB as Discord sends it: a text, an author with all that belongs to one, the member, an embed.
func everyday(i int) []byte {
	id := 1_200_000_000_000_000_000 + uint64(i)<<10
	return fmt.Appendf(nil, `{"t":"MESSAGE_CREATE","s":%d,"op":0,"d":{"type":0,"tts":false,"timestamp":"2026-11-23T15:28:09.242000+00:00","pinned":false,"nonce":"1442143536431005696",`+
		`"mentions":[],"mention_roles":[],"mention_everyone":false,"member":{"roles":["1101874862315184183","1127635416381468742"],"premium_since":null,"pending":false,"nick":"somebody",`+
		`"mute":false,"joined_at":"2021-03-01T12:00:00.000000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null},"id":"%d","flags":0,`+
		`"embeds":[{"type":"article","url":"https://example.org/a/page/%d","title":"A page that somebody shares","description":"What a page says about itself, in a sentence or two that are cut at some length.",`+
		`"color":3447003,"provider":{"name":"Example"},"thumbnail":{"url":"https://example.org/picture.png","proxy_url":"https://media.example.net/picture.png","width":1200,"height":630}}],`+
		`"edited_timestamp":null,"content":"message %d, in which somebody says what there is to say today about this and that: https://example.org/a/page/%d","components":[],"channel_type":0,`+
		`"channel_id":"%d","author":{"username":"somebody%d","public_flags":0,"primary_guild":null,"id":"%d","global_name":"Some Body","discriminator":"0","collectibles":null,"clan":null,`+
		`"avatar_decoration_data":null,"avatar":"8342729096ea3675442027381ff50dfe"},"attachments":[],"guild_id":"1101874862315184180"}}`,
		i+2, id, i, i, i, 1101874862315184200+i%50, i%500, 201874862315184100+i%500)
}

// counting is the sink, and the keeper of sessions, of a bot that is measured.
type counting struct {
	meter
	done chan serverReport
}

func (c *counting) Put(_ context.Context, ev tidings.Event) error {
	if _, ok := ev.Body.(tidings.MessageCreated); ok {
		if used, all := c.one(); all {
			c.done <- used
		}
	}
	return nil
}

// meter measures from the first event to the last.
type meter struct {
	mu   sync.Mutex
	n    int
	from serverReport
}

// one counts an event. all is true with the last one, and used is what all have cost.
func (m *meter) one() (used serverReport, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.n++; m.n {
	case 1:
		m.from = spent()
	case decodeEvents:
		used = spent()
		used.CPU -= m.from.CPU
		used.Bytes -= m.from.Bytes
		return used, true
	}
	return used, false
}

// spent is what the process has used of the processor, and allocated.
func spent() serverReport {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return serverReport{CPU: cpu(), Bytes: int64(m.TotalAlloc)}
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
	consume := map[string]func(string) (serverReport, error){
		"bot": consumeByBot, "bare": consumeBare, "arikawa": consumeByArikawa, "discordgo": consumeByDiscordgo, "disgo": consumeByDisgo,
	}[kind]
	if consume == nil {
		return fmt.Errorf("no consumer %q", kind)
	}
	if at := os.Getenv("BENCH_PROFILE"); at != "" {
		f, err := os.Create(at + "." + kind)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r, err := consume(addr)
	if err != nil {
		r.Err = err.Error()
	}
	pprof.StopCPUProfile()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// consumeTime bounds one consumer's round.
const consumeTime = time.Minute

func consumeByBot(addr string) (serverReport, error) {
	c := &counting{done: make(chan serverReport, 1)}
	b, err := bot.New(bot.Options{Token: "bench", URL: "http://" + addr, Sink: c, Sessions: c})
	if err != nil {
		return serverReport{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), consumeTime)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	select {
	case used := <-c.done:
		return used, nil
	case err := <-ended:
		return serverReport{}, fmt.Errorf("the bot ended after %d events: %w", c.n, err)
	}
}

func consumeBare(addr string) (serverReport, error) {
	ctx, cancel := context.WithTimeout(context.Background(), consumeTime)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr, nil)
	if err != nil {
		return serverReport{}, err
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"op":2,"d":{}}`)); err != nil {
		return serverReport{}, err
	}
	var m meter
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return serverReport{}, err
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
			return serverReport{}, err
		}
		if e.T == "MESSAGE_CREATE" {
			if _, err := strconv.ParseUint(e.D.ID, 10, 64); err != nil {
				return serverReport{}, err
			}
			if used, all := m.one(); all {
				return used, nil
			}
		}
	}
}
