package hub

import (
	"encoding/json"
	"net/http"
	"strings"
)

// refusal turns the plain text with which a socket is refused into problem+json, as the rest of the API answers.
type refusal struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (r *refusal) WriteHeader(status int) {
	if r.status = status; status >= http.StatusBadRequest {
		r.Header().Set("Content-Type", "application/problem+json")
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter]. The text comes in one piece.
func (r *refusal) Write(text []byte) (int, error) {
	if r.status < http.StatusBadRequest {
		return r.ResponseWriter.Write(text)
	}
	problem := struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(r.status), r.status, strings.TrimSpace(string(text))}
	return len(text), json.NewEncoder(r.ResponseWriter).Encode(problem)
}
