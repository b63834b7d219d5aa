// Package bot is everything that talks to Discord: the gateway, REST with its rate limits, and the far half of OAuth2.
// What it learns it hands on as [tidings.Event]; what that means is for others to decide.
//
// # The gateway
//
// Each shard has one connection at a time, under arikawa's gateway.Gateway, which answers HELLO with IDENTIFY or RESUME.
// Everything else is decided here: when to connect, whether to resume, when a connection is dead, what is fatal.
//
// The reader of a socket only enqueues, because a slow reader stops the heartbeats. Between it and [Sink.Put] stands a
// bounded buffer of 100,000 events or 256 MiB a shard. When that is full the socket is dropped, what is held is worked
// off, and the session is resumed from the last sequence that was committed, which [Sessions] holds; Discord replays the
// rest. So an overflow loses nothing as long as Discord's replay window lasts, which it says is a few minutes. When
// the window is over a new session starts, [Sessions] is given it to keep, and what lies between is a gap for the jobs to heal.
//
// A reconnect resumes from the committed sequence too. What was received but not committed comes twice, and recording is
// idempotent.
package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tidings"
)

// Version is the product's version as Discord sees it.
const Version = "1.0"

// UserAgent is what Discord's User-Agent rule asks for; without it Cloudflare blocks.
// Source: discord.com/developers/docs/reference#user-agent.
const UserAgent = "DiscordBot (https://github.com/tidings/tidings, " + Version + ")"

// DefaultURL is where Discord is.
const DefaultURL = "https://discord.com"

// Sink takes events in the order of their sequence. Put may wait; what it returned nil for is recorded or dead-lettered
// in the end. It is *ingest.Ingest.
type Sink interface {
	Put(ctx context.Context, ev tidings.Event) error
}

// Sessions keeps each shard's session and lease. It is *store.Store.
type Sessions interface {
	// LeaseShard returns the stored session, from which the shard resumes; [tidings.ErrLeaseLost] while another owner
	// holds the shard.
	LeaseShard(ctx context.Context, shard, shards int, owner string, ttl time.Duration) (tidings.GatewaySession, error)
	RenewShard(ctx context.Context, g tidings.GatewaySession, ttl time.Duration) error
	ReleaseShard(ctx context.Context, g tidings.GatewaySession) error
	SaveSession(ctx context.Context, g tidings.GatewaySession) error
}

// DeadLetterer keeps what could not be understood, whole, and opens a gap around it. It is *ingest.Ingest, which also tells
// whom that shuts out: whatever fills [Sink] is asked whether it can do this as well.
type DeadLetterer interface {
	DeadLetter(ctx context.Context, ev tidings.Event, cause error) error
}

// Ledger keeps whether a shard misses nothing, for those who state what is complete. It is *store.Store: whatever fills
// [Sessions] is asked whether it can do this as well.
type Ledger interface {
	// Listening notes that a shard is connected and past the replay, or that it is not.
	Listening(ctx context.Context, g tidings.GatewaySession, on bool) error
	// Heard says that a shard which listens still does. It is said every 1½ seconds; what is not said for five lapses.
	Heard(ctx context.Context, g tidings.GatewaySession, health tidings.ShardHealth) error
	// NoteHole notes the lowest sequence that was left out, before anything after it goes to the sink; 0 that none is
	// missing any more. before is an id below which nothing can be missing.
	NoteHole(ctx context.Context, g tidings.GatewaySession, seq int64, before discord.MessageID) error
}

// Settler waits until all events of a mark's session that were put are committed. It is *ingest.Ingest: whatever fills [Sink] is
// asked whether it can do this as well.
type Settler interface {
	Settle(ctx context.Context, m tidings.Mark) error
}

// GuildLister names the guilds that are stored and not removed, so that those which the bot has left while nobody was
// connected are noticed. It is *store.Store: whatever fills [Sessions] is asked whether it can do this as well.
type GuildLister interface {
	GuildIDs(ctx context.Context) ([]discord.GuildID, error)
}

// Options says what a [Bot] needs. Only Token is needed for REST; Sink and Sessions are needed for Run.
type Options struct {
	Token    string // with or without "Bot "
	URL      string // "" is Discord
	Sink     Sink
	Sessions Sessions
	HTTP     *http.Client // nil: one with sane timeouts
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: none
	Owner    string                // names this process in leases; "" makes one up
	Limiter  Limiter               // nil: one of this process
}

// Bot is one bot's connection to Discord. New starts nothing.
type Bot struct {
	token    string
	sink     Sink
	sessions Sessions
	dead     DeadLetterer // nil when Sink cannot
	guilds   GuildLister  // nil when Sessions cannot
	ledger   Ledger       // nil when Sessions cannot
	sharer   Sharer       // nil when Sessions cannot
	flusher  Flusher      // nil when Sink cannot
	http     *http.Client
	log      *slog.Logger
	owner    string
	rest     *REST
	metrics  *metrics
	pace     pace
	gate     *gate
	strange  *once // kinds of events that were complained about

	mu     sync.Mutex
	shards []*shard
}

// pace holds the gateway's waits. They are fields so that tests need not wait as long.
type pace struct {
	leaseTTL   time.Duration // of a shard's lease; renewed three times within it
	ready      time.Duration // from dialling to READY or RESUMED
	backoffMin time.Duration
	backoffMax time.Duration
	steady     time.Duration // a session that lasted this long ends a series of failures
	pauseMin   time.Duration // after op 9; Discord asks for a random one to five seconds
	pauseMax   time.Duration
	hole       time.Duration // how long a missing sequence may still come late
	holeEvery  time.Duration // how often a hole may cost a reconnect
	holeFresh  time.Duration // how often a hole may cost a new session
	drain      time.Duration // how long an ordinary reconnect waits for the buffer
	heard      time.Duration // between two words that the shard still listens
	prompt     time.Duration // how long an acknowledgement may take before the connection is doubted
	identify   time.Duration // between two IDENTIFY of one key: Discord's five seconds and some for the clocks
	share      time.Duration // between two shards that are handed over, and how long one is kept that was taken
	given      time.Duration // between two looks whether a shard was given to this process, while that may be
	queue      int
	queueBytes int
}

