package store

import (
	"errors"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// What was told of a guild and could not be understood may have taken a right away: nobody sees anything of it until it was read
// again, after that.
func TestAGuildInDoubtIsSeenByNobodyUntilItIsReadAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	letters := map[string]tidings.Body{
		"a role that cannot be read":   tidings.Unreadable{Name: "GUILD_ROLE_UPDATE", Raw: []byte(`{"guild_id":"100","role":5}`)},
		"a role that cannot be stored": tidings.RoleGone{ID: moderators},
		"a member":                     tidings.Unreadable{Name: "GUILD_MEMBER_UPDATE", Raw: []byte(`{"guild_id":"100","user":[]}`)},
	}
	for name, body := range letters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			seen := tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild, Name: "guild"}, Roles: []tidings.Role{{ID: 100}}}
			barrierOf(t, s, seen)
			signIn := func() {
				t.Helper()
				events, err := s.WatchMember(t.Context(), testGuild, ann)
				if err != nil {
					t.Fatal(err)
				}
				if _, current, err := s.SaveMember(t.Context(), testGuild, ann, &tidings.Member{Guild: testGuild, User: ann}, events); err != nil || !current {
					t.Fatalf("SaveMember() = %t, %v", current, err)
				}
			}
			signIn()
			version := one[int64](t, s, `SELECT access_version FROM guilds`)
			members := func() int {
				t.Helper()
				state, err := s.GuildState(t.Context(), testGuild)
				if err != nil {
					t.Fatal(err)
				}
				return len(state.Members)
			}
			if members() != 1 {
				t.Fatal("ann is not in the guild")
			}
			ev := event(0, body)
			ev.At = now
			told, err := s.DeadLetter(t.Context(), ev, errors.New("odd"))
			if err != nil {
				t.Fatal(err)
			}
			if now := one[int64](t, s, `SELECT access_version FROM guilds`); len(told.Access) != 1 || told.Access[0].Version != now || told.Access[0].Users != nil {
				t.Errorf("DeadLetter() = %+v, want that the guild's access has moved to %d for everybody", told, now)
			}
			signIn()
			if n := members(); n != 0 {
				t.Errorf("%d people see a guild of which nobody knows who may", n)
			}
			if one[int64](t, s, `SELECT access_version FROM guilds`) <= version {
				t.Error("nobody learns of it: the access version has not moved")
			}
			if got := one[string](t, s, `SELECT key FROM jobs WHERE kind = $1 AND state = 'ready'`, ReadGuild); got != testGuild.String() {
				t.Errorf("to be read again is %q", got)
			}
			// What was told before is recorded late.
			late := event(0, seen)
			late.At = now.Add(-time.Second)
			if _, err := s.RecordBarrier(t.Context(), late, nil); err != nil {
				t.Fatal(err)
			}
			if members() != 0 {
				t.Error("what was shown before has ended the doubt")
			}
			late.At, late.Source = time.Now().Add(time.Minute), tidings.SourceBackfill
			if r, err := s.RecordBarrier(t.Context(), late, nil); err != nil || len(r.Access) != 1 {
				t.Fatalf("RecordBarrier() = %+v, %v, want a change of access", r, err)
			}
			if members() != 1 {
				t.Error("ann does not see the guild that was read again")
			}
		})
	}
}

// An event about a message that cannot be named leaves its channel to be read again.
func TestAnUnreadableMessageEventLeavesAGap(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	for _, name := range []string{"MESSAGE_CREATE", "MESSAGE_REACTION_ADD"} {
		ev := event(lobby, tidings.Unreadable{Name: name, Raw: []byte(`{"id":[]}`)})
		l.dead(ev)
	}
	if gaps, err := l.ChannelGaps(t.Context(), lobby); err != nil || len(gaps) != 1 {
		t.Errorf("the gaps are %+v, %v, want one", gaps, err)
	}
	if got := l.jobs(Reconcile); got != lobby.String() {
		t.Errorf("to be read again is %q, want the lobby", got)
	}
	if got := one[string](t, l.Store, `SELECT string_agg(kind || ' ' || convert_from(raw, 'UTF8'), ', ' ORDER BY id) FROM dead_events`); got != `MESSAGE_CREATE {"id":[]}, MESSAGE_REACTION_ADD {"id":[]}` {
		t.Errorf("dead events are %q", got)
	}
}

