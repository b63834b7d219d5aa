package embedded

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// holderVariable makes the test binary a program that holds servers, so that it can be killed or run as another user.
const holderVariable = "TIDINGS_EMBEDDED_HOLDER"

func TestMain(m *testing.M) {
	if order := os.Getenv(holderVariable); order != "" {
		hold(order)
		return
	}
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// order is what a holder is told to run; empty means not.
type order struct {
	Postgres, Redis string
	Search          []string
}

// word is what a holder says.
type word struct {
	URL, Address, Kind string
	Err                string
	Interrupted        bool
	Exited             string
}

// hold runs servers until its input ends, and then stops them.
func hold(text string) {
	say := json.NewEncoder(os.Stdout)
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	dirs := o.Search
	if dirs == nil {
		dirs = search()
	}
	var w word
	var pgExited <-chan struct{}
	stop := func() error { return nil }
	if o.Postgres != "" {
		p, err := startPostgres(ctx, o.Postgres, log, dirs, []string{"fsync=off"})
		if err != nil {
			say.Encode(word{Err: err.Error()})
			return
		}
		w.URL, stop, pgExited = p.URL(), p.Stop, p.Exited()
	}
	if o.Redis != "" {
		r, err := startRedis(ctx, o.Redis, log, dirs)
		if err != nil {
			say.Encode(word{Err: err.Error()})
			return
		}
		w.Address, w.Kind = r.Options().Addr, r.Kind()
		pgStop := stop
		stop = func() error { r.Stop(); return pgStop() }
	}
	say.Encode(w)
	end := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(end) }()
	for {
		select {
		case <-interrupts:
			say.Encode(word{Interrupted: true})
		case <-pgExited:
			say.Encode(word{Exited: "Postgres"})
			pgExited = nil
		case <-end:
			if err := stop(); err != nil {
				say.Encode(word{Err: err.Error()})
			}
			return
		}
	}
}

// holder is a process that runs hold.
type holder struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	words *bufio.Reader
	first word
	ended sync.Once
	err   error
}

// startHolder returns when the holder's servers answer, or with first.Err set.
func startHolder(t *testing.T, as *syscall.Credential, o order, env ...string) *holder {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(holderBinary(t))
	cmd.Dir = "/"
	cmd.Env = append(append(os.Environ(), holderVariable+"="+string(text)), env...)
	var log strings.Builder
	cmd.Stderr = &log
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	h := &holder{t: t, cmd: cmd}
	if h.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.words = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.in.Close()
		h.wait()
		if t.Failed() {
			t.Logf("holder's log:\n%s", log.String())
		}
	})
	h.first = h.next()
	return h
}

// mustStart is startHolder for servers that have to run.
func mustStart(t *testing.T, as *syscall.Credential, o order, env ...string) *holder {
	t.Helper()
	h := startHolder(t, as, o, env...)
	if h.first.Err != "" {
		t.Fatal(h.first.Err)
	}
	return h
}

func (h *holder) next() word {
	h.t.Helper()
	line, err := h.words.ReadBytes('\n')
	if err != nil {
		h.t.Fatalf("the holder ended: %v", err)
	}
	var w word
	if err := json.Unmarshal(line, &w); err != nil {
		h.t.Fatalf("%v: %s", err, line)
	}
	return w
}

func (h *holder) wait() error {
	h.ended.Do(func() { h.err = h.cmd.Wait() })
	return h.err
}

func (h *holder) kill() {
	h.t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	h.wait()
}

func (h *holder) stop() {
	h.t.Helper()
	h.in.Close()
	if err := h.wait(); err != nil {
		h.t.Fatalf("the holder ended with %v", err)
	}
}

// holderBinary copies the test binary to where every user may run it.
var holderBinary = func() func(t *testing.T) string {
	var mu sync.Mutex
	var users int
	var path string
	return func(t *testing.T) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if users++; users == 1 {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(self)
			if err != nil {
				t.Fatal(err)
			}
			path = filepath.Join(makeDir(nil, t), "holder")
			if err := os.WriteFile(path, b, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			if users--; users == 0 {
				os.RemoveAll(filepath.Dir(path))
			}
		})
		return path
	}
}()

// makeDir makes a directory that belongs to a user and that everyone may pass through, unlike t.TempDir. The caller removes it.
func makeDir(as *syscall.Credential, t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tidings-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// dirFor is makeDir, removed at the test's end.
func dirFor(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	dir := makeDir(as, t)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// forUsers runs a test as this process's user, and as an ordinary one too when that is root.
func forUsers(t *testing.T, f func(t *testing.T, as *syscall.Credential)) {
	if os.Geteuid() == 0 {
		t.Run("ordinary", func(t *testing.T) { t.Parallel(); f(t, ordinary(t)) })
	}
	t.Run("self", func(t *testing.T) { t.Parallel(); f(t, nil) })
}

// ordinary is a user who is not root; nil when this process is none.
func ordinary(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func both(dir string) order {
	return order{Postgres: filepath.Join(dir, "postgres"), Redis: filepath.Join(dir, "redis")}
}

// eventually waits until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run runs statements on a connection of their own and returns the last one's single value.
func run(url string, statements ...string) (string, error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return "", err
	}
	defer db.Close()
	for _, s := range statements[:len(statements)-1] {
		if _, err := db.Exec(s); err != nil {
			return "", fmt.Errorf("%s: %w", s, err)
		}
	}
	var v string
	err = db.QueryRow(statements[len(statements)-1]).Scan(&v)
	return v, err
}

func mustRun(t *testing.T, url string, statements ...string) string {
	t.Helper()
	v, err := run(url, statements...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func client(t *testing.T, address string) *redis.Client {
	t.Helper()
	o := (&redisBackend{}).options()
	o.Addr = address
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// serverPid reads which process the lock names as the server.
func serverPid(t *testing.T, dir string) int {
	t.Helper()
	words, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var pid int
	if _, err := fmt.Sscan(string(words), &name, &pid); err != nil || pid < 2 {
		t.Fatalf("%s/lock holds %q: %v", dir, words, err)
	}
	return pid
}

func gone(pid int) func() error {
	return func() error {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			return fmt.Errorf("process %d is there: %v", pid, err)
		}
		return nil
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startHere starts Postgres in this process.
func startHere(t *testing.T, dir string, settings ...string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), dir, quiet(), append([]string{"fsync=off"}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

// holderWithoutWord starts a holder whose servers do not come to answer.
func holderWithoutWord(t *testing.T, as *syscall.Credential, o order) *holder {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(holderBinary(t))
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), holderVariable+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &holder{t: t, cmd: cmd}
}
