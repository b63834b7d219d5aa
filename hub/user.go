package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Who is the person behind a connection.
type Who struct {
	User    discord.UserID
	Session string // what [Hub.EndSession] names; "" when nothing can end it
	CanAck  bool   // may mark as read
	Address string // where they come from, for counting connections; "" when it is not to be counted
}

// user is a connected person. All fields are guarded by Hub.mu.
type user struct {
	id        discord.UserID
	shard     *shard
	conns     []*conn
	gone      bool
	full      *tidings.VisibleSet // what access said last
	set       *tidings.VisibleSet // the same without hidden guilds: what the sockets show
	denials   int64               // Hub.denials when set was made
	audiences map[discord.GuildID]*audience
	print     uint64 // of set

	rev     int64  // of the newest mark that the sockets were told
	told    uint64 // counts told marks, so that counts read before one are not shown after it
	wants   map[discord.ChannelID][]*conn
	catchUp bool // marks may have been missed
	missed  bool // one certainly was
	queued  bool // in Hub.work or in a worker's hand
	failed  int  // attempts in a row
	late    bool // what is wanted is read after the next sweep that succeeds
}

// everyone among the askers of counts stands for all of the person's connections.
var everyone *conn

// sessionKey names a session on the bus and in memory without keeping what would let anybody in.
type sessionKey [16]byte

func keyOf(session string) sessionKey {
	if session == "" {
		return sessionKey{}
	}
	sum := sha256.Sum256([]byte(session))
	return sessionKey(sum[:16])
}

var (
	errStopped = errors.New("going away")
)

// register makes a connection known: from here on it buffers what its person may see.
func (h *Hub) register(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return errStopped
	}
	u := h.users[c.who.User]
	switch {
	case h.conns >= h.maxConns:
		return limitServer
	case u != nil && len(u.conns) >= h.maxPerUser:
		return limitPerson
	}
	if u == nil {
		u = &user{
			id: c.who.User, shard: h.shardOf(c.who.User), set: &tidings.VisibleSet{User: c.who.User},
		}
		h.users[u.id] = u
	}
	u.conns = append(u.conns, c)
	h.conns++
	h.metrics.connections.Set(float64(h.conns))
	c.user, c.shard, c.pos, c.checked = u, u.shard, h.pos, time.Now()
	u.shard.do(func(s *shard) { s.enter(u.id, c) })
	return nil
}

// unregister forgets a connection whose socket is closed.
func (h *Hub) unregister(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := c.user
	u.conns = remove(u.conns, c)
	h.conns--
	h.metrics.connections.Set(float64(h.conns))
	c.shard.do(func(s *shard) { s.leave(c) })
	if len(u.conns) > 0 {
		return
	}
	u.gone = true
	delete(h.users, u.id)
	for _, a := range u.audiences {
		h.release(a)
	}
}

// refresh shows a person what access says now.
func (h *Hub) refresh(u *user) {
	set := h.access.Visible(u.id)
	h.mu.Lock()
	old := h.stale(u, &set)
	var as []*audience
	if old {
		as = h.known(set)
	}
	h.mu.Unlock()
	if !old {
		return
	}
	as = audiencesOf(set, as)
	h.mu.Lock()
	defer h.mu.Unlock()
	if newest := set; h.stale(u, &newest) {
		if newest != set {
			as = audiencesOf(newest, h.known(newest))
		}
		h.show(u, newest, as)
	}
}

// stale reports whether a person's sockets show something else than set. A set that is older than the one known is
// replaced by that. The caller holds h.mu.
func (h *Hub) stale(u *user, set **tidings.VisibleSet) bool {
	if u.gone {
		return false
	}
	if u.full != nil && (*set).Epoch < u.full.Epoch {
		*set = u.full
	}
	return u.full == nil || (*set).Epoch > u.full.Epoch || u.denials != h.denials
}

