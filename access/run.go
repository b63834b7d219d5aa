package access

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/time/rate"

	"tidings"
)

// Run does what nobody waits for until ctx ends: it asks about members who could not be asked about, about everybody in new
// guilds, about known members every now and then, and catches up with versions that moved untold. It returns nil when
// its goroutines have ended.
func (a *Access) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	limit := rate.NewLimiter(rate.Limit(a.o.Rate), 1)
	quick := rate.NewLimiter(rate.Limit(doubtRate*a.o.Rate), 1)
	work := make(chan question)
	defer close(work)
	for range a.o.Asks {
		wg.Go(func() {
			for q := range work {
				a.answer(ctx, q)
			}
		})
	}
	wg.Go(func() { a.sweepEvery(ctx) })
	wg.Go(func() { a.scanNew(ctx) })
	if a.o.Recheck > 0 {
		wg.Go(func() { a.recheckEvery(ctx) })
	}
	for {
		q, ok, wait := a.asks.take()
		if !ok {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-a.asks.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		pace := limit
		if q.rank < rankRest {
			pace = quick
		}
		if pace.Wait(ctx) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case work <- q:
		}
	}
}

// doubtRate is how much faster it is asked about doubtful memberships.
const doubtRate = 4

// answer asks one question, and puts it back when that failed.
func (a *Access) answer(ctx context.Context, q question) {
	if g := a.guild(q.guild); g == nil || g.gone {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if q.rank < rankRest {
		// All processes find the same ones. Where the store cannot tell, Discord is asked.
		if doubted, err := a.loader.MemberDoubted(ctx, q.guild, q.user); err == nil && !doubted {
			return
		}
	}
	if err := a.ask(ctx, q.guild, q.user, nil); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		q.tries++
		wait := a.o.Backoff(q.tries)
		a.log.Warn("membership could not be asked", "guild", q.guild, "user", q.user, "tries", q.tries, "wait", wait, "err", err)
		a.asks.put(q, wait)
	}
}

// scanNew looks for unasked members in guilds that are new here, and again in those where that failed.
func (a *Access) scanNew(ctx context.Context) {
	for try := 1; ; {
		var failed []discord.GuildID
		for _, g := range a.asks.scans() {
			if err := a.scan(ctx, g); err != nil {
				if ctx.Err() != nil {
					return
				}
				a.log.Warn("members could not be looked for", "guild", g, "err", err)
				failed = append(failed, g)
			}
		}
		var again <-chan time.Time
		if len(failed) > 0 {
			again = time.After(a.o.Backoff(try))
			try++
		} else {
			try = 1
		}
		select {
		case <-ctx.Done():
			return
		case <-a.asks.found:
		case <-again:
		}
		for _, g := range failed {
			a.asks.scan(g)
		}
	}
}

// Rescan asks soon about the members of a guild of whom it is not known whether they are.
func (a *Access) Rescan(g discord.GuildID) { a.asks.scan(g) }

// scan puts a guild's unasked and doubtful members on the list: of the latter those first who are here, and of those who were not
// members only these, for most of them are in other guilds altogether.
func (a *Access) scan(ctx context.Context, g discord.GuildID) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	users, err := a.loader.UnaskedMembers(ctx, g)
	if err != nil {
		return err
	}
	in, out, err := a.loader.DoubtedMembers(ctx, g)
	if err != nil {
		return err
	}
	// Other processes take them in another order.
	rand.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
	var others []discord.UserID
	for _, u := range in {
		if !a.here(u) {
			others = append(others, u)
			continue
		}
		a.asks.put(question{guild: g, user: u, rank: rankHere}, 0)
	}
	for _, u := range others {
		a.asks.put(question{guild: g, user: u, rank: rankDoubted}, 0)
	}
	for _, u := range users {
		q := question{guild: g, user: u, rank: rankRest}
		if a.here(u) {
			q.rank = rankDoubted
		}
		a.asks.put(q, 0)
	}
	for _, u := range out {
		if a.here(u) {
			a.asks.put(question{guild: g, user: u, rank: rankRest}, 0)
		}
	}
	return nil
}

