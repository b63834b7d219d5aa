package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/web/browsertest"
)

// childVariable makes the test binary be tidings itself, so that a test can run it as a process of its own and kill it.
const childVariable = "TIDINGS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)})
	code := testdb.Run(m)
	browsertest.Stop()
	os.Exit(code)
}

// configFor returns the configuration of a service beside a simulated Discord, with a database schema and a part of Redis
// of its own.
func configFor(t *testing.T, discord *simtest.Running) *Config {
	t.Helper()
	_, prefix := testdb.Redis(t)
	return &Config{
		DiscordToken: discord.Bot.Token, DiscordClientID: discord.Bot.ClientID.String(), DiscordClientSecret: discord.Bot.ClientSecret,
		DiscordURL: discord.URL, DatabaseURL: testdb.Postgres(t), RedisURL: "unix://" + testdb.RedisOptions(t).Addr, RedisPrefix: prefix,
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Roles: []string{"gateway", "jobs", "web"}, Gateway: "on",
		RetentionDays: 30, HistoryDays: 7, LogLevel: slog.LevelInfo, AddressSockets: 500, LiveWindow: 5 * time.Millisecond,
	}
}

// service is a running "tidings serve".
type service struct {
	t    *testing.T
	url  string
	stop func() error
}

// start runs the service until the test ends or stop is called.
func start(t *testing.T, c *Config) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: c.LogLevel}))
	go func() {
		err := serve(ctx, c, log, func(url string) { ready <- url })
		if err != nil {
			err = fmt.Errorf("serve: %w", err)
		}
		ended <- err
	}()
	var result error
	stopped := false
	s := &service{t: t}
	s.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			select {
			case result = <-ended:
			case <-time.After(time.Minute):
				result = errors.New("the service does not stop")
			}
		}
		return result
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case s.url = <-ready:
	case err := <-ended:
		t.Fatalf("the service ended at once: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("the service does not start")
	}
	return s
}

// logWriter puts the service's log into the test's, which is shown when the test fails.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// makeToken runs "tidings token create". Without scopes it is for reading and marking.
func makeToken(t *testing.T, c *Config, user string, scopes ...string) string {
	t.Helper()
	if len(scopes) == 0 {
		scopes = []string{"read", "ack"}
	}
	var out bytes.Buffer
	cmd := tokenCreateCmd{User: user, Scopes: scopes, Name: "test"}
	if err := cmd.Run(t.Context(), c, slog.New(slog.NewTextHandler(logWriter{t}, nil)), &output{&out, io.Discard}); err != nil {
		t.Fatalf("token create: %v", err)
	}
	return strings.TrimSpace(out.String())
}

// signIn goes through the login page and the simulator's OAuth2 page as a browser does, and returns the session's cookie.
func (s *service) signIn(user string) *http.Cookie {
	s.t.Helper()
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	defer browser.CloseIdleConnections()
	page, err := browser.Get(s.url + "/login")
	if err != nil {
		s.t.Fatal(err)
	}
	page.Body.Close()
	form := page.Request.URL.Query() // the authorize page keeps the request's own parameters
	form.Set("user_id", user)
	done, err := browser.PostForm(page.Request.URL.Scheme+"://"+page.Request.URL.Host+"/oauth2/authorize", form)
	if err != nil {
		s.t.Fatal(err)
	}
	body, _ := io.ReadAll(done.Body)
	done.Body.Close()
	base, _ := url.Parse(s.url)
	if done.StatusCode != http.StatusOK || done.Request.URL.Host != base.Host {
		s.t.Fatalf("signing in ended at %s with %s: %.300s", done.Request.URL, done.Status, body)
	}
	for _, c := range jar.Cookies(base) {
		return c
	}
	s.t.Fatal("signing in set no cookie")
	return nil
}

// credential is a bearer token or a session's cookie.
type credential struct {
	token  string
	cookie *http.Cookie
}

