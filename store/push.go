package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// PushSubscription is a browser that is told by Web Push.
type PushSubscription struct {
	ID        int64             `db:"id"`
	User      discord.UserID    `db:"user_id"`
	Session   string            `db:"session"` // what it was made with, and ends with
	Sealed    []byte            `db:"sealed"`  // address and keys
	Agent     string            `db:"agent"`   // what the browser calls itself
	Words     bool              `db:"words"`   // what was written is told, and not only that something was
	Settled   discord.MessageID `db:"settled_id"`
	Sent      pq.Int64Array     `db:"sent"`
	Failures  int               `db:"failures"`
	LastError string            `db:"last_error"`
	LastAt    *time.Time        `db:"last_at"`
	CreatedAt time.Time         `db:"created_at"`
}

// MaxPush is how many browsers of one person are told.
const MaxPush = 10

// SendPush is the kind of the job that tells one browser. Its key is the subscription's id.
const SendPush = "send-push"

const selectPush = `
SELECT id, user_id, session, sealed, agent, words, settled_id, sent, failures, last_error, last_at, created_at
FROM push_subscriptions`

// PushSubscriptions lists a person's, oldest first.
func (s *Store) PushSubscriptions(ctx context.Context, user discord.UserID) ([]PushSubscription, error) {
	var list []PushSubscription
	if err := s.db.SelectContext(ctx, &list, selectPush+"\nWHERE user_id = $1\nORDER BY id", int64(user)); err != nil {
		return nil, fmt.Errorf("list browsers of user %d: %w", user, unavailable(err))
	}
	return list, nil
}

// PushSubscription is one of anybody's; [tidings.ErrNotFound] when it has ended.
func (s *Store) PushSubscription(ctx context.Context, id int64) (PushSubscription, error) {
	var p PushSubscription
	err := s.db.GetContext(ctx, &p, selectPush+"\nWHERE id = $1", id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("read push subscription %d: %w", id, unavailable(err))
	}
	return p, nil
}

// One browser has one address, and is signed in once: whatever the two had before is replaced.
const replacePush = `
DELETE FROM push_subscriptions
WHERE endpoint = $1 AND (user_id <> $2 OR session <> $3) OR user_id = $2 AND session = $3 AND endpoint <> $1`

const upsertPush = `
INSERT INTO push_subscriptions (user_id, session, endpoint, sealed, agent, words, settled_id)
SELECT id, $2, $3, $4, $5, $6, $7
FROM users
WHERE id = $1 AND (SELECT count(*) FROM push_subscriptions WHERE user_id = $1 AND endpoint <> $3) < $8
ON CONFLICT (endpoint) DO UPDATE
SET sealed = excluded.sealed, agent = excluded.agent, words = excluded.words, failures = 0, last_error = ''
RETURNING id`

// SavePush has a browser told of what comes from now on, in place of what the same session or the same address had before.
func (s *Store) SavePush(ctx context.Context, p PushSubscription, endpoint string) (PushSubscription, error) {
	hash := sha256.Sum256([]byte(endpoint))
	agent := clean(p.Agent[:min(len(p.Agent), maxAgent)])
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		// Two requests of one browser go one after the other.
		if err := tx.GetContext(ctx, new(int64), lockUser, int64(p.User)); errors.Is(err, sql.ErrNoRows) {
			return tidings.ErrNotFound
		} else if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, replacePush, hash[:], int64(p.User), p.Session); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &p.ID, upsertPush, int64(p.User), p.Session, hash[:], p.Sealed, agent, p.Words, int64(tidings.FirstID(time.Now())), MaxPush)
		if errors.Is(err, sql.ErrNoRows) {
			return tidings.InvalidField("endpoint", "%d browsers are told at most; take one back first", MaxPush)
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("save a push subscription of user %d: %w", p.User, err)
	}
	return s.PushSubscription(ctx, p.ID)
}

const deletePush = `
DELETE FROM push_subscriptions
WHERE user_id = $1 AND id = $2`

// DeletePush tells one of the person's browsers no more.
func (s *Store) DeletePush(ctx context.Context, user discord.UserID, id int64) error {
	gone, err := some(s.db.ExecContext(ctx, deletePush, int64(user), id))
	if err == nil && !gone {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete push subscription %d: %w", id, unavailable(err))
	}
	return nil
}

const endPush = `
DELETE FROM push_subscriptions
WHERE session = ANY ($1::text[])`

const endPushOf = `
DELETE FROM push_subscriptions
WHERE user_id = $1`

// EndPush ends those that were made with one of the sessions.
func (s *Store) EndPush(ctx context.Context, sessions ...string) error {
	if _, err := s.db.ExecContext(ctx, endPush, pq.StringArray(sessions)); err != nil {
		return fmt.Errorf("end push subscriptions: %w", unavailable(err))
	}
	return nil
}

