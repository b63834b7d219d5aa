package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// $1 the person, $2 the channels, $3 and $4 their roles; $5 and $6 the last message of the page before and its channel; $7 the limit; $8 the
// oldest id of this stretch; then the words, authors, features and mentioned ones. What is not asked for is left out, so that
// each search is planned as what it is.
const (
	searchHead = `
WITH q AS MATERIALIZED (
	SELECT ARRAY (
		SELECT r.id
		FROM unnest($3::bigint[], $4::bigint[]) AS r (guild_id, id)
		WHERE r.guild_id NOT IN (SELECT guild_id FROM suppressed WHERE user_id = $1::bigint AND roles)
	) AS roles
), picked AS (
	SELECT m.channel_id, m.id
	FROM ` + searchMessages + ` m
	WHERE m.channel_id = ANY ($2::bigint[]) AND NOT m.deleted AND m.id > $8::bigint
	AND m.id <= $5::bigint AND (m.id < $5 OR m.channel_id < $6::bigint)`
	searchWords    = `(m.words @@ words_asked($%d::text))` + searchIndex
	searchAuthors  = `m.author_id = ANY ($9::bigint[]) AND m.countable` // as the index of authors has it; they are the first argument
	searchHas      = `m.has & $%[1]d::int = $%[1]d`
	searchMentions = `EXISTS (
		SELECT
		FROM mention_targets t
		WHERE t.channel_id = m.channel_id AND t.message_id = m.id AND t.target_id = ANY ($%d::bigint[])
	)`
	searchMe = `m.author_id <> $1 AND EXISTS (
		SELECT
		FROM mention_targets t
		WHERE t.channel_id = m.channel_id AND t.message_id = m.id
		AND (t.kind = 0 AND t.target_id = $1
			OR t.kind = 1 AND t.target_id = ANY ((SELECT roles FROM q)::bigint[])
			OR t.kind = 2 AND t.target_id NOT IN (SELECT guild_id FROM suppressed WHERE user_id = $1 AND everyone))
	)`
	searchTail = `
	ORDER BY m.id DESC, m.channel_id DESC
	LIMIT $7::int
)
SELECT c.guild_id, m.channel_id, m.id, m.author_id, m.type, m.flags, m.content, m.payload, m.edited_ms, m.countable,
	t.users, t.roles, coalesce(t.everyone, false) AS everyone
FROM picked k
JOIN messages m ON m.channel_id = k.channel_id AND m.id = k.id AND NOT m.deleted
JOIN channels c ON c.id = m.channel_id` + joinMentions + `
ORDER BY m.id DESC, m.channel_id DESC`
)

// searchIndex marks in a statement what the index of words may answer, searchMessages what stands for the messages.
const (
	searchIndex    = "/* by words */"
	searchMessages = "/* messages */"
)

const countWords = `
SELECT numnode(words_asked($1::text))`

// Search looks through everything that the set holds and returns a page, newest first. Cursor and limit are as in
// [Store.Feed]. It returns [tidings.ErrInvalid] for a search that asks for nothing.
func (s *Store) Search(ctx context.Context, set *tidings.VisibleSet, q SearchQuery, cursor string, limit int) (FeedPage, error) {
	p, err := s.search(ctx, set, q, cursor, limit)
	if err != nil {
		return FeedPage{}, fmt.Errorf("search of user %d: %w", set.User, err)
	}
	return p, nil
}

