package testdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings/embedded"
)

// keeperVariable tells a test binary to be the keeper of the servers of another one.
const keeperVariable = "TIDINGS_TESTDB_KEEPER"

// The servers run in a process of their own, which is the test binary once more. So the tests' process has no goroutine
// that a search for leaks would find, and whatever ends it, a kill too, the keeper sees its input end and cleans up.
var keeper struct {
	main bool // Main was called.
	once sync.Once
	cmd  *exec.Cmd
	in   io.Closer
	up   addresses
	err  error
}

// addresses is what the keeper prints.
type addresses struct {
	Postgres string
	Redis    string // the socket's path
	Err      string
}

// Main runs the tests of a package and then ends the servers that they used. Every package whose tests call this one has
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
func Main(m *testing.M) {
	os.Exit(Run(m))
}

// M is a test binary's main part that ends the servers too, for goleak:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.M{M: m}) }
type M struct{ *testing.M }

// Run runs the tests and ends the servers that they used.
func (m M) Run() int { return Run(m.M) }

// Run is Main for a package that has more to do before it ends: it returns the exit code.
func Run(m *testing.M) int {
	if os.Getenv(keeperVariable) != "" {
		keep()
		os.Exit(0)
	}
	keeper.main = true
	code := m.Run()
	if keeper.cmd != nil {
		keeper.in.Close()
		if err := keeper.cmd.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, "testdb: end the servers:", err)
			code = max(code, 1)
		}
	}
	return code
}

// servers starts the servers of this test binary once.
func servers(t testing.TB) addresses {
	t.Helper()
	if !keeper.main {
		t.Fatal("tests that use testdb need this in their package:\n\tfunc TestMain(m *testing.M) { testdb.Main(m) }")
	}
	keeper.once.Do(startKeeper)
	if keeper.err != nil {
		t.Fatalf("start servers for the tests: %v", keeper.err)
	}
	return keeper.up
}

func startKeeper() {
	keeper.err = func() error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), keeperVariable+"=1")
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the tests; the keeper follows in its own order.
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		keeper.cmd, keeper.in = cmd, in
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("read from the keeper: %w", err)
		}
		if err := json.Unmarshal(line, &keeper.up); err != nil {
			return err
		}
		if keeper.up.Err != "" {
			return errors.New(keeper.up.Err)
		}
		return nil
	}()
}

// keep runs the servers until its input ends.
func keep() {
	var pg *embedded.Postgres
	var rd *embedded.Redis
	var up addresses
	dir, err := tempDir()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		pg, err = embedded.StartPostgres(ctx, filepath.Join(dir, "postgres"), log, testSettings...)
		if err == nil {
			rd, err = embedded.StartRedis(ctx, filepath.Join(dir, "redis"), log)
		}
		cancel()
	}
	if err != nil {
		up.Err = err.Error()
	} else {
		up.Postgres, up.Redis = pg.URL(), rd.Options().Addr
	}
	json.NewEncoder(os.Stdout).Encode(up)
	io.Copy(io.Discard, os.Stdin)
	if rd != nil {
		err = errors.Join(err, rd.Stop())
	}
	if pg != nil {
		err = errors.Join(err, pg.Stop())
	}
	if dir != "" {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testdb:", err)
		os.Exit(1)
	}
}

// testSettings give up what only a power cut would show, and allow for many tests at once.
var testSettings = []string{"fsync=off", "max_connections=200"}

// tempDir makes a directory that the servers' users may enter too.
func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "tidings-testdb-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
