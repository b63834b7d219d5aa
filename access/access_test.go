package access_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"go.uber.org/goleak"

	"tidings"
	"tidings/access"
	"tidings/embedded/testdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.M{M: m}) }

const (
	view    = tidings.PermissionViewChannel
	history = tidings.PermissionReadMessageHistory
	read    = view | history
)

// load returns an Access that has read the world.
func load(t *testing.T, w *world, o access.Options) *access.Access {
	t.Helper()
	a := access.New(w, w, o)
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs a until the test ends.
func run(t *testing.T, a *access.Access) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}

func text(id discord.ChannelID) tidings.Channel {
	return tidings.Channel{ID: id, Type: tidings.ChannelText, Name: fmt.Sprint("channel ", id)}
}

func TestVisibleSetIsInTheOrderInWhichItIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	hidden := tidings.Channel{ID: 17, Type: tidings.ChannelText, Parent: 3, Overwrites: []tidings.Overwrite{{ID: 1, Deny: view}}}
	w.add(1, "beta",
		tidings.Channel{ID: 31, Type: tidings.ChannelPublicThread, Parent: 11},
		tidings.Channel{ID: 30, Type: tidings.ChannelPublicThread, Parent: 11, Archived: true},
		tidings.Channel{ID: 33, Type: tidings.ChannelPublicThread, Parent: 15},
		tidings.Channel{ID: 34, Type: tidings.ChannelPublicThread, Parent: 77},
		tidings.Channel{ID: 10, Type: tidings.ChannelText, Parent: 2, Position: 1},
		tidings.Channel{ID: 11, Type: tidings.ChannelText, Parent: 2, Position: 0},
		tidings.Channel{ID: 12, Type: tidings.ChannelText, Parent: 3},
		tidings.Channel{ID: 13, Type: tidings.ChannelText, Position: 9},
		tidings.Channel{ID: 14, Type: tidings.ChannelText, Parent: 3},
		tidings.Channel{ID: 15, Type: tidings.ChannelForum, Parent: 4},
		tidings.Channel{ID: 16, Type: tidings.ChannelForum, Parent: 4}, // without posts
		hidden,
		tidings.Channel{ID: 2, Type: tidings.ChannelCategory, Position: 5},
		tidings.Channel{ID: 3, Type: tidings.ChannelCategory, Position: 4},
		tidings.Channel{ID: 4, Type: tidings.ChannelCategory, Position: 6},
		tidings.Channel{ID: 5, Type: tidings.ChannelCategory, Position: 0}, // empty
	)
	w.add(2, "Alpha", text(40))
	w.add(3, "Gamma", text(50))
	w.join(1, 7, 51, 50, 99, 1)
	w.join(2, 7)
	a := load(t, w, access.Options{})

	set := a.Visible(7)
	if set.User != 7 || len(set.Guilds) != 2 || set.Guilds[0].Guild.Name != "Alpha" || set.Guilds[1].Guild.Name != "beta" {
		t.Fatalf("Visible() = %+v, want Alpha and beta", set)
	}
	beta := set.Guilds[1]
	if got, want := ids(beta.Channels), []discord.ChannelID{13, 12, 14, 11, 30, 31, 10, 33}; !slices.Equal(got, want) {
		t.Errorf("channels are %v, want %v", got, want)
	}
	if got, want := ids(beta.Parents), []discord.ChannelID{3, 2, 4, 15}; !slices.Equal(got, want) {
		t.Errorf("parents are %v, want %v", got, want)
	}
	// The role 99 does not exist, and everyone's is not one that one has.
	if want := []discord.RoleID{50, 51}; !slices.Equal(beta.Roles, want) {
		t.Errorf("roles are %v, want %v", beta.Roles, want)
	}
	if beta.Version != 1 {
		t.Errorf("version is %d, want 1", beta.Version)
	}
	for _, c := range set.ChannelIDs() {
		if !a.CanRead(7, c) {
			t.Errorf("channel %d is in the set but cannot be read", c)
		}
	}
	for _, c := range []discord.ChannelID{0, 1, 2, 15, 17, 34, 50, 1234} {
		if a.CanRead(7, c) {
			t.Errorf("channel %d can be read", c)
		}
	}
	if c, ok := a.Channel(17); !ok || c.ID != 17 || len(c.Overwrites) != 1 {
		t.Errorf("Channel(17) = %+v, %v", c, ok)
	}
	if _, ok := a.Channel(18); ok {
		t.Error("Channel(18) is known")
	}
	if s, ok := a.Guild(2); !ok || s.Guild.Name != "Alpha" || a.Version(2) != 1 {
		t.Errorf("Guild(2) = %+v, %v at version %d", s, ok, a.Version(2))
	}
}

