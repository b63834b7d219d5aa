package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// CoverageBody is what the person sees on Discord and not here, as far as that can be known.
type CoverageBody struct {
	Servers []MissingServer `json:"servers" doc:"You are in them, and the bot is not"`
	AskedAt *time.Time      `json:"asked_at" doc:"When Discord said in which servers you are: at your last signing in. null when it never did; servers is empty then and says nothing"`
	// Channels are readable for the person and not for the bot.
	Channels  []MissingChannel  `json:"channels" doc:"You may read them and the bot may not, so what is said there is not here. Threads are not looked at"`
	Unchecked []discord.GuildID `json:"unchecked" doc:"Servers of which it is not known at this moment what the bot may read"`
}

// MissingServer is a server without the bot.
type MissingServer struct {
	ID   discord.GuildID `json:"id"`
	Name string          `json:"name"`
	Icon string          `json:"icon"`
}

// MissingChannel is a channel that the bot cannot read.
type MissingChannel struct {
	ID        discord.ChannelID `json:"id"`
	Guild     discord.GuildID   `json:"guild"`
	GuildName string            `json:"guild_name"`
	Name      string            `json:"name"`
}

type coverageOutput struct{ Body CoverageBody }

func (s *Server) getCoverage(ctx context.Context, _ *struct{}) (*coverageOutput, error) {
	user := asking(ctx).user
	servers, asked, err := s.o.Store.ServersWithout(ctx, user)
	if err != nil {
		return nil, s.failed(ctx, "list servers", err)
	}
	body := CoverageBody{Servers: []MissingServer{}, Channels: []MissingChannel{}, Unchecked: []discord.GuildID{}}
	for _, g := range servers {
		body.Servers = append(body.Servers, MissingServer{g.ID, g.Name, g.Icon})
	}
	if !asked.IsZero() {
		asked = asked.UTC()
		body.AskedAt = &asked
	}
	for _, g := range s.o.Access.Visible(user).Guilds {
		reads, err := s.botReads(ctx, g.Guild.ID)
		if err != nil {
			body.Unchecked = append(body.Unchecked, g.Guild.ID)
			continue
		}
		for _, c := range g.Channels {
			if !c.IsThread() && !reads(c.ID) {
				body.Channels = append(body.Channels, MissingChannel{c.ID, c.Guild, g.Guild.Name, c.Name})
			}
		}
	}
	return &coverageOutput{body}, nil
}

// botReads asks which channels the bot can read.
func (s *Server) botReads(ctx context.Context, g discord.GuildID) (func(discord.ChannelID) bool, error) {
	if s.o.BotReads == nil {
		return nil, tidings.ErrUnavailable
	}
	reads, err := s.o.BotReads(ctx, g)
	if err != nil && ctx.Err() == nil {
		s.log.Debug("what the bot may read is not known", "guild", g, "err", err)
	}
	return reads, err
}
