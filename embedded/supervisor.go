package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the wait for an answer. A Postgres that replays a long log after a crash needs minutes.
	startTimeout = 5 * time.Minute
	// lockPoll is how soon an attached process notices that the owner has ended.
	lockPoll = 100 * time.Millisecond
	// healthy is how long a server must have lived for its next end not to count as one more failure.
	healthy = time.Minute
	// maxFailures in a row, with pauses from firstPause to longestPause between them, and the server is given up.
	maxFailures  = 6
	firstPause   = 100 * time.Millisecond
	longestPause = 3200 * time.Millisecond
	// maxBusy is maxFailures for a server whose predecessor has not quite ended.
	maxBusy = 30
)

// backend is what differs between the servers. It is *postgresBackend and *redisBackend.
type backend interface {
	// launch starts the server and returns when it answers. The caller holds the directory's lock.
	launch(ctx context.Context) (instance, error)
	// ping says whether the server at the socket answers, whoever runs it.
	ping(ctx context.Context) error
	// attached is told the words that the owner wrote into the lock.
	attached(words string)
}

// instance is one running server. It is *child and *miniServer.
type instance interface {
	exited() <-chan struct{}
	// stop ends the server and returns when it has ended. The error is nil when it ended in good order.
	stop() error
	// describe is what the owner writes into the lock.
	describe() string
	// lastWords is the end of what the server printed.
	lastWords() string
}

// supervisor keeps one server running: it owns it or is attached to another process's, and changes from the one to the
// other when that process ends.
type supervisor struct {
	name    string // "Postgres" or "Redis"
	dir     string
	backend backend
	log     *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once

	// Written before done closes.
	err     error // why the server was given up
	stopErr error // how the stop went
	cut     error // what the start said that the stop cut short
}

// newSupervisor makes the directory. It starts nothing.
func newSupervisor(name, dir string, log *slog.Logger) (*supervisor, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, unwritable(abs, err)
	}
	// Two names of one directory must lead to one socket.
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, unwritable(abs, err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &supervisor{name: name, dir: abs, log: log, done: make(chan struct{})}, nil
}

func unwritable(dir string, err error) error {
	hint := "make it writable for the user that runs this program, or set DATA_DIR to a directory that is"
	var pe *fs.PathError
	switch {
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: set DATA_DIR to a directory that can be written"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EEXIST):
		hint = "a file is in the way: move it, or set DATA_DIR to another directory"
	case errors.Is(err, syscall.ENOSPC):
		hint = "the disk is full"
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &pe):
		hint = fmt.Sprintf("run\n    sudo chown -R %d:%d %s\nor set DATA_DIR to a directory that can be written", os.Geteuid(), os.Getegid(), quote(dir))
	}
	return fmt.Errorf("use data directory %s: %w\n%s", dir, err, hint)
}

// start runs the supervisor and returns when the server answers. ctx bounds the start alone.
func (s *supervisor) start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx)) // #nosec G118 -- stop calls it
	s.cancel = cancel
	ready := make(chan struct{})
	go s.run(run, sync.OnceFunc(func() { close(ready) }))
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	var cause error
	select {
	case <-ready:
		return nil
	case <-s.done:
		return s.err
	case <-ctx.Done():
		cause = ctx.Err()
	case <-timeout.C:
		cause = context.DeadlineExceeded
	}
	s.stop()
	return errors.Join(fmt.Errorf("%s in %s does not answer: %w", s.name, s.dir, cause), s.err, s.cut)
}

// stop ends what this process runs and returns when all has ended.
func (s *supervisor) stop() error {
	s.once.Do(s.cancel)
	<-s.done
	return s.stopErr
}

func (s *supervisor) run(ctx context.Context, ready func()) {
	defer close(s.done)
	lock, err := openLock(s.dir)
	if err != nil {
		s.err = err
		return
	}
	defer lock.Close() // The lock goes with its file.
	began := false
	isReady := func() { began = true; ready() }
	if err := s.acquire(ctx, lock, isReady); err != nil {
		s.err = err
		return
	}
	for failures := 0; ctx.Err() == nil; {
		at := time.Now()
		err := s.own(ctx, lock, isReady)
		if ctx.Err() != nil {
			if errors.Is(err, context.Canceled) {
				s.cut = err
			} else {
				s.stopErr = err
			}
			return
		}
		if time.Since(at) > healthy {
			failures = 0
		}
		failures++
		busy := errors.Is(err, errBusy)
		if !began && !busy || failures > maxFailures && !busy || failures > maxBusy {
			s.err = err
			return
		}
		pause := min(firstPause<<(failures-1), longestPause)
		s.log.Error(s.name+" ended unexpectedly and is started again", "err", err, "failures", failures, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// errBusy: the start failed because of something that is about to end by itself.
var errBusy = errors.New("what ran before has not quite ended")

// acquire returns when this process holds the lock, which may be never: until then it is attached to the server of the
// process that holds it.
func (s *supervisor) acquire(ctx context.Context, lock *os.File, ready func()) error {
	answered := false
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			if answered {
				s.log.Warn("the process that ran "+s.name+" has ended, it is started anew by this one", "dir", s.dir)
			}
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		if !answered {
			ping, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := s.backend.ping(ping)
			cancel()
			switch {
			case err == nil:
				answered = true
				words, _ := os.ReadFile(lock.Name())
				s.backend.attached(string(words))
				s.log.Info("attached to "+s.name+" of another process", "dir", s.dir)
				ready()
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("%s in %s is run by another user: run this program as that user: %w", s.name, s.dir, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lockPoll):
		}
	}
}

// own runs the server until it ends or ctx does. It returns how the stop went when ctx ended, else why the server ended.
func (s *supervisor) own(ctx context.Context, lock *os.File, ready func()) error {
	at := time.Now()
	in, err := s.backend.launch(ctx)
	if err != nil {
		return err
	}
	// The words are for people and for Kind alone. Over the old ones first, so that a reader never finds none.
	words := []byte(in.describe() + "\n")
	_, err = lock.WriteAt(words, 0)
	if err = errors.Join(err, lock.Truncate(int64(len(words)))); err != nil {
		s.log.Warn("the lock cannot name the server", "lock", lock.Name(), "err", err)
	}
	s.log.Info(s.name+" runs", "dir", s.dir, "server", in.describe(), "took", time.Since(at).Round(time.Millisecond))
	ready()
	select {
	case <-ctx.Done():
		if err := in.stop(); err != nil {
			return fmt.Errorf("stop %s: %w", s.name, err)
		}
		return nil
	case <-in.exited():
		return fmt.Errorf("%s in %s ended: %w\n%s", s.name, s.dir, in.stop(), in.lastWords())
	}
}

// openLock opens the file whose lock says who runs the server.
func openLock(dir string) (*os.File, error) {
	f, err := createFor(dir, filepath.Join(dir, "lock"), os.O_RDWR)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	return f, nil
}

// createFor opens or makes a file of mode 0600 that belongs to the owner of dir, so that root may run once on an ordinary
// user's directory without locking that user out.
func createFor(dir, path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|os.O_CREATE, 0o600)
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	var st syscall.Stat_t
	if err = syscall.Stat(dir, &st); err == nil {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
