package hub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// Access says who may read what. It is *access.Access.
type Access interface {
	// Visible must be cheap when nothing has changed; it is asked for every connected person in each sweep.
	Visible(u discord.UserID) *tidings.VisibleSet
	Reload(ctx context.Context, g discord.GuildID, atLeast int64) error
	Version(g discord.GuildID) int64
}

// Store answers what the socket shows. It is *store.Store.
type Store interface {
	Summary(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error)
	Counts(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) ([]tidings.ReadChannel, error)
	Versions(ctx context.Context, channels []discord.ChannelID) (map[discord.ChannelID]int64, error)
	AccessVersions(ctx context.Context) (map[discord.GuildID]int64, error)
	AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error)
	Revs(ctx context.Context, users []discord.UserID) (map[discord.UserID]int64, error)
	MarkRead(ctx context.Context, set *tidings.VisibleSet, m tidings.MarkRead) (tidings.ReadResult, error)
	// Outgrow makes all versions and revs greater than any that was ever told, if the stored versions of these channels, or access versions of
	// these guilds, are below what is given.
	Outgrow(ctx context.Context, channels map[discord.ChannelID]int64, guilds map[discord.GuildID]int64) error
}

// Options is what a hub needs.
type Options struct {
	Access Access
	Store  Store
	// Redis carries changes between processes; nil when there is only one. The hub makes a client of its own with the same options.
	Redis  redis.UniversalClient
	Prefix string // of the Redis channels' names
	// Encode makes the JSON of a message as API and live socket show it.
	Encode  func(tidings.Message) ([]byte, error)
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none
	// Origins are further origins whose pages may open the socket, as host patterns ("tidings.example", "*.example");
	// the request's own host always may.
	Origins []string
	// Alive reports whether a session still stands. It is asked for each connection about once a minute, and when the bus
	// has lost something, so that a session that ended elsewhere or expired does not live on here. Nil: never asked.
	Alive func(ctx context.Context, session string) (bool, error)
	// Trace is told of each new message that was handed to sockets here; nil costs nothing. It must not wait for anybody.
	Trace func(Delivery)
	// MaxConns, MaxConnsPerUser and MaxConnsPerAddress bound the connections of this process; 0 means 50,000, 32 and 500.
	MaxConns, MaxConnsPerUser, MaxConnsPerAddress int
	// Window is how long a change may wait for the next ones, when many come, so that they leave in one write: at most
	// MaxWindow. When little comes nothing waits.
	Window time.Duration
}

// DefaultWindow and MaxWindow are for [Options.Window]: past MaxWindow people would notice.
const (
	DefaultWindow = 5 * time.Millisecond
	MaxWindow     = 10 * time.Millisecond
)

// timing holds the hub's durations, so that tests can shorten them.
type timing struct {
	hold      time.Duration // how long a hole in a channel's versions may last before it becomes a reset
	sweep     time.Duration // between two sweeps
	alive     time.Duration // between two checks of a connection's session
	heartbeat time.Duration // between two pings; a connection that was silent for two and a half is dropped
	window    time.Duration // see [Options.Window]
	farewell  time.Duration // for closing handshakes when the hub goes away
	retry     time.Duration // longest wait between attempts to reload a guild
	query     time.Duration // for one question to the store
	spread    time.Duration // over which clients are asked to come back after the hub went away
	closing   time.Duration // for the peer's answer to a close frame
	resume    time.Duration // for which what passed is kept for those who come back
	journal   time.Duration // between two entries of the journal
}

var defaultTiming = timing{
	hold: 200 * time.Millisecond, sweep: 3 * time.Second, alive: time.Minute, heartbeat: 25 * time.Second,
	farewell: 3 * time.Second, retry: 5 * time.Second, query: 10 * time.Second,
	spread: 8 * time.Second, closing: 5 * time.Second, resume: 3 * time.Minute, journal: time.Second,
}

// bounds holds the hub's limits on what waits, so that tests can reach them.
type bounds struct {
	pending int // bytes for one connection; a person's snapshot is not counted
	inbox   int // deltas for one shard's loop; past it a channel's deltas become one reset
	gate    int // deltas at one guild's gate; of the rest only the newest version of each channel is kept
	held    int // deltas above one hole; past it the channel is reset
}

var defaultBounds = bounds{pending: 256 << 10, inbox: 1 << 14, gate: 4096, held: 64}

