package store

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"tidings"
)

// The row locks come first, in the order of ids: whoever else writes these channels waits here, and what is read below is
// what stands. A single statement that upserts and counts would use a snapshot from before its wait. So does a join: what is of
// the guilds is a statement of its own.
const lockChannels = `
SELECT c.id, c.guild_id, c.version, c.last_live_id, c.last_seen_id, c.since_id, c.known_id, c.purged_id, c.kept,
       ARRAY(SELECT o.author_id FROM author_optouts o WHERE o.author_id = ANY($2::bigint[])) AS opted_out,
       ARRAY(SELECT u.id FROM users u WHERE u.id = ANY($2::bigint[])) AS signed_in
FROM channels c
WHERE c.id = ANY($1::bigint[])
ORDER BY c.id
FOR UPDATE`

const guildsOfChannels = `
SELECT id, kept, retention_days, access_version, live_session, purged_id
FROM guilds
WHERE id = ANY(ARRAY(SELECT guild_id FROM channels WHERE id = ANY($1::bigint[])) || $2::bigint[])`

// What came through a webhook (source 1) is read whole, because the gateway's word replaces it.
const loadMessages = `
SELECT m.channel_id, m.id, m.author_id, m.type, m.flags, m.edited_ms, m.source, m.deleted, m.countable,
       v.whole OR m.source = 1 AS whole, m.reacted_at, greatest(m.recorded_at, m.told_at) AS told_at, m.told_by, m.told_seq,
       CASE WHEN v.whole OR m.source = 1 THEN m.content ELSE '' END AS content,
       CASE WHEN v.whole OR m.source = 1 THEN m.payload END AS payload
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) v(channel_id, id, whole)
JOIN messages m ON m.channel_id = v.channel_id AND m.id = v.id`

const loadMentions = `
SELECT t.kind, t.target_id, t.channel_id, t.message_id
FROM unnest($1::bigint[], $2::bigint[]) v(channel_id, message_id)
JOIN mention_targets t USING (channel_id, message_id)
ORDER BY t.kind, t.target_id`

// load locks the batch's channels and reads the rows that its events concern.
func (b *batch) load(ctx context.Context, tx *sqlx.Tx) error {
	if err := b.lock(ctx, tx); err != nil {
		return err
	}
	if err := b.loadPurges(ctx, tx); err != nil {
		return err
	}
	var keys []messageKey
	whole := bools(0)
	for _, k := range b.keys {
		// Nothing is stored above the newest that was ever recorded.
		if c := b.channels[k.channel]; k.id <= c.lastSeen || c.lastSeen == 0 || b.everywhere {
			keys = append(keys, k)
			whole.bool(b.messages[k].whole)
		}
	}
	if len(keys) > 0 {
		if err := b.loadMessages(ctx, tx, keys, whole); err != nil {
			return err
		}
	}
	if err := b.unquote(ctx, tx); err != nil {
		return err
	}
	return b.loadTallies(ctx, tx)
}

func (b *batch) loadMessages(ctx context.Context, tx *sqlx.Tx, keys []messageKey, whole *column) error {
	channels, messages := keyArrays(keys)
	var stored []struct {
		Channel   discord.ChannelID `db:"channel_id"`
		ID        discord.MessageID `db:"id"`
		Author    discord.UserID    `db:"author_id"`
		Type      int               `db:"type"`
		Flags     int64             `db:"flags"`
		EditedMS  int64             `db:"edited_ms"`
		Source    tidings.Source    `db:"source"`
		Deleted   bool              `db:"deleted"`
		Countable bool              `db:"countable"`
		Whole     bool              `db:"whole"`
		Reacted   sql.NullTime      `db:"reacted_at"`
		Told      time.Time         `db:"told_at"`
		ToldBy    int64             `db:"told_by"`
		ToldSeq   int64             `db:"told_seq"`
		Content   string            `db:"content"`
		Payload   []byte            `db:"payload"`
	}
	if err := tx.SelectContext(often(ctx, len(keys)), &stored, loadMessages, channels, messages, whole); err != nil {
		return err
	}
	var live []messageKey
	for _, r := range stored {
		k := messageKey{r.Channel, r.ID}
		m := b.messages[k]
		m.stored, m.known, m.deleted, m.source, m.whole = true, true, r.Deleted, r.Source, r.Whole
		m.Author, m.Type, m.Flags, m.EditedMS = r.Author, r.Type, uint64(r.Flags), r.EditedMS
		m.Countable, m.Content, m.Payload, m.reacted = r.Countable, r.Content, r.Payload, r.Reacted.Time
		m.teller = teller{session: r.ToldBy, seq: r.ToldSeq, told: r.Told}
		if r.Whole && !r.Deleted {
			live = append(live, k)
		}
	}
	return b.loadMentions(ctx, tx, live)
}

