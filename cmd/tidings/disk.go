package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/bot"
	"tidings/ingest"
	"tidings/web"
)

// diskWatch looks at how much room is left where the database lies, and closes the door before there is none: a database whose disk
// is full cannot even delete. It knows only of the own database's disk; a server elsewhere answers for itself, and its refusals
// close the door as well.
type diskWatch struct {
	path   string
	least  uint64 // bytes: below it the door is closed
	warn   uint64 // bytes: below it there is a warning
	statfs func(path string) (free, all uint64, err error)
	log    *slog.Logger
	every  time.Duration

	mu        sync.Mutex
	free, all uint64
	err       error
	full      bool
	warned    bool
	room      chan struct{} // closed while there is room
}

const diskEvery = 2 * time.Second

// watchDisk watches where the own database lies. Of one elsewhere nothing is known, so that it never closes the door.
func watchDisk(c *Config, log *slog.Logger, r prometheus.Registerer) *diskWatch {
	least := c.MinFreeDisk
	if c.DatabaseURL != "" && c.Statfs == nil {
		least = 0
	}
	d := newDiskWatch(c.DataDir, least, log, r)
	if c.Statfs != nil {
		d.statfs = c.Statfs
	}
	return d
}

// newDiskWatch watches path. leastMB 0 never closes the door.
func newDiskWatch(path string, leastMB int, log *slog.Logger, r prometheus.Registerer) *diskWatch {
	d := &diskWatch{
		path: path, least: uint64(leastMB) << 20, warn: 4 * uint64(leastMB) << 20, statfs: statfs, log: log, every: diskEvery, room: make(chan struct{}),
	}
	close(d.room)
	if r != nil {
		r.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidings_disk_free_bytes", Help: "Room left on the disk that DATA_DIR is on."}, func() float64 {
				d.mu.Lock()
				defer d.mu.Unlock()
				return float64(d.free)
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidings_disk_stopped", Help: "1 while nothing is taken in because the disk is nearly full."}, func() float64 {
				d.mu.Lock()
				defer d.mu.Unlock()
				if d.full {
					return 1
				}
				return 0
			}),
		)
	}
	return d
}

func statfs(path string) (free, all uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

func (d *diskWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		d.look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks for the room that is left. Between closing and opening the door lies a tenth, so that it does not flap.
func (d *diskWatch) look() {
	free, all, err := d.statfs(d.path)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free, d.all, d.err = free, all, err
	if err != nil || d.least == 0 {
		return
	}
	switch {
	case !d.full && free < d.least:
		d.full = true
		d.room = make(chan struct{})
		d.log.Error("the disk is nearly full: nothing is taken in until there is room", "free", size(int64(free)), "needed", size(int64(d.least)), "path", d.path)
	case d.full && free >= d.least+d.least/10:
		d.full = false
		close(d.room)
		d.log.Info("there is room again; what was missed is fetched", "free", size(int64(free)))
	}
	if low := free < d.warn; low != d.warned {
		d.warned = low
		if low && !d.full {
			d.log.Warn("the disk fills up: soon nothing will be taken in", "free", size(int64(free)), "stops_below", size(int64(d.least)), "path", d.path)
		}
	}
}

// wait returns once there is room.
func (d *diskWatch) wait(ctx context.Context) error {
	d.mu.Lock()
	room := d.room
	d.mu.Unlock()
	select {
	case <-room:
		return nil
	default:
	}
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *diskWatch) part() web.PartView {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := web.PartView{Name: "Disk", State: "good"}
	switch {
	case d.err != nil:
		p.State, p.Detail = "warn", "cannot be looked at"
	case d.full:
		p.State, p.Detail = "bad", fmt.Sprintf("%s free: nothing is taken in below %s; delete something or shorten RETENTION_DAYS", size(int64(d.free)), size(int64(d.least)))
	case d.least > 0 && d.free < d.warn:
		p.State, p.Detail = "warn", fmt.Sprintf("%s of %s free; below %s nothing is taken in", size(int64(d.free)), size(int64(d.all)), size(int64(d.least)))
	default:
		p.Detail = fmt.Sprintf("%s of %s free", size(int64(d.free)), size(int64(d.all)))
	}
	return p
}

// roomyDoor is a door that is made after those who go through it. It lets events in while there is room on the disk. Those who bring them wait, as they do for a full lane: the gateway's
// socket is dropped when that takes too long, and resumes from what is committed or leaves a gap that is healed.
type roomyDoor struct {
	disk *diskWatch
	door **ingest.Ingest
}

func (r roomyDoor) Put(ctx context.Context, ev tidings.Event) error {
	// What changes who may read what is little, and must not wait.
	if !ev.Barrier() {
		if err := r.disk.wait(ctx); err != nil {
			return err
		}
	}
	return (*r.door).Put(ctx, ev)
}

func (r roomyDoor) Settle(ctx context.Context, m tidings.Mark) error {
	return (*r.door).Settle(ctx, m)
}

func (r roomyDoor) Flush(ctx context.Context, m tidings.Mark) (int64, error) {
	return (*r.door).Flush(ctx, m)
}

// The gateway tells through this door, and what it cannot tell is kept through it.
var _ interface {
	bot.DeadLetterer
	bot.Settler
	bot.Flusher
} = roomyDoor{}

func (r roomyDoor) DeadLetter(ctx context.Context, ev tidings.Event, cause error) error {
	return (*r.door).DeadLetter(ctx, ev, cause)
}

func (r roomyDoor) Commit(ctx context.Context, evs ...tidings.Event) error {
	if err := r.disk.wait(ctx); err != nil {
		return err
	}
	return (*r.door).Commit(ctx, evs...)
}
