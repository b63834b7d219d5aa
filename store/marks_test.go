package store

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"pgregory.net/rapid"

	"tidings"
)

func read(channel discord.ChannelID, upTo discord.MessageID) tidings.MarkRead {
	return tidings.MarkRead{Channel: channel, UpTo: upTo}
}

func (w *world) mustRead(m tidings.MarkRead) tidings.ReadResult {
	w.t.Helper()
	r, err := w.MarkRead(w.t.Context(), set(me), m)
	if err != nil {
		w.t.Fatalf("MarkRead(%+v) = %v", m, err)
	}
	return r
}

func (w *world) mustUnread(channel discord.ChannelID, message discord.MessageID) tidings.ReadResult {
	w.t.Helper()
	r, err := w.MarkUnread(w.t.Context(), set(me), channel, message)
	if err != nil {
		w.t.Fatalf("MarkUnread(%d, %d) = %v", channel, message, err)
	}
	return r
}

func (w *world) mustUndo(rev int64) tidings.ReadResult {
	w.t.Helper()
	r, err := w.Undo(w.t.Context(), set(me), rev)
	if err != nil {
		w.t.Fatalf("Undo(%d) = %v", rev, err)
	}
	return r
}

// wantUnread fails unless channels have the given numbers of unread messages.
func (w *world) wantUnread(when string, want map[discord.ChannelID]int) {
	w.t.Helper()
	for _, c := range slices.Sorted(maps.Keys(want)) {
		if got := w.state(me, c).Unread; got != want[c] {
			w.t.Errorf("%s: channel %d has %d unread, want %d", when, c, got, want[c])
		}
	}
}

// threeEach posts messages 1 to 3 to general, 4 to 6 to random and 7 to 9 to news.
func threeEach(t testing.TB) *world {
	w := newWorld(t)
	w.post(general, alice, users(me), at(0, 1), at(0, 2), at(0, 3))
	w.post(random, alice, nobody, at(0, 4), at(0, 5), at(0, 6))
	w.post(news, alice, nobody, at(0, 7), at(0, 8), at(0, 9))
	return w
}

func TestMarksAnswerWhatTheyChanged(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	r := w.mustRead(read(general, at(0, 2)))
	want := tidings.ReadChannel{ID: general, Version: 3, ReadID: at(0, 2), Unread: 1, Mentions: 1, FirstUnread: at(0, 3), LastID: at(0, 3)}
	if r.User != me || r.Rev != 1 || len(r.Channels) != 1 || r.Channels[0] != want {
		t.Errorf("MarkRead() = %+v, want rev 1 and %+v", r, want)
	}
	if again := w.mustRead(read(general, at(0, 2))); again.Rev != 1 || len(again.Channels) != 0 {
		t.Errorf("the same mark again = %+v, want rev 1 and no channel", again)
	}
	if back := w.mustRead(read(general, at(0, 1))); back.Rev != 1 || len(back.Channels) != 0 {
		t.Errorf("a mark further back = %+v, want rev 1 and no channel", back)
	}
	r = w.mustUnread(general, at(0, 1))
	if r.Rev != 2 || len(r.Channels) != 1 || r.Channels[0].Unread != 3 || r.Channels[0].ReadID != at(0, 1)-1 {
		t.Errorf("MarkUnread() = %+v, want rev 2 and all three unread", r)
	}
	if again := w.mustUnread(general, at(0, 1)); again.Rev != 2 || len(again.Channels) != 0 {
		t.Errorf("the same mark again = %+v, want rev 2 and no channel", again)
	}
	r = w.mustRead(tidings.MarkRead{Guild: guildA, UpTo: at(0, 6)})
	if r.Rev != 3 || len(r.Channels) != 3 {
		t.Errorf("MarkRead(guild) = %+v, want rev 3 and the guild's three channels", r)
	}
	for _, c := range r.Channels {
		if c.Unread != 0 || c.ReadID != at(0, 6) {
			t.Errorf("after the guild's mark: %+v", c)
		}
	}
	w.wantUnread("after the guild's mark", map[discord.ChannelID]int{general: 0, random: 0, news: 3})
	u, err := w.User(t.Context(), me)
	if err != nil || u.Rev != 3 {
		t.Errorf("User() = %+v, %v, want rev 3", u, err)
	}
}

