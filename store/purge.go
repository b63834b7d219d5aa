package store

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// PurgeMessages is the kind of the job that forgets. Its payload is a [Purge].
const PurgeMessages = "purge"

// Purge says what is to be forgotten: the messages of one guild, of one channel and its threads, or of one author. Exactly one is set.
type Purge struct {
	Guild   discord.GuildID   `json:"guild,omitempty"`
	Channel discord.ChannelID `json:"channel,omitempty"`
	Author  discord.UserID    `json:"author,omitempty"`
	// Before is the moment up to which everything goes; now when it is zero. What is written later is stored.
	Before time.Time `json:"before,omitzero"`
	// By is who asked; 0 for the operator at the command line, or the service itself.
	By discord.UserID `json:"by,omitempty"`
}

// PurgeReceipt is what a purge deleted. It is written into the audit log.
type PurgeReceipt struct {
	Purge
	Channels int `json:"channels"` // that were gone through
	Messages int `json:"messages"` // that were deleted, or blanked where the rest of the channel stays
}

// Tell is how a purge and retention tell of what they did. It must not block for long.
type Tell func(context.Context, tidings.Result)

// Purge deletes what is held of a guild's, a channel's or an author's messages, in bounded steps, and tells of each. It is
// safe to run again when it was cut short. Messages of guilds and channels leave no trace but the channel's counters, and ids
// up to Before are refused from then on, whoever brings them. An author's leave rows without words or author, so that
// no page that is fetched again brings them back, and what of them is first fetched later is refused. Copies in replies go too.
func (s *Store) Purge(ctx context.Context, p Purge, tell Tell) (PurgeReceipt, error) {
	if p.Before.IsZero() {
		p.Before = time.Now()
	}
	var err error
	r := PurgeReceipt{Purge: p}
	switch {
	case p.Author != 0 && p.Guild == 0 && p.Channel == 0:
		err = s.purgeAuthor(ctx, &r, tell)
	case p.Author == 0 && (p.Guild == 0) != (p.Channel == 0):
		err = s.purgeChannels(ctx, &r, tell)
	default:
		err = fmt.Errorf("%w scope: name one guild, one channel or one author", tidings.ErrInvalid)
	}
	if err == nil {
		err = note(ctx, s.db, p.By, "purge", r)
	}
	if err != nil {
		return r, fmt.Errorf("purge: %w", unavailable(err))
	}
	return r, nil
}

const purgedChannels = `
SELECT id
FROM channels
WHERE CASE WHEN $1::bigint <> 0 THEN guild_id = $1 ELSE id = $2 OR parent_id = $2 END
ORDER BY id`

// From here on nothing older is taken in; the steps that follow delete what was. Gaps below it need not be fetched any more.
const refusePast = `
UPDATE channels
SET purged_id = greatest(purged_id, $2)
WHERE id = $1`

// The same for channels and threads of the guild that are seen first later.
const refusePastOfGuild = `
UPDATE guilds
SET purged_id = greatest(purged_id, $2)
WHERE id = $1`

// What waits to be processed may name the place and hold its words. A gap or the next time that the guild is seen whole brings back
// what is lost with it.
var forgetPlace = []string{`
DELETE FROM dead_events
WHERE guild_id = $1 OR channel_id = $1`, `
UPDATE webhook_events
SET body = '',
    processed_at = coalesce(processed_at, now()),
    outcome = 'purged'
WHERE body <> '' AND position(convert_to('"' || $1::bigint || '"', 'UTF8') IN body) > 0`, `
DELETE FROM pins
WHERE channel_id = $1`,
}

