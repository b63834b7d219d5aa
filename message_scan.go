package tidings

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"
)

// scanMessage fills w with what encoding/json would find in a message object, in one pass over the bytes. It says false for
// whatever it is not sure of: what is no valid JSON, a key that comes twice or differs from ours in case alone, a value of
// an unusual kind. Those are left to encoding/json. w's raw fields share b's memory.
func scanMessage(b []byte, w *wireMessage) bool {
	s := scan{b: b}
	var seen uint32
	if !s.next('{') || !s.object(0, func(key []byte) bool {
		var at uint32
		var ok bool
		switch string(key) {
		case "id":
			var id uint64
			id, ok = s.id()
			at, w.ID = 1<<0, discord.MessageID(id)
		case "channel_id":
			var id uint64
			id, ok = s.id()
			at, w.ChannelID = 1<<1, discord.ChannelID(id)
		case "guild_id":
			var id uint64
			id, ok = s.id()
			at, w.GuildID = 1<<2, discord.GuildID(id)
		case "author":
			at, ok = 1<<3, s.author(w)
		case "type":
			var n uint64
			n, ok = s.number()
			at, w.Type, ok = 1<<4, int32(n), ok && n <= math.MaxInt32
		case "flags":
			at = 1 << 5
			w.Flags, ok = s.number()
		case "content":
			at = 1 << 6
			w.Content, ok = s.text()
		case "edited_timestamp":
			at = 1 << 7
			w.EditedTimestamp, ok = s.text()
		case "mention_everyone":
			at = 1 << 8
			w.MentionEveryone, ok = s.boolean()
		case "mentions":
			at, ok = 1<<9, s.mentions(w)
		case "mention_roles":
			at, ok = 1<<10, s.roles(w)
		case "attachments":
			at = 1 << 11
			w.Attachments, ok = s.raw()
		case "embeds":
			at = 1 << 12
			w.Embeds, ok = s.raw()
		case "poll":
			at = 1 << 13
			w.Poll, ok = s.raw()
		case "sticker_items":
			at = 1 << 14
			w.Stickers, ok = s.raw()
		case "message_snapshots":
			at = 1 << 15
			w.Snapshots, ok = s.raw()
		default:
			return s.skip(1)
		}
		if seen&at != 0 {
			return false
		}
		seen |= at
		return ok
	}) {
		return false
	}
	s.space()
	return s.i == len(b)
}

func (s *scan) author(w *wireMessage) bool {
	if s.null() {
		return true
	}
	if !s.next('{') {
		return false
	}
	var seen uint32
	a := new(wireAuthor)
	w.Author = a
	return s.object(1, func(key []byte) bool {
		var at uint32
		var ok bool
		switch string(key) {
		case "id":
			var id uint64
			id, ok = s.id()
			at, a.ID = 1<<0, discord.UserID(id)
		case "username":
			var t string
			t, ok = s.text()
			at, a.Username = 1<<1, loose(t)
		case "global_name":
			var t string
			t, ok = s.text()
			at, a.GlobalName = 1<<2, loose(t)
		default:
			return s.skip(2)
		}
		if seen&at != 0 {
			return false
		}
		seen |= at
		return ok
	})
}

func (s *scan) mentions(w *wireMessage) bool {
	if s.null() {
		return true
	}
	w.Mentions = []wireMention{}
	return s.next('[') && s.list(func() bool {
		if !s.next('{') {
			return false
		}
		var m wireMention
		seen := false
		ok := s.object(2, func(key []byte) bool {
			if string(key) != "id" {
				return s.skip(3)
			}
			if seen {
				return false
			}
			seen = true
			id, ok := s.id()
			m.ID = discord.UserID(id)
			return ok
		})
		w.Mentions = append(w.Mentions, m)
		return ok
	})
}

func (s *scan) roles(w *wireMessage) bool {
	if s.null() {
		return true
	}
	w.MentionRoles = []discord.RoleID{}
	return s.next('[') && s.list(func() bool {
		id, ok := s.id()
		w.MentionRoles = append(w.MentionRoles, discord.RoleID(id))
		return ok
	})
}

// scan walks over JSON. Its methods say false at the first thing that is not valid, or not plain enough.
type scan struct {
	b []byte
	i int
}

// maxScanDepth is how deep values may be nested for scan; encoding/json has its own bound.
const maxScanDepth = 100

