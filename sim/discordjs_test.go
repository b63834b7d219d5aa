package sim_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// djs is a running bot on discord.js.
type djs struct {
	t     testing.TB
	in    io.Writer
	lines chan map[string]any
}

// startDiscordJS installs the client if need be, and starts it.
func startDiscordJS(t *testing.T, r *simtest.Running) *djs {
	t.Helper()
	if _, err := os.Stat("discordjs/node_modules/discord.js/package.json"); err != nil {
		npm := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		npm.Dir = "discordjs"
		if out, err := npm.CombinedOutput(); err != nil {
			t.Fatalf("npm ci in sim/discordjs: %v\n%s", err, out)
		}
	}
	cmd := exec.Command("node", "client.mjs", r.URL, r.Bot.Token)
	cmd.Dir = "discordjs"
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("node: %v", err)
	}
	d := &djs{t: t, in: in, lines: make(chan map[string]any, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(d.lines)
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var v map[string]any
			if json.Unmarshal(sc.Bytes(), &v) == nil {
				d.lines <- v
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-read
		cmd.Wait()
		if t.Failed() {
			t.Logf("discord.js said on standard error:\n%s", stderr.String())
		}
	})
	return d
}

// want waits for an event that fits ("": any); other events are passed over.
func (d *djs) want(event string, fits func(map[string]any) bool) map[string]any {
	d.t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		select {
		case v, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("discord.js ended while %q was awaited", event)
			}
			if v["event"] == "error" || v["event"] == "failed" {
				d.t.Errorf("discord.js: %v", v)
			}
			if (event == "" || v["event"] == event) && (fits == nil || fits(v)) {
				return v
			}
		case <-timeout:
			d.t.Fatalf("discord.js did not see %q", event)
		}
	}
}

func (d *djs) tell(v map[string]any) {
	d.t.Helper()
	b, _ := json.Marshal(v)
	if _, err := d.in.Write(append(b, '\n')); err != nil {
		d.t.Fatal(err)
	}
}

func TestDiscordJSLivesHere(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{HeartbeatInterval: 2 * time.Second})
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general"}, nil)
	ch := g.Channel("general")
	content := func(text string) func(map[string]any) bool {
		return func(v map[string]any) bool { return v["content"] == text }
	}

	d := startDiscordJS(t, r)
	if v := d.want("ready", nil); v["guilds"] != 1.0 {
		t.Errorf("ready with %v guilds, want 1", v["guilds"])
	}
	m := r.Say(bob, ch, "hello")
	d.want("message", content("hello"))
	path := "/channels/" + ch + "/messages/" + m["id"].(string)
	r.Must(bob.Token, "PATCH", path, O{"content": "hello again"}, nil)
	d.want("edit", content("hello again"))
	r.Must(ada.Token, "PUT", path+"/reactions/%F0%9F%91%8D/@me", nil, nil)
	if v := d.want("react", nil); v["emoji"] != "👍" || v["user"] != ada.ID {
		t.Errorf("react = %v", v)
	}
	r.Must(bob.Token, "POST", path+"/threads", O{"name": "aside"}, nil)
	d.want("thread", func(v map[string]any) bool { return v["name"] == "aside" })
	r.Must(bob.Token, "PATCH", "/channels/"+m["id"].(string), O{"archived": true}, nil)
	d.want("threadupdate", func(v map[string]any) bool { return v["archived"] == true })
	r.Must(ada.Token, "PATCH", "/guilds/"+g.ID+"/members/"+bob.ID, O{"nick": "Bobby"}, nil)
	d.want("member", func(v map[string]any) bool { return v["nick"] == "Bobby" })

	r.Must(ada.Token, "POST", "/channels/"+ch+"/messages", O{"flags": 1 << 15, "nonce": 7, "components": []O{{"type": 10, "content": "text"}}}, nil)
	if v := d.want("message", func(v map[string]any) bool { return v["components"] == 1.0 }); v["nonce"] != 7.0 {
		t.Errorf("nonce = %v, want the integer 7", v["nonce"])
	}
	r.Must(ada.Token, "POST", "/channels/"+ch+"/messages", O{"message_reference": O{"type": 1, "channel_id": ch, "message_id": m["id"]}}, nil)
	d.want("message", func(v map[string]any) bool { return v["snapshots"] == 1.0 })
	x, y := r.Say(bob, ch, "x"), r.Say(bob, ch, "y")
	r.Must(bob.Token, "DELETE", "/channels/"+ch+"/messages/"+x["id"].(string), nil, nil)
	d.want("delete", func(v map[string]any) bool { return v["id"] == x["id"] })
	z := r.Say(bob, ch, "z")
	r.Must(ada.Token, "POST", "/channels/"+ch+"/messages/bulk-delete", O{"messages": []any{y["id"], z["id"]}}, nil)
	d.want("bulk", func(v map[string]any) bool { return v["count"] == 2.0 })

	d.tell(O{"command": "post", "channel": ch, "content": "from the bot"})
	d.want("posted", nil)
	d.tell(O{"command": "history", "channel": ch})
	if v := d.want("history", nil); v["contents"].([]any)[0] != "from the bot" {
		t.Errorf("history = %v, want the bot's message first", v)
	}
	d.tell(O{"command": "members", "guild": g.ID})
	if v := d.want("members", nil); v["count"] != 3.0 {
		t.Errorf("members = %v, want 3", v["count"])
	}

	for _, fault := range []struct {
		name string
		body O
		then string
	}{
		{"close 4000", O{"kind": "close", "args": O{"code": 4000}}, "resumed"},
		{"a lost connection", O{"kind": "drop"}, "resumed"},
		{"op 7", O{"kind": "reconnect"}, "resumed"},
		{"op 9 true", O{"kind": "invalid_session", "args": O{"resumable": true}}, "resumed"},
		{"op 9 false", O{"kind": "invalid_session"}, "shardready"},
		{"a refused resume", O{"kind": "close", "args": O{"code": 4000}}, "shardready"},
	} {
		if strings.HasPrefix(fault.name, "a refused") {
			r.Sim200("POST", "/sim/faults", O{"kind": "refuse_resume", "count": 1}, nil)
		}
		r.Sim200("POST", "/sim/faults", fault.body, nil)
		r.Say(bob, ch, "during "+fault.name)
		// The message may be replayed before the session is back, or come after it.
		heard, back := fault.then != "resumed", false
		for !heard || !back {
			v := d.want("", nil)
			heard = heard || v["content"] == "during "+fault.name
			back = back || v["event"] == fault.then
		}
		if fault.then == "shardready" {
			r.Say(bob, ch, "after "+fault.name)
			d.want("message", content("after "+fault.name))
		}
	}
	r.Say(bob, ch, "still here")
	d.want("message", content("still here"))
	d.tell(O{"command": "quit"})
}
