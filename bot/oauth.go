package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"tidings"
)

// scopes are what people are asked for: who they are, which guilds they are in, and their own roles there, for when the bot cannot ask.
var scopes = []string{"identify", "guilds", "guilds.members.read"}

// OAuthOptions says what [OAuth] needs.
type OAuthOptions struct {
	ClientID     string
	ClientSecret string
	URL          string       // "" is Discord
	HTTP         *http.Client // nil: one with sane timeouts
	Log          *slog.Logger
}

// OAuth is Discord's half of signing in. Its errors are [tidings.ErrInvalid] when Discord refuses what the person brought
// (a code that was used, has expired or belongs to another verifier: sign in again), [tidings.ErrUnauthorized] when it
// refuses a token or the client's secret, and [tidings.ErrUnavailable] when Discord is away.
type OAuth struct {
	config oauth2.Config
	http   *http.Client // for Discord's API; waits for limits
	plain  *http.Client // for the token endpoint, which has no limits of its own
}

// NewOAuth prepares signing in. It asks Discord nothing.
func NewOAuth(o OAuthOptions) (*OAuth, error) {
	if o.ClientID == "" || o.ClientSecret == "" {
		return nil, fmt.Errorf("%w OAuth2 client: no id or no secret", tidings.ErrInvalid)
	}
	base, err := baseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(nil, nil)
	if err != nil {
		return nil, err
	}
	client := plainClient(o.HTTP)
	t := newTransport(base, client, perToken{NewLimiter()}, m, o.Log)
	api, plain := *client, *client
	api.Transport, plain.Transport = t, tokenTransport{t.next, t.invalid}
	plain.Timeout = requestTimeout
	root := strings.TrimRight(base.String(), "/")
	return &OAuth{
		config: oauth2.Config{
			ClientID: o.ClientID, ClientSecret: o.ClientSecret, Scopes: scopes,
			Endpoint: oauth2.Endpoint{
				AuthURL: root + "/oauth2/authorize", TokenURL: root + "/api/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
		http: &api, plain: &plain,
	}, nil
}

// AuthURL is where a person is sent to sign in. state and verifier, a PKCE verifier, are checked when they come back to redirect.
func (o *OAuth) AuthURL(state, verifier, redirect string) string {
	c := o.config
	c.RedirectURL = redirect
	return c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "none"))
}

// Exchange turns the code that a person came back with into a token. verifier and redirect are those of [OAuth.AuthURL].
func (o *OAuth) Exchange(ctx context.Context, code, verifier, redirect string) (*oauth2.Token, error) {
	c := o.config
	c.RedirectURL = redirect
	t, err := c.Exchange(o.context(ctx), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange the sign-in code: %w", tokenFault(ctx, err))
	}
	return t, nil
}

// Refresh returns a token that is valid now; the same one while it still is. Discord changes the refresh token each time,
// so the answer must be kept.
func (o *OAuth) Refresh(ctx context.Context, t *oauth2.Token) (*oauth2.Token, error) {
	fresh, err := o.config.TokenSource(o.context(ctx), t).Token()
	if err != nil {
		return nil, fmt.Errorf("refresh the sign-in: %w", tokenFault(ctx, err))
	}
	return fresh, nil
}