// show moves a person to the audiences of a set, and tells live sockets what was gained and lost. Nothing that is posted
// later reaches a lost channel. The caller holds h.mu.
func (h *Hub) show(u *user, full *tidings.VisibleSet, as []*audience) {
	before := u.set
	u.full, u.denials = full, h.denials
	u.set = h.without(full)
	next := map[discord.GuildID]*audience{}
	for _, a := range as {
		if a != nil && !h.denied[a.key.guild] {
			next[a.key.guild] = h.intern(a)
		}
	}
	live := u.live() // else nobody is told
	moved := map[discord.GuildID]*audience{}
	var gained, lost []discord.ChannelID
	for g, a := range next {
		if a == u.audiences[g] {
			continue
		}
		moved[g] = a
		if !live {
			continue
		}
		var had []discord.ChannelID
		if old := u.audiences[g]; old != nil {
			had = old.channels
		}
		gained = append(gained, missing(a.channels, had)...)
		lost = append(lost, missing(had, a.channels)...)
	}
	for g, a := range u.audiences {
		if next[g] == nil {
			moved[g] = nil
			lost = append(lost, a.channels...)
		}
	}
	for _, a := range u.audiences {
		h.release(a) // after the new ones are counted, so that what stays is never forgotten
	}
	u.audiences = next
	u.print = fingerprint(u.id, u.set, next)

	var f *frame
	if live {
		f = h.newSight(u, before, gained, lost)
	}
	if len(moved) == 0 && f == nil {
		return
	}
	u.shard.do(func(s *shard) {
		p := s.people[u.id]
		if p == nil {
			return
		}
		for g, a := range moved {
			s.setAudience(p, g, a)
		}
		if f == nil {
			return
		}
		for _, c := range p.conns {
			c.add(f)
		}
	})
}

// newSight makes the frame that tells a person's live sockets what they may see now and before did not, and the other way round; it is nil
// when there is nothing to tell. What has to be counted anew is asked for. The caller holds h.mu.
func (h *Hub) newSight(u *user, before *tidings.VisibleSet, gained, lost []discord.ChannelID) *frame {
	roles, recount := changedRoles(before, u.set)
	if len(gained)+len(lost)+len(roles) == 0 {
		return nil
	}
	for _, id := range append(recount, gained...) {
		h.want(u, id, everyone)
	}
	for g := range u.audiences {
		if !slices.ContainsFunc(before.Guilds, func(b tidings.VisibleGuild) bool { return b.Guild.ID == g }) {
			// What the person mutes and suppresses there may be from an earlier time.
			u.catchUp, u.missed = true, true
			h.queue(u)
		}
	}
	return accessFrame(u.full.Epoch, gained, lost, roles, h.cursorOf(u))
}

// without leaves hidden guilds out of a set. The caller holds h.mu.
func (h *Hub) without(set *tidings.VisibleSet) *tidings.VisibleSet {
	if !slices.ContainsFunc(set.Guilds, func(g tidings.VisibleGuild) bool { return h.denied[g.Guild.ID] }) {
		return set
	}
	out := *set
	out.Guilds = nil
	for _, g := range set.Guilds {
		if !h.denied[g.Guild.ID] {
			out.Guilds = append(out.Guilds, g)
		}
	}
	return &out
}

// changedRoles lists the guilds in which a person's roles are others than before, and the channels there: what counts as a
// mention has changed without any version moving.
func changedRoles(before, after *tidings.VisibleSet) (map[discord.GuildID][]discord.RoleID, []discord.ChannelID) {
	had := map[discord.GuildID][]discord.RoleID{}
	for _, g := range before.Guilds {
		had[g.Guild.ID] = g.Roles
	}
	var roles map[discord.GuildID][]discord.RoleID
	var channels []discord.ChannelID
	for _, g := range after.Guilds {
		if old, ok := had[g.Guild.ID]; ok && sameSet(old, g.Roles) {
			continue
		}
		if roles == nil {
			roles = map[discord.GuildID][]discord.RoleID{}
		}
		roles[g.Guild.ID] = g.Roles
		for _, c := range g.Channels {
			channels = append(channels, c.ID)
		}
	}
	return roles, channels
}

