package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// deliver hands what the reader has queued to the sink, one after the other, until ctx ends. What is still queued then is
// not committed and comes again with the next resume.
func (s *shard) deliver(ctx context.Context) {
	for {
		it, err := s.queue.pop(ctx)
		if err != nil {
			return
		}
		switch it.name {
		case "READY":
			s.started(ctx, it)
			s.unheard(ctx, *it.session)
		case holeNoted:
			s.noteHole(ctx, it)
		case "RESUMED":
			// Whoever ran the shard before may still have committed what lies above the replay.
			if s.settle(ctx, it) != nil {
				continue
			}
			s.listening(ctx, *it.session, true)
			s.unheard(ctx, *it.session)
		default:
			s.event(ctx, it)
		}
		s.set(func(st *ShardStatus) { st.Dispatched++ })
	}
}

// holeNoted is the name of what the reader puts into the queue when it finds a sequence missing, ahead of what came after
// it; seq is the lowest that is missing, 0 when all have come.
const holeNoted = "(hole)"

// holeMargin is how much older than the last event an event may be that was left out.
const holeMargin = 2 * time.Minute

// noteHole keeps a hole and does not give up: what is handed on after it could be committed above it.
func (s *shard) noteHole(ctx context.Context, it queued) {
	if s.bot.ledger == nil || it.seq == 0 && it.session.Session == s.forsaken {
		return // What was understood too little, nothing fills.
	}
	if it.seq == 0 {
		// What filled the hole may be on its way still, and what came after it committed long ago.
		if s.settle(ctx, it) != nil {
			return
		}
	}
	for try := 0; ; try++ {
		err := s.bot.ledger.NoteHole(ctx, *it.session, it.seq, tidings.FirstID(it.at.Add(-holeMargin)))
		if err == nil || ctx.Err() != nil || errors.Is(err, tidings.ErrLeaseLost) {
			return
		}
		if try == 0 {
			s.log.Warn("a hole could not be noted; trying again", "seq", it.seq, "err", err)
		}
		if sleep(ctx, s.bot.pace.backoff(try)) != nil {
			return
		}
	}
}

// settle waits until what was handed on of a session is committed, where the sink can tell.
func (s *shard) settle(ctx context.Context, it queued) error {
	door, ok := s.bot.sink.(Settler)
	if !ok {
		return nil
	}
	return door.Settle(ctx, tidings.Mark{Shard: s.id, Session: it.session.Session, Epoch: it.session.Epoch})
}

// listening notes whether the shard hears everything. Where that fails for long, the lease ends and says the same.
func (s *shard) listening(ctx context.Context, g tidings.GatewaySession, on bool) {
	if s.bot.ledger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := s.bot.ledger.Listening(ctx, g, on); err != nil && !errors.Is(err, tidings.ErrLeaseLost) {
		s.log.Warn("whether the shard listens could not be noted", "on", on, "err", err)
	}
}

// unheard takes back that the shard listens, where the connection that said so had ended before its word came here.
func (s *shard) unheard(ctx context.Context, g tidings.GatewaySession) {
	s.mu.Lock()
	over := s.conn == nil
	s.mu.Unlock()
	if over {
		s.listening(ctx, g, false)
	}
}

// event decodes one dispatch and hands it on.
func (s *shard) event(ctx context.Context, it queued) {
	ev, err := decode(it.name, it.raw)
	if errors.Is(err, errIgnored) {
		return
	}
	if err != nil {
		s.bot.metrics.unreadable.WithLabelValues(label(it.name)).Inc()
		s.set(func(st *ShardStatus) { st.Unreadable++ })
		if s.bot.strange.first(it.name) {
			s.log.Error("an event could not be understood; more of its kind are only counted", "event", it.name, "seq", it.seq, "err", err)
		}
		if !errors.Is(err, errHalf) {
			s.bury(ctx, it, err)
			return
		}
	}
	if seen, ok := ev.Body.(tidings.GuildSeen); ok {
		seen.Self = s.self
		ev.Body = seen
	}
	s.stamp(&ev, it)
	if err := s.put(ctx, ev); err != nil && ctx.Err() == nil {
		s.log.Error("an event was not taken", "event", it.name, "channel", ev.Channel, "err", err)
		s.letter(ctx, ev, err)
	}
}

func (s *shard) stamp(ev *tidings.Event, it queued) {
	ev.Source, ev.At = tidings.SourceGateway, it.at
	ev.Mark = tidings.Mark{Shard: s.id, Session: it.session.Session, Epoch: it.session.Epoch, Seq: it.seq}
}

func (s *shard) put(ctx context.Context, ev tidings.Event) error {
	began := time.Now()
	err := s.bot.sink.Put(ctx, ev)
	if err == nil {
		s.bot.metrics.dispatched.Inc()
		s.bot.metrics.waited.Add(time.Since(began).Seconds())
	}
	return err
}

