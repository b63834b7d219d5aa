package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tidings/bot"
	"tidings/store"
	"tidings/web"
)

// overview gathers what operators see at /status.
type overview struct {
	c       *Config
	name    string
	gateway *bot.Bot
	store   *store.Store
	servers *backends
	samples *samples
	disk    *diskWatch
}

// partTime bounds how long the status page waits for a part that does not answer.
const partTime = 2 * time.Second

func (o *overview) read(ctx context.Context) web.Overview {
	ctx, cancel := context.WithTimeout(ctx, 2*partTime)
	defer cancel()
	p := o.samples.peers
	others, err := p.others(ctx) // the part says that Redis is away
	v := web.Overview{Shards: []web.ShardView{}, Plots: o.samples.plots(others), Alone: err != nil}
	v.Process = p.view(int(o.samples.read(time.Now()).sockets))
	v.Processes = []web.ProcessView{v.Process}
	for _, other := range others {
		v.Processes = append(v.Processes, other.Process)
	}
	v.Sources, v.Sockets = o.samples.sources(others)
	v.Parts = []web.PartView{o.postgres(ctx), o.redis(ctx), o.disk.part()}
	v.Shards = append(v.Shards, ownShards(o.c, o.gateway)...)
	v.Shards = withOthers(v.Shards, o.name, o.leases(ctx))
	// Without the database there is nothing to say about its jobs, and its part says so.
	v.Jobs, _ = o.store.JobCounts(ctx)
	for _, state := range []string{"running", "ready"} {
		list, _ := o.store.ListJobs(ctx, state, "", 500)
		for _, j := range list {
			if j.Stuck {
				v.JobsStuck++
			}
		}
	}
	return v
}

// ownShards are those that this process runs or waits for.
func ownShards(c *Config, b *bot.Bot) (shards []web.ShardView) {
	if !c.does("gateway") || c.Gateway != "on" {
		return nil
	}
	for _, s := range b.Status().Shards {
		x := web.ShardView{
			Shard: s.Shard, State: s.State, RoundTripMS: int(s.RoundTrip.Milliseconds()), Resumes: s.Resumes, Identifies: s.Identifies,
			Lost: s.Lost, Queued: s.Queued, LastError: s.LastError,
		}
		if at := s.LastEvent; !at.IsZero() {
			x.LastEvent = &at
		}
		shards = append(shards, x)
	}
	return shards
}

func (o *overview) leases(ctx context.Context) []store.ShardLease {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	list, _ := o.store.ShardLeases(ctx) // its part says that the database is away
	return list
}

// withOthers adds the shards that other processes run, by what these have written of them.
func withOthers(shards []web.ShardView, me string, leases []store.ShardLease) []web.ShardView {
	for _, l := range leases {
		if l.Owner == me {
			continue
		}
		x := web.ShardView{
			Shard: l.Shard, State: "away", Process: l.Owner[:min(8, len(l.Owner))],
			RoundTripMS: l.RoundTripMS, Resumes: l.Resumes, Identifies: l.Identifies, Lost: l.Lost,
		}
		switch {
		case l.Held && l.Listening:
			x.State = "ready"
		case l.Held:
			x.State = "connecting"
		}
		if !l.LastEvent.IsZero() {
			x.LastEvent = &l.LastEvent
		}
		i := slices.IndexFunc(shards, func(s web.ShardView) bool { return s.Shard == l.Shard })
		switch {
		case i < 0:
			shards = append(shards, x)
		case shards[i].State == "standby":
			shards[i] = x
		}
	}
	slices.SortFunc(shards, func(a, b web.ShardView) int { return a.Shard - b.Shard })
	return shards
}

func (o *overview) postgres(ctx context.Context) web.PartView {
	p := web.PartView{Name: "PostgreSQL", State: "good"}
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	h, err := o.store.Health(ctx)
	switch {
	case err != nil:
		p.State, p.Detail = "bad", "does not answer: events wait, pages answer 503"
	default:
		p.Detail = fmt.Sprintf("version %s, answers in %.1f ms, %d of %d connections used, %s", h.Version, h.Took.Seconds()*1000, h.Used, h.Allowed, size(h.Bytes))
		if h.Used*10 >= h.Allowed*9 {
			p.State = "warn"
			p.Detail += "; raise max_connections or use a pooler"
		}
	}
	return p
}

func (o *overview) redis(ctx context.Context) web.PartView {
	p := web.PartView{Name: "Redis", State: "good"}
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	began := time.Now()
	if err := o.servers.redis.Ping(ctx).Err(); err != nil {
		p.State, p.Detail = "warn", "does not answer: pages come from PostgreSQL, other processes follow within seconds"
		return p
	}
	p.Detail = fmt.Sprintf("answers in %.1f ms", time.Since(began).Seconds()*1000)
	return p
}

// size is a number of bytes in words.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", n>>10)
}
