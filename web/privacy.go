package web

import (
	"context"
	"encoding/json"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings/store"
)

// revoker ends an authorisation at Discord. *bot.OAuth is one.
type revoker interface {
	Revoke(ctx context.Context, t *oauth2.Token) error
}

type heldOutput struct{ Body store.Held }

func (s *Server) getMyData(ctx context.Context, _ *struct{}) (*heldOutput, error) {
	held, err := s.o.Admin.Store.Held(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "count what is held", err)
	}
	return &heldOutput{held}, nil
}

type forgottenOutput struct {
	Body struct {
		Deleted map[string]int64 `json:"deleted" doc:"Rows of each table that are gone"`
	}
}

// deleteMyData forgets that the person ever used this service. The answer is the last thing that the session gets.
func (s *Server) deleteMyData(ctx context.Context, _ *struct{}) (*forgottenOutput, error) {
	deleted, err := s.forgetMe(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "forget a person", err)
	}
	out := &forgottenOutput{}
	out.Body.Deleted = deleted
	return out, nil
}

func (s *Server) forgetMe(ctx context.Context, user discord.UserID) (map[string]int64, error) {
	s.revokeAtDiscord(ctx, user)
	// The sockets end with their credentials; a credential that is made in between goes with the rest and its socket within a minute.
	if err := s.endCredentials(ctx, user); err != nil {
		return nil, err
	}
	deleted, moved, err := s.o.Admin.Store.ForgetPerson(ctx, user)
	if err != nil {
		return nil, err
	}
	s.o.Live.Tell(ctx, moved)
	return deleted, nil
}

// revokeAtDiscord gives the person's token back. Without it the token ends by itself within a week.
func (s *Server) revokeAtDiscord(ctx context.Context, user discord.UserID) {
	at, ok := s.o.OAuth.(revoker)
	if !ok {
		return
	}
	sealed, err := s.o.Admin.Store.OAuthToken(ctx, user)
	if err != nil {
		return // There is none, or the deletion that follows says what is wrong.
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var token oauth2.Token
	plain, err := s.seal.open(user, sealed)
	if err == nil {
		err = json.Unmarshal(plain, &token)
	}
	if err == nil {
		err = at.Revoke(ctx, &token)
	}
	if err != nil {
		s.log.Warn("a person's token could not be given back to Discord; it ends by itself", "user", user, "err", err)
	}
}

// putOptOut keeps back what the person writes from now on, and asks for the job that deletes what they wrote.
func (s *Server) putOptOut(ctx context.Context, _ *struct{}) (*struct{}, error) {
	user := asking(ctx).user
	err := s.o.Admin.Store.OptOut(ctx, user, user)
	if err == nil {
		err = s.enqueuePurge(ctx, store.Purge{Author: user, By: user, Before: time.Now()})
	}
	if err != nil {
		return nil, s.failed(ctx, "opt out", err)
	}
	return nil, nil
}

func (s *Server) deleteOptOut(ctx context.Context, _ *struct{}) (*struct{}, error) {
	user := asking(ctx).user
	if err := s.o.Admin.Store.OptIn(ctx, user, user); err != nil {
		return nil, s.failed(ctx, "opt in", err)
	}
	return nil, nil
}