func (s *Store) purgeChannels(ctx context.Context, r *PurgeReceipt, tell Tell) error {
	upTo := tidings.FirstID(r.Before)
	// Before its channels are listed: what is seen first meanwhile is listed too, or has it from there.
	if _, err := s.db.ExecContext(ctx, refusePastOfGuild, int64(r.Guild), int64(upTo-1)); err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, refusePast, int64(r.Channel), int64(upTo-1)); err != nil {
		return err
	}
	var channels []discord.ChannelID
	if err := s.db.SelectContext(ctx, &channels, purgedChannels, int64(r.Guild), int64(r.Channel)); err != nil {
		return err
	}
	if len(channels) == 0 {
		return fmt.Errorf("%w: nothing is held of it", tidings.ErrNotFound)
	}
	if err := s.forgetPlace(ctx, int64(r.Guild)); err != nil {
		return err
	}
	for _, c := range channels {
		if _, err := s.db.ExecContext(ctx, refusePast, int64(c), int64(upTo-1)); err != nil {
			return err
		}
		if err := s.forgetPlace(ctx, int64(c)); err != nil {
			return err
		}
		for n := rowsPerRetention; n == rowsPerRetention; {
			var result tidings.Result
			var err error
			if n, result, err = s.retainStep(ctx, c, upTo, true); err != nil {
				return err
			}
			r.Messages += n
			s.afterCommit(context.WithoutCancel(ctx), result)
			tell(ctx, result)
		}
		r.Channels++
	}
	return nil
}

func (s *Store) forgetPlace(ctx context.Context, id int64) error {
	if id == 0 {
		return nil
	}
	return s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		for _, query := range forgetPlace {
			if _, err := tx.ExecContext(ctx, query, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// An author has no index of their own: the table is read once, without a lock that anybody waits for.
const authorChannels = `
SELECT DISTINCT channel_id
FROM messages
WHERE author_id = $1
ORDER BY channel_id`

const authorMessages = `
SELECT id
FROM messages
WHERE channel_id = $1 AND author_id = $2 AND id < $3 AND NOT deleted
ORDER BY id
LIMIT $4`

// What is left of a deleted message says that an id is taken and no more.
const disownTombstones = `
UPDATE messages
SET author_id = 0
WHERE channel_id = $1 AND author_id = $2 AND deleted`

var forgetAuthor = []string{`
DELETE FROM dead_events
WHERE position(convert_to('"' || $1::bigint || '"', 'UTF8') IN raw) > 0`, `
DELETE FROM reactions
WHERE user_id = $1`, `
DELETE FROM poll_votes
WHERE user_id = $1`, deleteNamesOf,
}

// What was not stored by then may come later, with a page of a gap.
const refuseAuthor = `
INSERT INTO author_purges (author_id, before_id)
VALUES ($1, $2)
ON CONFLICT (author_id) DO UPDATE
SET before_id = greatest(author_purges.before_id, excluded.before_id)`

func (s *Store) purgeAuthor(ctx context.Context, r *PurgeReceipt, tell Tell) error {
	before := tidings.FirstID(r.Before)
	// What is being recorded commits first, and is found below; see lockOptOuts.
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockOptOuts); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, refuseAuthor, int64(r.Author), int64(before))
		return err
	})
	if err != nil {
		return err
	}
	var channels []discord.ChannelID
	if err := s.db.SelectContext(ctx, &channels, authorChannels, int64(r.Author)); err != nil {
		return err
	}
	for _, c := range channels {
		for {
			var list []discord.MessageID
			if err := s.db.SelectContext(ctx, &list, authorMessages, int64(c), int64(r.Author), int64(before), maxBulk); err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			gone := tidings.Event{Source: tidings.SourceBackfill, Channel: c, At: time.Now(), Body: tidings.MessagesDeleted{IDs: list}}
			result, err := s.Record(ctx, []tidings.Event{gone}, nil)
			if err != nil {
				return err
			}
			r.Messages += len(list)
			tell(ctx, result)
		}
		if _, err := s.db.ExecContext(ctx, disownTombstones, int64(c), int64(r.Author)); err != nil {
			return err
		}
		r.Channels++
	}
	if err := s.unquoteAuthor(ctx, r.Author, before, tell); err != nil {
		return err
	}
	for _, query := range forgetAuthor {
		if _, err := s.db.ExecContext(ctx, query, int64(r.Author)); err != nil {
			return err
		}
	}
	return nil
}
