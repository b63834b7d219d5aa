package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"tidings"
)

// column is a column of a statement that takes many rows: an array parameter in Postgres' own binary form. Ten of them cost the
// server far less than the thousands of parameters that a list of VALUES has for the same rows, or arrays that are written as
// text. The zero value is not usable; the makers below say of what type the elements are.
type column struct {
	oid     uint32
	n       int
	nothing bool // an element is NULL
	b       []byte
	err     error
}

// The types of Postgres that lists have.
const (
	oidBool  = 16
	oidBytea = 17
	oidInt8  = 20
	oidInt4  = 23
	oidText  = 25
)

// listHead is how long the head of an array with one dimension is.
const listHead = 20

func newColumn(oid uint32, rows, size int) *column {
	return &column{oid: oid, b: make([]byte, listHead, listHead+rows*(4+size))}
}

func int8s(rows int) *column       { return newColumn(oidInt8, rows, 8) }
func int4s(rows int) *column       { return newColumn(oidInt4, rows, 4) }
func bools(rows int) *column       { return newColumn(oidBool, rows, 1) }
func texts(rows, size int) *column { return newColumn(oidText, rows, size) }
func blobs(rows, size int) *column { return newColumn(oidBytea, rows, size) }

func (l *column) size(n int) {
	l.n++
	l.b = binary.BigEndian.AppendUint32(l.b, uint32(n))
}

func (l *column) int8(x int64) {
	l.size(8)
	l.b = binary.BigEndian.AppendUint64(l.b, uint64(x))
}

// int4 adds a number. One that has no room in Postgres' int fails the statement.
func (l *column) int4(x int) {
	if x != int(int32(x)) && l.err == nil {
		l.err = fmt.Errorf("%w number %d: more than an int holds", tidings.ErrInvalid, x)
	}
	l.size(4)
	l.b = binary.BigEndian.AppendUint32(l.b, uint32(int32(x)))
}

func (l *column) bool(is bool) {
	l.size(1)
	var b byte
	if is {
		b = 1
	}
	l.b = append(l.b, b)
}

func (l *column) text(s string) {
	l.size(len(s))
	l.b = append(l.b, s...)
}

// blob adds bytes; nil is NULL.
func (l *column) blob(b []byte) {
	if b == nil {
		l.n++
		l.nothing = true
		l.b = append(l.b, 0xff, 0xff, 0xff, 0xff)
		return
	}
	l.size(len(b))
	l.b = append(l.b, b...)
}

// BinaryValue is what lib/pq sends.
func (l *column) BinaryValue() ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	head := binary.BigEndian.AppendUint32(l.b[:0:listHead], 0)
	if l.n > 0 {
		head = binary.BigEndian.AppendUint32(l.b[:0:listHead], 1)
	}
	nothing := uint32(0)
	if l.nothing {
		nothing = 1
	}
	head = binary.BigEndian.AppendUint32(head, nothing)
	head = binary.BigEndian.AppendUint32(head, l.oid)
	if l.n == 0 {
		return head, nil
	}
	head = binary.BigEndian.AppendUint32(head, uint32(l.n))
	binary.BigEndian.AppendUint32(head, 1) // the first index
	return l.b, nil
}

// idList is the list of typed snowflakes.
func idList[T ~uint64](of []T) *column {
	out := int8s(len(of))
	for _, id := range of {
		out.int8(int64(id))
	}
	return out
}

// bundle gathers statements none of which reads what another of them writes, and sends them as one: each that goes alone waits for
// the processor twice, which on a busy machine takes longer than its work. Parameters are numbered within each statement.
type bundle struct {
	parts   []string
	args    []any
	longest int // column
}

func (b *bundle) add(query string, args ...any) {
	var out strings.Builder
	for {
		i := strings.IndexByte(query, '$')
		if i < 0 {
			break
		}
		end := i + 1
		for end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		n, _ := strconv.Atoi(query[i+1 : end])
		out.WriteString(query[:i+1])
		out.WriteString(strconv.Itoa(n + len(b.args)))
		query = query[end:]
	}
	out.WriteString(query)
	b.parts = append(b.parts, out.String())
	b.args = append(b.args, args...)
	for _, a := range args {
		if c, ok := a.(*column); ok {
			b.longest = max(b.longest, c.n)
		}
	}
}

// exec sends what was gathered since the last time.
func (b *bundle) exec(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.parts) == 0 {
		return nil
	}
	last := len(b.parts) - 1
	var q strings.Builder
	for i, part := range b.parts[:last] {
		q.WriteString([]string{"WITH", ","}[min(i, 1)])
		q.WriteString(" part_" + strconv.Itoa(i) + " AS (" + part + ")")
	}
	q.WriteString(b.parts[last])
	_, err := tx.ExecContext(often(ctx, b.longest), q.String(), b.args...)
	b.parts, b.args, b.longest = nil, nil, 0
	return err
}
