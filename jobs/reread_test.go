package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
	"tidings/ingest"
	"tidings/jobs"
	"tidings/store"
)

// lately gives n ascending ids of the last hours, a minute apart.
func lately(n int) []discord.MessageID {
	ids := make([]discord.MessageID, n)
	for i := range ids {
		ids[i] = tidings.FirstID(time.Now().Add(time.Duration(i-n-1) * time.Minute))
	}
	return ids
}

// rereading is a channel in which all but the last of some messages were told live.
func rereading(t *testing.T, p *past, told []discord.MessageID) (*store.Store, *sqlx.DB, *ingest.Ingest, *jobs.Reread) {
	t.Helper()
	s, db, door, _ := fetching(t, p)
	for _, id := range told {
		ev := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, id)}}
		if err := door.Commit(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	return s, db, door, &jobs.Reread{History: p, Door: door, Ledger: s}
}

var job = store.Job{Key: testChannel.String(), Guild: testGuild}

// Scenario 11: only edits and deletes happened while nobody listened.
func TestReadingAgainFindsWhatWasEditedDeletedAndMissed(t *testing.T) {
	t.Parallel()
	all := lately(250)
	told := slices.Delete(slices.Clone(all), 100, 105)
	p := &past{ids: slices.Concat(all[:20], all[23:])} // three are deleted
	p.edited = map[discord.MessageID]string{all[7]: "another text"}
	s, db, _, r := rereading(t, p, told)
	if err := r.Reconcile(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, p.ids) {
		t.Errorf("%d messages are stored, want the %d that exist", len(got), len(p.ids))
	}
	if !slices.Equal(p.asked, []discord.MessageID{all[22], all[21], all[20]}) {
		t.Errorf("Discord was asked about %v, want the three that vanished", p.asked)
	}
	var text string
	if err := db.Get(&text, `SELECT content FROM messages WHERE id = $1`, int64(all[7])); err != nil || text != "another text" {
		t.Errorf("the edited message is %q, %v", text, err)
	}
	found, err := s.Recovered(t.Context(), testChannel, 10)
	if err != nil || len(found) == 0 {
		t.Errorf("Recovered() = %v, %v, want the five that were missed", found, err)
	}
}

// Scenario 12: a page is no proof by itself.
func TestReadingAgainBuriesNothingAlive(t *testing.T) {
	t.Parallel()
	all := lately(30)
	t.Run("a message that the page lacks but Discord has", func(t *testing.T) {
		t.Parallel()
		p := &past{ids: all[:29], hidden: all[29:]}
		_, db, _, r := rereading(t, p, all)
		if err := r.Reconcile(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, db); len(got) != 30 {
			t.Errorf("%d messages are left, want all 30", len(got))
		}
	})
	t.Run("a message that comes while the page is on its way", func(t *testing.T) {
		t.Parallel()
		p := &past{ids: all[:29]}
		_, db, door, r := rereading(t, p, all[:29])
		p.during = func() {
			ev := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, all[29])}}
			if err := door.Commit(t.Context(), ev); err != nil {
				t.Error(err)
			}
		}
		if err := r.Reconcile(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, db); len(got) != 30 || len(p.asked) != 0 {
			t.Errorf("%d messages are left and Discord was asked about %v, want 30 and nothing", len(got), p.asked)
		}
	})
	t.Run("the right to read the history is lost", func(t *testing.T) {
		t.Parallel()
		p := &past{ids: all, failAfter: 1, silent: true}
		p.pages = 1
		_, db, _, r := rereading(t, p, all)
		if err := r.Reconcile(t.Context(), job); !errors.Is(err, tidings.ErrForbidden) {
			t.Errorf("Reconcile() = %v, want ErrForbidden", err)
		}
		if got := stored(t, db); len(got) != 30 || len(p.asked) != 0 {
			t.Errorf("%d messages are left and Discord was asked about %v, want 30 and nothing", len(got), p.asked)
		}
	})
}

func TestOnlyTheStatedWindowIsReadAgain(t *testing.T) {
	t.Parallel()
	old := tidings.FirstID(time.Now().Add(-25 * time.Hour))
	all := lately(10)
	p := &past{ids: all}
	_, db, _, r := rereading(t, p, slices.Concat([]discord.MessageID{old}, all))
	if err := r.Reconcile(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); len(got) != 11 || p.pages != 1 {
		t.Errorf("%d messages are left after %d pages, want all 11 after one", len(got), p.pages)
	}
}

