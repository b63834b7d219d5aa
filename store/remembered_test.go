package store

import (
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestWhatIsRememberedIsNeverShownWhenItIsNotSo asks before and after everything that changes counts, also what moves no channel.
func TestWhatIsRememberedIsNeverShownWhenItIsNotSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(me)
	s := set(me)
	w.post(general, alice, users(me), at(0, 1), at(0, 2))
	w.post(general, bob, roles(modsA), at(0, 3))
	w.post(random, alice, everyone, at(0, 4))
	w.post(news, me, nobody, at(0, 5))
	counts := func() (unread, mentions int) {
		t.Helper()
		u, err := w.Summary(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		w.sameAsRecount(s)
		for _, g := range u.Guilds {
			for _, c := range g.Channels {
				unread += c.Unread
				mentions += c.Mentions
			}
		}
		return unread, mentions
	}
	step := func(what string, unread, mentions int, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for range 2 { // The second may be remembered.
			if n, m := counts(); n != unread || m != mentions {
				t.Errorf("%s: %d unread and %d mentions, want %d and %d", what, n, m, unread, mentions)
			}
		}
	}
	step("at first", 4, 4, func() error { return nil })
	step("a message", 5, 4, func() error { w.post(random, bob, nobody, at(0, 6)); return nil })
	step("a delete", 4, 3, func() error { w.erase(general, at(0, 1)); return nil })
	step("a mark", 3, 2, func() error {
		_, err := w.MarkRead(t.Context(), s, tidings.MarkRead{Channel: general, UpTo: at(0, 2)})
		return err
	})
	step("a role that is lost", 3, 1, func() error {
		s = set(me)
		s.Guilds[0].Roles = []discord.RoleID{}
		return nil
	})
	step("a role that is back", 3, 2, func() error { s = set(me); return nil })
	step("@everyone suppressed", 3, 1, func() error {
		_, err := w.Suppress(t.Context(), me, guildA, tidings.Suppression{Everyone: true})
		return err
	})
	step("roles suppressed instead", 3, 1, func() error {
		_, err := w.Suppress(t.Context(), me, guildA, tidings.Suppression{Roles: true})
		return err
	})
	step("nothing suppressed", 3, 2, func() error {
		_, err := w.Suppress(t.Context(), me, guildA, tidings.Suppression{})
		return err
	})
	step("an author ignored", 1, 1, func() error { _, err := w.Ignore(t.Context(), me, bob); return err })
	step("and no more", 3, 2, func() error { _, err := w.Unignore(t.Context(), me, bob); return err })
	step("a channel that is lost", 1, 1, func() error {
		s = set(me)
		s.Guilds[0].Channels = s.Guilds[0].Channels[:2]
		return nil
	})
	step("a channel that is back", 3, 2, func() error { s = set(me); return nil })
	step("marked unread", 4, 3, func() error { _, err := w.MarkUnread(t.Context(), s, general, at(0, 2)); return err })
}

// TestTheRememberedAreBounded forgets who has asked least lately, and what is old.
func TestTheRememberedAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newRemembered()
	r.most = 4
	rows := func(n int) (list []counted) {
		for i := range n {
			list = append(list, counted{ID: discord.ChannelID(i + 1)})
		}
		return list
	}
	r.keep(1, "a", now, rows(2))
	r.keep(2, "a", now, rows(2))
	if len(r.of(1, "a", now)) != 2 {
		t.Error("what was just counted is forgotten")
	}
	r.keep(3, "a", now, rows(2))
	if r.of(2, "a", now) != nil || len(r.of(1, "a", now)) != 2 || r.held != 4 {
		t.Errorf("who has asked least lately is not the one that is forgotten; %d are held", r.held)
	}
	if r.of(1, "b", now) != nil {
		t.Error("what was counted for another taste is believed")
	}
	r.keep(3, "a", now.Add(time.Minute), rows(2))
	if r.of(3, "a", now.Add(rememberedFor+time.Second)) != nil {
		t.Error("what is old is believed because something else was counted since")
	}
	r.keep(4, "a", now, rows(9))
	if r.held != 0 || len(r.people) != 0 || r.order.Len() != 0 {
		t.Errorf("%d are held of a person who has more than all may", r.held)
	}
}

// TestHoursThatOthersDoNotKeepAreNotBelieved changes a day as an earlier version does, which knows of no hours.
func TestHoursThatOthersDoNotKeepAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := open(t)
	hours := func() bool {
		return one[bool](t, s, `SELECT bool_and(hours IS NOT NULL) FROM live_buckets`)
	}
	record(t, s, created(t, nth(1), wire{}), created(t, nth(2), wire{}))
	if !hours() {
		t.Fatal("the hours of new messages are not known")
	}
	if _, err := s.db.Exec(`UPDATE live_buckets SET n = n + 1`); err != nil {
		t.Fatal(err)
	}
	if hours() {
		t.Error("hours are believed although the day was changed without them")
	}
	record(t, s, created(t, nth(3), wire{}))
	if hours() {
		t.Error("hours that were not known are counted from the middle")
	}
}
