package sim

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limits are Discord's rate limits. People's own calls are not limited: they are what happens, not what is tested.
type limits struct {
	buckets map[string]*bucket
	// global is the second in which calls were counted last, by who called.
	global map[ID]*bucket
	// invalid counts 401, 403 and 429 in the current ten minutes.
	invalid     int
	invalidFrom time.Time
}

func newLimits() *limits { return &limits{buckets: map[string]*bucket{}, global: map[ID]*bucket{}} }

// bucket is a window of time with a number of calls in it.
type bucket struct {
	used  int
	reset time.Time
}

func (b *bucket) take(now time.Time, window time.Duration) int {
	if !now.Before(b.reset) {
		b.used, b.reset = 0, now.Add(window)
	}
	b.used++
	return b.used
}

const (
	globalLimit  = 50
	invalidLimit = 10_000
)

// rule is a bucket's size: limit calls in window.
type rule struct {
	limit  int
	window time.Duration
}

// rules are the limits by call. Discord publishes none; these are what clients have seen.
var rules = map[string]rule{
	"GET /channels/{channel_id}/messages":                                                  {5, 5 * time.Second},
	"GET /channels/{channel_id}/messages/{message_id}":                                     {5, 5 * time.Second},
	"POST /channels/{channel_id}/messages":                                                 {5, 5 * time.Second},
	"PATCH /channels/{channel_id}/messages/{message_id}":                                   {5, 5 * time.Second},
	"DELETE /channels/{channel_id}/messages/{message_id}":                                  {5, time.Second},
	"POST /channels/{channel_id}/messages/bulk-delete":                                     {1, 3 * time.Second},
	"PUT /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me":          {1, 250 * time.Millisecond},
	"DELETE /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/{user_id}": {1, 250 * time.Millisecond},
	"GET /users/@me/guilds":                                                                {2, 2 * time.Second},
	"GET /guilds/{guild_id}/members":                                                       {10, 10 * time.Second},
	"GET /guilds/{guild_id}/messages/search":                                               {5, 5 * time.Second},
	"PATCH /guilds/{guild_id}/members/{user_id}":                                           {10, 10 * time.Second},
	"POST /webhooks/{webhook_id}/{webhook_token}":                                          {5, 2 * time.Second},
}

var usual = rule{30, 10 * time.Second}

// bucketOf is the name of a call's bucket as the header gives it. It does not name the resource.
func bucketOf(method, route string) string {
	sum := md5.Sum([]byte(method + " " + route))
	return hex.EncodeToString(sum[:])
}

// major is what a bucket is counted for: the channel, guild or webhook of the path.
func (c *call) major() string {
	for _, k := range []string{"channel_id", "guild_id", "webhook_id"} {
		if v := c.r.PathValue(k); v != "" {
			return v + c.r.PathValue("webhook_token")
		}
	}
	return ""
}

// tooMany is Discord's 429.
func tooMany(wait float64, scope, bucket string) *apiError {
	e := fail(http.StatusTooManyRequests, 0, "You are being rate limited.")
	e.Body = map[string]any{"message": e.Message, "code": 0, "retry_after": math.Round(wait*1000) / 1000, "global": scope == "global"}
	e.Header = map[string]string{"Retry-After": strconv.Itoa(int(math.Ceil(wait))), "X-RateLimit-Scope": scope}
	if scope == "global" {
		e.Header["X-RateLimit-Global"] = "true"
	} else {
		e.Header["X-RateLimit-Bucket"] = bucket
	}
	return e
}

// limited says whether limits hold for the caller.
func (c *call) limited() bool { return c.user == nil || c.user.Bot || c.grant != nil }

