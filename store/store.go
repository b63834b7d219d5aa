// Package store holds everything that Tidings keeps: all SQL, and the Redis cache of recent messages. Nobody outside sees
// a query. Postgres is the truth; Redis may be lost, or missing, at any moment.
//
// The write side records events ([Store.Record], [Store.RecordBarrier]) and returns what they changed; the read side
// counts and lists what a visible set may read. Whoever writes takes locks in one order: a guild, then channels by
// id, then users by id. Deciding who may read what is package access's, telling people is package hub's.
//
// # Parameters
//
// Statements run with lib/pq's binary_parameters: one round trip each, and no server-side name that a pooler would lose; those that are asked all
// the time are prepared where there is no pooler (see [often]).
// A []byte is then sent as binary, which only a bytea column understands: give json and text as strings.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// Options is what [Open] needs.
type Options struct {
	DatabaseURL string
	// DirectURL leads to the same database past a pooler, for LISTEN. "" means DatabaseURL.
	DirectURL string
	Redis     redis.UniversalClient // nil: nothing is cached
	Prefix    string                // of every key in Redis
	Log       *slog.Logger
	// History is how far back the past of a channel that is new here is wanted; 0 for not at all.
	History time.Duration
	// Retention is how long messages are kept; 0 for ever. Older ones are refused, whoever brings them.
	Retention time.Duration
}

// Store is safe for concurrent use.
type Store struct {
	db         *sqlx.DB
	names      knownNames
	cache      *cache
	remembered *remembered
	tails      *tails
	direct     string // for LISTEN
	log        *slog.Logger

	history, retention time.Duration
	clock              func() time.Time // Discord's; nil for ours
}

// TellTime says by whose clock Discord makes its ids: where it differs from ours, a person's history would begin too early or too late.
// It is called before the store is used by anybody else.
func (s *Store) TellTime(now func() time.Time) { s.clock = now }

// maxConns bounds the connections of one process: enough for its lanes and its readers, and five processes still fit
// into the 100 that Postgres allows by default.
const maxConns = 16

// CheckURL says what is wrong with the address of a database, nil for nothing. Nobody is asked.
func CheckURL(address string) error {
	_, err := readURL(address)
	return err
}

// readURL reads a URL, or libpq's key=value pairs. What cannot be read is not repeated: it may hold a password.
func readURL(address string) (pq.Config, error) {
	_, bad := url.Parse(address)
	cfg, err := pq.NewConfig(address)
	if err != nil && (bad != nil || !strings.Contains(address, "://")) {
		return cfg, errors.New("it must be like postgres://user:password@host:5432/name, with a password's @ : / ? # % written as %40 %3A %2F %3F %23 %25")
	}
	return cfg, err
}

// Open connects to Postgres and brings its schema up to date. The caller keeps o.Redis and closes it after the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := readURL(o.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	cfg.BinaryParameters = true
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	db := sqlx.NewDb(sql.OpenDB(&preparing{Connector: connector, log: o.Log}), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s := &Store{
		db: db, remembered: newRemembered(), tails: newTails(), direct: cmp.Or(o.DirectURL, o.DatabaseURL), log: o.Log, history: o.History, retention: o.Retention,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.cache = newCache(o.Redis, o.Prefix, s.log)
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("open the database: %w", unavailable(err))
	}
	return s, nil
}

// Close closes the connections to Postgres, after the calls to Redis have ended.
func (s *Store) Close() error {
	s.cache.close()
	return s.db.Close()
}

// historyID is where the past of a channel begins that is first seen at a time.
func (s *Store) historyID(at time.Time) discord.MessageID {
	if at.IsZero() {
		at = time.Now()
	}
	return max(tidings.FirstID(at.Add(-s.history)), s.Horizon(at))
}

// Horizon is the first id that is kept at a time, 0 when all are. It moves by whole UTC days.
func (s *Store) Horizon(at time.Time) discord.MessageID {
	if s.retention <= 0 {
		return 0
	}
	return horizon(s.retention, at)
}

func horizon(retention time.Duration, at time.Time) discord.MessageID {
	return tidings.FirstID(at.Add(-retention).UTC().Truncate(24 * time.Hour))
}

// below is the last id that a guild with a retention of its own does not keep; 0 when it has none.
func below(days int, at time.Time) discord.MessageID {
	if days <= 0 {
		return 0
	}
	return max(horizon(time.Duration(days)*24*time.Hour, at), 1) - 1
}

// maxAttempts bounds how often a transaction is tried again after losing to another one.
const maxAttempts = 6

// inTx runs fn in one transaction, and again from the start when it lost to a concurrent one (serialization failure or
// deadlock). Its error is [tidings.ErrUnavailable] when trying again later will help. fn must therefore keep nothing from an attempt that failed. A nil opts is a read-write transaction at READ
// COMMITTED.
func (s *Store) inTx(ctx context.Context, opts *sql.TxOptions, fn func(tx *sqlx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.tryTx(ctx, opts, fn)
		if err == nil || attempt == maxAttempts || !lost(err) {
			return unavailable(err)
		}
		s.log.Debug("transaction lost to another one", "attempt", attempt, "err", err)
		wait := time.Duration(1<<attempt) * time.Millisecond
		select {
		case <-time.After(wait + rand.N(wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Store) tryTx(ctx context.Context, opts *sql.TxOptions, fn func(tx *sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, opts)
	if err != nil {
		if coded(err, "0A000") { // A standby that will be promoted refuses to begin what may write.
			err = fmt.Errorf("%w: %w", tidings.ErrUnavailable, err)
		}
		return err
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// lost reports whether Postgres ended a transaction because of another one, or of a prepared statement that is outdated, so that trying again is
// right.
func lost(err error) bool {
	return (coded(err, "40001", "40P01") || unprepared(err)) && !errors.Is(err, tidings.ErrUnavailable)
}

// coded reports whether an error is Postgres' with one of some codes.
func coded(err error, codes ...string) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && slices.Contains(codes, string(pe.Code))
}

// unavailable adds [tidings.ErrUnavailable] to an error that says that Postgres, or the way to it, is away for now, and
// [tidings.ErrInvalid] to one that says that a text has a NUL or is not UTF-8.
func unavailable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var pe *pq.Error
	var ne net.Error
	switch {
	case errors.As(err, &pe):
		if pe.Code == "22021" {
			return fmt.Errorf("%w text: it has a NUL or is not UTF-8", tidings.ErrInvalid)
		}
		switch pe.Code.Class() {
		case "08", "53", "57", "58": // Connections, resources, an operator, the system below.
		case "40": // Lost to other transactions again and again.
		default:
			if pe.Code != "25006" && pe.Code != "55P03" { // A standby that will be promoted, a lock that was not to be had.
				return err
			}
		}
	case errors.As(err, &ne), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return err
	}
	return fmt.Errorf("%w: %w", tidings.ErrUnavailable, err)
}

// Ping asks Postgres whether it answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return unavailable(fmt.Errorf("ask the database: %w", err))
	}
	return nil
}
