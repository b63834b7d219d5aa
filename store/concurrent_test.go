package store

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// storm makes random events about a few messages of a few channels. What each edit says is decided by the message and the
// edit's time, so the state that all writers together must end in does not depend on who came first.
type storm struct {
	t        testing.TB
	channels []discord.ChannelID
	messages int // of each channel
}

var stormEdits = []time.Time{{}, time.UnixMilli(1_800_000_000_000), time.UnixMilli(1_800_000_000_001), time.UnixMilli(1_800_000_005_000)}

// id spreads the messages over three days.
func (s storm) id(n int) discord.MessageID {
	return tidings.FirstID(noon.Add(time.Duration(n)*72*time.Hour/time.Duration(s.messages))) + discord.MessageID(n)
}

func (s storm) text(id discord.MessageID, edit int) string { return fmt.Sprintf("%d at %d", id, edit) }

func (s storm) message(c discord.ChannelID, n, edit int) tidings.Message {
	id := s.id(n)
	w := wire{Content: s.text(id, edit), Author: discord.UserID(1 + n%5), Edited: stormEdits[edit]}
	for u := range (n + edit) % 4 {
		w.Users = append(w.Users, discord.UserID(1+u))
	}
	if (n+edit)%7 == 0 {
		w.Everyone, w.Roles = true, []discord.RoleID{moderators}
	}
	if n%9 == 0 {
		w.Type = 7
	}
	return message(s.t, c, id, w)
}

func (s storm) event(r *rand.Rand) tidings.Event {
	c := s.channels[r.IntN(len(s.channels))]
	n := r.IntN(s.messages)
	source := tidings.Source(r.IntN(4))
	var body tidings.Body
	switch p := r.IntN(100); {
	case p < 55:
		body = tidings.MessageCreated{Message: s.message(c, n, 0)}
	case p < 60: // A page that was fetched after some edit.
		body = tidings.MessageCreated{Message: s.message(c, n, r.IntN(len(stormEdits)))}
	case p < 80:
		body = tidings.MessageUpdated{Message: s.message(c, n, r.IntN(len(stormEdits)))}
	case p < 84:
		body = tidings.MessageUpdated{Message: parsed(s.t, map[string]any{
			"id": fmt.Sprint(uint64(s.id(n))), "channel_id": fmt.Sprint(uint64(c)), "embeds": []any{map[string]any{"title": "a page"}},
		})}
	case p < 92:
		body = tidings.ReactionChanged{Change: tidings.ReactionChange(r.IntN(2)), Message: s.id(n), User: discord.UserID(r.IntN(3) + 1), Emoji: "👍"}
	case p < 97:
		body = tidings.MessagesDeleted{IDs: []discord.MessageID{s.id(n)}}
	default:
		var list []discord.MessageID
		for range 1 + r.IntN(6) {
			list = append(list, s.id(r.IntN(s.messages)))
		}
		slices.Sort(list)
		body = tidings.MessagesDeleted{IDs: slices.Compact(list)}
	}
	ev := event(c, body)
	ev.Source = source
	return ev
}

// follower applies a channel's deltas as a client does.
type follower struct {
	version  int64
	messages map[discord.MessageID]tidings.Delta
}

func (f *follower) apply(t testing.TB, d tidings.Delta) {
	t.Helper()
	if d.Version != f.version+1 {
		t.Errorf("channel %d: version %d follows %d", d.Channel, d.Version, f.version)
	}
	f.version = d.Version
	known, have := f.messages[d.ID]
	switch d.Kind {
	case tidings.DeltaCreate:
		if have || d.Message == nil || (d.N == 1) != d.Message.Countable {
			t.Errorf("version %d creates message %d: known before %v, delta %+v", d.Version, d.ID, have, d)
		}
		f.messages[d.ID] = d
	case tidings.DeltaUpdate:
		before := known.Mentions
		if d.Before != nil {
			before = *d.Before
		}
		if !have || d.N != 0 || d.Message == nil || !sameMentions(before, known.Mentions) ||
			(d.Before == nil) != sameMentions(d.Mentions, known.Mentions) {
			t.Errorf("version %d updates message %d: known %+v, delta %+v", d.Version, d.ID, known, d)
		}
		d.N = known.N
		f.messages[d.ID] = d
	case tidings.DeltaDelete:
		gone := d.Deleted
		if len(gone) == 0 {
			gone = []tidings.DeletedMessage{{ID: d.ID, Author: d.Author, Mentions: d.Mentions}}
		}
		for _, g := range gone {
			known, have := f.messages[g.ID]
			if !have || known.N != -d.N || g.Author != known.Author || !sameMentions(g.Mentions, known.Mentions) {
				t.Errorf("version %d deletes message %d: known %+v, delta %+v", d.Version, g.ID, known, g)
			}
			delete(f.messages, g.ID)
		}
	default:
		t.Errorf("version %d is a %s, want every change told", d.Version, d.Kind)
	}
}

