package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
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

// A doubt about a guild that arises while polling reads it stays, and what was read before takes no place of what is stored.
func TestADoubtThatArisesWhilePollingReadsStays(t *testing.T) {
	t.Parallel()
	s, db, door, _ := fetching(t, &past{})
	guild := &shifting{may: tidings.PermissionViewChannel}
	odd := tidings.Event{Guild: testGuild, At: time.Now(), Body: tidings.Unreadable{Name: "GUILD_ROLE_UPDATE", Raw: []byte(`{}`)}}
	guild.meanwhile = func() {
		if _, err := s.DeadLetter(t.Context(), odd, errors.New("odd")); err != nil {
			t.Error(err)
		}
	}
	p := &jobs.Poll{Scout: guild, Store: s, Door: door, Log: slog.New(slog.DiscardHandler), Alone: true}
	if err := p.Guild(t.Context(), store.Job{Key: testGuild.String(), Payload: []byte(`{"reason":"alone","learn":true}`)}); err != nil {
		t.Fatal(err)
	}
	if doubted, err := s.Doubted(t.Context(), testGuild); err != nil || !doubted {
		t.Errorf("Doubted() = %t, %v, want that the guild is to be read again", doubted, err)
	}
	var may int64
	if err := db.Get(&may, `SELECT permissions FROM roles WHERE id = $1`, int64(testGuild)); err != nil || may != 0 {
		t.Errorf("everybody's permissions are %d, %v, want none", may, err)
	}
}

// A page that was asked for before somebody else's is not believed: the job comes back for the gap.
func TestAJobThatWasOvertakenComesBack(t *testing.T) {
	t.Parallel()
	all := ids(30)
	p := &past{ids: all}
	s, db, _, fetch := fetching(t, p)
	openGap(t, s, all[0]-1, all[29])
	p.during = func() {
		if _, err := s.BeginPage(t.Context(), gaps(t, s)[0]); err != nil { // of another process, which then ends
			t.Error(err)
		}
	}
	job := store.Job{Key: testChannel.String()}
	if err := fetch.Handle(t.Context(), job); err == nil || len(gaps(t, s)) != 1 {
		t.Errorf("Handle() = %v with %d gaps open, want that it waits for the other one", err, len(gaps(t, s)))
	}
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); len(got) != 30 || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored and %d gaps open, want 30 and none", len(got), len(gaps(t, s)))
	}
}
