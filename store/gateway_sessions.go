package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

const leaseShard = `
INSERT INTO gateway_sessions (shard, shards, owner, lease_epoch, lease_until)
VALUES ($1, $2, $3, 1, now() + $4 * interval '1 millisecond')
ON CONFLICT (shard, shards) DO UPDATE
SET owner = excluded.owner,
    lease_epoch = gateway_sessions.lease_epoch + 1,
    lease_until = excluded.lease_until,
    listening = false,
    updated_at = now()
WHERE gateway_sessions.lease_until <= now()
   OR split_part(gateway_sessions.owner, '#', 1) = split_part(excluded.owner, '#', 1)
  AND coalesce(nullif(split_part(gateway_sessions.owner, '#', 2), ''), '0')::numeric <= coalesce(nullif(split_part(excluded.owner, '#', 2), ''), '0')::numeric
RETURNING shard, shards, session_id, resume_url, CASE WHEN hole > 0 THEN least(seq, hole - 1) ELSE seq END AS seq, lease_epoch`

// LeaseShard makes owner the one who runs a shard for ttl, and returns the session to resume: from before a hole, where there
// is one. The error is
// [tidings.ErrLeaseLost] while another owner holds a live lease. Leasing again, by the same owner too, ends the lease before. An
// owner is a name, or a name and the number of its run, as in name#7: a later run takes over what an earlier one had, but not the
// other way round.
func (s *Store) LeaseShard(ctx context.Context, shard, shards int, owner string, ttl time.Duration) (tidings.GatewaySession, error) {
	var g tidings.GatewaySession
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &g, leaseShard, shard, shards, owner, ttl.Milliseconds())
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrLeaseLost
	}
	if err != nil {
		return tidings.GatewaySession{}, fmt.Errorf("lease shard %d of %d: %w", shard, shards, err)
	}
	return g, nil
}

