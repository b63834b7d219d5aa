package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// ask gives the message a poll.
func (c *call) ask(m *Message, in *pollRequest, p Perm) error {
	if p&SendPolls == 0 {
		return errPermissions()
	}
	var f form
	if in.Question.Text == "" || len(in.Question.Text) > 300 {
		f.add("poll.question.text", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 300 in length.")
	}
	if len(in.Answers) < 1 || len(in.Answers) > 10 {
		f.add("poll.answers", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 10 in length.")
	}
	if in.Duration < 0 || in.Duration > 768 {
		f.add("poll.duration", "NUMBER_TYPE_MAX", "int value should be less than or equal to 768.")
	}
	if err := f.err(); err != nil {
		return err
	}
	if in.Duration == 0 {
		in.Duration = 24
	}
	m.Poll = &Poll{Question: in.Question, Expiry: Stamp{c.now().Add(time.Duration(in.Duration) * time.Hour)}, Multiselect: in.Multiselect}
	for _, a := range in.Answers {
		m.Poll.Answers = append(m.Poll.Answers, PollAnswer{Media: a.Media})
	}
	return nil
}

// vote adds or takes back somebody's vote. Discord has no call for people's clients here that bots may use, so only the
// simulator's own people vote.
func (s *Sim) vote(ch *Channel, m *Message, user ID, answer int) {
	a := &m.Poll.Answers[answer]
	e := map[string]any{"user_id": user, "channel_id": ch.ID, "message_id": m.ID, "guild_id": ch.GuildID, "answer_id": answer + 1}
	t := "MESSAGE_POLL_VOTE_ADD"
	if slices.Contains(a.Voters, user) {
		t = "MESSAGE_POLL_VOTE_REMOVE"
		a.Voters = slices.DeleteFunc(a.Voters, func(id ID) bool { return id == user })
	} else {
		a.Voters = append(a.Voters, user)
	}
	s.emit(s.guilds[ch.GuildID], t, IntentMessagePolls, ch, same(e))
}

func (c *call) getVoters() (any, error) {
	_, m, _, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(c.r.PathValue("answer_id"))
	if m.Poll == nil || err != nil || n < 1 || n > len(m.Poll.Answers) {
		return nil, errUnknownMessage()
	}
	limit, err := c.queryInt("limit", 25, 1, 100)
	if err != nil {
		return nil, err
	}
	after, _, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	users := []wireUser{}
	for _, id := range slices.Sorted(slices.Values(m.Poll.Answers[n-1].Voters)) {
		if id > after && len(users) < limit {
			users = append(users, c.users[id].wire())
		}
	}
	return map[string]any{"users": users}, nil
}

func (c *call) expirePoll() (any, error) {
	ch, m, _, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if m.Poll == nil {
		return nil, errUnknownMessage()
	}
	if m.AuthorID != c.user.ID {
		return nil, errOtherAuthor()
	}
	if m.Poll.Finalized {
		return nil, fail(http.StatusBadRequest, 520001, "Poll expired")
	}
	c.closePoll(ch, m)
	return c.wireMessage(m, c.user.ID, true), nil
}

// closePoll counts the votes for good, edits the message and posts the result, as Discord does.
func (s *Sim) closePoll(ch *Channel, m *Message) {
	p := m.Poll
	p.Finalized = true
	p.Expiry = Stamp{s.now()}
	s.emitMessage("MESSAGE_UPDATE", m)
	total, best := 0, -1
	for i, a := range p.Answers {
		total += len(a.Voters)
		if len(a.Voters) > 0 && (best < 0 || len(a.Voters) > len(p.Answers[best].Voters)) {
			best = i
		}
	}
	fields := []map[string]any{
		{"name": "poll_question_text", "value": p.Question.Text, "inline": false},
		{"name": "total_votes", "value": fmt.Sprint(total), "inline": false},
	}
	if best >= 0 {
		fields = append(fields,
			map[string]any{"name": "victor_answer_id", "value": fmt.Sprint(best + 1), "inline": false},
			map[string]any{"name": "victor_answer_text", "value": p.Answers[best].Media.Text, "inline": false},
			map[string]any{"name": "victor_answer_votes", "value": fmt.Sprint(len(p.Answers[best].Voters)), "inline": false})
	}
	b, err := json.Marshal(map[string]any{"type": "poll_result", "fields": fields})
	if err != nil {
		return
	}
	s.publish(ch, &Message{AuthorID: m.AuthorID, Type: typePollResult, Embeds: []json.RawMessage{b}, Reference: &Reference{MessageID: m.ID, ChannelID: ch.ID, GuildID: ch.GuildID}})
}
