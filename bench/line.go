package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/access"
	"tidings/bot"
	"tidings/hub"
	"tidings/ingest"
	"tidings/render"
	"tidings/sim"
	"tidings/store"
)

// lineReaders are on live sockets while messages come.
const lineReaders = 1000

// lineChannels are the guild's.
const lineChannels = 50

// runDiscord is a simulated Discord that knows when it sent what. It answers "sent" with the ids and times since the last one.
func runDiscord() error {
	var mu sync.Mutex
	sent := map[string]int64{}
	s := sim.New(sim.Options{IdentifyEvery: -1, OnEvent: func(t string, d []byte) {
		if t != "MESSAGE_CREATE" {
			return
		}
		now := time.Now().UnixNano()
		if m, err := tidings.ParseMessage(d, 0); err == nil {
			mu.Lock()
			sent[m.ID.String()] = now
			mu.Unlock()
		}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = http.Serve(l, s.Handler()) }()
	go func() { _ = s.Run(ctx) }()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode(serverReport{Addr: l.Addr().String()}); err != nil {
		return err
	}
	for {
		var o serverOrder
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		mu.Lock()
		all := sent
		sent = map[string]int64{}
		mu.Unlock()
		if err := out.Encode(all); err != nil {
			return err
		}
	}
}

// lineServer is the whole way from the gateway to the sockets, as serve composes it, without pages and jobs.
type lineServer struct {
	hub *hub.Hub
}

func (l *lineServer) serve(_ context.Context, on net.Listener) error {
	return http.Serve(on, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := strconv.Atoi(r.URL.Query().Get("user"))
		l.hub.Serve(w, r, hub.Who{User: discord.UserID(u), Session: "s" + strconv.Itoa(u)})
	}))
}

func (*lineServer) publish(int64, int) error { return errors.New("Discord publishes") }

// late is the hub, which is made after the guild is known.
type late struct{ hub atomic.Pointer[hub.Hub] }

func (l *late) Tell(ctx context.Context, r tidings.Result) {
	if h := l.hub.Load(); h != nil {
		h.Tell(ctx, r)
	}
}

// everybody says of each reader that they are a member: the simulated Discord does not know them.
type everybody struct{}

func (everybody) Member(_ context.Context, guild discord.GuildID, user discord.UserID) (*tidings.Member, error) {
	return &tidings.Member{Guild: guild, User: user}, nil
}

