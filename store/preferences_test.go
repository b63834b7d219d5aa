package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func (w *world) summary(user discord.UserID) *tidings.Unread {
	w.t.Helper()
	u, err := w.Summary(w.t.Context(), set(user))
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func mutedIn(u *tidings.Unread) []discord.ChannelID {
	var list []discord.ChannelID
	for _, g := range u.Guilds {
		for _, c := range g.Channels {
			if c.Muted {
				list = append(list, c.ID)
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestMutesTakeUnreadOutOfTheTotalAndLeaveMentions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		scope discord.Snowflake
		muted []discord.ChannelID
		total int
	}{
		{"a channel, with its threads", discord.Snowflake(general), []discord.ChannelID{general, thread}, 6},
		{"a thread", discord.Snowflake(thread), []discord.ChannelID{thread}, 9},
		{"a category, with threads of its channels", 1000, []discord.ChannelID{general, thread}, 6},
		{"a guild", discord.Snowflake(guildA), []discord.ChannelID{general, random, thread}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := threeEach(t)
			r, err := w.Mute(t.Context(), me, tt.scope, time.Time{})
			if err != nil || r.Rev != 1 || len(r.Channels) != 0 {
				t.Fatalf("Mute() = %+v, %v, want rev 1 without channels", r, err)
			}
			u := w.summary(me)
			if got := mutedIn(u); !slices.Equal(got, tt.muted) || u.Total != tt.total || u.Mentions != 3 || u.Rev != 1 {
				t.Errorf("muted %v, total %d, mentions %d, rev %d, want %v, %d, 3, 1", got, u.Total, u.Mentions, u.Rev, tt.muted, tt.total)
			}
			if r, err = w.Mute(t.Context(), me, tt.scope, time.Time{}); err != nil || r.Rev != 1 {
				t.Errorf("the same mute again = %+v, %v, want rev 1", r, err)
			}
			if r, err = w.Unmute(t.Context(), me, tt.scope); err != nil || r.Rev != 2 {
				t.Errorf("Unmute() = %+v, %v, want rev 2", r, err)
			}
			if r, err = w.Unmute(t.Context(), me, tt.scope); err != nil || r.Rev != 2 {
				t.Errorf("Unmute() again = %+v, %v, want rev 2", r, err)
			}
			if u := w.summary(me); u.Total != 9 || len(mutedIn(u)) != 0 {
				t.Errorf("after unmuting, total %d, muted %v, want 9 and none", u.Total, mutedIn(u))
			}
		})
	}
}

func TestMutesEnd(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	w.exec(`INSERT INTO mutes VALUES ($1, $2, now() - interval '1 second')`, int64(me), int64(random))
	if got := mutedIn(w.summary(me)); got != nil {
		t.Errorf("after its end, %v are muted, want none", got)
	}
	if mutes, err := w.Mutes(t.Context(), me); err != nil || len(mutes) != 0 {
		t.Errorf("Mutes() = %+v, %v, want none", mutes, err)
	}
	soon, later := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond), time.Now().Add(2*time.Hour).UTC().Truncate(time.Microsecond)
	for _, m := range []Mute{{discord.Snowflake(random), &soon}, {discord.Snowflake(guildA), &later}, {discord.Snowflake(thread), &soon}} {
		if _, err := w.Mute(t.Context(), me, m.Scope, *m.Until); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Mute(t.Context(), me, discord.Snowflake(general), time.Time{}); err != nil {
		t.Fatal(err)
	}
	until := map[discord.ChannelID]*time.Time{random: &later, general: nil, thread: nil}
	for _, g := range w.summary(me).Guilds {
		for _, c := range g.Channels {
			want, muted := until[c.ID]
			if c.Muted != muted || (c.MutedUntil == nil) != (want == nil) || want != nil && !c.MutedUntil.Equal(*want) {
				t.Errorf("channel %d is muted %v until %v, want %v until %v: the longest counts", c.ID, c.Muted, c.MutedUntil, muted, want)
			}
		}
	}
}

func TestIgnoringAnAuthorChangesCountsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(bob)
	w.post(general, alice, users(me), at(0, 1))
	w.post(general, bob, users(me), at(0, 2), at(0, 3))
	w.post(general, bob, everyone, at(48, 4))
	r, err := w.Ignore(t.Context(), me, bob)
	if err != nil || r.Rev != 1 {
		t.Fatalf("Ignore() = %+v, %v, want rev 1", r, err)
	}
	if got := w.state(me, general); got.Unread != 1 || got.Mentions != 1 || got.FirstUnread != at(0, 1) {
		t.Errorf("ignoring bob: %+v, want 1 unread and 1 mention", got)
	}
	if got := w.state(alice, general); got.Unread != 3 {
		t.Errorf("for alice: %+v, want 3 unread: it is nobody else's matter", got)
	}
	if u := w.summary(me); !slices.Equal(u.Ignored, []discord.UserID{bob}) || u.Rev != 1 {
		t.Errorf("Summary() ignores %v at rev %d, want bob at 1", u.Ignored, u.Rev)
	}
	if r, err := w.Ignore(t.Context(), me, bob); err != nil || r.Rev != 1 {
		t.Errorf("Ignore() again = %+v, %v, want rev 1", r, err)
	}
	w.sameAsRecount(set(me))
	if r, err := w.Unignore(t.Context(), me, bob); err != nil || r.Rev != 2 {
		t.Errorf("Unignore() = %+v, %v, want rev 2", r, err)
	}
	if got := w.state(me, general); got.Unread != 4 || got.Mentions != 4 {
		t.Errorf("counting bob again: %+v, want 4 unread and 4 mentions", got)
	}
	w.exec(`INSERT INTO ignored_authors SELECT $1, n FROM generate_series(1, $2) n`, int64(me), MaxIgnored)
	if _, err := w.Ignore(t.Context(), me, bob); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("Ignore() of one too many = %v, want ErrInvalid", err)
	}
	if _, err := w.Ignore(t.Context(), 999, bob); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("Ignore() by a stranger = %v, want ErrNotFound", err)
	}
}

