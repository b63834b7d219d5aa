package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
)

// Bad input gets a clear error that says what to do, and loses nothing.

func TestSettingsThatAreMissingAreNamedAllAtOnce(t *testing.T) {
	for _, name := range []string{"DISCORD_TOKEN", "DISCORD_CLIENT_ID", "DISCORD_CLIENT_SECRET"} {
		t.Setenv(name, "")
	}
	t.Setenv("RETENTION_DAYS", "0")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"serve"}, &out, &errs); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{"DISCORD_TOKEN", "DISCORD_CLIENT_ID", "DISCORD_CLIENT_SECRET", "RETENTION_DAYS", "discord.com/developers", "tidings demo"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the error does not name %s:\n%s", want, &errs)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
	}{
		{"help", []string{"--help"}, 0},
		{"help of a command", []string{"serve", "--help"}, 0},
		{"version", []string{"--version"}, 0},
		{"an unknown command", []string{"frobnicate"}, exitUsage},
		{"an unknown flag", []string{"serve", "--frobnicate"}, exitUsage},
		{"a user that is no id", []string{"token", "create", "--user", "me", "--discord-token", "x"}, exitUsage},
		{"a token that may do nothing", []string{"token", "create", "--user", "5", "--scopes", "", "--discord-token", "x"}, exitUsage},
		{"a simulator at no address", []string{"sim", "--listen", "nonsense"}, exitUsage},
		{"nobody there", []string{"health", "--listen", "127.0.0.1:1"}, exitFailure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), tt.args, &out, &errs); code != tt.code {
				t.Errorf("tidings %s: exit code %d, want %d\n%s", strings.Join(tt.args, " "), code, tt.code, &errs)
			}
		})
	}
}

func TestACommandNamesOnlyItsOwnFlags(t *testing.T) {
	for command, want := range map[string]string{"export": "exactly one of --guild and --channel.", "purge": "exactly one of --guild, --channel and --user."} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{command}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("tidings %s: exit code %d, %q, want %q", command, code, errs.String(), want)
		}
	}
}

func TestAWrongTokenStopsTheServiceAndIsNotHammered(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	c := configFor(t, discord)
	c.DiscordToken = "not.the.token"
	err := serve(t.Context(), c, slog.New(slog.NewTextHandler(logWriter{t}, nil)), func(string) {})
	if !errors.Is(err, tidings.ErrUnauthorized) || !strings.Contains(err.Error(), "DISCORD_TOKEN") {
		t.Errorf("serve() = %v, want an error that names DISCORD_TOKEN", err)
	}
	if !errors.As(err, new(refusedError)) {
		t.Errorf("serve() = %v, after which the service would be started again and again", err)
	}
	var log struct {
		Requests []struct{ Status int } `json:"requests"`
	}
	discord.Sim200("GET", "/sim/log", nil, &log)
	if n := len(log.Requests); n == 0 || n > 2 {
		t.Errorf("%d requests with the wrong token, want one or two", n)
	}
}

func TestAPortInUseIsSaidBeforeAnythingIsStarted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	discord := simtest.Start(t, sim.Options{})
	c := configFor(t, discord)
	c.Listen, c.DatabaseURL, c.DataDir = l.Addr().String(), "", filepath.Join(t.TempDir(), "data")
	err = serve(t.Context(), c, slog.New(slog.DiscardHandler), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "LISTEN") {
		t.Errorf("serve() = %v, want one that says the address is in use and names LISTEN", err)
	}
	if _, err := os.Stat(c.DataDir); !os.IsNotExist(err) {
		t.Error("the data directory was made although the service cannot start")
	}
}

func TestADataDirectoryThatCannotBeUsedIsNamed(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	c := configFor(t, discord)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL, c.DataDir = "", file
	err := serve(t.Context(), c, slog.New(slog.DiscardHandler), func(string) {})
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Errorf("serve() = %v, want one that names %s and DATA_DIR", err, file)
	}
}

func TestADatabaseURLThatIsNoneIsSaidAtOnce(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	c := configFor(t, discord)
	c.DatabaseURL = "postgres://tidings:hunter2@host:notaport/x"
	err := serve(t.Context(), c, slog.New(slog.DiscardHandler), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "database URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("serve() = %v, want one that speaks of the database URL and does not say its password", err)
	}
}