func ids(channels []tidings.Channel) []discord.ChannelID {
	var ids []discord.ChannelID
	for _, c := range channels {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestUnknownMeansDenied(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7)
	empty := access.New(w, w, access.Options{})
	if empty.CanRead(7, 10) || len(empty.Visible(7).Guilds) != 0 || empty.Version(1) != 0 {
		t.Error("something is readable before anything was loaded")
	}
	a := load(t, w, access.Options{})
	if a.CanRead(8, 10) || len(a.Visible(8).Guilds) != 0 {
		t.Error("somebody whose membership is not known can read")
	}
	if !a.CanRead(7, 10) {
		t.Error("a member cannot read")
	}
}

// changes are what can move a person's set; each is made in a guild with the channels 10, 11 and the private thread 20 of 10,
// where member 7 has role 50 and member 8 none.
func TestChangesShowAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		prepare      func(w *world, s *tidings.GuildState)
		change       func(w *world, s *tidings.GuildState)
		gained, lost []discord.ChannelID
		roles        map[discord.GuildID][]discord.RoleID
	}{
		{
			name:   "a kick takes everything",
			change: func(w *world, s *tidings.GuildState) { w.remove(1, 7) },
			lost:   []discord.ChannelID{10, 11},
			roles:  map[discord.GuildID][]discord.RoleID{1: {}},
		},
		{
			name:   "a role is taken, though no channel is",
			change: func(w *world, s *tidings.GuildState) { s.Members[0].Roles = nil },
			roles:  map[discord.GuildID][]discord.RoleID{1: {}},
		},
		{
			name: "a role is taken, and a channel with it",
			prepare: func(w *world, s *tidings.GuildState) {
				s.Channels[1].Overwrites = []tidings.Overwrite{{ID: 1, Deny: view}, {ID: 50, Allow: view}}
			},
			change: func(w *world, s *tidings.GuildState) { s.Members[0].Roles = []discord.RoleID{51} },
			lost:   []discord.ChannelID{11},
			roles:  map[discord.GuildID][]discord.RoleID{1: {51}},
		},
		{
			name: "an overwrite denies",
			change: func(w *world, s *tidings.GuildState) {
				s.Channels[0].Overwrites = []tidings.Overwrite{{ID: 1, Deny: view}}
			},
			lost: []discord.ChannelID{10},
		},
		{
			name: "an overwrite allows",
			prepare: func(w *world, s *tidings.GuildState) {
				s.Channels[0].Overwrites = []tidings.Overwrite{{ID: 1, Deny: view}}
			},
			change: func(w *world, s *tidings.GuildState) { s.Channels[0].Overwrites = nil },
			gained: []discord.ChannelID{10},
		},
		{
			name:   "everyone's role loses the history",
			change: func(w *world, s *tidings.GuildState) { s.Roles[0].Permissions = view },
			lost:   []discord.ChannelID{10, 11},
		},
		{
			name:   "joining a private thread",
			change: func(w *world, s *tidings.GuildState) { s.ThreadMembers[20] = []discord.UserID{7} },
			gained: []discord.ChannelID{20},
		},
		{
			name:    "leaving a private thread",
			prepare: func(w *world, s *tidings.GuildState) { s.ThreadMembers[20] = []discord.UserID{7, 8} },
			change:  func(w *world, s *tidings.GuildState) { s.ThreadMembers[20] = []discord.UserID{8} },
			lost:    []discord.ChannelID{20},
		},
		{
			name:   "a new channel",
			change: func(w *world, s *tidings.GuildState) { s.Channels = append(s.Channels, text(12)) },
			gained: []discord.ChannelID{12},
		},
		{
			name:   "a deleted channel",
			change: func(w *world, s *tidings.GuildState) { s.Channels = s.Channels[1:] },
			lost:   []discord.ChannelID{10},
		},
		{
			name:   "the bot is removed",
			change: func(w *world, s *tidings.GuildState) { delete(w.guilds, 1) },
			lost:   []discord.ChannelID{10, 11},
			roles:  map[discord.GuildID][]discord.RoleID{1: {}},
		},
		{
			name:   "a new name only",
			change: func(w *world, s *tidings.GuildState) { s.Channels[0].Name = "renamed" },
		},
		{
			name:   "somebody else's role",
			change: func(w *world, s *tidings.GuildState) { s.Members[1].Roles = []discord.RoleID{51} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			s := w.add(1, "one", text(10), text(11), tidings.Channel{ID: 20, Type: tidings.ChannelPrivateThread, Parent: 10})
			w.add(2, "two", text(60))
			w.join(1, 7, 50)
			w.join(1, 8)
			w.join(2, 7)
			if tt.prepare != nil {
				tt.prepare(w, s)
			}
			a := load(t, w, access.Options{})
			before := a.Visible(7)
			w.edit(func() {
				s.Version++
				tt.change(w, s)
			})
			if a.Visible(7) != before {
				t.Error("the set was made again although nothing had been reloaded")
			}
			if err := a.Reload(t.Context(), 1, 2); err != nil {
				t.Fatal(err)
			}
			after := a.Visible(7)
			gained, lost, roles := access.Diff(before, after)
			if !slices.Equal(gained, tt.gained) || !slices.Equal(lost, tt.lost) {
				t.Errorf("Diff() gained %v and lost %v, want %v and %v", gained, lost, tt.gained, tt.lost)
			}
			if !maps.EqualFunc(roles, tt.roles, slices.Equal) {
				t.Errorf("Diff() roles = %v, want %v", roles, tt.roles)
			}
			moved := len(tt.gained)+len(tt.lost)+len(tt.roles) > 0
			if grew := after.Epoch > before.Epoch; grew != moved || after.Epoch < before.Epoch {
				t.Errorf("epoch went from %d to %d; grew = %v, want %v", before.Epoch, after.Epoch, grew, moved)
			}
			for _, c := range []discord.ChannelID{10, 11, 12, 20, 60} {
				if got, want := a.CanRead(7, c), slices.Contains(after.ChannelIDs(), c); got != want {
					t.Errorf("CanRead(%d) = %v, in the set: %v", c, got, want)
				}
			}
			for _, g := range after.Guilds {
				if g.Guild.ID == 1 && g.Version != 2 {
					t.Errorf("the set is of version %d, want 2", g.Version)
				}
			}
			if c, ok := a.Channel(10); ok && tt.name == "a new name only" && (c.Name != "renamed" || after.Guilds[0].Channels[0].Name != "renamed") {
				t.Errorf("the old name is shown: %+v", c)
			}
			if again := a.Visible(7); again != after {
				t.Error("the set is made again with every question")
			}
		})
	}
}

