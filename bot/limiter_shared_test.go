package bot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
)

// sharing returns the REST halves of bots in as many processes that share a Redis.
func sharing(t *testing.T, n int, url, token string) ([]*REST, []*SharedLimiter) {
	t.Helper()
	_, prefix := testdb.Redis(t)
	var rests []*REST
	var limiters []*SharedLimiter
	for range n {
		c := redis.NewClient(testdb.RedisOptions(t))
		t.Cleanup(func() { c.Close() })
		l, err := NewSharedLimiter(SharedOptions{Redis: c, Prefix: prefix, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(Options{Token: token, URL: url, Sessions: newMemory(), HTTP: client(t), Limiter: l})
		if err != nil {
			t.Fatal(err)
		}
		b.rest.transport.retry = time.Millisecond
		rests, limiters = append(rests, b.rest), append(limiters, l)
	}
	return rests, limiters
}

// requestLog is what the simulator says of the bot's requests.
type requestLog struct {
	Invalid  int `json:"invalid_requests"`
	Requests []struct {
		At     time.Time `json:"at"`
		Method string    `json:"method"`
		Route  string    `json:"route"`
		Bucket string    `json:"bucket"`
		Status int       `json:"status"`
		Who    string    `json:"who"`
	} `json:"requests"`
}

// busiest is the most requests in any second, and the buckets that were asked more often than they allow.
func (l requestLog) busiest() (most int) {
	var at []time.Time
	for _, r := range l.Requests {
		if r.Who == "bot" && r.Status != http.StatusTooManyRequests {
			at = append(at, r.At)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	from := 0
	for i := range at {
		for at[i].Sub(at[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// Three processes push as hard as they can: no second has more than 50 requests and no bucket is asked too often, which the
// simulator would answer with 429.
func TestProcessesTogetherKeepToDiscordsLimits(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{Rand: 7})
	owner := d.Person("owner")
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("c", i))
	}
	g := d.Guild("Harbour", owner, nil, names, nil)
	rests, limiters := sharing(t, 3, d.URL, d.Bot.Token)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	asked := 0
	for p, r := range rests {
		for w := range 20 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i++ {
					c := discord.ChannelID(mustID(g.Channel(names[(i*7+p*13)%len(names)])))
					var err error
					if i%3 == 0 {
						_, err = r.Channel(ctx, c)
					} else {
						_, err = r.Messages(Background(ctx), c, PageQuery{})
					}
					if err != nil && ctx.Err() == nil {
						t.Errorf("process %d: %v", p, err)
						return
					}
					mu.Lock()
					asked++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	var log requestLog
	d.Sim200("GET", "/sim/log", nil, &log)
	if most := log.busiest(); most > 50 {
		t.Errorf("%d requests in one second, want at most 50", most)
	}
	if log.Invalid > 0 {
		t.Errorf("%d requests were answered 401, 403 or 429, want none", log.Invalid)
	}
	t.Logf("%d requests, at most %d in a second", asked, log.busiest())
	if asked < 120 {
		t.Errorf("%d requests in 8 seconds, want the limit used", asked)
	}
	b, err := limiters[0].Budget(t.Context())
	if err != nil || !b.Shared || b.Processes != 3 {
		t.Errorf("Budget() = %+v, %v, want one shared by 3 processes", b, err)
	}
}

func mustID(s string) (id uint64) {
	fmt.Sscan(s, &id)
	return id
}

// What Discord refuses to one process, no process asks again until permissions change.
func TestRefusalsAreRememberedByAllProcesses(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{Rand: 7, OnExchange: func(sim.Exchange) {}})
	owner := d.Person("owner")
	g := d.Guild("Harbour", owner, nil, []string{"a", "b"}, nil)
	rests, limiters := sharing(t, 3, d.URL, d.Bot.Token)
	a := discord.ChannelID(mustID(g.Channel("a")))
	guild := discord.GuildID(mustID(g.ID))
	fault := func(status, n int, route string) {
		d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "status", "args": simtest.Object{"status": status}, "count": n, "match": simtest.Object{"route": route}}, nil)
	}
	fault(403, 1, "GET /channels/{channel_id}/messages")
	for i := range 60 {
		if _, err := rests[i%3].Messages(t.Context(), a, PageQuery{}); !errors.Is(err, tidings.ErrForbidden) {
			t.Fatalf("Messages() = %v, want ErrForbidden", err)
		}
	}
	rests[1].Forgive(t.Context(), guild, a)
	for i := range 3 {
		if _, err := rests[i].Messages(t.Context(), a, PageQuery{}); err != nil {
			t.Errorf("after permissions changed, Messages() = %v", err)
		}
	}
	fault(404, 5, "GET /channels/{channel_id}")
	for i := range 5 {
		if _, err := rests[i%3].Channel(t.Context(), a); !errors.Is(err, tidings.ErrNotFound) {
			t.Errorf("Channel() = %v, want ErrNotFound", err)
		}
	}
	fault(401, 1, "")
	for i := range 60 {
		if _, err := rests[i%3].Me(t.Context()); !errors.Is(err, tidings.ErrUnauthorized) {
			t.Fatalf("Me() = %v, want ErrUnauthorized", err)
		}
	}
	var log requestLog
	d.Sim200("GET", "/sim/log", nil, &log)
	if log.Invalid != 2 {
		t.Errorf("%d requests were answered 401 or 403, want one each", log.Invalid)
	}
	if b, err := limiters[2].Budget(t.Context()); err != nil || b.Refused != 2 {
		t.Errorf("Budget() = %+v, %v, want 2 refused", b, err)
	}
}

// Headers that promise 1,000 where there are 5 are found out once, by one process, for all channels.
func TestLyingHeadersCostFewRefusals(t *testing.T) {
	t.Parallel()
	l := &limits5{used: map[string]int{}, until: map[string]time.Time{}, lies: true, window: 300 * time.Millisecond}
	f := newFake(t)
	for i := range 4 {
		f.on(fmt.Sprintf("GET /channels/%d/messages", i+1), l.ServeHTTP)
	}
	rests, _ := sharing(t, 3, f.URL, "secret")
	var wg sync.WaitGroup
	for _, r := range rests {
		for c := range 4 {
			wg.Go(func() {
				for range 8 {
					if _, err := r.Messages(t.Context(), discord.ChannelID(c+1), PageQuery{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.early > 12 {
		t.Errorf("%d of 96 requests came too early, want few", l.early)
	}
}

// Without Redis a process goes on with a part of the limit, and shares it again when Redis is back.
func TestRequestsGoOnWithoutRedis(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /users/3", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{"id":"3","username":"x"}`) })
	dead := redis.NewClient(&redis.Options{Network: "unix", Addr: t.TempDir() + "/none", MaxRetries: -1})
	defer dead.Close()
	l, err := NewSharedLimiter(SharedOptions{Redis: dead, Prefix: "x:", Token: "secret", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Token: "secret", URL: f.URL, HTTP: client(t), Limiter: l})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 {
		if _, err := b.rest.User(t.Context(), 3); err != nil {
			t.Errorf("User() = %v", err)
		}
	}
	// What a Redis that only hesitates has given out before must be used up first.
	if l.local.globalUntil.Before(began.Add(redisPause)) || l.local.global.Burst() != 1 {
		t.Errorf("without Redis requests go out %v after the start, %d at once; want one at a time, and none for %v",
			l.local.globalUntil.Sub(began), l.local.global.Burst(), redisPause)
	}
	if _, err := l.Budget(t.Context()); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Budget() = %v, want ErrUnavailable", err)
	}
	if got := float64(l.local.global.Limit()); got != sharedLimit/2 {
		t.Errorf("alone without Redis %v requests a second may go out, want half of %d", got, sharedLimit)
	}
}

// Of three processes two lose Redis and the third does not, and all push as hard as they can: no second has more than 50 requests.
func TestProcessesThatLoseRedisLeaveTheOthersTheirLimit(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{Rand: 7})
	owner := d.Person("owner")
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("c", i))
	}
	g := d.Guild("Harbour", owner, nil, names, nil)
	rests, limiters := sharing(t, 3, d.URL, d.Bot.Token)
	channel := func(n int) discord.ChannelID { return discord.ChannelID(mustID(g.Channel(names[n%len(names)]))) }
	for range 2 { // so that each has heard of all
		for i, r := range rests {
			if _, err := r.Channel(t.Context(), channel(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range limiters[1:] {
		l.redis.Close()
	}
	// Not a deadline: who waits for longer than that is refused at once.
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(6*time.Second, cancel).Stop()
	var wg sync.WaitGroup
	for p, r := range rests {
		for w := range 20 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i++ {
					if _, err := r.Channel(ctx, channel(i*7+p*13)); err != nil && ctx.Err() == nil {
						t.Errorf("process %d: %v", p, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	cancel()
	var log requestLog
	d.Sim200("GET", "/sim/log", nil, &log)
	if most := log.busiest(); most > discordLimit || log.Invalid > 0 {
		t.Errorf("%d requests in one second and %d refused, want at most %d and none", most, log.Invalid, discordLimit)
	}
	t.Logf("%d requests, at most %d in a second", len(log.Requests), log.busiest())
}

// All keys that a script touches are of one hash slot, expire, and begin with the prefix.
func TestKeysOfTheLimiterFitACluster(t *testing.T) {
	t.Parallel()
	c, prefix := testdb.Redis(t)
	f := newFake(t)
	f.on("GET /channels/9/messages", (&limits5{used: map[string]int{}, until: map[string]time.Time{}, window: time.Minute}).ServeHTTP)
	f.answer("GET /channels/8/messages", 403, `{"message":"no","code":50001}`)
	l, err := NewSharedLimiter(SharedOptions{Redis: c, Prefix: prefix, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Token: "secret", URL: f.URL, HTTP: client(t), Limiter: l})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.rest.Messages(t.Context(), 9, PageQuery{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.rest.Messages(t.Context(), 8, PageQuery{}); err == nil {
		t.Fatal("Messages() = nil, want ErrForbidden")
	}
	keys, err := c.Keys(t.Context(), prefix+"*").Result()
	if err != nil || len(keys) < 7 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, l.prefix) || strings.Count(k, "{") != 1 {
			t.Errorf("key %q has no hash tag", k)
		}
		if ttl := c.PTTL(t.Context(), k).Val(); ttl <= 0 {
			t.Errorf("key %q lives for ever", k)
		}
	}
}

// The Redis in this process that stands in where none is installed understands the scripts as well.
func TestTheLimiterWorksOnMiniredis(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	defer c.Close()
	f := newFake(t)
	five := &limits5{used: map[string]int{}, until: map[string]time.Time{}, window: 200 * time.Millisecond}
	f.on("GET /channels/9/messages", five.ServeHTTP)
	l, err := NewSharedLimiter(SharedOptions{Redis: c, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Token: "secret", URL: f.URL, HTTP: client(t), Limiter: l})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := b.rest.Messages(t.Context(), 9, PageQuery{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !l.shared() || five.early > 0 {
		t.Errorf("shared %v, %d too early; want the scripts to work", l.shared(), five.early)
	}
}

// Refusals that nothing foretold make a route slow for a while, not for long: a storm of them may have been chance.
func TestARefusalThatSaysNoLimitSlowsForAWhileOnly(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	server.SetTime(now)
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { c.Close() })
	l, err := NewSharedLimiter(SharedOptions{Redis: c, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	route := Route{Method: "GET", Path: "/channels/:major/messages", Major: "channels/1"}
	ok := Answer{Status: 200, Bucket: "b", Limit: 5, Remaining: 3, ResetAfter: 5 * time.Second}
	forward := func(d time.Duration) {
		now = now.Add(d)
		server.SetTime(now)
		server.FastForward(d)
	}
	// burst is how many requests may go out before one has to wait.
	burst := func() (n int) {
		forward(10 * time.Second)
		for {
			what, _, _, err := l.ask(t.Context(), route, "GET /channels/:major/messages", l.name("GET /channels/:major/messages"), fmt.Sprint(now, n))
			if err != nil {
				t.Fatal(err)
			}
			if what != "go" {
				return n
			}
			l.release(route, "GET /channels/:major/messages", "b", fmt.Sprint(now, n), 0, ok)
			n++
		}
	}
	refuse := func() {
		forward(10 * time.Second)
		release, err := l.Acquire(t.Context(), route)
		if err != nil {
			t.Fatal(err)
		}
		release(Answer{Status: 429, Bucket: "b", Remaining: -1, RetryAfter: 300 * time.Millisecond})
	}
	release, err := l.Acquire(t.Context(), route)
	if err != nil {
		t.Fatal(err)
	}
	release(ok)
	if n := burst(); n != 5 {
		t.Fatalf("%d at once, Discord says 5", n)
	}
	for range 3 {
		refuse()
	}
	if n := burst(); n != 1 {
		t.Errorf("%d at once right after refusals, want 1", n)
	}
	forward(30 * time.Second)
	if n := burst(); n != 5 {
		t.Errorf("%d at once half a minute later, want 5 again", n)
	}
	// Refused again right after the pause: the next pause is longer.
	refuse()
	forward(35 * time.Second)
	if n := burst(); n >= 5 {
		t.Errorf("%d at once in the middle of the second pause", n)
	}
	forward(30 * time.Second)
	if n := burst(); n != 5 {
		t.Errorf("%d at once after the second pause, want 5", n)
	}
}

// A request that was under way when Discord refused the token says nothing about the token any more: what goes out to see does.
func TestAnAnswerUnderWayDoesNotExcuseARefusedToken(t *testing.T) {
	t.Parallel()
	_, shared := sharing(t, 1, "http://127.0.0.1:1", "token")
	for name, l := range map[string]Limiter{"alone": NewLimiter(), "shared": shared[0]} {
		route := func(n int) Route { return Route{Method: "GET", Path: fmt.Sprint("/", name, n)} }
		slow, err := l.Acquire(t.Context(), route(1))
		if err != nil {
			t.Fatal(err)
		}
		refused, err := l.Acquire(t.Context(), route(2))
		if err != nil {
			t.Fatal(err)
		}
		refused(Answer{Status: http.StatusUnauthorized, Refused: true, Remaining: -1})
		slow(Answer{Status: http.StatusOK, Remaining: -1})
		if _, err := l.Acquire(t.Context(), route(3)); !errors.Is(err, tidings.ErrUnauthorized) {
			t.Errorf("%s: Acquire() = %v, want ErrUnauthorized", name, err)
		}
	}
}
