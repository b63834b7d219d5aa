package bot

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"tidings"
)

//go:embed limiter_acquire.lua
var acquireLua string

//go:embed limiter_release.lua
var releaseLua string

// SharedOptions says what a [SharedLimiter] needs.
type SharedOptions struct {
	Redis   redis.UniversalClient
	Prefix  string // of every key
	Token   string // the bot's; Discord's limits are a token's, so its hash is part of every key
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// SharedLimiter is a [Limiter] for all processes that share a Redis. What one of them learns about buckets, all know; what
// Discord has refused to one, none asks again. While Redis does not answer a process keeps to its part of what the others leave, should
// all of them still reach it; by the number of processes that were there last.
type SharedLimiter struct {
	redis   redis.UniversalClient
	prefix  string
	process string
	log     *slog.Logger
	acquire *redis.Script
	settle  *redis.Script
	local   *localLimiter

	// The last that Redis said, for [SharedLimiter.Budget] and metrics.
	processes, refusals, used atomic.Int64
	waited                    prometheus.Counter

	mu    sync.Mutex
	names map[string]string // method and path → what Discord calls the bucket
	turns map[string]*head
	away  time.Time // Redis is not asked before; zero while it answers
	lone  bool      // Redis did not answer last
	alone time.Time // when a request last went out that Redis knows nothing of
}

const (
	// discordLimit is how many requests a second Discord allows a bot.
	// Source: discord.com/developers/docs/topics/rate-limits#global-rate-limit.
	discordLimit = 50
	// sharedLimit is how many may fall into one second through Redis. The rest is for processes that do not reach it.
	sharedLimit = 44
	// sharedReserve of them are kept for requests for which somebody waits.
	sharedReserve = 12
	// slotLease is how long a request that was never answered keeps its place: longer than it can take.
	slotLease = requestTimeout + 5*time.Second
	// globalWindow is Discord's: so many requests in any second.
	globalWindow = time.Second
	// redisPatience bounds one question to Redis, and redisPause how soon it is asked again after a failure.
	redisPatience = 500 * time.Millisecond
	redisPause    = time.Second
)

// NewSharedLimiter returns a limiter that shares its state through Redis. It asks Redis nothing yet.
func NewSharedLimiter(o SharedOptions) (*SharedLimiter, error) {
	l := &SharedLimiter{
		redis: o.Redis, prefix: o.Prefix + "{rest:" + tokenHash(o.Token) + "}:", process: rand.Text(), log: o.Log,
		acquire: redis.NewScript(acquireLua), settle: redis.NewScript(releaseLua), local: newLocalLimiter(),
		names: map[string]string{}, turns: map[string]*head{},
		waited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_discord_limit_wait_seconds_total", Help: "Time that requests to Discord waited for rate limits.",
		}),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.processes.Store(1)
	if o.Metrics == nil {
		return l, nil
	}
	gauge := func(name, help string, of func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidings_discord_" + name, Help: help}, of)
	}
	for _, c := range []prometheus.Collector{
		l.waited,
		gauge("limit_used", "Places taken of the requests that Discord allows in a second, by all processes, as of the last request.", func() float64 { return float64(l.used.Load()) }),
		gauge("limit_places", "How many there are.", func() float64 { return sharedLimit }),
		gauge("limit_processes", "Processes that share the limits.", func() float64 { return float64(l.processes.Load()) }),
		gauge("refused_requests", "Answers of 401, 403 and 429 of all processes in ten minutes; Discord bans at 10,000, requests stop at 500.", func() float64 { return float64(l.refusals.Load()) }),
		gauge("limit_shared", "1 while the limits are shared through Redis, 0 while Redis is away.", func() float64 {
			if l.shared() {
				return 1
			}
			return 0
		}),
	} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("register the limiter's metrics: %w", err)
		}
	}
	return l, nil
}

// head lets one request of a bucket after the other ask Redis, so that those who wait do not all ask.
type head struct {
	free  chan struct{} // holds a token while nobody has the turn
	users int
}

