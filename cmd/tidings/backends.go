package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded"
	"tidings/store"
)

// backends are the Postgres and the Redis that this process uses: given ones, or its own.
type backends struct {
	databaseURL string
	redis       redis.UniversalClient
	ownPostgres *embedded.Postgres // nil when one is given
	ownRedis    *embedded.Redis    // nil when one is given
	log         *slog.Logger
}

// databaseWait is how long a given database may be away at the start, as it is while a whole machine boots.
const databaseWait = time.Minute

func openBackends(ctx context.Context, c *Config, log *slog.Logger) (_ *backends, err error) {
	b := &backends{databaseURL: c.DatabaseURL, log: log}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	if c.DatabaseURL == "" {
		if b.ownPostgres, err = embedded.StartPostgres(ctx, filepath.Join(c.DataDir, "postgres"), log); err != nil {
			return nil, err
		}
		b.databaseURL = b.ownPostgres.URL()
	}
	if c.RedisURL == "" {
		if b.ownRedis, err = embedded.StartRedis(ctx, filepath.Join(c.DataDir, "redis"), log); err != nil {
			return nil, err
		}
		b.redis = redis.NewClient(b.ownRedis.Options())
	} else {
		o, err := redisOptions(c.RedisURL)
		if err != nil {
			return nil, err
		}
		b.redis = newRedis(o)
	}
	return b, nil
}

// openStore opens the database, waiting for one that is away.
func (b *backends) openStore(ctx context.Context, c *Config, log *slog.Logger) (*store.Store, error) {
	deadline := time.Now().Add(databaseWait)
	for warned := false; ; {
		st, err := store.Open(ctx, store.Options{
			DatabaseURL: b.databaseURL, DirectURL: c.DatabaseDirectURL, Redis: b.redis, Prefix: c.RedisPrefix, Log: log,
			History: days(c.HistoryDays), Retention: days(c.RetentionDays),
		})
		if err == nil || !errors.Is(err, tidings.ErrUnavailable) || ctx.Err() != nil {
			return st, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w; is the server that DATABASE_URL names running, and may this machine reach it?", err)
		}
		if !warned {
			log.Warn("the database is away; waiting for it for up to a minute", "err", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// watch ends with an error when a server of our own is gone for good.
func (b *backends) watch(ctx context.Context) error {
	var postgres, redis <-chan struct{}
	if b.ownPostgres != nil {
		postgres = b.ownPostgres.Exited()
	}
	if b.ownRedis != nil {
		redis = b.ownRedis.Exited()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-postgres:
		return fmt.Errorf("the embedded Postgres is gone: %w", b.ownPostgres.Err())
	case <-redis:
		return fmt.Errorf("the embedded Redis is gone: %w", b.ownRedis.Err())
	}
}

// stop ends what is our own, the database last.
func (b *backends) stop() {
	if b.redis != nil {
		b.redis.Close()
	}
	if b.ownRedis != nil {
		if err := b.ownRedis.Stop(); err != nil {
			b.log.Warn("stopping Redis", "err", err)
		}
	}
	if b.ownPostgres != nil {
		if err := b.ownPostgres.Stop(); err != nil {
			b.log.Warn("stopping Postgres", "err", err)
		}
	}
}

// days is how long n days are; more than a century, which a Duration may not hold, is one.
func days(n int) time.Duration { return time.Duration(min(n, 36500)) * 24 * time.Hour }