// bury keeps an event that could not be decoded. Where not even its place is known it is as good as left out: the session is given up,
// so that the next one shows everything afresh, by whichever process.
func (s *shard) bury(ctx context.Context, it queued, cause error) {
	ev, placed, ok := salvage(it.name, it.raw)
	if !ok {
		return
	}
	s.stamp(&ev, it)
	s.letter(ctx, ev, fmt.Errorf("%s: %w", it.name, cause))
	if placed {
		return
	}
	s.forsaken = it.session.Session
	s.noteHole(ctx, queued{dispatch: &dispatch{name: holeNoted, seq: it.seq, at: it.at}, session: it.session})
	select {
	case <-s.afresh: // What was asked of an earlier session is over.
	default:
	}
	s.afresh <- s.forsaken
}

// letter writes a dead letter and does not give up: later events would commit a sequence above one that is kept nowhere.
func (s *shard) letter(ctx context.Context, ev tidings.Event, cause error) {
	if s.bot.dead == nil {
		return
	}
	for try := 0; ; try++ {
		err := s.bot.dead.DeadLetter(ctx, ev, cause)
		if err == nil || ctx.Err() != nil {
			return
		}
		if try == 0 {
			s.log.Warn("a dead letter could not be kept; trying again", "channel", ev.Channel, "err", err)
		}
		if sleep(ctx, s.bot.pace.backoff(try)) != nil {
			return
		}
	}
}

// started stores a new session before any of its events are handed on, and reports guilds that the bot is no longer in:
// no GUILD_DELETE comes for those which it left while nobody was connected.
func (s *shard) started(ctx context.Context, it queued) {
	guilds, sure := readyGuilds(it.raw)
	if self := readySelf(it.raw); self != 0 {
		s.self = self
	}
	var gone []discord.GuildID
	if sure {
		gone = s.left(ctx, guilds)
	}
	session := *it.session
	if len(gone) > 0 {
		// Until the guilds below are recorded as gone the new session must not count as begun.
		session.Seq = it.seq - 1
	}
	for try := 0; ; try++ {
		err := s.bot.sessions.SaveSession(ctx, session)
		if err == nil || ctx.Err() != nil {
			break
		}
		if errors.Is(err, tidings.ErrLeaseLost) {
			s.log.Warn("the new session was not stored: the lease is lost")
			break
		}
		if try == 0 {
			s.log.Warn("the new session could not be stored; trying again", "err", err)
		}
		if sleep(ctx, s.bot.pace.backoff(try)) != nil {
			return
		}
	}
	for _, g := range gone {
		s.log.Info("the bot is no longer in a guild", "guild", g)
		ev := tidings.Event{Guild: g, Body: tidings.GuildGone{}}
		s.stamp(&ev, it)
		if err := s.put(ctx, ev); err != nil && ctx.Err() == nil {
			s.letter(ctx, ev, err)
		}
	}
}

// readyGuilds lists READY's guilds. It is not sure when one of them cannot be read.
func readyGuilds(raw []byte) (guilds []discord.GuildID, sure bool) {
	var ready struct {
		Guilds *[]struct {
			ID id `json:"id"`
		} `json:"guilds"`
	}
	if err := json.Unmarshal(raw, &ready); err != nil || ready.Guilds == nil {
		return nil, false
	}
	for _, g := range *ready.Guilds {
		if g.ID == 0 {
			return nil, false
		}
		guilds = append(guilds, discord.GuildID(g.ID))
	}
	return guilds, true
}

// readySelf is who READY says that the bot is; 0 when it cannot be read.
func readySelf(raw []byte) discord.UserID {
	var ready struct {
		User struct {
			ID id `json:"id"`
		} `json:"user"`
	}
	if json.Unmarshal(raw, &ready) != nil {
		return 0
	}
	return discord.UserID(ready.User.ID)
}

// left lists the stored guilds of this shard that are not in a READY. A guild in an outage is in it, as unavailable.
func (s *shard) left(ctx context.Context, in []discord.GuildID) []discord.GuildID {
	if s.bot.guilds == nil {
		return nil
	}
	var stored []discord.GuildID
	for try := 0; ; try++ {
		var err error
		if stored, err = s.bot.guilds.GuildIDs(ctx); err == nil {
			break
		}
		if ctx.Err() != nil || sleep(ctx, s.bot.pace.backoff(try)) != nil {
			return nil
		}
	}
	member := make(map[discord.GuildID]bool, len(in))
	for _, g := range in {
		member[g] = true
	}
	var gone []discord.GuildID
	for _, g := range stored {
		if int(uint64(g)>>22%uint64(s.n)) == s.id && !member[g] {
			gone = append(gone, g)
		}
	}
	return gone
}
