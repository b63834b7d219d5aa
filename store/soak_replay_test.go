package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// replay tells the model what has been done since the last time, in the order of commits.
func (s *soak) replay(m *soakModel, followers map[discord.ChannelID]*follower) {
	t := s.t
	t.Helper()
	for _, c := range s.changes {
		m.guilds[c.guild].apply(c.body)
	}
	fetched := map[soakKeyed]bool{}
	for _, ev := range s.events {
		if ev.Source == tidings.SourceBackfill {
			switch e := ev.Body.(type) {
			case tidings.MessageCreated:
				fetched[soakKeyed{ev.Channel, e.Message.ID}] = true
			case tidings.MessageUpdated:
				fetched[soakKeyed{ev.Channel, e.Message.ID}] = true
			}
		}
		if e, ok := ev.Body.(tidings.MessagesDeleted); ok {
			m.late.mentioned[ev.Channel] = max(m.late.mentioned[ev.Channel], slices.Max(e.IDs))
		}
		see := func(msg tidings.Message) {
			k := m.messages[ev.Channel][msg.ID]
			if k == nil {
				k = &soakMessage{}
				m.messages[ev.Channel][msg.ID] = k
			}
			k.author, k.countable, k.seen = msg.Author, msg.Countable, true
			for i, e := range soakEdits {
				if !e.IsZero() && e.UnixMilli() == msg.EditedMS {
					k.edit = max(k.edit, i)
				}
			}
		}
		switch e := ev.Body.(type) {
		case tidings.MessageCreated:
			see(e.Message)
		case tidings.MessageUpdated:
			see(e.Message)
		case tidings.MessagesDeleted:
			for _, id := range e.IDs {
				if m.messages[ev.Channel][id] == nil {
					m.messages[ev.Channel][id] = &soakMessage{}
				}
				m.messages[ev.Channel][id].deleted = true
			}
		}
	}
	slices.SortFunc(s.deltas, func(a, b tidings.Delta) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Version, b.Version))
	})
	for _, d := range s.deltas {
		if followers[d.Channel] == nil {
			followers[d.Channel] = &follower{messages: map[discord.MessageID]tidings.Delta{}}
		}
		followers[d.Channel].apply(t, d)
		m.late.apply(d, fetched[soakKeyed{d.Channel, d.ID}])
	}
	m.late.compare(s)
	for _, p := range m.people {
		s.replayPerson(p)
	}
	s.events, s.deltas, s.changes = nil, nil, nil
	clear(s.own)
	for u, list := range s.acts { // The last one stays, for its rev.
		if len(list) > 0 {
			s.acts[u] = []soakAct{{result: tidings.ReadResult{Rev: m.people[u].rev}, refused: true}}
		}
	}
}

// soakLate is how many messages of each channel came after newer ones. How a delete of an unknown message and a create met is not told, and what
// a page brought into an open gap is told when the gap closes, so the number of those that were found late has a lower and an upper bound.
type soakLate struct {
	created, mentioned map[discord.ChannelID]discord.MessageID // the newest
	surely, perhaps    map[discord.ChannelID]int
}

func newSoakLate() soakLate {
	return soakLate{map[discord.ChannelID]discord.MessageID{}, map[discord.ChannelID]discord.MessageID{}, map[discord.ChannelID]int{}, map[discord.ChannelID]int{}}
}

func (l soakLate) apply(d tidings.Delta, fetched bool) {
	if d.Kind != tidings.DeltaCreate {
		return
	}
	if d.N == 1 && d.ID < l.created[d.Channel] && !fetched {
		l.surely[d.Channel]++
	} else if d.N == 1 && d.ID < max(l.created[d.Channel], l.mentioned[d.Channel]) {
		l.perhaps[d.Channel]++
	}
	l.created[d.Channel] = max(l.created[d.Channel], d.ID)
}

// compare compares with what was told, and that with what is kept for those who were away.
func (l soakLate) compare(s *soak) {
	s.t.Helper()
	for c, surely := range l.surely {
		if told := s.found[c]; told < surely || told > surely+l.perhaps[c] {
			s.t.Errorf("channel %d: %d messages are told to have come late, want %d and perhaps %d more", c, told, surely, l.perhaps[c])
		}
	}
	for c, told := range s.found {
		if kept := one[int](s.t, s.Store, `SELECT coalesce(sum(recovered), 0) FROM gaps WHERE channel_id = $1`, int64(c)); kept != told {
			s.t.Errorf("channel %d: %d messages are kept as found late, want %d", c, kept, told)
		}
	}
}

