package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// The ledger says of which messages a channel is complete, and costs no write of its own:
//
//   - Every message of a channel from its since_id up to its known_id is stored or lies in an open gap.
//   - A gateway session tells everything, in order, from the moment when it shows a guild whole. While that session is the
//     guild's live_session, each message that it tells moves its channel's known_id, in the row that is written anyway.
//   - When the session ends without being resumed, live_session is emptied with it (see SaveSession). What the next session
//     tells moves nothing until it has shown the guild whole: then each channel's newest message is held against the
//     known_id from before, what lies between becomes a gap, and known_id moves over it, all in one transaction.
//   - A sequence that was left out is written down before anything that came after it is handed on (see NoteHole). A
//     session that cannot bring it any more is given up, and everything since then is a gap.
//
// So a channel is complete since the upper end of its highest open gap, or since its since_id without one, as long as
// nothing above known_id is stored, the live session is the shard's own, is connected and has no hole.

// Reconcile is the kind of the job that reads a channel's recent messages again, because edits and deletes may have been
// missed. Its key is the channel's id.
const Reconcile = "reconcile"

// Backfill is the kind of the job that reads the past of a channel that is new here. Its key is the channel's id.
const Backfill = "backfill"

// ListThreads is the kind of the job that looks for archived threads of a channel, which nothing else names. Its key is the
// channel's id, its payload a [ListThreadsPayload].
const ListThreads = "list-threads"

// ListThreadsPayload says how far back to look.
type ListThreadsPayload struct {
	Since time.Time `json:"since"` // threads that were archived before are left alone
}

// Priorities of jobs; higher ones go first.
const (
	priorityReader    = 100 // somebody waits for it
	priorityCatchUp   = 0
	priorityReconcile = -5
	priorityYoung     = -40 // the past of what was made within the reconcileWindow: people are in it now
	priorityBackfill  = -50
)

// reconcileWindow is how far back messages are read again after nobody listened for a while.
const reconcileWindow = 24 * time.Hour

// clockMargin is by how much clocks may differ from Discord's.
const clockMargin = 2 * time.Minute

// ledgerRow is what a channel's row says about its completeness.
type ledgerRow struct {
	ID       discord.ChannelID `db:"id"`
	Since    discord.MessageID `db:"since_id"`
	Known    discord.MessageID `db:"known_id"`
	LastSeen discord.MessageID `db:"last_seen_id"`
	Closed   bool              `db:"closed"` // to the bot: asking for it would be refused
	Purged   discord.MessageID `db:"purged_id"`
}

const loadLedger = `
SELECT id, since_id, known_id, last_seen_id, closed_at IS NOT NULL AS closed, purged_id
FROM channels
WHERE id = ANY($1::bigint[])
ORDER BY id
FOR UPDATE`

const moveLedger = `
UPDATE channels c
SET since_id = v.since_id,
    known_id = v.known_id
FROM (VALUES %s) v(id, since_id, known_id)
WHERE c.id = v.id`

var moveLedgerTypes = []string{"bigint", "bigint", "bigint"}

// compare holds what Discord says is each channel's newest message against what is accounted for, and opens gaps. The
// channels' rows are stored. again asks for their recent messages to be read again too, because nobody listened for a while.
func (b *barrier) compare(ctx context.Context, tx *sqlx.Tx, channels []tidings.Channel, again bool) error {
	newest := map[discord.ChannelID]discord.MessageID{}
	var named []discord.ChannelID
	for _, c := range channels {
		if c.ID != 0 && c.HoldsMessages() {
			if _, twice := newest[c.ID]; !twice {
				named = append(named, c.ID)
			}
			newest[c.ID] = max(newest[c.ID], c.LastMessage)
		}
	}
	var rows []ledgerRow
	if len(named) == 0 {
		return nil
	}
	if err := tx.SelectContext(ctx, &rows, loadLedger, ids(named)); err != nil {
		return err
	}
	var gaps []gap
	var moved [][]any
	var jobs []NewJob
	ask := func(r ledgerRow, kind string, priority int) {
		if !r.Closed {
			jobs = append(jobs, b.job(kind, r.ID, priority))
		}
	}
	recent := tidings.FirstID(b.at.Add(-reconcileWindow))
	margin := tidings.FirstID(b.at.Add(clockMargin))
	for _, r := range rows {
		was := r
		top := max(newest[r.ID], r.LastSeen)
		// A gap may reach beyond now, to be sure; what is accounted for may not, or an outage in the next minutes would be hidden.
		known := top
		if newest[r.ID] == margin {
			known = max(r.LastSeen, tidings.FirstID(b.at))
		}
		switch {
		case r.Since == 0:
			r.Since = max(b.history, discord.MessageID(r.ID), r.Purged+1)
			r.Known = max(known, r.Since-1)
			if top >= r.Since {
				gaps = append(gaps, gap{channel: r.ID, from: r.Since - 1, to: top, reason: "its past", backfill: true})
				priority := priorityBackfill
				if discord.MessageID(r.ID) >= recent {
					priority = priorityYoung
				}
				ask(r, Backfill, priority)
			}
		case b.source == tidings.SourcePoll:
			// Polling asks for its news itself, of the channels that the bot may read; see OpenNews.
		case top > r.Known, b.suspect > 0 && again && top >= b.suspect:
			from := r.Known
			if b.suspect > 0 && again {
				from = max(min(from, b.suspect-1), r.Since-1)
			}
			gaps = append(gaps, gap{channel: r.ID, from: from, to: top, reason: "nobody listened"})
			ask(r, FetchMessages, priorityCatchUp)
			r.Known = max(r.Known, known)
		}
		if again && was.Since > 0 && was.LastSeen >= recent {
			ask(r, Reconcile, priorityReconcile)
		}
		if r != was {
			moved = append(moved, []any{int64(r.ID), int64(r.Since), int64(r.Known)})
		}
	}
	if err := openGaps(ctx, tx, gaps); err != nil {
		return err
	}
	if err := execRows(ctx, tx, moveLedger, moveLedgerTypes, moved); err != nil {
		return err
	}
	_, err := enqueue(ctx, tx, jobs)
	return err
}

