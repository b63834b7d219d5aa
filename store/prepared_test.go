package store

import (
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
)

const countPrepared = `SELECT count(*) FROM pg_prepared_statements`

// What is asked all the time is planned once, and goes on when a migration changes a table under it.
func TestWhatIsAskedOftenIsPlannedOnce(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.db.SetMaxOpenConns(1)
	sees := &tidings.VisibleSet{User: bob, Guilds: []tidings.VisibleGuild{{Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: lobby, Guild: testGuild}}}}}
	said := 0
	say := func() {
		t.Helper()
		said++
		l.said(lobby, nth(said))
	}
	count := func() {
		t.Helper()
		if u, err := l.Summary(t.Context(), sees); err != nil || u.Total != said {
			t.Errorf("Summary() after %d messages = %+v, %v", said, u, err)
		}
	}
	compare := func() { // outside of a transaction
		t.Helper()
		if v, err := l.AccessVersionsOf(t.Context(), []discord.GuildID{testGuild}); err != nil || len(v) != 1 {
			t.Errorf("AccessVersionsOf() = %v, %v", v, err)
		}
	}
	for range 3 { // the first of a channel is recorded in other ways
		say()
		count()
		compare()
	}
	n := one[int](t, l.Store, countPrepared)
	if n == 0 {
		t.Fatal("nothing is prepared")
	}
	for range 20 {
		say()
		count()
		compare()
	}
	if now := one[int](t, l.Store, countPrepared); now != n {
		t.Errorf("%d statements are prepared after twenty more messages, and %d after the first", now, n)
	}

	exec := func(query string) {
		t.Helper()
		_, err := l.db.ExecContext(t.Context(), query)
		l.check(err)
	}
	exec(`ALTER TABLE guilds ALTER access_version TYPE int`)
	exec(`ALTER TABLE users ALTER rev TYPE int`)
	compare()
	count()
	for _, do := range []func(){compare, count, say} {
		exec(`DEALLOCATE ALL`)
		do()
	}
	count()
}

// A pooler gives each transaction another connection, on which nothing is prepared.
func TestNothingIsPreparedThroughAPooler(t *testing.T) {
	t.Parallel()
	address := testdb.Postgres(t)
	s, err := Open(t.Context(), Options{DatabaseURL: address, DirectURL: address + "&application_name=direct"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.db.SetMaxOpenConns(1)
	if _, err := s.Versions(t.Context(), []discord.ChannelID{lobby}); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, s, countPrepared); n != 0 {
		t.Errorf("%d statements are prepared", n)
	}
}
