package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"
)

// Whether somebody is looking at a page of ours is what their pages say, and only good for not disturbing them: it is kept in Redis, for
// all processes, until two and a half heartbeats after it was said last. Losing it costs a notification too many.

// presence knows who is looking.
type presence struct {
	redis  redis.UniversalClient // nil when there is only this process
	prefix string
	lasts  time.Duration
}

func (p *presence) key(u discord.UserID) string { return p.prefix + "here:" + u.String() }

// setHere takes a page's word that its person looks at it, or does so no longer.
func (c *conn) setHere(on bool) {
	h := c.hub
	h.mu.Lock()
	was := !c.here.IsZero()
	c.here = time.Time{}
	if on {
		c.here = time.Now()
	}
	others := c.user.isHere(h.present.lasts)
	h.mu.Unlock()
	if on || was && !others {
		h.noteHere(c.who.User, on)
	}
}

// still renews what the page has said, with its pings.
func (c *conn) still() {
	c.hub.mu.Lock()
	is := !c.here.IsZero()
	c.hub.mu.Unlock()
	if is {
		c.setHere(true)
	}
}

// isHere reports whether one of the connections has said lately that the person looks. The caller holds Hub.mu.
func (u *user) isHere(lasts time.Duration) bool {
	for _, c := range u.conns {
		if !c.here.IsZero() && time.Since(c.here) < lasts {
			return true
		}
	}
	return false
}

// noteHere tells the other processes. It is no matter when it does not arrive.
func (h *Hub) noteHere(u discord.UserID, on bool) {
	p := h.present
	if p.redis == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hereTime)
	defer cancel()
	var err error
	if on {
		err = p.redis.Set(ctx, p.key(u), 1, p.lasts).Err()
	} else {
		err = p.redis.Del(ctx, p.key(u)).Err()
	}
	if err != nil {
		h.log.Debug("whether somebody is looking could not be told", "user", u, "err", err)
	}
}

// hereTime bounds how long a connection's reader waits for Redis.
const hereTime = 2 * time.Second

// Here reports whether somebody is looking at a page of ours, on whatever device and through whichever process. It can be
// wrong for about a minute after their connection was lost.
func (h *Hub) Here(ctx context.Context, u discord.UserID) (bool, error) {
	h.mu.Lock()
	x := h.users[u]
	here := x != nil && x.isHere(h.present.lasts)
	h.mu.Unlock()
	if here || h.present.redis == nil {
		return here, nil
	}
	n, err := h.present.redis.Exists(ctx, h.present.key(u)).Result()
	if err != nil {
		return false, fmt.Errorf("ask whether user %d is looking: %w", u, err)
	}
	return n > 0, nil
}
