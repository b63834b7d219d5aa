package jobs_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/jobs"
	"tidings/store"
)

// heldGuilds are guilds that the gateway tells of, which were looked at some seconds ago.
type heldGuilds struct {
	jobs.PollStore
	n       int
	seconds float64
	asked   int
}

func (h *heldGuilds) GuildPolls(context.Context) ([]store.GuildPoll, error) {
	list := make([]store.GuildPoll, h.n)
	for i := range list {
		list[i] = store.GuildPoll{Guild: discord.GuildID(i + 1), Known: true, Held: true, Polled: h.seconds}
	}
	return list, nil
}

func (h *heldGuilds) Enqueue(_ context.Context, list ...store.NewJob) (int, error) {
	h.asked += len(list)
	return len(list), nil
}

// What the gateway tells is held against the newest messages of each guild every ten minutes, and with very many guilds at the
// pace of one request a second.
func TestGuildsAreAuditedBesideTheGateway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		guilds  int
		seconds float64
		due     bool
	}{
		{"a few, nine minutes ago", 3, 540, false},
		{"a few, ten minutes ago", 3, 600, true},
		{"a thousand, ten minutes ago", 1000, 600, false},
		{"a thousand, 2,000 seconds ago", 1000, 2000, true},
	} {
		h := &heldGuilds{n: tt.guilds, seconds: tt.seconds}
		p := &jobs.Poll{Store: h, Log: slog.New(slog.DiscardHandler), Budget: 10_000}
		if err := p.Tick(t.Context(), store.Job{}); err != nil {
			t.Fatal(err)
		}
		if (h.asked == tt.guilds) != tt.due || h.asked != 0 && !tt.due {
			t.Errorf("%s: %d of %d are looked at, want all: %v", tt.name, h.asked, tt.guilds, tt.due)
		}
	}
}
