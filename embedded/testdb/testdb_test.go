package testdb_test

import (
	"database/sql"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"tidings/embedded/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestEachTestHasASchemaOfItsOwn(t *testing.T) {
	t.Setenv("TEST_DATABASE_URL", "")
	a, b := open(t, testdb.Postgres(t)), open(t, testdb.Postgres(t))
	for _, db := range []*sql.DB{a, b} {
		if _, err := db.Exec(`CREATE TABLE things (n int)`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Exec(`INSERT INTO things VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := b.QueryRow(`SELECT count(*) FROM things`).Scan(&n); err != nil || n != 0 {
		t.Fatalf("the other test's table holds %d rows, %v", n, err)
	}
}

func TestServersLeaveNoGoroutineInTheTestsProcess(t *testing.T) {
	t.Setenv("TEST_DATABASE_URL", "")
	t.Setenv("TEST_REDIS_URL", "")
	before := goleak.IgnoreCurrent()
	testdb.Postgres(t)
	c, _ := testdb.Redis(t)
	c.Close()
	goleak.VerifyNone(t, before)
}

func TestRestartablePostgresKeepsItsDataAndItsURL(t *testing.T) {
	t.Parallel()
	p := testdb.RestartablePostgres(t)
	url := p.URL()
	db := open(t, url)
	if _, err := db.Exec(`CREATE TABLE kept AS SELECT 7 AS n`); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := db.Ping(); err == nil {
		t.Fatal("a stopped Postgres answers")
	}
	p.Start()
	var n int
	if err := db.QueryRow(`SELECT n FROM kept`).Scan(&n); err != nil || n != 7 || p.URL() != url {
		t.Fatalf("after the restart: n = %d, %v, URL %s, want %s", n, err, p.URL(), url)
	}
}

func TestRestartableRedisComesBackAtTheSameAddress(t *testing.T) {
	t.Parallel()
	r := testdb.RestartableRedis(t)
	c := redis.NewClient(r.Options())
	t.Cleanup(func() { c.Close() })
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a stopped Redis answers")
	}
	r.Start()
	if err := c.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Fatalf("after the restart: Get() error = %v, want %v: nothing in Redis is durable", err, redis.Nil)
	}
}
