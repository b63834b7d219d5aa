package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fault is one thing that goes wrong, as /sim/faults was asked for it.
type fault struct {
	ID    string         `json:"id"`
	Kind  string         `json:"kind"`
	Args  map[string]any `json:"args,omitempty"`
	Match faultMatch     `json:"match"`
	ForMS int            `json:"for_ms,omitempty"`
	Count int            `json:"count,omitempty"`
	// Probability is the chance that the fault strikes when it could; 0 means always.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Struck is how often it did.
	Struck int `json:"struck"`

	until time.Time
	rng   *rand.Rand
	// held is the event that a reorder keeps back, by session.
	held map[*session]event
}

// faultMatch narrows a fault. Empty fields match everything.
type faultMatch struct {
	// Route is a method, a path or both, as templates ("GET /channels/{channel_id}/messages") or as called.
	Route string `json:"route,omitempty"`
	// Event is a dispatch's type.
	Event string `json:"event,omitempty"`
	Shard *int   `json:"shard,omitempty"`
	Guild ID     `json:"guild,omitempty"`
	// Who is whose REST calls are struck: "bot" (also its bearer tokens; the default), "people" or "all".
	Who string `json:"who,omitempty"`
}

// instant are the kinds that act on open connections at once.
var instant = []string{"drop", "stall", "close", "reconnect", "invalid_session"}

var faultKinds = append([]string{"no_ack", "refuse_resume", "lose", "repeat", "reorder", "status", "lying_headers", "cloudflare_1015", "latency", "truncate", "outage"}, instant...)

// num is a number of the fault's arguments.
func (f *fault) num(key string, d float64) float64 {
	if v, ok := f.Args[key].(float64); ok {
		return v
	}
	return d
}

func (f *fault) flag(key string) bool { v, _ := f.Args[key].(bool); return v }

func (f *fault) text(key string) string { v, _ := f.Args[key].(string); return v }

// strike finds a fault of the kind that applies now, and counts it.
func (s *Sim) strike(kind string, applies func(*fault) bool) *fault {
	now := s.now()
	for _, f := range s.faults {
		if f.Kind != kind || !f.until.IsZero() && now.After(f.until) || f.Count > 0 && f.Struck >= f.Count || !applies(f) {
			continue
		}
		if f.Probability > 0 && f.rng.Float64() >= f.Probability {
			continue
		}
		f.Struck++
		return f
	}
	return nil
}

func (f *fault) onShard(c *conn) bool {
	return f.Match.Shard == nil || c.sess != nil && c.sess.shard[0] == *f.Match.Shard
}

// onEvent says whether the fault is about this dispatch.
func (f *fault) onEvent(x *session, t string, g *Guild) bool {
	return (f.Match.Event == "" || f.Match.Event == t) && (f.Match.Guild == 0 || g.ID == f.Match.Guild) && (f.Match.Shard == nil || x.shard[0] == *f.Match.Shard)
}

// tamper says how often a dispatch is delivered: 0 when it is lost or held back, 2 and more when it is repeated.
func (s *Sim) tamper(x *session, t string, d []byte, g *Guild) int {
	if len(s.faults) == 0 {
		return 1
	}
	on := func(f *fault) bool { return f.onEvent(x, t, g) }
	struck := func(f *fault) bool { return f.Match.Event != "" && on(f) }
	if x.conn != nil {
		if s.strike("drop", struck) != nil {
			x.conn.drop()
		}
		if f := s.strike("close", struck); f != nil {
			x.conn.end(int(f.num("code", closeUnknown)), f.text("reason"))
		}
		if f := s.strike("stall", struck); f != nil {
			x.conn.stall = s.now().Add(f.pause())
		}
	}
	if s.strike("lose", on) != nil {
		return 0
	}
	for _, f := range s.faults {
		if e, ok := f.held[x]; ok {
			// What was held back comes after this one.
			delete(f.held, x)
			s.push(x, t, d)
			s.push(x, e.t, e.d)
			return 0
		}
	}
	if f := s.strike("reorder", on); f != nil {
		f.held[x] = event{t: t, d: d}
		return 0
	}
	if f := s.strike("repeat", on); f != nil {
		return int(f.num("times", 2))
	}
	return 1
}

func (f *fault) pause() time.Duration {
	return time.Duration(f.num("ms", float64(max(f.ForMS, 1000)))) * time.Millisecond
}

