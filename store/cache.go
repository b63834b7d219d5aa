package store

import (
	"context"
	"encoding/json"
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
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'page', ARGV[2], 'top', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)

// evictPage drops a page older than the version and leaves the version as a note: a page read from Postgres before the
// delete may still be on its way here, and must not be stored after it.
var evictPage = redis.NewScript(`
local v = tonumber(redis.call('HGET', KEYS[1], 'v') or '-1')
if v >= tonumber(ARGV[1]) then
	return 0
end
redis.call('HDEL', KEYS[1], 'page', 'top')
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

// cachedPage is a [Page] in Redis. The ids are plain numbers because arikawa's types cannot read back their own null.
type cachedPage struct {
	More     bool            `json:"more,omitempty"`
	Messages []cachedMessage `json:"messages"`
}

type cachedMessage struct {
	Guild     int64   `json:"g"`
	ID        int64   `json:"id"`
	Author    int64   `json:"a"`
	Type      int     `json:"t,omitempty"`
	Flags     uint64  `json:"f,omitempty"`
	Content   string  `json:"c,omitempty"`
	Payload   []byte  `json:"p,omitempty"`
	EditedMS  int64   `json:"e,omitempty"`
	Countable bool    `json:"n,omitempty"`
	Users     []int64 `json:"mu,omitempty"`
	Roles     []int64 `json:"mr,omitempty"`
	Everyone  bool    `json:"me,omitempty"`
}

// get returns the page of the channel, if there is one.
func (c *cache) get(ctx context.Context, channel discord.ChannelID) (Page, bool) {
	var found []any
	err := c.call(ctx, func(ctx context.Context) error {
		var err error
		found, err = c.redis.HMGet(ctx, c.key(channel), "v", "page").Result()
		return err
	})
	if err != nil || len(found) != 2 {
		return Page{}, false
	}
	v, _ := found[0].(string)
	text, ok := found[1].(string)
	version, err := strconv.ParseInt(v, 10, 64)
	if !ok || err != nil {
		return Page{}, false
	}
	var stored cachedPage
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		c.log.Warn("a page in redis cannot be read", "channel", channel, "err", err)
		return Page{}, false
	}
	p := Page{Version: version, More: stored.More, Messages: make([]tidings.Message, len(stored.Messages))}
	for i, m := range stored.Messages {
		row := storedMessage{
			Guild: m.Guild, Channel: int64(channel), ID: m.ID, Author: m.Author, Type: m.Type, Flags: int64(m.Flags),
			Content: m.Content, Payload: m.Payload, EditedMS: m.EditedMS, Countable: m.Countable,
			Users: m.Users, Roles: m.Roles, Everyone: m.Everyone,
		}
		p.Messages[i] = row.message()
	}
	return p, true
}

// put offers a newest page, with as many messages as there are up to [MaxPage].
func (c *cache) put(ctx context.Context, channel discord.ChannelID, p Page) {
	stored := cachedPage{More: p.More, Messages: make([]cachedMessage, len(p.Messages))}
	for i, m := range p.Messages {
		stored.Messages[i] = cachedMessage{
			Guild: int64(m.Guild), ID: int64(m.ID), Author: int64(m.Author), Type: m.Type, Flags: m.Flags,
			Content: m.Content, Payload: m.Payload, EditedMS: m.EditedMS, Countable: m.Countable,
			Users: ids(m.Mentions.Users), Roles: ids(m.Mentions.Roles), Everyone: m.Mentions.Everyone,
		}
	}
	text, err := json.Marshal(stored)
	if err != nil || len(text) > cachePageBytes {
		return
	}
	top := int64(0)
	if len(p.Messages) > 0 {
		top = int64(p.Messages[0].ID)
	}
	c.call(ctx, func(ctx context.Context) error {
		return putPage.Run(ctx, c.redis, []string{c.key(channel)}, p.Version, text, cacheTTL.Milliseconds(), top).Err()
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
