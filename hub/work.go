package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// workers is how many people's counts may be read at the same time. A reset of a busy channel makes everybody ask at once;
// the queue then holds each person once, and the database sees this many questions.
const workers = 6

// maxCounted is how many channels one question to the store names.
const maxCounted = 500

// runWork answers the questions of people in the queue: one flight per person at a time, so that an answer always comes
// from a question that was put after the asking.
func (h *Hub) runWork(ctx context.Context) {
	for {
		h.mu.Lock()
		var u *user
		if len(h.work) > 0 {
			u = h.work[0]
			h.work = h.work[1:]
			if len(h.work) > 0 {
				signal(h.workReady)
			} else {
				h.work = nil
			}
		}
		h.mu.Unlock()
		if u == nil {
			select {
			case <-ctx.Done():
				return
			case <-h.workReady:
			}
			continue
		}
		pause := h.answer(ctx, u)
		if pause > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		h.mu.Lock()
		u.queued = false
		if !u.gone && !u.late && (u.catchUp || len(u.wants) > 0) {
			if g := h.behind(u); g != nil {
				// What is counted now may be of what they may no longer see.
				u.queued = true
				g.parked = append(g.parked, u)
			} else {
				h.queue(u)
			}
		}
		h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// answer reads what a person's sockets asked for. After an error it returns how long to wait.
func (h *Hub) answer(ctx context.Context, u *user) time.Duration {
	h.mu.Lock()
	if u.gone || h.behind(u) != nil {
		h.mu.Unlock()
		return 0
	}
	set, told, catchUp, missed := u.set, u.told, u.catchUp, u.missed
	u.catchUp, u.missed = false, false
	wants := map[discord.ChannelID][]*conn{}
	for id, askers := range u.wants {
		wants[id] = askers
		delete(u.wants, id)
		if len(wants) == maxCounted {
			break
		}
	}
	h.mu.Unlock()
	var err error
	if catchUp {
		err = h.catchUp(ctx, u, set, told, missed)
	}
	if err == nil && len(wants) > 0 {
		err = h.count(ctx, u, set, told, wants)
	} else if len(wants) > 0 {
		h.putBack(u, wants)
	}
	if err == nil || ctx.Err() != nil {
		u.failed = 0 // only the worker that has the person touches it
		return 0
	}
	u.failed++
	h.log.Warn("counts cannot be read", "user", u.id, "err", err)
	if u.failed%maxFailed == 0 {
		h.postpone(u, len(wants) > 0)
	}
	return min(time.Duration(u.failed)*100*time.Millisecond, time.Second)
}

// maxFailed is how many attempts in a row are made before what a person's clients wait for is put off, which they are told.
const maxFailed = 5

// postpone leaves what a person's clients wait for to the next sweep that succeeds: then the store answers again.
func (h *Hub) postpone(u *user, tell bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u.late = true
	if !tell {
		return
	}
	f := errorFrame("unavailable", "the counts cannot be read now; they come as soon as they can")
	u.shard.do(func(s *shard) {
		if p := s.people[u.id]; p != nil {
			for _, c := range p.conns {
				c.add(f)
			}
		}
	})
}

// resumeLate reads what was put off. The caller holds h.mu.
func (h *Hub) resumeLate() {
	for _, u := range h.users {
		if u.late {
			h.queue(u)
		}
	}
}

func (h *Hub) putBack(u *user, wants map[discord.ChannelID][]*conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, askers := range wants {
		for _, c := range askers {
			h.want(u, id, c)
		}
	}
}

func (h *Hub) count(ctx context.Context, u *user, set *tidings.VisibleSet, told uint64, wants map[discord.ChannelID][]*conn) error {
	ids := make([]discord.ChannelID, 0, len(wants))
	for id := range wants {
		ids = append(ids, id)
	}
	within, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	counts, err := h.store.Counts(within, set, ids)
	heard := false
	if err == nil {
		heard, err = h.heardOf(within, set)
	}
	if err != nil {
		h.putBack(u, wants)
		return fmt.Errorf("count for user %d: %w", u.id, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if u.gone {
		return nil
	}
	if !heard || u.set != set || u.told != told || h.behind(u) != nil {
		// A mark or an access change passed meanwhile: these counts may be from before it and must not be shown after it.
		for id, askers := range wants {
			for _, c := range askers {
				h.want(u, id, c)
			}
		}
		return nil
	}
	frames := make([]*frame, len(counts))
	for i, c := range counts {
		frames[i] = countFrame(c)
		if t := h.tracks[c.ID]; t != nil {
			h.learn(c.ID, t, c.Version)
		}
	}
	u.shard.do(func(s *shard) {
		p := s.people[u.id]
		if p == nil {
			return
		}
		for i, n := range counts {
			for _, asker := range wants[n.ID] {
				if asker != everyone {
					asker.add(frames[i])
					continue
				}
				for _, c := range p.conns {
					c.add(frames[i])
				}
			}
		}
	})
	return nil
}

// catchUp reads a person's state afresh after marks may have been missed, and tells it as one mark.
func (h *Hub) catchUp(ctx context.Context, u *user, set *tidings.VisibleSet, told uint64, missed bool) error {
	sum, heard, err := h.summary(ctx, set, "missed marks")
	h.mu.Lock()
	defer h.mu.Unlock()
	if !heard || u.set != set || u.told != told || h.behind(u) != nil {
		u.catchUp, u.missed = true, missed || u.missed
		return err
	}
	if !missed && sum.Rev == u.rev {
		return nil
	}
	r := tidings.ReadResult{User: u.id, Rev: sum.Rev, Preferences: sum.Preferences()}
	for _, g := range sum.Guilds {
		for _, c := range g.Channels {
			r.Channels = append(r.Channels, tidings.ReadChannel{
				ID: c.ID, Version: c.Version, ReadID: c.ReadID, Unread: c.Unread, Mentions: c.Mentions,
				FirstUnread: c.FirstUnread, LastID: c.LastID,
			})
		}
	}
	u.rev = max(u.rev, r.Rev)
	u.told++
	h.postRead(u, r)
	return nil
}
