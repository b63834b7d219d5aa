package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
	"tidings/bot"
	"tidings/ingest"
	"tidings/jobs"
	"tidings/store"
)

// newPoll makes the polling. Its Door is set once there is one.
func newPoll(c *Config, rest *bot.REST, st *store.Store, log *slog.Logger) *jobs.Poll {
	// Half of what nobody waits for may go into polling; the rest is for what it finds.
	const perSecond = 18
	return &jobs.Poll{
		Scout: &scout{rest: rest}, Store: st, Log: log, Alone: c.Gateway == "off", HistoryDays: c.HistoryDays, RetentionDays: c.RetentionDays,
		Began: time.Now(), Budget: int(c.pollEvery().Seconds() * perSecond),
	}
}

// recheckThreads is how often the members of private threads are asked for although nothing was told of them, one request a thread.
func (c *Config) recheckThreads() string {
	if c.Gateway == "off" {
		return "@every 15m" // nothing is ever told
	}
	return "@every 1h"
}

// waitedFor is the least priority of a job for which somebody waits.
const waitedFor = 50

// politely runs a handler so that its requests leave room to those for which somebody waits, unless this is one.
func politely(h jobs.Handler) jobs.Handler {
	return func(ctx context.Context, j store.Job) error {
		if j.Priority < waitedFor {
			ctx = bot.Background(ctx)
		}
		return h(ctx, j)
	}
}

// tellers tells several, in their order.
type tellers []ingest.Teller

func (t tellers) Tell(ctx context.Context, r tidings.Result) {
	for _, one := range t {
		one.Tell(ctx, r)
	}
}

// secondLook lets Discord be asked again, after permissions in a guild have changed, what it has refused before.
type secondLook struct {
	rest  *bot.REST
	who   *access.Access
	poll  *jobs.Poll
	store *store.Store
	log   *slog.Logger
	moved chan tidings.AccessChange
}

func newSecondLook(rest *bot.REST, who *access.Access, poll *jobs.Poll, st *store.Store, log *slog.Logger) *secondLook {
	return &secondLook{rest: rest, who: who, poll: poll, store: st, log: log, moved: make(chan tidings.AccessChange, 1024)}
}

// Tell waits for nobody: a guild for which there is no room is asked again when its time comes anyway.
func (s *secondLook) Tell(_ context.Context, r tidings.Result) {
	for _, a := range r.Access {
		select {
		case s.moved <- a:
		default:
		}
	}
}

func (s *secondLook) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-s.moved:
			s.look(ctx, a)
		}
	}
}

// Handle is the handler of [store.Forgive]: the same once more for a guild of which channels opened to the bot, because the process
// that stored the opening may have ended before it could tell anybody.
func (s *secondLook) Handle(ctx context.Context, j store.Job) error {
	var opened store.ForgivePayload
	if err := json.Unmarshal(j.Payload, &opened); err != nil {
		return jobs.Dead(fmt.Errorf("%w job: %w", tidings.ErrInvalid, err))
	}
	s.look(ctx, tidings.AccessChange{Guild: j.Guild, Opened: opened.Channels})
	return nil
}

func (s *secondLook) look(ctx context.Context, a tidings.AccessChange) {
	g := a.Guild
	s.poll.Moved(g)
	s.rest.Forgive(ctx, g, a.Opened...)
	if len(a.Opened) > 0 {
		s.log.Info("the bot may read channels again", "guild", g, "channels", len(a.Opened))
		if err := s.store.Reopened(ctx, g, a.Opened); err != nil && ctx.Err() == nil {
			s.log.Warn("what opened is asked for later", "guild", g, "err", err)
		}
	}
	state, ok := s.who.Guild(g)
	if !ok {
		return
	}
	channels := make([]discord.ChannelID, len(state.Channels))
	for i, c := range state.Channels {
		channels[i] = c.ID
	}
	s.rest.Forgive(ctx, g, channels...)
}

