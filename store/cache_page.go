package store

import (
	"encoding/binary"
	"errors"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// A page lies in Redis in two parts, because hardly anybody asks for more than the first: "page" has its newest messages, "rest" what
// follows them up to [MaxPage]. Reading one is taking slices of what came: whatever is parsed here is parsed once for each who looks.
//
// A part is a byte that names the form, a byte that says whether there are older messages than those, and the messages. Numbers are
// varints, texts have their length before them.
const (
	pageForm = 1
	// pageHead is how many messages the first part has: what is shown when nothing else is asked for.
	pageHead = DefaultPage
)

// errPageForm is what a part is that this version did not write.
var errPageForm = errors.New("not a page, or one of another form")

// encodePage writes messages of one channel. more says that there are older ones.
func encodePage(messages []tidings.Message, more bool) []byte {
	size := 2
	for _, m := range messages {
		size += 64 + len(m.Content) + len(m.Payload) + 10*(len(m.Mentions.Users)+len(m.Mentions.Roles))
	}
	b := append(make([]byte, 0, size), pageForm, bit(more))
	for _, m := range messages {
		b = binary.AppendUvarint(b, uint64(m.Guild))
		b = binary.AppendUvarint(b, uint64(m.ID))
		b = binary.AppendUvarint(b, uint64(m.Author))
		b = binary.AppendUvarint(b, uint64(m.Type))
		b = binary.AppendUvarint(b, m.Flags)
		b = binary.AppendVarint(b, m.EditedMS)
		b = append(b, bit(m.Countable)|bit(m.Mentions.Everyone)<<1)
		b = binary.AppendUvarint(b, uint64(len(m.Mentions.Users)))
		for _, u := range m.Mentions.Users {
			b = binary.AppendUvarint(b, uint64(u))
		}
		b = binary.AppendUvarint(b, uint64(len(m.Mentions.Roles)))
		for _, r := range m.Mentions.Roles {
			b = binary.AppendUvarint(b, uint64(r))
		}
		b = append(binary.AppendUvarint(b, uint64(len(m.Content))), m.Content...)
		b = append(binary.AppendUvarint(b, uint64(len(m.Payload))), m.Payload...)
	}
	return b
}

func bit(is bool) byte {
	if is {
		return 1
	}
	return 0
}

// decodePage reads what encodePage wrote, no more than limit messages of it. more says that older ones follow.
func decodePage(text string, channel discord.ChannelID, limit int) (messages []tidings.Message, more bool, err error) {
	if len(text) < 2 || text[0] != pageForm || text[1] > 1 {
		return nil, false, errPageForm
	}
	// Contents stay slices of the text. Payloads are bytes, which may be written to: they are slices of one copy.
	r := partReader{text: text[2:]}
	payloads := []byte(r.text)
	messages = make([]tidings.Message, 0, limit)
	for len(r.text) > 0 {
		if len(messages) == limit {
			return messages, true, nil
		}
		m := tidings.Message{
			Channel: channel, Guild: discord.GuildID(r.number()), ID: discord.MessageID(r.number()), Author: discord.UserID(r.number()),
			Type: int(r.number()), Flags: r.number(), EditedMS: r.signed(),
		}
		flags := r.number()
		m.Countable, m.Mentions.Everyone = flags&1 != 0, flags&2 != 0
		for range r.count() {
			m.Mentions.Users = append(m.Mentions.Users, discord.UserID(r.number()))
		}
		for range r.count() {
			m.Mentions.Roles = append(m.Mentions.Roles, discord.RoleID(r.number()))
		}
		m.Content = r.string()
		n := r.count()
		if r.bad {
			return nil, false, errPageForm
		}
		if from := len(payloads) - len(r.text); n > 0 {
			m.Payload = payloads[from : from+n : from+n]
		}
		r.text = r.text[n:]
		messages = append(messages, m)
	}
	return messages, text[1] == 1, nil
}

// partReader takes values off the front of a text. Once it is bad it gives zeroes.
type partReader struct {
	text string
	bad  bool
}

func (r *partReader) number() (n uint64) {
	for i := 0; i < len(r.text) && i < binary.MaxVarintLen64; i++ {
		c := r.text[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.text = r.text[i+1:]
			return n
		}
	}
	r.bad, r.text = true, ""
	return 0
}

func (r *partReader) signed() int64 {
	n := r.number()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads how much follows: no more than is there.
func (r *partReader) count() int {
	n := r.number()
	if n > uint64(len(r.text)) {
		r.bad, r.text = true, ""
		return 0
	}
	return int(n)
}

func (r *partReader) string() string {
	n := r.count()
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}
