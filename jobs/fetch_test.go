package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
	"tidings/ingest"
	"tidings/jobs"
	"tidings/store"
)

const (
	testGuild   discord.GuildID   = 1
	testChannel discord.ChannelID = 1_300_000_000_000_000_010 // of a real one's size
	testAuthor  discord.UserID    = 77
)

// past is a channel on Discord: it answers pages as Discord does. err and silent make it fail after so many pages.
type past struct {
	mu        sync.Mutex
	ids       []discord.MessageID // ascending
	pages     int
	failAfter int // pages; 0: never
	err       error
	silent    bool                // the bot may not read the history: pages are empty
	hidden    []discord.MessageID // exist, but are on no page
	asked     []discord.MessageID // by Deleted
	edited    map[discord.MessageID]string
	payload   map[uint64]string          // more fields of messages, by id
	during    func()                     // called once while a page is on its way
	unclear   map[discord.MessageID]bool // cannot be made out
}

func (p *past) MessagesBefore(_ context.Context, g discord.GuildID, c discord.ChannelID, before discord.MessageID, limit int) (jobs.HistoryPage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages++
	if p.failAfter > 0 && p.pages > p.failAfter {
		if p.silent {
			return jobs.HistoryPage{}, nil
		}
		return jobs.HistoryPage{}, p.err
	}
	var page jobs.HistoryPage
	shown := 0
	for _, id := range slices.Backward(p.ids) {
		if id < before && shown < limit {
			shown++
			if p.unclear[id] {
				page.Unclear = append(page.Unclear, tidings.IDRange{After: id - 1, To: id})
				continue
			}
			m := said(c, id)
			if text, ok := p.edited[id]; ok {
				m.Content, m.EditedMS = text, 1
			}
			if more := p.payload[uint64(id)]; more != "" {
				m = with(m, more)
			}
			page.Messages = append(page.Messages, m)
		}
	}
	page.Full = shown == limit
	if p.during != nil {
		p.during()
		p.during = nil
	}
	return page, nil
}

func (p *past) Deleted(_ context.Context, _ discord.ChannelID, id discord.MessageID) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, id)
	return !slices.Contains(p.ids, id) && !slices.Contains(p.hidden, id), nil
}

func (p *past) MayReadHistory(context.Context, discord.GuildID, discord.ChannelID) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.silent, nil
}

func said(c discord.ChannelID, id discord.MessageID) tidings.Message {
	payload := fmt.Sprintf(`{"id":"%d","channel_id":"%d","author":{"id":"%d"},"content":"text %d","timestamp":"2026-08-01T12:00:00Z"}`,
		id, c, testAuthor, id)
	m, err := tidings.ParseMessage([]byte(payload), 0)
	if err != nil {
		panic(err)
	}
	return m
}

type nobody struct{}

func (nobody) Tell(context.Context, tidings.Result) {}

