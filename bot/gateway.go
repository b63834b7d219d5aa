package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/gateway"
	"github.com/diamondburned/arikawa/v3/utils/ws"

	"tidings"
)

// What ends a connection from the shard's side.
var (
	errOverflow = errors.New("the buffer is full")
	errNoReady  = errors.New("no READY or RESUMED in time")
	errHole     = errors.New("an event is missing")
	errLost     = errors.New("an event was left out twice")
	errDial     = errors.New("dial")
	errReady    = errors.New("READY without a session_id")
)

// life is one connection as the shard sees it: which session it carries and how far it has come. The connection's reader and
// the loop that waits for its end share it.
type life struct {
	shard *shard
	watch *time.Timer // until READY or RESUMED

	mu    sync.Mutex
	ended bool // nothing is taken any more
	// session is what events are marked with; nil until READY of a new session. It is replaced, never changed, because
	// queued events point to it.
	session *tidings.GatewaySession
	lease   tidings.GatewaySession
	since   time.Time // of READY or RESUMED
	top     int64     // the highest sequence seen
	missing []int64   // lower ones that have not come, ascending
	lost    bool      // some of them will not come any more
	holes   *time.Timer
}

// connect runs one connection to its end and returns why it ended.
func (s *shard) connect(ctx context.Context, lease tidings.GatewaySession) ending {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &life{shard: s, lease: lease, holes: time.NewTimer(time.Hour), watch: time.NewTimer(s.bot.pace.ready)}
	defer l.holes.Stop()
	defer l.watch.Stop()

	var base string
	identify := func() {}
	// Without a sequence arikawa would identify as well.
	resume := lease.Session != "" && lease.Seq > 0
	if resume {
		l.session, l.top = &lease, lease.Seq
		base = lease.ResumeURL
		s.set(func(st *ShardStatus) { st.State, st.Session = "resuming", lease.Session })
		if base == "" || s.badResume >= 3 {
			info, err := s.bot.gate.current(ctx, false)
			if err != nil {
				return ending{err: err}
			}
			base = info.URL
		}
	} else {
		s.set(func(st *ShardStatus) { st.State, st.Session = "identifying", "" })
		// The turn is taken before dialling, so that a connection never waits for it without a heartbeat.
		turn, err := s.bot.gate.enter(ctx, s.id)
		if err != nil {
			return ending{err: err}
		}
		defer turn.leave()
		base = turn.url
		identify = func() {
			turn.sent()
			s.set(func(st *ShardStatus) { st.Identifies++ })
			s.bot.metrics.identifies.Inc()
			turn.leave()
		}
	}
	addr, err := gatewayURL(base)
	if err != nil {
		s.badResume++
		return ending{err: fmt.Errorf("%w: %w", errDial, err)}
	}

	c := newConn(s.bot.http, l.top, maps.Clone(s.badFrames), identify, l.heard)
	s.mu.Lock()
	s.conn = c
	s.mu.Unlock()
	state := gateway.State{Identifier: s.identifier()}
	if resume {
		state.SessionID, state.Sequence = lease.Session, lease.Seq
	}
	// One Gateway for one connection: it must not redial by itself.
	opts := &ws.GatewayOpts{
		ReconnectDelay: func(int) time.Duration { return time.Millisecond }, ReconnectAttempt: 1, AlwaysCloseGracefully: false,
	}
	g := gateway.FromWebsocketGateway(ws.NewGateway(ws.NewCustomWebsocket(c, addr), opts), state)
	ops := g.Connect(ctx)
	l.watch.Reset(s.bot.pace.ready)
	var end error
	stop := func(err error) {
		if end == nil {
			end = err
			cancel(err)
		}
	}
	for open := true; open; {
		select {
		case op, ok := <-ops:
			if !ok {
				open = false
				break
			}
			if end != nil {
				break // Only drained, so that arikawa's loop can end.
			}
			if err := closed(op); err != nil {
				stop(err)
			}
		case <-l.watch.C:
			if !l.begun() {
				stop(errNoReady)
			}
		case <-l.holes.C:
			if err := l.judgeHoles(); err != nil {
				stop(err)
			}
		case session := <-s.afresh:
			if err := l.forsake(session); err != nil {
				stop(err)
			}
		case done := <-s.hand:
			if end == nil && l.part() {
				s.handing = done
				stop(errGiven)
			} else {
				close(done)
			}
		}
		if end != nil {
			l.end()
		}
	}
	c.Close(false)
	c.wait()
	s.mu.Lock()
	s.conn = nil
	s.mu.Unlock()
	if end == nil {
		end = errors.New("the connection ended without a reason")
	}
	if errors.Is(end, errDial) && resume {
		s.badResume++
	} else {
		s.badResume = 0
	}
	e := ending{err: end}
	if errors.Is(end, errGiven) {
		e.left = *l.session
		e.left.Seq = l.top
	}
	if !l.since.IsZero() {
		e.lasted = time.Since(l.since)
	}
	return e
}

