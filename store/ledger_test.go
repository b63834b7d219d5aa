package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// listener plays the gateway's part for one guild with two channels, lobby and attic.
type listener struct {
	*Store
	t testing.TB
	g tidings.GatewaySession
	// killed is set when its process says nothing any more.
	killed bool
}

const aYear = 365 * 24 * time.Hour

func listen(t testing.TB) *listener {
	t.Helper()
	s := open(t)
	s.history = aYear
	return &listener{Store: s, t: t, g: lease(t, s, "one", time.Minute)}
}

func (l *listener) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// ready begins a new session.
func (l *listener) ready(session string) {
	l.t.Helper()
	l.g.Session, l.g.Seq = session, 1
	l.check(l.SaveSession(l.t.Context(), l.g))
}

func (l *listener) mark() tidings.Mark {
	return tidings.Mark{Session: l.g.Session, Epoch: l.g.Epoch, Seq: 2}
}

// shown shows the guild whole, with the newest messages of lobby and attic.
func (l *listener) shown(inLobby, inAttic discord.MessageID, threads ...tidings.Channel) {
	l.t.Helper()
	ev := event(0, tidings.GuildSeen{
		Guild: tidings.Guild{ID: testGuild, Name: "guild"},
		Channels: []tidings.Channel{
			{ID: lobby, Guild: testGuild, Name: "lobby", LastMessage: inLobby},
			{ID: attic, Guild: testGuild, Name: "attic", LastMessage: inAttic},
		},
		Threads: threads,
	})
	ev.Mark = l.mark()
	_, err := l.RecordBarrier(l.t.Context(), ev, nil)
	l.check(err)
}

func (l *listener) said(c discord.ChannelID, list ...discord.MessageID) tidings.Result {
	l.t.Helper()
	var evs []tidings.Event
	for _, id := range list {
		ev := event(c, tidings.MessageCreated{Message: message(l.t, c, id, wire{})})
		ev.Mark = l.mark()
		evs = append(evs, ev)
	}
	r, err := l.Record(l.t.Context(), evs, nil)
	l.check(err)
	return r
}

// gapsOf writes a channel's open gaps in short, by the numbers of the messages.
func (l *listener) gapsOf(c discord.ChannelID) string {
	l.t.Helper()
	gaps, err := l.ChannelGaps(l.t.Context(), c)
	l.check(err)
	var parts []string
	for _, g := range gaps {
		part := fmt.Sprintf("%d-%d", number(g.From)+1, number(g.Rest))
		switch {
		case g.Backfill:
			part = fmt.Sprintf("past-%d", number(g.Rest))
		case number(g.From) < -1000000:
			part = fmt.Sprintf("start-%d", number(g.Rest))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// dead keeps an event as one that cannot be stored.
func (l *listener) dead(ev tidings.Event) tidings.Result {
	l.t.Helper()
	r, err := l.DeadLetter(l.t.Context(), ev, errors.New("odd"))
	l.check(err)
	return r
}

func number(id discord.MessageID) int64 { return int64(id-nth(0)) >> 22 }

func (l *listener) heal(c discord.ChannelID) {
	l.t.Helper()
	gaps, err := l.ChannelGaps(l.t.Context(), c)
	l.check(err)
	for _, g := range gaps {
		_, err := l.CloseGap(l.t.Context(), g)
		l.check(err)
	}
}

// complete says since when a channel is stated to be complete.
func (l *listener) complete(c discord.ChannelID) string {
	l.t.Helper()
	if !l.killed {
		_ = l.Heard(l.t.Context(), l.g, tidings.ShardHealth{}) // as its process does every other second
	}
	u, err := l.Summary(l.t.Context(), &tidings.VisibleSet{User: ann, Guilds: []tidings.VisibleGuild{{
		Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: c, Guild: testGuild}},
	}}})
	l.check(err)
	at := u.Guilds[0].Channels[0].CompleteSince
	switch {
	case at == nil:
		return "unknown"
	case at.Before(nth(-1000000).Time()):
		return "all"
	}
	return fmt.Sprint(number(tidings.FirstID(*at)))
}

func (l *listener) want(when string, c discord.ChannelID, gaps, complete string) {
	l.t.Helper()
	if g, s := l.gapsOf(c), l.complete(c); g != gaps || s != complete {
		l.t.Errorf("%s: gaps %q and complete since %q, want %q and %q", when, g, s, gaps, complete)
	}
}

func (l *listener) jobs(kind string) string {
	return one[string](l.t, l.Store, `SELECT coalesce(string_agg(key, ' ' ORDER BY key), '') FROM jobs WHERE kind = $1 AND state = 'ready'`, kind)
}

func TestTheFirstMessageOfANewSessionHidesNoGap(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1), nth(2))
	l.want("while all is told", lobby, "", "all")

	// Messages 3 to 5 are told to nobody. The new session's guild comes late: message 6 is faster.
	l.ready("two")
	l.want("before the guild is shown", lobby, "", "unknown")
	l.said(lobby, nth(6))
	l.want("with a message from after the gap", lobby, "", "unknown")
	l.shown(nth(6), 0)
	l.want("once the guild is shown", lobby, "3-6", "7")
	l.want("where nothing was said", attic, "", "all")
	if got := l.jobs(FetchMessages); got != lobby.String() {
		t.Errorf("to be fetched are %q, want the lobby", got)
	}
	l.said(lobby, nth(7))
	l.want("with the next message", lobby, "3-6", "7")
	l.heal(lobby)
	l.want("when the gap is healed", lobby, "", "all")
	l.shown(nth(7), 0)
	l.want("when the guild is shown again", lobby, "", "all")

	// What Discord shows of the guild may be older than a message that has come already: 8 was missed, 9 is here.
	l.ready("three")
	l.said(lobby, nth(9))
	l.shown(nth(7), 0)
	l.want("when the guild is shown as it was", lobby, "8-9", "10")
}

