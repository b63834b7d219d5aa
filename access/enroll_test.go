package access_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
)

// told collects what an Access tells.
type told struct {
	mu      sync.Mutex
	changes []tidings.AccessChange
}

func (t *told) tell(_ context.Context, r tidings.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, r.Access...)
}

func (t *told) all() []tidings.AccessChange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.changes)
}

func soon(int) time.Duration { return time.Millisecond }

func TestEnroll(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.add(2, "two", text(20))
	w.add(3, "three", text(30))
	w.discord[key{1, 7}] = tidings.Member{User: 7, Roles: []discord.RoleID{50}}
	w.discord[key{3, 7}] = tidings.Member{User: 7}
	var heard told
	a := load(t, w, access.Options{Tell: heard.tell})
	before := a.Visible(7)

	// Guild 99 is one that the bot is not in, guild 2 one that the person has left since.
	if err := a.Enroll(t.Context(), 7, []discord.GuildID{1, 2, 99, 1}, nil); err != nil {
		t.Fatal(err)
	}
	if got := a.Visible(7).ChannelIDs(); !slices.Equal(got, []discord.ChannelID{10}) {
		t.Errorf("after asking about guilds 1 and 2 the set is %v, want 10", got)
	}
	if a.Visible(7).Epoch <= before.Epoch {
		t.Error("the epoch has not grown")
	}
	if n := w.fetches.Load(); n != 2 {
		t.Errorf("Discord was asked %d times, want 2", n)
	}
	if got := heard.all(); len(got) != 1 || got[0].Guild != 1 || !slices.Equal(got[0].Users, []discord.UserID{7}) {
		t.Errorf("told %+v, want the change in guild 1", got)
	}
	if err := a.Enroll(t.Context(), 7, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !a.CanRead(7, 10) || a.CanRead(7, 20) || !a.CanRead(7, 30) {
		t.Error("after asking about all guilds the wrong channels can be read")
	}
	if err := a.Enroll(t.Context(), 7, []discord.GuildID{}, nil); err != nil || w.fetches.Load() != 5 {
		t.Errorf("an empty hint asked about something (%v)", err)
	}
}

// TestARemovalWhileDiscordAnswers is the race of GET member against GUILD_MEMBER_REMOVE: the answer says "member", the event
// came while it was on its way.
func TestARemovalWhileDiscordAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	k := key{1, 7}
	w.discord[k] = tidings.Member{User: 7}
	var once sync.Once
	w.onFetch = func(discord.GuildID, discord.UserID) {
		once.Do(func() {
			w.edit(func() {
				delete(w.discord, k)
				w.events[k]++
			})
		})
	}
	a := load(t, w, access.Options{})
	if err := a.Enroll(t.Context(), 7, nil, nil); err != nil {
		t.Fatal(err)
	}
	if a.CanRead(7, 10) {
		t.Error("the removed member can read")
	}
	if n := w.fetches.Load(); n != 2 {
		t.Errorf("Discord was asked %d times, want again after the event", n)
	}
}

func TestAskingAgainEndsAtSomeTime(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	k := key{1, 7}
	w.discord[k] = tidings.Member{User: 7}
	var busy atomic.Bool
	busy.Store(true)
	w.onFetch = func(discord.GuildID, discord.UserID) {
		if busy.Load() {
			w.edit(func() { w.events[k]++ })
		}
	}
	a := load(t, w, access.Options{Backoff: soon, Rate: 1000})
	if err := a.Enroll(t.Context(), 7, nil, nil); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Enroll() = %v, want ErrUnavailable", err)
	}
	if n := w.fetches.Load(); n > 10 {
		t.Errorf("Discord was asked %d times", n)
	}
	if a.CanRead(7, 10) {
		t.Error("a membership that could not be settled can read")
	}
	busy.Store(false)
	run(t, a)
	eventually(t, "the background settles it", func() bool { return a.CanRead(7, 10) })
}

func TestAFailedQuestionIsAskedAgainInTheBackground(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.discord[key{1, 7}] = tidings.Member{User: 7}
	w.fetchErr = errors.New("502 bad gateway")
	var heard told
	a := load(t, w, access.Options{Backoff: soon, Rate: 1000, Tell: heard.tell})
	run(t, a)
	if err := a.Enroll(t.Context(), 7, nil, nil); !errors.Is(err, w.fetchErr) {
		t.Errorf("Enroll() = %v, want Discord's error", err)
	}
	eventually(t, "it is asked again", func() bool { return w.fetches.Load() >= 3 })
	if a.CanRead(7, 10) {
		t.Error("somebody unknown can read")
	}
	w.edit(func() { w.fetchErr = nil })
	eventually(t, "the answer arrives", func() bool { return a.CanRead(7, 10) })
	eventually(t, "it is told", func() bool { return len(heard.all()) == 1 })
}

