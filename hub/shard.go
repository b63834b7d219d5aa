package hub

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// shard owns a part of the people and everything of their connections that changes while they live. One goroutine does
// their whole fan-out, so that order needs no lock, and what came in during a pass leaves in one write per connection.
type shard struct {
	hub  *Hub
	kick chan struct{}

	mu     sync.Mutex
	inbox  []item
	spare  []item
	new    []Delivery // of the pass, kept for its memory
	deltas int        // in inbox
	lost   map[discord.ChannelID]*delta

	// Below is the loop's alone.
	people  map[discord.UserID]*person
	crowds  map[*audience]*crowd
	index   map[discord.ChannelID][]*crowd
	touched []*conn
	joined  map[uint64]join
	seed    maphash.Seed
	ring    *ring  // nil: each write is a call of its own
	first   []byte // the first write to a connection, kept for its memory
}

// item is one thing for the loop: a delta, or something to do.
type item struct {
	delta *delta
	do    func(s *shard)
}

// delta is a change of one channel on its way to sockets. One whose version is 0 is a word beside the channel's order: it
// passes when access allows, and nobody waits for it or misses it.
type delta struct {
	guild         discord.GuildID
	channel       discord.ChannelID
	version       int64
	accessVersion int64
	frame         *frame
	message       *frame // for those who watch the channel; nil for none
	both          *frame // frame and message together; nil without a message
	// What the log in Redis needs to drop what messages said that are gone. Only the process that tells it knows.
	id   discord.MessageID   // of message
	gone []discord.MessageID // that are deleted with this delta
}

// bind makes both of frame and message, which then share its bytes.
func (d *delta) bind() {
	if d.message == nil {
		return
	}
	d.both = together(d.frame, d.message)
	n := len(d.frame.b)
	d.frame = &frame{b: d.both.b[:n:n], head: d.frame.head}
	d.message = &frame{b: d.both.b[n:], head: d.message.head}
	d.both.parts = []*frame{d.frame, d.message}
}

// person is one user's connections in a shard.
type person struct {
	id     discord.UserID
	conns  []*conn
	crowds map[discord.GuildID]*crowd
}

// crowd is everybody in a shard who may read exactly the same channels of a guild.
type crowd struct {
	aud    *audience
	people []*person
}

// join is several frames made into one write, shared by all connections that get the same ones.
type join struct {
	frames []*frame
	packed bool
	bytes  []byte
}

func newShard(h *Hub) *shard {
	return &shard{
		hub: h, kick: make(chan struct{}, 1), lost: map[discord.ChannelID]*delta{}, people: map[discord.UserID]*person{},
		crowds: map[*audience]*crowd{}, index: map[discord.ChannelID][]*crowd{}, joined: map[uint64]join{},
		seed: maphash.MakeSeed(),
	}
}

func (s *shard) postDelta(d *delta) {
	s.mu.Lock()
	if _, ok := s.lost[d.channel]; ok || s.deltas >= s.hub.bounds.inbox {
		if d.version > 0 {
			s.lost[d.channel] = d
		}
	} else {
		s.inbox = append(s.inbox, item{delta: d})
		s.deltas++
	}
	s.mu.Unlock()
	signal(s.kick)
}

// behind reports whether a reset is to come that stands for more than the inbox could take: after whatever is posted meanwhile.
func (s *shard) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lost) > 0
}

// do runs f in the loop, after everything that was posted before. There are few of these, in proportion to connections
// and what clients may ask, so they are never dropped.
func (s *shard) do(f func(s *shard)) {
	s.mu.Lock()
	s.inbox = append(s.inbox, item{do: f})
	s.mu.Unlock()
	signal(s.kick)
}