// beforeHello may greet a new connection with op 7 instead of HELLO, or cut it.
func (s *Sim) beforeHello(c *conn) bool {
	if f := s.strike("reconnect", func(f *fault) bool { return f.flag("before_hello") }); f != nil {
		c.send(opReconnect, nil)
		s.endLater(c, f)
		return true
	}
	standing := func(f *fault) bool { return f.Match.Event == "" && (f.ForMS > 0 || f.Count > 0) }
	if s.strike("drop", standing) != nil {
		c.drop()
		return true
	}
	return false
}

// endLater closes a connection a few seconds after op 7, as Discord does with clients that stay.
func (s *Sim) endLater(c *conn, f *fault) {
	after := time.Duration(f.num("close_after_ms", 3000)) * time.Millisecond
	s.start(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-c.gone:
		case <-time.After(after):
			s.mu.Lock()
			c.end(closeUnknown, "Reconnect.")
			s.mu.Unlock()
		}
	})
}

func (s *Sim) unacknowledged(c *conn) bool {
	return s.strike("no_ack", func(f *fault) bool { return f.onShard(c) }) != nil
}

// invalid answers an IDENTIFY with op 9 when a fault asks for it.
func (s *Sim) invalid(c *conn) bool {
	f := s.strike("invalid_session", func(f *fault) bool { return f.text("on") == "identify" })
	if f != nil {
		c.send(opInvalidSession, f.flag("resumable"))
	}
	return f != nil
}

func (s *Sim) refused(*conn) bool {
	return s.strike("refuse_resume", func(*fault) bool { return true }) != nil
}

// begin makes a fault act on what is there now.
func (s *Sim) begin(f *fault) {
	if f.Kind == "outage" {
		s.outage(f, true)
	}
	if !slices.Contains(instant, f.Kind) || f.Match.Event != "" || f.flag("before_hello") || f.text("on") == "identify" {
		return
	}
	for c := range s.conns {
		if !f.onShard(c) || f.Probability > 0 && f.rng.Float64() >= f.Probability {
			continue
		}
		f.Struck++
		switch f.Kind {
		case "drop":
			c.drop()
		case "stall":
			c.stall = s.now().Add(f.pause())
			c.poke()
		case "close":
			c.end(int(f.num("code", closeUnknown)), f.text("reason"))
		case "reconnect":
			c.send(opReconnect, nil)
			s.endLater(c, f)
		case "invalid_session":
			if x := c.sess; x != nil {
				if !f.flag("resumable") {
					delete(s.sessions, x.id)
				}
				x.conn, x.detached, c.sess = nil, s.now(), nil
			}
			c.send(opInvalidSession, f.flag("resumable"))
		}
	}
}

// finish undoes what a fault has left behind, when its time is over or it is taken back.
func (s *Sim) finish(f *fault) {
	if f.Kind == "outage" {
		s.outage(f, false)
	}
	for x, e := range f.held {
		s.push(x, e.t, e.d)
	}
	f.held = nil
	if f.Kind == "stall" {
		for c := range s.conns {
			c.stall = time.Time{}
			c.poke()
		}
	}
}

// outage makes one guild, or everything that the bot uses, unavailable. People go on talking.
func (s *Sim) outage(f *fault, begins bool) {
	if f.Match.Guild == 0 {
		if begins {
			for c := range s.conns {
				c.drop()
			}
		}
		return
	}
	g := s.guilds[f.Match.Guild]
	if g == nil || g.Unavailable == begins {
		return
	}
	g.Unavailable = begins
	for user := range g.Members {
		if u := s.users[user]; u != nil && u.Bot {
			if begins {
				s.leaveGuild(g, user, true)
			} else {
				s.joinGuild(g, user)
			}
		}
	}
}

// out says whether all of Discord is out for the bot now.
func (s *Sim) out() *fault {
	return s.strike("outage", func(f *fault) bool { return f.Match.Guild == 0 })
}

// onCall says whether the fault is about this REST call.
func (f *fault) onCall(c *call, method string) bool {
	person := c.user != nil && !c.user.Bot && c.grant == nil
	switch f.Match.Who {
	case "all":
	case "people":
		if !person {
			return false
		}
	default:
		if person {
			return false
		}
	}
	if f.Match.Guild != 0 {
		g := c.pathID("guild_id")
		if ch := c.channels[c.pathID("channel_id")]; ch != nil {
			g = ch.GuildID
		}
		if g != f.Match.Guild {
			return false
		}
	}
	if f.Match.Route == "" {
		return true
	}
	m, path, both := strings.Cut(f.Match.Route, " ")
	if !both {
		if strings.HasPrefix(m, "/") {
			m, path = "", m
		}
	}
	if m != "" && !strings.EqualFold(m, method) {
		return false
	}
	return path == "" || path == c.route || strings.HasSuffix(c.r.URL.Path, path)
}

