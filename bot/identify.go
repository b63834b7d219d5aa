package bot

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// GatewayInfo is what Discord answers to GET /gateway/bot.
type GatewayInfo struct {
	URL    string
	Shards int // what Discord recommends
	// Total and Remaining are the new sessions that may be started until Reset; 1,000 a day for small bots.
	Total     int
	Remaining int
	Reset     time.Time
	// MaxConcurrency is how many shards may identify within five seconds.
	MaxConcurrency int
	at             time.Time
}

// gate lets new sessions start no faster than Discord allows: max_concurrency of them every five seconds, and no more
// than the day's session_start_limit, beyond which Discord would reset the token.
type gate struct {
	fetch   func(context.Context) (GatewayInfo, error)
	log     *slog.Logger
	spacing time.Duration // between two IDENTIFY of one key
	turns   Turns         // nil: no other process begins sessions

	mu   sync.Mutex
	keys map[int]*gateKey
	info GatewayInfo
}

// gateKey is one of Discord's rate_limit_key values: shard % max_concurrency.
type gateKey struct {
	turn chan struct{} // holds one token
	last time.Time     // when an IDENTIFY of this key was sent
}

// Turns gives the turn to begin a session to one process at a time, by Discord's rate_limit_key. It is *store.Store: whatever fills
// [Sessions] is asked whether it can do this as well.
type Turns interface {
	// TakeTurn takes the turn for so long; wait is how long somebody else has it still, 0 when it is ours.
	TakeTurn(ctx context.Context, key int, hold time.Duration) (wait time.Duration, err error)
	// LeaveTurn lets the next process have it after a wait.
	LeaveTurn(ctx context.Context, key int, wait time.Duration) error
}

// turnHold is how long a process may take from its turn to IDENTIFY: dialling, and HELLO.
const turnHold = dialTimeout + 5*time.Second

// infoFresh is how long an answer of /gateway/bot is good enough for another IDENTIFY; our own are subtracted from it.
const infoFresh = 30 * time.Second

func newGate(spacing time.Duration, fetch func(context.Context) (GatewayInfo, error), log *slog.Logger) *gate {
	return &gate{fetch: fetch, log: log, spacing: spacing, keys: map[int]*gateKey{}}
}

// learn takes an answer of /gateway/bot that was fetched for another reason.
func (g *gate) learn(info GatewayInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.info = info
}

// turn is the right to send one IDENTIFY. It must be left.
type turn struct {
	gate *gate
	key  *gateKey
	n    int // the key's number
	held bool
	went bool // IDENTIFY was sent
	url  string
	once sync.Once
}

// enter waits until the shard may identify. While the turn is held no other shard of the same key gets one.
func (g *gate) enter(ctx context.Context, shard int) (*turn, error) {
	info, err := g.current(ctx, false)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	k := shard % max(info.MaxConcurrency, 1)
	key := g.keys[k]
	if key == nil {
		key = &gateKey{turn: make(chan struct{}, 1)}
		key.turn <- struct{}{}
		g.keys[k] = key
	}
	g.mu.Unlock()
	select {
	case <-key.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t := &turn{gate: g, key: key, n: k}
	if err := t.wait(ctx); err != nil {
		t.leave()
		return nil, err
	}
	return t, nil
}

func (t *turn) wait(ctx context.Context) error {
	g := t.gate
	for {
		info, err := g.current(ctx, false)
		if err != nil {
			return err
		}
		t.url = info.URL
		g.mu.Lock()
		next := t.key.last.Add(g.spacing)
		g.mu.Unlock()
		switch {
		case info.Total > 0 && info.Remaining <= 0:
			next = info.Reset
			g.log.Error("the session starts that Discord allows are used up; waiting until it gives new ones",
				"until", info.Reset, "total", info.Total)
		case info.Total > 0 && info.Remaining <= info.Total/10:
			// Something starts sessions over and over. What is left is spread over the time until the reset.
			if spread := time.Until(info.Reset) / time.Duration(info.Remaining+1); spread > time.Until(next) {
				next = time.Now().Add(min(spread, 10*time.Minute))
				g.log.Warn("few session starts are left; starting slowly", "remaining", info.Remaining, "next", next)
				return sleep(ctx, time.Until(next))
			}
		}
		wait := time.Until(next)
		if wait <= 0 {
			if g.turns == nil {
				return nil
			}
			if wait, err = g.turns.TakeTurn(ctx, t.n, turnHold); err != nil {
				return err
			}
			if wait <= 0 {
				t.held = true
				return nil
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if info.Total > 0 && info.Remaining <= 0 {
			if _, err := g.current(ctx, true); err != nil {
				return err
			}
		}
	}
}

// current returns what is known about session starts, asking Discord when that is old.
func (g *gate) current(ctx context.Context, anew bool) (GatewayInfo, error) {
	g.mu.Lock()
	info := g.info
	g.mu.Unlock()
	if !anew && !info.at.IsZero() && time.Since(info.at) < infoFresh {
		return info, nil
	}
	info, err := g.fetch(ctx)
	if err != nil {
		return GatewayInfo{}, fmt.Errorf("ask Discord for the gateway: %w", err)
	}
	g.learn(info)
	return info, nil
}

// sent is called right before IDENTIFY goes out.
func (t *turn) sent() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.key.last, t.went = time.Now(), true
	if t.gate.info.Remaining > 0 {
		t.gate.info.Remaining--
	}
}

// leave gives the turn to the next shard.
func (t *turn) leave() {
	t.once.Do(func() {
		if t.held {
			t.others()
		}
		t.key.turn <- struct{}{}
	})
}

// others lets the next process have the turn. Where that cannot be written it ends by itself.
func (t *turn) others() {
	g := t.gate
	g.mu.Lock()
	wait := time.Duration(0)
	if t.went {
		wait = g.spacing
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := g.turns.LeaveTurn(ctx, t.n, wait); err != nil {
		g.log.Debug("the turn to begin a session ends by itself", "err", err)
	}
}

// sleep waits for d or for ctx's end, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