// fetching is a store with a text channel, a running ingest before it, and the job that heals gaps.
func fetching(t *testing.T, p *past) (*store.Store, *sqlx.DB, *ingest.Ingest, *jobs.Fetch) {
	t.Helper()
	s, db, _ := open(t)
	door := ingest.New(s, nobody{}, ingest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- door.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	err := door.Commit(t.Context(), tidings.Event{Guild: testGuild, Body: tidings.GuildSeen{
		Guild:    tidings.Guild{ID: testGuild, Name: "guild"},
		Roles:    []tidings.Role{{ID: discord.RoleID(testGuild)}},
		Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild, Name: "general"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, db, door, &jobs.Fetch{History: p, Door: door, Gaps: s, Log: discard()}
}

// ids gives n ascending snowflakes of a day.
func ids(n int) []discord.MessageID {
	ids := make([]discord.MessageID, n)
	for i := range ids {
		ids[i] = 1_400_000_000_000_000_000 + discord.MessageID(i)<<22
	}
	return ids
}

func stored(t *testing.T, db *sqlx.DB) []discord.MessageID {
	t.Helper()
	var ids []discord.MessageID
	if err := db.Select(&ids, `SELECT id FROM messages WHERE channel_id = $1 AND NOT deleted ORDER BY id`, int64(testChannel)); err != nil {
		t.Fatal(err)
	}
	return ids
}

func gaps(t *testing.T, s *store.Store) []store.Gap {
	t.Helper()
	gaps, err := s.Gaps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return gaps
}

func openGap(t *testing.T, s *store.Store, from, to discord.MessageID) {
	t.Helper()
	if err := s.OpenGap(t.Context(), testChannel, from, to, "an outage"); err != nil {
		t.Fatal(err)
	}
}

func TestAGapIsHealed(t *testing.T) {
	t.Parallel()
	all := ids(260)
	s, db, door, fetch := fetching(t, &past{ids: all})
	// The first and the last ten came through the gateway, and one in the middle did.
	for _, id := range slices.Concat(all[:10], all[100:101], all[250:]) {
		m := said(testChannel, id)
		if err := door.Commit(t.Context(), tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: m}}); err != nil {
			t.Fatal(err)
		}
	}
	var healed []store.Gap
	fetch.Healed = func(_ context.Context, g store.Gap) { healed = append(healed, g) }
	j := jobs.New(s, jobs.Options{})
	j.Handle(store.FetchMessages, fetch.Handle, 1)
	openGap(t, s, all[9], all[249])
	openGap(t, s, all[20], all[30]) // lies in the other one
	openGap(t, s, all[30], all[30]) // is none
	if got := gaps(t, s); len(got) != 1 || got[0].Guild != testGuild || got[0].Reason != "an outage" {
		t.Fatalf("the gaps are %+v, want one", got)
	}
	stop := run(t, j)
	eventually(t, "the gap is closed", func() bool { return len(gaps(t, s)) == 0 })
	stop()
	if got := stored(t, db); !slices.Equal(got, all) {
		t.Errorf("%d messages are stored, want %d", len(got), len(all))
	}
	if len(healed) != 1 || healed[0].Recovered != 239 || healed[0].From != all[9] || healed[0].To != all[249] {
		t.Errorf("healed is %+v, want 239 recovered", healed)
	}
}

// TestHealingGoesOnWhereItStopped fails in the middle, as a crash would.
func TestHealingGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	all := ids(450)
	p := &past{ids: all, failAfter: 2, err: errors.New("502")}
	s, db, _, fetch := fetching(t, p)
	openGap(t, s, all[0]-1, all[449])
	job := store.Job{Kind: store.FetchMessages, Key: testChannel.String()}
	if err := fetch.Handle(t.Context(), job); !errors.Is(err, p.err) {
		t.Fatalf("Handle() = %v, want Discord's error", err)
	}
	if got := gaps(t, s); len(got) != 1 || got[0].Rest >= all[250] || got[0].Rest < all[249] || got[0].Recovered != 200 || len(stored(t, db)) != 200 {
		t.Fatalf("after two pages the gap is %+v", got)
	}
	p.mu.Lock()
	p.failAfter, p.pages = 0, 0
	p.mu.Unlock()
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if p.pages != 3 {
		t.Errorf("the rest took %d pages, want 3", p.pages)
	}
	if got := stored(t, db); !slices.Equal(got, all) || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored, want %d; open gaps %+v", len(got), len(all), gaps(t, s))
	}
}

// TestAnEmptyPageWithoutTheHistoryIsNoEnd: Discord answers 200 with an empty list when the bot may not read the history.
func TestAnEmptyPageWithoutTheHistoryIsNoEnd(t *testing.T) {
	t.Parallel()
	all := ids(150)
	p := &past{ids: all, failAfter: 1, silent: true}
	s, db, _, fetch := fetching(t, p)
	j := jobs.New(s, jobs.Options{})
	j.Handle(store.FetchMessages, fetch.Handle, 1)
	openGap(t, s, all[0]-1, all[149])
	run(t, j)
	eventually(t, "the job is given up", func() bool { return slices.Equal(states(t, db, store.FetchMessages), []string{"dead"}) })
	if got := gaps(t, s); len(got) != 1 || got[0].Rest >= all[50] || got[0].Rest < all[49] {
		t.Errorf("the gap is %+v, want it open up to the 50th message", got)
	}
	// It is not tried again at once, but an hour later.
	if n, err := s.EnqueueHealing(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("EnqueueHealing() = %d, %v, want none yet", n, err)
	}
	p.mu.Lock()
	p.silent, p.failAfter = false, 0
	p.mu.Unlock()
	db.MustExec(`UPDATE jobs SET finished_at = finished_at - interval '2 hours'`)
	if n, err := s.EnqueueHealing(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("EnqueueHealing() = %d, %v, want 1", n, err)
	}
	eventually(t, "the gap is closed", func() bool { return len(gaps(t, s)) == 0 })
	if got := stored(t, db); !slices.Equal(got, all) {
		t.Errorf("%d messages are stored, want %d", len(got), len(all))
	}
}

