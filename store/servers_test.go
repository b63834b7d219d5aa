package store

import (
	"errors"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func TestAServerCanKeepLessThanOthers(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.retention = 30 * 24 * time.Hour
	l.ready("one")
	l.shown(0, 0)
	old, young := tidings.FirstID(time.Now().Add(-5*24*time.Hour)), tidings.FirstID(time.Now().Add(-time.Hour))
	l.said(lobby, old, young)
	l.check(l.SetServer(t.Context(), testGuild, true, 2, ann))
	n, err := l.Retain(t.Context(), quietly)
	l.check(err)
	if n != 1 {
		t.Errorf("Retain() = %d, want the one older than two days", n)
	}
	l.said(lobby, old+1)
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages`); n != 1 {
		t.Errorf("%d messages are stored, want 1: what is too old for the server is refused", n)
	}
	if err := l.SetServer(t.Context(), 4711, true, 0, ann); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("SetServer() of an unknown server = %v", err)
	}
	servers, err := l.Servers(t.Context(), nil)
	l.check(err)
	if len(servers) != 1 || servers[0].Retention != 2 || servers[0].Messages != 1 || servers[0].Channels != 2 || !servers[0].Kept {
		t.Errorf("Servers() = %+v", servers)
	}
	if list, err := l.Servers(t.Context(), []discord.GuildID{}); err != nil || len(list) != 0 {
		t.Errorf("Servers() of none = %+v, %v", list, err)
	}
	channels, err := l.ServerChannels(t.Context(), testGuild)
	l.check(err)
	if len(channels) != 2 || channels[0].Name != "attic" || channels[1].Messages != 1 {
		t.Errorf("ServerChannels() = %+v", channels)
	}
}

// The longest that can be set reaches back to before there was Discord.
func TestAServerThatKeepsEverythingTakesMessagesIn(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.check(l.SetServer(t.Context(), testGuild, true, 36500, ann))
	l.said(lobby, nth(1), nth(2))
	if n, err := l.Retain(t.Context(), quietly); err != nil || n != 0 {
		t.Errorf("Retain() = %d, %v, want nothing deleted", n, err)
	}
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages`); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}

// completeSince holds whether a channel is said to be complete against want.
func (l *listener) completeSince(channel discord.ChannelID, want bool) {
	l.t.Helper()
	u, err := l.Summary(l.t.Context(), &tidings.VisibleSet{User: ann, Guilds: []tidings.VisibleGuild{{
		Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: channel, Guild: testGuild}},
	}}})
	l.check(err)
	if got := u.Guilds[0].Channels[0].CompleteSince; (got != nil) != want {
		l.t.Errorf("channel %d is said to be complete since %v, want any: %t", channel, got, want)
	}
}

// What is not kept is not said to be complete, nor afterwards.
func TestAChannelThatIsNotKeptTakesNothingIn(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1))
	l.check(l.KeepChannel(t.Context(), testGuild, lobby, true, ann)) // as it is already
	l.said(lobby, nth(1)-1)
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages`); n != 2 {
		t.Errorf("%d messages are stored, want 2: the channel was kept all the time", n)
	}
	l.completeSince(lobby, true)
	l.check(l.KeepChannel(t.Context(), testGuild, lobby, false, ann))
	l.completeSince(lobby, false)
	l.completeSince(attic, true)
	l.said(lobby, nth(2))
	l.said(attic, nth(3))
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages`); n != 3 {
		t.Errorf("%d messages are stored, want 3: two from before and one of the other channel", n)
	}
	before := time.Now()
	l.check(l.KeepChannel(t.Context(), testGuild, lobby, true, ann))
	now := tidings.FirstID(time.Now().Add(time.Minute))
	l.said(lobby, nth(2), now)
	l.completeSince(lobby, true)
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE channel_id = $1`, int64(lobby)); n != 3 {
		t.Errorf("%d messages are stored, want 3: what was written meanwhile does not come back", n)
	}
	if since := one[discord.MessageID](t, l.Store, `SELECT since_id FROM channels WHERE id = $1`, int64(lobby)); since.Time().Before(before.Add(-time.Second)) {
		t.Errorf("the channel is complete since %v, want since now", since.Time())
	}
	l.check(l.SetServer(t.Context(), testGuild, false, 0, ann))
	l.completeSince(attic, false)
	l.said(attic, nth(4))
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE channel_id = $1`, int64(attic)); n != 1 {
		t.Errorf("%d messages of a server that is not kept are stored, want the one from before", n)
	}
	if err := l.KeepChannel(t.Context(), 4711, lobby, false, ann); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("KeepChannel() in another server = %v", err)
	}
	// Ids as Discord gives them are longer than those of these tests.
	if log, err := l.AuditLog(t.Context(), 1_575_689_815_515_594_752, 1<<40, 10); err != nil || len(log) != 0 {
		t.Errorf("AuditLog() of a server without lines = %+v, %v", log, err)
	}
	log, err := l.AuditLog(t.Context(), testGuild, 0, 10)
	l.check(err)
	if len(log) != 4 {
		t.Errorf("%d lines in the audit log, want 4", len(log))
	}
}

func TestACancelledJobStaysDead(t *testing.T) {
	t.Parallel()
	s := guild(t)
	if _, err := s.Enqueue(t.Context(), NewJob{Kind: "a", Key: "1"}, NewJob{Kind: "a", Key: "2"}, NewJob{Kind: "b", Key: "1"}); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.ClaimJobs(t.Context(), "me/1", map[string]int{"a": 1}, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("ClaimJobs() = %v, %v", claimed, err)
	}
	waiting, err := s.ListJobs(t.Context(), "ready", "a", 10)
	if err != nil || len(waiting) != 1 || waiting[0].Stuck {
		t.Fatalf("ListJobs(ready) = %+v, %v", waiting, err)
	}
	for _, id := range []int64{claimed[0].ID, waiting[0].ID} {
		if err := s.CancelJob(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if held, err := s.RenewJobs(t.Context(), claimed, time.Minute); err != nil || len(held) != 0 {
		t.Errorf("RenewJobs() = %v, %v, want the cancelled one lost", held, err)
	}
	if _, err := s.FinishJob(t.Context(), claimed[0]); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("FinishJob() of a cancelled one = %v, want ErrLeaseLost", err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM jobs WHERE state = 'dead' AND last_error = 'cancelled'`); n != 2 {
		t.Errorf("%d are dead, want 2", n)
	}
	if _, err := s.db.Exec(`UPDATE jobs SET finished_at = now() - interval '3 days' WHERE state = 'dead'`); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ReviveDue(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("ReviveDue() = %d, %v, want nothing brought back", n, err)
	}
	if err := s.ReviveJob(t.Context(), claimed[0].ID); err != nil {
		t.Errorf("ReviveJob() by hand = %v", err)
	}
	if err := s.CancelJob(t.Context(), 1<<40); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("CancelJob() of none = %v", err)
	}
	if _, err := s.db.Exec(`UPDATE jobs SET run_at = now() - interval '1 hour' WHERE kind = 'b'`); err != nil {
		t.Fatal(err)
	}
	if list, err := s.ListJobs(t.Context(), "ready", "b", 10); err != nil || len(list) != 1 || !list[0].Stuck {
		t.Errorf("ListJobs() = %+v, %v, want it stuck", list, err)
	}
	if err := s.PauseJobs(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if list, err := s.ListJobs(t.Context(), "ready", "b", 10); err != nil || list[0].Stuck || !list[0].Paused {
		t.Errorf("ListJobs() = %+v, %v, want it paused, not stuck", list, err)
	}
}
