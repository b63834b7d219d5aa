package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// State is what a client of the live socket knows: every visible channel with its counts. Frames are given to
// [State.Apply] in the order in which they came. It is not safe for concurrent use.
type State struct {
	User   discord.UserID
	Rev    int64  // of the newest mark
	Cursor string // for resuming; "" before the snapshot
	// Heartbeat is the interval in milliseconds at which the server wants to hear of the client and is heard itself.
	Heartbeat int64
	// Ignored authors' messages count for nothing. The server says who they are.
	Ignored map[discord.UserID]bool

	first    string // the hello's cursor, until the snapshot
	roles    map[discord.GuildID][]discord.RoleID
	quiet    map[discord.GuildID]tidings.Suppression
	channels map[discord.ChannelID]*Channel
}

// Channel is one channel's counts.
type Channel struct {
	ID          discord.ChannelID
	Guild       discord.GuildID // 0 for a channel gained since the snapshot of which nothing was heard yet
	Name        string          // "" for a channel gained since the snapshot
	Muted       bool
	MutedUntil  time.Time // zero when it is not muted, or for ever
	Version     int64
	ReadID      discord.MessageID
	Unread      int
	Mentions    int
	FirstUnread discord.MessageID // 0 for none; after a delete it may be that of the deleted message
	LastID      discord.MessageID // likewise
	// Stale says that the counts are asked for and not known for certain.
	Stale bool

	need  int64   // counts older than this version do not end the staleness
	rev   int64   // of the newest mark that touched the channel
	later []frame // deltas that came while stale
}

// maxLater is how many deltas are kept for a stale channel; past it newer counts are needed.
const maxLater = 256

// Event is a frame that was applied.
type Event struct {
	Op string
	// Channel is the frame's, 0 for frames that concern none or several.
	Channel discord.ChannelID
	// Frame is the whole frame.
	Frame json.RawMessage
}

// frame holds the fields of all of the server's frames.
type frame struct {
	Op        string            `json:"op"`
	User      discord.UserID    `json:"user"`
	Heartbeat int64             `json:"heartbeat_ms"`
	Cursor    string            `json:"cursor"`
	Resumed   bool              `json:"resumed"`
	Unread    json.RawMessage   `json:"unread"` // an object in a snapshot, a number in a count
	C         discord.ChannelID `json:"c"`
	G         discord.GuildID   `json:"g"`
	V         int64             `json:"v"`
	K         string            `json:"k"`
	ID        discord.MessageID `json:"id"`
	A         discord.UserID    `json:"a"`
	N         int               `json:"n"`
	M         *mentions         `json:"m"`
	M0        *mentions         `json:"m0"`
	IDs       []deleted         `json:"ids"`
	counts
	Rev      int64                       `json:"rev"`
	Channels []readChannel               `json:"channels"`
	Gained   []discord.ChannelID         `json:"gained"`
	Lost     []discord.ChannelID         `json:"lost"`
	Roles    map[string][]discord.RoleID `json:"roles"`
	Ignored  *[]discord.UserID           `json:"ignored"`
	Muted    map[string]*time.Time       `json:"muted"`
	// Suppressed is what does not mention the user, by guild.
	Suppressed map[string]tidings.Suppression `json:"suppressed"`
}

type counts struct {
	Mentions    int               `json:"mentions"`
	FirstUnread discord.MessageID `json:"first_unread"`
	ReadID      discord.MessageID `json:"read_id"`
	LastID      discord.MessageID `json:"last_id"`
}

type readChannel struct {
	C      discord.ChannelID `json:"c"`
	V      int64             `json:"v"`
	Unread int               `json:"unread"`
	counts
}

type mentions struct {
	U []discord.UserID `json:"u"`
	R []discord.RoleID `json:"r"`
	E bool             `json:"e"`
}

// deleted is one message of a bulk delete: [id, author, mentions].
type deleted struct {
	id     discord.MessageID
	author discord.UserID
	m      mentions
}

func (d *deleted) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&d.id, &d.author, &d.m})
}

