// Package testdb gives tests a real Postgres schema and a real Redis of their own. A service that is missing fails the
// test; it never skips.
//
// TEST_DATABASE_URL and TEST_REDIS_URL name servers that run already; without them each test binary starts its own through
// package embedded, once, in a temporary directory. For that every package that uses testdb has
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
package testdb

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Postgres returns the URL of an empty schema that is dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("TEST_DATABASE_URL")
	if base == "" {
		base = servers(t).Postgres
	}
	name := "t_" + unique()
	do(t, base, `CREATE SCHEMA `+name)
	t.Cleanup(func() { do(t, base, `DROP SCHEMA `+name+` CASCADE`) })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// do runs one statement on a connection of its own, so that none stays open while the test runs.
func do(t testing.TB, base, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sqlx.ConnectContext(ctx, "postgres", base)
	if err != nil {
		t.Fatalf("connect to the test Postgres: %v", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Redis returns a client and a key prefix that no other test uses. Channels of pub/sub must carry the prefix too.
func Redis(t testing.TB) (redis.UniversalClient, string) {
	t.Helper()
	c := redis.NewClient(RedisOptions(t))
	t.Cleanup(func() { c.Close() })
	if err := c.Ping(context.Background()).Err(); err != nil {
		t.Fatalf("connect to the test Redis: %v", err)
	}
	return c, "t_" + unique() + ":"
}

// RedisOptions is for tests that make clients of their own; keys need a prefix as from Redis.
func RedisOptions(t testing.TB) *redis.Options {
	t.Helper()
	base := os.Getenv("TEST_REDIS_URL")
	if base == "" {
		return &redis.Options{
			Network: "unix", Addr: servers(t).Redis, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		}
	}
	o, err := redis.ParseURL(base)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func unique() string { return strings.ToLower(rand.Text()[:16]) }
