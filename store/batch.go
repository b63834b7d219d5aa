package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// batch works out what a list of events changes. It holds the rows that they concern as they stand under the channels'
// locks; apply changes them one event after another, and write stores the outcome, each row once.
type batch struct {
	channels map[discord.ChannelID]*channelRow
	messages map[messageKey]*heldMessage
	keys     []messageKey // of messages, in the order of the events
	buckets  map[bucketKey]*dayCount
	own      map[ownKey]ownMessage
	gaps     []gap
	late     map[discord.ChannelID]*lateRange
	pins     map[discord.ChannelID]int64
	tallies  tallies
	deltas   []tidings.Delta
	out      bundle // what is to be written next
	// elsewhere are channels outside the batch in which something of it was quoted that is gone.
	elsewhere []discord.ChannelID
	horizon   discord.MessageID // older ids are not kept any more
	now       time.Time
	// everywhere has rows looked for above the newest that a channel has, too.
	everywhere bool
	authors    map[discord.UserID]bool              // of the events' messages, and of what these quote
	optedOut   map[discord.UserID]bool              // those of them whose words are not kept
	signedIn   map[discord.UserID]bool              // those of them who read here
	purgedOf   map[discord.UserID]discord.MessageID // below these ids nothing of them is kept
	quoted     map[Quoted]bool                      // by messages of the events and of the rows
	gone       map[Quoted]bool                      // those of quoted that are deleted
}

type messageKey struct {
	channel discord.ChannelID
	id      discord.MessageID
}

type bucketKey struct {
	channel discord.ChannelID
	day     int32
}

// dayCount is by how much the counts of a day and of its hours change.
type dayCount struct {
	n     int
	hours [24]int32
}

type channelRow struct {
	known    bool
	said     discord.GuildID // by the events
	guild    discord.GuildID
	access   int64
	version  int64
	lastLive discord.MessageID
	lastSeen discord.MessageID
	live     string // the guild's live session; see ledger.go
	since    discord.MessageID
	heard    discord.MessageID // known_id
	purged   discord.MessageID // purged_id
	headless bool              // the newest live message went; the one before it must be looked up
	changed  bool
	learned  bool // its guild was not known before
}

// batchGuild is what a batch needs of the guild of a channel, as it stands under the channel's lock.
type batchGuild struct {
	Kept          bool   `db:"kept"`
	Retention     int    `db:"retention_days"`
	AccessVersion int64  `db:"access_version"`
	LiveSession   string `db:"live_session"`
	// Purged is for channels that are not known yet: the others have it themselves.
	Purged discord.MessageID `db:"purged_id"`
}

type heldMessage struct {
	tidings.Message
	source  tidings.Source
	stored  bool // there is a row
	known   bool // there is one, or there will be
	deleted bool
	whole   bool // content, payload and mentions are needed, not only what decides whether an event is news
	changed bool

	// targets are the mentions that count now; mentioned and mentionedBy are what mention_targets holds.
	targets     tidings.Mentions
	mentioned   tidings.Mentions
	mentionedBy discord.UserID
	remention   bool // what it holds is to be replaced
	// tallied is the position in deltas, plus one, of an update that only changed reactions or votes and that no other
	// delta of the message has followed.
	tallied int
	// reacted is when what was told of its reactions changed them last; reacting says that it is now.
	reacted  time.Time
	reacting bool
	teller
}

// newBatch notes what the events concern.
func newBatch(events []tidings.Event) *batch {
	b := &batch{
		channels: map[discord.ChannelID]*channelRow{},
		messages: make(map[messageKey]*heldMessage, len(events)),
		keys:     make([]messageKey, 0, len(events)),
		buckets:  map[bucketKey]*dayCount{},
		own:      map[ownKey]ownMessage{},
		pins:     map[discord.ChannelID]int64{},
		late:     map[discord.ChannelID]*lateRange{},
		tallies:  newTallies(),
		authors:  map[discord.UserID]bool{},
		optedOut: map[discord.UserID]bool{},
		signedIn: map[discord.UserID]bool{},
		quoted:   map[Quoted]bool{},
	}
	for _, ev := range events {
		switch e := ev.Body.(type) {
		case tidings.MessageCreated:
			// A page that was fetched, and a create that comes late, may hold more than what is stored.
			b.concern(ev, e.Message.ID, ev.Source != tidings.SourceGateway || e.Message.EditedMS > 0)
			b.wrote(e.Message)
		case tidings.MessageUpdated:
			b.concern(ev, e.Message.ID, true)
			b.wrote(e.Message)
		case tidings.MessagesDeleted:
			for _, id := range e.IDs {
				b.concern(ev, id, true)
			}
		case tidings.ReactionChanged:
			b.concern(ev, e.Message, true)
			b.tallies.concern(messageKey{ev.Channel, e.Message}, e)
		case tidings.PollVoted:
			b.concern(ev, e.Message, true)
			b.tallies.concernVote(messageKey{ev.Channel, e.Message}, e)
		default:
			b.channel(ev)
		}
	}
	return b
}

