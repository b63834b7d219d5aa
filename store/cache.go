package store

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// What bounds the cache of newest pages.
const (
	// cacheTTL bounds how long Redis keeps what nobody reads, and content whose eviction it missed.
	cacheTTL = 10 * time.Minute
	// cacheWait is how long anybody waits for Redis before going to Postgres.
	cacheWait = 100 * time.Millisecond
	// cachePause is how long Redis is left alone after a failure, so that only one reader in a while pays cacheWait.
	cachePause = time.Second
	// cacheCalls bounds the calls to Redis under way, also those that nobody waits for any more.
	cacheCalls = 64
	// cachePageBytes keeps channels full of huge embeds out of Redis.
	cachePageBytes = 1 << 20
)

// putPage stores a page unless one of the same or a newer version, or the note of an eviction at a newer one, is there.
var putPage = redis.NewScript(`
local v = tonumber(redis.call('HGET', KEYS[1], 'v') or '-1')
local new = tonumber(ARGV[1])
if v > new or (v == new and redis.call('HEXISTS', KEYS[1], 'page') == 1) then
	return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'page', ARGV[2], 'top', ARGV[4], 'rest', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)

// evictPage drops a page older than the version and leaves the version as a note: a page read from Postgres before the
// delete may still be on its way here, and must not be stored after it.
var evictPage = redis.NewScript(`
local v = tonumber(redis.call('HGET', KEYS[1], 'v') or '-1')
if v >= tonumber(ARGV[1]) then
	return 0
end
redis.call('HDEL', KEYS[1], 'page', 'top', 'rest')
redis.call('HSET', KEYS[1], 'v', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)

// cache holds the newest page of channels in Redis. What it returns must still be compared with the channel's version. It
// never fails and never takes long: without Redis, or with a slow one, it holds nothing.
type cache struct {
	redis  redis.UniversalClient // nil: nothing is cached
	prefix string
	log    *slog.Logger
	slots  chan struct{}
	wait   time.Duration // cacheWait; longer in tests that are about what it holds
	calls  sync.WaitGroup

	mu     sync.Mutex
	broken bool
	until  time.Time // while broken, when to try again
}

func newCache(client redis.UniversalClient, prefix string, log *slog.Logger) *cache {
	return &cache{redis: client, prefix: prefix, log: log, slots: make(chan struct{}, cacheCalls), wait: cacheWait}
}

// close waits for the calls under way, which the client's own timeouts bound.
func (c *cache) close() { c.calls.Wait() }

func (c *cache) key(channel discord.ChannelID) string {
	return c.prefix + "recent:" + strconv.FormatUint(uint64(channel), 10)
}

// get returns the newest messages of the channel, as many as limit says, if they are there.
func (c *cache) get(ctx context.Context, channel discord.ChannelID, limit int) (Page, bool) {
	parts := []string{"v", "page"}
	if limit > pageHead {
		parts = append(parts, "rest")
	}
	var found []any
	err := c.call(ctx, func(ctx context.Context) error {
		var err error
		found, err = c.redis.HMGet(ctx, c.key(channel), parts...).Result()
		return err
	})
	if err != nil || len(found) != len(parts) {
		return Page{}, false
	}
	v, _ := found[0].(string)
	version, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return Page{}, false
	}
	p := Page{Version: version}
	for i, part := range found[1:] {
		text, ok := part.(string)
		if !ok {
			return Page{}, false
		}
		messages, more, err := decodePage(text, channel, limit-len(p.Messages))
		if err != nil {
			c.log.Warn("a page in redis cannot be read", "channel", channel, "err", err)
			return Page{}, false
		}
		if i == 0 {
			p.Messages, p.More = messages, more
			continue
		}
		if len(messages) > 0 {
			p.Messages, p.More = append(p.Messages, messages...), more
		}
	}
	return p, true
}

// put offers a newest page, with as many messages as there are up to [MaxPage].
func (c *cache) put(ctx context.Context, channel discord.ChannelID, p Page) {
	head, rest := p.Messages, []tidings.Message(nil)
	if len(head) > pageHead {
		head, rest = head[:pageHead], head[pageHead:]
	}
	first, second := encodePage(head, p.More || len(rest) > 0), encodePage(rest, p.More)
	if len(first)+len(second) > cachePageBytes {
		return
	}
	top := int64(0)
	if len(p.Messages) > 0 {
		top = int64(p.Messages[0].ID)
	}
	c.call(ctx, func(ctx context.Context) error {
		return putPage.Run(ctx, c.redis, []string{c.key(channel)}, p.Version, first, cacheTTL.Milliseconds(), top, second).Err()
	})
}

// evict drops the pages of channels that are older than the given versions.
func (c *cache) evict(ctx context.Context, versions map[discord.ChannelID]int64) {
	if len(versions) == 0 {
		return
	}
	c.call(ctx, func(ctx context.Context) error {
		_, err := c.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			for channel, version := range versions {
				// A pipeline cannot fall back from EVALSHA once the server has forgotten the script.
				evictPage.Eval(ctx, p, []string{c.key(channel)}, version, cacheTTL.Milliseconds())
			}
			return nil
		})
		return err
	})
}

var errCacheAway = errors.New("redis is left alone for now")

// call runs fn, which talks to Redis, and waits no longer than cacheWait for it: the client's own timeouts are made for
// other work and do not bound connecting. What fn sets may be used only when call returns nil.
func (c *cache) call(ctx context.Context, fn func(ctx context.Context) error) error {
	if !c.begin() {
		return errCacheAway
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return errCacheAway
	}
	inner, cancel := context.WithTimeout(ctx, c.wait)
	done := make(chan error, 1)
	c.calls.Go(func() {
		defer func() { <-c.slots }()
		done <- fn(inner)
	})
	defer cancel()
	var err error
	select {
	case err = <-done:
	case <-inner.Done():
		err = inner.Err()
	}
	if ctx.Err() == nil || err == nil {
		c.end(err)
	}
	return err
}

// usable tells whether a call would reach for Redis at all.
func (c *cache) usable() bool {
	if c.redis == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.broken
}

// begin reports whether Redis may be asked; while it is broken, one caller in cachePause may.
func (c *cache) begin() bool {
	if c.redis == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken {
		return true
	}
	now := time.Now()
	if now.Before(c.until) {
		return false
	}
	c.until = now.Add(cachePause)
	return true
}

func (c *cache) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && c.broken:
		c.broken = false
		c.log.Info("redis answers again, recent messages are cached")
	case err != nil && !c.broken:
		c.log.Warn("redis does not answer, recent messages come from postgres", "err", err)
		fallthrough
	case err != nil:
		c.broken, c.until = true, time.Now().Add(cachePause)
	}
}

// afterCommit is told what a transaction changed, right after its commit. It must not fail and must not take long.
//
// Pages with something deleted, or with changes that are not told in detail, leave Redis at once. Other changes leave a page
// of an older version behind, which nobody is served and the next reader replaces.
func (s *Store) afterCommit(ctx context.Context, r tidings.Result) {
	versions := map[discord.ChannelID]int64{}
	for _, d := range r.Deltas {
		if d.Kind == tidings.DeltaDelete || d.Kind == tidings.DeltaReset {
			versions[d.Channel] = max(versions[d.Channel], d.Version)
		}
	}
	s.cache.evict(ctx, versions)
}
