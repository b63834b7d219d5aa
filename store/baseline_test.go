package store

import (
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// A clock of ours that is wrong by hours must not move where a person's history begins: what is said from now on is unread.
func TestAHistoryBeginsByDiscordsClock(t *testing.T) {
	t.Parallel()
	s := open(t)
	discords := time.Now().Add(-3 * time.Hour)
	s.TellTime(func() time.Time { return discords })
	barrierOf(t, s, tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild}})
	events, err := s.WatchMember(t.Context(), testGuild, ann)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SaveMember(t.Context(), testGuild, ann, &tidings.Member{Guild: testGuild, User: ann}, events); err != nil {
		t.Fatal(err)
	}
	if got := one[discord.MessageID](t, s, `SELECT baseline_id FROM baselines`); got != tidings.FirstID(discords) {
		t.Errorf("the history begins at %v, want %v", got.Time(), discords)
	}
}
