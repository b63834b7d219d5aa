package render

import (
	"strings"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

// Highlighting is a courtesy that must never hold up a message: chroma's expressions backtrack, so it gets so much code and
// so much time, and when that is used up the code is shown plain.
const (
	maxHighlight  = 4_000
	highlightTime = 50 * time.Millisecond
)

// highlight returns code as HTML, each token in a span with one of chroma's classes.
func highlight(lang, code string) string {
	if lang == "" || len(code) > maxHighlight {
		return escape(code)
	}
	lexer := lexers.Get(strings.ToLower(lang))
	if lexer == nil {
		return escape(code)
	}
	tokens, ok := tokenise(chroma.Coalesce(lexer), code)
	if !ok {
		return escape(code)
	}
	var b, seen strings.Builder
	for _, t := range tokens {
		seen.WriteString(t.Value)
		class := tokenClass(t.Type)
		if class == "" {
			b.WriteString(escape(t.Value))
			continue
		}
		b.WriteString(`<span class="` + class + `">` + escape(t.Value) + `</span>`)
	}
	// Some lexers drop or add a final line break; nothing else may differ from what was written.
	if strings.TrimRight(seen.String(), "\n") != strings.TrimRight(code, "\n") {
		return escape(code)
	}
	return strings.TrimRight(b.String(), "\n")
}

// tokenise collects tokens until the time is used up. Lexers panic on their own faults, which must not cost the message.
func tokenise(lexer chroma.Lexer, code string) (tokens []chroma.Token, ok bool) {
	defer func() {
		if recover() != nil {
			tokens, ok = nil, false
		}
	}()
	it, err := lexer.Tokenise(nil, code)
	if err != nil {
		return nil, false
	}
	end := time.Now().Add(highlightTime)
	for t := it(); t != chroma.EOF; t = it() {
		tokens = append(tokens, t)
		if time.Now().After(end) {
			return nil, false
		}
	}
	return tokens, true
}

// tokenClass maps chroma's many types to the dozen that the style sheet knows.
func tokenClass(t chroma.TokenType) string {
	switch {
	case t.InCategory(chroma.Comment):
		return "hl-c"
	case t.InCategory(chroma.Keyword):
		return "hl-k"
	case t.InSubCategory(chroma.LiteralString):
		return "hl-s"
	case t.InSubCategory(chroma.LiteralNumber):
		return "hl-n"
	case t == chroma.NameFunction, t == chroma.NameFunctionMagic, t == chroma.NameDecorator:
		return "hl-f"
	case t == chroma.NameClass, t == chroma.NameTag, t == chroma.NameNamespace, t == chroma.NameException:
		return "hl-t"
	case t == chroma.NameAttribute, t == chroma.NameConstant, t.InSubCategory(chroma.NameBuiltin), t == chroma.NameProperty:
		return "hl-a"
	case t.InCategory(chroma.Operator):
		return "hl-o"
	case t == chroma.GenericDeleted:
		return "hl-del"
	case t == chroma.GenericInserted:
		return "hl-ins"
	case t == chroma.GenericHeading, t == chroma.GenericSubheading:
		return "hl-h"
	}
	return ""
}
