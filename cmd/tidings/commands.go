package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/access"
	"tidings/bot"
	"tidings/store"
)

// migrateCmd is "tidings migrate".
type migrateCmd struct{}

func (migrateCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	return withStore(ctx, c, log, func(*store.Store) error {
		fmt.Fprintln(out.Out, "the database has this version's schema")
		return nil
	})
}

// withStore runs f on the database, which it starts and stops where none is given.
func withStore(ctx context.Context, c *Config, log *slog.Logger, f func(*store.Store) error) error {
	return withBackends(ctx, c, log, func(st *store.Store, _ *backends) error { return f(st) })
}

// withBackends is withStore for those who need Redis too.
func withBackends(ctx context.Context, c *Config, log *slog.Logger, f func(*store.Store, *backends) error) error {
	if faults := c.serverFaults(); len(faults) > 0 {
		return usageError{faults}
	}
	backends, err := openBackends(ctx, c, log.With("part", "embedded"))
	if err != nil {
		return err
	}
	defer backends.stop()
	st, err := backends.openStore(ctx, c, log.With("part", "store"))
	if err != nil {
		return err
	}
	defer st.Close()
	return f(st, backends)
}

// tokenCmd is "tidings token".
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token for a person and print it, once."`
}

type tokenCreateCmd struct {
	User   string   `required:"" placeholder:"ID" help:"The person's Discord id."`
	Scopes []string `default:"read,ack" help:"What it may do: read, ack (mark as read), webhooks, admin."`
	Name   string   `default:"command line" help:"What it is for."`
}

func (t tokenCreateCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	var faults []string
	id, err := discord.ParseSnowflake(t.User)
	if err != nil || !id.IsValid() {
		faults = append(faults, fmt.Sprintf("--user %q is not a Discord id: it is a long number; in Discord's settings switch on Developer Mode, then copy it from the person's menu.", t.User))
	}
	t.Scopes = strings.Fields(strings.Join(t.Scopes, " "))
	if len(t.Scopes) == 0 {
		faults = append(faults, "--scopes names none: there are read, ack, webhooks and admin.")
	}
	for _, s := range t.Scopes {
		if !slices.Contains([]string{"read", "ack", "webhooks", "admin"}, s) {
			faults = append(faults, fmt.Sprintf("--scopes names %q: there are read, ack, webhooks and admin.", s))
		}
	}
	if slices.Contains(t.Scopes, "admin") && err == nil && !slices.Contains(c.admins(), discord.UserID(id)) {
		faults = append(faults, fmt.Sprintf("--scopes names admin, which is for those in ADMINS alone: it does not name %s.", t.User))
	}
	if c.DiscordToken == "" {
		faults = append(faults, "DISCORD_TOKEN is not set: it is needed to ask Discord which servers the person is in.")
	}
	if len(faults) > 0 {
		return usageError{faults}
	}
	return withBackends(ctx, c, log, func(st *store.Store, servers *backends) error {
		limiter, err := newLimiter(c, servers, log, nil)
		if err != nil {
			return err
		}
		b, err := bot.New(bot.Options{Token: c.DiscordToken, URL: c.DiscordURL, Sessions: st, Log: log.With("part", "bot"), Limiter: limiter})
		if err != nil {
			return err
		}
		user, err := b.REST().User(ctx, discord.UserID(id))
		switch {
		case errors.Is(err, tidings.ErrNotFound):
			return fmt.Errorf("nobody on Discord has the id %s", t.User)
		case err != nil:
			return err
		}
		if user, err = st.SaveUser(ctx, user); err != nil {
			return err
		}
		if err := enroll(ctx, st, b, user.ID, log); err != nil {
			return err
		}
		token, err := st.CreateToken(ctx, user.ID, t.Name, t.Scopes)
		if err != nil {
			return err
		}
		fmt.Fprintln(out.Out, token)
		return nil
	})
}

// newLimiter shares Discord's limits with all processes that have the same Redis: a command may run beside a service.
func newLimiter(c *Config, servers *backends, log *slog.Logger, metrics prometheus.Registerer) (*bot.SharedLimiter, error) {
	return bot.NewSharedLimiter(bot.SharedOptions{
		Redis: servers.redis, Prefix: c.RedisPrefix, Token: c.DiscordToken, Log: log.With("part", "bot"), Metrics: metrics,
	})
}

// enroll asks in which of the bot's guilds a person is, and keeps it. Guilds that no gateway has told of yet are learnt from
// Discord first, so that the history of a token made before the first start of the service begins now.
func enroll(ctx context.Context, st *store.Store, b *bot.Bot, user discord.UserID, log *slog.Logger) error {
	known, err := st.GuildIDs(ctx)
	if err != nil {
		return err
	}
	guilds, err := b.REST().Guilds(ctx)
	if err != nil {
		return err
	}
	for _, g := range guilds {
		if slices.Contains(known, g.ID) {
			continue
		}
		seen, err := b.REST().GuildSeen(ctx, g.ID)
		if err != nil {
			return err
		}
		if _, err := st.RecordBarrier(ctx, tidings.Event{Source: tidings.SourcePoll, Guild: g.ID, At: time.Now(), Body: seen}, nil); err != nil {
			return err
		}
	}
	who := access.New(st, b.REST(), access.Options{Log: log.With("part", "access")})
	if err := who.Load(ctx); err != nil {
		return err
	}
	return who.Enroll(ctx, user, nil, nil)
}

// healthCmd is "tidings health", for a container's health check, which has no curl.
type healthCmd struct{}

func (healthCmd) Run(ctx context.Context, c *Config, out *output) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(c.listen())
	if err != nil {
		return usageError{c.serverFaults()}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	client, url := http.DefaultClient, "http://"+net.JoinHostPort(host, port)+"/readyz"
	if c.servesTLS() {
		// It asks the process beside it, by a number that no certificate names.
		name := ""
		if len(c.TLS.Domains) > 0 {
			name = c.TLS.Domains[0]
		}
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true}}} // #nosec G402 -- it says nothing secret and believes nothing but a status
		url = "https" + strings.TrimPrefix(url, "http")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	fmt.Fprintln(out.Out, "ready")
	return nil
}
