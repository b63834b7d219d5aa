package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Audit is the kind of the job that reads again what came into a channel since the last time. Its key is the channel's id.
const Audit = "audit"

const priorityAudit = -20

// auditQuiet is how long nothing came before a channel counts as quiet.
const auditQuiet = 30 * time.Second

// auditAge is how young a channel's newest message is for the channel to be read again although nothing has moved.
const auditAge = 24 * time.Hour

// Only what the gateway tells can have been told wrongly. A channel is read again once it has been quiet for half a minute, or five
// minutes after the last time when it never is. An edit, a delete or a reaction that was swallowed moves nothing: so what was
// spoken in lately is read again each hour.
//
// A channel that is asked for already, or whose reading has died within the hour, is passed over: the others have their turn.
const unauditedChannels = `
SELECT c.id, c.guild_id
FROM channels c
JOIN guilds g ON g.id = c.guild_id AND g.live_session <> ''
WHERE c.since_id > 0 AND NOT c.deleted AND c.closed_at IS NULL AND (
	c.version > c.audited_version AND (c.last_seen_id < $1 OR coalesce(c.audited_at, '-infinity') < now() - interval '5 minutes')
	OR c.last_seen_id >= $2 AND c.audited_at < now() - interval '1 hour')
  AND NOT EXISTS (
	SELECT
	FROM jobs j
	WHERE j.kind = '` + Audit + `' AND j.key = c.id::text
	  AND (j.state IN ('ready', 'running') OR j.state = 'dead' AND j.finished_at > now() - interval '1 hour'))
ORDER BY c.version > c.audited_version DESC, c.audited_at NULLS FIRST
LIMIT $3`

// EnqueueAudits asks for the channels that are to be read again, at most so many, those first that have moved and wait longest, and
// returns how many.
func (s *Store) EnqueueAudits(ctx context.Context, limit int) (int, error) {
	now, err := s.Clock(ctx)
	if err != nil {
		return 0, err
	}
	var moved []struct {
		Channel discord.ChannelID `db:"id"`
		Guild   discord.GuildID   `db:"guild_id"`
	}
	if err := s.db.SelectContext(ctx, &moved, unauditedChannels, int64(tidings.FirstID(now.Add(-auditQuiet))), int64(tidings.FirstID(now.Add(-auditAge))), limit); err != nil {
		return 0, fmt.Errorf("look for channels to read again: %w", unavailable(err))
	}
	jobs := make([]NewJob, len(moved))
	for i, m := range moved {
		jobs[i] = NewJob{Kind: Audit, Key: m.Channel.String(), Guild: m.Guild, Priority: priorityAudit}
	}
	if len(jobs) == 0 {
		return 0, nil
	}
	return s.Enqueue(ctx, jobs...)
}

const selectAudit = `
SELECT greatest(least(audited_id, known_id), since_id - 1) AS from_id, version
FROM channels
WHERE id = $1`

// Audit returns the id from which on a channel is to be read again, exclusive, and its version now; [tidings.ErrNotFound] for an
// unknown channel.
func (s *Store) Audit(ctx context.Context, channel discord.ChannelID) (from discord.MessageID, version int64, err error) {
	var row struct {
		From    discord.MessageID `db:"from_id"`
		Version int64             `db:"version"`
	}
	err = s.db.GetContext(ctx, &row, selectAudit, int64(channel))
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read from where channel %d is to be read again: %w", channel, unavailable(err))
	}
	return row.From, row.Version, nil
}

// What was read again is accounted for, also where the gateway has told nothing of it: else a channel whose last message was
// swallowed would not be stated to be complete before its next one. Where the gateway has spoken of a message so shortly before that
// it stood against what was read, the channel is to be read once more.
const noteAudit = `
UPDATE channels
SET audited_version = CASE WHEN EXISTS (
		SELECT
		FROM messages m
		WHERE m.channel_id = $1 AND m.id > $4 AND greatest(m.recorded_at, m.told_at, m.reacted_at) > $5
	) THEN audited_version ELSE greatest(audited_version, $2) END,
    audited_id = greatest(audited_id, $3),
    audited_at = now(),
    known_id = CASE WHEN since_id > 0 AND $4 <= known_id THEN greatest(known_id, least($3, last_seen_id)) ELSE known_id END
WHERE id = $1`

// Audited notes that a channel was read again from an id, exclusive, up to another, as of a version, beginning at a time of
// [Store.Clock].
func (s *Store) Audited(ctx context.Context, channel discord.ChannelID, version int64, began time.Time, above, to discord.MessageID) error {
	if _, err := s.db.ExecContext(ctx, noteAudit, int64(channel), version, int64(to), int64(above), began.Add(-reactionMargin)); err != nil {
		return fmt.Errorf("note that channel %d was read again: %w", channel, unavailable(err))
	}
	return nil
}
