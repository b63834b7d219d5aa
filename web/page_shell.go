package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// What makes the pages an application that can be installed: its manifest, its icons, and the worker that shows something when
// there is no connection.

func (s *Server) manifest(w http.ResponseWriter, _ *http.Request) {
	type icon struct {
		Src     string `json:"src"`
		Sizes   string `json:"sizes"`
		Type    string `json:"type"`
		Purpose string `json:"purpose,omitempty"`
	}
	b, err := json.Marshal(map[string]any{
		"name": "Tidings", "short_name": "Tidings", "description": "Everything unread of your Discord servers, in one place",
		"id": "/", "start_url": "/", "scope": "/", "display": "standalone", "background_color": "#17181c", "theme_color": "#17181c",
		"icons": []icon{
			{s.assets.url("favicon.svg"), "any", "image/svg+xml", ""},
			{s.assets.url("icon-maskable.svg"), "any", "image/svg+xml", "maskable"},
			{s.assets.url("icon-192.png"), "192x192", "image/png", ""},
			{s.assets.url("icon-512.png"), "512x512", "image/png", ""},
		},
		"shortcuts": []map[string]any{
			{"name": "Mentions", "url": "/?filter=mentions"}, {"name": "Search", "url": "/search"}, {"name": "Saved", "url": "/saved"},
		},
	})
	if err != nil {
		http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/manifest+json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(b)
}

// worker serves the service worker from the root, so that it is there for all pages. Its first line names the version of the
// files, so that browsers see a new worker when any of them has changed.
func (s *Server) worker(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	fmt.Fprintf(w, "const version = %q;\n%s", s.assets.version, s.assets.files["worker.js"].body)
}

func (s *Server) pageOffline(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "offline.html", nil)
}

// icon draws the favicon with a number on it.
func (s *Server) icon(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, colour := q.Get("unread"), "#4c56c8"
	if q.Has("mentions") {
		n, colour = q.Get("mentions"), "#c2255c"
	}
	count, err := strconv.Atoi(n)
	if err != nil || count < 1 {
		http.NotFound(w, r)
		return
	}
	text, size := strconv.Itoa(count), 19
	if count > 99 {
		text, size = "99+", 14
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="%s"/>`+
		`<text x="16" y="%d" fill="#fff" font-family="system-ui,sans-serif" font-weight="700" font-size="%d" text-anchor="middle">%s</text></svg>`,
		colour, 16+size*36/100, size, text)
}

// worthPacking is from how many bytes on an answer is compressed.
const worthPacking = 1 << 10

func takesGzip(r *http.Request) bool {
	for _, v := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(v), ";")
		if strings.TrimSpace(name) == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