// Hub knows who is connected. Make one with [New].
type Hub struct {
	access  Access
	store   Store
	encode  func(tidings.Message) ([]byte, error)
	log     *slog.Logger
	origins []string
	alive   func(context.Context, string) (bool, error)
	metrics *metrics
	trace   func(Delivery)
	bus     bus
	timing  timing
	epoch   string // of this hub, in cursors
	plain   bool   // without rings
	bounds  bounds

	maxConns, maxPerUser, maxPerAddress int

	shards   []*shard
	watchers atomic.Int64 // connections that watch messages
	watched  atomic.Int64 // when the last of them stopped, in Unix nanoseconds
	revs     *revs

	redis      redis.UniversalClient // the hub's own; nil without Redis
	closeRedis func() error
	present    presence
	history    *history     // nil without Redis
	journaled  atomic.Int64 // the position up to which the journal is written

	tasks   sync.WaitGroup // goroutines of gates and flushers
	serving sync.WaitGroup // connections

	mu          sync.Mutex
	poller      *poller         // nil before Run, and where there is none
	ctx         context.Context // of Run; nil before
	stopped     bool            // Run's ctx has ended: no more connections
	ended       bool            // no more tasks
	users       map[discord.UserID]*user
	conns       int
	addresses   map[string]int // connections by where they come from
	audiences   map[audienceKey]*audience
	listed      map[*tidings.Channel]*audience // by audience.list
	tracks      map[discord.ChannelID]*track
	due         []dueTrack // in the order of their deadlines
	gates       map[discord.GuildID]*gate
	applied     map[discord.GuildID]int64 // the access version that every connected person's channels are at least of
	denied      map[discord.GuildID]bool
	denials     int64 // grows with each change of denied
	work        []*user
	lostMask    uint32        // bus channels that have lost something since the last sweep
	heard       uint32        // bus channels that are listened to or cannot be, once at least
	losses      int64         // grows whenever something may have been lost
	owed        chan struct{} // closed, and then nil, once a sweep has made up for all losses
	ready       bool
	sessionMask uint32 // bus channels that have lost something since sessions were looked at
	pos         int64  // grows with each delta that passes, and when a channel is no longer followed
	keptBytes   int
	recent      map[discord.UserID]*recent
	recentBytes int                         // of their frames
	moved       map[discord.ChannelID]int64 // versions that the journal does not have yet

	janitor   chan struct{}
	sweepNow  chan struct{}
	lookNow   chan struct{} // at the sessions
	leaving   chan struct{} // closed when the hub goes away
	workReady chan struct{}
	reloads   chan struct{} // a slot per reload under way
	snapshots chan struct{} // a slot per snapshot that is being read
}

