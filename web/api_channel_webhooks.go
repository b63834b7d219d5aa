package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// ChannelWebhooks makes and deletes channels' webhooks on Discord, as the bot. It is bot's REST.
type ChannelWebhooks interface {
	ChannelWebhooks(ctx context.Context, c discord.ChannelID) ([]tidings.ChannelWebhook, error)
	CreateWebhook(ctx context.Context, c discord.ChannelID, name, reason string) (tidings.ChannelWebhook, error)
	FollowChannel(ctx context.Context, news, into discord.ChannelID, reason string) (tidings.WebhookID, error)
	DeleteWebhook(ctx context.Context, w tidings.WebhookID, reason string) error
}

// ChannelWebhookView is a webhook that writes into a channel, without its secret.
type ChannelWebhookView struct {
	ID          tidings.WebhookID `json:"id" doc:"A Discord id"`
	Kind        string            `json:"kind" enum:"incoming,follower,application"`
	Name        string            `json:"name"`
	Creator     discord.UserID    `json:"creator" doc:"Who made it; the bot for those that were made here"`
	Source      string            `json:"source,omitempty" doc:"The announcement channel that a follower copies from"`
	SourceGuild string            `json:"source_guild,omitempty"`
	CreatedAt   time.Time         `json:"created_at"`
}

func channelWebhookView(w tidings.ChannelWebhook) ChannelWebhookView {
	kind := "incoming"
	switch w.Kind {
	case tidings.WebhookFollower:
		kind = "follower"
	case tidings.WebhookApplication:
		kind = "application"
	}
	return ChannelWebhookView{w.ID, kind, w.Name, w.Creator, w.Source, w.SourceGuild, w.Made().UTC()}
}

// mayManage finds a channel whose webhooks the person may manage. The bot acts for them, so what they may do on Discord is all
// that it does: a channel that they may not see does not exist, and one that they see without that permission is refused. That is by
// what is stored now, of which other guilds are brought up to date as well.
func (s *Server) mayManage(ctx context.Context, field string, given ID, other ...discord.GuildID) (discord.ChannelID, error) {
	c, err := parseID[discord.ChannelID](field, given)
	if err != nil {
		return 0, err
	}
	p := asking(ctx)
	const need = tidings.PermissionViewChannel | tidings.PermissionManageWebhooks
	channel, seen := visibleChannel(s.o.Access.Visible(p.user), c)
	if !seen {
		return 0, tidings.ErrNotFound
	}
	if !slices.Contains(other, channel.Guild) {
		other = append(other, channel.Guild)
	}
	set, err := s.o.Access.Confirm(ctx, p.user, other...)
	if err != nil {
		return 0, err
	}
	if channel, seen = visibleChannel(set, c); !seen {
		return 0, tidings.ErrNotFound
	}
	switch {
	case !s.o.Access.Permissions(p.user, c).Has(need):
		return 0, problemf(http.StatusForbidden, "On Discord you would need the permission Manage Webhooks in this channel.")
	case channel.IsThread(), channel.Type == tidings.ChannelCategory:
		return 0, fieldProblem(field, "threads and categories have no webhooks of their own; name the channel", given)
	case s.o.Channels == nil:
		return 0, tidings.ErrUnavailable
	}
	return c, nil
}

// visibleChannel finds a channel, a forum too.
func visibleChannel(set *tidings.VisibleSet, id discord.ChannelID) (tidings.Channel, bool) {
	for _, g := range set.Guilds {
		for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
			if i := slices.IndexFunc(list, func(c tidings.Channel) bool { return c.ID == id }); i >= 0 {
				return list[i], true
			}
		}
	}
	return tidings.Channel{}, false
}

// refused is what Discord's refusal of the bot's own request means for the person.
func (s *Server) refused(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, tidings.ErrForbidden):
		err = problemf(http.StatusForbidden, "Discord refuses the bot: it needs the permission Manage Webhooks in this channel as well.")
	case errors.Is(err, tidings.ErrInvalid):
		err = problemf(http.StatusConflict, "Discord refuses this. A channel has at most 15 webhooks, and no name may contain \"discord\" or \"clyde\".")
	}
	return s.failed(ctx, what, err)
}

// reason is what the server's audit log shows beside what the bot did.
func (s *Server) reason(ctx context.Context) string {
	p := asking(ctx)
	return fmt.Sprintf("Asked for by user %d through Tidings", p.user)
}

type channelWebhooksInput struct {
	Channel ID `path:"id"`
}

type channelWebhooksOutput struct {
	Body struct {
		Webhooks []ChannelWebhookView `json:"webhooks"`
	}
}

