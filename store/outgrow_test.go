package store

import (
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// What a database gives once more after it has gone back must not be taken for what was told before: versions go on above that, once, whoever finds out.
func TestVersionsGoOnAboveWhatWasToldWhenTheDatabaseHasGoneBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.RecordBarrier(t.Context(), tidings.Event{Guild: testGuild, Body: tidings.GuildSeen{Guild: tidings.Guild{Name: "one"}}}, nil); err != nil {
		t.Fatal(err)
	}
	first := record(t, s, created(t, nth(1), wire{}))[0]
	channels := func(v int64) map[discord.ChannelID]int64 { return map[discord.ChannelID]int64{testChannel: v} }
	guilds := func(v int64) map[discord.GuildID]int64 { return map[discord.GuildID]int64{testGuild: v} }
	access := func() int64 {
		v, err := s.AccessVersions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v[testGuild]
	}
	before := access()
	next := first.Version
	for _, tt := range []struct {
		name     string
		channels map[discord.ChannelID]int64
		guilds   map[discord.GuildID]int64
		jumps    bool
	}{
		{"all that was told is there", channels(first.Version), guilds(before), false},
		{"a channel knows less than was told", channels(first.Version + 3), nil, true},
		{"somebody else has found out too", channels(first.Version + 3), guilds(before + 1), false},
		{"a guild knows less than was applied", nil, guilds(before + 2<<32), true},
	} {
		at := access()
		if err := s.Outgrow(t.Context(), tt.channels, tt.guilds); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if jumped := access() > at+1000; jumped != tt.jumps {
			t.Errorf("%s: access versions jumped: %v, want %v", tt.name, jumped, tt.jumps)
		}
		d := record(t, s, created(t, nth(int(next%1000)+100), wire{}))[0]
		if jumped := d.Version > next+1000; jumped != tt.jumps {
			t.Errorf("%s: version %d after %d, want it far above: %v", tt.name, d.Version, next, tt.jumps)
		}
		next = d.Version
	}
	if audited := one[int64](t, s, `SELECT audited_version FROM channels WHERE id = $1`, int64(testChannel)); next-audited > 100 {
		t.Errorf("version %d, read again at %d: everything would be read again", next, audited)
	}
}
