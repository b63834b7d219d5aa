package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

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

// FeedQuery asks for a page over all channels of a visible set, or over one guild, category or channel of it. Messages of
// authors whom the person ignores are left out, except that Author may name one of them; so are Discord's own lines. Limit is 1 to [MaxPage], 0 for
// [DefaultPage]. At most one of Cursor, Newer and Around is set; without any it is the newest page.
type FeedQuery struct {
	Filter   string
	Guild    discord.GuildID
	Category discord.ChannelID // or a forum
	Channel  discord.ChannelID
	Author   discord.UserID
	Has      tidings.Features // all of them
	Cursor   string           // the Next of a page: what is older than that
	Newer    string           // the Newer of a page: what is newer than that, the nearest
	Around   discord.MessageID
	Limit    int
}

// FeedPage is one page of the feed, newest first. Next is "" where there is nothing older. Newer is "" only on a page without
// messages: asked for again, it gives what has come since.
type FeedPage struct {
	Messages []tidings.Message
	Next     string
	Newer    string
}

// The feed's parameters beside those of withVisible and withMentions: $5 and $6 are a message and its channel, from which the page goes
// down or up, $7 the author or 0, $8 the limit, $9 features. Messages are in the order of (id, channel).
//
// Each channel offers its nearest ids from the index alone; what they say is read only for those that stay. BOUND and WAY stand for the
// direction.
const feedUnread = withVisible + `, picked AS (
	SELECT v.guild_id, m.channel_id, m.id
	FROM visible v
	CROSS JOIN LATERAL (
		SELECT channel_id, id
		FROM messages
		WHERE channel_id = v.id AND v.last_live_id > v.read_id AND id > v.read_id
		AND id BOUND
		AND NOT deleted AND countable AND ($7::bigint = 0 OR author_id = $7)
		AND author_id <> ALL ((SELECT authors FROM hidden)::bigint[])
		AND ($9::int = 0 OR has & $9 = $9)
		ORDER BY id WAY
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL
	ORDER BY m.id WAY, m.channel_id WAY
	LIMIT $8
)` + feedMessages

const feedAll = withVisible + `, picked AS (
	SELECT v.guild_id, m.channel_id, m.id
	FROM visible v
	CROSS JOIN LATERAL (
		SELECT channel_id, id
		FROM messages
		WHERE channel_id = v.id
		AND id BOUND
		AND NOT deleted AND countable AND ($7::bigint = 0 OR author_id = $7)
		AND ($7 <> 0 OR author_id = $1 OR author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
		AND ($9::int = 0 OR has & $9 = $9)
		ORDER BY id WAY
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL
	ORDER BY m.id WAY, m.channel_id WAY
	LIMIT $8
)` + feedMessages

const feedMentions = withVisible + withTargets + `, picked AS (
	SELECT v.guild_id, t.channel_id, t.message_id AS id
	FROM target x
	JOIN mention_targets t ON t.kind = x.kind AND t.target_id = x.id
	JOIN visible v ON v.id = t.channel_id AND v.guild_id = coalesce(x.guild_id, v.guild_id)
	WHERE t.message_id BOUND
	AND ($7::bigint = 0 OR t.author_id = $7)
	AND t.author_id <> $1
	AND ($7 <> 0 OR t.author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
	AND ($9::int = 0 OR EXISTS (
		SELECT
		FROM messages m
		WHERE m.channel_id = t.channel_id AND m.id = t.message_id AND m.has & $9 = $9
	))
	GROUP BY v.guild_id, t.channel_id, t.message_id
	ORDER BY t.message_id WAY, t.channel_id WAY
	LIMIT $8::int
)` + feedMessages

const feedMessages = `
SELECT k.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM picked k
JOIN messages m ON m.channel_id = k.channel_id AND m.id = k.id AND NOT m.deleted` + joinMentions + `
ORDER BY m.id DESC, m.channel_id DESC`

// olderFeed and newerFeed write a statement of the feed for one direction. The message of the cursor itself is in neither.
func olderFeed(query string) string {
	return strings.NewReplacer("BOUND", "<= CASE WHEN v.id < $6::bigint THEN $5::bigint ELSE $5 - 1 END", "WAY", "DESC").Replace(query)
}

func newerFeed(query string) string {
	return strings.NewReplacer("BOUND", ">= CASE WHEN v.id > $6::bigint THEN $5::bigint ELSE $5 + 1 END", "WAY", "ASC").Replace(query)
}

// Feed returns a page of messages over many channels. It returns [tidings.ErrInvalid] for a query that cannot be
// met, an altered cursor among them, and [tidings.ErrNotFound] for a guild, category or channel outside the set.
func (s *Store) Feed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery) (FeedPage, error) {
	p, err := s.feed(ctx, set, q)
	if err != nil {
		return FeedPage{}, fmt.Errorf("feed of user %d: %w", set.User, err)
	}
	return p, nil
}

// feedPart asks for up to limit messages in one direction.
type feedPart struct {
	newer bool
	from  feedCursor
	limit int
}

