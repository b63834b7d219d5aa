package store

import (
	"errors"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// reading begins a page of the one open gap of the lobby.
func (l *listener) reading() Gap {
	l.t.Helper()
	gaps, err := l.ChannelGaps(l.t.Context(), lobby)
	l.check(err)
	if len(gaps) != 1 {
		l.t.Fatalf("the gaps are %+v, want one", gaps)
	}
	g := gaps[0]
	g.Asked, err = l.BeginPage(l.t.Context(), g)
	l.check(err)
	return g
}

// Of two who read a gap side by side, the one who asked first says nothing about it any more: what is found missing while the other's
// page is under way would count as covered by a gap that this page then closes.
func TestWhatIsMissedBetweenTwoReadersOfAGapStaysMissing(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.check(l.OpenGap(t.Context(), lobby, nth(0), nth(9), "test"))
	first, second := l.reading(), l.reading()
	if _, err := l.AdvanceGap(t.Context(), first, nth(8)); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("AdvanceGap() of who has asked before = %v, want ErrLeaseLost", err)
	}
	missed := event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(5), wire{})})
	l.dead(missed) // after Discord has made the second's page
	_, err := l.CloseGap(t.Context(), second)
	l.check(err)
	l.want("the second page has closed its gap", lobby, "5-5", "6")
}

// An unclear gap that was put off is not closed by a page that was asked for before, also when somebody else is asking again.
func TestAnUnclearGapIsNotClosedByAnOlderPage(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	odd := []tidings.IDRange{{After: nth(4), To: nth(5)}}
	l.check(l.KeepUnclear(t.Context(), lobby, odd))
	first := l.reading()
	l.check(l.KeepUnclear(t.Context(), lobby, odd)) // It could not be made out at that time either.
	second := l.reading()
	if _, err := l.CloseGap(t.Context(), first); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("CloseGap() of who has asked before = %v, want ErrLeaseLost", err)
	}
	if got := l.gapsOf(lobby); got != "5-5" {
		t.Errorf("the gaps are %q, want that of the one which nobody can make out", got)
	}
	if _, err := l.CloseGap(t.Context(), second); err != nil {
		t.Errorf("CloseGap() of who has asked last = %v", err)
	}
}

// What cannot be made out is kept whole: an unclear gap that holds only a part of it, or has read that part already, does not stand
// for the rest, and one elsewhere is not put off.
func TestWhatIsUnclearIsKeptWhole(t *testing.T) {
	t.Parallel()
	type ranges []tidings.IDRange
	for name, c := range map[string]struct {
		there, then ranges
		read        int // how far down what is there was read; 0 for not at all
		gaps        string
		tries       int // most
	}{
		"again":               {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(1), To: nth(5)}}, 0, "2-5", 2},
		"a part":              {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(2), To: nth(3)}}, 0, "2-5", 2},
		"partly elsewhere":    {ranges{{After: nth(1), To: nth(5)}}, ranges{{After: nth(3), To: nth(9)}}, 0, "4-9 2-5", 1},
		"the whole around it": {ranges{{After: nth(3), To: nth(4)}}, ranges{{After: nth(1), To: nth(5)}}, 0, "2-5", 1},
		"in what was read":    {ranges{{After: nth(1), To: nth(9)}}, ranges{{After: nth(6), To: nth(7)}}, 4, "7-7 2-4", 1},
		"beside it":           {ranges{{After: nth(1), To: nth(2)}}, ranges{{After: nth(2), To: nth(3)}}, 0, "3-3 2-2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.shown(0, 0)
			l.check(l.KeepUnclear(t.Context(), lobby, c.there))
			if c.read > 0 {
				_, err := l.AdvanceGap(t.Context(), l.reading(), nth(c.read))
				l.check(err)
			}
			l.check(l.KeepUnclear(t.Context(), lobby, c.then))
			if got := l.gapsOf(lobby); got != c.gaps {
				t.Errorf("the gaps are %q, want %q", got, c.gaps)
			}
			if got := one[int](t, l.Store, `SELECT max(tries) FROM gaps`); got != c.tries {
				t.Errorf("one is put off %d times, want %d", got, c.tries)
			}
		})
	}
}

