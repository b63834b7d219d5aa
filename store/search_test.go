package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func TestParseSearch(t *testing.T) {
	t.Parallel()
	day := func(s string) discord.MessageID {
		q, err := ParseSearch("before:" + s)
		if err != nil {
			t.Fatal(err)
		}
		return q.Before
	}
	for text, want := range map[string]SearchQuery{
		"":                                              {},
		"hello  world":                                  {Words: "hello world"},
		`"good morning" -bad or ugly`:                   {Words: `"good morning" -bad or ugly`},
		`-"good morning"`:                               {Words: `-"good morning"`},
		`"not closed`:                                   {Words: `"not" closed`},
		"https://example.org/a:b at 10:30":              {Words: `"https example org a b" at "10 30"`},
		"error: no route":                               {Words: "error no route"},
		`-foo.bar() -"or" --x - "?" ölig-é`:             {Words: `-"foo bar" -"or" -x "ölig é"`},
		"from:me FROM:7002 from:<@!7003> x":             {Words: "x", FromMe: true, From: []discord.UserID{7002, 7003}},
		`from:Bob from:"Old Salt" from:@x from:-5`:      {Named: []string{"bob", "old salt", "x", "-5"}},
		`in:general in:"Big Talk" in:<#1001>`:           {In: []string{"general", "Big Talk", "<#1001>"}},
		"has:link has:FILE has:poll":                    {Has: []tidings.Features{tidings.HasLink, tidings.HasFile, tidings.HasPoll}},
		"mentions:me mentions:<@&101>":                  {Me: true, Mentions: []discord.Snowflake{101}},
		"before:2026-03-10 after:2026-03-09":            {Before: day("2026-03-10"), After: day("2026-03-10") - 1},
		"before:2026-03-11 before:2026-03-10T00:00:00Z": {Before: day("2026-03-10")},
		"after:175928847299117063":                      {After: 175928847299117063},
	} {
		if got, err := ParseSearch(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseSearch(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"from:", "from: 7", "has:hope", "before:soon", "before:2001-01-01", "after:9999-01-01", "mentions:0", "\xff", "a\x00b",
		strings.Repeat("x", MaxSearch+1), strings.Repeat("has:link ", maxSearchFilters+1)} {
		if q, err := ParseSearch(text); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("ParseSearch(%.30q) = %+v, %v, want ErrInvalid", text, q, err)
		}
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{`"a b" -c from:me`, "in:\"x y", "before:2026-01-01 has:link", ":::", `-"`, "from:<@1>", "a:\"b\"c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParseSearch(text)
		if err != nil {
			if !errors.Is(err, tidings.ErrInvalid) || !reflect.DeepEqual(q, SearchQuery{}) {
				t.Errorf("ParseSearch(%q) = %+v, %v", text, q, err)
			}
			return
		}
		if !utf8.ValidString(q.Words) || strings.ContainsRune(q.Words, 0) || len(q.In)+len(q.From)+len(q.Has)+len(q.Mentions) > maxSearchFilters {
			t.Errorf("ParseSearch(%q) = %+v", text, q)
		}
		if again, err := ParseSearch(q.Words); err == nil && again.Words != q.Words {
			t.Errorf("the words of %q are %q, and read again %q", text, q.Words, again.Words)
		}
		if query, args := q.statement(set(me), q.Words != "", ""); strings.Count(query, "%!") > 0 || len(args) > 4 {
			t.Errorf("the statement of %q is %s", text, query)
		}
	})
}

// found searches page by page and gives the numbers of what was found.
func (w *world) found(s *tidings.VisibleSet, text string, limit int) []int {
	w.t.Helper()
	q, err := ParseSearch(text)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []int
	cursor := ""
	for range 50 {
		p, err := w.Search(w.t.Context(), s, q, cursor, limit)
		if err != nil {
			w.t.Fatalf("Search(%q) = %v", text, err)
		}
		list = append(list, numbersOf(p)...)
		if cursor = p.Next; cursor == "" {
			return list
		}
	}
	w.t.Fatalf("Search(%q) does not end", text)
	return nil
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(bob)
	say := func(c discord.ChannelID, n int, author discord.UserID, text string, m tidings.Mentions, has tidings.Features) {
		t.Helper()
		w.post(c, author, m, at(0, n))
		w.exec(`UPDATE messages SET content = $1, has = $2 WHERE channel_id = $3 AND id = $4`, text, int(has), int64(c), int64(at(0, n)))
	}
	say(general, 1, alice, "The tide is rising", nobody, 0)
	say(thread, 2, bob, "rising costs, see https://example.org/tables", users(me), tidings.HasLink)
	say(random, 3, me, "is the tide rising", nobody, tidings.HasFile)
	say(news, 4, alice, "TIDE! Rising? The is the tide", everyone, tidings.HasPoll|tidings.HasLink)
	say(general, 5, bob, "Ebbe und Flut", roles(modsA), 0)
	say(general, 6, alice, "the tide is a secret", nobody, 0)
	say(hideout, 7, alice, "a tide in a hidden place", nobody, 0)
	w.erase(general, at(0, 6))
	w.exec(`UPDATE messages SET id = id - (40::bigint * 86400000 << 22) WHERE id = $1`, int64(at(0, 5)))
	w.exec(`UPDATE mention_targets SET message_id = message_id - (40::bigint * 86400000 << 22) WHERE message_id = $1`, int64(at(0, 5)))
	old := func(n int) int { return n - 40*86400000<<22 }
	day := noon.Format("2006-01-02")
	for _, tt := range []struct {
		text string
		want []int
	}{
		{"tide", []int{4, 3, 1}},
		{"TIDE rising", []int{4, 3, 1}},
		{`"tide is rising"`, []int{1}},
		{`"tide rising"`, []int{4, 3}},
		{"tide -poll -is", nil},
		{"rising -tide", []int{2}},
		{"flut or costs", []int{2, old(5)}},
		{"secret", nil},
		{"hidden", nil},
		{"from:me", []int{3}},
		{"from:me from:7003 rising", []int{3, 2}},
		{"tide in:general", []int{1}},
		{"rising in:#General", []int{2, 1}},
		{"tide in:1000", []int{1}},
		{"tide in:TALK in:news", []int{4, 1}},
		{"tide in:B", []int{4}},
		{"tide in:nowhere", nil},
		{"tide in:303", nil},
		{"has:link", []int{4, 2}},
		{"has:link has:poll", []int{4}},
		{"mentions:me", []int{4, 2, old(5)}},
		{"mentions:7001", []int{2}},
		{"mentions:101", []int{old(5)}},
		{"tide before:" + day, nil},
		{"after:" + day, nil},
		{"before:" + day, []int{old(5)}},
		{fmt.Sprintf("tide before:%d after:%d", at(0, 4), at(0, 1)), []int{3}},
		{"the", []int{4, 3, 1}},
		{"'; DROP TABLE messages; --", nil},
		{"& | ! ( ) : * <-> tide", []int{4, 3, 1}},
	} {
		for _, limit := range []int{1, 100} {
			if got := w.found(set(me), tt.text, limit); !slices.Equal(got, tt.want) {
				t.Errorf("%s, by %d: %v, want %v", tt.text, limit, got, tt.want)
			}
		}
	}
	for _, text := range []string{"", `""`, "!!!", "-"} {
		q, err := ParseSearch(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Search(t.Context(), set(me), q, "", 10); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("Search(%q) = %v, want ErrInvalid", text, err)
		}
	}
	if got := w.found(&tidings.VisibleSet{User: me}, "tide", 10); got != nil {
		t.Errorf("who sees nothing finds %v", got)
	}
	// An edit and a delete are found out at once.
	w.exec(`UPDATE messages SET content = 'ebb' WHERE id = $1`, int64(at(0, 1)))
	w.erase(news, at(0, 4))
	if got := w.found(set(me), "tide", 10); !slices.Equal(got, []int{3}) {
		t.Errorf("after an edit and a delete: %v, want 3", got)
	}
}

// TestEveryWordIsFound: whatever stands around a word, it is found, and so is what stands as it was written.
func TestEveryWordIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(bob)
	w.user(me)
	n := 0
	for _, tt := range []struct {
		text     string
		searches []string
	}{
		{"see zulu1/other", []string{"zulu1", "other", "zulu1/other", `"zulu1 other"`, "see -elsewhere zulu1"}},
		{"foo.zulu2(); x.y=zulu2b", []string{"zulu2", "foo", "foo.zulu2()", "zulu2b"}},
		{"open zulu3.txt", []string{"zulu3", "zulu3.txt", "open zulu3"}},
		{"ls /usr/zulu4/bin ~/zulu4b", []string{"zulu4", "/usr/zulu4", "bin zulu4", "zulu4b", "~/zulu4b"}},
		{"mail a@zulu5.org", []string{"zulu5", "a@zulu5.org", `"a zulu5 org"`}},
		{"https://example.org/path6/zulu6?q=zulu6b&r=zulu6c#zulu6d", []string{"zulu6", "path6", "zulu6b", "zulu6c", "zulu6d", "https://example.org/path6/zulu6", "example.org/path6"}},
		{"-77123 +88123 3.14159", []string{"77123", "88123", "14159", "3.14159"}},
		{"<script>zulu8</script> zulu8b <style> zulu8c <!-- zulu8d", []string{"zulu8", "zulu8b", "zulu8c", "zulu8d", "<!-- zulu8d"}},
		{"if a <b9 and zulu9 > 3", []string{"zulu9", "b9", "a <b9"}},
		{"<zulu10> &zulu10b; &amp;zulu10c", []string{"zulu10", "zulu10b", "zulu10c", "&zulu10b;"}},
		{"<:zulu11:123456> <@654321>", []string{"zulu11", "654321", ":zulu11:"}},
		{"well-zulu12-known snake_zulu12b zulu12c's", []string{"zulu12", "well-zulu12", `"well zulu12 known"`, "zulu12b", "snake_zulu12b", "zulu12c", "zulu12c's"}},
		{"**zulu13** ||zulu13b|| `zulu13c` ~~zulu13d~~ C:\\dir\\zulu13e", []string{"zulu13", "zulu13b", "zulu13c", "zulu13d", "zulu13e", "**zulu13**"}},
		{"v1.2.zulu14 [zulu14b](https://x.org) “zulu14c” zulu14d—zulu14e…", []string{"zulu14", "zulu14b", "zulu14c", "zulu14d", "zulu14e"}},
	} {
		n++
		w.post(general, bob, nobody, at(0, n))
		w.exec(`UPDATE messages SET content = $1 WHERE channel_id = $2 AND id = $3`, tt.text, int64(general), int64(at(0, n)))
		for _, search := range tt.searches {
			if got := w.found(set(me), search, 10); !slices.Equal(got, []int{n}) {
				t.Errorf("%s in %q: found %v, want %d", search, tt.text, got, n)
			}
			if strings.HasPrefix(search, `"`) || strings.Contains(search, " ") {
				continue
			}
			if _, err := w.SetKeywords(t.Context(), me, []string{search}); err != nil {
				t.Fatal(err)
			}
			p, err := w.Feed(t.Context(), set(me), FeedQuery{Filter: FeedKeywords, Limit: 10})
			if err != nil || len(p.Messages) != 1 || p.Messages[0].ID != at(0, n) {
				t.Errorf("keyword %s in %q: %+v, %v", search, tt.text, p.Messages, err)
			}
		}
	}
	for _, nothing := range []string{"zulu", `"other zulu1"`, "zulu4/usr", "example.org/zulu6"} {
		if got := w.found(set(me), nothing, 10); got != nil {
			t.Errorf("%s: found %v", nothing, got)
		}
	}
}