func TestSavedMessages(t *testing.T) {
	t.Parallel()
	w := threeEach(t)
	for n, c := range []discord.ChannelID{general, random, news} {
		for i := range 3 {
			if err := w.Save(t.Context(), set(me), c, at(0, 3*n+i+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Save(t.Context(), set(me), general, at(0, 1)); err != nil {
		t.Errorf("Save() again = %v", err)
	}
	for _, s := range []struct {
		channel discord.ChannelID
		message discord.MessageID
	}{{general, at(0, 99)}, {hideout, at(0, 1)}} {
		if err := w.Save(t.Context(), set(me), s.channel, s.message); !errors.Is(err, tidings.ErrNotFound) {
			t.Errorf("Save(%v) = %v, want ErrNotFound", s, err)
		}
	}
	list := func(of *tidings.VisibleSet, limit int) (ids []discord.MessageID) {
		t.Helper()
		cursor := ""
		for range 20 {
			p, err := w.SavedMessages(t.Context(), of, cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range p.Saved {
				ids = append(ids, m.Message.ID)
			}
			if cursor = p.Next; cursor == "" {
				return ids
			}
		}
		t.Fatal("the list does not end")
		return nil
	}
	all := []discord.MessageID{at(0, 9), at(0, 8), at(0, 7), at(0, 6), at(0, 5), at(0, 4), at(0, 3), at(0, 2), at(0, 1)}
	for _, limit := range []int{1, 2, 100} {
		if got := list(set(me), limit); !slices.Equal(got, all) {
			t.Errorf("by %d: %v, want %v", limit, got, all)
		}
	}
	if got := list(set(alice), 10); got != nil {
		t.Errorf("alice has saved %v, want nothing", got)
	}
	w.erase(news, at(0, 9))
	if err := w.Unsave(t.Context(), me, news, at(0, 8)); err != nil {
		t.Error(err)
	}
	less := set(me)
	less.Guilds[0].Channels = less.Guilds[0].Channels[:1]
	want := []discord.MessageID{at(0, 7), at(0, 3), at(0, 2), at(0, 1)}
	if got := list(less, 2); !slices.Equal(got, want) {
		t.Errorf("without a deleted one, one taken back and a lost channel: %v, want %v", got, want)
	}
	if got := w.state(me, general); got.Unread != 3 {
		t.Errorf("saving has read something: %+v", got)
	}
}

func FuzzSavedCursor(f *testing.F) {
	f.Add(savedCursor{1, 2, 3}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseSavedCursor(s); err == nil && c.String() != s {
			t.Errorf("parseSavedCursor(%q) = %+v, which is %q", s, c, c.String())
		}
	})
}
