package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// How marks are kept apart, and why their answers are right:
//
// A mark locks the person's row in users first, so the marks of one person, their own messages among them, happen one after
// another: what is read after the lock is what the mark before it left, and rev grows by one with each that changes
// something. No channel is locked: marks write nothing that recording writes, so a message recorded meanwhile is only a
// matter of before or after. The answer's counts come from one statement. At READ COMMITTED that is one snapshot, newer than
// the lock, so it holds this mark, and every version in it is the one that its counts are of. (REPEATABLE READ would take its
// snapshot before the wait for the lock and fail.)
//
// Recording locks channels, then users. Marks lock only a user, so the two cannot wait for each other in a circle.
//
// A mark-all-read is one row, a floor, and yet does to every visible channel what a mark of that channel would have done. The
// few channels where that differs are those with a position that is newer than the older floors (markState.Holds); only
// those are written beside the floor.

const lockUser = `
SELECT rev
FROM users
WHERE id = $1
FOR UPDATE`

const selectStates = `
SELECT c.id, c.last_seen_id,` + effectivePosition + ` AS position,
	p.read_id, coalesce(p.manual, false) AS manual, coalesce(p.rev, 0) AS rev,
	coalesce(p.rev >= greatest(fa.rev, fg.rev, 0), false) AS holds,
	coalesce(fa.floor_id, 0) AS all_floor, coalesce(fa.rev, 0) AS all_rev,
	coalesce(fg.floor_id, 0) AS guild_floor, coalesce(fg.rev, 0) AS guild_rev
FROM unnest($2::bigint[]) AS v (id)
JOIN channels c ON c.id = v.id
LEFT JOIN read_positions p ON p.user_id = $1::bigint AND p.channel_id = c.id
LEFT JOIN read_floors fa ON fa.user_id = $1 AND fa.scope_id = 0
LEFT JOIN read_floors fg ON fg.user_id = $1 AND fg.scope_id = c.guild_id
LEFT JOIN baselines b ON b.user_id = $1 AND b.guild_id = c.guild_id`

// markState is one channel as one person's marks have it.
type markState struct {
	Channel    int64         `db:"id"`
	LastSeen   int64         `db:"last_seen_id"`
	Position   int64         `db:"position"` // the effective one
	Read       sql.NullInt64 `db:"read_id"`
	Manual     bool          `db:"manual"`
	Rev        int64         `db:"rev"`
	Holds      bool          `db:"holds"` // the channel's own position decides alone
	AllFloor   int64         `db:"all_floor"`
	AllRev     int64         `db:"all_rev"`
	GuildFloor int64         `db:"guild_floor"`
	GuildRev   int64         `db:"guild_rev"`
}

// manual reports whether "mark unread from here" stands.
func (m markState) manual() bool { return m.Holds && m.Manual }

// floor is the greatest floor over the channel.
func (m markState) floor() int64 { return max(m.AllFloor, m.GuildFloor) }

// acts reports whether m, clamped to upTo, does anything to the channel. By hand it also ends a manual mark, even where it
// reads nothing more; an automatic one reads on only where the manual mark is not newer than what it was based on.
func (m markState) acts(by tidings.MarkRead, upTo int64) bool {
	switch {
	case !by.Auto:
		return upTo > m.Position || m.manual()
	case m.manual() && m.Rev > by.Rev:
		return false
	}
	return upTo > m.Position
}

// row is the channel's row in read_positions, nil for none.
func (m markState) row() *markRow {
	if !m.Read.Valid {
		return nil
	}
	return &markRow{ID: m.Read.Int64, Manual: m.Manual, Rev: m.Rev}
}

// markRow is a row of read_positions or read_floors without its key.
type markRow struct {
	ID     int64 `json:"id"`
	Manual bool  `json:"manual,omitempty"`
	Rev    int64 `json:"rev"`
}

func (r *markRow) equal(o *markRow) bool {
	return r == nil && o == nil || r != nil && o != nil && *r == *o
}