// before is what stands between a call and its handler: faults, and limits.
func (s *Sim) before(c *call, method string) (error, time.Duration) {
	c.method = method
	now := s.now()
	if c.limited() && !s.o.NoRateLimits {
		if s.limits.invalid >= invalidLimit && now.Sub(s.limits.invalidFrom) < 10*time.Minute {
			e := fail(http.StatusTooManyRequests, 0, "banned")
			e.Body = plain("error code: 1015")
			e.Header = map[string]string{"Retry-After": "600", "X-Sim-Fault": "banned"}
			return e, 0
		}
	}
	if len(s.faults) > 0 {
		if err, delay := s.afflict(c, method); err != nil || delay > 0 {
			return err, delay
		}
	}
	if c.user == nil || !c.limited() || c.route == "/" {
		return nil, 0
	}
	name := bucketOf(method, c.route)
	ru, ok := rules[method+" "+c.route]
	if !ok {
		ru = usual
	}
	who := c.user.ID.String()
	if c.grant != nil {
		who = c.grant.Access
	}
	key := name + ":" + c.major() + ":" + who
	b := s.limits.buckets[key]
	if b == nil {
		b = &bucket{}
		s.limits.buckets[key] = b
	}
	c.rule, c.bucket = ru, b
	if s.o.NoRateLimits {
		b.take(now, ru.window)
		b.used = min(b.used, ru.limit)
		return nil, 0
	}
	g := s.limits.global[c.user.ID]
	if g == nil {
		g = &bucket{}
		s.limits.global[c.user.ID] = g
	}
	if g.take(now, time.Second) > globalLimit {
		c.bucket = nil
		return tooMany(g.reset.Sub(now).Seconds(), "global", ""), 0
	}
	if b.take(now, ru.window) > ru.limit {
		return tooMany(b.reset.Sub(now).Seconds(), "user", name), 0
	}
	return nil, 0
}

// after adds the limit headers to an answer, counts invalid requests and writes the log. It says whether a fault cuts
// the body short.
func (s *Sim) after(c *call, h http.Header, status int) (cut bool) {
	now := s.now()
	if b := c.bucket; b != nil {
		remaining := max(0, c.rule.limit-b.used)
		limit := c.rule.limit
		if status < 400 && len(s.faults) > 0 && s.strike("lying_headers", func(f *fault) bool { return f.onCall(c, c.method) }) != nil {
			limit, remaining = 1000, 999
		}
		h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
		h.Set("X-RateLimit-Reset", fmt.Sprintf("%.3f", float64(b.reset.UnixMilli())/1000))
		h.Set("X-RateLimit-Reset-After", fmt.Sprintf("%.3f", max(0, b.reset.Sub(now).Seconds())))
		h.Set("X-RateLimit-Bucket", bucketOf(c.method, c.route))
	}
	if c.limited() && (status == 401 || status == 403 || status == 429 && h.Get("X-RateLimit-Scope") != "shared") {
		if now.Sub(s.limits.invalidFrom) >= 10*time.Minute {
			s.limits.invalid, s.limits.invalidFrom = 0, now
		}
		s.limits.invalid++
		s.record.InvalidRequests++
	}
	l := logged{At: now, Method: c.r.Method, Route: c.route, Status: status, Query: c.r.URL.RawQuery, Bucket: bucketOf(c.r.Method, c.route)[:12]}
	if m := c.major(); m != "" {
		l.Bucket += ":" + m
	}
	switch {
	case c.grant != nil:
		l.Who = "bearer"
	case c.user != nil && c.user.Bot:
		l.Who = "bot"
		if !strings.HasPrefix(c.r.UserAgent(), "DiscordBot (") {
			s.record.BadUserAgents++
		}
	case c.user != nil:
		l.Who = "user"
	}
	s.note(l)
	return len(s.faults) > 0 && s.strike("truncate", func(f *fault) bool { return f.onCall(c, c.method) }) != nil
}

// forget drops buckets whose window is over, so that they do not pile up.
func (l *limits) forget(now time.Time) {
	for k, b := range l.buckets {
		if now.After(b.reset) {
			delete(l.buckets, k)
		}
	}
}
