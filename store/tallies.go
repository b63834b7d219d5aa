package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// tallies are a batch's reactions and votes. A row says the last thing that was heard of one person's reaction or vote, so
// that hearing it again changes no count. A message that was fetched brings counts without saying whose they are: there the
// first word about a person is believed.
type tallies struct {
	reactions map[tallyKey]tally
	votes     map[tallyKey]tally
	cleared   []tallyKey // all rows of a message, or of its one emoji
	forgotten []messageKey
	recounted []messageKey // whose votes are no longer known one by one
}

// tallyKey is one person's reaction with an emoji, or vote for an answer. The user is 0 where it names all of them.
type tallyKey struct {
	messageKey
	what string
	user discord.UserID
}

type tally struct {
	known   bool // there is a row, or there will be
	present bool
	changed bool
}

func newTallies() tallies {
	return tallies{reactions: map[tallyKey]tally{}, votes: map[tallyKey]tally{}}
}

func (t *tallies) concern(k messageKey, e tidings.ReactionChanged) {
	if e.Change == tidings.ReactionAdded || e.Change == tidings.ReactionRemoved {
		t.reactions[tallyKey{k, emojiIdentity(clean(e.Emoji)), e.User}] = tally{}
	}
}

func (t *tallies) concernVote(k messageKey, e tidings.PollVoted) {
	t.votes[tallyKey{k, strconv.Itoa(e.Answer), e.User}] = tally{}
}

// set notes a tally and reports by how much the message's count changes.
func (t *tallies) set(of map[tallyKey]tally, k tallyKey, present bool) int {
	was := of[k]
	if was.known && was.present == present {
		return 0
	}
	of[k] = tally{known: true, present: present, changed: true}
	if present {
		return 1
	}
	return -1
}

// clear drops all reactions to a message, or those with one emoji.
func (t *tallies) clear(k messageKey, emoji string) {
	t.cleared = append(t.cleared, tallyKey{messageKey: k, what: emoji})
	for key := range t.reactions {
		if key.messageKey == k && (emoji == "" || key.what == emoji) {
			t.reactions[key] = tally{}
		}
	}
}

// recount drops who has voted for what: a page has shown other counts than those that their votes make.
func (t *tallies) recount(k messageKey) {
	t.recounted = append(t.recounted, k)
	for key := range t.votes {
		if key.messageKey == k {
			t.votes[key] = tally{}
		}
	}
}

// forget drops everything about a message that was deleted.
func (t *tallies) forget(k messageKey) {
	t.forgotten = append(t.forgotten, k)
	for _, of := range []map[tallyKey]tally{t.reactions, t.votes} {
		for key := range of {
			if key.messageKey == k {
				of[key] = tally{}
			}
		}
	}
}

// react takes in a reaction dispatch. Those to a message that is not stored are no loss: it will come with its counts.
func (b *batch) react(ev tidings.Event, e tidings.ReactionChanged) error {
	k := messageKey{ev.Channel, e.Message}
	row := b.messages[k]
	if !row.known || row.deleted {
		return nil
	}
	emoji := clean(e.Emoji)
	which := emojiIdentity(emoji)
	stored, err := row.payload()
	if err != nil {
		return err
	}
	var payload []byte
	var news bool
	switch e.Change {
	case tidings.ReactionAdded, tidings.ReactionRemoved:
		n := b.tallies.set(b.tallies.reactions, tallyKey{k, which, e.User}, e.Change == tidings.ReactionAdded)
		if n == 0 {
			return nil
		}
		payload, news, err = countEmoji(stored, emoji, n)
	case tidings.ReactionsOfEmojiRemoved:
		b.tallies.clear(k, which)
		payload, news, err = dropEmoji(stored, which)
	case tidings.ReactionsCleared:
		b.tallies.clear(k, "")
		payload, news, err = dropEmoji(stored, "")
	default:
		err = fmt.Errorf("%w reaction: change %d", tidings.ErrInvalid, e.Change)
	}
	if err != nil || !news {
		return err
	}
	row.reacting = true
	return b.tallied(ev, row, payload)
}

// vote takes in a poll's vote.
func (b *batch) vote(ev tidings.Event, e tidings.PollVoted) error {
	k := messageKey{ev.Channel, e.Message}
	row := b.messages[k]
	if !row.known || row.deleted {
		return nil
	}
	n := b.tallies.set(b.tallies.votes, tallyKey{k, strconv.Itoa(e.Answer), e.User}, !e.Removed)
	if n == 0 {
		return nil
	}
	stored, err := row.payload()
	if err != nil {
		return err
	}
	payload, news, err := countVote(stored, e.Answer, n)
	if err != nil || !news {
		return err
	}
	row.telling = true
	return b.tallied(ev, row, payload)
}

func (b *batch) tallied(ev tidings.Event, row *heldMessage, payload []byte) error {
	next, err := b.reread(row, payload)
	if err != nil {
		return err
	}
	b.become(ev, row, next, true)
	return nil
}