// gatewayURL adds the parameters that choose version and encoding. A resume needs the same ones.
func gatewayURL(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return "", fmt.Errorf("%q is no gateway address", base)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	q := u.Query()
	q.Set("v", "10")
	q.Set("encoding", "json")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (s *shard) identifier() gateway.Identifier {
	cmd := gateway.IdentifyCommand{
		Token: s.bot.token,
		Properties: gateway.IdentifyProperties{
			gateway.IdentifyOS: runtime.GOOS, gateway.IdentifyBrowser: "tidings", gateway.IdentifyDevice: "tidings",
		},
		LargeThreshold: 50, // The fewest members that Discord will send along; they are asked for one by one.
	}
	cmd.SetShard(s.id, s.n)
	cmd.AddIntents(gateway.Intents(Intents))
	return gateway.Identifier{IdentifyCommand: cmd} // The gate limits, not arikawa.
}

// closed returns why a connection ended, should that be what arikawa says.
func closed(op ws.Op) error {
	switch d := op.Data.(type) {
	case *ws.CloseEvent:
		return d
	case *ws.BackgroundErrorEvent:
		var failed ws.ConnectionError
		if errors.As(d.Err, &failed) {
			return fmt.Errorf("%w: %w", errDial, d.Err)
		}
		return d
	}
	return nil
}

func (l *life) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero()
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// heard takes in what the connection's reader has read. An error ends the connection.
func (l *life) heard(d *dispatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ws.ErrWebsocketClosed
	}
	if err := l.dispatch(d); err != nil {
		l.ended = true
		return err
	}
	if l.since.IsZero() && d.name != "" {
		l.watch.Reset(l.shard.bot.pace.ready) // A replay flows.
	}
	return nil
}

// dispatch is called by heard, which holds the lock.
func (l *life) dispatch(d *dispatch) error {
	s := l.shard
	s.set(func(st *ShardStatus) {
		st.Received++
		st.LastEvent = d.at
	})
	s.bot.metrics.heard(d.name)
	switch d.name {
	case "READY":
		var ready struct {
			Session   string `json:"session_id"`
			ResumeURL string `json:"resume_gateway_url"`
		}
		if err := json.Unmarshal(d.raw, &ready); err != nil || ready.Session == "" {
			return fmt.Errorf("%w: %v", errReady, err)
		}
		g := l.lease
		g.Session, g.ResumeURL, g.Seq = ready.Session, ready.ResumeURL, d.seq
		g.Shard, g.Shards = s.id, s.n
		l.session, l.top, l.missing, l.since = &g, d.seq, nil, d.at
		s.set(func(st *ShardStatus) {
			st.State, st.Session, st.ReadyAt, st.LastError = "ready", ready.Session, d.at, ""
		})
		s.log.Info("a new session has started", "seq", d.seq)
	case "RESUMED":
		l.since = d.at
		s.pauses = 0
		s.set(func(st *ShardStatus) {
			st.State, st.ReadyAt, st.LastError = "ready", d.at, ""
			st.Resumes++
		})
		s.bot.metrics.resumes.Inc()
		s.log.Info("the session is resumed", "from", l.lease.Seq, "to", d.seq)
	}
	if l.session == nil {
		return nil // Nothing comes before READY of a new session; it could not be marked.
	}
	had := len(l.missing) > 0
	l.follow(d.seq)
	has := len(l.missing) > 0
	if has && !had {
		if err := l.note(d, l.missing[0]); err != nil {
			return err
		}
	}
	if _, known := decoders[d.name]; known || d.name == "READY" || d.name == "RESUMED" {
		if !s.queue.push(queued{dispatch: d, session: l.session}) {
			s.set(func(st *ShardStatus) { st.Overflows++ })
			return errOverflow
		}
	}
	if !has && !l.lost && (had || d.name == "RESUMED") {
		return l.note(d, 0)
	}
	return nil
}

