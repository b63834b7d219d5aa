package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tidings"
)

// problemf is an error with a status and a sentence that the person reads.
func problemf(status int, format string, args ...any) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// fieldProblem says which field is wrong and what to do.
func fieldProblem(location, message string, value any) *huma.ErrorModel {
	p := problemf(http.StatusUnprocessableEntity, "The request cannot be understood: %s: %s", location, message)
	p.Errors = []*huma.ErrorDetail{{Location: location, Message: message, Value: value}}
	return p
}

// location says where in a request a field stands that store names.
func location(field string) string {
	switch field {
	case "cursor", "newer", "around", "before", "after", "limit", "q", "filter":
		return "query." + field
	case "scope", "author", "id":
		return "path." + field
	}
	return "body." + field
}

// problem is the one place where errors become statuses. What is not foreseen becomes a 500 that tells nothing of the
// inside; the caller logs it.
func problem(err error) *huma.ErrorModel {
	var p *huma.ErrorModel
	var tooLarge *http.MaxBytesError
	var field *tidings.FieldError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return problemf(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes.", tooLarge.Limit)
	case errors.Is(err, tidings.ErrNotFound):
		return problemf(http.StatusNotFound, "There is no such thing, or you may not see it.")
	case errors.Is(err, tidings.ErrForbidden):
		return problemf(http.StatusForbidden, "You may not do this.")
	case errors.As(err, &field):
		return fieldProblem(location(field.Field), field.Message, nil)
	case errors.Is(err, tidings.ErrInvalid):
		return problemf(http.StatusUnprocessableEntity, "The request cannot be understood: %s", strings.TrimSpace(err.Error()))
	case errors.Is(err, tidings.ErrConflict):
		return problemf(http.StatusConflict, "Something newer stands. Fetch the current state and try again.")
	case errors.Is(err, tidings.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return problemf(http.StatusServiceUnavailable, "A part of the service is away. Try again in a moment.")
	}
	return problemf(http.StatusInternalServerError, "Something went wrong here. It was logged; try again in a moment.")
}

// failed is what an operation of the API returns for an error.
func (s *Server) failed(ctx context.Context, what string, err error) error {
	p := problem(err)
	if p.Status >= 500 && ctx.Err() == nil {
		s.log.Error("request failed", "what", what, "err", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		return withRetry(p, 5)
	}
	return p
}

// fail answers outside of huma: problem+json to machines and where there are no pages, a page elsewhere.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem(err)
	if p.Status >= 500 && r.Context().Err() == nil {
		s.log.Error("request failed", "path", shownPath(r), "err", err)
	}
	if h := huma.HeadersError(nil); errors.As(err, &h) {
		maps.Copy(w.Header(), h.GetHeaders())
	}
	if !s.o.NoPages && !forMachines(r) {
		s.errorPage(w, r, p.Status, p.Title, p.Detail)
		return
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeProblem(w, p)
}

// writeProblem answers with problem+json, and for 503 with when to ask again.
func writeProblem(w http.ResponseWriter, p *huma.ErrorModel) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// apiNotFound answers what no operation has taken: 405 where another method would have found one.
func (s *Server) apiNotFound(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.wrongMethod(mux, w, r) {
			s.fail(w, r, problemf(http.StatusNotFound, "The API has no %s %s. GET /api describes what it has.", r.Method, r.URL.Path))
		}
	}
}

// nothingHere is apiNotFound for everything that is not below /api/.
func (s *Server) nothingHere(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.wrongMethod(mux, w, r):
		case forMachines(r):
			s.fail(w, r, problemf(http.StatusNotFound, "There is nothing at %s.", r.URL.Path))
		default:
			s.pageNotFound(w, r)
		}
	}
}

// wrongMethod answers 405 where another method finds something at the request's path, and says whether it did.
func (s *Server) wrongMethod(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) bool {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(probe); strings.HasPrefix(pattern, method+" ") || method == http.MethodHead && strings.HasPrefix(pattern, "GET ") {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return false
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(w, r, problemf(http.StatusMethodNotAllowed, "%s has no %s. It has: %s.", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
	return true
}

// forMachines tells whether what is asked for is no page.
func forMachines(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/webhooks/")
}

// queryProblem is what is wrong with a query however it is understood: a part that cannot be read, and a parameter that is given twice, of
// which one would be left out in silence.
func queryProblem(r *http.Request) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fieldProblem("query", "it cannot be read: "+err.Error(), nil)
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if len(q[name]) > 1 {
			return fieldProblem("query."+name, "it is given more than once", nil)
		}
	}
	return nil
}