// What is being read of a guild in doubt may be of before a change that the gateway tells of meanwhile: it neither takes the change's
// place nor ends the doubt.
func TestWhatWasReadOfAGuildBeforeAChangeStandsAgainstNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	role := func(p tidings.Permissions) tidings.Role { return tidings.Role{ID: 100, Permissions: p} }
	thread := tidings.Channel{ID: 20, Guild: testGuild, Type: tidings.ChannelPrivateThread, Parent: testChannel}
	whole := func(p tidings.Permissions) tidings.GuildSeen {
		return tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild}, Roles: []tidings.Role{role(p)},
			Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild}}, Threads: []tidings.Channel{thread}}
	}
	told := func(body tidings.Body) {
		t.Helper()
		ev := event(0, body)
		ev.At = time.Now()
		if _, err := s.RecordBarrier(t.Context(), ev, nil); err != nil {
			t.Fatal(err)
		}
	}
	read := func(began time.Time, body tidings.Body) {
		t.Helper()
		if _, err := s.RecordBarrier(t.Context(), tidings.Event{Source: tidings.SourceBackfill, Guild: testGuild, At: began, Body: body}, nil); err != nil {
			t.Fatal(err)
		}
	}
	clock := func() time.Time {
		t.Helper()
		at, err := s.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	check := func(what string, doubted bool, may tidings.Permissions, in int) {
		t.Helper()
		if is, err := s.Doubted(t.Context(), testGuild); err != nil || is != doubted {
			t.Errorf("%s: Doubted() = %t, %v, want %t", what, is, err, doubted)
		}
		if got := one[int64](t, s, `SELECT permissions FROM roles`); got != int64(may) {
			t.Errorf("%s: everybody's permissions are %d, want %d", what, got, may)
		}
		if got := one[int](t, s, `SELECT count(*) FROM thread_members`); got != in {
			t.Errorf("%s: %d people are in the thread, want %d", what, got, in)
		}
	}
	told(whole(tidings.PermissionViewChannel))
	odd := event(0, tidings.Unreadable{Name: "THREAD_MEMBERS_UPDATE", Raw: []byte(`{"guild_id":"100","id":[]}`)})
	odd.At = time.Now()
	if _, err := s.DeadLetter(t.Context(), odd, errors.New("odd")); err != nil {
		t.Fatal(err)
	}
	in, out := tidings.ThreadMembersChanged{Thread: 20, Added: []discord.UserID{ann}}, tidings.ThreadMembersChanged{Thread: 20, Removed: []discord.UserID{ann}}

	began := clock() // Discord answers here, and then:
	told(tidings.RoleSeen{Role: role(0)})
	told(out)
	read(began, in)
	read(began, whole(tidings.PermissionViewChannel))
	check("read before the change", true, 0, 0)

	began = clock()
	read(began, in)
	read(began, whole(0))
	check("read after it", false, 0, 1)

	told(tidings.RoleSeen{Role: role(tidings.PermissionViewChannel)})
	told(out)
	read(began, in)
	read(began, whole(0))
	check("the doubt is over", false, tidings.PermissionViewChannel, 0)
}

// Who has left a private thread, or the guild, by an event that was not understood or not stored is not let in when they are back.
func TestADoubtAboutWhoHasLeftForgetsWhoIsInThreads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body tidings.Body
		left int
	}{
		"a role":                             {tidings.Unreadable{Name: "GUILD_ROLE_UPDATE"}, 1},
		"a member of a thread":               {tidings.Unreadable{Name: "THREAD_MEMBERS_UPDATE"}, 0},
		"a member's end":                     {tidings.Unreadable{Name: "GUILD_MEMBER_REMOVE"}, 0},
		"a member's end that is not stored":  {tidings.MemberGone{User: ann}, 0},
		"a thread's members, not stored too": {tidings.ThreadMembersChanged{Thread: 20, Removed: []discord.UserID{ann}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			barrierOf(t, s, tidings.GuildSeen{
				Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild}},
				Threads: []tidings.Channel{{ID: 20, Guild: testGuild, Type: tidings.ChannelPrivateThread, Parent: testChannel}},
			})
			barrierOf(t, s, tidings.ThreadMembersChanged{Thread: 20, Added: []discord.UserID{ann}})
			if _, err := s.DeadLetter(t.Context(), event(0, c.body), errors.New("odd")); err != nil {
				t.Fatal(err)
			}
			if got := one[int](t, s, `SELECT count(*) FROM thread_members`); got != c.left {
				t.Errorf("%d people are in the thread, want %d", got, c.left)
			}
		})
	}
}
