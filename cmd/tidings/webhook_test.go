package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
)

// relay sends signed deliveries as somebody with a key of their own.
type relay struct {
	t    *testing.T
	s    *service
	name string
	key  ed25519.PrivateKey
}

func newRelay(t *testing.T, name string) *relay {
	return &relay{t: t, name: name, key: ed25519.NewKeyFromSeed([]byte(strings.Repeat(name[:1], ed25519.SeedSize)))}
}

// setting is the relay's part of RELAY_KEYS.
func (r *relay) setting(guilds ...string) string {
	s := r.name + ":" + hex.EncodeToString(r.key.Public().(ed25519.PublicKey))
	if len(guilds) > 0 {
		s += ":" + strings.Join(guilds, ",")
	}
	return s
}

// frame sends a gateway frame.
func (r *relay) frame(event string, data any) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"op": 0, "t": event, "s": 1, "d": data})
	if err != nil {
		r.t.Fatal(err)
	}
	stamp := strconv.FormatInt(time.Now().UnixMilli(), 10)
	req, err := http.NewRequest("POST", r.s.url+"/webhooks/discord/"+r.name, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Signature-Timestamp", stamp)
	req.Header.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(r.key, append([]byte(stamp), body...))))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		r.t.Fatalf("the relay's delivery was answered %d, want 204", resp.StatusCode)
	}
}

// processed waits until no delivery waits, and tells how they ended.
func processed(t *testing.T, db *sqlx.DB) (outcomes []string) {
	t.Helper()
	eventually(t, "every delivery is processed", 20*time.Second, func() bool {
		var waiting int
		outcomes = nil
		if err := db.Get(&waiting, `SELECT count(*) FROM webhook_events WHERE processed_at IS NULL`); err != nil {
			t.Fatal(err)
		}
		if err := db.Select(&outcomes, `SELECT outcome FROM webhook_events ORDER BY id`); err != nil {
			t.Fatal(err)
		}
		return waiting == 0
	})
	return outcomes
}