// newLine makes the line. With readers, the guild that Discord tells of first has as many members.
func newLine(ctx context.Context, c serverConfig) (*lineServer, error) {
	database, redisAddr, readers := c.Database, c.Redis, c.Users
	var cache redis.UniversalClient
	if redisAddr != "" {
		ro := &redis.Options{Addr: redisAddr}
		if path, ok := strings.CutPrefix(redisAddr, "unix://"); ok {
			ro.Network, ro.Addr = "unix", path
		}
		cache = redis.NewClient(ro)
	}
	s, err := store.Open(ctx, store.Options{DatabaseURL: database, Redis: cache, Prefix: "bench-line:", Retention: 30 * 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	told := &late{}
	in := ingest.New(s, told, ingest.Options{})
	b, err := bot.New(bot.Options{Token: c.Token, URL: c.Discord, Sink: in, Sessions: s})
	if err != nil {
		return nil, err
	}
	fail := func(what string, err error) {
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, what, err)
			os.Exit(1)
		}
	}
	go func() { fail("ingest", in.Run(ctx)) }()
	go func() { fail("bot", b.Run(ctx)) }()
	db, err := sql.Open("postgres", database)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var n int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM channels WHERE type = 0`).Scan(&n); err != nil {
			return nil, err
		}
		if n >= lineChannels {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d channels came, want %d", n, lineChannels)
		}
	}
	for _, q := range []string{
		`INSERT INTO users (id, name) SELECT $1::bigint + n, 'reader' FROM generate_series(0, $2::int - 1) n`,
		`INSERT INTO members (guild_id, user_id, state) SELECT g.id, $1::bigint + n, 'in' FROM guilds g, generate_series(0, $2::int - 1) n`,
		`INSERT INTO baselines (user_id, guild_id, baseline_id) SELECT $1::bigint + n, g.id, 0 FROM guilds g, generate_series(0, $2::int - 1) n`,
	} {
		if _, err := db.ExecContext(ctx, q, firstUser, readers); err != nil {
			return nil, err
		}
	}
	live := &late{}
	who := access.New(s, everybody{}, access.Options{Recheck: -1, Tell: live.Tell})
	if err := who.Load(ctx); err != nil {
		return nil, err
	}
	if n := len(who.Visible(firstUser).ChannelIDs()); readers > 0 && n < lineChannels {
		return nil, fmt.Errorf("a reader sees %d channels, want %d", n, lineChannels)
	}
	h := hub.New(hub.Options{Access: who, Store: s, Redis: cache, Prefix: "bench-line:", Encode: render.New(render.Options{}).Encode})
	go func() { fail("hub", h.Run(ctx)) }()
	go func() { fail("access", who.Run(ctx)) }()
	told.hub.Store(h)
	live.hub.Store(h)
	return &lineServer{h}, nil
}

// stretch is Discord, the line and its readers, each in a process of its own.
type stretch struct {
	discord *child
	at      simulator
	guild   string
	p       *pair
}

func (s *stretch) stop() {
	if s.p != nil {
		s.p.stop()
	}
	s.discord.stop()
}

// newStretch makes one in which so many people may read, all of whom are connected.
func newStretch(database, redis string, readers int) (*stretch, error) {
	s, err := newQuietStretch(database, redis, readers)
	if err != nil {
		return nil, err
	}
	if err := s.join(readers); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// join connects readers.
func (s *stretch) join(readers int) error {
	var up clientReport
	if err := s.p.clients.ask(clientOrder{Do: "connect", Addr: s.p.addr, Kind: "line", N: readers}, &up); err != nil || up.Err != "" {
		return fmt.Errorf("connect to the line: %v %s", err, up.Err)
	}
	s.p.readers = readers
	return nil
}

// newQuietStretch makes one to which nobody is connected yet.
func newQuietStretch(database, redis string, people int) (*stretch, error) {
	d, err := start("discord")
	if err != nil {
		return nil, err
	}
	s := &stretch{discord: d}
	var up serverReport
	if err := d.ask(nil, &up); err != nil {
		s.stop()
		return nil, err
	}
	s.at = simulator("http://" + up.Addr)
	var world struct {
		Bot struct {
			Token string `json:"token"`
		} `json:"bot"`
	}
	if err := s.at.ask("GET", "/sim/world", nil, &world); err != nil {
		s.stop()
		return nil, err
	}
	// A first round makes the channels and the people.
	if err := s.say(lineChannels*2, 0); err != nil {
		s.stop()
		return nil, err
	}
	if s.p, err = connect(serverConfig{Kind: "line", Redis: redis, Users: people, Database: database, Discord: string(s.at), Token: world.Bot.Token}, 0, ""); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// say has n messages said, rate a second.
func (s *stretch) say(n int, rate float64) error {
	lines := make([]map[string]string, n)
	for i := range lines {
		lines[i] = map[string]string{
			"channel": fmt.Sprintf("channel-%d", i%lineChannels), "nick": fmt.Sprintf("somebody-%d", i%97),
			"text": chatter(uint64(time.Now().UnixNano())),
		}
	}
	order := map[string]any{"lines": lines, "rate": rate}
	if s.guild != "" {
		order["guild"] = s.guild
	}
	var replay struct{ ID, Guild string }
	if err := s.at.ask("POST", "/sim/replay", order, &replay); err != nil {
		return err
	}
	s.guild = replay.Guild
	for {
		var p struct{ Done bool }
		if err := s.at.ask("GET", "/sim/replay/"+replay.ID, nil, &p); err != nil {
			return err
		}
		if p.Done {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run has messages said and returns how late their deltas were.
func (s *stretch) run(n int, rate float64, readers int) (clientReport, error) {
	var cr clientReport
	if err := s.p.clients.ask(clientOrder{Do: "reset"}, &cr); err != nil {
		return cr, err
	}
	var sent map[string]int64
	if err := s.discord.ask(serverOrder{Do: "sent"}, &sent); err != nil {
		return cr, err
	}
	if err := s.say(n, rate); err != nil {
		return cr, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := s.p.clients.ask(clientOrder{Do: "count"}, &cr); err != nil {
			return cr, err
		}
		if cr.Seen == n*readers {
			break
		}
		if time.Now().After(deadline) {
			return cr, fmt.Errorf("%d of %d deliveries came", cr.Seen, n*readers)
		}
	}
	sent = nil
	if err := s.discord.ask(serverOrder{Do: "sent"}, &sent); err != nil {
		return cr, err
	}
	if len(sent) != n {
		return cr, fmt.Errorf("%d of %d messages were sent", len(sent), n)
	}
	err := s.p.clients.ask(clientOrder{Do: "stats", Sent: sent}, &cr)
	return cr, err
}

var lineRates = []float64{10, 100, 1000}

// latency is the time from the simulator's send to a reader's socket, beside one commit and the floor's bare writes to as many
// sockets: those two are measured each for itself in the same round, and their 99th percentiles added.
func latency(r *report, database, redis string, rounds int) error {
	ctx := context.Background()
	u, db, drop, err := ownSchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	s, err := newStretch(u, redis, lineReaders)
	if err != nil {
		return err
	}
	defer s.stop()
	f, err := connect(serverConfig{Kind: "floor", Users: lineReaders, Size: 150}, lineReaders, "") // as much as a delta
	if err != nil {
		return err
	}
	defer f.stop()
	if _, err := db.ExecContext(ctx, `CREATE TABLE alone (LIKE messages INCLUDING ALL)`); err != nil {
		return err
	}
	for _, rate := range lineRates {
		name := strconv.Itoa(int(rate))
		length := 4 * time.Second
		if rate >= 1000 {
			length = 2 * time.Second
		}
		n := int(rate * length.Seconds())
		var ratios, ours, theirs []float64
		for round := range rounds {
			var line clientReport
			var floor sample
			var commit float64
			steps := []func() error{
				func() (err error) { line, err = s.run(n, rate, lineReaders); return err },
				func() (err error) {
					floor, err = f.run(fanoutCase{name: "line", conns: lineReaders, rate: rate, ms: int(length.Milliseconds())})
					return err
				},
				func() (err error) { commit, err = commits(ctx, db, min(rate, 100), length); return err },
			}
			for i := range steps {
				if err := steps[(i+round)%len(steps)](); err != nil {
					return fmt.Errorf("%s a second: %w", name, err)
				}
			}
			fmt.Fprintf(os.Stderr, "latency %4s a second, round %d: p50 %.2f ms, p99 %.2f ms; the floor's %.2f and %.2f, p99 of one commit %.2f\n",
				name, round+1, line.P50, line.P99, floor.p50, floor.p99, commit)
			ratios = append(ratios, line.P99/(commit+floor.p99))
			ours, theirs = append(ours, line.P99), append(theirs, commit+floor.p99)
		}
		r.add("live_p99_vs_commit_plus_floor_"+name, ratios)
		r.add("live_p99_ms_"+name, ours)
		r.add("live_p99_ms_commit_plus_floor_"+name, theirs)
	}
	return nil
}

// commits inserts one row in a transaction of its own, again and again at a rate, and returns the 99th percentile in milliseconds.
func commits(ctx context.Context, db *sql.DB, rate float64, length time.Duration) (float64, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var took []float64
	began := time.Now()
	for i := 0; time.Since(began) < length; i++ {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		m := gatewayMessage(discord.MessageID(time.Now().UnixNano()), i, lineChannels)
		at := time.Now()
		if _, err := c.ExecContext(ctx, `INSERT INTO alone (channel_id, id, author_id, type, content, payload) VALUES ($1, $2, $3, 0, $4, $5)`,
			int64(m.Channel), int64(m.ID), int64(m.Author), m.Content, m.Payload); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(at).Microseconds())/1000)
	}
	slices.Sort(took)
	return took[len(took)*99/100], nil
}