func (b *barrier) job(kind string, c discord.ChannelID, priority int) NewJob {
	return NewJob{Kind: kind, Key: c.String(), Guild: b.guild, Priority: priority}
}

// The number of shards may have changed since: then nobody has ended the session, and what it left out is known to its own row only.
const leftHole = `
SELECT coalesce(min(hole_id), 0)
FROM gateway_sessions
WHERE session_id = $1 AND hole > 0`

const goLive = `
UPDATE guilds
SET live_session = $2,
    lived = true,
    suspect_id = 0,
    unheard_at = NULL
WHERE id = $1`

// seenWhole follows what a whole guild says about its messages. closed are threads that are no longer active: what came
// before they were archived was perhaps never told.
func (b *barrier) seenWhole(ctx context.Context, tx *sqlx.Tx, e tidings.GuildSeen, closed []discord.ChannelID) error {
	again := b.mark.Session != "" && b.row.LiveSession != b.mark.Session
	b.suspect = b.row.Suspect
	if again && b.row.LiveSession != "" {
		var left discord.MessageID
		if err := tx.GetContext(ctx, &left, leftHole, b.row.LiveSession); err != nil {
			return err
		}
		if left > 0 && (b.suspect == 0 || left < b.suspect) {
			b.suspect = left
		}
	}
	channels := append(append([]tidings.Channel(nil), e.Channels...), e.Threads...)
	for _, id := range closed {
		channels = append(channels, tidings.Channel{ID: id, Type: tidings.ChannelPublicThread, LastMessage: tidings.FirstID(b.at.Add(clockMargin))})
	}
	if err := b.compare(ctx, tx, channels, again); err != nil {
		return err
	}
	// Without a gateway threads are looked for whenever all of the guild was asked for.
	if again || b.source == tidings.SourcePoll && len(e.Roles) > 0 {
		if err := b.lookForThreads(ctx, tx, e.Channels); err != nil {
			return err
		}
	}
	if !again {
		return nil
	}
	if _, err := tx.ExecContext(ctx, goLive, int64(b.guild), b.mark.Session); err != nil {
		return err
	}
	return b.silence(ctx, tx)
}

const threadParents = `
SELECT id
FROM channels
WHERE id = ANY($1::bigint[])
  AND ($2 OR type IN (15, 16) OR EXISTS (SELECT FROM channels t WHERE t.parent_id = channels.id AND t.parent_id <> 0 AND t.type BETWEEN 10 AND 12))`

// The session that was live may have ended without a word, where the number of shards has changed. Without a gateway the guild was
// looked at then.
const heardLast = `
SELECT CASE
	WHEN $2 THEN (SELECT max(p.polled_at) FROM guild_polls p WHERE p.guild_id = g.id)
	ELSE coalesce(g.unheard_at, (SELECT max(s.heard_until) FROM gateway_sessions s WHERE s.session_id = g.live_session AND g.live_session <> ''))
END AS heard
FROM guilds g
WHERE g.id = $1`

// longSilence is after which silence any channel may have got its first thread, and that be archived: Discord does so after an hour.
const longSilence = time.Hour

// lookForThreads asks for the archived threads of the channels that may have some: a thread that came to life, or was made,
// and was archived while nobody listened is named nowhere else. In a guild that is told about for the first time, or after long,
// all channels may.
func (b *barrier) lookForThreads(ctx context.Context, tx *sqlx.Tx, channels []tidings.Channel) error {
	var parents []discord.ChannelID
	for _, c := range channels {
		switch c.Type {
		case tidings.ChannelText, tidings.ChannelAnnouncement, tidings.ChannelForum, tidings.ChannelMedia:
			parents = append(parents, c.ID)
		}
	}
	since := b.history
	polled := b.source == tidings.SourcePoll
	var heard sql.NullTime
	if err := tx.GetContext(ctx, &heard, heardLast, int64(b.guild), polled); err != nil {
		return err
	}
	first := !b.row.Lived && !(polled && heard.Valid)
	if !first {
		from := b.at.Add(-reconcileWindow)
		if heard.Valid && heard.Time.Add(-clockMargin).Before(from) {
			from = heard.Time.Add(-clockMargin)
		}
		since = max(since, tidings.FirstID(from))
	}
	long := heard.Valid && b.at.Sub(heard.Time) >= longSilence
	var list []discord.ChannelID
	if err := tx.SelectContext(ctx, &list, threadParents, ids(parents), first || long); err != nil {
		return err
	}
	jobs := make([]NewJob, len(list))
	for i, id := range list {
		jobs[i] = b.job(ListThreads, id, priorityBackfill)
		if !first {
			jobs[i].Priority = priorityReconcile
		}
		jobs[i].Payload = ListThreadsPayload{Since: since.Time()}
	}
	_, err := enqueue(ctx, tx, jobs)
	return err
}

// hear moves a channel's known_id over a message that its guild's live session has told.
func (c *channelRow) hear(ev tidings.Event, id discord.MessageID) {
	if ev.Source == tidings.SourceGateway && ev.Mark.Session != "" && ev.Mark.Session == c.live && c.since > 0 && id > c.heard {
		c.heard, c.changed = id, true
	}
}
