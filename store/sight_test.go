package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

const (
	botItself discord.UserID = 990
	helpers   discord.RoleID = 991
)

// sighted shows the guild whole, with the bot in it as a helper; everybody may read but where attic says otherwise.
func (l *listener) sighted(attic tidings.Channel, inLobby discord.MessageID) {
	l.t.Helper()
	ev := event(0, tidings.GuildSeen{
		Guild: tidings.Guild{ID: testGuild, Name: "guild", Owner: ann},
		Roles: []tidings.Role{
			{Guild: testGuild, ID: atEveryone, Name: "@everyone", Permissions: tidings.PermissionViewChannel | tidings.PermissionReadMessageHistory},
			{Guild: testGuild, ID: helpers, Name: "helpers"},
		},
		Channels: []tidings.Channel{{ID: lobby, Guild: testGuild, Name: "lobby", LastMessage: inLobby}, attic},
		Threads:  []tidings.Channel{{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, Name: "chatter"}},
		Members:  []tidings.Member{{Guild: testGuild, User: 999}, {Guild: testGuild, User: botItself, Roles: []discord.RoleID{helpers}}},
		Self:     botItself,
	})
	ev.Mark = l.mark()
	_, err := l.RecordBarrier(l.t.Context(), ev, nil)
	l.check(err)
}

func (l *listener) barrier(body tidings.Body) tidings.Result {
	l.t.Helper()
	ev := event(0, body)
	ev.Mark = l.mark()
	if may, err := l.Concerns(l.t.Context(), ev); err != nil || !may {
		l.t.Fatalf("Concerns(%T) = %v, %v", body, may, err)
	}
	r, err := l.RecordBarrier(l.t.Context(), ev, nil)
	l.check(err)
	return r
}

// attic is a channel as the gateway tells of it, open to helpers only or to nobody.
func shut(to ...discord.RoleID) tidings.Channel {
	c := tidings.Channel{ID: attic, Guild: testGuild, Name: "attic", Overwrites: []tidings.Overwrite{
		{ID: discord.Snowflake(atEveryone), Deny: tidings.PermissionViewChannel},
	}}
	for _, r := range to {
		c.Overwrites = append(c.Overwrites, tidings.Overwrite{ID: discord.Snowflake(r), Allow: tidings.PermissionViewChannel})
	}
	return c
}

// has reports whether a list of keys names a channel.
func has(keys string, c discord.ChannelID) bool {
	return slices.Contains(strings.Fields(keys), c.String())
}

// A channel that opens to the bot has a gap from the moment when the news of it is stored, whatever kind of news that is, and
// the first message after it does not hide the gap.
func TestWhatOpensToTheBotIsAGapAtOnce(t *testing.T) {
	t.Parallel()
	closing := tidings.ChannelSeen{Channel: shut()}
	role := func(p tidings.Permissions) tidings.RoleSeen {
		return tidings.RoleSeen{Role: tidings.Role{Guild: testGuild, ID: helpers, Name: "helpers", Permissions: p}}
	}
	self := func(roles ...discord.RoleID) tidings.MemberSeen {
		return tidings.MemberSeen{Member: tidings.Member{Guild: testGuild, User: botItself, Roles: roles}}
	}
	everyone := func(p tidings.Permissions) tidings.RoleSeen {
		return tidings.RoleSeen{Role: tidings.Role{Guild: testGuild, ID: atEveryone, Name: "@everyone", Permissions: p}}
	}
	const read = tidings.PermissionViewChannel | tidings.PermissionReadMessageHistory
	for _, c := range []struct {
		name        string
		first       tidings.Channel
		shut, opens tidings.Body
	}{
		{"an overwrite", tidings.Channel{ID: attic, Guild: testGuild, Name: "attic"}, closing, tidings.ChannelSeen{Channel: shut(helpers)}},
		{"a role of the bot's", tidings.Channel{ID: attic, Guild: testGuild, Name: "attic"}, closing, role(tidings.PermissionAdministrator)},
		{"a role that the bot is given", shut(helpers), self(), self(helpers)},
		{"the history", tidings.Channel{ID: attic, Guild: testGuild, Name: "attic"}, everyone(tidings.PermissionViewChannel), everyone(read)},
		{"the bot becomes the owner", tidings.Channel{ID: attic, Guild: testGuild, Name: "attic"}, closing, tidings.GuildUpdated{Guild: tidings.Guild{ID: testGuild, Name: "guild", Owner: botItself}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.sighted(c.first, 0)
			l.said(attic, nth(1))
			l.want("open", attic, "", "all")
			l.barrier(c.shut)
			l.want("closed", attic, "", "unknown")
			if jobs := l.jobs(FetchMessages); jobs != "" {
				t.Errorf("while the attic is closed, fetching is asked for: %q", jobs)
			}
			r := l.barrier(c.opens)
			if len(r.Access) != 1 || !slices.Contains(r.Access[0].Opened, attic) {
				t.Errorf("the opening is told as %+v", r.Access)
			}
			if jobs := l.jobs(FetchMessages); !has(jobs, attic) {
				t.Errorf("after the opening these are to be fetched: %q", jobs)
			}
			// Whoever committed it may end before the limiter is told.
			if payload := one[string](t, l.Store, `SELECT payload::text FROM jobs WHERE kind = $1 AND state = 'ready'`, Forgive); !strings.Contains(payload, attic.String()) {
				t.Errorf("what Discord refused before is forgiven for %s", payload)
			}
			gaps, err := l.ChannelGaps(t.Context(), attic)
			l.check(err)
			if len(gaps) != 1 || gaps[0].From != nth(1) {
				t.Fatalf("after the opening the gaps are %+v, want one above message 1", gaps)
			}
			l.said(attic, nth(5))
			if got := l.complete(attic); got == "all" || got == "1" {
				t.Errorf("with the gap open the attic is complete since %q", got)
			}
			l.heal(attic)
			l.want("healed", attic, "", "all")
			// The same news once more opens nothing.
			if r := l.barrier(c.opens); len(r.Access) != 0 {
				t.Errorf("the same news again is told as %+v", r.Access)
			}
			l.want("told again", attic, "", "all")
		})
	}
}

