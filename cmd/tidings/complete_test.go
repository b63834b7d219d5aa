package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/sim/simtest"
)

// watcher asks for channels all the time and keeps what was stated about their completeness, to be judged at the end.
type watcher struct {
	s    *stage
	run  *service
	who  credential
	stop func()

	mu     sync.Mutex
	pages  []statedPage
	paused bool // nothing is judged: Discord itself keeps events back, which nobody can know
}

type statedPage struct {
	channel string
	since   time.Time
	ids     []string // newest first
}

func watchComplete(s *stage, run *service, who credential) *watcher {
	w := &watcher{s: s, run: run, who: who}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			s.mu.Lock()
			channel := s.channels[n%len(s.channels)]
			s.mu.Unlock()
			w.ask(channel)
			select {
			case <-ctx.Done():
			case <-time.After(25 * time.Millisecond):
			}
		}
	})
	w.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	s.t.Cleanup(w.stop)
	return w
}

func (w *watcher) ask(channel string) (complete bool) {
	status, text, err := w.run.try(w.who, "GET", "/api/messages?limit=100&channel="+channel, nil)
	if err != nil || status != http.StatusOK {
		return false
	}
	var page struct {
		Since    *time.Time `json:"complete_since"`
		Messages []struct {
			ID string `json:"id"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(text, &page); err != nil {
		w.s.t.Errorf("GET /api/messages answered %.200q: %v", text, err)
		return false
	}
	if page.Since == nil {
		return false
	}
	p := statedPage{channel: channel, since: *page.Since}
	for _, m := range page.Messages {
		p.ids = append(p.ids, m.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.paused {
		w.pages = append(w.pages, p)
	}
	return true
}

func (w *watcher) allComplete() bool {
	w.s.mu.Lock()
	channels := append([]string(nil), w.s.channels...)
	w.s.mu.Unlock()
	for _, c := range channels {
		if !w.ask(c) {
			return false
		}
	}
	return true
}

// settle waits until every channel is stated to be complete.
func (w *watcher) settle(what, url string, within time.Duration) {
	w.s.t.Helper()
	for deadline := time.Now().Add(within); !w.allComplete(); pause(100 * time.Millisecond) {
		if time.Now().Before(deadline) {
			continue
		}
		db, err := sql.Open("postgres", url)
		if err != nil {
			w.s.t.Fatal(err)
		}
		defer db.Close()
		w.s.explain(db)
		w.s.t.Fatalf("after %v still not: %s", within, what)
	}
}

// finish judges every page: of the messages that were not deleted since, all from where it is stated to be complete up to
// its newest must be on it.
func (w *watcher) finish() {
	w.s.t.Helper()
	w.stop()
	truth := w.s.truth()
	byChannel := map[string][]string{}
	for id, m := range truth {
		if !m.Deleted {
			byChannel[m.Channel] = append(byChannel[m.Channel], id)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong := 0
	for _, p := range w.pages {
		if len(p.ids) == 0 {
			continue
		}
		shown := map[string]bool{}
		for _, id := range p.ids {
			shown[id] = true
		}
		newest, oldest := p.ids[0], p.ids[len(p.ids)-1]
		for _, id := range byChannel[p.channel] {
			n, _ := discord.ParseSnowflake(id)
			if compareIDs(id, newest) > 0 || len(p.ids) == 100 && compareIDs(id, oldest) < 0 || n.Time().Before(p.since) || shown[id] {
				continue
			}
			if wrong++; wrong < 5 {
				w.s.t.Errorf("channel %s was stated to be complete since %v up to %s, but %s of %v was missing", p.channel, p.since, newest, id, n.Time())
			}
		}
	}
	w.s.t.Logf("%d statements of completeness were judged, %d wrong", len(w.pages), wrong)
	if len(w.pages) < 10 {
		w.s.t.Errorf("only %d statements of completeness were made", len(w.pages))
	}
}

// sameCounts holds a person's counts against a recount from the simulator's record.
func (s *stage) sameCounts(run *service, p simtest.Person, c *Config) {
	s.t.Helper()
	who := credential{token: makeToken(s.t, c, p.ID)}
	truth := s.truth()
	eventually(s.t, p.Username+" sees all channels", 20*time.Second, func() bool { return len(run.unread(who).channels()) >= len(s.channels) })
	for id, u := range run.unread(who).channels() {
		unread, mentions := 0, 0
		for _, m := range truth {
			if m.Channel != id || m.Deleted || !countable(m.Type) || compareIDs(m.ID, u.ReadID) <= 0 || m.Author.ID == p.ID {
				continue
			}
			unread++
			for _, x := range m.Mentions {
				if x.ID == p.ID {
					mentions++
				}
			}
		}
		if u.Unread != unread || u.Mentions != mentions {
			s.t.Errorf("%s, channel %s: %d unread and %d mentions are stated, the record has %d and %d", p.Username, id, u.Unread, u.Mentions, unread, mentions)
		}
	}
}

// countable is what the simulator's people write; the rest are Discord's own lines.
func countable(kind int) bool { return kind == 0 || kind == 19 }
