package render

import (
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

// Highlighting is a courtesy that must never hold up messages. chroma's expressions backtrack: a hostile block takes one of
// them to its own limit of 250 ms, several in a row to seconds. So only common languages are highlighted, long code and long
// lines are not, and a language that took too long once rests: an attacker's price is one slow block each, not one a message.
const (
	maxHighlight  = 3_000
	maxCodeLine   = 200
	highlightTime = 50 * time.Millisecond // of the processor's
	restTime      = 10 * time.Minute
)

// languages maps what people write after the backticks to chroma's name.
var languages = map[string]string{
	"bash": "bash", "sh": "bash", "shell": "bash", "zsh": "bash", "c": "c", "h": "c", "cpp": "c++", "c++": "c++", "cc": "c++", "cs": "c#", "csharp": "c#",
	"css": "css", "diff": "diff", "patch": "diff", "go": "go", "golang": "go", "html": "html", "ini": "ini", "toml": "toml", "java": "java",
	"js": "javascript", "javascript": "javascript", "mjs": "javascript", "json": "json", "kotlin": "kotlin", "kt": "kotlin", "lua": "lua", "php": "php",
	"py": "python", "python": "python", "rb": "ruby", "ruby": "ruby", "rs": "rust", "rust": "rust", "sql": "sql", "swift": "swift", "ts": "typescript",
	"typescript": "typescript", "xml": "xml", "yaml": "yaml", "yml": "yaml", "zig": "zig",
}

// resting remembers until when a language is not highlighted.
type resting struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (r *resting) rests(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until[name])
}

func (r *resting) rest(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	r.until[name] = time.Now().Add(restTime)
}

func longLine(code string) bool {
	for l := range strings.SplitSeq(code, "\n") {
		if len(l) > maxCodeLine {
			return true
		}
	}
	return false
}

// highlight returns code as HTML, each token in a span with a class.
func (r *resting) highlight(lang, code string) string {
	name := languages[strings.ToLower(lang)]
	if name == "" || len(code) > maxHighlight || longLine(code) || r.rests(name) {
		return escape(code)
	}
	lexer := lexers.Get(name)
	if lexer == nil {
		return escape(code)
	}
	tokens, ok, took := tokenise(chroma.Coalesce(lexer), code)
	if took > highlightTime {
		r.rest(name)
	}
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

// tokenise collects tokens until the processor time is used up. Lexers panic on their own faults, which must not cost the message.
// took leaves out what a lexer needs to get ready the first time.
func tokenise(lexer chroma.Lexer, code string) (tokens []chroma.Token, ok bool, took time.Duration) {
	defer func() {
		if recover() != nil {
			tokens, ok = nil, false
		}
	}()
	it, err := lexer.Tokenise(nil, code)
	if err != nil {
		return nil, false, 0
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := spent()
	for t := it(); t != chroma.EOF; t = it() {
		tokens = append(tokens, t)
		if took = spent() - start; took > highlightTime {
			return nil, false, took
		}
	}
	return tokens, true, spent() - start
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