func (b *batch) lock(ctx context.Context, tx *sqlx.Tx) error {
	var channels []struct {
		ID       discord.ChannelID `db:"id"`
		Guild    discord.GuildID   `db:"guild_id"`
		Version  int64             `db:"version"`
		LastLive discord.MessageID `db:"last_live_id"`
		LastSeen discord.MessageID `db:"last_seen_id"`
		Since    discord.MessageID `db:"since_id"`
		Known    discord.MessageID `db:"known_id"`
		Purged   discord.MessageID `db:"purged_id"`
		Kept     bool              `db:"kept"`
		OptedOut pq.Int64Array     `db:"opted_out"`
		SignedIn pq.Int64Array     `db:"signed_in"`
	}
	var rows []struct {
		ID discord.GuildID `db:"id"`
		batchGuild
	}
	said := map[discord.GuildID]bool{}
	for _, c := range b.channels {
		said[c.said] = true
	}
	in := ids(slices.Collect(maps.Keys(b.channels)))
	if err := tx.SelectContext(often(ctx, len(b.channels)+len(b.authors)), &channels, lockChannels, in, ids(slices.Collect(maps.Keys(b.authors)))); err != nil {
		return err
	}
	if err := tx.SelectContext(often(ctx, len(b.channels)), &rows, guildsOfChannels, in, ids(slices.Collect(maps.Keys(said)))); err != nil {
		return err
	}
	guilds := map[discord.GuildID]batchGuild{}
	for _, r := range rows {
		guilds[r.ID] = r.batchGuild
	}
	for _, r := range channels {
		c := b.channels[r.ID]
		g, known := guilds[cmp.Or(r.Guild, c.said)]
		c.known = true
		c.guild, c.version, c.lastLive, c.lastSeen, c.access = r.Guild, r.Version, r.LastLive, r.LastSeen, g.AccessVersion
		c.live, c.since, c.heard, c.purged = g.LiveSession, r.Since, r.Known, max(r.Purged, g.Purged, below(g.Retention, b.now))
		if !r.Kept || known && !g.Kept {
			c.purged = math.MaxInt64 // nothing is taken in
		}
		for _, id := range r.OptedOut {
			b.optedOut[discord.UserID(id)] = true
		}
		for _, id := range r.SignedIn {
			b.signedIn[discord.UserID(id)] = true
		}
	}
	absent := absentError{channels: map[discord.ChannelID]discord.GuildID{}}
	for id, c := range b.channels {
		if !c.known {
			absent.channels[id] = c.said
		}
	}
	if len(absent.channels) > 0 {
		return &absent
	}
	return nil
}

