package main

import (
	"database/sql"
	"net/http"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// Discord tells the bot nothing of what is said where it may not read. When a channel opens to it, by an overwrite, by a role's
// permissions or by a role that it is given, all that was said meanwhile is fetched at once, although the channel was refused
// just before; and nobody is told that the channel is complete before that.
func TestWhatOpensToTheBotIsFetchedAtOnce(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "attic"}, simtest.Object{"bot_permissions": "0"})
	attic, everyone := guild.Channel("attic"), guild.ID
	c := configFor(t, d)
	me := credential{token: makeToken(t, c, reader.ID)}
	run := start(t, c)
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	complete := func() bool {
		var page struct {
			Since *time.Time `json:"complete_since"`
		}
		return run.call(me, "GET", "/api/messages?channel="+attic, nil, &page) == http.StatusOK && page.Since != nil
	}
	stored := func(id any) bool {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM messages WHERE channel_id = $1 AND id = $2 AND NOT deleted`, attic, id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	eventually(t, "the attic is complete", time.Minute, complete)

	overwrite := "/channels/" + attic + "/permissions/"
	var helpers simtest.Object
	d.Must(owner.Token, "POST", "/guilds/"+guild.ID+"/roles", simtest.Object{"name": "helpers", "permissions": "0"}, &helpers)
	role := helpers["id"].(string)
	// The reader may read all along, so that what the service states can be asked for.
	d.Must(owner.Token, "PUT", overwrite+reader.ID, simtest.Object{"type": 1, "allow": "66560", "deny": "0"}, nil)
	for _, step := range []struct {
		name        string
		shut, opens func()
	}{
		{"an overwrite of everyone's", func() {
			d.Must(owner.Token, "PUT", overwrite+everyone, simtest.Object{"type": 0, "allow": "0", "deny": "1024"}, nil)
		}, func() {
			d.Must(owner.Token, "DELETE", overwrite+everyone, nil, nil)
		}},
		{"a role that the bot is given", func() {
			d.Must(owner.Token, "PUT", overwrite+role, simtest.Object{"type": 0, "allow": "66560", "deny": "0"}, nil)
			d.Must(owner.Token, "PUT", overwrite+everyone, simtest.Object{"type": 0, "allow": "0", "deny": "1024"}, nil)
		}, func() {
			d.Must(owner.Token, "PUT", "/guilds/"+guild.ID+"/members/"+d.Bot.ID.String()+"/roles/"+role, nil, nil)
		}},
		{"a role's permissions", func() {
			d.Must(owner.Token, "DELETE", overwrite+role, nil, nil)
		}, func() {
			d.Must(owner.Token, "PATCH", "/guilds/"+guild.ID+"/roles/"+role, simtest.Object{"permissions": "8"}, nil)
		}},
	} {
		step.shut()
		eventually(t, step.name+": the attic is not stated to be complete while it is closed", time.Minute, func() bool { return !complete() })
		var said []any
		for range 3 {
			said = append(said, d.Say(owner, attic, "behind a closed door")["id"])
		}
		// Somebody asks for it in vain, so that Discord is not asked again for a while.
		eventually(t, step.name+": nothing is being fetched any more", time.Minute, func() bool {
			var open int
			return db.QueryRow(`SELECT count(*) FROM jobs WHERE kind = 'fetch-messages' AND state IN ('ready', 'running')`).Scan(&open) == nil && open == 0
		})
		if _, err := db.Exec(`WITH g AS (INSERT INTO gaps (channel_id, from_id, to_id, rest_id, reason)
				SELECT id, known_id, known_id + 1, known_id + 1, 'test' FROM channels WHERE id = $1)
			INSERT INTO jobs (kind, key, guild_id, priority) VALUES ('fetch-messages', $1::text, $2, 100)`, attic, guild.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, step.name+": the fetching is refused", time.Minute, func() bool {
			var dead int
			if err := db.QueryRow(`DELETE FROM jobs WHERE kind = 'fetch-messages' AND state = 'dead' RETURNING 1`).Scan(&dead); err != nil {
				return false
			}
			return dead == 1
		})
		step.opens()
		said = append(said, d.Say(owner, attic, "and after it has opened")["id"])
		for _, id := range said {
			eventually(t, step.name+": all that was said is stored", time.Minute, func() bool { return stored(id) })
		}
		eventually(t, step.name+": the attic is complete again", time.Minute, complete)
		t.Logf("%s: done", step.name)
	}
}
