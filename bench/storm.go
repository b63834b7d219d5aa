package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/access"
	"tidings/hub"
	"tidings/store"
)

// stormReaders is how many come back at once.
const stormReaders = 10_000

// whole is the hub with the real store and the real access.
type whole struct {
	hub   *hub.Hub
	db    *sql.DB
	guild discord.GuildID
}

// silentDiscord is a Discord that must not be asked.
type silentDiscord struct{}

func (silentDiscord) Member(context.Context, discord.GuildID, discord.UserID) (*tidings.Member, error) {
	return nil, errors.New("Discord is not to be asked here")
}

func redisOf(address string) *redis.Client {
	o := &redis.Options{Addr: address}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		o.Network, o.Addr = "unix", path
	}
	return redis.NewClient(o)
}

func newWhole(ctx context.Context, c serverConfig) (*whole, error) {
	s, err := store.Open(ctx, store.Options{DatabaseURL: c.Database})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("postgres", c.Database)
	if err != nil {
		return nil, err
	}
	who := access.New(s, silentDiscord{}, access.Options{})
	if err := who.Load(ctx); err != nil {
		return nil, err
	}
	if n := len(who.Visible(firstUser).ChannelIDs()); n != channels {
		return nil, fmt.Errorf("a reader sees %d channels, want %d", n, channels)
	}
	h := hub.New(hub.Options{Access: who, Store: s, Redis: redisOf(c.Redis), Prefix: c.Prefix, Window: c.Window})
	go func() { _ = h.Run(ctx) }()
	return &whole{h, db, 1}, nil
}

func (w *whole) serve(_ context.Context, l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u, _ := strconv.Atoi(r.URL.Query().Get("user"))
		w.hub.Serve(rw, r, hub.Who{User: discord.UserID(u)})
	}))
}

func (w *whole) publish(at int64, channel int) error {
	var v int64
	err := w.db.QueryRow(`UPDATE channels SET version = version + 1 WHERE id = $1 RETURNING version`, int64(channelID(channel))).Scan(&v)
	if err != nil {
		return err
	}
	w.hub.Tell(context.Background(), tidings.Result{Deltas: []tidings.Delta{{
		Guild: w.guild, Channel: channelID(channel), Version: v, AccessVersion: 1, Kind: tidings.DeltaCreate, ID: discord.MessageID(at), Author: 77, N: 1,
	}}})
	return nil
}

// storm kills a server with 10,000 readers, tells through another one a change of each channel, starts the killed one again and lets all come back
// at the same moment, once with their cursors and once without. It measures until the last has exactly what it missed, or its snapshot.
func storm(r *report, redis, database string) error {
	ctx := context.Background()
	s, db, drop, err := emptySchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	s.Close()
	for _, text := range []string{
		`INSERT INTO guilds (id, name) VALUES (1, 'bench')`,
		`INSERT INTO roles (guild_id, id, name, permissions) VALUES (1, 1, '@everyone', 66560)`,
		fmt.Sprintf(`INSERT INTO channels (id, guild_id, type, name, version) SELECT %d + c, 1, 0, 'c' || c, 1 FROM generate_series(0, %d) c`, channelID(0), channels-1),
		fmt.Sprintf(`INSERT INTO users (id) SELECT %d + u FROM generate_series(0, %d) u`, firstUser, stormReaders-1),
		fmt.Sprintf(`INSERT INTO members (guild_id, user_id, state) SELECT 1, %d + u, 'in' FROM generate_series(0, %d) u`, firstUser, stormReaders-1),
		`VACUUM ANALYZE`,
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("storm: %w", err)
		}
	}
	var url string
	if err := db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&url); err != nil {
		return err
	}
	url = withSchema(database, url)
	config := serverConfig{Kind: "whole", Redis: redis, Database: url, Window: usual, Prefix: "storm" + strconv.FormatInt(time.Now().UnixNano(), 36) + ":"}
	for _, how := range []string{"resumed", "snapshots"} {
		took, pg, err := stormOnce(config, db, how == "resumed")
		if err != nil {
			return fmt.Errorf("storm, %s: %w", how, err)
		}
		fmt.Fprintf(os.Stderr, "storm, %s: all in the truth after %.2f s, %.2f s of Postgres' CPU\n", how, took, pg)
		r.add("reconnect_10000_"+how+"_s", []float64{took})
		r.add("reconnect_10000_"+how+"_postgres_cpu_s", []float64{pg})
	}
	return nil
}

