package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Filters of a [FeedQuery].
const (
	FeedUnread   = "unread"   // what the person has not read
	FeedMentions = "mentions" // what mentions them, read or not
	FeedAll      = "all"      // everything, their own too
)

// FeedQuery asks for a page over all channels of a visible set, or over one guild or channel of it. Messages of authors whom
// the person ignores are left out, except that Author may name one of them; so are Discord's own lines. Limit is 1 to [MaxPage], 0 for
// [DefaultPage]. Cursor is the Next of the page before, "" for the newest.
type FeedQuery struct {
	Filter  string
	Guild   discord.GuildID
	Channel discord.ChannelID
	Author  discord.UserID
	Cursor  string
	Limit   int
}

// FeedPage is one page of the feed, newest first. Next is "" on the last one.
type FeedPage struct {
	Messages []tidings.Message
	Next     string
}

// The feed's parameters beside those of withVisible and withMentions: $5 and $6 are the last message of the page before and
// its channel, $7 the author or 0, $8 the limit. Messages are in the order of (id, channel), both falling.
//
// Each channel offers its newest ids below the cursor from the index alone; what they say is read only for those that stay.
const feedUnread = withVisible + `, picked AS (
	SELECT v.guild_id, m.channel_id, m.id
	FROM visible v
	CROSS JOIN LATERAL (
		SELECT channel_id, id
		FROM messages
		WHERE channel_id = v.id AND v.last_live_id > v.read_id AND id > v.read_id
		AND id <= CASE WHEN v.id < $6::bigint THEN $5::bigint ELSE $5 - 1 END
		AND NOT deleted AND countable AND ($7::bigint = 0 OR author_id = $7)
		AND author_id <> ALL ((SELECT authors FROM hidden)::bigint[])
		ORDER BY id DESC
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL
	ORDER BY m.id DESC, m.channel_id DESC
	LIMIT $8
)` + feedMessages

const feedAll = withVisible + `, picked AS (
	SELECT v.guild_id, m.channel_id, m.id
	FROM visible v
	CROSS JOIN LATERAL (
		SELECT channel_id, id
		FROM messages
		WHERE channel_id = v.id
		AND id <= CASE WHEN v.id < $6::bigint THEN $5::bigint ELSE $5 - 1 END
		AND NOT deleted AND countable AND ($7::bigint = 0 OR author_id = $7)
		AND ($7 <> 0 OR author_id = $1 OR author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
		ORDER BY id DESC
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL
	ORDER BY m.id DESC, m.channel_id DESC
	LIMIT $8
)` + feedMessages

const feedMentions = withVisible + withTargets + `, picked AS (
	SELECT v.guild_id, t.channel_id, t.message_id AS id
	FROM target x
	JOIN mention_targets t ON t.kind = x.kind AND t.target_id = x.id
	JOIN visible v ON v.id = t.channel_id AND v.guild_id = coalesce(x.guild_id, v.guild_id)
	WHERE t.message_id <= CASE WHEN v.id < $6::bigint THEN $5::bigint ELSE $5 - 1 END
	AND ($7::bigint = 0 OR t.author_id = $7)
	AND t.author_id <> $1
	AND ($7 <> 0 OR t.author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
	GROUP BY v.guild_id, t.channel_id, t.message_id
	ORDER BY t.message_id DESC, t.channel_id DESC
	LIMIT $8::int
)` + feedMessages

const feedMessages = `
SELECT k.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM picked k
JOIN messages m ON m.channel_id = k.channel_id AND m.id = k.id AND NOT m.deleted` + joinMentions + `
ORDER BY m.id DESC, m.channel_id DESC`

// Feed returns a page of the newest messages over many channels. It returns [tidings.ErrInvalid] for a query that cannot be
// met, an altered cursor among them, and [tidings.ErrNotFound] for a guild or channel outside the set.
func (s *Store) Feed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery) (FeedPage, error) {
	p, err := s.feed(ctx, set, q)
	if err != nil {
		return FeedPage{}, fmt.Errorf("feed of user %d: %w", set.User, err)
	}
	return p, nil
}

func (s *Store) feed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery) (FeedPage, error) {
	query, ok := map[string]string{FeedUnread: feedUnread, FeedMentions: feedMentions, FeedAll: feedAll}[q.Filter]
	if !ok {
		return FeedPage{}, fmt.Errorf("%w filter: it is %s, %s or %s", tidings.ErrInvalid, FeedUnread, FeedMentions, FeedAll)
	}
	if q.Limit == 0 {
		q.Limit = DefaultPage
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return FeedPage{}, fmt.Errorf("%w limit: it is 1 to %d", tidings.ErrInvalid, MaxPage)
	}
	if int64(q.Author) < 0 {
		return FeedPage{}, fmt.Errorf("%w author", tidings.ErrInvalid)
	}
	from := feedCursor{message: math.MaxInt64, channel: math.MaxInt64}
	if q.Cursor != "" {
		var err error
		if from, err = parseFeedCursor(q.Cursor); err != nil {
			return FeedPage{}, err
		}
	}
	channels, err := feedChannels(set, q)
	if err != nil || len(channels) == 0 {
		return FeedPage{}, err
	}
	guilds, roles := rolesOf(set)
	var rows []storedMessage
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		rows = nil
		return tx.SelectContext(ctx, &rows, query, int64(set.User), ids(channels), guilds, roles,
			from.message, from.channel, int64(q.Author), q.Limit+1)
	})
	if err != nil {
		return FeedPage{}, err
	}
	var p FeedPage
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		last := rows[q.Limit-1]
		p.Next = feedCursor{message: last.ID, channel: last.Channel}.String()
	}
	for _, r := range rows {
		p.Messages = append(p.Messages, r.message())
	}
	return p, nil
}

// feedChannels lists the channels that the query is about.
func feedChannels(set *tidings.VisibleSet, q FeedQuery) ([]discord.ChannelID, error) {
	var list []discord.ChannelID
	guild := q.Guild == 0
	for _, g := range set.Guilds {
		if q.Guild != 0 && g.Guild.ID != q.Guild {
			continue
		}
		guild = true
		for _, c := range g.Channels {
			if q.Channel == 0 || c.ID == q.Channel {
				list = append(list, c.ID)
			}
		}
	}
	switch {
	case !guild:
		return nil, fmt.Errorf("guild %d: %w", q.Guild, tidings.ErrNotFound)
	case q.Channel != 0 && len(list) == 0:
		return nil, fmt.Errorf("channel %d: %w", q.Channel, tidings.ErrNotFound)
	}
	return list, nil
}

// feedCursor is where a page ended.
type feedCursor struct{ message, channel int64 }

// cursorVersion is the first byte of a cursor; another one is of a release that ordered the feed in another way.
const cursorVersion = 1

// String is the cursor as people get it.
func (c feedCursor) String() string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(c.message))
	b = binary.BigEndian.AppendUint64(b, uint64(c.channel))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseFeedCursor(s string) (feedCursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 17 || b[0] != cursorVersion {
		return feedCursor{}, fmt.Errorf("%w cursor: give the one that came with the page before", tidings.ErrInvalid)
	}
	c := feedCursor{message: int64(binary.BigEndian.Uint64(b[1:])), channel: int64(binary.BigEndian.Uint64(b[9:]))}
	if c.message <= 0 || c.channel <= 0 {
		return feedCursor{}, fmt.Errorf("%w cursor: give the one that came with the page before", tidings.ErrInvalid)
	}
	return c, nil
}
