package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

const (
	testGuild   discord.GuildID   = 100
	testChannel discord.ChannelID = 200
	ann         discord.UserID    = 11
	ben         discord.UserID    = 12
	moderators  discord.RoleID    = 13
)

// nth returns the id of the nth message of the tests' first day.
func nth(n int) discord.MessageID {
	return tidings.FirstID(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)) + discord.MessageID(n)<<22
}

// wire is the part of Discord's message object that the tests vary.
type wire struct {
	ID, Content string
	Author      discord.UserID
	Type        int
	Flags       int
	Edited      time.Time
	Users       []discord.UserID
	Roles       []discord.RoleID
	Everyone    bool
	Extra       map[string]any
}

// message parses Discord's object for message id, as bot would.
func message(t testing.TB, channel discord.ChannelID, id discord.MessageID, w wire) tidings.Message {
	t.Helper()
	o := map[string]any{
		"id": fmt.Sprint(uint64(id)), "channel_id": fmt.Sprint(uint64(channel)), "type": w.Type, "flags": w.Flags, "content": w.Content,
		"author": map[string]any{"id": fmt.Sprint(uint64(w.Author)), "username": "someone"},
		"embeds": []any{}, "mention_everyone": w.Everyone, "edited_timestamp": nil,
	}
	if w.Author == 0 {
		o["author"] = map[string]any{"id": fmt.Sprint(uint64(ann))}
	}
	if !w.Edited.IsZero() {
		o["edited_timestamp"] = w.Edited.Format(time.RFC3339Nano)
	}
	users, roles := []any{}, []string{}
	for _, u := range w.Users {
		users = append(users, map[string]any{"id": fmt.Sprint(uint64(u))})
	}
	for _, r := range w.Roles {
		roles = append(roles, fmt.Sprint(uint64(r)))
	}
	o["mentions"], o["mention_roles"] = users, roles
	for k, v := range w.Extra {
		o[k] = v
	}
	return parsed(t, o)
}