func TestASessionThatGoesOnHasNoGap(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1))
	l.check(l.Listening(t.Context(), l.g, false))
	l.want("while the socket is down", lobby, "", "unknown")
	// Another process takes over and resumes.
	l.check(l.ReleaseShard(t.Context(), l.g))
	l.g = lease(t, l.Store, "two", time.Minute)
	if l.g.Session != "one" {
		t.Fatalf("the session to resume is %q", l.g.Session)
	}
	l.want("before the resume", lobby, "", "unknown")
	l.said(lobby, nth(2))
	l.check(l.Listening(t.Context(), l.g, true))
	l.want("after it", lobby, "", "all")
}

// A process that was killed says nothing any more: nobody is told for longer than a few seconds that nothing is missing, however long
// its lease lasts.
func TestAKilledListenerIsNotBelievedForLong(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.want("while it lives", lobby, "", "all")
	if left := one[float64](t, l.Store, `SELECT extract(epoch FROM heard_until - now())::float8 FROM gateway_sessions`); left > 5 {
		t.Errorf("it is believed for %v s, want 5 at most", left)
	}
	l.killed = true
	l.db.MustExec(`UPDATE gateway_sessions SET heard_until = now()`) // as that time passes
	if got := l.complete(lobby); got != "unknown" {
		t.Errorf("after its death the lobby is complete since %q, want unknown", got)
	}
	if until := one[bool](t, l.Store, `SELECT lease_until > now() FROM gateway_sessions`); !until {
		t.Error("the lease has ended, which this test is not about")
	}
	// After half a minute without a word its servers are polled.
	for ago, held := range map[int]bool{20: true, 40: false} {
		l.db.MustExec(`UPDATE gateway_sessions SET heard_until = now() - $1 * interval '1 second' + interval '5 seconds'`, ago)
		polls, err := l.GuildPolls(l.t.Context())
		l.check(err)
		if len(polls) != 1 || polls[0].Held != held {
			t.Errorf("%d seconds after its last word the guilds to poll are %+v, want one that is held: %t", ago, polls, held)
		}
	}
	l.g.Session = "none"
	if err := l.Heard(t.Context(), l.g, tidings.ShardHealth{}); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("Heard() of another session = %v, want ErrLeaseLost", err)
	}
}

func TestWhatIsNewHereIsFetchedLast(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(nth(5), 0)
	l.want("a channel with a past", lobby, "past-5", "6")
	if got := l.jobs(Backfill); got != lobby.String() || l.jobs(FetchMessages) != "" {
		t.Errorf("jobs are %q and %q, want a backfill of the lobby alone", got, l.jobs(FetchMessages))
	}
	l.heal(lobby)
	if got := one[time.Time](t, l.Store, `SELECT to_timestamp(((since_id >> 22) + 1420070400000) / 1000.0) FROM channels WHERE id = $1`, int64(lobby)); time.Since(got) < aYear-time.Hour || time.Since(got) > aYear+time.Hour {
		t.Errorf("the past begins at %v, want a year ago", got)
	}
	// A gap within the past that nobody has read yet is news: it cannot wait as long.
	l.ready("two")
	l.shown(nth(9), nth(3))
	l.want("the lobby", lobby, "6-9", "10")
	l.want("the attic", attic, "start-3", "4") // it was complete, with nothing in it
}

