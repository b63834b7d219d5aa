package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// object is a JSON object whose values are kept as they came.
type object map[string]json.RawMessage

func parseObject(payload []byte) (object, error) {
	o := object{}
	if len(payload) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(payload, &o); err != nil {
		return nil, fmt.Errorf("read a payload: %w", err)
	}
	if o == nil { // The payload was null.
		o = object{}
	}
	return o, nil
}

// mergePayload writes the fields that patch names over those of stored.
func mergePayload(stored, patch []byte) ([]byte, error) {
	o, err := parseObject(stored)
	if err != nil {
		return nil, err
	}
	p, err := parseObject(patch)
	if err != nil {
		return nil, err
	}
	for k, v := range p {
		o[k] = v
	}
	return json.Marshal(o)
}

// mergeEmbeds takes only the embeds of patch. It reports false when there are none to take, or when stored has its own and
// keep is set.
func mergeEmbeds(stored, patch []byte, keep bool) ([]byte, bool, error) {
	p, err := parseObject(patch)
	if err != nil || emptyList(p["embeds"]) {
		return nil, false, err
	}
	o, err := parseObject(stored)
	if err != nil {
		return nil, false, err
	}
	if !emptyList(o["embeds"]) && (keep || sameJSON(o["embeds"], p["embeds"])) {
		return nil, false, nil
	}
	o["embeds"] = p["embeds"]
	out, err := json.Marshal(o)
	return out, err == nil, err
}

// shownFields are what Discord changes of a message without an edit. Whatever else differs between what the gateway tells and what a
// page shows is how they show it.
var shownFields = []string{"flags", "pinned", "embeds", "components", "content"}

// mergeShown takes from shown what can change without an edit, where it differs. It reports false when nothing does.
func mergeShown(stored, shown []byte) ([]byte, bool, error) {
	o, err := parseObject(stored)
	if err != nil {
		return nil, false, err
	}
	s, err := parseObject(shown)
	if err != nil {
		return nil, false, err
	}
	news := false
	for _, k := range shownFields {
		if sameShown(o[k], s[k]) {
			continue
		}
		news = true
		if _, named := s[k]; named {
			o[k] = s[k]
		} else {
			delete(o, k)
		}
	}
	if !news {
		return nil, false, nil
	}
	out, err := json.Marshal(o)
	return out, err == nil, err
}

// sameShown reports whether two values are shown alike. Addresses of Discord's files are signed anew with each answer.
func sameShown(a, b json.RawMessage) bool {
	if sameJSON(a, b) {
		return true
	}
	x, errX := decodeAny(a)
	y, errY := decodeAny(b)
	if len(a) > 0 && errX != nil || len(b) > 0 && errY != nil {
		return false
	}
	return reflect.DeepEqual(plainly(x), plainly(y))
}

// plainly drops signatures from the addresses in a value, and makes one of what says "none".
func plainly(v any) any {
	switch v := v.(type) {
	case string:
		for _, host := range []string{"https://cdn.discordapp.com/", "https://media.discordapp.net/"} {
			if strings.HasPrefix(v, host) {
				v, _, _ = strings.Cut(v, "?")
			}
		}
		if v == "" {
			return nil
		}
		return v
	case bool:
		if !v {
			return nil
		}
	case json.Number:
		if v == "0" {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plainly(e)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if e = plainly(e); e != nil {
				out[k] = e
			}
		}
		return out
	}
	return v
}

// replacePayload returns next, with what Discord leaves out of an edited message although it still stands: its reactions and
// the votes of its poll.
func replacePayload(stored, next []byte) ([]byte, error) {
	o, err := parseObject(stored)
	if err != nil {
		return nil, err
	}
	n, err := parseObject(next)
	if err != nil {
		return nil, err
	}
	changed := false
	if _, named := n["reactions"]; !named && !emptyList(o["reactions"]) {
		n["reactions"] = o["reactions"]
		changed = true
	}
	if poll := withResults(o["poll"], n["poll"]); poll != nil {
		n["poll"] = poll
		changed = true
	}
	if !changed {
		return next, nil
	}
	return json.Marshal(n)
}

// withResults returns the poll next with the results of stored; nil when next has its own, or there is nothing to add.
func withResults(stored, next json.RawMessage) json.RawMessage {
	var o, n object
	if json.Unmarshal(stored, &o) != nil || json.Unmarshal(next, &n) != nil || n == nil {
		return nil
	}
	if present(n["results"]) || !present(o["results"]) {
		return nil
	}
	n["results"] = o["results"]
	out, err := json.Marshal(n)
	if err != nil {
		return nil
	}
	return out
}

