package tidings_test

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// The table is the one that the page's rules are held to, too: web/static/notices.test.js.
func TestNotifyRules(t *testing.T) {
	b, err := os.ReadFile("web/testdata/notices.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Levels []struct {
			Name, Default, Want string
			Chosen              map[string]string
		}
		Place struct{ Channel, Parent, Above, Guild string }
		Quiet []struct {
			Name  string
			Quiet *struct{ From, To, Zone string }
			At    time.Time
			Want  bool
		}
	}
	if err := json.Unmarshal(b, &table); err != nil || len(table.Levels) == 0 || len(table.Quiet) == 0 {
		t.Fatalf("%v, %+v", err, table)
	}
	id := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	level := func(s string) tidings.NotifyLevel {
		l, err := tidings.ParseNotifyLevel(s)
		if err != nil || l.String() != s {
			t.Fatalf("%q is %v, %v", s, l, err)
		}
		return l
	}
	for _, tt := range table.Levels {
		p := tidings.NotifyPrefs{Levels: map[discord.Snowflake]tidings.NotifyLevel{0: level(tt.Default)}}
		for scope, l := range tt.Chosen {
			p.Levels[discord.Snowflake(id(scope))] = level(l)
		}
		at := table.Place
		got := p.Level(discord.GuildID(id(at.Guild)), discord.ChannelID(id(at.Channel)), discord.ChannelID(id(at.Parent)), discord.ChannelID(id(at.Above)))
		if got != level(tt.Want) {
			t.Errorf("%s: %v, want %s", tt.Name, got, tt.Want)
		}
	}
	if got := (tidings.NotifyPrefs{}).Level(1, 2, 0, 0); got != tidings.NotifyMentions {
		t.Errorf("who has chosen nothing is told of %v", got)
	}
	minutes := func(s string) int {
		at, err := time.Parse("15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return at.Hour()*60 + at.Minute()
	}
	for _, tt := range table.Quiet {
		var q *tidings.QuietHours
		if tt.Quiet != nil {
			q = &tidings.QuietHours{From: minutes(tt.Quiet.From), To: minutes(tt.Quiet.To), Zone: tt.Quiet.Zone}
		}
		if got := q.Now(tt.At); got != tt.Want {
			t.Errorf("%s: %v, want %v", tt.Name, got, tt.Want)
		}
	}
}

func TestQuietHoursThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		quiet tidings.QuietHours
		field string
	}{
		{tidings.QuietHours{From: 60, To: 120, Zone: "Europe/Berlin"}, ""},
		{tidings.QuietHours{From: -1, To: 120, Zone: "UTC"}, "from"},
		{tidings.QuietHours{From: 60, To: 1440, Zone: "UTC"}, "to"},
		{tidings.QuietHours{From: 60, To: 60, Zone: "UTC"}, "to"},
		{tidings.QuietHours{From: 60, To: 120, Zone: "Local"}, "zone"},
		{tidings.QuietHours{From: 60, To: 120, Zone: "../etc/passwd"}, "zone"},
		{tidings.QuietHours{From: 60, To: 120}, "zone"},
	} {
		var field *tidings.FieldError
		err := tt.quiet.Check()
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%+v: %v", tt.quiet, err)
		case tt.field != "" && (!errors.As(err, &field) || field.Field != tt.field):
			t.Errorf("%+v: %v, want that %s is wrong", tt.quiet, err, tt.field)
		}
	}
}