func (s *Server) getChannelWebhooks(ctx context.Context, in *channelWebhooksInput) (*channelWebhooksOutput, error) {
	c, err := s.mayManage(ctx, "path.id", in.Channel)
	if err != nil {
		return nil, s.failed(ctx, "list webhooks", err)
	}
	list, err := s.o.Channels.ChannelWebhooks(ctx, c)
	if err != nil {
		return nil, s.refused(ctx, "list webhooks", err)
	}
	out := &channelWebhooksOutput{}
	out.Body.Webhooks = make([]ChannelWebhookView, 0, len(list))
	for _, w := range list {
		out.Body.Webhooks = append(out.Body.Webhooks, channelWebhookView(w))
	}
	return out, nil
}

type newChannelWebhookInput struct {
	Channel ID `path:"id"`
	Body    struct {
		Name string `json:"name" minLength:"1" maxLength:"80" doc:"Under which its messages appear"`
	}
}

type newChannelWebhookOutput struct {
	Body struct {
		ChannelWebhookView
		URL string `json:"url" doc:"Shown this once. Whoever has it can write into the channel"`
	}
}

func (s *Server) postChannelWebhook(ctx context.Context, in *newChannelWebhookInput) (*newChannelWebhookOutput, error) {
	c, err := s.mayManage(ctx, "path.id", in.Channel)
	if err != nil {
		return nil, s.failed(ctx, "make a webhook", err)
	}
	name := strings.TrimSpace(in.Body.Name)
	if name == "" {
		return nil, s.failed(ctx, "make a webhook", fieldProblem("body.name", "expected a name", in.Body.Name))
	}
	w, err := s.o.Channels.CreateWebhook(ctx, c, name, s.reason(ctx))
	if err != nil {
		return nil, s.refused(ctx, "make a webhook", err)
	}
	s.log.Info("a webhook was made", "channel", c, "webhook", w.ID, "user", asking(ctx).user)
	out := &newChannelWebhookOutput{}
	out.Body.ChannelWebhookView, out.Body.URL = channelWebhookView(w), w.URL
	return out, nil
}

type channelWebhookInput struct {
	Channel ID `path:"id"`
	Webhook ID `path:"webhook"`
}

func (s *Server) deleteChannelWebhook(ctx context.Context, in *channelWebhookInput) (*struct{}, error) {
	c, err := s.mayManage(ctx, "path.id", in.Channel)
	if err != nil {
		return nil, s.failed(ctx, "delete a webhook", err)
	}
	id, err := parseID[tidings.WebhookID]("path.webhook", in.Webhook)
	if err != nil {
		return nil, s.failed(ctx, "delete a webhook", err)
	}
	// What the person may do is known of this channel only, and the bot may delete webhooks of others.
	list, err := s.o.Channels.ChannelWebhooks(ctx, c)
	if err != nil {
		return nil, s.refused(ctx, "delete a webhook", err)
	}
	if !slices.ContainsFunc(list, func(w tidings.ChannelWebhook) bool { return w.ID == id && w.Channel == c }) {
		return nil, s.failed(ctx, "delete a webhook", tidings.ErrNotFound)
	}
	if err := s.o.Channels.DeleteWebhook(ctx, id, s.reason(ctx)); err != nil {
		return nil, s.refused(ctx, "delete a webhook", err)
	}
	s.log.Info("a webhook was deleted", "channel", c, "webhook", id, "user", asking(ctx).user)
	return nil, nil
}

type followerInput struct {
	Channel ID `path:"id" doc:"The announcement channel"`
	Body    struct {
		Channel ID `json:"channel" doc:"The channel that is to receive what is published there"`
	}
}

type followerOutput struct {
	Body struct {
		Webhook tidings.WebhookID `json:"webhook" doc:"The follower among the receiving channel's webhooks"`
	}
}

func (s *Server) postFollower(ctx context.Context, in *followerInput) (*followerOutput, error) {
	news, err := parseID[discord.ChannelID]("path.id", in.Channel)
	if err != nil {
		return nil, s.failed(ctx, "follow a channel", err)
	}
	user := asking(ctx).user
	g, _, err := readable(s.o.Access.Visible(user), news)
	if err != nil {
		return nil, s.failed(ctx, "follow a channel", err)
	}
	into, err := s.mayManage(ctx, "body.channel", in.Body.Channel, g.Guild.ID)
	if err != nil {
		return nil, s.failed(ctx, "follow a channel", err)
	}
	_, source, err := readable(s.o.Access.Visible(user), news) // as it was just looked up
	if err != nil {
		return nil, s.failed(ctx, "follow a channel", err)
	}
	if source.Type != tidings.ChannelAnnouncement {
		return nil, s.failed(ctx, "follow a channel", fieldProblem("path.id", "only announcement channels can be followed", in.Channel))
	}
	w, err := s.o.Channels.FollowChannel(ctx, news, into, s.reason(ctx))
	if err != nil {
		return nil, s.refused(ctx, "follow a channel", err)
	}
	s.log.Info("a channel follows another", "channel", into, "follows", news, "webhook", w, "user", user)
	out := &followerOutput{}
	out.Body.Webhook = w
	return out, nil
}
