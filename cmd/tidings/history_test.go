package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"tidings"
	"tidings/bot"
	"tidings/store"
)

// Only Discord's own word says that a channel is gone. A 404 of something on the way, taken for it, would close a gap unread.
func TestAChannelIsGoneOnlyByDiscordsWord(t *testing.T) {
	t.Parallel()
	for body, gone := range map[string]bool{
		`{"message": "Unknown Channel", "code": 10003}`: true,
		`{"message": "404: Not Found", "code": 0}`:      false,
		`<html>not found</html>`:                        false,
	} {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(ts.Close)
		b, err := bot.New(bot.Options{Token: "token", URL: ts.URL, Sessions: (*store.Store)(nil), HTTP: ts.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = history{b.REST()}.MessagesBefore(t.Context(), 1, 2, 3, 100)
		if errors.Is(err, tidings.ErrNotFound) != gone || err == nil || !gone && !errors.Is(err, tidings.ErrUnavailable) {
			t.Errorf("a 404 with %s: %v; gone should be %v", body, err, gone)
		}
	}
}