func parsed(t testing.TB, o map[string]any) tidings.Message {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tidings.ParseMessage(raw, testGuild)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func event(channel discord.ChannelID, body tidings.Body) tidings.Event {
	return tidings.Event{Source: tidings.SourceGateway, Guild: testGuild, Channel: channel, At: time.Now(), Body: body}
}

func from(source tidings.Source, ev tidings.Event) tidings.Event {
	ev.Source = source
	return ev
}

func created(t testing.TB, id discord.MessageID, w wire) tidings.Event {
	return event(testChannel, tidings.MessageCreated{Message: message(t, testChannel, id, w)})
}

func updated(t testing.TB, id discord.MessageID, w wire) tidings.Event {
	return event(testChannel, tidings.MessageUpdated{Message: message(t, testChannel, id, w)})
}

func removed(list ...discord.MessageID) tidings.Event {
	return event(testChannel, tidings.MessagesDeleted{IDs: list})
}

// record records events in one transaction and gives their deltas.
func record(t testing.TB, s *Store, events ...tidings.Event) []tidings.Delta {
	t.Helper()
	r, err := s.Record(t.Context(), events, nil)
	if err != nil {
		t.Fatalf("Record() = %v", err)
	}
	return r.Deltas
}

// say writes deltas in short: kind, version, and the change of the count.
func say(deltas []tidings.Delta) string {
	var b strings.Builder
	for _, d := range deltas {
		fmt.Fprintf(&b, "%s v%d n%+d;", d.Kind, d.Version, d.N)
	}
	return b.String()
}

func wantDeltas(t testing.TB, got []tidings.Delta, want string) {
	t.Helper()
	if g := say(got); g != want {
		t.Errorf("Record() deltas = %q, want %q", g, want)
	}
}

// one reads a single value.
func one[T any](t testing.TB, s *Store, query string, args ...any) T {
	t.Helper()
	var v T
	if err := s.db.GetContext(t.Context(), &v, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func content(t testing.TB, s *Store, id discord.MessageID) string {
	t.Helper()
	return one[string](t, s, `SELECT content FROM messages WHERE id = $1`, int64(id))
}

func payload(t testing.TB, s *Store, id discord.MessageID) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(one[[]byte](t, s, `SELECT payload FROM messages WHERE id = $1`, int64(id)), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func head(t testing.TB, s *Store, c discord.ChannelID) discord.MessageID {
	t.Helper()
	return one[discord.MessageID](t, s, `SELECT last_live_id FROM channels WHERE id = $1`, int64(c))
}

func TestTheSameEventTwiceMakesOneDelta(t *testing.T) {
	t.Parallel()
	s := open(t)
	ev := created(t, nth(1), wire{Content: "hello", Users: []discord.UserID{ben}})
	got := record(t, s, ev, ev)
	wantDeltas(t, got, "create v1 n+1;")
	d := got[0]
	if d.Guild != testGuild || d.Channel != testChannel || d.ID != nth(1) || d.Author != ann ||
		!slices.Equal(d.Mentions.Users, []discord.UserID{ben}) || d.Message == nil || d.Message.Content != "hello" {
		t.Errorf("Record() delta = %+v, want the message that was created", d)
	}
	for _, source := range []tidings.Source{tidings.SourceGateway, tidings.SourcePoll, tidings.SourceBackfill, tidings.SourceWebhook} {
		wantDeltas(t, record(t, s, from(source, ev)), "")
	}
	edit := updated(t, nth(1), wire{Content: "hello", Users: []discord.UserID{ben}})
	wantDeltas(t, record(t, s, edit), "")
	if got := head(t, s, testChannel); got != nth(1) {
		t.Errorf("head = %d, want %d", got, nth(1))
	}
}

func TestAPageFetchedBeforeADeleteDoesNotBringTheMessageBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	wantDeltas(t, record(t, s, removed(nth(1))), "")
	page := from(tidings.SourceBackfill, created(t, nth(1), wire{Content: "gone"}))
	wantDeltas(t, record(t, s, page), "")
	wantDeltas(t, record(t, s, updated(t, nth(1), wire{Content: "gone", Edited: time.Now()})), "")
	if got := content(t, s, nth(1)); got != "" {
		t.Errorf("content of a deleted message = %q, want none", got)
	}

	record(t, s, created(t, nth(2), wire{Content: "kept"}), created(t, nth(3), wire{Content: "secret", Everyone: true}))
	got := record(t, s, removed(nth(3)), removed(nth(3)))
	wantDeltas(t, got, "delete v3 n-1;")
	if d := got[0]; d.ID != nth(3) || d.Author != ann || !d.Mentions.Everyone || d.Message != nil {
		t.Errorf("Record() delta = %+v, want who wrote the message and whom it mentioned", d)
	}
	wantDeltas(t, record(t, s, from(tidings.SourcePoll, created(t, nth(3), wire{Content: "secret", Edited: time.Now()}))), "")
	if n := one[int](t, s, `SELECT count(*) FROM messages WHERE deleted AND (content <> '' OR payload IS NOT NULL)`); n != 0 {
		t.Errorf("%d deleted messages still hold what they said, want none", n)
	}
	if n := one[int](t, s, `SELECT count(*) FROM mention_targets`); n != 0 {
		t.Errorf("%d mentions of deleted messages are left, want none", n)
	}
	if got := head(t, s, testChannel); got != nth(2) {
		t.Errorf("head = %d, want the message before the deleted one, %d", got, nth(2))
	}
}

func TestABatchTellsWhatHappenedToOneMessageInOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	edited := time.UnixMilli(1_800_000_000_000)
	got := record(t, s,
		created(t, nth(1), wire{Content: "one"}),
		updated(t, nth(1), wire{Content: "two", Edited: edited, Users: []discord.UserID{ben}}),
		created(t, nth(2), wire{Content: "other"}),
		removed(nth(1)),
		created(t, nth(1), wire{Content: "one"}),
	)
	wantDeltas(t, got, "create v1 n+1;update v2 n+0;create v3 n+1;delete v4 n-1;")
	if b := got[1].Before; b == nil || !b.None() || !slices.Equal(got[1].Mentions.Users, []discord.UserID{ben}) {
		t.Errorf("the edit's delta has Before %+v and Mentions %+v, want none and ben", b, got[1].Mentions)
	}
	if !slices.Equal(got[3].Mentions.Users, []discord.UserID{ben}) {
		t.Errorf("the delete's delta has Mentions %+v, want those of the edited message", got[3].Mentions)
	}
	verify(t, s)
}

func TestABulkDeleteIsOneDelta(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{}), created(t, nth(2), wire{Author: ben, Users: []discord.UserID{ann}}), created(t, nth(3), wire{Type: 7}),
		created(t, nth(4), wire{}))
	got := record(t, s, removed(nth(1), nth(2), nth(3), nth(5)))
	wantDeltas(t, got, "delete v5 n-1;delete v6 n+0;")
	if d := got[0].Deleted; len(d) != 2 || d[0].ID != nth(1) || d[1].Author != ben || !slices.Equal(d[1].Mentions.Users, []discord.UserID{ann}) {
		t.Errorf("Deleted = %+v, want the two messages that counted", d)
	}
	if got[1].ID != nth(3) {
		t.Errorf("the second delta is of message %d, want the system line %d", got[1].ID, nth(3))
	}
	verify(t, s)
}