func (b *batch) loadMentions(ctx context.Context, tx *sqlx.Tx, live []messageKey) error {
	if len(live) == 0 {
		return nil
	}
	channels, messages := keyArrays(live)
	var rows []struct {
		Kind    int               `db:"kind"`
		Target  discord.Snowflake `db:"target_id"`
		Channel discord.ChannelID `db:"channel_id"`
		Message discord.MessageID `db:"message_id"`
	}
	if err := tx.SelectContext(ctx, &rows, loadMentions, channels, messages); err != nil {
		return err
	}
	for _, r := range rows {
		m := b.messages[messageKey{r.Channel, r.Message}]
		switch r.Kind {
		case mentionUser:
			m.targets.Users = append(m.targets.Users, discord.UserID(r.Target))
		case mentionRole:
			m.targets.Roles = append(m.targets.Roles, discord.RoleID(r.Target))
		case mentionEveryone:
			m.targets.Everyone = true
		}
	}
	for _, k := range live {
		m := b.messages[k]
		m.Mentions, m.mentioned, m.mentionedBy = m.targets, m.targets, m.Author
	}
	return nil
}

// What has no row is inserted without looking for one: that is known, by a look under the locks of the channels. It takes 3 µs off the 40 that a
// message of a large batch costs.
const insertMessages = `
INSERT INTO messages (channel_id, id, author_id, type, flags, content, payload, edited_ms, source, deleted, countable, has, reacted_at, quoted_id, told_at, told_by, told_seq)
SELECT v.channel_id, v.id, v.author_id, v.type, v.flags, v.content, v.payload, v.edited_ms, v.source, v.deleted, v.countable, v.has,
       CASE WHEN v.reacting THEN now() END, v.quoted_id, CASE WHEN v.telling THEN now() END, v.told_by, v.told_seq
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::bytea[], $8::bigint[], $9::int[], $10::boolean[],
            $11::boolean[], $12::int[], $13::boolean[], $14::bigint[], $15::boolean[], $16::bigint[], $17::bigint[])
     v(channel_id, id, author_id, type, flags, content, payload, edited_ms, source, deleted, countable, has, reacting, quoted_id, telling, told_by, told_seq)`

const upsertMessages = insertMessages + `
ON CONFLICT (channel_id, id) DO UPDATE
SET author_id = excluded.author_id,
    type = excluded.type,
    flags = excluded.flags,
    content = excluded.content,
    payload = excluded.payload,
    edited_ms = excluded.edited_ms,
    source = excluded.source,
    deleted = excluded.deleted,
    countable = excluded.countable,
    has = excluded.has,
    reacted_at = COALESCE(excluded.reacted_at, messages.reacted_at),
    quoted_id = excluded.quoted_id,
    told_at = COALESCE(excluded.told_at, messages.told_at),
    told_by = excluded.told_by,
    told_seq = excluded.told_seq`

const addToBuckets = `
INSERT INTO live_buckets (channel_id, day, n, hours)
SELECT v.channel_id, v.day, v.n, v.hours::int[]
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[]) v(channel_id, day, n, hours)
ON CONFLICT (channel_id, day) DO UPDATE
SET n = live_buckets.n + excluded.n,
    hours = CASE
		WHEN live_buckets.hours IS NOT NULL THEN ARRAY (
			SELECT h.had + h.more
			FROM unnest(live_buckets.hours, excluded.hours) WITH ORDINALITY AS h (had, more, hour)
			ORDER BY h.hour
		)
	END`

const deleteMentions = `
DELETE FROM mention_targets t
USING unnest($1::bigint[], $2::bigint[]) v(channel_id, message_id)
WHERE t.channel_id = v.channel_id AND t.message_id = v.message_id`

const addMentions = `
INSERT INTO mention_targets (kind, target_id, channel_id, message_id, author_id)
SELECT v.kind, v.target_id, v.channel_id, v.message_id, v.author_id
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) v(kind, target_id, channel_id, message_id, author_id)
ON CONFLICT DO NOTHING`

// The kinds of mention_targets.
const (
	mentionUser     = 0
	mentionRole     = 1
	mentionEveryone = 2
)