const loadReactions = `
SELECT r.channel_id, r.message_id, r.emoji AS what, r.user_id, r.present
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]) v(channel_id, message_id, emoji, user_id)
JOIN reactions r USING (channel_id, message_id, emoji, user_id)`

const loadVotes = `
SELECT p.channel_id, p.message_id, p.answer::text AS what, p.user_id, p.present
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[]) v(channel_id, message_id, answer, user_id)
JOIN poll_votes p USING (channel_id, message_id, answer, user_id)`

// loadTallies reads the rows of the reactions and votes that the events speak of.
func (b *batch) loadTallies(ctx context.Context, tx *sqlx.Tx) error {
	if err := loadTally(ctx, tx, loadReactions, b.tallies.reactions); err != nil {
		return err
	}
	return loadTally(ctx, tx, loadVotes, b.tallies.votes)
}

func loadTally(ctx context.Context, tx *sqlx.Tx, query string, of map[tallyKey]tally) error {
	if len(of) == 0 {
		return nil
	}
	var channels, messages, users pq.Int64Array
	var whats pq.StringArray
	for k := range of {
		channels, messages = append(channels, int64(k.channel)), append(messages, int64(k.id))
		whats, users = append(whats, k.what), append(users, int64(k.user))
	}
	var rows []struct {
		Channel discord.ChannelID `db:"channel_id"`
		Message discord.MessageID `db:"message_id"`
		What    string            `db:"what"`
		User    discord.UserID    `db:"user_id"`
		Present bool              `db:"present"`
	}
	if err := tx.SelectContext(ctx, &rows, query, channels, messages, whats, users); err != nil {
		return err
	}
	for _, r := range rows {
		of[tallyKey{messageKey{r.Channel, r.Message}, r.What, r.User}] = tally{known: true, present: r.Present}
	}
	return nil
}

const clearReactions = `
DELETE FROM reactions r
USING unnest($1::bigint[], $2::bigint[], $3::text[]) v(channel_id, message_id, emoji)
WHERE r.channel_id = v.channel_id AND r.message_id = v.message_id AND (v.emoji = '' OR r.emoji = v.emoji)`

const clearVotes = `
DELETE FROM poll_votes p
USING unnest($1::bigint[], $2::bigint[]) v(channel_id, message_id)
WHERE p.channel_id = v.channel_id AND p.message_id = v.message_id`

const setReactions = `
INSERT INTO reactions (channel_id, message_id, emoji, user_id, present)
VALUES %s
ON CONFLICT (channel_id, message_id, emoji, user_id) DO UPDATE
SET present = excluded.present`

const setVotes = `
INSERT INTO poll_votes (channel_id, message_id, answer, user_id, present)
VALUES %s
ON CONFLICT (channel_id, message_id, answer, user_id) DO UPDATE
SET present = excluded.present`

const setPins = `
INSERT INTO pins (channel_id, last_pin_ms)
VALUES %s
ON CONFLICT (channel_id) DO UPDATE
SET last_pin_ms = excluded.last_pin_ms
WHERE pins.last_pin_ms <> excluded.last_pin_ms`

// writeTallies stores reactions, votes and pins: first what was cleared, then what has come since.
func (b *batch) writeTallies(ctx context.Context, tx *sqlx.Tx) error {
	t := &b.tallies
	if n := len(t.cleared) + len(t.forgotten); n > 0 {
		channels, messages, emojis := make(pq.Int64Array, 0, n), make(pq.Int64Array, 0, n), make(pq.StringArray, 0, n)
		for _, k := range t.cleared {
			channels, messages, emojis = append(channels, int64(k.channel)), append(messages, int64(k.id)), append(emojis, k.what)
		}
		for _, k := range t.forgotten {
			channels, messages, emojis = append(channels, int64(k.channel)), append(messages, int64(k.id)), append(emojis, "")
		}
		if _, err := tx.ExecContext(ctx, clearReactions, channels, messages, emojis); err != nil {
			return err
		}
	}
	if gone := append(t.recounted, t.forgotten...); len(gone) > 0 {
		channels, messages := keyArrays(gone)
		if _, err := tx.ExecContext(ctx, clearVotes, channels, messages); err != nil {
			return err
		}
	}
	if err := execRows(ctx, tx, setReactions, nil, changedTallies(t.reactions)); err != nil {
		return err
	}
	if err := execRows(ctx, tx, setVotes, nil, changedTallies(t.votes)); err != nil {
		return err
	}
	var pins [][]any
	for channel, ms := range b.pins {
		pins = append(pins, []any{int64(channel), ms})
	}
	return execRows(ctx, tx, setPins, nil, pins)
}

func changedTallies(of map[tallyKey]tally) [][]any {
	var rows [][]any
	for k, t := range of {
		if t.known && t.changed {
			rows = append(rows, []any{int64(k.channel), int64(k.id), k.what, int64(k.user), t.present})
		}
	}
	return rows
}