func TestMarkAllReadIsOneRow(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 9)})
	w.wantUnread("all read", map[discord.ChannelID]int{general: 0, random: 0, news: 0})
	var positions, floors int
	w.db.Get(&positions, `SELECT count(*) FROM read_positions`)
	w.db.Get(&floors, `SELECT count(*) FROM read_floors`)
	if positions != 0 || floors != 1 {
		t.Errorf("%d positions and %d floors were written, want one floor", positions, floors)
	}
}

func TestUpToIsNeverBeyondWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	far := at(1000, 0)
	if r := w.mustRead(read(general, far)); r.Channels[0].ReadID != at(0, 3) {
		t.Errorf("a channel was read up to %d, want %d", r.Channels[0].ReadID, at(0, 3))
	}
	w.mustUnread(general, at(0, 2))
	if r := w.mustRead(read(general, 1<<63+7)); len(r.Channels) != 1 || r.Channels[0].ReadID != at(0, 3) {
		t.Errorf("up to more than an id can be, a channel was read up to %+v, want %d", r.Channels, at(0, 3))
	}
	w.mustRead(tidings.MarkRead{Guild: guildA, UpTo: far})
	if got := w.state(me, random).ReadID; got != at(0, 6) {
		t.Errorf("a guild was read up to %d, want %d", got, at(0, 6))
	}
	w.mustRead(tidings.MarkRead{All: true, UpTo: far})
	if got := w.state(me, random).ReadID; got != at(0, 9) {
		t.Errorf("everything was read up to %d, want %d", got, at(0, 9))
	}
	w.mustUnread(general, far)
	w.post(general, alice, nobody, at(0, 20))
	w.wantUnread("a message after a mark from the far future", map[discord.ChannelID]int{general: 1})
	w.erase(general, at(0, 20))
	if r := w.mustRead(read(general, far)); len(r.Channels) != 1 || r.Channels[0].ReadID != at(0, 20) {
		t.Errorf("a deleted newest message is not read up to: %+v", r)
	}
}

func TestMarksThatCannotBeMet(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	s := set(me)
	s.Guilds = s.Guilds[:1]
	for _, tt := range []struct {
		name string
		mark tidings.MarkRead
		want error
	}{
		{"no scope", tidings.MarkRead{UpTo: 1}, tidings.ErrInvalid},
		{"two scopes", tidings.MarkRead{UpTo: 1, All: true, Guild: guildA}, tidings.ErrInvalid},
		{"no up_to", tidings.MarkRead{All: true}, tidings.ErrInvalid},
		{"a null up_to", tidings.MarkRead{All: true, UpTo: discord.NullMessageID}, tidings.ErrInvalid},
		{"a negative rev", tidings.MarkRead{All: true, UpTo: 1, Rev: -1}, tidings.ErrInvalid},
		{"a channel out of sight", read(news, 1), tidings.ErrNotFound},
		{"a guild out of sight", tidings.MarkRead{Guild: guildB, UpTo: 1}, tidings.ErrNotFound},
	} {
		if _, err := w.MarkRead(t.Context(), s, tt.mark); !errors.Is(err, tt.want) {
			t.Errorf("%s: MarkRead() = %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := w.MarkUnread(t.Context(), s, news, at(0, 7)); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("MarkUnread(out of sight) = %v, want ErrNotFound", err)
	}
	if _, err := w.MarkUnread(t.Context(), s, general, 0); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("MarkUnread(0) = %v, want ErrInvalid", err)
	}
	if _, err := w.MarkRead(t.Context(), set(bob), read(general, 1)); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("a mark of somebody unknown = %v, want ErrNotFound", err)
	}
	if _, err := w.Undo(t.Context(), s, 77); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("Undo(unknown) = %v, want ErrNotFound", err)
	}
}

