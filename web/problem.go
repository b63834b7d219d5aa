package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// problem is the one place where errors become statuses. What is not foreseen becomes a 500 that tells nothing of the
// inside; the caller logs it.
func problem(err error) *huma.ErrorModel {
	var p *huma.ErrorModel
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return problemf(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes.", tooLarge.Limit)
	case errors.Is(err, tidings.ErrNotFound):
		return problemf(http.StatusNotFound, "There is no such thing, or you may not see it.")
	case errors.Is(err, tidings.ErrForbidden):
		return problemf(http.StatusForbidden, "You may not do this.")
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
	return p
}

// fail answers outside of huma: problem+json below /api, a page elsewhere.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem(err)
	if p.Status >= 500 && r.Context().Err() == nil {
		s.log.Error("request failed", "path", r.URL.Path, "err", err)
	}
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		s.errorPage(w, r, p.Status, p.Title, p.Detail)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func (s *Server) apiNotFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, problemf(http.StatusNotFound, "The API has no %s %s. GET /api/openapi.json describes what it has.", r.Method, r.URL.Path))
}
