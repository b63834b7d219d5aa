package render

import (
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"

	"tidings"
)

// excerptLength is enough for one line of a quote or a notification.
const excerptLength = 140

// Excerpt is a message as one short line of plain text, for quotes and notifications, with the names that its reader may know. Spoilers stay
// hidden; a message without text is described.
func Excerpt(m tidings.Message, n *Names) string { return excerptOf(m, n).plain() }

// excerpt is the line. Before what has no name here, roles and channels that only the reader's page may be able to name, stands nameless.
type excerpt struct {
	text    string
	unnamed []*token // one for each nameless, as far as the text goes
}

// nameless is a sign that stands in no text: canonical and the payload's strings have another in its place.
const nameless = '\x00'

func (e excerpt) plain() string { return strings.ReplaceAll(e.text, string(nameless), "") }

// html is the line for who can name what is unnamed, and "" where nothing is.
func (e excerpt) html() template.HTML {
	if len(e.unnamed) == 0 {
		return ""
	}
	var b strings.Builder
	some := false
	for i, s := range strings.Split(e.text, string(nameless)) {
		if i > 0 {
			t := e.unnamed[i-1]
			if rest, whole := strings.CutPrefix(s, t.label()); whole {
				kind := map[tokenKind]string{tokenRole: "role", tokenChannel: "channel"}[t.what]
				b.WriteString("<span data-" + kind + `="` + escape(t.id) + `">` + escape(t.label()) + "</span>")
				s, some = rest, true
			}
		}
		b.WriteString(escape(s))
	}
	if !some {
		return ""
	}
	return template.HTML(b.String())
}

func excerptOf(m tidings.Message, n *Names) excerpt {
	f := filler{n, m.Guild}
	p := parsePayload(m.Payload)
	if line := systemLine(m.Type, p, author(p.Author, p.Member, m.Author).Name, m.Content); line != "" {
		return excerpt{text: line}
	}
	if e := f.excerpt(m.Content, p); e.text != "" {
		return e
	}
	if len(p.Snapshots) > 0 {
		s := p.Snapshots[0].Message
		if e := f.excerpt(string(s.Content), payload{Mentions: s.Mentions}); e.text != "" {
			e.text = "Forwarded: " + e.text
			return e
		}
		return excerpt{text: "Forwarded message"}
	}
	if q := p.Poll.v; q != nil {
		return excerpt{text: "Poll: " + clip(oneLine(string(q.Question.Text)), excerptLength)}
	}
	if len(p.Stickers) > 0 {
		return excerpt{text: "Sticker: " + clip(oneLine(string(p.Stickers[0].Name)), excerptLength)}
	}
	if n := len(p.Attachments); n > 0 {
		return excerpt{text: describeFiles(p.Attachments, n)}
	}
	for _, e := range p.Embeds {
		for _, s := range []str{e.Title, e.Description} {
			if e := f.excerpt(string(s), p); e.text != "" {
				return e
			}
		}
	}
	for _, c := range New(Options{}).components(p.Components, nil) {
		if c.Text != "" {
			return excerpt{text: clip(oneLine(c.Text), excerptLength)}
		}
	}
	for _, c := range p.Components {
		if e := f.excerpt(firstText(c, 0), p); e.text != "" {
			return e
		}
	}
	return excerpt{text: "Message without text"}
}

// AuthorName is what whoever wrote a message is called there.
func AuthorName(m tidings.Message) string {
	p := parsePayload(m.Payload)
	return author(p.Author, p.Member, m.Author).Name
}

func firstText(c payloadComponent, depth int) string {
	if c.Content != "" || depth > 6 {
		return string(c.Content)
	}
	for _, k := range c.Components {
		if s := firstText(k, depth+1); s != "" {
			return s
		}
	}
	return ""
}

func describeFiles(files []payloadAttachment, n int) string {
	images := 0
	for _, f := range files {
		if strings.HasPrefix(string(f.ContentType), "image/") {
			images++
		}
	}
	switch {
	case n == 1 && images == 1:
		return "Image: " + clip(oneLine(string(files[0].Filename)), excerptLength)
	case n == 1:
		return "File: " + clip(oneLine(string(files[0].Filename)), excerptLength)
	case images == n:
		return fmt.Sprintf("%d images", n)
	}
	return fmt.Sprintf("%d files", n)
}

func (f filler) excerpt(s string, p payload) (e excerpt) {
	if utf8.RuneCountInString(s) <= maxMarkdown {
		doc, source := parse(s, names(p.Mentions), false)
		s = plainText(doc, source, func(t *token) string {
			if t.what != tokenRole && t.what != tokenChannel {
				return t.label()
			}
			if name := f.names.name(f.guild, t.what, t.id); name != "" {
				return t.label()[:1] + name
			}
			e.unnamed = append(e.unnamed, t)
			return string(nameless) + t.label()
		})
	}
	e.text = clip(oneLine(s), excerptLength)
	return e
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// plainText is a tree's text without its marks; label says what stands for a token.
func plainText(n ast.Node, source []byte, label func(*token) string) string {
	var b strings.Builder
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Text:
			if n.IsRaw() {
				b.Write(n.Segment.Value(source))
			} else {
				b.WriteString(unescape(n.Segment.Value(source)))
			}
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
			return
		case *ast.String:
			b.Write(n.Value)
			return
		case *token:
			b.WriteString(label(n))
			return
		case *autolink:
			b.WriteString(n.label)
			return
		case *ast.FencedCodeBlock:
			b.WriteString(blockText(n, source))
		case *span:
			if n.kind == kindSpoiler {
				b.WriteString("▒▒▒")
				return
			}
		}
		for c := n.FirstChild(); c != nil; c = c.NextSibling() {
			walk(c)
		}
		if n.Type() == ast.TypeBlock {
			b.WriteByte(' ')
		}
	}
	walk(n)
	return b.String()
}
