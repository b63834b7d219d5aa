package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// Discord tells the bot nothing of a channel that it may not read, and says so with no word. So what the bot itself may read is
// worked out with each change that may move it: a channel that closes is not complete from then on, and what was said in one
// while it was closed is a gap from the moment when it opens, before any later message can hide it.

// Forgive is the kind of the job that lets Discord be asked again for what it refused before channels opened to the bot. Its payload
// is a [ForgivePayload].
const Forgive = "forgive"

// ForgivePayload names the channels that opened.
type ForgivePayload struct {
	Channels []discord.ChannelID `json:"channels"`
}

const sightRead = tidings.PermissionViewChannel | tidings.PermissionReadMessageHistory

const someSelf = `
SELECT coalesce((
	SELECT self_id
	FROM guilds
	WHERE self_id <> 0
	LIMIT 1), 0)`

// selfAmong takes in the bot's own membership from a whole guild. A session that another process began does not say who the bot
// is, but some guild of it did.
func (b *barrier) selfAmong(ctx context.Context, tx *sqlx.Tx, e tidings.GuildSeen) error {
	self := e.Self
	if self == 0 {
		self = b.row.Self
	}
	if self == 0 {
		if err := tx.GetContext(ctx, &self, someSelf); err != nil {
			return err
		}
	}
	for _, m := range e.Members {
		if m.User == self && self != 0 {
			return b.saveSelf(ctx, tx, m)
		}
	}
	return nil
}

const saveSelf = `
UPDATE guilds
SET self_id = $2,
    self_roles = $3
WHERE id = $1`

func (b *barrier) saveSelf(ctx context.Context, tx *sqlx.Tx, m tidings.Member) error {
	roles := ids(compact(m.Roles))
	if b.row.Self == m.User && slices.Equal(b.row.SelfRoles, roles) {
		return nil
	}
	b.row.Self, b.row.SelfRoles, b.look = m.User, roles, true
	_, err := tx.ExecContext(ctx, saveSelf, int64(b.guild), int64(m.User), roles)
	return err
}

const sightChannels = `
SELECT id, guild_id, parent_id, type, name, topic, position, nsfw, archived, overwrites, last_message_id, closed_at IS NOT NULL AS closed, bot_manages
FROM channels
WHERE guild_id = $1 AND NOT deleted AND type >= 0 AND type NOT BETWEEN 10 AND 12`

const sightOwner = `
SELECT owner_id
FROM guilds
WHERE id = $1`

const withThreads = `
SELECT id
FROM channels
WHERE id = ANY($1::bigint[]) OR (parent_id = ANY($1::bigint[]) AND type BETWEEN 10 AND 12 AND NOT deleted)
ORDER BY id
FOR UPDATE`

const closeChannels = `
UPDATE channels
SET closed_at = now()
WHERE id = ANY($1::bigint[]) AND closed_at IS NULL`

// ownSight works out which channels the bot may read now, and opens gaps in those that it may read again. whole says that a
// whole guild is being shown, which compares every channel's newest message by itself.
func (b *barrier) ownSight(ctx context.Context, tx *sqlx.Tx, whole bool) error {
	if !b.look || b.row.Self == 0 {
		return nil
	}
	state := &tidings.GuildState{Guild: b.row.Guild}
	if err := tx.GetContext(ctx, &state.Guild.Owner, sightOwner, int64(b.guild)); err != nil {
		return err
	}
	if err := tx.SelectContext(ctx, &state.Roles, guildRoles, int64(b.guild)); err != nil {
		return err
	}
	var channels []struct {
		storedChannel
		Closed  bool `db:"closed"`
		Manages bool `db:"bot_manages"`
	}
	if err := tx.SelectContext(ctx, &channels, sightChannels, int64(b.guild)); err != nil {
		return err
	}
	plain := make([]storedChannel, len(channels))
	for i, c := range channels {
		plain[i] = c.storedChannel
	}
	if err := unpack(plain); err != nil {
		return err
	}
	for _, c := range plain {
		state.Channels = append(state.Channels, c.Channel)
	}
	self := &tidings.Member{Guild: b.guild, User: b.row.Self}
	for _, r := range b.row.SelfRoles {
		self.Roles = append(self.Roles, discord.RoleID(r))
	}
	rules := tidings.NewRules(state)
	var opened, closed, manages, manageless []discord.ChannelID
	for _, c := range channels {
		all := rules.Permissions(self, c.ID, b.at)
		may := all.Has(sightRead)
		// Only a text channel has private threads.
		switch manage := may && c.Type == tidings.ChannelText && all.Has(tidings.PermissionManageThreads); {
		case manage && !c.Manages:
			manages = append(manages, c.ID)
		case !manage && c.Manages:
			manageless = append(manageless, c.ID)
		}
		switch {
		case may && c.Closed:
			opened = append(opened, c.ID)
		case !may && !c.Closed:
			closed = append(closed, c.ID)
		}
	}
	if err := b.manage(ctx, tx, manages, manageless); err != nil {
		return err
	}
	if len(closed) > 0 {
		b.move()
		var all []discord.ChannelID
		if err := tx.SelectContext(ctx, &all, withThreads, ids(closed)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, closeChannels, ids(all)); err != nil {
			return err
		}
	}
	if len(opened) > 0 {
		b.move()
		return b.open(ctx, tx, opened, whole)
	}
	return nil
}

const saveManages = `
UPDATE channels
SET bot_manages = $2
WHERE id = ANY($1::bigint[])`

