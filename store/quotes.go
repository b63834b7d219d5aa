package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// Quoted names a message that another one quotes.
type Quoted struct {
	Channel discord.ChannelID
	ID      discord.MessageID
}

const selectDeleted = `
SELECT m.channel_id, m.id, m.deleted
FROM unnest($1::bigint[], $2::bigint[]) AS v (channel_id, id)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id
WHERE m.deleted`

// holdQuoted has who deletes one of the messages wait for the commit, and find then what quotes it; or waits for who has begun to.
const holdQuoted = `
SELECT m.channel_id, m.id, m.deleted
FROM unnest($1::bigint[], $2::bigint[]) AS v (channel_id, id)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id
ORDER BY m.channel_id, m.id
FOR SHARE OF m`

// Deleted returns those of the messages that are known to be deleted. What quotes them still holds their text, as Discord
// told it when they were quoted.
func (s *Store) Deleted(ctx context.Context, of []Quoted) (map[Quoted]bool, error) {
	gone, err := deleted(ctx, s.db, selectDeleted, of)
	if err != nil {
		return nil, fmt.Errorf("look for deleted messages among quoted ones: %w", unavailable(err))
	}
	return gone, nil
}

func deleted(ctx context.Context, db sqlx.QueryerContext, query string, of []Quoted) (map[Quoted]bool, error) {
	gone := map[Quoted]bool{}
	if len(of) == 0 {
		return gone, nil
	}
	channels, messages := make(pq.Int64Array, len(of)), make(pq.Int64Array, len(of))
	for i, q := range of {
		channels[i], messages[i] = int64(q.Channel), int64(q.ID)
	}
	var rows []struct {
		Channel discord.ChannelID `db:"channel_id"`
		ID      discord.MessageID `db:"id"`
		Gone    bool              `db:"deleted"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, query, channels, messages); err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Gone {
			gone[Quoted{r.Channel, r.ID}] = true
		}
	}
	return gone, nil
}

// unquote takes out of stored messages what they quote of others that were deleted since: their next change, a reaction for
// one, would tell it again.
func (b *batch) unquote(ctx context.Context, tx *sqlx.Tx) error {
	quoting := map[Quoted][]*heldMessage{}
	for _, m := range b.messages {
		if q, _, ok := quotedIn(m.Message.Payload, m.Channel); ok && m.known && !m.deleted {
			b.quoted[q] = true
			quoting[q] = append(quoting[q], m)
		}
	}
	// In the batch's own channels nobody else deletes anything now; what begins a thread quotes another one.
	var here, elsewhere []Quoted
	for q := range b.quoted {
		if b.channels[q.Channel] != nil {
			here = append(here, q)
		} else {
			elsewhere = append(elsewhere, q)
		}
	}
	var err error
	if b.gone, err = deleted(ctx, tx, selectDeleted, here); err != nil {
		return err
	}
	there, err := deleted(ctx, tx, holdQuoted, elsewhere)
	if err != nil {
		return err
	}
	maps.Copy(b.gone, there)
	// After that: what is not there any more may just have been purged.
	if err := b.refuseQuotes(ctx, tx, elsewhere); err != nil {
		return err
	}
	for q := range b.gone {
		for _, m := range quoting[q] {
			if m.Message.Payload, err = withoutQuote(m.Message.Payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// What a channel does not take in any more, by age or on demand, has no row that says so.
const quotedChannels = `
SELECT c.id, greatest(c.purged_id, g.purged_id) AS purged_id, c.kept AND coalesce(g.kept, true) AS kept, coalesce(g.retention_days, 0) AS retention_days
FROM channels c
LEFT JOIN guilds g ON g.id = c.guild_id
WHERE c.id = ANY($1::bigint[])`

// refuseQuotes adds to what is gone those of other channels' messages that would not be taken in there.
func (b *batch) refuseQuotes(ctx context.Context, tx *sqlx.Tx, of []Quoted) error {
	if len(of) == 0 {
		return nil
	}
	var rows []struct {
		ID     discord.ChannelID `db:"id"`
		Purged discord.MessageID `db:"purged_id"`
		Kept   bool              `db:"kept"`
		Days   int               `db:"retention_days"`
	}
	channels := make([]discord.ChannelID, len(of))
	for i, q := range of {
		channels[i] = q.Channel
	}
	if err := tx.SelectContext(ctx, &rows, quotedChannels, ids(channels)); err != nil {
		return err
	}
	for _, r := range rows {
		for _, q := range of {
			if q.Channel == r.ID && (!r.Kept || q.ID <= max(r.Purged, below(r.Days, b.now))) {
				b.gone[q] = true
			}
		}
	}
	return nil
}

// withoutQuote is a payload that quotes nothing, as Discord shows it when the quoted message is gone.
func withoutQuote(payload []byte) ([]byte, error) {
	o, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	o[quoteField] = json.RawMessage("null")
	return json.Marshal(o)
}

// quotedID is the message that one quotes; 0 for none.
func quotedID(m tidings.Message) discord.MessageID {
	q, _, _ := quotedIn(m.Payload, m.Channel)
	return q.ID
}

// The rows stay locked until the commit, so that nothing writes an older payload over what is written here. They may lie in other
// channels, as what starts a thread does; a deadlock with whoever writes there is resolved by trying again.
const selectQuoting = `
SELECT channel_id, id, payload
FROM messages
WHERE quoted_id = ANY($1::bigint[]) AND quoted_id <> 0
ORDER BY channel_id, id
FOR UPDATE`

const blankQuote = `
UPDATE messages
SET payload = $3,
    quoted_id = 0
WHERE channel_id = $1 AND id = $2`

// Dead events are few, so looking into each costs little. Deliveries of webhooks hold no words.
const forgetWaiting = `
DELETE FROM dead_events
WHERE kind <> 'MessagesDeleted'
  AND EXISTS (SELECT FROM unnest($1::bigint[]) v(id) WHERE position(convert_to('"' || v.id || '"', 'UTF8') IN raw) > 0)`

// forgetCopies deletes what other rows hold of messages that are gone: their text in replies, and events about them that wait
// to be tried again. It returns in which channels there were such replies.
func forgetCopies(ctx context.Context, tx *sqlx.Tx, messages []discord.MessageID) (quoting map[discord.ChannelID]bool, err error) {
	quoting = map[discord.ChannelID]bool{}
	if len(messages) == 0 {
		return quoting, nil
	}
	var rows []struct {
		Channel discord.ChannelID `db:"channel_id"`
		ID      int64             `db:"id"`
		Payload []byte            `db:"payload"`
	}
	if err := tx.SelectContext(ctx, &rows, selectQuoting, ids(messages)); err != nil {
		return nil, err
	}
	for _, r := range rows {
		payload, err := withoutQuote(r.Payload)
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, blankQuote, int64(r.Channel), r.ID, payload); err != nil {
			return nil, err
		}
		quoting[r.Channel] = true
	}
	_, err = tx.ExecContext(ctx, forgetWaiting, ids(messages))
	return quoting, err
}

const resetChannels = `
UPDATE channels
SET version = version + 1
WHERE id = ANY($1::bigint[])
RETURNING id, guild_id, version`

// The access versions are read once the channels are held: a barrier may have had them.
const accessOfReset = `
SELECT id, access_version
FROM guilds
WHERE id = ANY($1::bigint[])`

// reset moves the versions of channels in which something changed that no delta says.
func reset(ctx context.Context, tx *sqlx.Tx, channels []discord.ChannelID) ([]tidings.Delta, error) {
	if len(channels) == 0 {
		return nil, nil
	}
	var rows []struct {
		Channel discord.ChannelID `db:"id"`
		Guild   discord.GuildID   `db:"guild_id"`
		Version int64             `db:"version"`
	}
	if err := tx.SelectContext(ctx, &rows, resetChannels, ids(channels)); err != nil {
		return nil, err
	}
	of := map[discord.GuildID]bool{}
	for _, r := range rows {
		of[r.Guild] = true
	}
	var guilds []struct {
		ID     discord.GuildID `db:"id"`
		Access int64           `db:"access_version"`
	}
	if err := tx.SelectContext(ctx, &guilds, accessOfReset, ids(slices.Collect(maps.Keys(of)))); err != nil {
		return nil, err
	}
	access := map[discord.GuildID]int64{}
	for _, g := range guilds {
		access[g.ID] = g.Access
	}
	var deltas []tidings.Delta
	for _, r := range rows {
		deltas = append(deltas, tidings.Delta{
			Guild: r.Guild, Channel: r.Channel, Version: r.Version, AccessVersion: access[r.Guild], Kind: tidings.DeltaReset, At: time.Now(),
		})
	}
	return deltas, nil
}

// quoteField is where Discord puts the message that another one answers; null when that is gone.
const quoteField = "referenced_message"

// quotedIn reads which message a payload quotes, and whose it is.
func quotedIn(payload []byte, channel discord.ChannelID) (q Quoted, author discord.UserID, ok bool) {
	if !bytes.Contains(payload, []byte(quoteField)) {
		return Quoted{}, 0, false
	}
	var p struct {
		Quote struct {
			ID      string `json:"id"`
			Channel string `json:"channel_id"`
			Author  struct {
				ID string `json:"id"`
			} `json:"author"`
		} `json:"referenced_message"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return Quoted{}, 0, false
	}
	if id, err := strconv.ParseInt(p.Quote.Channel, 10, 64); err == nil {
		channel = discord.ChannelID(id)
	}
	id, err := strconv.ParseInt(p.Quote.ID, 10, 64)
	if err != nil || id <= 0 {
		return Quoted{}, 0, false
	}
	who, _ := strconv.ParseInt(p.Quote.Author.ID, 10, 64)
	return Quoted{channel, discord.MessageID(id)}, discord.UserID(max(who, 0)), true
}
