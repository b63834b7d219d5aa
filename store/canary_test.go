package store

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
)

// canary is one word, so that the search index holds it whole.
const canary = "zwitscherkanarie"

// whoHolds names the tables, and the keys in Redis, in which a text is found.
func whoHolds(t testing.TB, s *Store, text string) string {
	t.Helper()
	var tables []struct {
		Name  string `db:"name"`
		Bytes string `db:"bytes"` // its bytea columns, which show as hex in a row's text
	}
	if err := s.db.Select(&tables, `
		SELECT c.relname AS name, coalesce(string_agg(quote_ident(a.attname), ' ') FILTER (WHERE a.atttypid = 'bytea'::regtype), '') AS bytes
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
		GROUP BY c.relname
		ORDER BY c.relname`); err != nil || len(tables) < 20 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	var found []string
	for _, table := range tables {
		where := `position($1 IN lower(x::text)) > 0`
		for _, column := range strings.Fields(table.Bytes) {
			where += ` OR position(convert_to($1, 'UTF8') IN ` + column + `) > 0`
		}
		if one[bool](t, s, `SELECT EXISTS (SELECT FROM `+table.Name+` x WHERE `+where+`)`, text) {
			found = append(found, table.Name)
		}
	}
	ctx := context.Background()
	keys := s.cache.redis.Scan(ctx, 0, s.cache.prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		all, err := s.cache.redis.HGetAll(ctx, keys.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprint(all), text) || text == canary && strings.Contains(fmt.Sprint(all), "endpdHNjaGVya2FuYXJp") { // the start of it in base64, as in a payload
			found = append(found, "redis")
		}
	}
	return strings.Join(found, " ")
}

// gossip fills a guild with the canary, in every place where a message's words can come to lie, and returns the ids of ann's two messages in
// the lobby: one that ben answers, one that nobody does.
func gossip(t testing.TB, l *listener, ago time.Duration) (answered, plain discord.MessageID) {
	t.Helper()
	for _, u := range []discord.UserID{ann, ben} {
		_, err := l.SaveUser(t.Context(), tidings.User{ID: u, Name: fmt.Sprint(u)})
		l.check(err)
	}
	l.ready("one")
	l.shown(0, 0)
	day := tidings.FirstID(time.Now().Add(-ago))
	post := func(c discord.ChannelID, n int, w wire) discord.MessageID {
		id := day + discord.MessageID(n)<<22
		ev := event(c, tidings.MessageCreated{Message: message(t, c, id, w)})
		_, err := l.Record(t.Context(), []tidings.Event{ev}, nil)
		l.check(err)
		return id
	}
	answered = post(lobby, 1, wire{Author: ann, Content: "a " + canary})
	post(lobby, 2, wire{Author: ben, Type: 19, Content: "indeed", Extra: map[string]any{"referenced_message": map[string]any{
		"id": fmt.Sprint(uint64(answered)), "channel_id": fmt.Sprint(uint64(lobby)), "content": "a " + canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
	}}})
	plain = post(lobby, 3, wire{Author: ann, Content: "look", Extra: map[string]any{"embeds": []any{map[string]any{"description": canary}}}})
	// What starts a thread quotes a message of another channel.
	post(attic, 4, wire{Author: ben, Type: 21, Extra: map[string]any{"referenced_message": map[string]any{
		"id": fmt.Sprint(uint64(answered)), "channel_id": fmt.Sprint(uint64(lobby)), "content": canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
	}}})
	l.check(l.Save(t.Context(), places(), lobby, plain))
	// An event that could not be stored, and a delivery that waits.
	l.dead(event(lobby, tidings.MessageUpdated{Message: message(t, lobby, plain, wire{Author: ann, Content: canary})}))
	// And all in the cache.
	for _, c := range []discord.ChannelID{lobby, attic} {
		_, err := l.Messages(t.Context(), PageQuery{Channel: c, Limit: 50})
		l.check(err)
	}
	if got := whoHolds(t, l.Store, canary); got != "dead_events messages redis redis" {
		t.Fatalf("the canary is in %q; the test does not see what it should", got)
	}
	return answered, plain
}

