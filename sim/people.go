package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
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
	// A conversation goes on for a while where it has begun.
	if i := slices.IndexFunc(ps, func(p place) bool { return p.ch.ID == s.spoke }); i >= 0 && s.now().Sub(s.spokeAt) < time.Minute && s.rand.Float64() < 0.55 {
		p = ps[i]
	}
	recent := p.ch.page(0, 0, 0, false, false, 15)
	chance := s.rand.Float64()
	switch {
	case chance < 0.72 || len(recent) == 0:
		s.talk(p, recent)
	case chance < 0.90:
		m := recent[s.rand.IntN(len(recent))]
		if u := s.speaker(p.ch, AddReactions); u != nil {
			s.react(p.ch, m, u.ID, 0, reactionsOf[s.rand.IntN(len(reactionsOf))])
		}
	case chance < 0.955:
		s.correct(recent)
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
		s.talk(p, recent)
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

// talk has somebody say something: often a line of the corpus, sometimes to somebody, sometimes as a reply.
func (s *Sim) talk(p place, recent []*Message) {
	need := SendMessages
	if p.ch.thread() {
		need = SendMessagesInThreads
	}
	u := s.speaker(p.ch, need)
	if u == nil {
		return
	}
	m := &Message{AuthorID: u.ID, Content: s.line(p, recent)}
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
	s.ping(m, p.ch, s.permissions(u.ID, p.ch), nil)
	s.publish(p.ch, m)
	s.spoke, s.spokeAt = p.ch.ID, s.now()
}

// line is something to say that was not said a moment ago, with its blanks filled in: {n} a number, {day} a day,
// {time} an hour, {role} a role and {channel} a channel of the guild.
func (s *Sim) line(p place, recent []*Message) string {
	lines := corpora[p.voice.corpus]
	t := lines[s.rand.IntN(len(lines))]
	for range 8 {
		if !slices.ContainsFunc(recent, func(m *Message) bool { return strings.HasPrefix(m.Content, t[:min(len(t), 12)]) }) {
			break
		}
		t = lines[s.rand.IntN(len(lines))]
	}
	for strings.Contains(t, "{n}") {
		t = strings.Replace(t, "{n}", strconv.Itoa(2+s.rand.IntN(97)), 1)
	}
	t = strings.ReplaceAll(t, "{day}", s.now().AddDate(0, 0, 1+s.rand.IntN(6)).Weekday().String())
	t = strings.ReplaceAll(t, "{time}", fmt.Sprintf("%d:%02d", 7+s.rand.IntN(13), 15*s.rand.IntN(4)))
	if s.rand.Float64() < 0.12 && !strings.ContainsAny(t[:1], "`>#*|1-{") {
		t = openers[s.rand.IntN(len(openers))] + t
	}
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
func (s *Sim) correct(recent []*Message) {
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
		s.talk(place{th, p.voice}, nil)
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

// createHistory fills the demo's channels with the last two days: posts of the forums first, then conversations of a
// few messages each, here and there.
func (s *Sim) createHistory(now time.Time) {
	s.past = now.Add(-50 * time.Hour)
	for _, g := range s.guildsOf(s.app.ID) {
		s.createPosts(g)
	}
	ps, total := s.places()
	const conversations = 300
	for i := range conversations {
		// Each conversation begins in its own part of the two days, so that ids only grow.
		at := now.Add(-48 * time.Hour).Add(time.Duration(i) * 48 * time.Hour / conversations)
		if at.After(s.past) {
			s.past = at
		}
		p := s.pick(ps, total)
		for range 1 + s.rand.IntN(6) {
			s.past = s.past.Add(time.Duration(8+s.rand.IntN(75)) * time.Second)
			if s.past.After(now.Add(-30 * time.Second)) {
				return
			}
			recent := p.ch.page(0, 0, 0, false, false, 15)
			s.talk(p, recent)
			if u := s.speaker(p.ch, AddReactions); u != nil && len(recent) > 0 && s.rand.Float64() < 0.18 {
				s.react(p.ch, recent[0], u.ID, 0, reactionsOf[s.rand.IntN(len(reactionsOf))])
			}
			if s.rand.Float64() < 0.01 && p.ch.Type == typeText {
				s.branch(p, recent)
			}
		}
	}
}

// createPosts gives the guild's forums their posts.
func (s *Sim) createPosts(g *Guild) {
	for _, ch := range s.guildChannels(g) {
		if ch.Type != typeForum {
			continue
		}
		for i, post := range forumPosts[ch.Name] {
			u := s.speaker(ch, SendMessages)
			s.past = s.past.Add(time.Duration(1+i) * 90 * time.Second)
			id := s.newID()
			th := s.newThread(ch, id, typePublicThread, u.ID, &threadRequest{Name: post[0], AppliedTags: []ID{ch.Tags[i%len(ch.Tags)].ID}})
			th.AutoArchive = 10080
			s.publish(th, &Message{ID: id, AuthorID: u.ID, Content: post[1]})
		}
	}
}
