package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// The parts of the guild that the tests of barriers change.
const (
	lobby      discord.ChannelID = 301
	attic      discord.ChannelID = 302
	hideout    discord.ChannelID = 303 // a private thread of lobby
	chatter    discord.ChannelID = 304 // a public thread of lobby
	atEveryone discord.RoleID    = discord.RoleID(testGuild)
)

func seenGuild() tidings.GuildSeen {
	return tidings.GuildSeen{
		Guild: tidings.Guild{ID: testGuild, Name: "the guild", Icon: "abc", Owner: ann, Available: true},
		Roles: []tidings.Role{
			{Guild: testGuild, ID: atEveryone, Name: "@everyone", Permissions: 1024},
			{Guild: testGuild, ID: moderators, Name: "moderators", Color: 0xff0000, Position: 1, Permissions: 8},
		},
		Channels: []tidings.Channel{
			{ID: lobby, Guild: testGuild, Name: "lobby", Overwrites: []tidings.Overwrite{
				{ID: discord.Snowflake(moderators), Allow: 1024}, {ID: discord.Snowflake(atEveryone), Deny: 1024},
			}, LastMessage: nth(1)},
			{ID: attic, Guild: testGuild, Name: "attic", Position: 1},
		},
		Threads: []tidings.Channel{
			{ID: hideout, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPrivateThread, Name: "hideout"},
			{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, Name: "chatter"},
		},
		Members: []tidings.Member{
			{Guild: testGuild, User: ann, Roles: []discord.RoleID{moderators, 5}},
			{Guild: testGuild, User: 999},
		},
	}
}

// guild is a store with one guild; ann and ben have signed in, and Discord has told that ann is a member.
func guild(t testing.TB) *Store {
	t.Helper()
	s := open(t)
	for _, u := range []discord.UserID{ann, ben} {
		if _, err := s.SaveUser(t.Context(), tidings.User{ID: u, Name: fmt.Sprint(u)}); err != nil {
			t.Fatal(err)
		}
	}
	barrierOf(t, s, seenGuild())
	return s
}

func barrierOf(t testing.TB, s *Store, body tidings.Body) tidings.Result {
	t.Helper()
	r, err := s.RecordBarrier(t.Context(), event(0, body), nil)
	if err != nil {
		t.Fatalf("RecordBarrier(%T) = %v", body, err)
	}
	return r
}

func state(t testing.TB, s *Store) *tidings.GuildState {
	t.Helper()
	g, err := s.GuildState(t.Context(), testGuild)
	if err != nil {
		t.Fatalf("GuildState() = %v", err)
	}
	return g
}

// rowVersions changes with each row that is written.
func rowVersions(t testing.TB, s *Store) string {
	t.Helper()
	return one[string](t, s, `
SELECT concat_ws(' ',
	(SELECT string_agg(xmin::text, ',' ORDER BY id) FROM guilds),
	(SELECT string_agg(xmin::text, ',' ORDER BY id) FROM roles),
	(SELECT string_agg(xmin::text, ',' ORDER BY id) FROM channels),
	(SELECT string_agg(xmin::text, ',' ORDER BY user_id) FROM members),
	(SELECT string_agg(xmin::text, ',' ORDER BY user_id) FROM baselines),
	(SELECT string_agg(xmin::text, ',' ORDER BY user_id) FROM thread_members))`)
}

