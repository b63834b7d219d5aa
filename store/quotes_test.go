package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

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

// What begins a thread holds the text of a message of another channel. That one may be deleted while it is recorded.
func TestWhatIsDeletedWhileItIsQuotedElsewhereIsNotKept(t *testing.T) {
	t.Parallel()
	s := open(t)
	const thread = testChannel + 1
	quoted := map[string]any{"id": fmt.Sprint(uint64(nth(0))), "channel_id": fmt.Sprint(uint64(testChannel)), "type": 0, "content": "quoted secret"}
	record(t, s, created(t, nth(0), wire{Content: "quoted secret"}), event(thread, tidings.MessageCreated{Message: message(t, thread, nth(1), wire{})}))
	// A delete that has looked for quotes, and is not committed.
	tx := s.db.MustBeginTx(t.Context(), nil)
	defer tx.Rollback()
	if _, err := lockChannel(t.Context(), tx, testChannel); err != nil {
		t.Fatal(err)
	}
	tx.MustExec(`UPDATE messages SET deleted = true, content = '', payload = NULL WHERE channel_id = $1 AND id = $2`, int64(testChannel), int64(nth(0)))
	if _, err := forgetCopies(t.Context(), tx, []discord.MessageID{nth(0)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Record(context.WithoutCancel(t.Context()), []tidings.Event{event(thread, tidings.MessageCreated{Message: message(t, thread, nth(2), wire{
			Type: 21, Extra: map[string]any{"referenced_message": quoted},
		})})}, nil)
		done <- err
	}()
	for deadline := time.Now().Add(time.Minute); len(done) == 0; { // or it waits
		if one[int](t, s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is neither recorded nor waiting")
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	kept := one[[]byte](t, s, `SELECT payload FROM messages WHERE channel_id = $1 AND id = $2`, int64(thread), int64(nth(2)))
	if bytes.Contains(kept, []byte("secret")) {
		t.Errorf("kept: %s", kept)
	}
}

// What begins a thread may quote a message of another channel that nothing is held of any more.
func TestWhatWasPurgedDoesNotComeBackInAQuoteOfAnotherChannel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		forget func(l *listener)
	}{
		{"a purged channel", func(l *listener) {
			_, err := l.Purge(t.Context(), Purge{Channel: lobby}, quietly)
			l.check(err)
		}},
		{"a server that keeps less", func(l *listener) {
			l.exec(`UPDATE guilds SET retention_days = 1`)
			_, err := l.Retain(t.Context(), quietly)
			l.check(err)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			answered, _ := gossip(t, l, 72*time.Hour)
			c.forget(l)
			l.exec(`DELETE FROM dead_events`)
			begins := event(attic, tidings.MessageCreated{Message: message(t, attic, tidings.FirstID(time.Now()), wire{Author: ben, Type: 21, Extra: map[string]any{"referenced_message": map[string]any{
				"id": fmt.Sprint(uint64(answered)), "channel_id": fmt.Sprint(uint64(lobby)), "content": canary, "author": map[string]any{"id": fmt.Sprint(uint64(ann))},
			}}})})
			_, err := l.Record(t.Context(), []tidings.Event{begins}, nil)
			l.check(err)
			if got := whoHolds(t, l.Store, canary); got != "" {
				t.Errorf("the text is back in %s", got)
			}
		})
	}
}
