package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress shows how far replays are: on a terminal as a bar that fills, elsewhere as a line for every tenth.
type progress struct {
	w        io.Writer
	now      func() time.Time
	terminal bool

	mu      sync.Mutex
	running map[string]*running
}

type running struct {
	since  time.Time
	from   int // how far it was then
	tenths int // that were said
}

func newProgress(w io.Writer, now func() time.Time) *progress {
	p := &progress{w: w, now: now, running: map[string]*running{}}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

// barWidth is how many characters a full bar has; with the words around it a line fits into 80 columns.
const barWidth = 30

// show may be called by many replays at once; each has its own line once it is done.
func (p *progress) show(id string, sent, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.running[id]
	if r == nil {
		r = &running{since: p.now(), from: sent}
		p.running[id] = r
	}
	done := sent >= total
	tenths := 10 * sent / max(total, 1)
	if !p.terminal && !done && tenths == r.tenths {
		return
	}
	r.tenths = tenths
	full := barWidth * sent / max(total, 1)
	line := fmt.Sprintf("replay %s [%s%s] %d/%d", id, strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), sent, total)
	if took := p.now().Sub(r.since).Seconds(); took > 0 {
		line += fmt.Sprintf(" %.0f/s", float64(sent-r.from)/took)
	}
	if p.terminal {
		line = "\r" + line + "\x1b[K"
	}
	if done || !p.terminal {
		line += "\n"
	}
	if done {
		delete(p.running, id)
	}
	io.WriteString(p.w, line)
}