const selectPushWishes = `
SELECT p.id, p.user_id, CASE WHEN coalesce(n.keywords, true) THEN k.words END AS words,
       (SELECT array_agg(scope_id) FROM notify_prefs WHERE user_id = p.user_id AND level = 2) AS everything
FROM push_subscriptions p
LEFT JOIN keywords k ON k.user_id = p.user_id
LEFT JOIN notify_settings n ON n.user_id = p.user_id
ORDER BY p.id`

// PushWishes lists what the browsers that are told by Web Push want to hear of, as hints.
func (s *Store) PushWishes(ctx context.Context) ([]OutgoingWish, error) {
	var rows []struct {
		ID         int64          `db:"id"`
		User       discord.UserID `db:"user_id"`
		Words      pq.StringArray `db:"words"`
		Everything pq.Int64Array  `db:"everything"`
	}
	if err := s.db.SelectContext(ctx, &rows, selectPushWishes); err != nil {
		return nil, fmt.Errorf("list push subscriptions: %w", unavailable(err))
	}
	list := make([]OutgoingWish, len(rows))
	for i, r := range rows {
		list[i] = OutgoingWish{Kind: SendPush, ID: r.ID, User: r.User, Mentions: true, Keywords: r.Words}
		for _, id := range r.Everything {
			list[i].Everything = append(list[i].Everything, discord.Snowflake(id))
		}
	}
	return list, nil
}

// WhyAll is the reason where everything is told.
const WhyAll = "all"

// silent is the flag of messages that were sent with @silent: they count, and notify nobody (SUPPRESS_NOTIFICATIONS of Discord's message flags).
const silent = 1 << 12

// PushHits lists, oldest first, what a browser has to be told and was not: unread messages of other people that their person may see, wants to be
// notified of by levels and keywords, and has not muted.
func (s *Store) PushHits(ctx context.Context, set *tidings.VisibleSet, p PushSubscription, prefs tidings.NotifyPrefs, limit int) ([]Hit, error) {
	mutes, err := s.Mutes(ctx, p.User)
	if err != nil {
		return nil, err
	}
	mentions, all := loud(set, prefs, mutes)
	found := map[discord.MessageID]*Hit{}
	look := func(why string, set *tidings.VisibleSet, q FeedQuery) error {
		if len(set.Guilds) == 0 {
			return nil
		}
		return s.eachSince(ctx, set, q, p.Settled, func(m tidings.Message) (wanted bool) {
			if m.Author == p.User || m.Flags&silent != 0 || slices.Contains(p.Sent, int64(m.ID)) {
				return false
			}
			if found[m.ID] == nil {
				found[m.ID] = &Hit{Message: m}
			}
			found[m.ID].Why = append(found[m.ID].Why, why)
			return true
		})
	}
	if err := look(WhyMention, mentions, FeedQuery{Filter: FeedMentions, Unread: true}); err != nil {
		return nil, err
	}
	if prefs.Keywords {
		if err := look(WhyKeyword, mentions, FeedQuery{Filter: FeedUnread, Keywords: true}); err != nil {
			return nil, err
		}
	}
	if err := look(WhyAll, all, FeedQuery{Filter: FeedUnread}); err != nil {
		return nil, err
	}
	hits := make([]Hit, 0, len(found))
	for h := range maps.Values(found) {
		hits = append(hits, *h)
	}
	slices.SortFunc(hits, func(a, b Hit) int { return cmp.Compare(a.Message.ID, b.Message.ID) })
	return hits[:min(len(hits), limit)], nil
}

// loud are the parts of a set in which mentions are told, and everything.
func loud(set *tidings.VisibleSet, prefs tidings.NotifyPrefs, mutes []Mute) (mentions, all *tidings.VisibleSet) {
	muted := make([]discord.Snowflake, len(mutes))
	for i, m := range mutes {
		muted[i] = m.Scope
	}
	mentions, all = &tidings.VisibleSet{User: set.User, Epoch: set.Epoch}, &tidings.VisibleSet{User: set.User, Epoch: set.Epoch}
	for _, g := range set.Guilds {
		parents := map[discord.ChannelID]discord.ChannelID{}
		for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
			for _, c := range list {
				parents[c.ID] = c.Parent
			}
		}
		m, a := g, g
		m.Channels, a.Channels = nil, nil
		for _, c := range g.Channels {
			c.Guild = g.Guild.ID
			above := parents[c.Parent]
			if len(muted) > 0 && InPlaces(muted, c, above) {
				continue
			}
			level := prefs.Level(g.Guild.ID, c.ID, c.Parent, above)
			if level >= tidings.NotifyMentions {
				m.Channels = append(m.Channels, c)
			}
			if level >= tidings.NotifyAll {
				a.Channels = append(a.Channels, c)
			}
		}
		if len(m.Channels) > 0 {
			mentions.Guilds = append(mentions.Guilds, m)
		}
		if len(a.Channels) > 0 {
			all.Guilds = append(all.Guilds, a)
		}
	}
	return mentions, all
}

