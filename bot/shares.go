package bot

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tidings"
)

// Sharer has processes run equal shares of the shards. It is *store.Store: whatever fills [Sessions] is asked whether it can do this as
// well.
type Sharer interface {
	// AwaitShards says for ttl that owner would run more of so many shards. hope is whether somebody will hand one over.
	AwaitShards(ctx context.Context, shards int, owner string, ttl time.Duration) (hope bool, err error)
	// GivenShards lists the shards whose lease is owner's, those among them that it has not leased yet.
	GivenShards(ctx context.Context, shards int, owner string) ([]int, error)
	// ShardWanted reports whether somebody waits who runs at least two shards fewer than owner.
	ShardWanted(ctx context.Context, shards int, owner string) (bool, error)
	// HandShard gives a lease of owner's to whoever waits, for ttl, who goes on behind g.Seq; to is "" when it stays owner's, as it does when the
	// database does not know as much as known any more.
	HandShard(ctx context.Context, g tidings.GatewaySession, known int64, owner string, ttl time.Duration) (to string, err error)
}

// Flusher waits until what was put of a mark's session is committed, and has the database know how far that is. It is
// *ingest.Ingest: whatever fills [Sink] is asked whether it can do this as well; without it no shard is handed over.
type Flusher interface {
	Flush(ctx context.Context, m tidings.Mark) (upTo int64, err error)
}

// errGiven ends a connection so that another process goes on with its session.
var errGiven = errors.New("the shard is handed over")

// await says that this process would run more shards, as long as it stands by for one, and has those that it is given taken up soon: nobody
// is connected meanwhile.
func (b *Bot) await(ctx context.Context, shards []*shard) {
	p, said := b.pace, false
	defer func() {
		if !said {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if _, err := b.sharer.AwaitShards(ctx, len(shards), b.owner, 0); err != nil {
			b.log.Debug("that no more shards are wanted could not be said; the word lapses", "err", err)
		}
	}()
	for wait := p.given; sleep(ctx, wait) == nil; wait = p.given {
		if !waiting(shards) {
			continue
		}
		said = true
		hope, err := b.sharer.AwaitShards(ctx, len(shards), b.owner, p.leaseTTL/2)
		if err != nil && ctx.Err() == nil {
			b.log.Debug("that more shards are wanted could not be said", "err", err)
		}
		next := time.Now().Add(p.leaseTTL / 3)
		for hope && time.Until(next) > p.given && sleep(ctx, p.given) == nil {
			b.takeUp(ctx, shards)
		}
		if sleep(ctx, time.Until(next)-p.given) != nil {
			return
		}
	}
}

func waiting(shards []*shard) bool {
	for _, s := range shards {
		if s.snapshot().State == "standby" {
			return true
		}
	}
	return false
}

// takeUp has shards leased whose lease was given to this process. Where it fails they are at their next try.
func (b *Bot) takeUp(ctx context.Context, shards []*shard) {
	given, err := b.sharer.GivenShards(ctx, len(shards), b.owner)
	if err != nil && ctx.Err() == nil {
		b.log.Debug("which shards were given to this process is not known", "err", err)
	}
	for _, i := range given {
		if i >= 0 && i < len(shards) && shards[i].snapshot().State == "standby" {
			select {
			case shards[i].given <- struct{}{}:
			default:
			}
		}
	}
}

// offer hands a shard to a process that waits for one and runs two fewer at least, one at a time and with a pause after each.
func (b *Bot) offer(ctx context.Context, shards []*shard) {
	for sleep(ctx, b.pace.share) == nil {
		s := b.spare(shards)
		if s == nil {
			continue
		}
		wanted, err := b.sharer.ShardWanted(ctx, len(shards), b.owner)
		if err != nil && ctx.Err() == nil {
			b.log.Debug("whether another process waits for shards is not known", "err", err)
		}
		if !wanted {
			continue
		}
		done := make(chan struct{})
		late := time.NewTimer(time.Second)
		select {
		case s.hand <- done:
			select {
			case <-done:
			case <-ctx.Done():
			}
		case <-late.C: // It is connecting again.
		case <-ctx.Done():
		}
		late.Stop()
	}
}

// spare picks a shard that could be handed over: one that is connected, and was not taken just now.
func (b *Bot) spare(shards []*shard) *shard {
	// By chance, so that one that may not be handed over does not keep the others.
	for _, i := range rand.Perm(len(shards)) {
		s := shards[i]
		s.mu.Lock()
		ok := s.status.State == "ready" && s.conn != nil && time.Since(s.taken) >= b.pace.share
		s.mu.Unlock()
		if ok {
			return s
		}
	}
	return nil
}

// part ends the connection's part in the session, where nothing of it is missing: what comes from now on is for who resumes it.
func (l *life) part() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.since.IsZero() || len(l.missing) > 0 || l.lost {
		return false
	}
	l.ended = true
	return true
}

// committed waits until all that was received of the session is committed, but not for long, and returns how far the database knows it.
func (s *shard) committed(ctx context.Context, left tidings.GatewaySession) (known int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.bot.pace.drain)
	defer cancel()
	if err := s.queue.drained(ctx); err != nil {
		return 0, err
	}
	return s.bot.flusher.Flush(ctx, tidings.Mark{Shard: s.id, Session: left.Session, Epoch: left.Epoch})
}

// handOver gives the lease to who waits. The lease is ours still when it reports false, or that could not be found out.
func (s *shard) handOver(ctx context.Context, end ending) bool {
	ctx, cancel := context.WithTimeout(ctx, s.bot.pace.drain)
	defer cancel()
	to, err := s.bot.sharer.HandShard(ctx, end.left, end.known, s.bot.owner, s.bot.pace.leaseTTL)
	switch {
	case err != nil:
		s.log.Warn("the shard could not be handed over", "err", err)
	case to == "":
		s.log.Debug("the shard is kept")
	default:
		s.log.Info("the shard is handed to a process with fewer", "to", to)
	}
	return to != ""
}