// manage keeps where the bot may manage threads, and has the private ones looked for that it sees by that alone: nobody tells of
// them.
func (b *barrier) manage(ctx context.Context, tx *sqlx.Tx, gained, lost []discord.ChannelID) error {
	for may, list := range map[bool][]discord.ChannelID{true: gained, false: lost} {
		if len(list) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, saveManages, ids(list), may); err != nil {
			return err
		}
	}
	jobs := make([]NewJob, len(gained))
	for i, id := range gained {
		jobs[i] = b.job(ListThreads, id, priorityReconcile)
		jobs[i].Payload = ListThreadsPayload{Since: b.history.Time()}
	}
	_, err := enqueue(ctx, tx, jobs)
	return err
}

const selectManages = `
SELECT coalesce((
	SELECT bot_manages
	FROM channels
	WHERE id = $1), false)`

// ManagesThreads reports whether the bot may manage a channel's threads, and so sees the private ones that it is not in.
func (s *Store) ManagesThreads(ctx context.Context, channel discord.ChannelID) (bool, error) {
	var may bool
	if err := s.db.GetContext(ctx, &may, selectManages, int64(channel)); err != nil {
		return false, fmt.Errorf("read whether the bot manages threads of channel %d: %w", channel, unavailable(err))
	}
	return may, nil
}

// loadOpened lists what opens with channels. Archived threads are looked for by a job, and Discord shows a private thread to
// the bot when it may read that one.
const loadOpened = `
SELECT id, type, parent_id, archived, last_message_id, closed_at
FROM channels
WHERE NOT deleted AND (id = ANY($1::bigint[]) OR (parent_id = ANY($1::bigint[]) AND type BETWEEN 10 AND 12))
ORDER BY id
FOR UPDATE`

type openedRow struct {
	tidings.Channel
	Closed sql.NullTime `db:"closed_at"`
}

const openChannels = `
UPDATE channels
SET closed_at = NULL
WHERE id = ANY($1::bigint[])`

const openPasts = `
SELECT DISTINCT channel_id
FROM gaps
WHERE healed_at IS NULL AND backfill AND channel_id = ANY($1::bigint[])`

// open lets channels be asked for again: whatever was said in them while they were closed may be missing, up to now.
func (b *barrier) open(ctx context.Context, tx *sqlx.Tx, opened []discord.ChannelID, whole bool) error {
	var rows []openedRow
	if err := tx.SelectContext(ctx, &rows, loadOpened, ids(opened)); err != nil {
		return err
	}
	var all []discord.ChannelID
	var channels []tidings.Channel
	var jobs []NewJob
	for _, r := range rows {
		all = append(all, r.ID)
		switch r.Type {
		case tidings.ChannelText, tidings.ChannelAnnouncement, tidings.ChannelForum, tidings.ChannelMedia:
			since := b.history.Time()
			if r.Closed.Valid && r.Closed.Time.After(since) {
				since = r.Closed.Time
			}
			list := b.job(ListThreads, r.ID, priorityReconcile)
			list.Payload = ListThreadsPayload{Since: since.Add(-clockMargin)}
			jobs = append(jobs, list)
		}
		if r.Archived || r.Type == tidings.ChannelPrivateThread {
			continue
		}
		c := r.Channel
		if !whole {
			c.LastMessage = max(c.LastMessage, tidings.FirstID(b.at.Add(clockMargin)))
		}
		channels = append(channels, c)
	}
	if _, err := tx.ExecContext(ctx, openChannels, ids(all)); err != nil {
		return err
	}
	if err := b.compare(ctx, tx, channels, true); err != nil {
		return err
	}
	var pasts []discord.ChannelID
	if err := tx.SelectContext(ctx, &pasts, openPasts, ids(all)); err != nil {
		return err
	}
	for _, id := range pasts {
		jobs = append(jobs, b.job(Backfill, id, priorityBackfill))
	}
	b.opened = all
	if slices.ContainsFunc(rows, func(r openedRow) bool { return r.Type == tidings.ChannelPrivateThread }) {
		if err := b.readThreads(ctx, tx); err != nil {
			return err
		}
	}
	// Whoever commits this tells the limiter; should it end before that, the job does.
	jobs = append(jobs, NewJob{Kind: Forgive, Guild: b.guild, Priority: priorityReader, Payload: ForgivePayload{all}})
	_, err := enqueue(ctx, tx, jobs)
	return err
}

const refusedJobs = `
SELECT DISTINCT ON (kind, key) kind, key, guild_id, priority, payload, attempt, max_attempts
FROM jobs
WHERE guild_id = $1 AND key = ANY($2::text[]) AND kind IN ('fetch-messages', 'backfill', 'reconcile', 'list-threads')
  AND (state = 'running' OR state = 'dead' AND finished_at > now() - interval '1 minute')
ORDER BY kind, key, id DESC`

// Reopened asks once more for what was asked for when channels opened to the bot, where it was refused meanwhile: whoever
// keeps requests back that Discord refused before learns of the opening after the jobs.
func (s *Store) Reopened(ctx context.Context, guild discord.GuildID, channels []discord.ChannelID) error {
	keys := make(pq.StringArray, len(channels))
	for i, c := range channels {
		keys[i] = c.String()
	}
	var refused []Job
	if err := s.db.SelectContext(ctx, &refused, refusedJobs, int64(guild), keys); err != nil {
		return fmt.Errorf("look for what was refused in guild %d: %w", guild, unavailable(err))
	}
	if len(refused) == 0 {
		return nil
	}
	again := make([]NewJob, len(refused))
	for i, j := range refused {
		again[i] = NewJob{Kind: j.Kind, Key: j.Key, Guild: guild, Priority: j.Priority, Payload: j.Payload}
	}
	_, err := s.Enqueue(ctx, again...)
	return err
}