// call asks the API and gives the status; into may be nil.
func (s *service) call(who credential, method, path string, body, into any) int {
	s.t.Helper()
	status, text, err := s.try(who, method, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if into != nil && status/100 == 2 {
		if err := json.Unmarshal(text, into); err != nil {
			s.t.Fatalf("%s %s answered %.300q: %v", method, path, text, err)
		}
	}
	return status
}

func (s *service) try(who credential, method, path string, body any) (int, []byte, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, r)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if who.token != "" {
		req.Header.Set("Authorization", "Bearer "+who.token)
	}
	if who.cookie != nil {
		req.AddCookie(who.cookie)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// unread asks GET /api/unread.
func (s *service) unread(who credential) unread {
	s.t.Helper()
	var u unread
	if status := s.call(who, "GET", "/api/unread", nil, &u); status != http.StatusOK {
		s.t.Fatalf("GET /api/unread = %d", status)
	}
	return u
}

// unread is GET /api/unread as a stranger reads it.
type unread struct {
	Rev      int64 `json:"rev"`
	Total    int   `json:"total"`
	Mentions int   `json:"mentions"`
	Guilds   []struct {
		ID       string          `json:"id"`
		Channels []unreadChannel `json:"channels"`
	} `json:"guilds"`
}

type unreadChannel struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Unread   int    `json:"unread"`
	Mentions int    `json:"mentions"`
	ReadID   string `json:"read_id"`
	LastID   string `json:"last_id"`
}

func (u unread) channels() map[string]unreadChannel {
	m := map[string]unreadChannel{}
	for _, g := range u.Guilds {
		for _, c := range g.Channels {
			m[c.ID] = c
		}
	}
	return m
}

// eventually waits until ok answers true; what says what was waited for.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	// A loaded machine may take many times as long; what never comes is noticed late, which costs nothing while all is well.
	within = max(4*within, 2*time.Minute)
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("after %v still not: %s", within, what)
		case <-tick.C:
		}
	}
}

// A first walk along the whole line, with a token made before the service ever ran.
func TestAMessageReachesAReader(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	owner, reader := discord.Person("owner"), discord.Person("reader")
	guild := discord.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "tides"}, nil)
	general := guild.Channel("general")
	c := configFor(t, discord)
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the reader sees both channels", 20*time.Second, func() bool { return len(s.unread(me).channels()) == 2 })

	m := discord.Say(owner, general, "Good morning, <@"+reader.ID+">!")
	eventually(t, "one message and one mention are unread", 10*time.Second, func() bool {
		u := s.unread(me)
		return u.Total == 1 && u.Mentions == 1
	})
	var page struct {
		Messages []struct {
			ID       string `json:"id"`
			Content  string `json:"content"`
			Unread   bool   `json:"unread"`
			Mentions bool   `json:"mentions_me"`
		} `json:"messages"`
		UpTo string `json:"up_to"`
	}
	if status := s.call(me, "GET", "/api/messages?channel="+general, nil, &page); status != http.StatusOK || len(page.Messages) != 1 {
		t.Fatalf("GET /api/messages = %d with %d messages, want 200 with 1", status, len(page.Messages))
	}
	if got := page.Messages[0]; got.ID != m["id"] || !got.Unread || !got.Mentions || got.Content != m["content"] {
		t.Errorf("the message is %+v, want %v, unread and mentioning the reader", got, m["id"])
	}
	if status := s.call(me, "POST", "/api/messages/read", map[string]any{"channel": general, "up_to": page.UpTo}, nil); status != http.StatusOK {
		t.Fatalf("POST /api/messages/read = %d", status)
	}
	if u := s.unread(me); u.Total != 0 || u.Mentions != 0 {
		t.Errorf("after reading, %d are unread and %d mention the reader, want none", u.Total, u.Mentions)
	}
	browser := credential{cookie: s.signIn(reader.ID)}
	if u := s.unread(browser); u.Total != 0 || len(u.channels()) != 2 {
		t.Errorf("signed in as the same person, %d are unread in %d channels, want 0 in 2", u.Total, len(u.channels()))
	}
}

// realChat is real text by thousands of people; it lies beside the repository and is not part of it.
func realChat(t *testing.T) string {
	t.Helper()
	const path = "../../../shared/realchat/chat.jsonl.gz"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the real chat is needed: %v", err)
	}
	return path
}
