package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/diamondburned/arikawa/v3/utils/ws"
	"golang.org/x/sync/errgroup"

	"tidings"
)

// shard keeps one of the bot's shards connected.
type shard struct {
	bot   *Bot
	id, n int
	log   *slog.Logger
	queue *queue
	// afresh asks for a new session in place of one, because something of that was understood too little. Deliver alone sends.
	afresh chan string
	hand   chan chan struct{} // asks that the shard be handed over; what is sent is closed when that was tried
	given  chan struct{}      // says that the lease was handed to this process

	mu     sync.Mutex
	status ShardStatus
	conn   *conn     // the current one, for its round trip
	taken  time.Time // when the lease became ours

	// The rest belongs to supervise alone, and to the reader of the connection that it waits for.
	refused   string    // a session that Discord will not resume
	pauses    int       // op 9 with true in a row
	badResume int       // dials of the resume URL that failed in a row
	hole      int64     // the lowest sequence that did not come, 0 for none
	holeOf    string    // the session that hole is of
	holeTried int64     // up to here a hole of holeOf was asked for again
	holeAt    time.Time // when a hole last cost a reconnect
	// badFrames holds the sequences of the session after which a frame could not be read. A resume brings it once more;
	// the second time it is left out.
	badFrames map[int64]bool
	badOf     string
	freshAt   time.Time     // when a hole last cost a session
	handing   chan struct{} // closed when the shard was handed over, or could not be

	// These belong to deliver alone.
	self     discord.UserID // who READY says that the bot is
	forsaken string         // a session of which something was understood too little
}

func newShard(b *Bot, i, n int) *shard {
	return &shard{
		bot: b, id: i, n: n, log: b.log.With("shard", i), queue: newQueue(b.pace.queue, b.pace.queueBytes),
		afresh: make(chan string, 1), hand: make(chan chan struct{}), given: make(chan struct{}, 1),
		status: ShardStatus{Shard: i, State: "starting"},
	}
}

func (s *shard) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.deliver(ctx)
		return nil
	})
	g.Go(func() error { return s.supervise(ctx) })
	return g.Wait()
}

// supervise connects again and again until ctx ends or there is no point in it.
func (s *shard) supervise(ctx context.Context) error {
	var lease tidings.GatewaySession
	held := false
	defer func() {
		s.set(func(st *ShardStatus) { st.State = "stopped" })
		if !held {
			return
		}
		// Another process may take over at once instead of waiting for the lease to end.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.bot.sessions.ReleaseShard(ctx, lease); err != nil && !errors.Is(err, tidings.ErrLeaseLost) {
			s.log.Warn("the lease of the shard could not be given back; it ends by itself", "err", err)
		}
	}()
	for failures := 0; ; {
		got, err := s.lease(ctx)
		if err != nil {
			return nil // Only ctx ends the wait for a lease.
		}
		if !held {
			s.mu.Lock()
			s.taken = time.Now()
			s.mu.Unlock()
		}
		lease, held = got, true
		end := s.serve(ctx, lease, failures)
		switch {
		case ctx.Err() != nil:
			return nil
		case end.fatal != nil:
			return end.fatal
		case errors.Is(end.err, tidings.ErrLeaseLost):
			held, failures = false, 0
		case errors.Is(end.err, errGiven):
			held, failures = !s.handOver(ctx, end), 0
		case end.lasted >= s.bot.pace.steady:
			failures = 0
		default:
			failures = end.failures(failures + 1)
		}
		if s.handing != nil {
			close(s.handing)
			s.handing = nil
		}
	}
}

