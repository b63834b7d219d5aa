// Command live prints how much is unread, after every change, until it is stopped:
//
//	TOKEN=… go run ./examples/live http://127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"tidings/hub/client"
)

func main() {
	if len(os.Args) != 2 || os.Getenv("TOKEN") == "" {
		fmt.Fprintln(os.Stderr, "usage: TOKEN=… live ADDRESS; tidings token create makes a token")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := client.Follow(ctx, os.Args[1], client.Options{Token: os.Getenv("TOKEN")}, func(s *client.State, ev client.Event) {
		if !s.Settled() {
			return // counts are asked for and on their way
		}
		unread, mentions := s.Totals()
		fmt.Printf("%s: %d unread, %d mentions\n", ev.Op, unread, mentions)
	})
	if ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
