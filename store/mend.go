package store

import (
	"context"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// A mention of everyone names the guild; in a channel whose guild is not known it can name none.
const moveEveryone = `
UPDATE mention_targets
SET target_id = $1
WHERE kind = 2 AND target_id = 0 AND channel_id = ANY($2::bigint[])
RETURNING channel_id`

// mendEveryone says whom mentions of everyone mean, in channels of which it is learned only now to which guild they belong. It returns
// those in which there were some: what counts as a mention there has moved.
func mendEveryone(ctx context.Context, tx *sqlx.Tx, guild discord.GuildID, learned []discord.ChannelID) ([]discord.ChannelID, error) {
	if guild == 0 || len(learned) == 0 {
		return nil, nil
	}
	var mended []discord.ChannelID
	err := tx.SelectContext(ctx, &mended, moveEveryone, int64(guild), ids(learned))
	slices.Sort(mended)
	return slices.Compact(mended), err
}

// mend does it for channels whose guild the batch has brought.
func (b *batch) mend(ctx context.Context, tx *sqlx.Tx) error {
	for id, c := range b.channels {
		if !c.learned {
			continue
		}
		mended, err := mendEveryone(ctx, tx, c.guild, []discord.ChannelID{id})
		if err != nil {
			return err
		}
		if len(mended) > 0 {
			b.deltas = append(b.deltas, tidings.Delta{Guild: c.guild, Channel: id, AccessVersion: c.access, Kind: tidings.DeltaReset, At: time.Now()})
		}
	}
	return nil
}
