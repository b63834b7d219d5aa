package render

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Nodes of our own. A span wraps children; a token stands for one of Discord's <…> forms; an autolink is a bare address.
var (
	kindUnderline = ast.NewNodeKind("Underline")
	kindStrike    = ast.NewNodeKind("Strike")
	kindSpoiler   = ast.NewNodeKind("Spoiler")
	kindToken     = ast.NewNodeKind("Token")
	kindAutolink  = ast.NewNodeKind("Autolink")
	kindSubtext   = ast.NewNodeKind("Subtext")
)

type span struct {
	ast.BaseInline
	kind ast.NodeKind
}

func (n *span) Kind() ast.NodeKind            { return n.kind }
func (n *span) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }

type tokenKind int

const (
	tokenUser tokenKind = iota
	tokenRole
	tokenChannel
	tokenEveryone
	tokenCommand
	tokenGuide
	tokenEmoji
	tokenTime
)

type token struct {
	ast.BaseInline
	what     tokenKind
	id       string
	name     string
	animated bool
	seconds  int64
	style    string
}

func (n *token) Kind() ast.NodeKind            { return kindToken }
func (n *token) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }

type autolink struct {
	ast.BaseInline
	url   string // checked
	label string
}

func (n *autolink) Kind() ast.NodeKind            { return kindAutolink }
func (n *autolink) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }

type subtext struct{ ast.BaseBlock }

func (n *subtext) Kind() ast.NodeKind            { return kindSubtext }
func (n *subtext) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }

// paragraphParser takes lines however far they are indented: there is no indented code, and a line that no parser takes
// would be lost.
type paragraphParser struct{ parser.BlockParser }

func (paragraphParser) CanAcceptIndentedLine() bool { return true }

// fenceParser knows only the backticks that canonical has written.
type fenceParser struct{ parser.BlockParser }

func (fenceParser) Trigger() []byte { return []byte{'`'} }

// subtextParser reads "-# small print".
type subtextParser struct{}

func (subtextParser) Trigger() []byte { return []byte{'-'} }

func (subtextParser) Open(_ ast.Node, reader text.Reader, _ parser.Context) (ast.Node, parser.State) {
	line, segment := reader.PeekLine()
	if !bytes.HasPrefix(line, []byte("-# ")) || len(bytes.TrimSpace(line[3:])) == 0 {
		return nil, parser.NoChildren
	}
	n := &subtext{}
	rest := segment.WithStart(segment.Start + 3)
	rest = rest.TrimLeftSpace(reader.Source())
	n.Lines().Append(rest.TrimRightSpace(reader.Source()))
	reader.AdvanceToEOL()
	return n, parser.NoChildren
}

func (subtextParser) Continue(ast.Node, text.Reader, parser.Context) parser.State {
	return parser.Close
}
func (subtextParser) Close(ast.Node, text.Reader, parser.Context) {}
func (subtextParser) CanInterruptParagraph() bool                 { return true }
func (subtextParser) CanAcceptIndentedLine() bool                 { return false }

// emphasis is a delimiter processor: one sign is italic, two are bold or, for underscores, underlined.
type emphasis byte

func (e emphasis) IsDelimiter(b byte) bool { return b == byte(e) }

func (e emphasis) CanOpenCloser(opener, closer *parser.Delimiter) bool {
	return opener.Char == closer.Char
}

func (e emphasis) OnMatch(consumes int) ast.Node {
	if e == '_' && consumes == 2 {
		return &span{kind: kindUnderline}
	}
	return ast.NewEmphasis(consumes)
}

type emphasisParser struct{}

func (emphasisParser) Trigger() []byte { return []byte{'*', '_'} }

func (emphasisParser) Parse(_ ast.Node, block text.Reader, pc parser.Context) ast.Node {
	before := block.PrecendingCharacter()
	line, segment := block.PeekLine()
	node := parser.ScanDelimiter(line, before, 1, emphasis(line[0]))
	if node == nil {
		return nil
	}
	node.Segment = segment.WithStop(segment.Start + node.OriginalLength)
	block.Advance(node.OriginalLength)
	pc.PushDelimiter(node)
	return node
}

// doubleParser reads spans between doubled signs, ~~strike~~ and ||spoiler||, which may begin and end with spaces.
type doubleParser struct {
	sign byte
	kind ast.NodeKind
}

func (d doubleParser) IsDelimiter(b byte) bool { return b == d.sign }

func (d doubleParser) CanOpenCloser(opener, closer *parser.Delimiter) bool {
	return opener.Char == closer.Char
}

func (d doubleParser) OnMatch(int) ast.Node { return &span{kind: d.kind} }

func (d doubleParser) Trigger() []byte { return []byte{d.sign} }

func (d doubleParser) Parse(_ ast.Node, block text.Reader, pc parser.Context) ast.Node {
	line, segment := block.PeekLine()
	if len(line) < 2 || line[1] != d.sign {
		return nil
	}
	// Three tildes are a line that somebody drew; three bars are a spoiler that begins with one.
	if d.sign == '~' && (block.PrecendingCharacter() == '~' || len(line) > 2 && line[2] == '~') {
		return nil
	}
	node := parser.NewDelimiter(true, true, 2, d.sign, d)
	node.Segment = segment.WithStop(segment.Start + 2)
	block.Advance(2)
	pc.PushDelimiter(node)
	return node
}

