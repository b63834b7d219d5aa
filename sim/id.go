package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// epoch is Discord's: the first millisecond of 2015, in Unix milliseconds.
const epoch = 1420070400000

// ID is a snowflake. It is a string in JSON, and 0 is null.
type ID uint64

func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// Time is the moment that the id carries.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id>>22) + epoch).UTC() }

// MarshalJSON writes the id as a string, 0 as null.
func (id ID) MarshalJSON() ([]byte, error) {
	if id == 0 {
		return []byte("null"), nil
	}
	b := make([]byte, 0, 22)
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(id), 10)
	return append(b, '"'), nil
}

// UnmarshalJSON reads a string, a number or null.
func (id *ID) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	if string(b) == "null" {
		*id = 0
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("value %q is not snowflake", b)
	}
	*id = ID(n)
	return nil
}

// MarshalText lets ids be keys of JSON objects.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads a key of a JSON object.
func (id *ID) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 64)
	*id = ID(n)
	return err
}

// parseID reads an id from a path or a query.
func parseID(s string) (ID, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return ID(n), err == nil
}

// idAt is the lowest id of a moment, in Discord's layout (worker 1, process 0, increment 0).
func idAt(t time.Time) ID { return ID(t.UnixMilli()-epoch)<<22 | 1<<17 }

// newID gives the next id. Ids strictly increase over the whole world, also within a millisecond.
func (s *Sim) newID() ID { return s.newIDAt(s.now()) }

// newIDAt gives an id that carries t, or the next free one when t lies before the newest id.
func (s *Sim) newIDAt(t time.Time) ID {
	id := idAt(t)
	if id <= s.lastID {
		id = s.lastID + 1
	}
	s.lastID = id
	return id
}

// Stamp is a time as Discord writes it: microseconds, +00:00. The zero time is null.
type Stamp struct{ time.Time }

const stampLayout = "2006-01-02T15:04:05.000000+00:00"

// MarshalJSON writes the time in Discord's layout, the zero time as null.
func (t Stamp) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(stampLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, stampLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads RFC 3339 or null.
func (t *Stamp) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if s == "null" || s == "" {
		t.Time = time.Time{}
		return nil
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	t.Time = v.UTC()
	return err
}
