package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/jobs"
	"tidings/sim"
	"tidings/sim/simtest"
)

// Who is kicked, who loses a role, who is removed from a private thread and what is deleted while no session tells of it: all of it
// takes effect within seconds of the next session, on whatever a person asks for. Who was let into a thread meanwhile sees it, and
// so does who made one before anybody here knew of it.
func TestWhatWasTakenAwayWhileNobodyListenedIsDeniedWithinSeconds(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, cyd, dan, ivy, eve := d.Person("owner"), d.Person("cyd"), d.Person("dan"), d.Person("ivy"), d.Person("eve")
	guild := d.Guild("Harbour", owner, []simtest.Person{cyd, dan, ivy, eve}, []string{"general"}, nil)
	boss, general := owner.Token, guild.Channel("general")
	thread := func(by simtest.Person, kind int) string {
		var th simtest.Object
		d.Must(by.Token, "POST", "/channels/"+general+"/threads", simtest.Object{"name": "thread", "type": kind}, &th)
		return th["id"].(string)
	}
	var role, keyed simtest.Object
	d.Must(boss, "POST", "/guilds/"+guild.ID+"/roles", simtest.Object{"name": "key", "permissions": "0"}, &role)
	d.Must(boss, "POST", "/guilds/"+guild.ID+"/channels", simtest.Object{"name": "keyed", "type": 0, "permission_overwrites": []simtest.Object{
		{"id": guild.ID, "type": 0, "deny": "1024", "allow": "0"}, {"id": role["id"], "type": 0, "allow": "66560", "deny": "0"},
	}}, &keyed)
	d.Must(boss, "PUT", "/guilds/"+guild.ID+"/members/"+cyd.ID+"/roles/"+role["id"].(string), nil, nil)
	private, doomed := thread(dan, 12), thread(eve, 11)
	d.Say(eve, doomed, "soon to be gone")

	c := configFor(t, d)
	who := map[string]credential{}
	for _, p := range []simtest.Person{cyd, dan, ivy, eve} {
		who[p.ID] = credential{token: makeToken(t, c, p.ID)}
	}
	run := start(t, c)
	sees := func(p simtest.Person, channel any) bool {
		return run.call(who[p.ID], "GET", "/api/messages?channel="+channel.(string), nil, nil) == http.StatusOK
	}
	eventually(t, "all see what they may, who made the private thread too", time.Minute, func() bool {
		return sees(cyd, keyed["id"]) && sees(eve, general) && sees(dan, private) && !sees(ivy, private) && sees(ivy, doomed)
	})

	d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "refuse_resume", "count": 1}, nil)
	d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "drop", "for_ms": 1500}, nil)
	// Nobody hears of this; the simulator drops what it would have told.
	d.Must(boss, "DELETE", "/guilds/"+guild.ID+"/members/"+eve.ID, nil, nil)
	d.Must(boss, "DELETE", "/guilds/"+guild.ID+"/members/"+cyd.ID+"/roles/"+role["id"].(string), nil, nil)
	d.Must(boss, "DELETE", "/channels/"+private+"/thread-members/"+dan.ID, nil, nil)
	d.Must(boss, "PUT", "/channels/"+private+"/thread-members/"+ivy.ID, nil, nil)
	d.Must(boss, "DELETE", "/channels/"+doomed, nil, nil)
	eventually(t, "it has taken effect", time.Minute, func() bool {
		return !sees(cyd, keyed["id"]) && !sees(eve, general) && !sees(dan, private) && sees(ivy, private) && !sees(ivy, doomed)
	})
	if !sees(cyd, general) || !sees(dan, general) {
		t.Error("those who are members still have lost what they may read")
	}
}

// Without a gateway nobody tells who is in a private thread; who is sees it all the same.
func TestPollingAloneLetsMembersIntoPrivateThreads(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, dan, ivy := d.Person("owner"), d.Person("dan"), d.Person("ivy")
	guild := d.Guild("Harbour", owner, []simtest.Person{dan, ivy}, []string{"general"}, nil)
	c := configFor(t, d)
	c.Gateway, c.PollSchedule = "off", "@every 1s"
	in, out := credential{token: makeToken(t, c, dan.ID)}, credential{token: makeToken(t, c, ivy.ID)}
	run := start(t, c)
	var th simtest.Object
	d.Must(dan.Token, "POST", "/channels/"+guild.Channel("general")+"/threads", simtest.Object{"name": "thread", "type": 12}, &th)
	at := "/api/messages?channel=" + th["id"].(string)
	eventually(t, "who made it sees it", time.Minute, func() bool { return run.call(in, "GET", at, nil, nil) == http.StatusOK })
	if got := run.call(out, "GET", at, nil, nil); got != http.StatusNotFound {
		t.Errorf("who is not in it gets %d", got)
	}
}

// A thread that is born while the shard is down is found by polling: people see it then, and mentions of everyone in it count.
func TestMentionsOfEveryoneFoundByPollingCount(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, dan := d.Person("owner"), d.Person("dan")
	guild := d.Guild("Harbour", owner, []simtest.Person{dan}, []string{"general"}, nil)
	c := configFor(t, d)
	me := credential{token: makeToken(t, c, dan.ID)}
	run := start(t, c)
	db := database(t, c)
	eventually(t, "the gateway tells of the server", time.Minute, func() bool {
		var live bool
		return db.Get(&live, `SELECT bool_and(live_session <> '') FROM guilds`) == nil && live
	})
	d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "drop", "for_ms": 600_000}, nil)
	var th simtest.Object
	d.Must(owner.Token, "POST", "/channels/"+guild.Channel("general")+"/threads", simtest.Object{"name": "newborn", "type": 11}, &th)
	id := th["id"].(string)
	for range 3 {
		d.Must(owner.Token, "POST", "/channels/"+id+"/messages", simtest.Object{"content": "@everyone to the boats"}, nil)
	}
	// The same that is asked for after half a minute without a session.
	number, err := strconv.ParseUint(guild.ID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	job := jobs.PollJob(discord.GuildID(number), jobs.PollDown, false)
	payload, err := json.Marshal(job.Payload)
	if err != nil {
		t.Fatal(err)
	}
	// One that is there already began before what was said.
	eventually(t, "the server is polled once more", time.Minute, func() bool {
		done, err := db.Exec(`INSERT INTO jobs (kind, key, guild_id, priority, payload) VALUES ($1, $2, $3, 2, $4) ON CONFLICT DO NOTHING`, job.Kind, job.Key, number, string(payload))
		if err != nil {
			t.Fatal(err)
		}
		n, err := done.RowsAffected()
		return err == nil && n == 1
	})
	counted := func() bool {
		ch := run.unread(me).channels()[id]
		return ch.Unread == 3 && ch.Mentions == 3
	}
	eventually(t, "three messages and three mentions are counted", time.Minute, counted)
	d.Sim200("DELETE", "/sim/faults", nil, nil)
	eventually(t, "the shard is back", time.Minute, func() bool {
		var listening bool
		return db.Get(&listening, `SELECT coalesce(bool_and(listening), false) FROM gateway_sessions`) == nil && listening
	})
	var verify struct {
		Mismatches []any
	}
	if run.call(me, "GET", "/api/unread/verify", nil, &verify); len(verify.Mismatches) > 0 || !counted() {
		t.Errorf("with the shard back: mismatches %v, three counted: %v", verify.Mismatches, counted())
	}
}