// Where the bot cannot ask, the person's own token may.
func TestAPersonsOwnTokenAnswersWhereTheBotCannot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		bot     error
		own     *tidings.Member
		failed  error
		reads   bool
		settled bool
	}{
		{"they are a member", errors.New("502 bad gateway"), &tidings.Member{User: 7}, nil, true, true},
		{"they are none", errors.New("502 bad gateway"), nil, tidings.ErrNotFound, false, true},
		{"their question fails as well", errors.New("502 bad gateway"), nil, errors.New("500 internal"), false, false},
		{"the bot knows better", tidings.ErrNotFound, &tidings.Member{User: 7}, nil, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.add(1, "one", text(10))
			w.fetchErr = tt.bot
			a := load(t, w, access.Options{Backoff: soon, Rate: 1000})
			err := a.Enroll(t.Context(), 7, nil, func(_ context.Context, g discord.GuildID) (*tidings.Member, error) {
				if g != 1 {
					t.Errorf("asked about guild %d", g)
				}
				return tt.own, tt.failed
			})
			if (err == nil) != tt.settled {
				t.Errorf("Enroll() = %v, settled is to be %t", err, tt.settled)
			}
			if got := a.CanRead(7, 10); got != tt.reads {
				t.Errorf("CanRead() = %t, want %t", got, tt.reads)
			}
		})
	}
}

// While Discord answers the bot late or not at all, signing in still ends in time, with what the person's own token says.
func TestTheBotsQuestionLeavesTimeForThePersonsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.silent = true
	a := load(t, w, access.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	err := a.Enroll(ctx, 7, nil, func(ctx context.Context, _ discord.GuildID) (*tidings.Member, error) {
		return &tidings.Member{User: 7}, ctx.Err()
	})
	if err != nil {
		t.Errorf("Enroll() = %v", err)
	}
	if !a.CanRead(7, 10) {
		t.Error("a member cannot read")
	}
}

func TestPeopleInANewGuildAreAskedAbout(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.users = []discord.UserID{7, 8, 9}
	w.add(1, "one", text(10))
	for _, u := range w.users {
		w.discord[key{1, u}] = tidings.Member{User: u}
	}
	a := load(t, w, access.Options{Backoff: soon, Rate: 1000, Sweep: time.Millisecond})
	w.edit(func() { w.loadErr = errors.New("the database restarts") })
	run(t, a)
	w.edit(func() { w.loadErr = nil })
	eventually(t, "people are found in the guild that was there at the start", func() bool {
		return a.CanRead(7, 10) && a.CanRead(8, 10) && a.CanRead(9, 10)
	})
	w.add(2, "two", text(20))
	w.edit(func() { w.discord[key{2, 8}] = tidings.Member{User: 8} })
	eventually(t, "the new guild's member is found", func() bool { return a.CanRead(8, 20) })
	eventually(t, "the others are settled", func() bool {
		left, _ := w.UnaskedMembers(t.Context(), 2)
		return len(left) == 0
	})
	if a.CanRead(7, 20) || a.CanRead(9, 20) {
		t.Error("somebody who is not in the new guild can read it")
	}
}

// TestAnUntoldLeaveIsFound is for the members intent being off: nobody says that somebody left.
func TestAnUntoldLeaveIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7)
	w.join(1, 8)
	var heard told
	a := load(t, w, access.Options{Recheck: 5 * time.Millisecond, Rate: 1000, Tell: heard.tell})
	run(t, a)
	w.edit(func() { delete(w.discord, key{1, 7}) })
	eventually(t, "the leave is found", func() bool { return !a.CanRead(7, 10) && len(a.Visible(7).Guilds) == 0 })
	eventually(t, "it is told", func() bool { return len(heard.all()) == 1 })
	if !a.CanRead(8, 10) {
		t.Error("the other member lost the channel")
	}
}

// TestAnOutageKeepsWhatIsKnown: a question about a known member that fails changes nothing.
func TestAnOutageKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7)
	w.fetchErr = errors.New("503")
	a := load(t, w, access.Options{Recheck: 5 * time.Millisecond, Rate: 1000, Backoff: soon})
	run(t, a)
	eventually(t, "it is asked a few times", func() bool { return w.fetches.Load() >= 3 })
	if !a.CanRead(7, 10) {
		t.Error("the member lost the channel over an outage")
	}
}

