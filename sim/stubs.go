package sim

import (
	"context"
	"net/http"
	"time"
)

type fault struct{}
type limits struct{}

func newLimits() *limits { return &limits{} }

type Webhook struct{ ID ID }

func (s *Sim) tamper(*session, string, []byte, *Guild, *Channel) int { return 1 }
func (s *Sim) beforeHello(*conn) bool                                { return false }
func (s *Sim) unacknowledged(*conn) bool                             { return false }
func (s *Sim) invalid(*conn) bool                                    { return false }
func (s *Sim) refused(*conn) bool                                    { return false }
func (s *Sim) relay(string, *Message)                                {}
func (s *Sim) relayAuthorized(*grant, bool)                          {}
func (s *Sim) before(c *call, method string) (error, time.Duration)  { return nil, 0 }
func (s *Sim) after(c *call, h http.Header, status int) bool {
	s.note(logged{At: s.now(), Method: c.r.Method, Route: c.route, Status: status, Query: c.r.URL.RawQuery})
	return false
}

var _ = context.Background

func (c *call) notYet() (any, error) { return nil, errNotFound() }