// TestTheNewestMessageIsDeleted: last_message_id may be of a message that is gone, so the range ends before it.
func TestTheNewestMessageIsDeleted(t *testing.T) {
	t.Parallel()
	all := ids(30)
	s, db, _, fetch := fetching(t, &past{ids: all[:20]})
	openGap(t, s, 0, all[29])
	if err := fetch.Handle(t.Context(), store.Job{Key: testChannel.String()}); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, all[:20]) || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored, want 20; open gaps %+v", len(got), gaps(t, s))
	}
}

// TestWhatCannotBeMadeOutStaysMissing: the page shows a message that nobody can read, also one that the gateway told before. All
// around it is healed, it stays a gap, and it is fetched once it can be made out.
func TestWhatCannotBeMadeOutStaysMissing(t *testing.T) {
	t.Parallel()
	all := ids(250)
	odd, told := all[150], all[60]
	p := &past{ids: all, unclear: map[discord.MessageID]bool{odd: true, told: true}}
	s, db, door, fetch := fetching(t, p)
	if err := door.Commit(t.Context(), tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, told)}}); err != nil {
		t.Fatal(err)
	}
	openGap(t, s, all[0]-1, all[249])
	heal := func() {
		t.Helper()
		if err := fetch.Handle(t.Context(), store.Job{Key: testChannel.String()}); err != nil {
			t.Fatal(err)
		}
	}
	heal()
	db.MustExec(`DELETE FROM jobs`)
	if got := stored(t, db); len(got) != 249 || slices.Contains(got, odd) {
		t.Errorf("%d messages are stored, want all but the one that nobody can read", len(got))
	}
	if len(p.asked) != 0 {
		t.Errorf("Discord was asked whether %v are deleted, which it shows", p.asked)
	}
	open := gaps(t, s)
	if len(open) != 2 || open[0].From != odd-1 || open[0].To != odd || open[1].To != told {
		t.Fatalf("the gaps are %+v, want those of the two", open)
	}
	pages := p.pages
	heal()
	if n, err := s.EnqueueHealing(t.Context(), 10); p.pages != pages || n != 0 || err != nil {
		t.Errorf("it was asked for again at once: %d pages, %d jobs, %v", p.pages-pages, n, err)
	}
	db.MustExec(`UPDATE gaps SET retry_at = now()`)
	heal() // It is no clearer yet.
	if open := gaps(t, s); len(open) != 2 || open[0].Due {
		t.Fatalf("the gaps are %+v, want the two, put off", open)
	}
	p.unclear = nil
	db.MustExec(`UPDATE gaps SET retry_at = now()`)
	if n, err := s.EnqueueHealing(t.Context(), 10); n != 1 || err != nil {
		t.Errorf("EnqueueHealing() = %d, %v, want one job", n, err)
	}
	heal()
	if got := stored(t, db); !slices.Equal(got, all) || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored and %d gaps open, want 250 and none", len(got), len(gaps(t, s)))
	}
}

// TestWhatIsMissedWhileAPageIsUnderWayStaysMissing: the page may have been made before.
func TestWhatIsMissedWhileAPageIsUnderWayStaysMissing(t *testing.T) {
	t.Parallel()
	all := ids(30)
	p := &past{ids: slices.Delete(slices.Clone(all), 20, 21)}
	s, db, _, fetch := fetching(t, p)
	openGap(t, s, all[0]-1, all[29])
	p.during = func() {
		ev := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, all[20])}}
		if _, err := s.DeadLetter(t.Context(), ev, errors.New("too odd")); err != nil {
			t.Error(err)
		}
	}
	job := store.Job{Key: testChannel.String()}
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if open := gaps(t, s); len(open) != 1 || open[0].From != all[20]-1 || open[0].To != all[20] {
		t.Fatalf("the gaps are %+v, want that of the one message", open)
	}
	p.ids = all
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, all) || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored, want all; open gaps %+v", len(got), gaps(t, s))
	}
}

