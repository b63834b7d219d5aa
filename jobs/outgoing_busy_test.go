package jobs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Neither what was told within moments nor what its person has written keeps a webhook from hearing of what comes then.
func TestABusyViewGoesOnBeingTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		author discord.UserID
		told   bool
	}{{"it has told very many messages within moments", 9, true}, {"its person has written very many", readerID, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, store.OutgoingWebhook{})
			v, err := r.store.CreateView(t.Context(), readerID, "all", store.ViewFilters{})
			if err != nil {
				t.Fatal(err)
			}
			var events []tidings.Event
			for n := range 2000 {
				r.last++
				m, err := tidings.ParseMessage(fmt.Appendf(nil, `{"id":"%d","channel_id":"501","content":"%d","author":{"id":"%d","username":"x"}}`, r.last, n, c.author), 500)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, tidings.Event{Guild: 500, Channel: 501, At: time.Now(), Body: tidings.MessageCreated{Message: m}})
			}
			if _, err := r.store.Record(t.Context(), events, nil); err != nil {
				t.Fatal(err)
			}
			r.db.MustExec(`UPDATE outgoing_webhooks SET view_id = $1`, v.ID)
			if c.told {
				r.db.MustExec(`UPDATE outgoing_webhooks SET sent = ARRAY(SELECT id FROM messages ORDER BY id)`)
			}
			r.say(501, 9, "news", "")
			if err := r.send(); err != nil {
				t.Fatal(err)
			}
			if told, _ := r.at.got(); len(told) != 1 {
				t.Errorf("%d deliveries, want that of the news", len(told))
			}
		})
	}
}