// What Discord never told, without a hole in its numbering, is found by holding each channel once against what is there.
func TestAnAuditFindsWhatDiscordNeverTold(t *testing.T) {
	t.Parallel()
	all := lately(40)
	p := &past{ids: all}
	s, db, _, r := rereading(t, p, slices.Delete(slices.Clone(all), 10, 12))
	db.MustExec(`UPDATE guilds SET live_session = 'one'`)
	audits := func() string {
		if _, err := s.EnqueueAudits(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(states(t, db, store.Audit))
	}
	if got := audits(); got != "[ready]" {
		t.Fatalf("audits are %s, want one", got)
	}
	for range 2 { // the second sees what the first has stored
		if err := r.Audit(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	if got := stored(t, db); !slices.Equal(got, all) {
		t.Errorf("%d messages are stored, want %d", len(got), len(all))
	}
	db.MustExec(`UPDATE messages SET recorded_at = now() - interval '1 minute', told_at = NULL`)
	if err := r.Audit(t.Context(), job); err != nil { // What was told just now is looked at once more.
		t.Fatal(err)
	}
	db.MustExec(`UPDATE jobs SET state = 'done', finished_at = now()`)
	if got := audits(); got != "[done]" {
		t.Errorf("audits are %s although nothing has moved", got)
	}
	// Not even that is for good: what was swallowed may have been all that happened.
	db.MustExec(`DELETE FROM jobs`)
	db.MustExec(`UPDATE channels SET audited_at = now() - interval '61 minutes'`)
	if got := audits(); got != "[ready]" {
		t.Errorf("an hour later audits are %s, want one", got)
	}
}

// Channels whose reading dies each time do not keep the others from their turn.
func TestAuditsThatDieStandInNobodysWay(t *testing.T) {
	t.Parallel()
	all := lately(3)
	s, db, door, _ := rereading(t, &past{ids: all}, all)
	const other = testChannel + 1
	for _, id := range all {
		ev := tidings.Event{Guild: testGuild, Channel: other, Body: tidings.MessageCreated{Message: said(other, id)}}
		if err := door.Commit(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	db.MustExec(`UPDATE channels SET since_id = 1`)
	db.MustExec(`UPDATE guilds SET live_session = 'one'`)
	var asked []string
	for range 3 { // One at a time, and each dies.
		if _, err := s.EnqueueAudits(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var open []string
		if err := db.Select(&open, `SELECT key FROM jobs WHERE kind = $1 AND state = 'ready'`, store.Audit); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, open...)
		db.MustExec(`UPDATE jobs SET state = 'dead', finished_at = now()`)
	}
	slices.Sort(asked)
	if want := []string{testChannel.String(), discord.ChannelID(other).String()}; !slices.Equal(asked, want) {
		t.Errorf("asked for are %v, want each of %v once", asked, want)
	}
	db.MustExec(`UPDATE jobs SET finished_at = now() - interval '2 hours'`)
	if n, err := s.EnqueueAudits(t.Context(), 10); n != 2 || err != nil {
		t.Errorf("EnqueueAudits() later = %d, %v, want both again", n, err)
	}
}

// hall has a private thread that is archived and one that is not, and says which it was asked for.
type hall struct{ manages bool }

func (h hall) ArchivedThreads(_ context.Context, g discord.GuildID, parent discord.ChannelID, _ time.Time, all bool) ([]tidings.Channel, error) {
	if !all {
		return nil, nil
	}
	return []tidings.Channel{{ID: 21, Guild: g, Parent: parent, Type: tidings.ChannelPrivateThread, Name: "old", Archived: true}}, nil
}

func (h hall) ActiveThreads(_ context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	return []tidings.Channel{
		{ID: 22, Guild: g, Parent: testChannel, Type: tidings.ChannelPrivateThread, Name: "new"},
		{ID: 23, Guild: g, Parent: testChannel + 1, Type: tidings.ChannelPrivateThread, Name: "elsewhere"},
	}, nil
}

func (h hall) ManagesThreads(context.Context, discord.ChannelID) (bool, error) { return h.manages, nil }

// Private threads that the bot is not in are found where it manages threads.
func TestPrivateThreadsAreFoundWhereTheBotManagesThem(t *testing.T) {
	t.Parallel()
	_, db, door, _ := fetching(t, &past{})
	list := store.Job{Key: testChannel.String(), Guild: testGuild, Payload: []byte(`{}`)}
	for manages, want := range map[bool]string{false: "", true: "new old"} {
		h := hall{manages}
		if err := jobs.ListThreads(h, h, door)(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.Get(&got, `SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM channels WHERE type = 12`); err != nil || got != want {
			t.Errorf("managing %t: the threads are %q, %v, want %q", manages, got, err, want)
		}
		db.MustExec(`DELETE FROM channels WHERE type = 12`)
	}
}