// places are what ann and ben see.
func places() *tidings.VisibleSet {
	return &tidings.VisibleSet{User: ben, Guilds: []tidings.VisibleGuild{{
		Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: lobby, Guild: testGuild}, {ID: attic, Guild: testGuild}},
	}}}
}

func quietly(context.Context, tidings.Result) {}

func TestNothingHoldsWhatWasForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		forget func(t *testing.T, l *listener, answered, plain discord.MessageID)
		left   int // live messages in the end
	}{
		{"deleted on Discord", func(t *testing.T, l *listener, answered, plain discord.MessageID) {
			_, err := l.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessagesDeleted{IDs: []discord.MessageID{answered, plain}})}, nil)
			l.check(err)
		}, 2},
		{"too old", func(t *testing.T, l *listener, answered, _ discord.MessageID) {
			l.retention = 24 * time.Hour
			l.exec(`DELETE FROM dead_events`) // They are days old by then, and end with Cleanup.
			_, err := l.Retain(t.Context(), quietly)
			l.check(err)
		}, 0},
		{"a purged channel", func(t *testing.T, l *listener, _, _ discord.MessageID) {
			r, err := l.Purge(t.Context(), Purge{Channel: lobby}, quietly)
			l.check(err)
			if r.Messages != 3 || r.Channels != 1 {
				t.Errorf("Purge() = %+v", r)
			}
		}, 1},
		{"a purged server", func(t *testing.T, l *listener, _, _ discord.MessageID) {
			_, err := l.Purge(t.Context(), Purge{Guild: testGuild}, quietly)
			l.check(err)
		}, 0},
		{"a purged author", func(t *testing.T, l *listener, _, _ discord.MessageID) {
			r, err := l.Purge(t.Context(), Purge{Author: ann}, quietly)
			l.check(err)
			if r.Messages != 2 {
				t.Errorf("Purge() = %+v", r)
			}
			if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE author_id = $1`, int64(ann)); n != 0 {
				t.Errorf("%d rows still name the author", n)
			}
		}, 2},
		{"a server that removed the bot", func(t *testing.T, l *listener, _, _ discord.MessageID) {
			_, err := l.RecordBarrier(t.Context(), event(0, tidings.GuildGone{}), nil)
			l.check(err)
			if n, err := l.ForgetRemoved(t.Context(), time.Hour, quietly); n != 0 || err != nil {
				t.Fatalf("ForgetRemoved() within the grace period = %d, %v", n, err)
			}
			l.exec(`UPDATE guilds SET removed_at = now() - interval '2 hours'`)
			var told tidings.Result
			n, err := l.ForgetRemoved(t.Context(), time.Hour, func(_ context.Context, r tidings.Result) { told.Access = append(told.Access, r.Access...) })
			if n != 1 || err != nil || len(told.Access) != 1 || told.Access[0].Guild != testGuild {
				t.Fatalf("ForgetRemoved() = %d, %v, told %+v", n, err, told)
			}
			if got := whoHolds(t, l.Store, "lobby"); got != "" {
				t.Errorf("the name of a channel is in %s", got)
			}
			if n, err := l.ForgetRemoved(t.Context(), time.Hour, quietly); n != 0 || err != nil {
				t.Errorf("ForgetRemoved() again = %d, %v", n, err)
			}
			// The bot is invited again: everything begins anew.
			l.ready("two")
			l.shown(0, 0)
			state, err := l.GuildState(t.Context(), testGuild)
			l.check(err)
			if len(state.Channels) != 2 || state.Guild.Name != "guild" {
				t.Errorf("after an invitation the guild is %+v", state)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			answered, plain := gossip(t, l, 40*24*time.Hour)
			c.forget(t, l, answered, plain)
			if got := whoHolds(t, l.Store, canary); got != "" {
				t.Errorf("the text is still in %s", got)
			}
			if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE NOT deleted`); n != c.left {
				t.Errorf("%d live messages are left, want %d", n, c.left)
			}
			stated, recounted, err := l.Verify(t.Context(), places())
			l.check(err)
			for i := range stated {
				if stated[i] != recounted[i] {
					t.Errorf("stated %+v, recounted %+v", stated[i], recounted[i])
				}
			}
			// A page that was fetched before brings nothing back, and neither does a reply.
			if c.name == "a server that removed the bot" {
				return // It has been invited again, and may tell its past.
			}
			again := from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, plain, wire{Author: ann, Content: canary})}))
			reply := event(attic, tidings.MessageCreated{Message: message(t, attic, tidings.FirstID(time.Now()), wire{Author: ben, Type: 19, Extra: map[string]any{"referenced_message": map[string]any{
				"id": fmt.Sprint(uint64(plain)), "channel_id": fmt.Sprint(uint64(lobby)), "content": canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
			}}})})
			_, err = l.Record(t.Context(), []tidings.Event{again, reply}, nil)
			l.check(err)
			if got := whoHolds(t, l.Store, canary); got != "" {
				t.Errorf("the text is back in %s", got)
			}
		})
	}
}

