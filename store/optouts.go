package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// keptBackField marks the payload of a message whose author does not want their words kept.
const keptBackField = "tidings_kept_back"

// keptBackName stands in place of the author's name.
const keptBackName = "Opted out"

// wrote notes whose words an event brings: the author's, and of whoever is quoted.
func (b *batch) wrote(m tidings.Message) {
	if m.Author != 0 {
		b.authors[m.Author] = true
	}
	if q, author, ok := quotedIn(m.Payload, m.Channel); ok {
		b.quoted[q] = true
		if author != 0 {
			b.authors[author] = true
		}
	}
}

const selectAuthorPurges = `
SELECT author_id, before_id
FROM author_purges
WHERE author_id = ANY($1::bigint[])`

// purgeDelay is how young a message is that is told live: it was written after any purge of its author that is over.
const purgeDelay = time.Minute

// loadPurges reads up to where the authors of what comes late, or is quoted, were purged.
func (b *batch) loadPurges(ctx context.Context, tx *sqlx.Tx) error {
	b.purgedOf = map[discord.UserID]discord.MessageID{}
	live := tidings.FirstID(b.now.Add(-purgeDelay))
	if len(b.authors) == 0 || len(b.quoted) == 0 && !slices.ContainsFunc(b.keys, func(k messageKey) bool { return k.id < live }) {
		return nil
	}
	var rows []struct {
		Author discord.UserID    `db:"author_id"`
		Before discord.MessageID `db:"before_id"`
	}
	if err := tx.SelectContext(often(ctx, len(b.authors)), &rows, selectAuthorPurges, ids(slices.Collect(maps.Keys(b.authors)))); err != nil {
		return err
	}
	for _, r := range rows {
		b.purgedOf[r.Author] = r.Before
	}
	return nil
}

// keepable is what may be kept of a message: without the words of authors who have opted out, and without quotes of what is
// gone. keep is false when it brings nothing but such words.
func (b *batch) keepable(row *heldMessage, m tidings.Message) (kept tidings.Message, keep bool, err error) {
	if row.known && bytes.Contains(row.Message.Payload, []byte(keptBackField)) {
		return m, false, nil // What was kept back once stays so, whatever the author wants by now.
	}
	if b.optedOut[m.Author] {
		if m.Partial && row.known {
			return m, false, nil
		}
		m, err = keepBack(m)
		return m, err == nil, err
	}
	if q, author, ok := quotedIn(m.Payload, m.Channel); ok {
		if b.gone[q] || b.optedOut[author] || q.ID < b.purgedOf[author] || q.ID < b.horizon || b.channels[q.Channel] != nil && q.ID <= b.channels[q.Channel].purged {
			m.Payload, err = withoutQuote(m.Payload)
		}
	}
	return m, err == nil, err
}

// keepBack is a message without what it says: that it is there, when, by whom (an id) and whom it pings. Otherwise counts would
// not be those that people see on Discord.
func keepBack(m tidings.Message) (tidings.Message, error) {
	type person struct {
		ID string `json:"id"`
	}
	id := func(n uint64) string { return strconv.FormatUint(n, 10) }
	mentions, roles := []person{}, []string{}
	for _, u := range m.Mentions.Users {
		mentions = append(mentions, person{id(uint64(u))})
	}
	for _, r := range m.Mentions.Roles {
		roles = append(roles, id(uint64(r)))
	}
	payload, err := json.Marshal(map[string]any{
		"id": id(uint64(m.ID)), "channel_id": id(uint64(m.Channel)), "type": m.Type, "content": "", keptBackField: true,
		"author":   map[string]string{"id": id(uint64(m.Author)), "username": keptBackName},
		"mentions": mentions, "mention_roles": roles, "mention_everyone": m.Mentions.Everyone,
	})
	if err != nil {
		return m, err
	}
	kept, err := tidings.ParseMessage(payload, m.Guild)
	if err != nil {
		return m, fmt.Errorf("keep the words of message %d back: %w", m.ID, err)
	}
	kept.Partial = m.Partial
	return kept, nil
}

// Recording reads the table, so that this waits until all that began without the new row have committed. Whoever is not let
// in for so long gives up, because everything that is recorded waits behind it.
const lockOptOuts = `
SET LOCAL lock_timeout = '10s';
LOCK TABLE author_optouts IN ACCESS EXCLUSIVE MODE`

const addOptOut = `
INSERT INTO author_optouts (author_id)
VALUES ($1)
ON CONFLICT DO NOTHING`

// OptOut keeps the words of an author's later messages back; by says who asked. What is stored already is [Store.Purge]'s to delete.
func (s *Store) OptOut(ctx context.Context, author, by discord.UserID) error {
	if int64(author) <= 0 {
		return fmt.Errorf("opt out: %w id", tidings.ErrInvalid)
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockOptOuts); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, addOptOut, int64(author)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, deleteNamesOf, int64(author)); err != nil {
			return err
		}
		return note(ctx, tx, by, "opt out", map[string]any{"author": author})
	})
	if err != nil {
		return fmt.Errorf("opt author %d out: %w", author, err)
	}
	return nil
}

const dropOptOut = `
DELETE FROM author_optouts
WHERE author_id = $1`

// OptIn has an author's later messages kept whole again. What was kept back is not fetched.
func (s *Store) OptIn(ctx context.Context, author, by discord.UserID) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, dropOptOut, int64(author)); err != nil {
			return err
		}
		return note(ctx, tx, by, "opt in", map[string]any{"author": author})
	})
	if err != nil {
		return fmt.Errorf("opt author %d in: %w", author, err)
	}
	return nil
}

const selectOptedOut = `
SELECT EXISTS (SELECT FROM author_optouts WHERE author_id = $1)`

// OptedOut reports whether an author's words are kept back.
func (s *Store) OptedOut(ctx context.Context, author discord.UserID) (bool, error) {
	var out bool
	if err := s.db.GetContext(ctx, &out, selectOptedOut, int64(author)); err != nil {
		return false, fmt.Errorf("opt-out of author %d: %w", author, unavailable(err))
	}
	return out, nil
}
