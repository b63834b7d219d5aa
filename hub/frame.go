package hub

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Close codes of the live socket.
const (
	statusRestart   = 1012 // going away; the reason says when to come back
	statusProtocol  = 4000
	statusSignedOut = 4001
	statusEnded     = 4003
	statusSlow      = 4008
	statusTooMany   = 4009
)

// frame is one prepared websocket text frame: the bytes that go to every connection, never changed once made.
type frame struct {
	b     []byte
	head  int      // length of the websocket header
	parts []*frame // of several that always go together: b is one behind the other

	packing sync.Once
	small   []byte // what packed returns
}

// body is the text of a frame without parts.
func (f *frame) body() []byte { return f.b[f.head:] }

// count is how many frames it is.
func (f *frame) count() int { return max(1, len(f.parts)) }

// together makes one of several frames.
func together(parts ...*frame) *frame {
	n := 0
	for _, p := range parts {
		n += len(p.b)
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = append(b, p.b...)
	}
	return &frame{b: b, parts: parts}
}

// headRoom is the longest header of an unmasked frame.
const headRoom = 10

// First bytes of websocket frames.
const (
	finalText = 0x81
	packedBit = 0x40
)

// seal writes the header of a text frame in front of a body that begins at buf[headRoom].
func seal(buf []byte) *frame { return sealAs(buf, finalText) }

// sealAs is seal with a first byte of its own.
func sealAs(buf []byte, first byte) *frame {
	n := len(buf) - headRoom
	var head int
	switch {
	case n < 126:
		head = 2
		buf[headRoom-1] = byte(n)
	case n < 1<<16:
		head = 4
		buf[headRoom-3] = 126
		binary.BigEndian.PutUint16(buf[headRoom-2:], uint16(n))
	default:
		head = 10
		buf[headRoom-9] = 127
		binary.BigEndian.PutUint64(buf[headRoom-8:], uint64(n))
	}
	buf[headRoom-head] = first
	return &frame{b: buf[headRoom-head:], head: head}
}

func room(n int) []byte { return make([]byte, headRoom, headRoom+n) }

func textFrame(body []byte) *frame { return seal(append(room(len(body)), body...)) }

var pingFrame = &frame{b: []byte{0x89, 0}, head: 2}

func closeBytes(code int, reason string) []byte {
	reason = reason[:min(len(reason), 123)]
	b := make([]byte, 0, 4+len(reason))
	b = append(b, 0x88, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(b, reason...)
}

// retryHint asks a client to come back after a random part of spread, so that not all come at once.
func retryHint(spread time.Duration) string {
	return fmt.Sprintf("retry_ms=%d", rand.Int64N(max(1, spread.Milliseconds())))
}

func appendID[T ~uint64](b []byte, id T) []byte {
	if id == 0 || id == ^T(0) {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(id), 10)
	return append(b, '"')
}

func appendIDs[T ~uint64](b []byte, ids []T) []byte {
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendID(b, id)
	}
	return append(b, ']')
}

func appendMentions(b []byte, m tidings.Mentions) []byte {
	b = append(b, `{"u":`...)
	b = appendIDs(b, m.Users)
	b = append(b, `,"r":`...)
	b = appendIDs(b, m.Roles)
	b = append(b, `,"e":`...)
	b = strconv.AppendBool(b, m.Everyone)
	return append(b, '}')
}

// maxNamed is how many messages of a bulk delete a frame names; with more, clients are told to ask.
const maxNamed = 100

// deltaFrame encodes what goes to everyone who may see the channel.
func deltaFrame(d tidings.Delta) *frame {
	unsure := d.ID == 0 && len(d.Deleted) == 0 || len(d.Deleted) > maxNamed
	if d.Kind == tidings.DeltaReset || unsure {
		return resetFrame(d.Guild, d.Channel, d.Version)
	}
	b := appendDeltaHead(room(256+64*len(d.Deleted)), d.Guild, d.Channel, d.Version, d.Kind)
	if len(d.Deleted) > 0 {
		b = append(b, `,"n":`...)
		b = strconv.AppendInt(b, int64(d.N), 10)
		b = append(b, `,"ids":[`...)
		for i, m := range d.Deleted {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendID(append(b, '['), m.ID)
			b = appendID(append(b, ','), m.Author)
			b = appendMentions(append(b, ','), m.Mentions)
			b = append(b, ']')
		}
		return seal(append(b, "]}"...))
	}
	b = appendID(append(b, `,"id":`...), d.ID)
	b = appendID(append(b, `,"a":`...), d.Author)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(d.N), 10)
	b = appendMentions(append(b, `,"m":`...), d.Mentions)
	if d.Before != nil {
		b = appendMentions(append(b, `,"m0":`...), *d.Before)
	}
	return seal(append(b, '}'))
}

func appendDeltaHead(b []byte, g discord.GuildID, c discord.ChannelID, version int64, kind tidings.DeltaKind) []byte {
	b = appendID(append(b, `{"op":"delta","c":`...), c)
	b = appendID(append(b, `,"g":`...), g)
	b = strconv.AppendInt(append(b, `,"v":`...), version, 10)
	b = append(append(b, `,"k":"`...), kind.String()...)
	return append(b, '"')
}

