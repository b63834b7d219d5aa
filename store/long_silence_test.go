package store

import (
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// looked is since when a channel's archived threads are looked for, in whole hours ago; -1 for not at all.
func (l *listener) looked(c discord.ChannelID) int {
	l.t.Helper()
	return one[int](l.t, l.Store, `SELECT coalesce((
		SELECT round(extract(epoch FROM now() - (payload ->> 'since')::timestamptz) / 3600)
		FROM jobs
		WHERE kind = $1 AND key = $2 AND state = 'ready'), -1)`, ListThreads, c.String())
}

// A thread may have been made, spoken in and archived at any time of a silence, and in a channel that had none before.
func TestThreadsOfAWholeSilenceAreLookedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		silence func(l *listener)
		lobby   int // has a thread
		attic   int // has none
	}{
		{"a moment", func(l *listener) {}, 24, -1},
		{"three days without a process", func(l *listener) {
			l.exec(`UPDATE gateway_sessions SET heard_until = now() - interval '72 hours'`)
		}, 72, 72},
		{"three days, with a session that did not show the guild at the end", func(l *listener) {
			l.exec(`UPDATE gateway_sessions SET heard_until = now() - interval '72 hours'`)
			l.ready("between")
		}, 72, 72},
		{"an outage of the guild", func(l *listener) {
			l.barrier(tidings.GuildGone{Outage: true})
			l.exec(`UPDATE guilds SET unheard_at = unheard_at - interval '48 hours'`)
		}, 48, 48},
		{"another number of shards", func(l *listener) {
			l.exec(`UPDATE gateway_sessions SET heard_until = now() - interval '72 hours', shards = 7`)
			l.g = lease(l.t, l.Store, "one", time.Minute)
		}, 72, 72},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.shown(0, 0, tidings.Channel{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, LastMessage: nth(1)})
			l.exec(`DELETE FROM jobs`)
			c.silence(l)
			l.ready("two")
			l.shown(0, 0)
			if a, b := l.looked(lobby), l.looked(attic); a != c.lobby || b != c.attic {
				t.Errorf("threads are looked for since %d and %d hours, want %d and %d", a, b, c.lobby, c.attic)
			}
			// It is over.
			l.exec(`DELETE FROM jobs`)
			l.ready("three")
			l.shown(0, 0)
			if a, b := l.looked(lobby), l.looked(attic); a != 24 || b != -1 {
				t.Errorf("after the next one threads are looked for since %d and %d hours, want a day and not at all", a, b)
			}
		})
	}
}

// Without the gateway nobody tells of a thread that is archived by the next look.
func TestPollingLooksForArchivedThreads(t *testing.T) {
	t.Parallel()
	l := listen(t)
	look := func(roles ...tidings.Role) {
		t.Helper()
		_, err := l.RecordBarrier(t.Context(), from(tidings.SourcePoll, event(0, tidings.GuildSeen{
			Guild: tidings.Guild{ID: testGuild, Name: "guild"}, Roles: roles,
			Channels: []tidings.Channel{{ID: lobby, Guild: testGuild, Name: "lobby"}},
		})), nil)
		l.check(err)
		l.check(l.SavePoll(t.Context(), testGuild, len(roles) > 0, false))
	}
	everyone := tidings.Role{ID: discord.RoleID(testGuild)}
	look(everyone)
	if got := l.looked(lobby); got != 365*24 {
		t.Errorf("at first sight threads are looked for since %d hours, want as far back as history goes", got)
	}
	l.exec(`DELETE FROM jobs`)
	look()
	if got := l.looked(lobby); got != -1 {
		t.Errorf("with each look threads are looked for since %d hours", got)
	}
	l.exec(`UPDATE guild_polls SET polled_at = now() - interval '72 hours'`)
	look(everyone)
	if got := l.looked(lobby); got != 72 {
		t.Errorf("after three days threads are looked for since %d hours", got)
	}
	l.exec(`DELETE FROM jobs`)
	look(everyone)
	if got := l.looked(lobby); got != -1 {
		t.Errorf("in a channel without threads they are looked for since %d hours", got)
	}
}
