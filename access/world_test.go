package access_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// world stands for the store and for Discord. Its fields are changed under mu through edit.
type world struct {
	mu       sync.Mutex
	guilds   map[discord.GuildID]*tidings.GuildState
	asked    map[key]bool  // has a row that Discord has answered
	events   map[key]int64 // gateway events per member
	discord  map[key]tidings.Member
	users    []discord.UserID
	doubted  map[key]bool // of before the guild's last silence
	denied   []tidings.AccessChange
	loadErr  error
	fetchErr error
	silent   bool // Discord does not answer the bot

	loads, fetches atomic.Int64
	// onLoad and onFetch, when set, run without the lock: onLoad after the state was read, onFetch after the answer was made.
	onLoad  func()
	onFetch func(g discord.GuildID, u discord.UserID)
}

type key struct {
	g discord.GuildID
	u discord.UserID
}

func newWorld() *world {
	return &world{
		guilds: map[discord.GuildID]*tidings.GuildState{}, asked: map[key]bool{}, events: map[key]int64{},
		discord: map[key]tidings.Member{}, doubted: map[key]bool{},
	}
}

func (w *world) edit(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// add makes a guild in which everyone may read the channels given.
func (w *world) add(g discord.GuildID, name string, channels ...tidings.Channel) *tidings.GuildState {
	s := &tidings.GuildState{
		Guild:         tidings.Guild{ID: g, Name: name, Owner: 9999, Available: true},
		Version:       1,
		Roles:         []tidings.Role{{ID: discord.RoleID(g), Permissions: read}, {ID: 50}, {ID: 51}},
		Channels:      channels,
		ThreadMembers: map[discord.ChannelID][]discord.UserID{},
	}
	w.edit(func() { w.guilds[g] = s })
	return s
}

// join makes somebody a known member.
func (w *world) join(g discord.GuildID, u discord.UserID, roles ...discord.RoleID) {
	w.edit(func() {
		m := tidings.Member{Guild: g, User: u, Roles: roles}
		w.discord[key{g, u}] = m
		w.asked[key{g, u}] = true
		w.guilds[g].Members = append(w.guilds[g].Members, m)
	})
}

func (w *world) remove(g discord.GuildID, u discord.UserID) {
	s := w.guilds[g]
	s.Members = slices.DeleteFunc(slices.Clone(s.Members), func(m tidings.Member) bool { return m.User == u })
}

func (w *world) GuildIDs(context.Context) ([]discord.GuildID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.guilds)), w.loadErr
}

func (w *world) GuildState(ctx context.Context, g discord.GuildID) (*tidings.GuildState, error) {
	w.mu.Lock()
	w.loads.Add(1)
	s, err, onLoad := w.guilds[g], w.loadErr, w.onLoad
	var c tidings.GuildState
	if s != nil {
		c = *s
		c.Channels, c.Members, c.Roles = slices.Clone(s.Channels), slices.Clone(s.Members), slices.Clone(s.Roles)
		c.ThreadMembers = maps.Clone(s.ThreadMembers)
	}
	w.mu.Unlock()
	if onLoad != nil {
		onLoad()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case s == nil:
		return nil, fmt.Errorf("guild %d: %w", g, tidings.ErrNotFound)
	}
	return &c, nil
}

func (w *world) AccessVersions(context.Context) (map[discord.GuildID]int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := map[discord.GuildID]int64{}
	for id, s := range w.guilds {
		versions[id] = s.Version
	}
	return versions, w.loadErr
}

func (w *world) AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error) {
	versions, err := w.AccessVersions(ctx)
	maps.DeleteFunc(versions, func(g discord.GuildID, _ int64) bool { return !slices.Contains(guilds, g) })
	return versions, err
}

func (w *world) WatchMember(_ context.Context, g discord.GuildID, u discord.UserID) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[key{g, u}], nil
}

func (w *world) SaveMember(_ context.Context, g discord.GuildID, u discord.UserID, m *tidings.Member, events int64) (tidings.AccessChange, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events[key{g, u}] != events {
		return tidings.AccessChange{}, false, nil
	}
	w.asked[key{g, u}] = true
	delete(w.doubted, key{g, u})
	s := w.guilds[g]
	was := slices.IndexFunc(s.Members, func(m tidings.Member) bool { return m.User == u })
	if m == nil && was < 0 || m != nil && was >= 0 && slices.Equal(m.Roles, s.Members[was].Roles) {
		return tidings.AccessChange{}, true, nil
	}
	w.remove(g, u)
	if m != nil {
		s.Members = append(s.Members, *m)
	}
	s.Version++
	return tidings.AccessChange{Guild: g, Version: s.Version, Users: []discord.UserID{u}}, true, nil
}

func (w *world) UnaskedMembers(_ context.Context, g discord.GuildID) ([]discord.UserID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var users []discord.UserID
	for _, u := range w.users {
		if !w.asked[key{g, u}] {
			users = append(users, u)
		}
	}
	return users, w.loadErr
}

// silence makes all known members of a guild doubtful.
func (w *world) silence(g discord.GuildID) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.guilds[g]
	for _, m := range s.Members {
		w.doubted[key{g, m.User}] = true
		w.events[key{g, m.User}]++
	}
	s.Silences++
	s.Version++
	return s.Version
}

func (w *world) DoubtedMembers(_ context.Context, g discord.GuildID) (in, out []discord.UserID, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.doubted {
		if k.g == g {
			in = append(in, k.u)
		}
	}
	return in, nil, w.loadErr
}

func (w *world) MemberDoubted(_ context.Context, g discord.GuildID, u discord.UserID) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doubted[key{g, u}] || !w.asked[key{g, u}], w.loadErr
}

func (w *world) DenyDoubted(context.Context, time.Duration) ([]tidings.AccessChange, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	denied := w.denied
	w.denied = nil
	return denied, w.loadErr
}

func (w *world) Member(ctx context.Context, g discord.GuildID, u discord.UserID) (*tidings.Member, error) {
	w.mu.Lock()
	w.fetches.Add(1)
	m, ok := w.discord[key{g, u}]
	err, onFetch, silent := w.fetchErr, w.onFetch, w.silent
	w.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if onFetch != nil {
		onFetch(g, u)
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("member: %w", tidings.ErrNotFound)
	}
	m.Guild = 0 // as Discord answers
	return &m, nil
}