var discordPace = pace{
	leaseTTL: 30 * time.Second, ready: 60 * time.Second, backoffMin: time.Second, backoffMax: time.Minute,
	steady: 30 * time.Second, pauseMin: time.Second, pauseMax: 5 * time.Second, hole: 2 * time.Second,
	holeEvery: 30 * time.Second, holeFresh: 2 * time.Minute, drain: 5 * time.Second, heard: 1500 * time.Millisecond, prompt: 3 * time.Second, identify: 5500 * time.Millisecond,
	share: 10 * time.Second, given: 500 * time.Millisecond,
	queue: maxQueued, queueBytes: maxQueuedBytes,
}

// New prepares a bot. It starts nothing and asks Discord nothing.
func New(o Options) (*Bot, error) {
	token := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(o.Token), "Bot "))
	if token == "" {
		return nil, fmt.Errorf("%w bot token: empty", tidings.ErrInvalid)
	}
	base, err := baseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Owner == "" {
		host, _ := os.Hostname()
		o.Owner = fmt.Sprintf("%s/%d/%d", host, os.Getpid(), time.Now().UnixNano())
	}
	b := &Bot{
		token: token, sink: o.Sink, sessions: o.Sessions, http: plainClient(o.HTTP), log: o.Log, owner: o.Owner,
		pace: discordPace, strange: newOnce(),
	}
	b.dead, _ = o.Sink.(DeadLetterer)
	b.guilds, _ = o.Sessions.(GuildLister)
	b.ledger, _ = o.Sessions.(Ledger)
	b.sharer, _ = o.Sessions.(Sharer)
	b.flusher, _ = o.Sink.(Flusher)
	if b.metrics, err = newMetrics(o.Metrics, b.Status); err != nil {
		return nil, fmt.Errorf("register the bot's metrics: %w", err)
	}
	b.rest = newREST(token, base, b.http, o.Limiter, b.metrics, o.Log)
	return b, nil
}

// REST returns the client of Discord's REST API. It works whether the bot runs or not.
func (b *Bot) REST() *REST { return b.rest }

// Run keeps every shard connected until ctx ends. An error that is [tidings.ErrUnauthorized] says that Discord refuses the
// token, one that is [tidings.ErrForbidden] that it refuses what the bot asks for: neither gets better before somebody changes something. Any
// other says to start again.
func (b *Bot) Run(ctx context.Context) error {
	if b.sink == nil || b.sessions == nil {
		return errors.New("run the gateway: no sink or no sessions")
	}
	b.gate = newGate(b.pace.identify, b.rest.GatewayInfo, b.log)
	b.gate.turns, _ = b.sessions.(Turns)
	info, err := b.discover(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	n := max(info.Shards, 1)
	g, ctx := errgroup.WithContext(ctx)
	b.mu.Lock()
	b.shards = nil
	for i := range n {
		b.shards = append(b.shards, newShard(b, i, n))
	}
	shards := b.shards
	b.mu.Unlock()
	b.log.Info("connecting to the gateway", "shards", n, "session_starts_left", info.Remaining)
	for _, s := range shards {
		g.Go(func() error { return s.run(ctx) })
	}
	if b.sharer != nil && b.flusher != nil && n > 1 {
		g.Go(func() error {
			b.await(ctx, shards)
			return nil
		})
		g.Go(func() error {
			b.offer(ctx, shards)
			return nil
		})
	}
	return g.Wait()
}

// discover asks /gateway/bot until it answers. Only a refused token ends it.
func (b *Bot) discover(ctx context.Context) (GatewayInfo, error) {
	for try := 0; ; try++ {
		info, err := b.gate.current(ctx, true)
		switch {
		case err == nil:
			return info, nil
		case ctx.Err() != nil:
			return GatewayInfo{}, nil
		case errors.Is(err, tidings.ErrUnauthorized):
			return GatewayInfo{}, fmt.Errorf("connect to the gateway: Discord refuses the bot token; copy a new one from %s: %w", portal, err)
		}
		b.log.Warn("Discord does not say where the gateway is; trying again", "err", err)
		if sleep(ctx, b.pace.backoff(try)) != nil {
			return GatewayInfo{}, nil
		}
	}
}

// portal is where an operator changes what the bot is and may do.
const portal = "https://discord.com/developers/applications"

func baseURL(s string) (*url.URL, error) {
	if s == "" {
		s = DefaultURL
	}
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w Discord URL %q: it must begin with https:// or http://", tidings.ErrInvalid, s)
	}
	return u, nil
}

// plainClient returns a client that leaves time limits to the requests and follows no redirects: Discord's API has none,
// and a token must not go elsewhere.
func plainClient(c *http.Client) *http.Client {
	out := &http.Client{}
	if c != nil {
		*out = *c
	}
	out.Timeout = 0
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return out
}

// once remembers a bounded number of words.
type once struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newOnce() *once { return &once{seen: map[string]bool{}} }

// first reports whether the word is new. When there are too many it says no.
func (o *once) first(word string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[word] || len(o.seen) >= 256 {
		return false
	}
	o.seen[word] = true
	return true
}