func TestAWholeGuildIsStoredOnceAndAgainWritesNothing(t *testing.T) {
	t.Parallel()
	s := guild(t)
	got := state(t, s)
	seen := seenGuild()
	lobbyRow := seen.Channels[0]
	threads := seen.Threads
	for i := range threads {
		threads[i].Overwrites = []tidings.Overwrite{}
	}
	seen.Channels[1].Overwrites = []tidings.Overwrite{}
	want := &tidings.GuildState{
		Guild: seen.Guild, Version: got.Version, Roles: []tidings.Role{seen.Roles[1], seen.Roles[0]},
		Channels:      append([]tidings.Channel{lobbyRow, seen.Channels[1]}, threads...),
		Members:       []tidings.Member{{Guild: testGuild, User: ann, Roles: []discord.RoleID{5, moderators}}},
		ThreadMembers: map[discord.ChannelID][]discord.UserID{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("GuildState() = %+v\nwant %+v", got, want)
	}
	before := rowVersions(t, s)
	again := seenGuild()
	slices.Reverse(again.Channels)
	slices.Reverse(again.Channels[1].Overwrites)
	slices.Reverse(again.Members[0].Roles)
	if r := barrierOf(t, s, again); len(r.Access) != 0 {
		t.Errorf("RecordBarrier() of the same guild = %+v, want nothing", r)
	}
	if after := rowVersions(t, s); after != before {
		t.Errorf("the same guild again has written rows: %q, want %q", after, before)
	}
}

func TestTheAccessVersionMovesWithWhatDecidesAccessOrNaming(t *testing.T) {
	t.Parallel()
	channel := func(change func(*tidings.Channel)) tidings.Body {
		c := seenGuild().Channels[0]
		change(&c)
		return tidings.ChannelSeen{Channel: c}
	}
	tests := []struct {
		name  string
		body  tidings.Body
		moves bool
		users []discord.UserID
	}{
		{"a channel's name", channel(func(c *tidings.Channel) { c.Name = "hall" }), true, nil},
		{"a channel's overwrites", channel(func(c *tidings.Channel) { c.Overwrites[1].Deny = 0 }), true, nil},
		{"a channel's last message", channel(func(c *tidings.Channel) { c.LastMessage = nth(9) }), false, nil},
		{"a channel's older last message", channel(func(c *tidings.Channel) { c.LastMessage = 0 }), false, nil},
		{"the same channel", channel(func(*tidings.Channel) {}), false, nil},
		{"a new channel", tidings.ChannelSeen{Channel: tidings.Channel{ID: 399, Name: "new"}}, true, nil},
		{"a channel that goes", tidings.ChannelGone{ID: attic}, true, nil},
		{"an unknown channel that goes", tidings.ChannelGone{ID: 398}, false, nil},
		{"a role's permissions", tidings.RoleSeen{Role: tidings.Role{ID: moderators, Name: "moderators", Color: 0xff0000, Position: 1}}, true, nil},
		{"the same role", tidings.RoleSeen{Role: seenGuild().Roles[1]}, false, nil},
		{"a role that goes", tidings.RoleGone{ID: moderators}, true, nil},
		{"an unknown role that goes", tidings.RoleGone{ID: 77}, false, nil},
		{"a new owner", tidings.GuildUpdated{Guild: tidings.Guild{ID: testGuild, Name: "the guild", Icon: "abc", Owner: ben}, Roles: seenGuild().Roles}, true, nil},
		{"the same guild", tidings.GuildUpdated{Guild: seenGuild().Guild, Roles: seenGuild().Roles}, false, nil},
		{"an outage", tidings.GuildGone{Outage: true}, true, nil},
		{"the bot's removal", tidings.GuildGone{}, true, nil},
		{"a member's roles", tidings.MemberSeen{Member: tidings.Member{User: ann}}, true, []discord.UserID{ann}},
		{"a member's timeout", tidings.MemberSeen{Member: tidings.Member{User: ann, Roles: []discord.RoleID{5, moderators}, TimeoutUntil: time.Now()}}, true, []discord.UserID{ann}},
		{"a member who joins", tidings.MemberSeen{Member: tidings.Member{User: ben}}, true, []discord.UserID{ben}},
		{"a member who leaves", tidings.MemberGone{User: ann}, true, []discord.UserID{ann}},
		{"somebody else who joins", tidings.MemberSeen{Member: tidings.Member{User: 999}}, false, nil},
		{"somebody else who leaves", tidings.MemberGone{User: 999}, false, nil},
		{"a private thread's member", tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{999, ann}}, true, []discord.UserID{ann}},
		{"a private thread's other members", tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{999}}, false, nil},
		{"a public thread's member", tidings.ThreadMembersChanged{Thread: chatter, Added: []discord.UserID{ann}}, false, nil},
		{"a thread that is not active any more", tidings.ThreadsSynced{Parents: []discord.ChannelID{lobby}, Threads: seenGuild().Threads[:1]}, true, nil},
		{"the same threads", tidings.ThreadsSynced{Threads: seenGuild().Threads}, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := guild(t)
			was := state(t, s).Version
			r := barrierOf(t, s, tt.body)
			now := one[int64](t, s, `SELECT access_version FROM guilds WHERE id = $1`, int64(testGuild))
			if !tt.moves {
				if len(r.Access) != 0 || now != was {
					t.Errorf("RecordBarrier() = %+v and version %d, want nothing and %d", r, now, was)
				}
				return
			}
			want := []tidings.AccessChange{{Guild: testGuild, Version: was + 1, Users: tt.users}}
			if !reflect.DeepEqual(r.Access, want) || now != was+1 {
				t.Errorf("RecordBarrier() access = %+v and version %d, want %+v", r.Access, now, want)
			}
			if r := barrierOf(t, s, tt.body); len(r.Access) != 0 {
				t.Errorf("RecordBarrier() of the same again = %+v, want nothing", r)
			}
		})
	}
}

