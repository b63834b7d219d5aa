package tidings

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// WebhookID is the id of a channel's webhook.
type WebhookID = discord.WebhookID

// ChannelWebhook is one of Discord's webhooks that write into a channel. It has nothing to do with what comes to our own
// webhook address, which [Webhook] is about.
type ChannelWebhook struct {
	ID      WebhookID
	Kind    int // one of the constants below
	Channel discord.ChannelID
	Name    string
	Creator discord.UserID // 0 when Discord does not say
	// Source is the announcement channel that a follower copies from, and the server that it is in.
	Source, SourceGuild string
	// URL is where to post to. Whoever has it writes into the channel: it is shown once, to who made the webhook, and neither
	// kept nor logged.
	URL string
}

// The kinds of webhook. Source: discord.com/developers/docs/resources/webhook#webhook-object-webhook-types.
const (
	WebhookIncoming    = 1
	WebhookFollower    = 2
	WebhookApplication = 3
)

// Made says when a webhook was made: its id is a snowflake.
func (w ChannelWebhook) Made() time.Time { return w.ID.Time() }
