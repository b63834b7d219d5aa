package store

import (
	"encoding/json"
	"reflect"
	"time"

	"tidings"
)

// reactionMargin is how long what was told of a message's reactions stands against a page: longer than a page and an event are
// on their way.
const reactionMargin = 10 * time.Second

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

// votes holds the votes of a message's poll against those that a page shows, as reactions does. Whose they are the page does not
// say either.
func (b *batch) votes(ev tidings.Event, e tidings.MessageCreated) error {
	k := messageKey{ev.Channel, e.Message.ID}
	row := b.messages[k]
	if e.Asked.IsZero() || e.Message.Partial || len(e.Message.Payload) == 0 || row.deleted || !row.known || ev.Source == tidings.SourceGateway ||
		!row.heldBefore(e.Asked) {
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
	var was, is object
	if json.Unmarshal(o["poll"], &was) != nil || json.Unmarshal(shown["poll"], &is) != nil || was == nil || !present(is["results"]) {
		return nil
	}
	before, _ := voteCounts(was["results"])
	after, ok := voteCounts(is["results"])
	if !ok || reflect.DeepEqual(before, after) {
		return nil
	}
	b.tallies.recount(k)
	was["results"] = is["results"]
	if o["poll"], err = json.Marshal(was); err != nil {
		return err
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return b.tallied(ev, row, payload)
}

// pollCounts are a poll's votes, by answer, and whether it is over.
type pollCounts struct {
	over  bool
	votes map[int]int
}

// voteCounts reads a poll's results. It is not ok where they cannot be read.
func voteCounts(results json.RawMessage) (counts pollCounts, ok bool) {
	counts.votes = map[int]int{}
	if !present(results) {
		return counts, true
	}
	var r struct {
		Over   bool `json:"is_finalized"`
		Counts []struct {
			ID    int `json:"id"`
			Count int `json:"count"`
		} `json:"answer_counts"`
	}
	if json.Unmarshal(results, &r) != nil {
		return counts, false
	}
	counts.over = r.Over
	for _, c := range r.Counts {
		if c.Count > 0 {
			counts.votes[c.ID] = c.Count
		}
	}
	return counts, true
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