const updatePushSent = `
UPDATE push_subscriptions
SET settled_id = $2, sent = $3, failures = CASE WHEN $4 THEN 0 ELSE failures END, last_error = CASE WHEN $4 THEN '' ELSE last_error END,
    last_at = CASE WHEN $4 THEN now() ELSE last_at END
WHERE id = $1`

// PushSettled notes that messages were told, or need not be any more. left is the oldest that is still to be told, however old it is; 0 for
// none. delivered says that something arrived.
func (s *Store) PushSettled(ctx context.Context, p PushSubscription, told []discord.MessageID, left discord.MessageID, delivered bool) error {
	// What is older than any message that is still to be stored is settled without having been told, so that looking stays short.
	floor := int64(tidings.FirstID(time.Now().Add(-pushOverlap)))
	if len(told) == 0 && int64(p.Settled) >= floor-int64(settleStep) {
		return nil
	}
	settled, sent := settle(p.Settled, p.Sent, told)
	settled = max(settled, floor)
	if left > 0 && int64(left) <= settled {
		settled, sent = max(int64(p.Settled), int64(left)-1), slices.Clone(p.Sent)
		for _, id := range told {
			sent = append(sent, int64(id))
		}
	}
	sent = slices.DeleteFunc(sent, func(id int64) bool { return id <= settled })
	if _, err := s.db.ExecContext(ctx, updatePushSent, p.ID, settled, sent, delivered); err != nil {
		return fmt.Errorf("note what push subscription %d was told: %w", p.ID, unavailable(err))
	}
	return nil
}

const (
	// pushOverlap is how long after it was written a message may be stored, or become wanted, and still be news.
	pushOverlap = 5 * time.Minute
	// settleStep is how far the settled id may stay behind before it is worth a write: ten minutes of ids.
	settleStep = uint64(10*time.Minute/time.Millisecond) << 22
)

const updatePushFailed = `
UPDATE push_subscriptions
SET failures = failures + 1, last_error = $2, last_at = now()
WHERE id = $1
RETURNING failures`

const deletePushSubscription = `
DELETE FROM push_subscriptions
WHERE id = $1`

// PushFailed notes why a browser could not be told, in words for its person. One that is gone, or has failed too often in a row, is deleted.
func (s *Store) PushFailed(ctx context.Context, id int64, why string, gone bool) (deleted bool, err error) {
	var failures int
	err = s.db.GetContext(ctx, &failures, updatePushFailed, id, why)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	if err == nil && (gone || failures >= maxFailures) {
		deleted = true
		_, err = s.db.ExecContext(ctx, deletePushSubscription, id)
	}
	if err != nil {
		return false, fmt.Errorf("note a failure of push subscription %d: %w", id, unavailable(err))
	}
	return deleted, nil
}

// pushKey is the row of service_keys that holds Web Push's keys.
const pushKey = 1

const insertServiceKey = `
INSERT INTO service_keys (id, public, sealed)
VALUES ($1, $2, $3)
ON CONFLICT (id) DO NOTHING`

const selectServiceKey = `
SELECT public, sealed
FROM service_keys
WHERE id = $1`

const replaceServiceKey = `
UPDATE service_keys
SET public = $2, sealed = $3
WHERE id = $1 AND sealed = $4`

// PushKeys returns the service's keys for Web Push. Where there are none yet, or instead of those that were sealed as lost, those that fresh makes are kept, once
// for all processes.
func (s *Store) PushKeys(ctx context.Context, lost []byte, fresh func() (public string, sealed []byte, err error)) (public string, sealed []byte, err error) {
	var row struct {
		Public string `db:"public"`
		Sealed []byte `db:"sealed"`
	}
	err = s.db.GetContext(ctx, &row, selectServiceKey, pushKey)
	if errors.Is(err, sql.ErrNoRows) || err == nil && lost != nil && bytes.Equal(row.Sealed, lost) {
		public, sealed, err := fresh()
		if err != nil {
			return "", nil, err
		}
		if lost == nil {
			_, err = s.db.ExecContext(ctx, insertServiceKey, pushKey, public, sealed)
		} else {
			_, err = s.db.ExecContext(ctx, replaceServiceKey, pushKey, public, sealed, lost)
		}
		if err != nil {
			return "", nil, fmt.Errorf("keep keys for push: %w", unavailable(err))
		}
		// Another process may have been faster.
		if err := s.db.GetContext(ctx, &row, selectServiceKey, pushKey); err != nil {
			return "", nil, fmt.Errorf("read keys for push: %w", unavailable(err))
		}
		return row.Public, row.Sealed, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("read keys for push: %w", unavailable(err))
	}
	return row.Public, row.Sealed, nil
}
