package render

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"

	"tidings"
)

// excerptLength is enough for one line of a quote or a notification.
const excerptLength = 140

// Excerpt is a message as one short line of plain text, for quotes and notifications. Spoilers stay hidden; a message
// without text is described.
func Excerpt(m tidings.Message) string {
	p := parsePayload(m.Payload)
	if line := systemLine(m.Type, p, author(p.Author, p.Member, m.Author).Name, m.Content); line != "" {
		return line
	}
	if s := excerptText(m.Content, p); s != "" {
		return s
	}
	if len(p.Snapshots) > 0 {
		s := p.Snapshots[0].Message
		if t := excerptText(string(s.Content), payload{Mentions: s.Mentions}); t != "" {
			return "Forwarded: " + t
		}
		return "Forwarded message"
	}
	if q := p.Poll.v; q != nil {
		return "Poll: " + clip(oneLine(string(q.Question.Text)), excerptLength)
	}
	if len(p.Stickers) > 0 {
		return "Sticker: " + clip(oneLine(string(p.Stickers[0].Name)), excerptLength)
	}
	if n := len(p.Attachments); n > 0 {
		return describeFiles(p.Attachments, n)
	}
	for _, e := range p.Embeds {
		for _, s := range []str{e.Title, e.Description} {
			if t := excerptText(string(s), p); t != "" {
				return t
			}
		}
	}
	for _, c := range New(Options{}).components(p.Components, nil) {
		if c.Text != "" {
			return clip(oneLine(c.Text), excerptLength)
		}
	}
	for _, c := range p.Components {
		if t := excerptText(firstText(c, 0), p); t != "" {
			return t
		}
	}
	return "Message without text"
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

func excerptText(s string, p payload) string {
	if utf8.RuneCountInString(s) > maxMarkdown {
		return clip(oneLine(s), excerptLength)
	}
	doc, source := parse(s, names(p.Mentions), false)
	return clip(oneLine(plainText(doc, source)), excerptLength)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// plainText is a tree's text without its marks.
func plainText(n ast.Node, source []byte) string {
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
			b.WriteString(n.label())
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