func TestManyWritersEndInWhatTheMessagesSay(t *testing.T) {
	t.Parallel()
	const writers, batches, perBatch = 6, 40, 24
	s := open(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	st := storm{t: t, channels: []discord.ChannelID{201, 202, 203}, messages: 60}

	var mu sync.Mutex
	var deltas []tidings.Delta
	deleted := map[messageKey]bool{}
	edits := map[messageKey]int{}
	var wg sync.WaitGroup
	for w := range writers {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for range batches {
				var events []tidings.Event
				for range 1 + r.IntN(perBatch) {
					ev := st.event(r)
					events = append(events, ev)
					if r.IntN(5) == 0 {
						events = append(events, ev)
					}
				}
				res, err := s.Record(t.Context(), events, nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				deltas = append(deltas, res.Deltas...)
				noteTruth(events, deleted, edits)
				mu.Unlock()
			}
		})
	}
	// Whoever looks meanwhile sees nothing that does not add up: each of these statements is one moment.
	looking, stop := context.WithCancel(t.Context())
	var look sync.WaitGroup
	look.Go(func() {
		for looking.Err() == nil {
			verify(t, s)
		}
	})
	wg.Wait()
	stop()
	look.Wait()
	verify(t, s)

	slices.SortFunc(deltas, func(a, b tidings.Delta) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Version, b.Version))
	})
	followers := map[discord.ChannelID]*follower{}
	for _, c := range st.channels {
		followers[c] = &follower{messages: map[discord.MessageID]tidings.Delta{}}
	}
	for _, d := range deltas {
		followers[d.Channel].apply(t, d)
	}
	for c, f := range followers {
		if got := one[int64](t, s, `SELECT version FROM channels WHERE id = $1`, int64(c)); got != f.version {
			t.Errorf("channel %d is at version %d, its last delta at %d", c, got, f.version)
		}
		for n := range st.messages {
			wantMessage(t, s, st, messageKey{c, st.id(n)}, f, deleted, edits)
		}
	}
}

// noteTruth keeps what must hold in the end: a deleted message stays deleted, and the newest edit of another one stands.
func noteTruth(events []tidings.Event, deleted map[messageKey]bool, edits map[messageKey]int) {
	see := func(m tidings.Message) {
		if m.Partial {
			return
		}
		k := messageKey{m.Channel, m.ID}
		for i, e := range stormEdits {
			if !e.IsZero() && e.UnixMilli() == m.EditedMS {
				edits[k] = max(edits[k], i)
				return
			}
		}
		edits[k] = max(edits[k], 0)
	}
	for _, ev := range events {
		switch e := ev.Body.(type) {
		case tidings.MessageCreated:
			see(e.Message)
		case tidings.MessageUpdated:
			see(e.Message)
		case tidings.MessagesDeleted:
			for _, id := range e.IDs {
				deleted[messageKey{ev.Channel, id}] = true
			}
		}
	}
}

func wantMessage(t *testing.T, s *Store, st storm, k messageKey, f *follower, deleted map[messageKey]bool, edits map[messageKey]int) {
	t.Helper()
	told, live := f.messages[k.id]
	edit, seen := edits[k]
	if deleted[k] || !seen {
		if live {
			t.Errorf("message %d was deleted or never seen, but its followers have it", k.id)
		}
		return
	}
	want := st.text(k.id, edit)
	got := one[string](t, s, `SELECT content FROM messages WHERE channel_id = $1 AND id = $2`, int64(k.channel), int64(k.id))
	if got != want || !live || told.Message.Content != want {
		t.Errorf("message %d says %q, was last told as %+v, want %q", k.id, got, told.Message, want)
	}
}

