package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// The answer is the newest messages first. The index of words knows nothing of time, so a common word has very many places in it,
// while a few thousand of the newest messages surely hold it. So those are looked at first, one by one; what they hold tells how
// far back a page reaches, and only a rarer word is left to the planner and the index.
const (
	searchedFirst = 5000 // messages
	searchedMore  = 8    // times as many, at most, where that promises a page
	searchedNext  = 100  // times as many, before all
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
	FROM messages m
	WHERE m.channel_id = ANY ($2::bigint[]) AND NOT m.deleted AND m.id > $8::bigint
	AND m.id <= $5::bigint AND (m.id < $5 OR m.channel_id < $6::bigint)`
	searchWords    = `(m.words @@ websearch_to_tsquery('simple', $%d::text))` + searchIndex
	searchAuthors  = `m.author_id = ANY ($%d::bigint[]) AND m.countable` // as the index of authors has it
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

// searchIndex marks in a statement what the index of words may answer.
const searchIndex = "/* by words */"

const countWords = `
SELECT numnode(websearch_to_tsquery('simple', $1::text))`

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
		p, err = readWindows(ctx, tx, set, channels, query, args, from, int64(q.After), limit)
		return err
	})
	return p, err
}

// How many messages a stretch of time has, by the two days up to its end.
const countRecent = `
SELECT coalesce(sum(n), 0)
FROM live_buckets
WHERE channel_id = ANY ($1::bigint[]) AND day BETWEEN $2::int - 1 AND $2`

// readWindows reads a page, from the newest stretch of time to ever longer ones.
func readWindows(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, channels []discord.ChannelID, query string, args []any,
	from feedCursor, after int64, limit int) (p FeedPage, err error) {
	guilds, roles := rolesOf(set)
	newest := tidings.FirstID(time.Now())
	if from.message < int64(newest) {
		newest = discord.MessageID(from.message)
	}
	var recent int64
	if err := tx.GetContext(ctx, &recent, countRecent, ids(channels), int64(newest)>>22/(24*60*60*1000)); err != nil {
		return p, err
	}
	first := min(48*time.Hour*searchedFirst/time.Duration(max(recent, 1)), 64*24*time.Hour)
	read := func(back time.Duration, all, byIndex bool) (rows []storedMessage, done bool, err error) {
		oldest := after
		if start := int64(tidings.FirstID(newest.Time().Add(-back))); !all && start > oldest {
			oldest = start
		}
		// Reading all places of a common word takes longer than looking at few messages, which the planner does not know. What is asked
		// as IS TRUE no index answers.
		text := strings.ReplaceAll(query, searchIndex, map[bool]string{false: " IS TRUE"}[byIndex])
		in := append([]any{int64(set.User), ids(channels), guilds, roles, from.message, from.channel, limit + 1, oldest}, args...)
		err = tx.SelectContext(ctx, &rows, text, in...)
		return rows, len(rows) > limit || oldest == after, err
	}
	rows, done, err := read(first, false, false)
	if wide := first * time.Duration(4*(limit+1)/(3*max(len(rows), 1))+1); !done && err == nil && len(rows) > 0 && wide <= searchedMore*first {
		rows, done, err = read(wide, false, false)
	}
	if !done && err == nil {
		rows, done, err = read(searchedNext*first, false, true)
	}
	if !done && err == nil {
		rows, _, err = read(0, true, true)
	}
	if err != nil {
		return p, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		p.Next = feedCursor{message: rows[limit-1].ID, channel: rows[limit-1].Channel}.String()
	}
	for _, r := range rows {
		p.Messages = append(p.Messages, r.message())
	}
	return p, nil
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
	if words {
		add(searchWords, q.Words)
	}
	if keywords != "" {
		add(searchKeywords, keywords)
		conditions = append(conditions, searchOthers)
	}
	authors := ids(q.From)
	if q.FromMe {
		authors = append(authors, int64(set.User))
	}
	if len(authors) > 0 {
		add(searchAuthors, authors)
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
