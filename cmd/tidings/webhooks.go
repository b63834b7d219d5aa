package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
	"tidings/bot"
	"tidings/jobs"
	"tidings/store"
	"tidings/web"
)

// webhookPause is how long a delivery lies while the gateway is on, which usually says the same first.
const webhookPause = 2 * time.Second

// webhookOptions switches the webhook address on.
func webhookOptions(c *Config, st *store.Store, rest *bot.REST) *web.WebhookOptions {
	relays, _ := parseRelays(c.RelayKeys) // Faults were reported before the start.
	o := &web.WebhookOptions{Inbox: st, Relays: relays, DiscordKey: discordKey(c, rest)}
	if c.Gateway == "on" {
		o.Wait = webhookPause
	}
	return o
}

// discordKey gives the key with which Discord signs: the one that is set, or what Discord says, which is asked once.
func discordKey(c *Config, rest *bot.REST) func(context.Context) (ed25519.PublicKey, error) {
	if c.DiscordPublicKey != "" {
		key, err := publicKey(c.DiscordPublicKey)
		return func(context.Context) (ed25519.PublicKey, error) { return key, err }
	}
	var mu sync.Mutex
	var known ed25519.PublicKey
	return func(ctx context.Context) (ed25519.PublicKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil {
			return known, nil
		}
		app, err := rest.Application(ctx)
		if err != nil {
			return nil, err
		}
		key, err := publicKey(app.VerifyKey)
		if err != nil {
			return nil, fmt.Errorf("%w: Discord's verify_key %w", tidings.ErrUnavailable, err)
		}
		known = key
		return known, nil
	}
}

// hydrator asks Discord about what webhooks say. Nobody waits for it.
type hydrator struct{ rest *bot.REST }

func (h hydrator) Message(ctx context.Context, c discord.ChannelID, m discord.MessageID) (tidings.Message, error) {
	return h.rest.Message(bot.Background(ctx), c, m)
}

func (h hydrator) Channel(ctx context.Context, c discord.ChannelID) (tidings.Channel, error) {
	return h.rest.Channel(bot.Background(ctx), c)
}

func (h hydrator) Gone(err error) bool { return bot.Code(err) == unknownMessage }

// newWebhooks makes the handler of what came to the webhook address.
func newWebhooks(c *Config, rest *bot.REST, st *store.Store, door jobs.Door, who *access.Access, site *web.Server, log *slog.Logger) *jobs.Webhooks {
	relays, _ := parseRelays(c.RelayKeys)
	guilds := map[string][]discord.GuildID{}
	for _, r := range relays {
		guilds[r.Name] = r.Guilds
	}
	return &jobs.Webhooks{
		Discord: hydrator{rest}, Store: st, Door: door, Log: log, Official: web.DiscordSource, Relays: guilds, Place: who.Channel,
		HistoryDays: min(c.HistoryDays, c.RetentionDays), RetentionDays: c.RetentionDays,
		Deauthorized: func(ctx context.Context, u discord.UserID, at time.Time) error {
			tokens, done, err := st.Deauthorize(ctx, u, at)
			if err != nil || !done {
				return err
			}
			n, err := site.EndUser(ctx, u, tokens)
			log.Info("a person has removed the application; their sessions and tokens are gone", "user", u, "sessions", n)
			return err
		},
	}
}
