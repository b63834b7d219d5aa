package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

const (
	requestTimeout = 30 * time.Second // of one attempt, its body read
	maxBody        = 32 << 20
	maxRequestBody = 1 << 20
	maxTries       = 5
	// invalidBrake stops requests long before Discord would ban the address: at 10,000 answers of 401, 403 or 429 in ten
	// minutes. Source: discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans.
	invalidBrake = 500
	// backgroundBrake stops those first for which nobody waits.
	backgroundBrake = 200
)

// transport is the way to Discord's REST API for all of a bot's requests. It rewrites the address, waits for limits, tries
// again what may succeed, and stops when trying again would do harm.
type transport struct {
	base    *url.URL // without /api/v10
	next    http.RoundTripper
	limiter Limiter
	log     *slog.Logger
	metrics *metrics
	retry   time.Duration // the first wait after a failure of Discord's

	// trips says that a 401 is about our own token, after which nothing is asked for a while.
	trips   bool
	refused atomic.Bool // whether that was said
	invalid *invalidCount
	banned  atomic.Int32 // answers of Cloudflare in a row
	ahead   atomic.Int64 // by how much Discord's clock is ahead of ours, in nanoseconds; 0 when that cannot be told from the way
}

func newTransport(base *url.URL, c *http.Client, l Limiter, m *metrics, log *slog.Logger) *transport {
	if l == nil {
		l = NewLimiter()
	}
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &transport{base: base, next: next, limiter: l, log: log, metrics: m, retry: 500 * time.Millisecond, invalid: &invalidCount{now: time.Now}}
}

// RoundTrip implements http.RoundTripper. The path of r begins with /api/vN, whose version is ours to choose.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		if len(body) > maxRequestBody {
			return nil, fmt.Errorf("%w request: body above %d bytes", tidings.ErrInvalid, maxRequestBody)
		}
	}
	path := apiPath(r.URL.Path)
	route := routeOf(r.Method, path)
	route.Background = isBackground(ctx)
	brake := invalidBrake
	if route.Background {
		brake = backgroundBrake
	}
	for try := 0; ; try++ {
		if wait := t.invalid.waitBelow(brake); wait > 0 {
			return nil, &LimitError{After: wait, Why: "Discord has refused too many requests"}
		}
		release, err := t.limiter.Acquire(ctx, route)
		if err != nil {
			return nil, err
		}
		resp, err := t.once(ctx, r, path, body)
		answer := Answer{Remaining: -1}
		if err == nil {
			answer = t.answer(resp)
			answer.Refused = t.trips && answer.Status == http.StatusUnauthorized
		}
		release(answer)
		t.metrics.requests.WithLabelValues(method(r.Method), outcome(answer.Status)).Inc()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// A POST that was done although its answer was lost would be done twice.
		last := try >= maxTries-1 || t.trips && r.Method == http.MethodPost
		switch {
		case err != nil:
			if last {
				return nil, fmt.Errorf("%w: Discord does not answer: %w", tidings.ErrUnavailable, err)
			}
		case answer.Status == http.StatusTooManyRequests:
			if !answer.Shared {
				t.invalid.add()
			}
			t.log.Debug("rate limited", "route", route.Path, "after", answer.RetryAfter, "global", answer.Global, "shared", answer.Shared)
			if try >= maxTries-1 || answer.RetryAfter > maxWait {
				return nil, &LimitError{After: answer.RetryAfter, Why: "Discord's rate limit of " + route.Method + " " + route.Path + " is used up"}
			}
			continue // The limiter waits.
		case answer.Status == http.StatusUnauthorized:
			t.invalid.add()
			if t.trips && !t.refused.Swap(true) {
				t.log.Error("Discord refuses the bot token; it is only asked now and then until the token is replaced", "portal", portal)
			}
			return resp, nil
		case answer.Status >= 500:
			if last {
				return resp, nil
			}
		default:
			if answer.Status == http.StatusForbidden {
				t.invalid.add()
			}
			if answer.Status < 400 && t.refused.Swap(false) {
				t.log.Info("Discord takes the bot token again")
			}
			return resp, nil
		}
		wait := t.retry << try
		if err := sleep(ctx, wait/2+rand.N(wait)); err != nil {
			return nil, err
		}
	}
}

