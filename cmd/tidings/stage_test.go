package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// stage is a small community in a simulated Discord, whose people post, edit and delete as chance has it.
type stage struct {
	t      *testing.T
	d      *simtest.Running
	people []simtest.Person
	guild  simtest.Guild

	mu       sync.Mutex
	rng      *rand.Rand
	channels []string            // threads too
	recent   map[string][]posted // what may be edited and deleted, by channel
	n        int
}

type posted struct {
	id string
	by simtest.Person
}

func newStage(t *testing.T, seed uint64, o sim.Options) *stage {
	t.Helper()
	s := &stage{t: t, d: simtest.Start(t, o), rng: rand.New(rand.NewPCG(seed, 0)), recent: map[string][]posted{}}
	owner := s.d.Person("owner")
	for n := range 4 {
		s.people = append(s.people, s.d.Person(fmt.Sprintf("person-%d", n)))
	}
	s.guild = s.d.Guild("Harbour", owner, s.people, []string{"general", "tides", "nets", "ropes", "sails"}, nil)
	for _, name := range []string{"general", "tides", "nets", "ropes", "sails"} {
		s.channels = append(s.channels, s.guild.Channel(name))
	}
	return s
}

// act has somebody do something: mostly post, sometimes edit or delete one of the last messages.
func (s *stage) act() {
	s.mu.Lock()
	defer s.mu.Unlock()
	channel := s.channels[s.rng.IntN(len(s.channels))]
	recent := s.recent[channel]
	dice := s.rng.IntN(100)
	if dice < 70 || len(recent) == 0 {
		s.post(channel)
		return
	}
	i := s.rng.IntN(len(recent))
	m := recent[i]
	at := "/channels/" + channel + "/messages/" + m.id
	if dice < 85 {
		s.n++
		s.d.Must(m.by.Token, "PATCH", at, simtest.Object{"content": fmt.Sprintf("edit %d", s.n)}, nil)
		return
	}
	if status := s.d.Do(m.by.Token, "DELETE", at, nil, nil); status != http.StatusNoContent {
		s.t.Errorf("DELETE %s = %d", at, status)
	}
	s.recent[channel] = slices.Delete(recent, i, i+1)
}

// post is called with the lock held.
func (s *stage) post(channel string) {
	by := s.people[s.rng.IntN(len(s.people))]
	s.n++
	text := fmt.Sprintf("message %d", s.n)
	if s.rng.IntN(10) == 0 {
		text += " <@" + s.people[s.rng.IntN(len(s.people))].ID + ">"
	}
	m := s.d.Say(by, channel, text)
	list := append(s.recent[channel], posted{m["id"].(string), by})
	s.recent[channel] = list[max(0, len(list)-30):]
}

// thread makes a thread, has something said in it, and archives it.
func (s *stage) thread(archive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var th simtest.Object
	by := s.people[0]
	s.n++
	s.d.Must(by.Token, "POST", "/channels/"+s.channels[0]+"/threads", simtest.Object{"name": fmt.Sprintf("thread %d", s.n), "type": 11}, &th)
	id := th["id"].(string)
	for range 3 {
		s.post(id)
	}
	if !archive {
		s.channels = append(s.channels, id)
		return
	}
	s.recent[id] = nil
	s.d.Must(by.Token, "PATCH", "/channels/"+id, simtest.Object{"archived": true}, nil)
}

// traffic has people act until stop is called.
func (s *stage) traffic(every time.Duration) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				s.act()
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		wg.Wait()
	})
}

// fault begins a fault in the simulator.
func (s *stage) fault(kind string, more simtest.Object) {
	s.t.Helper()
	body := simtest.Object{"kind": kind}
	for k, v := range more {
		body[k] = v
	}
	s.d.Sim200("POST", "/sim/faults", body, nil)
}

// trueState is a message as the simulator knows it.
type trueState struct {
	trueMessage
	Channel string  `json:"channel_id"`
	Edited  *string `json:"edited_timestamp"`
	Type    int     `json:"type"`
}

// truth reads the simulator's record of all channels and threads.
func (s *stage) truth() map[string]trueState {
	s.t.Helper()
	all := map[string]trueState{}
	for _, g := range s.d.World().Guilds {
		for _, c := range append(g.Channels, g.Threads...) {
			var list []trueState
			s.d.Sim200("GET", "/sim/messages?channel="+c["id"].(string), nil, &list)
			for _, m := range list {
				m.Channel = c["id"].(string)
				all[m.ID] = m
			}
		}
	}
	return all
}

