package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"tidings"
)

// A lease that was handed over and not taken up counts as its new owner's, so that nobody is given more than their share.
const shardShares = `
	SELECT split_part(owner, '#', 1) AS name, count(*) AS n, bool_and(listening AND heard_until > now()) AS well
	FROM gateway_sessions
	WHERE shards = $1 AND lease_until > now()
	GROUP BY 1`

// Who stands by because a later run of its name runs shards says nothing: it would be given what that run takes at once.
const awaitShards = `
WITH share AS (` + shardShares + `
), forgotten AS (
	DELETE FROM gateway_waiters
	WHERE until < now() - interval '1 hour' AND name <> split_part($2::text, '#', 1)
), said AS (
	INSERT INTO gateway_waiters (name, owner, shards, until)
	SELECT split_part($2, '#', 1), $2, $1, now() + $3 * interval '1 millisecond'
	WHERE NOT EXISTS (
		SELECT FROM gateway_sessions
		WHERE lease_until > now() AND split_part(owner, '#', 1) = split_part($2, '#', 1)
		  AND coalesce(nullif(split_part(owner, '#', 2), ''), '0')::numeric > coalesce(nullif(split_part($2, '#', 2), ''), '0')::numeric)
	ON CONFLICT (name) DO UPDATE
	SET owner = excluded.owner,
	    shards = excluded.shards,
	    until = excluded.until
	WHERE coalesce(nullif(split_part(gateway_waiters.owner, '#', 2), ''), '0')::numeric <= coalesce(nullif(split_part(excluded.owner, '#', 2), ''), '0')::numeric
	RETURNING name
)
SELECT EXISTS (SELECT FROM said)
   AND EXISTS (SELECT FROM share WHERE name <> split_part($2, '#', 1)
               AND n >= 2 + coalesce((SELECT n FROM share WHERE name = split_part($2, '#', 1)), 0))`

// AwaitShards says that owner would run more of so many shards than it does, until ttl has passed; with a ttl of 0 that it would not
// any more. hope is whether somebody runs at least two more than it, and so will hand one over.
func (s *Store) AwaitShards(ctx context.Context, shards int, owner string, ttl time.Duration) (hope bool, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &hope, awaitShards, shards, owner, ttl.Milliseconds())
	})
	if err != nil {
		return false, fmt.Errorf("wait for some of %d shards: %w", shards, err)
	}
	return hope, nil
}

const givenShards = `
SELECT shard
FROM gateway_sessions
WHERE shards = $1 AND owner = $2 AND lease_until > now()
ORDER BY shard`

// GivenShards lists the shards whose lease is owner's: those that it runs, and those that were handed to it and that it has not
// leased yet.
func (s *Store) GivenShards(ctx context.Context, shards int, owner string) ([]int, error) {
	var list []int
	if err := s.db.SelectContext(ctx, &list, givenShards, shards, owner); err != nil {
		return nil, fmt.Errorf("shards given to %s: %w", owner, unavailable(err))
	}
	return list, nil
}

// The one with the fewest shards. Where one of them does not hear what Discord tells, the process is not done with the last one that it
// took, or cannot reach Discord.
const waiterFor = `
	SELECT w.owner
	FROM gateway_waiters w
	LEFT JOIN (` + shardShares + `) s USING (name)
	WHERE w.shards = $1 AND w.until > now() AND w.name <> split_part($2::text, '#', 1) AND coalesce(s.well, true)
	  AND coalesce(s.n, 0) + 2 <= (
		SELECT count(*)
		FROM gateway_sessions
		WHERE shards = $1 AND lease_until > now() AND split_part(owner, '#', 1) = split_part($2, '#', 1))
	ORDER BY coalesce(s.n, 0), w.name
	LIMIT 1`

const shardWanted = `
SELECT EXISTS (` + waiterFor + `)`

// ShardWanted reports whether somebody waits for one of owner's shards and has at least two fewer.
func (s *Store) ShardWanted(ctx context.Context, shards int, owner string) (bool, error) {
	var wanted bool
	if err := s.db.GetContext(ctx, &wanted, shardWanted, shards, owner); err != nil {
		return false, fmt.Errorf("who waits for one of %d shards: %w", shards, unavailable(err))
	}
	return wanted, nil
}

// Two who hand over at the same time would not see each other's, and give one process too many.
const lockShares = `
SELECT pg_advisory_xact_lock(1953064037, $1)`

// All up to the new sequence is committed, also what is recorded nowhere, such as a RESUMED, which would be told again: unless the database
// has lost some of it. The lease becomes one that the new owner may lease again at once, and that ends as any other when it does not.
const handShard = `
UPDATE gateway_sessions g
SET owner = w.owner,
    lease_epoch = g.lease_epoch + 1,
    lease_until = now() + $5 * interval '1 millisecond',
    seq = greatest(g.seq, $7),
    listening = false,
    updated_at = now()
FROM (` + waiterFor + `) w
WHERE g.shards = $1 AND g.shard = $3 AND g.lease_epoch = $4 AND g.session_id = $6 AND g.session_id <> '' AND g.seq >= $8 AND g.hole = 0
RETURNING w.owner`

// HandShard gives the lease g of owner's to whom [Store.ShardWanted] speaks of, for ttl, in which it must be leased. All up to g.Seq was
// received and is committed, and the database has said that it knows as much as known. to is "" when nobody waits any more, the session has
// a hole or is not the one that is stored, or the database has gone back: then the lease is as it was.
func (s *Store) HandShard(ctx context.Context, g tidings.GatewaySession, known int64, owner string, ttl time.Duration) (to string, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockShares, g.Shards); err != nil {
			return err
		}
		return tx.GetContext(ctx, &to, handShard, g.Shards, owner, g.Shard, g.Epoch, ttl.Milliseconds(), g.Session, g.Seq, known)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hand over shard %d of %d: %w", g.Shard, g.Shards, err)
	}
	return to, nil
}
