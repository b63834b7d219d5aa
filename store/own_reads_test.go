package store

import (
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// enrolled is a world in which some people are members of both guilds since before all of its messages.
func enrolled(t testing.TB, people ...discord.UserID) *world {
	t.Helper()
	w := newWorld(t)
	for _, u := range people {
		w.user(u)
		for _, g := range []discord.GuildID{guildA, guildB} {
			w.exec(`INSERT INTO members (guild_id, user_id, state, roles) VALUES ($1, $2, 'in', $3)`, int64(g), int64(u), ids([]discord.RoleID{modsA}))
			w.exec(`INSERT INTO baselines (user_id, guild_id, baseline_id) VALUES ($1, $2, 1)`, int64(u), int64(g))
		}
	}
	return w
}

func (w *world) write(channel discord.ChannelID, author discord.UserID, id discord.MessageID, mentions tidings.Mentions) tidings.Event {
	w.t.Helper()
	guild := guildA
	if channel == news {
		guild = guildB
	}
	ev := event(channel, tidings.MessageCreated{Message: message(w.t, channel, id, wire{
		Author: author, Users: mentions.Users, Roles: mentions.Roles, Everyone: mentions.Everyone,
	})})
	ev.Guild = guild
	return ev
}

func (w *world) record(events ...tidings.Event) tidings.Result {
	w.t.Helper()
	r, err := w.Record(w.t.Context(), events, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestSendingReadsTheChannelUpToTheMessage(t *testing.T) {
	t.Parallel()
	w := enrolled(t, me)
	w.record(w.write(general, alice, at(0, 1), nobody), w.write(random, alice, at(0, 2), nobody))
	r := w.record(
		w.write(general, alice, at(0, 3), users(me)), w.write(general, me, at(0, 4), nobody),
		w.write(general, alice, at(0, 5), roles(modsA)), w.write(general, alice, at(0, 6), everyone), w.write(general, alice, at(0, 7), nobody),
	)
	if len(r.Reads) != 1 || r.Reads[0].User != me || r.Reads[0].Rev != 1 || len(r.Reads[0].Channels) != 1 {
		t.Fatalf("Record() reads = %+v, want one of this person's", r.Reads)
	}
	want := tidings.ReadChannel{
		ID: general, Version: 6, ReadID: at(0, 4), Unread: 3, Mentions: 2, FirstUnread: at(0, 5), LastID: at(0, 7),
	}
	if got := r.Reads[0].Channels[0]; got != want {
		t.Errorf("Record() read = %+v, want %+v", got, want)
	}
	if got := w.state(me, general); got != want {
		t.Errorf("Counts() = %+v, want the same %+v", got, want)
	}
	if got := w.state(me, random).Unread; got != 1 {
		t.Errorf("unread of the other channel = %d, want 1", got)
	}
	w.sameAsRecount(set(me))
}

func TestDeletingAnOwnMessageDoesNotMoveThePositionBack(t *testing.T) {
	t.Parallel()
	w := enrolled(t, me)
	own := w.write(general, me, at(0, 2), nobody)
	w.record(w.write(general, alice, at(0, 1), nobody), own)
	gone := event(general, tidings.MessagesDeleted{IDs: []discord.MessageID{at(0, 2)}})
	gone.Guild = guildA
	w.record(gone)
	if got := w.state(me, general); got.Unread != 0 || got.ReadID != at(0, 2) {
		t.Errorf("Counts() = %+v, want nothing unread above %d", got, at(0, 2))
	}
	if r := w.record(own, gone); len(r.Reads) != 0 {
		t.Errorf("recording it again gave reads %+v, want none", r.Reads)
	}
}

func TestWhereSendingReadsNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(w *world)
		author  discord.UserID
		id      discord.MessageID
	}{
		{"somebody who never signed in", func(*world) {}, alice, at(0, 5)},
		{"somebody who is not enrolled in the guild", func(w *world) { w.exec(`DELETE FROM baselines`) }, me, at(0, 5)},
		{"below the baseline", func(w *world) { w.exec(`UPDATE baselines SET baseline_id = $1`, int64(at(1, 0))) }, me, at(0, 5)},
		{"a manual mark stands", func(w *world) { w.mustUnread(general, at(0, 1)) }, me, at(0, 5)},
		{"an own message that was found late", func(w *world) { w.mustRead(read(general, at(0, 4))) }, me, at(0, 3)},
		{"below a floor", func(w *world) { w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 4)}) }, me, at(0, 3)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := enrolled(t, me)
			w.record(w.write(general, alice, at(0, 1), nobody), w.write(general, alice, at(0, 4), nobody))
			tt.prepare(w)
			before := w.state(me, general)
			if r := w.record(w.write(general, tt.author, tt.id, nobody)); len(r.Reads) != 0 {
				t.Errorf("Record() reads = %+v, want none", r.Reads)
			}
			if got := w.state(me, general); got.ReadID != before.ReadID {
				t.Errorf("position = %d, want it where it was, %d", got.ReadID, before.ReadID)
			}
			w.sameAsRecount(set(me))
		})
	}
}

func TestAfterReadingOnByHandSendingReadsAgain(t *testing.T) {
	t.Parallel()
	w := enrolled(t, me)
	w.record(w.write(general, alice, at(0, 1), nobody), w.write(general, alice, at(0, 2), nobody))
	w.mustUnread(general, at(0, 1))
	w.mustRead(tidings.MarkRead{All: true, UpTo: at(0, 1)})
	r := w.record(w.write(general, me, at(0, 3), nobody))
	if len(r.Reads) != 1 || w.state(me, general).Unread != 0 {
		t.Errorf("Record() reads = %+v and Counts() = %+v, want nothing unread", r.Reads, w.state(me, general))
	}
}