func TestFloorsSpareWhatWasMarkedUnreadLater(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 9)})
	w.mustUnread(general, at(0, 2))
	w.wantUnread("marked unread after all was read", map[discord.ChannelID]int{general: 2, random: 0})
	w.mustRead(read(general, at(0, 2)))
	w.wantUnread("read a little further, below the old floor", map[discord.ChannelID]int{general: 1})
	w.mustUnread(random, at(0, 4))
	w.mustRead(tidings.MarkRead{Guild: guildA, UpTo: at(0, 4)})
	w.wantUnread("a guild's mark below the floor of everything", map[discord.ChannelID]int{general: 0, random: 2})
	w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 5)})
	w.wantUnread("a lower mark of everything", map[discord.ChannelID]int{general: 0, random: 1})
	w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 9)})
	w.wantUnread("the same floor once more", map[discord.ChannelID]int{general: 0, random: 0, news: 0})
}

// Scenario 15: a read that the client sent by itself arrives after the person marked the channel unread.
func TestDelayedAutomaticReadLosesToMarkUnread(t *testing.T) {
	t.Parallel()
	for name, automatic := range map[string]tidings.MarkRead{
		"channel": read(general, at(0, 3)), "guild": {Guild: guildA, UpTo: at(0, 6)}, "all": {All: true, UpTo: at(0, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := threeEach(t)
			automatic.Auto, automatic.Rev = true, w.mustRead(read(general, at(0, 1))).Rev
			unread := w.mustUnread(general, at(0, 1))
			w.mustRead(automatic)
			w.wantUnread("after the delayed read", map[discord.ChannelID]int{general: 3})
			if name != "channel" {
				w.wantUnread("what was not marked unread", map[discord.ChannelID]int{random: 0})
			}
			w.mustRead(automatic)
			w.wantUnread("after it was sent twice", map[discord.ChannelID]int{general: 3})

			knowing := automatic
			u, err := w.User(t.Context(), me)
			if err != nil || u.Rev < unread.Rev {
				t.Fatalf("User() = %+v, %v", u, err)
			}
			knowing.Auto, knowing.Rev = true, u.Rev
			w.mustRead(knowing)
			w.wantUnread("after one that knows of the mark", map[discord.ChannelID]int{general: 0})
		})
	}
}

func TestDelayedAutomaticReadLosesToUndo(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	rev := w.mustRead(read(general, at(0, 3))).Rev
	w.mustUndo(rev)
	late := read(general, at(0, 3))
	late.Auto, late.Rev = true, rev
	w.mustRead(late)
	w.wantUnread("after the delayed read", map[discord.ChannelID]int{general: 3})
	w.mustRead(read(general, at(0, 3)))
	w.wantUnread("by hand", map[discord.ChannelID]int{general: 0})
}

func TestAnAutomaticReadOfSomebodyWhoHadMarkedNothingLoses(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	late := read(general, at(0, 3))
	late.Auto = true // the rev that it knew is 0
	w.mustUnread(general, at(0, 2))
	w.mustRead(late)
	w.wantUnread("after the delayed read", map[discord.ChannelID]int{general: 2})
	w.mustRead(read(general, at(0, 3)))
	w.wantUnread("by hand", map[discord.ChannelID]int{general: 0})
}

func TestUndoPutsBackWhatWas(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	w.mustRead(read(general, at(0, 1)))
	w.mustUnread(random, at(0, 6))
	rev := w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 9)}).Rev
	r := w.mustUndo(rev)
	if r.Rev != rev+1 || len(r.Channels) != 4 {
		t.Errorf("Undo() = %+v, want rev %d and all four channels", r, rev+1)
	}
	before := map[discord.ChannelID]int{general: 2, random: 1, news: 3}
	w.wantUnread("undone", before)
	if again := w.mustUndo(rev); again.Rev != rev+1 || len(again.Channels) != 0 {
		t.Errorf("Undo() again = %+v, want rev %d and no channel", again, rev+1)
	}
	w.mustUndo(rev + 1)
	w.wantUnread("the undo undone", map[discord.ChannelID]int{general: 0, random: 0, news: 0})
	w.mustUndo(rev + 2)
	w.wantUnread("and undone again", before)
	w.mustUndo(2)
	w.wantUnread("an older mark undone", map[discord.ChannelID]int{general: 2, random: 3, news: 3})
	w.sameAsRecount(set(me))
}

