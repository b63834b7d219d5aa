package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
)

// dayVariable is how long the day takes, such as 15m.
const dayVariable = "TIDINGS_DAY"

// A day of a community passes on Discord's clock: people talk by day more than by night, read, come and go, sign in, search; after a third of it the messages
// of the days before are deleted by age. In the end every socket shows the truth, and what the service holds no longer grows: memory, goroutines, file descriptors,
// keys in Redis, dead rows in Postgres.
func TestADay(t *testing.T) {
	length := 8 * time.Second
	long := os.Getenv(dayVariable) != ""
	if long {
		var err error
		if length, err = time.ParseDuration(os.Getenv(dayVariable)); err != nil {
			t.Fatalf("%s: %v", dayVariable, err)
		}
	}
	var behind atomic.Int64 // how far Discord's clock is behind
	behind.Store(int64(9 * 24 * time.Hour))
	d := simtest.Start(t, sim.Options{
		NoRateLimits: true, OnExchange: func(sim.Exchange) {}, OnEvent: func(string, []byte) {},
		Now: func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) },
	})
	w := newCrowd(t, d, 4, 60)
	past := 500
	if long {
		past = 10000
	}
	for range past {
		w.act()
	}
	for id, c := range w.byID {
		w.byID[id].said = c.said[:0]
	}
	behind.Store(int64(24 * time.Hour))

	postgres, keys := testdb.RestartablePostgres(t), testdb.RestartableRedis(t)
	c := configFor(t, d)
	c.DatabaseURL, c.RedisURL, c.Listen, c.HistoryDays = postgres.URL(), "unix://"+keys.Options().Addr, freeAddress(t), 10
	w.enroll(c)
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// Their history begins when the day does.
	if _, err := db.Exec(`UPDATE baselines SET baseline_id = $1`, int64(tidings.FirstID(time.Now().Add(-24*time.Hour)))); err != nil {
		t.Fatal(err)
	}
	p := spawn(t, c)
	places := []string{"http://" + c.Listen}
	run := &service{t: t, url: places[0]}
	eventually(t, "the service is ready", time.Minute, func() bool {
		status, _, err := run.try(credential{}, "GET", "/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	stored := func() (n int) {
		if err := db.QueryRow(`SELECT count(*) FROM messages WHERE NOT deleted`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "the days before are fetched", time.Minute, func() bool { return stored() > past*8/10 })

	told := &arrivals{}
	browser := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer browser.CloseIdleConnections()
	ctx, leave := context.WithCancel(context.Background())
	var gone sync.WaitGroup
	defer gone.Wait()
	defer leave()
	var sockets []*crowdSocket
	for _, who := range w.people {
		for range 3 {
			s := &crowdSocket{of: who, places: &places, http: browser, crowd: w, told: told}
			sockets = append(sockets, s)
			gone.Go(func() { s.run(ctx) })
		}
	}
	settle := func() {
		t.Helper()
		began := time.Now()
		for n, first := -1, ""; n != 0; <-time.After(50 * time.Millisecond) {
			if n, first = wrongs(w, sockets); n > 0 && time.Since(began) > 2*time.Minute {
				t.Fatalf("%d of %d sockets do not show the truth:\n%s", n, len(sockets), first)
			}
		}
	}
	settle()

	cache := redis.NewClient(keys.Options())
	defer cache.Close()
	var samples []holding
	began := time.Now()
	day := func() float64 { return min(1, float64(time.Since(began))/float64(length)) }
	next := began
	retained := false
	for n := 0; day() < 1; n++ {
		passed := day()
		behind.Store(int64((1 - passed) * float64(24*time.Hour)))
		w.act()
		switch {
		case n%40 == 0:
			w.move(w.guilds[n/40%len(w.guilds)])
		case n%50 == 1:
			w.mark(sockets[rand.IntN(len(sockets))])
		case n%100 == 2: // somebody comes for a moment
			who := w.people[rand.IntN(len(w.people))]
			me := credential{cookie: run.signIn(who.ID)}
			run.unread(me)
			run.call(me, "GET", "/api/search?q=message", nil, nil)
			run.call(me, "GET", "/api/feed?filter=unread", nil, nil)
			visit, over := context.WithTimeout(ctx, 5*time.Second)
			s := &crowdSocket{of: who, places: &places, http: browser, crowd: w, told: told}
			gone.Go(func() { defer over(); s.run(visit) })
		}
		if !retained && passed > 1./3 {
			retained = true
			st, err := store.Open(t.Context(), store.Options{DatabaseURL: c.DatabaseURL, Log: slog.New(slog.DiscardHandler), Retention: days(2)})
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			deleted, err := st.Retain(t.Context(), func(context.Context, tidings.Result) {})
			st.Close()
			if err != nil || deleted < past/2 {
				t.Fatalf("Retain() = %d, %v", deleted, err)
			}
			t.Logf("%d messages of the days before were deleted in %v", deleted, time.Since(before))
		}
		if time.Since(next) >= 0 {
			next = next.Add(length / 60)
			samples = append(samples, takeSample(t, run.url, cache, db))
		}
		// About four acts in a simulated minute at noon, one at night.
		pace := 0.25 + 0.75*math.Pow(math.Sin(math.Pi*passed), 2)
		<-time.After(time.Duration(float64(12*time.Millisecond) / pace))
	}
	behind.Store(0)
	settle()
	leave()
	gone.Wait()
	for i, s := range samples {
		if i%6 == 0 || i == len(samples)-1 {
			t.Logf("%3d%% of the day: %v", i*100/60, s)
		}
	}
	said := 0
	for _, ch := range w.byID {
		said += len(ch.said)
	}
	t.Logf("%d messages; %d are stored", said, stored())
	if len(w.faults) > 0 {
		t.Errorf("%d times what must not be, first: %s", len(w.faults), w.faults[0])
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if !long {
		return
	}
	// The last tenth of the day against what it was like at 40 to 60 %, when the day is busiest.
	for name, of := range map[string]func(holding) float64{
		"memory": func(s holding) float64 { return s.memory }, "heap": func(s holding) float64 { return s.heap },
		"goroutines": func(s holding) float64 { return s.goroutines }, "file descriptors": func(s holding) float64 { return s.descriptors },
		"Redis keys": func(s holding) float64 { return s.keys }, "dead rows": func(s holding) float64 { return s.dead },
		"bytes a row": func(s holding) float64 { return s.bytes / s.rows },
	} {
		n := len(samples)
		noon, night := mean(samples[n*4/10:n*6/10], of), mean(samples[n*9/10:], of)
		t.Logf("%-17s %12.0f at noon, %12.0f in the end", name, noon, night)
		if night > noon*1.25+20 {
			t.Errorf("%s has grown from %.0f to %.0f", name, noon, night)
		}
	}
}

// holding is what the service holds at one moment.
type holding struct {
	memory, heap, goroutines, descriptors, keys, dead, rows, bytes float64
}

func (s holding) String() string {
	return fmt.Sprintf("memory %.0f MB, heap %.0f MB, %.0f goroutines, %.0f descriptors, %.0f Redis keys, %.0f rows and %.0f dead ones of messages in %.1f MB",
		s.memory/1e6, s.heap/1e6, s.goroutines, s.descriptors, s.keys, s.rows, s.dead, s.bytes/1e6)
}

func mean(samples []holding, of func(holding) float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += of(s)
	}
	return sum / float64(len(samples))
}

func takeSample(t *testing.T, url string, cache *redis.Client, db *sql.DB) (s holding) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	into := map[string]*float64{
		"process_resident_memory_bytes": &s.memory, "go_memstats_heap_inuse_bytes": &s.heap, "go_goroutines": &s.goroutines, "process_open_fds": &s.descriptors,
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v := into[name]; v != nil {
			if *v, err = strconv.ParseFloat(value, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.keys = float64(cache.DBSize(t.Context()).Val())
	err = db.QueryRow(`
SELECT coalesce(sum(n_dead_tup), 0)::float8, (SELECT count(*) FROM messages)::float8, coalesce(sum(pg_total_relation_size(relid)), 0)::float8
FROM pg_stat_user_tables
WHERE relname = 'messages'`).Scan(&s.dead, &s.rows, &s.bytes)
	if err != nil || slices.Contains([]float64{s.memory, s.goroutines, s.descriptors}, 0) {
		t.Fatalf("a sample is %+v, %v", s, err)
	}
	return s
}
