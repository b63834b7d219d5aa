package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// takeOne keeps, under a name, until when what was done is paid for. It is by the clock of Redis, for those of the processes may differ.
var takeOne = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local paid = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
local over = paid - now - ARGV[1] * ARGV[2]
if over > 0 then
	return over
end
redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', string.format('%.0f', paid - now))
return 0`)

// Take does one more thing under a name, whichever process asks, or says after what wait it can be done: burst things at once, and one more with
// each step, of at least a millisecond. It returns [tidings.ErrUnavailable] when Redis does not answer in time.
func (s *Store) Take(ctx context.Context, name string, step time.Duration, burst int) (wait time.Duration, err error) {
	var ms int64
	err = s.cache.call(ctx, func(ctx context.Context) (err error) {
		ms, err = takeOne.Run(ctx, s.cache.redis, []string{s.cache.prefix + "limit:" + name}, step.Milliseconds(), burst).Int64()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take one of %s: %w: %w", name, tidings.ErrUnavailable, err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
