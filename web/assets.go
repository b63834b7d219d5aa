package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

//go:embed static/*.js static/*.css static/*.svg static/*.png static/render/*.js
var staticFiles embed.FS

// assets serves the files of static/. All are addressed below one version, a hash over all of them, so that modules can
// import each other by relative names and the whole can be cached for good.
type assets struct {
	version string
	files   map[string]asset
	modules []string // what app.js imports, and what that does, but not what is loaded when it is first asked for
}

type asset struct {
	body   []byte
	packed []byte // body with gzip; nil where that gains nothing
	kind   string
	etag   string
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}}
	all := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".test.js") {
			return err
		}
		b, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" {
			kind = "text/javascript; charset=utf-8" // some machines' tables say otherwise
			b = withoutComments(b)
		}
		sum := sha256.Sum256(b)
		a.files[strings.TrimPrefix(name, "static/")] = asset{b, pack(b), kind, `"` + hex.EncodeToString(sum[:8]) + `"`}
		fmt.Fprintf(all, "%s %x\n", name, sum)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load static files: %w", err)
	}
	a.version = hex.EncodeToString(all.Sum(nil)[:6])
	a.modules = a.imported("app.js", map[string]bool{})
	return a, nil
}

// withoutComments empties the lines of a module that are comments: half of what there is to read, and nothing that a browser
// needs. Lines keep their numbers.
func withoutComments(module []byte) []byte {
	lines := bytes.Split(module, []byte("\n"))
	inside := false
	for i, line := range lines {
		text := bytes.TrimSpace(line)
		begins := !inside && bytes.HasPrefix(text, []byte("/**"))
		end := bytes.Index(text, []byte("*/"))
		switch {
		case begins && end >= 0 && end < len(text)-2:
			continue // a cast before an expression
		case inside || begins:
			inside = end < 0
		case !bytes.HasPrefix(text, []byte("//")):
			continue
		}
		lines[i] = nil
	}
	return bytes.Join(lines, []byte("\n"))
}

// staticImport is an import that a module cannot begin without.
var staticImport = regexp.MustCompile(`(?m)^import (?:[^'"\n]* from )?'([^']+)';`)

// imported lists the modules that one needs, itself last: named in the page, browsers fetch them at once and not level by level.
func (a *assets) imported(name string, seen map[string]bool) []string {
	if seen[name] {
		return nil
	}
	seen[name] = true
	var out []string
	for _, m := range staticImport.FindAllSubmatch(a.files[name].body, -1) {
		out = append(out, a.imported(path.Join(path.Dir(name), string(m[1])), seen)...)
	}
	return append(out, name)
}

// url is a file's address.
func (a *assets) url(name string) string { return "/static/" + a.version + "/" + name }

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch {
	case r.PathValue("version") == a.version:
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case r.URL.Query().Has("own"):
		// A page that has been open since before an update wants a part of its own build: one of another would not fit the rest.
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "This service has another build of its pages now. Load the page anew.", http.StatusGone)
		return
	default:
		// A page that a process of another build has just written asks, as while processes are updated one by one: it gets what there is,
		// and asks again next time.
		w.Header().Set("Cache-Control", "no-cache")
	}
	f.send(w, r)
}

func (f asset) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if f.packed != nil && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		w.Write(f.packed)
		return
	}
	w.Write(f.body)
}

// pack compresses a file once, for all who will ask for it.
func pack(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	z.Write(b)
	z.Close()
	if out.Len() > len(b)*9/10 {
		return nil
	}
	return out.Bytes()
}

func (a *assets) favicon(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	a.files["favicon.svg"].send(w, r)
}

func (a *assets) robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("User-agent: *\nDisallow: /\n"))
}