// TestAFetchedMessageThatCannotBeStoredStaysMissing: it is kept once, and read again later and later.
func TestAFetchedMessageThatCannotBeStoredStaysMissing(t *testing.T) {
	t.Parallel()
	all := ids(30)
	p := &past{ids: all}
	s, db, _, fetch := fetching(t, p)
	db.MustExec(fmt.Sprintf(`ALTER TABLE messages ADD CONSTRAINT odd CHECK (id <> %d)`, all[7]))
	openGap(t, s, all[0]-1, all[29])
	job := store.Job{Key: testChannel.String()}
	for range 3 {
		if err := fetch.Handle(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if open := gaps(t, s); len(stored(t, db)) != 29 || len(open) != 1 || open[0].To != all[7] || open[0].Due {
			t.Fatalf("%d messages are stored and the gaps are %+v, want 29 and that of the one, put off", len(stored(t, db)), open)
		}
		db.MustExec(`UPDATE gaps SET retry_at = now()`)
	}
	var letters int
	if err := db.Get(&letters, `SELECT count(*) FROM dead_events`); err != nil || letters != 1 {
		t.Errorf("%d dead letters, %v, want one", letters, err)
	}
	db.MustExec(`ALTER TABLE messages DROP CONSTRAINT odd`)
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, all) || len(gaps(t, s)) != 0 {
		t.Errorf("%d messages are stored, want all; open gaps %+v", len(got), gaps(t, s))
	}
}

func TestWhatIsAboveTheGapIsLeftAlone(t *testing.T) {
	t.Parallel()
	all := ids(30)
	s, db, _, fetch := fetching(t, &past{ids: all})
	openGap(t, s, all[4], all[9])
	if err := fetch.Handle(t.Context(), store.Job{Key: testChannel.String()}); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, all[5:10]) {
		t.Errorf("stored are %v, want the five of the gap", got)
	}
}

// TestATombstoneStays: the page was fetched before the delete arrived.
func TestATombstoneStays(t *testing.T) {
	t.Parallel()
	all := ids(10)
	s, db, door, fetch := fetching(t, &past{ids: all})
	gone := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessagesDeleted{IDs: all[3:4]}}
	if err := door.Commit(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	openGap(t, s, all[0]-1, all[9])
	if err := fetch.Handle(t.Context(), store.Job{Key: testChannel.String()}); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); len(got) != 9 || slices.Contains(got, all[3]) {
		t.Errorf("stored are %v, want all but the deleted one", got)
	}
}

func TestADeletedChannelHasNoGaps(t *testing.T) {
	t.Parallel()
	s, _, _, fetch := fetching(t, &past{})
	fetch.History = refusing{tidings.ErrNotFound}
	openGap(t, s, 1, 100)
	if err := fetch.Handle(t.Context(), store.Job{Key: testChannel.String()}); err != nil || len(gaps(t, s)) != 0 {
		t.Errorf("Handle() = %v, open gaps %+v", err, gaps(t, s))
	}
}

type refusing struct{ err error }

func (r refusing) MessagesBefore(context.Context, discord.GuildID, discord.ChannelID, discord.MessageID, int) (jobs.HistoryPage, error) {
	return jobs.HistoryPage{}, r.err
}

func (r refusing) Deleted(context.Context, discord.ChannelID, discord.MessageID) (bool, error) {
	return false, r.err
}

func (r refusing) MayReadHistory(context.Context, discord.GuildID, discord.ChannelID) (bool, error) {
	return false, nil
}

func TestALongGapLetsOthersHaveTheirTurn(t *testing.T) {
	t.Parallel()
	all := ids(5100)
	p := &past{ids: all}
	s, db, _, fetch := fetching(t, p)
	openGap(t, s, all[0]-1, all[5099])
	job := store.Job{Key: testChannel.String()}
	if err := fetch.Handle(t.Context(), job); !errors.Is(err, jobs.ErrYield) {
		t.Fatalf("Handle() = %v, want ErrYield", err)
	}
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); !slices.Equal(got, all) {
		t.Errorf("%d messages are stored, want %d", len(got), len(all))
	}
}

