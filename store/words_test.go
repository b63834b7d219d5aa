package store

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"tidings/embedded/testdb"
)

// Texts whose words a parser of documents joins, or takes for tags, entities, addresses, files and signs, and by what each is found.
var wordsIn = []struct {
	text string
	by   []string
}{
	{"<script> zulu1", []string{"zulu1", "script", "<script>"}},
	{"if a <b and zulu2 > 3", []string{"zulu2", "b"}},
	{"path /usr/zulu3/bin", []string{"zulu3", "/usr/zulu3/bin", "zulu3/bin", `"usr zulu3"`}},
	{"zulu4.example done", []string{"zulu4", "zulu4.example", "example"}},
	{"zulu5-haul it", []string{"zulu5", "haul", "zulu5-haul"}},
	{"zulu6/other", []string{"zulu6", "other", "zulu6/other"}},
	{"zulu7_x snake", []string{"zulu7", "zulu7_x"}},
	{"key=zulu8", []string{"zulu8", "key=zulu8"}},
	{"a@zulu9.org", []string{"zulu9", "a@zulu9.org", "org"}},
	{"https://zulu10.org/zulu11?q=zulu12&r=zulu13#zulu14", []string{"zulu10", "zulu11", "zulu12", "zulu13", "zulu14", "https://zulu10.org/zulu11?q=zulu12", "zulu10.org"}},
	{"**zulu15** ||zulu16|| `zulu17` ~~zulu18~~ __zulu19__ _zulu20_ *zulu21*", []string{"zulu15", "zulu16", "zulu17", "zulu18", "zulu19", "zulu20", "zulu21", "**zulu15**"}},
	{"zulu22's #zulu23 (zulu24) zulu25,zulu250", []string{"zulu22", "zulu22's", "#zulu23", "zulu24", "zulu25", "zulu250"}},
	{"std::zulu26 foo.zulu27()", []string{"zulu26", "std::zulu26", "zulu27", "foo.zulu27()", "foo"}},
	{"<zulu28> <!-- zulu29 --> <style> zulu30", []string{"zulu28", "<zulu28>", "zulu29", "zulu30"}},
	{"<!-- zulu31", []string{"zulu31"}},
	{"Zulu32 ZÜLU33 ünïcödé Привет", []string{"zulu32", "zülu33", "ünïcödé", "привет"}},
	{"&zulu34; &amp;zulu35", []string{"zulu34", "&zulu34;", "zulu35", "amp"}},
	{"zulu36.txt 1.2.zulu37", []string{"zulu36", "txt", "zulu36.txt", "zulu37", "1.2.zulu37"}},
	{"日本語 テスト", []string{"テスト", "日本語"}},
	{"zulu38 " + strings.Repeat("x", 2500) + " zulu39", []string{"zulu38", "zulu39"}},
	{"C++ zulu40", []string{`"c++"`, "c++ zulu40", `"c++ zulu40"`}},
	{"zulu41—zulu42 zulu43… “zulu44” «zulu45» zulu46🙂zulu47 zulu48👩‍🚀", []string{"zulu41", "zulu42", "zulu43", "zulu44", "zulu45", "zulu46", "zulu47", "zulu48", "“zulu44”", "zulu41—zulu42"}},
	{"zulu49 -7 3.14 +42 v2.0 1.2.3 1e5", []string{"zulu49 7", "zulu49 3.14", "zulu49 42", "zulu49 +42", "zulu49 v2.0", "1.2.3", "zulu49 1e5", `"1.2" zulu49`}},
	{"don't zulu50", []string{"don't", "don"}},
	{"<:zulu51:175928847299117063> <@175928847299117064> <#175928847299117065> <t:1773136800:R>", []string{"zulu51", "175928847299117063", "<@175928847299117064>", "<#175928847299117065>", "1773136800"}},
	{"zulu52\nzulu53\t$zulu54", []string{`"zulu52 zulu53"`, "zulu54", "$zulu54"}},
	{"~/zulu55 C:\\zulu56\\zulu57 ../zulu58", []string{"zulu55", "zulu56", "zulu57", "zulu58", `C:\zulu56\zulu57`}},
}

func TestEveryWordIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(me)
	for i, c := range wordsIn {
		w.post(general, alice, nobody, at(0, i+1))
		w.exec(`UPDATE messages SET content = $1 WHERE channel_id = $2 AND id = $3`, c.text, int64(general), int64(at(0, i+1)))
	}
	keywords := func(words ...string) []int {
		t.Helper()
		if _, err := w.SetKeywords(t.Context(), me, words); err != nil {
			t.Fatalf("SetKeywords(%q) = %v", words, err)
		}
		// A saved view with keywords asks like this.
		p, err := w.Feed(t.Context(), set(me), ViewFilters{Keywords: true}.Query())
		if err != nil {
			t.Fatalf("Feed() with the keywords %q = %v", words, err)
		}
		q := ViewFilters{Keywords: true, Unread: true}.Query()
		unread, err := w.Feed(t.Context(), set(me), q)
		if n, cerr := w.CountFeed(t.Context(), set(me), q, 100); err != nil || cerr != nil || n != len(p.Messages) || !slices.Equal(numbersOf(unread), numbersOf(p)) {
			t.Errorf("with the keywords %q %v is unread, counted %d, want %v: %v, %v", words, numbersOf(unread), n, numbersOf(p), err, cerr)
		}
		return numbersOf(p)
	}
	for i, c := range wordsIn {
		for _, by := range c.by {
			if got := w.found(set(me), by, 100); !slices.Contains(got, i+1) {
				t.Errorf("%.50q is not among what is found by %q: %v", c.text, by, got)
			}
			if strings.Contains(by, " ") {
				continue // A keyword of several words is a phrase.
			}
			if got := keywords(by); !slices.Contains(got, i+1) {
				t.Errorf("%.50q does not hold the keyword %q: %v", c.text, by, got)
			}
		}
	}
	for _, tt := range []struct {
		text string
		want []int
	}{
		{"zulu6/other or zulu8", []int{8, 6}},
		{"zulu6 -other/zulu6", []int{6}},
		{"zulu6 -zulu6/other", nil},
		{`zulu6 -"other"`, nil},
		{"other/zulu6", nil},
		{`zulu5 OR -- or !!! zulu6`, []int{6, 5}},
		{"zulu6 -/", []int{6}},
		{"zulu", nil},
	} {
		if got := w.found(set(me), tt.text, 100); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.text, got, tt.want)
		}
	}
	for _, none := range []string{"—", "<>", "-/-", "🙂"} {
		if _, err := w.SetKeywords(t.Context(), me, []string{none}); err == nil {
			t.Errorf("the keyword %q has a word", none)
		}
	}
}

// Of ASCII, letters and digits make words and everything else parts them, whatever stands beside it.
func TestNothingJoinsWords(t *testing.T) {
	t.Parallel()
	s := open(t)
	var bad []string
	err := s.db.SelectContext(t.Context(), &bad, `
SELECT format('%s|%s', l.lexeme, x.text)
FROM (
	SELECT (SELECT string_agg(chr(CASE WHEN random() < 0.5 THEN 33 + (random() * 93)::int ELSE (ARRAY[47, 46, 45, 60, 62, 64, 38, 59, 58, 97, 49, 95])[1 + (random() * 11)::int] END), '')
		FROM generate_series(1, 16 + 0 * g)) AS text
	FROM generate_series(1, 20000) g
) x, unnest(words_of(x.text)) l
WHERE l.lexeme !~ '^[a-z0-9]+$' OR position(l.lexeme IN lower(x.text)) = 0
LIMIT 5`)
	if err != nil || len(bad) > 0 {
		t.Errorf("words that hold something else: %q, %v", bad, err)
	}
	var lost int
	if err := s.db.GetContext(t.Context(), &lost, `
SELECT count(*)
FROM (
	SELECT (SELECT string_agg(chr(33 + (random() * 93)::int), '') FROM generate_series(1, 16 + 0 * g)) AS text
	FROM generate_series(1, 20000) g
) x, regexp_split_to_table(lower(x.text), '[^a-z0-9]+') AS word
WHERE word ~ '^[a-z]+$' AND NOT words_of(x.text) @@ to_tsquery('simple', word)`); err != nil || lost != 0 {
		t.Errorf("%d words are lost, %v", lost, err)
	}
}

