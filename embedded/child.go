package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxLog is the size at which a log is put aside at the next start. One older log is kept.
const maxLog = 1 << 20

// child is a server in a process of its own.
type child struct {
	name  string
	cmd   *exec.Cmd
	logAt int64 // where in the log this run's words begin
	log   string
	steps []stopStep
	done  chan struct{}
	err   error // from Wait; written before done closes
}

// stopStep is a signal and how long its effect may take. The last one is waited for without end.
type stopStep struct {
	signal syscall.Signal
	wait   time.Duration
}

// startChild starts bin so that it ends when this process does and not when its terminal says so. What it prints goes to the
// end of the log, a file in dir.
func startChild(dir, log string, as identity, death syscall.Signal, steps []stopStep, cwd, bin string, args ...string) (*child, error) {
	log = filepath.Join(dir, log)
	if st, err := os.Stat(log); err == nil && st.Size() > maxLog {
		if err := os.Rename(log, log+".old"); err != nil {
			return nil, unwritable(dir, err)
		}
	}
	out, err := createFor(dir, log, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	defer out.Close()
	at, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = as.cwd(cwd)
	cmd.Env = childEnv()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = as.attr()
	cmd.SysProcAttr.Setpgid = true
	deathSignal(cmd.SysProcAttr, death)
	c := &child{name: filepath.Base(bin), cmd: cmd, log: log, logAt: at, steps: steps, done: make(chan struct{})}

	started := make(chan error)
	go func() {
		// Linux sends the death signal when the thread ends that started the child, not when the process does.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	return c, nil
}

func (c *child) exited() <-chan struct{} { return c.done }

func (c *child) describe() string { return fmt.Sprintf("%s %d", c.name, c.cmd.Process.Pid) }

func (c *child) stop() error {
	select {
	case <-c.done: // It ended by itself, and not in good order whatever it says.
		if c.err == nil {
			return errors.New("exit status 0")
		}
		return c.err
	default:
	}
	for _, step := range c.steps {
		c.cmd.Process.Signal(step.signal)
		select {
		case <-c.done:
			return c.err
		case <-time.After(step.wait):
		}
	}
	c.cmd.Process.Kill()
	<-c.done
	return c.err
}

func (c *child) lastWords() string {
	f, err := os.Open(c.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	const most = 2000
	words := make([]byte, most)
	n, _ := f.ReadAt(words, max(c.logAt, st.Size()-most))
	return fmt.Sprintf("%s ends:\n%s", c.log, bytes.TrimSpace(words[:n]))
}

// childEnv is the little that a server needs: no token of ours, and no PG* variable, which would redirect Postgres's tools.
func childEnv() []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LOCALE_ARCHIVE":
			env = append(env, e)
		}
	}
	return env
}

// endOrphan ends a server that outlived its owner: this process holds the lock, so whoever pid names is an orphan if it
// works in cwd, and a stranger with a reused number if it does not.
func endOrphan(pid int, cwd string, signals ...syscall.Signal) error {
	for _, sig := range append(signals, syscall.SIGKILL) {
		for i := range 500 {
			if pid <= 1 || !worksIn(pid, cwd) {
				return nil
			}
			if i == 0 {
				if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("end process %d, which still uses %s: %w", pid, cwd, err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return fmt.Errorf("process %d still uses %s and does not end: end it by hand", pid, cwd)
}
