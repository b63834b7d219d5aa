package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// injection is a message that no call of Discord's can make: unknown kinds, system messages, odd fields, edits of
// embeds whose time goes backwards.
type injection struct {
	Channel ID              `json:"channel"`
	Author  ID              `json:"author"`
	Content string          `json:"content"`
	Type    int             `json:"type"`
	Flags   int             `json:"flags"`
	Nonce   json.RawMessage `json:"nonce"`
	// Fields are further fields of the message object, as they are.
	Fields map[string]json.RawMessage `json:"fields"`
	// Edit names a message that is changed instead: its embeds, with edited_timestamp as given (null: none).
	Edit   ID                `json:"edit"`
	Embeds []json.RawMessage `json:"embeds"`
	Edited opt[Stamp]        `json:"edited_timestamp"`
	// Quiet keeps the act from the gateway, as if the event had been lost for good.
	Quiet bool `json:"quiet"`
	// Delete deletes the message that Edit names.
	Delete bool `json:"delete"`
}

// simInject makes, changes or deletes a message past Discord's calls.
func (s *Sim) simInject(w http.ResponseWriter, r *http.Request) {
	var in injection
	if !readSim(w, r, &in) {
		return
	}
	s.under(w, func() (any, error) {
		m, err := s.inject(&in)
		if err != nil {
			return nil, err
		}
		return s.wireMessage(m, 0, true), nil
	})
}

func (s *Sim) inject(in *injection) (*Message, error) {
	ch := s.channels[in.Channel]
	if ch == nil {
		return nil, fmt.Errorf("there is no channel %d", uint64(in.Channel))
	}
	if in.Edit != 0 {
		return s.injectEdit(ch, in)
	}
	if s.users[in.Author] == nil {
		return nil, fmt.Errorf("there is no user %d", uint64(in.Author))
	}
	m := &Message{ID: s.newID(), ChannelID: ch.ID, AuthorID: in.Author, Content: in.Content, Type: in.Type, Flags: in.Flags, Nonce: in.Nonce, Embeds: in.Embeds, Extra: in.Fields}
	if in.Quiet {
		m.At = Stamp{m.ID.Time()}
		s.insert(ch, m)
		return m, nil
	}
	s.ping(m, ch, s.permissions(in.Author, ch), nil)
	s.publish(ch, m)
	return m, nil
}

func (s *Sim) injectEdit(ch *Channel, in *injection) (*Message, error) {
	m := ch.message(in.Edit)
	if m == nil {
		return nil, errors.New("there is no such message")
	}
	if in.Delete {
		if in.Quiet {
			s.bury(ch, m)
		} else {
			s.remove(ch, m)
		}
		return m, nil
	}
	if in.Content != "" {
		m.Content = in.Content
	}
	if in.Embeds != nil {
		m.Embeds = in.Embeds
	}
	if in.Edited.Set {
		m.Edited = in.Edited.V
	}
	s.dirty = true
	if !in.Quiet {
		s.emitMessage("MESSAGE_UPDATE", m)
	}
	return m, nil
}

// simVote is a person voting in a poll, which only Discord's own client can.
func (s *Sim) simVote(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel ID  `json:"channel"`
		Message ID  `json:"message"`
		User    ID  `json:"user"`
		Answer  int `json:"answer"`
	}
	if !readSim(w, r, &in) {
		return
	}
	s.under(w, func() (any, error) {
		ch := s.channels[in.Channel]
		if ch == nil {
			return nil, noSuch("channel")
		}
		m := ch.message(in.Message)
		if m == nil || m.Poll == nil || m.Poll.Finalized || in.Answer < 1 || in.Answer > len(m.Poll.Answers) || s.users[in.User] == nil {
			return nil, errors.New("there is no such open poll, answer or user")
		}
		s.vote(ch, m, in.User, in.Answer-1)
		return nil, nil
	})
}

// simPermissions answers what a person may in every channel and thread of their guilds (or of the one that is asked
// for): the truth that a client's own computation is compared with.
func (s *Sim) simPermissions(w http.ResponseWriter, r *http.Request) {
	user, _ := parseID(r.URL.Query().Get("user"))
	only, _ := parseID(r.URL.Query().Get("guild"))
	type entry struct {
		Permissions Perm `json:"permissions"`
		View        bool `json:"view"`
		// Read says whether messages reach the person, History whether past ones do.
		Read    bool `json:"read"`
		History bool `json:"history"`
	}
	s.under(w, func() (any, error) {
		if s.users[user] == nil {
			return nil, noSuch("user")
		}
		out := map[ID]entry{}
		for _, g := range s.guildsOf(user) {
			if only != 0 && g.ID != only {
				continue
			}
			for id, ch := range s.byGuild[g.ID] {
				p := s.permissions(user, ch)
				reads := s.readsText(user, ch) && ch.textual()
				out[id] = entry{p, p&ViewChannel != 0, reads, reads && p&ReadMessageHistory != 0}
			}
		}
		return out, nil
	})
}