// run is the loop. It ends when stop is closed, which happens after the last connection has gone.
func (s *shard) run(stop <-chan struct{}) {
	defer func() {
		if s.ring != nil {
			s.ring.close()
		}
	}()
	tick := time.NewTicker(min(time.Second, s.hub.timing.heartbeat/4))
	defer tick.Stop()
	wait := time.NewTimer(0)
	<-wait.C
	var last time.Time // the end of the last pass
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			s.beat(time.Now())
		case <-s.kick:
			// After a pause a frame leaves at once. When changes come closely, each pass waits for what comes within the window:
			// a write costs the same for one frame and for ten.
			if w := s.hub.timing.window; w > 0 && time.Since(last) < 2*w {
				wait.Reset(w)
				<-wait.C
			}
			s.pass()
			last = time.Now()
		}
	}
}

func (s *shard) pass() {
	s.mu.Lock()
	batch := s.inbox
	s.inbox, s.deltas = s.spare[:0], 0
	var lost map[discord.ChannelID]*delta
	if len(s.lost) > 0 { // else it stays the posters'
		lost, s.lost = s.lost, map[discord.ChannelID]*delta{}
	}
	s.mu.Unlock()
	traced := s.new[:0]
	for _, it := range batch {
		if it.delta != nil {
			traced = s.traced(traced, it.delta)
			s.deliver(it.delta)
		} else {
			it.do(s)
		}
	}
	for _, d := range lost {
		s.hub.metrics.resets.WithLabelValues("overload").Inc()
		s.deliver(&delta{guild: d.guild, channel: d.channel, version: d.version, frame: resetFrame(d.guild, d.channel, d.version)})
	}
	s.flush()
	for _, d := range traced {
		d.Ended = time.Now()
		if age := d.Ended.Sub(d.ID.Time()); age < maxAge {
			s.hub.metrics.age.Observe(max(age, 0).Seconds())
		}
		if s.hub.trace != nil {
			s.hub.trace(d)
		}
	}
	s.new = traced
	clear(batch)
	s.spare = batch[:0]
	if cap(batch) > s.hub.bounds.inbox {
		s.spare = nil
	}
}

// Delivery is a new message that was handed to the sockets of one part of this process.
type Delivery struct {
	Channel      discord.ChannelID
	ID           discord.MessageID
	Begun, Ended time.Time
	Sockets      int
}

// traced adds a delta that is of a new message and has somebody to go to. What came from another process is known by its frame alone.
func (s *shard) traced(list []Delivery, d *delta) []Delivery {
	id, ok := createdIn(d.frame.body())
	if !ok || len(list) == maxTraced {
		return list
	}
	sockets := 0
	for _, cr := range s.index[d.channel] {
		for _, p := range cr.people {
			sockets += len(p.conns)
		}
	}
	if sockets == 0 {
		return list
	}
	return append(list, Delivery{Channel: d.channel, ID: id, Begun: time.Now(), Sockets: sockets})
}

// maxFirst bounds what is kept of the largest first write.
const maxFirst = 64 << 10

// maxAge leaves out what was found again, and maxTraced bounds what one pass looks at.
const (
	maxAge    = 10 * time.Minute
	maxTraced = 256
)

var createdMark = []byte(`,"k":"create","id":"`)

// createdIn reads the id of a new message out of its frame.
func createdIn(body []byte) (discord.MessageID, bool) {
	_, rest, ok := bytes.Cut(body[:min(len(body), 160)], createdMark)
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte{'"'})
	n, err := strconv.ParseUint(string(digits), 10, 63)
	return discord.MessageID(n), ok && err == nil
}

func (s *shard) deliver(d *delta) {
	for _, cr := range s.index[d.channel] {
		for _, p := range cr.people {
			for _, c := range p.conns {
				c.take(d)
			}
		}
	}
}

// flush writes what the pass has gathered, once per connection.
func (s *shard) flush() {
	frames := 0
	for _, c := range s.touched {
		frames += s.write(c)
	}
	s.fly()
	s.hub.metrics.delivered.Add(float64(frames))
	clear(s.touched)
	s.touched = s.touched[:0]
	clear(s.joined)
}

// write sends what a connection is to get, and returns how many frames that were.
func (s *shard) write(c *conn) int {
	frames := 0
	switch len(c.pend) {
	case 0:
		return 0
	case 1:
		s.send(c, c.pend[0].wire(c.packed))
	default:
		s.send(c, s.join(c.pend, c.packed))
	}
	for _, f := range c.pend {
		frames += f.count()
	}
	clear(c.pend)
	c.pend = c.pend[:0]
	if cap(c.pend) > 64 {
		c.pend = nil
	}
	return frames
}