// lease waits for the shard's lease: as a stand-by while another process has it, and while the store is away.
func (s *shard) lease(ctx context.Context) (tidings.GatewaySession, error) {
	p := s.bot.pace
	standby, away := false, 0
	for {
		g, err := s.bot.sessions.LeaseShard(ctx, s.id, s.n, s.bot.owner, p.leaseTTL)
		wait := p.leaseTTL / 3
		switch {
		case err == nil:
			if standby || away > 0 {
				s.log.Info("the shard is ours now")
			}
			return g, nil
		case ctx.Err() != nil:
			return g, ctx.Err()
		case errors.Is(err, tidings.ErrLeaseLost):
			if !standby {
				s.log.Info("another process runs the shard; standing by")
			}
			standby = true
			s.set(func(st *ShardStatus) { st.State = "standby" })
		default:
			if away == 0 {
				s.log.Warn("the store does not give the shard's session; trying again", "err", err)
			}
			wait = p.backoff(away)
			away++
			s.set(func(st *ShardStatus) { st.State = "waiting" })
		}
		next := time.NewTimer(wait)
		select {
		case <-next.C:
		case <-s.given:
		case <-ctx.Done():
		}
		next.Stop()
		if ctx.Err() != nil {
			return g, ctx.Err()
		}
	}
}

// ending says how a connection ended.
type ending struct {
	err    error         // never nil
	fatal  error         // what Run returns; nil when it is worth trying again
	lasted time.Duration // since READY or RESUMED, 0 without
	again  bool          // what comes next is a resumption, as this was or was to be: that uses up none of the day's new sessions
	// left is the session as far as it was received, when that is for another process, and known how far the database knows it.
	left  tidings.GatewaySession
	known int64
}

// failures counts an ending among those in a row, which the wait grows with. Where only resumptions are tried it stays at some seconds.
func (e ending) failures(before int) int {
	switch {
	case e.again && e.lasted > 0:
		return min(before, 2)
	case e.again:
		return min(before, 3)
	}
	return before
}

// serve connects once and renews the lease meanwhile, then waits as long as the way it ended asks for.
func (s *shard) serve(ctx context.Context, lease tidings.GatewaySession, failures int) ending {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cancel(nil)
	held := lease
	renewing.Go(func() {
		if err := s.renew(ctx, held); err != nil {
			cancel(err)
		}
	})
	renewing.Go(func() { s.vouch(ctx, held) })
	s.avoidRefused(ctx, &lease)
	if s.badOf != lease.Session {
		s.badFrames = nil
	}
	if s.holeOf != "" && s.holeOf == lease.Session && s.hole > 0 && s.hole <= lease.Seq {
		lease.Seq = s.hole - 1
	}
	s.hole = 0
	end := s.connect(ctx, lease)
	if end.lasted > 0 {
		s.listening(context.WithoutCancel(ctx), held, false)
	}
	if cause := context.Cause(ctx); cause != nil {
		end.err, end.fatal = cause, nil
		return end
	}
	end.again = lease.Session != ""
	if errors.Is(end.err, errGiven) {
		s.set(func(st *ShardStatus) { st.State = "waiting" })
		var err error
		if end.known, err = s.committed(ctx, end.left); err == nil || ctx.Err() != nil {
			end.known = max(end.known, lease.Seq)
			return end
		}
		end.err = errors.New("what was received is not recorded yet, so the shard is not handed over")
	}
	wait := s.judge(ctx, lease, &end, failures)
	if end.fatal != nil {
		return end
	}
	s.set(func(st *ShardStatus) {
		st.State, st.LastError = "waiting", end.err.Error()
		st.Reconnects++
	})
	s.bot.metrics.reconnects.WithLabelValues(reason(end.err)).Inc()
	drainCtx, stop := ctx, context.CancelFunc(func() {})
	if !errors.Is(end.err, errOverflow) {
		drainCtx, stop = context.WithTimeout(ctx, s.bot.pace.drain)
	}
	if s.queue.drained(drainCtx) != nil && ctx.Err() == nil {
		s.log.Debug("reconnecting while events are still being worked off")
	}
	stop()
	if sleep(ctx, wait) != nil {
		end.err = context.Cause(ctx)
	}
	return end
}

