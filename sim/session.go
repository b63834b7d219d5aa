package sim

import "time"

// event is one dispatch of a session, kept for RESUME.
type event struct {
	seq int64
	t   string
	d   []byte
	at  time.Time
}

// session is one gateway session. It outlives its connections.
type session struct {
	id      string
	user    *User
	token   string
	intents Intent
	shard   [2]int
	version int
	large   int
	seq     int64
	// ring holds the dispatches from ring[0].seq to seq without a hole.
	ring []event
	// sent is the last sequence that the connection has taken.
	sent     int64
	conn     *conn
	detached time.Time
	chunked  map[ID]time.Time
}

// has says whether the session's shard is the guild's.
func (x *session) has(guild ID) bool { return int(uint64(guild>>22)%uint64(x.shard[1])) == x.shard[0] }

// push appends a dispatch and wakes the connection.
func (s *Sim) push(x *session, t string, d []byte) {
	now := s.now()
	x.seq++
	x.ring = append(x.ring, event{seq: x.seq, t: t, d: d, at: now})
	// What the connection has not taken yet is never trimmed. Without a connection the bounds hold for all.
	for len(x.ring) > 1 {
		e := x.ring[0]
		if x.conn != nil && e.seq > x.sent || len(x.ring) <= s.o.ReplayEvents && now.Sub(e.at) <= s.o.ReplayAge {
			break
		}
		x.ring[0] = event{}
		x.ring = x.ring[1:]
	}
	if x.conn != nil {
		if x.seq-x.sent > maxUnsent {
			s.log.Warn("gateway client too slow, dropped", "unsent", x.seq-x.sent)
			x.conn.drop()
		}
		x.conn.poke()
	}
}

// maxUnsent is how many dispatches may wait for one connection before it is dropped. Replays pause long before it.
const maxUnsent = 200_000

// take gives up to n dispatches that the connection has not had, and counts them as sent.
func (x *session) take(n int) []event {
	i := int(x.sent + 1 - x.first())
	if i < 0 || i >= len(x.ring) {
		return nil
	}
	out := append([]event(nil), x.ring[i:min(i+n, len(x.ring))]...)
	x.sent = out[len(out)-1].seq
	return out
}

// first is the sequence of the oldest kept dispatch.
func (x *session) first() int64 {
	if len(x.ring) == 0 {
		return x.seq + 1
	}
	return x.ring[0].seq
}

// expired says whether a session without connection can no longer be resumed.
func (s *Sim) expired(x *session) bool {
	return x.conn == nil && s.now().Sub(x.detached) > s.o.ReplayAge
}

// expire forgets what time has ended.
func (s *Sim) expire() {
	for id, x := range s.sessions {
		if s.expired(x) {
			delete(s.sessions, id)
		}
	}
	s.grants.expire(s.now())
	s.limits.forget(s.now())
	s.expireThreadsAndPolls()
}

// full says whether an attached session has so much unsent that a replay should wait.
func (s *Sim) full() bool {
	for _, x := range s.sessions {
		if x.conn != nil && x.seq-x.sent > 512 {
			return true
		}
	}
	return false
}