// With GATEWAY=off a thread is met after it was made; while the past of everything is fetched, what is said in it would be seen hours later.
func TestWhatWasMadeLatelyIsFetchedBeforeWhatIsOld(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	made := discord.ChannelID(tidings.FirstID(time.Now().Add(-time.Minute)))
	l.shown(nth(5), nth(6))
	l.shown(nth(5), nth(6), tidings.Channel{ID: made, Guild: testGuild, Parent: lobby, Type: 11, Name: "thread", LastMessage: discord.MessageID(made) + 1})
	claimed, err := l.ClaimJobs(t.Context(), "one", map[string]int{Backfill: 1}, time.Minute)
	l.check(err)
	if len(claimed) != 1 || claimed[0].Key != made.String() {
		t.Errorf("ClaimJobs() = %+v, want that of the thread %d", claimed, made)
	}
}

func TestThePastFromBeforeThereWasDiscordIsAllOfIt(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.history = 0
	l.ready("one")
	l.shown(nth(5), 0)
	n, err := l.WantPast(t.Context(), testGuild, 0, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC))
	l.check(err)
	if got := l.jobs(Backfill); n != 2 || got != lobby.String()+" "+attic.String() {
		t.Errorf("WantPast() = %d with the jobs %q, want those of the lobby and the attic", n, got)
	}
}

func TestASequenceThatIsLeftOutIsAskedForAgainOrMakesAGap(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1), nth(2))
	l.check(l.NoteHole(t.Context(), l.g, 40, nth(2)))
	l.said(lobby, nth(4))
	l.check(l.SaveMarks(t.Context(), []tidings.Mark{{Session: "one", Epoch: l.g.Epoch, Seq: 50}}))
	l.want("with a hole", lobby, "", "unknown")
	// Killed now, the next process asks for what was left out.
	l.g = lease(t, l.Store, "one", time.Minute)
	if l.g.Seq != 39 {
		t.Errorf("it would resume from %d, want 39, below the hole", l.g.Seq)
	}
	l.check(l.Listening(t.Context(), l.g, true))
	l.want("before it came", lobby, "", "unknown")
	l.said(lobby, nth(3))
	l.check(l.NoteHole(t.Context(), l.g, 0, 0))
	l.want("when it came", lobby, "", "all")

	// The next one never comes.
	l.check(l.NoteHole(t.Context(), l.g, 60, nth(4)))
	l.said(lobby, nth(6))
	l.ready("two")
	l.shown(nth(6), 0)
	l.want("after a new session", lobby, "4-6", "7")
	l.want("where nothing was said since", attic, "", "all")
}

// Another number of shards begins with rows of its own, so nobody ends the session that had the hole.
func TestAHoleOutlivesTheNumberOfShards(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1), nth(2))
	l.check(l.NoteHole(t.Context(), l.g, 40, nth(2)))
	l.said(lobby, nth(6))
	l.check(l.ReleaseShard(t.Context(), l.g))
	g, err := l.LeaseShard(t.Context(), 0, 2, "two", time.Minute)
	l.check(err)
	l.g = g
	l.ready("two")
	l.shown(nth(6), 0)
	l.want("after a session of two shards", lobby, "2-6", "7")
	l.ready("three")
	l.shown(nth(6), 0)
	l.heal(lobby)
	l.want("when it was looked at", lobby, "", "all")
}

func TestThreadsThatWereArchivedUnheardAreLookedAt(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0, tidings.Channel{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, LastMessage: nth(1)})
	l.heal(chatter)
	l.ready("two")
	l.shown(0, 0) // the thread is not active any more
	if got := l.jobs(FetchMessages); got != chatter.String() {
		t.Errorf("to be fetched are %q, want the thread", got)
	}
	if got := l.jobs(ListThreads); got != lobby.String()+" "+attic.String() {
		t.Errorf("channels to be looked through for threads are %q", got)
	}
	// A thread that nobody knew is found among the archived ones.
	found := event(0, tidings.ChannelSeen{Channel: tidings.Channel{
		ID: hideout, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, Archived: true, LastMessage: nth(8),
	}})
	_, err := l.RecordBarrier(t.Context(), from(tidings.SourceBackfill, found), nil)
	l.check(err)
	l.want("the thread that was found", hideout, "past-8", "9")
}

