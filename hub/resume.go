package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// cursor says how far a connection has been told: everything that this hub had passed at pos, the person's marks up to rev,
// and what they may see by its print. It is made with Hub.mu held and sent through the shard, so that all of that has been
// given to the connection before it. One that is sent before what it would stand for stands for less: a connection may break between any two frames.
type cursor struct {
	epoch string // of the hub
	pos   int64
	rev   int64
	print uint64 // 0 when something was still on its way to the connection: it cannot be resumed from here
}

func (c cursor) String() string {
	return "2." + c.epoch + "." + strconv.FormatInt(c.pos, 36) + "." + strconv.FormatInt(c.rev, 36) + "." + strconv.FormatUint(c.print, 36)
}

// parseCursor reads what a client gives back, or anything else that it sends.
func parseCursor(s string) (cursor, bool) {
	parts := strings.Split(s, ".")
	if len(s) > 100 || len(parts) != 5 || parts[0] != "2" || len(parts[1]) != 2*epochBytes {
		return cursor{}, false
	}
	pos, err := strconv.ParseInt(parts[2], 36, 64)
	rev, err2 := strconv.ParseInt(parts[3], 36, 64)
	print, err3 := strconv.ParseUint(parts[4], 36, 64)
	if errors.Join(err, err2, err3) != nil || pos < 0 || rev < 0 || strings.ContainsFunc(parts[1], notHex) {
		return cursor{}, false
	}
	return cursor{parts[1], pos, rev, print}, true
}

func notHex(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }

const epochBytes = 8

// cursorOf is how far a connection of a person has been told now. The caller holds h.mu and sends it through the shard
// before it lets go.
func (h *Hub) cursorOf(u *user) cursor {
	c := cursor{h.epoch, h.pos, u.rev, u.print}
	if u.queued || u.catchUp || len(u.wants) > 0 || len(h.gates) > 0 && h.gated(u) || u.shard.behind() {
		c.print = 0
	}
	return c
}

// gated reports whether access of one of the person's guilds is being reloaded. The caller holds h.mu.
func (h *Hub) gated(u *user) bool {
	for g := range u.audiences {
		if h.gates[g] != nil {
			return true
		}
	}
	return false
}

