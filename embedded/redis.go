package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const redisSocket = "redis.sock"

// Redis is a server that this process runs, or that another process on the same directory runs. It forgets everything when
// it ends: nothing in it may be durable, and purged text does not linger on disk.
type Redis struct {
	s *supervisor
	b *redisBackend
}

// StartRedis runs redis-server or valkey-server on a socket in dir, or attaches to the one that another process runs there,
// and returns when it answers. Where neither program is installed, it warns and runs miniredis inside this process, behind
// the same socket: slower, without SSUBSCRIBE and CONFIG, and never larger than this process may grow. ctx bounds the start
// alone; Stop ends the server.
func StartRedis(ctx context.Context, dir string, log *slog.Logger) (*Redis, error) {
	return startRedis(ctx, dir, log, search())
}

func startRedis(ctx context.Context, dir string, log *slog.Logger, search []string) (*Redis, error) {
	s, err := newSupervisor("Redis", dir, log)
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	b := &redisBackend{dir: s.dir, run: socketDir(s.dir, redisSocket), search: search, log: s.log}
	s.backend = b
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return &Redis{s: s, b: b}, nil
}

// Options is what go-redis takes. The address stays the same for a directory, whoever runs the server and however often it
// restarts.
func (r *Redis) Options() *redis.Options { return r.b.options() }

// Kind is "redis-server", "valkey-server" or "miniredis".
func (r *Redis) Kind() string {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.b.kind
}

// Exited closes when the server is gone for good: after Stop, or when starting it again has failed too often.
func (r *Redis) Exited() <-chan struct{} { return r.s.done }

// Err says, once Exited has closed, why the server is gone. It is nil after Stop.
func (r *Redis) Err() error {
	select {
	case <-r.s.done:
		return r.s.err
	default:
		return nil
	}
}

// Stop ends a server that this process runs and returns when it has ended. One of another process goes on.
func (r *Redis) Stop() error { return r.s.stop() }

type redisBackend struct {
	dir, run string
	search   []string
	log      *slog.Logger

	mu   sync.Mutex
	kind string
}

func (b *redisBackend) socket() string { return filepath.Join(b.run, redisSocket) }

func (b *redisBackend) options() *redis.Options {
	return &redis.Options{
		Network:                  "unix",
		Addr:                     b.socket(),
		DisableIdentity:          true, // miniredis does not know the command.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func (b *redisBackend) attached(words string) {
	kind, _, _ := strings.Cut(strings.TrimSpace(words), " ")
	b.setKind(kind)
}

func (b *redisBackend) setKind(kind string) {
	b.mu.Lock()
	b.kind = kind
	b.mu.Unlock()
}

func (b *redisBackend) ping(ctx context.Context) error {
	// Without a client, which would retry and write to the log while the server is only starting.
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", b.socket())
	if err != nil {
		return err
	}
	defer c.Close()
	deadline := time.Now().Add(5 * time.Second)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
	}
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n"); err != nil {
		return err
	}
	const want = "+PONG\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("ping %s: answer %q", b.socket(), got)
	}
	return nil
}

func (b *redisBackend) launch(ctx context.Context) (instance, error) {
	if err := b.clean(); err != nil {
		return nil, err
	}
	bin, name, ok := find(b.search, "redis-server", "valkey-server")
	if !ok {
		b.log.Warn("no redis-server is installed, a small one inside this process takes its place: slower, and for one process's load only",
			"install", installCommand(b.search, 0))
		b.setKind("miniredis")
		if err := makeSocketDir(b.run, identity{}); err != nil {
			return nil, err
		}
		return startMini(b.socket(), b.log)
	}
	as := identity{}
	if os.Geteuid() == 0 {
		// Redis runs as root too, but need not.
		if a, err := ordinaryUser(bin, b.dir, b.run, "redis", "valkey", "nobody"); err == nil {
			as = a
		}
	}
	if err := makeSocketDir(b.run, as); err != nil {
		return nil, err
	}
	// SIGKILL: a server that ends in good order removes its socket, and by then it might be its successor's.
	c, err := startChild(b.dir, "redis.log", as, syscall.SIGKILL, []stopStep{{syscall.SIGTERM, 5 * time.Second}}, b.run, bin,
		"--port", "0", "--unixsocket", b.socket(), "--unixsocketperm", "700", "--dir", b.run,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "",
		"--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru", "--client-output-buffer-limit", "pubsub 32mb 8mb 60")
	if err != nil {
		return nil, err
	}
	b.setKind(name)
	err = b.answer(ctx, c)
	if err == nil {
		err = b.writePid(c)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("run %s: %w\n%s", bin, err, c.lastWords())
	}
	return c, nil
}

func (b *redisBackend) answer(ctx context.Context, c *child) error {
	for {
		err := b.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.exited():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("%w while it did not answer: %v", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *redisBackend) pidFile() string { return filepath.Join(b.dir, "redis.pid") }

func (b *redisBackend) writePid(c *child) error {
	f, err := createFor(b.dir, b.pidFile(), os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return unwritable(b.dir, err)
	}
	_, err = fmt.Fprintln(f, c.cmd.Process.Pid)
	return errors.Join(err, f.Close())
}

// clean ends a server that outlived its owner and removes its socket.
func (b *redisBackend) clean() error {
	words, err := os.ReadFile(b.pidFile())
	if err == nil {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(words)))
		err = endOrphan(pid, b.run)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(b.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