// take waits for the turn of a key. back must be called.
func (l *SharedLimiter) take(ctx context.Context, key string) (back func(), err error) {
	l.mu.Lock()
	t := l.turns[key]
	if t == nil {
		t = &head{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		l.turns[key] = t
	}
	t.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(l.turns, key)
		}
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-timer.C:
		leave()
		return nil, &LimitError{After: maxWait, Why: "too many requests wait for Discord's rate limits"}
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// Acquire implements [Limiter].
func (l *SharedLimiter) Acquire(ctx context.Context, r Route) (func(Answer), error) {
	began := time.Now()
	defer func() { l.waited.Add(time.Since(began).Seconds()) }()
	route := r.Method + " " + r.Path
	back, err := l.take(ctx, fmt.Sprint(route, " ", r.Major, " ", r.Background))
	if err != nil {
		return nil, err
	}
	defer back()
	id := rand.Text()
	for {
		if !l.shared() {
			release, err := l.local.Acquire(ctx, r)
			if err != nil {
				return nil, err
			}
			l.unseen()
			return func(a Answer) { l.unseen(); release(a) }, nil
		}
		if err := l.again(ctx); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			l.lost(err)
			continue
		}
		// Redis counts nothing of what went out without it, so that second passes first.
		if wait := time.Until(l.lastUnseen().Add(globalWindow)); wait > 0 {
			if err := sleep(ctx, wait); err != nil {
				return nil, err
			}
			continue
		}
		name := l.name(route)
		what, called, wait, err := l.ask(ctx, r, route, name, id)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			l.lost(err)
			continue
		}
		switch what {
		case "go":
			begun := l.local.circuit.begun()
			return func(a Answer) { l.release(r, route, name, id, begun, a) }, nil
		case "name":
			l.rename(route, called)
			continue
		case "refused":
			return nil, errRefusedToken
		case "forbidden":
			return nil, errForbidden(r)
		case "invalid":
			return nil, &LimitError{After: wait, Why: "Discord has refused too many requests"}
		}
		if time.Since(began)+wait > maxWait {
			return nil, &LimitError{After: wait, Why: "Discord's rate limit of " + r.Method + " " + r.Path + " is used up"}
		}
		// Those who wait for the same place come one after the other.
		if err := sleep(ctx, wait+mrand.N(time.Millisecond*5)); err != nil {
			return nil, err
		}
	}
}

// ask asks Redis for a place.
func (l *SharedLimiter) ask(ctx context.Context, r Route, route, name, id string) (what, called string, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	background, brake := "0", invalidBrake
	if r.Background {
		background, brake = "1", backgroundBrake
	}
	said, err := l.acquire.Run(ctx, l.redis,
		[]string{
			l.prefix + "state", l.prefix + "global", l.prefix + "names", l.prefix + "processes", l.prefix + "invalid",
			l.refusedKey(r.Major), l.bucketKey("slots", r, route, name), l.bucketKey("bucket", r, route, name), l.ruleKey(route, name),
		},
		route, name, id, l.process, background, sharedLimit, sharedReserve, slotLease.Milliseconds(), brake, firstUnauthorized.Milliseconds(),
	).Slice()
	if err == nil && len(said) != 6 {
		err = errors.New("the answer has another shape")
	}
	if err != nil {
		return "", "", 0, err
	}
	what, _ = said[0].(string)
	called, _ = said[1].(string)
	number := func(i int) int64 { n, _ := said[i].(int64); return n }
	l.processes.Store(max(number(3), 1))
	if what != "name" {
		l.refusals.Store(number(4))
		l.used.Store(number(5))
	}
	return what, called, time.Duration(number(2)) * time.Millisecond, nil
}

// release tells Redis what the answer said. It happens although ctx may have ended: the others depend on it.
func (l *SharedLimiter) release(r Route, route, name, id string, begun int, a Answer) {
	l.local.circuit.note(r, a, begun)
	newName := cmp.Or(a.Bucket, name)
	if newName != name {
		l.rename(route, newName)
	}
	ctx, cancel := context.WithTimeout(context.Background(), redisPatience)
	defer cancel()
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	err := l.settle.Run(ctx, l.redis,
		[]string{
			l.prefix + "state", l.prefix + "global", l.prefix + "names", l.prefix + "invalid", l.refusedKey(r.Major),
			l.bucketKey("slots", r, route, name), l.bucketKey("slots", r, route, newName), l.bucketKey("bucket", r, route, newName), l.ruleKey(route, newName),
		},
		route, name, newName, id, a.Status, a.Limit, a.Remaining, a.ResetAfter.Milliseconds(), a.RetryAfter.Milliseconds(),
		flag(a.Global), flag(a.Shared), flag(a.Refused), flag(r.Method == http.MethodGet && r.Major != ""),
	).Err()
	if err != nil {
		l.lost(err)
	}
}

func (l *SharedLimiter) refusedKey(major string) string { return l.prefix + "refused:" + major }