func TestTheDatabaseIsAwayAtTheStartAndLater(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	owner, reader := discord.Person("owner"), discord.Person("reader")
	general := discord.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil).Channel("general")
	c := configFor(t, discord)
	db := testdb.RestartablePostgres(t)
	c.DatabaseURL = db.URL()
	db.Stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		// The service has found the database away by the time it asks for it a second time.
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-t.Context().Done():
		}
		db.Start()
	}()
	s := start(t, c)
	<-back
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the channel is seen", 20*time.Second, func() bool { return len(s.unread(me).channels()) == 1 })

	db.Stop()
	discord.Say(owner, general, "said while the database is away")
	if status := s.call(credential{}, "GET", "/readyz", nil, nil); status != http.StatusServiceUnavailable {
		t.Errorf("GET /readyz without a database = %d, want 503", status)
	}
	if status := s.call(me, "GET", "/api/unread", nil, nil); status != http.StatusServiceUnavailable {
		t.Errorf("GET /api/unread without a database = %d, want 503", status)
	}
	db.Start()
	eventually(t, "what was said meanwhile is counted", 30*time.Second, func() bool {
		var u unread
		return s.call(me, "GET", "/api/unread", nil, &u) == http.StatusOK && u.Total == 1
	})
}

func TestRedisIsAwayAtTheStartAndLater(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	owner, reader := discord.Person("owner"), discord.Person("reader")
	general := discord.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil).Channel("general")
	cache := testdb.RestartableRedis(t)
	c := configFor(t, discord)
	c.RedisURL = "unix://" + cache.Options().Addr
	cache.Stop()
	one := start(t, c)
	other := *c // a second process, which only serves browsers
	other.Roles = []string{"web"}
	two := start(t, &other)
	me := credential{token: makeToken(t, c, reader.ID)}
	for _, s := range []*service{one, two} {
		eventually(t, "the channel is seen", 20*time.Second, func() bool { return len(s.unread(me).channels()) == 1 })
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	near, far := listen(ctx, one, me), listen(ctx, two, me)

	said := 0
	say := func(what string, within time.Duration) {
		t.Helper()
		discord.Say(owner, general, what)
		said++
		for _, s := range []*service{one, two} {
			eventually(t, what+": it is counted", 10*time.Second, func() bool { return s.unread(me).Total == said })
		}
		eventually(t, what+": it reaches the socket of the process that stored it", 10*time.Second, func() bool { return near.unread() == said })
		eventually(t, what+": it reaches the socket of the other process", within, func() bool { return far.unread() == said })
		var page struct{ Messages []struct{ Content string } }
		if status := one.call(me, "GET", "/api/messages?channel="+general, nil, &page); status != http.StatusOK || len(page.Messages) != said || page.Messages[0].Content != what {
			t.Errorf("%s: GET /api/messages = %d with %d messages", what, status, len(page.Messages))
		}
	}
	say("without Redis from the start", 30*time.Second)
	cache.Start()
	say("with Redis", 30*time.Second)
	cache.Stop()
	say("without Redis again", 30*time.Second)
	cache.Start()
	say("with Redis again", 30*time.Second)
}

func TestCheckPrintsTheInviteLinkAndWhatIsWrong(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	owner := discord.Person("owner")
	guild := discord.Guild("Harbour", owner, nil, []string{"general"}, nil)
	c := configFor(t, discord)
	var out bytes.Buffer
	if err := (checkCmd{}).Run(t.Context(), c, &output{&out, io.Discard}); err != nil {
		t.Errorf("check: %v\n%s", err, &out)
	}
	for _, want := range []string{
		"/oauth2/authorize?", c.DiscordClientID, "ok", `of "Harbour" the bot may read all 1 channels`, "clock is right", "PostgreSQL", "the database is empty", "Redis", "are free in DATA_DIR",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("check does not print %q:\n%s", want, &out)
		}
	}
	// All that is wrong is said at once, with what to do.
	st, err := store.Open(t.Context(), store.Options{DatabaseURL: c.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	var roles []struct{ ID, Name string }
	discord.Must(owner.Token, "GET", "/guilds/"+guild.ID+"/roles", nil, &roles)
	for _, r := range roles {
		if r.Name == "Tidings" { // the bot's own, which makes it an administrator
			discord.Must(owner.Token, "PATCH", "/guilds/"+guild.ID+"/roles/"+r.ID, map[string]any{"permissions": "0"}, nil)
		}
	}
	discord.Must(owner.Token, "PUT", "/channels/"+guild.Channel("general")+"/permissions/"+guild.ID, map[string]any{"type": 0, "deny": "1024"}, nil)
	c.DiscordClientSecret, c.RedisURL = "wrong", "redis://127.0.0.1:1/0"
	c.Statfs = func(string) (uint64, uint64, error) { return 1 << 20, 1 << 40, nil }
	c.MinFreeDisk = 100
	out.Reset()
	if err := (checkCmd{}).Run(t.Context(), c, &output{&out, io.Discard}); err == nil || !strings.Contains(err.Error(), "4 of the checks failed") {
		t.Errorf("check with four faults: %v\n%s", err, &out)
	}
	for _, want := range []string{"refuses the client id or secret", "may read none of the 1 channels", "Redis does not answer", "only 1 MB are free", "this version's schema"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("check does not print %q:\n%s", want, &out)
		}
	}
}
