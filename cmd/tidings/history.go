package main

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/bot"
)

// history reads channels' pasts for the jobs.
type history struct {
	rest *bot.REST
}

func (h history) MessagesAfter(ctx context.Context, g discord.GuildID, c discord.ChannelID, after discord.MessageID, limit int) ([]tidings.Message, error) {
	return h.rest.Messages(ctx, c, bot.PageQuery{Guild: g, After: after, Limit: limit})
}

// MayReadHistory works out the bot's own permissions from what Discord says now: without READ_MESSAGE_HISTORY it answers with
// an empty page, which must not be taken for the channel's end.
func (h history) MayReadHistory(ctx context.Context, g discord.GuildID, c discord.ChannelID) (bool, error) {
	seen, err := h.rest.GuildSeen(ctx, g)
	if err != nil {
		return false, err
	}
	channel, err := h.rest.Channel(ctx, c) // an archived thread is not among the guild's
	if err != nil {
		return false, err
	}
	me, err := h.rest.Me(ctx)
	if err != nil {
		return false, err
	}
	member, err := h.rest.Member(ctx, g, me.ID)
	if err != nil {
		return false, err
	}
	rules := tidings.NewRules(&tidings.GuildState{Guild: seen.Guild, Roles: seen.Roles, Channels: append(seen.Channels, channel)})
	return rules.Permissions(member, c, time.Now()).Has(tidings.PermissionViewChannel | tidings.PermissionReadMessageHistory), nil
}
