package render

import (
	"html"
	"strconv"
	"strings"
	"time"

	"github.com/yuin/goldmark/ast"
)

// writer writes a tree as HTML. Tags and attribute names are constants of this file; everything else goes through escape.
// A node that is not known here writes only its children.
type writer struct {
	b       strings.Builder
	source  []byte
	cdn     bool
	resting *resting
	inline  bool // no blocks
	inLink  bool // links do not nest
}

func escape(s string) string { return html.EscapeString(s) }

func (w *writer) raw(s string)  { w.b.WriteString(s) }
func (w *writer) text(s string) { w.b.WriteString(escape(s)) }

func (w *writer) children(n ast.Node) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		w.node(c)
	}
}

func (w *writer) wrap(open, shut string, n ast.Node) {
	w.raw(open)
	w.children(n)
	w.raw(shut)
}

func (w *writer) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.Text:
		s := n.Segment.Value(w.source)
		if n.IsRaw() {
			w.text(string(s))
		} else {
			w.text(unescape(s))
		}
		if n.SoftLineBreak() || n.HardLineBreak() {
			w.raw("<br>")
		}
	case *ast.String:
		w.text(string(n.Value))
	case *ast.CodeSpan:
		w.raw("<code>")
		w.text(codeText(n, w.source))
		w.raw("</code>")
	case *ast.Emphasis:
		if n.Level == 2 {
			w.wrap("<strong>", "</strong>", n)
		} else {
			w.wrap("<em>", "</em>", n)
		}
	case *span:
		switch n.kind {
		case kindUnderline:
			w.wrap("<u>", "</u>", n)
		case kindStrike:
			w.wrap("<s>", "</s>", n)
		case kindSpoiler:
			w.wrap(`<span class="spoiler" tabindex="0" role="button" aria-label="Spoiler">`, "</span>", n)
		}
	case *token:
		w.token(n)
	case *autolink:
		w.link(n.url, func() { w.text(n.label) })
	case *ast.Link:
		w.masked(n, string(n.Destination))
	case *ast.Image:
		w.raw("!")
		w.masked(n, string(n.Destination))
	default:
		w.block(n)
	}
}

func (w *writer) block(n ast.Node) {
	if w.inline {
		if n.Kind() == ast.KindFencedCodeBlock {
			w.text(blockText(n, w.source))
		}
		w.children(n)
		return
	}
	switch n := n.(type) {
	case *ast.Paragraph:
		w.wrap("<p>", "</p>", n)
	case *ast.Heading:
		// The page's own headings are h1 to h3, so a message's begin at h4.
		level := strconv.Itoa(min(n.Level, 3) + 3)
		w.wrap("<h"+level+">", "</h"+level+">", n)
	case *subtext:
		w.wrap(`<p class="subtext">`, "</p>", n)
	case *ast.Blockquote:
		w.wrap("<blockquote>", "</blockquote>", n)
	case *ast.List:
		switch {
		case !n.IsOrdered():
			w.wrap("<ul>", "</ul>", n)
		case n.Start == 1:
			w.wrap("<ol>", "</ol>", n)
		default:
			w.wrap(`<ol start="`+strconv.Itoa(n.Start)+`">`, "</ol>", n)
		}
	case *ast.ListItem:
		w.wrap("<li>", "</li>", n)
	case *ast.FencedCodeBlock:
		lang := ""
		if n.Info != nil {
			lang = string(n.Info.Segment.Value(w.source))
		}
		w.raw(`<pre class="code" tabindex="0"><code>`)
		w.raw(w.resting.highlight(lang, blockText(n, w.source)))
		w.raw("</code></pre>")
	default:
		w.children(n)
	}
}

// masked writes [label](address). An address that may not be linked, and a label that pretends to be another address, are
// shown as they were written.
func (w *writer) masked(n ast.Node, address string) {
	u := webURL(address)
	label := plainText(n, w.source, (*token).label)
	if u != "" && strings.TrimSpace(label) != "" && !strings.Contains(label, "://") {
		w.link(u, func() { w.children(n) })
		return
	}
	w.raw("[")
	w.children(n)
	w.raw("](")
	if u != "" {
		w.link(u, func() { w.text(address) })
	} else {
		w.text(address)
	}
	w.raw(")")
}

