package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
)

// The world of the soak: two guilds, each with an open channel, one for a role, one for a person, and threads.
var (
	soakGuilds   = []discord.GuildID{1000, 2000}
	soakPeople   = []discord.UserID{71, 72, 73, 74, 75}            // signed in
	soakAuthors  = append([]discord.UserID{81, 82}, soakPeople...) // and strangers
	soakEdits    = []time.Time{{}, time.UnixMilli(1_900_000_000_000), time.UnixMilli(1_900_000_000_001), time.UnixMilli(1_900_000_005_000)}
	soakMessages = 4000 // of each channel
	soakWindow   = 160  // of those, what most events are about at a time
)

// A guild's roles are 1 and 2 above its id, its channels 10 to 13, its threads 20 to 22; 22 is private.
func soakChannels(g discord.GuildID) []discord.ChannelID {
	var list []discord.ChannelID
	for _, n := range []discord.GuildID{11, 12, 13, 20, 21, 22} {
		list = append(list, discord.ChannelID(g+n))
	}
	return list
}

func soakGuildOf(c discord.ChannelID) discord.GuildID { return discord.GuildID(c / 1000 * 1000) }

// soakMentions is whom a message mentions after an edit; message and edit decide it.
func soakMentions(id discord.MessageID, edit int, guild discord.GuildID) (m tidings.Mentions) {
	n := int(id % 1024)
	for i := range (n + edit) % 3 {
		m.Users = append(m.Users, soakPeople[(n+i)%len(soakPeople)])
	}
	if (n+edit)%5 == 0 {
		m.Roles = []discord.RoleID{discord.RoleID(guild) + discord.RoleID(1+n%2)}
	}
	m.Everyone = (n+edit)%11 == 0
	return m
}

// soak runs operations on the store from several goroutines and keeps what each has done, with its place in the order of commits.
type soak struct {
	*Store
	t      testing.TB
	access *access.Access
	begin  time.Time
	ids    []discord.MessageID
	total  int64
	ops    atomic.Int64 // done

	barriers map[discord.GuildID]*sync.Mutex // a guild's structural events come one after another
	acting   map[discord.UserID]*sync.Mutex  // as do one person's marks; their own messages do not

	mu       sync.Mutex
	newest   map[discord.ChannelID]discord.MessageID // recorded for certain
	events   []tidings.Event
	deltas   []tidings.Delta
	changes  []soakAccess
	acts     map[discord.UserID][]soakAct
	own      map[discord.UserID][]tidings.ReadResult
	versions map[discord.GuildID]int64
	found    map[discord.ChannelID]int // messages that were told to have come late

	unread, mentions int // compared so far, to show that there was something to compare
}

type soakAccess struct {
	guild   discord.GuildID
	version int64
	body    tidings.Body
}

// soakAct is something that a person did.
type soakAct struct {
	result  tidings.ReadResult
	refused bool
	visible map[discord.ChannelID]discord.GuildID
	read    *tidings.MarkRead
	unread  soakKeyed
	undo    int64
	ignore  discord.UserID
	mute    discord.Snowflake
	quiet   discord.GuildID // suppress what there
	what    tidings.Suppression
	off     bool // ignore and mute end
}

type soakKeyed struct {
	channel discord.ChannelID
	message discord.MessageID
}

func (s *soak) message(c discord.ChannelID, n, edit int) tidings.Message {
	id := s.ids[n]
	means := soakMentions(id, edit, soakGuildOf(c))
	w := wire{Content: fmt.Sprintf("%d at %d", id, edit), Author: soakAuthors[n%len(soakAuthors)], Edited: soakEdits[edit],
		Users: means.Users, Roles: means.Roles, Everyone: means.Everyone}
	if n%13 == 0 {
		w.Type = 7 // a line that Discord writes itself
	}
	m := message(s.t, c, id, w)
	m.Guild = soakGuildOf(c)
	return m
}

// pick chooses a message: mostly of those that are new at this stage, now and then an old one.
func (s *soak) pick(r *rand.Rand) int {
	from := int(min(s.ops.Load(), s.total) * int64(soakMessages-soakWindow) / s.total)
	if r.IntN(8) == 0 {
		return r.IntN(from + soakWindow)
	}
	return from + r.IntN(soakWindow)
}

