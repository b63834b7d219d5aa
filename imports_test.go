package tidings_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says which of our rooms each room may import, tests aside. The root is "tidings". A room that is not here is a new one:
// add it with the reason that a newcomer would see.
var rooms = map[string][]string{
	"tidings":                 {},
	"tidings/ingest":          {"tidings"},
	"tidings/store":           {"tidings"},
	"tidings/access":          {"tidings"},
	"tidings/hub":             {"tidings"},
	"tidings/render":          {"tidings"},
	"tidings/bot":             {"tidings"},
	"tidings/jobs":            {"tidings", "tidings/ingest", "tidings/store"},
	"tidings/web":             {"tidings", "tidings/store", "tidings/access", "tidings/hub", "tidings/render"},
	"tidings/web/browsertest": {},
	"tidings/jobs/pushtest":   {}, // a push service for the tests of jobs and of the whole
	"tidings/embedded":        {},
	"tidings/embedded/testdb": {"tidings/embedded"},
	"tidings/hub/client":      {"tidings"},
	"tidings/examples/live":   {"tidings/hub/client"}, // what builders begin with
	"tidings/sim":             {},
	"tidings/sim/simtest":     {"tidings/sim"},
	// cmd sees all.
	"tidings/cmd/tidings": {
		"tidings", "tidings/ingest", "tidings/store", "tidings/access", "tidings/hub", "tidings/render", "tidings/bot", "tidings/jobs",
		"tidings/web", "tidings/embedded", "tidings/sim",
	},
}

// Libraries that only some rooms may import, and which those are.
const (
	arikawa   = "github.com/diamondburned/arikawa/v3"
	arikawaID = arikawa + "/discord" // the typed ids
)

var kept = []struct {
	library string
	by      []string
}{
	{"github.com/jmoiron/sqlx", []string{"tidings/store", "tidings/embedded/testdb"}},
	{"github.com/lib/pq", []string{"tidings/store", "tidings/embedded", "tidings/embedded/testdb"}},
	{"database/sql", []string{"tidings/store", "tidings/embedded", "tidings/embedded/testdb"}},
	{"github.com/chromedp/chromedp", []string{"tidings/web/browsertest"}},
	{"testing", []string{"tidings/embedded/testdb", "tidings/sim/simtest", "tidings/web/browsertest", "tidings/jobs/pushtest"}},
}

// source is one file as far as the map goes.
type source struct {
	name    string // its path
	room    string // its folder, as an import path
	test    bool
	imports []string
	doc     bool // carries the package comment
	lines   int
}

// misplaced lists what breaks the map, a sentence each.
func misplaced(files []source) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	documented := map[string]bool{}
	for _, f := range files {
		documented[f.room] = documented[f.room] || f.doc
		if f.test {
			continue
		}
		allowed, ok := rooms[f.room]
		if !ok {
			fault("%s: the map does not know the room %s", f.name, f.room)
		}
		for _, i := range f.imports {
			switch {
			case i == "tidings" || strings.HasPrefix(i, "tidings/"):
				if !slices.Contains(allowed, i) {
					fault("%s: %s may not import %s", f.name, f.room, i)
				}
			case i == arikawa || strings.HasPrefix(i, arikawa+"/"):
				if f.room == "tidings/sim" || strings.HasPrefix(f.room, "tidings/embedded") {
					fault("%s: %s may not import %s: it must not share types with the client", f.name, f.room, i)
				} else if i != arikawaID && f.room != "tidings/bot" {
					fault("%s: only bot may import %s", f.name, i)
				}
			}
			if f.room == "tidings" && strings.Contains(i, ".") && i != arikawaID {
				fault("%s: the root may import no library but %s, and imports %s", f.name, arikawaID, i)
			}
			for _, k := range kept {
				if (i == k.library || strings.HasPrefix(i, k.library+"/")) && !slices.Contains(k.by, f.room) {
					fault("%s: %s may not import %s; that is for %v", f.name, f.room, i, k.by)
				}
			}
		}
	}
	for room, ok := range documented {
		if !ok {
			fault("%s has no package comment", room)
		}
	}
	slices.Sort(faults)
	return faults
}