const renewShard = `
UPDATE gateway_sessions
SET lease_until = now() + $4 * interval '1 millisecond'
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// RenewShard makes the lease last for ttl from now. The error is [tidings.ErrLeaseLost] when somebody has leased it since.
func (s *Store) RenewShard(ctx context.Context, g tidings.GatewaySession, ttl time.Duration) error {
	if err := s.underLease(ctx, renewShard, g.Shard, g.Shards, g.Epoch, ttl.Milliseconds()); err != nil {
		return fmt.Errorf("renew shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

const releaseShard = `
UPDATE gateway_sessions
SET lease_until = now(),
    owner = '',
    updated_at = now()
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// ReleaseShard lets another process lease the shard at once. A lease that is lost already is no error.
func (s *Store) ReleaseShard(ctx context.Context, g tidings.GatewaySession) error {
	err := s.underLease(ctx, releaseShard, g.Shard, g.Shards, g.Epoch)
	if err != nil && !errors.Is(err, tidings.ErrLeaseLost) {
		return fmt.Errorf("release shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

// With a session that ends, the guilds that it told about are no longer told about without interruption. The hole that it had
// goes on as a doubt about them.
const endLive = `
UPDATE guilds g
SET live_session = '',
    unheard_at = coalesce(g.unheard_at, s.heard_until),
    suspect_id = CASE WHEN s.hole = 0 THEN g.suspect_id WHEN g.suspect_id = 0 THEN s.hole_id ELSE least(g.suspect_id, s.hole_id) END
FROM gateway_sessions s
WHERE s.shard = $1 AND s.shards = $2 AND s.lease_epoch = $3 AND s.session_id <> '' AND s.session_id <> $4
  AND g.live_session = s.session_id`

const saveSession = `
UPDATE gateway_sessions
SET session_id = $4,
    resume_url = $5,
    seq = $6,
    listening = $4 <> '',
    heard_until = CASE WHEN $4 = '' THEN heard_until ELSE now() + $7 * interval '1 millisecond' END,
    hole = 0,
    hole_id = 0,
    updated_at = now()
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// SaveSession keeps a new session after READY; an empty one forgets it. The error is [tidings.ErrLeaseLost] when somebody has
// leased the shard since.
func (s *Store) SaveSession(ctx context.Context, g tidings.GatewaySession) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, endLive, g.Shard, g.Shards, g.Epoch, g.Session); err != nil {
			return err
		}
		return changeLeased(ctx, tx, saveSession, g.Shard, g.Shards, g.Epoch, g.Session, g.ResumeURL, g.Seq, heardFor.Milliseconds())
	})
	if err != nil {
		return fmt.Errorf("save the session of shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

// underLease runs an update that meets its row only while the lease's epoch stands.
func (s *Store) underLease(ctx context.Context, query string, args ...any) error {
	return s.inTx(ctx, nil, func(tx *sqlx.Tx) error { return changeLeased(ctx, tx, query, args...) })
}

func changeLeased(ctx context.Context, tx *sqlx.Tx, query string, args ...any) error {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return tidings.ErrLeaseLost
	}
	return nil
}

// heardFor is how long it is believed that a shard hears everything: a few times as long as it takes to be said again. A process
// that was killed is believed for so long.
const heardFor = 5 * time.Second

const listening = `
UPDATE gateway_sessions
SET listening = $4,
    heard_until = CASE WHEN $4 THEN now() + $5 * interval '1 millisecond' ELSE heard_until END
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3`

// Listening notes whether a shard is connected and past the replay. While it is not, and unless [Store.Heard] says every 1½ seconds
// that it still is, nothing of its guilds is stated to be complete. The error is [tidings.ErrLeaseLost] when somebody has leased the shard since.
func (s *Store) Listening(ctx context.Context, g tidings.GatewaySession, on bool) error {
	if err := s.underLease(ctx, listening, g.Shard, g.Shards, g.Epoch, on, heardFor.Milliseconds()); err != nil {
		return fmt.Errorf("note whether shard %d of %d listens: %w", g.Shard, g.Shards, err)
	}
	return nil
}

const heard = `
UPDATE gateway_sessions
SET heard_until = now() + $5 * interval '1 millisecond',
    last_event_at = coalesce($6, last_event_at),
    round_trip_ms = $7,
    resumes = $8,
    identifies = $9,
    lost = $10
WHERE shard = $1 AND shards = $2 AND lease_epoch = $3 AND session_id = $4 AND listening`

// Heard says that a shard that is listening still is: it is believed for five seconds. health is for operators who ask another
// process. The error is [tidings.ErrLeaseLost] when somebody has leased the shard since, another session has begun, or the shard is not listening.
func (s *Store) Heard(ctx context.Context, g tidings.GatewaySession, health tidings.ShardHealth) error {
	event := sql.NullTime{Time: health.LastEvent, Valid: !health.LastEvent.IsZero()}
	if err := s.underLease(ctx, heard, g.Shard, g.Shards, g.Epoch, g.Session, heardFor.Milliseconds(),
		event, health.RoundTrip.Milliseconds(), health.Resumes, health.Identifies, health.Lost); err != nil {
		return fmt.Errorf("note that shard %d of %d still listens: %w", g.Shard, g.Shards, err)
	}
	return nil
}

// What a replay leaves out may be as old as the last moment in which the shard was heard, with a margin for what was on its way and for
// a connection that was dead by then.
const noteHole = `
UPDATE gateway_sessions g
SET hole = CASE WHEN $5::bigint = 0 THEN 0 WHEN hole = 0 THEN $5 ELSE least(hole, $5) END,
    hole_id = CASE WHEN $5 = 0 THEN 0 WHEN hole = 0 OR v.id < hole_id THEN v.id ELSE hole_id END
FROM (
	SELECT shard, shards, CASE
		WHEN listening THEN $6::bigint
		ELSE greatest(least($6, (extract(epoch FROM heard_until)::numeric * 1000 - 1420070400000 - $7)::bigint << 22), 1) END AS id
	FROM gateway_sessions) v
WHERE g.shard = $1 AND g.shards = $2 AND g.lease_epoch = $3 AND g.session_id = $4 AND v.shard = g.shard AND v.shards = g.shards`

// NoteHole keeps that a sequence of a session was left out, before anything that came after it is committed: whoever runs the
// shard next resumes from below it. before is a message that was told ahead of the hole, with a margin for what is under way;
// seq 0 says that nothing is missing any more. The error is [tidings.ErrLeaseLost] when somebody has leased the shard since.
func (s *Store) NoteHole(ctx context.Context, g tidings.GatewaySession, seq int64, before discord.MessageID) error {
	if err := s.underLease(ctx, noteHole, g.Shard, g.Shards, g.Epoch, g.Session, seq, int64(before), (heardFor + clockMargin).Milliseconds()); err != nil {
		return fmt.Errorf("note a hole of shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return nil
}

// SaveMarks keeps how far gateway sessions are committed. It only goes up, and a mark of another session or of an older lease
// than the row's is ignored: it is a late write of somebody who has been replaced. Where the row is below a mark's Known the shard's
// lease ends, for the database has gone back.
func (s *Store) SaveMarks(ctx context.Context, marks []tidings.Mark) error {
	if len(marks) == 0 {
		return nil
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error { return saveMarks(ctx, tx, marks) })
	if err != nil {
		return fmt.Errorf("save marks: %w", err)
	}
	return nil
}

// A database that knows less than it has said before has gone back, to a replica that was behind or to a copy: what it lost would stay
// below the mark. So the mark is refused and the lease ended; who leases the shard next resumes from what is there.
const raiseMarks = `
UPDATE gateway_sessions g
SET seq = CASE WHEN g.seq < v.known THEN g.seq ELSE v.seq END,
    lease_epoch = CASE WHEN g.seq < v.known THEN g.lease_epoch + 1 ELSE g.lease_epoch END,
    listening = g.listening AND g.seq >= v.known,
    updated_at = now()
FROM (VALUES %s) v(shard, session_id, epoch, seq, known)
WHERE g.shard = v.shard AND g.session_id = v.session_id AND g.lease_epoch = v.epoch AND g.seq < v.seq`

var raiseMarksTypes = []string{"int", "text", "bigint", "bigint", "bigint"}

// maxOftenMarks is how many marks, of as many shards, are saved together so often that it is worth preparing.
const maxOftenMarks = 4

// saveMarks is the last statement of its transaction, so that lanes wait for each other's commit only.
func saveMarks(ctx context.Context, tx *sqlx.Tx, marks []tidings.Mark) error {
	highest := map[tidings.Mark]tidings.Mark{}
	for _, m := range marks {
		k := m
		k.Seq, k.Known = 0, 0
		if m.Session != "" {
			h := highest[k]
			m.Seq, m.Known = max(m.Seq, h.Seq), max(m.Known, h.Known)
			highest[k] = m
		}
	}
	var rows [][]any
	for _, m := range highest {
		rows = append(rows, []any{m.Shard, m.Session, m.Epoch, m.Seq, m.Known})
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(int), b[0].(int)) })
	if len(rows) <= maxOftenMarks {
		ctx = often(ctx, len(rows))
	}
	return execRows(ctx, tx, raiseMarks, raiseMarksTypes, rows)
}

const selectShardLeases = `
SELECT shard, owner, lease_until > now() AS held, listening, greatest(updated_at, last_event_at) AS last_event_at, round_trip_ms, resumes, identifies, lost
FROM gateway_sessions
WHERE shards = (SELECT shards FROM gateway_sessions ORDER BY lease_until DESC LIMIT 1)
ORDER BY shard`

// ShardLease is who runs a shard, as far as its process has written it.
type ShardLease struct {
	Shard       int       `db:"shard"`
	Owner       string    `db:"owner"`
	Held        bool      `db:"held"` // the lease has not ended
	Listening   bool      `db:"listening"`
	LastEvent   time.Time `db:"last_event_at"` // or when its process wrote last how far it is, whichever is later
	RoundTripMS int       `db:"round_trip_ms"` // of the last heartbeat, 0 when none was acknowledged
	Resumes     int64     `db:"resumes"`       // these three since that process has started
	Identifies  int64     `db:"identifies"`
	Lost        int64     `db:"lost"`
}

// ShardLeases lists the shards of the newest number of shards, whoever runs them.
func (s *Store) ShardLeases(ctx context.Context) ([]ShardLease, error) {
	var list []ShardLease
	if err := s.db.SelectContext(ctx, &list, selectShardLeases); err != nil {
		return nil, fmt.Errorf("shard leases: %w", unavailable(err))
	}
	return list, nil
}
