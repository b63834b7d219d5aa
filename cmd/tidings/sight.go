package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
	"tidings/bot"
)

// sight knows which channels the bot itself can read.
type sight struct {
	rest *bot.REST
	who  *access.Access

	mu    sync.Mutex
	me    discord.UserID
	asked map[discord.GuildID]sighted
	away  time.Time // Discord did not answer in time then
}

type sighted struct {
	member *tidings.Member
	err    error
	at     time.Time
}

const (
	// sightFor is how long Discord's word about the bot's roles in a server is believed.
	sightFor = 5 * time.Minute
	// sightWait bounds how long somebody waits for it.
	sightWait = 3 * time.Second
	// sightPause is how long nobody waits after that was in vain: who is in many servers would wait for each.
	sightPause = 10 * time.Second
)

// reads returns what tells whether the bot can read a channel of a server.
func (s *sight) reads(ctx context.Context, g discord.GuildID) (func(discord.ChannelID) bool, error) {
	member, err := s.member(ctx, g)
	if err != nil {
		return nil, err
	}
	state, ok := s.who.Guild(g)
	if !ok {
		return nil, tidings.ErrNotFound
	}
	return tidings.NewRules(state).Reader(member).CanRead, nil
}

// member asks Discord for the bot's membership, for one server at a time. A refusal is remembered too.
func (s *sight) member(ctx context.Context, g discord.GuildID) (*tidings.Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.asked[g]; ok && time.Since(known.at) < sightFor {
		return known.member, known.err
	}
	if time.Since(s.away) < sightPause {
		return nil, fmt.Errorf("ask who the bot is in server %d: Discord has just not answered: %w", g, tidings.ErrUnavailable)
	}
	asking := ctx
	ctx, cancel := context.WithTimeout(asking, sightWait)
	defer cancel()
	defer func() {
		if ctx.Err() != nil && asking.Err() == nil {
			s.away = time.Now()
		}
	}()
	if s.me == 0 {
		me, err := s.rest.Me(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask who the bot is: %w", err)
		}
		s.me = me.ID
	}
	m, err := s.rest.Member(ctx, g, s.me)
	if ctx.Err() == nil {
		if s.asked == nil {
			s.asked = map[discord.GuildID]sighted{}
		}
		s.asked[g] = sighted{m, err, time.Now()}
	}
	return m, err
}
