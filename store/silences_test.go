package store

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// settle stores what Discord answers about a member of the listener's guild now.
func (l *listener) settle(u discord.UserID, in bool) {
	l.t.Helper()
	events, err := l.WatchMember(l.t.Context(), testGuild, u)
	l.check(err)
	var m *tidings.Member
	if in {
		m = &tidings.Member{User: u}
	}
	if _, current, err := l.SaveMember(l.t.Context(), testGuild, u, m, events); err != nil || !current {
		l.t.Fatalf("SaveMember(%d) = %v, %v, want it taken", u, current, err)
	}
}

func (l *listener) members() []discord.UserID {
	l.t.Helper()
	var in []discord.UserID
	for _, m := range state(l.t, l.Store).Members {
		in = append(in, m.User)
	}
	return in
}

func (l *listener) doubted() (in, out []discord.UserID) {
	l.t.Helper()
	in, out, err := l.DoubtedMembers(l.t.Context(), testGuild)
	l.check(err)
	return in, out
}

// listenWith is a guild that a session has shown, of which ann is a member and ben is not.
func listenWith(t *testing.T, threads ...tidings.Channel) *listener {
	t.Helper()
	l := listen(t)
	for _, u := range []discord.UserID{ann, ben} {
		_, err := l.SaveUser(t.Context(), tidings.User{ID: u})
		l.check(err)
	}
	l.ready("first")
	l.shown(0, 0, threads...)
	l.settle(ann, true)
	l.settle(ben, false)
	return l
}

// A new session makes doubtful what was said of members; they are believed meanwhile, an answer from before does not count, and who
// cannot be asked about in time is denied.
func TestMembersAreDoubtedAfterASilence(t *testing.T) {
	t.Parallel()
	l := listenWith(t)
	if in, out := l.doubted(); len(in)+len(out) > 0 {
		t.Fatalf("before any silence %v and %v are doubted", in, out)
	}
	before := state(t, l.Store)
	asked, err := l.WatchMember(t.Context(), testGuild, ann)
	l.check(err)

	l.ready("second")
	l.shown(0, 0)
	if in, out := l.doubted(); !slices.Equal(in, []discord.UserID{ann}) || !slices.Equal(out, []discord.UserID{ben}) {
		t.Errorf("doubted are %v and %v, want ann and ben", in, out)
	}
	if after := state(t, l.Store); after.Silences <= before.Silences || after.Version <= before.Version {
		t.Errorf("silences %d → %d, version %d → %d; want both to grow, so that all processes ask", before.Silences, after.Silences, before.Version, after.Version)
	}
	if got := l.members(); !slices.Equal(got, []discord.UserID{ann}) {
		t.Errorf("while they are asked about the members are %v, want ann", got)
	}
	if _, current, err := l.SaveMember(t.Context(), testGuild, ann, &tidings.Member{User: ann}, asked); err != nil || current {
		t.Errorf("an answer that was asked for before the silence is taken (%v)", err)
	}
	if c, err := l.DenyDoubted(t.Context(), time.Minute); err != nil || len(c) > 0 {
		t.Errorf("DenyDoubted() too early = %+v, %v", c, err)
	}
	_, err = l.db.Exec(`UPDATE guilds SET silent_at = silent_at - interval '2 minutes'`)
	l.check(err)
	// A session that breaks again does not put it off.
	l.ready("third")
	l.shown(0, 0)
	c, err := l.DenyDoubted(t.Context(), time.Minute)
	if want := []tidings.AccessChange{{Guild: testGuild, Version: state(t, l.Store).Version, Users: []discord.UserID{ann}}}; err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("DenyDoubted() = %+v, %v, want %+v", c, err, want)
	}
	if got := l.members(); len(got) > 0 {
		t.Errorf("%v are members although they could not be asked about", got)
	}
	if c, err := l.DenyDoubted(t.Context(), 0); err != nil || len(c) > 0 {
		t.Errorf("DenyDoubted() again = %+v, %v, want nothing", c, err)
	}
	l.settle(ann, true)
	if got := l.members(); !slices.Equal(got, []discord.UserID{ann}) {
		t.Errorf("after the answer the members are %v", got)
	}
	if in, _ := l.doubted(); len(in) > 0 {
		t.Errorf("%v are doubted after the answer", in)
	}
}