func (s *soak) randomEvents(r *rand.Rand) []tidings.Event {
	g := soakGuilds[r.IntN(len(soakGuilds))]
	channels := soakChannels(g)
	var events []tidings.Event
	for range 1 + r.IntN(8) {
		c, n := channels[r.IntN(len(channels))], s.pick(r)
		var body tidings.Body
		switch p := r.IntN(100); {
		case p < 55:
			body = tidings.MessageCreated{Message: s.message(c, n, 0)}
		case p < 62:
			body = tidings.MessageCreated{Message: s.message(c, n, r.IntN(len(soakEdits)))}
		case p < 85:
			body = tidings.MessageUpdated{Message: s.message(c, n, r.IntN(len(soakEdits)))}
		case p < 96:
			body = tidings.MessagesDeleted{IDs: []discord.MessageID{s.ids[n]}}
		default:
			var list []discord.MessageID
			for range 1 + r.IntN(5) {
				list = append(list, s.ids[s.pick(r)])
			}
			slices.Sort(list)
			body = tidings.MessagesDeleted{IDs: slices.Compact(list)}
		}
		events = append(events, tidings.Event{Source: tidings.Source(r.IntN(4)), Guild: g, Channel: c, At: time.Now(), Body: body})
	}
	return events
}

func (s *soak) write(ctx context.Context, r *rand.Rand) error {
	events := s.randomEvents(r)
	res, err := s.Record(ctx, events, nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops.Add(int64(len(events)))
	s.events = append(s.events, events...)
	s.deltas = append(s.deltas, res.Deltas...)
	for _, late := range res.Recovered {
		s.found[late.Channel] += late.N
	}
	for _, own := range res.Reads {
		s.own[own.User] = append(s.own[own.User], own)
	}
	for _, ev := range events {
		switch e := ev.Body.(type) {
		case tidings.MessageCreated:
			s.newest[ev.Channel] = max(s.newest[ev.Channel], e.Message.ID)
		case tidings.MessageUpdated:
			s.newest[ev.Channel] = max(s.newest[ev.Channel], e.Message.ID)
		}
	}
	return nil
}

const soakRead = tidings.Permissions(1<<10 | 1<<16)

func soakRole(g discord.GuildID, n discord.RoleID, p tidings.Permissions) tidings.Role {
	return tidings.Role{Guild: g, ID: discord.RoleID(g) + n, Name: fmt.Sprint("role ", n), Permissions: p}
}

func soakThread(g discord.GuildID, n discord.ChannelID, archived bool) tidings.Channel {
	kind := tidings.ChannelPublicThread
	if n == 22 {
		kind = tidings.ChannelPrivateThread
	}
	return tidings.Channel{ID: discord.ChannelID(g) + n, Guild: g, Parent: discord.ChannelID(g) + 11 + n%2, Type: kind, Name: fmt.Sprint("thread ", n), Archived: archived}
}

func soakText(g discord.GuildID, n discord.ChannelID, overwrites ...tidings.Overwrite) tidings.Channel {
	return tidings.Channel{ID: discord.ChannelID(g) + n, Guild: g, Parent: discord.ChannelID(g) + 10, Name: fmt.Sprint("channel ", n), Overwrites: overwrites}
}

func (s *soak) randomBarrier(r *rand.Rand, g discord.GuildID) tidings.Body {
	u := soakPeople[r.IntN(len(soakPeople))]
	pick := func(list ...tidings.Permissions) tidings.Permissions { return list[r.IntN(len(list))] }
	switch r.IntN(10) {
	case 0:
		return tidings.RoleSeen{Role: soakRole(g, discord.RoleID(r.IntN(3)), pick(0, soakRead, soakRead, soakRead, 1<<10, soakRead|1<<34))}
	case 1:
		return tidings.RoleGone{ID: discord.RoleID(g) + discord.RoleID(1+r.IntN(2))}
	case 2, 3:
		var list []tidings.Overwrite
		for _, id := range []discord.Snowflake{discord.Snowflake(g), discord.Snowflake(g) + 1, discord.Snowflake(g) + 2} {
			if r.IntN(2) == 0 {
				list = append(list, tidings.Overwrite{ID: id, Allow: pick(0, soakRead, 1<<34), Deny: pick(0, 0, 1<<10, 1<<16)})
			}
		}
		if r.IntN(2) == 0 {
			list = append(list, tidings.Overwrite{ID: discord.Snowflake(u), Type: tidings.OverwriteMember, Allow: pick(0, soakRead), Deny: pick(0, 1<<10)})
		}
		return tidings.ChannelSeen{Channel: soakText(g, discord.ChannelID(11+r.IntN(3)), list...)}
	case 4:
		if r.IntN(2) == 0 {
			return tidings.MemberGone{User: u}
		}
		return tidings.ChannelSeen{Channel: soakText(g, discord.ChannelID(11+r.IntN(3)))}
	case 5:
		return tidings.ChannelSeen{Channel: soakThread(g, discord.ChannelID(20+r.IntN(3)), r.IntN(2) == 0)}
	case 6:
		return tidings.ChannelGone{ID: discord.ChannelID(g) + discord.ChannelID(20+r.IntN(3))}
	case 7:
		e := tidings.ThreadMembersChanged{Thread: discord.ChannelID(g) + 22}
		if r.IntN(3) > 0 {
			e.Added = []discord.UserID{u}
		} else {
			e.Removed = []discord.UserID{u}
		}
		return e
	}
	var roles []discord.RoleID
	for n := range discord.RoleID(2) {
		if r.IntN(2) == 0 {
			roles = append(roles, discord.RoleID(g)+1+n)
		}
	}
	return tidings.MemberSeen{Member: tidings.Member{Guild: g, User: u, Roles: roles}}
}

func (s *soak) restructure(ctx context.Context, r *rand.Rand) error {
	g := soakGuilds[r.IntN(len(soakGuilds))]
	return s.barrier(ctx, g, s.randomBarrier(r, g))
}

func (s *soak) barrier(ctx context.Context, g discord.GuildID, body tidings.Body) error {
	s.barriers[g].Lock()
	defer s.barriers[g].Unlock()
	if e, ok := body.(tidings.ThreadMembersChanged); ok {
		// Discord names only members of the guild, and threads that there are.
		state, err := s.GuildState(ctx, g)
		if err != nil {
			return err
		}
		there := slices.ContainsFunc(state.Channels, func(c tidings.Channel) bool { return c.ID == e.Thread })
		for _, u := range e.Added {
			there = there && slices.ContainsFunc(state.Members, func(m tidings.Member) bool { return m.User == u })
		}
		if !there {
			return nil
		}
	}
	res, err := s.RecordBarrier(ctx, tidings.Event{Guild: g, At: time.Now(), Body: body}, nil)
	if err != nil {
		return err
	}
	s.ops.Add(1)
	for _, c := range res.Access {
		s.mu.Lock()
		if last := s.versions[g]; last != 0 && c.Version != last+1 {
			s.t.Errorf("guild %d: access version %d follows %d", g, c.Version, last)
		}
		s.versions[g] = c.Version
		s.changes = append(s.changes, soakAccess{g, c.Version, body})
		s.mu.Unlock()
		if err := s.access.Reload(ctx, g, c.Version); err != nil {
			return err
		}
	}
	return nil
}

// act lets a person mark, undo, ignore or mute something that they see.
func (s *soak) act(ctx context.Context, r *rand.Rand) error {
	u := soakPeople[r.IntN(len(soakPeople))]
	s.acting[u].Lock()
	defer s.acting[u].Unlock()
	set := s.access.Visible(u)
	a := soakAct{visible: map[discord.ChannelID]discord.GuildID{}}
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			a.visible[c.ID] = g.Guild.ID
		}
	}
	list := set.ChannelIDs()
	if len(list) == 0 {
		return nil
	}
	c := list[r.IntN(len(list))]
	s.mu.Lock()
	newest, last := s.newest[c], int64(0)
	if n := len(s.acts[u]); n > 0 {
		last = s.acts[u][n-1].result.Rev
	}
	s.mu.Unlock()
	// Up to what is there for certain, so that what is recorded meanwhile decides nothing.
	known, _ := slices.BinarySearch(s.ids, newest+1)
	if known == 0 {
		return nil
	}
	upTo := s.ids[max(0, known-1-int(r.ExpFloat64()*40))]
	var err error
	switch p := r.IntN(100); {
	case p < 50:
		m := tidings.MarkRead{UpTo: upTo}
		switch q := r.IntN(10); {
		case q < 6:
			m.Channel = c
		case q < 8:
			m.Guild = a.visible[c]
		default:
			m.All = true
		}
		if r.IntN(3) == 0 {
			m.Auto, m.Rev = true, r.Int64N(last+1)
		}
		a.read = &m
		a.result, err = s.MarkRead(ctx, set, m)
	case p < 70:
		a.unread = soakKeyed{c, upTo}
		a.result, err = s.MarkUnread(ctx, set, c, upTo)
	case p < 82:
		if last == 0 {
			return nil
		}
		a.undo = max(1, last-r.Int64N(3))
		a.result, err = s.Undo(ctx, set, a.undo)
		if errors.Is(err, tidings.ErrConflict) || errors.Is(err, tidings.ErrNotFound) {
			a.refused, err = true, nil
			a.result.Rev = last
		}
	case p < 91:
		a.ignore, a.off = soakAuthors[r.IntN(len(soakAuthors))], r.IntN(2) == 0
		if a.off {
			a.result, err = s.Unignore(ctx, u, a.ignore)
		} else {
			a.result, err = s.Ignore(ctx, u, a.ignore)
		}
	case p < 95:
		a.quiet, a.what = a.visible[c], tidings.Suppression{Everyone: r.IntN(2) == 0, Roles: r.IntN(2) == 0}
		a.result, err = s.Suppress(ctx, u, a.quiet, a.what)
	default:
		scopes := []discord.Snowflake{discord.Snowflake(c), discord.Snowflake(a.visible[c]), discord.Snowflake(a.visible[c]) + 10}
		a.mute, a.off = scopes[r.IntN(3)], r.IntN(2) == 0
		if a.off {
			a.result, err = s.Unmute(ctx, u, a.mute)
		} else {
			a.result, err = s.Mute(ctx, u, a.mute, time.Time{})
		}
	}
	if err != nil {
		return fmt.Errorf("user %d: %w", u, err)
	}
	s.ops.Add(1)
	s.mu.Lock()
	s.acts[u] = append(s.acts[u], a)
	s.mu.Unlock()
	return nil
}

