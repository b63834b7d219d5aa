package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// history is what processes leave in Redis for those who come back to another one: each guild's deltas of the last minutes,
// written by who tells them, and for each hub which versions it had passed at which position of its cursors. Nothing in it
// is needed: without it there is a snapshot.
type history struct {
	client redis.UniversalClient
	prefix string

	mu       sync.Mutex
	journals map[string]*loading[*journal]
	logs     map[discord.GuildID]*loading[map[discord.ChannelID][]*delta]
}

const (
	maxLogged    = 2000            // deltas of a guild
	maxJournal   = 400             // entries of a hub
	logExpires   = 5 * time.Minute // after the last delta of the guild
	journalFull  = time.Minute
	historyFresh = time.Second     // what was read is shared for so long
	historyWait  = 2 * time.Second // for Redis
	maxHistories = 1000            // guilds, and hubs, of which something is remembered
)

func newHistory(c redis.UniversalClient, prefix string) *history {
	return &history{
		client: c, prefix: prefix, journals: map[string]*loading[*journal]{},
		logs: map[discord.GuildID]*loading[map[discord.ChannelID][]*delta]{},
	}
}

func (y *history) logKey(g discord.GuildID) string {
	return y.prefix + "hub:log:" + strconv.FormatUint(uint64(g), 10)
}

// DropLog deletes from Redis what processes have left there of a guild for those who come back; they get a snapshot instead. It is for
// who changes messages beside the hubs, which do not hear of it.
func DropLog(ctx context.Context, c redis.UniversalClient, prefix string, g discord.GuildID) error {
	if err := c.Del(ctx, (&history{prefix: prefix}).logKey(g)).Err(); err != nil {
		return fmt.Errorf("drop the log of guild %d: %w", g, err)
	}
	return nil
}

func (y *history) journalKey(epoch string) string { return y.prefix + "hub:at:" + epoch }

// loading is something that is read once for all who want it at about the same time.
type loading[T any] struct {
	began time.Time
	done  chan struct{}
	value T
	err   error
}

// shared returns what is being read for key, or was read within the last second, or reads it.
func shared[K comparable, T any](ctx context.Context, mu *sync.Mutex, all map[K]*loading[T], key K, read func(context.Context) (T, error)) (T, error) {
	mu.Lock()
	l := all[key]
	if l == nil || time.Since(l.began) > historyFresh {
		if len(all) >= maxHistories {
			clear(all)
		}
		l = &loading[T]{began: time.Now(), done: make(chan struct{})}
		all[key] = l
		mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, historyWait)
		l.value, l.err = read(ctx)
		cancel()
		close(l.done)
	} else {
		mu.Unlock()
		<-l.done
	}
	return l.value, l.err
}

// entry is one step of a hub's journal: the versions that it had passed at pos, of all channels that it follows when full,
// otherwise of those that moved since the entry before.
type entry struct {
	pos      int64
	full     bool
	versions map[discord.ChannelID]int64
}