// scout looks at guilds for polling. Nobody waits for what it asks.
type scout struct {
	rest *bot.REST

	mu sync.Mutex
	me discord.UserID
}

func (s *scout) Guilds(ctx context.Context) ([]tidings.Guild, error) {
	return s.rest.Guilds(bot.Background(ctx))
}

func (s *scout) Guild(ctx context.Context, g discord.GuildID) (tidings.Guild, []tidings.Role, error) {
	return s.rest.Guild(bot.Background(ctx), g)
}

func (s *scout) Channels(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	return s.rest.Channels(bot.Background(ctx), g)
}

func (s *scout) ActiveThreads(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	return s.rest.ActiveThreads(bot.Background(ctx), g)
}

func (s *scout) Self(ctx context.Context, g discord.GuildID) (*tidings.Member, error) {
	ctx = bot.Background(ctx)
	s.mu.Lock()
	me := s.me
	s.mu.Unlock()
	if me == 0 {
		u, err := s.rest.Me(ctx)
		if err != nil {
			return nil, err
		}
		me = u.ID
		s.mu.Lock()
		s.me = me
		s.mu.Unlock()
	}
	return s.rest.Member(ctx, g, me)
}

// shardWatch asks for the polling of guilds whose shard this process runs but has had no session for half a minute. Shards
// that no process runs are found by the timetable's job.
type shardWatch struct {
	status  func() bot.Status
	guilds  func(context.Context) ([]discord.GuildID, error)
	enqueue func(context.Context, ...store.NewJob) (int, error)
	every   time.Duration // between two polls while a shard is down
	after   time.Duration // how long a shard may be without a session; most reconnects take less
	look    time.Duration // how often the status is looked at
	log     *slog.Logger
}

func newShardWatch(c *Config, b *bot.Bot, st *store.Store, log *slog.Logger) *shardWatch {
	return &shardWatch{
		status: b.Status, guilds: st.GuildIDs, enqueue: st.Enqueue, every: c.pollEvery(), after: 30 * time.Second, look: 5 * time.Second, log: log,
	}
}

// Run watches until ctx ends.
func (w *shardWatch) Run(ctx context.Context) error {
	since := map[int]time.Time{} // by shard: when it was seen without a session first
	asked := map[int]time.Time{} // by shard: when its guilds were polled last
	tick := time.NewTicker(w.look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		down := map[int]bool{}
		shards := w.status().Shards
		for _, s := range shards {
			if s.State == "ready" || s.State == "standby" || s.State == "stopped" {
				if !asked[s.Shard].IsZero() {
					w.log.Info("a shard is connected again; its servers are not polled any more", "shard", s.Shard)
				}
				delete(since, s.Shard)
				delete(asked, s.Shard)
				continue
			}
			if since[s.Shard].IsZero() {
				since[s.Shard] = time.Now()
			}
			down[s.Shard] = time.Since(since[s.Shard]) >= w.after && time.Since(asked[s.Shard]) >= w.every
		}
		if err := w.poll(ctx, down, len(shards)); err != nil {
			w.log.Warn("servers of a shard that is down cannot be polled", "err", err)
			continue
		}
		for shard, now := range down {
			if now && asked[shard].IsZero() {
				w.log.Warn("a shard is without a session; its servers are polled", "shard", shard)
			}
			if now {
				asked[shard] = time.Now()
			}
		}
	}
}

// poll asks for the polling of the guilds of shards.
func (w *shardWatch) poll(ctx context.Context, down map[int]bool, shards int) error {
	if !slices.Contains(slices.Collect(maps.Values(down)), true) {
		return nil
	}
	guilds, err := w.guilds(ctx)
	if err != nil {
		return err
	}
	var due []store.NewJob
	for _, g := range guilds {
		// Discord's own rule. Source: discord.com/developers/docs/events/gateway#sharding.
		if down[int(uint64(g)>>22%uint64(shards))] {
			due = append(due, jobs.PollJob(g, jobs.PollDown, false))
		}
	}
	_, err = w.enqueue(ctx, due...)
	return err
}