func (b *batch) concern(ev tidings.Event, id discord.MessageID, whole bool) {
	b.channel(ev)
	k := messageKey{ev.Channel, id}
	m := b.messages[k]
	if m == nil {
		m = &heldMessage{Message: tidings.Message{Channel: ev.Channel, ID: id}}
		b.messages[k] = m
		b.keys = append(b.keys, k)
	}
	m.whole = m.whole || whole
}

func (b *batch) channel(ev tidings.Event) {
	c := b.channels[ev.Channel]
	if c == nil {
		c = &channelRow{}
		b.channels[ev.Channel] = c
	}
	if c.said == 0 {
		c.said = ev.Guild
	}
}

// apply changes the batch's rows as one event says, and notes the delta that this makes.
func (b *batch) apply(ev tidings.Event) error {
	c := b.channels[ev.Channel]
	if c.guild == 0 && c.said != 0 {
		c.guild, c.changed, c.learned = c.said, true, c.known
	}
	var err error
	switch e := ev.Body.(type) {
	case tidings.MessageCreated:
		if err = b.see(ev, e.Message, true); err == nil {
			err = b.reactions(ev, e)
		}
		if err == nil {
			err = b.votes(ev, e)
		}
		if err == nil {
			c.hear(ev, e.Message.ID)
		}
	case tidings.MessageUpdated:
		err = b.see(ev, e.Message, false)
	case tidings.MessagesDeleted:
		b.remove(ev, e.IDs)
	case tidings.ReactionChanged:
		err = b.react(ev, e)
	case tidings.PollVoted:
		err = b.vote(ev, e)
	case tidings.PinsChanged:
		b.pins[ev.Channel] = 0
		if !e.LastPin.IsZero() {
			b.pins[ev.Channel] = e.LastPin.UnixMilli()
		}
	}
	return err
}

// see takes in a message object that a source shows, as new (created) or as changed.
func (b *batch) see(ev tidings.Event, m tidings.Message, created bool) error {
	if m.Channel != ev.Channel || m.ID == 0 {
		return fmt.Errorf("%w message %d: its event is of channel %d", tidings.ErrInvalid, m.ID, ev.Channel)
	}
	if m.Flags&tidings.FlagEphemeral != 0 {
		return nil
	}
	row := b.messages[messageKey{ev.Channel, m.ID}]
	switch {
	case m.ID < b.horizon, m.ID <= b.channels[ev.Channel].purged:
		return nil // Deleted by age or on demand, or about to be; bringing it back would count it again.
	case row.deleted, m.ID < b.purgedOf[m.Author]:
		return nil
	}
	m, keep, err := b.keepable(row, m)
	if err != nil || !keep {
		return err
	}
	switch {
	case row.known:
		return b.revise(ev, row, m, b.weigh(ev, row, m, created))
	case m.Partial:
		b.gaps = append(b.gaps, gap{channel: ev.Channel, from: m.ID - 1, to: m.ID, reason: "an update named only a part of an unknown message"})
		return nil
	}
	b.insert(ev, row, m)
	return nil
}

