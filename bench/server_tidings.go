package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/access"
	"tidings/hub"
)

// ours is the hub with the access room's own sets, and a store that answers from memory: every reader is a person of their
// own, in one guild of 50 channels.
type ours struct {
	hub      *hub.Hub
	guild    discord.GuildID
	versions []atomic.Int64

	mu      sync.Mutex      // held while versions grow
	summary *tidings.Unread // of the versions that are; nil until it is asked for
}

func channelID(i int) discord.ChannelID { return discord.ChannelID(5_000_000 + i) }

// memory stands in for the store.
type memory struct {
	state *tidings.GuildState
	o     *ours
}

func (m memory) GuildIDs(context.Context) ([]discord.GuildID, error) {
	return []discord.GuildID{m.state.Guild.ID}, nil
}

func (m memory) GuildState(context.Context, discord.GuildID) (*tidings.GuildState, error) {
	return m.state, nil
}

func (m memory) AccessVersions(context.Context) (map[discord.GuildID]int64, error) {
	return map[discord.GuildID]int64{m.state.Guild.ID: m.state.Version}, nil
}

func (m memory) AccessVersionsOf(ctx context.Context, _ []discord.GuildID) (map[discord.GuildID]int64, error) {
	return m.AccessVersions(ctx)
}

func (memory) WatchMember(context.Context, discord.GuildID, discord.UserID) (int64, error) {
	return 0, nil
}

func (memory) SaveMember(context.Context, discord.GuildID, discord.UserID, *tidings.Member, int64) (tidings.AccessChange, bool, error) {
	return tidings.AccessChange{}, true, nil
}

func (memory) UnaskedMembers(context.Context, discord.GuildID) ([]discord.UserID, error) {
	return nil, nil
}

func (memory) DoubtedMembers(context.Context, discord.GuildID) (in, out []discord.UserID, err error) {
	return nil, nil, nil
}

func (memory) MemberDoubted(context.Context, discord.GuildID, discord.UserID) (bool, error) {
	return false, nil
}

func (memory) DenyDoubted(context.Context, time.Duration) ([]tidings.AccessChange, error) {
	return nil, nil
}

func (memory) Member(context.Context, discord.GuildID, discord.UserID) (*tidings.Member, error) {
	return nil, tidings.ErrNotFound
}

// Summary gives everybody the same answer, for everybody sees the same, as the peer's readers have one list of channels: what the store does is not
// what is measured.
func (m memory) Summary(_ context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	m.o.mu.Lock()
	defer m.o.mu.Unlock()
	if m.o.summary != nil {
		return m.o.summary, nil
	}
	u := &tidings.Unread{}
	for _, g := range set.Guilds {
		ug := tidings.UnreadGuild{ID: g.Guild.ID, Name: g.Guild.Name, Roles: g.Roles, Channels: make([]tidings.UnreadChannel, 0, len(g.Channels))}
		for i, c := range g.Channels {
			ug.Channels = append(ug.Channels, tidings.UnreadChannel{ID: c.ID, Name: c.Name, Version: m.o.versions[i].Load()})
		}
		u.Guilds = append(u.Guilds, ug)
	}
	m.o.summary = u
	return u, nil
}

func (memory) Counts(context.Context, *tidings.VisibleSet, []discord.ChannelID) ([]tidings.ReadChannel, error) {
	return nil, nil
}

func (m memory) Versions(_ context.Context, ids []discord.ChannelID) (map[discord.ChannelID]int64, error) {
	out := map[discord.ChannelID]int64{}
	for _, id := range ids {
		out[id] = m.o.versions[id-channelID(0)].Load()
	}
	return out, nil
}

func (memory) Revs(context.Context, []discord.UserID) (map[discord.UserID]int64, error) {
	return nil, nil
}

func (memory) Outgrow(context.Context, map[discord.ChannelID]int64, map[discord.GuildID]int64) error {
	return nil
}

func (memory) MarkRead(context.Context, *tidings.VisibleSet, tidings.MarkRead) (tidings.ReadResult, error) {
	return tidings.ReadResult{}, errors.New("nobody marks here")
}

func newTidings(ctx context.Context, c serverConfig) (*ours, error) {
	o := &ours{guild: 4_000_000, versions: make([]atomic.Int64, c.Channels)}
	state := &tidings.GuildState{
		Guild: tidings.Guild{ID: o.guild, Name: "bench", Available: true}, Version: 1,
		Roles: []tidings.Role{{Guild: o.guild, ID: discord.RoleID(o.guild), Name: "@everyone", Permissions: 1<<10 | 1<<16}},
	}
	for i := range c.Channels {
		state.Channels = append(state.Channels, tidings.Channel{ID: channelID(i), Guild: o.guild, Name: fmt.Sprintf("channel-%d", i), Position: i})
	}
	for i := range c.Users {
		state.Members = append(state.Members, tidings.Member{Guild: o.guild, User: discord.UserID(firstUser + i)})
	}
	m := memory{state, o}
	who := access.New(m, m, access.Options{})
	if err := who.Load(ctx); err != nil {
		return nil, err
	}
	if n := len(who.Visible(firstUser).ChannelIDs()); n != c.Channels {
		return nil, fmt.Errorf("a reader sees %d channels, want %d", n, c.Channels)
	}
	opt := hub.Options{
		Access: who, Store: m, Prefix: fmt.Sprintf("bench%d:", os.Getpid()), Window: c.Window,
		// The reader counts what it finds as "id", which the delta has too.
		Encode: func(m tidings.Message) ([]byte, error) {
			return bytes.Replace(message(int64(m.ID), int(m.Channel-channelID(0)), payload), []byte(`"id"`), []byte(`"ID"`), 1), nil
		},
	}
	if c.Redis != "" {
		ro := &redis.Options{Addr: c.Redis}
		if path, ok := strings.CutPrefix(c.Redis, "unix://"); ok {
			ro.Network, ro.Addr = "unix", path
		}
		opt.Redis = redis.NewClient(ro)
	}
	o.hub = hub.New(opt)
	go func() { _ = o.hub.Run(ctx) }()
	return o, nil
}

func (o *ours) serve(_ context.Context, l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := strconv.Atoi(r.URL.Query().Get("user"))
		o.hub.Serve(w, r, hub.Who{User: discord.UserID(u), Session: "s" + strconv.Itoa(u)})
	}))
}

func (o *ours) publish(at int64, channel int) error {
	id := channelID(channel)
	o.mu.Lock()
	version := o.versions[channel].Add(1)
	o.summary = nil
	o.mu.Unlock()
	o.hub.Tell(context.Background(), tidings.Result{Deltas: []tidings.Delta{{
		Guild: o.guild, Channel: id, Version: version, AccessVersion: 1, Kind: tidings.DeltaCreate,
		ID: discord.MessageID(at), Author: 77, N: 1,
		Message: &tidings.Message{ID: discord.MessageID(at), Channel: id, Content: "-"},
	}}})
	return nil
}
