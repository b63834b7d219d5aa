package sim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// chatLine is one line of a chat file.
type chatLine struct {
	Channel string `json:"channel"`
	At      string `json:"at"`
	Nick    string `json:"nick"`
	Text    string `json:"text"`
}

// replay is one chat that is being said again.
type replay struct {
	id          string
	total, sent int
	done        bool
}

// readChat reads JSON lines, gzip or not.
func readChat(r io.Reader) ([]chatLine, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := br.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		br = bufio.NewReader(z)
	}
	var out []chatLine
	dec := json.NewDecoder(br)
	for {
		var l chatLine
		err := dec.Decode(&l)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("line %d: %w", len(out)+1, err)
		}
		out = append(out, l)
	}
}

// cast finds or makes the people and channels that a chat names.
type cast struct {
	g        *Guild
	people   map[string]*User
	channels map[string]*Channel
}

func (s *Sim) newCast(g *Guild) *cast {
	c := &cast{g: g, people: map[string]*User{}, channels: map[string]*Channel{}}
	for _, id := range g.memberIDs {
		if u := s.users[id]; !u.Bot {
			c.people[u.Username] = u
		}
	}
	for _, ch := range s.guildChannels(g) {
		if ch.textual() {
			c.channels[ch.Name] = ch
		}
	}
	return c
}

// say sends one line, its text untouched. Nobody is mentioned by it.
func (s *Sim) say(c *cast, l chatLine) {
	u := c.people[l.Nick]
	if u == nil {
		u = s.createUser(l.Nick, "")
		c.people[l.Nick] = u
		s.join(c.g, u, nil)
	} else if c.g.Members[u.ID] == nil {
		s.join(c.g, u, nil)
	}
	ch := c.channels[l.Channel]
	if ch == nil || s.channels[ch.ID] == nil {
		ch = s.addChannel(&Channel{ID: s.newID(), GuildID: c.g.ID, Name: l.Channel, Position: len(c.channels)})
		c.channels[l.Channel] = ch
		s.emitChannel("CHANNEL_CREATE", ch)
	}
	m := &Message{ID: s.newID(), ChannelID: ch.ID, AuthorID: u.ID, Content: l.Text}
	m.At = Stamp{m.ID.Time()}
	s.insert(ch, m)
	s.emitMessage("MESSAGE_CREATE", m)
}

// play says the lines, at most rate a second (0: as fast as the gateway's clients take them). It waits while a
// connected client has much unsent, so that nothing is dropped; without a client it does not wait.
func (s *Sim) play(ctx context.Context, p *replay, guild ID, lines []chatLine, rate float64) {
	s.mu.Lock()
	g := s.guilds[guild]
	var c *cast
	if g != nil {
		c = s.newCast(g)
	}
	s.mu.Unlock()
	begin := time.Now()
	told := begin
	for i := 0; g != nil && i < len(lines); {
		if rate > 0 {
			due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if d := time.Until(due); d > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(d):
				}
			}
		}
		s.mu.Lock()
		for n := 0; n < 64 && i < len(lines) && !s.full(); n++ {
			s.say(c, lines[i])
			i++
			p.sent = i
			if rate > 0 && float64(i)/rate > time.Since(begin).Seconds() {
				break
			}
		}
		full := s.full()
		s.mu.Unlock()
		if now := time.Now(); s.o.OnReplay != nil && i < len(lines) && now.Sub(told) >= 100*time.Millisecond {
			told = now
			s.o.OnReplay(p.id, i, len(lines))
		}
		if full {
			select {
			case <-ctx.Done():
				return
			case <-s.room:
			case <-time.After(20 * time.Millisecond):
			}
		} else if ctx.Err() != nil {
			return
		}
	}
	s.mu.Lock()
	p.done = true
	s.mu.Unlock()
	if s.o.OnReplay != nil {
		s.o.OnReplay(p.id, p.total, p.total)
	}
}

// simReplay begins a replay.
func (s *Sim) simReplay(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Lines []chatLine `json:"lines"`
		File  string     `json:"file"`
		Guild opt[ID]    `json:"guild"`
		Rate  float64    `json:"rate"`
	}
	if !readSim(w, r, &in) {
		return
	}
	lines := in.Lines
	if in.File != "" {
		f, err := os.Open(in.File)
		if err == nil {
			lines, err = readChat(f)
			f.Close()
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
	}
	s.under(w, func() (any, error) {
		if len(lines) == 0 {
			return nil, errors.New("there is nothing to replay")
		}
		g := s.guilds[in.Guild.V]
		if in.Guild.There() && g == nil {
			return nil, noSuch("guild")
		}
		if g == nil {
			g = s.seedGuild()
		}
		id := s.hexID()[:12]
		p := &replay{id: id, total: len(lines)}
		s.replays[id] = p
		guild := g.ID
		s.start(func(ctx context.Context) { s.play(ctx, p, guild, lines, in.Rate) })
		return map[string]string{"id": id, "guild": guild.String()}, nil
	})
}

func (s *Sim) simReplayStatus(w http.ResponseWriter, r *http.Request) {
	s.under(w, func() (any, error) {
		p := s.replays[r.PathValue("id")]
		if p == nil {
			return nil, noSuch("replay")
		}
		return map[string]any{"total": p.total, "sent": p.sent, "done": p.done}, nil
	})
}

// seedGuild is the guild for chats that name none.
func (s *Sim) seedGuild() *Guild {
	for _, g := range s.guilds {
		if g.Name == "Replay" {
			return g
		}
	}
	owner, err := s.person("")
	if err != nil {
		owner = s.createUser("owner", "")
	}
	g := s.createGuild("Replay", owner.ID, everyoneDefault, Administrator)
	s.joinGuild(g, s.app.ID)
	return g
}

// loadSeed puts a chat file into the world as history.
func (s *Sim) loadSeed(r io.Reader) {
	lines, err := readChat(r)
	if err != nil {
		s.log.Error("seed not read to its end", "err", err, "lines", len(lines))
	}
	c := s.newCast(s.seedGuild())
	for _, l := range lines {
		s.say(c, l)
	}
}
