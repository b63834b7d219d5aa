package web

import (
	"context"
	"fmt"
	"slices"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// What this process knows of access may be older than the messages that it reads: who may read what changed before they were said, and it has not heard of it.
// So all that is given out is read first, and then it is asked what is stored of access: once for a request, or for a page of an export.

// steady reads by what a person may see, and once more when that has changed by the time that it was read, as far as is stored.
func (s *Server) steady(ctx context.Context, user discord.UserID, read func(set *tidings.VisibleSet) error) error {
	const tries = 5
	for range tries {
		set := s.o.Access.Visible(user)
		if err := read(set); err != nil {
			return err
		}
		guilds := make([]discord.GuildID, len(set.Guilds))
		for i, g := range set.Guilds {
			guilds[i] = g.Guild.ID
		}
		now, err := s.o.Access.Confirm(ctx, user, guilds...)
		if err != nil {
			return err
		}
		if now.Epoch == set.Epoch {
			return nil
		}
	}
	return fmt.Errorf("access keeps moving: %w", tidings.ErrUnavailable)
}

// still is what of messages of a set may be seen by what is stored now that they are read.
func (s *Server) still(ctx context.Context, set *tidings.VisibleSet, messages []tidings.Message) ([]tidings.Message, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	of := map[discord.ChannelID]bool{}
	for _, m := range messages {
		of[m.Channel] = true
	}
	var guilds []discord.GuildID
	for _, g := range set.Guilds {
		if slices.ContainsFunc(g.Channels, func(c tidings.Channel) bool { return of[c.ID] }) {
			guilds = append(guilds, g.Guild.ID)
		}
	}
	now, err := s.o.Access.Confirm(ctx, set.User, guilds...)
	if err != nil {
		return nil, err
	}
	if now.Epoch == set.Epoch {
		return messages, nil
	}
	var out []tidings.Message
	for _, m := range messages {
		if _, _, err := readable(now, m.Channel); err == nil {
			out = append(out, m)
		}
	}
	return out, nil
}

// confirmed is ErrNotFound where a channel, of which something has been read, may not be seen by what is stored now.
func (s *Server) confirmed(ctx context.Context, user discord.UserID, g discord.GuildID, c discord.ChannelID) error {
	now, err := s.o.Access.Confirm(ctx, user, g)
	if err == nil {
		_, _, err = readable(now, c)
	}
	return err
}
