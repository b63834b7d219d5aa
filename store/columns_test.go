package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/lib/pq"

	"tidings"
)

// What goes into a column is what Postgres finds in it.
func TestColumnsReachPostgresWhole(t *testing.T) {
	t.Parallel()
	s := open(t)
	numbers := []int64{0, 1, -1, math.MaxInt64, math.MinInt64}
	words := []string{"", "a", "NULL", `"{},\`, "é😀\n"}
	blobs8 := [][]byte{nil, {}, {0}, {0xff, 0, '\\'}}
	eight, four, yes, text, blob := int8s(0), int4s(9), bools(1), texts(2, 3), blobs(0, 0)
	for _, n := range numbers {
		eight.int8(n)
	}
	for _, n := range []int{0, math.MaxInt32, math.MinInt32} {
		four.int4(n)
	}
	yes.bool(true)
	yes.bool(false)
	for _, w := range words {
		text.text(w)
	}
	for _, b := range blobs8 {
		blob.blob(b)
	}
	var gotEight, gotFour pq.Int64Array
	var gotYes pq.BoolArray
	var gotText pq.StringArray
	var gotBlob pq.ByteaArray
	for range 2 { // A transaction that is tried again sends the same list.
		row := s.db.QueryRowContext(t.Context(), `SELECT $1::bigint[], $2::int[], $3::boolean[], $4::text[], $5::bytea[]`, eight, four, yes, text, blob)
		if err := row.Scan(&gotEight, &gotFour, &gotYes, &gotText, &gotBlob); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(gotEight, numbers) || !slices.Equal(gotFour, []int64{0, math.MaxInt32, math.MinInt32}) ||
		!slices.Equal(gotYes, []bool{true, false}) || !slices.Equal(gotText, words) {
		t.Errorf("got %v, %v, %v and %q", gotEight, gotFour, gotYes, gotText)
	}
	if !slices.EqualFunc(gotBlob, blobs8, func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }) {
		t.Errorf("got %q, want %q", gotBlob, blobs8)
	}
	for _, l := range []*column{int8s(0), int4s(5), bools(0), texts(1, 1), blobs(2, 2)} {
		typ := map[uint32]string{oidInt8: "bigint", oidInt4: "int", oidBool: "boolean", oidText: "text", oidBytea: "bytea"}[l.oid]
		if n := one[int](t, s, fmt.Sprintf(`SELECT cardinality($1::%s[])`, typ), l); n != 0 {
			t.Errorf("an empty list of %s has %d elements", typ, n)
		}
	}
	four.int4(math.MaxInt32 + 1)
	if _, err := s.db.ExecContext(t.Context(), `SELECT $1::int[]`, four); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("a number without room gives %v, want ErrInvalid", err)
	}
}
