package store

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// SearchQuery is what somebody looks for, taken apart. All of it must hold; where a filter names several, one of them is enough.
type SearchQuery struct {
	// Words are words, "phrases", -excluded ones and alternatives with or, as websearch_to_tsquery of Postgres reads them. There is no other
	// punctuation in them: what it joins is a phrase.
	Words    string
	From     []discord.UserID // authors
	Named    []string         // authors by user name or display name
	FromMe   bool
	In       []string // channels, categories and guilds, by id or name
	Mentions []discord.Snowflake
	Me       bool               // mentions the person in any way
	Has      []tidings.Features // each of them
	After    discord.MessageID  // only newer ones; 0 for no bound
	Before   discord.MessageID  // only older ones; 0 for no bound
}

// Bounds of a search.
const (
	MaxSearch        = 500 // characters
	maxSearchFilters = 20
)

// ParseSearch takes a search apart: words and "phrases", and the filters from:, in:, has:, mentions:, before: and after:, whose
// values may be in quotes too. What looks like a filter and is none, such as an address, is a word. Its errors are
// [tidings.ErrInvalid] and say what is wrong.
func ParseSearch(text string) (SearchQuery, error) {
	var q SearchQuery
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return q, tidings.InvalidField("q", "it is not text")
	}
	if utf8.RuneCountInString(text) > MaxSearch {
		return q, tidings.InvalidField("q", "it is longer than %d characters", MaxSearch)
	}
	var words []string
	filters := 0
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		var key, value string
		key, value, rest = nextTerm(rest)
		known, err := q.filter(strings.ToLower(key), value)
		switch {
		case err != nil:
			return SearchQuery{}, err
		case known:
			if filters++; filters > maxSearchFilters {
				return SearchQuery{}, tidings.InvalidField("q", "it has more than %d filters", maxSearchFilters)
			}
		case key != "":
			value = key + ":" + value
			fallthrough
		default:
			if t := term(value); t != "" {
				words = append(words, t)
			}
		}
	}
	q.Words = strings.Join(words, " ")
	return q, nil
}

// joiners are the characters by which the parser of Postgres makes one word of several, or none: the expression of messages.words has
// spaces in their place. Without them it has no character of ASCII in a word that is neither a letter nor a digit.
const (
	joiners = `/.@<&-+~`
	spaces  = `        `
)

// term writes a word or a "phrase", with a minus in front or not, by its letters and digits alone; "" when it has none. Several words
// that something joins are looked for as they stand: behind one another.
func term(s string) string {
	rest, not := strings.CutPrefix(s, "-")
	words := strings.FieldsFunc(rest, func(r rune) bool {
		return unicode.IsSpace(r) || r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if len(words) == 0 {
		return ""
	}
	t := strings.Join(words, " ")
	if len(words) > 1 || strings.HasPrefix(rest, `"`) {
		t = `"` + t + `"`
	}
	if not {
		t = "-" + t
	}
	return t
}

// nextTerm cuts the first term off. A term of the form key:value has a key; a quoted value loses its quotes then, while a
// phrase keeps them.
func nextTerm(s string) (key, value, rest string) {
	end := func(s string) int {
		if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
			return i
		}
		return len(s)
	}
	quoted := func(s string) (inside, rest string, ok bool) {
		if !strings.HasPrefix(s, `"`) {
			return "", s, false
		}
		inside, rest, ok = strings.Cut(s[1:], `"`)
		return inside, rest, ok
	}
	if inside, rest, ok := quoted(strings.TrimPrefix(s, "-")); ok {
		return "", s[:len(s)-len(strings.TrimPrefix(s, "-"))] + `"` + inside + `"`, rest
	}
	n := end(s)
	i := strings.IndexByte(s[:n], ':')
	if i <= 0 {
		return "", s[:n], s[n:]
	}
	for _, c := range s[:i] {
		if !unicode.IsLetter(c) {
			return "", s[:n], s[n:]
		}
	}
	if inside, rest, ok := quoted(s[i+1:]); ok {
		return s[:i], inside, rest
	}
	return s[:i], s[i+1 : n], s[n:]
}

// filter takes a filter in, if key names one.
func (q *SearchQuery) filter(key, value string) (known bool, err error) {
	value = strings.TrimSpace(value)
	switch key {
	case "from", "in", "has", "mentions", "before", "after":
	default:
		return false, nil
	}
	if value == "" {
		return true, tidings.InvalidField("q", "%s: wants a value right behind it", key)
	}
	switch key {
	case "in":
		q.In = append(q.In, value)
	case "from":
		if strings.EqualFold(value, "me") {
			q.FromMe = true
			break
		}
		if id, err := searchID(key, value); err == nil {
			q.From = append(q.From, discord.UserID(id))
			break
		}
		name := foldName(strings.TrimPrefix(value, "@"))
		if name == "" {
			return true, tidings.InvalidField("q", "from:%s: give me, a name, or the id of a person", value)
		}
		q.Named = append(q.Named, name)
	case "mentions":
		if strings.EqualFold(value, "me") {
			q.Me = true
			break
		}
		var id uint64
		if id, err = searchID(key, value); err == nil {
			q.Mentions = append(q.Mentions, discord.Snowflake(id))
		}
	case "has":
		f, ok := tidings.FeatureNamed(value)
		if !ok {
			return true, tidings.InvalidField("q", "has:%s: it is link, file, image, video, sound, embed, poll, sticker or forward", value)
		}
		q.Has = append(q.Has, f)
	case "before", "after":
		err = q.bound(key, value)
	}
	return true, err
}

// searchID reads a person or role: digits, or a mention as it is pasted from Discord.
func searchID(key, value string) (uint64, error) {
	digits := strings.TrimRight(strings.TrimLeft(value, "<@!&"), ">")
	id, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || id == 0 {
		return 0, tidings.InvalidField("q", "%s:%s: give me, or the id of a person", key, value)
	}
	return id, nil
}

// bound reads a day, a time, or the id of a message. A day of before: is not part of the answer, one of after: is neither.
func (q *SearchQuery) bound(key, value string) error {
	var first, last discord.MessageID // of what the value names
	wraps := false                    // an id has no room for such a time
	if id, err := strconv.ParseUint(value, 10, 63); err == nil && len(value) > 8 {
		first, last = discord.MessageID(id), discord.MessageID(id)
	} else if t, err := time.Parse(time.DateOnly, value); err == nil {
		first, last, wraps = tidings.FirstID(t), tidings.FirstID(t.AddDate(0, 0, 1))-1, t.Year() > 2080
	} else if t, err := time.Parse(time.RFC3339, value); err == nil {
		first, last, wraps = tidings.FirstID(t), tidings.FirstID(t), t.Year() > 2080
	} else {
		return tidings.InvalidField("q", "%s:%s: give a day such as 2026-03-10, a time such as 2026-03-10T12:00:00Z, or the id of a message", key, value)
	}
	if int64(first) <= 0 || int64(last) <= 0 || first.Time().Year() > 2080 || wraps {
		return tidings.InvalidField("q", "%s:%s: give a time from 2015 to 2080", key, value)
	}
	if key == "after" {
		q.After = max(q.After, last)
	} else if q.Before == 0 || first < q.Before {
		q.Before = first
	}
	return nil
}