func sameSet(a, b []discord.RoleID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// maxSnapshots is how often a snapshot is read again because access moved meanwhile.
const maxSnapshots = 5

// attach gives a registered connection its snapshot. What it buffers since its registration follows as far as it is newer.
func (h *Hub) attach(ctx context.Context, c *conn) error {
	cause := "snapshot"
	for range maxSnapshots {
		set, err := h.current(ctx, c.user)
		if err != nil {
			return err
		}
		if h.beginRecalled(ctx, c, set) {
			return nil
		}
		if begun, err := h.beginRead(ctx, c, set, cause); begun || err != nil {
			return err
		}
		cause = "access moved"
	}
	return fmt.Errorf("attach user %d: access keeps moving: %w", c.user.id, tidings.ErrUnavailable)
}

// beginRecalled gives the connection the snapshot that another one of the person's got a moment ago, if there is one and it is still true.
func (h *Hub) beginRecalled(ctx context.Context, c *conn, set *tidings.VisibleSet) bool {
	r := h.recall(ctx, c.user, set)
	if r == nil || !h.begin(c, set, r) {
		return false
	}
	h.metrics.recalled.Inc()
	return true
}

// beginRead gives the connection a snapshot that is read when it is its turn.
func (h *Hub) beginRead(ctx context.Context, c *conn, set *tidings.VisibleSet, cause string) (bool, error) {
	waited := false
	select {
	case h.snapshots <- struct{}{}:
	default:
		waited = true
		select {
		case h.snapshots <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	defer func() { <-h.snapshots }()
	// While this one waited for its turn, another one of the person's may have had it, as when everybody comes back at once.
	if waited && h.beginRecalled(ctx, c, set) {
		return true, nil
	}
	sum, heard, err := h.summary(ctx, set, cause)
	if !heard {
		return false, err
	}
	r, err := newRecent(set, sum)
	if err != nil || !h.begin(c, set, r) {
		return false, err
	}
	h.remember(c.user.id, r)
	return true, nil
}

// summary reads a person's counts, and reports whether they may be shown; see [Hub.heardOf].
func (h *Hub) summary(ctx context.Context, set *tidings.VisibleSet, cause string) (sum *tidings.Unread, heard bool, err error) {
	within, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	h.metrics.summaries.WithLabelValues(cause).Inc()
	if sum, err = h.store.Summary(within, set); err != nil {
		return nil, false, fmt.Errorf("summary of user %d: %w", set.User, err)
	}
	heard, err = h.heardOf(within, set)
	return sum, heard, err
}

// begin hands the snapshot to the shard, unless what the person may see has changed since it was asked for.
func (h *Hub) begin(c *conn, set *tidings.VisibleSet, r *recent) bool {
	snap := snapshot{recent: r}
	r.frame.wire(c.packed) // compressed here, so that the loop need not
	h.mu.Lock()
	defer h.mu.Unlock()
	u := c.user
	if u.set != set || h.behind(u) != nil {
		return false
	}
	for _, x := range r.versions {
		t := h.tracks[x.channel]
		if t == nil {
			continue
		}
		h.learn(x.channel, t, x.version)
		switch {
		case t.version < x.version:
			if snap.floors == nil {
				snap.floors = map[discord.ChannelID]int64{}
			}
			snap.floors[x.channel] = x.version
		case t.version > x.version:
			snap.ahead = append(snap.ahead, &delta{guild: t.guild, channel: x.channel, version: t.version})
		}
	}
	// What passed since the registration, or was marked since the snapshot was read, may follow the snapshot and not be in it.
	snap.cursor = h.cursorOf(u)
	snap.cursor.pos, snap.cursor.rev = c.pos, r.rev
	h.beginsAt(u, r.rev)
	c.live = true
	c.shard.do(func(*shard) { c.open(snap) })
	return true
}

// beginsAt notes the rev that a connection of a person begins with, before it is live. Where it is not the one that others of theirs were told last,
// the word of what lies between may be lost, or may be taken for known when it comes: all of them are told what is true now. The caller holds h.mu.
func (h *Hub) beginsAt(u *user, rev int64) {
	if rev < u.rev || rev > u.rev && u.live() {
		u.catchUp, u.missed = true, true
		h.queue(u)
	}
	u.rev = max(u.rev, rev)
}

// live reports whether one of the person's connections has its snapshot. The caller holds Hub.mu.
func (u *user) live() bool { return slices.ContainsFunc(u.conns, func(c *conn) bool { return c.live }) }

// Connected reports whether somebody has a connection to this process.
func (h *Hub) Connected(u discord.UserID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	person := h.users[u]
	return person != nil && len(person.conns) > 0
}