// A gap that reaches beyond now, to be sure, accounts for nothing that is still to come.
func TestWhatComesAfterAGapThatReachesBeyondNowIsMissed(t *testing.T) {
	t.Parallel()
	l := listen(t)
	thread := tidings.Channel{ID: chatter, Guild: testGuild, Parent: lobby, Type: tidings.ChannelPublicThread, LastMessage: nth(1)}
	l.ready("one")
	l.shown(0, 0, thread)
	l.heal(chatter)
	l.ready("two")
	l.shown(0, 0) // archived: the gap reaches beyond now
	l.heal(chatter)
	// While nobody listens the thread comes to life, a moment later.
	thread.LastMessage = tidings.FirstID(time.Now().Add(30 * time.Second))
	l.ready("three")
	l.shown(0, 0, thread)
	if l.gapsOf(chatter) == "" {
		t.Error("no gap, although a message came while nobody listened")
	}
}

func TestAfterASilenceActiveChannelsAreReadAgain(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, tidings.FirstID(time.Now().Add(-time.Hour)))
	l.said(attic, tidings.FirstID(time.Now().Add(-30*24*time.Hour)))
	if got := l.jobs(Reconcile); got != "" {
		t.Errorf("to be read again are %q before anything was missed", got)
	}
	l.ready("two")
	l.shown(0, 0)
	if got := l.jobs(Reconcile); got != lobby.String() {
		t.Errorf("to be read again are %q, want the lobby", got)
	}
}

func TestAGuildsOutageEndsWhatIsComplete(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1))
	barrierOf(t, l.Store, tidings.GuildGone{Outage: true})
	l.want("during the outage", lobby, "", "unknown")
	l.shown(nth(3), 0)
	l.want("after it", lobby, "2-3", "4")
}

func TestWhatLiesBeyondTheLedgerIsPartOfAGap(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.said(lobby, nth(1))
	// Polling sees message 9 and has fetched from 7 on.
	l.check(l.OpenGap(t.Context(), lobby, nth(6), nth(9), "polled"))
	l.want("above what is known", lobby, "2-9", "10")
	_, err := l.AdvanceGap(t.Context(), Gap{ID: one[int64](t, l.Store, `SELECT id FROM gaps`), Channel: lobby, From: nth(1)}, nth(5))
	l.check(err)
	l.want("read halfway down", lobby, "2-5", "6")
	// What is open already says nothing new; what was read already does.
	l.check(l.OpenGap(t.Context(), lobby, nth(2), nth(4), "again"))
	l.check(l.OpenGap(t.Context(), lobby, nth(6), nth(7), "a dead letter"))
	l.want("with a newer one", lobby, "7-7 2-5", "8")
	// A webhook is ahead of the gateway: what lies between is not known.
	ahead := event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(20), wire{})})
	_, err = l.Record(t.Context(), []tidings.Event{from(tidings.SourceWebhook, ahead)}, nil)
	l.check(err)
	if got := l.complete(lobby); got != "unknown" {
		t.Errorf("with a message from beyond, complete since %q", got)
	}
	l.said(lobby, nth(20))
	if got := l.complete(lobby); got != "8" {
		t.Errorf("when the gateway has come so far, complete since %q", got)
	}
}

// The newest message of a channel was swallowed and found by reading again: then the channel is complete without waiting for its
// next one. What was not read again accounts for nothing.
func TestWhatWasReadAgainIsAccountedFor(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("s1")
	l.shown(nth(1), 0)
	l.heal(lobby)
	l.said(lobby, nth(2))
	down, version, err := l.Audit(t.Context(), lobby)
	l.check(err)
	if down > nth(2) {
		t.Errorf("Audit() = %d, which is above what is known", down)
	}
	_, err = l.Record(t.Context(), []tidings.Event{from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(3), wire{})}))}, nil)
	l.check(err)
	if l.complete(lobby) != "unknown" {
		t.Fatal("complete although nobody has told of the newest message")
	}
	l.check(l.Audited(t.Context(), lobby, version, time.Now(), nth(2)+1, nth(9)))
	if l.complete(lobby) != "unknown" {
		t.Error("complete after a reading that did not come down to what is known")
	}
	l.check(l.Audited(t.Context(), lobby, version, time.Now(), down, nth(3)-1))
	if l.complete(lobby) != "unknown" {
		t.Error("complete after a reading from before the newest message")
	}
	l.check(l.Audited(t.Context(), lobby, version, time.Now(), down, nth(9)))
	if l.complete(lobby) == "unknown" {
		t.Error("not complete after all was read again")
	}
	if gaps := l.gapsOf(lobby); gaps != "" {
		t.Errorf("gaps %s", gaps)
	}
	// The next session finds nothing missing below.
	l.ready("s2")
	l.shown(nth(3), 0)
	if gaps := l.gapsOf(lobby); gaps != "" && l.complete(lobby) == "unknown" {
		t.Logf("after a new session: gaps %s", gaps)
	}
}