// here reports whether somebody is connected, or has asked for something lately.
func (a *Access) here(u discord.UserID) bool {
	a.mu.RLock()
	p := a.people[u]
	a.mu.RUnlock()
	return p != nil && time.Now().Unix()-p.used.Load() < lately || a.o.Here(u)
}

// recheckEvery asks again about all known members, spread over the period, and looks for unasked ones. The first round starts
// at once: people may have left while nobody listened.
func (a *Access) recheckEvery(ctx context.Context) {
	tick := time.NewTicker(a.o.Recheck)
	defer tick.Stop()
	for {
		members := a.members()
		for i, m := range members {
			a.asks.put(question{guild: m.guild, user: m.user, rank: rankRest}, a.o.Recheck*time.Duration(i)/time.Duration(len(members)))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, g := range a.present(nil) {
			a.asks.scan(g)
		}
	}
}

func (a *Access) members() []membership {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var all []membership
	for u, guilds := range a.member {
		for _, g := range guilds {
			all = append(all, membership{g, u})
		}
	}
	return all
}

func (a *Access) sweepEvery(ctx context.Context) {
	tick := time.NewTicker(a.o.Sweep)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := errors.Join(a.sweep(ctx), a.deny(ctx))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			a.log.Warn("access versions could not be read; changes may be seen late", "err", err)
		case err == nil && failing:
			a.log.Info("access versions are read again")
		}
		failing = err != nil
	}
}

// deny ends the doubt about those who could not be asked about in time.
func (a *Access) deny(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	changes, err := a.loader.DenyDoubted(ctx, a.o.Doubt)
	failed := []error{err}
	for _, c := range changes {
		a.log.Warn("people who could not be asked about are denied", "guild", c.Guild, "people", len(c.Users))
		failed = append(failed, a.Reload(ctx, c.Guild, c.Version))
		a.asks.scan(c.Guild)
	}
	if len(changes) > 0 {
		a.o.Tell(ctx, tidings.Result{Access: changes})
	}
	return errors.Join(failed...)
}

// CatchUp reads now what the sweep would read within [Options].Sweep: guilds whose version moved without anybody telling. It
// is for somebody who was just let in by another process. Calls within a second of each other share one.
func (a *Access) CatchUp(ctx context.Context) error {
	a.catching.Lock()
	defer a.catching.Unlock()
	if time.Since(a.caughtUp) < time.Second {
		return nil
	}
	if err := a.sweep(ctx); err != nil {
		return err
	}
	a.caughtUp = time.Now()
	return nil
}

// sweep reloads guilds whose version has moved in the store, new ones and removed ones, and tells of them.
func (a *Access) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	stored, err := a.loader.AccessVersions(ctx)
	if err != nil {
		return fmt.Errorf("access versions: %w", err)
	}
	var result tidings.Result
	var failed []error
	for _, g := range a.moved(stored) {
		before := a.guild(g)
		if err := a.reload(ctx, g, stored[g], true); err != nil {
			failed = append(failed, err)
			continue
		}
		if after := a.guild(g); after != before {
			result.Access = append(result.Access, tidings.AccessChange{Guild: g, Version: after.version})
		}
	}
	if len(result.Access) > 0 {
		a.o.Tell(ctx, result)
	}
	return errors.Join(failed...)
}

// moved lists the guilds that memory is behind with.
func (a *Access) moved(stored map[discord.GuildID]int64) []discord.GuildID {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var ids []discord.GuildID
	for g, v := range stored {
		if s := a.guilds[g]; s == nil || s.gone || s.version < v {
			ids = append(ids, g)
		}
	}
	for g, s := range a.guilds {
		if _, ok := stored[g]; !ok && !s.gone {
			ids = append(ids, g)
		}
	}
	return ids
}
