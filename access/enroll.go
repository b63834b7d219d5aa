package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/sync/errgroup"

	"tidings"
)

// movedTries bounds how often one question is asked again because an event came between.
const movedTries = 5

// inTheirName asks Discord about the membership of the person whose token it has.
type inTheirName = func(context.Context, discord.GuildID) (*tidings.Member, error)

// Enroll asks Discord in which guilds a person is a member, before their first look or when they sign in again. hint names the
// guilds that are worth asking about, such as those of their OAuth token; nil asks about all. Guilds that are not in memory
// are left out. own asks in the person's name, where the bot's question has failed; nil where nobody can.
//
// What could not be asked stays as it was, which is denied for somebody new; it is part of the error, and Run asks again.
func (a *Access) Enroll(ctx context.Context, u discord.UserID, hint []discord.GuildID, own inTheirName) error {
	var mu sync.Mutex
	var failed []error
	var group errgroup.Group
	group.SetLimit(a.o.Asks)
	for _, g := range a.present(hint) {
		group.Go(func() error {
			if err := a.ask(ctx, g, u, own); err != nil {
				a.asks.put(question{guild: g, user: u, tries: 1, rank: rankRest}, a.o.Backoff(1))
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
			return nil
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("enroll user %d: %w", u, err)
	}
	return nil
}

// present lists the guilds that are in memory, those of hint only when there is one.
func (a *Access) present(hint []discord.GuildID) []discord.GuildID {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var ids []discord.GuildID
	if hint == nil {
		for id, g := range a.guilds {
			if !g.gone {
				ids = append(ids, id)
			}
		}
		return ids
	}
	seen := make(map[discord.GuildID]bool, len(hint))
	for _, id := range hint {
		if g := a.guilds[id]; g != nil && !g.gone && !seen[id] {
			ids = append(ids, id)
			seen[id] = true
		}
	}
	return ids
}

// ask settles one membership: it marks the member as watched first, so that an event which comes while Discord answers is
// noticed, and then asks again. Whatever moved is in memory when it returns.
func (a *Access) ask(ctx context.Context, g discord.GuildID, u discord.UserID, own inTheirName) error {
	for range movedTries {
		events, err := a.loader.WatchMember(ctx, g, u)
		if err != nil {
			return fmt.Errorf("member %d of guild %d: %w", u, g, err)
		}
		m, err := a.fetch(ctx, g, u, own)
		if err != nil {
			return fmt.Errorf("member %d of guild %d: %w", u, g, err)
		}
		change, current, err := a.loader.SaveMember(ctx, g, u, m, events)
		if err != nil {
			return fmt.Errorf("member %d of guild %d: %w", u, g, err)
		}
		if !current {
			continue
		}
		if change.Version == 0 {
			return nil
		}
		err = a.Reload(ctx, g, change.Version)
		a.o.Tell(ctx, tidings.Result{Access: []tidings.AccessChange{change}})
		return err
	}
	return fmt.Errorf("member %d of guild %d: changed with every try: %w", u, g, tidings.ErrUnavailable)
}

// fetch asks Discord; nil means: not a member.
func (a *Access) fetch(ctx context.Context, g discord.GuildID, u discord.UserID, own inTheirName) (*tidings.Member, error) {
	asking := ctx
	if end, ok := ctx.Deadline(); ok && own != nil {
		// The bot tries again and again while Discord fails: half of the time is left for the person's own question.
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	m, err := a.fetcher.Member(asking, g, u)
	if err != nil && !errors.Is(err, tidings.ErrNotFound) && own != nil {
		mine, failed := own(ctx, g)
		if failed == nil || errors.Is(failed, tidings.ErrNotFound) {
			m, err = mine, failed
		} else {
			err = errors.Join(err, failed)
		}
	}
	if errors.Is(err, tidings.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if m == nil || m.User != u && m.User != 0 {
		return nil, errors.New("the answer is about somebody else")
	}
	answer := *m
	answer.Guild, answer.User = g, u // Discord's member object does not name the guild.
	return &answer, nil
}
