package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// Bounds of a person's keywords.
const (
	MaxKeywords    = 100
	MaxKeywordSize = 100 // characters
)

const selectKeywords = `
SELECT words
FROM keywords
WHERE user_id = $1`

// Keywords lists the words and phrases that the person wants to hear of.
func (s *Store) Keywords(ctx context.Context, user discord.UserID) ([]string, error) {
	var words pq.StringArray
	err := s.db.GetContext(ctx, &words, selectKeywords, int64(user))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("list keywords of user %d: %w", user, unavailable(err))
	}
	return words, nil
}

const upsertKeywords = `
INSERT INTO keywords (user_id, words)
SELECT id, $2
FROM users
WHERE id = $1
ON CONFLICT (user_id) DO UPDATE
SET words = excluded.words`

// A phrase that has no word in it would be found nowhere.
const selectEmptyKeyword = `
SELECT k.word
FROM unnest($1::text[]) AS k (word)
WHERE numnode(` + keywordWords + `) = 0
LIMIT 1`

// keywordWords is the query of a keyword: its words behind one another, as messages.words has them.
const keywordWords = `phraseto_tsquery('simple', translate(k.word, '` + joiners + `', '` + spaces + `'))`

// SetKeywords replaces them. It returns what is kept: without spaces too many and words said twice.
func (s *Store) SetKeywords(ctx context.Context, user discord.UserID, words []string) ([]string, error) {
	kept := make([]string, 0, len(words))
	for _, w := range words {
		if !utf8.ValidString(w) || strings.ContainsRune(w, 0) {
			return nil, tidings.InvalidField("keywords", "%q is not text", w)
		}
		w = strings.Join(strings.Fields(w), " ")
		if n := utf8.RuneCountInString(w); n == 0 || n > MaxKeywordSize {
			return nil, tidings.InvalidField("keywords", "each has 1 to %d characters", MaxKeywordSize)
		}
		if !slices.ContainsFunc(kept, func(k string) bool { return strings.EqualFold(k, w) }) {
			kept = append(kept, w)
		}
	}
	if len(kept) > MaxKeywords {
		return nil, tidings.InvalidField("keywords", "%d are kept at most", MaxKeywords)
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		var empty string
		err := tx.GetContext(ctx, &empty, selectEmptyKeyword, pq.StringArray(kept))
		if err == nil {
			return tidings.InvalidField("keywords", "%q has no word in it", empty)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		known, err := some(tx.ExecContext(ctx, upsertKeywords, int64(user), pq.StringArray(kept)))
		if err == nil && !known {
			err = tidings.ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("set keywords of user %d: %w", user, err)
	}
	return kept, nil
}

const selectKeywordQuery = `
SELECT coalesce(string_agg('(' || ` + keywordWords + `::text || ')', ' | '), '')
FROM keywords, unnest(words) AS k (word)
WHERE user_id = $1`

// keywordQuery writes a person's keywords as one tsquery; "" when there are none.
func (s *Store) keywordQuery(ctx context.Context, user discord.UserID) (string, error) {
	var query string
	err := s.db.GetContext(ctx, &query, selectKeywordQuery, int64(user))
	return query, unavailable(err)
}

const (
	searchKeywords = `(m.words @@ $%d::text::tsquery)` + searchIndex
	searchOthers   = `m.countable AND m.author_id <> $1 AND m.author_id NOT IN (SELECT author_id FROM ignored_authors WHERE user_id = $1)`
)

// keywordFeed is the feed of what holds a keyword, read or not, of other people.
func (s *Store) keywordFeed(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID, q FeedQuery, words string) (p FeedPage, err error) {
	if q.Newer != "" || q.Around != 0 {
		return p, tidings.InvalidField("cursor", "with keywords, pages only go down: give cursor, not newer and not around")
	}
	from := feedCursor{message: math.MaxInt64, channel: math.MaxInt64}
	if q.Cursor != "" {
		if from, err = parseFeedCursor(q.Cursor); err != nil {
			return p, err
		}
	}
	query, args := SearchQuery{From: q.Authors, Has: []tidings.Features{q.Has}}.statement(set, false, words)
	err = s.snapshot(ctx, func(tx *sqlx.Tx) error {
		p, err = look(ctx, tx, set, looking{query: query, args: args, authors: len(q.Authors) > 0, channels: channels, from: from, after: int64(q.After), limit: q.Limit})
		return err
	})
	return p, err
}
