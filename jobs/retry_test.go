package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/jobs"
	"tidings/store"
)

// alive answers as Discord does about single messages.
type alive struct {
	messages map[discord.MessageID]tidings.Message
	down     error
}

func (a *alive) Message(_ context.Context, _ discord.ChannelID, id discord.MessageID) (tidings.Message, error) {
	if a.down != nil {
		return tidings.Message{}, a.down
	}
	if m, ok := a.messages[id]; ok {
		return m, nil
	}
	return tidings.Message{}, tidings.ErrNotFound
}

func (a *alive) Channel(context.Context, discord.ChannelID) (tidings.Channel, error) {
	return tidings.Channel{}, errors.New("nobody asks")
}

func (a *alive) Gone(err error) bool { return errors.Is(err, tidings.ErrNotFound) }

// What has died is stored as it is now: one message was deleted since, another edited, and nobody was told of either.
func TestWhatHasDiedComesBackAsItIsNow(t *testing.T) {
	t.Parallel()
	all := ids(3)
	s, db, _, _ := fetching(t, &past{})
	for _, id := range all {
		ev := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, id)}}
		if _, err := s.DeadLetter(t.Context(), ev, errors.New("too odd")); err != nil {
			t.Fatal(err)
		}
	}
	edited := with(said(testChannel, all[1]), `"edited_timestamp":"2026-08-02T12:00:00Z"`)
	edited.Content = "another text"
	a := &alive{messages: map[discord.MessageID]tidings.Message{all[1]: edited, all[2]: said(testChannel, all[2])}, down: errors.New("502")}
	retry := jobs.Retry(s, a, func(context.Context, tidings.Result) {}, discard())
	if err := retry(t.Context(), store.Job{}); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); len(got) != 0 {
		t.Fatalf("%v are stored although Discord does not answer", got)
	}
	a.down = nil
	db.MustExec(`UPDATE dead_events SET retry_at = now()`)
	if err := retry(t.Context(), store.Job{}); err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := db.Select(&texts, `SELECT content FROM messages WHERE NOT deleted ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	if want := []string{"another text", fmt.Sprintf("text %d", all[2])}; fmt.Sprint(texts) != fmt.Sprint(want) {
		t.Errorf("stored are %q, want %q: the first one is deleted", texts, want)
	}
	var left int
	if err := db.Get(&left, `SELECT count(*) FROM dead_events`); err != nil || left != 0 {
		t.Errorf("%d dead letters are left, %v, want none", left, err)
	}
}
