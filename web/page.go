package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages holds the parsed templates.
type pages struct{ t *template.Template }

func parsePages(a *assets) (*pages, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"asset":   a.url,
		"modules": func() []string { return a.modules },
		"initial": initial,
		"tone":    tone,
		"size":    humanSize,
		"fields": func(title, of string, list []describedField) any {
			return struct {
				Title, Of string // of an operation, by its id
				Fields    []describedField
			}{title, of, list}
		},
		"clock":   func(t time.Time) string { return t.UTC().Format("15:04") },
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"day":     func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006") },
	}).Funcs(adminFuncs).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse templates: %w", err)
	}
	return &pages{t}, nil
}

// show writes a whole page, or none of it.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.t.ExecuteTemplate(&b, name, data); err != nil {
		s.log.Error("write a page", "page", name, "err", err)
		http.Error(w, "Something went wrong here. Try again in a moment.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", "Accept-Encoding")
	if b.Len() < worthPacking || !takesGzip(r) {
		w.WriteHeader(status)
		w.Write(b.Bytes())
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	z.Write(b.Bytes())
	z.Close()
}

// notice is a page with one thing to say and one thing to do.
type notice struct {
	Title, Text   string
	Action, Label string // a link; none when empty
	Steps         []string
	SignOut       bool
	Again         int // look again after as many seconds; 0 for not
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	n := notice{Title: title, Text: text, Action: "/", Label: "Back to the feed"}
	if status >= 500 {
		n.Action, n.Label = r.URL.Path, "Try again"
	}
	s.show(w, r, status, "notice.html", n)
}

func (s *Server) pageError(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, err) }

func (s *Server) pageNotFound(w http.ResponseWriter, r *http.Request) {
	s.errorPage(w, r, http.StatusNotFound, "There is nothing here", "The address is wrong, or what was here is gone or not for you to see.")
}

func (s *Server) loginFailed(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.show(w, r, status, "notice.html", notice{Title: title, Text: text, Action: "/login", Label: "Sign in with Discord"})
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) {
	to := localPath(r.URL.RequestURI())
	login := "/login"
	if to != "/" {
		login += "?to=" + url.QueryEscape(to)
	}
	s.show(w, r, http.StatusUnauthorized, "signin.html", struct{ Login string }{login})
}

func initial(name string) string {
	for _, c := range strings.TrimSpace(name) {
		return strings.ToUpper(string(c))
	}
	return "?"
}

// tone is one of eight colours for who has no picture, the same that the page chooses (tone in static/render/dom.js).
func tone(id fmt.Stringer) string {
	n := uint32(7)
	for _, digit := range id.String() {
		n = n*31 + uint32(digit)
	}
	return fmt.Sprint("tone-", n*2_654_435_761>>29)
}

func humanSize(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
