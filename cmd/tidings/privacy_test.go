package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/sim"
	"tidings/sim/simtest"
)

// command runs tidings as its command line does, with the settings of a service, and gives what it printed.
func command(t *testing.T, c *Config, want int, args ...string) (out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--database-url", c.DatabaseURL, "--redis-url", c.RedisURL, "--redis-prefix", c.RedisPrefix, "--data-dir", c.DataDir)
	if code := run(t.Context(), args, &stdout, &stderr); code != want {
		t.Fatalf("tidings %s: exit code %d, want %d\n%s", strings.Join(args[:3], " "), code, want, &stderr)
	}
	return stdout.String()
}

// everythingHolds looks for a text in the whole database, in Redis and in what a reader can ask.
func everythingHolds(t *testing.T, c *Config, s *service, who credential, text string) (found []string) {
	t.Helper()
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`
		SELECT c.relname, coalesce(string_agg(quote_ident(a.attname), ' ') FILTER (WHERE a.atttypid = 'bytea'::regtype), '')
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
		GROUP BY c.relname`)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for rows.Next() {
		var name, columns string
		if err := rows.Scan(&name, &columns); err != nil {
			t.Fatal(err)
		}
		where := `position($1 IN lower(x::text)) > 0`
		for _, column := range strings.Fields(columns) {
			where += ` OR position(convert_to($1, 'UTF8') IN ` + column + `) > 0`
		}
		queries[name] = `SELECT EXISTS (SELECT FROM ` + name + ` x WHERE ` + where + `)`
	}
	if err := rows.Err(); err != nil || len(queries) < 20 {
		t.Fatalf("%d tables, %v", len(queries), err)
	}
	for name, query := range queries {
		var holds bool
		if err := db.QueryRow(query, text).Scan(&holds); err != nil {
			t.Fatal(err)
		}
		if holds {
			found = append(found, name)
		}
	}
	o, err := redisOptions(c.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(o)
	defer client.Close()
	ctx := context.Background()
	keys := client.Scan(ctx, 0, c.RedisPrefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		var all any
		switch kind := client.Type(ctx, keys.Val()).Val(); kind {
		case "hash":
			all = client.HGetAll(ctx, keys.Val()).Val()
		case "stream":
			all = client.XRange(ctx, keys.Val(), "-", "+").Val()
		case "string":
			all = client.Get(ctx, keys.Val()).Val()
		}
		if strings.Contains(fmt.Sprint(all), text) {
			found = append(found, "redis "+keys.Val())
		}
	}
	for _, path := range []string{"/api/feed?filter=all", "/api/search?q=" + text, "/api/saved", "/"} {
		status, body, err := s.try(who, "GET", path, nil)
		if err != nil || status != http.StatusOK {
			t.Fatalf("GET %s = %d, %v", path, status, err)
		}
		// The search says again what was looked for.
		if strings.Contains(strings.ReplaceAll(string(body), "q="+text, ""), text) {
			found = append(found, path)
		}
	}
	return found
}