// insert takes in a message that has no row.
func (b *batch) insert(ev tidings.Event, row *heldMessage, m tidings.Message) {
	c := b.channels[ev.Channel]
	m.Guild, m.Mentions, m.Content = c.guild, compactMentions(m.Mentions), clean(m.Content)
	row.Message, row.source = m, ev.Source
	row.known, row.changed = true, true
	row.toldBy(ev)
	if m.Countable && m.ID < c.lastSeen {
		b.comesLate(ev, m.ID)
	}
	c.lastSeen, c.changed = max(c.lastSeen, m.ID), true
	d := tidings.Delta{Kind: tidings.DeltaCreate, ID: m.ID, Author: m.Author}
	if m.Countable {
		row.targets = m.Mentions
		b.count(row, 1)
		b.readBy(row, c)
		d.N, d.Mentions = 1, row.targets
	}
	b.tell(ev, row, d)
}

// suppressEmbeds is the message flag by which people take the embeds away.
const suppressEmbeds = 1 << 2

// revise takes from an object what is news about the stored message.
func (b *batch) revise(ev tidings.Event, row *heldMessage, m tidings.Message, t trust) error {
	if t == trustNothing || (t < trustShown && row.Flags&suppressEmbeds != 0) {
		return nil
	}
	stored, err := row.payload()
	if err != nil {
		return err
	}
	next := m
	switch {
	case t == trustShown:
		merged, news, err := mergeShown(stored, m.Payload)
		if err != nil || !news {
			return err
		}
		next, err = b.reread(row, merged)
		if err != nil {
			return err
		}
	case t != trustAll:
		merged, news, err := mergeEmbeds(stored, m.Payload, t == trustMissingEmbeds)
		if err != nil || !news {
			return err
		}
		next, err = b.reread(row, merged)
		if err != nil {
			return err
		}
	case m.Partial:
		merged, err := mergePayload(stored, m.Payload)
		if err != nil {
			return err
		}
		next, err = b.reread(row, merged)
		if err != nil {
			return err
		}
	case len(m.Payload) > 0:
		if next.Payload, err = replacePayload(stored, m.Payload); err != nil {
			return err
		}
	}
	if t == trustAll {
		row.source = ev.Source
	}
	b.become(ev, row, next, false)
	row.toldBy(ev)
	return nil
}

// reread gives the message that a payload says, with what only the row knows.
func (b *batch) reread(row *heldMessage, payload []byte) (tidings.Message, error) {
	next, err := tidings.ParseMessage(payload, row.Guild)
	if err != nil {
		return tidings.Message{}, err
	}
	if next.Author == 0 {
		next.Author = row.Author
	}
	next.Partial = false
	return next, nil
}

// payload returns what is stored, or the least that a message object has when there is none.
func (m *heldMessage) payload() ([]byte, error) {
	if len(m.Payload) > 0 {
		return m.Payload, nil
	}
	return json.Marshal(map[string]any{
		"id": strconv.FormatUint(uint64(m.ID), 10), "channel_id": strconv.FormatUint(uint64(m.Channel), 10),
		"type": m.Type, "flags": m.Flags, "content": m.Content,
	})
}

// become replaces a live row's message and notes an update, unless the two say the same.
func (b *batch) become(ev tidings.Event, row *heldMessage, next tidings.Message, tally bool) {
	next.Channel, next.ID, next.Guild = row.Channel, row.ID, b.channels[row.Channel].guild
	next.Content, next.Mentions = clean(next.Content), compactMentions(next.Mentions)
	var targets tidings.Mentions
	if next.Countable {
		targets = next.Mentions
	}
	before := row.targets
	mentionsMoved := !sameMentions(before, targets)
	if next.Content == row.Content && next.Type == row.Type && next.Flags == row.Flags && next.EditedMS == row.EditedMS &&
		next.Countable == row.Countable && next.Author == row.Author && !mentionsMoved && sameJSON(next.Payload, row.Payload) {
		return
	}
	d := tidings.Delta{Kind: tidings.DeltaUpdate, ID: row.ID, Author: next.Author, Mentions: targets}
	if mentionsMoved {
		d.Before = &before
	}
	if next.Countable != row.Countable || next.Author != row.Author {
		// Who counts it has changed, which no update can say.
		d = tidings.Delta{Kind: tidings.DeltaReset, ID: row.ID}
	}
	if next.Countable != row.Countable {
		b.count(row, -1)
		row.Message = next
		b.count(row, 1)
	}
	row.Message, row.targets, row.changed = next, targets, true
	if tally && row.tallied > 0 {
		// A storm of reactions is told once a batch: with the last state.
		m := row.Message
		b.deltas[row.tallied-1].Message = &m
		return
	}
	b.tell(ev, row, d)
	if tally {
		row.tallied = len(b.deltas)
	}
}

