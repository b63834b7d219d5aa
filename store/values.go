package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// rowsPerStatement keeps a multi-row statement far below Postgres' 65,535 parameters; beyond about 500 rows it gets no cheaper.
const rowsPerStatement = 500

// execRows runs a statement once for each 500 rows. Its %s is the list of VALUES; types, when not empty, are the columns'
// types, which a list needs wherever it does not stand in an INSERT.
func execRows(ctx context.Context, tx *sqlx.Tx, query string, types []string, rows [][]any) error {
	for part := range slices.Chunk(rows, rowsPerStatement) {
		list, args := values(types, part)
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(query, list), args...); err != nil {
			return err
		}
	}
	return nil
}

// values writes rows as "($1,$2),($3,$4)" and collects their parameters. Unlike unnest over arrays, a list is not written
// and parsed as text twice; with wide rows that is half the time.
func values(types []string, rows [][]any) (string, []any) {
	if len(rows) == 0 {
		return "", nil
	}
	var b strings.Builder
	args := make([]any, 0, len(rows)*len(rows[0]))
	for i, row := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j, arg := range row {
			if j > 0 {
				b.WriteByte(',')
			}
			args = append(args, arg)
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(len(args)))
			if i == 0 && types != nil {
				b.WriteString("::")
				b.WriteString(types[j])
			}
		}
		b.WriteByte(')')
	}
	return b.String(), args
}

// ids turns typed snowflakes into what a bigint[] parameter takes, and what one is read into. A batch uses [column] instead.
func ids[T ~uint64](list []T) pq.Int64Array {
	out := make(pq.Int64Array, len(list))
	for i, id := range list {
		out[i] = int64(id)
	}
	return out
}

// clean makes a text from outside one that Postgres can hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
