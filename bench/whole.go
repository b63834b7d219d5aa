package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// realChat lies beside the repository; docs/TESTING.md says what it is.
const realChat = "../../shared/realchat/chat.jsonl.gz"

// wholeLine sends a chat through everything there is, as fast as it is taken: the simulated Discord, the service with all of its
// roles, Postgres and Redis, each in processes of their own on this machine, over one gateway connection.
func wholeLine(r *report, database, redis string, rounds int) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "bench-whole-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "tidings")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/tidings")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the service: %w\n%s", err, out)
	}
	u, db, drop, err := ownSchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	master, err := postmaster(ctx, db)
	if err != nil {
		return err
	}

	discord, err := freeAddress()
	if err != nil {
		return err
	}
	sim, err := launch(dir, binary, nil, "sim", "--listen", discord, "--log-level", "WARN")
	if err != nil {
		return err
	}
	defer sim.stop()
	d := simulator("http://" + discord)
	var world struct {
		Bot struct {
			Token        string `json:"token"`
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
		} `json:"bot"`
	}
	if err := d.wait("GET", "/sim/world", &world); err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	service, err := launch(dir, binary, []string{
		"DISCORD_TOKEN=" + world.Bot.Token, "DISCORD_CLIENT_ID=" + world.Bot.ClientID, "DISCORD_CLIENT_SECRET=" + world.Bot.ClientSecret,
		"DISCORD_URL=http://" + discord, "DATABASE_URL=" + u, "REDIS_URL=" + redisURL(redis), "REDIS_PREFIX=bench-whole:", "LISTEN=" + listen, "ADMIN_LISTEN=" + admin,
		"DATA_DIR=" + filepath.Join(dir, "data"), "LOG_LEVEL=WARN",
	}, "serve")
	if err != nil {
		return err
	}
	defer service.stop()
	if err := simulator("http://"+listen).wait("GET", "/readyz", nil); err != nil {
		return err
	}
	chat, err := chatFile(dir)
	if err != nil {
		return err
	}
	var guild string
	// Each message moves its channel's version by one; counting messages again and again would cost more than storing them.
	stored := func() (n int, err error) {
		err = db.QueryRowContext(ctx, `SELECT coalesce(sum(version), 0) FROM channels`).Scan(&n)
		return n, err
	}
	var rates []float64
	for round := range rounds + 1 {
		before, err := stored()
		if err != nil {
			return err
		}
		order := map[string]any{"file": chat, "rate": 0}
		if guild != "" {
			order["guild"] = guild
		}
		var replay struct{ ID, Guild string }
		began := time.Now()
		_, simCPU, _ := seconds(sim.Process.Pid)
		_, ours, _ := seconds(service.Process.Pid)
		theirs := family(master)
		if err := d.ask("POST", "/sim/replay", order, &replay); err != nil {
			return err
		}
		guild = replay.Guild
		if at := os.Getenv("BENCH_PROFILE"); at != "" {
			go fetchProfile("http://"+admin, fmt.Sprintf("%s.whole.%d", at, round))
		}
		var p struct {
			Total int
			Done  bool
		}
		for !p.Done {
			time.Sleep(20 * time.Millisecond)
			if err := d.ask("GET", "/sim/replay/"+replay.ID, nil, &p); err != nil {
				return err
			}
		}
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			n, err := stored()
			if err != nil {
				return err
			}
			if n == before+p.Total {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%d of %d messages are stored", n-before, p.Total)
			}
		}
		took := time.Since(began).Seconds()
		each := 1e6 / float64(p.Total)
		_, simNow, _ := seconds(sim.Process.Pid)
		_, oursNow, _ := seconds(service.Process.Pid)
		fmt.Fprintf(os.Stderr, "whole round %d: %.0f events a second; CPU for each: simulator %.0f µs, service %.0f, Postgres %.0f\n",
			round, float64(p.Total)/took, (simNow-simCPU)*each, (oursNow-ours)*each, (family(master)-theirs)*each)
		if round > 0 { // The first one makes 6,000 people and 50 channels, too.
			rates = append(rates, float64(p.Total)/took)
		}
	}
	r.add("ingest_events_per_second_whole", rates)
	return nil
}

// fetchProfile keeps five seconds of a service's CPU profile, and its metrics after them.
func fetchProfile(admin, path string) {
	for name, from := range map[string]string{path: "/debug/pprof/profile?seconds=5", path + ".metrics": "/metrics"} {
		resp, err := http.Get(admin + from)
		if err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
			return
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			err = os.WriteFile(name, b, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}
}

// process is a program that runs beside this one.
type process struct{ *exec.Cmd }

func launch(dir, binary string, env []string, args ...string) (*process, error) {
	c := exec.Command(binary, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	if args[0] == "serve" {
		c.Stderr = os.Stderr
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &process{c}, nil
}

func (p *process) stop() {
	_ = p.Process.Signal(os.Interrupt)
	ended := make(chan struct{})
	go func() { _ = p.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = p.Process.Kill()
		<-ended
	}
}

// freeAddress is one on loopback that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func redisURL(address string) string {
	if u, err := url.Parse(address); err == nil && u.Scheme != "" && u.Host+u.Path != "" {
		return address
	}
	return "redis://" + address
}

// simulator is where a simulated Discord, or the service, answers.
type simulator string

func (s simulator) ask(method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, string(s)+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// wait asks until there is an answer.
func (s simulator) wait(method, path string, answer any) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := s.ask(method, path, nil, answer)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// chatFile is the real chat, or, where it is missing, one as long that is made up.
func chatFile(dir string) (string, error) {
	if path, err := filepath.Abs(realChat); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	fmt.Fprintln(os.Stderr, "the real chat is missing; one is made up")
	path := filepath.Join(dir, "chat.jsonl")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for i := range 64_000 {
		if err := enc.Encode(map[string]string{
			"channel": fmt.Sprintf("channel-%d", i*i%50), "nick": fmt.Sprintf("somebody-%d", i*7919%6000),
			"text": fmt.Sprintf("message %d, in which somebody says what there is to say about %d", i, i%97),
		}); err != nil {
			return "", err
		}
	}
	return path, nil
}

// ownSchema makes a schema in a database; u leads into it. drop closes db and drops the schema.
func ownSchema(ctx context.Context, database string) (u string, db *sql.DB, drop func(), err error) {
	admin, err := sql.Open("postgres", database)
	if err != nil {
		return "", nil, nil, err
	}
	schema := fmt.Sprintf("bench_%x", time.Now().UnixNano())
	if _, err := admin.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
		admin.Close()
		return "", nil, nil, err
	}
	u = withSchema(database, schema)
	if db, err = sql.Open("postgres", u); err != nil {
		admin.Close()
		return "", nil, nil, err
	}
	return u, db, func() {
		db.Close()
		_, _ = admin.ExecContext(ctx, `DROP SCHEMA `+schema+` CASCADE`)
		admin.Close()
	}, nil
}
