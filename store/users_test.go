package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

var _ scs.CtxStore = (*Store)(nil)

func TestUsersKeepTheirNameWhenOnlyTheirIDIsGiven(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.User(t.Context(), me); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("User() of somebody unknown = %v, want ErrNotFound", err)
	}
	for _, tt := range []struct{ save, want tidings.User }{
		{tidings.User{ID: me}, tidings.User{ID: me}},
		{tidings.User{ID: me, Name: "Ann", Avatar: "a1"}, tidings.User{ID: me, Name: "Ann", Avatar: "a1"}},
		{tidings.User{ID: me}, tidings.User{ID: me, Name: "Ann", Avatar: "a1"}},
		{tidings.User{ID: me, Name: "Anna", Rev: 99}, tidings.User{ID: me, Name: "Anna"}},
	} {
		saved, err := s.SaveUser(t.Context(), tt.save)
		if err != nil || saved != tt.want {
			t.Errorf("SaveUser(%+v) = %+v, %v, want %+v", tt.save, saved, err, tt.want)
		}
		if got, err := s.User(t.Context(), me); err != nil || got != tt.want {
			t.Errorf("User() = %+v, %v, want %+v", got, err, tt.want)
		}
	}
	if got, err := s.Revs(t.Context(), []discord.UserID{me, 404}); err != nil || len(got) != 1 || got[me] != 0 {
		t.Errorf("Revs() of a new user and of nobody = %v, %v", got, err)
	}
	if _, err := s.SaveUser(t.Context(), tidings.User{}); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("SaveUser() without an id = %v, want ErrInvalid", err)
	}
}

func TestOAuthTokensAreKeptAndForgotten(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, sealed := range []string{"one", "\x00two"} {
		if err := s.SaveOAuthToken(t.Context(), me, []byte(sealed)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.OAuthToken(t.Context(), me); err != nil || string(got) != sealed {
			t.Errorf("OAuthToken() = %q, %v, want %q", got, err, sealed)
		}
	}
	if err := s.SaveOAuthToken(t.Context(), me, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.OAuthToken(t.Context(), me); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("OAuthToken() = %q, %v, want ErrNotFound", got, err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.CreateToken(t.Context(), me, "x", []string{ScopeRead}); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("CreateToken() for somebody unknown = %v, want ErrNotFound", err)
	}
	if _, err := s.SaveUser(t.Context(), tidings.User{ID: me}); err != nil {
		t.Fatal(err)
	}
	for _, scopes := range [][]string{nil, {"read", "write"}} {
		if _, err := s.CreateToken(t.Context(), me, "x", scopes); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("CreateToken(%q) = %v, want ErrInvalid", scopes, err)
		}
	}
	token, err := s.CreateToken(t.Context(), me, "script", []string{ScopeRead, ScopeAck, ScopeRead})
	if err != nil || !strings.HasPrefix(token, "tdg_") {
		t.Fatalf("CreateToken() = %q, %v", token, err)
	}
	for range 2 {
		user, scopes, err := s.UserByToken(t.Context(), token)
		if err != nil || user != me || !slices.Equal(scopes, []string{ScopeAck, ScopeRead}) {
			t.Errorf("UserByToken() = %d, %q, %v", user, scopes, err)
		}
	}
	if n := one[int](t, s, `SELECT count(*) FROM api_tokens t WHERE t::text LIKE '%' || $1 || '%'`, token[4:]); n != 0 {
		t.Error("the token itself is kept")
	}
	last := token[len(token)-1]
	wrong := token[:len(token)-1] + string(rune('A'+(last-'A'+1)%26))
	for _, bad := range []string{"", "tdg_", wrong, "xxx_" + token[4:], token + "A", strings.Repeat("x", 1<<20)} {
		if _, _, err := s.UserByToken(t.Context(), bad); !errors.Is(err, tidings.ErrNotFound) {
			t.Errorf("UserByToken(%.20q) = %v, want ErrNotFound", bad, err)
		}
	}
	tokens, err := s.Tokens(t.Context(), me)
	if err != nil || len(tokens) != 1 || tokens[0].Name != "script" || tokens[0].UsedAt == nil {
		t.Fatalf("Tokens() = %+v, %v", tokens, err)
	}
	if _, err := s.RevokeToken(t.Context(), alice, tokens[0].ID); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("RevokeToken() by somebody else = %v, want ErrNotFound", err)
	}
	if _, err := s.RevokeToken(t.Context(), me, tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.UserByToken(t.Context(), token); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("UserByToken() of a revoked token = %v, want ErrNotFound", err)
	}
}

func TestATokenInSteadyUseIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.SaveUser(t.Context(), tidings.User{ID: me}); err != nil {
		t.Fatal(err)
	}
	token, err := s.CreateToken(t.Context(), me, "", []string{ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	use := func(age string) (changed bool) {
		before := one[time.Time](t, s, `UPDATE api_tokens SET used_at = now() - $1::interval RETURNING used_at`, age)
		if _, _, err := s.UserByToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		return !one[time.Time](t, s, `SELECT used_at FROM api_tokens`).Equal(before)
	}
	if use("30 seconds") {
		t.Error("used_at was written although it was half a minute old")
	}
	if !use("2 minutes") {
		t.Error("used_at was not written although it was two minutes old")
	}
}

func TestWebSessions(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, found, err := s.Find("secret"); found || err != nil {
		t.Errorf("Find() of none = %v, %v", found, err)
	}
	for _, data := range []string{"one", "\x00two"} {
		if err := s.Commit("secret", []byte(data), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, found, err := s.Find("secret"); !found || err != nil || string(got) != data {
			t.Errorf("Find() = %q, %v, %v, want %q", got, found, err, data)
		}
	}
	if n := one[int](t, s, `SELECT count(*) FROM sessions WHERE token LIKE '%secret%'`); n != 0 {
		t.Error("the cookie's token itself is kept")
	}
	if err := s.Commit("old", []byte("x"), time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Find("old"); found || err != nil {
		t.Errorf("Find() of an expired session = %v, %v", found, err)
	}
	for range 2 {
		if err := s.Delete("secret"); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := s.Find("secret"); found || err != nil {
		t.Errorf("Find() after Delete() = %v, %v", found, err)
	}
}