// What the bot may not read is not asked for, and is when it opens: its past too.
func TestAClosedChannelIsAskedForWhenItOpens(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.sighted(shut(), nth(3))
	if jobs := l.jobs(Backfill); jobs != lobby.String() {
		t.Errorf("pasts of %q are asked for, want the lobby's alone", jobs)
	}
	n, err := l.EnqueueHealing(t.Context(), 10)
	l.check(err)
	if n != 0 {
		t.Errorf("%d closed channels are asked for", n)
	}
	l.barrier(tidings.ChannelSeen{Channel: func() tidings.Channel { c := shut(helpers); c.LastMessage = nth(4); return c }()})
	if got := l.jobs(FetchMessages) + " " + l.jobs(Backfill); !has(got, attic) {
		t.Errorf("after the opening these are asked for: %q", got)
	}
}

// Threads close and open with their channel, and those that were archived meanwhile are looked for.
func TestThreadsOpenWithTheirChannel(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.sighted(shut(helpers), 0)
	l.said(chatter, nth(1))
	l.want("open", chatter, "", "all")
	hidden := tidings.Channel{ID: lobby, Guild: testGuild, Name: "lobby", Overwrites: shut().Overwrites}
	l.barrier(tidings.ChannelSeen{Channel: hidden})
	l.want("closed", chatter, "", "unknown")
	_, err := l.db.Exec(`DELETE FROM jobs`)
	l.check(err)
	l.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: lobby, Guild: testGuild, Name: "lobby"}})
	if jobs := l.jobs(FetchMessages); !has(jobs, chatter) || !has(jobs, lobby) {
		t.Errorf("after the opening these are to be fetched: %q", jobs)
	}
	if jobs := l.jobs(ListThreads); jobs != lobby.String() {
		t.Errorf("archived threads are looked for in %q", jobs)
	}
}

// A job that was refused before whoever holds requests back learned of the opening is asked for again.
func TestARefusalFromBeforeTheOpeningIsAskedAgain(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.sighted(shut(), 0)
	l.barrier(tidings.ChannelSeen{Channel: shut(helpers)})
	claimed, err := l.ClaimJobs(t.Context(), "w", map[string]int{FetchMessages: 5}, aYear)
	l.check(err)
	for _, j := range claimed {
		_, err := l.BuryJob(t.Context(), j, tidings.ErrForbidden)
		l.check(err)
	}
	running, err := l.ClaimJobs(t.Context(), "w2", map[string]int{ListThreads: 5}, aYear)
	l.check(err)
	l.check(l.Reopened(t.Context(), testGuild, []discord.ChannelID{attic}))
	if jobs := l.jobs(FetchMessages); jobs != attic.String() {
		t.Errorf("after the second asking %q are to be fetched", jobs)
	}
	for _, j := range running {
		again, err := l.BuryJob(t.Context(), j, tidings.ErrForbidden)
		l.check(err)
		if j.Key == attic.String() && !again {
			t.Error("a job that was being refused meanwhile is not done again")
		}
	}
}

// Of a private thread that opens by MANAGE_THREADS alone nobody tells the bot: its threads are looked for.
func TestThreadsThatTheBotMayManageAreLookedFor(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.sighted(tidings.Channel{ID: attic, Guild: testGuild, Name: "attic"}, 0)
	l.db.MustExec(`UPDATE jobs SET state = 'done', finished_at = now() WHERE kind = $1`, ListThreads)
	manages := func() bool {
		t.Helper()
		may, err := l.ManagesThreads(t.Context(), lobby)
		l.check(err)
		return may
	}
	if manages() {
		t.Error("the bot manages threads without a role that lets it")
	}
	helper := tidings.Role{Guild: testGuild, ID: helpers, Name: "helpers", Permissions: tidings.PermissionManageThreads}
	l.barrier(tidings.RoleSeen{Role: helper})
	if got := l.jobs(ListThreads); !has(got, lobby) || !has(got, attic) || !manages() {
		t.Errorf("looked through for threads are %q, want lobby and attic", got)
	}
	helper.Permissions = 0
	l.barrier(tidings.RoleSeen{Role: helper})
	if manages() {
		t.Error("the bot still manages threads after it lost the right")
	}
}