func present(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// emptyList reports whether a field is absent, null or [].
func emptyList(v json.RawMessage) bool {
	if !present(v) {
		return true
	}
	b := bytes.TrimSpace(v)
	return len(b) >= 2 && b[0] == '[' && len(bytes.TrimSpace(b[1:len(b)-1])) == 0
}

// sameJSON reports whether two texts say the same, whatever the order of their keys and their white space.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := decodeAny(a)
	y, errY := decodeAny(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decodeAny(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // Ids that are written as numbers must not be rounded.
	err = d.Decode(&v)
	return v, err
}

// What follows counts in lists that Discord made. One that cannot be read counts as empty: a message is not lost for it.

// countEmoji changes the count of one emoji in the payload's reactions by n; an emoji whose count falls to 0 goes.
func countEmoji(payload []byte, emoji string, n int) ([]byte, bool, error) {
	o, err := parseObject(payload)
	if err != nil {
		return nil, false, err
	}
	var list []object
	if present(o["reactions"]) && json.Unmarshal(o["reactions"], &list) != nil {
		list = nil
	}
	at := -1
	for i, r := range list {
		if r != nil && emojiKey(r["emoji"]) == emojiIdentity(emoji) {
			at = i
			break
		}
	}
	if at < 0 {
		if n <= 0 {
			return nil, false, nil
		}
		list = append(list, object{"emoji": emojiJSON(emoji), "count": json.RawMessage("0")})
		at = len(list) - 1
	}
	var count int
	if present(list[at]["count"]) && json.Unmarshal(list[at]["count"], &count) != nil {
		count = 0
	}
	if count += n; count > 0 {
		list[at]["count"], _ = json.Marshal(count)
	} else {
		list = append(list[:at], list[at+1:]...)
	}
	return withList(o, "reactions", list)
}

// dropEmoji removes one emoji, by its identity, from the payload's reactions, or all of them when emoji is "".
func dropEmoji(payload []byte, emoji string) ([]byte, bool, error) {
	o, err := parseObject(payload)
	if err != nil || emptyList(o["reactions"]) {
		return nil, false, err
	}
	var list, kept []object
	if json.Unmarshal(o["reactions"], &list) != nil {
		emoji = ""
	}
	if emoji != "" {
		for _, r := range list {
			if emojiKey(r["emoji"]) != emoji {
				kept = append(kept, r)
			}
		}
	}
	if len(kept) == len(list) && len(list) > 0 {
		return nil, false, nil
	}
	return withList(o, "reactions", kept)
}

func withList(o object, key string, list []object) ([]byte, bool, error) {
	if len(list) == 0 {
		delete(o, key)
	} else {
		v, err := json.Marshal(list)
		if err != nil {
			return nil, false, err
		}
		o[key] = v
	}
	out, err := json.Marshal(o)
	return out, err == nil, err
}

type wireEmoji struct {
	ID   *string `json:"id"`
	Name *string `json:"name"`
}

// emojiIdentity tells an emoji, as events speak of it, from all others: ":id" of a custom one, because a name may change, and is
// not there when the emoji is deleted; the character itself otherwise.
func emojiIdentity(emoji string) string {
	if i := strings.LastIndexByte(emoji, ':'); i >= 0 && i < len(emoji)-1 {
		return emoji[i:]
	}
	return emoji
}

// emojiKey is the identity of an emoji object.
func emojiKey(v json.RawMessage) string {
	var e wireEmoji
	if json.Unmarshal(v, &e) != nil {
		return ""
	}
	switch {
	case e.ID != nil && *e.ID != "":
		return ":" + *e.ID
	case e.Name != nil:
		return *e.Name
	}
	return ""
}

func emojiJSON(key string) json.RawMessage {
	e := wireEmoji{Name: &key}
	if id, custom := strings.CutPrefix(emojiIdentity(key), ":"); custom && len(key) > 1 {
		name := key[:len(key)-len(id)-1]
		e = wireEmoji{ID: &id, Name: &name}
	}
	out, _ := json.Marshal(e)
	return out
}

// countVote changes the count of one answer in the results of the payload's poll by n. A message without a poll has none to change.
func countVote(payload []byte, answer, n int) ([]byte, bool, error) {
	o, err := parseObject(payload)
	if err != nil || !present(o["poll"]) {
		return nil, false, err
	}
	poll, results := object{}, object{}
	if json.Unmarshal(o["poll"], &poll) != nil {
		return nil, false, nil
	}
	if !present(poll["results"]) || json.Unmarshal(poll["results"], &results) != nil || results == nil {
		results = object{}
		results["is_finalized"] = json.RawMessage("false")
	}
	var counts []map[string]any
	if present(results["answer_counts"]) && json.Unmarshal(results["answer_counts"], &counts) != nil {
		counts = nil
	}
	found := false
	for _, c := range counts {
		if id, _ := c["id"].(float64); int(id) == answer && c != nil {
			was, _ := c["count"].(float64)
			c["count"] = max(int(was)+n, 0)
			found = true
			break
		}
	}
	if !found {
		if n <= 0 {
			return nil, false, nil
		}
		counts = append(counts, map[string]any{"id": answer, "count": n, "me_voted": false})
	}
	if results["answer_counts"], err = json.Marshal(counts); err != nil {
		return nil, false, err
	}
	if poll["results"], err = json.Marshal(results); err != nil {
		return nil, false, err
	}
	if o["poll"], err = json.Marshal(poll); err != nil {
		return nil, false, err
	}
	out, err := json.Marshal(o)
	return out, err == nil, err
}
