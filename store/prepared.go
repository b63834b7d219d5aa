package store

import (
	"context"
	"database/sql/driver"
	"io"
	"log/slog"
	"reflect"
	"sync"
)

// Postgres plans a statement each time that it is sent, which for one about a single message, or a single person, takes longer than executing it.
// A statement that is asked with a context from often is prepared once on each connection instead. Only those are that are asked all the time
// with the same text, and whose best plan does not depend on what they are asked about: after some executions Postgres plans such a statement
// without looking at its parameters.
type oftenKey struct{}

// often marks what is asked with a list of n. Planning a statement with a long one is nothing beside executing it, and a plan that was made without
// looking takes every list for one of ten.
//
// All rows of such a statement are read before the next one: lib/pq does not notice when they are not.
func often(ctx context.Context, n int) context.Context {
	if n > longList {
		return ctx
	}
	return context.WithValue(ctx, oftenKey{}, true)
}

// longList is more channels than most people see, and more events than come together on a quiet day.
const longList = 100

// maxPrepared is how many statements a connection prepares. Further ones are planned each time.
const maxPrepared = 100

// preparing makes connections that prepare, where nothing is between this process and Postgres. A pooler may give each transaction another
// connection: what is prepared is not there then, or is somebody else's under the same name.
type preparing struct {
	driver.Connector
	log  *slog.Logger // may be nil
	said sync.Once
}

func (p *preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := c.(wholeConn)
	if ok {
		if ok, err = direct(ctx, whole); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	if !ok {
		if p.log != nil {
			p.said.Do(func() { p.log.Info("statements are planned each time: there is a pooler before Postgres") })
		}
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

// direct reports whether the process of Postgres that answers is the one that was named to the client for cancelling. A pooler names what it can
// tell its clients apart by. lib/pq does not say which one was named, so it is read where it is kept.
func direct(ctx context.Context, c wholeConn) (bool, error) {
	named := reflect.Indirect(reflect.ValueOf(c)).FieldByName("pid")
	if !named.IsValid() || !named.CanInt() {
		return false, nil
	}
	rows, err := c.QueryContext(ctx, `SELECT pg_backend_pid()`, nil)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	answers := make([]driver.Value, 1)
	if err := rows.Next(answers); err != nil {
		return false, err
	}
	is, ok := answers[0].(int64)
	if err := rows.Next(answers); err != io.EOF {
		return false, err
	}
	return ok && is == named.Int(), nil
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

// run executes a query. When Postgres does not have it any more as it was prepared, everything is prepared anew: here, or when the transaction,
// which has failed with it, is tried again.
func run[T any](c *preparingConn, ctx context.Context, query string, do func(preparedStmt) (T, error)) (T, error) {
	for again := false; ; again = true {
		st, err := c.prepare(ctx, query)
		if err != nil {
			var none T
			return none, err
		}
		out, err := do(st)
		if st == nil || !unprepared(err) {
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

// unprepared reports whether a prepared statement is not what it was any more: a table that it names has changed its columns, as by a migration,
// or the server has thrown it away.
func unprepared(err error) bool { return coded(err, "0A000", "26000") }