// replayPerson puts a person's own messages and their acts, which were one after another, into one order by rev.
func (s *soak) replayPerson(p *soakPerson) {
	t := s.t
	for _, g := range soakGuilds {
		if p.baselines[g] == 0 {
			p.baselines[g] = one[discord.MessageID](t, s.Store, `SELECT coalesce((SELECT baseline_id FROM baselines WHERE user_id = $1 AND guild_id = $2), 0)`, int64(p.id), int64(g))
		}
	}
	own := map[int64]tidings.ReadResult{}
	for _, r := range s.own[p.id] {
		own[r.Rev] = r
	}
	catchUp := func(rev int64) {
		for r, ok := own[p.rev+1]; ok && p.rev < rev; r, ok = own[p.rev+1] {
			p.rev++
			for _, c := range r.Channels {
				if before := p.position(soakGuildOf(c.ID), c.ID); c.ReadID <= before || p.manual(soakGuildOf(c.ID), c.ID) {
					t.Errorf("user %d, rev %d: an own message reads channel %d up to %d, from %d", p.id, r.Rev, c.ID, c.ReadID, before)
				}
				p.rows[soakKey{channel: c.ID}] = soakRow{id: c.ReadID, rev: p.rev}
			}
		}
	}
	for _, a := range s.acts[p.id] {
		rev := a.result.Rev
		if a.refused && a.undo == 0 {
			continue
		}
		// An act that changed nothing has the rev of what was before it, which may be an own message of that moment.
		_, theirs := own[rev]
		if rev <= p.rev || theirs {
			if catchUp(rev); rev > p.rev {
				t.Errorf("user %d: rev %d is of nothing", p.id, rev)
			}
			if !a.refused && p.try(a, rev+1, true) {
				t.Errorf("user %d, rev %d: %+v changed nothing, want something", p.id, rev, a)
			}
			continue
		}
		if catchUp(rev - 1); rev != p.rev+1 {
			t.Errorf("user %d: rev %d follows %d", p.id, rev, p.rev)
		}
		p.rev = rev
		if !p.try(a, rev, false) {
			t.Errorf("user %d, rev %d: %+v changed something, want nothing", p.id, rev, a)
		}
	}
	catchUp(1 << 62)
	if rev := one[int64](t, s.Store, `SELECT rev FROM users WHERE id = $1`, int64(p.id)); rev != p.rev {
		t.Errorf("user %d is at rev %d, want %d", p.id, rev, p.rev)
	}
}

// try does to the model what a person did and reports whether that changed anything; dry takes it back.
func (p *soakPerson) try(a soakAct, rev int64, dry bool) (changed bool) {
	if dry {
		rows, undos := maps.Clone(p.rows), slices.Clone(p.undos)
		defer func() {
			p.rows, p.undos = rows, undos
			delete(p.log, rev)
		}()
	}
	switch {
	case a.read != nil:
		return p.markRead(rev, *a.read, a.visible)
	case a.unread.channel != 0:
		return p.markUnread(rev, a.visible[a.unread.channel], a.unread.channel, a.unread.message)
	case a.undo != 0:
		changed, _ = p.undo(rev, a.undo)
		return changed
	case a.ignore != 0:
		changed = p.ignored[a.ignore] == a.off
		if !dry {
			p.ignored[a.ignore] = !a.off
		}
		return changed
	}
	if a.quiet != 0 {
		changed = p.quiet[a.quiet] != a.what
		if !dry {
			p.quiet[a.quiet] = a.what
		}
		return changed
	}
	changed = p.muted[a.mute] == a.off
	if !dry {
		p.muted[a.mute] = !a.off
	}
	return changed
}

// compare compares everything that people are shown with the model. It returns how many channels of people that were.
func (s *soak) compare(m *soakModel, followers map[discord.ChannelID]*follower) (n int) {
	t := s.t
	t.Helper()
	for _, u := range soakPeople {
		set := s.access.Visible(u)
		got, want := set.ChannelIDs(), m.visible(u)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("user %d sees %v, want %v", u, got, want)
			continue
		}
		sum, err := s.Summary(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		total, mentions := 0, 0
		p := m.people[u]
		for _, g := range sum.Guilds {
			if g.Suppression() != p.quiet[g.ID] {
				t.Errorf("user %d: guild %d suppresses %+v, want %+v", u, g.ID, g.Suppression(), p.quiet[g.ID])
			}
			for _, c := range g.Channels {
				want := m.count(p, g.ID, c.ID)
				got := tidings.ReadChannel{ID: c.ID, ReadID: c.ReadID, Unread: c.Unread, Mentions: c.Mentions, FirstUnread: c.FirstUnread, LastID: c.LastID}
				if got != want {
					t.Errorf("user %d: %+v, want %+v", u, got, want)
				}
				muted := p.muted[discord.Snowflake(g.ID)] || p.muted[discord.Snowflake(c.ID)] || p.muted[discord.Snowflake(g.ID)+10] || p.muted[discord.Snowflake(c.Parent)]
				if c.Muted != muted {
					t.Errorf("user %d: channel %d is muted %v, want %v", u, c.ID, c.Muted, muted)
				}
				if !muted {
					total += want.Unread
				}
				mentions += want.Mentions
				n++
				s.unread += want.Unread
				s.mentions += want.Mentions
			}
		}
		if sum.Total != total || sum.Mentions != mentions || sum.Rev != p.rev {
			t.Errorf("user %d: total %d, mentions %d, rev %d, want %d, %d, %d", u, sum.Total, sum.Mentions, sum.Rev, total, mentions, p.rev)
		}
	}
	for c, f := range followers {
		s.comparePage(m, c, f)
	}
	return n
}

// comparePage compares a channel's newest page, twice, so that the second comes from the cache, and what its deltas told.
func (s *soak) comparePage(m *soakModel, c discord.ChannelID, f *follower) {
	t := s.t
	live := m.liveIn(c)
	if told := slices.Sorted(maps.Keys(f.messages)); !slices.Equal(told, live) {
		t.Errorf("channel %d: the deltas tell of %d messages, want %d", c, len(told), len(live))
	}
	slices.Reverse(live)
	live = live[:min(len(live), MaxPage)]
	for range 2 {
		page, err := s.Messages(t.Context(), PageQuery{Channel: c, Limit: MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		if page.Version != f.version || len(page.Messages) != len(live) {
			t.Errorf("channel %d: a page of version %d with %d messages, want %d with %d", c, page.Version, len(page.Messages), f.version, len(live))
			continue
		}
		for i, got := range page.Messages {
			want := fmt.Sprintf("%d at %d", live[i], m.messages[c][live[i]].edit)
			if got.ID != live[i] || got.Content != want {
				t.Errorf("channel %d: message %d is %d %q, want %q", c, i, got.ID, got.Content, want)
			}
		}
	}
}
