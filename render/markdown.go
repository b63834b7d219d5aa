package render

import (
	"html/template"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Discord takes 4,000 characters of content and 6,000 in the embeds of a message together. Anything longer did not come
// from Discord's own checks and is shown as plain text, cut at maxPlain.
const (
	maxMarkdown = 6_000
	maxPlain    = 20_000
	// maxDepth bounds how deep tags nest; browsers stop at about 500, and people at three or four.
	maxDepth = 24
)

// markdown is Discord's dialect: goldmark's blocks and inlines where the two agree, our own where they do not. Raw HTML,
// entities, reference links, images, setext headings and indented code are not part of it.
var markdown = parser.NewParser(
	parser.WithBlockParsers(
		util.Prioritized(parser.NewATXHeadingParser(), 100),
		util.Prioritized(subtextParser{}, 150),
		util.Prioritized(fenceParser{parser.NewFencedCodeBlockParser()}, 200),
		util.Prioritized(parser.NewBlockquoteParser(), 300),
		util.Prioritized(parser.NewListParser(), 400),
		util.Prioritized(parser.NewListItemParser(), 500),
		util.Prioritized(paragraphParser{parser.NewParagraphParser()}, 1000),
	),
	parser.WithInlineParsers(
		util.Prioritized(parser.NewCodeSpanParser(), 100),
		util.Prioritized(angleParser{}, 150),
		util.Prioritized(everyoneParser{}, 160),
		util.Prioritized(parser.NewLinkParser(), 200),
		util.Prioritized(emphasisParser{}, 300),
		util.Prioritized(doubleParser{'~', kindStrike}, 310),
		util.Prioritized(doubleParser{'|', kindSpoiler}, 320),
		util.Prioritized(autolinkParser{}, 900),
	),
)

var (
	namesKey    = parser.NewContextKey()
	everyoneKey = parser.NewContextKey()
)

// parse reads Discord's markdown into a tree. The source that it returns is what the tree's segments point into.
func parse(s string, names map[string]string, everyone bool) (ast.Node, []byte) {
	source := []byte(canonical(s))
	pc := parser.NewContext()
	pc.Set(namesKey, names)
	pc.Set(everyoneKey, everyone)
	doc := markdown.Parse(text.NewReader(source), parser.WithContext(pc))
	flatten(doc, 0)
	return doc, source
}

// flatten lifts what is nested deeper than maxDepth, keeping its text.
func flatten(n ast.Node, depth int) {
	for c := n.FirstChild(); c != nil; {
		if depth < maxDepth || !c.HasChildren() {
			next := c.NextSibling()
			flatten(c, depth+1)
			c = next
			continue
		}
		first := c.FirstChild()
		for g := first; g != nil; {
			next := g.NextSibling()
			n.InsertBefore(n, c, g)
			g = next
		}
		n.RemoveChild(n, c)
		c = first
	}
}

// HTML renders Discord's markdown. names maps the ids of mentioned people to what they are called; everyone tells whether
// @everyone in it is a mention. The time is bounded by the length, which is bounded.
func (r *Renderer) HTML(s string, names map[string]string, everyone bool) template.HTML {
	if s == "" {
		return ""
	}
	if utf8.RuneCountInString(s) > maxMarkdown {
		return template.HTML("<p>" + strings.ReplaceAll(escape(clip(s, maxPlain)), "\n", "<br>") + "</p>")
	}
	doc, source := parse(s, names, everyone)
	w := writer{source: source, cdn: r.cdn, resting: &r.resting}
	w.children(doc)
	return template.HTML(w.b.String())
}

// inline renders a title: one line without blocks.
func (r *Renderer) inline(s string, names map[string]string) template.HTML {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" || utf8.RuneCountInString(s) > maxMarkdown {
		return template.HTML(escape(clip(s, maxPlain)))
	}
	doc, source := parse(s, names, false)
	w := writer{source: source, cdn: r.cdn, resting: &r.resting, inline: true}
	w.children(doc)
	return template.HTML(w.b.String())
}

// clip cuts s to at most n characters and says so with an ellipsis.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i, c := range s {
		if c == nameless {
			continue
		}
		if count == n {
			return strings.TrimRight(s[:i], " \n"+string(nameless)) + "…"
		}
		count++
	}
	return s
}