// once sends one request and reads the whole answer, so that nothing is left open.
func (t *transport) once(ctx context.Context, r *http.Request, path string, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	q := r.Clone(ctx)
	u := *t.base
	u.Path = strings.TrimRight(u.Path, "/") + "/api/v10" + path
	u.RawQuery = r.URL.RawQuery
	q.URL, q.Host = &u, u.Host
	q.Header.Set("User-Agent", UserAgent)
	if body != nil {
		q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	began := time.Now()
	resp, err := t.next.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	t.compare(resp, began, time.Now())
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(b) > maxBody {
		return nil, fmt.Errorf("an answer above %d bytes", maxBody)
	}
	if resp.StatusCode < 300 && len(b) > 0 && !json.Valid(b) {
		return nil, errors.New("an answer that is not JSON, or was cut")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// compare holds Discord's clock against ours. Its header has whole seconds, and the answer was on its way: a difference within that
// says nothing.
func (t *transport) compare(resp *http.Response, began, ended time.Time) {
	said, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	ahead := time.Duration(0)
	switch {
	case said.Add(time.Second).Before(began):
		ahead = said.Add(time.Second).Sub(began)
	case said.After(ended):
		ahead = said.Sub(ended)
	}
	t.ahead.Store(int64(ahead))
}

// answer reads what a response says about limits. Its body stays readable.
func (t *transport) answer(resp *http.Response) Answer {
	h := resp.Header
	a := Answer{Status: resp.StatusCode, Bucket: h.Get("X-RateLimit-Bucket"), Remaining: -1}
	if n, err := strconv.Atoi(h.Get("X-RateLimit-Limit")); err == nil && n > 0 {
		a.Limit = n
	}
	if n, err := strconv.Atoi(h.Get("X-RateLimit-Remaining")); err == nil && n >= 0 {
		a.Remaining = n
	}
	a.ResetAfter = seconds(h.Get("X-RateLimit-Reset-After"))
	if resp.StatusCode != http.StatusTooManyRequests {
		if resp.StatusCode < 500 {
			t.banned.Store(0)
		}
		return a
	}
	a.Global = strings.EqualFold(h.Get("X-RateLimit-Global"), "true") || h.Get("X-RateLimit-Scope") == "global"
	a.Shared = h.Get("X-RateLimit-Scope") == "shared"
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var said struct {
		RetryAfter json.Number `json:"retry_after"`
		Global     bool        `json:"global"`
	}
	isJSON := json.Unmarshal(body, &said) == nil
	a.Global = a.Global || said.Global
	// Whichever says longer is believed: a proxy may have rounded one of them down.
	a.RetryAfter = max(seconds(h.Get("Retry-After")), seconds(said.RetryAfter.String()))
	if !isJSON {
		// Not Discord but Cloudflare in front of it, such as "error code: 1015": it is about the address, whatever the route.
		n := t.banned.Add(1)
		a.Global, a.Shared = true, false
		a.RetryAfter = max(a.RetryAfter, min(5*time.Second<<min(n-1, 10), 15*time.Minute))
	} else {
		t.banned.Store(0)
	}
	if a.RetryAfter <= 0 {
		a.RetryAfter = max(a.ResetAfter, time.Second)
	}
	return a
}

// seconds reads a number of seconds, fractions too; 0 for anything else. It is bounded and rounded up a little, because a
// request that comes a millisecond early counts.
func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	if f >= maxRetryAfter.Seconds() {
		return maxRetryAfter
	}
	return time.Duration(f*float64(time.Second)) + 5*time.Millisecond
}

// apiPath cuts /api/vN off; arikawa puts its own version there.
func apiPath(p string) string {
	rest, ok := strings.CutPrefix(p, "/api/v")
	if !ok {
		return p
	}
	_, rest, ok = strings.Cut(rest, "/")
	if !ok {
		return "/"
	}
	return "/" + strings.TrimLeft(rest, "/")
}

func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return m
	}
	return "other"
}

func outcome(status int) string {
	switch {
	case status == 0:
		return "no_answer"
	case status < 300:
		return "ok"
	case status == http.StatusTooManyRequests:
		return "limited"
	case status < 500:
		return "refused"
	}
	return "failed"
}

// invalidCount counts refused requests of the last ten minutes, in slots of ten seconds.
type invalidCount struct {
	now   func() time.Time
	mu    sync.Mutex
	slots [60]int
	slot  int64
	total int
}

func (c *invalidCount) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	c.slots[c.slot%int64(len(c.slots))]++
	c.total++
}

// wait returns how long no request may be made: 0 while there have been few refusals.
func (c *invalidCount) wait() time.Duration { return c.waitBelow(invalidBrake) }

// waitBelow returns how long there will have been as many refusals.
func (c *invalidCount) waitBelow(brake int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if c.total < brake {
		return 0
	}
	// Until enough slots have fallen out of the window.
	left := c.total
	for i := int64(1); i <= int64(len(c.slots)); i++ {
		left -= c.slots[(c.slot+i)%int64(len(c.slots))]
		if left < brake {
			return time.Duration(i) * 10 * time.Second
		}
	}
	return 10 * time.Minute
}

func (c *invalidCount) turn() {
	slot := c.now().Unix() / 10
	if slot-c.slot >= int64(len(c.slots)) {
		clear(c.slots[:])
		c.slot, c.total = slot, 0
		return
	}
	for c.slot < slot {
		c.slot++
		i := c.slot % int64(len(c.slots))
		c.total -= c.slots[i]
		c.slots[i] = 0
	}
}

// APIError is an answer of Discord's that says no.
type APIError struct {
	Status  int
	Code    int // Discord's error code, such as 10008 Unknown Message; 0 for none
	Message string
}

// Error implements error.
func (e *APIError) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("Discord answers %d (%d %s)", e.Status, e.Code, e.Message)
	}
	return fmt.Sprintf("Discord answers %d %s", e.Status, e.Message)
}

// Unwrap makes it one of the sentinels.
func (e *APIError) Unwrap() error {
	switch {
	case e.Status == http.StatusUnauthorized:
		return tidings.ErrUnauthorized
	case e.Status == http.StatusForbidden:
		return tidings.ErrForbidden
	case e.Status == http.StatusNotFound:
		return tidings.ErrNotFound
	case e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return tidings.ErrUnavailable
	}
	return tidings.ErrInvalid
}

// Code returns Discord's own error code in err, such as 10008 Unknown Message; 0 for none.
func Code(err error) int {
	var e *APIError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
