package store

import (
	"container/list"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// What bounds the tails.
const (
	// tailAge is how far back a tail goes when it is read: who was here yesterday is counted without reading a message.
	tailAge = 48 * time.Hour
	// tailMessages is how many messages a tail has at most when it is read; it may grow to twice that.
	tailMessages = 4096
	// tailsHeld is how many messages all tails have together, 16 bytes each. The channel that was counted least lately is forgotten first.
	tailsHeld = 1_000_000
	// tailGrowth is by how many versions a tail is carried on; beyond that it is read again.
	tailGrowth = 512
	// tailOverhead is what a channel costs besides its messages, in messages.
	tailOverhead = 16
)

// tail is what counting needs of one channel at one version, whoever is counted for: its newest live, countable messages with their
// authors, and how many there are of each day. It is never changed once others see it.
type tail struct {
	version int64
	since   time.Time // when it was read as a whole
	from    int64     // every live, countable message above it is in ids
	ids     []int64   // ascending
	authors []int64   // of ids
	days    []dayTotal
}

// dayTotal is a row of live_buckets without its hours.
type dayTotal struct{ day, n int32 }

// after counts what is above a position and not of the hidden authors; first is the oldest of it, 0 for none. ok is false when the
// position is below what the tail has.
func (t *tail) after(read int64, hidden []int64) (n int, first int64, ok bool) {
	if read < t.from {
		return 0, 0, false
	}
	i, found := slices.BinarySearch(t.ids, read)
	if found {
		i++
	}
	for ; i < len(t.ids); i++ {
		if hides(hidden, t.authors[i]) {
			continue
		}
		if n++; first == 0 {
			first = t.ids[i]
		}
	}
	return n, first, true
}

// hides looks through a sorted list, which mostly has one element.
func hides(hidden []int64, author int64) bool {
	if len(hidden) < 8 {
		return slices.Contains(hidden, author)
	}
	_, found := slices.BinarySearch(hidden, author)
	return found
}

// later counts the messages of all days after a position's, whoever wrote them.
func (t *tail) later(read int64) (n int) {
	day := int32(tidings.Day(discord.MessageID(read)))
	for i := len(t.days) - 1; i >= 0 && t.days[i].day > day; i-- {
		n += int(t.days[i].n)
	}
	return n
}

// grown is the tail at a later version, given the messages above its newest, ascending. It is nil where they do not explain all that has
// happened since: each message that comes moves the version by at least one, so when as many have come as the version has moved, nothing
// else has changed.
func (t *tail) grown(version int64, ids, authors []int64, most int) *tail {
	if int64(len(ids)) != version-t.version {
		return nil
	}
	next := &tail{
		version: version, since: t.since, from: t.from,
		ids: slices.Concat(t.ids, ids), authors: slices.Concat(t.authors, authors), days: slices.Clone(t.days),
	}
	for _, id := range ids {
		day := int32(tidings.Day(discord.MessageID(id)))
		i, found := slices.BinarySearchFunc(next.days, day, func(d dayTotal, day int32) int { return int(d.day - day) })
		if !found {
			next.days = slices.Insert(next.days, i, dayTotal{day: day})
		}
		next.days[i].n++
	}
	if n := len(next.ids) - most; n > most {
		next.from = next.ids[n-1]
		next.ids, next.authors = slices.Clone(next.ids[n:]), slices.Clone(next.authors[n:])
	}
	return next
}

// top is what every message that the tail does not have yet lies above, as long as only new ones come.
func (t *tail) top() int64 {
	if n := len(t.ids); n > 0 {
		return t.ids[n-1]
	}
	return t.from
}

func (t *tail) cost() int { return len(t.ids) + len(t.days) + tailOverhead }

// tails keeps the tails of channels. Like all that is kept in the process it may be lost, and is believed only at the version that the
// database has.
type tails struct {
	loading chan struct{} // whoever reads many has it, so that a crowd that comes back reads them once

	mu       sync.Mutex
	channels map[discord.ChannelID]*list.Element // of *heldTail
	order    *list.List                          // what was counted last is in front
	held     int
	most     int
	// age and messages are tailAge and tailMessages; less in tests.
	age      time.Duration
	messages int
}

type heldTail struct {
	channel discord.ChannelID
	*tail
}

func newTails() *tails {
	return &tails{loading: make(chan struct{}, 1), channels: map[discord.ChannelID]*list.Element{}, order: list.New(), most: tailsHeld, age: tailAge, messages: tailMessages}
}

// of returns the tails of those of rows, whatever their version. rows are indices into all.
func (t *tails) of(all []counted, rows []int, now time.Time) map[discord.ChannelID]*tail {
	found := make(map[discord.ChannelID]*tail, len(rows))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range rows {
		e := t.channels[all[i].ID]
		if e == nil {
			continue
		}
		h := e.Value.(*heldTail)
		if now.Sub(h.since) > rememberedFor {
			t.forget(e)
			continue
		}
		t.order.MoveToFront(e)
		found[all[i].ID] = h.tail
	}
	return found
}

// keep takes tails in, unless there is one of the same or a later version.
func (t *tails) keep(list map[discord.ChannelID]*tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for channel, next := range list {
		if e := t.channels[channel]; e != nil {
			if e.Value.(*heldTail).version >= next.version {
				continue
			}
			t.forget(e)
		}
		t.channels[channel] = t.order.PushFront(&heldTail{channel, next})
		t.held += next.cost()
	}
	for t.held > t.most {
		t.forget(t.order.Back())
	}
}

func (t *tails) forget(e *list.Element) {
	h := t.order.Remove(e).(*heldTail)
	delete(t.channels, h.channel)
	t.held -= h.cost()
}

// $2 is the id above which messages are wanted in the channel, $3 how many of the newest of them at most.
const selectTails = `
SELECT v.id, coalesce(t.ids, '') AS ids, coalesce(t.authors, '') AS authors, coalesce(d.days, '') AS days
FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS v (id, above, most)
LEFT JOIN LATERAL (
	SELECT string_agg(int8send(n.id), '') AS ids, string_agg(int8send(n.author_id), '') AS authors
	FROM (
		SELECT m.id, m.author_id
		FROM messages m
		WHERE m.channel_id = v.id AND m.id > v.above AND NOT m.deleted AND m.countable
		ORDER BY m.id DESC
		LIMIT v.most
	) n
) t ON true
LEFT JOIN LATERAL (
	SELECT string_agg(int4send(b.day) || int4send(b.n), '') AS days
	FROM live_buckets b
	WHERE $4 AND b.channel_id = v.id
) d ON true`

type tailRow struct {
	ID      discord.ChannelID `db:"id"`
	IDs     []byte            `db:"ids"`
	Authors []byte            `db:"authors"`
	Days    []byte            `db:"days"`
}

// messages are the row's messages, ascending.
func (r tailRow) messages() (ids, authors []int64, err error) {
	ids, authors = unpackInt8s(r.IDs), unpackInt8s(r.Authors)
	slices.Reverse(ids)
	slices.Reverse(authors)
	if len(ids) != len(authors) || !slices.IsSorted(ids) {
		return nil, nil, fmt.Errorf("the newest messages of channel %d came in no order", r.ID)
	}
	return ids, authors, nil
}

// tailsOf returns the tails of those of rows, as of the transaction's snapshot, which is that of the rows.
func (s *Store) tailsOf(ctx context.Context, tx *sqlx.Tx, all []counted, rows []int) (map[discord.ChannelID]*tail, error) {
	now := time.Now()
	found := s.tails.of(all, rows, now)
	stale := staleTails(all, rows, found)
	if len(stale) > fewChannels {
		select {
		case s.tails.loading <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-s.tails.loading }()
		found = s.tails.of(all, rows, now)
		stale = staleTails(all, rows, found)
	}
	if len(stale) == 0 {
		return found, nil
	}
	fresh := make(map[discord.ChannelID]*tail, len(stale))
	channels, above, most := int8s(len(stale)), int8s(len(stale)), int4s(len(stale))
	versions := make(map[discord.ChannelID]int64, len(stale))
	for _, i := range stale {
		r := all[i]
		versions[r.ID] = r.Version
		if t := found[r.ID]; t != nil && t.version < r.Version && r.Version-t.version <= tailGrowth {
			channels.int8(int64(r.ID))
			above.int8(t.top())
			most.int4(int(r.Version-t.version) + 1)
		}
	}
	if channels.n > 0 {
		var got []tailRow
		if err := tx.SelectContext(often(ctx, channels.n), &got, selectTails, channels, above, most, false); err != nil {
			return nil, err
		}
		for _, r := range got {
			ids, authors, err := r.messages()
			if err != nil {
				return nil, err
			}
			if next := found[r.ID].grown(versions[r.ID], ids, authors, s.tails.messages); next != nil {
				fresh[r.ID] = next
			}
		}
	}
	from := int64(tidings.FirstID(now.Add(-s.tails.age)))
	channels, above, most = int8s(len(stale)), int8s(len(stale)), int4s(len(stale))
	for id := range versions {
		if fresh[id] == nil {
			channels.int8(int64(id))
			above.int8(from)
			most.int4(s.tails.messages)
		}
	}
	if channels.n > 0 {
		var got []tailRow
		if err := tx.SelectContext(often(ctx, channels.n), &got, selectTails, channels, above, most, true); err != nil {
			return nil, err
		}
		for _, r := range got {
			t := &tail{version: versions[r.ID], since: now, from: from}
			var err error
			if t.ids, t.authors, err = r.messages(); err != nil {
				return nil, err
			}
			if len(t.ids) >= s.tails.messages {
				t.from = t.ids[0] - 1
			}
			for b := r.Days; len(b) >= 8; b = b[8:] {
				t.days = append(t.days, dayTotal{int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))})
			}
			slices.SortFunc(t.days, func(a, b dayTotal) int { return int(a.day - b.day) })
			fresh[r.ID] = t
		}
	}
	s.tails.keep(fresh)
	for id, t := range fresh {
		found[id] = t
	}
	return found, nil
}

// staleTails lists those of rows whose tail is missing or of another version.
func staleTails(all []counted, rows []int, found map[discord.ChannelID]*tail) (stale []int) {
	for _, i := range rows {
		if t := found[all[i].ID]; t == nil || t.version != all[i].Version {
			stale = append(stale, i)
		}
	}
	return stale
}

// unpackInt8s reads numbers that Postgres has strung together in its binary form.
func unpackInt8s(b []byte) []int64 {
	out := make([]int64, len(b)/8)
	for i := range out {
		out[i] = int64(binary.BigEndian.Uint64(b[8*i:]))
	}
	return out
}