// change is what a mark did to one row; nil means that there is no row.
type change struct {
	Key    int64    `json:"key"` // a channel, or the scope of a floor
	Before *markRow `json:"before,omitempty"`
	After  *markRow `json:"after,omitempty"`
}

// changes is what a mark did. read_log keeps it, so that it can be undone.
type changes struct {
	Positions []change `json:"positions,omitempty"`
	Floors    []change `json:"floors,omitempty"`
	Of        int64    `json:"of,omitempty"` // the rev that this undid
}

func (c changes) none() bool { return len(c.Positions) == 0 && len(c.Floors) == 0 }

// What read_log says was done.
const (
	didRead   = "read"
	didUnread = "unread"
	didFloor  = "floor"
	didUndo   = "undo"
)

// MarkRead reads up to m.UpTo, never back: a channel, a guild's visible channels or all visible ones. Its answer names the
// visible channels whose position moved, as they count now. A mark that changes nothing, such as the same one again, has no
// rev of its own: the answer carries the person's present one and no channels.
//
// An automatic mark (m.Auto) leaves alone what the person marked unread, or undid, after m.Rev.
//
// It returns [tidings.ErrInvalid] unless exactly one scope and an UpTo are given, and [tidings.ErrNotFound] for a scope
// outside the set and for a person who is not known.
func (s *Store) MarkRead(ctx context.Context, set *tidings.VisibleSet, m tidings.MarkRead) (tidings.ReadResult, error) {
	if m.UpTo != ^discord.MessageID(0) { // JSON's null
		m.UpTo = min(m.UpTo, math.MaxInt64) // further than any id; it is clamped to the newest
	}
	scope, list, err := scopeOf(set, m)
	if err != nil {
		return tidings.ReadResult{}, fmt.Errorf("mark read: %w", err)
	}
	what := didFloor
	if m.Channel != 0 {
		what = didRead
	}
	r, err := s.mark(ctx, set, list, what, func(tx *sqlx.Tx, rev int64, states []markState) (changes, error) {
		if m.Auto {
			undone, err := undoneSince(ctx, tx, set.User, m.Rev)
			if err != nil || undone {
				return changes{}, err
			}
		}
		if m.Channel != 0 {
			return readChannel(states, m, rev), nil
		}
		return readAll(states, scope, m, rev), nil
	})
	if err != nil {
		return tidings.ReadResult{}, fmt.Errorf("mark read up to %d: %w", m.UpTo, err)
	}
	if m.Channel != 0 {
		s.outrun(ctx, m)
	}
	return r, nil
}

// scopeOf returns the key of the mark's floor and the visible channels under it.
func scopeOf(set *tidings.VisibleSet, m tidings.MarkRead) (scope int64, list []discord.ChannelID, err error) {
	n := 0
	for _, given := range []bool{m.Channel != 0, m.Guild != 0, m.All} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return 0, nil, tidings.InvalidField("channel", "give exactly one of channel, guild and all")
	case int64(m.UpTo) <= 0:
		return 0, nil, tidings.InvalidField("up_to", "give the newest message that was shown")
	case m.Rev < 0:
		return 0, nil, tidings.InvalidField("rev", "it cannot be negative")
	case m.All:
		return 0, set.ChannelIDs(), nil
	case m.Guild != 0:
		for _, g := range set.Guilds {
			if g.Guild.ID != m.Guild {
				continue
			}
			for _, c := range g.Channels {
				list = append(list, c.ID)
			}
			return int64(m.Guild), list, nil
		}
		return 0, nil, fmt.Errorf("guild %d: %w", m.Guild, tidings.ErrNotFound)
	}
	list = within(set, []discord.ChannelID{m.Channel})
	if len(list) == 0 {
		return 0, nil, fmt.Errorf("channel %d: %w", m.Channel, tidings.ErrNotFound)
	}
	return 0, list, nil
}

