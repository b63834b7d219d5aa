package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// FillCache is the kind of the job that fills a channel's newest page into Redis. Its key is the channel's id.
const FillCache = "refresh-cache"

// warmAge is how young the newest message of a channel is that is filled into an empty cache.
const warmAge = time.Hour

// outrunPause gathers the marks of many people into one filling.
const outrunPause = time.Second

// RefreshCache reads a channel's newest messages and puts them into Redis.
func (s *Store) RefreshCache(ctx context.Context, channel discord.ChannelID) error {
	if !s.cache.usable() {
		return nil
	}
	p, err := s.readPage(ctx, PageQuery{Channel: channel, Limit: MaxPage})
	if err != nil {
		return fmt.Errorf("refresh the cache of channel %d: %w", channel, err)
	}
	s.cache.put(ctx, channel, p)
	return nil
}

const warmChannels = `
SELECT c.id, c.guild_id
FROM channels c
JOIN guilds g ON g.id = c.guild_id AND g.removed_at IS NULL
WHERE c.last_live_id >= $1 AND NOT c.deleted
ORDER BY c.last_live_id DESC
LIMIT $2`

// EnqueueWarming asks for the pages of the channels in which something was said lately, at most so many, when Redis has lost what
// it held, and returns how many.
func (s *Store) EnqueueWarming(ctx context.Context, limit int) (int, error) {
	if !s.cache.missing(ctx) {
		return 0, nil
	}
	var recent []struct {
		Channel discord.ChannelID `db:"id"`
		Guild   discord.GuildID   `db:"guild_id"`
	}
	if err := s.db.SelectContext(ctx, &recent, warmChannels, int64(tidings.FirstID(time.Now().Add(-warmAge))), limit); err != nil {
		return 0, fmt.Errorf("look for channels to cache: %w", unavailable(err))
	}
	jobs := make([]NewJob, len(recent))
	for i, c := range recent {
		jobs[i] = NewJob{Kind: FillCache, Key: c.Channel.String(), Guild: c.Guild}
	}
	if len(jobs) > 0 {
		if _, err := s.Enqueue(ctx, jobs...); err != nil {
			return 0, err
		}
	}
	s.cache.noteFilled(ctx)
	return len(jobs), nil
}

// outrun asks for a channel's page when a person has read beyond the one in Redis: others will want the same.
func (s *Store) outrun(ctx context.Context, m tidings.MarkRead) {
	top, held := s.cache.top(ctx, m.Channel)
	if !held || top >= m.UpTo {
		return
	}
	_, err := s.Enqueue(ctx, NewJob{Kind: FillCache, Key: m.Channel.String(), After: outrunPause})
	if err != nil && ctx.Err() == nil {
		s.log.Debug("a channel's cache is filled when somebody looks", "channel", m.Channel, "err", err)
	}
}

// filledKey is there as long as Redis has not lost what it was given.
func (c *cache) filledKey() string { return c.prefix + "recent-filled" }

// missing reports whether Redis answers and has lost what it held.
func (c *cache) missing(ctx context.Context) bool {
	var found int64
	err := c.call(ctx, func(ctx context.Context) (err error) {
		found, err = c.redis.Exists(ctx, c.filledKey()).Result()
		return err
	})
	return err == nil && found == 0
}

func (c *cache) noteFilled(ctx context.Context) {
	_ = c.call(ctx, func(ctx context.Context) error { return c.redis.Set(ctx, c.filledKey(), "1", 0).Err() })
}

// top is the newest message of the page that Redis holds of a channel; held is false when it holds none.
func (c *cache) top(ctx context.Context, channel discord.ChannelID) (id discord.MessageID, held bool) {
	var found []any
	err := c.call(ctx, func(ctx context.Context) (err error) {
		found, err = c.redis.HMGet(ctx, c.key(channel), "top").Result()
		return err
	})
	if err != nil || len(found) != 1 {
		return 0, false
	}
	text, _ := found[0].(string)
	n, err := strconv.ParseUint(text, 10, 63)
	return discord.MessageID(n), err == nil
}