// Apply takes one frame. It returns the channels for which the client must ask `sync` now.
func (s *State) Apply(line []byte) (Event, []discord.ChannelID, error) {
	var f frame
	if err := json.Unmarshal(line, &f); err != nil {
		return Event{}, nil, fmt.Errorf("live frame: %w", err)
	}
	ev := Event{Op: f.Op, Channel: f.C, Frame: line}
	var ask []discord.ChannelID
	var err error
	switch f.Op {
	case "hello":
		s.User, s.Heartbeat = f.User, f.Heartbeat
		if !f.Resumed {
			s.Cursor, s.first = "", f.Cursor
			break
		}
		s.Cursor = f.Cursor
		for id, c := range s.channels {
			if c.Stale { // the answer may have been lost with the old connection
				ask = append(ask, id)
			}
		}
	case "pong":
		s.Cursor = f.Cursor
	case "snapshot":
		err = s.snapshot(f.Unread)
	case "delta":
		if c := s.channels[f.C]; c != nil && s.delta(c, f) {
			ask = append(ask, c.ID)
		}
	case "count":
		var n int
		if err = json.Unmarshal(f.Unread, &n); err != nil {
			break
		}
		if c := s.channels[f.C]; c != nil && s.count(c, f.V, n, f.counts, true) {
			ask = append(ask, c.ID)
		}
	case "read":
		s.Rev = max(s.Rev, f.Rev)
		s.prefer(f)
		for _, r := range f.Channels {
			if c := s.channels[r.C]; c != nil && s.read(c, f.Rev, r) {
				ask = append(ask, c.ID)
			}
		}
	case "access":
		if s.channels != nil { // the cursor before it is of what could be read then
			s.Cursor = f.Cursor
		}
		err = s.access(f)
	}
	if err != nil {
		return Event{}, nil, fmt.Errorf("live frame %s: %w", f.Op, err)
	}
	return ev, ask, nil
}

func (s *State) snapshot(raw json.RawMessage) error {
	var u tidings.Unread
	if err := json.Unmarshal(raw, &u); err != nil {
		return err
	}
	s.Rev, s.Cursor = u.Rev, s.first
	s.ignore(u.Ignored)
	s.roles, s.quiet = map[discord.GuildID][]discord.RoleID{}, map[discord.GuildID]tidings.Suppression{}
	s.channels = map[discord.ChannelID]*Channel{}
	for _, g := range u.Guilds {
		s.roles[g.ID], s.quiet[g.ID] = g.Roles, g.Suppression()
		for _, c := range g.Channels {
			s.channels[c.ID] = &Channel{
				ID: c.ID, Guild: g.ID, Name: c.Name, Muted: c.Muted, Version: c.Version, ReadID: known(c.ReadID),
				Unread: c.Unread, Mentions: c.Mentions, FirstUnread: known(c.FirstUnread), LastID: known(c.LastID), rev: u.Rev,
			}
			if c.MutedUntil != nil {
				s.channels[c.ID].MutedUntil = *c.MutedUntil
			}
		}
	}
	return nil
}

func (s *State) ignore(authors []discord.UserID) {
	s.Ignored = make(map[discord.UserID]bool, len(authors))
	for _, a := range authors {
		s.Ignored[a] = true
	}
}

// prefer takes whom the person ignores and what they mute and suppress, where a frame says so.
func (s *State) prefer(f frame) {
	if f.Ignored == nil || f.Rev < s.Rev {
		return
	}
	s.ignore(*f.Ignored)
	s.quiet = map[discord.GuildID]tidings.Suppression{}
	for g, what := range f.Suppressed {
		if id, err := discord.ParseSnowflake(g); err == nil {
			s.quiet[discord.GuildID(id)] = what
		}
	}
	for id, c := range s.channels {
		until, muted := f.Muted[id.String()]
		c.Muted, c.MutedUntil = muted, time.Time{}
		if until != nil {
			c.MutedUntil = *until
		}
	}
}

// delta applies a change, and reports whether the counts must be asked for.
func (s *State) delta(c *Channel, f frame) bool {
	c.Guild = f.G
	switch {
	case f.V <= c.Version:
		return false
	case f.K == "reset":
		asked := c.Stale && c.need >= f.V
		c.Stale, c.need, c.later = true, max(c.need, f.V), nil
		return !asked
	case c.Stale:
		s.keep(c, f)
		return false // asked already
	case f.V != c.Version+1:
		c.Stale = true
		s.keep(c, f)
		return true
	}
	s.change(c, f)
	return false
}

// keep remembers a delta for when the counts are known.
func (s *State) keep(c *Channel, f frame) {
	if len(c.later) == maxLater {
		c.need = max(c.need, f.V, c.later[len(c.later)-1].V)
		c.later = nil
		return
	}
	i, dup := slices.BinarySearchFunc(c.later, f, func(a, b frame) int { return int(a.V - b.V) })
	if !dup {
		c.later = slices.Insert(c.later, i, f)
	}
}

