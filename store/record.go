package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Record stores events that are no barriers, in their order and in one transaction, and the marks with them. It returns what
// they changed: recording the same events again changes nothing and returns nothing. Channels that are not known yet get a
// placeholder that nobody may read. Any number of processes may record the same channels at once.
//
// An error that is [tidings.ErrUnavailable] will pass; with any other, one of the events cannot be stored.
func (s *Store) Record(ctx context.Context, events []tidings.Event, marks []tidings.Mark) (tidings.Result, error) {
	if len(events) == 0 {
		return tidings.Result{}, s.SaveMarks(ctx, marks)
	}
	for _, ev := range events {
		if ev.Barrier() || ev.Channel == 0 {
			return tidings.Result{}, fmt.Errorf("%w event: %T of channel %d is not about messages", tidings.ErrInvalid, ev.Body, ev.Channel)
		}
	}
	var result tidings.Result
	everywhere := false
	record := func(tx *sqlx.Tx) error {
		b := newBatch(events)
		b.everywhere = everywhere
		b.now = time.Now()
		b.horizon = s.Horizon(b.now)
		if err := b.load(ctx, tx); err != nil {
			return err
		}
		for _, ev := range events {
			if err := b.apply(ev); err != nil {
				return err
			}
		}
		if err := b.write(ctx, tx); err != nil {
			return err
		}
		deltas := b.number()
		if err := b.writeHeads(ctx, tx); err != nil {
			return err
		}
		late, err := b.writeLate(ctx, tx)
		if err != nil {
			return err
		}
		reads, err := readOwn(ctx, tx, b.own)
		if err != nil {
			return err
		}
		others, err := reset(ctx, tx, b.elsewhere)
		if err != nil {
			return err
		}
		result = tidings.Result{Deltas: append(deltas, others...), Reads: reads, Recovered: late}
		return saveMarks(ctx, tx, marks)
	}
	err := s.inTx(ctx, nil, record)
	// What is missing is made outside the transaction: made inside, two of them would wait for each other's new rows.
	var absent *absentError
	for range 3 {
		if !errors.As(err, &absent) {
			break
		}
		if err = s.makeRoom(ctx, absent); err == nil {
			err = s.inTx(ctx, nil, record)
		}
	}
	if coded(err, "23505") {
		// There is a message above the newest that its channel is said to have: somebody has written it by hand, or restored a part.
		everywhere = true
		err = s.inTx(ctx, nil, record)
	}
	if err != nil {
		return tidings.Result{}, fmt.Errorf("record %d events: %w", len(events), err)
	}
	s.afterCommit(context.WithoutCancel(ctx), result)
	s.noteAuthors(ctx, result.Deltas)
	return result, nil
}

// absentError says that channels of a batch have no row yet.
type absentError struct {
	channels map[discord.ChannelID]discord.GuildID
}

func (e *absentError) Error() string { return fmt.Sprintf("%d channels have no row", len(e.channels)) }

const addPlaceholders = `
INSERT INTO channels (id, guild_id)
VALUES %s
ON CONFLICT (id) DO NOTHING`

// makeRoom adds placeholder rows for channels of which nothing is known yet.
func (s *Store) makeRoom(ctx context.Context, absent *absentError) error {
	var rows [][]any
	for _, id := range slices.Sorted(maps.Keys(absent.channels)) {
		rows = append(rows, []any{int64(id), int64(absent.channels[id])})
	}
	return s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		return execRows(ctx, tx, addPlaceholders, nil, rows)
	})
}