// afflict answers a REST call with what the faults make of it; nil where they leave it alone.
func (s *Sim) afflict(c *call, method string) (time.Duration, error) {
	on := func(f *fault) bool { return f.onCall(c, method) }
	var delay time.Duration
	if f := s.strike("latency", on); f != nil {
		delay = time.Duration(f.num("ms", 1000)) * time.Millisecond
	}
	mark := func(e *apiError) (time.Duration, error) {
		if e.Header == nil {
			e.Header = map[string]string{}
		}
		e.Header[faultHeader] = "1"
		return delay, e
	}
	if f := s.strike("outage", func(f *fault) bool { return f.Match.Guild == 0 && on(f) }); f != nil {
		e := fail(int(f.num("status", http.StatusBadGateway)), 0, "502: Bad Gateway")
		e.Body = plain("<html><head><title>502 Bad Gateway</title></head></html>")
		return mark(e)
	}
	if f := s.strike("cloudflare_1015", on); f != nil {
		e := fail(http.StatusTooManyRequests, 0, "error code: 1015")
		e.Body = plain("error code: 1015")
		e.Header = map[string]string{"Retry-After": fmt.Sprint(int(f.num("retry_after", 1)))}
		return mark(e)
	}
	if f := s.strike("status", on); f != nil {
		status := int(f.num("status", 500))
		if status == http.StatusTooManyRequests {
			scope := f.text("scope")
			if scope == "" {
				scope = "user"
			}
			return mark(tooMany(f.num("retry_after", 1), scope, bucketOf(method, c.route)))
		}
		msg := f.text("message")
		if msg == "" {
			msg = fmt.Sprintf("%d: %s", status, http.StatusText(status))
		}
		e := fail(status, int(f.num("code", 0)), msg)
		if b := f.text("body"); b != "" {
			e.Body = plain(b)
		}
		return mark(e)
	}
	return delay, nil
}

// simFault begins a fault.
func (s *Sim) simFault(w http.ResponseWriter, r *http.Request) {
	f := &fault{}
	if !readSim(w, r, f) {
		return
	}
	s.under(w, func() (any, error) {
		if !slices.Contains(faultKinds, f.Kind) {
			return nil, fmt.Errorf("unknown kind %q; there are %s", f.Kind, strings.Join(faultKinds, ", "))
		}
		if f.Probability < 0 || f.Probability > 1 || f.Count < 0 || f.ForMS < 0 {
			return nil, errors.New("probability is from 0 to 1, count and for_ms from 0")
		}
		f.ID, f.Struck, f.held = s.hexID()[:12], 0, map[*session]event{}
		if f.Seed == 0 {
			f.Seed = s.rand.Uint64()
		}
		f.rng = rand.New(rand.NewPCG(f.Seed, 0))
		if f.ForMS > 0 {
			s.endFaultLater(f)
		}
		s.faults = append(s.faults, f)
		s.begin(f)
		return map[string]string{"id": f.ID}, nil
	})
}

// endFaultLater takes a fault back when its time is over.
func (s *Sim) endFaultLater(f *fault) {
	life := time.Duration(f.ForMS) * time.Millisecond
	f.until = s.now().Add(life)
	s.start(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-time.After(life):
			s.mu.Lock()
			s.endFault(f.ID)
			s.mu.Unlock()
		}
	})
}

// endFault takes a fault back; "" takes all.
func (s *Sim) endFault(id string) bool {
	found := false
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool {
		if id != "" && f.ID != id {
			return false
		}
		s.finish(f)
		found = true
		return true
	})
	return found
}

func (s *Sim) simFaults(w http.ResponseWriter, _ *http.Request) {
	s.under(w, func() (any, error) { return append([]*fault{}, s.faults...), nil })
}

func (s *Sim) simNoFaults(w http.ResponseWriter, _ *http.Request) {
	s.under(w, func() (any, error) {
		s.endFault("")
		return nil, nil
	})
}

func (s *Sim) simNoFault(w http.ResponseWriter, r *http.Request) {
	s.under(w, func() (any, error) {
		if !s.endFault(r.PathValue("id")) {
			return nil, noSuch("fault")
		}
		return nil, nil
	})
}
