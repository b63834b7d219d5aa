package render

import (
	"regexp"
	"strings"
)

// canonical rewrites Discord's block syntax into the subset of CommonMark that means the same, so that goldmark's block
// parsers can be used: fences stand on lines of their own, ">>> " is spelled out, quotes and lists end where Discord ends
// them, and what only CommonMark understands is escaped.
func canonical(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	s = strings.ReplaceAll(s, `¯\_(ツ)_/¯`, `¯\\\_(ツ)\_/¯`)
	var c canon
	for _, p := range splitFences(s) {
		if p.code {
			c.fence(p)
		} else {
			c.text(p.body)
		}
	}
	return c.b.String()
}

type piece struct {
	code bool
	lang string
	body string
}

var fenceLang = regexp.MustCompile(`^([A-Za-z0-9_+\-.#]{1,32})\n`)

// splitFences finds code blocks the way Discord does: three backticks anywhere open one and the next three close it.
// Three backticks that open nothing are escaped.
func splitFences(s string) []piece {
	var out []piece
	var plain strings.Builder
	for i := 0; i < len(s); {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			plain.WriteString(s[i : i+2])
			i += 2
		case strings.HasPrefix(s[i:], "```"):
			body, _, closed := strings.Cut(s[i+3:], "```")
			if !closed || strings.TrimSpace(body) == "" {
				plain.WriteString("\\`\\`\\`")
				i += 3
				continue
			}
			i += 3 + len(body) + 3
			p := piece{code: true, body: body}
			if m := fenceLang.FindStringSubmatch(body); m != nil && strings.TrimSpace(body[len(m[0]):]) != "" {
				p.lang, p.body = m[1], body[len(m[0]):]
			}
			out = append(out, piece{body: plain.String()}, p)
			plain.Reset()
		case s[i] == '`':
			run := 1
			if i+1 < len(s) && s[i+1] == '`' {
				run = 2
			}
			end := i + run
			if at := strings.Index(s[end:], s[i:end]); at > 0 && !strings.Contains(s[end:end+at], "```") {
				end += at + run
			}
			plain.WriteString(s[i:end])
			i = end
		default:
			plain.WriteByte(s[i])
			i++
		}
	}
	return append(out, piece{body: plain.String()})
}

// canon writes canonical lines.
type canon struct {
	b       strings.Builder
	rest    bool // after ">>> ": everything is quoted
	quote   bool // the last line was quoted
	list    bool // the last line was an item of a list
	started bool
}

func (c *canon) line(quote bool, s string) {
	if c.quote && !quote {
		// A blank line ends the quote; otherwise CommonMark would go on with its last paragraph.
		c.b.WriteByte('\n')
	}
	if quote {
		c.b.WriteString("> ")
	}
	c.b.WriteString(s)
	c.b.WriteByte('\n')
	c.quote, c.started = quote, true
}

func (c *canon) fence(p piece) {
	quote := c.rest || c.quote
	body := p.body
	if quote && !c.rest {
		body = strings.ReplaceAll(body, "\n> ", "\n")
	}
	body = strings.TrimRight(strings.TrimLeft(body, "\n"), "\n ")
	if c.list {
		c.line(quote, "")
		c.list = false
	}
	c.line(quote, "```"+p.lang)
	for l := range strings.SplitSeq(body, "\n") {
		c.line(quote, l)
	}
	c.line(quote, "```")
}

func (c *canon) text(s string) {
	if s == "" {
		return
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		// The pieces of text around a fence begin and end at its line.
		if l == "" && (i == len(lines)-1 || i == 0 && c.started) {
			continue
		}
		quote := c.rest
		if !c.rest {
			if rest, ok := strings.CutPrefix(l, ">>> "); ok {
				c.rest, quote, l = true, true, rest
			} else if rest, ok := strings.CutPrefix(l, "> "); ok {
				quote, l = true, rest
			}
		}
		l, item := blockLine(l)
		if c.list && !item && l != "" && l[0] != ' ' {
			c.line(quote, "")
		}
		c.list = item || c.list && (l == "" || l[0] == ' ')
		c.line(quote, l)
	}
}

var (
	listMarker = regexp.MustCompile(`^( *)([-*]|[0-9]{1,9}\.) +(.*)$`)
	// otherMarker is what CommonMark takes for the start of a list or quote and Discord does not.
	otherMarker = regexp.MustCompile(`^( *)(\+|[0-9]{1,9}\)|>|[-*] *$|[0-9]{1,9}\. *$)`)
	heading     = regexp.MustCompile(`^#{1,3} +[^\s#]`)
)

// blockLine escapes what must not begin a block, and reports whether the line is an item of a list.
func blockLine(l string) (string, bool) {
	if m := listMarker.FindStringSubmatch(l); m != nil && strings.TrimSpace(m[3]) != "" {
		rest := m[3]
		// An item's text begins no further block: a line of a thousand dashes is not a thousand lists.
		if listMarker.MatchString(rest) || otherMarker.MatchString(rest) || strings.HasPrefix(rest, "#") || strings.HasPrefix(rest, "```") {
			rest = escapeFirst(rest)
		}
		return m[1] + m[2] + " " + rest, true
	}
	if otherMarker.MatchString(l) {
		return escapeFirst(l), false
	}
	if t := strings.TrimLeft(l, " "); strings.HasPrefix(t, "#") && !heading.MatchString(l) {
		return escapeFirst(l), false
	}
	return l, false
}

// escapeFirst puts a backslash before the first sign of a line, or after the digits that it begins with.
func escapeFirst(l string) string {
	at := len(l) - len(strings.TrimLeft(l, " \t"))
	for at < len(l) && l[at] >= '0' && l[at] <= '9' {
		at++
	}
	return l[:at] + `\` + l[at:]
}
