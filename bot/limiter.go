package bot

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tidings"
)

// Limiter decides when a request may go out. There is one for this process; one that processes share can stand in for it.
type Limiter interface {
	// Acquire waits until a request of the route may be sent. It fails with a *LimitError when that would take too long.
	// Otherwise release must be called once, with what the response said; the zero Answer when there was none.
	Acquire(ctx context.Context, r Route) (release func(Answer), err error)
}

// Route is what Discord limits together as far as a client can tell before it has been answered.
// Source: discord.com/developers/docs/topics/rate-limits.
type Route struct {
	Method string
	Path   string // with :id for every id that does not count by itself
	Major  string // the guild, channel or webhook that does, such as "channels/123"; "" for none
	// Background marks a request for which nobody waits; see [Background].
	Background bool
}

// Answer is what a response says about limits.
type Answer struct {
	Status     int // 0 without a response
	Bucket     string
	Limit      int // 0 when not said
	Remaining  int // -1 when not said
	ResetAfter time.Duration
	RetryAfter time.Duration // of a 429; always above 0 then
	Global     bool          // the 429 is about everything this bot does
	Shared     bool          // others' requests caused the 429; it is not held against us
	Refused    bool          // the 401 is about our own token
}

// LimitError says that a request was not sent, or not answered, because of limits. It is [tidings.ErrUnavailable].
type LimitError struct {
	After time.Duration // when to try again
	Why   string
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s; try again in %s", e.Why, e.After.Round(time.Millisecond))
}

// Is makes it [tidings.ErrUnavailable].
func (e *LimitError) Is(target error) bool { return target == tidings.ErrUnavailable }

const (
	// maxWait is how long a request stands in line before its caller is told to come back.
	maxWait = time.Minute
	// maxRetryAfter bounds what an answer can make us wait; longer ones are asked again after it.
	maxRetryAfter = time.Hour
	// globalRate and globalBurst keep any second below Discord's 50 requests.
	globalRate  = 44
	globalBurst = 5
	// backgroundShare is how much of it requests may use for which nobody waits.
	backgroundShare = 0.75
	maxBuckets      = 10_000
	// maxSpacing bounds how slowly a route is asked whose headers promise more than Discord gives.
	maxSpacing = 5 * time.Second
)

// localLimiter is a [Limiter] for one process.
type localLimiter struct {
	global     *rate.Limiter
	background *rate.Limiter // that those go through first for which nobody waits
	circuit    *circuit
	now        func() time.Time

	mu          sync.Mutex
	globalUntil time.Time
	hashes      map[string]string // method and path → bucket name
	buckets     map[string]*bucket
}

type bucket struct {
	known     bool // an answer has named limits
	limit     int
	remaining int
	reset     time.Time
	window    time.Duration
	until     time.Time // a 429 holds everything until then
	inFlight  int
	spacing   time.Duration // between requests, learnt from 429s that the headers did not foretell
	next      time.Time
	good      int // answers since spacing last changed
	changed   chan struct{}
}

// NewLimiter returns a limiter for one process.
func NewLimiter() Limiter { return newLocalLimiter() }

func newLocalLimiter() *localLimiter {
	l := &localLimiter{
		global: rate.NewLimiter(globalRate, globalBurst), background: rate.NewLimiter(globalRate, 1), circuit: newCircuit(time.Now), now: time.Now,
		hashes: map[string]string{}, buckets: map[string]*bucket{},
	}
	l.pace(globalRate, globalBurst)
	return l
}

// pace sets how many requests a second may go out, and how many of them at once.
func (l *localLimiter) pace(perSecond float64, burst int) {
	l.global.SetLimit(rate.Limit(perSecond))
	l.global.SetBurst(burst)
	l.background.SetLimit(rate.Limit(perSecond * backgroundShare))
}

// hold lets nothing go out for a while.
func (l *localLimiter) hold(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.now().Add(d); until.After(l.globalUntil) {
		l.globalUntil = until
	}
}

func (l *localLimiter) forgive(_ context.Context, majors []string) { l.circuit.forgive(majors) }