// A thread that nobody has named before, such as one that was archived long ago, is as old as what was purged.
func TestAThreadThatIsSeenFirstAfterAPurgeBringsNothingBack(t *testing.T) {
	t.Parallel()
	for _, purge := range []Purge{{Guild: testGuild}, {Channel: lobby}} {
		for _, told := range []bool{false, true} { // a message of it comes before the thread is named
			l := listen(t)
			l.ready("one")
			l.shown(0, 0)
			old := tidings.FirstID(time.Now().Add(-time.Hour))
			l.said(lobby, old)
			_, err := l.Purge(t.Context(), purge, quietly)
			l.check(err)
			thread := tidings.Channel{ID: discord.ChannelID(old), Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, LastMessage: old + 5}
			page := from(tidings.SourceBackfill, event(thread.ID, tidings.MessageCreated{Message: message(t, thread.ID, old+5, wire{Author: ann, Content: canary})}))
			young := event(thread.ID, tidings.MessageCreated{Message: message(t, thread.ID, tidings.FirstID(time.Now().Add(time.Second)), wire{Author: ann, Content: "new"})})
			if told {
				_, err = l.Record(t.Context(), []tidings.Event{young}, nil)
				l.check(err)
			}
			l.barrier(tidings.ChannelSeen{Channel: thread})
			_, err = l.Record(t.Context(), []tidings.Event{page, young}, nil)
			l.check(err)
			if got := whoHolds(t, l.Store, canary); got != "" {
				t.Errorf("after the purge of %+v the text is in %s", purge, got)
			}
			if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE channel_id = $1 AND NOT deleted`, int64(thread.ID)); n != 1 {
				t.Errorf("after the purge of %+v the thread holds %d messages, want what was written later", purge, n)
			}
		}
	}
}

func (l *listener) exec(query string) {
	l.t.Helper()
	_, err := l.db.ExecContext(context.Background(), query)
	l.check(err)
}

func TestAnAuthorWhoHasOptedOutIsCountedButNotKept(t *testing.T) {
	t.Parallel()
	l := listen(t)
	_, err := l.SaveUser(t.Context(), tidings.User{ID: ben, Name: "ben"})
	l.check(err)
	l.ready("one")
	l.shown(0, 0)
	l.check(l.OptOut(t.Context(), ann, ann))
	day := tidings.FirstID(time.Now().Add(-time.Hour))
	quote := map[string]any{"referenced_message": map[string]any{
		"id": fmt.Sprint(uint64(day)), "channel_id": fmt.Sprint(uint64(lobby)), "content": canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
	}}
	words := wire{Author: ann, Content: canary, Users: []discord.UserID{ben}, Extra: map[string]any{"author": map[string]any{"id": fmt.Sprint(uint64(ann)), "username": canary}}}
	edited := words
	edited.Edited = time.Now()
	partial := tidings.MessageUpdated{Message: message(t, lobby, day, words)}
	partial.Message.Author, partial.Message.Partial = 0, true
	first := message(t, lobby, day, words)
	r, err := l.Record(t.Context(), []tidings.Event{
		event(lobby, tidings.MessageCreated{Message: first}),
		event(lobby, tidings.MessageUpdated{Message: message(t, lobby, day, edited)}),
		event(lobby, partial),
		event(lobby, tidings.ReactionChanged{Change: tidings.ReactionAdded, Message: day, User: ben, Emoji: "🐦"}),
		event(lobby, tidings.MessageCreated{Message: message(t, lobby, day+1, wire{Author: ben, Type: 19, Content: "yes", Extra: quote})}),
	}, nil)
	l.check(err)
	for _, d := range r.Deltas {
		if d.Message != nil && strings.Contains(string(d.Message.Payload)+d.Message.Content, canary) {
			t.Errorf("a %s tells the words", d.Kind)
		}
	}
	l.dead(event(lobby, tidings.MessageCreated{Message: message(t, lobby, day+2, words)}))
	if got := whoHolds(t, l.Store, canary); got != "" {
		t.Errorf("the words are in %s", got)
	}
	sum, err := l.Summary(t.Context(), &tidings.VisibleSet{User: moderatorsMember, Guilds: places().Guilds})
	l.check(err)
	if c := sum.Guilds[0].Channels[0]; c.Unread != 2 {
		t.Errorf("%d are unread, want 2: the message is there", c.Unread)
	}
	if n := one[int](t, l.Store, `SELECT count(*) FROM mention_targets WHERE target_id = $1`, int64(ben)); n != 1 {
		t.Errorf("%d mentions of ben, want 1", n)
	}
	l.check(l.OptIn(t.Context(), ann, ann))
	later := words
	later.Edited = time.Now().Add(time.Hour)
	_, err = l.Record(t.Context(), []tidings.Event{
		from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, day, later)})),
	}, nil)
	l.check(err)
	if got := whoHolds(t, l.Store, canary); got != "" {
		t.Errorf("after opting in, what was kept back is in %s", got)
	}
	_, err = l.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessageCreated{Message: message(t, lobby, day+5, words)})}, nil)
	l.check(err)
	if got := whoHolds(t, l.Store, canary); !strings.Contains(got, "messages") {
		t.Errorf("after opting in, what is written is in %q", got)
	}
	log, err := l.AuditLog(t.Context(), 0, 0, 10)
	l.check(err)
	if len(log) != 2 || log[0].What != "opt in" || log[1].User != ann {
		t.Errorf("AuditLog() = %+v", log)
	}
}

const moderatorsMember discord.UserID = 99

// Whoever opts out while their message is being recorded finds it recorded, and so a purge after that finds it too.
func TestAnOptOutWaitsForWhatIsBeingRecorded(t *testing.T) {
	t.Parallel()
	s := guild(t)
	tx, err := s.db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	b := newBatch([]tidings.Event{created(t, nth(1), wire{Author: ann, Content: canary})})
	if err := s.makeRoom(t.Context(), &absentError{channels: map[discord.ChannelID]discord.GuildID{testChannel: testGuild}}); err != nil {
		t.Fatal(err)
	}
	if err := b.load(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.OptOut(context.WithoutCancel(t.Context()), ann, ann) }()
	waiting := func() bool {
		return one[bool](t, s, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'author_optouts'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted)`)
	}
	for deadline := time.Now().Add(30 * time.Second); !waiting(); {
		select {
		case err := <-done:
			t.Fatalf("OptOut() = %v beside a recording", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("OptOut() does not wait")
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOfAPersonWhoIsForgottenOnlyTheReceiptStays(t *testing.T) {
	t.Parallel()
	l := listen(t)
	gossip(t, l, time.Hour)
	who := discord.UserID(777777777)
	_, err := l.SaveUser(t.Context(), tidings.User{ID: who, Name: "piet"})
	l.check(err)
	for _, query := range []string{
		`INSERT INTO members (guild_id, user_id, state) VALUES (100, 777777777, 'in')`,
		`INSERT INTO baselines VALUES (777777777, 100, 1)`,
		`INSERT INTO read_positions VALUES (777777777, 1, 1, false, 1)`,
		`INSERT INTO read_floors VALUES (777777777, 0, 1, 1)`,
		`INSERT INTO read_log VALUES (777777777, 1, 'read', '[]')`,
		`INSERT INTO visits VALUES (777777777, 0, now())`,
		`INSERT INTO ignored_authors VALUES (777777777, 1)`,
		`INSERT INTO saved_messages VALUES (777777777, 1, 1)`,
		`INSERT INTO mutes VALUES (777777777, 1)`,
		`INSERT INTO keywords VALUES (777777777, '{piet}')`,
		`INSERT INTO views (user_id, name, filters) VALUES (777777777, 'piet', '{}')`,
		`INSERT INTO outgoing_webhooks (user_id, url, secret, mentions, keywords, settled_id) VALUES (777777777, 'https://piet.example', 'x', true, true, 0)`,
		`INSERT INTO suppressed VALUES (777777777, 100, true, true)`,
		`INSERT INTO servers_of VALUES (777777777, 100, 'piet')`,
		`INSERT INTO notify_prefs VALUES (777777777, 100, 2)`,
		`INSERT INTO notify_settings VALUES (777777777, true, 0, 60, 'Europe/Piet')`,
		`INSERT INTO push_subscriptions (user_id, session, endpoint, sealed, agent, words, settled_id) VALUES (777777777, 'piet', 'x', 'piet', 'piet', true, 0)`,
	} {
		l.exec(query)
	}
	l.check(l.SaveOAuthToken(t.Context(), who, []byte("sealed")))
	_, err = l.CreateToken(t.Context(), who, "piet's", []string{"read"})
	l.check(err)
	l.check(l.Commit("cookie", []byte("piet's session"), time.Now().Add(time.Hour)))
	l.check(l.NoteSession(t.Context(), TokenKey("cookie"), who, "piet's browser"))
	before, err := l.AccessVersions(t.Context())
	l.check(err)

	deleted, moved, err := l.ForgetPerson(t.Context(), who)
	l.check(err)
	if len(deleted) != len(personRows) {
		t.Errorf("ForgetPerson() deleted from %d tables, want %d: %v", len(deleted), len(personRows), deleted)
	}
	// A table with people in it is deleted from, or is one of these.
	discords := map[string]bool{"thread_members": true, "reactions": true, "poll_votes": true, "audit_log": true}
	var tables []string
	l.check(l.db.Select(&tables, `SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema() AND column_name = 'user_id'`))
	for _, table := range tables {
		if !discords[table] && !slices.ContainsFunc(personRows, func(p struct{ table, query string }) bool { return p.table == table }) {
			t.Errorf("%s holds people, and ForgetPerson does not know of it", table)
		}
	}
	if len(moved.Access) != 1 || moved.Access[0].Version != before[testGuild]+1 {
		t.Errorf("moved are %+v, want the guild", moved.Access)
	}
	if got := whoHolds(t, l.Store, "777777777"); got != "audit_log" {
		t.Errorf("the id is in %q, want in the audit log only", got)
	}
	if got := whoHolds(t, l.Store, "piet"); got != "" {
		t.Errorf("the name is in %q", got)
	}
}

// A dump is what a backup is made of; the tables' own search cannot see what lies in indexes' or sequences' definitions.
func TestADumpHoldsNothingOfAPurgedServer(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Options{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.RecordBarrier(t.Context(), event(0, tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild}}}), nil); err != nil {
		t.Fatal(err)
	}
	record(t, s, created(t, nth(1), wire{Content: canary}))
	dump := func() string {
		out, err := exec.CommandContext(t.Context(), "pg_dump", "--dbname", dumpURL(t, url), "--schema", schemaOf(t, s)).CombinedOutput()
		if err != nil {
			t.Fatalf("pg_dump: %v: %s", err, out)
		}
		return string(out)
	}
	if !strings.Contains(dump(), canary) {
		t.Fatal("the dump does not hold what is stored")
	}
	if _, err := s.Purge(t.Context(), Purge{Guild: testGuild}, quietly); err != nil {
		t.Fatal(err)
	}
	text := dump()
	if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
		t.Error("the dump holds what was purged")
	}
}

func schemaOf(t testing.TB, s *Store) string {
	t.Helper()
	return one[string](t, s, `SELECT current_schema()`)
}
