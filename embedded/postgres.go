package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

const (
	postgresPort   = "5432" // It names the socket's file; nothing listens on TCP.
	postgresSocket = ".s.PGSQL." + postgresPort
	superuser      = "postgres"
	appName        = "tidings" // the role, which is no superuser, and its database
)

// Postgres is a server that this process runs, or that another process on the same directory runs.
type Postgres struct {
	s *supervisor
	b *postgresBackend
}

// StartPostgres runs a Postgres whose data lies in dir, or attaches to the one that another process runs there, and returns
// when it answers. ctx bounds the start alone; Stop ends the server. Each setting is "name=value" in the terms of
// postgresql.conf and goes over the defaults; a process that attaches takes what it finds.
func StartPostgres(ctx context.Context, dir string, log *slog.Logger, settings ...string) (*Postgres, error) {
	return startPostgres(ctx, dir, log, search(), settings)
}

func startPostgres(ctx context.Context, dir string, log *slog.Logger, search, settings []string) (*Postgres, error) {
	s, err := newSupervisor("Postgres", dir, log)
	if err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	b := &postgresBackend{as: ordinaryUser, dir: s.dir, cluster: filepath.Join(s.dir, "cluster"), socket: socketDir(s.dir, postgresSocket), search: search, settings: settings, log: s.log}
	s.backend = b
	if err := checkEnvironment(b.url(appName, appName)); err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	return &Postgres{s: s, b: b}, nil
}

// URL is what lib/pq takes. It stays the same for a directory, whoever runs the server and however often it restarts.
func (p *Postgres) URL() string { return p.b.url(appName, appName) }

// Exited closes when the server is gone for good: after Stop, or when starting it again has failed too often.
func (p *Postgres) Exited() <-chan struct{} { return p.s.done }

// Err says, once Exited has closed, why the server is gone. It is nil after Stop.
func (p *Postgres) Err() error {
	select {
	case <-p.s.done:
		return p.s.err
	default:
		return nil
	}
}

// Stop ends a server that this process runs, open transactions rolled back, and returns when it has ended. One of another process goes on.
func (p *Postgres) Stop() error { return p.s.stop() }

// checkEnvironment finds the PG* variables that lib/pq prefers to the URL or refuses.
func checkEnvironment(url string) error {
	c, err := pq.NewConfig(url)
	if err == nil && c.Hostaddr.IsValid() {
		err = errors.New("PGHOSTADDR leads elsewhere")
	}
	if err == nil {
		return nil
	}
	var set []string
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "PG") {
			set = append(set, name)
		}
	}
	return fmt.Errorf("the environment does not fit the embedded server: %w\nRun\n    unset %s\nor name a server with DATABASE_URL", err, strings.Join(set, " "))
}

type postgresBackend struct {
	as                   func(bin, dir, data string, names ...string) (identity, error) // ordinaryUser
	dir, cluster, socket string
	search, settings     []string
	log                  *slog.Logger
}

func (b *postgresBackend) url(user, database string) string {
	q := url.Values{"host": {b.socket}, "port": {postgresPort}, "user": {user}, "sslmode": {"disable"}, "target_session_attrs": {"any"}}
	return "postgres:///" + database + "?" + q.Encode()
}

func (b *postgresBackend) attached(string) {}

func (b *postgresBackend) ping(ctx context.Context) error {
	return b.do(appName, appName, func(db *sql.DB) error { return db.PingContext(ctx) })
}

