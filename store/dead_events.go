package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// DeadEvent is an event about messages that could not be stored.
type DeadEvent struct {
	ID      int64             `db:"id"`
	Guild   discord.GuildID   `db:"guild_id"`
	Channel discord.ChannelID `db:"channel_id"`
	Kind    string            `db:"kind"`
	Raw     []byte            `db:"raw"`
	Tries   int               `db:"tries"`
}

const dueDeadEvents = `
SELECT id, guild_id, channel_id, kind, raw, tries
FROM dead_events
WHERE retry_at <= now() AND kind IN ('MessageCreated', 'MessageUpdated', 'MessagesDeleted')
ORDER BY retry_at, id
LIMIT $1`

// DeadEvents lists the events about messages that are due to be tried again. What else has died is set right by the next time
// that its guild is seen whole.
func (s *Store) DeadEvents(ctx context.Context, limit int) ([]DeadEvent, error) {
	var list []DeadEvent
	if err := s.db.SelectContext(ctx, &list, dueDeadEvents, limit); err != nil {
		return nil, fmt.Errorf("list dead events: %w", unavailable(err))
	}
	return list, nil
}

// Message is the message that a create or an update was about; 0 for other events, and when it cannot be made out.
func (d DeadEvent) Message() discord.MessageID {
	if d.Kind != "MessageCreated" && d.Kind != "MessageUpdated" {
		return 0
	}
	var w struct {
		ID discord.MessageID `json:"id"`
	}
	if json.Unmarshal(d.Raw, &w) != nil || !w.ID.IsValid() {
		return 0
	}
	return w.ID
}

// Event is what had to be stored. It counts as something fetched: newer truth stands against it.
func (d DeadEvent) Event() (tidings.Event, error) {
	ev := tidings.Event{Source: tidings.SourceBackfill, Guild: d.Guild, Channel: d.Channel, At: time.Now()}
	switch d.Kind {
	case "MessageCreated", "MessageUpdated":
		m, err := tidings.ParseMessage(d.Raw, d.Guild)
		if err != nil {
			return ev, fmt.Errorf("read dead event %d: %w", d.ID, err)
		}
		ev.Body = tidings.MessageUpdated{Message: m}
		if d.Kind == "MessageCreated" {
			ev.Body = tidings.MessageCreated{Message: m}
		}
	case "MessagesDeleted":
		var body tidings.MessagesDeleted
		if err := json.Unmarshal(d.Raw, &body); err != nil {
			return ev, fmt.Errorf("read dead event %d: %w", d.ID, err)
		}
		ev.Body = body
	default:
		return ev, fmt.Errorf("%w dead event %d: its kind is %q", tidings.ErrInvalid, d.ID, d.Kind)
	}
	return ev, nil
}

const dropDeadEvent = `
DELETE FROM dead_events
WHERE id = $1`

// What could be stored now, a page may show as well: what is unclear in the channel is read again at once.
const hurryUnclear = `
UPDATE gaps
SET retry_at = now()
WHERE channel_id = $1 AND unclear AND healed_at IS NULL`

// EventRevived forgets a dead event that is stored now.
func (s *Store) EventRevived(ctx context.Context, d DeadEvent) error {
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, dropDeadEvent, d.ID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, hurryUnclear, int64(d.Channel))
		return err
	})
	if err != nil {
		return fmt.Errorf("forget dead event %d: %w", d.ID, err)
	}
	return nil
}

// Two minutes at first, doubled with each try, a day at most.
const putOffDeadEvent = `
UPDATE dead_events
SET tries = tries + 1,
    retry_at = now() + least(interval '1 day', interval '2 minutes' * 2 ^ least(tries, 20)),
    cause = $2
WHERE id = $1`

// EventStillDead puts a dead event off that could not be stored this time either.
func (s *Store) EventStillDead(ctx context.Context, id int64, cause error) error {
	if _, err := s.db.ExecContext(ctx, putOffDeadEvent, id, jobError(cause)); err != nil {
		return fmt.Errorf("put off dead event %d: %w", id, unavailable(err))
	}
	return nil
}

// A dead job comes back after ten minutes at first, doubled each time, a day at most; after ten times it stays dead. One whose
// work is open again, whose guild is gone, or whose channel is closed to the bot, is left
// alone; so is the telling of an alert, which would come too late.
const reviveDue = `
WITH due AS (
	SELECT DISTINCT ON (kind, CASE WHEN key = '' THEN id::text ELSE key END) id
	FROM jobs
	WHERE state = 'dead' AND key NOT LIKE '@%' AND revived < 10 AND kind <> 'send-alert'
	  AND finished_at < now() - least(interval '1 day', interval '10 minutes' * 2 ^ revived)
	ORDER BY kind, CASE WHEN key = '' THEN id::text ELSE key END, id DESC
), chosen AS (
	SELECT j.id
	FROM jobs j
	JOIN due USING (id)
	WHERE NOT EXISTS (
		SELECT FROM jobs o WHERE o.kind = j.kind AND o.key = j.key AND j.key <> '' AND o.id > j.id)
	  AND NOT EXISTS (
		SELECT FROM jobs o WHERE o.kind = j.kind AND o.key = j.key AND j.key <> '' AND o.state IN ('ready', 'running'))
	  AND NOT EXISTS (SELECT FROM guilds g WHERE g.id = j.guild_id AND g.removed_at IS NOT NULL)
	  AND NOT EXISTS (SELECT FROM channels c WHERE c.guild_id = j.guild_id AND c.id::text = j.key AND c.closed_at IS NOT NULL)
	LIMIT $1
)
UPDATE jobs
SET state = 'ready',
    attempt = 0,
    revived = revived + 1,
    run_at = now(),
    turn = now() - priority * interval '5 minutes',
    finished_at = NULL
FROM chosen
WHERE jobs.id = chosen.id AND state = 'dead'`

// ReviveDue lets dead jobs be tried again whose time has come, at most so many, and returns how many.
func (s *Store) ReviveDue(ctx context.Context, limit int) (int, error) {
	res, err := s.db.ExecContext(ctx, reviveDue, limit)
	if err != nil {
		return 0, fmt.Errorf("revive jobs: %w", unavailable(err))
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return 0, err
	}
	_, err = s.db.ExecContext(ctx, notifyJobs)
	return int(n), err
}