func TestEditsAreOrderedByTheirTimestamp(t *testing.T) {
	t.Parallel()
	older, newer := time.UnixMilli(1_800_000_000_000), time.UnixMilli(1_800_000_000_500)
	tests := []struct {
		name   string
		source tidings.Source
		create bool // the later object comes as one that is new
		first  wire
		then   wire
		want   string
	}{
		{"newer edit", tidings.SourceGateway, false, wire{Edited: older}, wire{Edited: newer}, "then"},
		{"older edit", tidings.SourceGateway, false, wire{Edited: newer}, wire{Edited: older}, "first"},
		{"never edited over edited", tidings.SourceGateway, false, wire{Edited: newer}, wire{}, "first"},
		{"a tie in order of arrival", tidings.SourceGateway, false, wire{Edited: newer}, wire{Edited: newer}, "then"},
		{"a tie within the millisecond", tidings.SourceGateway, false, wire{Edited: newer.Add(300_000)}, wire{Edited: newer}, "then"},
		{"a late create", tidings.SourceGateway, true, wire{Edited: newer}, wire{}, "first"},
		{"a page's newer edit", tidings.SourcePoll, true, wire{Edited: older}, wire{Edited: newer}, "then"},
		{"a page's tie", tidings.SourcePoll, true, wire{Edited: newer}, wire{Edited: newer}, "first"},
		{"a page's older state", tidings.SourceBackfill, true, wire{Edited: newer}, wire{}, "first"},
		{"a webhook's tie", tidings.SourceWebhook, false, wire{}, wire{}, "first"},
		{"a webhook's older state", tidings.SourceWebhook, false, wire{Edited: newer}, wire{Edited: older}, "first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			tt.first.Content, tt.then.Content = "first", "then"
			tt.then.Users = []discord.UserID{ben}
			record(t, s, created(t, nth(1), tt.first))
			ev := updated(t, nth(1), tt.then)
			if tt.create {
				ev = created(t, nth(1), tt.then)
			}
			got := record(t, s, from(tt.source, ev))
			if c := content(t, s, nth(1)); c != tt.want {
				t.Errorf("content = %q, want %q", c, tt.want)
			}
			if changed := len(got) == 1; changed != (tt.want == "then") {
				t.Errorf("Record() deltas = %q", say(got))
			}
			verify(t, s)
		})
	}
}

