// Package tidings is a self-hosted Discord message aggregation engine: one unread feed over every Discord channel
// that a person may read, live. This package holds the words that all rooms share: plain types and pure rules, no
// input or output. Start here, then read cmd/tidings/run.go, then follow one message.
//
// # The words
//
//   - guild, channel: as Discord has them. Threads and forum posts are channels with a parent.
//   - snowflake: an id. Its time is in it (milliseconds since 2015, shifted left by 22), so ids sort by time.
//   - event: one thing that a source says has happened: a message, an edit, a role that changed.
//   - source: where an event comes from: gateway, webhook, poll, backfill.
//   - delta: what one event changed in one channel once it was stored. No change, no delta.
//   - version: a channel's counter. It grows by one with each delta of that channel.
//   - access version: a guild's counter. It grows with each change of who may read what there.
//   - position: how far one person has read one channel. It exists only where that person acted.
//   - floor: mark-all-read of a guild or of everything; one row, whatever it covers.
//   - baseline: where a person's history in a guild begins: nobody has missed what was there before.
//   - rev: a person's counter. It grows with each mark that the person makes.
//   - gap: a range of ids of a channel that is not known to be complete. Coverage: the ranges that are.
//   - visible set: the channels that a person may read now.
//   - job: work that must happen although nobody waits: fetching a range, refreshing a cache, purging.
//
// # The one way through
//
//	Discord ─▶ bot ─▶ ingest ─▶ store ─▶ (commit) ─▶ hub ─▶ Redis ─▶ every hub ─▶ browsers
//	                   ▲  ▲                                               web ─▶ store, hub
//	         webhook ──┘  └── jobs (poll, backfill, reconcile)
//
// One message, step by step:
//
//  1. bot/conn.go reads a frame from Discord's socket and keeps its bytes; bot/events.go makes an [Event] of it.
//  2. ingest puts it into the lane of its channel. Changes of guilds, channels, roles and members are barriers for
//     their guild: what came before is stored before them, what came after, after them.
//  3. store/messages.go records a batch of a lane in one transaction: it locks the channels, upserts, keeps buckets and
//     mention targets, moves versions, and returns the [Delta] of what really changed. The same event twice makes one.
//  4. After the commit, and only then, ingest hands the deltas to hub, which encodes each once, gives the bytes to the
//     sockets whose person may see the channel, and to the other processes through Redis.
//  5. web/static/live.js applies the delta in the browser. Whether it counts as unread or as a mention is decided there,
//     from the author and the mention targets that the frame names, so that the bytes are the same for all.
//
// Counts are never stored per person. [UnreadChannel] is derived from the messages above the person's effective
// position: the greatest of position, floors and baseline, unless a newer manual mark stands.
package tidings