func TestAChangeThatNobodyToldIsSwept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := w.add(1, "one", text(10))
	w.add(2, "two", text(20))
	w.join(1, 7)
	w.join(2, 7)
	var heard told
	a := load(t, w, access.Options{Sweep: time.Millisecond, Recheck: -1, Tell: heard.tell})
	run(t, a)
	w.edit(func() {
		s.Version++
		s.Channels[0].Overwrites = []tidings.Overwrite{{ID: 1, Deny: view}}
	})
	eventually(t, "the denial is seen", func() bool { return !a.CanRead(7, 10) })
	w.edit(func() { delete(w.guilds, 2) })
	eventually(t, "the removal is seen", func() bool { return len(a.Visible(7).Guilds) == 1 })
	eventually(t, "both are told", func() bool { return len(heard.all()) >= 2 })
	for _, c := range heard.all() {
		if c.Guild == 1 && c.Version != 2 {
			t.Errorf("told %+v, want version 2", c)
		}
	}
}

func TestTheCacheOfSetsIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := w.add(1, "one", text(10))
	const people = 200
	for u := range people {
		w.join(1, discord.UserID(1+u))
	}
	a := load(t, w, access.Options{Cached: 10})
	epochs := map[discord.UserID]int64{}
	for round := range 3 {
		w.edit(func() { s.Version++ })
		if err := a.Reload(t.Context(), 1, s.Version); err != nil {
			t.Fatal(err)
		}
		for u := range discord.UserID(people) {
			set := a.Visible(1 + u)
			if len(set.ChannelIDs()) != 1 || set.Epoch < epochs[u] {
				t.Fatalf("round %d: user %d sees %+v, epoch before %d", round, 1+u, set, epochs[u])
			}
			epochs[u] = set.Epoch
		}
	}
}

// TestManyAtOnce lets readers and changes run against each other: after a reload nobody may see what it took away.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	const guilds, people, rounds = 3, 20, 40
	var channels []tidings.Channel
	for c := range 50 {
		channels = append(channels, text(discord.ChannelID(1000+c)))
	}
	states := map[discord.GuildID]*tidings.GuildState{}
	for g := range discord.GuildID(guilds) {
		own := slices.Clone(channels)
		for i := range own {
			own[i].ID += discord.ChannelID(1000 * g)
		}
		states[g+1] = w.add(g+1, "guild", own...)
		for u := range people {
			w.join(g+1, discord.UserID(1+u))
		}
	}
	a := load(t, w, access.Options{Cached: people / 2})
	var wg sync.WaitGroup
	for u := range people {
		wg.Go(func() {
			var last int64
			for range rounds {
				set := a.Visible(discord.UserID(1 + u))
				if set.Epoch < last {
					t.Errorf("epoch fell from %d to %d", last, set.Epoch)
				}
				last = set.Epoch
				for _, g := range set.Guilds {
					for _, c := range g.Channels[:5] {
						a.CanRead(set.User, c.ID)
					}
				}
			}
		})
	}
	for g, s := range states {
		wg.Go(func() {
			first := s.Channels[0].ID
			for n := range rounds {
				denied := n%2 == 0
				var version int64
				w.edit(func() {
					s.Version++
					version = s.Version
					s.Channels = slices.Clone(s.Channels)
					s.Channels[0].Overwrites = nil
					if denied {
						s.Channels[0].Overwrites = []tidings.Overwrite{{ID: discord.Snowflake(g), Deny: view}}
					}
				})
				if err := a.Reload(context.Background(), g, version); err != nil {
					t.Error(err)
				}
				u := discord.UserID(1 + n%people)
				if a.CanRead(u, first) == denied || slices.Contains(a.Visible(u).ChannelIDs(), first) == denied {
					t.Errorf("round %d: the change of version %d is not seen", n, version)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkChange is one permission change in one of 1,000 guilds of 500 channels, and all that 1,000 connected people need
// afterwards, of whom 20 are in that guild.
func BenchmarkChange(b *testing.B) {
	w := newWorld()
	const guilds, people = 1000, 1000
	for g := range discord.GuildID(guilds) {
		channels := make([]tidings.Channel, 500)
		for i := range channels {
			channels[i] = text(discord.ChannelID(g)*1000 + discord.ChannelID(i) + 100_000)
			channels[i].Overwrites = []tidings.Overwrite{{ID: 50, Allow: view}, {ID: 51, Deny: view}, {ID: 52, Allow: view}}
		}
		w.add(g+1, "guild", channels...)
		for k := range 20 {
			w.join(g+1, discord.UserID(1+(int(g)*7+k*31)%people), 50)
		}
	}
	a := access.New(w, w, access.Options{})
	if err := a.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	for u := range people {
		a.Visible(discord.UserID(1 + u))
	}
	s := w.guilds[5]
	b.ReportAllocs()
	for b.Loop() {
		s.Version++
		if err := a.Reload(b.Context(), 5, s.Version); err != nil {
			b.Fatal(err)
		}
		for u := range people {
			a.Visible(discord.UserID(1 + u))
		}
	}
}

func BenchmarkCanRead(b *testing.B) {
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7, 50)
	a := access.New(w, w, access.Options{})
	if err := a.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			a.CanRead(7, 10)
		}
	})
}