func TestGapsWithoutAJobAreFound(t *testing.T) {
	t.Parallel()
	s, db, _, _ := fetching(t, &past{})
	// As a dead letter opens it.
	dead := tidings.Event{Guild: testGuild, Channel: testChannel, Body: tidings.MessageCreated{Message: said(testChannel, ids(1)[0])}}
	if _, err := s.DeadLetter(t.Context(), dead, errors.New("too odd")); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Heal(s, discard())(t.Context(), store.Job{}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, db, store.FetchMessages); !slices.Equal(got, []string{"ready"}) {
		t.Errorf("the jobs are %v, want one", got)
	}
	if n, err := s.EnqueueHealing(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("EnqueueHealing() again = %d, %v, want 0", n, err)
	}
}

func TestBadKeysAreGivenUp(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	j := jobs.New(s, jobs.Options{})
	fetch := &jobs.Fetch{Gaps: s}
	j.Handle("k", fetch.Handle, 1)
	enqueue(t, s, store.NewJob{Kind: "k", Key: "general"})
	run(t, j)
	eventually(t, "it is dead", func() bool { return slices.Equal(states(t, db, "k"), []string{"dead"}) })
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	db.MustExec(`INSERT INTO jobs (kind, key, state, finished_at) VALUES
		('a', 'old', 'done', now() - interval '3 days'), ('a', 'new', 'done', now() - interval '1 day'),
		('a', 'dead', 'dead', now() - interval '3 days'), ('a', 'long dead', 'dead', now() - interval '15 days'), ('a', 'open', 'ready', NULL)`)
	db.MustExec(`INSERT INTO sessions (token, data, expires) VALUES ('over', '', now() - interval '1 second'), ('good', '', now() + interval '1 hour')`)
	db.MustExec(`INSERT INTO read_log (user_id, rev, what, before, at) VALUES (1, 1, 'read', '[]', now() - interval '31 days'), (1, 2, 'read', '[]', now())`)
	db.MustExec(`INSERT INTO gaps (channel_id, from_id, to_id, rest_id, reason, healed_at) VALUES (1, 1, 2, 2, '', now() - interval '91 days'), (1, 1, 2, 2, '', NULL)`)
	db.MustExec(`INSERT INTO sessions (token, data, expires) SELECT 'bulk' || n, '', now() - interval '1 day' FROM generate_series(1, 12000) n`)
	if err := jobs.Cleanup(s, discard())(t.Context(), store.Job{}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`SELECT string_agg(key, ',' ORDER BY key) FROM jobs`: "dead,new,open",
		`SELECT string_agg(token, ',') FROM sessions`:        "good",
		`SELECT string_agg(rev::text, ',') FROM read_log`:    "2",
		`SELECT count(*)::text FROM gaps`:                    "1",
	} {
		var got string
		if err := db.Get(&got, query); err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", query, got, err, want)
		}
	}
}

// A page fails, and then what is left of its gap is purged: there is nothing to be read any more.
func TestAGapOfWhichNothingIsLeftIsClosed(t *testing.T) {
	t.Parallel()
	all := ids(300)
	s, _, _, fetch := fetching(t, &past{ids: all, failAfter: 1, err: errors.New("502")})
	openGap(t, s, all[0], all[299])
	job := store.Job{Kind: store.FetchMessages, Key: testChannel.String(), Guild: testGuild}
	if err := fetch.Handle(t.Context(), job); err == nil {
		t.Fatal("the second page did not fail")
	}
	// Up to somewhere in what was read.
	before := all[250].Time()
	if _, err := s.Purge(t.Context(), store.Purge{Channel: testChannel, Before: before}, func(context.Context, tidings.Result) {}); err != nil {
		t.Fatal(err)
	}
	if err := fetch.Handle(t.Context(), job); err != nil {
		t.Errorf("Handle() = %v", err)
	}
	if got := gaps(t, s); len(got) != 0 {
		t.Errorf("open is %+v", got)
	}
}
