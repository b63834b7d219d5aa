package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// The answer is the newest messages first. The index of words knows nothing of time, so a common word has very many places in it,
// while a few thousand of the newest messages surely hold it. So those are looked at first, one by one; what they hold tells how
// far back a page reaches, and only what is rarer is left to the planner and the index.
//
// Who sees much of what there is walks down the index of time, until the page is full. Who sees little of it would walk past what
// others wrote, and looks into stretches of time of the channels instead.
const (
	sampledNewest = 1000 // messages; who sees less than one in seenEnough of them does not walk
	seenEnough    = 10

	searchedFirst = 5000 // messages of the first stretch
	searchedMore  = 8    // times as many, at most, where that promises a page
	searchedNext  = 100  // times as many, before all
)

// walks are how many messages are walked past at most, about half a microsecond each; authorWalks how many of authors, which lie apart and
// take some microseconds each.
var (
	walks       = [...]int{4000, 40_000, 150_000}
	authorWalks = [...]int{2000, 6000}
)

// walk stands for messages in a statement. Its columns are those that conditions speak of; because it is limited, it is planned as nothing but
// a walk.
const walk = `(
		SELECT channel_id, id, author_id, has, countable, deleted, words
		FROM messages
		WHERE NOT deleted AND id > $8::bigint AND id <= $5::bigint
		ORDER BY id DESC, channel_id DESC
		LIMIT %d
	)`

// authorWalk is the same over what some authors wrote. The index of authors gives the ids, which are few.
const authorWalk = `(
		SELECT m.channel_id, m.id, m.author_id, m.has, m.countable, m.deleted, m.words
		FROM (
			SELECT m.channel_id, m.id
			FROM messages m
			WHERE m.channel_id = ANY ($2::bigint[]) AND ` + searchAuthors + ` AND NOT m.deleted AND m.id > $8::bigint AND m.id <= $5::bigint
			ORDER BY m.id DESC, m.channel_id DESC
			LIMIT %d
		) k
		CROSS JOIN LATERAL (
			SELECT channel_id, id, author_id, has, countable, deleted, words
			FROM messages
			WHERE channel_id = k.channel_id AND id = k.id
			OFFSET 0
		) m
		ORDER BY k.id DESC, k.channel_id DESC
	)`

const sampleNewest = `
SELECT count(*) AS newest, count(*) FILTER (WHERE channel_id = ANY ($1::bigint[])) AS visible
FROM (
	SELECT channel_id
	FROM messages
	WHERE NOT deleted AND id <= $2::bigint
	ORDER BY id DESC, channel_id DESC
	LIMIT $3::int
) m`

// How many messages a stretch of time has, by the two days up to its end.
const countRecent = `
SELECT coalesce(sum(n), 0)
FROM live_buckets
WHERE channel_id = ANY ($1::bigint[]) AND day BETWEEN $2::int - 1 AND $2`

// looking is one search under way.
type looking struct {
	query    string // as [SearchQuery.statement] writes it
	args     []any  // of it
	authors  bool   // it asks for authors
	plain    bool   // it asks for words alone, so that the index of words finds little else
	person   []any  // the statement's parameters before the cursor
	channels []discord.ChannelID
	from     feedCursor
	after    int64 // only newer ones
	limit    int
}

// look reads a page of what a statement finds, from the newest messages to ever older ones.
func look(ctx context.Context, tx *sqlx.Tx, set *tidings.VisibleSet, l looking) (p FeedPage, err error) {
	guilds, roles := rolesOf(set)
	l.person = []any{int64(set.User), ids(l.channels), guilds, roles}
	rows, err := l.read(ctx, tx)
	if err != nil {
		return p, err
	}
	if len(rows) > l.limit {
		rows = rows[:l.limit]
		p.Next = feedCursor{message: rows[l.limit-1].ID, channel: rows[l.limit-1].Channel}.String()
	}
	for _, r := range rows {
		p.Messages = append(p.Messages, r.message())
	}
	return p, nil
}

