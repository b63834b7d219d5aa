package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
)

const (
	maxAuthorName = 100 // characters; Discord's have 32, those of webhooks 80
	// namesEach bounds the names of one author: a webhook may take another with each message.
	namesEach = 20
	// namesKnown bounds how many names are remembered as stored. Past it, all are looked at afresh.
	namesKnown = 50_000
	// namesFor is how long: then it is noted again that they are in use.
	namesFor = 24 * time.Hour
)

type authorName struct {
	author discord.UserID
	name   string
}

// knownNames remembers, for a day, which names are stored, so that a message of a known author costs nothing.
type knownNames struct {
	mu    sync.Mutex
	all   map[authorName]bool
	since time.Time
}

// unknown keeps those of the names that are not remembered.
func (k *knownNames) unknown(names []authorName) (out []authorName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.since) > namesFor {
		k.all = nil
	}
	seen := map[authorName]bool{}
	for _, n := range names {
		if !k.all[n] && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

func (k *knownNames) remember(names []authorName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all)+len(names) > namesKnown {
		k.all, k.since = map[authorName]bool{}, time.Now()
	}
	for _, n := range names {
		k.all[n] = true
	}
}

// An author's names are few, so they are counted where they are; two writers at once may store a name too many. Those of authors who have
// opted out are not kept.
const insertAuthorNames = `
INSERT INTO author_names (name, author_id)
SELECT n.name, n.author_id
FROM unnest($1::text[], $2::bigint[]) AS n (name, author_id)
WHERE (EXISTS (SELECT FROM author_names a WHERE a.name = n.name AND a.author_id = n.author_id)
	OR (SELECT count(*) FROM author_names a WHERE a.author_id = n.author_id) < $3)
AND NOT EXISTS (SELECT FROM author_optouts o WHERE o.author_id = n.author_id)
ORDER BY n.name, n.author_id
ON CONFLICT (name, author_id) DO UPDATE
SET seen_on = current_date
WHERE author_names.seen_on < current_date - 2`

// noteAuthors keeps what the authors of messages are called that were stored. A name that is lost here is found with the author's next
// message.
func (s *Store) noteAuthors(ctx context.Context, deltas []tidings.Delta) {
	var names []authorName
	for _, d := range deltas {
		if d.Message == nil || int64(d.Author) <= 0 || bytes.Contains(d.Message.Payload, []byte(keptBackField)) {
			continue
		}
		for _, name := range d.Message.AuthorNames {
			if name = foldName(name); name != "" {
				names = append(names, authorName{d.Author, name})
			}
		}
	}
	if names = s.names.unknown(names); len(names) == 0 {
		return
	}
	list, authors := make(pq.StringArray, len(names)), make(pq.Int64Array, len(names))
	for i, n := range names {
		list[i], authors[i] = n.name, int64(n.author)
	}
	if _, err := s.db.ExecContext(ctx, insertAuthorNames, list, authors, namesEach); err != nil {
		s.log.Debug("names of authors are kept later", "err", err)
		return
	}
	s.names.remember(names)
}

// foldName is a name as it is compared; "" for what is none.
func foldName(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if !utf8.ValidString(name) || strings.ContainsRune(name, 0) || utf8.RuneCountInString(name) > maxAuthorName {
		return ""
	}
	return name
}

const selectAuthorsNamed = `
SELECT DISTINCT author_id
FROM author_names
WHERE name = ANY ($1::text[])
ORDER BY author_id
LIMIT 200`

// authorsNamed lists who has any of the names.
func (s *Store) authorsNamed(ctx context.Context, names []string) ([]discord.UserID, error) {
	folded := make(pq.StringArray, len(names))
	for i, n := range names {
		folded[i] = foldName(n)
	}
	var authors []discord.UserID
	if err := s.db.SelectContext(ctx, &authors, selectAuthorsNamed, folded); err != nil {
		return nil, fmt.Errorf("find authors by name: %w", unavailable(err))
	}
	return authors, nil
}

// Names go some days after the last message that they were under.
const deleteAuthorNames = `
DELETE FROM author_names
WHERE seen_on < current_date - $1::int`

// forgetNames deletes names whose messages are all too old to be kept.
func (s *Store) forgetNames(ctx context.Context) (int64, error) {
	if s.retention <= 0 {
		return 0, nil
	}
	r, err := s.db.ExecContext(ctx, deleteAuthorNames, int(s.retention/(24*time.Hour))+4)
	if err != nil {
		return 0, fmt.Errorf("clean up names of authors: %w", unavailable(err))
	}
	return r.RowsAffected()
}

const deleteNamesOf = `
DELETE FROM author_names
WHERE author_id = $1`