func TestSearchByTheNamesOfAuthors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := func(c discord.ChannelID, n int, author discord.UserID, names string) {
		t.Helper()
		m, err := tidings.ParseMessage(fmt.Appendf(nil, `{"id":"%d","channel_id":"%d","type":0,"content":"tide","author":{"id":"%d"%s}}`, at(0, n), c, author, names), guildA)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Record(t.Context(), []tidings.Event{{Guild: guildA, Channel: c, At: time.Now(), Body: tidings.MessageCreated{Message: m}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	say(general, 1, alice, `,"username":"alice","global_name":"Old Salt"`)
	say(general, 2, bob, `,"username":"bob","global_name":null`)
	say(general, 3, bob, `,"username":"Old Salt"`)
	say(general, 4, alice, `,"username":7,"global_name":["x"]`)
	say(hideout, 5, 99, `,"username":"stranger"`)
	for n := range 60 {
		say(general, 100+n, 98, fmt.Sprintf(`,"username":"name %d"`, n))
	}
	for _, tt := range []struct {
		text string
		want []int
	}{
		{"from:alice", []int{4, 1}},
		{"from:@ALICE tide", []int{4, 1}},
		{`from:"old salt"`, []int{4, 3, 2, 1}},
		{"from:bob from:alice", []int{4, 3, 2, 1}},
		{"from:nobody", nil},
		{"from:nobody from:bob", []int{3, 2}},
		{"from:stranger", nil},
		{`from:"name 59" tide`, nil},
	} {
		if got := w.found(set(me), tt.text, 100); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.text, got, tt.want)
		}
	}
	w.exec(`UPDATE author_names SET seen_on = current_date - 40 WHERE author_id = 99`)
	w.retention = 30 * 24 * time.Hour
	if n, err := w.forgetNames(t.Context()); n != 1 || err != nil {
		t.Errorf("%d names are too old, %v, want 1", n, err)
	}
	if err := w.OptOut(t.Context(), alice, 0); err != nil {
		t.Fatal(err)
	}
	say(general, 6, alice, `,"username":"alice2"`)
	if got := w.found(set(me), "from:alice", 100); got != nil {
		t.Errorf("by the name of an author who has opted out: %v", got)
	}
	if n := one[int](t, w.Store, `SELECT count(*) FROM author_names WHERE author_id = 98`); n != namesEach {
		t.Errorf("%d names of one author are kept, want %d", n, namesEach)
	}
}
