package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Quoted names a message that another one quotes.
type Quoted struct {
	Channel discord.ChannelID
	ID      discord.MessageID
}

const selectDeleted = `
SELECT m.channel_id, m.id
FROM unnest($1::bigint[], $2::bigint[]) AS v (channel_id, id)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id
WHERE m.deleted`

// Deleted returns those of the messages that are known to be deleted. What quotes them still holds their text, as Discord
// told it when they were quoted.
func (s *Store) Deleted(ctx context.Context, of []Quoted) (map[Quoted]bool, error) {
	gone, err := deleted(ctx, s.db, of)
	if err != nil {
		return nil, fmt.Errorf("look for deleted messages among quoted ones: %w", unavailable(err))
	}
	return gone, nil
}

func deleted(ctx context.Context, db sqlx.QueryerContext, of []Quoted) (map[Quoted]bool, error) {
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
	}
	if err := sqlx.SelectContext(ctx, db, &rows, selectDeleted, channels, messages); err != nil {
		return nil, err
	}
	for _, r := range rows {
		gone[Quoted{r.Channel, r.ID}] = true
	}
	return gone, nil
}

// unquote takes out of stored messages what they quote of others that were deleted since: their next change, a reaction for
// one, would tell it again.
func (b *batch) unquote(ctx context.Context, tx *sqlx.Tx) error {
	var quoted []Quoted
	quoting := map[Quoted][]*heldMessage{}
	for _, m := range b.messages {
		if q, ok := quotedIn(m.Message.Payload, m.Channel); ok && m.known && !m.deleted {
			quoted = append(quoted, q)
			quoting[q] = append(quoting[q], m)
		}
	}
	gone, err := deleted(ctx, tx, quoted)
	if err != nil {
		return err
	}
	for q := range gone {
		for _, m := range quoting[q] {
			o, err := parseObject(m.Message.Payload)
			if err != nil {
				return err
			}
			o[quoteField] = json.RawMessage("null")
			if m.Message.Payload, err = json.Marshal(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// quoteField is where Discord puts the message that another one answers; null when that is gone.
const quoteField = "referenced_message"

// quotedIn reads which message a payload quotes.
func quotedIn(payload []byte, channel discord.ChannelID) (Quoted, bool) {
	if !bytes.Contains(payload, []byte(quoteField)) {
		return Quoted{}, false
	}
	var p struct {
		Quote struct {
			ID      string `json:"id"`
			Channel string `json:"channel_id"`
		} `json:"referenced_message"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return Quoted{}, false
	}
	if id, err := strconv.ParseInt(p.Quote.Channel, 10, 64); err == nil {
		channel = discord.ChannelID(id)
	}
	id, err := strconv.ParseInt(p.Quote.ID, 10, 64)
	return Quoted{channel, discord.MessageID(id)}, err == nil && id > 0
}
