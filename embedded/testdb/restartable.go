package testdb

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/embedded"
)

// Restartable is a server of one test's own that can be taken away and given back. The test's end stops it.
type Restartable struct {
	t     testing.TB
	start func(context.Context) (server, error)
	now   server // nil while stopped
}

// server is *embedded.Postgres and *embedded.Redis.
type server interface {
	Stop() error
}

// Start starts a stopped server and returns when it answers. A Postgres has its data still; a Redis is empty.
func (r *Restartable) Start() {
	r.t.Helper()
	if r.now != nil {
		r.t.Fatal("Start of a server that runs")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	now, err := r.start(ctx)
	if err != nil {
		r.t.Fatalf("start a server for the test: %v", err)
	}
	r.now = now
}

// Stop ends the server and with it every connection to it. It returns when the server has ended.
func (r *Restartable) Stop() {
	r.t.Helper()
	if r.now == nil {
		return
	}
	now := r.now
	r.now = nil
	if err := now.Stop(); err != nil {
		r.t.Errorf("stop a server of the test: %v", err)
	}
}

// RestartablePostgresServer is a Restartable with the URL of an empty database, which stays the same.
type RestartablePostgresServer struct {
	*Restartable
	url string
}

// URL is what lib/pq takes. It stays the same over restarts.
func (r *RestartablePostgresServer) URL() string { return r.url }

// RestartablePostgres starts a Postgres for this test alone. It takes about a second.
func RestartablePostgres(t testing.TB) *RestartablePostgresServer {
	t.Helper()
	dir := serverDir(t)
	r := &RestartablePostgresServer{}
	r.Restartable = restartable(t, func(ctx context.Context) (server, error) {
		p, err := embedded.StartPostgres(ctx, filepath.Join(dir, "postgres"), slog.New(slog.DiscardHandler), testSettings...)
		if err != nil {
			return nil, err
		}
		r.url = p.URL()
		return p, nil
	})
	r.Start()
	return r
}

// RestartableRedisServer is a Restartable with a Redis.
type RestartableRedisServer struct {
	*Restartable
	options func() *redis.Options
}

// Options is what go-redis takes. The address stays the same over restarts.
func (r *RestartableRedisServer) Options() *redis.Options { return r.options() }

// RestartableRedis starts a Redis for this test alone.
func RestartableRedis(t testing.TB) *RestartableRedisServer {
	t.Helper()
	dir := serverDir(t)
	r := &RestartableRedisServer{}
	r.Restartable = restartable(t, func(ctx context.Context) (server, error) {
		p, err := embedded.StartRedis(ctx, filepath.Join(dir, "redis"), slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		r.options = p.Options
		return p, nil
	})
	r.Start()
	return r
}

func restartable(t testing.TB, start func(context.Context) (server, error)) *Restartable {
	r := &Restartable{t: t, start: start}
	t.Cleanup(r.Stop)
	return r
}

func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := tempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
