package sim

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// people lets the demo's people talk, answer, edit, delete and react, at the pace of Options.Pace.
func (s *Sim) people(ctx context.Context) error {
	for {
		s.mu.Lock()
		wait := time.Duration((0.4 + 1.2*s.rand.Float64()) * float64(s.o.Pace))
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		s.mu.Lock()
		s.act()
		s.mu.Unlock()
	}
}

// place is a channel in which people talk.
type place struct {
	ch    *Channel
	voice demoVoice
}

// places are the channels with a voice, by id so that chance with a seed repeats.
func (s *Sim) places() (out []place, total int) {
	for _, ch := range s.channels {
		if !ch.textual() || ch.Archived || s.guilds[ch.GuildID].Unavailable {
			continue
		}
		if v, ok := s.voiceOf(ch); ok {
			out = append(out, place{ch, v})
			total += v.weight
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Compare(a.ch.ID, b.ch.ID) })
	return out, total
}

func (s *Sim) pick(ps []place, total int) place {
	n := s.rand.IntN(total)
	for _, p := range ps {
		if n -= p.voice.weight; n < 0 {
			return p
		}
	}
	return ps[0]
}

// act is one thing that somebody does.
func (s *Sim) act() {
	ps, total := s.places()
	if total == 0 {
		return
	}
	p := s.pick(ps, total)
	recent := p.ch.page(0, 0, 0, false, false, 15)
	chance := s.rand.Float64()
	switch {
	case chance < 0.72 || len(recent) == 0:
		s.talk(p, recent, time.Time{})
	case chance < 0.90:
		m := recent[s.rand.IntN(len(recent))]
		if u := s.speaker(p.ch, AddReactions); u != nil {
			s.react(p.ch, m, u.ID, 0, reactionsOf[s.rand.IntN(len(reactionsOf))])
		}
	case chance < 0.955:
		s.correct(p.ch, recent)
	case chance < 0.975:
		// Somebody thinks better of what they said a moment ago.
		for _, m := range recent[:min(4, len(recent))] {
			if m.Type <= typeReply && m.ID != p.ch.ID && m.ThreadID == 0 && len(m.Reactions) == 0 && s.now().Sub(m.At.Time) < 10*time.Minute {
				s.remove(p.ch, m)
				return
			}
		}
	case chance < 0.985 && p.ch.Type == typeText:
		s.branch(p, recent)
	default:
		s.talk(p, recent, time.Time{})
	}
}

// speaker chooses a person who may do something in the channel.
func (s *Sim) speaker(ch *Channel, need Perm) *User {
	g := s.guilds[ch.GuildID]
	var who []*User
	for _, id := range g.memberIDs {
		if u := s.users[id]; !u.Bot && s.permissions(id, ch)&need == need {
			who = append(who, u)
		}
	}
	if len(who) == 0 {
		return nil
	}
	return who[s.rand.IntN(len(who))]
}

// talk has somebody say something: often a line of the corpus, sometimes to somebody, sometimes as a reply. at dates it
// into the past; the zero time is now and is told to everybody.
func (s *Sim) talk(p place, recent []*Message, at time.Time) {
	need := SendMessages
	if p.ch.thread() {
		need = SendMessagesInThreads
	}
	u := s.speaker(p.ch, need)
	if u == nil {
		return
	}
	m := &Message{AuthorID: u.ID, Content: s.line(p, u)}
	// One rarely talks twice in a row, but one does.
	if len(recent) > 0 && recent[0].AuthorID == u.ID && s.rand.Float64() < 0.6 {
		if v := s.speaker(p.ch, need); v != nil {
			u, m.AuthorID = v, v.ID
		}
	}
	if len(recent) > 0 {
		to := recent[min(s.rand.IntN(4), len(recent)-1)]
		switch chance := s.rand.Float64(); {
		case chance < 0.20 && to.AuthorID != u.ID && to.Type <= typeReply:
			m.Type = typeReply
			m.Reference = &Reference{MessageID: to.ID, ChannelID: p.ch.ID, GuildID: p.ch.GuildID}
			m.Content = answers[s.rand.IntN(len(answers))]
		case chance < 0.29 && to.AuthorID != u.ID && to.WebhookID == 0:
			m.Content = "<@" + to.AuthorID.String() + "> " + m.Content
		}
	}
	may := s.permissions(u.ID, p.ch)
	if at.IsZero() {
		s.ping(m, p.ch, may, nil)
		s.publish(p.ch, m)
		return
	}
	m.ID = s.newIDAt(at)
	m.At, m.ChannelID = Stamp{m.ID.Time()}, p.ch.ID
	s.ping(m, p.ch, may, nil)
	if p.ch.thread() {
		p.ch.MessageCount++
		p.ch.TotalSent++
		p.ch.ThreadMembers[u.ID] = &ThreadMember{UserID: u.ID, JoinedAt: m.At}
	}
	s.insert(p.ch, m)
}

