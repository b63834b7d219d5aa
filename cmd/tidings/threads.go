package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/bot"
	"tidings/hub"
)

// threadLook asks Discord about threads for the jobs.
type threadLook struct {
	rest *bot.REST
}

func (t threadLook) ThreadMembers(ctx context.Context, thread discord.ChannelID) ([]discord.UserID, error) {
	in, err := t.rest.ThreadMembers(ctx, thread)
	return in, goneOnly(err)
}

func (t threadLook) InThread(ctx context.Context, thread discord.ChannelID, user discord.UserID) (bool, error) {
	in, err := t.rest.InThread(ctx, thread, user)
	return in, goneOnly(err)
}

func (t threadLook) Channel(ctx context.Context, thread discord.ChannelID) (tidings.Channel, error) {
	c, err := t.rest.Channel(ctx, thread)
	if err == nil && c.ID != thread {
		err = fmt.Errorf("%w: the answer is about channel %d", tidings.ErrUnavailable, c.ID)
	}
	return c, goneOnly(err)
}

// goneOnly lets a 404 count only when it is Discord's word about the channel, and not that of something on the way.
func goneOnly(err error) error {
	if errors.Is(err, tidings.ErrNotFound) && bot.Code(err) != unknownChannel {
		return fmt.Errorf("%w: %w", tidings.ErrUnavailable, errors.New(err.Error()))
	}
	return err
}

// connectedTo reports whether somebody has a connection to a hub that is made later.
func connectedTo(live **hub.Hub) func(discord.UserID) bool {
	return func(u discord.UserID) bool { return (*live).Connected(u) }
}
