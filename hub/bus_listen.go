package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// silence is how long nothing may come from Redis before it is asked for a word. A connection on which that word does not come
// for as long again is dead, whatever the kernel says.
const silence = time.Second

// redisWait is how long an attempt of the bus' own client may take.
const redisWait = time.Second

// ownClient returns a client of the same servers for the bus and the history alone. Its waits are short, because each attempt
// that fails has a cure, while the wait of somebody who reads a page does not; and a connection that has gone deaf is given up
// after one wait, not after one for each of many in a pool.
func ownClient(c redis.UniversalClient) (own redis.UniversalClient, closeOwn func() error) {
	switch c := c.(type) {
	case *redis.Client:
		o := *c.Options()
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisWait, redisWait, redisWait
		o.MaxRetries, o.DialerRetries = 2, 1
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.MaxConcurrentDials = 4, 0, 0, 0, 0
		// The other client's processor knows only that one.
		o.PushNotificationProcessor = nil
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		own = redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *c.Options()
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisWait, redisWait, redisWait
		o.MaxRedirects, o.DialerRetries = 3, 1
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.MaxConcurrentDials = 4, 0, 0, 0, 0
		o.PushNotificationProcessor = nil
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false // a replica hears a little later
		own = redis.NewClusterClient(&o)
	default:
		return c, func() error { return nil }
	}
	return own, own.Close
}

// askSharded finds out whether the bus goes through shard channels: in a Cluster, where an ordinary message goes to every node,
// a shard channel's goes to one. Redis has them since version 7. It is false when ctx has ended first.
func (b *redisBus) askSharded(ctx context.Context) bool {
	cluster, ok := b.client.(*redis.ClusterClient)
	if !ok {
		return true
	}
	for pause := firstBackoff; ; pause = min(2*pause, lastBackoff) {
		found, err := cluster.Do(ctx, "COMMAND", "INFO", "SPUBLISH").Slice()
		var refused redis.Error
		if err == nil || errors.As(err, &refused) && !strings.HasPrefix(refused.Error(), "LOADING") && !strings.HasPrefix(refused.Error(), "CLUSTERDOWN") {
			b.sharded = err == nil && len(found) == 1 && found[0] != nil
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// runListen hears some of the bus channels on one connection until ctx ends.
func (b *redisBus) runListen(ctx context.Context, names []string) {
	pause := firstBackoff
	deaf := false
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listen(ctx, names, &deaf)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = firstBackoff
		}
		if !deaf {
			deaf = true
			b.hears(-1, err)
			for _, name := range names {
				b.silent(slices.Index(b.names[:], name))
			}
		}
		if cluster, ok := b.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // the slot may be another node's now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastBackoff)
	}
}

// hears counts listeners that lost their subscription (-1) or have it again (1), and logs the first and the last.
func (b *redisBus) hears(n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf == 0 {
		b.log.Warn("listening to Redis ended, it is tried again", "err", err)
	}
	if b.deaf -= n; b.deaf == 0 {
		b.log.Info("listening to Redis works again")
	}
}

var (
	errSilent = errors.New("no answer from Redis")
	errMoved  = errors.New("the channel is another node's now")
)

// listen receives until something goes wrong. The connection is not used again then, so that nobody has to know what
// state it was in.
func (b *redisBus) listen(ctx context.Context, names []string, deaf *bool) error {
	var sub *redis.PubSub
	if b.sharded {
		sub = b.client.SSubscribe(ctx, names...)
	} else {
		sub = b.client.Subscribe(ctx, names...)
	}
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { sub.Close() }) // receiving does not heed ctx
	defer stop()
	asked := false
	for {
		msg, err := sub.ReceiveTimeout(ctx, silence)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
		case errors.As(err, &timeout) && timeout.Timeout():
			// A connection that died without a word looks like one on which nothing happens.
			if asked {
				return errSilent
			}
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
			continue
		default:
			return fmt.Errorf("receive: %w", err)
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			if strings.HasSuffix(m.Kind, "unsubscribe") {
				return errMoved
			}
			if *deaf {
				*deaf = false
				b.hears(1, nil)
			}
			// What was said before this moment did not come here.
			if i := slices.Index(b.names[:], m.Channel); i >= 0 {
				b.lose(i)
			}
		case *redis.Message:
			if i := slices.Index(b.names[:], m.Channel); i >= 0 {
				b.take(i, []byte(m.Payload))
			}
		}
	}
}

// take passes on an envelope of another process.
func (b *redisBus) take(channel int, payload []byte) {
	if own(payload, b.publisher) {
		return // delivered here already
	}
	e, err := decodeEnvelope(payload)
	if err != nil {
		b.log.Warn("an envelope cannot be read", "channel", channel, "err", err)
		b.lose(channel)
		return
	}
	heard := b.heard[channel]
	seen, known := heard[e.publisher]
	if known && e.seq <= seen {
		return // a repeat of the client library's
	}
	if !known && len(heard) >= maxPublishers {
		clear(heard) // processes that ended long ago; the living are learnt again with their next word
	}
	heard[e.publisher] = e.seq
	if known && e.seq != seen+1 || e.kind == kindLost {
		// What is missing of a Discord channel also shows in its versions, so that newer frames wait for the sweep.
		b.lose(channel)
	}
	b.metrics.received.Inc()
	b.receive(e)
}

// own reports whether an envelope is the publisher's, without taking it apart.
func own(payload []byte, publisher uint64) bool {
	return len(payload) >= 10 && payload[0] == wireVersion && binary.BigEndian.Uint64(payload[2:10]) == publisher
}

func (b *redisBus) lose(channel int) {
	b.metrics.busLosses.Inc()
	b.lost(channel)
}
