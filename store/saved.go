package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// MaxSaved is how many messages one person may keep for later.
const MaxSaved = 10_000

// Saved is a message kept for later.
type Saved struct {
	Message tidings.Message
	At      time.Time
}

// SavedPage is a page of them, the last saved first. Next is "" on the last one.
type SavedPage struct {
	Saved []Saved
	Next  string
}

const insertSaved = `
INSERT INTO saved_messages (user_id, channel_id, message_id)
SELECT $1, channel_id, id
FROM messages
WHERE channel_id = $2 AND id = $3 AND NOT deleted
AND (SELECT count(*) FROM saved_messages WHERE user_id = $1) < $4
ON CONFLICT DO NOTHING`

const selectIsSaved = `
SELECT EXISTS (SELECT FROM messages WHERE channel_id = $2 AND id = $3 AND NOT deleted) AS there,
	EXISTS (SELECT FROM saved_messages WHERE user_id = $1 AND channel_id = $2 AND message_id = $3) AS saved`

// Save keeps a message of a visible channel for later; once is enough. It returns [tidings.ErrNotFound] when there is none.
func (s *Store) Save(ctx context.Context, set *tidings.VisibleSet, channel discord.ChannelID, message discord.MessageID) error {
	if len(within(set, []discord.ChannelID{channel})) == 0 {
		return fmt.Errorf("save message %d: %w", message, tidings.ErrNotFound)
	}
	saved, err := some(s.db.ExecContext(ctx, insertSaved, int64(set.User), int64(channel), int64(message), MaxSaved))
	if err == nil && !saved {
		var is struct{ There, Saved bool }
		err = s.db.GetContext(ctx, &is, selectIsSaved, int64(set.User), int64(channel), int64(message))
		switch {
		case err != nil:
		case !is.There:
			err = tidings.ErrNotFound
		case !is.Saved:
			err = tidings.InvalidField("message", "%d messages are saved already; take one back first", MaxSaved)
		}
	}
	if err != nil {
		return fmt.Errorf("save message %d: %w", message, unavailable(err))
	}
	return nil
}

const deleteSaved = `
DELETE FROM saved_messages
WHERE user_id = $1 AND channel_id = $2 AND message_id = $3`

// Unsave takes a message back. One that is not saved is no error.
func (s *Store) Unsave(ctx context.Context, user discord.UserID, channel discord.ChannelID, message discord.MessageID) error {
	if _, err := s.db.ExecContext(ctx, deleteSaved, int64(user), int64(channel), int64(message)); err != nil {
		return fmt.Errorf("take back saved message %d: %w", message, unavailable(err))
	}
	return nil
}

// What was deleted since, and what is in channels that were lost, is not shown; in a channel that is gained again it is.
const selectSaved = `
SELECT c.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone, s.at
FROM saved_messages s
JOIN channels c ON c.id = s.channel_id
JOIN messages m ON m.channel_id = s.channel_id AND m.id = s.message_id AND NOT m.deleted` + joinMentions + `
WHERE s.user_id = $1 AND s.channel_id = ANY ($2::bigint[])
AND (s.at, s.message_id, s.channel_id) < ($3, $4, $5)
ORDER BY s.at DESC, s.message_id DESC, s.channel_id DESC
LIMIT $6`

// SavedMessages lists what the person has saved and may still read.
func (s *Store) SavedMessages(ctx context.Context, set *tidings.VisibleSet, cursor string, limit int) (SavedPage, error) {
	if limit == 0 {
		limit = DefaultPage
	}
	if limit < 1 || limit > MaxPage {
		return SavedPage{}, fmt.Errorf("saved messages: %w", tidings.InvalidField("limit", "it is 1 to %d", MaxPage))
	}
	from := savedCursor{at: math.MaxInt64, message: math.MaxInt64, channel: math.MaxInt64}
	if cursor != "" {
		var err error
		if from, err = parseSavedCursor(cursor); err != nil {
			return SavedPage{}, fmt.Errorf("saved messages: %w", err)
		}
	}
	var rows []struct {
		storedMessage
		At time.Time `db:"at"`
	}
	err := s.db.SelectContext(ctx, &rows, selectSaved, int64(set.User), ids(set.ChannelIDs()), from.time(), from.message, from.channel, limit+1)
	if err != nil {
		return SavedPage{}, fmt.Errorf("saved messages of user %d: %w", set.User, unavailable(err))
	}
	var p SavedPage
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		p.Next = savedCursor{last.At.UnixMicro(), last.ID, last.Channel}.String()
	}
	for _, r := range rows {
		p.Saved = append(p.Saved, Saved{r.message(), r.At.UTC()})
	}
	return p, nil
}

// savedCursor is where a page ended; at is in microseconds.
type savedCursor struct{ at, message, channel int64 }

func (c savedCursor) time() time.Time {
	const never = 250_000_000_000_000_000 // the year 9892; Postgres' own end of time is beyond what a timestamp parameter takes
	return time.UnixMicro(min(c.at, never)).UTC()
}

func (c savedCursor) String() string {
	b := []byte{cursorVersion}
	for _, n := range []int64{c.at, c.message, c.channel} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseSavedCursor(s string) (savedCursor, error) {
	// The decoder passes over ends of lines.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") || len(b) != 25 || b[0] != cursorVersion {
		return savedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[1+8*i:])) }
	c := savedCursor{n(0), n(1), n(2)}
	if c.at <= 0 || c.message <= 0 || c.channel <= 0 {
		return savedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	return c, nil
}