// Revoke ends the whole authorisation that the token belongs to, at Discord.
func (o *OAuth) Revoke(ctx context.Context, t *oauth2.Token) error {
	form := url.Values{"token": {t.AccessToken}, "token_type_hint": {"access_token"}}
	if t.RefreshToken != "" {
		form = url.Values{"token": {t.RefreshToken}, "token_type_hint": {"refresh_token"}}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.config.Endpoint.TokenURL+"/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("revoke the sign-in: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(o.config.ClientID), url.QueryEscape(o.config.ClientSecret))
	resp, err := o.plain.Do(r)
	if err != nil {
		return fmt.Errorf("revoke the sign-in: %w", tokenFault(ctx, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("revoke the sign-in: %w", apiError(resp))
	}
	return nil
}

// Me asks who the person is.
func (o *OAuth) Me(ctx context.Context, t *oauth2.Token) (tidings.User, error) {
	var w wireUser
	if err := o.get(ctx, t, "users/@me", &w); err != nil {
		return tidings.User{}, fmt.Errorf("ask who signed in: %w", err)
	}
	if w.ID == 0 {
		return tidings.User{}, fmt.Errorf("ask who signed in: %w: the answer has no id", tidings.ErrUnavailable)
	}
	return w.user(), nil
}

// MyGuilds lists the guilds that the person is in, with name and icon; 200 at most, which is as many as a person can be in. Discord limits this
// call tightly: ask once at sign-in.
func (o *OAuth) MyGuilds(ctx context.Context, t *oauth2.Token) ([]tidings.Guild, error) {
	var page []struct {
		ID   id     `json:"id"`
		Name string `json:"name"`
		Icon string `json:"icon"`
	}
	if err := o.get(ctx, t, "users/@me/guilds?limit=200", &page); err != nil {
		return nil, fmt.Errorf("ask for the person's guilds: %w", err)
	}
	var guilds []tidings.Guild
	for _, g := range page {
		if g.ID != 0 {
			guilds = append(guilds, tidings.Guild{ID: discord.GuildID(g.ID), Name: g.Name, Icon: g.Icon})
		}
	}
	return guilds, nil
}

// MyMember asks for the person's own membership of a guild; [tidings.ErrNotFound] when there is none.
func (o *OAuth) MyMember(ctx context.Context, t *oauth2.Token, g discord.GuildID) (*tidings.Member, error) {
	var raw json.RawMessage
	if err := o.get(ctx, t, "users/@me/guilds/"+g.String()+"/member", &raw); err != nil {
		return nil, fmt.Errorf("ask for the person's membership of guild %d: %w", g, err)
	}
	m, err := parseMember(raw, g, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for the person's membership of guild %d: %w", g, err)
	}
	return &m, nil
}

// CheckClient asks Discord for a token of the client's own, which tells whether id and secret belong together. Its error is
// [tidings.ErrUnauthorized] when they do not.
func (o *OAuth) CheckClient(ctx context.Context) error {
	c := clientcredentials.Config{
		ClientID: o.config.ClientID, ClientSecret: o.config.ClientSecret, TokenURL: o.config.Endpoint.TokenURL,
		Scopes: []string{"identify"}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	_, err := c.Token(o.context(ctx))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "unsupported_grant_type" {
		// A stand-in for Discord may know codes only. A code that does not exist is refused after the client was taken.
		if _, err = o.config.Exchange(o.context(ctx), "none"); errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("check the OAuth2 client: %w", tokenFault(ctx, err))
	}
	return nil
}

// context makes the oauth2 package use our client.
func (o *OAuth) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, o.plain)
}

func (o *OAuth) get(ctx context.Context, t *oauth2.Token, path string, to any) error {
	ctx = context.WithValue(ctx, bearerKey{}, tokenHash(t.AccessToken))
	// The transport replaces the host by the one that is meant.
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, DefaultURL+"/api/v10/"+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+t.AccessToken)
	resp, err := o.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return apiError(resp)
	}
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return fmt.Errorf("%w: Discord's answer cannot be understood: %w", tidings.ErrUnavailable, err)
	}
	return nil
}

// apiError reads what Discord says with a refusal.
func apiError(resp *http.Response) error {
	e := &APIError{Status: resp.StatusCode}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) == nil {
		e.Code, e.Message = said.Code, said.Message
	}
	if e.Message == "" {
		e.Message = http.StatusText(e.Status)
	}
	return e
}

// tokenFault tells a refusal of the token endpoint from Discord being away.
func tokenFault(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &refused):
		if errors.Is(err, tidings.ErrUnavailable) {
			return err
		}
		return fmt.Errorf("%w: %w", tidings.ErrUnavailable, err)
	case refused.ErrorCode == "invalid_client" || refused.ErrorCode == "unauthorized_client":
		return fmt.Errorf("%w: Discord refuses the client id or secret (%s)", tidings.ErrUnauthorized, refused.ErrorCode)
	case refused.ErrorCode != "":
		return fmt.Errorf("%w: Discord refuses it (%s)", tidings.ErrInvalid, refused.ErrorCode)
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%w: Discord refuses the client id or secret", tidings.ErrUnauthorized)
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
		return fmt.Errorf("%w: Discord refuses it (%d)", tidings.ErrInvalid, status)
	}
	return fmt.Errorf("%w: Discord answers %d", tidings.ErrUnavailable, status)
}

// tokenTransport is the way to the token endpoint: no retries, because a code counts once.
type tokenTransport struct {
	next    http.RoundTripper
	invalid *invalidCount
}

// RoundTrip implements http.RoundTripper.
func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if wait := t.invalid.wait(); wait > 0 {
		return nil, &LimitError{After: wait, Why: "Discord has refused too many requests"}
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", UserAgent)
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		t.invalid.add()
	}
	return resp, nil
}
