package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// opt is a field of a request that may be absent, null or there. Discord treats the three differently.
type opt[T any] struct {
	Set  bool
	Null bool
	V    T
}

// UnmarshalJSON notes that the field was there.
func (o *opt[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	if string(bytes.TrimSpace(b)) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.V)
}

// Or is the value, or d when the field is absent or null.
func (o opt[T]) Or(d T) T {
	if o.Set && !o.Null {
		return o.V
	}
	return d
}

// There says that the field has a value.
func (o opt[T]) There() bool { return o.Set && !o.Null }

// MarshalJSON writes permissions as a string, as Discord does.
func (p Perm) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatUint(uint64(p), 10) + `"`), nil
}

// UnmarshalJSON reads a string or a number.
func (p *Perm) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if s == "null" || s == "" {
		*p = 0
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	*p = Perm(n)
	return err
}

// ptr is the address of a copy, for fields that may be null.
func ptr[T any](v T) *T { return &v }