func TestAnEmbedThatResolvesLaterChangesOnlyTheEmbeds(t *testing.T) {
	t.Parallel()
	s := open(t)
	edited := time.UnixMilli(1_800_000_000_000)
	embeds := map[string]any{"embeds": []any{map[string]any{"title": "a page"}}}
	record(t, s, created(t, nth(1), wire{Content: "new text", Edited: edited, Users: []discord.UserID{ben}}))

	got := record(t, s, updated(t, nth(1), wire{Content: "old text", Extra: embeds}))
	wantDeltas(t, got, "update v2 n+0;")
	if got[0].Before != nil || !slices.Equal(got[0].Mentions.Users, []discord.UserID{ben}) {
		t.Errorf("the delta has Before %+v and Mentions %+v, want no change", got[0].Before, got[0].Mentions)
	}
	if p := payload(t, s, nth(1)); p["content"] != "new text" || len(p["embeds"].([]any)) != 1 {
		t.Errorf("payload = %v, want the new text with the embed", p)
	}
	wantDeltas(t, record(t, s, updated(t, nth(1), wire{Content: "old text", Extra: embeds})), "")

	partial := parsed(t, map[string]any{"id": fmt.Sprint(uint64(nth(2))), "channel_id": fmt.Sprint(uint64(testChannel)), "embeds": embeds["embeds"]})
	record(t, s, created(t, nth(2), wire{Content: "whole", Everyone: true}))
	wantDeltas(t, record(t, s, event(testChannel, tidings.MessageUpdated{Message: partial})), "update v4 n+0;")
	if p := payload(t, s, nth(2)); p["content"] != "whole" || len(p["embeds"].([]any)) != 1 || p["mention_everyone"] != true {
		t.Errorf("payload = %v, want all that it said and the embed", p)
	}
	verify(t, s)
}

func TestAPageFillsInEmbedsAndReplacesNothing(t *testing.T) {
	t.Parallel()
	edited := time.UnixMilli(1_800_000_000_000)
	embeds := func(title string) map[string]any {
		return map[string]any{"embeds": []any{map[string]any{"title": title}}}
	}
	tests := []struct {
		name   string
		stored wire
		page   wire
		want   string
	}{
		{"none are stored", wire{}, wire{Extra: embeds("page's")}, "update v2 n+0;"},
		{"some are stored", wire{Extra: embeds("stored")}, wire{Extra: embeds("page's")}, ""},
		{"the page is older", wire{Edited: edited}, wire{Extra: embeds("page's")}, ""},
		{"they were taken away", wire{Flags: suppressEmbeds}, wire{Extra: embeds("page's")}, ""},
		{"the page has none", wire{Extra: embeds("stored")}, wire{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			record(t, s, created(t, nth(1), tt.stored))
			wantDeltas(t, record(t, s, from(tidings.SourcePoll, created(t, nth(1), tt.page))), tt.want)
		})
	}
}

func TestAnEditRebuildsTheMentions(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{Users: []discord.UserID{ann, ben}}))
	got := record(t, s, updated(t, nth(1), wire{Users: []discord.UserID{ben}, Roles: []discord.RoleID{moderators}, Edited: time.UnixMilli(1_800_000_000_000)}))
	wantDeltas(t, got, "update v2 n+0;")
	d := got[0]
	if d.Before == nil || !slices.Equal(d.Before.Users, []discord.UserID{ann, ben}) || len(d.Before.Roles) != 0 {
		t.Errorf("Before = %+v, want ann and ben", d.Before)
	}
	if !slices.Equal(d.Mentions.Users, []discord.UserID{ben}) || !slices.Equal(d.Mentions.Roles, []discord.RoleID{moderators}) {
		t.Errorf("Mentions = %+v, want ben and the moderators", d.Mentions)
	}
	targets := one[string](t, s, `SELECT string_agg(kind || ':' || target_id, ' ' ORDER BY kind) FROM mention_targets`)
	if want := "0:12 1:13"; targets != want {
		t.Errorf("mention targets = %q, want %q", targets, want)
	}
}

func TestAnUpdateOfAnUnknownMessage(t *testing.T) {
	t.Parallel()
	s := open(t)
	wantDeltas(t, record(t, s, updated(t, nth(1), wire{Content: "we missed the create"})), "create v1 n+1;")

	partial := parsed(t, map[string]any{"id": fmt.Sprint(uint64(nth(2))), "channel_id": fmt.Sprint(uint64(testChannel)), "content": "part"})
	ev := event(testChannel, tidings.MessageUpdated{Message: partial})
	wantDeltas(t, record(t, s, ev, ev), "")
	wantDeltas(t, record(t, s, ev), "")
	if n := one[int](t, s, `SELECT count(*) FROM gaps WHERE channel_id = $1 AND from_id < $2 AND to_id >= $2`, int64(testChannel), int64(nth(2))); n != 1 {
		t.Errorf("%d gaps around the unknown message are open, want 1", n)
	}
}