func (s *scan) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// next steps over a byte that must come next, white space aside.
func (s *scan) next(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// object calls field at each value of an object whose opening brace is past. It refuses keys that encoding/json could take for
// another one: it compares them without regard to case.
func (s *scan) object(depth int, field func(key []byte) bool) bool {
	if depth > maxScanDepth {
		return false
	}
	if s.next('}') {
		return true
	}
	for {
		if !s.next('"') {
			return false
		}
		from := s.i
		for s.i < len(s.b) && s.b[s.i] != '"' {
			if c := s.b[s.i]; c < 0x20 || c >= 0x80 || c == '\\' || c >= 'A' && c <= 'Z' {
				return false
			}
			s.i++
		}
		key := s.b[from:s.i]
		if !s.next('"') || !s.next(':') || !field(key) {
			return false
		}
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// list calls element at each element of a list whose opening bracket is past.
func (s *scan) list(element func() bool) bool {
	if s.next(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if s.next(']') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

func (s *scan) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scan) null() bool {
	s.space()
	return s.word("null")
}

// id reads a snowflake as Discord writes it: digits in quotes, or null.
func (s *scan) id() (uint64, bool) {
	if !s.next('"') {
		return uint64(discord.NullSnowflake), s.null()
	}
	from, n := s.i, uint64(0)
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		n = n*10 + uint64(s.b[s.i]-'0')
		s.i++
	}
	if d := s.i - from; d == 0 || d > 19 || s.i == len(s.b) || s.b[s.i] != '"' {
		return 0, false
	}
	s.i++
	return n, true
}

// number reads a whole number of few digits that is not negative; null is 0.
func (s *scan) number() (uint64, bool) {
	if s.null() {
		return 0, true
	}
	from, n := s.i, uint64(0)
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		n = n*10 + uint64(s.b[s.i]-'0')
		s.i++
	}
	d := s.i - from
	if d == 0 || d > 18 || d > 1 && s.b[from] == '0' || s.i == len(s.b) {
		return 0, false
	}
	switch s.b[s.i] {
	case '.', 'e', 'E':
		return 0, false
	}
	return n, true
}

func (s *scan) boolean() (is, ok bool) {
	s.space()
	switch {
	case s.word("true"):
		return true, true
	case s.word("false"), s.word("null"):
		return false, true
	}
	return false, false
}

// text reads a string; null is "".
func (s *scan) text() (string, bool) {
	if !s.next('"') {
		return "", s.null()
	}
	from := s.i
	plain := true
	for {
		s.plain()
		if s.i >= len(s.b) {
			return "", false
		}
		switch c := s.b[s.i]; {
		case c == '"':
			raw := s.b[from:s.i]
			s.i++
			if !isASCII(raw) && !utf8.Valid(raw) {
				return "", false // encoding/json repairs it.
			}
			if plain {
				return string(raw), true
			}
			return unescape(raw)
		case c == '\\':
			plain = false
			if !s.escape() {
				return "", false
			}
		default:
			return "", false
		}
	}
}

func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&highs != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// unescape reads the inside of a string whose escapes are valid.
func unescape(raw []byte) (string, bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		switch c = raw[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				// Half a pair is left to encoding/json.
				if len(raw)-i < 7 || raw[i+1] != '\\' || raw[i+2] != 'u' {
					return "", false
				}
				if r = utf16.DecodeRune(r, hex4(raw[i+3:])); r == utf8.RuneError {
					return "", false
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// hex4 reads four digits; -1 when they are none.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	r := rune(0)
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}

// raw returns the bytes of a value.
func (s *scan) raw() ([]byte, bool) {
	s.space()
	from := s.i
	ok := s.skip(1)
	return s.b[from:s.i], ok
}

// skip steps over a value and makes sure that it is valid.
func (s *scan) skip(depth int) bool {
	s.space()
	if s.i >= len(s.b) {
		return false
	}
	switch c := s.b[s.i]; c {
	case '"':
		s.i++
		return s.str()
	case '{':
		s.i++
		return s.skipObject(depth)
	case '[':
		s.i++
		if depth > maxScanDepth {
			return false
		}
		if s.next(']') {
			return true
		}
		for {
			if !s.skip(depth + 1) {
				return false
			}
			if s.next(']') {
				return true
			}
			if !s.next(',') {
				return false
			}
		}
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.skipNumber()
}

func (s *scan) skipObject(depth int) bool {
	if depth > maxScanDepth {
		return false
	}
	if s.next('}') {
		return true
	}
	for {
		if !s.next('"') || !s.str() || !s.next(':') || !s.skip(depth+1) {
			return false
		}
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// str steps over a string whose opening quote is past.
func (s *scan) str() bool {
	for {
		s.plain()
		if s.i >= len(s.b) {
			return false
		}
		switch s.b[s.i] {
		case '"':
			s.i++
			return true
		case '\\':
			if !s.escape() {
				return false
			}
		default:
			return false
		}
	}
}

// escape steps over an escape and makes sure that it is valid.
func (s *scan) escape() bool {
	if s.i++; s.i >= len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		if hex4(s.b[s.i+1:]) < 0 {
			return false
		}
		s.i += 5
		return true
	}
	return false
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain steps to the next byte that means something within a string: a quote, a backslash or a control character. Eight
// bytes are looked at as one number.
func (s *scan) plain() {
	b := s.b
	i := s.i
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		// The lowest bit that is set is right; higher ones may be there because of it.
		found := ((x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if found != 0 {
			s.i = i + bits.TrailingZeros64(found)/8
			return
		}
		i += 8
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
		i++
	}
	s.i = i
}

func (s *scan) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

func (s *scan) skipNumber() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	from := s.i
	if !s.digits() || s.b[from] == '0' && s.i > from+1 {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		if s.i++; !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		if s.i++; s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}
