package main

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// coverage is what somebody is told to miss.
type coverage struct {
	Servers  []struct{ Name string }
	Channels []struct {
		ID, Name string
		Guild    string `json:"guild_name"`
	}
	Unchecked []string
	AskedAt   *time.Time `json:"asked_at"`
}

// TestWhatIsOnDiscordAndNotHereIsNamed signs somebody in who is in a server without the bot, and may read a channel that the bot may not. What they
// may not read on Discord either is not named.
func TestWhatIsOnDiscordAndNotHereIsNamed(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "attic", "cellar"}, simtest.Object{"bot_permissions": "0"})
	island := d.Guild("Island", owner, []simtest.Person{reader}, []string{"beach"}, nil)
	d.Guild("Elsewhere", owner, nil, []string{"there"}, nil)
	shut := func(channel, who string, kind int, allow, deny string) {
		d.Must(owner.Token, "PUT", "/channels/"+channel+"/permissions/"+who, simtest.Object{"type": kind, "allow": allow, "deny": deny}, nil)
	}
	attic := guild.Channel("attic")
	for _, c := range []string{attic, guild.Channel("cellar")} {
		shut(c, guild.ID, 0, "0", "1024")
	}
	shut(attic, reader.ID, 1, "66560", "0")
	d.Must(owner.Token, "DELETE", "/guilds/"+island.ID+"/members/"+d.Bot.ID.String(), nil, nil)

	run := start(t, configFor(t, d))
	me := credential{cookie: run.signIn(reader.ID)}
	var got coverage
	named := func() (servers, channels []string) {
		got = coverage{}
		if status := run.call(me, "GET", "/api/coverage", nil, &got); status != http.StatusOK {
			t.Fatalf("GET /api/coverage = %d", status)
		}
		for _, s := range got.Servers {
			servers = append(servers, s.Name)
		}
		for _, c := range got.Channels {
			channels = append(channels, c.Guild+" "+c.Name)
		}
		return servers, channels
	}
	eventually(t, "the server and the channel are named", time.Minute, func() bool {
		servers, channels := named()
		return got.AskedAt != nil && len(got.Unchecked) == 0 && reflect.DeepEqual(servers, []string{"Island"}) && reflect.DeepEqual(channels, []string{"Harbour attic"})
	})
	// The bot may read it now: nothing more is missing there.
	shut(attic, d.Bot.ID.String(), 1, "66560", "0")
	eventually(t, "the channel is named no more", time.Minute, func() bool {
		servers, channels := named()
		return reflect.DeepEqual(servers, []string{"Island"}) && channels == nil
	})
	// Neither is named what the reader may not read any more.
	d.Must(owner.Token, "DELETE", "/channels/"+attic+"/permissions/"+d.Bot.ID.String(), nil, nil)
	eventually(t, "the channel is named again", time.Minute, func() bool { _, channels := named(); return len(channels) == 1 })
	d.Must(owner.Token, "DELETE", "/channels/"+attic+"/permissions/"+reader.ID, nil, nil)
	eventually(t, "and not to who may not read it", time.Minute, func() bool { _, channels := named(); return channels == nil })
}