// angleForms are Discord's forms between angle brackets.
// Source: discord.com/developers/docs/reference#message-formatting.
var angleForms = regexp.MustCompile(`^<(?:` +
	`@!?(\d{1,20})|` + // 1 user
	`@&(\d{1,20})|` + // 2 role
	`#(\d{1,20})|` + // 3 channel
	`(a?):([A-Za-z0-9_]{1,32}):(\d{1,20})|` + // 4 animated, 5 name, 6 id
	`t:(-?\d{1,13})(?::([tTdDfFsSR]))?|` + // 7 seconds, 8 style
	`/([^:<>\n]{1,100}):(\d{1,20})|` + // 9 command, 10 id
	`id:(customize|browse|guide|linked-roles|home)(?::\d{1,20})?|` + // 11 page of the server
	`(https?://[^\s<>]+)` + // 12 address without preview; webURL bounds it
	`)>`)

type angleParser struct{}

func (angleParser) Trigger() []byte { return []byte{'<'} }

func (angleParser) Parse(_ ast.Node, block text.Reader, pc parser.Context) ast.Node {
	line, _ := block.PeekLine()
	m := angleForms.FindSubmatch(line)
	if m == nil {
		return nil
	}
	block.Advance(len(m[0]))
	group := func(i int) string { return string(m[i]) }
	switch {
	case m[1] != nil:
		names, _ := pc.Get(namesKey).(map[string]string)
		return &token{what: tokenUser, id: group(1), name: names[group(1)]}
	case m[2] != nil:
		return &token{what: tokenRole, id: group(2)}
	case m[3] != nil:
		return &token{what: tokenChannel, id: group(3)}
	case m[6] != nil:
		return &token{what: tokenEmoji, animated: len(m[4]) > 0, name: group(5), id: group(6)}
	case m[7] != nil:
		n, err := strconv.ParseInt(group(7), 10, 64)
		// Years 1 to 9999, which is what RFC 3339 can write.
		if err != nil || n < -62135596800 || n > 253402300799 {
			return plain(group(0))
		}
		return &token{what: tokenTime, seconds: n, style: group(8)}
	case m[9] != nil:
		return &token{what: tokenCommand, name: group(9), id: group(10)}
	case m[11] != nil:
		return &token{what: tokenGuide, name: group(11)}
	}
	if u := webURL(group(12)); u != "" {
		return &autolink{url: u, label: group(12)}
	}
	return plain(group(0))
}

func plain(s string) ast.Node {
	n := ast.NewString([]byte(s))
	n.SetRaw(true)
	return n
}

type everyoneParser struct{}

func (everyoneParser) Trigger() []byte { return []byte{'@'} }

func (everyoneParser) Parse(_ ast.Node, block text.Reader, pc parser.Context) ast.Node {
	if yes, _ := pc.Get(everyoneKey).(bool); !yes {
		return nil
	}
	line, _ := block.PeekLine()
	for _, name := range []string{"@everyone", "@here"} {
		if bytes.HasPrefix(line, []byte(name)) {
			block.Advance(len(name))
			return &token{what: tokenEveryone, name: name}
		}
	}
	return nil
}

// autolinkParser reads bare addresses. goldmark tries inline parsers at spaces, signs and the start of a run only, which
// is where an address may begin.
type autolinkParser struct{}

func (autolinkParser) Trigger() []byte { return []byte(" \"'(*,-.:;=[{|~_>!?]/#&)") }

func (autolinkParser) Parse(parent ast.Node, block text.Reader, _ parser.Context) ast.Node {
	line, segment := block.PeekLine()
	at := 0
	if line[0] == ' ' || isSign(line[0]) {
		at = 1
	}
	if len(line) < at+9 || (line[at]|0x20) != 'h' {
		return nil
	}
	raw := bareURL(string(line[at:]))
	if raw == "" {
		return nil
	}
	u := webURL(raw)
	if u == "" {
		return nil
	}
	if at == 1 {
		ast.MergeOrAppendTextSegment(parent, segment.WithStop(segment.Start+1))
	}
	block.Advance(at + len(raw))
	return &autolink{url: u, label: raw}
}

// bareURL returns the address that s begins with, without the signs that end a sentence or a span, or "".
func bareURL(s string) string {
	head := strings.ToLower(s[:min(len(s), 8)])
	if !strings.HasPrefix(head, "http://") && !strings.HasPrefix(head, "https://") {
		return ""
	}
	end := strings.IndexAny(s, " \t\n<>\"`\\")
	if end < 0 {
		end = len(s)
	}
	end = min(end, 2000)
	for _, stop := range []string{"||", "]("} {
		if i := strings.Index(s[:end], stop); i >= 0 {
			end = i
		}
	}
	opened, closed := strings.Count(s[:end], "("), strings.Count(s[:end], ")")
	for end > 0 {
		switch c := s[end-1]; {
		case strings.IndexByte(".,:;!?'\"*~|]", c) >= 0:
			end--
		case c == ')' && closed > opened:
			end--
			closed--
		case c == '_' && end > 1 && s[end-2] == '_':
			end -= 2
		default:
			if strings.HasSuffix(s[:end], "://") {
				return ""
			}
			return s[:end]
		}
	}
	return ""
}