// fingerprint tells sets of channels and roles apart, the same in all processes. It is never 0.
func fingerprint(u discord.UserID, set *tidings.VisibleSet, as map[discord.GuildID]*audience) uint64 {
	b := binary.BigEndian.AppendUint64(nil, uint64(u))
	for _, g := range slices.Sorted(maps.Keys(as)) {
		b = binary.BigEndian.AppendUint64(b, uint64(g))
		b = append(b, as[g].key.sum[:]...)
	}
	guilds := slices.Clone(set.Guilds)
	slices.SortFunc(guilds, func(a, b tidings.VisibleGuild) int { return int(a.Guild.ID) - int(b.Guild.ID) })
	for _, g := range guilds {
		roles := slices.Clone(g.Roles)
		slices.Sort(roles)
		b = binary.BigEndian.AppendUint64(b, uint64(len(roles)))
		b = binary.BigEndian.AppendUint64(b, uint64(g.Guild.ID))
		for _, r := range roles {
			b = binary.BigEndian.AppendUint64(b, uint64(r))
		}
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// kept is a delta that was passed lately.
type kept struct {
	pos int64
	at  time.Time
	*delta
}

// Bounds of what is kept for those who come back.
const (
	maxKept       = 512      // deltas of a channel
	maxKeptBytes  = 64 << 20 // of all channels
	maxReplayed   = 512 << 10
	maxRevs       = 1000 // people of whom one question asks
	revsAtOnce    = 2
	revsGathering = 2 * time.Millisecond
	revsTimeout   = 5 * time.Second
)

func (d *delta) size() int {
	n := 300 + len(d.frame.b)
	if d.message != nil {
		n += 200 + len(d.message.b)
	}
	return n
}

// keep notes a delta that passes, for those who come back. The caller holds h.mu.
func (h *Hub) keep(t *track, d *delta) {
	h.bury(t, d)
	h.pos++
	if h.timing.resume <= 0 {
		t.dropped = h.pos
		return
	}
	if h.keptBytes += d.size(); h.keptBytes > maxKeptBytes {
		h.unkeep(t, len(t.kept))
		h.keptBytes -= d.size()
		t.dropped = h.pos
		return
	}
	t.kept = append(t.kept, kept{h.pos, time.Now(), d})
	if len(t.kept) > maxKept {
		h.unkeep(t, len(t.kept)-maxKept)
	}
}

// unkeep drops the oldest n. The caller holds h.mu.
func (h *Hub) unkeep(t *track, n int) {
	if n == 0 {
		return
	}
	for _, k := range t.kept[:n] {
		h.keptBytes -= k.size()
		t.dropped = k.pos
	}
	t.kept = slices.Delete(t.kept, 0, n)
	if len(t.kept) == 0 {
		t.kept = nil
	}
}

// expire drops what was kept long enough, and the channels that nobody has seen for that long.
func (h *Hub) expire(now time.Time) {
	old := now.Add(-h.timing.resume)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetRecent(now)
	for id, t := range h.tracks {
		n := 0
		for n < len(t.kept) && t.kept[n].at.Before(old) {
			n++
		}
		h.unkeep(t, n)
		if t.seen == 0 && !t.left.After(old) {
			h.untrack(id, t)
		}
	}
}

// untrack forgets a channel. The caller holds h.mu.
func (h *Hub) untrack(id discord.ChannelID, t *track) {
	h.unkeep(t, len(t.kept))
	h.pos++ // whoever comes back from before finds the channel born since
	delete(h.tracks, id)
}

// resume gives a connection what it has missed since its cursor, and reports false when that is not known for certain:
// then it gets a snapshot. An error says that nothing can be given now.
func (h *Hub) resume(ctx context.Context, c *conn, cur cursor) (bool, error) {
	u := c.user
	if _, err := h.current(ctx, u); err != nil {
		return false, err
	}
	h.mu.Lock()
	here := cur.epoch == h.epoch
	ok := cur.print == u.print && (here && cur.pos <= h.pos || !here && h.history != nil)
	h.mu.Unlock()
	if !ok {
		return false, nil
	}
	// The connection is registered: marks that are committed after this question come by themselves.
	rev, err := h.revs.of(ctx, u.id)
	if err != nil {
		h.log.Warn("a live socket cannot be resumed", "user", u.id, "err", err)
		return false, nil
	}
	if rev != cur.rev {
		return false, nil
	}
	if !here {
		missed, floors, err := h.sinceElsewhere(ctx, u, cur)
		if err != nil {
			h.log.Debug("a live socket of another process cannot be resumed", "user", u.id, "err", err)
			return false, nil
		}
		defer h.mu.Unlock()
		h.reopen(c, missed, floors, cur)
		return true, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if u.print != cur.print {
		return false, nil
	}
	missed, ok := h.since(u, cur.pos)
	if !ok {
		return false, nil
	}
	h.reopen(c, missed, nil, cur)
	return true, nil
}

// since lists what has passed after a position in the channels that a person sees, in the order in which it passed. The
// caller holds h.mu.
func (h *Hub) since(u *user, pos int64) ([]kept, bool) {
	var missed []kept
	size := 0
	for _, a := range u.audiences {
		for _, id := range a.channels {
			t := h.tracks[id]
			if t == nil || !t.known || t.born > pos || t.dropped > pos {
				return nil, false
			}
			from, _ := slices.BinarySearchFunc(t.kept, pos+1, func(k kept, p int64) int { return int(k.pos - p) })
			for _, k := range t.kept[from:] {
				size += len(k.frame.b)
			}
			if size > maxReplayed {
				return nil, false // a snapshot is shorter
			}
			missed = append(missed, t.kept[from:]...)
		}
	}
	slices.SortFunc(missed, func(a, b kept) int { return int(a.pos - b.pos) })
	return missed, true
}

// reopen hands the shard what a connection has missed since cur, which is the hello's cursor too, because all of that follows it. The caller holds h.mu.
func (h *Hub) reopen(c *conn, missed []kept, floors map[discord.ChannelID]int64, cur cursor) {
	u := c.user
	h.beginsAt(u, cur.rev)
	c.live = true
	h.metrics.resumed.Inc()
	f := helloFrame(c.id, c.who.User, h.timing.heartbeat, cur.String(), true)
	c.shard.do(func(*shard) { c.reopen(f, missed, floors, cur.rev) })
}

// reopen sends what was missed. Deltas that came since the registration are among them, or follow in the inbox.
func (c *conn) reopen(hello *frame, missed []kept, floors map[discord.ChannelID]int64, rev int64) {
	if c.state != connAttaching {
		return
	}
	c.state, c.floors = connLive, floors
	frames := append(make([][]byte, 0, 1+len(missed)), hello.b)
	for _, k := range missed {
		frames = append(frames, k.frame.wire(c.packed))
		if len(c.missed) > 0 { // a log that has gone back may still have what was dropped from it
			c.bury(k.delta)
		}
		if k.message != nil {
			c.missed = append(c.missed, k.delta)
		}
	}
	c.begin(frames...)
	for _, x := range c.buffer {
		if x.read != nil && x.read.Rev > rev {
			c.add(readFrame(x.read, c.person.sees))
		}
	}
	c.buffer, c.buffered = nil, 0
}

// revs asks the store for the revs of people who come back at the same time, many at once.
type revs struct {
	store Store
	turns chan struct{}

	gathering chan *revsAsked // holds the question that is still taking people
}

type revsAsked struct {
	users []discord.UserID
	done  chan struct{}
	revs  map[discord.UserID]int64
	err   error
}

func newRevs(s Store) *revs {
	r := &revs{store: s, turns: make(chan struct{}, revsAtOnce), gathering: make(chan *revsAsked, 1)}
	r.gathering <- nil
	return r
}

// of returns a person's rev, as it is at some moment after the call.
func (r *revs) of(ctx context.Context, u discord.UserID) (int64, error) {
	q := <-r.gathering
	first := q == nil
	if first {
		q = &revsAsked{done: make(chan struct{})}
	}
	q.users = append(q.users, u)
	if len(q.users) == maxRevs {
		r.gathering <- nil
	} else {
		r.gathering <- q
	}
	if first {
		r.ask(ctx, q)
	}
	<-q.done
	return q.revs[u], q.err
}

// ask puts a question, once it is its turn.
func (r *revs) ask(ctx context.Context, q *revsAsked) {
	defer close(q.done)
	r.turns <- struct{}{}
	defer func() { <-r.turns }()
	time.Sleep(revsGathering)
	// From here on nobody joins: their word would be older than their question.
	if now := <-r.gathering; now == q {
		r.gathering <- nil
	} else {
		r.gathering <- now
	}
	ctx, cancel := context.WithTimeout(ctx, revsTimeout)
	defer cancel()
	q.revs, q.err = r.store.Revs(ctx, q.users)
	if q.err != nil {
		q.err = fmt.Errorf("revs: %w", q.err)
	}
}