func TestWhatComesLateIsTold(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	if r := l.said(lobby, nth(1), nth(5)); len(r.Recovered) != 0 {
		t.Errorf("in their order: %+v", r.Recovered)
	}
	r := l.said(lobby, nth(3), nth(4), nth(6), nth(3))
	if len(r.Recovered) != 1 {
		t.Fatalf("Recovered = %+v, want one", r.Recovered)
	}
	if want := (tidings.Recovered{Guild: testGuild, Channel: lobby, AccessVersion: r.Recovered[0].AccessVersion, From: nth(3), To: nth(4), N: 2}); r.Recovered[0] != want {
		t.Errorf("Recovered = %+v, want %+v", r.Recovered, want)
	}
	// What a page brings in an open gap is told when the gap is closed.
	fetched := func(n int) tidings.Event {
		return from(tidings.SourceBackfill, event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(n), wire{})}))
	}
	l.check(l.OpenGap(t.Context(), lobby, nth(1), nth(2), "lost"))
	r, err := l.Record(t.Context(), []tidings.Event{fetched(2)}, nil)
	l.check(err)
	if len(r.Recovered) != 0 {
		t.Errorf("in an open gap: %+v", r.Recovered)
	}
	l.heal(lobby)
	r, err = l.Record(t.Context(), []tidings.Event{fetched(0)}, nil)
	l.check(err)
	if len(r.Recovered) != 1 || r.Recovered[0].N != 1 {
		t.Errorf("found by reading again: %+v, want one", r.Recovered)
	}
	list, err := l.Store.Recovered(t.Context(), lobby, 10)
	l.check(err)
	if len(list) != 3 || list[0].N != 1 || list[0].To != nth(0) || list[2].N != 2 {
		t.Errorf("Recovered() = %+v, want three ranges", list)
	}
}

// What the gateway has said just now stands against what is read: so the channel is read once more.
func TestAChannelThatWasSpokenOfWhileItWasReadIsReadOnceMore(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("s1")
	l.shown(0, 0)
	l.said(lobby, nth(1))
	audit := func() int {
		t.Helper()
		from, version, err := l.Audit(t.Context(), lobby)
		l.check(err)
		began, err := l.Clock(t.Context())
		l.check(err)
		l.check(l.Audited(t.Context(), lobby, version, began, from, nth(9)))
		return one[int](t, l.Store, `SELECT count(*) FROM channels WHERE id = $1 AND version > audited_version`, int64(lobby))
	}
	if audit() != 1 {
		t.Error("it counts as read, although the gateway spoke only just now")
	}
	l.db.MustExec(`UPDATE messages SET recorded_at = now() - interval '1 minute', told_at = now() - interval '11 seconds'`)
	if audit() != 0 {
		t.Error("it does not count as read")
	}
}

// What a replay leaves out was told when nobody listened: a new session looks back to before that, however late the hole is found.
func TestAHoleInAReplayIsAsOldAsTheSilence(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.db.MustExec(`UPDATE gateway_sessions SET heard_until = now() - interval '10 minutes'`)
	l.g = lease(t, l.Store, "one", time.Minute)
	if err := l.Heard(t.Context(), l.g, tidings.ShardHealth{}); !errors.Is(err, tidings.ErrLeaseLost) {
		t.Errorf("Heard() before the replay is over = %v, want ErrLeaseLost", err)
	}
	at := func() time.Duration {
		return time.Since(one[discord.MessageID](t, l.Store, `SELECT hole_id FROM gateway_sessions`).Time())
	}
	l.check(l.NoteHole(t.Context(), l.g, 40, tidings.FirstID(time.Now())))
	if ago := at(); ago < 10*time.Minute || ago > time.Hour {
		t.Errorf("the hole is %v old, want somewhat more than ten minutes", ago)
	}
	l.check(l.Listening(t.Context(), l.g, true))
	l.check(l.NoteHole(t.Context(), l.g, 0, 0))
	l.check(l.NoteHole(t.Context(), l.g, 60, tidings.FirstID(time.Now())))
	if ago := at(); ago > time.Minute {
		t.Errorf("a hole of now is %v old", ago)
	}
}