func (s *Store) search(ctx context.Context, set *tidings.VisibleSet, q SearchQuery, cursor string, limit int) (FeedPage, error) {
	if limit == 0 {
		limit = DefaultPage
	}
	if limit < 1 || limit > MaxPage {
		return FeedPage{}, tidings.InvalidField("limit", "it is 1 to %d", MaxPage)
	}
	from := feedCursor{message: math.MaxInt64, channel: math.MaxInt64}
	if cursor != "" {
		var err error
		if from, err = parseFeedCursor(cursor); err != nil {
			return FeedPage{}, err
		}
	}
	if q.Before != 0 && int64(q.Before) <= from.message {
		from = feedCursor{message: int64(q.Before) - 1, channel: math.MaxInt64}
	}
	channels := placesOf(set, q.In)
	var p FeedPage
	if len(q.Named) > 0 {
		authors, err := s.authorsNamed(ctx, q.Named)
		if err != nil {
			return p, err
		}
		if q.From = append(slices.Clip(q.From), authors...); len(q.From) == 0 && !q.FromMe {
			return p, nil // Nobody is called so.
		}
	}
	err := s.snapshot(ctx, func(tx *sqlx.Tx) (err error) {
		p = FeedPage{}
		words := 0
		if q.Words != "" {
			if err := tx.GetContext(ctx, &words, countWords, q.Words); err != nil {
				return err
			}
		}
		query, args := q.statement(set, words > 0, "")
		if query == "" {
			return tidings.InvalidField("q", "give at least a word or a filter")
		}
		if len(channels) == 0 {
			return nil
		}
		p, err = look(ctx, tx, set, looking{query: query, args: args, plain: q.plain(), authors: len(q.From) > 0 || q.FromMe, channels: channels, from: from, after: int64(q.After), limit: limit})
		return err
	})
	return p, err
}

// plain reports whether the query asks for words that may stand anywhere, and for nothing else.
func (q SearchQuery) plain() bool {
	parted := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsSpace(c) } // a phrase, or excluded
	return len(q.From)+len(q.Mentions)+len(q.Has) == 0 && !q.FromMe && !q.Me && !strings.ContainsFunc(q.Words, parted)
}

// statement writes the search as SQL; "" when it asks for nothing. keywords, where there are some, are a tsquery: then only what others
// wrote is looked for.
func (q SearchQuery) statement(set *tidings.VisibleSet, words bool, keywords string) (string, []any) {
	var conditions []string
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, 8+len(args)))
	}
	authors := ids(q.From)
	if q.FromMe {
		authors = append(authors, int64(set.User))
	}
	if len(authors) > 0 {
		args, conditions = append(args, authors), append(conditions, searchAuthors)
	}
	if words {
		add(searchWords, q.Words)
	}
	if keywords != "" {
		add(searchKeywords, keywords)
		conditions = append(conditions, searchOthers)
	}
	var has tidings.Features
	for _, f := range q.Has {
		has |= f
	}
	if has != 0 {
		add(searchHas, int(has))
	}
	if len(q.Mentions) > 0 {
		add(searchMentions, ids(q.Mentions))
	}
	if q.Me {
		conditions = append(conditions, searchMe)
	}
	if len(conditions) == 0 && len(q.In) == 0 && q.After == 0 && q.Before == 0 {
		return "", nil
	}
	query := searchHead
	for _, c := range conditions {
		query += "\n\tAND " + c
	}
	return query + searchTail, args
}

// placesOf lists the channels of a set that any of places names: channels with their threads, categories or guilds, by id or by
// name. Without places it is all channels.
func placesOf(set *tidings.VisibleSet, places []string) []discord.ChannelID {
	if len(places) == 0 {
		return set.ChannelIDs()
	}
	names := make([]string, len(places))
	for i, p := range places {
		p = strings.TrimSuffix(strings.TrimPrefix(p, "<#"), ">")
		names[i] = strings.ToLower(strings.TrimPrefix(p, "#"))
	}
	named := func(id discord.Snowflake, name string) bool {
		return slices.Contains(names, id.String()) || slices.Contains(names, strings.ToLower(name))
	}
	var list []discord.ChannelID
	for _, g := range set.Guilds {
		whole := named(discord.Snowflake(g.Guild.ID), g.Guild.Name)
		within := map[discord.ChannelID]bool{}
		parents := map[discord.ChannelID]discord.ChannelID{}
		for _, of := range [][]tidings.Channel{g.Parents, g.Channels} {
			for _, c := range of {
				within[c.ID], parents[c.ID] = named(discord.Snowflake(c.ID), c.Name), c.Parent
			}
		}
		for _, c := range g.Channels {
			if whole || within[c.ID] || within[c.Parent] || within[parents[c.Parent]] {
				list = append(list, c.ID)
			}
		}
	}
	return list
}