// differences holds the database against the simulator's record; none are left when the two are equal.
func (s *stage) differences(db *sql.DB) ([]string, error) {
	truth := s.truth()
	rows, err := db.Query(`SELECT channel_id, id, content, edited_ms, deleted FROM messages`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var diff []string
	found := map[string]bool{}
	for rows.Next() {
		var channel, id, edited int64
		var content string
		var deleted bool
		if err := rows.Scan(&channel, &id, &content, &edited, &deleted); err != nil {
			return nil, err
		}
		key := strconv.FormatInt(id, 10)
		m, there := truth[key]
		if found[key] {
			diff = append(diff, "double: "+key)
		}
		found[key] = true
		var editedMS int64
		if m.Edited != nil {
			at, err := time.Parse(time.RFC3339Nano, *m.Edited)
			if err != nil {
				return nil, err
			}
			editedMS = at.UnixMilli()
		}
		switch {
		case deleted && there && !m.Deleted:
			diff = append(diff, "buried alive: "+key)
		case deleted:
		case !there:
			diff = append(diff, "never said: "+key)
		case m.Deleted:
			diff = append(diff, "resurrected or not buried: "+key+" of "+m.Channel)
		case m.Content != content || editedMS != edited:
			diff = append(diff, fmt.Sprintf("stale: %s of %s is %q, should be %q", key, m.Channel, content, m.Content))
		case m.Channel != strconv.FormatInt(channel, 10):
			diff = append(diff, "in another channel: "+key)
		}
	}
	for key, m := range truth {
		if !m.Deleted && !found[key] {
			diff = append(diff, "missing: "+key+" of "+m.Channel)
		}
	}
	slices.Sort(diff)
	return diff, rows.Err()
}

// settle waits until the database equals the simulator's record.
func (s *stage) settle(url string, within time.Duration) {
	s.t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	var diff []string
	within = max(4*within, 2*time.Minute)
	began, told := time.Now(), false
	deadline := began.Add(within)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if !told && time.Since(began) > 90*time.Second {
			told = true
			s.t.Logf("after 90 s %d messages still differ (%v):\n%s", len(diff), err, strings.Join(diff[:min(len(diff), 10)], "\n"))
			s.explain(db)
		}
		if diff, err = s.differences(db); err == nil && len(diff) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
		<-tick.C
	}
	s.t.Errorf("after %v the database differs in %d messages from what was said (%v):\n%s", within, len(diff), err, strings.Join(diff[:min(len(diff), 20)], "\n"))
	s.explain(db)
}

// explain logs what the service knows to be open.
func (s *stage) explain(db *sql.DB) {
	for _, query := range []string{
		`SELECT 'gap ' || channel_id || ' ' || from_id || ' ' || rest_id || ' ' || reason FROM gaps WHERE healed_at IS NULL`,
		`SELECT 'job ' || kind || ' ' || key || ' ' || state || ' ' || attempt || ' ' || run_at || ' ' || last_error FROM jobs WHERE state <> 'done' LIMIT 30`,
		`SELECT 'shard ' || session_id || ' seq ' || seq || ' listening ' || listening || ' hole ' || hole FROM gateway_sessions`,
		`SELECT 'guild ' || id || ' ' || live_session || ' ' || suspect_id FROM guilds`,
		`SELECT 'dead ' || kind || ' ' || cause FROM dead_events LIMIT 10`,
	} {
		rows, err := db.Query(query)
		if err != nil {
			s.t.Log(err)
			return
		}
		for rows.Next() {
			var line string
			if rows.Scan(&line) == nil {
				s.t.Log(line)
			}
		}
		rows.Close()
	}
}

// child is "tidings serve" as a process of its own.
type child struct {
	t   *testing.T
	c   *Config
	cmd *exec.Cmd
	out *os.File
}

// spawn starts the service as a child. Its log is shown when the test fails.
func spawn(t *testing.T, c *Config) *child {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	p := &child{t: t, c: c, out: out}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(out.Name())
			lines := strings.Split(string(text), "\n")
			t.Logf("the service's log ends with\n%s", strings.Join(lines[max(0, len(lines)-150):], "\n"))
		}
		out.Close()
	})
	return p
}

func (p *child) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self, "serve")
	c := p.c
	p.cmd.Env = append(os.Environ(), childVariable+"=1",
		"DISCORD_TOKEN="+c.DiscordToken, "DISCORD_CLIENT_ID="+c.DiscordClientID, "DISCORD_CLIENT_SECRET="+c.DiscordClientSecret,
		"DISCORD_URL="+c.DiscordURL, "DATABASE_URL="+c.DatabaseURL, "REDIS_URL="+c.RedisURL, "REDIS_PREFIX="+c.RedisPrefix,
		"DATA_DIR="+c.DataDir, "LISTEN="+c.Listen, "HISTORY_DAYS="+strconv.Itoa(c.HistoryDays), "LOG_LEVEL=INFO",
		"ROLES="+strings.Join(c.Roles, ","), "ENCRYPTION_KEY="+c.EncryptionKey)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process with SIGKILL, in the middle of whatever it does.
func (p *child) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}