// look checks what must hold at any moment, whatever is being written.
func (s *soak) look(ctx context.Context, r *rand.Rand) error {
	set := s.access.Visible(soakPeople[r.IntN(len(soakPeople))])
	if r.IntN(2) == 0 {
		stated, recounted, err := s.Verify(ctx, set)
		if err != nil {
			return err
		}
		for i := range stated {
			if stated[i] != recounted[i] {
				s.t.Errorf("user %d: stated %+v, recounted %+v", set.User, stated[i], recounted[i])
			}
		}
		return nil
	}
	if list := set.ChannelIDs(); len(list) > 0 {
		p, err := s.Messages(ctx, PageQuery{Channel: list[r.IntN(len(list))]})
		if err != nil {
			return err
		}
		if !slices.IsSortedFunc(p.Messages, func(a, b tidings.Message) int { return cmp.Compare(b.ID, a.ID) }) {
			s.t.Errorf("a page is not in order")
		}
	}
	return nil
}

func newSoak(t testing.TB, total int64) (*soak, *soakModel) {
	s := &soak{
		Store: open(t), total: total, t: t, begin: time.Now(), barriers: map[discord.GuildID]*sync.Mutex{}, acting: map[discord.UserID]*sync.Mutex{},
		newest: map[discord.ChannelID]discord.MessageID{}, acts: map[discord.UserID][]soakAct{}, own: map[discord.UserID][]tidings.ReadResult{},
		versions: map[discord.GuildID]int64{}, found: map[discord.ChannelID]int{},
	}
	s.access = access.New(s.Store, nil, access.Options{})
	// Ten days around now, when everybody's history begins.
	for n := range soakMessages {
		id := tidings.FirstID(s.begin.Add(time.Duration(n)*240*time.Hour/time.Duration(soakMessages) - 24*time.Hour))
		s.ids = append(s.ids, id+discord.MessageID(n))
	}
	m := newSoakModel()
	for _, u := range soakPeople {
		s.acting[u] = &sync.Mutex{}
		m.people[u] = &soakPerson{id: u, rows: map[soakKey]soakRow{}, baselines: map[discord.GuildID]discord.MessageID{}, log: map[int64][]soakChange{},
			ignored: map[discord.UserID]bool{}, muted: map[discord.Snowflake]bool{}, quiet: map[discord.GuildID]tidings.Suppression{}}
		if _, err := s.SaveUser(t.Context(), tidings.User{ID: u, Name: fmt.Sprint(u)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range soakGuilds {
		s.barriers[g] = &sync.Mutex{}
		seen := tidings.GuildSeen{
			Guild: tidings.Guild{ID: g, Name: fmt.Sprint("guild ", g), Owner: soakPeople[0], Available: true},
			Roles: []tidings.Role{soakRole(g, 0, soakRead), soakRole(g, 1, 0), soakRole(g, 2, soakRead)},
			Channels: []tidings.Channel{{ID: discord.ChannelID(g) + 10, Guild: g, Type: tidings.ChannelCategory, Name: "category"},
				soakText(g, 11), soakText(g, 12), soakText(g, 13)},
			Threads: []tidings.Channel{soakThread(g, 20, false), soakThread(g, 21, false), soakThread(g, 22, false)},
		}
		if _, err := s.RecordBarrier(t.Context(), tidings.Event{Guild: g, Body: seen}, nil); err != nil {
			t.Fatal(err)
		}
		mg := &soakGuild{owner: soakPeople[0], roles: map[discord.RoleID]tidings.Permissions{}, channels: map[discord.ChannelID]tidings.Channel{},
			members: map[discord.UserID][]discord.RoleID{}, threads: map[discord.ChannelID]map[discord.UserID]bool{}}
		m.guilds[g] = mg
		for _, r := range seen.Roles {
			mg.apply(tidings.RoleSeen{Role: r})
		}
		for _, c := range append(seen.Channels, seen.Threads...) {
			mg.apply(tidings.ChannelSeen{Channel: c})
			m.messages[c.ID] = map[discord.MessageID]*soakMessage{}
		}
	}
	if err := s.access.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, g := range soakGuilds {
		for i, u := range soakPeople {
			if err := s.barrier(t.Context(), g, tidings.MemberSeen{Member: tidings.Member{Guild: g, User: u, Roles: []discord.RoleID{discord.RoleID(g) + 1 + discord.RoleID(i%2)}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, m
}

// TestUnreadSoak does random operations of all kinds from several goroutines, and after each few hundred compares everything
// that people are shown with a model that replays the operations in the order of their commits. SOAK_OPERATIONS says how many.
func TestUnreadSoak(t *testing.T) {
	t.Parallel()
	total := int64(10_000)
	if v := os.Getenv("SOAK_OPERATIONS"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("SOAK_OPERATIONS: %v", err)
		}
		total = n
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SOAK_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d", seed)
	s, m := newSoak(t, total)
	followers := map[discord.ChannelID]*follower{}
	const workers, perRound = 6, 500
	checks := 0
	for round := 0; s.ops.Load() < total && !t.Failed(); round++ {
		until := s.ops.Load() + perRound
		var wg sync.WaitGroup
		for w := range workers {
			r := rand.New(rand.NewPCG(seed, uint64(round*workers+w)))
			wg.Go(func() {
				for s.ops.Load() < until && !t.Failed() {
					var err error
					switch p := r.IntN(100); {
					case p < 40:
						err = s.write(t.Context(), r)
					case p < 82:
						err = s.act(t.Context(), r)
					case p < 94:
						err = s.restructure(t.Context(), r)
					default:
						err = s.look(t.Context(), r)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		s.replay(m, followers)
		checks += s.compare(m, followers)
	}
	verify(t, s.Store)
	t.Logf("%d operations in %v; %d channels of people compared, with %d unread messages and %d mentions in all",
		s.ops.Load(), time.Since(s.begin).Round(time.Second), checks, s.unread, s.mentions)
}