// avoidRefused forgets a session that Discord has said it will not resume, should the store still name it.
func (s *shard) avoidRefused(ctx context.Context, lease *tidings.GatewaySession) {
	if lease.Session == "" || lease.Session != s.refused {
		return
	}
	lease.Session, lease.ResumeURL, lease.Seq = "", "", 0
	if err := s.bot.sessions.SaveSession(ctx, *lease); err != nil && ctx.Err() == nil {
		s.log.Debug("the refused session could not be forgotten; the next one replaces it", "err", err)
	}
}

// judge decides what an ending means: what the next connection may do, how long to wait, and whether there is a next one.
func (s *shard) judge(ctx context.Context, lease tidings.GatewaySession, end *ending, failures int) time.Duration {
	p := s.bot.pace
	var closed *ws.CloseEvent
	var frame *frameError
	code := -1
	if errors.As(end.err, &closed) {
		code = closed.Code
	}
	session := lease.Session
	if st := s.snapshot(); st.Session != "" {
		session = st.Session
	}
	pause := p.pauseMin + rand.N(max(p.pauseMax-p.pauseMin, 1))
	if !errors.Is(end.err, errSessionPaused) {
		s.pauses = 0
	}
	switch {
	case code == 4004 || errors.Is(end.err, tidings.ErrUnauthorized):
		end.fatal = fmt.Errorf("connect shard %d: Discord refuses the bot token; copy a new one from %s: %w", s.id, portal, tidings.ErrUnauthorized)
		return 0
	case code >= 4010 && code <= 4014:
		end.fatal = s.bot.fatalClose(ctx, s.id, code)
		return 0
	case code == 4007 || code == 4009 || errors.Is(end.err, errSessionGone):
		s.refused, end.again = session, false
		s.log.Warn("Discord has ended the session; starting a new one", "err", end.err, "wait", pause)
		return max(pause, p.backoff(failures)/2)
	case errors.Is(end.err, errLost):
		s.refused, s.freshAt, end.again = session, time.Now(), false
		s.log.Warn("Discord has left events out for good; starting a new session, which shows everything afresh", "wait", pause)
		return pause
	case errors.Is(end.err, errSessionPaused):
		// Discord says that the session may still be resumed. It may also never be.
		end.again = false
		if s.pauses++; s.pauses >= 5 {
			s.pauses, s.refused = 0, session
		}
		s.log.Info("Discord cannot resume the session now; trying again", "wait", pause)
		return max(pause, p.backoff(failures)/2)
	case errors.As(end.err, &frame):
		if s.badOf != session || len(s.badFrames) >= 100 {
			s.badOf, s.badFrames = session, map[int64]bool{}
		}
		s.badFrames[frame.after] = true
		s.set(func(st *ShardStatus) { st.Unreadable++ })
		s.log.Error("a frame of the gateway could not be read; it is asked for once more", "after", frame.after, "err", frame.err)
	case errors.Is(end.err, errReconnect):
		s.log.Debug("Discord asks to reconnect")
	case errors.Is(end.err, errOverflow):
		s.log.Warn("events come faster than they are recorded; the socket is dropped and resumed once the buffer is empty")
	case errors.Is(end.err, errNoReady):
		s.log.Error("Discord gives no session; trying again", "after", p.ready, "failures", failures)
	default:
		s.log.Warn("the gateway's connection ended; resuming", "err", end.err, "lasted", end.lasted)
	}
	if end.lasted >= p.steady || failures == 0 && end.lasted > 0 {
		return rand.N(p.backoffMin)
	}
	return p.backoff(end.failures(failures))
}

// backoff returns a random wait around an exponentially growing one.
func (p pace) backoff(failures int) time.Duration {
	d := p.backoffMin << min(failures, 20)
	if d <= 0 || d > p.backoffMax {
		d = p.backoffMax
	}
	return d/2 + rand.N(d)
}

