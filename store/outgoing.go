package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
)

// OutgoingWebhook is an address that is told of what somebody wants to hear of.
type OutgoingWebhook struct {
	ID        int64             `db:"id"`
	User      discord.UserID    `db:"user_id"`
	URL       string            `db:"url"`
	Secret    []byte            `db:"secret"` // sealed
	Mentions  bool              `db:"mentions"`
	Keywords  bool              `db:"keywords"`
	View      int64             `db:"view_id"` // 0 for none
	Settled   discord.MessageID `db:"settled_id"`
	Sent      pq.Int64Array     `db:"sent"`
	Failures  int               `db:"failures"`
	LastError string            `db:"last_error"`
	LastAt    *time.Time        `db:"last_at"`
	Stopped   bool              `db:"stopped"`
	CreatedAt time.Time         `db:"created_at"`
}

// MaxOutgoing is how many of them one person may have.
const MaxOutgoing = 20

const (
	// outgoingOverlap is how much later than one of a higher id a message may be stored and still be told.
	outgoingOverlap = 2 * time.Minute
	maxSent         = 2000
	// maxFailures in a row stop a webhook.
	maxFailures = 20
)

const selectOutgoing = `
SELECT id, user_id, url, secret, mentions, keywords, view_id, settled_id, sent, failures, last_error, last_at, stopped, created_at
FROM outgoing_webhooks`

// OutgoingWebhooks lists a person's, oldest first.
func (s *Store) OutgoingWebhooks(ctx context.Context, user discord.UserID) ([]OutgoingWebhook, error) {
	var list []OutgoingWebhook
	if err := s.db.SelectContext(ctx, &list, selectOutgoing+"\nWHERE user_id = $1\nORDER BY id", int64(user)); err != nil {
		return nil, fmt.Errorf("list webhooks of user %d: %w", user, unavailable(err))
	}
	return list, nil
}

// OutgoingWebhook is one of anybody's; [tidings.ErrNotFound] when it was deleted.
func (s *Store) OutgoingWebhook(ctx context.Context, id int64) (OutgoingWebhook, error) {
	var w OutgoingWebhook
	err := s.db.GetContext(ctx, &w, selectOutgoing+"\nWHERE id = $1", id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return w, fmt.Errorf("read webhook %d: %w", id, unavailable(err))
	}
	return w, nil
}

const insertOutgoing = `
INSERT INTO outgoing_webhooks (user_id, url, secret, mentions, keywords, view_id, settled_id)
SELECT id, $2, $3, $4, $5, $6, $7
FROM users
WHERE id = $1 AND (SELECT count(*) FROM outgoing_webhooks WHERE user_id = $1) < $8
AND ($6::bigint = 0 OR EXISTS (SELECT FROM views WHERE user_id = $1 AND id = $6))
RETURNING id`

// CreateOutgoing makes one that tells of what comes from now on. A view that the person does not have is [tidings.ErrInvalid].
func (s *Store) CreateOutgoing(ctx context.Context, w OutgoingWebhook) (OutgoingWebhook, error) {
	if w.View != 0 {
		if _, err := s.View(ctx, w.User, w.View); errors.Is(err, tidings.ErrNotFound) {
			return w, tidings.InvalidField("view", "you have no such view")
		} else if err != nil {
			return w, err
		}
	}
	err := s.db.GetContext(ctx, &w.ID, insertOutgoing, int64(w.User), w.URL, w.Secret, w.Mentions, w.Keywords, w.View,
		int64(tidings.FirstID(time.Now())), MaxOutgoing)
	if errors.Is(err, sql.ErrNoRows) {
		return w, tidings.InvalidField("url", "%d webhooks are kept at most; delete one first", MaxOutgoing)
	}
	if err != nil {
		return w, fmt.Errorf("create a webhook: %w", unavailable(err))
	}
	return s.OutgoingWebhook(ctx, w.ID)
}

const deleteOutgoing = `
DELETE FROM outgoing_webhooks
WHERE user_id = $1 AND id = $2`

// DeleteOutgoing ends one of the person's.
func (s *Store) DeleteOutgoing(ctx context.Context, user discord.UserID, id int64) error {
	gone, err := some(s.db.ExecContext(ctx, deleteOutgoing, int64(user), id))
	if err == nil && !gone {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete webhook %d: %w", id, unavailable(err))
	}
	return nil
}

// OutgoingWish is what a webhook wants to hear of, for telling quickly what is none of its business.
type OutgoingWish struct {
	Kind       string // of the job that tells: SendWebhook or SendPush
	ID         int64
	User       discord.UserID
	Mentions   bool
	Keywords   []string            // nil where it does not ask for keywords
	View       *ViewFilters        // nil where it does not ask for a view
	Everything []discord.Snowflake // where all messages are asked for; 0 is everywhere
}

const selectWishes = `
SELECT w.id, w.user_id, w.mentions, CASE WHEN w.keywords THEN k.words END AS words, v.filters
FROM outgoing_webhooks w
LEFT JOIN keywords k ON k.user_id = w.user_id
LEFT JOIN views v ON v.id = w.view_id AND v.user_id = w.user_id
WHERE NOT w.stopped
ORDER BY w.id`

// OutgoingWishes lists those of all webhooks that are not stopped.
func (s *Store) OutgoingWishes(ctx context.Context) ([]OutgoingWish, error) {
	var rows []struct {
		ID       int64          `db:"id"`
		User     discord.UserID `db:"user_id"`
		Mentions bool           `db:"mentions"`
		Words    pq.StringArray `db:"words"`
		Filters  []byte         `db:"filters"`
	}
	if err := s.db.SelectContext(ctx, &rows, selectWishes); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", unavailable(err))
	}
	list := make([]OutgoingWish, len(rows))
	for i, r := range rows {
		list[i] = OutgoingWish{Kind: SendWebhook, ID: r.ID, User: r.User, Mentions: r.Mentions, Keywords: r.Words}
		if r.Filters != nil {
			list[i].View = &ViewFilters{}
			if err := json.Unmarshal(r.Filters, list[i].View); err != nil {
				return nil, fmt.Errorf("list webhooks: %w", err)
			}
		}
	}
	return list, nil
}

