package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/sync/errgroup"

	"tidings"
	"tidings/hub/client"
	"tidings/sim/simtest"
	"tidings/store"
)

// crowd is a simulated community of many readers, with a model of what each of them has to read: all that is said goes through it.
type crowd struct {
	t      *testing.T
	d      *simtest.Running
	people []*crowdPerson
	guilds []*crowdGuild
	byID   map[discord.ChannelID]*crowdChannel

	acting sync.Mutex // held while somebody acts, and by who wants nothing to be under way
	rng    *rand.Rand

	mu     sync.Mutex // guards what the model holds
	faults []string
	posted map[discord.MessageID]time.Time // when its posting began
}

type crowdPerson struct {
	simtest.Person
	id     discord.UserID
	token  string
	crew   bool // has the role that the private channels ask for
	guilds []*crowdGuild
	start  map[discord.ChannelID]discord.MessageID // where the history began; from the first snapshot
	read   map[discord.ChannelID]discord.MessageID // marks that were answered, and own messages
}

type crowdGuild struct {
	simtest.Guild
	owner    simtest.Person
	role     string // the crew's
	members  []*crowdPerson
	channels []*crowdChannel
}

type crowdChannel struct {
	id    discord.ChannelID
	guild *crowdGuild
	name  string
	said  []crowdMessage
	// The moving channel is shut to all but the crew for a while, again and again. Each time in shut is from when Discord had answered to
	// when it was asked to open again, which is zero while it is shut.
	shut [][2]time.Time
}

type crowdMessage struct {
	id       discord.MessageID
	author   discord.UserID
	mentions []discord.UserID
	deleted  bool
}

const (
	viewChannel = "1024"
	privateName = "crew"
	movingName  = "hatch"
)

// newCrowd makes a world of people who are each in two of the guilds; every second one is of the crew.
func newCrowd(t *testing.T, d *simtest.Running, guilds, people int) *crowd {
	t.Helper()
	w := &crowd{t: t, d: d, rng: rand.New(rand.NewPCG(8, 0)), byID: map[discord.ChannelID]*crowdChannel{}, posted: map[discord.MessageID]time.Time{}}
	members := make([][]simtest.Person, guilds)
	for i := range people {
		p := &crowdPerson{
			Person: d.Person(fmt.Sprintf("person-%d", i)), crew: i/2%2 == 0,
			start: map[discord.ChannelID]discord.MessageID{}, read: map[discord.ChannelID]discord.MessageID{},
		}
		p.id = discord.UserID(crowdID(t, p.ID))
		w.people = append(w.people, p)
		for _, n := range []int{i % guilds, (i + 1) % guilds} {
			members[n] = append(members[n], p.Person)
		}
	}
	names := []string{"deck", "tides", privateName, movingName}
	for n := range guilds {
		g := &crowdGuild{owner: d.Person(fmt.Sprintf("owner-%d", n))}
		g.Guild = d.Guild(fmt.Sprintf("Harbour %d", n), g.owner, members[n], names, nil)
		var role struct{ ID string }
		d.Must(g.owner.Token, "POST", "/guilds/"+g.ID+"/roles", simtest.Object{"name": "crew"}, &role)
		g.role = role.ID
		for _, name := range names {
			c := &crowdChannel{id: discord.ChannelID(crowdID(t, g.Channel(name))), guild: g, name: name}
			g.channels = append(g.channels, c)
			w.byID[c.id] = c
		}
		for _, name := range []string{privateName, movingName} {
			at := "/channels/" + g.Channel(name) + "/permissions/"
			d.Must(g.owner.Token, "PUT", at+g.role, simtest.Object{"type": 0, "allow": viewChannel, "deny": "0"}, nil)
			if name == privateName {
				d.Must(g.owner.Token, "PUT", at+g.ID, simtest.Object{"type": 0, "allow": "0", "deny": viewChannel}, nil)
			}
		}
		w.guilds = append(w.guilds, g)
	}
	for i, p := range w.people {
		for _, n := range []int{i % guilds, (i + 1) % guilds} {
			g := w.guilds[n]
			g.members, p.guilds = append(g.members, p), append(p.guilds, g)
			if p.crew {
				d.Must(g.owner.Token, "PUT", "/guilds/"+g.ID+"/members/"+p.ID+"/roles/"+g.role, nil, nil)
			}
		}
	}
	return w
}

