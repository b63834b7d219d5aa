package main

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	_ "github.com/lib/pq"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
)

// line is one line of the real chat.
type line struct {
	Channel string `json:"channel"`
	Nick    string `json:"nick"`
	Text    string `json:"text"`
}

// The main job on real input: everything is stored once, text untouched; every reader's counts equal a recount from the
// simulator's record; who may see half of the channels hears nothing of the other half.
func TestRealChatThroughTheWholeLine(t *testing.T) {
	path := realChat(t)
	lines := readChat(t, path)
	var names []string
	for _, l := range lines {
		if !slices.Contains(names, l.Channel) {
			names = append(names, l.Channel)
		}
	}

	d := simtest.Start(t, sim.Options{})
	owner := d.Person("owner")
	var people []simtest.Person
	for n := range 5 {
		people = append(people, d.Person(fmt.Sprintf("reader-%d", n)))
	}
	guild := d.Guild("Archive", owner, people, names, nil)
	half := people[4]
	hidden := map[string]bool{}
	for n, name := range names {
		if n%2 == 1 {
			continue
		}
		id := guild.Channel(name)
		hidden[id] = true
		const viewChannel = "1024"
		d.Must(owner.Token, "PUT", "/channels/"+id+"/permissions/"+half.ID, simtest.Object{"type": 1, "deny": viewChannel, "allow": "0"}, nil)
	}

	c := configFor(t, d)
	s := start(t, c)
	eventually(t, "the service has the guild", 30*time.Second, func() bool {
		return s.call(credential{token: "none"}, "GET", "/readyz", nil, nil) == http.StatusOK
	})
	var readers []*reader
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	for n, p := range people {
		r := &reader{person: p}
		if n%2 == 0 {
			r.who.cookie = s.signIn(p.ID)
		} else {
			r.who.token = makeToken(t, c, p.ID)
		}
		want := len(names)
		if p == half {
			want -= len(hidden)
			r.hidden = hidden
		}
		eventually(t, "reader "+p.Username+" sees their channels", 20*time.Second, func() bool { return len(s.unread(r.who).channels()) == want })
		following.Go(func() { r.follow(ctx, s.url) })
		readers = append(readers, r)
	}
	eventually(t, "all readers have their snapshot", 20*time.Second, func() bool {
		return !slices.ContainsFunc(readers, func(r *reader) bool { return r.known() == 0 })
	})

	began := time.Now()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	var replay struct {
		ID string `json:"id"`
	}
	d.Sim200("POST", "/sim/replay", simtest.Object{"file": abs, "guild": guild.ID, "rate": 0}, &replay)

	marks := 0
	for {
		var progress struct {
			Total, Sent int
			Done        bool
		}
		d.Sim200("GET", "/sim/replay/"+replay.ID, nil, &progress)
		// The second reader marks channels as read while it runs.
		if id, upTo := readers[1].newest(marks); id != 0 {
			body := map[string]any{"channel": id.String(), "up_to": upTo.String()}
			if status := s.call(readers[1].who, "POST", "/api/messages/read", body, nil); status != http.StatusOK {
				t.Fatalf("POST /api/messages/read = %d", status)
			}
			marks++
		}
		if progress.Done {
			if progress.Sent != len(lines) {
				t.Fatalf("the simulator sent %d of %d messages", progress.Sent, len(lines))
			}
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var stored int
	eventually(t, "everything is stored", 3*time.Minute, func() bool {
		if err := db.QueryRow(`SELECT count(*) FROM messages`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		return stored >= len(lines)
	})
	took := time.Since(began)

	truth := map[string][]trueMessage{}
	for _, name := range names {
		id := guild.Channel(name)
		var list []trueMessage
		d.Sim200("GET", "/sim/messages?channel="+id, nil, &list)
		truth[id] = list
	}
	checkStored(t, db, lines, guild, truth)
	for _, r := range readers {
		r.checkCounts(t, s, truth)
	}
	if marks == 0 {
		t.Error("no channel was marked as read while the chat ran")
	}
	cancel()
	following.Wait()
	var lags []time.Duration
	for _, r := range readers {
		if len(r.faults) > 0 {
			t.Errorf("%s: %d faults, the first: %s", r.person.Username, len(r.faults), r.faults[0])
		}
		lags = append(lags, r.lags...)
	}
	slices.Sort(lags)
	if len(lags) == 0 {
		t.Fatal("no reader heard of any message")
	}
	t.Logf("%d messages in %v: %.0f a second; from gateway to socket p50 %v, p99 %v of %d frames; %d marks meanwhile",
		len(lines), took.Round(time.Millisecond), float64(len(lines))/took.Seconds(),
		lags[len(lags)/2].Round(time.Millisecond), lags[len(lags)*99/100].Round(time.Millisecond), len(lags), marks)
}

// trueMessage is a message as the simulator knows it.
type trueMessage struct {
	ID      string `json:"id"`
	Content string `json:"content"`
	Author  struct {
		ID string `json:"id"`
	} `json:"author"`
	Mentions []struct {
		ID string `json:"id"`
	} `json:"mentions"`
	Everyone bool `json:"mention_everyone"`
	Deleted  bool `json:"deleted"`
}

// checkStored compares the database with what was sent.
func checkStored(t *testing.T, db *sql.DB, lines []line, guild simtest.Guild, truth map[string][]trueMessage) {
	t.Helper()
	rows, err := db.Query(`SELECT channel_id, id, content FROM messages WHERE NOT deleted ORDER BY channel_id, id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := map[string][]string{} // by channel, in order
	ids := map[string][]string{}
	for rows.Next() {
		var channel, id int64
		var content string
		if err := rows.Scan(&channel, &id, &content); err != nil {
			t.Fatal(err)
		}
		key := strconv.FormatInt(channel, 10)
		stored[key] = append(stored[key], content)
		ids[key] = append(ids[key], strconv.FormatInt(id, 10))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	sent := map[string][]string{}
	for _, l := range lines {
		id := guild.Channel(l.Channel)
		sent[id] = append(sent[id], l.Text)
	}
	if len(stored) != len(sent) {
		t.Errorf("%d channels have messages, want %d", len(stored), len(sent))
	}
	for id, want := range sent {
		if !slices.Equal(stored[id], want) {
			t.Errorf("channel %s: %d messages are stored and %d were sent, or their texts differ", id, len(stored[id]), len(want))
		}
		var said []string
		for _, m := range truth[id] {
			said = append(said, m.ID)
		}
		slices.SortFunc(said, compareIDs)
		if !slices.Equal(ids[id], said) {
			t.Errorf("channel %s: the stored ids differ from the simulator's", id)
		}
	}
}

func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return slices.Compare([]byte(a), []byte(b))
}

// reader is a person on a live socket, with a checker of the socket's promise.
type reader struct {
	person simtest.Person
	who    credential
	hidden map[string]bool

	mu       sync.Mutex
	channels map[discord.ChannelID]client.Channel
	promises client.Checker
	lags     []time.Duration
	faults   []string
}

func (r *reader) follow(ctx context.Context, url string) {
	err := client.Follow(ctx, url, client.Options{Token: r.who.token, Cookie: r.who.cookie}, func(s *client.State, ev client.Event) {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.check(ev, now)
		if ev.Channel != 0 && ev.Op != "access" {
			if c, ok := s.Channel(ev.Channel); ok {
				r.channels[ev.Channel] = c
			}
			return
		}
		r.channels = map[discord.ChannelID]client.Channel{}
		for _, c := range s.Channels() {
			r.channels[c.ID] = c
		}
	})
	if ctx.Err() == nil {
		r.fault("the socket ended: %v", err)
	}
}

// check holds a frame to the promises of the socket, and to what the person may see in truth.
func (r *reader) check(ev client.Event, now time.Time) {
	if r.hidden[ev.Channel.String()] {
		r.faults = append(r.faults, fmt.Sprintf("a frame of a hidden channel: %s", ev.Frame))
	}
	var f struct {
		K  string            `json:"k"`
		ID discord.MessageID `json:"id"`
	}
	if err := json.Unmarshal(ev.Frame, &f); err != nil {
		r.faults = append(r.faults, err.Error())
	}
	if err := r.promises.Check(ev); err != nil {
		r.faults = append(r.faults, err.Error())
	}
	if ev.Op == "delta" && f.K == "create" {
		r.lags = append(r.lags, now.Sub(f.ID.Time()))
	}
}

func (r *reader) fault(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, a...))
}

func (r *reader) known() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.channels)
}

// newest picks a channel with something unread, another one each time, and its newest message.
func (r *reader) newest(turn int) (discord.ChannelID, discord.MessageID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []discord.ChannelID
	for id, c := range r.channels {
		if c.Unread > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return 0, 0
	}
	slices.Sort(ids)
	id := ids[turn%len(ids)]
	return id, r.channels[id].LastID
}

// checkCounts compares three things for each channel: what the live socket led to, what the API says, and a recount from the
// simulator's record above the position that the API states.
func (r *reader) checkCounts(t *testing.T, s *service, truth map[string][]trueMessage) {
	t.Helper()
	stated := s.unread(r.who).channels()
	want := len(truth) - len(r.hidden)
	if len(stated) != want {
		t.Errorf("%s sees %d channels, want %d", r.person.Username, len(stated), want)
	}
	for id, c := range stated {
		if r.hidden[id] {
			t.Errorf("%s sees the hidden channel %s", r.person.Username, id)
		}
		unread, mentions := 0, 0
		for _, m := range truth[id] {
			if m.Deleted || compareIDs(m.ID, c.ReadID) <= 0 || m.Author.ID == r.person.ID {
				continue
			}
			unread++
			for _, u := range m.Mentions {
				if u.ID == r.person.ID {
					mentions++
				}
			}
		}
		if c.Unread != unread || c.Mentions != mentions {
			t.Errorf("%s, channel %s: the API says %d unread and %d mentions, the record has %d and %d",
				r.person.Username, id, c.Unread, c.Mentions, unread, mentions)
		}
	}
	eventually(t, r.person.Username+"'s socket has led to the same counts", 20*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range r.channels {
			if c.Unread != stated[c.ID.String()].Unread || c.Mentions != stated[c.ID.String()].Mentions {
				return false
			}
		}
		return len(r.channels) == len(stated)
	})
	for id := range maps.Keys(r.hidden) {
		if status := s.call(r.who, "GET", "/api/messages?channel="+id, nil, nil); status != http.StatusNotFound {
			t.Errorf("%s asks for messages of the hidden channel %s: %d, want 404", r.person.Username, id, status)
		}
	}
	var verify struct {
		Checked    int   `json:"checked"`
		Mismatches []any `json:"mismatches"`
	}
	if status := s.call(r.who, "GET", "/api/unread/verify", nil, &verify); status != http.StatusOK || verify.Checked != want || len(verify.Mismatches) != 0 {
		t.Errorf("%s: GET /api/unread/verify = %d, %d checked, mismatches %v; want 200, %d and none", r.person.Username, status, verify.Checked, verify.Mismatches, want)
	}
}

func readChat(t *testing.T, path string) []line {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for dec := json.NewDecoder(z); dec.More(); {
		var l line
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}