// What operators and people delete is gone everywhere while the service runs, and readers' counts say so.
func TestWhatIsPurgedIsGoneEverywhere(t *testing.T) {
	const word = "zwitscherkanarie"
	discord := simtest.Start(t, sim.Options{})
	owner, reader, operator := discord.Person("owner"), discord.Person("reader"), discord.Person("operator")
	guild := discord.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "tides", "nets"}, nil)
	general, tides, nets := guild.Channel("general"), guild.Channel("tides"), guild.Channel("nets")
	c := configFor(t, discord)
	c.Admins, c.RemovedDays = []string{operator.ID}, 0
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the reader sees all channels", time.Minute, func() bool { return len(s.unread(me).channels()) == 3 })
	unread := func(what string, n int) {
		t.Helper()
		eventually(t, what, time.Minute, func() bool { return s.unread(me).Total == n })
	}
	gone := func(what string) {
		t.Helper()
		var found []string
		defer func() {
			if len(found) > 0 {
				t.Errorf("%s: not so, the word is in %q", what, found)
			}
		}()
		eventually(t, what, time.Minute, func() bool {
			found = everythingHolds(t, c, s, me, word)
			return len(found) == 0
		})
	}
	boss := credential{cookie: s.signIn(operator.ID)}

	// A channel, by the command line beside the running service.
	first := discord.Say(owner, general, "one "+word)
	var reply simtest.Object
	discord.Must(owner.Token, "POST", "/channels/"+general+"/messages", map[string]any{"content": "indeed", "message_reference": map[string]any{"message_id": first["id"]}}, &reply)
	discord.Say(owner, tides, "two")
	unread("three messages are there", 3)
	if found := everythingHolds(t, c, s, me, word); len(found) < 3 {
		t.Fatalf("the word is only in %q; the search does not see what it should", found)
	}
	lines := strings.Split(strings.TrimSpace(command(t, c, 0, "export", "--channel", general)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], word) {
		t.Errorf("export gives %q, want both messages", lines)
	}
	var document struct {
		Channels []struct{ Name string }
		Messages []struct {
			ID, Channel, Content string
			Message              struct{ ID string }
		}
	}
	if err := json.Unmarshal([]byte(command(t, c, 0, "export", "--guild", guild.ID, "--format", "json")), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Channels) != 3 || len(document.Messages) != 3 || document.Messages[0].Message.ID != document.Messages[0].ID {
		t.Errorf("export as one document gives %+v", document)
	}
	if out := command(t, c, 0, "purge", "--channel", general); !strings.Contains(out, "deleted 2 messages in 1 channels") {
		t.Errorf("purge says %q", out)
	}
	gone("the channel's words are gone")
	unread("one message is left", 1)
	if out := command(t, c, 0, "export", "--channel", general); out != "" {
		t.Errorf("export of a purged channel gives %q", out)
	}
	command(t, c, exitUsage, "purge")
	command(t, c, exitUsage, "purge", "--guild", guild.ID, "--channel", general)
	command(t, c, exitUsage, "purge", "--guild", "harbour")
	command(t, c, exitUsage, "purge", "--guild", guild.ID, "--opt-out")
	command(t, c, exitUsage, "export", "--channel", "x")
	command(t, c, exitFailure, "purge", "--guild", "4711")
	command(t, c, exitFailure, "export", "--guild", "4711")

	// A deleted message, with what quotes it.
	second := discord.Say(owner, tides, word)
	discord.Must(owner.Token, "POST", "/channels/"+tides+"/messages", map[string]any{"content": "yes", "message_reference": map[string]any{"message_id": second["id"]}}, nil)
	unread("three messages again", 3)
	discord.Must(owner.Token, "DELETE", fmt.Sprintf("/channels/%s/messages/%s", tides, second["id"]), nil, nil)
	gone("the deleted words are gone")
	unread("two messages", 2)

	// Somebody opts out: what they wrote is gone, what they write is counted.
	discord.Say(owner, nets, "three "+word)
	unread("three messages once more", 3)
	writer := credential{cookie: s.signIn(owner.ID)}
	if status := s.call(writer, "PUT", "/api/me/optout", nil, nil); status != http.StatusNoContent {
		t.Fatalf("PUT /api/me/optout = %d", status)
	}
	unread("all that they wrote is gone", 0)
	gone("their words are gone")
	discord.Say(owner, nets, "four "+word)
	unread("what they write is counted", 1)
	gone("and not kept")
	if status := s.call(writer, "DELETE", "/api/me/optout", nil, nil); status != http.StatusNoContent {
		t.Fatalf("DELETE /api/me/optout = %d", status)
	}

	// Operators see all of it at the pages' API, and the receipts.
	var audit struct{ Entries []struct{ What string } }
	if status := s.call(boss, "GET", "/api/admin/audit", nil, &audit); status != http.StatusOK {
		t.Fatalf("GET /api/admin/audit = %d", status)
	}
	var said []string
	for _, e := range audit.Entries {
		said = append(said, e.What)
	}
	for _, want := range []string{"purge", "export", "opt out", "opt in"} {
		if !strings.Contains(strings.Join(said, ","), want) {
			t.Errorf("the audit log has no %q: %q", want, said)
		}
	}
	var status struct {
		Overview *struct {
			Shards  []struct{ State string }
			Parts   []struct{ Name, State string }
			Sources []struct{ Name string }
		}
	}
	s.call(boss, "GET", "/api/status", nil, &status)
	if o := status.Overview; o == nil || len(o.Shards) != 1 || o.Shards[0].State != "ready" || len(o.Parts) != 3 || o.Parts[0].State != "good" || len(o.Sources) == 0 {
		t.Errorf("the overview is %+v", status.Overview)
	}
	status.Overview = nil
	if s.call(me, "GET", "/api/status", nil, &status); status.Overview != nil {
		t.Error("readers see the overview")
	}

	// The server removes the bot.
	discord.Say(owner, nets, "five "+word)
	unread("two messages in the end", 2)
	discord.Must(owner.Token, "DELETE", "/guilds/"+guild.ID+"/members/"+discord.Bot.ID.String(), nil, nil)
	eventually(t, "the reader sees nothing", time.Minute, func() bool { return len(s.unread(me).channels()) == 0 })
	if status := s.call(boss, "POST", "/api/admin/jobs", map[string]string{"kind": "forget-removed"}, nil); status != http.StatusNoContent {
		t.Fatalf("POST /api/admin/jobs = %d", status)
	}
	gone("the server's words are gone")
	var servers struct {
		Servers []struct {
			Name      string
			Forgotten *time.Time `json:"forgotten_at"`
		}
	}
	eventually(t, "the server is forgotten", time.Minute, func() bool {
		s.call(boss, "GET", "/api/admin/servers", nil, &servers)
		return len(servers.Servers) == 1 && servers.Servers[0].Forgotten != nil && servers.Servers[0].Name == ""
	})

	// And the reader leaves.
	browser := credential{cookie: s.signIn(reader.ID)}
	if status := s.call(browser, "DELETE", "/api/me/data", nil, nil); status != http.StatusOK {
		t.Fatalf("DELETE /api/me/data = %d", status)
	}
	for _, who := range []credential{browser, me} {
		if status := s.call(who, "GET", "/api/me", nil, nil); status != http.StatusUnauthorized {
			t.Errorf("GET /api/me after being forgotten = %d, want 401", status)
		}
	}
}
