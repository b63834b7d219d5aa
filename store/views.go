package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// View is a feed with a name, as a person has saved it.
type View struct {
	ID        int64
	User      discord.UserID
	Name      string
	Filters   ViewFilters
	Feed      bool // it can be read at a secret address
	CreatedAt time.Time
}

// ViewFilters are what a view shows. What is empty narrows nothing.
type ViewFilters struct {
	Guilds     []discord.GuildID   `json:"guilds,omitempty"` // of guilds, categories and channels, what is in any
	Categories []discord.ChannelID `json:"categories,omitempty"`
	Channels   []discord.ChannelID `json:"channels,omitempty"`
	Authors    []discord.UserID    `json:"authors,omitempty"`
	Has        []string            `json:"has,omitempty"` // all of them
	Mentions   bool                `json:"mentions,omitempty"`
	Unread     bool                `json:"unread,omitempty"`
	Keywords   bool                `json:"keywords,omitempty"`
}

// Query is the feed that a view shows.
func (f ViewFilters) Query() FeedQuery {
	q := FeedQuery{Filter: FeedAll, Authors: f.Authors, Unread: f.Unread, Keywords: f.Keywords, Places: f.Places()}
	if f.Mentions {
		q.Filter = FeedMentions
	}
	for _, name := range f.Has {
		has, _ := tidings.FeatureNamed(name)
		q.Has |= has
	}
	return q
}

// Places are the guilds, categories and channels together.
func (f ViewFilters) Places() []discord.Snowflake {
	var places []discord.Snowflake
	for _, id := range f.Guilds {
		places = append(places, discord.Snowflake(id))
	}
	for _, list := range [][]discord.ChannelID{f.Categories, f.Channels} {
		for _, id := range list {
			places = append(places, discord.Snowflake(id))
		}
	}
	return places
}

// ByChannel reports whether what is unread in a view follows from the counts of its channels.
func (f ViewFilters) ByChannel() bool { return len(f.Authors) == 0 && len(f.Has) == 0 && !f.Keywords }

// MaxViews is how many views one person may have.
const MaxViews = 100

type viewRow struct {
	ID        int64          `db:"id"`
	User      discord.UserID `db:"user_id"`
	Name      string         `db:"name"`
	Filters   []byte         `db:"filters"`
	Feed      bool           `db:"feed"`
	CreatedAt time.Time      `db:"created_at"`
}

func (r viewRow) view() (View, error) {
	v := View{ID: r.ID, User: r.User, Name: r.Name, Feed: r.Feed, CreatedAt: r.CreatedAt}
	return v, json.Unmarshal(r.Filters, &v.Filters)
}

const selectViews = `
SELECT id, user_id, name, filters, feed_hash IS NOT NULL AS feed, created_at
FROM views`

// Views lists a person's views, oldest first.
func (s *Store) Views(ctx context.Context, user discord.UserID) ([]View, error) {
	var rows []viewRow
	if err := s.db.SelectContext(ctx, &rows, selectViews+"\nWHERE user_id = $1\nORDER BY id", int64(user)); err != nil {
		return nil, fmt.Errorf("list views of user %d: %w", user, unavailable(err))
	}
	views := make([]View, len(rows))
	for i, r := range rows {
		var err error
		if views[i], err = r.view(); err != nil {
			return nil, fmt.Errorf("list views of user %d: %w", user, err)
		}
	}
	return views, nil
}

// View is one of the person's views; [tidings.ErrNotFound] when they have no such view.
func (s *Store) View(ctx context.Context, user discord.UserID, id int64) (View, error) {
	return s.view(ctx, "\nWHERE user_id = $1 AND id = $2", int64(user), id)
}

// ViewByFeed is the view that is read at a secret address; [tidings.ErrNotFound] when there is none.
func (s *Store) ViewByFeed(ctx context.Context, secret string) (View, error) {
	hash := sha256.Sum256([]byte(secret))
	return s.view(ctx, "\nWHERE feed_hash = $1", hash[:])
}

func (s *Store) view(ctx context.Context, where string, args ...any) (View, error) {
	var row viewRow
	err := s.db.GetContext(ctx, &row, selectViews+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return View{}, fmt.Errorf("read a view: %w", unavailable(err))
	}
	return row.view()
}

const insertView = `
INSERT INTO views (user_id, name, filters)
SELECT id, $2, $3
FROM users
WHERE id = $1 AND (SELECT count(*) FROM views WHERE user_id = $1) < $4
RETURNING id`

// CreateView saves a view.
func (s *Store) CreateView(ctx context.Context, user discord.UserID, name string, f ViewFilters) (View, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return View{}, fmt.Errorf("create a view: %w", err)
	}
	var id int64
	err = s.db.GetContext(ctx, &id, insertView, int64(user), name, string(b), MaxViews)
	if errors.Is(err, sql.ErrNoRows) {
		return View{}, tidings.InvalidField("name", "%d views are kept at most; delete one first", MaxViews)
	}
	if err != nil {
		return View{}, fmt.Errorf("create a view: %w", unavailable(err))
	}
	return s.View(ctx, user, id)
}

const updateView = `
UPDATE views
SET name = $3, filters = $4
WHERE user_id = $1 AND id = $2`

// UpdateView replaces what a view is called and shows.
func (s *Store) UpdateView(ctx context.Context, user discord.UserID, id int64, name string, f ViewFilters) (View, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return View{}, fmt.Errorf("update view %d: %w", id, err)
	}
	if err := s.oneView(ctx, "update", id, updateView, int64(user), id, name, string(b)); err != nil {
		return View{}, err
	}
	return s.View(ctx, user, id)
}

const deleteView = `
DELETE FROM views
WHERE user_id = $1 AND id = $2`

// DeleteView deletes a view, with its feed.
func (s *Store) DeleteView(ctx context.Context, user discord.UserID, id int64) error {
	return s.oneView(ctx, "delete", id, deleteView, int64(user), id)
}

const updateViewFeed = `
UPDATE views
SET feed_hash = $3
WHERE user_id = $1 AND id = $2`

// OpenFeed gives a view a secret address, instead of the one that it had. The secret is returned this once; only its hash is kept.
func (s *Store) OpenFeed(ctx context.Context, user discord.UserID, id int64) (secret string, err error) {
	b := make([]byte, 32)
	rand.Read(b)
	secret = base64.RawURLEncoding.EncodeToString(b)
	hash := sha256.Sum256([]byte(secret))
	return secret, s.oneView(ctx, "open the feed of", id, updateViewFeed, int64(user), id, hash[:])
}

// CloseFeed ends a view's secret address at once. One that there is not is no error.
func (s *Store) CloseFeed(ctx context.Context, user discord.UserID, id int64) error {
	return s.oneView(ctx, "close the feed of", id, updateViewFeed, int64(user), id, nil)
}

// oneView changes one view; [tidings.ErrNotFound] when there is none.
func (s *Store) oneView(ctx context.Context, what string, id int64, query string, args ...any) error {
	changed, err := some(s.db.ExecContext(ctx, query, args...))
	if err == nil && !changed {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s view %d: %w", what, id, unavailable(err))
	}
	return nil
}