// remove takes in a delete. What it does not know it buries all the same: a page that was fetched before must not bring
// it back. Nobody has seen such a message, so that makes no delta.
func (b *batch) remove(ev tidings.Event, list []discord.MessageID) {
	c := b.channels[ev.Channel]
	var counted, others []tidings.DeletedMessage
	for _, id := range list {
		row := b.messages[messageKey{ev.Channel, id}]
		if row.deleted || !row.known && (id < b.horizon || id <= c.purged) {
			continue
		}
		if row.known {
			gone := tidings.DeletedMessage{ID: id, Author: row.Author, Mentions: row.targets}
			if row.Countable {
				counted = append(counted, gone)
			} else {
				others = append(others, gone)
			}
			b.count(row, -1)
			b.tallies.forget(messageKey{ev.Channel, id})
		} else {
			row.Countable = false
			row.source = ev.Source
			c.lastSeen, c.changed = max(c.lastSeen, id), true
		}
		row.known, row.deleted, row.changed = true, true, true
		row.Content, row.Payload, row.Has, row.targets, row.Mentions = "", nil, 0, tidings.Mentions{}, tidings.Mentions{}
	}
	b.tellDeleted(ev, counted, -1)
	b.tellDeleted(ev, others, 0)
}

// tellDeleted notes one delta for messages that are alike in whether they counted.
func (b *batch) tellDeleted(ev tidings.Event, gone []tidings.DeletedMessage, n int) {
	d := tidings.Delta{Kind: tidings.DeltaDelete, N: n}
	switch {
	case len(gone) == 0:
		return
	case len(gone) == 1:
		d.ID, d.Author, d.Mentions = gone[0].ID, gone[0].Author, gone[0].Mentions
	case len(gone) > maxBulk:
		d = tidings.Delta{Kind: tidings.DeltaReset}
	default:
		d.Deleted = gone
	}
	b.tell(ev, nil, d)
}

// maxBulk is how many deleted messages a delta names; Discord's own limit of a bulk delete.
const maxBulk = 100

// count keeps the buckets and the head when a row's message comes (1) or goes (-1).
func (b *batch) count(row *heldMessage, n int) {
	if !row.Countable {
		return
	}
	k := bucketKey{row.Channel, tidings.Day(row.ID)}
	if b.buckets[k] == nil {
		b.buckets[k] = &dayCount{}
	}
	b.buckets[k].n += n
	b.buckets[k].hours[tidings.Hour(row.ID)] += int32(n)
	c := b.channels[row.Channel]
	if n > 0 {
		c.lastLive = max(c.lastLive, row.ID)
	} else if row.ID >= c.lastLive {
		c.headless = true
	}
	c.changed = true
}

// tell notes a delta; number gives it its version later. A row, where there is one, is told as it stands now.
func (b *batch) tell(ev tidings.Event, row *heldMessage, d tidings.Delta) {
	c := b.channels[ev.Channel]
	d.Guild, d.Channel, d.AccessVersion, d.At = c.guild, ev.Channel, c.access, ev.At
	if row != nil {
		row.tallied = 0
		if d.Kind != tidings.DeltaReset {
			m := row.Message
			d.Message = &m
		}
	}
	b.deltas = append(b.deltas, d)
}

// number gives each delta the next version of its channel.
func (b *batch) number() []tidings.Delta {
	for i := range b.deltas {
		c := b.channels[b.deltas[i].Channel]
		c.version++
		c.changed = true
		b.deltas[i].Version = c.version
	}
	return b.deltas
}

// compactMentions sorts, and drops what is named twice.
func compactMentions(m tidings.Mentions) tidings.Mentions {
	return tidings.Mentions{Users: compact(m.Users), Roles: compact(m.Roles), Everyone: m.Everyone}
}

func compact[T ~uint64](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// sameMentions compares two that are sorted.
func sameMentions(a, b tidings.Mentions) bool {
	return a.Everyone == b.Everyone && slices.Equal(a.Users, b.Users) && slices.Equal(a.Roles, b.Roles)
}