// New makes a hub that serves sockets once [Hub.Run] runs.
func New(o Options) *Hub {
	h := &Hub{
		access: o.Access, store: o.Store, encode: o.Encode, log: o.Log, origins: o.Origins, alive: o.Alive, trace: o.Trace,
		metrics: newMetrics(o.Metrics), timing: defaultTiming, epoch: randomHex(epochBytes), bounds: defaultBounds,
		maxConns: o.MaxConns, maxPerUser: o.MaxConnsPerUser, maxPerAddress: o.MaxConnsPerAddress, addresses: map[string]int{},
		recent: map[discord.UserID]*recent{},
		users:  map[discord.UserID]*user{}, audiences: map[audienceKey]*audience{}, listed: map[*tidings.Channel]*audience{},
		tracks: map[discord.ChannelID]*track{}, gates: map[discord.GuildID]*gate{},
		applied: map[discord.GuildID]int64{}, denied: map[discord.GuildID]bool{},
		janitor: make(chan struct{}, 1), sweepNow: make(chan struct{}, 1), lookNow: make(chan struct{}, 1),
		leaving: make(chan struct{}), owed: make(chan struct{}), workReady: make(chan struct{}, 1),
		reloads: make(chan struct{}, maxReloads), snapshots: make(chan struct{}, maxSnapshotsAtOnce),
		revs: newRevs(o.Store), moved: map[discord.ChannelID]int64{},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.maxConns == 0 {
		h.maxConns = 50_000
	}
	if h.maxPerUser == 0 {
		h.maxPerUser = 32
	}
	h.present = presence{o.Redis, o.Prefix, h.timing.heartbeat * 5 / 2}
	if h.maxPerAddress == 0 {
		h.maxPerAddress = 500
	}
	h.timing.window = min(o.Window, MaxWindow)
	for range max(1, runtime.GOMAXPROCS(0)) {
		h.shards = append(h.shards, newShard(h))
	}
	if o.Redis == nil {
		h.bus = localBus{}
		h.heard = allChannels
		signal(h.sweepNow)
	} else {
		h.redis, h.closeRedis = ownClient(o.Redis)
		h.history = newHistory(h.redis, o.Prefix)
		h.bus = newRedisBus(h.redis, o.Prefix, h.receive, h.lost, h.deaf, h.history, h.log, h.metrics)
	}
	return h
}

// maxSnapshotsAtOnce is how many snapshots may be read at the same time. When everybody comes back at once, each waits for
// their turn instead of all for all.
const maxSnapshotsAtOnce = 8

// maxReloads is how many guilds' access may be reloaded at the same time.
const maxReloads = 4

// Run serves until ctx ends. It then tells every connection to come back a little later, and returns when the last one
// has gone and all of the hub's goroutines have ended. It can run once.
func (h *Hub) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h.mu.Lock()
	if h.ctx != nil {
		h.mu.Unlock()
		return errors.New("run hub: it ran before")
	}
	h.ctx = inner
	var err error
	if h.poller, err = newPoller(); err != nil {
		h.log.Info("each live socket takes a goroutine for reading", "err", err)
	}
	poller := h.poller
	for id, g := range h.gates {
		h.startGate(id, g)
	}
	h.mu.Unlock()

	var wg sync.WaitGroup
	stopShards := make(chan struct{})
	var shards sync.WaitGroup
	if err := h.openRings(); err != nil {
		h.log.Info("each write to a live socket is a call of its own", "err", err)
	}
	for _, s := range h.shards {
		shards.Go(func() { s.run(stopShards) })
	}
	if poller != nil {
		wg.Go(func() { poller.run(inner) })
	}
	if h.history != nil {
		wg.Go(func() { h.runJournal(inner) })
	}
	wg.Go(func() { h.runJanitor(inner) })
	wg.Go(func() { h.runSweeps(inner) })
	if h.alive != nil {
		wg.Go(func() { h.runSessions(inner) })
	}
	for range workers {
		wg.Go(func() { h.runWork(inner) })
	}
	wg.Go(func() { h.bus.run(inner) })

	<-ctx.Done()
	h.goAway()
	cancel()
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	wg.Wait()
	h.tasks.Wait()
	close(stopShards)
	shards.Wait()
	if h.redis != nil {
		_ = h.closeRedis()
	}
	return nil
}

// openRings gives the shards rings, as far as the kernel lets it.
func (h *Hub) openRings() error {
	if h.plain {
		return nil
	}
	for _, s := range h.shards {
		var err error
		if s.ring, err = newRing(); err != nil {
			return err
		}
	}
	return nil
}

// goAway closes every connection and waits until all have gone.
func (h *Hub) goAway() {
	h.mu.Lock()
	h.stopped = true
	close(h.leaving)
	for _, c := range h.allConns() {
		c.shut(statusRestart, retryHint(h.timing.spread))
	}
	h.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		h.serving.Wait()
		close(gone)
	}()
	t := time.NewTimer(h.timing.farewell)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
		h.mu.Lock()
		for _, c := range h.allConns() {
			c.out.drop()
		}
		h.mu.Unlock()
		<-gone
	}
}

// allConns lists the connections. The caller holds h.mu.
func (h *Hub) allConns() []*conn {
	cs := make([]*conn, 0, h.conns)
	for _, u := range h.users {
		cs = append(cs, u.conns...)
	}
	return cs
}

// post gives a delta of a channel to every shard. The caller holds h.mu, which makes the order the same in all.
func (h *Hub) post(t *track, d *delta) {
	h.keep(t, d)
	if d.version > 0 {
		h.passed(d.channel, d.version)
	}
	for _, s := range h.shards {
		s.postDelta(d)
	}
}

func (h *Hub) shardOf(u discord.UserID) *shard {
	return h.shards[spread(uint64(u))%uint64(len(h.shards))]
}

// spread mixes the bits of an id: snowflakes of one process differ in few of them.
func spread(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