// vouch says every 1½ seconds, until ctx ends, that the shard still hears what Discord tells: as long as the connection is past its
// replay and answers. Readers are told that nothing is missing only while that was said just now, so that a process which was
// killed, or hangs, takes the statement with it.
func (s *shard) vouch(ctx context.Context, lease tidings.GatewaySession) {
	if s.bot.ledger == nil {
		return
	}
	tick := time.NewTicker(s.bot.pace.heard)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		c, st := s.conn, s.status
		s.mu.Unlock()
		if c == nil || st.State != "ready" || !c.prompt(s.bot.pace.prompt) {
			continue
		}
		g := lease
		g.Session = st.Session
		health := tidings.ShardHealth{
			LastEvent: st.LastEvent, RoundTrip: time.Duration(c.rtt.Load()), Resumes: st.Resumes, Identifies: st.Identifies, Lost: st.Lost,
		}
		try, cancel := context.WithTimeout(ctx, s.bot.pace.prompt)
		// It lapses by itself, and a lease that is lost is found by its renewal.
		if err := s.bot.ledger.Heard(try, g, health); err != nil && ctx.Err() == nil && !errors.Is(err, tidings.ErrLeaseLost) {
			s.log.Debug("that the shard still listens could not be noted", "err", err)
		}
		cancel()
	}
}

// renew keeps the lease until ctx ends. It returns an error when the lease is lost.
func (s *shard) renew(ctx context.Context, lease tidings.GatewaySession) error {
	tick := time.NewTicker(s.bot.pace.leaseTTL / 3)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A store that hangs must not hang the renewal for good.
		try, cancel := context.WithTimeout(ctx, s.bot.pace.leaseTTL)
		err := s.bot.sessions.RenewShard(try, lease, s.bot.pace.leaseTTL)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, tidings.ErrLeaseLost):
			s.log.Warn("another process has taken over the shard")
			return err
		case err != nil && !away:
			// Nobody else can take it over either while the store is away; the socket stays and the buffer fills.
			s.log.Warn("the shard's lease could not be renewed; trying again", "err", err)
		case err == nil && away:
			s.log.Info("the shard's lease is renewed again")
		}
		away = err != nil
	}
}

// fatalClose says what an operator must do about one of the close codes after which trying again is pointless.
// Source: discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes.
func (b *Bot) fatalClose(ctx context.Context, shard, code int) error {
	switch code {
	case 4010:
		return fmt.Errorf("connect shard %d: Discord says that there is no such shard (4010); start again, which asks Discord how many there should be", shard)
	case 4011:
		return fmt.Errorf("connect shard %d: the bot is in too many servers for this number of shards (4011); start again, which asks Discord how many there should be", shard)
	case 4012:
		return fmt.Errorf("connect shard %d: Discord no longer speaks gateway version 10 (4012); a newer release is needed: %w", shard, tidings.ErrForbidden)
	case 4013:
		return fmt.Errorf("connect shard %d: Discord does not know an intent (4013); a newer release is needed: %w", shard, tidings.ErrForbidden)
	}
	missing := privilegedIntents
	if app, err := b.rest.Application(ctx); err == nil {
		if off := app.MissingIntents(); len(off) > 0 {
			missing = off
		}
	}
	return fmt.Errorf("connect shard %d: Discord refuses privileged intents (4014); switch on %s at %s, page Bot, section Privileged Gateway Intents, and start again: %w",
		shard, strings.Join(missing, " and "), portal, tidings.ErrForbidden)
}

// reason names an ending for metrics; the set is fixed.
func reason(err error) string {
	var closed *ws.CloseEvent
	switch {
	case errors.Is(err, errOverflow):
		return "overflow"
	case errors.Is(err, errZombie):
		return "zombie"
	case errors.Is(err, errReconnect):
		return "asked"
	case errors.Is(err, errSessionGone), errors.Is(err, errSessionPaused):
		return "invalid_session"
	case errors.Is(err, errNoReady):
		return "no_ready"
	case errors.Is(err, errHole), errors.Is(err, errLost):
		return "hole"
	case errors.Is(err, errFrame):
		return "bad_frame"
	case errors.Is(err, errDial):
		return "dial"
	case errors.As(err, &closed) && closed.Code > 0:
		return "closed"
	}
	return "dropped"
}

// set changes the status.
func (s *shard) set(f func(*ShardStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

func (s *shard) snapshot() ShardStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}