// inHideout lists who of the signed-in people is in the private thread.
func (l *listener) inHideout() []discord.UserID {
	l.t.Helper()
	return state(l.t, l.Store).ThreadMembers[hideout]
}

// watch is [Store.WatchThread] of the private thread.
func (l *listener) watch() (events int64, known bool) {
	l.t.Helper()
	events, known, err := l.WatchThread(l.t.Context(), testGuild, hideout)
	l.check(err)
	return events, known
}

func TestWhoIsInAPrivateThreadIsAskedFor(t *testing.T) {
	t.Parallel()
	private := tidings.Channel{ID: hideout, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPrivateThread, Name: "hideout"}
	public := tidings.Channel{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, Name: "chatter"}
	l := listenWith(t, private, public)
	l.settle(ben, true)
	s := l.Store
	wanted := func(what string, want ...discord.ChannelID) {
		t.Helper()
		got, err := l.DoubtedThreads(t.Context(), testGuild)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: DoubtedThreads() = %v, %v, want %v", what, got, err, want)
		}
		if len(want) > 0 && one[int](t, s, `SELECT count(*) FROM jobs WHERE kind = 'read-thread-members' AND state = 'ready'`) != 1 {
			t.Errorf("%s: no job asks for it", what)
		}
		l.db.MustExec(`DELETE FROM jobs WHERE kind = 'read-thread-members'`)
	}
	wanted("a thread that is seen first", hideout)
	events, _ := l.watch()
	barrierOf(t, s, tidings.ThreadMembersRead{Thread: hideout, Members: []discord.UserID{ann, 999}, Events: events})
	wanted("after the answer")
	if got := l.inHideout(); !slices.Equal(got, []discord.UserID{ann}) {
		t.Fatalf("in the thread are %v, want ann", got)
	}
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{ben}})
	wanted("after a change that was told")

	l.ready("second")
	l.shown(0, 0, private, public)
	wanted("after a silence", hideout)
	if got := l.inHideout(); !slices.Equal(got, []discord.UserID{ann, ben}) {
		t.Errorf("while it is asked %v are in, want those of before", got)
	}
	// A removal is told while the list is under way.
	events, _ = l.watch()
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Removed: []discord.UserID{ben}})
	barrierOf(t, s, tidings.ThreadMembersRead{Thread: hideout, Members: []discord.UserID{ann, ben}, Events: events})
	if got := l.inHideout(); !slices.Equal(got, []discord.UserID{ann}) {
		t.Errorf("after the late list %v are in, want ann", got)
	}
	if _, known := l.watch(); known {
		t.Error("the thread counts as known although its list came late")
	}
	// So is somebody who leaves the guild.
	events, _ = l.watch()
	barrierOf(t, s, tidings.MemberGone{User: ben})
	barrierOf(t, s, tidings.ThreadMembersRead{Thread: hideout, Members: []discord.UserID{ben}, Events: events})
	if one[bool](t, s, `SELECT EXISTS (SELECT FROM thread_members WHERE user_id = $1)`, int64(ben)) {
		t.Error("who has left the guild is put back into the thread")
	}
	// Whoever is not on the list is out.
	events, _ = l.watch()
	if r := barrierOf(t, s, tidings.ThreadMembersRead{Thread: hideout, Members: []discord.UserID{999}, Events: events}); len(r.Access) != 1 || !slices.Equal(r.Access[0].Users, []discord.UserID{ann}) {
		t.Errorf("the list without ann told %+v, want of ann", r.Access)
	}
	if got := l.inHideout(); len(got) > 0 {
		t.Errorf("%v are in, want nobody", got)
	}

	// Only some could be asked about: others stay, and a newcomer is asked about too.
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{ann, 1234}})
	l.ready("third")
	l.shown(0, 0, private, public)
	events, _ = l.watch()
	barrierOf(t, s, tidings.ThreadMembersRead{Thread: hideout, Of: []discord.UserID{ann}, Events: events})
	if !one[bool](t, s, `SELECT array_agg(user_id) @> ARRAY[1234::bigint] AND NOT array_agg(user_id) @> ARRAY[$1::bigint] FROM thread_members`, int64(ann)) {
		t.Error("an answer about ann did not move her alone")
	}
	l.db.MustExec(`DELETE FROM jobs WHERE kind = 'read-thread-members'`)
	l.settle(ben, true)
	wanted("a newcomer, where it is asked one by one", hideout)

	// What cannot be asked is denied at last.
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{ann}})
	l.ready("fourth")
	l.shown(0, 0, private, public)
	l.settle(ann, true)
	l.settle(ben, true)
	if c, err := l.DenyDoubted(t.Context(), 0); err != nil || len(c) != 1 || len(l.inHideout()) > 0 || len(l.members()) != 2 {
		t.Errorf("DenyDoubted() = %+v, %v leaves %v in the thread and %v in the guild, want nobody and both", c, err, l.inHideout(), l.members())
	}
}

