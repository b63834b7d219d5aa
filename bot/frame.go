package bot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Op codes of the gateway. Source: discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-opcodes.
const (
	opDispatch       = 0
	opHeartbeat      = 1
	opIdentify       = 2
	opReconnect      = 7
	opInvalidSession = 9
	opHello          = 10
	opHeartbeatACK   = 11
)

// frame is the envelope of one message of the gateway. data is the part of the frame that "d" names, untouched.
type frame struct {
	op   int
	seq  int64
	name string
	data []byte
}

var errFrame = errors.New("not a gateway frame")

// parseFrame reads the envelope without decoding what it carries: data is decoded once, later and by whoever needs it.
// Anything unusual is left to encoding/json. data shares b's memory.
func parseFrame(b []byte) (frame, error) {
	if f, ok := scanFrame(b); ok {
		return f, nil
	}
	var e struct {
		Op *int            `json:"op"`
		S  *int64          `json:"s"`
		T  *string         `json:"t"`
		D  json.RawMessage `json:"d"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return frame{}, fmt.Errorf("%w: %w", errFrame, err)
	}
	if e.Op == nil {
		return frame{}, fmt.Errorf("%w: no op", errFrame)
	}
	f := frame{op: *e.Op, data: e.D}
	if e.S != nil {
		f.seq = *e.S
	}
	if e.T != nil {
		f.name = *e.T
	}
	return f, nil
}

// scanFrame walks over the top level only. It says false for whatever it is not sure of.
func scanFrame(b []byte) (f frame, ok bool) {
	s := scanner{b: b}
	hasOp := false
	if !s.eat('{') {
		return f, false
	}
	for first := true; ; first = false {
		if s.eat('}') {
			break
		}
		if !first && !s.eat(',') {
			return f, false
		}
		key, ok := s.plainString()
		if !ok || !s.eat(':') {
			return f, false
		}
		value, ok := s.value()
		if !ok {
			return f, false
		}
		switch string(key) {
		case "op":
			n, ok := wholeNumber(value)
			if !ok {
				return f, false
			}
			f.op, hasOp = int(n), true
		case "s":
			f.seq = 0
			if string(value) != "null" {
				if f.seq, ok = wholeNumber(value); !ok {
					return f, false
				}
			}
		case "t":
			f.name = ""
			if string(value) != "null" {
				t := scanner{b: value}
				name, ok := t.plainString()
				if !ok {
					return f, false
				}
				f.name = eventName(name)
			}
		case "d":
			f.data = value
		case "OP", "Op", "oP", "S", "T", "D":
			return f, false // encoding/json takes these for the same keys.
		}
	}
	s.space()
	return f, hasOp && s.i == len(b)
}

// eventName is the name of a dispatch; those that are of interest are not made again for each.
func eventName(b []byte) string {
	if d, ok := decoders[string(b)]; ok {
		return d.name
	}
	return string(b)
}

// wholeNumber reads digits alone; anything else is left to encoding/json.
func wholeNumber(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// scanner walks over JSON without decoding it. It trusts the inside of nested values, which their own decoder checks.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) eat(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// plainString reads a string of printable ASCII without escapes.
func (s *scanner) plainString() ([]byte, bool) {
	if !s.eat('"') {
		return nil, false
	}
	start := s.i
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], true
		case c == '\\' || c < 0x20 || c >= 0x7f:
			return nil, false
		}
	}
	return nil, false
}

// value steps over one value and returns its bytes.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	start := s.i
	if s.i >= len(s.b) {
		return nil, false
	}
	switch s.b[s.i] {
	case '"':
		if !s.skipString() {
			return nil, false
		}
	case '{', '[':
		if !s.skipNested() {
			return nil, false
		}
	default:
		for s.i < len(s.b) {
			c := s.b[s.i]
			if c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\n' || c == '\r' {
				break
			}
			s.i++
		}
		v := s.b[start:s.i]
		if _, ok := wholeNumber(v); !ok && string(v) != "null" && !json.Valid(v) {
			return nil, false
		}
	}
	return s.b[start:s.i], true
}

// skipString goes from quote to quote; one after an odd number of backslashes does not end the string.
func (s *scanner) skipString() bool {
	s.i++
	for start := s.i; ; s.i++ {
		n := bytes.IndexByte(s.b[s.i:], '"')
		if n < 0 {
			return false
		}
		s.i += n
		slashes := 0
		for i := s.i - 1; i >= start && s.b[i] == '\\'; i-- {
			slashes++
		}
		if slashes%2 == 0 {
			s.i++
			return true
		}
	}
}

// skipNested counts brackets outside of strings; whether they match in kind is for the value's decoder to say.
func (s *scanner) skipNested() bool {
	depth := 0
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				s.i++
				return true
			}
		case '"':
			if !s.skipString() {
				return false
			}
			continue
		}
		s.i++
	}
	return false
}
