// Package access knows who may read what: it holds every guild's roles, channels and signed-in members in memory, works out
// visible sets from them, and asks Discord who is a member.
//
// The rules themselves are [tidings.Rules]; what is stored is store's; telling browsers that a set has changed is hub's. What
// is unknown is denied: a guild that is not loaded, a person whose membership has not been answered yet, a channel that nobody
// has described. Everything handed out is shared and must not be changed.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/sync/errgroup"

	"tidings"
)

// Loader reads guilds, and keeps who is a member of them. It is *store.Store.
type Loader interface {
	Guilds
	Memberships
}

// Guilds reads what decides who may read what. AccessVersions names the guilds that are not removed.
type Guilds interface {
	GuildIDs(ctx context.Context) ([]discord.GuildID, error)
	GuildState(ctx context.Context, guild discord.GuildID) (*tidings.GuildState, error)
	AccessVersions(ctx context.Context) (map[discord.GuildID]int64, error)
	AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error)
}

// Memberships keeps what Discord answered about members. WatchMember returns how many events of the member were seen;
// SaveMember answers current=false when more have been seen since, and then has saved nothing.
type Memberships interface {
	WatchMember(ctx context.Context, guild discord.GuildID, user discord.UserID) (events int64, err error)
	SaveMember(ctx context.Context, guild discord.GuildID, user discord.UserID, m *tidings.Member, events int64) (change tidings.AccessChange, current bool, err error)
	UnaskedMembers(ctx context.Context, guild discord.GuildID) ([]discord.UserID, error)
	// DoubtedMembers lists those of whom it was said that they are members, and that they are not, before events of the guild were
	// lost for good; MemberDoubted says whether one is among them, or unknown, still.
	DoubtedMembers(ctx context.Context, guild discord.GuildID) (in, out []discord.UserID, err error)
	MemberDoubted(ctx context.Context, guild discord.GuildID, user discord.UserID) (bool, error)
	// DenyDoubted denies what has been doubtful for longer.
	DenyDoubted(ctx context.Context, after time.Duration) ([]tidings.AccessChange, error)
}

// MemberFetcher asks Discord about one member. It is bot's REST. [tidings.ErrNotFound] means: not a member.
type MemberFetcher interface {
	Member(ctx context.Context, guild discord.GuildID, user discord.UserID) (*tidings.Member, error)
}

// Options adjusts an [Access]. The zero value is fine.
type Options struct {
	Log *slog.Logger
	// Tell is called after Run or Enroll found that a guild's access version had moved. It is (*hub.Hub).Tell.
	Tell func(context.Context, tidings.Result)
	// Recheck is how often Discord is asked again about every known member, for members whose leaving no event told: the
	// members intent is off, or it happened while nobody listened. Default 15 minutes, negative for never.
	Recheck time.Duration
	// Here reports whether somebody has a connection open, so that they are asked about ahead of others. It is (*hub.Hub).Connected.
	Here func(discord.UserID) bool
	// Doubt is how long somebody counts as a member who was one before events of the guild were lost for good, and could not be asked
	// about since. Default 5 minutes.
	Doubt time.Duration
	// Sweep is how often the store is asked for versions that moved without anybody telling. Default 10 seconds.
	Sweep time.Duration
	// Asks is how many questions to Discord may be under way at once, in each Enroll and in Run. Default 4.
	Asks int
	// Rate bounds the background's questions a second, so that people who sign in do not wait behind them; doubtful memberships may
	// come four times as fast. Default 5.
	Rate float64
	// Backoff is the wait before question number try+1 after a failure, try from 1. Default: 1 s doubling to 10 minutes, with jitter.
	Backoff func(try int) time.Duration
	// Cached is how many people's sets are kept. Default 20,000. A set that was dropped is worked out again, under a new epoch.
	Cached int
}

const (
	loadTimeout  = 30 * time.Second
	loadsAtOnce  = 4
	reloadRounds = 3
	idleSeconds  = 15 * 60
	// lately is how long ago somebody's last request may be for them to count as here.
	lately = 5 * 60
)

