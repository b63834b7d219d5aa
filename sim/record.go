package sim

import (
	"net/http"
	"strconv"
	"time"
)

// logged is one REST request as /sim/log gives it.
type logged struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Route  string    `json:"route"`
	Bucket string    `json:"bucket"`
	Status int       `json:"status"`
	// Who is "bot", "bearer", "user" or "" for nobody.
	Who string `json:"who,omitempty"`
	// Query is the request's query, so that a test sees the cursors.
	Query string `json:"query,omitempty"`
}

// record is what clients did. The newest maxLogged requests are kept.
type record struct {
	Identifies      int `json:"identifies"`
	Resumes         int `json:"resumes"`
	Resumed         int `json:"resumed"`
	Connections     int `json:"connections"`
	InvalidRequests int `json:"invalid_requests"`
	BadUserAgents   int `json:"bad_user_agents"`
	requests        []logged
}

const maxLogged = 50_000

func newRecord() *record { return &record{} }

func (s *Sim) note(l logged) {
	s.record.requests = append(s.record.requests, l)
	if n := len(s.record.requests); n > 2*maxLogged {
		s.record.requests = append([]logged(nil), s.record.requests[n-maxLogged:]...)
	}
}

func (s *Sim) noteOAuth(r *http.Request, route string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(logged{At: s.now(), Method: r.Method, Route: route, Status: status})
}

// simLog answers what clients did, since a time (RFC 3339 or Unix milliseconds) if one is given.
func (s *Sim) simLog(w http.ResponseWriter, r *http.Request) {
	var since time.Time
	if v := r.URL.Query().Get("since"); v != "" {
		if ms, err := strconv.ParseInt(v, 10, 64); err == nil {
			since = time.UnixMilli(ms)
		} else if since, err = time.Parse(time.RFC3339Nano, v); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "since is neither RFC 3339 nor Unix milliseconds"})
			return
		}
	}
	s.mu.Lock()
	out := struct {
		record
		// Open is how many gateway connections there are now.
		Open     int      `json:"open"`
		Requests []logged `json:"requests"`
	}{*s.record, len(s.conns), []logged{}}
	for _, l := range s.record.requests {
		if !l.At.Before(since) {
			out.Requests = append(out.Requests, l)
		}
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, out)
}