// sources parses every Go file of this module.
func sources(t *testing.T) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if b := d.Name(); strings.HasPrefix(b, ".") || strings.HasPrefix(b, "_") || b == "testdata" || b == "node_modules" {
				return filepath.SkipDir
			}
			// A folder with a go.mod is a module of its own.
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := parse(name, nil)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// parse reads one file; src nil reads it from the disk.
func parse(name string, src []byte) (source, error) {
	fset := token.NewFileSet()
	var in any
	if src != nil {
		in = src
	}
	file, err := parser.ParseFile(fset, name, in, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	f := source{
		name:  filepath.ToSlash(name),
		test:  strings.HasSuffix(name, "_test.go"),
		doc:   packageComment(file),
		lines: fset.File(file.Pos()).LineCount(),
	}
	f.room = path.Join("tidings", path.Dir(f.name))
	for _, i := range file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		f.imports = append(f.imports, p)
	}
	return f, nil
}

// packageComment reports whether the file opens with a sentence about its package.
func packageComment(f *ast.File) bool {
	if f.Doc == nil {
		return false
	}
	text := f.Doc.Text()
	return strings.HasPrefix(text, "Package "+f.Name.Name+" ") || f.Name.Name == "main" && text != ""
}

func TestImports(t *testing.T) {
	files := sources(t)
	for _, fault := range misplaced(files) {
		t.Error(fault)
	}
	for _, f := range files {
		if f.lines > 600 {
			t.Logf("%s has %d lines: is there a second noun in it?", f.name, f.lines)
		}
	}
}

// TestAWrongArrowIsFound plants one wrong thing each into the parsed files.
func TestAWrongArrowIsFound(t *testing.T) {
	files := sources(t)
	if len(files) < 10 {
		t.Fatalf("only %d files were found", len(files))
	}
	tests := []struct {
		name, file, imports string
		fault               string // part of the sentence; empty: none
	}{
		{"the root imports a room", "message2.go", "tidings/store", "tidings may not import tidings/store"},
		{"the root imports a library", "message2.go", "golang.org/x/sync/errgroup", "the root may import no library"},
		{"store imports the hub", "store/x.go", "tidings/hub", "tidings/store may not import tidings/hub"},
		{"access imports store", "access/x.go", "tidings/store", "tidings/access may not import tidings/store"},
		{"ingest imports bot", "ingest/x.go", "tidings/bot", "tidings/ingest may not import tidings/bot"},
		{"sim imports the root", "sim/x.go", "tidings", "tidings/sim may not import tidings"},
		{"sim imports arikawa's ids", "sim/x.go", arikawaID, "tidings/sim may not import " + arikawaID},
		{"hub speaks to Discord", "hub/x.go", arikawa + "/api", "only bot may import " + arikawa + "/api"},
		{"web speaks SQL", "web/x.go", "github.com/jmoiron/sqlx", "tidings/web may not import github.com/jmoiron/sqlx"},
		{"jobs speaks SQL", "jobs/x.go", "github.com/lib/pq", "tidings/jobs may not import github.com/lib/pq"},
		{"hub speaks SQL", "hub/x.go", "database/sql", "tidings/hub may not import database/sql"},
		{"a room that nobody knows", "util/x.go", "tidings", "does not know the room tidings/util"},
		{"a nested room that nobody knows", "store/cache/x.go", "fmt", "does not know the room tidings/store/cache"},
		{"web imports the hub", "web/x.go", "tidings/hub", ""},
		{"bot imports arikawa's api", "bot/x.go", arikawa + "/api", ""},
		{"hub imports the ids", "hub/x.go", arikawaID, ""},
		{"a test imports more", "hub/x_test.go", "tidings/store", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var src bytes.Buffer
			name := path.Base(path.Dir("tidings/" + tt.file))
			fmt.Fprintf(&src, "// Package %s is planted.\npackage %s\n\nimport _ %q\n", name, name, tt.imports)
			f, err := parse(tt.file, src.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			faults := strings.Join(misplaced(append(slices.Clone(files), f)), "\n")
			switch {
			case tt.fault == "" && strings.Contains(faults, tt.file):
				t.Errorf("it is a fault: %s", faults)
			case !strings.Contains(faults, tt.fault):
				t.Errorf("it is not found: %q", faults)
			}
		})
	}
	f, err := parse("web/x.go", []byte("package web\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.room = "tidings/render"
	if faults := misplaced([]source{f}); len(faults) != 1 || !strings.Contains(faults[0], "no package comment") {
		t.Errorf("a room without a package comment gives %q", faults)
	}
}
