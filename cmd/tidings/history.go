package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/bot"
	"tidings/jobs"
)

// history reads channels' pasts for the jobs.
type history struct {
	rest *bot.REST
}

// unknownMessage is Discord's code of a 404 for a message that does not exist.
// Source: discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes.
const unknownMessage = 10008

// unknownChannel is the one for a channel that does not exist, or not any more.
const unknownChannel = 10003

func (h history) MessagesBefore(ctx context.Context, g discord.GuildID, c discord.ChannelID, before discord.MessageID, limit int) (jobs.HistoryPage, error) {
	page, err := h.rest.Page(ctx, c, bot.PageQuery{Guild: g, Before: before, Limit: limit})
	if errors.Is(err, tidings.ErrNotFound) && bot.Code(err) != unknownChannel {
		// Not Discord's word about the channel: something on the way has no such address just now.
		err = fmt.Errorf("%w: %w", tidings.ErrUnavailable, errors.New(err.Error()))
	}
	return jobs.HistoryPage(page), err
}

func (h history) Deleted(ctx context.Context, c discord.ChannelID, m discord.MessageID) (bool, error) {
	_, err := h.rest.Message(ctx, c, m)
	var said *bot.APIError
	isSaid := errors.As(err, &said)
	switch {
	case err == nil:
		return false, nil
	case isSaid && said.Status == http.StatusNotFound && said.Code == unknownMessage:
		return true, nil
	case errors.Is(err, tidings.ErrNotFound), errors.Is(err, tidings.ErrForbidden):
		return false, nil // The channel is gone or closed to us, which says nothing of the message.
	case !isSaid && errors.Is(err, tidings.ErrInvalid):
		return false, nil // Discord shows something that cannot be understood, so it is there.
	}
	return false, err
}

// ArchivedThreads lists the threads of a channel that were archived since a time. Private ones are those that the bot is in, or all,
// for which it needs MANAGE_THREADS.
func (h history) ArchivedThreads(ctx context.Context, g discord.GuildID, parent discord.ChannelID, since time.Time, private bool) ([]tidings.Channel, error) {
	var all []tidings.Channel
	kinds := []bot.Archived{bot.ArchivedPublic, bot.ArchivedJoined}
	if private {
		kinds[1] = bot.ArchivedPrivate
	}
	for _, kind := range kinds {
		for before := ""; ; {
			page, next, err := h.rest.ArchivedThreads(ctx, parent, kind, before)
			if errors.Is(err, tidings.ErrForbidden) {
				break // One kind may be closed to the bot and the other open.
			}
			if err != nil {
				return nil, err
			}
			for _, c := range page {
				c.Guild = g
				all = append(all, c)
			}
			// The cursor of public threads is when the last one was archived; joined ones are few and read to the end.
			at, err := time.Parse(time.RFC3339Nano, next)
			if next == "" || err == nil && at.Before(since) {
				break
			}
			before = next
		}
	}
	return all, nil
}

func (h history) ActiveThreads(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	return h.rest.ActiveThreads(ctx, g)
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