// write stores what apply has found, except the channels' own rows. What need not be ordered waits in b.out.
func (b *batch) write(ctx context.Context, tx *sqlx.Tx) error {
	var unmentioned []messageKey
	var deleted []discord.MessageID
	var changed []*heldMessage
	mentioned := 0
	for _, k := range b.keys {
		m := b.messages[k]
		if !m.changed {
			continue
		}
		changed = append(changed, m)
		if m.deleted {
			deleted = append(deleted, k.id)
		}
		if m.remention = !sameMentions(m.mentioned, m.targets) || !m.targets.None() && m.mentionedBy != m.Author; m.remention {
			mentioned += len(m.targets.Users) + len(m.targets.Roles) + 1
			if !m.mentioned.None() {
				unmentioned = append(unmentioned, k)
			}
		}
	}
	b.writeMessages(changed)
	if len(deleted) > 0 {
		if err := b.out.exec(ctx, tx); err != nil {
			return err
		}
		if err := b.forgetCopies(ctx, tx, deleted); err != nil {
			return err
		}
	}
	if len(unmentioned) > 0 {
		channels, messages := keyArrays(unmentioned)
		if _, err := tx.ExecContext(ctx, deleteMentions, channels, messages); err != nil {
			return err
		}
	}
	b.writeMentions(changed, mentioned)
	b.writeBuckets()
	if err := b.writeTallies(ctx, tx); err != nil {
		return err
	}
	if err := b.mend(ctx, tx); err != nil {
		return err
	}
	return openGaps(ctx, tx, b.gaps)
}

func (b *batch) writeMessages(changed []*heldMessage) {
	var fresh, stored []*heldMessage
	for _, m := range changed {
		if m.stored {
			stored = append(stored, m)
		} else {
			fresh = append(fresh, m)
		}
	}
	b.writeRows(insertMessages, fresh)
	b.writeRows(upsertMessages, stored)
}

func (b *batch) writeRows(query string, rows []*heldMessage) {
	n, payloads := len(rows), 0
	if n == 0 {
		return
	}
	for _, m := range rows {
		payloads += len(m.Payload)
	}
	channels, messages, authors, types, flags := int8s(n), int8s(n), int8s(n), int4s(n), int8s(n)
	contents, bodies, edited, sources := texts(n, 64), blobs(n, payloads/n+1), int8s(n), int4s(n)
	deleted, countable, has, reacting, quoted := bools(n), bools(n), int4s(n), bools(n), int8s(n)
	telling, by, seqs := bools(n), int8s(n), int8s(n)
	for _, m := range rows {
		channels.int8(int64(m.Channel))
		messages.int8(int64(m.ID))
		authors.int8(int64(m.Author))
		types.int4(m.Type)
		flags.int8(int64(m.Flags))
		contents.text(m.Content)
		bodies.blob(m.Payload)
		edited.int8(m.EditedMS)
		sources.int4(int(m.source))
		deleted.bool(m.deleted)
		countable.bool(m.Countable)
		has.int4(int(m.Has))
		reacting.bool(m.reacting)
		quoted.int8(int64(quotedID(m.Message)))
		telling.bool(m.telling)
		by.int8(m.session)
		seqs.int8(m.seq)
	}
	b.out.add(query, channels, messages, authors, types, flags, contents, bodies, edited, sources, deleted, countable, has, reacting, quoted, telling, by, seqs)
}

func (b *batch) writeMentions(changed []*heldMessage, n int) {
	kinds, targets, channels, messages, authors := int4s(n), int8s(n), int8s(n), int8s(n), int8s(n)
	for _, m := range changed {
		if !m.remention {
			continue
		}
		add := func(kind int, target int64) {
			kinds.int4(kind)
			targets.int8(target)
			channels.int8(int64(m.Channel))
			messages.int8(int64(m.ID))
			authors.int8(int64(m.Author))
		}
		for _, u := range m.targets.Users {
			add(mentionUser, int64(u))
		}
		for _, r := range m.targets.Roles {
			add(mentionRole, int64(r))
		}
		if m.targets.Everyone {
			add(mentionEveryone, int64(b.channels[m.Channel].guild))
		}
	}
	if kinds.n > 0 {
		b.out.add(addMentions, kinds, targets, channels, messages, authors)
	}
}

