package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// bus tells the hubs of other processes what this one was told. What it loses, it says that it lost.
type bus interface {
	// publish never waits.
	publish(channel int, e envelope)
	// run works until ctx ends.
	run(ctx context.Context)
	// remote reports whether there may be other processes.
	remote() bool
}

// busChannels is how many channels of Redis are used, whatever the number of guilds: every hub listens to all.
const busChannels = 16

const allChannels = 1<<busChannels - 1

// channelOf chooses the bus channel of a guild or a user.
func channelOf(id uint64) int { return int(spread(id) % busChannels) }

func (k sessionKey) channel() int { return channelOf(binary.BigEndian.Uint64(k[:8])) }

// envelope is one thing on the bus.
type envelope struct {
	publisher uint64 // of one run of one process
	seq       uint64 // of the publisher, in this bus channel; grows by one
	kind      byte

	delta   *delta               // kindDelta, kindRecovered
	access  tidings.AccessChange // kindAccess
	read    tidings.ReadResult   // kindRead
	session sessionKey           // kindEnd
}

// Kinds of envelopes.
const (
	kindDelta byte = iota + 1
	kindAccess
	kindRead
	kindEnd
	kindLost      // the publisher could not publish what came before
	kindRecovered // as kindDelta, without a version
)

// wireVersion begins every envelope, so that a process of another version is not misread.
const wireVersion = 1

// Bounds of what is taken from the bus.
const (
	maxEnvelope = 4 << 20
	maxUsers    = 1 << 20
	maxChannels = 1 << 16
)

var errEnvelope = errors.New("malformed envelope")

// encode makes an envelope's bytes: fixed head, then unsigned varints and length-prefixed byte strings.
func (e envelope) encode() []byte {
	n := 64
	if e.delta != nil {
		n += len(e.delta.frame.b)
		if e.delta.message != nil {
			n += len(e.delta.message.b)
		}
	}
	b := make([]byte, 0, n)
	b = append(b, wireVersion, e.kind)
	b = binary.BigEndian.AppendUint64(b, e.publisher)
	b = binary.AppendUvarint(b, e.seq)
	switch e.kind {
	case kindDelta, kindRecovered:
		d := e.delta
		b = binary.AppendUvarint(b, uint64(d.guild))
		b = binary.AppendUvarint(b, uint64(d.channel))
		b = binary.AppendUvarint(b, uint64(d.version))
		b = binary.AppendUvarint(b, uint64(d.accessVersion))
		b = appendBytes(b, d.frame.body())
		if d.message == nil {
			return append(b, 0)
		}
		b = appendBytes(b, d.message.body())
	case kindAccess:
		b = binary.AppendUvarint(b, uint64(e.access.Guild))
		b = binary.AppendUvarint(b, uint64(e.access.Version))
		b = binary.AppendUvarint(b, uint64(len(e.access.Users)))
		for _, u := range e.access.Users {
			b = binary.AppendUvarint(b, uint64(u))
		}
	case kindRead:
		b = binary.AppendUvarint(b, uint64(e.read.User))
		b = binary.AppendUvarint(b, uint64(e.read.Rev))
		b = binary.AppendUvarint(b, uint64(len(e.read.Channels)))
		for _, c := range e.read.Channels {
			for _, x := range [...]uint64{
				uint64(c.ID), uint64(c.Version), uint64(c.ReadID), uint64(c.Unread), uint64(c.Mentions),
				uint64(c.FirstUnread), uint64(c.LastID),
			} {
				b = binary.AppendUvarint(b, x)
			}
		}
	case kindEnd:
		b = append(b, e.session[:]...)
	}
	return b
}

func appendBytes(b, x []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(x))), x...) }

// decodeEnvelope reads what encode made. Anything else is an error.
func decodeEnvelope(b []byte) (envelope, error) {
	r := reader{b: b}
	var e envelope
	if len(b) > maxEnvelope {
		return e, fmt.Errorf("%w: %d bytes", errEnvelope, len(b))
	}
	if r.byte() != wireVersion {
		return e, fmt.Errorf("%w: another version", errEnvelope)
	}
	e.kind = r.byte()
	if p := r.take(8); p != nil {
		e.publisher = binary.BigEndian.Uint64(p)
	}
	e.seq = r.uint()
	switch e.kind {
	case kindDelta, kindRecovered:
		d := &delta{
			guild: discord.GuildID(r.uint()), channel: discord.ChannelID(r.uint()), version: r.int(), accessVersion: r.int(),
		}
		d.frame = textFrame(r.bytes())
		if m := r.bytes(); len(m) > 0 {
			d.message = textFrame(m)
		}
		if d.guild == 0 || d.channel == 0 || len(d.frame.body()) == 0 || (d.version == 0) != (e.kind == kindRecovered) {
			r.bad = true
		}
		d.bind()
		e.delta = d
	case kindAccess:
		e.access.Guild, e.access.Version = discord.GuildID(r.uint()), r.int()
		for range r.count(maxUsers) {
			e.access.Users = append(e.access.Users, discord.UserID(r.uint()))
		}
	case kindRead:
		e.read.User, e.read.Rev = discord.UserID(r.uint()), r.int()
		for range r.count(maxChannels) {
			e.read.Channels = append(e.read.Channels, tidings.ReadChannel{
				ID: discord.ChannelID(r.uint()), Version: r.int(), ReadID: discord.MessageID(r.uint()),
				Unread: int(r.int()), Mentions: int(r.int()),
				FirstUnread: discord.MessageID(r.uint()), LastID: discord.MessageID(r.uint()),
			})
		}
	case kindEnd:
		if k := r.take(16); k != nil {
			e.session = sessionKey(k)
		}
	case kindLost:
	default:
		r.bad = true
	}
	if r.bad || len(r.b) > 0 {
		return envelope{}, errEnvelope
	}
	return e, nil
}

// reader takes an envelope apart. Once bad, it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	if r.bad {
		return 0
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

// int reads a number that must not be negative.
func (r *reader) int() int64 {
	x := r.uint()
	if x > math.MaxInt64 {
		r.bad = true
		return 0
	}
	return int64(x)
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

// count reads the length of a list, each of whose elements takes at least a byte.
func (r *reader) count(most int) int {
	n := r.uint()
	if n > uint64(most) || n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}
