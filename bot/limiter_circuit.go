package bot

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// backgroundKey is the context key that marks requests for which nobody waits.
type backgroundKey struct{}

// Background marks the requests that are made with ctx as ones for which nobody waits, such as a backfill's. They leave a part
// of the rate limit to those for which somebody does, and stop first when Discord has refused much.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

func isBackground(ctx context.Context) bool {
	b, _ := ctx.Value(backgroundKey{}).(bool)
	return b
}

const (
	// firstRefusal is how long a route of a channel is let alone after its first 403; each further one makes it four times as
	// long, up to lastRefusal. Short at first, because a permission may be given while a server is being set up.
	firstRefusal = 15 * time.Second
	lastRefusal  = 6 * time.Hour
	// firstUnauthorized is how long nothing is asked after a 401; it doubles, up to lastUnauthorized.
	firstUnauthorized = time.Minute
	lastUnauthorized  = time.Hour
	// maxRefusals bounds what is remembered; beyond it a refusal costs one more request.
	maxRefusals = 10_000
)

// refusal is something that Discord says no to, and until when it is not asked again.
type refusal struct {
	until time.Time
	n     int
}

// again notes one more no.
func (r *refusal) again(now time.Time, first, factor, last time.Duration) {
	wait := first
	for range min(r.n, 20) {
		wait = min(wait*factor, last)
	}
	r.n++
	r.until = now.Add(wait)
}

// circuit keeps requests back that would be refused as those before them were: all of them after a 401, and reads of a
// channel or guild that answered 403. After a while one goes out to see.
type circuit struct {
	now func() time.Time

	mu           sync.Mutex
	unauthorized refusal
	refusals     int                            // of the token, ever
	forbidden    map[string]map[string]*refusal // major → method and path
	size         int
}

func newCircuit(now func() time.Time) *circuit {
	return &circuit{now: now, forbidden: map[string]map[string]*refusal{}}
}

// check returns the error that a request would get.
func (c *circuit) check(r Route) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if u := &c.unauthorized; u.n > 0 {
		if now.Before(u.until) {
			return errRefusedToken
		}
		u.until = now.Add(firstUnauthorized) // This one goes to see; others wait for it.
	}
	if f := c.forbidden[r.Major][r.Method+" "+r.Path]; f != nil {
		if now.Before(f.until) {
			return errForbidden(r)
		}
		f.until = now.Add(firstRefusal)
	}
	return nil
}

var errRefusedToken = fmt.Errorf("not asked again after 401: %w", tidings.ErrUnauthorized)

// errForbidden stands for the 403 that Discord gave before.
func errForbidden(r Route) error {
	return &APIError{Status: http.StatusForbidden, Code: 50001, Message: "Missing Access; not asked again yet: " + r.Major}
}

// begun is how often the token had been refused when a request began, for note.
func (c *circuit) begun() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusals
}

// note takes in the answer to a request that began when the token had been refused so often. One that was under way when the
// token was refused says nothing about it any more.
func (c *circuit) note(r Route, a Answer, begun int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	switch {
	case a.Refused:
		c.refusals++
		c.unauthorized.again(now, firstUnauthorized, 2, lastUnauthorized)
	case a.Status > 0 && a.Status < 400 && begun == c.refusals:
		c.unauthorized = refusal{}
	}
	if r.Method != http.MethodGet || r.Major == "" {
		return // What may not be changed says nothing about what may be read.
	}
	key := r.Method + " " + r.Path
	f := c.forbidden[r.Major][key]
	switch {
	case a.Status == http.StatusForbidden:
		if f == nil {
			if c.size >= maxRefusals {
				clear(c.forbidden)
				c.size = 0
			}
			if c.forbidden[r.Major] == nil {
				c.forbidden[r.Major] = map[string]*refusal{}
			}
			f = &refusal{}
			c.forbidden[r.Major][key] = f
			c.size++
		}
		f.again(now, firstRefusal, 4, lastRefusal)
	case a.Status > 0 && a.Status < 400 && f != nil:
		c.forget(r.Major, key)
	}
}

func (c *circuit) forget(major, key string) {
	if _, ok := c.forbidden[major][key]; ok {
		delete(c.forbidden[major], key)
		c.size--
	}
	if len(c.forbidden[major]) == 0 {
		delete(c.forbidden, major)
	}
}

// forgive lets the majors be asked again at once.
func (c *circuit) forgive(majors []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range majors {
		c.size -= len(c.forbidden[m])
		delete(c.forbidden, m)
	}
}

// forgiver is a [Limiter] that remembers which majors answered 403.
type forgiver interface {
	forgive(ctx context.Context, majors []string)
}

// Forgive says that permissions in a guild have changed: its channels that answered 403 are asked again.
func (r *REST) Forgive(ctx context.Context, guild discord.GuildID, channels ...discord.ChannelID) {
	f, ok := r.transport.limiter.(forgiver)
	if !ok {
		return
	}
	majors := make([]string, 0, len(channels)+1)
	majors = append(majors, "guilds/"+guild.String())
	for _, c := range channels {
		majors = append(majors, "channels/"+c.String())
	}
	f.forgive(ctx, majors)
}
