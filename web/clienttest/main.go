// Command clienttest reads what is unread with a client that was generated from the API's own description, and marks it as read.
// Its other half, client.gen.go, is written by oapi-codegen in TestAGeneratedClientListsUnreadAndMarksRead, so that it is never
// behind. It is a module of its own, so that its libraries never enter ours.
//
//	clienttest ADDRESS TOKEN
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, token string) error {
	c, err := NewClientWithResponses(address, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}))
	if err != nil {
		return err
	}
	before, err := c.GetUnreadWithResponse(ctx)
	if err != nil {
		return err
	}
	if before.JSON200 == nil {
		return fmt.Errorf("unread: %s %s", before.Status(), before.Body)
	}
	fmt.Println("total", before.JSON200.Total, "mentions", before.JSON200.Mentions)
	for _, g := range *before.JSON200.Guilds {
		for _, ch := range *g.Channels {
			if ch.Unread == 0 {
				continue
			}
			fmt.Println(g.Name, ch.Name, ch.Unread)
			page, err := c.GetMessagesWithResponse(ctx, &GetMessagesParams{Channel: *ch.Id})
			if err != nil {
				return err
			}
			if page.JSON200 == nil {
				return fmt.Errorf("messages: %s %s", page.Status(), page.Body)
			}
			for _, m := range *page.JSON200.Messages {
				fmt.Println(m.Author.Name, "said", m.Content)
			}
			read, err := c.PostMessagesReadWithResponse(ctx, PostMessagesReadJSONRequestBody{Channel: ch.Id, UpTo: page.JSON200.UpTo})
			if err != nil {
				return err
			}
			if read.JSON200 == nil {
				return fmt.Errorf("read: %s %s", read.Status(), read.Body)
			}
		}
	}
	after, err := c.GetUnreadWithResponse(ctx)
	if err != nil {
		return err
	}
	fmt.Println("total", after.JSON200.Total)
	missing, err := c.GetChannelsIdWithResponse(ctx, "999")
	if err != nil {
		return err
	}
	fmt.Println("a channel that there is not:", missing.StatusCode(), missing.ApplicationproblemJSON404.GetStatus())
	return nil
}

// GetStatus is the status that a problem names.
func (e *ErrorModel) GetStatus() int64 {
	if e == nil || e.Status == nil {
		return 0
	}
	return *e.Status
}
