package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// ProcessWebhook is the kind of the job that processes one delivery to the webhook address. Its key is the row's id.
const ProcessWebhook = "process-webhook"

const keepWebhook = `
INSERT INTO webhook_events (source, replay_key, body)
VALUES ($1, $2, $3)
ON CONFLICT (source, replay_key) DO NOTHING
RETURNING id`

// KeepWebhook keeps a delivery and asks for the job that processes it, after a wait, in one transaction. fresh is false when the
// same delivery is here already.
func (s *Store) KeepWebhook(ctx context.Context, source string, replayKey, body []byte, wait time.Duration) (fresh bool, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		fresh = false
		var id int64
		err := tx.GetContext(ctx, &id, keepWebhook, source, replayKey, body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		fresh = true
		_, err = enqueue(ctx, tx, []NewJob{{Kind: ProcessWebhook, Key: strconv.FormatInt(id, 10), Priority: newsPriority, After: wait}})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("keep a webhook of %s: %w", source, err)
	}
	return fresh, nil
}

// WebhookDelivery is a delivery that waits to be processed.
type WebhookDelivery struct {
	ID       int64     `db:"id"`
	Source   string    `db:"source"`
	Body     []byte    `db:"body"`
	Received time.Time `db:"received_at"`
}

const webhookDelivery = `
SELECT id, source, body, received_at
FROM webhook_events
WHERE id = $1 AND processed_at IS NULL`

// Webhook returns a delivery, or [tidings.ErrNotFound] when it was processed or is gone.
func (s *Store) Webhook(ctx context.Context, id int64) (WebhookDelivery, error) {
	var d WebhookDelivery
	err := s.db.GetContext(ctx, &d, webhookDelivery, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return WebhookDelivery{}, fmt.Errorf("webhook %d: %w", id, unavailable(err))
	}
	return d, nil
}

// The row stays for a while, so that the same delivery is not taken again; what it said does not.
const webhookDone = `
UPDATE webhook_events
SET processed_at = now(),
    body = '',
    outcome = $2
WHERE id = $1`

// WebhookDone notes that a delivery was processed and forgets its body.
func (s *Store) WebhookDone(ctx context.Context, id int64, outcome string) error {
	if _, err := s.db.ExecContext(ctx, webhookDone, id, clean(outcome)); err != nil {
		return fmt.Errorf("finish webhook %d: %w", id, unavailable(err))
	}
	return nil
}

const messageState = `
SELECT deleted, edited_ms
FROM messages
WHERE channel_id = $1 AND id = $2`

// MessageState tells what is stored of a message, without what it says: whether it is known, deleted, and when it was edited last.
func (s *Store) MessageState(ctx context.Context, c discord.ChannelID, m discord.MessageID) (known, deleted bool, editedMS int64, err error) {
	var row struct {
		Deleted  bool  `db:"deleted"`
		EditedMS int64 `db:"edited_ms"`
	}
	err = s.db.GetContext(ctx, &row, messageState, int64(c), int64(m))
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, 0, nil
	}
	if err != nil {
		return false, false, 0, fmt.Errorf("message %d of channel %d: %w", m, c, unavailable(err))
	}
	return true, row.Deleted, row.EditedMS, nil
}

const saveLobby = `
INSERT INTO lobby_channels (lobby_id, channel_id)
VALUES ($1, $2)
ON CONFLICT (lobby_id) DO UPDATE
SET channel_id = excluded.channel_id`

// SaveLobby notes which channel a lobby is linked to: Discord does not say it when a message there is deleted.
func (s *Store) SaveLobby(ctx context.Context, lobby discord.Snowflake, c discord.ChannelID) error {
	if _, err := s.db.ExecContext(ctx, saveLobby, int64(lobby), int64(c)); err != nil {
		return fmt.Errorf("save lobby %d: %w", lobby, unavailable(err))
	}
	return nil
}

const lobbyChannel = `
SELECT channel_id
FROM lobby_channels
WHERE lobby_id = $1`

// LobbyChannel returns the channel that a lobby is linked to, 0 when that is not known.
func (s *Store) LobbyChannel(ctx context.Context, lobby discord.Snowflake) (c discord.ChannelID, err error) {
	err = s.db.GetContext(ctx, &c, lobbyChannel, int64(lobby))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("lobby %d: %w", lobby, unavailable(err))
	}
	return c, nil
}

// Who has signed in again since then has changed their mind. A minute is left for the clocks.
const consented = `
SELECT EXISTS (
	SELECT
	FROM oauth_tokens
	WHERE user_id = $1 AND updated_at > $2::timestamptz + interval '1 minute')`

const revokeTokens = `
UPDATE api_tokens
SET revoked_at = now()
WHERE user_id = $1 AND revoked_at IS NULL
RETURNING encode(hash, 'hex')`

// Deauthorize deletes a person's tokens, Discord's and our own, because they have removed the application at a moment. It does
// nothing and returns false when they have signed in since. It returns the keys of our own, as [TokenKey] gives them: what was opened with
// them, and their sessions, are web's to end.
func (s *Store) Deauthorize(ctx context.Context, u discord.UserID, at time.Time) (tokens []string, done bool, err error) {
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		var again bool
		if err := tx.GetContext(ctx, &again, consented, int64(u), at); err != nil {
			return err
		}
		done = !again
		if again {
			return nil
		}
		if _, err := tx.ExecContext(ctx, deleteOAuthToken, int64(u)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, endPushOf, int64(u)); err != nil {
			return err
		}
		tokens = nil
		return tx.SelectContext(ctx, &tokens, revokeTokens, int64(u))
	})
	if err != nil {
		return nil, false, fmt.Errorf("deauthorize user %d: %w", u, err)
	}
	return tokens, done, nil
}

const eachSession = `
SELECT token, data
FROM sessions
WHERE expires > now() AND token > $1
ORDER BY token
LIMIT 500`

// EndSessions deletes every session that ends says to, of whatever it holds, and returns their keys.
func (s *Store) EndSessions(ctx context.Context, ends func(data []byte) bool) (ended []string, err error) {
	var rows []struct {
		Token string `db:"token"`
		Data  []byte `db:"data"`
	}
	for after := ""; ; after = rows[len(rows)-1].Token {
		rows = rows[:0]
		if err := s.db.SelectContext(ctx, &rows, eachSession, after); err != nil {
			return ended, fmt.Errorf("look at sessions: %w", unavailable(err))
		}
		for _, r := range rows {
			if !ends(r.Data) {
				continue
			}
			if _, err := s.db.ExecContext(ctx, deleteSession, r.Token); err != nil {
				return ended, fmt.Errorf("end a session: %w", unavailable(err))
			}
			ended = append(ended, r.Token)
		}
		if len(rows) < 500 {
			return ended, nil
		}
	}
}
