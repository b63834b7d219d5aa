package main

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// idle bounds how many connections may be open of which nobody has asked anything yet, or not again: each holds a goroutine and two buffers,
// and costs who opens it next to nothing. Where there are too many, the oldest is closed. A browser or a proxy whose connection that was opens another one
// when it has something to ask. Live sockets, and requests under way, are not meant.
type idle struct {
	soft, hard int           // above soft those that are older than young are closed, above hard the oldest whatever its age
	young      time.Duration // as long as who has just come is given to ask
	closed     prometheus.Counter

	mu  sync.Mutex
	of  map[net.Conn]*list.Element
	all list.List // of idleConn, the longest idle first
}

type idleConn struct {
	conn  net.Conn
	since time.Time
}

func newIdle(metrics prometheus.Registerer) *idle {
	i := &idle{soft: 2048, hard: 16384, young: 2 * time.Second, of: map[net.Conn]*list.Element{}, closed: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tidings_http_idle_closed_total", Help: "Connections closed because too many were open without a request.",
	})}
	metrics.MustRegister(i.closed)
	return i
}

// state is told by http.Server what becomes of a connection. A new one is idle until its first header is there as a whole.
func (i *idle) state(c net.Conn, s http.ConnState) {
	for _, old := range i.move(c, s == http.StateNew || s == http.StateIdle, time.Now()) {
		if t, ok := old.(*tls.Conn); ok {
			old = t.NetConn() // without a farewell that it might not take
		}
		old.Close()
		i.closed.Inc()
	}
}

// move notes whether a connection is idle and returns those that are too many.
func (i *idle) move(c net.Conn, is bool, now time.Time) (surplus []net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e := i.of[c]; e != nil {
		i.all.Remove(e)
		delete(i.of, c)
	}
	if !is {
		return nil
	}
	i.of[c] = i.all.PushBack(idleConn{c, now})
	for i.all.Len() > i.soft {
		e := i.all.Front()
		oldest := e.Value.(idleConn)
		if i.all.Len() <= i.hard && now.Sub(oldest.since) < i.young {
			break
		}
		i.all.Remove(e)
		delete(i.of, oldest.conn)
		surplus = append(surplus, oldest.conn)
	}
	return surplus
}