func TestDiffOfNil(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7, 50)
	set := load(t, w, access.Options{}).Visible(7)
	gained, lost, roles := access.Diff(nil, set)
	if !slices.Equal(gained, []discord.ChannelID{10}) || len(lost) != 0 || !slices.Equal(roles[1], []discord.RoleID{50}) {
		t.Errorf("Diff(nil, set) = %v, %v, %v", gained, lost, roles)
	}
	gained, lost, roles = access.Diff(set, nil)
	if r, ok := roles[1]; len(gained) != 0 || !slices.Equal(lost, []discord.ChannelID{10}) || !ok || len(r) != 0 {
		t.Errorf("Diff(set, nil) = %v, %v, %v", gained, lost, roles)
	}
	if gained, lost, roles = access.Diff(nil, nil); len(gained)+len(lost)+len(roles) != 0 {
		t.Errorf("Diff(nil, nil) = %v, %v, %v", gained, lost, roles)
	}
}

// TestBehindReloadsBeforeItAnswers is the case of a denial and then a message: the frame says version 3, and whoever asks for
// it must not be answered from a reading that began before version 3 was stored.
func TestBehindReloadsBeforeItAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := w.add(1, "one", text(10))
	w.join(1, 7)
	a := load(t, w, access.Options{})

	reading, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.onLoad = func() {
		once.Do(func() {
			close(reading)
			<-release
		})
	}
	w.edit(func() { s.Version = 2 })
	early := make(chan error, 1)
	go func() { early <- a.Reload(context.Background(), 1, 2) }()
	<-reading // It has version 2 in its hands.
	w.edit(func() {
		s.Version = 3
		s.Channels[0].Overwrites = []tidings.Overwrite{{ID: 1, Deny: view}}
	})
	const callers = 20
	results := make(chan error, callers)
	var asking sync.WaitGroup
	asking.Add(callers)
	for range callers {
		go func() {
			asking.Done()
			err := a.Reload(context.Background(), 1, 3)
			if a.CanRead(7, 10) || len(a.Visible(7).ChannelIDs()) != 0 {
				err = errors.New("the channel can still be read after the reload")
			}
			results <- err
		}()
	}
	asking.Wait()
	close(release)
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-early; err != nil {
		t.Error(err)
	}
	if n := w.loads.Load(); n != 3 {
		t.Errorf("the state was read %d times, want once for each version", n)
	}
	if err := a.Reload(t.Context(), 1, 3); err != nil || w.loads.Load() != 3 {
		t.Errorf("a reload to the version in memory read again (%v)", err)
	}
}

func TestASetIsConfirmedByWhatIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one := w.add(1, "one", text(10))
	two := w.add(2, "two", text(20))
	w.join(1, 7)
	w.join(2, 7)
	a := load(t, w, access.Options{})
	confirmed := func(want []discord.ChannelID, loads int64, guilds ...discord.GuildID) {
		t.Helper()
		before := w.loads.Load()
		set, err := a.Confirm(t.Context(), 7, guilds...)
		if err != nil {
			t.Fatal(err)
		}
		if got := set.ChannelIDs(); !slices.Equal(got, want) {
			t.Errorf("Confirm(%v) holds the channels %v, want %v", guilds, got, want)
		}
		if got := int64(w.loads.Load() - before); got != loads {
			t.Errorf("Confirm(%v) read %d guilds, want %d", guilds, got, loads)
		}
	}
	shut := func(s *tidings.GuildState) {
		w.edit(func() {
			s.Version++
			s.Channels[0].Overwrites = []tidings.Overwrite{{ID: discord.Snowflake(s.Guild.ID), Deny: view}}
		})
	}
	confirmed([]discord.ChannelID{10, 20}, 0, 1, 2)
	shut(one)
	confirmed([]discord.ChannelID{10, 20}, 0)
	confirmed([]discord.ChannelID{10, 20}, 0, 2)
	confirmed([]discord.ChannelID{20}, 1, 1, 2)
	confirmed([]discord.ChannelID{20}, 0, 1, 2)

	shut(two)
	w.edit(func() { w.loadErr = tidings.ErrUnavailable })
	if set, err := a.Confirm(t.Context(), 7, 2); !errors.Is(err, tidings.ErrUnavailable) || set != nil {
		t.Errorf("Confirm without the store = %v, %v, want ErrUnavailable", set, err)
	}
	confirmed([]discord.ChannelID{20}, 0) // of no guild, which asks nobody
	w.edit(func() { w.loadErr = nil; delete(w.guilds, 2) })
	confirmed(nil, 1, 1, 2)
}

func TestReloadToAVersionThatIsNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	a := load(t, w, access.Options{})
	if err := a.Reload(t.Context(), 1, 5); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Reload() = %v, want ErrUnavailable", err)
	}
	broken := errors.New("connection refused")
	w.edit(func() { w.loadErr = broken })
	if err := a.Reload(t.Context(), 1, 5); !errors.Is(err, broken) {
		t.Errorf("Reload() = %v, want the store's error", err)
	}
}

func TestACallerWhoGivesUpDoesNotFailTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(1, "one", text(10))
	w.join(1, 7)
	a := access.New(w, w, access.Options{})
	reading, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.onLoad = func() {
		once.Do(func() {
			close(reading)
			<-release
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() { first <- a.Reload(ctx, 1, 1) }()
	<-reading
	second := make(chan error, 1)
	go func() { second <- a.Reload(context.Background(), 1, 1) }()
	cancel()
	close(release)
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v, want canceled", err)
	}
	if err := <-second; err != nil || !a.CanRead(7, 10) {
		t.Errorf("the second caller got %v", err)
	}
}

func TestARemovedGuildComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := w.add(1, "one", text(10))
	s.Version = 40
	w.join(1, 7)
	a := load(t, w, access.Options{Sweep: time.Millisecond})
	w.edit(func() { delete(w.guilds, 1) })
	if err := a.Reload(t.Context(), 1, 41); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Guild(1); ok || a.CanRead(7, 10) || a.Version(1) != 41 {
		t.Errorf("the guild is still there at version %d", a.Version(1))
	}
	// What was held was purged, so that the versions begin again.
	w.add(1, "one again", text(10))
	w.join(1, 7)
	run(t, a)
	eventually(t, "the guild that came back is read", func() bool { return a.CanRead(7, 10) && a.Version(1) == 1 })
}
