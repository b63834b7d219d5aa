package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/bot"
	"tidings/store"
)

// checkCmd is "tidings check".
type checkCmd struct{}

func (checkCmd) Run(ctx context.Context, c *Config, out *output) error {
	if c.DiscordToken == "" {
		return usageError{c.faults()}
	}
	if faults := c.serverFaults(); len(faults) > 0 {
		return usageError{faults}
	}
	k := &checker{out: out}
	for _, f := range bot.Check(ctx, bot.CheckOptions{
		Token: c.DiscordToken, ClientID: c.DiscordClientID, ClientSecret: c.DiscordClientSecret, URL: c.DiscordURL,
	}) {
		k.say(f)
	}
	k.permissions(ctx, c)
	k.clock(ctx, c.DiscordURL)
	k.servers(ctx, c)
	k.disk(c)
	if k.failed > 0 {
		return fmt.Errorf("%d of the checks failed", k.failed)
	}
	return nil
}

// checker says what it finds, and counts what is wrong.
type checker struct {
	out    *output
	failed int
}

func (k *checker) say(f bot.Finding) {
	mark := "ok  "
	if !f.OK {
		mark = "FAIL"
		k.failed++
	}
	fmt.Fprintf(k.out.Out, "%s  %s\n", mark, f.What)
	if f.Todo != "" {
		fmt.Fprintf(k.out.Out, "      %s\n", strings.ReplaceAll(f.Todo, "\n", "\n      "))
	}
}

func (k *checker) ok(format string, a ...any) {
	k.say(bot.Finding{OK: true, What: fmt.Sprintf(format, a...)})
}

func (k *checker) bad(todo, format string, a ...any) {
	k.say(bot.Finding{What: fmt.Sprintf(format, a...), Todo: todo})
}

// maxChecked bounds of how many servers each channel is looked at: three requests each.
const maxChecked = 25

// permissions says in which channels the bot may not read. That may be meant, so it is no failure where others may be read.
func (k *checker) permissions(ctx context.Context, c *Config) {
	b, err := bot.New(bot.Options{Token: c.DiscordToken, URL: c.DiscordURL, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return // It was said before.
	}
	rest := b.REST()
	me, err := rest.Me(ctx)
	if err != nil {
		return
	}
	guilds, err := rest.Guilds(ctx)
	if err != nil {
		return
	}
	for i, g := range guilds {
		if i == maxChecked {
			k.ok("the channels of %d more servers were not looked at", len(guilds)-i)
			return
		}
		blind, all, err := unreadable(ctx, rest, g.ID, me.ID)
		const todo = "Give the bot's role View Channel and Read Message History there, and Connect in voice channels; or leave it, if nobody is to read them here."
		switch {
		case err != nil:
			k.bad("Run the check again in a minute.", "the channels of %q cannot be looked at: %v", g.Name, err)
		case all > 0 && len(blind) == all:
			k.bad(todo, "the bot may read none of the %d channels of %q", all, g.Name)
		case len(blind) > 0:
			k.say(bot.Finding{OK: true, What: fmt.Sprintf("of %q the bot may read %d of %d channels; not: %s", g.Name, all-len(blind), all, shortened(blind)), Todo: todo})
		default:
			k.ok("of %q the bot may read all %d channels", g.Name, all)
		}
	}
}

func unreadable(ctx context.Context, rest *bot.REST, g discord.GuildID, me discord.UserID) (blind []string, all int, err error) {
	seen, err := rest.GuildSeen(ctx, g)
	if err != nil {
		return nil, 0, err
	}
	member, err := rest.Member(ctx, g, me)
	if err != nil {
		return nil, 0, err
	}
	rules := tidings.NewRules(&tidings.GuildState{Guild: seen.Guild, Roles: seen.Roles, Channels: seen.Channels})
	for _, ch := range seen.Channels {
		if !ch.HoldsMessages() {
			continue
		}
		all++
		if !rules.CanRead(member, ch.ID) {
			blind = append(blind, "#"+ch.Name)
		}
	}
	return blind, all, nil
}

func shortened(names []string) string {
	const most = 10
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// maxSkew is by how much this machine's clock may differ. Ids hold Discord's time: what is shown as new, and what retention deletes, goes by it.
const maxSkew = 5 * time.Second

func (k *checker) clock(ctx context.Context, base string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/api/v10/gateway", nil)
	if err != nil {
		return
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return // It was said before that Discord is away.
	}
	res.Body.Close()
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		k.ok("Discord does not say what time it is, so the clock is not checked")
		return
	}
	// The header names a whole second, and the answer took a while.
	skew := time.Since(theirs.Add(500*time.Millisecond)) - time.Since(began)/2
	if skew.Abs() > maxSkew {
		k.bad("Set the clock by NTP, for example with systemd-timesyncd or chrony.", "this machine's clock differs from Discord's by %v", skew.Round(time.Second))
		return
	}
	k.ok("this machine's clock is right")
}

// servers looks at PostgreSQL and Redis, and starts those of our own where none are given.
func (k *checker) servers(ctx context.Context, c *Config) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b, err := openBackends(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		k.bad("Follow what it says, or set DATABASE_URL and REDIS_URL.", "PostgreSQL or Redis cannot be started: %v", err)
		return
	}
	defer b.stop()
	h, schema, err := store.Inspect(ctx, b.databaseURL)
	switch {
	case err != nil:
		k.bad("Is the server that DATABASE_URL names running, and may this machine and user reach it?", "PostgreSQL does not answer: %v", err)
	case h.Number < 140000:
		k.bad("Use PostgreSQL 14 or newer.", "PostgreSQL %s is too old", h.Version)
	default:
		k.ok("PostgreSQL %s answers in %v; %d of %d connections are used, the database has %s", h.Version, h.Took.Round(time.Microsecond), h.Used, h.Allowed, size(h.Bytes))
		switch schema {
		case store.SchemaNone:
			k.ok("the database is empty; the first start makes its tables")
		case store.SchemaCurrent:
			k.ok("the database has this version's schema")
		default:
			k.ok("the database has another version's schema; the next start brings it to this one's")
		}
	}
	info, err := b.redis.Info(ctx, "server", "memory").Result()
	version := field(info, "redis_version")
	switch {
	case err != nil:
		k.bad("Is the server that REDIS_URL names running, and may this machine reach it? Without it pages are slower, and processes hear of each other seconds late.", "Redis does not answer: %v", err)
	case version != "" && major(version) < 6:
		k.bad("Use Redis 6 or newer, or Valkey.", "Redis %s is too old", version)
	default:
		k.ok("Redis %s answers", version)
	}
}

// field reads a line of what Redis says about itself.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}

func major(version string) (n int) {
	fmt.Sscanf(version, "%d", &n)
	return n
}

func (k *checker) disk(c *Config) {
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
		k.bad("Choose another folder with DATA_DIR=….", "DATA_DIR cannot be made: %v", err)
		return
	}
	ask := statfs
	if c.Statfs != nil {
		ask = c.Statfs
	}
	free, all, err := ask(c.DataDir)
	switch {
	case err != nil:
		k.bad("Choose another folder with DATA_DIR=….", "the disk of DATA_DIR cannot be looked at: %v", err)
	case free < uint64(c.MinFreeDisk)<<20:
		k.bad("Make room, or set MIN_FREE_DISK lower.", "only %s are free in DATA_DIR; below %d MB nothing is taken in", size(int64(free)), c.MinFreeDisk)
	default:
		k.ok("%s of %s are free in DATA_DIR", size(int64(free)), size(int64(all)))
	}
}