// change applies the next delta.
func (s *State) change(c *Channel, f frame) {
	c.Version = f.V
	if len(f.IDs) > 0 {
		for _, d := range f.IDs {
			s.adjust(c, d.id, d.author, f.N, s.names(c, &d.m)*f.N)
		}
		return
	}
	mention := 0
	switch {
	case f.N != 0:
		mention = f.N * s.names(c, f.M)
	case f.M0 != nil:
		mention = s.names(c, f.M) - s.names(c, f.M0)
	}
	s.adjust(c, f.ID, f.A, f.N, mention)
	if f.K == "create" && f.N > 0 {
		c.LastID = max(c.LastID, f.ID)
	}
}

func (s *State) adjust(c *Channel, id discord.MessageID, author discord.UserID, n, mention int) {
	if id <= c.ReadID || author == s.User || s.Ignored[author] {
		return
	}
	c.Unread += n
	c.Mentions += mention
	switch {
	case c.Unread == 0:
		c.FirstUnread = 0
	case n > 0 && (c.FirstUnread == 0 || id < c.FirstUnread):
		c.FirstUnread = id
	}
}

// names is 1 when mentions name the user, one of their roles, or everyone, and the user has not suppressed that.
func (s *State) names(c *Channel, m *mentions) int {
	if m == nil {
		return 0
	}
	quiet := s.quiet[c.Guild]
	if m.E && !quiet.Everyone || slices.Contains(m.U, s.User) {
		return 1
	}
	if quiet.Roles {
		return 0
	}
	for _, r := range s.roles[c.Guild] {
		if slices.Contains(m.R, r) {
			return 1
		}
	}
	return 0
}

// count takes the server's counts, then the deltas that are newer. It reports whether to ask again. Only a count frame
// names the newest message.
func (s *State) count(c *Channel, v int64, unread int, n counts, last bool) bool {
	if v < c.Version || v < c.need {
		c.Stale, c.need = true, max(c.need, c.Version)
		return true
	}
	c.Version, c.Unread, c.Mentions = v, unread, n.Mentions
	c.FirstUnread, c.ReadID = known(n.FirstUnread), known(n.ReadID)
	if last {
		c.LastID = known(n.LastID)
	}
	c.Stale, c.need = false, 0
	later := c.later
	c.later = nil
	ask := false
	for _, f := range later {
		ask = s.delta(c, f) || ask
	}
	return ask
}

// read takes what a mark changed in one channel.
func (s *State) read(c *Channel, rev int64, r readChannel) bool {
	if rev < c.rev {
		return false
	}
	c.rev = rev
	skips := r.V > c.Version // over deltas that would have told the newest message
	if s.count(c, r.V, r.Unread, r.counts, false) {
		c.ReadID = known(r.ReadID)
		return true
	}
	return skips
}

func (s *State) access(f frame) error {
	if s.channels == nil {
		return nil // the snapshot is still to come, and newer
	}
	for _, id := range f.Lost {
		delete(s.channels, id)
	}
	for _, id := range f.Gained {
		// The server sends the counts of its own accord.
		s.channels[id] = &Channel{ID: id, Stale: true, Version: -1}
	}
	for g, roles := range f.Roles {
		id, err := discord.ParseSnowflake(g)
		if err != nil {
			return err
		}
		s.roles[discord.GuildID(id)] = roles
	}
	return nil
}

// Channel returns what is known of a visible channel.
func (s *State) Channel(id discord.ChannelID) (Channel, bool) {
	c := s.channels[id]
	if c == nil {
		return Channel{}, false
	}
	return *c, true
}

// Channels lists the visible channels by id.
func (s *State) Channels() []Channel {
	cs := make([]Channel, 0, len(s.channels))
	for _, c := range s.channels {
		cs = append(cs, *c)
	}
	slices.SortFunc(cs, func(a, b Channel) int { return int(a.ID) - int(b.ID) })
	return cs
}

// Totals sums up: unread leaves muted channels out, mentions does not.
func (s *State) Totals() (unread, mentions int) {
	now := time.Now()
	for _, c := range s.channels {
		if !c.Muted || !c.MutedUntil.IsZero() && !now.Before(c.MutedUntil) {
			unread += c.Unread
		}
		mentions += c.Mentions
	}
	return unread, mentions
}

// Settled reports whether no channel's counts are being asked for.
func (s *State) Settled() bool {
	for _, c := range s.channels {
		if c.Stale {
			return false
		}
	}
	return true
}

// known turns JSON's null, which becomes all ones, into 0.
func known(id discord.MessageID) discord.MessageID {
	if !id.IsValid() {
		return 0
	}
	return id
}
