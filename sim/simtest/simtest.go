// Package simtest runs a simulated Discord for the time of one test.
package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/sim"
)

// Running is a simulated Discord that serves on loopback until its test ends.
type Running struct {
	*sim.Sim
	// URL is what a client calls DISCORD_URL: http://127.0.0.1:PORT.
	URL string
	// Bot holds the credentials of the bot.
	Bot sim.Bot

	t testing.TB
}

// Start serves a simulated Discord. Where the options leave it open, sessions may identify without waiting 5 s, and
// every REST exchange and gateway dispatch is held to Discord's published description: a breach fails the test. Of a
// type of dispatch that comes more than 500 times, each hundredth is checked from there on.
func Start(t testing.TB, o sim.Options) *Running {
	t.Helper()
	if o.IdentifyEvery == 0 {
		o.IdentifyEvery = -1
	}
	var b breaches
	if o.OnExchange == nil {
		o.OnExchange = func(e sim.Exchange) { b.add(Check(e)) }
	}
	if o.OnEvent == nil {
		o.OnEvent = func(t string, d []byte) {
			if b.due(t) {
				b.add(CheckEvent(t, d))
			}
		}
	}
	s := sim.New(o)
	srv := httptest.NewServer(s.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sim.Run() = %v, want nil", err)
		}
		srv.CloseClientConnections()
		srv.Close()
		for _, err := range b.list {
			t.Errorf("not as Discord describes it: %v", err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return &Running{Sim: s, URL: srv.URL, Bot: s.Bot(), t: t}
}

// breaches gathers up to ten breaches of the description.
type breaches struct {
	mu   sync.Mutex
	list []error
	seen map[string]int
}

// due says whether the next dispatch of a type is to be checked.
func (b *breaches) due(t string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen = map[string]int{}
	}
	b.seen[t]++
	return b.seen[t] <= 500 || b.seen[t]%100 == 0
}

func (b *breaches) add(err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) < 10 {
		b.list = append(b.list, err)
	}
}

// Person is somebody with a token.
type Person struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Token    string `json:"token"`
}

// Object is a JSON object of Discord's.
type Object = map[string]any

// Guild is a guild as /sim/ gives it.
type Guild struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	OwnerID  string   `json:"owner_id"`
	Roles    []Object `json:"roles"`
	Channels []Object `json:"channels"`
	Threads  []Object `json:"threads"`
	Members  []struct {
		UserID string   `json:"user_id"`
		Roles  []string `json:"roles"`
	} `json:"members"`
}

// Channel is the id of a guild's channel by name, "" if there is none.
func (g Guild) Channel(name string) string {
	for _, c := range g.Channels {
		if c["name"] == name {
			return c["id"].(string)
		}
	}
	return ""
}

// World is everything that there is.
type World struct {
	Bot    sim.Bot  `json:"bot"`
	Users  []Person `json:"users"`
	Guilds []Guild  `json:"guilds"`
}

// World asks /sim/world.
func (r *Running) World() World {
	r.t.Helper()
	var w World
	r.Sim200("GET", "/sim/world", nil, &w)
	return w
}

// Person makes somebody.
func (r *Running) Person(username string) Person {
	r.t.Helper()
	var p Person
	r.Sim200("POST", "/sim/users", Object{"username": username}, &p)
	return p
}

// Guild makes a guild with these members and channels; more are further fields of the call, such as bot_permissions.
func (r *Running) Guild(name string, owner Person, members []Person, channels []string, more Object) Guild {
	r.t.Helper()
	ids := []string{}
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	body := Object{"name": name, "owner": owner.ID, "channels": channels, "members": ids}
	for k, v := range more {
		body[k] = v
	}
	var g Guild
	r.Sim200("POST", "/sim/guilds", body, &g)
	return g
}

// Sim200 makes a call under /sim/ that must succeed.
func (r *Running) Sim200(method, path string, body, into any) {
	r.t.Helper()
	if status := r.call("", method, r.URL+path, body, into); status/100 != 2 {
		r.t.Fatalf("%s %s = %d, want 200", method, path, status)
	}
}

// Do makes one of Discord's calls with a person's or "Bot …" token and gives the status. into may be nil.
func (r *Running) Do(token, method, path string, body, into any) int {
	r.t.Helper()
	return r.call(token, method, r.URL+"/api/v10"+path, body, into)
}

// Must makes one of Discord's calls that must succeed.
func (r *Running) Must(token, method, path string, body, into any) {
	r.t.Helper()
	var raw json.RawMessage
	if status := r.Do(token, method, path, body, &raw); status/100 != 2 {
		r.t.Fatalf("%s %s = %d %s, want success", method, path, status, raw)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			r.t.Fatalf("%s %s answered %s: %v", method, path, raw, err)
		}
	}
}

// Say has a person speak, and gives the message.
func (r *Running) Say(p Person, channel, content string) Object {
	r.t.Helper()
	var m Object
	r.Must(p.Token, "POST", "/channels/"+channel+"/messages", Object{"content": content}, &m)
	return m
}

func (r *Running) call(token, method, url string, body, into any) int {
	r.t.Helper()
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		rd = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, rd)
	if err != nil {
		r.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	req.Header.Set("User-Agent", "DiscordBot (https://example.org, 1)")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if into != nil && len(b) > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(b, into); err != nil {
			r.t.Fatalf("%s %s answered %q: %v", method, url, b, err)
		}
	}
	return resp.StatusCode
}

// BotToken is the Authorization header of the bot.
func (r *Running) BotToken() string { return fmt.Sprintf("Bot %s", r.Bot.Token) }
