package simtest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidings/sim"
)

func TestCheckFindsBreaches(t *testing.T) {
	t.Parallel()
	ex := func(method, route, path, body string, status int, answer string) sim.Exchange {
		req := httptest.NewRequest(method, "/api/v10"+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		for i, p := range strings.Split(route, "/") {
			if strings.HasPrefix(p, "{") {
				req.SetPathValue(strings.Trim(p, "{}"), strings.Split(strings.Split(path, "?")[0], "/")[i])
			}
		}
		return sim.Exchange{Request: req, Route: route, RequestBody: []byte(body), Status: status, Header: http.Header{"Content-Type": {"application/json"}}, ResponseBody: []byte(answer)}
	}
	const messages = "/channels/{channel_id}/messages"
	tests := []struct {
		name string
		ex   sim.Exchange
		want string // part of the breach, "" for none
	}{
		{"an empty page", ex("GET", messages, "/channels/5/messages", "", 200, "[]"), ""},
		{"a message without an author", ex("GET", messages, "/channels/5/messages", "", 200, `[{"id":"1"}]`), "author"},
		{"limit out of bounds", ex("GET", messages, "/channels/5/messages?limit=101", "", 200, "[]"), "limit"},
		{"limit out of bounds, refused", ex("GET", messages, "/channels/5/messages?limit=101", "", 400, `{"code":50035,"message":"Invalid Form Body","errors":{"limit":{"_errors":[{"code":"NUMBER_TYPE_MAX","message":"m"}]}}}`), ""},
		{"an error without a code", ex("GET", messages, "/channels/5/messages", "", 404, `{"message":"x"}`), "code"},
		{"a status that is not described", ex("GET", messages, "/channels/5/messages", "", 302, ``), "status"},
		{"a content that is a number", ex("POST", messages, "/channels/5/messages", `{"content":5}`, 200, `{}`), "request"},
		{"a 429 without retry_after", ex("GET", messages, "/channels/5/messages", "", 429, `{"message":"x","code":0}`), "retry_after"},
		{"a call that does not exist", ex("GET", "/nothing", "/nothing", "", 200, `{}`), "not in the description"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.ex)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check() = %v, want %q", err, tt.want)
			}
		})
	}
	if err := CheckEvent("MESSAGE_CREATE", []byte(`{"id":"1"}`)); err == nil {
		t.Error("CheckEvent() took a message without an author")
	}
}
