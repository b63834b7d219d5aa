package store

import (
	"context"
	"fmt"
	"math"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
)

// MaxPage is the greatest number of messages on one page, as Discord has it; DefaultPage that of a page whose query names none.
const (
	MaxPage     = 100
	DefaultPage = 50
)

// PageQuery asks for a page of one channel. At most one of Before, After and Around is set; without any it is the newest page.
// Limit is 1 to [MaxPage], 0 for [DefaultPage].
type PageQuery struct {
	Channel discord.ChannelID
	Before  discord.MessageID
	After   discord.MessageID
	Around  discord.MessageID
	Limit   int
}

// Page is a page of one channel's live messages, newest first, and the channel's version that it is of.
type Page struct {
	Version  int64
	Messages []tidings.Message
	// More tells that the page was cut: there are newer messages after a page with After, older ones below any other.
	More bool
}

// joinMentions adds whom a row m of messages mentions.
const joinMentions = `
LEFT JOIN LATERAL (
	SELECT array_agg(target_id) FILTER (WHERE kind = 0) AS users,
		array_agg(target_id) FILTER (WHERE kind = 1) AS roles,
		bool_or(kind = 2) AS everyone
	FROM mention_targets
	WHERE channel_id = m.channel_id AND message_id = m.id
) t ON true`

// storedMessage is a stored message.
type storedMessage struct {
	Guild     int64         `db:"guild_id"`
	Channel   int64         `db:"channel_id"`
	ID        int64         `db:"id"`
	Author    int64         `db:"author_id"`
	Type      int           `db:"type"`
	Flags     int64         `db:"flags"`
	Content   string        `db:"content"`
	Payload   []byte        `db:"payload"`
	EditedMS  int64         `db:"edited_ms"`
	Countable bool          `db:"countable"`
	Users     pq.Int64Array `db:"users"`
	Roles     pq.Int64Array `db:"roles"`
	Everyone  bool          `db:"everyone"`
}

func (r storedMessage) message() tidings.Message {
	m := tidings.Message{
		Channel: discord.ChannelID(r.Channel), ID: discord.MessageID(r.ID), Guild: discord.GuildID(r.Guild),
		Author: discord.UserID(r.Author), Type: r.Type, Flags: uint64(r.Flags), Content: r.Content, Payload: r.Payload,
		EditedMS: r.EditedMS, Countable: r.Countable, Mentions: tidings.Mentions{Everyone: r.Everyone},
	}
	for _, u := range r.Users {
		m.Mentions.Users = append(m.Mentions.Users, discord.UserID(u))
	}
	for _, role := range r.Roles {
		m.Mentions.Roles = append(m.Mentions.Roles, discord.RoleID(role))
	}
	return m
}

// One statement reads the channel's version and its messages, so both are of one snapshot. $2 and $3 are the id and the
// number of the older part, which includes the id; $4 and $5 those of the newer part, which does not. A channel without
// messages gives one row with the id 0.
const selectPage = `
SELECT c.version, c.guild_id, c.id AS channel_id, coalesce(m.id, 0) AS id, coalesce(m.author_id, 0) AS author_id,
	coalesce(m.type, 0) AS type, coalesce(m.flags, 0) AS flags, coalesce(m.content, '') AS content, m.payload,
	coalesce(m.edited_ms, 0) AS edited_ms, coalesce(m.countable, false) AS countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM channels c
LEFT JOIN LATERAL (
	(
		SELECT channel_id, id, author_id, type, flags, content, payload, edited_ms, countable
		FROM messages
		WHERE channel_id = c.id AND id <= $2::bigint AND NOT deleted
		ORDER BY id DESC
		LIMIT $3::int
	)
	UNION ALL
	(
		SELECT channel_id, id, author_id, type, flags, content, payload, edited_ms, countable
		FROM messages
		WHERE channel_id = c.id AND id > $4::bigint AND NOT deleted
		ORDER BY id
		LIMIT $5::int
	)
) m ON true` + joinMentions + `
WHERE c.id = $1
ORDER BY m.id DESC`