func crowdID(t *testing.T, s string) discord.Snowflake {
	t.Helper()
	id, err := discord.ParseSnowflake(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// enroll gives everybody a token. Who is in which guild is written as Discord would answer, without asking it thousands of times.
func (w *crowd) enroll(c *Config) {
	w.t.Helper()
	w.people[0].token = makeToken(w.t, c, w.people[0].ID) // which makes the guilds known
	st, err := store.Open(w.t.Context(), store.Options{DatabaseURL: c.DatabaseURL, Log: slog.New(slog.DiscardHandler), Retention: days(30), History: days(7)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	var g errgroup.Group
	g.SetLimit(8)
	for _, p := range w.people[1:] {
		g.Go(func() error { return w.enrollOne(st, p) })
	}
	if err := g.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *crowd) enrollOne(st *store.Store, p *crowdPerson) (err error) {
	ctx := w.t.Context()
	if _, err := st.SaveUser(ctx, tidings.User{ID: p.id, Name: p.Username}); err != nil {
		return err
	}
	for _, g := range w.guilds {
		id := discord.GuildID(crowdID(w.t, g.ID))
		var m *tidings.Member
		if slices.Contains(p.guilds, g) {
			m = &tidings.Member{Guild: id, User: p.id}
			if p.crew {
				m.Roles = []discord.RoleID{discord.RoleID(crowdID(w.t, g.role))}
			}
		}
		events, err := st.WatchMember(ctx, id, p.id)
		if err != nil {
			return err
		}
		if _, _, err := st.SaveMember(ctx, id, p.id, m, events); err != nil {
			return err
		}
	}
	p.token, err = st.CreateToken(ctx, p.id, "test", []string{"read", "ack"})
	return err
}

// act has somebody do something: mostly post, sometimes delete.
func (w *crowd) act() {
	w.acting.Lock()
	defer w.acting.Unlock()
	g := w.guilds[w.rng.IntN(len(w.guilds))]
	c := g.channels[w.rng.IntN(len(g.channels))]
	w.mu.Lock()
	last := len(c.said) - 1 - w.rng.IntN(5)
	w.mu.Unlock()
	if w.rng.IntN(10) == 0 && last >= 0 && !c.said[last].deleted {
		if status := w.d.Do(g.owner.Token, "DELETE", fmt.Sprintf("/channels/%d/messages/%d", c.id, c.said[last].id), nil, nil); status != 204 {
			w.t.Errorf("delete a message = %d", status)
		}
		w.mu.Lock()
		c.said[last].deleted = true
		w.mu.Unlock()
		return
	}
	by, author := g.owner, discord.UserID(crowdID(w.t, g.owner.ID))
	p := g.members[w.rng.IntN(len(g.members))]
	own := p.crew && w.rng.IntN(3) == 0
	if own {
		by, author = p.Person, p.id
	}
	text := fmt.Sprintf("message of %d", time.Now().UnixNano())
	m := crowdMessage{author: author}
	if to := g.members[w.rng.IntN(len(g.members))]; w.rng.IntN(4) == 0 {
		text += " <@" + to.ID + ">"
		m.mentions = append(m.mentions, to.id)
	}
	began := time.Now()
	said := w.d.Say(by, strconv.FormatUint(uint64(c.id), 10), text)
	m.id = discord.MessageID(crowdID(w.t, said["id"].(string)))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.posted[m.id] = began
	c.said = append(c.said, m)
	if own {
		p.read[c.id] = m.id
	}
}

// move shuts or opens the moving channel of a guild to those who are not of the crew.
func (w *crowd) move(g *crowdGuild) {
	w.acting.Lock()
	defer w.acting.Unlock()
	c := g.channels[3]
	at := fmt.Sprintf("/channels/%d/permissions/%s", c.id, g.ID)
	w.mu.Lock()
	shut := len(c.shut) > 0 && c.shut[len(c.shut)-1][1].IsZero()
	if shut {
		c.shut[len(c.shut)-1][1] = time.Now()
	}
	w.mu.Unlock()
	if shut {
		w.d.Must(g.owner.Token, "DELETE", at, nil, nil)
		return
	}
	w.d.Must(g.owner.Token, "PUT", at, simtest.Object{"type": 0, "allow": "0", "deny": viewChannel}, nil)
	w.mu.Lock()
	c.shut = append(c.shut, [2]time.Time{time.Now()})
	w.mu.Unlock()
}

// marked notes that a mark was answered.
func (w *crowd) marked(p *crowdPerson, c discord.ChannelID, upTo discord.MessageID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.read[c] = max(p.read[c], upTo)
}

// traffic has people act and channels move until stop is called.
func (w *crowd) traffic(every time.Duration) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			w.act()
			if n%20 == 0 {
				w.move(w.guilds[n/20%len(w.guilds)])
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		wg.Wait()
	})
}

// fault notes what must never be.
func (w *crowd) fault(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, a...))
}