func (s *shard) send(c *conn, b []byte) {
	if s.ring != nil {
		s.launch(c, b)
	} else {
		c.send(b, false)
	}
}

// join concatenates frames; connections that get the same frames share the bytes.
func (s *shard) join(fs []*frame, packed bool) []byte {
	var h maphash.Hash
	h.SetSeed(s.seed)
	maphash.WriteComparable(&h, packed)
	n := 0
	for _, f := range fs {
		maphash.WriteComparable(&h, f)
		n += len(f.b)
	}
	sum := h.Sum64()
	if j, ok := s.joined[sum]; ok && j.packed == packed && slices.Equal(j.frames, fs) {
		return j.bytes
	}
	b := make([]byte, 0, n)
	for _, f := range fs {
		b = append(b, f.wire(packed)...)
	}
	s.joined[sum] = join{frames: slices.Clone(fs), packed: packed, bytes: b}
	return b
}

// beat pings, answers handshakes that wait for their snapshot, and drops who has not been heard.
func (s *shard) beat(now time.Time) {
	silence := s.hub.timing.heartbeat * 5 / 2
	for _, p := range s.people {
		for _, c := range p.conns {
			if now.Sub(time.Unix(0, c.out.seen.Load())) > silence {
				s.hub.metrics.dropped.WithLabelValues("silent").Inc()
				c.out.drop()
				continue
			}
			if c.state == connAttaching {
				c.out.greet() // its counts take long
			}
			if now.Sub(c.pinged) >= s.hub.timing.heartbeat {
				c.pinged = now
				c.missed = nil
				_ = c.out.send(pingFrame.b, true)
			}
		}
	}
}

// join and leave keep the people; setAudience keeps who is in which crowd. All are run by the loop.

func (s *shard) enter(u discord.UserID, c *conn) {
	p := s.people[u]
	if p == nil {
		p = &person{id: u, crowds: map[discord.GuildID]*crowd{}}
		s.people[u] = p
	}
	p.conns = append(p.conns, c)
	c.person = p
	c.pinged = time.Now()
}

func (s *shard) leave(c *conn) {
	p := c.person
	if p == nil {
		return
	}
	p.conns = remove(p.conns, c)
	c.state = connGone
	c.setWatching(false)
	if len(p.conns) > 0 {
		return
	}
	for g := range p.crowds {
		s.setAudience(p, g, nil)
	}
	delete(s.people, p.id)
}

// setAudience moves a person to another crowd of a guild; nil is none.
func (s *shard) setAudience(p *person, g discord.GuildID, a *audience) {
	if cr := p.crowds[g]; cr != nil {
		delete(p.crowds, g)
		cr.people = remove(cr.people, p)
		if len(cr.people) == 0 {
			delete(s.crowds, cr.aud)
			for _, id := range cr.aud.channels {
				if left := remove(s.index[id], cr); len(left) > 0 {
					s.index[id] = left
				} else {
					delete(s.index, id)
				}
			}
		}
	}
	if a == nil {
		return
	}
	cr := s.crowds[a]
	if cr == nil {
		cr = &crowd{aud: a}
		s.crowds[a] = cr
		for _, id := range a.channels {
			s.index[id] = append(s.index[id], cr)
		}
	}
	cr.people = append(cr.people, p)
	p.crowds[g] = cr
}

// sees reports whether a person may read a channel.
func (p *person) sees(id discord.ChannelID) bool {
	for _, cr := range p.crowds {
		if cr.aud.has(id) {
			return true
		}
	}
	return false
}

// remove takes one element out of a list whose order does not matter.
func remove[T comparable](list []T, x T) []T {
	i := slices.Index(list, x)
	if i < 0 {
		return list
	}
	last := len(list) - 1
	list[i] = list[last]
	var zero T
	list[last] = zero
	return list[:last]
}