func (e entry) encode() []byte {
	b := make([]byte, 0, 16+14*len(e.versions))
	b = append(b, wireVersion, 0)
	if e.full {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, uint64(e.pos))
	b = binary.AppendUvarint(b, uint64(len(e.versions)))
	for id, v := range e.versions {
		b = binary.AppendUvarint(b, uint64(id))
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

func decodeEntry(b []byte) (entry, error) {
	r := reader{b: b}
	if r.byte() != wireVersion {
		return entry{}, errEnvelope
	}
	e := entry{full: r.byte() == 1, pos: r.int()}
	n := r.count(maxUsers)
	e.versions = make(map[discord.ChannelID]int64, min(n, len(b)/2))
	for range n {
		id := discord.ChannelID(r.uint())
		e.versions[id] = r.int()
	}
	if r.bad || len(r.b) > 0 {
		return entry{}, errEnvelope
	}
	return e, nil
}

// journal is what another hub wrote.
type journal struct {
	entries []entry

	mu sync.Mutex
	at map[int]map[discord.ChannelID]int64 // by entry, made when first wanted
}

// versions returns what the hub had passed for certain at pos, nil when that is not known.
func (j *journal) versions(pos int64) map[discord.ChannelID]int64 {
	last := -1
	full := -1
	for i, e := range j.entries {
		if e.pos > pos {
			break
		}
		last = i
		if e.full {
			full = i
		}
	}
	if full < 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if m := j.at[last]; m != nil {
		return m
	}
	m := map[discord.ChannelID]int64{}
	for _, e := range j.entries[full : last+1] {
		for id, v := range e.versions {
			m[id] = v
		}
	}
	j.at[last] = m
	return m
}

func (y *history) journal(ctx context.Context, epoch string) (*journal, error) {
	return shared(ctx, &y.mu, y.journals, epoch, func(ctx context.Context) (*journal, error) {
		list, err := y.client.LRange(ctx, y.journalKey(epoch), 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("journal of a hub: %w", err)
		}
		j := &journal{at: map[int]map[discord.ChannelID]int64{}}
		for _, s := range list {
			e, err := decodeEntry([]byte(s))
			if err != nil {
				return nil, fmt.Errorf("journal of a hub: %w", err)
			}
			j.entries = append(j.entries, e)
		}
		return j, nil
	})
}

// log returns the deltas of a guild that are still there, by channel and version.
func (y *history) log(ctx context.Context, g discord.GuildID) (map[discord.ChannelID][]*delta, error) {
	return shared(ctx, &y.mu, y.logs, g, func(ctx context.Context) (map[discord.ChannelID][]*delta, error) {
		all, err := y.client.XRange(ctx, y.logKey(g), "-", "+").Result()
		if err != nil {
			return nil, fmt.Errorf("log of guild %d: %w", g, err)
		}
		out := map[discord.ChannelID][]*delta{}
		for _, m := range all {
			s, _ := m.Values["e"].(string)
			e, err := decodeEnvelope([]byte(s))
			if err != nil || e.delta == nil || e.delta.guild != g || e.delta.version == 0 {
				continue // of another version of this program, or a word without a place in the order
			}
			out[e.delta.channel] = append(out[e.delta.channel], e.delta)
		}
		for id, ds := range out {
			slices.SortStableFunc(ds, func(a, b *delta) int { return int(a.version - b.version) })
			out[id] = slices.CompactFunc(ds, func(a, b *delta) bool { return a.version == b.version })
		}
		return out, nil
	})
}

// runJournal writes this hub's journal until ctx ends.
func (h *Hub) runJournal(ctx context.Context) {
	tick := time.NewTicker(h.timing.journal)
	defer tick.Stop()
	var full time.Time
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := h.writeJournal(ctx, failing || time.Since(full) > journalFull, &full)
		if err != nil && ctx.Err() == nil && !failing {
			h.log.Warn("the journal cannot be written, who comes back elsewhere gets a snapshot", "err", err)
		}
		failing = err != nil
	}
}

func (h *Hub) writeJournal(ctx context.Context, all bool, full *time.Time) error {
	h.mu.Lock()
	e := entry{pos: h.pos, full: all, versions: h.moved}
	if all {
		e.versions = make(map[discord.ChannelID]int64, len(h.tracks))
		for id, t := range h.tracks {
			if t.known {
				e.versions[id] = t.version
			}
		}
	}
	h.moved = map[discord.ChannelID]int64{}
	h.mu.Unlock()
	if len(e.versions) == 0 {
		return nil
	}
	key := h.history.journalKey(h.epoch)
	ctx, cancel := context.WithTimeout(ctx, historyWait)
	defer cancel()
	pipe := h.history.client.Pipeline()
	pipe.RPush(ctx, key, e.encode())
	pipe.LTrim(ctx, key, -maxJournal, -1)
	pipe.Expire(ctx, key, h.timing.resume+journalFull)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if all {
		*full = time.Now()
	}
	h.journaled.Store(e.pos)
	return nil
}

// passed notes a version that the hub has come to, for the journal. The caller holds h.mu.
func (h *Hub) passed(id discord.ChannelID, version int64) {
	if h.history != nil {
		h.moved[id] = version
	}
}

// errUnknown means that only a snapshot will do.
var errUnknown = errors.New("not known any more")

// sinceElsewhere lists what a connection of another hub has missed since its cursor there: for each channel the deltas above the
// version that the other hub had passed, or a reset where they are not to be had. floors are the versions that the person
// knows and this hub does not yet. On success h.mu is held.
func (h *Hub) sinceElsewhere(ctx context.Context, u *user, cur cursor) (missed []kept, floors map[discord.ChannelID]int64, err error) {
	j, err := h.history.journal(ctx, cur.epoch)
	if err != nil {
		return nil, nil, err
	}
	base := j.versions(cur.pos)
	if base == nil {
		return nil, nil, errUnknown
	}
	logs := map[discord.GuildID]map[discord.ChannelID][]*delta{}
	for range maxSnapshots {
		h.mu.Lock()
		if u.print != cur.print {
			h.mu.Unlock()
			return nil, nil, errUnknown
		}
		var unknown []discord.ChannelID
		wanted := map[discord.GuildID]bool{}
		missed, floors = nil, map[discord.ChannelID]int64{}
		size := 0
		for g, a := range u.audiences {
			for _, id := range a.channels {
				t := h.tracks[id]
				v, ok := base[id]
				switch {
				case !ok || t == nil:
					h.mu.Unlock()
					return nil, nil, errUnknown
				case !t.known:
					unknown = append(unknown, id)
					continue
				case t.version < v:
					floors[id] = v
					continue
				case t.version == v:
					continue
				}
				ds, whole := between(t, logs[g][id], v)
				if _, read := logs[g]; !whole && !read {
					wanted[g] = true
					continue
				}
				if n := max(newestAccess(ds), newestAccess(logs[g][id])); n > max(h.applied[g], accessOf(u.set, g)) {
					// The log has it from a process that knows more of who may read it.
					h.closeGate(g, n, nil)
					h.mu.Unlock()
					return nil, nil, errUnknown
				}
				if !whole {
					ds = []*delta{{guild: g, channel: id, version: t.version, frame: resetFrame(g, id, t.version)}}
				}
				for _, d := range ds {
					size += len(d.frame.b)
					missed = append(missed, kept{delta: d})
				}
			}
		}
		if len(unknown) == 0 && len(wanted) == 0 && size <= maxReplayed {
			return missed, floors, nil
		}
		h.mu.Unlock()
		if size > maxReplayed {
			return nil, nil, errUnknown
		}
		for g := range wanted {
			if logs[g], err = h.history.log(ctx, g); err != nil {
				return nil, nil, err
			}
		}
		if err := h.learnVersions(ctx, unknown); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errUnknown
}

// between lists the deltas of a channel above version v up to where this hub is, from what it has kept and what was logged,
// and reports whether none is missing.
func between(t *track, logged []*delta, v int64) ([]*delta, bool) {
	by := map[int64]*delta{}
	for _, d := range logged {
		by[d.version] = d
	}
	for _, k := range t.kept {
		if k.version > 0 {
			by[k.version] = k.delta
		}
	}
	var out []*delta
	for v++; v <= t.version; v++ {
		d := by[v]
		if d == nil {
			return nil, false
		}
		out = append(out, d)
	}
	return out, true
}

// newestAccess is the newest access version that the store had when one of the deltas was told.
func newestAccess(ds []*delta) (newest int64) {
	for _, d := range ds {
		newest = max(newest, d.accessVersion)
	}
	return newest
}

// accessOf is the version of which a set is in a guild.
func accessOf(set *tidings.VisibleSet, g discord.GuildID) int64 {
	for i := range set.Guilds {
		if set.Guilds[i].Guild.ID == g {
			return set.Guilds[i].Version
		}
	}
	return 0
}

// learnVersions asks the store for the versions of channels of which this hub knows none, and then for the access of their guilds: what is told below a
// version may be of newer access than this hub has heard of.
func (h *Hub) learnVersions(ctx context.Context, ids []discord.ChannelID) error {
	for part := range slices.Chunk(ids, maxSwept) {
		qctx, cancel := context.WithTimeout(ctx, h.timing.query)
		versions, err := h.store.Versions(qctx, part)
		var stored map[discord.GuildID]int64
		if err == nil {
			stored, err = h.store.AccessVersionsOf(qctx, h.guildsOf(part))
		}
		cancel()
		if err != nil {
			return fmt.Errorf("versions: %w", err)
		}
		h.mu.Lock()
		for g, v := range stored {
			if v > h.applied[g] {
				h.closeGate(g, v, nil)
				err = errUnknown
			}
		}
		for _, id := range part {
			if t := h.tracks[id]; t != nil && err == nil {
				h.learn(id, t, versions[id])
			}
		}
		h.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) guildsOf(channels []discord.ChannelID) (guilds []discord.GuildID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[discord.GuildID]bool{}
	for _, id := range channels {
		if t := h.tracks[id]; t != nil && !seen[t.guild] {
			seen[t.guild] = true
			guilds = append(guilds, t.guild)
		}
	}
	return guilds
}