func (b *postgresBackend) do(user, database string, f func(*sql.DB) error) error {
	db, err := sql.Open("postgres", b.url(user, database))
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

func (b *postgresBackend) launch(ctx context.Context) (instance, error) {
	want, err := clusterVersion(b.cluster)
	if err != nil {
		return nil, err
	}
	bin, err := b.choose(ctx, want)
	if err != nil {
		return nil, err
	}
	as, err := b.as(filepath.Join(bin, "postgres"), b.dir, b.cluster, "postgres", "nobody")
	if err != nil {
		return nil, err
	}
	if want == 0 {
		if err := b.initdb(ctx, bin, as); err != nil {
			return nil, err
		}
	}
	if err := b.clean(); err != nil {
		return nil, err
	}
	if err := makeSocketDir(b.socket, as); err != nil {
		return nil, err
	}
	args := []string{"-D", b.cluster, "-p", postgresPort, "-k", b.socket}
	for _, setting := range append([]string{
		"listen_addresses=", "unix_socket_permissions=0700", "max_connections=120", "shared_buffers=128MB",
		"jit=off", "timezone=UTC", "log_timezone=UTC", "logging_collector=off", "log_destination=stderr",
		// The log tells of starts, ends and crashes. What a statement did wrong is told to who sent it; in the log it
		// would stand with what people wrote.
		"log_min_messages=log", "log_min_error_statement=panic", "log_error_verbosity=terse", "log_checkpoints=off",
		"log_autovacuum_min_duration=-1",
	}, b.settings...) {
		args = append(args, "-c", setting)
	}
	steps := []stopStep{{syscall.SIGINT, 30 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}} // fast, then immediate
	c, err := startChild(b.dir, "postgres.log", as, syscall.SIGINT, steps, b.cluster, filepath.Join(bin, "postgres"), args...)
	if err != nil {
		return nil, err
	}
	if err := b.answer(ctx, c); err != nil {
		c.stop()
		words := c.lastWords()
		if strings.Contains(words, "pre-existing shared memory block") || strings.Contains(words, `lock file "postmaster.pid" already exists`) {
			// The children of a killed server notice it a moment later.
			err = fmt.Errorf("%w: %w", errBusy, err)
		}
		return nil, fmt.Errorf("run PostgreSQL of %s as %s: %w\n%s", bin, as.name, err, words)
	}
	return c, nil
}

// clusterVersion reads which major version made the cluster; 0 when there is none.
func clusterVersion(cluster string) (int, error) {
	file := filepath.Join(cluster, "PG_VERSION")
	b, err := os.ReadFile(file)
	if err == nil {
		major, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || major < 1 {
			return 0, fmt.Errorf("%s does not hold a version but %.20q. Nothing was changed: put the data back from a backup, or set DATA_DIR to another directory", file, b)
		}
		return major, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		if errors.Is(err, os.ErrPermission) {
			if st, err := os.Stat(cluster); err == nil {
				return 0, fmt.Errorf("%s belongs to %s: run this program as that user, or set DATA_DIR to another directory", cluster, userName(st.Sys().(*syscall.Stat_t).Uid))
			}
		}
		return 0, unwritable(cluster, err)
	}
	entries, err := os.ReadDir(cluster)
	if err == nil && len(entries) > 0 {
		return 0, fmt.Errorf("%s is not empty and holds no PostgreSQL data. Nothing was changed: move it away, or set DATA_DIR to another directory", cluster)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, unwritable(cluster, err)
	}
	return 0, nil
}

// choose returns the folder of the newest installation, or for an existing cluster of the one that made it.
func (b *postgresBackend) choose(ctx context.Context, want int) (string, error) {
	all := installations(ctx, b.search)
	for _, in := range all {
		if in.major == want || want == 0 && in.major >= oldestPostgres {
			return in.dir, nil
		}
	}
	return "", missing(b.search, b.dir, want, all)
}

// clean removes what a server that was killed left behind.
func (b *postgresBackend) clean() error {
	file := filepath.Join(b.cluster, "postmaster.pid")
	words, err := os.ReadFile(file)
	if err == nil {
		line, _, _ := strings.Cut(string(words), "\n")
		pid, _ := strconv.Atoi(strings.TrimSpace(line))
		if err := endOrphan(pid, b.cluster, syscall.SIGINT); err != nil {
			return err
		}
		// Postgres would take a stranger with the same number for a living server. Shared memory still protects the
		// data from one that we do not see.
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// A backend that computes does not notice that its server was killed, and no new one may start beside it.
	for _, pid := range leftBehind("postgres", b.cluster) {
		if err := endOrphan(pid, b.cluster, syscall.SIGQUIT); err != nil {
			return err
		}
	}
	stale, err := filepath.Glob(filepath.Join(b.socket, ".s.PGSQL.*"))
	for _, file := range stale {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return err
}

// answer waits until the server takes connections and makes the role and the database when they are not there.
func (b *postgresBackend) answer(ctx context.Context, c *child) error {
	tell := time.NewTicker(10 * time.Second)
	defer tell.Stop()
	for {
		err := b.do(superuser, "postgres", func(db *sql.DB) error { return makeDatabase(ctx, db) })
		if err == nil {
			return b.ping(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w while it did not answer: %v", ctx.Err(), err)
		}
		var refused *pq.Error
		if errors.As(err, &refused) && refused.Code != "57P03" { // cannot_connect_now: it starts or recovers
			return err
		}
		select {
		case <-c.exited():
			return errors.New("it ended at once")
		case <-ctx.Done():
		case <-tell.C:
			b.log.Info("Postgres is still starting; after a crash it may have much to recover", "err", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func makeDatabase(ctx context.Context, db *sql.DB) error {
	var role, database bool
	const there = `
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
       EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	if err := db.QueryRowContext(ctx, there, appName).Scan(&role, &database); err != nil {
		return err
	}
	if !role {
		if _, err := db.ExecContext(ctx, `CREATE ROLE `+appName+` LOGIN`); err != nil {
			return err
		}
	}
	if !database {
		if _, err := db.ExecContext(ctx, `CREATE DATABASE `+appName+` OWNER `+appName); err != nil {
			return err
		}
	}
	return nil
}