// Why a message is told.
const (
	WhyMention = "mention"
	WhyKeyword = "keyword"
	WhyView    = "view"
)

// Hit is a message that a webhook is to tell of.
type Hit struct {
	Message tidings.Message
	Why     []string
}

// maxHitPages bounds of how much one look makes something; what is newer is found by the next.
const maxHitPages = 20

// Hits lists, oldest first, what a webhook has to tell and has not told: what its person may see, of other people.
func (s *Store) Hits(ctx context.Context, set *tidings.VisibleSet, w OutgoingWebhook, limit int) ([]Hit, error) {
	found := map[discord.MessageID]*Hit{}
	look := func(why string, q FeedQuery) error {
		return s.eachSince(ctx, set, q, w.Settled, func(m tidings.Message) (wanted bool) {
			if m.Author == set.User || slices.Contains(w.Sent, int64(m.ID)) {
				return false
			}
			if found[m.ID] == nil {
				found[m.ID] = &Hit{Message: m}
			}
			found[m.ID].Why = append(found[m.ID].Why, why)
			return true
		})
	}
	if w.Mentions {
		if err := look(WhyMention, FeedQuery{Filter: FeedMentions}); err != nil {
			return nil, err
		}
	}
	if w.Keywords {
		if err := look(WhyKeyword, FeedQuery{Filter: FeedKeywords}); err != nil {
			return nil, err
		}
	}
	if w.View != 0 {
		switch v, err := s.View(ctx, w.User, w.View); {
		case errors.Is(err, tidings.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			if err := look(WhyView, v.Filters.Query()); err != nil {
				return nil, err
			}
		}
	}
	hits := make([]Hit, 0, len(found))
	for _, h := range found {
		hits = append(hits, *h)
	}
	slices.SortFunc(hits, func(a, b Hit) int { return cmp.Compare(a.Message.ID, b.Message.ID) })
	return hits[:min(len(hits), limit)], nil
}

// eachSince goes through a feed's messages above an id. Feeds of keywords are read downwards: of very many, the oldest are left out. Pages of
// which fn wants nothing are passed over, however many they are: the next look would not get beyond them either.
func (s *Store) eachSince(ctx context.Context, set *tidings.VisibleSet, q FeedQuery, since discord.MessageID, fn func(tidings.Message) (wanted bool)) error {
	q.Limit = MaxPage
	down := q.Filter == FeedKeywords || q.Keywords && q.Filter == FeedAll && !q.Unread
	if down {
		q.After = since
	} else {
		q.Newer = feedCursor{message: int64(since), channel: 1<<63 - 1}.String()
	}
	for pages := 0; pages < maxHitPages; {
		p, err := s.Feed(ctx, set, q)
		if err != nil {
			return err
		}
		some := false
		for _, m := range p.Messages {
			some = fn(m) || some
		}
		if some {
			pages++
		}
		if down {
			q.Cursor = p.Next
		} else {
			q.Newer = p.Newer
		}
		if len(p.Messages) < MaxPage || down && p.Next == "" {
			return nil
		}
	}
	return nil
}

const updateOutgoingSent = `
UPDATE outgoing_webhooks
SET settled_id = $2, sent = $3, failures = 0, last_error = '', last_at = now()
WHERE id = $1`

// OutgoingSent notes that messages were told.
func (s *Store) OutgoingSent(ctx context.Context, w OutgoingWebhook, told []discord.MessageID) error {
	settled, sent := settle(w.Settled, w.Sent, told)
	if _, err := s.db.ExecContext(ctx, updateOutgoingSent, w.ID, settled, sent); err != nil {
		return fmt.Errorf("note what webhook %d has told: %w", w.ID, unavailable(err))
	}
	return nil
}

// settle moves the id up to which all is settled, and names what was told above it.
func settle(before discord.MessageID, had pq.Int64Array, told []discord.MessageID) (settled int64, sent pq.Int64Array) {
	sent = slices.Clone(had)
	for _, id := range told {
		sent = append(sent, int64(id))
	}
	slices.Sort(sent)
	sent = slices.Compact(sent)
	settled = int64(before)
	if n := len(sent); n > 0 {
		settled = max(settled, int64(tidings.FirstID(discord.MessageID(sent[n-1]).Time().Add(-outgoingOverlap))))
		if n > maxSent {
			settled = max(settled, sent[n-maxSent])
		}
	}
	return settled, slices.DeleteFunc(sent, func(id int64) bool { return id <= settled })
}

const updateOutgoingFailed = `
UPDATE outgoing_webhooks
SET failures = failures + 1, last_error = $2, last_at = now(), stopped = stopped OR $3 OR failures + 1 >= $4
WHERE id = $1
RETURNING stopped`

// OutgoingFailed notes why a webhook could not be told, in words for its owner. Too many failures in a row stop it, or stop does.
func (s *Store) OutgoingFailed(ctx context.Context, id int64, why string, stop bool) (stopped bool, err error) {
	err = s.db.GetContext(ctx, &stopped, updateOutgoingFailed, id, why, stop, maxFailures)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("note a failure of webhook %d: %w", id, unavailable(err))
	}
	return stopped, nil
}

// SendWebhook is the kind of the job that tells one address. Its key is the webhook's id.
const SendWebhook = "send-webhook"