// readChannel reads one channel; states holds it, or nothing when it was never stored.
func readChannel(states []markState, m tidings.MarkRead, rev int64) changes {
	if len(states) == 0 {
		return changes{}
	}
	st := states[0]
	upTo := min(int64(m.UpTo), st.LastSeen)
	if !st.acts(m, upTo) {
		return changes{}
	}
	after := &markRow{ID: max(upTo, st.Position), Rev: rev}
	return changes{Positions: []change{{Key: st.Channel, Before: st.row(), After: after}}}
}

// readAll reads every channel of states, those under the floor with the key scope, by moving that floor.
func readAll(states []markState, scope int64, m tidings.MarkRead, rev int64) changes {
	var newest int64
	for _, st := range states {
		newest = max(newest, st.LastSeen)
	}
	upTo := min(int64(m.UpTo), newest)
	if !slices.ContainsFunc(states, func(st markState) bool { return st.acts(m, upTo) }) {
		return changes{}
	}

	var c changes
	old := &markRow{ID: states[0].AllFloor, Rev: states[0].AllRev}
	if scope != 0 {
		old = &markRow{ID: states[0].GuildFloor, Rev: states[0].GuildRev}
	}
	if old.Rev == 0 {
		old = nil
	}
	// Below the old floor there are only channels whose own position holds against it.
	raised := old == nil || upTo >= old.ID
	if raised {
		c.Floors = []change{{Key: scope, Before: old, After: &markRow{ID: upTo, Rev: rev}}}
	}
	for _, st := range states {
		if !st.Holds {
			continue
		}
		after := &markRow{ID: max(st.Read.Int64, upTo), Rev: rev}
		switch {
		case !raised && !st.acts(m, upTo):
			continue
		case st.manual() && !st.acts(m, upTo):
			// It must stay as new as the floor to stand against it.
			after = &markRow{ID: st.Read.Int64, Manual: true, Rev: rev}
		case raised && after.ID >= max(st.floor(), upTo):
			// The floor, being newer, says the same.
			continue
		}
		c.Positions = append(c.Positions, change{Key: st.Channel, Before: st.row(), After: after})
	}
	return c
}

// MarkUnread makes message, and all that is newer, unread in channel. The mark stands against floors, own messages and
// automatic marks of before, until the person reads on.
func (s *Store) MarkUnread(ctx context.Context, set *tidings.VisibleSet, channel discord.ChannelID, message discord.MessageID) (tidings.ReadResult, error) {
	if int64(message) <= 0 {
		return tidings.ReadResult{}, fmt.Errorf("mark unread: %w", tidings.InvalidField("message", "give the first one that is to be unread"))
	}
	list := within(set, []discord.ChannelID{channel})
	if len(list) == 0 {
		return tidings.ReadResult{}, fmt.Errorf("mark unread: channel %d: %w", channel, tidings.ErrNotFound)
	}
	r, err := s.mark(ctx, set, list, didUnread, func(_ *sqlx.Tx, rev int64, states []markState) (changes, error) {
		if len(states) == 0 {
			return changes{}, nil
		}
		st := states[0]
		// Beyond the newest id the mark would read what has not been written yet.
		from := min(int64(message)-1, st.LastSeen)
		if st.manual() && st.Read.Int64 == from {
			return changes{}, nil
		}
		return changes{Positions: []change{{Key: st.Channel, Before: st.row(), After: &markRow{ID: from, Manual: true, Rev: rev}}}}, nil
	})
	if err != nil {
		return tidings.ReadResult{}, fmt.Errorf("mark unread from %d: %w", message, err)
	}
	return r, nil
}

const selectLog = `
SELECT before
FROM read_log
WHERE user_id = $1 AND rev = $2`

const selectUndone = `
SELECT EXISTS (
	SELECT
	FROM read_log
	WHERE user_id = $1 AND rev > $2 AND what = 'undo' AND (before ->> 'of')::bigint = $2
)`

