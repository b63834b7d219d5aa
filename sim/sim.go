package sim

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say how the simulator behaves. The zero value is an empty world with Discord's own figures.
type Options struct {
	Log *slog.Logger
	// World is "demo" for a lively community, or "" for an empty one.
	World string
	// Rand fixes chance (tokens, who says what) when it is not 0.
	Rand uint64
	// Seed is a chat file (JSON lines, gzip or not) that is loaded into a guild of its own at the start.
	Seed io.Reader
	// StatePath is a file that keeps the world from one run to the next; "" keeps nothing.
	StatePath string
	// BaseURL is the address under which clients reach the simulator, such as http://127.0.0.1:8090. Empty, each
	// answer uses the Host of its request.
	BaseURL string
	// HeartbeatInterval is what HELLO names; 0 means 41.25 s.
	HeartbeatInterval time.Duration
	// ReplayEvents and ReplayAge bound what RESUME can replay; 0 means 4096 events and 5 minutes.
	ReplayEvents int
	ReplayAge    time.Duration
	// IdentifyLimit is how many IDENTIFYs a day are allowed; 0 means 1000.
	IdentifyLimit int
	// IdentifyEvery is the time in which MaxConcurrency sessions may identify; 0 means 5 s, negative no limit.
	IdentifyEvery time.Duration
	// MaxConcurrency is how many shards may identify at once; 0 means 1.
	MaxConcurrency int
	// Shards is what /gateway/bot recommends; 0 means 1. RequireShards makes an unsharded IDENTIFY fail with 4011.
	Shards        int
	RequireShards bool
	// Refused are privileged intents that the application has not been granted.
	Refused Intent
	// RedirectURIs are the OAuth2 redirect addresses that are registered; empty, any is taken.
	RedirectURIs []string
	// NoRateLimits turns the limits off (per bucket, 50 a second, 10,000 invalid requests); headers are sent all the same.
	NoRateLimits bool
	// Pace is the mean time between two acts of the demo's people; 0 means 2 s, negative silences them.
	Pace time.Duration
	// SearchDelay is how long search answers 202 after a guild began; 0 means at once.
	SearchDelay time.Duration
	// RetryPause is the first pause before a webhook event that was not taken is sent again; it doubles. 0 means 1 s.
	RetryPause time.Duration
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// OnExchange is told of every finished REST exchange. It must not keep the bodies' memory.
	OnExchange func(Exchange)
	// OnEvent is told of every gateway dispatch as it is written for a session.
	OnEvent func(t string, d []byte)
	// OnReplay is told about ten times a second how far a replay is, and once at its end.
	OnReplay func(id string, sent, total int)
}

// Sim is one simulated Discord. See the package comment for its lock.
type Sim struct {
	o   Options
	log *slog.Logger
	now func() time.Time
	// past is what the clock shows while New builds the demo's history; otherwise it is zero.
	past time.Time

	mu       sync.Mutex
	rand     *rand.Rand
	chacha   *rand.ChaCha8
	lastID   ID
	app      *application
	users    map[ID]*User
	byToken  map[string]*User
	guilds   map[ID]*Guild
	channels map[ID]*Channel
	byGuild  map[ID]map[ID]*Channel
	webhooks map[ID]*Webhook
	files    map[ID]*file
	grants   *grants
	sessions map[string]*session
	conns    map[*conn]bool
	started  []identified
	record   *record
	replays  map[string]*replay
	faults   []*fault
	limits   *limits
	dirty    bool
	// spoke is where the demo's people spoke last, and when.
	spoke   ID
	spokeAt time.Time
	// room is poked when a session's buffer has drained a little.
	room chan struct{}
	// work are loops that an act under the lock wants started: replays, resolving embeds, deliveries.
	work chan func(context.Context)
	mux  http.Handler
	// closed refuses new gateway connections; serving counts those that are open.
	closed  bool
	serving sync.WaitGroup
}

// application is the one application, whose bot it is all about.
type application struct {
	ID            ID                 `json:"id"`
	Name          string             `json:"name"`
	Secret        string             `json:"secret"`
	Key           ed25519.PrivateKey `json:"key"`
	OwnerID       ID                 `json:"owner_id"`
	Refused       Intent             `json:"refused"`
	Description   string             `json:"description"`
	EventsURL     string             `json:"events_url,omitempty"`
	EventsStatus  int                `json:"events_status,omitempty"`
	EventsTypes   []string           `json:"events_types,omitempty"`
	RedirectURIs  []string           `json:"redirect_uris,omitempty"`
	Interactions  string             `json:"interactions,omitempty"`
	LobbyChannels map[ID]ID          `json:"lobby_channels,omitempty"`
}

func (a *application) publicKey() string {
	return hex.EncodeToString(a.Key.Public().(ed25519.PublicKey))
}

// flags are the portal's switches for privileged intents, in their "limited" form.
func (a *application) flags() int {
	f := 0
	for in, bit := range map[Intent]int{IntentPresences: 1 << 13, IntentMembers: 1 << 15, IntentContent: 1 << 19} {
		if a.Refused&in == 0 {
			f |= bit
		}
	}
	return f
}

func (a *application) mayReadContent() bool { return a.Refused&IntentContent == 0 }