func TestWhatAWholeGuildDoesNotNameIsGone(t *testing.T) {
	t.Parallel()
	s := guild(t)
	barrierOf(t, s, tidings.ChannelSeen{Channel: tidings.Channel{ID: 305, Parent: attic, Type: tidings.ChannelPublicThread, Name: "upstairs"}})
	barrierOf(t, s, tidings.ChannelSeen{Channel: tidings.Channel{ID: 306, Parent: lobby, Type: tidings.ChannelPublicThread, Name: "old", Archived: true}})
	seen := seenGuild()
	seen.Channels, seen.Threads, seen.Roles, seen.Members = seen.Channels[:1], seen.Threads[:1], seen.Roles[:1], nil
	if r := barrierOf(t, s, seen); len(r.Access) != 1 {
		t.Errorf("RecordBarrier() access = %+v, want one change for all of it", r.Access)
	}
	got := map[discord.ChannelID]bool{}
	for _, c := range state(t, s).Channels {
		got[c.ID] = c.Archived
	}
	// A thread that is not named may just have been archived; it stays readable.
	want := map[discord.ChannelID]bool{lobby: false, hideout: false, chatter: true, 306: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("channels, and whether they are archived = %v, want %v", got, want)
	}
	if roles := state(t, s).Roles; len(roles) != 1 || roles[0].ID != atEveryone {
		t.Errorf("roles = %+v, want @everyone", roles)
	}
	if m := state(t, s).Members; len(m) != 1 || !slices.Equal(m[0].Roles, []discord.RoleID{5}) {
		t.Errorf("members = %+v, want ann without the role that went", m)
	}
}

func TestThreadsOfADeletedChannelGoWithIt(t *testing.T) {
	t.Parallel()
	s := guild(t)
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{ann}})
	barrierOf(t, s, tidings.ChannelGone{ID: lobby})
	if c := state(t, s).Channels; len(c) != 1 || c[0].ID != attic {
		t.Errorf("channels = %+v, want the attic only", c)
	}
	if m := state(t, s).ThreadMembers; len(m) != 0 {
		t.Errorf("thread members = %v, want none", m)
	}
}

func TestAnOutageKeepsAGuildAndARemovalDoesNot(t *testing.T) {
	t.Parallel()
	s := guild(t)
	barrierOf(t, s, tidings.GuildGone{Outage: true})
	if g := state(t, s); g.Guild.Available || len(g.Members) != 1 {
		t.Errorf("GuildState() during an outage = %+v, want it unavailable with its member", g)
	}
	barrierOf(t, s, seenGuild())
	if v, err := s.AccessVersions(t.Context()); err != nil || len(v) != 1 || v[testGuild] != state(t, s).Version {
		t.Errorf("AccessVersions() = %v, %v, want the guild's, %d", v, err, state(t, s).Version)
	}
	if !state(t, s).Guild.Available {
		t.Error("the guild is unavailable after the outage")
	}

	events, err := s.WatchMember(t.Context(), testGuild, ann)
	if err != nil {
		t.Fatal(err)
	}
	barrierOf(t, s, tidings.GuildGone{})
	if _, err := s.GuildState(t.Context(), testGuild); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("GuildState() of a guild that was left = %v, want ErrNotFound", err)
	}
	if v, err := s.AccessVersions(t.Context()); err != nil || len(v) != 0 {
		t.Errorf("AccessVersions() = %v, %v, want none", v, err)
	}
	if list, err := s.GuildIDs(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("GuildIDs() = %v, %v, want none", list, err)
	}
	if _, current, err := s.SaveMember(t.Context(), testGuild, ann, &tidings.Member{User: ann}, events); err != nil || current {
		t.Errorf("SaveMember() with an answer of before = %v, %v, want it refused", current, err)
	}
	seen := seenGuild()
	seen.Members = nil
	barrierOf(t, s, seen)
	if m := state(t, s).Members; len(m) != 0 {
		t.Errorf("members after the bot came back = %+v, want nobody until Discord is asked", m)
	}
	if list, err := s.UnaskedMembers(t.Context(), testGuild); err != nil || !slices.Equal(list, []discord.UserID{ann, ben}) {
		t.Errorf("UnaskedMembers() = %v, %v, want both", list, err)
	}
}

