package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/web"
)

// peers lets every process show at /status what all of them do. Each tells the others through Redis, in one hash, as often as it takes a
// sample. Without Redis a process knows of itself alone, which its page says.
type peers struct {
	redis   redis.UniversalClient
	key     string
	name    string
	roles   []string
	started time.Time
	log     *slog.Logger
}

// peer is what a process tells of itself.
type peer struct {
	At      time.Time          `json:"at"`
	Process web.ProcessView    `json:"process"`
	Sources map[string]float64 `json:"sources"` // events since it has started
	Samples []sample           `json:"samples"`
}

// MarshalJSON writes a sample as the list of its figures, as a process tells some hundreds of them.
func (s sample) MarshalJSON() ([]byte, error) {
	return json.Marshal([...]float64{s.events, s.lagSum, s.lagN, s.ageSum, s.ageN, s.toldSum, s.toldN, s.sockets})
}

// UnmarshalJSON reads what MarshalJSON has written.
func (s *sample) UnmarshalJSON(text []byte) error {
	var v [8]float64
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*s = sample{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}
	return nil
}

const (
	// peerLasts is after how long without a word a process is not shown any more.
	peerLasts = 3 * sampleStep
	// peerKeyLasts is how long Redis keeps what the last process has told.
	peerKeyLasts = 5 * time.Minute
	// maxPeers bounds how many processes are read of.
	maxPeers = 200
)

func newPeers(c *Config, name string, servers *backends, log *slog.Logger) *peers {
	return &peers{redis: servers.redis, key: c.RedisPrefix + "processes", name: name, roles: c.Roles, started: time.Now(), log: log}
}

// view is this process as it is now.
func (p *peers) view(sockets int) web.ProcessView {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return web.ProcessView{
		Name: p.name[:min(8, len(p.name))], Roles: p.roles, Started: p.started.UTC(), Goroutines: runtime.NumGoroutine(), MemoryMB: int(memory.Sys >> 20), Sockets: sockets,
	}
}

// tell lets the other processes know how this one does. When it does not arrive, the next time will do.
func (p *peers) tell(ctx context.Context, s *samples) {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	list, at := s.told()
	r := s.read(time.Now())
	text, err := json.Marshal(peer{at, p.view(int(r.sockets)), r.bySource, list})
	if err == nil {
		_, err = p.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.HSet(ctx, p.key, p.name, text)
			pipe.Expire(ctx, p.key, peerKeyLasts)
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		p.log.Debug("the other processes could not be told of this one", "err", err)
	}
}

// others gives what the other processes have told lately, and forgets those that tell nothing any more.
func (p *peers) others(ctx context.Context) ([]peer, error) {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	all, err := p.redis.HGetAll(ctx, p.key).Result()
	if err != nil {
		return nil, fmt.Errorf("read of the other processes: %w", err)
	}
	var list []peer
	var gone []string
	for name, text := range all {
		var o peer
		err := json.Unmarshal([]byte(text), &o)
		switch {
		case name == p.name:
		case err != nil || time.Since(o.At) > peerLasts || len(o.Samples) > maxSamples:
			gone = append(gone, name)
		case len(list) < maxPeers:
			list = append(list, o)
		}
	}
	if len(gone) > 0 {
		p.redis.HDel(ctx, p.key, gone...) // they are read over as well
	}
	slices.SortFunc(list, func(a, b peer) int { return cmp.Compare(a.Process.Name, b.Process.Name) })
	return list, nil
}
