package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// What is quoted may never have been stored: it was written before a channel's history begins here. Its text is in the quote all the same, and
// no row of it goes that would take the quote along. So quotes are looked for by what they say when something is purged or too old.

const quotesOfAuthor = `
SELECT DISTINCT channel_id
FROM messages
WHERE quoted_id <> 0 AND quoted_id < $2 AND position(convert_to('"' || $1::bigint || '"', 'UTF8') IN payload) > 0
ORDER BY channel_id`

// unquoteAuthor deletes what answers quote of an author's messages below an id, and tells of it.
func (s *Store) unquoteAuthor(ctx context.Context, author discord.UserID, before discord.MessageID, tell Tell) error {
	var channels []discord.ChannelID
	if err := s.db.SelectContext(ctx, &channels, quotesOfAuthor, int64(author), int64(before)); err != nil {
		return err
	}
	return s.unquoteIn(ctx, channels, author, func(discord.ChannelID) discord.MessageID { return before }, tell)
}

func (s *Store) unquoteIn(ctx context.Context, channels []discord.ChannelID, author discord.UserID, before func(discord.ChannelID) discord.MessageID, tell Tell) error {
	for _, c := range channels {
		for after, more := discord.MessageID(0), true; more; {
			var result tidings.Result
			var err error
			if after, more, result, err = s.unquoteStep(ctx, c, author, after, before(c)); err != nil {
				return fmt.Errorf("forget quotes in channel %d: %w", c, err)
			}
			s.afterCommit(context.WithoutCancel(ctx), result)
			if len(result.Deltas) > 0 {
				tell(ctx, result)
			}
		}
	}
	return nil
}

const quotesTooOld = `
SELECT DISTINCT m.channel_id AS id, greatest($1::bigint, o.horizon) AS horizon
FROM messages m
JOIN channels c ON c.id = m.channel_id
LEFT JOIN unnest($2::bigint[], $3::bigint[]) o(guild_id, horizon) ON o.guild_id = c.guild_id
WHERE m.quoted_id <> 0 AND m.quoted_id < $4 AND m.quoted_id < greatest($1, o.horizon)
ORDER BY m.channel_id`

// unquoteOld deletes what answers quote of messages below the horizon, everywhere's or their guild's own, and tells of it.
func (s *Store) unquoteOld(ctx context.Context, horizon discord.MessageID, guilds, horizons pq.Int64Array, tell Tell) error {
	highest := int64(horizon)
	for _, h := range horizons {
		highest = max(highest, h)
	}
	var rows []struct {
		ID      discord.ChannelID `db:"id"`
		Horizon discord.MessageID `db:"horizon"`
	}
	if err := s.db.SelectContext(ctx, &rows, quotesTooOld, int64(horizon), guilds, horizons, highest); err != nil {
		return err
	}
	channels, of := make([]discord.ChannelID, len(rows)), make(map[discord.ChannelID]discord.MessageID, len(rows))
	for i, r := range rows {
		channels[i], of[r.ID] = r.ID, r.Horizon
	}
	return s.unquoteIn(ctx, channels, 0, func(c discord.ChannelID) discord.MessageID { return of[c] }, tell)
}

// Whoever records in the channel has its lock, so no older payload is written over what is written here.
const selectQuotes = `
SELECT id, payload
FROM messages
WHERE channel_id = $1 AND id > $2 AND quoted_id <> 0 AND quoted_id < $3
  AND ($4::bigint = 0 OR position(convert_to('"' || $4::bigint || '"', 'UTF8') IN payload) > 0)
ORDER BY id
LIMIT $5
FOR UPDATE`

// rowsPerUnquote keeps a channel's lock short.
const rowsPerUnquote = 500

// unquoteStep looks at some messages of a channel above an id that quote something below before, of one author or, with 0, of anybody.
func (s *Store) unquoteStep(ctx context.Context, channel discord.ChannelID, author discord.UserID, after, before discord.MessageID) (last discord.MessageID, more bool, result tidings.Result, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		last, more, result = after, false, tidings.Result{}
		if _, err := lockChannel(ctx, tx, channel); err != nil {
			return err
		}
		var rows []struct {
			ID      discord.MessageID `db:"id"`
			Payload []byte            `db:"payload"`
		}
		if err := tx.SelectContext(ctx, &rows, selectQuotes, int64(channel), int64(after), int64(before), int64(author), rowsPerUnquote); err != nil {
			return err
		}
		more = len(rows) == rowsPerUnquote
		blanked := 0
		for _, r := range rows {
			last = r.ID
			if _, of, ok := quotedIn(r.Payload, channel); !ok || author != 0 && of != author {
				continue
			}
			payload, err := withoutQuote(r.Payload)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, blankQuote, int64(channel), int64(r.ID), payload); err != nil {
				return err
			}
			blanked++
		}
		if blanked == 0 {
			return nil
		}
		result.Deltas, err = reset(ctx, tx, []discord.ChannelID{channel})
		return err
	})
	return last, more, result, err
}
