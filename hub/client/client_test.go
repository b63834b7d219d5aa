package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidings/hub/client"
)

// Follow a server and print how much is unread after every change.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o := client.Options{Token: "the token that `tidings token create` printed"}
	err := client.Follow(ctx, "http://127.0.0.1:8080", o, func(s *client.State, ev client.Event) {
		unread, mentions := s.Totals()
		fmt.Println(ev.Op, unread, "unread,", mentions, "mentions")
	})
	fmt.Println(err)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		err         error
		attempts    int
		least, most time.Duration
		again       bool
	}{
		{"going away", websocket.CloseError{Code: 1012, Reason: "retry_ms=1500"}, 9, 1500 * time.Millisecond, 1500 * time.Millisecond, true},
		{"too slow", fmt.Errorf("live socket: %w", websocket.CloseError{Code: 4008, Reason: "retry_ms=0"}), 0, 0, 0, true},
		{"going away, oddly", websocket.CloseError{Code: 1012, Reason: "retry_ms=-5"}, 0, 0, time.Second, true},
		{"too many", websocket.CloseError{Code: 4009}, 2, 0, 4 * time.Second, true},
		{"broken", errors.New("connection reset"), 99, 0, 32 * time.Second, true},
		{"protocol error", websocket.CloseError{Code: 4000}, 0, 0, 0, false},
		{"not signed in", websocket.CloseError{Code: 4001}, 0, 0, 0, false},
		{"session ended", websocket.CloseError{Code: 4003}, 0, 0, 0, false},
	} {
		got, again := client.RetryAfter(tt.err, tt.attempts)
		if again != tt.again || got < tt.least || got > tt.most {
			t.Errorf("%s: RetryAfter() = %v, %v, want %v to %v, %v", tt.name, got, again, tt.least, tt.most, tt.again)
		}
	}
}