// Access holds the guilds in memory. Its methods may be called by many goroutines.
type Access struct {
	loader  Loader
	fetcher MemberFetcher
	o       Options
	log     *slog.Logger

	mu      sync.RWMutex
	guilds  map[discord.GuildID]*guild
	where   map[discord.ChannelID]discord.GuildID
	member  map[discord.UserID][]discord.GuildID // where a person is a member
	people  map[discord.UserID]*person
	flights map[discord.GuildID]*flight

	epochs epochs
	asks   *asks

	catching sync.Mutex // held by CatchUp
	caughtUp time.Time
}

// New makes an Access that knows nothing yet; Load fills it.
func New(l Loader, f MemberFetcher, o Options) *Access {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tell == nil {
		o.Tell = func(context.Context, tidings.Result) {}
	}
	if o.Recheck == 0 {
		o.Recheck = 15 * time.Minute
	}
	if o.Here == nil {
		o.Here = func(discord.UserID) bool { return false }
	}
	if o.Doubt <= 0 {
		o.Doubt = 5 * time.Minute
	}
	if o.Sweep <= 0 {
		o.Sweep = 10 * time.Second
	}
	if o.Asks <= 0 {
		o.Asks = 4
	}
	if o.Rate <= 0 {
		o.Rate = 5
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Cached <= 0 {
		o.Cached = 20_000
	}
	return &Access{
		loader: l, fetcher: f, o: o, log: o.Log,
		guilds:  map[discord.GuildID]*guild{},
		where:   map[discord.ChannelID]discord.GuildID{},
		member:  map[discord.UserID][]discord.GuildID{},
		people:  map[discord.UserID]*person{},
		flights: map[discord.GuildID]*flight{},
		asks:    newAsks(),
	}
}

// Load reads all guilds. It is called before Run.
func (a *Access) Load(ctx context.Context) error {
	ids, err := a.loader.GuildIDs(ctx)
	if err != nil {
		return fmt.Errorf("load guilds: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadsAtOnce)
	for _, id := range ids {
		group.Go(func() error { return a.reload(ctx, id, 0, true) })
	}
	return group.Wait()
}

// Version returns the access version of a guild that is in memory, 0 when the guild is unknown.
func (a *Access) Version(g discord.GuildID) int64 {
	if s := a.guild(g); s != nil {
		return s.version
	}
	return 0
}

// Guild returns a guild's state, its channels in the order in which they are shown. It must not be changed.
func (a *Access) Guild(g discord.GuildID) (*tidings.GuildState, bool) {
	if s := a.guild(g); s != nil && !s.gone {
		return s.state, true
	}
	return nil, false
}

// Channel returns a channel, whoever may read it.
func (a *Access) Channel(c discord.ChannelID) (tidings.Channel, bool) {
	if s := a.guildOf(c); s != nil {
		return s.channel(c)
	}
	return tidings.Channel{}, false
}

// CanRead reports whether a person may read a channel now.
func (a *Access) CanRead(u discord.UserID, c discord.ChannelID) bool {
	s := a.guildOf(c)
	return s != nil && s.readers[u].CanRead(c)
}

// Permissions are what a person may do in a channel now; none where they are not known to be a member.
func (a *Access) Permissions(u discord.UserID, c discord.ChannelID) tidings.Permissions {
	s := a.guildOf(c)
	if s == nil {
		return 0
	}
	return s.readers[u].Permissions(c, time.Now())
}

func (a *Access) guild(g discord.GuildID) *guild {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.guilds[g]
}

func (a *Access) guildOf(c discord.ChannelID) *guild {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.guilds[a.where[c]]
}

// Reload makes sure that a guild in memory is at least of a version. It does nothing when it is already; calls at the same
// time share one reading, unless that began too early to see the version. A guild that is removed is forgotten.
func (a *Access) Reload(ctx context.Context, g discord.GuildID, atLeast int64) error {
	return a.reload(ctx, g, atLeast, false)
}

// flight is one reading of a guild's state. The goroutine that made it does the reading.
type flight struct {
	done chan struct{}
	err  error
}

// reload is Reload; force reads even when memory seems new enough.
func (a *Access) reload(ctx context.Context, g discord.GuildID, atLeast int64, force bool) error {
	waited := false
	for range reloadRounds {
		a.mu.Lock()
		if s := a.guilds[g]; !force && s != nil && s.version >= atLeast {
			a.mu.Unlock()
			return nil
		}
		f, joined := a.flights[g]
		if !joined {
			f = &flight{done: make(chan struct{})}
			a.flights[g] = f
		}
		a.mu.Unlock()

		if !joined {
			if err := a.lead(ctx, f, g, atLeast); err != nil {
				return err
			}
			force = false
			continue
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("reload guild %d: %w", g, ctx.Err())
		}
		switch {
		case f.err == nil:
			// Only a flight that began after the call has surely seen what the caller knows of: the second one.
			force = force && !waited
			waited = true
		case errors.Is(f.err, context.Canceled) || errors.Is(f.err, context.DeadlineExceeded):
			// The reader's own context is no reason for others to give up.
		default:
			return f.err
		}
	}
	if v := a.Version(g); v < atLeast || force {
		return fmt.Errorf("reload guild %d: stored is version %d, want %d: %w", g, v, atLeast, tidings.ErrUnavailable)
	}
	return nil
}

// lead does a flight's reading and lets the others go.
func (a *Access) lead(ctx context.Context, f *flight, g discord.GuildID, atLeast int64) error {
	f.err = fmt.Errorf("reload guild %d: %w", g, context.Canceled) // stands if the reading panics
	defer func() {
		a.mu.Lock()
		delete(a.flights, g)
		a.mu.Unlock()
		close(f.done)
	}()
	f.err = a.read(ctx, g, atLeast)
	return f.err
}

func (a *Access) read(ctx context.Context, g discord.GuildID, atLeast int64) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	state, err := a.loader.GuildState(ctx, g)
	switch {
	case errors.Is(err, tidings.ErrNotFound):
		a.install(g, &guild{version: max(atLeast, a.Version(g)), gone: true})
	case err != nil:
		return fmt.Errorf("reload guild %d: %w", g, err)
	default:
		a.install(g, newGuild(state))
	}
	return nil
}

// install puts a guild's new state into place. From then on nothing answers from the old one: the sets of its members, former
// ones too, are marked as to be worked out again.
func (a *Access) install(g discord.GuildID, s *guild) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.guilds[g]
	if old == nil {
		old = &guild{gone: true}
	}
	// A removed guild that comes back may have been purged meanwhile, so that its versions begin again.
	if !old.gone && s.version < old.version {
		return
	}
	a.guilds[g] = s
	for c := range old.index {
		if _, still := s.index[c]; !still {
			delete(a.where, c)
		}
	}
	for c := range s.index {
		if _, before := old.index[c]; !before {
			a.where[c] = g
		}
	}
	for u := range old.readers {
		if _, still := s.readers[u]; !still {
			a.leave(u, g)
			a.touch(u)
		}
	}
	for u := range s.readers {
		if _, before := old.readers[u]; !before {
			a.member[u] = append(a.member[u], g)
		}
		a.touch(u)
	}
	if !s.gone && (old.gone || s.state.Silences > old.state.Silences) {
		a.asks.scan(g)
	}
}

func (a *Access) leave(u discord.UserID, g discord.GuildID) {
	guilds := a.member[u]
	for i := range guilds {
		if guilds[i] == g {
			guilds[i] = guilds[len(guilds)-1]
			a.member[u] = guilds[:len(guilds)-1]
			break
		}
	}
	if len(a.member[u]) == 0 {
		delete(a.member, u)
	}
}

// touch asks for a person's set to be worked out again. That of somebody who has not been here for a while is dropped
// instead, because it would keep the guild's old state in memory.
func (a *Access) touch(u discord.UserID) {
	p := a.people[u]
	if p == nil {
		return
	}
	p.want.Add(1)
	if time.Now().Unix()-p.used.Load() > idleSeconds {
		delete(a.people, u)
	}
}