// maxMissing bounds how many missing sequences are remembered; beyond it the lowest is enough to resume from.
const maxMissing = 1000

// follow notices sequences that were left out. Discord numbers a session's dispatches one by one.
func (l *life) follow(seq int64) {
	switch {
	case seq <= 0:
	case seq > l.top:
		if len(l.missing) == 0 && seq > l.top+1 {
			l.holes.Reset(l.shard.bot.pace.hole)
		}
		for n := l.top + 1; n < seq && len(l.missing) < maxMissing; n++ {
			l.missing = append(l.missing, n)
		}
		l.top = seq
	default:
		for i, n := range l.missing {
			if n == seq {
				l.missing = append(l.missing[:i], l.missing[i+1:]...)
				break
			}
		}
	}
}

// note queues what is to be kept about a hole: ahead of the event that showed it, so that nothing above it is committed first,
// and after the one that filled it.
func (l *life) note(d *dispatch, lowest int64) error {
	if !l.shard.queue.push(queued{dispatch: &dispatch{name: holeNoted, seq: lowest, at: d.at}, session: l.session}) {
		return errOverflow
	}
	return nil
}

// judgeHoles ends the connection when sequences are still missing, so that a resume brings them. It asks for each once:
// what Discord leaves out twice will not come, and then only a new session shows what has become of everything.
func (l *life) judgeHoles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, p := l.shard, l.shard.bot.pace
	if len(l.missing) == 0 && !l.lost {
		return nil
	}
	if l.lost {
		return l.giveUp()
	}
	if s.holeOf != l.session.Session {
		s.holeOf, s.holeTried = l.session.Session, 0
	}
	lowest, highest := l.missing[0], l.missing[len(l.missing)-1]
	if highest <= s.holeTried {
		s.log.Warn("events were left out by Discord and did not come with a resume", "from", lowest, "to", highest, "n", len(l.missing))
		s.set(func(st *ShardStatus) { st.Lost += int64(len(l.missing)) })
		s.bot.metrics.lost.Add(float64(len(l.missing)))
		l.missing, l.lost = nil, true
		return l.giveUp()
	}
	if wait := p.holeEvery - time.Since(s.holeAt); wait > 0 {
		l.holes.Reset(wait)
		return nil
	}
	s.hole, s.holeTried, s.holeAt = lowest, highest, time.Now()
	return fmt.Errorf("%w: sequence %d", errHole, lowest)
}

// forsake gives the session up, because something of it was understood too little.
func (l *life) forsake(session string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil || l.session.Session != session {
		return nil // It was given up already.
	}
	l.lost = true
	return l.giveUp()
}

// giveUp ends a session that will not bring what it left out, unless the last one was given up only just now.
func (l *life) giveUp() error {
	s := l.shard
	if s.bot.ledger == nil {
		return nil // Nobody keeps what is complete.
	}
	if wait := s.bot.pace.holeFresh - time.Since(s.freshAt); wait > 0 && !s.freshAt.IsZero() {
		l.holes.Reset(wait)
		return nil
	}
	return errLost
}
