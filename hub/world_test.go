package hub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// world is what the store and the access of several processes share: a plain model that counts by looking at everything.
type world struct {
	mu       sync.Mutex
	channels map[discord.ChannelID]*worldChannel
	guilds   map[discord.GuildID]*worldGuild
	users    map[discord.UserID]*worldUser
	nextID   discord.MessageID
}

type worldGuild struct {
	version int64
	visible map[discord.UserID]map[discord.ChannelID]bool
	roles   map[discord.UserID][]discord.RoleID
}

type worldChannel struct {
	guild    discord.GuildID
	version  int64
	messages map[discord.MessageID]tidings.DeletedMessage
}

type worldUser struct {
	rev  int64
	read map[discord.ChannelID]discord.MessageID
}

func newWorld() *world {
	return &world{
		channels: map[discord.ChannelID]*worldChannel{}, guilds: map[discord.GuildID]*worldGuild{},
		users: map[discord.UserID]*worldUser{}, nextID: 1000,
	}
}

// guild makes a guild with channels that the users see.
func (w *world) guild(g discord.GuildID, users []discord.UserID, channels ...discord.ChannelID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wg := &worldGuild{version: 1, visible: map[discord.UserID]map[discord.ChannelID]bool{}, roles: map[discord.UserID][]discord.RoleID{}}
	w.guilds[g] = wg
	for _, c := range channels {
		w.channels[c] = &worldChannel{guild: g, messages: map[discord.MessageID]tidings.DeletedMessage{}}
	}
	for _, u := range users {
		w.users[u] = &worldUser{read: map[discord.ChannelID]discord.MessageID{}}
		wg.visible[u] = map[discord.ChannelID]bool{}
		for _, c := range channels {
			wg.visible[u][c] = true
		}
	}
}

// create stores a message and returns what there is to tell.
func (w *world) create(c discord.ChannelID, author discord.UserID, m tidings.Mentions) tidings.Delta {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextID++
	ch := w.channels[c]
	ch.version++
	ch.messages[w.nextID] = tidings.DeletedMessage{ID: w.nextID, Author: author, Mentions: m}
	return tidings.Delta{
		Guild: ch.guild, Channel: c, Version: ch.version, AccessVersion: w.guilds[ch.guild].version, Kind: tidings.DeltaCreate,
		ID: w.nextID, Author: author, N: 1, Mentions: m,
		Message: &tidings.Message{Channel: c, ID: w.nextID, Guild: ch.guild, Author: author, Content: "m" + w.nextID.String()},
	}
}

// remove deletes the messages of a channel for which chosen says so, and returns what there is to tell.
func (w *world) remove(c discord.ChannelID, chosen func(discord.MessageID) bool) (tidings.Delta, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.channels[c]
	var gone []tidings.DeletedMessage
	for _, id := range slices.Sorted(maps.Keys(ch.messages)) {
		if chosen(id) {
			gone = append(gone, ch.messages[id])
			delete(ch.messages, id)
		}
	}
	if len(gone) == 0 {
		return tidings.Delta{}, false
	}
	ch.version++
	d := tidings.Delta{
		Guild: ch.guild, Channel: c, Version: ch.version, AccessVersion: w.guilds[ch.guild].version, Kind: tidings.DeltaDelete, N: -1,
	}
	if len(gone) == 1 {
		d.ID, d.Author, d.Mentions = gone[0].ID, gone[0].Author, gone[0].Mentions
	} else {
		d.Deleted = gone
	}
	return d, true
}

// allow changes whether a user sees a channel, and returns what there is to tell.
func (w *world) allow(u discord.UserID, c discord.ChannelID, may bool) tidings.AccessChange {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.channels[c].guild
	wg := w.guilds[g]
	wg.version++
	if wg.visible[u] == nil {
		wg.visible[u] = map[discord.ChannelID]bool{}
	}
	if may {
		wg.visible[u][c] = true
	} else {
		delete(wg.visible[u], c)
	}
	return tidings.AccessChange{Guild: g, Version: wg.version, Users: []discord.UserID{u}}
}

func (w *world) setRoles(u discord.UserID, g discord.GuildID, roles ...discord.RoleID) tidings.AccessChange {
	w.mu.Lock()
	defer w.mu.Unlock()
	wg := w.guilds[g]
	wg.version++
	wg.roles[u] = roles
	return tidings.AccessChange{Guild: g, Version: wg.version}
}

