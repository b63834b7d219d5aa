package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func startRedisHere(t *testing.T, dir string) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	return r
}

// startMiniHere starts Redis where no server is installed, and returns what was logged.
func startMiniHere(t *testing.T, dir string) (*Redis, string) {
	t.Helper()
	var log strings.Builder
	r, err := startRedis(t.Context(), dir, slog.New(slog.NewTextHandler(&log, nil)), []string{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	return r, log.String()
}

func TestRedisKeepsNothingOnDisk(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	r := startRedisHere(t, dir)
	if r.Kind() != "redis-server" && r.Kind() != "valkey-server" {
		t.Fatalf("Kind() = %s", r.Kind())
	}
	c := client(t, r.Options().Addr)
	if err := c.Set(t.Context(), "k", "purged text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	config, err := c.ConfigGet(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"save": "", "appendonly": "no", "port": "0", "maxmemory-policy": "allkeys-lru"} {
		if config[name] != want {
			t.Errorf("%s = %q, want %q", name, config[name], want)
		}
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "purged text") {
			t.Errorf("%s holds it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCrashedRedisIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	r := startRedisHere(t, dir)
	c := client(t, r.Options().Addr)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(serverPid(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an empty Redis answers", func() error {
		if err := c.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
			return fmt.Errorf("Get() error = %v", err)
		}
		return nil
	})
	if err := r.Stop(); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	<-r.Exited()
	if err := r.Err(); err != nil {
		t.Errorf("Err() = %v", err)
	}
}

func TestOrphanOfAKilledProcessIsEnded(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	// The orphan of a system without death signals: it works in the socket's directory and the pid file names it.
	r := startRedisHere(t, dir)
	pid := serverPid(t, dir)
	words, err := os.ReadFile(filepath.Join(dir, "redis.pid"))
	if err != nil || strings.TrimSpace(string(words)) != fmt.Sprint(pid) {
		t.Fatalf("redis.pid holds %q, %v; the server is %d", words, err, pid)
	}
	if err := r.b.clean(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan ends", gone(pid))
}

func TestStrangerWithAReusedNumberIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "redis.pid"), fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run", redisSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := startRedisHere(t, dir)
	if err := client(t, r.Options().Addr).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestWithoutRedisAWarningAndMiniredis(t *testing.T) {
	t.Parallel()
	dir := dirFor(t, nil)
	r, log := startMiniHere(t, dir)
	if r.Kind() != "miniredis" || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "install=") {
		t.Fatalf("Kind() = %s, log:\n%s", r.Kind(), log)
	}
	// Another on the same directory, who has a redis-server installed, still uses the first one's.
	other := startRedisHere(t, dir)
	if other.Kind() != "miniredis" {
		t.Errorf("the other's Kind() = %s", other.Kind())
	}
	a, b := client(t, r.Options().Addr), client(t, other.Options().Addr)
	if err := a.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("Get() = %q, %v", v, err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other runs its own", func() error {
		if err := b.Ping(t.Context()).Err(); err != nil {
			return err
		}
		if other.Kind() == "miniredis" {
			return errors.New("still miniredis")
		}
		return nil
	})
}

func TestMiniredisKeysExpire(t *testing.T) {
	t.Parallel()
	r, _ := startMiniHere(t, dirFor(t, nil))
	c := client(t, r.Options().Addr)
	if err := c.Set(t.Context(), "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key expires", func() error {
		if err := c.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
			return fmt.Errorf("Get() error = %v", err)
		}
		return nil
	})
}

func TestSubscriberThatDoesNotReadDoesNotFreezeMiniredis(t *testing.T) {
	t.Parallel()
	r, _ := startMiniHere(t, dirFor(t, nil))
	deaf, err := net.Dial("unix", r.Options().Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	if _, err := fmt.Fprintf(deaf, "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"); err != nil {
		t.Fatal(err)
	}
	c := client(t, r.Options().Addr)
	eventually(t, "it is subscribed", func() error {
		n, err := c.PubSubNumSub(t.Context(), "c").Result()
		if err == nil && n["c"] != 1 {
			err = fmt.Errorf("%d subscribers", n["c"])
		}
		return err
	})
	// More than it may leave unread: it is cut off, and nobody else notices.
	message := strings.Repeat("x", 1<<20)
	for range miniBehind>>20 + 2 {
		if err := c.Publish(t.Context(), "c", message).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is cut off", func() error {
		n, err := c.PubSubNumSub(t.Context(), "c").Result()
		if err == nil && n["c"] != 0 {
			err = fmt.Errorf("%d subscribers", n["c"])
		}
		return err
	})
}

func TestMiniredisCarriesManySubscribersInOrder(t *testing.T) {
	t.Parallel()
	r, _ := startMiniHere(t, dirFor(t, nil))
	c := client(t, r.Options().Addr)
	const subscribers, messages = 5, 500
	got := make(chan error, subscribers)
	for range subscribers {
		sub := client(t, r.Options().Addr).Subscribe(t.Context(), "c")
		t.Cleanup(func() { sub.Close() })
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() {
			for n := range messages {
				m, err := sub.ReceiveMessage(context.Background())
				if err == nil && m.Payload != fmt.Sprint(n) {
					err = fmt.Errorf("message %s, want %d", m.Payload, n)
				}
				if err != nil {
					got <- err
					return
				}
			}
			got <- nil
		}()
	}
	for n := range messages {
		if err := c.Publish(t.Context(), "c", n).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range subscribers {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}
