package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
)

// Whoever writes waits meanwhile; the tables have the order in which rows of them are locked. Whoever is not let in for so long tries again later.
const lockVersions = `
SET LOCAL lock_timeout = '5s';
LOCK TABLE guilds, channels, users IN EXCLUSIVE MODE`

const selectGoneBack = `
SELECT EXISTS (
	SELECT
	FROM unnest($1::bigint[], $2::bigint[]) v(id, version)
	JOIN channels c ON c.id = v.id
	WHERE c.version < v.version
) OR EXISTS (
	SELECT
	FROM unnest($3::bigint[], $4::bigint[]) v(id, version)
	JOIN guilds g ON g.id = v.id
	WHERE g.access_version < v.version
)`

// versionJump is more than has been told of anything, and leaves room for two million of them in what a browser's script counts exactly.
const versionJump = 1 << 32

var outgrow = []string{`
UPDATE guilds
SET access_version = access_version + $1`, `
UPDATE channels
SET version = version + $1,
    audited_version = audited_version + $1`, `
UPDATE users
SET rev = rev + $1`}

// Outgrow makes all versions and revs greater than any that was ever told, if the database has gone back: if it has lower versions of these channels,
// or access versions of these guilds, than it has said before. Everybody then finds that everything has moved, and reads it anew. Of many who
// find out at the same time the first one does it.
func (s *Store) Outgrow(ctx context.Context, channels map[discord.ChannelID]int64, guilds map[discord.GuildID]int64) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockVersions); err != nil {
			return err
		}
		known, versions := versionColumns(channels)
		in, access := versionColumns(guilds)
		var gone bool
		if err := tx.GetContext(ctx, &gone, selectGoneBack, known, versions, in, access); err != nil || !gone {
			return err
		}
		for _, query := range outgrow {
			if _, err := tx.ExecContext(ctx, query, int64(versionJump)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outgrow the versions that were told: %w", err)
	}
	return nil
}

func versionColumns[K ~uint64](of map[K]int64) (ids, versions *column) {
	ids, versions = int8s(len(of)), int8s(len(of))
	for id, v := range of {
		ids.int8(int64(id))
		versions.int8(v)
	}
	return ids, versions
}