func TestUndoDoesNotTouchWhatALaterMarkChanged(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	first := w.mustRead(read(general, at(0, 1))).Rev
	w.mustRead(read(general, at(0, 3)))
	if _, err := w.Undo(t.Context(), set(me), first); !errors.Is(err, tidings.ErrConflict) {
		t.Errorf("Undo() = %v, want ErrConflict", err)
	}
	w.wantUnread("after the refused undo", map[discord.ChannelID]int{general: 0})
	if u, err := w.User(t.Context(), me); err != nil || u.Rev != 2 {
		t.Errorf("User() = %+v, %v, want rev 2 still", u, err)
	}
}

func TestMarksOfOnePersonAtOnceAllCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 40
	var ids []discord.MessageID
	for i := range n {
		ids = append(ids, at(0, i+1))
	}
	w.post(general, alice, nobody, ids...)
	var mu sync.Mutex
	revs := map[int64]int{}
	var wg sync.WaitGroup
	for part := range slices.Chunk(ids, n/8) {
		wg.Go(func() {
			for _, id := range part {
				r, err := w.MarkRead(t.Context(), set(me), read(general, id))
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range r.Channels {
					if got := n - int(c.ReadID-ids[0]) - 1; c.Unread != got {
						t.Errorf("read up to %d answered %d unread, want %d", c.ReadID, c.Unread, got)
					}
					mu.Lock()
					revs[r.Rev]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for rev, times := range revs {
		if times != 1 {
			t.Errorf("rev %d was given %d times", rev, times)
		}
	}
	w.wantUnread("at the end", map[discord.ChannelID]int{general: 0})
	if u, err := w.User(t.Context(), me); err != nil || u.Rev != int64(len(revs)) {
		t.Errorf("User() = %+v, %v, want rev %d", u, err, len(revs))
	}
}

// modelMark is what the model knows of one channel: it has no floors, a mark of many channels marks each.
type modelMark struct {
	read   discord.MessageID
	manual bool
	rev    int64 // of the manual mark
}

type modelState struct {
	channels map[discord.ChannelID]modelMark
	floors   map[discord.GuildID]discord.MessageID
}

func (m modelState) clone() modelState {
	return modelState{maps.Clone(m.channels), maps.Clone(m.floors)}
}

// model is one person's marks by the book, in memory.
type model struct {
	modelState
	messages map[discord.ChannelID][]discord.MessageID
	rev      int64
	lastUndo int64
	undoable []modelUndo
}

type modelUndo struct {
	rev    int64
	before modelState
}

func (m *model) newest(c discord.ChannelID) discord.MessageID { return slices.Max(m.messages[c]) }

func (m *model) unread(c discord.ChannelID) (n int) {
	for _, id := range m.messages[c] {
		if id > m.channels[c].read {
			n++
		}
	}
	return n
}

func (m *model) done(before modelState) {
	m.rev++
	m.undoable = append(m.undoable, modelUndo{m.rev, before})
}

func (m *model) markRead(mark tidings.MarkRead) {
	var scope []discord.ChannelID
	switch {
	case mark.All:
		scope = []discord.ChannelID{general, random, thread, news}
	case mark.Guild == guildA:
		scope = []discord.ChannelID{general, random, thread}
	case mark.Guild == guildB:
		scope = []discord.ChannelID{news}
	default:
		scope = []discord.ChannelID{mark.Channel}
	}
	var known discord.MessageID
	for _, c := range scope {
		known = max(known, m.newest(c))
	}
	upTo := min(mark.UpTo, known)
	acts := func(c discord.ChannelID) bool {
		ch := m.channels[c]
		if !mark.Auto {
			return upTo > ch.read || ch.manual
		}
		return upTo > ch.read && m.lastUndo <= mark.Rev && (!ch.manual || ch.rev <= mark.Rev)
	}
	if !slices.ContainsFunc(scope, acts) {
		return
	}
	before := m.clone()
	m.done(before)
	raised := mark.Channel == 0 && upTo >= m.floors[mark.Guild]
	if raised {
		m.floors[mark.Guild] = upTo
	}
	for _, c := range scope {
		ch := m.channels[c]
		switch {
		case acts(c):
			m.channels[c] = modelMark{read: max(ch.read, upTo)}
		case ch.manual && raised: // A mark that withstood a floor is as new as the floor.
			ch.rev = m.rev
			m.channels[c] = ch
		}
	}
}

func (m *model) markUnread(c discord.ChannelID, id discord.MessageID) {
	from := min(id-1, m.newest(c))
	if ch := m.channels[c]; ch.manual && ch.read == from {
		return
	}
	before := m.clone()
	m.done(before)
	m.channels[c] = modelMark{read: from, manual: true, rev: m.rev}
}

// TestMarksAgreeWithAModelOfSingleChannels runs random marks, floors, manual marks and undos against the model.
func TestMarksAgreeWithAModelOfSingleChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := []discord.ChannelID{general, random, thread, news}
	messages := map[discord.ChannelID][]discord.MessageID{}
	var ids []discord.MessageID
	for i := range 24 {
		c := all[i%4]
		id := at(float64(i*3-40), i)
		w.post(c, alice, nobody, id)
		messages[c], ids = append(messages[c], id), append(ids, id)
	}
	ids = append(ids, at(5000, 0), 1)
	person := discord.UserID(50000)
	rapid.Check(t, func(rt *rapid.T) {
		person++
		w.user(person)
		s := set(person)
		baseline := rapid.SampledFrom(ids[:6]).Draw(rt, "baseline")
		w.exec(`INSERT INTO baselines VALUES ($1, $2, $3)`, int64(person), int64(guildA), int64(baseline))
		m := &model{messages: messages, modelState: modelState{map[discord.ChannelID]modelMark{}, map[discord.GuildID]discord.MessageID{}}}
		for _, c := range all[:3] {
			m.channels[c] = modelMark{read: baseline}
		}
		m.channels[news] = modelMark{}

		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			before := m.clone()
			var got tidings.ReadResult
			var err error
			c, id := rapid.SampledFrom(all).Draw(rt, "channel"), rapid.SampledFrom(ids).Draw(rt, "id")
			switch what := rapid.SampledFrom([]string{"read", "guild", "all", "unread", "unread", "undo"}).Draw(rt, "what"); what {
			case "read", "guild", "all":
				mark := tidings.MarkRead{UpTo: id}
				switch what {
				case "read":
					mark.Channel = c
				case "guild":
					mark.Guild = rapid.SampledFrom([]discord.GuildID{guildA, guildB}).Draw(rt, "guild")
				case "all":
					mark.All = true
				}
				if m.rev > 0 && rapid.Bool().Draw(rt, "automatic") {
					mark.Auto, mark.Rev = true, rapid.Int64Range(0, m.rev).Draw(rt, "rev")
				}
				m.markRead(mark)
				got, err = w.MarkRead(t.Context(), s, mark)
			case "unread":
				m.markUnread(c, id)
				got, err = w.MarkUnread(t.Context(), s, c, id)
			case "undo":
				if len(m.undoable) == 0 {
					continue
				}
				last := m.undoable[len(m.undoable)-1]
				m.undoable = m.undoable[:len(m.undoable)-1]
				m.modelState = last.before
				m.rev++
				m.lastUndo = m.rev
				got, err = w.Undo(t.Context(), s, last.rev)
			}
			if err != nil {
				rt.Fatal(err)
			}
			if got.Rev != m.rev {
				rt.Fatalf("rev %d, want %d", got.Rev, m.rev)
			}
			counts, err := w.Counts(t.Context(), s, all)
			if err != nil {
				rt.Fatal(err)
			}
			moved := map[discord.ChannelID]bool{}
			for _, n := range counts {
				if n.ReadID != m.channels[n.ID].read || n.Unread != m.unread(n.ID) {
					rt.Fatalf("channel %d is read up to %d with %d unread, want %d with %d",
						n.ID, n.ReadID, n.Unread, m.channels[n.ID].read, m.unread(n.ID))
				}
				moved[n.ID] = n.ReadID != before.channels[n.ID].read
				for _, told := range got.Channels {
					if told.ID == n.ID && told != n {
						rt.Fatalf("the mark answered %+v, want %+v", told, n)
					}
				}
			}
			for _, told := range got.Channels {
				if !moved[told.ID] {
					rt.Fatalf("the mark answered channel %d, which did not move", told.ID)
				}
				delete(moved, told.ID)
			}
			for c, is := range moved {
				if is {
					rt.Fatalf("the mark did not answer channel %d, which moved", c)
				}
			}
		}
	})
}
