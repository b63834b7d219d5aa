package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// A reaction tells the whole message again, and an answer holds the text of what it answers.
func TestAChangeOfAnAnswerDoesNotTellWhatWasDeleted(t *testing.T) {
	t.Parallel()
	s := open(t)
	quoted := map[string]any{"id": fmt.Sprint(uint64(nth(0))), "channel_id": fmt.Sprint(uint64(testChannel)), "type": 0, "content": "quoted secret"}
	record(t, s, created(t, nth(0), wire{Content: "quoted secret"}),
		created(t, nth(1), wire{Content: "well", Type: tidings.TypeReply, Extra: map[string]any{"referenced_message": quoted}}))
	record(t, s, reaction(tidings.ReactionAdded, ann, "a"))
	if got := payload(t, s, nth(1))["referenced_message"]; got == nil {
		t.Fatal("the answer lost its quote before the delete")
	}
	record(t, s, event(testChannel, tidings.MessagesDeleted{IDs: []discord.MessageID{nth(0)}}))
	deltas := record(t, s, reaction(tidings.ReactionAdded, bob, "a"))
	if len(deltas) != 1 || deltas[0].Message == nil || bytes.Contains(deltas[0].Message.Payload, []byte("secret")) {
		t.Errorf("deltas = %+v, want one without what was deleted", deltas)
	}
	if got := reactions(t, s); got != "a/<nil> 2;" {
		t.Errorf("reactions = %s", got)
	}
}
