package hub

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Tell gives what was committed to everybody who may see it, here and in the other processes. It never waits for a socket,
// for Redis or for the store.
func (h *Hub) Tell(_ context.Context, r tidings.Result) {
	for _, a := range r.Access {
		h.accessMoved(a)
		h.bus.publish(channelOf(uint64(a.Guild)), envelope{kind: kindAccess, access: a})
	}
	for _, d := range r.Deltas {
		if d.Guild == 0 {
			continue // Nobody may see a channel of which not even the guild is known.
		}
		out := &delta{
			guild: d.Guild, channel: d.Channel, version: d.Version, accessVersion: d.AccessVersion,
			frame: deltaFrame(d), message: h.messageFrame(d), id: d.ID, gone: goneWith(d),
		}
		out.bind()
		h.dispatch(out)
		h.bus.publish(channelOf(uint64(d.Guild)), envelope{kind: kindDelta, delta: out})
	}
	for _, x := range r.Recovered {
		if x.Guild == 0 {
			continue
		}
		out := &delta{guild: x.Guild, channel: x.Channel, accessVersion: x.AccessVersion, frame: recoveredFrame(x)}
		h.dispatch(out)
		h.bus.publish(channelOf(uint64(x.Guild)), envelope{kind: kindRecovered, delta: out})
	}
	for _, m := range r.Reads {
		h.TellRead(m)
	}
}

// maxGone is how many deleted messages are looked for one by one in a log: each costs a search through all of it.
const maxGone = 5

// goneWith lists what a delta deletes; 0 stands for whatever the channel had.
func goneWith(d tidings.Delta) []discord.MessageID {
	switch {
	case d.Kind == tidings.DeltaReset, len(d.Deleted) > maxGone:
		return []discord.MessageID{0}
	case d.Kind != tidings.DeltaDelete:
		return nil
	case len(d.Deleted) == 0:
		return []discord.MessageID{d.ID}
	}
	ids := make([]discord.MessageID, len(d.Deleted))
	for i, m := range d.Deleted {
		ids[i] = m.ID
	}
	return ids
}

// TellRead gives what a mark changed to all of the person's devices, here and in the other processes.
func (h *Hub) TellRead(r tidings.ReadResult) {
	h.deliverRead(r)
	h.bus.publish(channelOf(uint64(r.User)), envelope{kind: kindRead, read: r})
}

// messageFrame encodes a delta's message when somebody may be watching it.
func (h *Hub) messageFrame(d tidings.Delta) *frame {
	if d.Message == nil || h.encode == nil || !h.bus.remote() && !h.maybeWatched() {
		return nil
	}
	j, err := h.encode(*d.Message)
	if err == nil {
		var f *frame
		if f, err = messageFrame(d.Channel, d.Version, j); err == nil {
			return f
		}
	}
	h.log.Error("a message cannot be encoded", "channel", d.Channel, "message", d.ID, "err", err)
	return nil
}

// maybeWatched reports whether a connection of this process watches messages, or one may come back to watch.
func (h *Hub) maybeWatched() bool {
	return h.watchers.Load() > 0 || time.Since(time.Unix(0, h.watched.Load())) < h.timing.resume
}

// EndSession closes all connections of a session, here and in the other processes.
func (h *Hub) EndSession(session string) {
	key := keyOf(session)
	h.endSession(key)
	h.bus.publish(key.channel(), envelope{kind: kindEnd, session: key})
}

func (h *Hub) endSession(key sessionKey) {
	if key == (sessionKey{}) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.allConns() {
		if c.key == key {
			c.endSession()
		}
	}
}

// deliverRead tells this process' sockets of a person what a mark changed.
func (h *Hub) deliverRead(r tidings.ReadResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[r.User]
	if u == nil {
		return
	}
	u.told++
	other := len(r.Channels) == 0 && r.Rev > u.rev // not how far they have read, but whom they ignore or what they mute
	if other || r.Rev < u.rev || r.Rev > u.rev+1 && u.live() {
		// Late, or one was missed: what is true now is read afresh.
		u.catchUp, u.missed = true, true
		h.queue(u)
	}
	if other || r.Rev < u.rev {
		return
	}
	u.rev = r.Rev
	h.postRead(u, r)
}

// postRead gives a mark to a person's sockets. The caller holds h.mu.
func (h *Hub) postRead(u *user, r tidings.ReadResult) {
	u.shard.do(func(s *shard) {
		p := s.people[u.id]
		if p == nil {
			return
		}
		// Counts of a channel that the person may no longer see are not theirs to know.
		f := readFrame(&r, p.sees)
		for _, c := range p.conns {
			c.takeRead(&r, f)
		}
	})
}

// receive takes what another process has told.
func (h *Hub) receive(e envelope) {
	switch e.kind {
	case kindAccess:
		h.accessMoved(e.access)
	case kindDelta, kindRecovered:
		h.dispatch(e.delta)
	case kindRead:
		h.deliverRead(e.read)
	case kindEnd:
		h.endSession(e.session)
	}
}

// want notes that counts of a channel are asked for. The caller holds h.mu.
func (h *Hub) want(u *user, id discord.ChannelID, asker *conn) {
	for _, c := range u.wants[id] {
		if c == asker {
			return
		}
	}
	if u.wants == nil {
		u.wants = map[discord.ChannelID][]*conn{}
	}
	u.wants[id] = append(u.wants[id], asker)
	h.queue(u)
}

// queue puts a person among those for whom the store must be asked. The caller holds h.mu.
func (h *Hub) queue(u *user) {
	if u.queued {
		return
	}
	u.queued, u.late = true, false
	h.work = append(h.work, u)
	signal(h.workReady)
}