const selectUndoneSince = `
SELECT EXISTS (
	SELECT
	FROM read_log
	WHERE user_id = $1 AND rev > $2 AND what = 'undo'
)`

// undoneSince reports whether the person undid something after rev. An automatic mark that was on its way then would read
// again what they have just taken back.
func undoneSince(ctx context.Context, tx *sqlx.Tx, user discord.UserID, rev int64) (bool, error) {
	var undone bool
	err := tx.GetContext(ctx, &undone, selectUndoneSince, int64(user), rev)
	return undone, err
}

// Undo takes back the mark that had the given rev: its rows become what they were before it. That is a mark of its own,
// with a rev of its own, and can be undone too. Undoing twice changes nothing the second time. It returns
// [tidings.ErrNotFound] when there is no such mark and [tidings.ErrConflict] when a later one has changed the same rows.
func (s *Store) Undo(ctx context.Context, set *tidings.VisibleSet, rev int64) (tidings.ReadResult, error) {
	r, err := s.mark(ctx, set, set.ChannelIDs(), didUndo, func(tx *sqlx.Tx, _ int64, _ []markState) (changes, error) {
		var text string
		err := tx.GetContext(ctx, &text, selectLog, int64(set.User), rev)
		if errors.Is(err, sql.ErrNoRows) {
			return changes{}, tidings.ErrNotFound
		}
		if err != nil {
			return changes{}, err
		}
		var done changes
		if err := json.Unmarshal([]byte(text), &done); err != nil {
			return changes{}, fmt.Errorf("read the log: %w", err)
		}
		untouched, err := stillAfter(ctx, tx, set.User, done)
		if err != nil {
			return changes{}, err
		}
		if untouched {
			return done.reversed(rev), nil
		}
		var undone bool
		if err := tx.GetContext(ctx, &undone, selectUndone, int64(set.User), rev); err != nil {
			return changes{}, err
		}
		if !undone {
			return changes{}, fmt.Errorf("%w: a newer mark stands", tidings.ErrConflict)
		}
		return changes{}, nil
	})
	if err != nil {
		return tidings.ReadResult{}, fmt.Errorf("undo mark %d: %w", rev, err)
	}
	return r, nil
}

func (c changes) reversed(rev int64) changes {
	turn := func(in []change) []change {
		out := make([]change, len(in))
		for i, ch := range in {
			out[i] = change{Key: ch.Key, Before: ch.After, After: ch.Before}
		}
		return out
	}
	return changes{Positions: turn(c.Positions), Floors: turn(c.Floors), Of: rev}
}

const selectPositionRows = `
SELECT channel_id AS key, read_id AS id, manual, rev
FROM read_positions
WHERE user_id = $1 AND channel_id = ANY ($2::bigint[])`

const selectFloorRows = `
SELECT scope_id AS key, floor_id AS id, false AS manual, rev
FROM read_floors
WHERE user_id = $1 AND scope_id = ANY ($2::bigint[])`

// stillAfter reports whether all rows are as the mark left them.
func stillAfter(ctx context.Context, tx *sqlx.Tx, user discord.UserID, c changes) (bool, error) {
	for _, t := range []struct {
		query string
		rows  []change
	}{{selectPositionRows, c.Positions}, {selectFloorRows, c.Floors}} {
		if len(t.rows) == 0 {
			continue
		}
		var found []struct {
			Key    int64 `db:"key"`
			ID     int64 `db:"id"`
			Manual bool  `db:"manual"`
			Rev    int64 `db:"rev"`
		}
		if err := tx.SelectContext(ctx, &found, t.query, int64(user), keysOf(t.rows)); err != nil {
			return false, err
		}
		now := make(map[int64]*markRow, len(found))
		for _, f := range found {
			now[f.Key] = &markRow{ID: f.ID, Manual: f.Manual, Rev: f.Rev}
		}
		for _, ch := range t.rows {
			if !ch.After.equal(now[ch.Key]) {
				return false, nil
			}
		}
	}
	return true, nil
}
