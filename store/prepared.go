package store

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/lib/pq"
)

// Postgres plans a statement each time that it is sent, which for one about a single message, or a single person, takes longer than executing it.
// A statement that is asked with a context from often is prepared once on each connection instead. Only those are that are asked all the time
// with the same text, and whose best plan does not depend on what they are asked about: after some executions Postgres plans such a statement
// without looking at its parameters.
type oftenKey struct{}

func often(ctx context.Context) context.Context { return context.WithValue(ctx, oftenKey{}, true) }

// maxPrepared is how many statements a connection prepares. Further ones are planned each time.
const maxPrepared = 100

// preparing makes connections that prepare.
type preparing struct{ driver.Connector }

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := c.(wholeConn)
	if !ok {
		return c, nil
	}
	return &preparingConn{wholeConn: whole, prepared: map[string]preparedStmt{}}, nil
}

// wholeConn is all that database/sql may ask of a connection of lib/pq.
type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

type preparedStmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

type preparingConn struct {
	wholeConn
	prepared map[string]preparedStmt
	within   bool // a transaction, at least since the connection was taken
}

func (c *preparingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.within = true
	return c.wholeConn.BeginTx(ctx, opts)
}

// ResetSession is called when the connection is taken again.
func (c *preparingConn) ResetSession(ctx context.Context) error {
	c.within = false
	return c.wholeConn.ResetSession(ctx)
}

func (c *preparingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return run(c, ctx, query, func(st preparedStmt) (driver.Rows, error) {
		if st == nil {
			return c.wholeConn.QueryContext(ctx, query, args)
		}
		return st.QueryContext(ctx, args)
	})
}

func (c *preparingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return run(c, ctx, query, func(st preparedStmt) (driver.Result, error) {
		if st == nil {
			return c.wholeConn.ExecContext(ctx, query, args)
		}
		return st.ExecContext(ctx, args)
	})
}

// run executes a query. When Postgres does not have it any more as it was prepared, because a table that it names has changed or the server
// has thrown away what is prepared, everything is prepared anew: here, or when the transaction, which has failed with it, is tried again.
func run[T any](c *preparingConn, ctx context.Context, query string, do func(preparedStmt) (T, error)) (T, error) {
	for again := false; ; again = true {
		st, err := c.prepare(ctx, query)
		if err != nil {
			var none T
			return none, err
		}
		out, err := do(st)
		if !unprepared(err) {
			return out, err
		}
		clear(c.prepared) // what is left of it in Postgres ends with the connection
		if again || c.within {
			return out, err
		}
	}
}

// prepare returns the prepared statement of a query, nil when it is to be planned each time.
func (c *preparingConn) prepare(ctx context.Context, query string) (preparedStmt, error) {
	if ctx.Value(oftenKey{}) == nil {
		return nil, nil
	}
	if st := c.prepared[query]; st != nil || len(c.prepared) >= maxPrepared {
		return st, nil
	}
	made, err := c.wholeConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	st, ok := made.(preparedStmt)
	if !ok {
		return nil, made.Close()
	}
	c.prepared[query] = st
	return st, nil
}

// unprepared reports whether a prepared statement is not what it was any more: its columns have other types, or it is not known.
func unprepared(err error) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && (pe.Code == "0A000" || pe.Code == "26000")
}
