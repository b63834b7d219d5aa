package store

import (
	"context"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// MaxNotifyLevels is for how many places one person may have chosen a level.
const MaxNotifyLevels = 2000

const selectNotifyLevels = `
SELECT scope_id, level
FROM notify_prefs
WHERE user_id = $1`

const selectNotifySettings = `
SELECT coalesce(max(keywords::int), 1) AS keywords, coalesce(max(quiet_from), 0) AS quiet_from, coalesce(max(quiet_to), 0) AS quiet_to,
       coalesce(max(zone), '') AS zone
FROM notify_settings
WHERE user_id = $1`

// NotifyPrefs is of what the person wants to be notified. Whoever has chosen nothing wants mentions and the words that they watch.
func (s *Store) NotifyPrefs(ctx context.Context, user discord.UserID) (tidings.NotifyPrefs, error) {
	p := tidings.NotifyPrefs{Levels: map[discord.Snowflake]tidings.NotifyLevel{}}
	var levels []struct {
		Scope discord.Snowflake   `db:"scope_id"`
		Level tidings.NotifyLevel `db:"level"`
	}
	var settings struct {
		Keywords int `db:"keywords"`
		tidings.QuietHours
	}
	err := s.db.SelectContext(ctx, &levels, selectNotifyLevels, int64(user))
	if err == nil {
		err = s.db.GetContext(ctx, &settings, selectNotifySettings, int64(user))
	}
	if err != nil {
		return p, fmt.Errorf("read what user %d is notified of: %w", user, unavailable(err))
	}
	for _, l := range levels {
		p.Levels[l.Scope] = l.Level
	}
	p.Keywords = settings.Keywords != 0
	if q := settings.QuietHours; q.From != q.To {
		p.Quiet = &q
	}
	return p, nil
}

const upsertNotifyLevel = `
INSERT INTO notify_prefs AS p (user_id, scope_id, level)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM notify_prefs WHERE user_id = $1 AND scope_id <> $2) < $4
ON CONFLICT (user_id, scope_id) DO UPDATE
SET level = excluded.level`

const sameNotifyLevel = `
SELECT EXISTS (
	SELECT
	FROM notify_prefs
	WHERE user_id = $1 AND scope_id = $2 AND level = $3
)`

// SetNotifyLevel chooses of what the person is notified in a channel, category, forum or guild; a scope of 0 is for everything
// else. That the person may know of the scope is for the caller to know.
func (s *Store) SetNotifyLevel(ctx context.Context, user discord.UserID, scope discord.Snowflake, level tidings.NotifyLevel) (tidings.ReadResult, error) {
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) { return setNotifyLevel(ctx, tx, user, scope, level) })
	if err != nil {
		return r, fmt.Errorf("choose notifications of %d: %w", scope, err)
	}
	return r, nil
}

func setNotifyLevel(ctx context.Context, tx *sqlx.Tx, user discord.UserID, scope discord.Snowflake, level tidings.NotifyLevel) (bool, error) {
	if int64(scope) < 0 {
		return false, tidings.InvalidField("scope", "it is no id")
	}
	if level < tidings.NotifyNothing || level > tidings.NotifyAll {
		return false, tidings.InvalidField("level", "it is all, mentions or nothing")
	}
	var same bool
	if err := tx.GetContext(ctx, &same, sameNotifyLevel, int64(user), int64(scope), int(level)); err != nil || same {
		return false, err
	}
	res, err := tx.ExecContext(ctx, upsertNotifyLevel, int64(user), int64(scope), int(level), MaxNotifyLevels)
	return put("scope", res, err)
}

const deleteNotifyLevel = `
DELETE FROM notify_prefs
WHERE user_id = $1 AND scope_id = $2`

// UnsetNotifyLevel lets what a place is in decide again. A choice that there is not is no error.
func (s *Store) UnsetNotifyLevel(ctx context.Context, user discord.UserID, scope discord.Snowflake) (tidings.ReadResult, error) {
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		return some(tx.ExecContext(ctx, deleteNotifyLevel, int64(user), int64(scope)))
	})
	if err != nil {
		return r, fmt.Errorf("choose no notifications of %d: %w", scope, err)
	}
	return r, nil
}

const upsertNotifySettings = `
INSERT INTO notify_settings AS n (user_id, keywords, quiet_from, quiet_to, zone)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id) DO UPDATE
SET keywords = excluded.keywords, quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, zone = excluded.zone
WHERE (n.keywords, n.quiet_from, n.quiet_to, n.zone) IS DISTINCT FROM (excluded.keywords, excluded.quiet_from, excluded.quiet_to, excluded.zone)`

// SetNotifySettings replaces what holds everywhere: the level of all places without one of their own, keywords and quiet hours, nil for none.
func (s *Store) SetNotifySettings(ctx context.Context, user discord.UserID, level tidings.NotifyLevel, keywords bool, quiet *tidings.QuietHours) (tidings.ReadResult, error) {
	var q tidings.QuietHours
	if quiet != nil {
		if err := quiet.Check(); err != nil {
			return tidings.ReadResult{}, fmt.Errorf("set notifications of user %d: %w", user, err)
		}
		q = *quiet
	}
	r, err := s.prefer(ctx, user, func(tx *sqlx.Tx) (bool, error) {
		a, err := setNotifyLevel(ctx, tx, user, 0, level)
		if err != nil {
			return false, err
		}
		b, err := some(tx.ExecContext(ctx, upsertNotifySettings, int64(user), keywords, q.From, q.To, q.Zone))
		return a || b, err
	})
	if err != nil {
		return r, fmt.Errorf("set notifications of user %d: %w", user, err)
	}
	return r, nil
}