func (w *writer) link(u string, label func()) {
	if w.inLink {
		label()
		return
	}
	w.inLink = true
	w.raw(`<a href="` + escape(u) + `" target="_blank" rel="noopener noreferrer nofollow ugc">`)
	label()
	w.raw("</a>")
	w.inLink = false
}

func (w *writer) token(t *token) {
	switch t.what {
	case tokenUser:
		w.raw(`<span class="mention user" data-user="` + escape(t.id) + `">@<bdi>`)
		w.text(t.label()[1:])
		w.raw("</bdi></span>")
	case tokenRole: // placeholder reads it, and the next
		w.raw(`<span class="mention role" data-role="` + escape(t.id) + `">@role</span>`)
	case tokenChannel:
		w.raw(`<span class="mention channel" data-channel="` + escape(t.id) + `">#channel</span>`)
	case tokenEveryone, tokenGuide:
		w.raw(`<span class="mention">`)
		w.text(t.label())
		w.raw("</span>")
	case tokenCommand:
		w.raw(`<span class="mention command">`)
		w.text(t.label())
		w.raw("</span>")
	case tokenEmoji:
		if w.cdn {
			ext := ".webp?size=96"
			if t.animated {
				ext += "&amp;animated=true"
			}
			w.raw(`<img class="emoji" loading="lazy" src="https://cdn.discordapp.com/emojis/` + escape(t.id) + ext + `" alt="` + escape(t.label()) + `" title="` + escape(t.label()) + `">`)
			return
		}
		w.raw(`<span class="emoji" data-id="` + escape(t.id) + `">` + escape(t.label()) + `</span>`)
	case tokenTime:
		at := time.Unix(t.seconds, 0).UTC()
		w.raw(`<time datetime="` + at.Format(time.RFC3339) + `" data-style="` + escape(t.timeStyle()) + `">` + escape(t.label()) + `</time>`)
	}
}

// label is the token as plain text.
func (t *token) label() string {
	switch t.what {
	case tokenUser:
		if t.name == "" {
			return "@unknown"
		}
		return "@" + t.name
	case tokenRole:
		return "@role"
	case tokenChannel:
		return "#channel"
	case tokenCommand:
		return "/" + t.name
	case tokenGuide:
		return map[string]string{
			"customize": "Channels & Roles", "browse": "Browse Channels", "guide": "Server Guide",
			"linked-roles": "Linked Roles", "home": "Home",
		}[t.name]
	case tokenEmoji:
		return ":" + t.name + ":"
	case tokenTime:
		at := time.Unix(t.seconds, 0).UTC()
		switch t.timeStyle() {
		case "t":
			return at.Format("15:04 UTC")
		case "T":
			return at.Format("15:04:05 UTC")
		case "d", "D":
			return at.Format("2 January 2006")
		}
		return at.Format("2 January 2006 15:04 UTC")
	}
	return t.name
}

func (t *token) timeStyle() string {
	if t.style == "" {
		return "f"
	}
	return t.style
}

// unescape takes away the backslashes that kept signs from having a meaning.
func unescape(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && isSign(b[i+1]) {
			i++
		}
		out.WriteByte(b[i])
	}
	return out.String()
}

// isSign reports whether c is ASCII punctuation.
func isSign(c byte) bool {
	return c >= '!' && c <= '/' || c >= ':' && c <= '@' || c >= '[' && c <= '`' || c >= '{' && c <= '~'
}

func codeText(n ast.Node, source []byte) string {
	var out strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			out.Write(t.Segment.Value(source))
		}
	}
	return strings.ReplaceAll(out.String(), "\n", " ")
}

func blockText(n ast.Node, source []byte) string {
	var out strings.Builder
	for i := range n.Lines().Len() {
		l := n.Lines().At(i)
		out.Write(l.Value(source))
	}
	return strings.TrimRight(out.String(), "\n")
}