// resetFrame tells clients to ask for the channel's counts.
func resetFrame(g discord.GuildID, c discord.ChannelID, version int64) *frame {
	return seal(append(appendDeltaHead(room(96), g, c, version, tidings.DeltaReset), '}'))
}

// recoveredFrame tells that messages of the past were found again.
func recoveredFrame(r tidings.Recovered) *frame {
	b := appendID(append(room(112), `{"op":"recovered","c":`...), r.Channel)
	b = appendID(append(b, `,"from":`...), r.From)
	b = appendID(append(b, `,"to":`...), r.To)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(r.N), 10)
	return seal(append(b, '}'))
}

// messageFrame wraps a message's JSON for those who watch the channel.
func messageFrame(c discord.ChannelID, version int64, message []byte) (*frame, error) {
	if bytes.IndexByte(message, '\n') >= 0 {
		// A line break separates frames on this socket.
		var one bytes.Buffer
		if err := json.Compact(&one, message); err != nil {
			return nil, fmt.Errorf("message json: %w", err)
		}
		message = one.Bytes()
	}
	b := appendID(append(room(64+len(message)), `{"op":"message","c":`...), c)
	b = strconv.AppendInt(append(b, `,"v":`...), version, 10)
	b = append(append(b, `,"message":`...), message...)
	return seal(append(b, '}')), nil
}

func helloFrame(session string, u discord.UserID, heartbeat time.Duration, cursor string, resumed bool) *frame {
	b := append(room(160), `{"op":"hello","session":"`...)
	b = append(append(b, session...), `","user":`...)
	b = appendID(b, u)
	b = strconv.AppendInt(append(b, `,"heartbeat_ms":`...), heartbeat.Milliseconds(), 10)
	b = strconv.AppendBool(append(b, `,"resumed":`...), resumed)
	b = append(append(b, `,"cursor":"`...), cursor...)
	return seal(append(b, `"}`...))
}

func countFrame(c tidings.ReadChannel) *frame {
	b := appendID(append(room(192), `{"op":"count","c":`...), c.ID)
	b = appendCounts(b, c)
	b = appendID(append(b, `,"last_id":`...), c.LastID)
	return seal(append(b, '}'))
}

func appendCounts(b []byte, c tidings.ReadChannel) []byte {
	b = strconv.AppendInt(append(b, `,"v":`...), c.Version, 10)
	b = appendID(append(b, `,"read_id":`...), c.ReadID)
	b = strconv.AppendInt(append(b, `,"unread":`...), int64(c.Unread), 10)
	b = strconv.AppendInt(append(b, `,"mentions":`...), int64(c.Mentions), 10)
	return appendID(append(b, `,"first_unread":`...), c.FirstUnread)
}

// readFrame tells a person's devices what a mark changed, in the channels that keep lets through.
func readFrame(r *tidings.ReadResult, keep func(discord.ChannelID) bool) *frame {
	b := strconv.AppendInt(append(room(64+160*len(r.Channels)), `{"op":"read","rev":`...), r.Rev, 10)
	b = append(b, `,"channels":[`...)
	first := true
	for _, c := range r.Channels {
		if !keep(c.ID) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendCounts(appendID(append(b, `{"c":`...), c.ID), c)
		b = append(b, '}')
	}
	b = append(b, ']')
	if r.Preferences != nil {
		b = appendPreferences(b, r.Preferences, keep)
	}
	return seal(append(b, '}'))
}

func appendPreferences(b []byte, p *tidings.Preferences, keep func(discord.ChannelID) bool) []byte {
	b = appendIDs(append(b, `,"ignored":`...), p.Ignored)
	b = append(b, `,"muted":{`...)
	first := true
	for id, until := range p.Muted {
		if !keep(id) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendID(b, id), ':')
		if until == nil {
			b = append(b, "null"...)
			continue
		}
		b = until.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `},"suppressed":{`...)
	first = true
	for id, s := range p.Suppressed {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = strconv.AppendBool(append(appendID(b, id), `:{"suppress_everyone":`...), s.Everyone)
		b = strconv.AppendBool(append(b, `,"suppress_roles":`...), s.Roles)
		b = append(b, '}')
	}
	return append(b, '}')
}

// accessFrame carries a cursor, because the one that the client has is of what it could read before: it would pass again when the change is taken
// back, and the client would go on as if it had never been told of the change.
func accessFrame(epoch int64, gained, lost []discord.ChannelID, roles map[discord.GuildID][]discord.RoleID, cur cursor) *frame {
	b := strconv.AppendInt(append(room(128+22*(len(gained)+len(lost))), `{"op":"access","epoch":`...), epoch, 10)
	b = appendIDs(append(b, `,"gained":`...), gained)
	b = appendIDs(append(b, `,"lost":`...), lost)
	b = append(b, `,"roles":{`...)
	first := true
	for g, rs := range roles {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendIDs(append(appendID(b, g), ':'), rs)
	}
	b = append(append(append(b, `},"cursor":"`...), cur.String()...), `"}`...)
	return seal(b)
}

func pongFrame(cursor string) *frame {
	return textFrame([]byte(`{"op":"pong","cursor":"` + cursor + `"}`))
}

// errorFrame tells a client what it did wrong, or what did not work. Both texts are the hub's own.
func errorFrame(code, message string) *frame {
	j, _ := json.Marshal(struct {
		Op      string `json:"op"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{"error", code, message})
	return textFrame(j)
}