// A message whose id nobody can make out may be told long after it was said, by the replay after a silence: all that is above the
// ledger's end is missing then.
func TestAMessageWithoutAnIDInAReplayIsMissingSinceTheSilence(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	now := time.Now()
	told := func(ago time.Duration) discord.MessageID { return tidings.FirstID(now.Add(-ago)) }
	l.said(lobby, told(time.Hour)) // after which the connection is lost
	odd := event(lobby, tidings.Unreadable{Name: "MESSAGE_CREATE", Raw: []byte(`{"id":[]}`)})
	odd.At, odd.Mark = now, l.mark()
	l.dead(odd) // said half an hour ago
	l.said(lobby, told(20*time.Minute))
	gaps, err := l.ChannelGaps(t.Context(), lobby)
	l.check(err)
	if len(gaps) != 1 || gaps[0].From > told(time.Hour) || gaps[0].To < told(0) {
		t.Errorf("the gaps are %+v, want one from the last message before the silence up to now", gaps)
	}
}

// Somebody who opens a thread that polling has met does not wait for its past behind everybody else's.
func TestThePastOfAThreadThatPollingMetComesFirstForWhoLooks(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	thread := discord.ChannelID(nth(1))
	seen := tidings.Event{Source: tidings.SourcePoll, Guild: testGuild, Channel: thread, At: time.Now(), Body: tidings.ChannelSeen{Channel: tidings.Channel{
		ID: thread, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, LastMessage: nth(9),
	}}}
	_, err := l.RecordBarrier(t.Context(), seen, nil)
	l.check(err)
	if got := l.jobs(Backfill); got != thread.String() {
		t.Fatalf("to be read in its turn is %q, want the thread", got)
	}
	l.check(l.Opened(t.Context(), []discord.ChannelID{thread}))
	if got := one[string](t, l.Store, `SELECT kind || ' ' || key FROM jobs WHERE state = 'ready' ORDER BY priority DESC LIMIT 1`); got != PriorityFetch+" "+thread.String() {
		t.Errorf("first is %q, want the thread that somebody looks at", got)
	}
}

// What polling lists of a guild without the gateway ends no doubt about it: it asks for roles now and then only, and what it brings may
// be of before. Reading the guild whole does.
func TestPollingEndsNoDoubt(t *testing.T) {
	t.Parallel()
	s := open(t)
	whole := tidings.GuildSeen{Guild: tidings.Guild{ID: testGuild}, Roles: []tidings.Role{{ID: 100}}, Channels: []tidings.Channel{{ID: testChannel, Guild: testGuild}}}
	show := func(source tidings.Source) bool {
		t.Helper()
		ev := tidings.Event{Source: source, Guild: testGuild, At: time.Now().Add(time.Minute), Body: whole}
		if _, err := s.RecordBarrier(t.Context(), ev, nil); err != nil {
			t.Fatal(err)
		}
		doubted, err := s.Doubted(t.Context(), testGuild)
		if err != nil {
			t.Fatal(err)
		}
		return doubted
	}
	show(tidings.SourcePoll)
	if _, err := s.DeadLetter(t.Context(), event(0, whole), errors.New("could not be stored")); err != nil {
		t.Fatal(err)
	}
	if !show(tidings.SourcePoll) {
		t.Error("polling has ended the doubt")
	}
	if show(tidings.SourceBackfill) {
		t.Error("reading the guild has not ended it")
	}
}

// A database that fails over to a replica which was behind has lost what it had confirmed. The next mark is not put above that: the
// shard is leased anew and resumes from below it.
func TestADatabaseThatWentBackIsToldAgain(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	save := func(seq, known int64) {
		t.Helper()
		l.check(l.SaveMarks(t.Context(), []tidings.Mark{{Session: "one", Epoch: l.g.Epoch, Seq: seq, Known: known}}))
	}
	save(50, 0)
	save(90, 50)
	l.check(l.RenewShard(t.Context(), l.g, time.Minute))
	l.said(lobby, nth(1))
	if got := l.complete(lobby); got == "unknown" {
		t.Fatal("nothing is known of a channel that is told about")
	}
	if _, err := l.db.Exec(`UPDATE gateway_sessions SET seq = 60`); err != nil {
		t.Fatal(err)
	}
	save(105, 90)
	if got := l.complete(lobby); got != "unknown" {
		t.Errorf("complete since %q, want unknown: messages are lost", got)
	}
	if err := l.RenewShard(t.Context(), l.g, time.Minute); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("RenewShard() = %v, want ErrLeaseLost", err)
	}
	if g := lease(t, l.Store, "one", time.Minute); g.Session != "one" || g.Seq != 60 {
		t.Errorf("LeaseShard() = %+v, want the session from 60 on", g)
	}
}