func (s *Store) feed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery) (FeedPage, error) {
	query, ok := map[string]string{FeedUnread: feedUnread, FeedMentions: feedMentions, FeedAll: feedAll}[q.Filter]
	if !ok {
		return FeedPage{}, tidings.InvalidField("filter", "it is %s, %s or %s", FeedUnread, FeedMentions, FeedAll)
	}
	parts, err := q.parts()
	if err != nil {
		return FeedPage{}, err
	}
	channels, err := feedChannels(set, q)
	if err != nil || len(channels) == 0 {
		return FeedPage{}, err
	}
	guilds, roles := rolesOf(set)
	var newer, older []storedMessage
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		newer, older = nil, nil
		for _, part := range parts {
			rows, text := &older, olderFeed(query)
			if part.newer {
				rows, text = &newer, newerFeed(query)
			}
			err := tx.SelectContext(ctx, rows, text, int64(set.User), ids(channels), guilds, roles,
				part.from.message, part.from.channel, int64(q.Author), part.limit+1, int(q.Has))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return FeedPage{}, err
	}
	return feedPage(parts, q.Limit, newer, older), nil
}

// parts says what to read for a page. A page around a message takes as many as asked for on both sides, to have enough where
// one side is short.
func (q *FeedQuery) parts() ([]feedPart, error) {
	if q.Limit == 0 {
		q.Limit = DefaultPage
	}
	given := 0
	for _, is := range []bool{q.Cursor != "", q.Newer != "", q.Around != 0} {
		if is {
			given++
		}
	}
	switch {
	case q.Limit < 1 || q.Limit > MaxPage:
		return nil, tidings.InvalidField("limit", "it is 1 to %d", MaxPage)
	case int64(q.Author) < 0 || int64(q.Around) < 0:
		return nil, tidings.InvalidField("id", "it is no id of Discord's")
	case given > 1:
		return nil, tidings.InvalidField("cursor", "give at most one of cursor, newer and around")
	case q.Around != 0:
		at := feedCursor{message: int64(q.Around), channel: math.MaxInt64}
		return []feedPart{{true, at, q.Limit}, {false, at, q.Limit}}, nil
	case q.Newer != "":
		from, err := parseFeedCursor(q.Newer)
		return []feedPart{{true, from, q.Limit}}, err
	case q.Cursor != "":
		from, err := parseFeedCursor(q.Cursor)
		return []feedPart{{false, from, q.Limit}}, err
	}
	return []feedPart{{false, feedCursor{message: math.MaxInt64, channel: math.MaxInt64}, q.Limit}}, nil
}

// feedPage joins what was read, both newest first, into one page.
func feedPage(parts []feedPart, limit int, newer, older []storedMessage) FeedPage {
	keep := min(len(newer), limit)
	if len(parts) == 2 {
		keep = min(len(newer), max(limit/2, limit-len(older)))
	}
	rows := append(slices.Clone(newer[len(newer)-keep:]), older...)
	var p FeedPage
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	for _, r := range rows {
		p.Messages = append(p.Messages, r.message())
	}
	if n := len(rows); n > 0 {
		p.Newer = feedCursor{message: rows[0].ID, channel: rows[0].Channel}.String()
		// Below a page that was read upwards there is always the message that it began from.
		if more || parts[0].newer && len(parts) == 1 {
			p.Next = feedCursor{message: rows[n-1].ID, channel: rows[n-1].Channel}.String()
		}
	} else if parts[0].newer && len(parts) == 1 {
		p.Newer = parts[0].from.String()
	}
	return p
}

// feedChannels lists the channels that the query is about.
func feedChannels(set *tidings.VisibleSet, q FeedQuery) ([]discord.ChannelID, error) {
	var list []discord.ChannelID
	guild, category := q.Guild == 0, q.Category == 0
	for _, g := range set.Guilds {
		if q.Guild != 0 && g.Guild.ID != q.Guild {
			continue
		}
		guild = true
		parents := map[discord.ChannelID]discord.ChannelID{}
		for _, c := range g.Channels {
			parents[c.ID] = c.Parent
		}
		for _, c := range g.Parents {
			category = category || c.ID == q.Category
			parents[c.ID] = c.Parent
		}
		for _, c := range g.Channels {
			if q.Channel != 0 && c.ID != q.Channel || q.Category != 0 && c.Parent != q.Category && parents[c.Parent] != q.Category {
				continue
			}
			list = append(list, c.ID)
		}
	}
	switch {
	case !guild:
		return nil, fmt.Errorf("guild %d: %w", q.Guild, tidings.ErrNotFound)
	case !category:
		return nil, fmt.Errorf("category %d: %w", q.Category, tidings.ErrNotFound)
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
		return feedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	c := feedCursor{message: int64(binary.BigEndian.Uint64(b[1:])), channel: int64(binary.BigEndian.Uint64(b[9:]))}
	if c.message <= 0 || c.channel <= 0 {
		return feedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	return c, nil
}
