package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// mark runs one mark of the set's person. decide gets the rev that the mark will have and the state of the channels ids.
func (s *Store) mark(ctx context.Context, set *tidings.VisibleSet, list []discord.ChannelID, what string,
	decide func(tx *sqlx.Tx, rev int64, states []markState) (changes, error)) (tidings.ReadResult, error) {
	var r tidings.ReadResult
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		r = tidings.ReadResult{User: set.User}
		if _, err := tx.ExecContext(ctx, noCompiler); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &r.Rev, lockUser, int64(set.User))
		if errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		}
		if err != nil {
			return err
		}
		before, err := statesOf(ctx, tx, set.User, list)
		if err != nil {
			return err
		}
		c, err := decide(tx, r.Rev+1, before)
		if err != nil || c.none() {
			return err
		}
		r.Rev++
		if err := saveMark(ctx, tx, set.User, r.Rev, what, c); err != nil {
			return err
		}
		after, err := statesOf(ctx, tx, set.User, list)
		if err != nil {
			return err
		}
		rows, err := count(ctx, tx, set, moved(before, after))
		r.Channels = readChannels(rows)
		return err
	})
	if err != nil {
		return tidings.ReadResult{}, err
	}
	return r, nil
}

func statesOf(ctx context.Context, tx *sqlx.Tx, user discord.UserID, list []discord.ChannelID) ([]markState, error) {
	var states []markState
	err := tx.SelectContext(ctx, &states, selectStates, int64(user), ids(list))
	return states, err
}

// moved lists the channels whose effective position differs. Their counts may be the same, but a client that counts by
// itself must know from where. A position that did not move changes no count.
func moved(before, after []markState) []discord.ChannelID {
	was := make(map[int64]int64, len(before))
	for _, st := range before {
		was[st.Channel] = st.Position
	}
	var list []discord.ChannelID
	for _, st := range after {
		if p, ok := was[st.Channel]; !ok || p != st.Position {
			list = append(list, discord.ChannelID(st.Channel))
		}
	}
	return list
}

const updateRev = `
UPDATE users
SET rev = $2
WHERE id = $1`

const insertLog = `
INSERT INTO read_log (user_id, rev, what, before)
VALUES ($1, $2, $3, $4)`

const upsertPositions = `
INSERT INTO read_positions (user_id, channel_id, read_id, manual, rev)
SELECT $1, u.channel_id, u.read_id, u.manual, u.rev
FROM unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[]) AS u (channel_id, read_id, manual, rev)
ON CONFLICT (user_id, channel_id) DO UPDATE
SET read_id = excluded.read_id, manual = excluded.manual, rev = excluded.rev`

const deletePositions = `
DELETE FROM read_positions
WHERE user_id = $1 AND channel_id = ANY ($2::bigint[])`

const upsertFloors = `
INSERT INTO read_floors (user_id, scope_id, floor_id, rev)
SELECT $1, u.scope_id, u.floor_id, u.rev
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS u (scope_id, floor_id, rev)
ON CONFLICT (user_id, scope_id) DO UPDATE
SET floor_id = excluded.floor_id, rev = excluded.rev`

const deleteFloors = `
DELETE FROM read_floors
WHERE user_id = $1 AND scope_id = ANY ($2::bigint[])`

// saveMark writes what a mark changes, its entry in the log and the person's new rev. The person's row is locked.
func saveMark(ctx context.Context, tx *sqlx.Tx, user discord.UserID, rev int64, what string, c changes) error {
	put, gone := split(c.Positions)
	if len(put.keys) > 0 {
		if _, err := tx.ExecContext(ctx, upsertPositions, int64(user), put.keys, put.to, put.manual, put.revs); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if _, err := tx.ExecContext(ctx, deletePositions, int64(user), gone); err != nil {
			return err
		}
	}
	put, gone = split(c.Floors)
	if len(put.keys) > 0 {
		if _, err := tx.ExecContext(ctx, upsertFloors, int64(user), put.keys, put.to, put.revs); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if _, err := tx.ExecContext(ctx, deleteFloors, int64(user), gone); err != nil {
			return err
		}
	}
	before, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insertLog, int64(user), rev, what, string(before)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, updateRev, int64(user), rev)
	return err
}

// columns are the rows of a multi-row upsert, a slice a column.
type columns struct {
	keys, to, revs pq.Int64Array
	manual         pq.BoolArray
}

// split separates the rows that are written from the keys of those that go.
func split(rows []change) (put columns, gone pq.Int64Array) {
	for _, ch := range rows {
		if ch.After == nil {
			gone = append(gone, ch.Key)
			continue
		}
		put.keys, put.to = append(put.keys, ch.Key), append(put.to, ch.After.ID)
		put.manual, put.revs = append(put.manual, ch.After.Manual), append(put.revs, ch.After.Rev)
	}
	return put, gone
}

func keysOf(rows []change) pq.Int64Array {
	keys := make(pq.Int64Array, len(rows))
	for i, ch := range rows {
		keys[i] = ch.Key
	}
	return keys
}