func (l *looking) read(ctx context.Context, tx *sqlx.Tx) ([]storedMessage, error) {
	if l.authors {
		if rows, done, err := l.readAuthors(ctx, tx); err != nil || done {
			return rows, err
		}
		return l.run(ctx, tx, "messages", "", l.after)
	}
	var sample struct{ Newest, Visible int }
	if err := tx.GetContext(ctx, &sample, sampleNewest, ids(l.channels), l.from.message, sampledNewest); err != nil {
		return nil, err
	}
	if sample.Visible*seenEnough < sample.Newest {
		return l.readStretches(ctx, tx)
	}
	// Where there are fewer than were asked for, one walk has passed all of them.
	rows, done, err := l.readWalks(ctx, tx, sample.Newest < sampledNewest)
	if err == nil && !done {
		rows, err = l.run(ctx, tx, "messages", "", l.after)
	}
	return rows, err
}

// readWalks walks as far as that promises a page. done reports that the page has all that belongs to it.
func (l *looking) readWalks(ctx context.Context, tx *sqlx.Tx, few bool) (rows []storedMessage, done bool, err error) {
	for i, n := range walks {
		rows, err = l.run(ctx, tx, fmt.Sprintf(walk, n), "", l.after)
		if err != nil || few || len(rows) > l.limit {
			return rows, true, err
		}
		// How far a page reaches at this rate. The index has few places for words that are rarer, and more than a walk is long for those
		// of a phrase that is. What is left to a later walk is known better after a walk that is not much too short.
		need := n * (l.limit + 1) / max(len(rows), 1)
		switch next := i + 1; {
		case next == len(walks), l.plain && (need > walks[next] || i > 0), i > 0 && need > walks[next]:
			return nil, false, nil
		}
	}
	return nil, false, nil
}

// readAuthors walks down what the authors wrote.
func (l *looking) readAuthors(ctx context.Context, tx *sqlx.Tx) (rows []storedMessage, done bool, err error) {
	for i, n := range authorWalks {
		rows, err = l.run(ctx, tx, fmt.Sprintf(authorWalk, n), "", l.after)
		if err != nil || len(rows) > l.limit {
			return rows, true, err
		}
		if next := i + 1; next < len(authorWalks) && n*(l.limit+1)/max(len(rows), 1) > authorWalks[next] {
			break
		}
	}
	return nil, false, nil
}

// readStretches looks into the channels, from the newest stretch of time to ever longer ones.
func (l *looking) readStretches(ctx context.Context, tx *sqlx.Tx) ([]storedMessage, error) {
	newest := tidings.FirstID(time.Now())
	if l.from.message < int64(newest) {
		newest = discord.MessageID(l.from.message)
	}
	var recent int64
	if err := tx.GetContext(ctx, &recent, countRecent, ids(l.channels), int64(newest)>>22/(24*60*60*1000)); err != nil {
		return nil, err
	}
	first := min(48*time.Hour*searchedFirst/time.Duration(max(recent, 1)), 64*24*time.Hour)
	read := func(back time.Duration, index string) (rows []storedMessage, done bool, err error) {
		oldest := max(l.after, int64(tidings.FirstID(newest.Time().Add(-back))))
		rows, err = l.run(ctx, tx, "messages", index, oldest)
		return rows, err != nil || len(rows) > l.limit || oldest == l.after, err
	}
	// Reading all places of a common word takes longer than looking at few messages, which the planner does not know. What is asked
	// as IS TRUE no index answers.
	rows, done, err := read(first, " IS TRUE")
	if wide := first * time.Duration(4*(l.limit+1)/(3*max(len(rows), 1))+1); !done && len(rows) > 0 && wide <= searchedMore*first {
		rows, done, err = read(wide, " IS TRUE")
	}
	if !done {
		rows, done, err = read(searchedNext*first, "")
	}
	if !done {
		rows, err = l.run(ctx, tx, "messages", "", l.after)
	}
	return rows, err
}

// run runs the statement on messages, or what stands for them, that are newer than oldest.
func (l *looking) run(ctx context.Context, tx *sqlx.Tx, messages, index string, oldest int64) (rows []storedMessage, err error) {
	text := strings.NewReplacer(searchMessages, messages, searchIndex, index).Replace(l.query)
	in := append(append([]any{}, l.person...), l.from.message, l.from.channel, l.limit+1, oldest)
	err = tx.SelectContext(ctx, &rows, text, append(in, l.args...)...)
	return rows, err
}
