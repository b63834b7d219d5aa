package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Scenario 20: what is deleted by age moves versions and is told, counts stay exact, and nobody can bring it back.
func TestWhatIsTooOldGoesAndStaysGone(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.retention = 30 * 24 * time.Hour
	_, err := l.SaveUser(t.Context(), tidings.User{ID: ben, Name: "ben"})
	l.check(err)
	l.ready("one")
	l.shown(0, 0)
	day := func(n int, seq int) discord.MessageID {
		return tidings.FirstID(time.Now().UTC().Truncate(24*time.Hour).Add(time.Duration(n)*24*time.Hour+time.Hour)) + discord.MessageID(seq)
	}
	var old, young []discord.MessageID
	for n := range 5 {
		old = append(old, day(-35, n), day(-31, n))
		young = append(young, day(-30, n), day(-1, n))
	}
	// They were young when they came.
	l.retention = 0
	l.said(lobby, append(append([]discord.MessageID(nil), old...), young...)...)
	l.said(attic, old...)
	l.retention = 30 * 24 * time.Hour

	var told []tidings.Delta
	before, err := l.Versions(t.Context(), []discord.ChannelID{lobby, attic})
	l.check(err)
	n, err := l.Retain(t.Context(), func(_ context.Context, r tidings.Result) { told = append(told, r.Deltas...) })
	l.check(err)
	if n != 2*len(old) {
		t.Errorf("Retain() = %d, want %d", n, 2*len(old))
	}
	if len(told) != 2 || told[0].Kind != tidings.DeltaReset || told[0].Version == 0 || told[0].Guild != testGuild {
		t.Errorf("told %+v, want a reset of each channel", told)
	}
	// Who knows the version before would let pass what is told without a newer one.
	after, err := l.Versions(t.Context(), []discord.ChannelID{lobby, attic})
	l.check(err)
	for _, d := range told {
		if d.Version != before[d.Channel]+1 || after[d.Channel] != d.Version {
			t.Errorf("channel %d went from version %d to %d, and %d is told", d.Channel, before[d.Channel], after[d.Channel], d.Version)
		}
	}
	set := &tidings.VisibleSet{User: ben, Guilds: []tidings.VisibleGuild{{
		Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: lobby, Guild: testGuild}, {ID: attic, Guild: testGuild}},
	}}}
	sum, err := l.Summary(t.Context(), set)
	l.check(err)
	if c := sum.Guilds[0].Channels; c[0].Unread != len(young) || c[1].Unread != 0 || c[1].LastID != 0 {
		t.Errorf("unread are %d and %d with %d as the newest of the attic, want %d, 0 and none", c[0].Unread, c[1].Unread, c[1].LastID, len(young))
	}
	if left := one[int](t, l.Store, `SELECT count(*) FROM mention_targets`) + one[int](t, l.Store, `SELECT coalesce(sum(n), 0) FROM live_buckets`); left != len(young) {
		t.Errorf("buckets and mentions hold %d, want %d", left, len(young))
	}
	stated, recounted, err := l.Verify(t.Context(), set)
	l.check(err)
	for i := range stated {
		if stated[i] != recounted[i] {
			t.Errorf("stated %+v, recounted %+v", stated[i], recounted[i])
		}
	}
	// Neither the gateway nor a page brings it back, and its delete leaves no tombstone.
	l.said(lobby, old[0])
	page := event(lobby, tidings.MessageCreated{Message: message(t, lobby, old[1], wire{})})
	gone := event(lobby, tidings.MessagesDeleted{IDs: old[2:3]})
	_, err = l.Record(t.Context(), []tidings.Event{from(tidings.SourceBackfill, page), gone}, nil)
	l.check(err)
	if n := one[int](t, l.Store, `SELECT count(*) FROM messages WHERE channel_id = $1`, int64(lobby)); n != len(young) {
		t.Errorf("%d messages are stored, want %d", n, len(young))
	}
	if n, err := l.Retain(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("Retain() again = %d, %v", n, err)
	}
}

func TestADeadEventIsTriedAgainWithAGrowingDelay(t *testing.T) {
	t.Parallel()
	s := guild(t)
	good := created(t, nth(1), wire{Content: "late but here"})
	if _, err := s.DeadLetter(t.Context(), good, errors.New("the disk was full")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeadLetter(t.Context(), removed(nth(2), nth(3)), errors.New("the disk was full")); err != nil {
		t.Fatal(err)
	}
	dead, err := s.DeadEvents(t.Context(), 10)
	if err != nil || len(dead) != 2 {
		t.Fatalf("DeadEvents() = %d, %v, want two", len(dead), err)
	}
	for _, d := range dead {
		ev, err := d.Event()
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, ev)
	}
	if got := content(t, s, nth(1)); got != "late but here" {
		t.Errorf("stored is %q", got)
	}
	if n := one[int](t, s, `SELECT count(*) FROM messages WHERE deleted`); n != 2 {
		t.Errorf("%d tombstones, want 2", n)
	}
	if err := s.EventRevived(t.Context(), dead[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.EventStillDead(t.Context(), dead[1].ID, errors.New("still full")); err != nil {
		t.Fatal(err)
	}
	if dead, err := s.DeadEvents(t.Context(), 10); err != nil || len(dead) != 0 {
		t.Errorf("DeadEvents() = %v, %v, want none for now", dead, err)
	}
	if n := one[int](t, s, `SELECT tries FROM dead_events`); n != 1 {
		t.Errorf("%d tries are noted, want 1", n)
	}
}

func TestDeadJobsComeBackOnceTheirTimeHasCome(t *testing.T) {
	t.Parallel()
	s := guild(t)
	if _, err := s.db.ExecContext(t.Context(), `INSERT INTO jobs (kind, key, guild_id, state, attempt, revived, finished_at) VALUES
		('k', 'due', 0, 'dead', 8, 0, now() - interval '11 minutes'),
		('k', 'not yet', 0, 'dead', 8, 2, now() - interval '11 minutes'),
		('k', 'too often', 0, 'dead', 8, 10, now() - interval '3 days'),
		('k', 'open', 0, 'dead', 8, 0, now() - interval '1 hour'),
		('k', 'open', 0, 'ready', 0, 0, NULL),
		('k', 'done since', 0, 'dead', 8, 0, now() - interval '1 hour'),
		('k', 'done since', 0, 'done', 1, 0, now())`); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ReviveDue(t.Context(), 10); n != 1 || err != nil {
		t.Errorf("ReviveDue() = %d, %v, want 1", n, err)
	}
	if got := one[string](t, s, `SELECT key || revived FROM jobs WHERE state = 'ready' AND attempt = 0 AND revived > 0`); got != "due1" {
		t.Errorf("revived is %q", got)
	}
}
