package bot

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings"
)

func signIn(t *testing.T, f *fake) *OAuth {
	t.Helper()
	o, err := NewOAuth(OAuthOptions{ClientID: "12", ClientSecret: "s3cret", URL: f.URL, HTTP: client(t)})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSigningInEndToEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	o := signIn(t, f)
	verifier := oauth2.GenerateVerifier()
	u, err := url.Parse(o.AuthURL("st", verifier, "https://tidings.example/login/callback"))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	sum := sha256.Sum256([]byte(verifier))
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "12", "state": "st", "scope": "identify guilds guilds.members.read",
		"redirect_uri": "https://tidings.example/login/callback", "code_challenge_method": "S256",
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if u.Path != "/oauth2/authorize" || "http://"+u.Host != f.URL {
		t.Errorf("people are sent to %s, want /oauth2/authorize at %s", u, f.URL)
	}
	f.on("POST /api/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "12" || secret != "s3cret" || r.FormValue("code_verifier") != verifier || r.FormValue("code") != "c0de" || r.FormValue("redirect_uri") != q.Get("redirect_uri") {
			t.Errorf("exchanged with %v by %s", r.Form, id)
		}
		reply(w, 200, `{"access_token":"at","refresh_token":"rt","token_type":"Bearer","expires_in":604800,"scope":"identify guilds"}`)
	})
	token, err := o.Exchange(t.Context(), "c0de", verifier, q.Get("redirect_uri"))
	if err != nil || token.AccessToken != "at" || token.RefreshToken != "rt" || time.Until(token.Expiry) < 6*24*time.Hour {
		t.Fatalf("Exchange() = %+v, %v", token, err)
	}
	as := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if a := r.Header.Get("Authorization"); a != "Bearer at" {
				t.Errorf("%s asked as %q", r.URL.Path, a)
			}
			reply(w, 200, body)
		}
	}
	f.on("GET /users/@me", as(`{"id":"3","username":"ann","global_name":"Ann","avatar":"h"}`))
	f.on("GET /users/@me/guilds", as(`[{"id":"7","name":"G","permissions":"0"},{"id":"8"}]`))
	f.on("GET /users/@me/guilds/7/member", as(`{"user":{"id":"3"},"roles":["20"]}`))
	if me, err := o.Me(t.Context(), token); err != nil || me != (tidings.User{ID: 3, Name: "Ann", Avatar: "h"}) {
		t.Errorf("Me() = %+v, %v", me, err)
	}
	if g, err := o.MyGuilds(t.Context(), token); err != nil || !slices.Equal(g, []tidings.Guild{{ID: 7, Name: "G"}, {ID: 8}}) {
		t.Errorf("MyGuilds() = %v, %v", g, err)
	}
	if m, err := o.MyMember(t.Context(), token, 7); err != nil || m.User != 3 || !slices.Equal(m.Roles, []discord.RoleID{20}) {
		t.Errorf("MyMember() = %+v, %v", m, err)
	}
	if _, err := o.MyMember(t.Context(), token, 8); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("MyMember() of another guild = %v, want ErrNotFound", err)
	}
}

func TestARefusedCodeIsNotDiscordBeingAway(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"a code that was used":  {400, `{"error":"invalid_grant","error_description":"Invalid \"code\" in request."}`, tidings.ErrInvalid},
		"a wrong secret":        {401, `{"error":"invalid_client"}`, tidings.ErrUnauthorized},
		"Discord in trouble":    {503, `upstream`, tidings.ErrUnavailable},
		"too many at once":      {429, `{"message":"x","retry_after":1}`, tidings.ErrUnavailable},
		"Cloudflare":            {429, `error code: 1015`, tidings.ErrUnavailable},
		"something in between":  {200, `<html>`, tidings.ErrUnavailable},
		"a token without value": {200, `{}`, tidings.ErrUnavailable},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.answer("POST /api/oauth2/token", c.status, c.body)
			o := signIn(t, f)
			if _, err := o.Exchange(t.Context(), "c0de", oauth2.GenerateVerifier(), "x"); !errors.Is(err, c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Exchange() = %v, want %v", err, c.want)
			}
			if n := f.count("POST /api/oauth2/token"); n != 1 {
				t.Errorf("the code was sent %d times, want once", n)
			}
			if _, err := o.Refresh(t.Context(), &oauth2.Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(-time.Hour)}); !errors.Is(err, c.want) {
				t.Errorf("Refresh() = %v, want %v", err, c.want)
			}
		})
	}
	o, err := NewOAuth(OAuthOptions{ClientID: "12", ClientSecret: "s", URL: "http://127.0.0.1:1", HTTP: client(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Exchange(t.Context(), "c", "v", "x"); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Exchange() with nobody there = %v, want ErrUnavailable", err)
	}
}

func TestRefreshKeepsAValidTokenAndReplacesAnOldOne(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("POST /api/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != "r1" {
			t.Errorf("refreshed with %v", r.Form)
		}
		reply(w, 200, `{"access_token":"a2","refresh_token":"r2","token_type":"Bearer","expires_in":604800}`)
	})
	o := signIn(t, f)
	valid := &oauth2.Token{AccessToken: "a1", RefreshToken: "r1", Expiry: time.Now().Add(time.Hour)}
	if got, err := o.Refresh(t.Context(), valid); err != nil || got.AccessToken != "a1" {
		t.Errorf("Refresh() of a valid token = %+v, %v, want the same", got, err)
	}
	old := &oauth2.Token{AccessToken: "a1", RefreshToken: "r1", Expiry: time.Now().Add(-time.Hour)}
	if got, err := o.Refresh(t.Context(), old); err != nil || got.AccessToken != "a2" || got.RefreshToken != "r2" {
		t.Errorf("Refresh() of an old token = %+v, %v, want a2 with r2", got, err)
	}
}

