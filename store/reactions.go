package store

import (
	"encoding/json"
	"time"

	"tidings"
)

// reactionMargin is how long what was told of a message's reactions stands against a page: longer than a page and an event are
// on their way.
const reactionMargin = 10 * time.Second

// reactedNow is the value of reacted_at: Postgres' own clock, or nothing new.
func (m *heldMessage) reactedNow() any {
	if m.reacting {
		return "now"
	}
	return nil
}

// reactions holds a message's reactions against those that a page shows, and takes the page's where they differ: an event about
// them was never told. Whose they are the page does not say; so of the emojis that differ, the first word about a person is
// believed again. An event that is still on its way counts twice then, until the channel is read again because of it.
func (b *batch) reactions(ev tidings.Event, e tidings.MessageCreated) error {
	k := messageKey{ev.Channel, e.Message.ID}
	row := b.messages[k]
	if e.Asked.IsZero() || e.Message.Partial || len(e.Message.Payload) == 0 || row.deleted || !row.known || !row.whole || row.reacting ||
		row.reacted.After(e.Asked.Add(-reactionMargin)) || ev.Source == tidings.SourceGateway {
		return nil
	}
	stored, err := row.payload()
	if err != nil {
		return err
	}
	o, err := parseObject(stored)
	if err != nil {
		return err
	}
	shown, err := parseObject(e.Message.Payload)
	if err != nil {
		return err
	}
	was, _ := emojiCounts(o)
	is, ok := emojiCounts(shown)
	if !ok {
		return nil
	}
	differ := false
	for _, counts := range []map[string]int{was, is} {
		for emoji := range counts {
			if was[emoji] != is[emoji] {
				differ = true
				b.tallies.clear(k, emoji)
			}
		}
	}
	if !differ {
		return nil
	}
	delete(o, "reactions")
	if len(is) > 0 {
		o["reactions"] = shown["reactions"]
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return b.tallied(ev, row, payload)
}

// emojiCounts are a message's reactions, by the identity of their emojis. It is not ok where the list cannot be read.
func emojiCounts(o object) (counts map[string]int, ok bool) {
	var list []struct {
		Emoji json.RawMessage `json:"emoji"`
		Count int             `json:"count"`
	}
	if emptyList(o["reactions"]) {
		return nil, true
	}
	if json.Unmarshal(o["reactions"], &list) != nil {
		return nil, false
	}
	counts = map[string]int{}
	for _, r := range list {
		if key := emojiKey(r.Emoji); key != "" && r.Count > 0 {
			counts[key] = r.Count
		}
	}
	return counts, true
}
