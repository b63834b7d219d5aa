package hub

import (
	"errors"
	"net"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/time/rate"

	"tidings"
)

// conn is one live socket.
type conn struct {
	hub *Hub
	who Who
	id  string // names the connection to its client
	key sessionKey
	pos int64 // Hub.pos when the connection was registered: what passes from there on comes to it
	ws  *websocket.Conn
	out *outbox
	// packed says that the peer takes compressed frames.
	packed bool
	shard  *shard
	user   *user

	// The reader's alone.
	limit    *rate.Limiter // nil before the first frame
	slowed   bool          // told that it is read more slowly
	draining bool          // nothing that it sends counts any more

	counted bool // towards its address; set before the first reader begins

	// Guarded by Hub.mu.
	live    bool      // its snapshot is on its way: it wants access frames
	checked time.Time // when its session was last known to stand
	here    time.Time // when its person was last known to look at it; zero when they do not

	// The rest is the shard loop's alone.
	person   *person
	state    connState
	buffer   []held // what came before the snapshot
	buffered int    // bytes in buffer
	// floors holds versions that the snapshot had and the hub had not seen yet: frames up to there are not sent.
	floors   map[discord.ChannelID]int64
	watchAll bool
	watch    map[discord.ChannelID]struct{}
	watching bool     // counted in Hub.watchers
	missed   []*delta // what a resumed connection was told of before it could watch
	pend     []*frame
	pinged   time.Time
}

type connState int

const (
	connAttaching connState = iota // everything is buffered until the snapshot
	connLive
	connGone
)

// held is a delta or a read that waits for the snapshot.
type held struct {
	delta *delta
	read  *tidings.ReadResult
}

// take gives the connection a delta of a channel that its person may see.
func (c *conn) take(d *delta) {
	switch c.state {
	case connAttaching:
		c.hold(held{delta: d}, len(d.frame.b))
	case connLive:
		if v, ok := c.floors[d.channel]; ok && d.version > 0 {
			if d.version <= v {
				return
			}
			delete(c.floors, d.channel)
		}
		c.pass(d)
	}
}

func (c *conn) pass(d *delta) {
	if len(c.missed) > 0 { // it may be asked for still
		c.bury(d)
	}
	if d.both != nil && c.watches(d.channel) {
		c.add(d.both)
	} else {
		c.add(d.frame)
	}
}

func (c *conn) takeRead(r *tidings.ReadResult, f *frame) {
	switch c.state {
	case connAttaching:
		c.hold(held{read: r}, len(f.b))
	case connLive:
		c.add(f)
	}
}

func (c *conn) hold(x held, size int) {
	if c.buffered += size; c.buffered > c.hub.bounds.pending {
		c.slow()
		return
	}
	c.buffer = append(c.buffer, x)
}

// add puts a frame among those that leave at the end of this pass.
func (c *conn) add(f *frame) {
	if c.state != connLive {
		return
	}
	if len(c.pend) == 0 {
		c.shard.touched = append(c.shard.touched, c)
	}
	c.pend = append(c.pend, f)
}

// snapshot is what a connection begins with.
type snapshot struct {
	*recent
	cursor cursor // for the hello
	floors map[discord.ChannelID]int64
	// ahead holds the versions that the hub had passed already where they are above the snapshot's: the frames between
	// must be in the buffer.
	ahead []*delta
}

// open sends the snapshot and then of what came since only what is newer.
func (c *conn) open(snap snapshot) {
	if c.state != connAttaching {
		return
	}
	c.state, c.floors = connLive, snap.floors
	if c.follow(snap) {
		snap.cursor.print = 0
	}
	hello := helloFrame(c.id, c.who.User, c.hub.timing.heartbeat, snap.cursor.String(), false)
	c.begin(hello.b, snap.frame.wire(c.packed))
}

// follow adds what is newer than the snapshot to what leaves at the end of this pass, and reports whether something of that cannot be had again.
func (c *conn) follow(snap snapshot) bool {
	if len(c.buffer) == 0 && len(snap.ahead) == 0 {
		return false
	}
	last := make(map[discord.ChannelID]int64, len(snap.versions))
	for _, x := range snap.versions {
		last[x.channel] = x.version
	}
	unsure := map[discord.ChannelID]*delta{}
	for _, x := range c.buffer {
		if x.read != nil {
			if x.read.Rev > snap.rev {
				c.add(readFrame(x.read, c.person.sees))
			}
			continue
		}
		d := x.delta
		v, ok := last[d.channel]
		switch {
		case !ok && !c.person.sees(d.channel), ok && d.version > 0 && d.version <= v:
		case d.version == 0:
			c.pass(d)
		case ok && d.version == v+1 && unsure[d.channel] == nil:
			last[d.channel] = d.version
			c.pass(d)
		default:
			unsure[d.channel] = d
		}
	}
	for _, d := range snap.ahead {
		if last[d.channel] < d.version && unsure[d.channel] == nil {
			unsure[d.channel] = d
		}
	}
	for id, d := range unsure {
		c.hub.metrics.resets.WithLabelValues("attach").Inc()
		c.add(resetFrame(d.guild, id, d.version))
	}
	c.buffer, c.buffered = nil, 0
	return len(unsure) > 0
}

// send hands bytes to the socket. A connection that cannot keep up is dropped.
func (c *conn) send(b []byte, free bool) {
	if err := c.out.send(b, free); err != nil {
		c.failed(err)
	}
}

// begin hands the first frames to the socket.
func (c *conn) begin(frames ...[]byte) {
	s := c.shard
	var err error
	if s.first, err = c.out.begin(s.first, frames...); err != nil {
		c.failed(err)
	}
	if cap(s.first) > maxFirst {
		s.first = nil
	}
}

// failed ends a connection to which nothing can be sent.
func (c *conn) failed(err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, errSlow):
		c.slow()
	default:
		c.state = connGone
		c.out.drop()
	}
}

// slow drops a connection that cannot keep up: it comes back to a snapshot, which is shorter than what it missed.
func (c *conn) slow() {
	c.state = connGone
	c.buffer = nil
	c.hub.metrics.dropped.WithLabelValues("slow").Inc()
	c.close(statusSlow, retryHint(2*time.Second), true)
}

// shut closes the connection from any goroutine, after what is queued.
func (c *conn) shut(code int, reason string) { c.close(code, reason, false) }

func (c *conn) endSession() {
	c.hub.metrics.dropped.WithLabelValues("session ended").Inc()
	c.shut(statusEnded, "session ended")
}

func (c *conn) close(code int, reason string, drop bool) {
	c.out.shut(closeBytes(code, reason), drop)
	wait := c.hub.timing.closing
	if drop {
		wait *= 2 // it is slow
	}
	// The reader ends with the peer's answer, or then.
	_ = c.out.Conn.SetReadDeadline(time.Now().Add(wait))
	c.out.wake()
}

func (c *conn) watches(id discord.ChannelID) bool {
	if c.watchAll {
		return true
	}
	_, ok := c.watch[id]
	return ok
}

// setWatching keeps the count of connections for which messages must be encoded.
func (c *conn) setWatching(on bool) {
	if on == c.watching {
		return
	}
	c.watching = on
	if on {
		c.hub.watchers.Add(1)
	} else {
		c.hub.watched.Store(time.Now().UnixNano())
		c.hub.watchers.Add(-1)
	}
}