func TestAMemberWhoGoesWhileDiscordIsAskedStaysOut(t *testing.T) {
	t.Parallel()
	s := guild(t)
	answer := &tidings.Member{User: ben, Roles: []discord.RoleID{moderators}}
	events, err := s.WatchMember(t.Context(), testGuild, ben)
	if err != nil {
		t.Fatal(err)
	}
	barrierOf(t, s, tidings.MemberGone{User: ben})
	change, current, err := s.SaveMember(t.Context(), testGuild, ben, answer, events)
	if err != nil || current || change.Version != 0 {
		t.Errorf("SaveMember() = %+v, %v, %v, want the answer refused", change, current, err)
	}
	if m := state(t, s).Members; len(m) != 1 || m[0].User != ann {
		t.Errorf("members = %+v, want ann only", m)
	}

	events, err = s.WatchMember(t.Context(), testGuild, ben)
	if err != nil {
		t.Fatal(err)
	}
	was := state(t, s).Version
	change, current, err = s.SaveMember(t.Context(), testGuild, ben, answer, events)
	if want := (tidings.AccessChange{Guild: testGuild, Version: was + 1, Users: []discord.UserID{ben}}); err != nil || !current || !reflect.DeepEqual(change, want) {
		t.Errorf("SaveMember() = %+v, %v, %v, want %+v", change, current, err, want)
	}
	change, current, err = s.SaveMember(t.Context(), testGuild, ben, answer, events)
	if err != nil || !current || change.Version != 0 {
		t.Errorf("SaveMember() of the same answer = %+v, %v, %v, want no change", change, current, err)
	}
	if _, _, err := s.SaveMember(t.Context(), 12345, ben, answer, 0); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("SaveMember() in an unknown guild = %v, want ErrNotFound", err)
	}
}

func TestANewcomerHasMissedNothing(t *testing.T) {
	t.Parallel()
	s := guild(t)
	before := tidings.FirstID(time.Now().Add(-time.Minute))
	barrierOf(t, s, tidings.MemberSeen{Member: tidings.Member{User: ben}})
	baseline := func() int64 {
		return one[int64](t, s, `SELECT baseline_id FROM baselines WHERE user_id = $1 AND guild_id = $2`, int64(ben), int64(testGuild))
	}
	first := baseline()
	if first < int64(before) || first > int64(tidings.FirstID(time.Now().Add(time.Minute))) {
		t.Errorf("baseline = %d, want about now", first)
	}
	barrierOf(t, s, tidings.MemberGone{User: ben})
	barrierOf(t, s, tidings.MemberSeen{Member: tidings.Member{User: ben}})
	if got := baseline(); got != first {
		t.Errorf("baseline after coming back = %d, want the first sight's, %d", got, first)
	}
}

func TestMembersWhoNeverSignedInCostNoWrite(t *testing.T) {
	t.Parallel()
	s := guild(t)
	before := rowVersions(t, s)
	for u := discord.UserID(5000); u < 5020; u++ {
		barrierOf(t, s, tidings.MemberSeen{Member: tidings.Member{User: u, Roles: []discord.RoleID{moderators}}})
		barrierOf(t, s, tidings.MemberGone{User: u})
	}
	if after := rowVersions(t, s); after != before {
		t.Errorf("rows were written: %q, want %q", after, before)
	}
}

func TestWhoSignsInLaterIsStillInTheirPrivateThreads(t *testing.T) {
	t.Parallel()
	s := guild(t)
	const late, left discord.UserID = 71, 72
	barrierOf(t, s, tidings.ThreadMembersChanged{Thread: hideout, Added: []discord.UserID{late, left}})
	barrierOf(t, s, tidings.MemberGone{User: left})
	for _, u := range []discord.UserID{late, left} {
		if _, err := s.SaveUser(t.Context(), tidings.User{ID: u}); err != nil {
			t.Fatal(err)
		}
		barrierOf(t, s, tidings.MemberSeen{Member: tidings.Member{User: u}})
	}
	if got := state(t, s).ThreadMembers[hideout]; !slices.Equal(got, []discord.UserID{late}) {
		t.Errorf("members of the private thread = %v, want only who did not leave the guild", got)
	}
}

func TestAPlaceholderBecomesTheChannel(t *testing.T) {
	t.Parallel()
	s := guild(t)
	record(t, s, created(t, nth(1), wire{}))
	if r := barrierOf(t, s, tidings.ChannelSeen{Channel: tidings.Channel{ID: testChannel, Name: "late"}}); len(r.Access) != 1 {
		t.Errorf("RecordBarrier() = %+v, want the access version moved", r)
	}
	if v := one[int64](t, s, `SELECT version FROM channels WHERE id = $1 AND type = 0 AND last_live_id = $2`, int64(testChannel), int64(nth(1))); v != 1 {
		t.Errorf("version = %d, want the placeholder's, 1", v)
	}
	d := record(t, s, created(t, nth(2), wire{}))
	if want := state(t, s).Version; d[0].AccessVersion != want {
		t.Errorf("the delta's access version = %d, want the guild's, %d", d[0].AccessVersion, want)
	}
}