// may reports whether a person may see a channel now. The caller holds w.mu.
func (p *crowdPerson) may(c *crowdChannel) bool {
	if !slices.Contains(p.guilds, c.guild) {
		return false
	}
	if p.crew || c.name != privateName && c.name != movingName {
		return true
	}
	return c.name == movingName && (len(c.shut) == 0 || !c.shut[len(c.shut)-1][1].IsZero())
}

// never reports whether a person may not see a channel at any time.
func (p *crowdPerson) never(c *crowdChannel) bool {
	return !slices.Contains(p.guilds, c.guild) || c.name == privateName && !p.crew
}

// owed is what a person has to read in a channel. The caller holds w.mu.
func (p *crowdPerson) owed(c *crowdChannel) (read discord.MessageID, unread, mentions int) {
	read = max(p.start[c.id], p.read[c.id])
	for i := len(c.said) - 1; i >= 0 && c.said[i].id > read; i-- {
		m := c.said[i]
		if m.deleted || m.author == p.id {
			continue
		}
		unread++
		if slices.Contains(m.mentions, p.id) {
			mentions++
		}
	}
	return read, unread, mentions
}

// wrong holds what a socket shows against the model, and says what differs; "" when nothing does.
func (w *crowd) wrong(p *crowdPerson, shown []client.Channel) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var diff []string
	seen := map[discord.ChannelID]bool{}
	for _, s := range shown {
		c := w.byID[s.ID]
		if c == nil || !p.may(c) {
			diff = append(diff, fmt.Sprintf("channel %d is shown", s.ID))
			continue
		}
		seen[s.ID] = true
		if _, known := p.start[s.ID]; !known {
			p.start[s.ID] = s.ReadID
		}
		if read, unread, mentions := p.owed(c); s.Stale || s.ReadID != read || s.Unread != unread || s.Mentions != mentions {
			diff = append(diff, fmt.Sprintf("channel %d (%s) at version %d shows %d unread, %d mentions above %d, stale %v; should be %d, %d above %d",
				s.ID, c.name, s.Version, s.Unread, s.Mentions, s.ReadID, s.Stale, unread, mentions, read))
		}
	}
	for _, g := range p.guilds {
		for _, c := range g.channels {
			if p.may(c) && !seen[c.id] {
				diff = append(diff, fmt.Sprintf("channel %d (%s) is not shown", c.id, c.name))
			}
		}
	}
	return strings.Join(diff, "; ")
}
