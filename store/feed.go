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
	FeedKeywords = "keywords" // what holds one of their keywords, read or not; its pages only go down
)

// FeedQuery asks for a page over all channels of a visible set, or over one guild, category or channel of it. Messages of
// authors whom the person ignores are left out, except that Authors may name them; so are Discord's own lines. Limit is 1 to [MaxPage], 0 for
// [DefaultPage]. At most one of Cursor, Newer and Around is set; without any it is the newest page.
type FeedQuery struct {
	Filter   string
	Guild    discord.GuildID
	Category discord.ChannelID // or a forum
	Channel  discord.ChannelID
	Authors  []discord.UserID    // any of them; none for everybody
	Places   []discord.Snowflake // in any of these guilds, categories, forums or channels, as far as they are in the set; none for everywhere
	Unread   bool                // only what is unread
	Keywords bool                // only what holds one of the person's keywords
	Has      tidings.Features    // all of them
	Cursor   string              // the Next of a page: what is older than that
	Newer    string              // the Newer of a page: what is newer than that, the nearest
	Around   discord.MessageID
	After    discord.MessageID // with keywords: only newer ones; 0 for no bound
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
// down or up, $7 authors, $8 the limit, $9 features, $10 keywords as a tsquery or ”, $11 whether only unread mentions count. Messages are in the order of (id, channel).
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
		AND NOT deleted AND countable AND (cardinality($7::bigint[]) = 0 OR author_id = ANY ($7))
		AND author_id <> ALL ((SELECT authors FROM hidden)::bigint[])
		AND ($9::int = 0 OR has & $9 = $9) AND ($10::text = '' OR words @@ $10::tsquery)
		ORDER BY id WAY
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL AND $11::boolean IS NOT NULL
	ORDER BY m.id WAY, m.channel_id WAY
	LIMIT $8
)`

const feedAll = withVisible + `, picked AS (
	SELECT v.guild_id, m.channel_id, m.id
	FROM visible v
	CROSS JOIN LATERAL (
		SELECT channel_id, id
		FROM messages
		WHERE channel_id = v.id
		AND id BOUND
		AND NOT deleted AND countable AND (cardinality($7::bigint[]) = 0 OR author_id = ANY ($7))
		AND (cardinality($7) > 0 OR author_id = $1 OR author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
		AND ($9::int = 0 OR has & $9 = $9) AND ($10::text = '' OR words @@ $10::tsquery)
		ORDER BY id WAY
		LIMIT $8::int
	) m
	WHERE $3::bigint[] IS NOT NULL AND $4::bigint[] IS NOT NULL AND $11::boolean IS NOT NULL
	ORDER BY m.id WAY, m.channel_id WAY
	LIMIT $8
)`

const feedMentions = withVisible + withTargets + `, picked AS (
	SELECT v.guild_id, t.channel_id, t.message_id AS id
	FROM target x
	JOIN mention_targets t ON t.kind = x.kind AND t.target_id = x.id
	JOIN visible v ON v.id = t.channel_id AND v.guild_id = coalesce(x.guild_id, v.guild_id)
	WHERE t.message_id BOUND
	AND (cardinality($7::bigint[]) = 0 OR t.author_id = ANY ($7))
	AND t.author_id <> $1 AND (NOT $11::boolean OR t.message_id > v.read_id)
	AND (cardinality($7) > 0 OR t.author_id <> ALL ((SELECT authors FROM hidden)::bigint[]))
	AND ($9::int = 0 AND $10::text = '' OR EXISTS (
		SELECT
		FROM messages m
		WHERE m.channel_id = t.channel_id AND m.id = t.message_id AND m.has & $9 = $9 AND ($10 = '' OR m.words @@ $10::tsquery)
	))
	GROUP BY v.guild_id, t.channel_id, t.message_id
	ORDER BY t.message_id WAY, t.channel_id WAY
	LIMIT $8::int
)`

// What is picked is read, or only counted.
const (
	feedCount = `
SELECT count(*)
FROM picked`
	feedMessages = `
SELECT k.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM picked k
JOIN messages m ON m.channel_id = k.channel_id AND m.id = k.id AND NOT m.deleted` + joinMentions + `
ORDER BY m.id DESC, m.channel_id DESC`
)

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

// feedStatement chooses the statement of a query.
func (q *FeedQuery) statement() (string, error) {
	switch q.Filter {
	case FeedUnread:
		return feedUnread, nil
	case FeedMentions:
		return feedMentions, nil
	case FeedAll, FeedKeywords:
		if q.Unread {
			return feedUnread, nil
		}
		return feedAll, nil
	}
	return "", tidings.InvalidField("filter", "it is %s, %s, %s or %s", FeedUnread, FeedMentions, FeedAll, FeedKeywords)
}

func (s *Store) feed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery) (FeedPage, error) {
	query, err := q.statement()
	if err != nil {
		return FeedPage{}, err
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
	var words string
	if q.Keywords = q.Keywords || q.Filter == FeedKeywords; q.Keywords {
		if words, err = s.keywordQuery(ctx, set.User); err != nil || words == "" {
			return FeedPage{}, err
		}
		if query == feedAll {
			// Few messages have the words: their index finds them where going through the channels would not end.
			return s.keywordFeed(ctx, set, channels, q, words)
		}
	}
	var newer, older []storedMessage
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		newer, older = nil, nil
		for _, part := range parts {
			rows, text := &older, olderFeed(query+feedMessages)
			if part.newer {
				rows, text = &newer, newerFeed(query+feedMessages)
			}
			err := tx.SelectContext(ctx, rows, text, int64(set.User), ids(channels), guilds, roles,
				part.from.message, part.from.channel, ids(q.Authors), part.limit+1, int(q.Has), words, q.Unread)
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

// CountFeed counts what is unread of a query, up to most.
func (s *Store) CountFeed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery, most int) (int, error) {
	n, err := s.countFeed(ctx, set, q, most)
	if err != nil {
		return 0, fmt.Errorf("count the feed of user %d: %w", set.User, err)
	}
	return n, nil
}

func (s *Store) countFeed(ctx context.Context, set *tidings.VisibleSet, q FeedQuery, most int) (n int, err error) {
	q.Unread = true
	query, err := q.statement()
	if err != nil {
		return 0, err
	}
	channels, err := feedChannels(set, q)
	if err != nil || len(channels) == 0 {
		return 0, err
	}
	var words string
	if q.Keywords || q.Filter == FeedKeywords {
		if words, err = s.keywordQuery(ctx, set.User); err != nil || words == "" {
			return 0, err
		}
	}
	guilds, roles := rolesOf(set)
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, olderFeed(query+feedCount), int64(set.User), ids(channels), guilds, roles,
			int64(math.MaxInt64), int64(math.MaxInt64), ids(q.Authors), most, int(q.Has), words, true)
	})
	return n, err
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
	case int64(q.Around) < 0:
		return nil, tidings.InvalidField("around", "it is no id of Discord's")
	case given > 1:
		return nil, tidings.InvalidField("cursor", "give at most one of cursor, newer and around")
	case q.Around != 0:
		at := feedCursor{message: min(int64(q.Around), math.MaxInt64-1), channel: math.MaxInt64} // newerFeed adds one
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
	guild, category, known := q.Guild == 0, q.Category == 0, q.Channel == 0
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
			known = known || c.ID == q.Channel
			if !InPlaces(q.Places, c, parents[c.Parent]) {
				continue
			}
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
	case !known:
		return nil, fmt.Errorf("channel %d: %w", q.Channel, tidings.ErrNotFound)
	}
	return list, nil
}

// InPlaces reports whether a channel is one of places, or in one: its guild, its parent, or above, what that is in. Everything is in
// no places at all.
func InPlaces(places []discord.Snowflake, c tidings.Channel, above discord.ChannelID) bool {
	if len(places) == 0 {
		return true
	}
	for _, id := range []discord.Snowflake{discord.Snowflake(c.Guild), discord.Snowflake(c.ID), discord.Snowflake(c.Parent), discord.Snowflake(above)} {
		if id != 0 && slices.Contains(places, id) {
			return true
		}
	}
	return false
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

// CursorAt is the cursor of a page that ended with a message.
func CursorAt(m tidings.Message) string {
	return feedCursor{message: int64(m.ID), channel: int64(m.Channel)}.String()
}

// CursorMessage is the message that a cursor stands at; [tidings.ErrInvalid] for what is no cursor.
func CursorMessage(cursor string) (discord.MessageID, error) {
	c, err := parseFeedCursor(cursor)
	return discord.MessageID(c.message), err
}

func parseFeedCursor(s string) (feedCursor, error) {
	// The decoder passes over ends of lines.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") || len(b) != 17 || b[0] != cursorVersion {
		return feedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	c := feedCursor{message: int64(binary.BigEndian.Uint64(b[1:])), channel: int64(binary.BigEndian.Uint64(b[9:]))}
	if c.message <= 0 || c.message == math.MaxInt64 || c.channel <= 0 {
		return feedCursor{}, tidings.InvalidField("cursor", "give the one that came with the page before")
	}
	return c, nil
}