// line is something to say, with roles and channels of the guild in it where the corpus leaves room.
func (s *Sim) line(p place, u *User) string {
	lines := corpora[p.voice.corpus]
	t := lines[s.rand.IntN(len(lines))]
	g := s.guilds[p.ch.GuildID]
	if strings.Contains(t, "{role}") {
		var mentionable []*Role
		for _, r := range g.roleList() {
			if r.Mentionable {
				mentionable = append(mentionable, r)
			}
		}
		name := "everybody"
		if len(mentionable) > 0 {
			name = "<@&" + mentionable[s.rand.IntN(len(mentionable))].ID.String() + ">"
		}
		t = strings.ReplaceAll(t, "{role}", name)
	}
	if strings.Contains(t, "{channel}") {
		var open []*Channel
		for _, ch := range s.guildChannels(g) {
			if ch.Type == typeText && len(ch.Overwrites) == 0 && ch.ID != p.ch.ID {
				open = append(open, ch)
			}
		}
		if len(open) > 0 {
			t = strings.ReplaceAll(t, "{channel}", "<#"+open[s.rand.IntN(len(open))].ID.String()+">")
		}
	}
	return t
}

// correct edits a recent message: a word more, or a typo gone.
func (s *Sim) correct(ch *Channel, recent []*Message) {
	for _, m := range recent {
		if m.Type > typeReply || m.Type == typePin || m.Content == "" || m.WebhookID != 0 {
			continue
		}
		m.Content += corrections[s.rand.IntN(len(corrections))]
		m.Edited = Stamp{s.now()}
		s.emitMessage("MESSAGE_UPDATE", m)
		return
	}
}

// branch opens a thread under a recent message.
func (s *Sim) branch(p place, recent []*Message) {
	threads := 0
	for _, ch := range s.byGuild[p.ch.GuildID] {
		if ch.ParentID == p.ch.ID && !ch.Archived {
			threads++
		}
	}
	u := s.speaker(p.ch, CreatePublicThreads)
	if threads >= 4 || u == nil {
		return
	}
	for _, m := range recent {
		if m.Type != typeDefault || m.ThreadID != 0 || len(m.Content) < 25 || s.channels[m.ID] != nil {
			continue
		}
		th := s.newThread(p.ch, m.ID, typePublicThread, u.ID, &threadRequest{Name: threadName(m.Content)})
		m.ThreadID, m.Flags = th.ID, m.Flags|flagHasThread
		s.emitMessage("MESSAGE_UPDATE", m)
		s.publish(th, &Message{AuthorID: m.AuthorID, Type: typeThreadStarter, Reference: &Reference{MessageID: m.ID, ChannelID: p.ch.ID, GuildID: p.ch.GuildID}})
		s.talk(place{th, p.voice}, nil, time.Time{})
		return
	}
}

// threadName is the first plain words of a message.
func threadName(text string) string {
	var words []string
	n := 0
	for w := range strings.FieldsSeq(text) {
		if strings.ContainsAny(w, "<>`*_|#@") {
			continue
		}
		if n += len(w) + 1; n > 42 {
			break
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return "A closer look"
	}
	return strings.TrimRight(strings.Join(words, " "), ".,:;")
}

// createHistory fills the demo's channels with the last two days, a forum with posts, and a few threads.
func (s *Sim) createHistory() {
	now := s.now()
	begin := now.Add(-48 * time.Hour)
	s.lastID = max(s.lastID, idAt(begin.Add(-3*time.Hour)))
	for _, g := range s.guilds {
		s.createPosts(g, begin.Add(-2*time.Hour))
	}
	ps, total := s.places()
	const messages = 1600
	for i := range messages {
		at := begin.Add(time.Duration(float64(i) / messages * float64(48*time.Hour)))
		if at.After(now.Add(-time.Minute)) {
			break
		}
		p := s.pick(ps, total)
		recent := p.ch.page(0, 0, 0, false, false, 6)
		s.talk(p, recent, at)
		if s.rand.Float64() < 0.15 && len(recent) > 0 {
			if u := s.speaker(p.ch, AddReactions); u != nil {
				s.react(p.ch, recent[0], u.ID, 0, reactionsOf[s.rand.IntN(len(reactionsOf))])
			}
		}
	}
}

// createPosts gives the guild's forums their posts, and its busiest channel a private thread.
func (s *Sim) createPosts(g *Guild, at time.Time) {
	for _, ch := range s.guildChannels(g) {
		if ch.Type != typeForum {
			continue
		}
		for i, post := range forumPosts[ch.Name] {
			u := s.speaker(ch, SendMessages)
			id := s.newIDAt(at.Add(time.Duration(i) * 7 * time.Minute))
			in := &threadRequest{Name: post[0], AppliedTags: []ID{ch.Tags[i%len(ch.Tags)].ID}}
			th := s.newThread(ch, id, typePublicThread, u.ID, in)
			th.ArchivedAt, th.AutoArchive = Stamp{id.Time()}, 10080
			m := &Message{ID: id, ChannelID: id, AuthorID: u.ID, Content: post[1], At: Stamp{id.Time()}}
			s.insert(th, m)
		}
	}
}
