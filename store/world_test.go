package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// The people and places that the read side's tests share.
const (
	me      discord.UserID    = 7001
	alice   discord.UserID    = 7002
	bob     discord.UserID    = 7003
	guildA  discord.GuildID   = 100
	guildB  discord.GuildID   = 200
	modsA   discord.RoleID    = 101
	modsB   discord.RoleID    = 201
	general discord.ChannelID = 1001
	random  discord.ChannelID = 1002
	thread  discord.ChannelID = 1003
	news    discord.ChannelID = 2001
)

// noon is the middle of a day long after Discord's epoch.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// at is the nth id made at an hour after noon.
func at(hours float64, n int) discord.MessageID {
	return tidings.FirstID(noon.Add(time.Duration(hours*float64(time.Hour)))) + discord.MessageID(n)
}

// world is a store with two guilds: A with general, random and a thread of general, B with news. It writes messages straight
// into the tables, in the way that recording leaves them.
type world struct {
	*Store
	t testing.TB
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{Store: open(t), t: t}
	w.exec(`INSERT INTO guilds (id, name) VALUES (100, 'A'), (200, 'B')`)
	w.exec(`INSERT INTO channels (id, guild_id, parent_id, type, name) VALUES
		(1001, 100, 1000, 0, 'general'), (1002, 100, 0, 0, 'random'), (1003, 100, 1001, 11, 'thread'), (2001, 200, 0, 5, 'news')`)
	w.user(me)
	return w
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.db.ExecContext(context.Background(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

func (w *world) user(id discord.UserID) {
	w.t.Helper()
	if _, err := w.SaveUser(w.t.Context(), tidings.User{ID: id, Name: fmt.Sprint("user", id)}); err != nil {
		w.t.Fatal(err)
	}
}

// set is what user sees: everything, as a moderator of A.
func set(user discord.UserID) *tidings.VisibleSet {
	return &tidings.VisibleSet{User: user, Guilds: []tidings.VisibleGuild{
		{
			Guild: tidings.Guild{ID: guildA, Name: "A"}, Roles: []discord.RoleID{modsA},
			Channels: []tidings.Channel{
				{ID: general, Guild: guildA, Name: "general", Parent: 1000},
				{ID: thread, Guild: guildA, Name: "thread", Type: tidings.ChannelPublicThread, Parent: general},
				{ID: random, Guild: guildA, Name: "random"},
			},
			Parents: []tidings.Channel{{ID: 1000, Guild: guildA, Type: tidings.ChannelCategory, Name: "talk"}},
		},
		{
			Guild: tidings.Guild{ID: guildB, Name: "B"}, Roles: []discord.RoleID{},
			Channels: []tidings.Channel{{ID: news, Guild: guildB, Name: "news", Type: tidings.ChannelAnnouncement}},
		},
	}}
}

// post stores messages, ids rising or not.
func (w *world) post(channel discord.ChannelID, author discord.UserID, mentions tidings.Mentions, ids ...discord.MessageID) {
	w.t.Helper()
	for _, id := range ids {
		w.exec(`INSERT INTO messages (channel_id, id, author_id, type, content, payload) VALUES ($1, $2, $3, 0, $4, $5)`,
			int64(channel), int64(id), int64(author), fmt.Sprint("message ", id), fmt.Appendf(nil, `{"id":"%d"}`, id))
		w.exec(`INSERT INTO live_buckets (channel_id, day, n) VALUES ($1, $2, 1) ON CONFLICT (channel_id, day) DO UPDATE SET n = live_buckets.n + 1`,
			int64(channel), tidings.Day(id))
		w.exec(`UPDATE live_buckets b SET hours = ARRAY (
			SELECT (SELECT count(*)::int FROM messages WHERE channel_id = $1 AND NOT deleted AND countable AND (id >> 22) / 3600000 = $2::bigint * 24 + h)
			FROM generate_series(0, 23) h ORDER BY h) WHERE channel_id = $1 AND day = $2`, int64(channel), tidings.Day(id))
		mention := func(kind int, target uint64) {
			w.exec(`INSERT INTO mention_targets (kind, target_id, channel_id, message_id, author_id) VALUES ($1, $2, $3, $4, $5)`,
				kind, int64(target), int64(channel), int64(id), int64(author))
		}
		for _, u := range mentions.Users {
			mention(0, uint64(u))
		}
		for _, r := range mentions.Roles {
			mention(1, uint64(r))
		}
		if mentions.Everyone {
			guild := guildA
			if channel == news {
				guild = guildB
			}
			mention(2, uint64(guild))
		}
		w.exec(`UPDATE channels SET version = version + 1, last_live_id = greatest(last_live_id, $2), last_seen_id = greatest(last_seen_id, $2) WHERE id = $1`,
			int64(channel), int64(id))
	}
}

// erase deletes a stored message and returns the channel's version after that.
func (w *world) erase(channel discord.ChannelID, id discord.MessageID) (version int64) {
	w.t.Helper()
	w.exec(`UPDATE messages SET deleted = true, content = '', payload = NULL WHERE channel_id = $1 AND id = $2`, int64(channel), int64(id))
	w.exec(`UPDATE live_buckets SET n = n - 1 WHERE channel_id = $1 AND day = $2`, int64(channel), tidings.Day(id))
	w.exec(`DELETE FROM mention_targets WHERE channel_id = $1 AND message_id = $2`, int64(channel), int64(id))
	w.exec(`UPDATE channels SET version = version + 1, last_live_id = coalesce((
		SELECT max(id) FROM messages WHERE channel_id = $1 AND NOT deleted AND countable), 0) WHERE id = $1`, int64(channel))
	if err := w.db.Get(&version, selectVersion, int64(channel)); err != nil {
		w.t.Fatal(err)
	}
	return version
}

// state is how one channel counts for user.
func (w *world) state(user discord.UserID, channel discord.ChannelID) tidings.ReadChannel {
	w.t.Helper()
	rows, err := w.Counts(w.t.Context(), set(user), []discord.ChannelID{channel})
	if err != nil || len(rows) != 1 {
		w.t.Fatalf("Counts(%d) = %+v, %v", channel, rows, err)
	}
	return rows[0]
}

// sameAsRecount fails when a count is not what the messages say.
func (w *world) sameAsRecount(s *tidings.VisibleSet) {
	w.t.Helper()
	stated, recounted, err := w.Verify(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range stated {
		if stated[i] != recounted[i] {
			w.t.Errorf("user %d: stated %+v, recounted %+v", s.User, stated[i], recounted[i])
		}
	}
}

func users(ids ...discord.UserID) tidings.Mentions { return tidings.Mentions{Users: ids} }
func roles(ids ...discord.RoleID) tidings.Mentions { return tidings.Mentions{Roles: ids} }

var (
	nobody   tidings.Mentions
	everyone = tidings.Mentions{Everyone: true}
)