func TestThreadsThatAreNamedNoMoreAreLookedFor(t *testing.T) {
	t.Parallel()
	public := tidings.Channel{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, Name: "chatter"}
	old := public
	old.ID, old.Archived = 305, true
	l := listenWith(t, public)
	barrierOf(t, l.Store, tidings.ChannelSeen{Channel: old})
	l.said(old.ID, nth(1))
	unnamed := func() []discord.ChannelID {
		t.Helper()
		list, err := l.UnnamedThreads(t.Context(), testGuild, 10)
		l.check(err)
		slices.Sort(list)
		return list
	}
	if got := unnamed(); len(got) > 0 {
		t.Fatalf("%v are looked for although nothing was lost", got)
	}
	l.ready("second")
	l.shown(0, 0)
	if got := unnamed(); !slices.Equal(got, []discord.ChannelID{chatter, old.ID}) {
		t.Errorf("after a silence %v are looked for, want the thread that is not named and the archived one", got)
	}
	if one[int](t, l.Store, `SELECT count(*) FROM jobs WHERE kind = 'find-threads' AND state = 'ready'`) != 1 {
		t.Error("no job looks for them")
	}
	barrierOf(t, l.Store, tidings.ChannelSeen{Channel: old}) // just as it is stored
	barrierOf(t, l.Store, tidings.ChannelGone{ID: chatter})
	if got := unnamed(); len(got) > 0 {
		t.Errorf("%v are looked for still", got)
	}
}

// Of a channel that nobody has told of, a mention of everyone is of a guild as soon as the guild is known.
func TestAMentionOfEveryoneWaitsForItsGuild(t *testing.T) {
	t.Parallel()
	for name, learn := range map[string]func(s *Store) tidings.Result{
		"the channel is shown": func(s *Store) tidings.Result {
			return barrierOf(t, s, tidings.ChannelSeen{Channel: tidings.Channel{ID: 777, Guild: testGuild, Name: "new"}})
		},
		"a message names it": func(s *Store) tidings.Result {
			r, err := s.Record(t.Context(), []tidings.Event{event(777, tidings.MessageCreated{Message: message(t, 777, nth(9), wire{})})}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := guild(t)
			m := message(t, 777, nth(1), wire{})
			m.Mentions.Everyone = true
			ev := event(777, tidings.MessageCreated{Message: m})
			ev.Guild, ev.Source = 0, tidings.SourceBackfill
			if _, err := s.Record(t.Context(), []tidings.Event{ev}, nil); err != nil {
				t.Fatal(err)
			}
			r := learn(s)
			if got := one[int64](t, s, `SELECT target_id FROM mention_targets WHERE kind = 2 AND channel_id = 777`); got != int64(testGuild) {
				t.Errorf("everyone is of guild %d, want %d", got, testGuild)
			}
			if !slices.ContainsFunc(r.Deltas, func(d tidings.Delta) bool { return d.Channel == 777 && d.Kind == tidings.DeltaReset }) {
				t.Errorf("deltas are %+v, want a reset, because mentions have moved", r.Deltas)
			}
		})
	}
}