func TestBarriersAndMessagesAtOnce(t *testing.T) {
	t.Parallel()
	s := guild(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	st := storm{t: t, channels: []discord.ChannelID{lobby, attic, hideout}, messages: 30}
	first := state(t, s).Version

	var mu sync.Mutex
	var versions []int64
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for range 30 {
				seen := seenGuild()
				var body tidings.Body = seen
				switch r.IntN(6) {
				case 0:
					body = tidings.ChannelGone{ID: st.channels[r.IntN(3)]}
				case 1:
					c := seen.Channels[r.IntN(2)]
					c.Name = fmt.Sprint("name ", r.IntN(3))
					body = tidings.ChannelSeen{Channel: c}
				case 2:
					body = tidings.MemberSeen{Member: tidings.Member{User: ben, Roles: []discord.RoleID{discord.RoleID(r.IntN(3))}}}
				case 3:
					body = tidings.MemberGone{User: ben}
				case 4:
					body = tidings.RoleGone{ID: moderators}
				}
				res, err := s.RecordBarrier(t.Context(), event(0, body), nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, c := range res.Access {
					versions = append(versions, c.Version)
				}
				mu.Unlock()
			}
		})
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(100+w)))
			for range 30 {
				events := []tidings.Event{st.event(r), st.event(r), st.event(r)}
				if _, err := s.Record(t.Context(), events, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	verify(t, s)
	slices.Sort(versions)
	for i, v := range versions {
		if v != first+int64(i)+1 {
			t.Fatalf("access versions = %v, want each one after %d once", versions, first)
		}
	}
	if got := state(t, s).Version; got != first+int64(len(versions)) {
		t.Errorf("access version = %d, want that of the last change, %d", got, first+int64(len(versions)))
	}
}

// behind runs do while a transaction holds what hold has locked, commits that once do waits for it, and returns do's deltas.
// settle is the last that the transaction does.
func behind(t *testing.T, s *Store, hold, settle func(tx *sqlx.Tx) error, do func() ([]tidings.Delta, error)) []tidings.Delta {
	t.Helper()
	tx, err := s.db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var holder int
	if err := tx.GetContext(t.Context(), &holder, `SELECT pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	if err := hold(tx); err != nil {
		t.Fatal(err)
	}
	var deltas []tidings.Delta
	done := make(chan error, 1)
	go func() {
		var err error
		deltas, err = do()
		done <- err
	}()
	waiting := func() bool {
		return one[bool](t, s, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))`, holder)
	}
	for deadline := time.Now().Add(30 * time.Second); !waiting(); {
		select {
		case err := <-done:
			t.Fatalf("it does not wait for who holds the channel, and ends with %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not come to wait for who holds the channel")
		}
	}
	if err := settle(tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return deltas
}

// Scenario 5: a channel is shut while what is told of it waits for the channel's row. A hub that has not heard of the shutting
// knows it by the delta's access version only.
func TestWhatWaitedForABarrierTellsItsAccessVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(s *Store) ([]tidings.Delta, error)
	}{
		{"a message", func(s *Store) ([]tidings.Delta, error) {
			r, err := s.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessageCreated{Message: message(t, lobby, nth(5), wire{Content: "hush"})})}, nil)
			return r.Deltas, err
		}},
		{"retention", func(s *Store) ([]tidings.Delta, error) {
			_, r, err := s.retainStep(t.Context(), lobby, nth(1), true)
			return r.Deltas, err
		}},
		{"a reset", func(s *Store) (deltas []tidings.Delta, err error) {
			err = s.inTx(t.Context(), nil, func(tx *sqlx.Tx) error {
				deltas, err = reset(t.Context(), tx, []discord.ChannelID{lobby})
				return err
			})
			return deltas, err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := guild(t)
			shut := seenGuild().Channels[0]
			shut.Overwrites = shut.Overwrites[1:]
			b := barrier{guild: testGuild, at: time.Now()}
			var change []tidings.AccessChange
			deltas := behind(t, s, func(tx *sqlx.Tx) error {
				return b.record(t.Context(), tx, tidings.ChannelSeen{Channel: shut})
			}, func(tx *sqlx.Tx) (err error) {
				change, err = b.bump(t.Context(), tx)
				return err
			}, func() ([]tidings.Delta, error) { return tt.do(s) })
			if len(change) != 1 || len(deltas) != 1 || deltas[0].AccessVersion != change[0].Version {
				t.Errorf("deltas = %+v, want one with the access version of %+v", deltas, change)
			}
		})
	}
}

func TestAMessageThatWaitedForItsGuildToBeKeptAgainIsKept(t *testing.T) {
	t.Parallel()
	s := guild(t)
	if err := s.SetServer(t.Context(), testGuild, false, 0, ann); err != nil {
		t.Fatal(err)
	}
	again := tidings.FirstID(time.Now())
	deltas := behind(t, s, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(t.Context(), setServer, int64(testGuild), true, 0); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), keepChannelsAgain, int64(testGuild), 0, int64(again-1))
		return err
	}, func(*sqlx.Tx) error { return nil }, func() ([]tidings.Delta, error) {
		r, err := s.Record(t.Context(), []tidings.Event{event(lobby, tidings.MessageCreated{Message: message(t, lobby, again, wire{Content: "hello"})})}, nil)
		return r.Deltas, err
	})
	wantDeltas(t, deltas, "create v1 n+1;")
}

func TestTheFirstWordOfAChannelsGuildTellsItsAccessVersion(t *testing.T) {
	t.Parallel()
	s := guild(t)
	if err := s.makeRoom(t.Context(), &absentError{channels: map[discord.ChannelID]discord.GuildID{testChannel: 0}}); err != nil {
		t.Fatal(err)
	}
	deltas := record(t, s, created(t, nth(1), wire{Content: "hello"}))
	if want := state(t, s).Version; len(deltas) != 1 || deltas[0].AccessVersion != want {
		t.Errorf("deltas = %+v, want one with access version %d", deltas, want)
	}
}
