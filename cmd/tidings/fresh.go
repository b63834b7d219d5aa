package main

import (
	"context"
	"errors"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/bot"
)

// fresh asks Discord for what people look at now, ahead of the jobs.
type fresh struct {
	rest *bot.REST
}

// Upto fetches the 100 messages of a channel that end with one. Where Discord gives none, for want of the permission to read
// the history, there are none.
func (f fresh) Upto(ctx context.Context, g discord.GuildID, c discord.ChannelID, newest discord.MessageID) ([]tidings.Message, error) {
	page, err := f.rest.Messages(ctx, c, bot.PageQuery{Guild: g, Before: newest + 1})
	return page, gone(err)
}

func (f fresh) Pins(ctx context.Context, c discord.ChannelID) ([]discord.MessageID, bool, error) {
	pinned, more, err := f.rest.Pins(ctx, c)
	return pinned, more, gone(err)
}

// gone is what a refusal of the bot means for somebody who may read the channel: that it cannot be asked now.
func gone(err error) error {
	if errors.Is(err, tidings.ErrForbidden) || errors.Is(err, tidings.ErrNotFound) {
		return errors.Join(tidings.ErrUnavailable, errors.New(err.Error()))
	}
	return err
}
