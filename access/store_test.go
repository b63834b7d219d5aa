package access_test

import (
	"context"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"

	"tidings"
	"tidings/access"
	"tidings/embedded/testdb"
	"tidings/store"
)

// discordWith answers about members; before runs while an answer is on its way.
type discordWith struct {
	mu      sync.Mutex
	members map[key]tidings.Member
	before  func(n int)
	n       int
}

func (d *discordWith) Member(_ context.Context, g discord.GuildID, u discord.UserID) (*tidings.Member, error) {
	d.mu.Lock()
	m, ok := d.members[key{g, u}]
	d.n++
	n, before := d.n, d.before
	d.mu.Unlock()
	if before != nil {
		before(n)
	}
	if !ok {
		return nil, tidings.ErrNotFound
	}
	return &m, nil
}

// TestOnTheRealStore follows a person from signing in to being kicked, with the events going through the store.
func TestOnTheRealStore(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	db, err := sqlx.Connect("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.MustExec(`INSERT INTO users (id) VALUES (7)`)
	const g, u = discord.GuildID(1), discord.UserID(7)
	record := func(body tidings.Body) tidings.Result {
		t.Helper()
		r, err := s.RecordBarrier(context.Background(), tidings.Event{Guild: g, Body: body}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	staff := []tidings.Overwrite{{ID: 1, Deny: view}, {ID: 50, Allow: view}}
	record(tidings.GuildSeen{
		Guild: tidings.Guild{ID: g, Name: "guild", Owner: 9},
		Roles: []tidings.Role{{ID: discord.RoleID(g), Permissions: read | 1<<53}, {ID: 50, Name: "staff"}},
		Channels: []tidings.Channel{
			text(10),
			{ID: 11, Type: tidings.ChannelText, Overwrites: staff},
			{ID: 20, Type: tidings.ChannelPrivateThread, Parent: 10},
		},
	})
	d := &discordWith{members: map[key]tidings.Member{{g, u}: {User: u, Roles: []discord.RoleID{50}}}}
	a := access.New(s, d, access.Options{})
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	see := func(what string, want ...discord.ChannelID) {
		t.Helper()
		set := a.Visible(u)
		got := set.ChannelIDs()
		if len(got) != len(want) {
			t.Fatalf("%s: the set is %v, want %v", what, got, want)
		}
		for i := range got {
			if got[i] != want[i] || !a.CanRead(u, want[i]) {
				t.Fatalf("%s: the set is %v, want %v", what, got, want)
			}
		}
	}
	follow := func(r tidings.Result) {
		t.Helper()
		for _, c := range r.Access {
			if err := a.Reload(t.Context(), c.Guild, c.Version); err != nil {
				t.Fatal(err)
			}
		}
	}

	see("before anybody was asked")
	if err := a.Enroll(t.Context(), u, nil, nil); err != nil {
		t.Fatal(err)
	}
	see("after signing in", 10, 11)
	epoch := a.Visible(u).Epoch
	if err := a.Enroll(t.Context(), u, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := a.Visible(u).Epoch; got != epoch {
		t.Errorf("asking again with the same answer moved the epoch from %d to %d", epoch, got)
	}
	follow(record(tidings.ThreadMembersChanged{Thread: 20, Added: []discord.UserID{u}}))
	see("in the thread", 10, 20, 11)
	follow(record(tidings.MemberSeen{Member: tidings.Member{Guild: g, User: u}}))
	see("without the role", 10, 20)
	follow(record(tidings.ChannelSeen{Channel: tidings.Channel{
		ID: 10, Type: tidings.ChannelText, Guild: g, Overwrites: []tidings.Overwrite{{ID: discord.Snowflake(u), Type: tidings.OverwriteMember, Deny: view}},
	}}))
	see("with a denial of one's own")
	follow(record(tidings.ChannelSeen{Channel: tidings.Channel{ID: 10, Type: tidings.ChannelText, Guild: g}}))
	see("with the denial lifted", 10, 20)
	follow(record(tidings.MemberGone{User: u}))
	see("after the kick")

	// Discord's first answer says "member", and the next kick overtakes it.
	d.mu.Lock()
	d.n, d.before = 0, func(n int) {
		if n == 1 {
			record(tidings.MemberGone{User: u})
			d.mu.Lock()
			delete(d.members, key{g, u})
			d.mu.Unlock()
		}
	}
	d.mu.Unlock()
	if err := a.Enroll(t.Context(), u, nil, nil); err != nil {
		t.Fatal(err)
	}
	see("after a kick while Discord answered")
	if d.n != 2 {
		t.Errorf("Discord was asked %d times, want 2", d.n)
	}
	follow(record(tidings.GuildGone{}))
	if _, ok := a.Guild(g); ok {
		t.Error("the guild is still there after the bot was removed")
	}
}