func stormOnce(c serverConfig, db *sql.DB, resume bool) (took, pg float64, err error) {
	p, err := connect(c, 0, "tidings-idle")
	if err != nil {
		return 0, 0, err
	}
	defer p.stop()
	other, err := connect(c, 0, "tidings-idle")
	if err != nil {
		return 0, 0, err
	}
	defer other.stop()
	var cr clientReport
	order := clientOrder{Do: "connect", Addr: p.addr, Kind: "tidings", N: stormReaders, Watch: "none"}
	if err := p.clients.ask(order, &cr); err != nil || cr.Err != "" {
		return 0, 0, fmt.Errorf("connect: %v %s", err, cr.Err)
	}
	time.Sleep(3 * time.Second) // so that the journal, which is written each second, is there
	_ = p.server.cmd.Process.Kill()
	_ = p.server.cmd.Wait()
	var sr serverReport
	if err := other.server.ask(serverOrder{Do: "publish", Rate: 1000, MS: channels}, &sr); err != nil || sr.Err != "" {
		return 0, 0, fmt.Errorf("publish: %v %s", err, sr.Err)
	}
	c.Listen = p.addr
	config, err := json.Marshal(c)
	if err != nil {
		return 0, 0, err
	}
	if p.server, err = start("server", string(config)); err != nil {
		return 0, 0, err
	}
	var up serverReport
	if err := p.server.ask(nil, &up); err != nil {
		return 0, 0, err
	}
	before, err := postgresCPU(db)
	if err != nil {
		return 0, 0, err
	}
	if err := p.clients.ask(clientOrder{Do: "reset"}, &cr); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	order.Do, order.Resume = "reconnect", resume
	if err := p.clients.ask(order, &cr); err != nil || cr.Err != "" {
		return 0, 0, fmt.Errorf("reconnect: %v %s", err, cr.Err)
	}
	for resume {
		if err := p.clients.ask(clientOrder{Do: "count"}, &cr); err != nil {
			return 0, 0, err
		}
		if cr.Seen == sr.Published*stormReaders {
			break
		}
		if time.Since(began) > time.Minute || cr.Seen > sr.Published*stormReaders {
			return 0, 0, fmt.Errorf("%d of %d changes came, %d were resumed", cr.Seen, sr.Published*stormReaders, cr.Resumed)
		}
		time.Sleep(5 * time.Millisecond)
	}
	took = time.Since(began).Seconds()
	after, err := postgresCPU(db)
	if err == nil && resume != (cr.Resumed == stormReaders) {
		err = fmt.Errorf("%d of %d were resumed", cr.Resumed, stormReaders)
	}
	return took, after - before, err
}

// postgresCPU is the CPU in seconds of all of the server's processes so far; it must be on this machine.
func postgresCPU(db *sql.DB) (float64, error) {
	var backend int
	if err := db.QueryRow(`SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return 0, err
	}
	main, _, err := procStat(backend)
	if err != nil {
		return 0, err
	}
	_, used, err := procStat(main)
	if err != nil {
		return 0, err
	}
	ticks := used[0] + used[1] + used[2] + used[3] // those that have ended are the postmaster's
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, used, err := procStat(pid); err == nil && parent == main {
			ticks += used[0] + used[1]
		}
	}
	return float64(ticks) / 100, nil
}

// procStat returns a process' parent and its ticks: user, system, and both of the children that were waited for.
func procStat(pid int) (parent int, ticks [4]int64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, ticks, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	parent, err = strconv.Atoi(f[1])
	for i := range ticks {
		ticks[i], _ = strconv.ParseInt(f[11+i], 10, 64)
	}
	return parent, ticks, err
}