// What an older release stored has its old words until the job comes by; who writes beside it makes no odds, and it goes on where it was.
func TestOlderMessagesGetTheirWords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/schemas/2026-11-26.sql")
	if err != nil {
		t.Fatal(err)
	}
	url := testdb.Postgres(t)
	db, err := sqlx.Connect("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := migrateTo(t.Context(), db, string(text)); err != nil {
		t.Fatal(err)
	}
	const n = 2*rowsPerWords + 5
	for _, query := range []string{
		`INSERT INTO channels (id, guild_id, type) VALUES (200, 100, 0), (201, 100, 0), (202, 100, 0)`,
		fmt.Sprintf(`INSERT INTO messages (channel_id, id, author_id, type, content) SELECT 200, i, 1, 0, 'a/zulu' || i || ' here' FROM generate_series(1, %d) i`, n),
		`INSERT INTO messages (channel_id, id, author_id, type, content) VALUES (202, 1, 1, 0, 'nothing odd here'), (202, 2, 1, 0, 'foo.zulu1()')`,
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Options{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db.MustExec(`INSERT INTO messages (channel_id, id, author_id, type, content) VALUES (201, 1, 1, 0, 'b/zulu2')`)
	count := func(search string) int {
		return one[int](t, s, `SELECT count(*) FROM messages WHERE words @@ words_asked($1)`, search)
	}
	if old, fresh := count("here"), count("zulu2"); old != n+1 || fresh != 1 {
		t.Errorf("before the job %d are found by an old word, and %d by a part of one, want %d and the new one", old, fresh, n+1)
	}
	take := func() Job {
		t.Helper()
		taken, err := s.ClaimJobs(t.Context(), "worker", map[string]int{FindWords: 1}, 1<<40)
		if err != nil || len(taken) != 1 {
			t.Fatalf("ClaimJobs() = %+v, %v, want the job that the schema enqueued", taken, err)
		}
		return taken[0]
	}
	j := take()
	var at wordsPlace
	if err := json.Unmarshal(j.Payload, &at); err != nil {
		t.Fatal(err)
	}
	for range 2 { // no channel, and a part of the first
		if _, more, err := s.wordsStep(t.Context(), j, &at); err != nil || !more {
			t.Fatalf("a step: %v, %v", more, err)
		}
	}
	if err := s.ReleaseJob(t.Context(), j, false); err != nil {
		t.Fatal(err)
	}
	j = take()
	written, err := s.FindWords(t.Context(), j)
	if want := n - rowsPerWords + 1; err != nil || written != want {
		t.Errorf("the second half wrote %d, %v, want %d: what had been written, and what has no other words, is not written again", written, err, want)
	}
	if got := count("zulu1"); got != 2 {
		t.Errorf("zulu1 is found %d times, want 2", got)
	}
	if wrong := one[int](t, s, `SELECT count(*) FROM messages WHERE words IS DISTINCT FROM words_of(content)`); wrong != 0 {
		t.Errorf("%d messages have other words than they hold", wrong)
	}
	if again := one[int](t, s, `SELECT count(*) FROM jobs WHERE kind = 'find-words'`); again != 1 {
		t.Errorf("the job was enqueued %d times", again)
	}
}
