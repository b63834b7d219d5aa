package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func TestUnreadAndMentionsOfOneChannel(t *testing.T) {
	t.Parallel()
	tomorrow := at(12, 0) // the first id of the day
	tests := []struct {
		name             string
		given            func(w *world)
		unread, mentions int
		first, read      discord.MessageID
	}{
		{"nothing was ever written", func(w *world) {}, 0, 0, 0, 0},
		{"without any baseline all counts", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2))
		}, 2, 0, at(0, 1), 0},
		{"what was there before the baseline does not count", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2), at(0, 3))
			w.exec(`INSERT INTO baselines VALUES ($1, $2, $3)`, int64(me), int64(guildA), int64(at(0, 2)))
		}, 1, 0, at(0, 3), at(0, 2)},
		{"a position stands instead of the baseline", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2), at(0, 3))
			w.exec(`INSERT INTO baselines VALUES ($1, $2, $3)`, int64(me), int64(guildA), int64(at(0, 2)))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, true, 1)`, int64(me), int64(general), int64(at(0, 1)))
		}, 2, 0, at(0, 2), at(0, 1)},
		{"the floor of the guild reads", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2))
			w.exec(`INSERT INTO read_floors VALUES ($1, $2, $3, 1)`, int64(me), int64(guildA), int64(at(0, 1)))
		}, 1, 0, at(0, 2), at(0, 1)},
		{"the floor of another guild does not", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2))
			w.exec(`INSERT INTO read_floors VALUES ($1, $2, $3, 1)`, int64(me), int64(guildB), int64(at(0, 1)))
		}, 2, 0, at(0, 1), 0},
		{"the greatest of floors and position", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2), at(0, 3), at(0, 4))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(at(0, 1)))
			w.exec(`INSERT INTO read_floors VALUES ($1, $2, $3, 2), ($1, 0, $4, 3)`, int64(me), int64(guildA), int64(at(0, 3)), int64(at(0, 2)))
		}, 1, 0, at(0, 4), at(0, 3)},
		{"own messages never count", func(w *world) {
			w.post(general, me, users(me), at(0, 1))
			w.post(general, alice, nobody, at(0, 2))
			w.post(general, me, everyone, at(0, 3))
		}, 1, 0, at(0, 2), 0},
		{"nor do those of ignored authors, nor their mentions", func(w *world) {
			w.exec(`INSERT INTO ignored_authors VALUES ($1, $2)`, int64(me), int64(bob))
			w.post(general, bob, users(me), at(-60, 1), at(0, 1), at(0, 2))
			w.post(general, alice, nobody, at(1, 3))
		}, 1, 0, at(1, 3), 0},
		{"a deleted message counts no more", func(w *world) {
			w.post(general, alice, users(me), at(0, 1), at(0, 2))
			w.erase(general, at(0, 1))
		}, 1, 1, at(0, 2), 0},
		{"deleting the message at the position changes nothing", func(w *world) {
			w.post(general, alice, nobody, at(0, 1), at(0, 2), at(0, 3))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(at(0, 2)))
			w.erase(general, at(0, 2))
		}, 1, 0, at(0, 3), at(0, 2)},
		{"Discord's own lines do not count", func(w *world) {
			w.post(general, alice, nobody, at(0, 1))
			w.exec(`INSERT INTO messages (channel_id, id, author_id, type, content, countable) VALUES ($1, $2, $3, 7, '', false)`,
				int64(general), int64(at(0, 2)), int64(alice))
		}, 1, 0, at(0, 1), 0},
		{"a message that mentions in every way is one mention", func(w *world) {
			w.post(general, alice, tidings.Mentions{Users: []discord.UserID{me, bob}, Roles: []discord.RoleID{modsA}, Everyone: true}, at(0, 1))
			w.post(general, alice, roles(modsA), at(0, 2))
			w.post(general, alice, everyone, at(0, 3))
		}, 3, 3, at(0, 1), 0},
		{"the role of another guild is not the person's here", func(w *world) {
			w.post(general, alice, roles(modsB), at(0, 1))
			w.post(general, alice, users(bob), at(0, 2))
		}, 2, 0, at(0, 1), 0},
		{"mentions up to the position are read", func(w *world) {
			w.post(general, alice, users(me), at(0, 1), at(0, 2), at(0, 3))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(at(0, 2)))
		}, 1, 1, at(0, 3), at(0, 2)},
		{"a position early in its day, days ago", func(w *world) {
			w.post(general, alice, nobody, at(-59, 1), at(-58, 1), at(-50, 1), at(-49, 2), at(-30, 1), at(0, 1))
			w.post(general, me, nobody, at(-49, 1), at(0, 2))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(at(-58, 1)))
		}, 4, 0, at(-50, 1), at(-58, 1)},
		{"a position late in its day, days ago", func(w *world) {
			w.post(general, alice, nobody, at(-59, 1), at(-50, 1), at(-39, 1), at(-38, 1), at(-30, 1), at(0, 1))
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(at(-39, 1)))
		}, 3, 0, at(-38, 1), at(-39, 1)},
		{"a position at the last id of a day", func(w *world) {
			w.post(general, alice, nobody, tomorrow-2, tomorrow-1, tomorrow, tomorrow+1)
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(tomorrow-1))
		}, 2, 0, tomorrow, tomorrow - 1},
		{"a position at the first id of a day", func(w *world) {
			w.post(general, alice, nobody, tomorrow-1, tomorrow, tomorrow+1, tomorrow+2)
			w.exec(`INSERT INTO read_positions VALUES ($1, $2, $3, false, 1)`, int64(me), int64(general), int64(tomorrow))
		}, 2, 0, tomorrow + 1, tomorrow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.given(w)
			got := w.state(me, general)
			if got.Unread != tt.unread || got.Mentions != tt.mentions || got.FirstUnread != tt.first || got.ReadID != tt.read {
				t.Errorf("unread %d, mentions %d, first %d, read %d; want %d, %d, %d, %d",
					got.Unread, got.Mentions, got.FirstUnread, got.ReadID, tt.unread, tt.mentions, tt.first, tt.read)
			}
			w.sameAsRecount(set(me))
		})
	}
}

func TestSummaryListsEveryVisibleChannelAndLeavesMutedOnesOutOfTotals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		mute   int64
		until  any
		muted  []discord.ChannelID
		total  int
		guildA int
	}{
		{"nothing", 1, nil, nil, 7, 6},
		{"a channel, and with it its threads", int64(general), nil, []discord.ChannelID{general, thread}, 4, 3},
		{"a thread", int64(thread), nil, []discord.ChannelID{thread}, 5, 4},
		{"a category, and with it the threads of its channels", 1000, nil, []discord.ChannelID{general, thread}, 4, 3},
		{"a guild", int64(guildA), nil, []discord.ChannelID{general, thread, random}, 1, 0},
		{"for a time that has passed", int64(guildA), time.Now().Add(-time.Minute), nil, 7, 6},
		{"for a time to come", int64(random), time.Now().Add(time.Hour), []discord.ChannelID{random}, 4, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.post(general, alice, users(me), at(0, 1))
			w.post(thread, alice, users(me), at(0, 2), at(0, 3))
			w.post(random, alice, users(me), at(0, 4), at(0, 5), at(0, 6))
			w.post(news, alice, everyone, at(0, 7))
			w.exec(`INSERT INTO mutes VALUES ($1, $2, $3)`, int64(me), tt.mute, tt.until)
			u, err := w.Summary(t.Context(), set(me))
			if err != nil {
				t.Fatal(err)
			}
			if u.Total != tt.total || u.Guilds[0].Unread != tt.guildA {
				t.Errorf("total %d, guild %d; want %d, %d", u.Total, u.Guilds[0].Unread, tt.total, tt.guildA)
			}
			if u.Mentions != 7 || u.Guilds[0].Mentions != 6 {
				t.Errorf("mentions %d, guild %d; want 7, 6", u.Mentions, u.Guilds[0].Mentions)
			}
			want := map[discord.ChannelID]bool{}
			for _, id := range tt.muted {
				want[id] = true
			}
			n := 0
			for _, g := range u.Guilds {
				for _, c := range g.Channels {
					n++
					if c.Muted != want[c.ID] {
						t.Errorf("channel %d muted = %v, want %v", c.ID, c.Muted, want[c.ID])
					}
				}
			}
			if n != 4 {
				t.Errorf("%d channels listed, want 4", n)
			}
		})
	}
}

func TestSummaryTellsVersionsHeadsAndSinceWhenAChannelIsComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(general, alice, nobody, at(0, 1), at(0, 2), at(1, 1))
	w.post(random, alice, nobody, at(0, 3), at(5, 1))
	w.exec(`INSERT INTO gateway_sessions (shard, shards, session_id, listening, heard_until) VALUES (0, 1, 's', true, now() + interval '1 minute')`)
	w.exec(`UPDATE guilds SET live_session = 's'`)
	w.exec(`UPDATE channels SET since_id = $1, known_id = $2`, int64(at(0, 0)), int64(at(2, 0)))
	u, err := w.Summary(t.Context(), set(me))
	if err != nil {
		t.Fatal(err)
	}
	g, r := u.Guilds[0].Channels[0], u.Guilds[0].Channels[2]
	if g.Version != 3 || g.LastID != at(1, 1) || g.FirstUnread != at(0, 1) {
		t.Errorf("general = %+v", g)
	}
	if g.CompleteSince == nil || !g.CompleteSince.Equal(noon) {
		t.Errorf("general is complete since %v, want %v", g.CompleteSince, noon)
	}
	if r.CompleteSince != nil {
		t.Errorf("random is complete since %v although its newest message is beyond what is known", r.CompleteSince)
	}
}

func TestCountsAnswersOnlyForVisibleChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(general, alice, nobody, at(0, 1))
	w.post(news, alice, nobody, at(0, 2))
	s := set(me)
	s.Guilds = s.Guilds[:1]
	got, err := w.Counts(t.Context(), s, []discord.ChannelID{news, general, general, 5})
	if err != nil || len(got) != 1 || got[0].ID != general || got[0].Unread != 1 {
		t.Errorf("Counts() = %+v, %v, want general alone", got, err)
	}
}

// TestRandomHistoriesCountAsTheirMessagesSay spreads messages, mentions, deletes and marks over days for several people.
func TestRandomHistoriesCountAsTheirMessagesSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	people := []discord.UserID{me, alice, bob}
	channels := []discord.ChannelID{general, random, thread, news}
	for _, p := range people {
		w.user(p)
	}
	w.exec(`INSERT INTO ignored_authors VALUES ($1, $2), ($3, $2), ($3, $4)`, int64(me), int64(bob), int64(alice), int64(me))
	var ids []discord.MessageID
	var where []discord.ChannelID
	seen := map[discord.MessageID]bool{}
	for range 400 {
		id := at(r.Float64()*120-60, r.IntN(3))
		if seen[id] {
			continue
		}
		seen[id] = true
		var m tidings.Mentions
		if r.IntN(3) == 0 {
			m.Users = append(m.Users, people[r.IntN(3)])
		}
		if r.IntN(4) == 0 {
			m.Roles = append(m.Roles, []discord.RoleID{modsA, modsB, 999}[r.IntN(3)])
		}
		m.Everyone = r.IntN(10) == 0
		c := channels[r.IntN(4)]
		w.post(c, people[r.IntN(3)], m, id)
		ids, where = append(ids, id), append(where, c)
		switch i := r.IntN(len(ids)); r.IntN(12) {
		case 0:
			if seen[ids[i]] {
				w.erase(where[i], ids[i])
				seen[ids[i]] = false
			}
		case 1, 2:
			if _, err := w.MarkRead(t.Context(), set(people[r.IntN(3)]), tidings.MarkRead{Channel: where[i], UpTo: ids[i]}); err != nil {
				t.Fatal(err)
			}
		case 3:
			if _, err := w.MarkUnread(t.Context(), set(people[r.IntN(3)]), where[i], ids[i]); err != nil {
				t.Fatal(err)
			}
		case 4:
			if _, err := w.MarkRead(t.Context(), set(people[r.IntN(3)]), tidings.MarkRead{Guild: guildA, UpTo: ids[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if len(ids)%10 == 0 {
			for _, p := range people {
				w.sameAsRecount(set(p))
			}
		}
	}
}