// bucketKey is a key of what Discord counts together: by its own name for the bucket once that is known.
func (l *SharedLimiter) bucketKey(kind string, r Route, route, name string) string {
	if name == "" {
		return l.prefix + kind + ":" + route + " " + r.Major
	}
	return l.prefix + kind + ":" + r.Method + " " + name + " " + r.Major
}

// ruleKey is a key of what holds for all of a bucket's majors.
func (l *SharedLimiter) ruleKey(route, name string) string {
	return l.prefix + "rule:" + cmp.Or(name, route)
}

func (l *SharedLimiter) name(route string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[route]
}

func (l *SharedLimiter) rename(route, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) >= maxBuckets {
		clear(l.names)
	}
	l.names[route] = name
}

// shared reports whether Redis is asked.
func (l *SharedLimiter) shared() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.away)
}

// again asks Redis whether it is back, where it did not answer last.
func (l *SharedLimiter) again(ctx context.Context) error {
	l.mu.Lock()
	lone := l.lone
	l.mu.Unlock()
	if !lone {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := l.redis.Ping(ctx).Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lone = false
	return nil
}

// unseen notes that a request goes out, or came back, of which Redis knows nothing.
func (l *SharedLimiter) unseen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alone = time.Now()
}

func (l *SharedLimiter) lastUnseen() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alone
}

// lonely is how many requests a second a process may send while it does not reach Redis, of so many that were there last. One that was
// alone has half the limit, for another may be started meanwhile. Otherwise one of the others at least may reach Redis, and use all
// there is, and of the rest each has its part; at a rate of n there are up to n+1 in a second. From eight processes on the lowest
// rate is more than that leaves.
func lonely(processes int64) float64 {
	if processes <= 1 {
		return sharedLimit / 2
	}
	return max(float64(discordLimit-sharedLimit)/float64(processes-1)-1, 0.2)
}

// lost notes that Redis did not answer.
func (l *SharedLimiter) lost(err error) {
	share := lonely(l.processes.Load())
	l.mu.Lock()
	since := time.Since(l.away)
	l.away = time.Now().Add(redisPause)
	fell := !l.lone
	l.lone = true
	l.mu.Unlock()
	if fell {
		// What went out by Redis' leave in this second counts as well.
		l.local.hold(globalWindow)
	}
	l.local.pace(share, 1)
	if since > 10*redisPause {
		l.log.Warn("Redis does not answer; this process keeps to its part of Discord's rate limit", "per_second", share, "err", err)
	}
}

func (l *SharedLimiter) forgive(ctx context.Context, majors []string) {
	l.local.circuit.forgive(majors)
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, m := range majors {
			p.Del(ctx, l.refusedKey(m))
		}
		return nil
	})
	if err != nil {
		l.log.Debug("what was forgiven could not be told to the others", "err", err)
	}
}

// Budget is how much of what Discord allows is used, for the status page.
type Budget struct {
	Shared    bool `json:"shared"`    // false while Redis is away, or without one
	Processes int  `json:"processes"` // that share it
	Used      int  `json:"used"`      // places in the current second, of Places
	Places    int  `json:"places"`
	Refused   int  `json:"refused"` // answers of 401, 403 and 429 in ten minutes
	Brake     int  `json:"brake"`   // where requests stop; Discord bans at 10,000
}

// Budget asks Redis how much is used now, by all processes.
func (l *SharedLimiter) Budget(ctx context.Context) (Budget, error) {
	b := Budget{Shared: l.shared(), Processes: int(l.processes.Load()), Places: sharedLimit, Brake: invalidBrake}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	now, err := l.redis.Time(ctx).Result()
	if err != nil {
		return b, fmt.Errorf("%w: read the budget: %w", tidings.ErrUnavailable, err)
	}
	var used, processes *redis.IntCmd
	var minutes *redis.MapStringStringCmd
	_, err = l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		used = p.ZCount(ctx, l.prefix+"global", fmt.Sprint(now.UnixMilli()), "+inf")
		processes = p.ZCount(ctx, l.prefix+"processes", fmt.Sprint(now.UnixMilli()-60_000), "+inf")
		minutes = p.HGetAll(ctx, l.prefix+"invalid")
		return nil
	})
	if err != nil {
		return b, fmt.Errorf("%w: read the budget: %w", tidings.ErrUnavailable, err)
	}
	b.Used, b.Processes = int(used.Val()), int(processes.Val())
	for minute, n := range minutes.Val() {
		var m, count int
		fmt.Sscan(minute, &m)
		fmt.Sscan(n, &count)
		if int64(m) > now.Unix()/60-11 {
			b.Refused += count
		}
	}
	return b, nil
}