// The hours of a day are an array themselves, which a list cannot hold: they go as text.
func (b *batch) writeBuckets() {
	n := len(b.buckets)
	channels, days, counts, hours := int8s(n), int4s(n), int4s(n), texts(n, 64)
	for k, d := range b.buckets {
		if *d != (dayCount{}) {
			channels.int8(int64(k.channel))
			days.int4(int(k.day))
			counts.int4(d.n)
			hours.text(d.array())
		}
	}
	if channels.n > 0 {
		b.out.add(addToBuckets, channels, days, counts, hours)
	}
}

// array writes the hours as Postgres reads an array.
func (d *dayCount) array() string {
	b := []byte{'{'}
	for i, n := range d.hours {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, '}'))
}

// forgetCopies deletes what other rows hold of deleted messages, and notes where something was quoted.
func (b *batch) forgetCopies(ctx context.Context, tx *sqlx.Tx, deleted []discord.MessageID) error {
	quoting, err := forgetCopies(ctx, tx, deleted)
	if err != nil {
		return err
	}
	for id := range quoting {
		if c := b.channels[id]; c != nil {
			delete(quoting, id)
			if slices.ContainsFunc(b.deltas, func(d tidings.Delta) bool {
				return d.Channel == id && (d.Kind == tidings.DeltaDelete || d.Kind == tidings.DeltaReset)
			}) {
				continue
			}
			b.deltas = append(b.deltas, tidings.Delta{Guild: c.guild, Channel: id, AccessVersion: c.access, Kind: tidings.DeltaReset, At: time.Now()})
		}
	}
	b.elsewhere = slices.Collect(maps.Keys(quoting))
	return nil
}

const findHeads = `
SELECT v.id, COALESCE((
	SELECT m.id
	FROM messages m
	WHERE m.channel_id = v.id AND NOT m.deleted AND m.countable
	ORDER BY m.id DESC
	LIMIT 1), 0) AS last_live_id
FROM unnest($1::bigint[]) v(id)`

const moveHeads = `
UPDATE channels c
SET guild_id = v.guild_id,
    version = v.version,
    last_live_id = v.last_live_id,
    last_seen_id = v.last_seen_id,
    known_id = v.known_id
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
     v(id, guild_id, version, last_live_id, last_seen_id, known_id)
WHERE c.id = v.id`

// writeHeads stores the channels' versions and newest messages, and with them what else waits in b.out. Where the newest live
// message went, the one before it is looked up among what write has stored.
func (b *batch) writeHeads(ctx context.Context, tx *sqlx.Tx) error {
	var headless []discord.ChannelID
	for id, c := range b.channels {
		if c.headless {
			headless = append(headless, id)
		}
	}
	if len(headless) > 0 {
		if err := b.out.exec(ctx, tx); err != nil {
			return err
		}
		var heads []struct {
			ID       discord.ChannelID `db:"id"`
			LastLive discord.MessageID `db:"last_live_id"`
		}
		if err := tx.SelectContext(ctx, &heads, findHeads, idList(headless)); err != nil {
			return err
		}
		for _, h := range heads {
			b.channels[h.ID].lastLive = h.LastLive
		}
	}
	n := len(b.channels)
	channels, guilds, versions, live, seen, heard := int8s(n), int8s(n), int8s(n), int8s(n), int8s(n), int8s(n)
	for id, c := range b.channels {
		if c.changed {
			channels.int8(int64(id))
			guilds.int8(int64(c.guild))
			versions.int8(c.version)
			live.int8(int64(c.lastLive))
			seen.int8(int64(c.lastSeen))
			heard.int8(int64(c.heard))
		}
	}
	if channels.n > 0 {
		b.out.add(moveHeads, channels, guilds, versions, live, seen, heard)
	}
	return b.out.exec(ctx, tx)
}

func keyArrays(keys []messageKey) (channels, messages *column) {
	channels, messages = int8s(len(keys)), int8s(len(keys))
	for _, k := range keys {
		channels.int8(int64(k.channel))
		messages.int8(int64(k.id))
	}
	return channels, messages
}
