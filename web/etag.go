package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// polled are the answers that clients ask for again and again. Each carries a strong ETag, which is a hash of its bytes: so it is the
// same exactly as long as nothing in the answer changes, whatever the answer depends on.
var polled = map[string]bool{
	"/api/unread": true, "/api/messages": true, "/api/feed": true, "/api/guilds": true, "/api/views": true, "/api/saved": true,
	"/api/coverage": true,
}

// tagged answers 304 where the client has what it would get.
func tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || !polled[r.URL.Path] && !strings.HasPrefix(r.URL.Path, feedsPath) {
			next.ServeHTTP(w, r)
			return
		}
		held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(held, r)
		if held.status == http.StatusOK {
			sum := sha256.Sum256(held.body.Bytes())
			tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
			h := w.Header()
			h.Set("ETag", tag)
			h.Set("Vary", "Authorization, Cookie")
			if matches(r.Header.Values("If-None-Match"), tag) {
				h.Del("Content-Type")
				w.WriteHeader(http.StatusNotModified)
				return
			}
			h.Set("Content-Length", strconv.Itoa(held.body.Len()))
		}
		w.WriteHeader(held.status)
		w.Write(held.body.Bytes())
	})
}

// matches reads If-None-Match, which compares weakly: RFC 9110, 13.1.2.
func matches(headers []string, tag string) bool {
	for _, list := range headers {
		for t := range strings.SplitSeq(list, ",") {
			if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// heldAnswer keeps an answer back. Those that are held are pages of bounded size.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(b []byte) (int, error) { return h.body.Write(b) }
