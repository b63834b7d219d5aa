package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/jobs"
	"tidings/store"
)

// threadWorld is Discord's word about threads.
type threadWorld struct {
	in      map[discord.ChannelID][]discord.UserID
	alive   map[discord.ChannelID]tidings.Channel
	closed  map[discord.ChannelID]bool
	noLists bool // the Server Members Intent is not granted
	onAsk   func()
}

func (w *threadWorld) ThreadMembers(_ context.Context, c discord.ChannelID) ([]discord.UserID, error) {
	if w.noLists || w.closed[c] {
		return nil, fmt.Errorf("list: %w", tidings.ErrForbidden)
	}
	in := slices.Clone(w.in[c])
	if w.onAsk != nil {
		w.onAsk()
	}
	return in, nil
}

func (w *threadWorld) InThread(_ context.Context, c discord.ChannelID, u discord.UserID) (bool, error) {
	if w.closed[c] {
		return false, fmt.Errorf("one: %w", tidings.ErrForbidden)
	}
	return slices.Contains(w.in[c], u), nil
}

func (w *threadWorld) Channel(_ context.Context, c discord.ChannelID) (tidings.Channel, error) {
	if w.closed[c] {
		return tidings.Channel{}, fmt.Errorf("get: %w", tidings.ErrForbidden)
	}
	if there, ok := w.alive[c]; ok {
		return there, nil
	}
	return tidings.Channel{}, fmt.Errorf("get: %w", tidings.ErrNotFound)
}

func aThread(id discord.ChannelID, kind int) tidings.Channel {
	return tidings.Channel{ID: id, Guild: testGuild, Parent: testChannel, Type: kind, Name: "thread"}
}

var guildJob = store.Job{Key: testGuild.String(), Guild: testGuild}

func TestMembersOfPrivateThreadsAreRead(t *testing.T) {
	t.Parallel()
	s, db, door, _ := fetching(t, &past{})
	const ann, ben, cyd = discord.UserID(71), discord.UserID(72), discord.UserID(73)
	for _, u := range []discord.UserID{ann, ben} {
		if _, err := s.SaveUser(t.Context(), tidings.User{ID: u}); err != nil {
			t.Fatal(err)
		}
		put(t, door, tidings.MemberSeen{Member: tidings.Member{User: u}})
	}
	w := &threadWorld{in: map[discord.ChannelID][]discord.UserID{801: {ann, cyd}, 802: {ben}}, closed: map[discord.ChannelID]bool{803: true}}
	for id := discord.ChannelID(801); id <= 803; id++ {
		put(t, door, tidings.ChannelSeen{Channel: aThread(id, tidings.ChannelPrivateThread)})
	}
	in := func() string {
		t.Helper()
		var got string
		if err := db.Get(&got, `SELECT coalesce(string_agg(thread_id || ':' || user_id, ' ' ORDER BY thread_id, user_id), '') FROM thread_members`); err != nil {
			t.Fatal(err)
		}
		return got
	}
	read := jobs.ReadThreadMembers(w, s, door, discard())
	// Somebody is removed while the first answer is under way, and Discord is asked again.
	once := false
	w.onAsk = func() {
		if !once {
			once = true
			w.in[802] = nil
			w.in[801] = []discord.UserID{cyd}
			put(t, door, tidings.ThreadMembersChanged{Thread: 801, Removed: []discord.UserID{ann}})
			put(t, door, tidings.ThreadMembersChanged{Thread: 802, Removed: []discord.UserID{ben}})
		}
	}
	if err := read(t.Context(), guildJob); err != nil {
		t.Fatal(err)
	}
	if got := in(); got != "801:73" {
		t.Errorf("in the threads are %q, want nobody but 73", got)
	}
	if left, err := s.DoubtedThreads(t.Context(), testGuild); err != nil || !slices.Equal(left, []discord.ChannelID{803}) {
		t.Errorf("still to be asked about are %v, %v, want the one that is closed", left, err)
	}

	// Without the intent those who have signed in are asked about one by one.
	w.noLists, w.in[802] = true, []discord.UserID{ben, 999}
	delete(w.closed, 803)
	if n, err := s.RecheckThreads(t.Context()); err != nil || n != 3 {
		t.Fatalf("RecheckThreads() = %d, %v, want 3", n, err)
	}
	if err := read(t.Context(), guildJob); err != nil {
		t.Fatal(err)
	}
	if got := in(); got != "801:73 802:72" {
		t.Errorf("in the threads are %q, want 72 in the second as well", got)
	}
}

func TestThreadsThatWereDeletedUnheardAreDeleted(t *testing.T) {
	t.Parallel()
	s, db, door, _ := fetching(t, &past{})
	for id := discord.ChannelID(801); id <= 803; id++ {
		put(t, door, tidings.ChannelSeen{Channel: aThread(id, tidings.ChannelPublicThread)})
	}
	put(t, door, tidings.ThreadsSynced{}) // none of them is active any more
	w := &threadWorld{alive: map[discord.ChannelID]tidings.Channel{802: aThread(802, tidings.ChannelPublicThread)}, closed: map[discord.ChannelID]bool{803: true}}
	alive := w.alive[802]
	alive.Archived, alive.Name = true, "renamed"
	w.alive[802] = alive
	if err := jobs.FindThreads(w, s, door, discard())(t.Context(), guildJob); err != nil {
		t.Fatal(err)
	}
	var rows []string
	if err := db.Select(&rows, `SELECT id || ' ' || name || CASE WHEN deleted THEN ' deleted' WHEN archived THEN ' archived' ELSE '' END FROM channels WHERE type = 11 ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	if want := []string{"801 thread deleted", "802 renamed archived", "803 thread archived"}; !slices.Equal(rows, want) {
		t.Errorf("the threads are %q, want %q", rows, want)
	}
	if left, err := s.UnnamedThreads(t.Context(), testGuild, 10); err != nil || len(left) > 0 {
		t.Errorf("%v are looked for still, %v", left, err)
	}
	if err := jobs.FindThreads(w, s, door, discard())(t.Context(), store.Job{Key: "x"}); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("a job without a guild ends with %v", err)
	}
}

// put stores what the gateway tells.
func put(t *testing.T, door jobs.Door, body tidings.Body) {
	t.Helper()
	if err := door.Commit(t.Context(), tidings.Event{Guild: testGuild, Body: body}); err != nil {
		t.Fatal(err)
	}
}
