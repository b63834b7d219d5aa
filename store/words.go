package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// FindWords is the kind of the job that finds the words of older messages anew; schema.sql enqueues it where that is needed.
const FindWords = "find-words"

// rowsPerWords keeps a channel's lock short while the words of its messages are found.
const rowsPerWords = 1000

const nextChannel = `
SELECT id
FROM channels
WHERE id > $1
ORDER BY id
LIMIT 1`

const lockForWords = `
SELECT
FROM channels
WHERE id = $1
FOR UPDATE`

// Most messages have the words that they had: those are not written again.
const findWords = `
WITH part AS MATERIALIZED (
	SELECT id, content
	FROM messages
	WHERE channel_id = $1 AND id > $2
	ORDER BY id
	LIMIT $3
), found AS (
	UPDATE messages m
	SET words = words_of(p.content)
	FROM part p
	WHERE m.channel_id = $1 AND m.id = p.id AND m.words IS DISTINCT FROM words_of(p.content)
	RETURNING m.id
)
SELECT count(*) AS seen, coalesce(max(id), 0) AS last, (SELECT count(*) FROM found) AS written
FROM part`

const keepPlace = `
UPDATE jobs
SET payload = $2
WHERE id = $1 AND worker = $3`

// wordsPlace is how far the job has come.
type wordsPlace struct {
	Channel int64 `json:"channel"`
	Message int64 `json:"message"` // the last one of the channel that was looked at
}

// FindWords finds the words of all messages anew, channel by channel and in bounded steps under the channel's lock, and rests after each as long
// as it took. Where it has come is kept with the job, so that it goes on there. It returns how many messages had other words.
func (s *Store) FindWords(ctx context.Context, j Job) (written int, err error) {
	var at wordsPlace
	if err := json.Unmarshal(j.Payload, &at); err != nil {
		return 0, fmt.Errorf("find words: %w", err)
	}
	for {
		began := time.Now()
		n, more, err := s.wordsStep(ctx, j, &at)
		written += n
		if err != nil || !more {
			if err != nil {
				err = fmt.Errorf("find words in channel %d: %w", at.Channel, err)
			}
			return written, err
		}
		select {
		case <-ctx.Done():
			return written, ctx.Err()
		case <-time.After(time.Since(began)):
		}
	}
}

// wordsStep looks at some messages of a channel, or goes on to the next channel.
func (s *Store) wordsStep(ctx context.Context, j Job, at *wordsPlace) (written int, more bool, err error) {
	var step struct {
		Seen    int   `db:"seen"`
		Last    int64 `db:"last"`
		Written int   `db:"written"`
	}
	var next wordsPlace
	err = s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		// Whoever records locks the channel before its messages.
		if _, err := tx.ExecContext(ctx, lockForWords, at.Channel); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &step, findWords, at.Channel, at.Message, rowsPerWords); err != nil {
			return err
		}
		next, more = wordsPlace{Channel: at.Channel, Message: step.Last}, true
		if step.Seen < rowsPerWords {
			next.Message = 0
			if err := tx.GetContext(ctx, &next.Channel, nextChannel, at.Channel); errors.Is(err, sql.ErrNoRows) {
				more = false
			} else if err != nil {
				return err
			}
		}
		place, err := json.Marshal(next)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, keepPlace, j.ID, string(place), j.Claim)
		return err
	})
	if err != nil {
		return 0, false, err
	}
	*at = next
	return step.Written, more, nil
}