func (w *world) set(u discord.UserID) *tidings.VisibleSet {
	set := &tidings.VisibleSet{User: u}
	for _, g := range slices.Sorted(maps.Keys(w.guilds)) {
		wg := w.guilds[g]
		if len(wg.visible[u]) == 0 {
			continue
		}
		vg := tidings.VisibleGuild{Guild: tidings.Guild{ID: g, Name: "g" + g.String()}, Version: wg.version, Roles: slices.Clone(wg.roles[u])}
		for _, c := range slices.Sorted(maps.Keys(wg.visible[u])) {
			vg.Channels = append(vg.Channels, tidings.Channel{ID: c, Guild: g, Name: "c" + c.String()})
		}
		set.Guilds = append(set.Guilds, vg)
	}
	return set
}

// count counts one channel for a user, by looking at every message.
func (w *world) count(u discord.UserID, roles []discord.RoleID, c discord.ChannelID) tidings.ReadChannel {
	ch := w.channels[c]
	r := tidings.ReadChannel{ID: c, Version: ch.version, ReadID: w.users[u].read[c]}
	for _, id := range slices.Sorted(maps.Keys(ch.messages)) {
		m := ch.messages[id]
		r.LastID = id
		if id <= r.ReadID || m.Author == u {
			continue
		}
		if r.Unread == 0 {
			r.FirstUnread = id
		}
		r.Unread++
		if m.Mentions.Everyone || slices.Contains(m.Mentions.Users, u) ||
			slices.ContainsFunc(m.Mentions.Roles, func(x discord.RoleID) bool { return slices.Contains(roles, x) }) {
			r.Mentions++
		}
	}
	return r
}

// process is one process' store and access. The access knows what was reloaded, which may be older than the world.
type process struct {
	*world
	mu        sync.Mutex
	loaded    map[discord.GuildID]int64
	sets      map[discord.UserID]*tidings.VisibleSet
	epoch     int64
	asked     atomic.Int64                // calls of Revs
	visible   atomic.Int64                // calls of Visible
	broken    error                       // of Reload
	uncounted atomic.Bool                 // Counts fails
	reloading func()                      // called before a guild is reloaded
	looking   func()                      // called before a set is answered
	summing   func()                      // called before a summary is read
	versions  func()                      // called before versions are read
	noAccess  atomic.Bool                 // AccessVersions fails
	summaries func(*tidings.Unread)       // called with a summary before it is answered
	counted   func([]discord.ChannelID)   // called before counts are read
	answered  func([]tidings.ReadChannel) // called before counts are answered
}

func newProcess(w *world) *process {
	p := &process{world: w, loaded: map[discord.GuildID]int64{}, sets: map[discord.UserID]*tidings.VisibleSet{}}
	w.mu.Lock()
	for g, wg := range w.guilds {
		p.loaded[g] = wg.version
	}
	w.mu.Unlock()
	p.recompute()
	return p
}

// recompute takes the sets from the world, as far as its guilds were loaded.
func (p *process) recompute() {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	for u := range p.world.users {
		set := p.world.set(u)
		set.Epoch = p.epoch
		old := p.sets[u]
		for i, g := range set.Guilds {
			if p.loaded[g.Guild.ID] >= g.Version || old == nil {
				continue
			}
			for _, was := range old.Guilds {
				if was.Guild.ID == g.Guild.ID {
					set.Guilds[i] = was
				}
			}
		}
		p.sets[u] = set
	}
}

func (p *process) Visible(u discord.UserID) *tidings.VisibleSet {
	p.visible.Add(1)
	if p.looking != nil {
		p.looking()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if set := p.sets[u]; set != nil {
		return set
	}
	return &tidings.VisibleSet{User: u}
}

func (p *process) Version(g discord.GuildID) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded[g]
}