func TestRevokeEndsTheAuthorisation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("POST /api/oauth2/token/revoke", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "12" || secret != "s3cret" || r.FormValue("token") != "r1" || r.FormValue("token_type_hint") != "refresh_token" {
			t.Errorf("revoked with %v by %s", r.Form, id)
		}
		reply(w, 200, `{}`)
	})
	o := signIn(t, f)
	if err := o.Revoke(t.Context(), &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"}); err != nil {
		t.Errorf("Revoke() = %v", err)
	}
	f.answer("POST /api/oauth2/token/revoke", 503, "x")
	if err := o.Revoke(t.Context(), &oauth2.Token{AccessToken: "a1"}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Revoke() = %v, want ErrUnavailable", err)
	}
}

func TestOnePersonsRefusedTokenDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /users/@me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer old" {
			reply(w, 401, `{"message":"401: Unauthorized","code":0}`)
			return
		}
		reply(w, 200, `{"id":"3","username":"ann"}`)
	})
	o := signIn(t, f)
	if _, err := o.Me(t.Context(), &oauth2.Token{AccessToken: "old"}); !errors.Is(err, tidings.ErrUnauthorized) {
		t.Errorf("Me() = %v, want ErrUnauthorized", err)
	}
	if me, err := o.Me(t.Context(), &oauth2.Token{AccessToken: "new"}); err != nil || me.Name != "ann" {
		t.Errorf("Me() = %+v, %v", me, err)
	}
}

// healthy answers everything that the check asks as a bot that is set up well.
func healthy(f *fake) {
	f.answer("GET /applications/@me", 200, map[string]any{"id": "12", "name": "Tidings", "flags": flagGuildMembersLimited | flagMessageContent})
	f.answer("GET /users/@me/guilds", 200, `[{"id":"7","name":"Gophers"}]`)
	f.on("POST /api/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" {
			reply(w, 401, `{"error":"invalid_client"}`)
			return
		}
		reply(w, 200, `{"access_token":"x","token_type":"Bearer","expires_in":604800}`)
	})
}

func TestCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		change func(*fake, *CheckOptions)
		bad    []string // a part of each fault or of what to do about it
	}{
		{"all is well", func(*fake, *CheckOptions) {}, nil},
		{"no token", func(_ *fake, o *CheckOptions) { o.Token = "" }, []string{"set DISCORD_TOKEN"}},
		{"a bad token", func(f *fake, _ *CheckOptions) {
			f.answer("GET /applications/@me", 401, `{"message":"401: Unauthorized","code":0}`)
		}, []string{"refuses the bot token"}},
		{"Discord away", func(f *fake, _ *CheckOptions) { f.answer("GET /applications/@me", 404, `x`) }, []string{"cannot be asked"}},
		{"no intents", func(f *fake, _ *CheckOptions) {
			f.answer("GET /applications/@me", 200, `{"id":"12","name":"T","flags":0}`)
		}, []string{"Server Members Intent and Message Content Intent"}},
		{"no guild", func(f *fake, _ *CheckOptions) { f.answer("GET /users/@me/guilds", 200, `[]`) }, []string{"/oauth2/authorize?client_id=12&permissions=1115136&scope=bot"}},
		{"no session left", func(f *fake, _ *CheckOptions) { f.limits(1000, 0, time.Hour, 1) }, []string{"all 1000 of the day are used"}},
		{"no secret", func(_ *fake, o *CheckOptions) { o.ClientSecret = "" }, []string{"nobody can sign in"}},
		{"a wrong secret", func(_ *fake, o *CheckOptions) { o.ClientSecret = "other" }, []string{"Reset the client secret"}},
		{"another application", func(_ *fake, o *CheckOptions) { o.ClientID = "99" }, []string{"different applications"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			healthy(f)
			o := CheckOptions{Token: "secret", ClientID: "12", ClientSecret: "s3cret", URL: f.URL, HTTP: client(t)}
			c.change(f, &o)
			var bad []string
			for _, fi := range Check(t.Context(), o) {
				if fi.OK == (fi.Todo != "") || fi.What == "" {
					t.Errorf("finding %+v: a fault says what to do, and only a fault", fi)
				}
				if !fi.OK {
					bad = append(bad, fmt.Sprintf("%s. %s", fi.What, fi.Todo))
				}
			}
			if len(bad) != len(c.bad) {
				t.Fatalf("faults %q, want %d", bad, len(c.bad))
			}
			for i := range bad {
				if !strings.Contains(bad[i], c.bad[i]) || strings.Contains(bad[i], "s3cret") {
					t.Errorf("fault %q, want %q", bad[i], c.bad[i])
				}
			}
		})
	}
}