// Messages returns a page of a channel's live messages, whoever asks: that the person may read the channel is for the caller
// to know. It returns [tidings.ErrInvalid] for a query that cannot be met and [tidings.ErrNotFound] for an unknown channel.
func (s *Store) Messages(ctx context.Context, q PageQuery) (Page, error) {
	if err := q.check(); err != nil {
		return Page{}, fmt.Errorf("page of channel %d: %w", q.Channel, err)
	}
	first := q.Before == 0 && q.After == 0 && q.Around == 0
	if first {
		if p, ok := s.cachedPage(ctx, q.Channel, q.Limit); ok {
			return p, nil
		}
	}
	read := q
	fill := first && s.cache.usable()
	if fill {
		read.Limit = MaxPage
	}
	p, err := s.readPage(ctx, read)
	if err != nil {
		return Page{}, fmt.Errorf("page of channel %d: %w", q.Channel, err)
	}
	if fill {
		s.cache.put(ctx, q.Channel, p)
	}
	return p.cut(q.Limit), nil
}

func (q *PageQuery) check() error {
	n := 0
	for _, given := range []struct {
		field string
		id    discord.MessageID
	}{{"before", q.Before}, {"after", q.After}, {"around", q.Around}} {
		if int64(given.id) < 0 {
			return tidings.InvalidField(given.field, "it is no id of Discord's")
		}
		if given.id != 0 {
			n++
		}
	}
	if n > 1 {
		return tidings.InvalidField("around", "give at most one of before, after and around")
	}
	if q.Limit == 0 {
		q.Limit = DefaultPage
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return tidings.InvalidField("limit", "it is 1 to %d", MaxPage)
	}
	return nil
}

// readPage reads a page from Postgres. A row more than the limit tells whether there is more.
func (s *Store) readPage(ctx context.Context, q PageQuery) (Page, error) {
	var olderID, newerID int64 = math.MaxInt64, math.MaxInt64
	older, newer := q.Limit+1, 0
	switch {
	case q.Before != 0:
		olderID = int64(q.Before) - 1
	case q.After != 0:
		newerID, older, newer = int64(q.After), 0, q.Limit+1
	case q.Around != 0:
		olderID, newerID, newer = int64(q.Around), int64(q.Around), q.Limit
	}
	var rows []struct {
		storedMessage
		Version int64 `db:"version"`
	}
	err := s.db.SelectContext(ctx, &rows, selectPage, int64(q.Channel), olderID, older, newerID, newer)
	if err != nil {
		return Page{}, unavailable(err)
	}
	if len(rows) == 0 {
		return Page{}, tidings.ErrNotFound
	}
	p := Page{Version: rows[0].Version}
	if rows[0].ID == 0 {
		return p, nil
	}
	p.Messages = make([]tidings.Message, len(rows))
	for i, r := range rows {
		p.Messages[i] = r.message()
	}
	switch {
	case q.After != 0:
		if p.More = len(p.Messages) > q.Limit; p.More {
			p.Messages = p.Messages[len(p.Messages)-q.Limit:]
		}
	case q.Around != 0:
		return p.around(q), nil
	}
	return p.cut(q.Limit), nil
}

// cut keeps the newest limit messages.
func (p Page) cut(limit int) Page {
	if len(p.Messages) > limit {
		p.Messages, p.More = p.Messages[:limit], true
	}
	return p
}

// around keeps limit messages with q.Around in the middle, or nearer to an end where one side is short.
func (p Page) around(q PageQuery) Page {
	newer := 0
	for newer < len(p.Messages) && p.Messages[newer].ID > q.Around {
		newer++
	}
	older := len(p.Messages) - newer
	keep := min(newer, max(q.Limit/2, q.Limit-older))
	p.Messages = p.Messages[newer-keep:]
	return p.cut(q.Limit)
}

const selectVersion = `
SELECT version
FROM channels
WHERE id = $1`

// cachedPage returns the newest page from Redis if it is of the channel's present version. The version is read after the
// page, so a page that passes was whole and current at that moment, whatever was written to Redis when.
func (s *Store) cachedPage(ctx context.Context, channel discord.ChannelID, limit int) (Page, bool) {
	p, ok := s.cache.get(ctx, channel, limit)
	if !ok {
		return Page{}, false
	}
	var version int64
	if err := s.db.GetContext(ctx, &version, selectVersion, int64(channel)); err != nil {
		// The full read that follows meets the same error and reports it.
		return Page{}, false
	}
	return p, p.Version == version
}
