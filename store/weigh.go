package store

import (
	"hash/fnv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// trust says how much of a message object is news about a stored message.
type trust int

const (
	trustNothing       trust = iota
	trustMissingEmbeds       // its embeds, where the stored message has none
	trustEmbeds              // its embeds
	trustShown               // all that can change without an edit: see shownFields
	trustAll
)

// teller is what a row knows about who told of it last. Discord changes much of a message without touching edited_timestamp:
// pins, flags, embeds that are taken away, components. What orders those is the gateway's numbering, and of a page when it was
// asked for.
type teller struct {
	session int64     // a hash of the gateway session that told of it last; 0 for none
	seq     int64     // where in that session
	told    time.Time // when the row was made, or the gateway changed it last, by the database's clock
	telling bool      // the gateway changes it now
}

// toldBy notes that the gateway's word about the row was taken.
func (t *teller) toldBy(ev tidings.Event) {
	if ev.Source != tidings.SourceGateway {
		return
	}
	t.telling = true
	if ev.Mark.Session != "" {
		t.session, t.seq = sessionHash(ev.Mark.Session), ev.Mark.Seq
	}
}

func sessionHash(session string) int64 {
	h := fnv.New64a()
	h.Write([]byte(session))
	return max(int64(h.Sum64()>>1), 1)
}

// weigh orders an object and the stored message by edited_timestamp. An older or empty timestamp is what an embed has that Discord
// resolved later. Ties of the gateway go by its own numbering, those of a page by whether the gateway has changed the message since
// the page was asked for; what orders neither is fetched.
func (b *batch) weigh(ev tidings.Event, row *heldMessage, m tidings.Message, created bool) trust {
	gateway := ev.Source == tidings.SourceGateway
	switch {
	case m.EditedMS > row.EditedMS:
		return trustAll
	case gateway && !created && !b.follows(ev, row, m.ID):
		return trustNothing
	case m.EditedMS == row.EditedMS && gateway && (!created || row.source == tidings.SourceWebhook):
		return trustAll
	case m.EditedMS == row.EditedMS && !gateway:
		if asked := askedAt(ev); !m.Partial && !asked.IsZero() && row.heldBefore(asked) {
			return trustShown
		}
		return trustMissingEmbeds
	case created || !gateway:
		return trustNothing
	case m.EditedMS == 0:
		return trustEmbeds
	}
	return trustMissingEmbeds
}

// follows reports whether an event of the gateway came after what its message's row holds. A session numbers what it tells, and may
// say it twice. Of two sessions the guild's live one is the later; between others Discord is asked, by way of a gap.
func (b *batch) follows(ev tidings.Event, row *heldMessage, id discord.MessageID) bool {
	if ev.Mark.Session == "" || row.session == 0 {
		return true
	}
	if row.session == sessionHash(ev.Mark.Session) {
		return ev.Mark.Seq > row.seq
	}
	if ev.Mark.Session == b.channels[ev.Channel].live {
		return true
	}
	b.gaps = append(b.gaps, gap{channel: ev.Channel, from: id - 1, to: id, reason: "two sessions told of a message"})
	return false
}

func askedAt(ev tidings.Event) time.Time {
	e, _ := ev.Body.(tidings.MessageCreated)
	return e.Asked
}

// heldBefore reports whether the gateway has left the row alone for a while before a page was asked for.
func (m *heldMessage) heldBefore(asked time.Time) bool {
	return m.whole && !m.telling && m.told.Before(asked.Add(-reactionMargin))
}
