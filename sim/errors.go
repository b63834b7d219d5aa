package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error as Discord answers it: a status, its own code, and for forms the faulty fields.
type apiError struct {
	Status  int
	Code    int
	Message string
	// Fields are faults by dotted path, for 50035.
	Fields []fieldError
	// Header are headers that go with the answer, Body replaces it.
	Header map[string]string
	Body   any
}

type fieldError struct{ path, code, message string }

func (e *apiError) Error() string { return fmt.Sprintf("%d %s (%d)", e.Status, e.Message, e.Code) }

// MarshalJSON writes {code, message, errors}.
func (e *apiError) MarshalJSON() ([]byte, error) {
	if e.Body != nil {
		return json.Marshal(e.Body)
	}
	out := map[string]any{"code": e.Code, "message": e.Message}
	if len(e.Fields) > 0 {
		tree := map[string]any{}
		for _, f := range e.Fields {
			at := tree
			for p := range strings.SplitSeq(f.path, ".") {
				next, ok := at[p].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[p] = next
				}
				at = next
			}
			list, _ := at["_errors"].([]map[string]string)
			at["_errors"] = append(list, map[string]string{"code": f.code, "message": f.message})
		}
		out["errors"] = tree
	}
	return json.Marshal(out)
}

func fail(status, code int, message string) *apiError {
	return &apiError{Status: status, Code: code, Message: message}
}

// The errors that Discord's documentation names, one function each so that no answer shares state.
func errUnauthorized() error   { return fail(http.StatusUnauthorized, 0, "401: Unauthorized") }
func errNotFound() error       { return fail(http.StatusNotFound, 0, "404: Not Found") }
func errNotAllowed() error     { return fail(http.StatusMethodNotAllowed, 0, "405: Method Not Allowed") }
func errAccess() error         { return fail(http.StatusForbidden, 50001, "Missing Access") }
func errPermissions() error    { return fail(http.StatusForbidden, 50013, "Missing Permissions") }
func errScope() error          { return fail(http.StatusForbidden, 50026, "Missing required OAuth2 scope") }
func errUnknownChannel() error { return fail(http.StatusNotFound, 10003, "Unknown Channel") }
func errUnknownGuild() error   { return fail(http.StatusNotFound, 10004, "Unknown Guild") }
func errUnknownMember() error  { return fail(http.StatusNotFound, 10007, "Unknown Member") }
func errUnknownMessage() error { return fail(http.StatusNotFound, 10008, "Unknown Message") }
func errUnknownRole() error    { return fail(http.StatusNotFound, 10011, "Unknown Role") }
func errUnknownUser() error    { return fail(http.StatusNotFound, 10013, "Unknown User") }
func errUnknownEmoji() error   { return fail(http.StatusBadRequest, 10014, "Unknown Emoji") }
func errUnknownWebhook() error { return fail(http.StatusNotFound, 10015, "Unknown Webhook") }
func errUnknownBan() error     { return fail(http.StatusNotFound, 10026, "Unknown Ban") }
func errEmptyMessage() error {
	return fail(http.StatusBadRequest, 50006, "Cannot send an empty message")
}
func errOtherAuthor() error {
	return fail(http.StatusForbidden, 50005, "Cannot edit a message authored by another user")
}
func errChannelType() error {
	return fail(http.StatusBadRequest, 50024, "Cannot execute action on this channel type")
}
func errSystemMessage() error {
	return fail(http.StatusForbidden, 50021, "Cannot execute action on a system message")
}
func errArchived() error { return fail(http.StatusBadRequest, 50083, "Thread is archived") }
func errJSON() error {
	return fail(http.StatusBadRequest, 50109, "The request body contains invalid JSON.")
}
func errServer() error { return fail(http.StatusInternalServerError, 0, "500: Internal Server Error") }

// form gathers the faults of a request's fields.
type form []fieldError

func (f *form) add(path, code, message string) { *f = append(*f, fieldError{path, code, message}) }

func (f form) err() error {
	if len(f) == 0 {
		return nil
	}
	return &apiError{Status: http.StatusBadRequest, Code: 50035, Message: "Invalid Form Body", Fields: f}
}

func badField(path, code, message string) error { return form{{path, code, message}}.err() }
