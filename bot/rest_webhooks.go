package bot

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/diamondburned/arikawa/v3/api"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/diamondburned/arikawa/v3/utils/httputil"

	"tidings"
)

type wireWebhook struct {
	ID        id       `json:"id"`
	Type      int      `json:"type"`
	ChannelID id       `json:"channel_id"`
	Name      text     `json:"name"`
	User      wireUser `json:"user"`
	Token     text     `json:"token"`
	Channel   struct {
		Name text `json:"name"`
	} `json:"source_channel"`
	Guild struct {
		Name text `json:"name"`
	} `json:"source_guild"`
}

func (w wireWebhook) webhook() tidings.ChannelWebhook {
	return tidings.ChannelWebhook{
		ID: tidings.WebhookID(w.ID), Kind: w.Type, Channel: discord.ChannelID(w.ChannelID), Name: string(w.Name),
		Creator: discord.UserID(w.User.ID), Source: string(w.Channel.Name), SourceGuild: string(w.Guild.Name),
	}
}

// ChannelWebhooks lists a channel's webhooks, without their secrets. The bot needs MANAGE_WEBHOOKS there.
func (r *REST) ChannelWebhooks(ctx context.Context, c discord.ChannelID) ([]tidings.ChannelWebhook, error) {
	var page []wireWebhook
	if err := r.get(ctx, &page, "channels/"+c.String()+"/webhooks", nil); err != nil {
		return nil, fmt.Errorf("get webhooks of channel %d: %w", c, err)
	}
	list := make([]tidings.ChannelWebhook, 0, len(page))
	for _, w := range page {
		list = append(list, w.webhook())
	}
	return list, nil
}

// CreateWebhook makes a webhook that writes into a channel and returns it with its URL. reason is shown in the server's audit log.
func (r *REST) CreateWebhook(ctx context.Context, c discord.ChannelID, name, reason string) (tidings.ChannelWebhook, error) {
	var made wireWebhook
	err := r.send(ctx, &made, http.MethodPost, "channels/"+c.String()+"/webhooks", map[string]string{"name": name}, reason)
	if err != nil {
		return tidings.ChannelWebhook{}, fmt.Errorf("make a webhook in channel %d: %w", c, err)
	}
	if made.ID == 0 || made.Token == "" {
		return tidings.ChannelWebhook{}, fmt.Errorf("make a webhook in channel %d: %w: the answer has no id or token", c, tidings.ErrUnavailable)
	}
	w := made.webhook()
	base := *r.transport.base
	base.Path, base.RawQuery = "/api/webhooks/"+w.ID.String()+"/"+url.PathEscape(string(made.Token)), ""
	w.URL = base.String()
	return w, nil
}

// FollowChannel has a channel receive what an announcement channel publishes, and returns the webhook by which it does.
func (r *REST) FollowChannel(ctx context.Context, news, into discord.ChannelID, reason string) (tidings.WebhookID, error) {
	var made struct {
		Webhook id `json:"webhook_id"`
	}
	err := r.send(ctx, &made, http.MethodPost, "channels/"+news.String()+"/followers", map[string]string{"webhook_channel_id": into.String()}, reason)
	if err != nil {
		return 0, fmt.Errorf("follow channel %d in channel %d: %w", news, into, err)
	}
	return tidings.WebhookID(made.Webhook), nil
}

// DeleteWebhook deletes a webhook.
func (r *REST) DeleteWebhook(ctx context.Context, w tidings.WebhookID, reason string) error {
	if err := r.send(ctx, nil, http.MethodDelete, "webhooks/"+w.String(), nil, reason); err != nil {
		return fmt.Errorf("delete webhook %d: %w", w, err)
	}
	return nil
}

// send changes something, for a reason that the server's audit log shows.
func (r *REST) send(ctx context.Context, to any, method, path string, body any, reason string) error {
	opts := []httputil.RequestOption{httputil.WithHeaders(api.AuditLogReason(url.PathEscape(reason)).Header())}
	if body != nil {
		opts = append(opts, httputil.WithJSONBody(body))
	}
	c := r.client.WithContext(ctx)
	if to == nil {
		return fault(ctx, c.FastRequest(method, api.Endpoint+path, opts...))
	}
	return fault(ctx, c.RequestJSON(to, method, api.Endpoint+path, opts...))
}