func database(t *testing.T, c *Config) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Connect("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// contents is what the API shows of a channel, by message.
func (s *service) contents(who credential, channel string) map[string]string {
	s.t.Helper()
	var page struct {
		Messages []struct {
			ID      string `json:"id"`
			Content string `json:"content"`
		} `json:"messages"`
	}
	if status := s.call(who, "GET", "/api/messages?limit=100&channel="+channel, nil, &page); status != http.StatusOK {
		s.t.Fatalf("GET /api/messages = %d", status)
	}
	m := map[string]string{}
	for _, one := range page.Messages {
		m[one.ID] = one.Content
	}
	return m
}

// A relay fills in what no other source has told. Its word is checked with Discord: what it makes up, changes or says is deleted
// while it is not, has no effect, and it may not tell of other servers.
func TestARelayFillsGapsAndIsNotBelieved(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	g := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	other := d.Guild("Elsewhere", owner, []simtest.Person{reader}, []string{"general"}, nil)
	general, foreign := g.Channel("general"), other.Channel("general")
	mill := newRelay(t, "mill")
	c := configFor(t, d)
	// No gateway, and polling that does not come while the test runs: what arrives came through the relay.
	c.Gateway, c.PollSchedule, c.RelayKeys = "off", "@every 1s", []string{mill.setting(g.ID)}
	s := start(t, c)
	mill.s = s
	db := database(t, c)
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the reader sees both channels", 30*time.Second, func() bool { return len(s.unread(me).channels()) == 2 })
	if _, err := db.Exec(`INSERT INTO job_pauses (kind) VALUES ('poll'), ('poll-guild')`); err != nil {
		t.Fatal(err)
	}

	missed := d.Say(owner, general, "nobody told of this one")
	told := d.Say(owner, general, "the relay tells of this one")
	id := told["id"].(string)
	mill.frame("MESSAGE_CREATE", simtest.Object{"id": id, "channel_id": general, "guild_id": g.ID, "content": "LIES", "author": simtest.Object{"id": owner.ID}})
	eventually(t, "the message is there as Discord has it, and the one below it", 20*time.Second, func() bool {
		m := s.contents(me, general)
		return m[id] == "the relay tells of this one" && m[missed["id"].(string)] == "nobody told of this one"
	})
	eventually(t, "both are unread", 10*time.Second, func() bool { return s.unread(me).channels()[general].Unread == 2 })

	d.Must(owner.Token, "PATCH", "/channels/"+general+"/messages/"+id, simtest.Object{"content": "edited"}, nil)
	mill.frame("MESSAGE_UPDATE", simtest.Object{"id": id, "channel_id": general, "guild_id": g.ID, "edited_timestamp": time.Now().UTC().Format(time.RFC3339Nano)})
	eventually(t, "the edit is there", 20*time.Second, func() bool { return s.contents(me, general)[id] == "edited" })

	made := strconv.FormatUint(mustParse(t, id)+1<<22, 10)
	mill.frame("MESSAGE_CREATE", simtest.Object{"id": made, "channel_id": general, "guild_id": g.ID, "content": "made up", "author": simtest.Object{"id": owner.ID}})
	mill.frame("MESSAGE_DELETE", simtest.Object{"id": id, "channel_id": general, "guild_id": g.ID})
	elsewhere := d.Say(owner, foreign, "not for the relay to tell")
	mill.frame("MESSAGE_CREATE", simtest.Object{"id": elsewhere["id"], "channel_id": foreign, "guild_id": g.ID, "content": "x", "author": simtest.Object{"id": owner.ID}})
	for _, o := range processed(t, db)[2:] {
		if o != "1 events, 0 news" {
			t.Errorf("a delivery that nothing may come of ended with %q", o)
		}
	}
	if m := s.contents(me, general); len(m) != 2 || m[id] != "edited" {
		t.Errorf("after lies the channel holds %v, want both messages as they were", m)
	}
	if m := s.contents(me, foreign); len(m) != 0 {
		t.Errorf("the other server's channel holds %v, want nothing", m)
	}

	d.Must(owner.Token, "DELETE", "/channels/"+general+"/messages/"+id, nil, nil)
	mill.frame("MESSAGE_DELETE", simtest.Object{"id": id, "channel_id": general, "guild_id": g.ID})
	eventually(t, "a delete that is so is believed", 20*time.Second, func() bool { _, there := s.contents(me, general)[id]; return !there })
	var bodies int
	if err := db.Get(&bodies, `SELECT count(*) FROM webhook_events WHERE processed_at IS NOT NULL AND body <> ''`); err != nil || bodies > 0 {
		t.Errorf("%d processed deliveries still hold what they said (%v)", bodies, err)
	}
}

func mustParse(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Discord's own events, signed by the simulator: the address passes its probes, messages of a linked channel arrive, and who
// removes the application is signed out everywhere.
func TestDiscordsOwnEvents(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{RetryPause: 20 * time.Millisecond, NoRateLimits: true})
	owner, reader := d.Person("owner"), d.Person("reader")
	g := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	general := g.Channel("general")
	c := configFor(t, d)
	c.Gateway, c.PollSchedule = "off", "@every 1s" // and DISCORD_PUBLIC_KEY is asked for
	s := start(t, c)
	db := database(t, c)
	browser := credential{cookie: s.signIn(reader.ID)}
	token := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the reader sees the channel", 30*time.Second, func() bool { return len(s.unread(browser).channels()) == 1 })
	if _, err := db.Exec(`INSERT INTO job_pauses (kind) VALUES ('poll'), ('poll-guild')`); err != nil {
		t.Fatal(err)
	}

	set := simtest.Object{"event_webhooks_url": s.url + "/webhooks/discord/discord", "event_webhooks_status": 2, "event_webhooks_types": []string{
		"APPLICATION_DEAUTHORIZED", "LOBBY_MESSAGE_CREATE", "LOBBY_MESSAGE_UPDATE", "LOBBY_MESSAGE_DELETE"}}
	if status := d.Do(d.BotToken(), "PATCH", "/applications/@me", set, nil); status != http.StatusOK {
		t.Fatalf("registering the address = %d, want 200: PING and probe must pass", status)
	}
	var probe struct {
		Passed bool   `json:"passed"`
		Error  string `json:"error"`
	}
	d.Sim200("POST", "/sim/probe", nil, &probe)
	if !probe.Passed {
		t.Fatalf("the routine probe: %s", probe.Error)
	}

	d.Sim200("POST", "/sim/lobbies", simtest.Object{"channel": general}, nil)
	id := d.Say(owner, general, "from the lobby")["id"].(string)
	eventually(t, "the lobby's message is unread", 20*time.Second, func() bool { return s.unread(browser).Total == 1 })
	d.Must(owner.Token, "PATCH", "/channels/"+general+"/messages/"+id, simtest.Object{"content": "changed"}, nil)
	eventually(t, "its edit is there", 20*time.Second, func() bool { return s.contents(browser, general)[id] == "changed" })
	d.Must(owner.Token, "DELETE", "/channels/"+general+"/messages/"+id, nil, nil)
	eventually(t, "its delete is there", 20*time.Second, func() bool { return s.unread(browser).Total == 0 && len(s.contents(browser, general)) == 0 })

	// A minute after it was opened a socket would be asked whether its session stands; these end before.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	ends := make(chan error, 2)
	for _, who := range []credential{browser, token} {
		socket, err := client.Dial(ctx, s.url, client.Options{Token: who.token, Cookie: who.cookie})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			var err error
			for err == nil {
				_, err = socket.Next(ctx)
			}
			ends <- err
		}()
	}

	d.Sim200("POST", "/sim/deauthorize", simtest.Object{"user": reader.ID}, nil)
	for range cap(ends) {
		if err := <-ends; websocket.CloseStatus(err) != 4003 {
			t.Errorf("a socket of the person ended with %v, want close code 4003", err)
		}
	}
	for what, who := range map[string]credential{"the session": browser, "the token": token} {
		eventually(t, what+" is worth nothing any more", 20*time.Second, func() bool {
			status, _, err := s.try(who, "GET", "/api/unread", nil)
			return err == nil && status == http.StatusUnauthorized
		})
	}
	var kept int
	if err := db.Get(&kept, `SELECT (SELECT count(*) FROM oauth_tokens) + (SELECT count(*) FROM sessions)`); err != nil || kept > 0 {
		t.Errorf("%d tokens of Discord's and sessions are kept (%v), want none", kept, err)
	}
	if again := (credential{cookie: s.signIn(reader.ID)}); s.unread(again).Total != 0 {
		t.Error("signing in again does not work")
	}
	processed(t, db)
}