func TestWhatOnlyOnePersonSeesIsNotStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	wantDeltas(t, record(t, s, created(t, nth(1), wire{Flags: tidings.FlagEphemeral})), "")
	if n := one[int](t, s, `SELECT count(*) FROM messages`); n != 0 {
		t.Errorf("%d messages are stored, want none", n)
	}
}

func TestSystemLinesDoNotCountAndMentionNobody(t *testing.T) {
	t.Parallel()
	s := open(t)
	got := record(t, s, created(t, nth(1), wire{Type: 7, Users: []discord.UserID{ben}}))
	wantDeltas(t, got, "create v1 n+0;")
	if !got[0].Mentions.None() || head(t, s, testChannel) != 0 {
		t.Errorf("delta = %+v and head = %d, want no mention and no head", got[0], head(t, s, testChannel))
	}
	verify(t, s)
}

func TestAMessageInAnUnknownChannelMakesAPlaceholder(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{}))
	if kind := one[int](t, s, `SELECT type FROM channels WHERE id = $1`, int64(testChannel)); kind != tidings.ChannelUnknown {
		t.Errorf("type = %d, want %d", kind, tidings.ChannelUnknown)
	}
	if g := one[discord.GuildID](t, s, `SELECT guild_id FROM channels WHERE id = $1`, int64(testChannel)); g != testGuild {
		t.Errorf("guild = %d, want %d", g, testGuild)
	}
}

// BenchmarkRecord measures created messages as they come in a burst: batches of 500 over 50 channels, objects of about 1.2 KB,
// one in five with a mention, one author in twenty signed in.
func BenchmarkRecord(b *testing.B) {
	s := open(b)
	for u := range 20 {
		if _, err := s.SaveUser(b.Context(), tidings.User{ID: discord.UserID(1 + u*20)}); err != nil {
			b.Fatal(err)
		}
		if _, err := s.db.Exec(addBaseline, 1+u*20, int64(testGuild), 1); err != nil {
			b.Fatal(err)
		}
	}
	const perBatch = 500
	noise := make([]byte, 450)
	n := 0
	batch := func() []tidings.Event {
		events := make([]tidings.Event, perBatch)
		for i := range events {
			n++
			c := discord.ChannelID(500 + n*7%50)
			for j := range noise {
				noise[j] = byte(n * (j + 3) >> 2)
			}
			w := wire{Content: fmt.Sprint("message number ", n), Author: discord.UserID(1 + n%400), Extra: map[string]any{"attachments": noise}}
			if n%5 == 0 {
				w.Users = []discord.UserID{discord.UserID(1 + n%40)}
			}
			events[i] = event(c, tidings.MessageCreated{Message: message(b, c, nth(n), w)})
		}
		return events
	}
	for b.Loop() {
		b.StopTimer()
		events := batch()
		b.StartTimer()
		if r, err := s.Record(b.Context(), events, nil); err != nil || len(r.Deltas) != perBatch {
			b.Fatalf("Record() = %d deltas, %v", len(r.Deltas), err)
		}
	}
	b.ReportMetric(float64(perBatch*b.N)/b.Elapsed().Seconds(), "messages/s")
}

// What was written by hand, or came out of a part of a backup, may be above the newest that its channel is said to have.
func TestAMessageAboveTheNewestIsFound(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1), nth(2), nth(3))
	_, err := l.db.ExecContext(t.Context(), `UPDATE channels SET last_seen_id = $1 WHERE id = $2`, int64(nth(1)), int64(lobby))
	l.check(err)
	l.said(lobby, nth(3), nth(4))
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages`); n != 4 {
		t.Errorf("%d messages are stored, want 4", n)
	}
	if n := one[int](t, l.Store, `SELECT sum(n) FROM live_buckets`); n != 4 {
		t.Errorf("%d messages are counted, want 4", n)
	}
}
