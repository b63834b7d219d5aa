package ingest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"tidings"
)

// stream names one gateway session under one lease.
type stream struct {
	shard   int
	session string
	epoch   int64
}

func streamOf(m tidings.Mark) stream { return stream{m.Shard, m.Session, m.Epoch} }

// progress is how far one stream is committed. Lanes commit out of order, so a resume may only start after the last
// sequence below which nothing is missing.
type progress struct {
	waiting []int64 // given, in order; those committed out of order are in done
	done    map[int64]bool
	upTo    int64         // every sequence given up to here is committed
	stored  int64         // the newest that the database knows
	open    map[int64]int // given and not committed yet, late ones too, and how often
}

// markEvery is how often marks go with a batch. A mark that comes late costs a few events that are told again after a crash;
// one with each batch is a statement more, and has lanes wait for each other's commit at the session's row.
const markEvery = 200 * time.Millisecond

// tracker follows all streams. The zero value is ready.
type tracker struct {
	mu      sync.Mutex
	streams map[stream]*progress
	handed  time.Time // when marks last went with a batch
}

func (t *tracker) given(m tidings.Mark) {
	if m.Session == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams == nil {
		t.streams = map[stream]*progress{}
	}
	s := streamOf(m)
	p := t.streams[s]
	if p == nil {
		// A shard has one stream at a time; what an older one still has in its lanes needs no marks any more.
		for old := range t.streams {
			if old.shard == s.shard && old.epoch <= s.epoch {
				delete(t.streams, old)
			}
		}
		p = &progress{done: map[int64]bool{}, open: map[int64]int{}}
		t.streams[s] = p
	}
	p.open[m.Seq]++
	if m.Seq > p.upTo { // Discord may say the same again.
		p.waiting = append(p.waiting, m.Seq)
	}
}

// due returns the marks that hold once the events are committed, beside what is committed already, when the last ones were
// returned a while ago. Those between are for unsaved.
func (t *tracker) due(events []tidings.Event) []tidings.Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.handed) < markEvery {
		return nil
	}
	t.handed = now
	return t.after(events)
}

// after returns the marks that hold once the events are committed. The caller holds the lock.
func (t *tracker) after(events []tidings.Event) []tidings.Mark {
	var marks []tidings.Mark
	batch := map[stream]map[int64]bool{}
	for _, ev := range events {
		if ev.Mark.Session == "" {
			continue
		}
		s := streamOf(ev.Mark)
		if batch[s] == nil {
			batch[s] = map[int64]bool{}
		}
		batch[s][ev.Mark.Seq] = true
	}
	for s, seqs := range batch {
		p := t.streams[s]
		if p == nil {
			continue
		}
		upTo := p.upTo
		for _, seq := range p.waiting {
			if seq > upTo && !p.done[seq] && !seqs[seq] {
				break
			}
			upTo = max(upTo, seq)
		}
		if upTo > p.stored {
			marks = append(marks, tidings.Mark{Shard: s.shard, Session: s.session, Epoch: s.epoch, Seq: upTo, Known: p.stored})
		}
	}
	return marks
}

func (t *tracker) committed(m tidings.Mark) {
	if m.Session == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.streams[streamOf(m)]
	if p == nil {
		return
	}
	if p.open[m.Seq]--; p.open[m.Seq] <= 0 {
		delete(p.open, m.Seq)
	}
	if m.Seq <= p.upTo {
		return
	}
	p.done[m.Seq] = true
	n := 0
	// A sequence that was given twice is committed with its first event, which is the same as the second.
	for n < len(p.waiting) && (p.waiting[n] <= p.upTo || p.done[p.waiting[n]]) {
		p.upTo = max(p.upTo, p.waiting[n])
		delete(p.done, p.waiting[n])
		n++
	}
	p.waiting = p.waiting[n:]
}

// underWay lists what a stream was given and is not committed yet: late sequences too, of which upTo says nothing.
func (t *tracker) underWay(m tidings.Mark) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.streams[streamOf(m)]
	if p == nil {
		return nil // It was replaced, so its marks count for nothing.
	}
	return slices.Collect(maps.Keys(p.open))
}

// settled reports whether none of some sequences is under way any more.
func (t *tracker) settled(m tidings.Mark, seqs []int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.streams[streamOf(m)]
	return p == nil || !slices.ContainsFunc(seqs, func(seq int64) bool { return p.open[seq] > 0 })
}

// upTo is the sequence up to which a stream is committed; 0 when nothing of it was given.
func (t *tracker) upTo(m tidings.Mark) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.streams[streamOf(m)]; p != nil {
		return p.upTo
	}
	return 0
}

// unsaved returns the marks that the database does not know yet.
func (t *tracker) unsaved() []tidings.Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	var marks []tidings.Mark
	for s, p := range t.streams {
		if p.upTo > p.stored {
			marks = append(marks, tidings.Mark{Shard: s.shard, Session: s.session, Epoch: s.epoch, Seq: p.upTo, Known: p.stored})
		}
	}
	return marks
}

func (t *tracker) saved(marks []tidings.Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range marks {
		if p := t.streams[streamOf(m)]; p != nil && m.Seq > p.stored {
			p.stored = m.Seq
		}
	}
}