// New makes a simulator with its world. It starts nothing: serve Handler, and call Run for what happens by itself.
func New(o Options) *Sim {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = 41250 * time.Millisecond
	}
	if o.ReplayEvents == 0 {
		o.ReplayEvents = 4096
	}
	if o.ReplayAge == 0 {
		o.ReplayAge = 5 * time.Minute
	}
	if o.IdentifyLimit == 0 {
		o.IdentifyLimit = 1000
	}
	if o.IdentifyEvery == 0 {
		o.IdentifyEvery = 5 * time.Second
	}
	if o.MaxConcurrency == 0 {
		o.MaxConcurrency = 1
	}
	if o.Shards == 0 {
		o.Shards = 1
	}
	if o.Pace == 0 {
		o.Pace = 2 * time.Second
	}
	if o.RetryPause == 0 {
		o.RetryPause = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sim{
		o: o, log: o.Log,
		users: map[ID]*User{}, byToken: map[string]*User{}, guilds: map[ID]*Guild{}, channels: map[ID]*Channel{},
		byGuild: map[ID]map[ID]*Channel{}, webhooks: map[ID]*Webhook{}, files: map[ID]*file{}, grants: newGrants(),
		sessions: map[string]*session{}, conns: map[*conn]bool{}, record: newRecord(), replays: map[string]*replay{},
		limits: newLimits(), room: make(chan struct{}, 1), work: make(chan func(context.Context), 256),
	}
	s.now = func() time.Time {
		if !s.past.IsZero() {
			return s.past
		}
		return o.Now().UTC()
	}
	s.seedChance()
	s.mux = s.routes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loadState() {
		s.createApplication()
		if o.World == "demo" {
			s.createDemo()
		}
		if o.Seed != nil {
			s.loadSeed(o.Seed)
		}
	}
	s.app.Refused = o.Refused
	if len(o.RedirectURIs) > 0 {
		s.app.RedirectURIs = o.RedirectURIs
	}
	return s
}

func (s *Sim) seedChance() {
	var seed [32]byte
	if s.o.Rand != 0 {
		binary.LittleEndian.PutUint64(seed[:], s.o.Rand)
	} else if _, err := crand.Read(seed[:]); err != nil {
		panic(err) // crypto/rand never fails on supported systems
	}
	s.chacha = rand.NewChaCha8(seed)
	s.rand = rand.New(s.chacha)
}

// secret gives n random bytes as text.
func (s *Sim) secret(n int) string {
	b := make([]byte, n)
	s.chacha.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// token makes an authorization token of Discord's shape: the user's id, then two random parts.
func (s *Sim) token(id ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id.String())) + "." + s.secret(4) + "." + s.secret(28)
}

func (s *Sim) createApplication() {
	// The application is some years old, as bots are.
	id := s.newIDAt(s.now().AddDate(-1, 0, 0))
	seed := make([]byte, ed25519.SeedSize)
	s.chacha.Read(seed)
	s.app = &application{ID: id, Name: "Tidings", Secret: s.secret(24), Key: ed25519.NewKeyFromSeed(seed), EventsStatus: 1}
	bot := &User{ID: id, Username: "tidings", Bot: true, Token: s.token(id)}
	s.users[id], s.byToken[bot.Token] = bot, bot
}

// Handler serves everything: REST, gateway, OAuth2 and /sim/.
func (s *Sim) Handler() http.Handler { return s.mux }

// Run does what happens by itself until ctx ends: people talk, replays play, limits of time pass. At its end every
// gateway connection is dropped, without ending the sessions, and the world is saved.
func (s *Sim) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.runWork(ctx) })
	if s.o.World == "demo" && s.o.Pace > 0 {
		g.Go(func() error { return s.people(ctx) })
	}
	g.Go(func() error { return s.housekeep(ctx) })
	err := g.Wait()
	s.Close()
	if serr := s.saveState(); serr != nil {
		s.log.Warn("world not saved", "err", serr)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// runWork runs the loops that acts ask for, each in a goroutine that ends with ctx.
func (s *Sim) runWork(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.work:
			wg.Go(func() { f(ctx) })
		}
	}
}

// start asks Run to run f. Without Run it waits in the queue.
func (s *Sim) start(f func(context.Context)) {
	select {
	case s.work <- f:
	default:
		s.log.Warn("too much work at once, one piece left out")
	}
}

// housekeep saves the world and forgets what has expired.
func (s *Sim) housekeep(ctx context.Context) error {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		s.mu.Lock()
		s.expire()
		s.mu.Unlock()
		if err := s.saveState(); err != nil {
			s.log.Warn("world not saved", "err", err)
		}
	}
}

// Close drops every gateway connection as a lost network would, and returns when they are gone. Sessions stay.
func (s *Sim) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.drop()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Bot is what a client needs to be the bot.
type Bot struct {
	ID           ID     `json:"id"`
	Token        string `json:"token"`
	ClientID     ID     `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	PublicKey    string `json:"public_key"`
}

// Bot gives the application's credentials.
func (s *Sim) Bot() Bot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bot()
}

func (s *Sim) bot() Bot {
	return Bot{ID: s.app.ID, Token: s.users[s.app.ID].Token, ClientID: s.app.ID, ClientSecret: s.app.Secret, PublicKey: s.app.publicKey()}
}