func (p *process) Reload(_ context.Context, g discord.GuildID, atLeast int64) error {
	p.mu.Lock()
	if p.broken != nil {
		defer p.mu.Unlock()
		return p.broken
	}
	if p.loaded[g] >= atLeast {
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	if p.reloading != nil {
		p.reloading()
	}
	p.world.mu.Lock()
	v := p.world.guilds[g].version
	p.world.mu.Unlock()
	p.mu.Lock()
	p.loaded[g] = v
	p.mu.Unlock()
	p.recompute()
	return nil
}

func (p *process) breakReload(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

func (p *process) Summary(_ context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	if p.summing != nil {
		p.summing()
	}
	p.world.mu.Lock()
	u := &tidings.Unread{Rev: p.world.users[set.User].rev}
	for _, g := range set.Guilds {
		ug := tidings.UnreadGuild{ID: g.Guild.ID, Name: g.Guild.Name, Roles: g.Roles}
		for _, c := range g.Channels {
			n := p.world.count(set.User, g.Roles, c.ID)
			ug.Channels = append(ug.Channels, tidings.UnreadChannel{
				ID: c.ID, Name: c.Name, Unread: n.Unread, Mentions: n.Mentions, FirstUnread: n.FirstUnread, ReadID: n.ReadID,
				LastID: n.LastID, Version: n.Version,
			})
			ug.Unread += n.Unread
			ug.Mentions += n.Mentions
		}
		u.Total += ug.Unread
		u.Mentions += ug.Mentions
		u.Guilds = append(u.Guilds, ug)
	}
	p.world.mu.Unlock()
	if p.summaries != nil {
		p.summaries(u)
	}
	return u, nil
}

func (p *process) Counts(_ context.Context, set *tidings.VisibleSet, ids []discord.ChannelID) ([]tidings.ReadChannel, error) {
	if p.counted != nil {
		p.counted(ids)
	}
	if p.uncounted.Load() {
		return nil, errors.New("the database is away")
	}
	var out []tidings.ReadChannel
	p.world.mu.Lock()
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if slices.Contains(ids, c.ID) {
				out = append(out, p.world.count(set.User, g.Roles, c.ID))
			}
		}
	}
	p.world.mu.Unlock()
	if p.answered != nil {
		p.answered(out)
	}
	return out, nil
}

func (p *process) Versions(_ context.Context, ids []discord.ChannelID) (map[discord.ChannelID]int64, error) {
	if p.versions != nil {
		p.versions()
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	out := map[discord.ChannelID]int64{}
	for _, id := range ids {
		if c := p.world.channels[id]; c != nil {
			out[id] = c.version
		}
	}
	return out, nil
}

func (p *process) Revs(_ context.Context, users []discord.UserID) (map[discord.UserID]int64, error) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.asked.Add(1)
	out := map[discord.UserID]int64{}
	for _, u := range users {
		out[u] = p.world.users[u].rev
	}
	return out, nil
}

func (p *process) AccessVersions(context.Context) (map[discord.GuildID]int64, error) {
	if p.noAccess.Load() {
		return nil, errors.New("the database is away")
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	out := map[discord.GuildID]int64{}
	for g, wg := range p.world.guilds {
		out[g] = wg.version
	}
	return out, nil
}

func (p *process) AccessVersionsOf(ctx context.Context, guilds []discord.GuildID) (map[discord.GuildID]int64, error) {
	all, err := p.AccessVersions(ctx)
	maps.DeleteFunc(all, func(g discord.GuildID, _ int64) bool { return !slices.Contains(guilds, g) })
	return all, err
}

func (p *process) MarkRead(_ context.Context, set *tidings.VisibleSet, m tidings.MarkRead) (tidings.ReadResult, error) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	u := p.world.users[set.User]
	if m.Auto && m.Rev < u.rev {
		return tidings.ReadResult{}, fmt.Errorf("mark read: %w", tidings.ErrConflict)
	}
	u.rev++
	u.read[m.Channel] = max(u.read[m.Channel], m.UpTo)
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if c.ID == m.Channel {
				return tidings.ReadResult{User: set.User, Rev: u.rev, Channels: []tidings.ReadChannel{p.world.count(set.User, g.Roles, c.ID)}}, nil
			}
		}
	}
	return tidings.ReadResult{}, tidings.ErrNotFound
}

// encode is a stand-in for render.
func encode(m tidings.Message) ([]byte, error) {
	if m.Content == "" {
		return nil, errors.New("nothing to show")
	}
	return []byte(`{"id":"` + m.ID.String() + `",` + "\n" + `"content":` + strconv.Quote(m.Content) + `}`), nil
}

func ids(t *testing.T, n int) []discord.ChannelID {
	t.Helper()
	var out []discord.ChannelID
	for i := range n {
		out = append(out, discord.ChannelID(5000+i))
	}
	return out
}

func (w *world) newest() discord.MessageID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nextID
}