// Acquire implements [Limiter].
func (l *localLimiter) Acquire(ctx context.Context, r Route) (func(Answer), error) {
	if err := l.circuit.check(r); err != nil {
		return nil, err
	}
	begun := l.circuit.begun()
	waited := time.Duration(0)
	var b *bucket
	for {
		l.mu.Lock()
		now := l.now()
		b = l.bucket(r) // Looked up each time: an answer may have told its name.
		wait := b.admit(now)
		if left := l.globalUntil.Sub(now); left > wait {
			wait = left
		}
		if wait <= 0 {
			b.inFlight++
			b.remaining--
			b.next = now.Add(b.spacing)
			l.mu.Unlock()
			break
		}
		changed := b.changed
		l.mu.Unlock()
		if wait != untilChanged && waited+wait > maxWait {
			return nil, &LimitError{After: wait, Why: "Discord's rate limit of " + r.Method + " " + r.Path + " is used up"}
		}
		began := l.now()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
		waited += l.now().Sub(began)
	}
	if r.Background {
		if err := l.background.Wait(ctx); err != nil {
			l.release(b, r, Answer{})
			return nil, err
		}
	}
	if err := l.global.Wait(ctx); err != nil {
		l.release(b, r, Answer{})
		return nil, err
	}
	return func(a Answer) {
		l.circuit.note(r, a, begun)
		l.release(b, r, a)
	}, nil
}

// untilChanged stands for waiting until another request of the bucket is answered.
const untilChanged = time.Duration(math.MaxInt64)

// admit returns how long a request has to wait.
func (b *bucket) admit(now time.Time) time.Duration {
	if wait := b.until.Sub(now); wait > 0 {
		return wait
	}
	if !b.known {
		if b.inFlight > 0 {
			return untilChanged // The first answer tells how many may go at once.
		}
		return 0
	}
	if b.limit > 0 {
		if !now.Before(b.reset) {
			b.remaining = max(b.limit-b.inFlight, 0)
			b.reset = now.Add(b.window)
			if b.remaining == 0 {
				return untilChanged
			}
		}
		if b.remaining <= 0 {
			return max(b.reset.Sub(now), time.Millisecond)
		}
	}
	return b.next.Sub(now)
}

// release takes in an answer. Whoever waits looks again.
func (l *localLimiter) release(b *bucket, r Route, a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b.inFlight--
	close(b.changed)
	b.changed = make(chan struct{})
	if a.Status == 0 {
		return
	}
	if a.Bucket != "" && l.hashes[r.Method+" "+r.Path] != a.Bucket {
		if len(l.hashes) >= maxBuckets {
			clear(l.hashes)
		}
		l.hashes[r.Method+" "+r.Path] = a.Bucket
		b = l.bucket(r)
	}
	foretold := b.known && b.remaining <= 0
	b.known = true
	if a.Limit > 0 && a.Remaining >= 0 {
		reset := now.Add(a.ResetAfter)
		if b.limit == 0 || reset.After(b.reset.Add(500*time.Millisecond)) {
			b.remaining = a.Remaining - b.inFlight
		} else {
			b.remaining = min(b.remaining, a.Remaining)
		}
		b.limit, b.reset, b.window = a.Limit, reset, max(a.ResetAfter, b.window/2)
	}
	if a.Status != http.StatusTooManyRequests {
		if b.good++; b.good >= 50 {
			b.good, b.spacing = 0, b.spacing/2
			if b.spacing < 50*time.Millisecond {
				b.spacing = 0
			}
		}
		return
	}
	if a.Global {
		if until := now.Add(a.RetryAfter); until.After(l.globalUntil) {
			l.globalUntil = until
		}
		return
	}
	b.until, b.good = now.Add(a.RetryAfter), 0
	if !foretold && !a.Shared {
		b.spacing = min(max(2*b.spacing, 250*time.Millisecond), maxSpacing)
	}
}

// bucket finds what a route's requests are counted in: by Discord's name for it once an answer has told that.
func (l *localLimiter) bucket(r Route) *bucket {
	unnamed := r.Method + " " + r.Path + " " + r.Major
	key := unnamed
	if hash := l.hashes[r.Method+" "+r.Path]; hash != "" {
		key = r.Method + " " + hash + " " + r.Major
	}
	if b := l.buckets[key]; b != nil {
		return b
	}
	if b := l.buckets[unnamed]; b != nil {
		// What is in flight or waits stays with it.
		delete(l.buckets, unnamed)
		l.buckets[key] = b
		return b
	}
	if len(l.buckets) >= maxBuckets {
		now := l.now()
		for k, old := range l.buckets {
			if old.inFlight == 0 && now.After(old.until) && now.After(old.reset) {
				delete(l.buckets, k)
			}
		}
	}
	b := &bucket{changed: make(chan struct{})}
	l.buckets[key] = b
	return b
}

// routeOf names the route of an API path such as /channels/123/messages.
func routeOf(method, path string) Route {
	r := Route{Method: method}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 64); err != nil {
			continue
		}
		if i == 1 && (parts[0] == "channels" || parts[0] == "guilds" || parts[0] == "webhooks") {
			r.Major = parts[0] + "/" + p
			parts[i] = ":major"
			continue
		}
		parts[i] = ":id"
	}
	r.Path = "/" + strings.Join(parts, "/")
	return r
}
