package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tidings"
	"tidings/store"
)

// TokenView is an API token without its secret.
type TokenView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at" doc:"Exact to a minute; null when never"`
}

func tokenView(t store.Token) TokenView {
	return TokenView{ownID(t.ID), t.Name, t.Scopes, t.CreatedAt.UTC(), t.UsedAt}
}

type tokensOutput struct {
	Body struct {
		Tokens []TokenView `json:"tokens"`
	}
}

func (s *Server) getTokens(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
	tokens, err := s.o.Store.Tokens(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list tokens", err)
	}
	out := &tokensOutput{}
	out.Body.Tokens = make([]TokenView, 0, len(tokens))
	for _, t := range tokens {
		out.Body.Tokens = append(out.Body.Tokens, tokenView(t))
	}
	return out, nil
}

type tokenInput struct {
	Body struct {
		Name   string   `json:"name" maxLength:"100" doc:"What it is for"`
		Scopes []string `json:"scopes" minItems:"1" maxItems:"4" enum:"read,ack,webhooks,admin" doc:"read: see messages and counts. ack: mark, mute, ignore and save. webhooks: make and delete webhooks where you may on Discord. admin: operate the service, for those in ADMINS"`
	}
}

type tokenOutput struct {
	Body struct {
		Token string `json:"token" doc:"Shown this once. Send it as: Authorization: Bearer TOKEN"`
	}
}

func (s *Server) postToken(ctx context.Context, in *tokenInput) (*tokenOutput, error) {
	p := asking(ctx)
	if slices.Contains(in.Body.Scopes, scopeAdmin) && !slices.Contains(s.o.Admins, p.user) {
		return nil, s.failed(ctx, "make a token", tidings.ErrForbidden)
	}
	token, err := s.o.Store.CreateToken(ctx, p.user, in.Body.Name, in.Body.Scopes)
	if err != nil {
		return nil, s.failed(ctx, "make a token", err)
	}
	out := &tokenOutput{}
	out.Body.Token = token
	return out, nil
}

type tokenIDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) deleteToken(ctx context.Context, in *tokenIDInput) (*struct{}, error) {
	key, err := s.o.Store.RevokeToken(ctx, asking(ctx).user, in.ID)
	if err != nil {
		return nil, s.failed(ctx, "revoke a token", err)
	}
	s.o.Live.EndSession(kindToken + key)
	s.endPush(ctx, kindToken+key)
	return nil, nil
}

// SessionView is a browser in which the person is signed in.
type SessionView struct {
	ID        string    `json:"id"`
	Agent     string    `json:"agent" doc:"What the browser calls itself"`
	CreatedAt time.Time `json:"created_at"`
	Expires   time.Time `json:"expires"`
	Current   bool      `json:"current" doc:"The one that is asking"`
}

// sessionID is the part of a key that people see. Nobody can be signed in by it.
func sessionID(key string) string { return key[:min(16, len(key))] }

type sessionsOutput struct {
	Body struct {
		Sessions []SessionView `json:"sessions"`
	}
}

func (s *Server) getSessions(ctx context.Context, _ *struct{}) (*sessionsOutput, error) {
	p := asking(ctx)
	list, err := s.o.Store.Sessions(ctx, p.user)
	if err != nil {
		return nil, s.failed(ctx, "list sessions", err)
	}
	out := &sessionsOutput{}
	out.Body.Sessions = make([]SessionView, 0, len(list))
	for _, x := range list {
		out.Body.Sessions = append(out.Body.Sessions, SessionView{
			sessionID(x.Key), x.Agent, x.CreatedAt.UTC(), x.Expires.UTC(), p.session == kindCookie+x.Key,
		})
	}
	return out, nil
}

func (s *Server) deleteSessions(ctx context.Context, _ *struct{}) (*struct{}, error) {
	out, err := s.endSessions(ctx, func(string) bool { return true })
	if p := (*huma.ErrorModel)(nil); errors.As(err, &p) && p.Status == http.StatusNotFound {
		return nil, nil // there was none
	}
	return out, err
}

type sessionIDInput struct {
	ID string `path:"id" pattern:"^[0-9a-f]{16}$"`
}

func (s *Server) deleteSession(ctx context.Context, in *sessionIDInput) (*struct{}, error) {
	return s.endSessions(ctx, func(key string) bool { return strings.HasPrefix(key, in.ID) })
}

// endSessions ends the person's sessions whose keys are chosen, with their live sockets.
func (s *Server) endSessions(ctx context.Context, chosen func(key string) bool) (*struct{}, error) {
	p := asking(ctx)
	list, err := s.o.Store.Sessions(ctx, p.user)
	if err != nil {
		return nil, s.failed(ctx, "end sessions", err)
	}
	var keys []string
	for _, x := range list {
		if chosen(x.Key) {
			keys = append(keys, x.Key)
		}
	}
	if len(keys) == 0 {
		return nil, s.failed(ctx, "end sessions", tidings.ErrNotFound)
	}
	if err := s.o.Store.EndSessionsOf(ctx, p.user, keys); err != nil {
		return nil, s.failed(ctx, "end sessions", err)
	}
	var ended []string
	for _, key := range keys {
		s.o.Live.EndSession(kindCookie + key)
		ended = append(ended, kindCookie+key)
	}
	s.endPush(ctx, ended...)
	return nil, nil
}
