package jobs_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"tidings"
)

// A reaction that was never told is found by reading the channel again.
func TestReadingAgainSetsReactionsRight(t *testing.T) {
	t.Parallel()
	all := lately(3)
	p := &past{ids: all}
	_, db, _, r := rereading(t, p, all)
	p.payload = map[uint64]string{uint64(all[1]): `"reactions":[{"count":2,"emoji":{"id":null,"name":"👍"}}]`}
	for range 2 {
		if err := r.Audit(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	var raw []byte
	if err := db.Get(&raw, `SELECT payload FROM messages WHERE id = $1`, int64(all[1])); err != nil {
		t.Fatal(err)
	}
	var m struct {
		Reactions []struct {
			Count int
			Emoji struct{ Name string }
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil || len(m.Reactions) != 1 || m.Reactions[0].Count != 2 || m.Reactions[0].Emoji.Name != "👍" {
		t.Errorf("the message has the reactions %+v, %v; want two of one kind", m.Reactions, err)
	}
	var version int64
	if err := db.Get(&version, `SELECT version FROM channels WHERE id = $1`, int64(testChannel)); err != nil || version != int64(len(all))+1 {
		t.Errorf("the channel's version is %d, %v; want one more than the %d messages", version, err, len(all))
	}
}

// with gives a message more fields.
func with(m tidings.Message, fields string) tidings.Message {
	var err error
	raw := fmt.Appendf(nil, "%s,%s}", m.Payload[:len(m.Payload)-1], fields)
	if m, err = tidings.ParseMessage(raw, m.Guild); err != nil {
		panic(err)
	}
	return m
}
