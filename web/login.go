package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings"
	"tidings/hub"
	"tidings/store"
)

// loginTime is how long a sign-in may take; Discord's code itself lives 100 seconds.
const loginTime = 10 * time.Minute

// attempt is a sign-in that is under way. It lies in the session, so that only the browser that began can end it.
type attempt struct {
	State, Verifier, To string
	At                  int64 // Unix seconds
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if err := s.limited(r.Context(), "login", who{}, s.address(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	a := attempt{State: random(), Verifier: oauth2.GenerateVerifier(), To: localPath(r.URL.Query().Get("to")), At: time.Now().Unix()}
	b, err := json.Marshal(a)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.sessions.Put(r.Context(), sessionLogin, string(b))
	http.Redirect(w, r, s.o.OAuth.AuthURL(a.State, a.Verifier, s.redirect(r)), http.StatusSeeOther) // #nosec G710 -- it leads to Discord
}

func (s *Server) redirect(r *http.Request) string { return s.base(r) + "/login/callback" }

func (s *Server) loginCallback(w http.ResponseWriter, r *http.Request) {
	ctx, q := r.Context(), r.URL.Query()
	if err := s.limited(r.Context(), "login", who{}, s.address(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	var a attempt
	err := json.Unmarshal([]byte(s.sessions.PopString(ctx, sessionLogin)), &a)
	old := err != nil || time.Since(time.Unix(a.At, 0)) > loginTime
	switch {
	case old || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.State)) != 1:
		s.loginFailed(w, r, http.StatusBadRequest, "This sign-in has expired", "It was begun in another browser or too long ago, so it was not completed. Sign in once more.")
		return
	case q.Get("error") == "access_denied":
		s.loginFailed(w, r, http.StatusForbidden, "You said no", "Discord was not allowed to tell us who you are, so nothing was stored. You can sign in whenever you like.")
		return
	case q.Get("error") != "" || q.Get("code") == "":
		s.loginFailed(w, r, http.StatusBadGateway, "Discord could not sign you in", "Discord answered with an error. Sign in once more; if it happens again, tell whoever runs this service.")
		return
	}

	token, err := s.o.OAuth.Exchange(ctx, q.Get("code"), a.Verifier, s.redirect(r))
	if err != nil {
		s.discordFailed(w, r, "exchange the code", err)
		return
	}
	user, guilds, err := s.askDiscord(ctx, token)
	if err != nil {
		s.discordFailed(w, r, "ask Discord who signed in", err)
		return
	}
	if err := s.admit(ctx, user, guilds, token, r.UserAgent()); err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, a.To, http.StatusSeeOther)
}

func (s *Server) askDiscord(ctx context.Context, token *oauth2.Token) (tidings.User, []tidings.Guild, error) {
	user, err := s.o.OAuth.Me(ctx, token)
	if err != nil {
		return user, nil, err
	}
	guilds, err := s.o.OAuth.MyGuilds(ctx, token)
	if err != nil {
		// The list only spares questions. Without it, every guild of the bot is asked for.
		s.log.Warn("list a person's guilds", "user", user.ID, "err", err)
		return user, nil, nil
	}
	return user, guilds, nil
}

// enrolTime bounds how long signing in waits for memberships; what is missing then goes on in the background.
const enrolTime = 8 * time.Second

// admit stores who signed in and begins their session under a new token, so that one planted before is worth nothing.
func (s *Server) admit(ctx context.Context, user tidings.User, guilds []tidings.Guild, token *oauth2.Token, agent string) error {
	user, err := s.o.Store.SaveUser(ctx, user)
	if err != nil {
		return err
	}
	b, err := json.Marshal(token)
	if err != nil {
		return err
	}
	if err := s.o.Store.SaveOAuthToken(ctx, user.ID, s.seal.seal(user.ID, b)); err != nil {
		return err
	}
	var hint []discord.GuildID
	if guilds != nil {
		if err := s.o.Store.SaveServers(ctx, user.ID, guilds); err != nil {
			return err
		}
		hint = make([]discord.GuildID, len(guilds))
		for i, g := range guilds {
			hint[i] = g.ID
		}
	}
	wait, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	own := func(ctx context.Context, g discord.GuildID) (*tidings.Member, error) {
		return s.o.OAuth.MyMember(ctx, token, g)
	}
	if err := s.o.Access.Enroll(wait, user.ID, hint, own); err != nil {
		s.log.Warn("enrol a person", "user", user.ID, "err", err)
	}
	before := s.signedIn(ctx)
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	if before.user != 0 { // somebody was signed in in this browser, perhaps somebody else
		s.o.Live.EndSession(before.session)
		s.endPush(ctx, before.session)
	}
	s.sessions.Put(ctx, sessionUser, strconv.FormatUint(uint64(user.ID), 10))
	return s.o.Store.NoteSession(ctx, store.TokenKey(s.sessions.Token(ctx)), user.ID, agent)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	p := s.signedIn(r.Context())
	if err := s.sessions.Destroy(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	if p.user != 0 {
		s.o.Live.EndSession(p.session)
		s.endPush(r.Context(), p.session)
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) discordFailed(w http.ResponseWriter, r *http.Request, what string, err error) {
	if errors.Is(err, tidings.ErrUnauthorized) || errors.Is(err, tidings.ErrInvalid) {
		s.log.Warn("Discord refused a sign-in", "what", what, "err", err)
		s.loginFailed(w, r, http.StatusBadRequest, "Discord did not accept this sign-in", "The code that Discord gave was used already or has expired. Sign in once more.")
		return
	}
	s.log.Error("signing in failed", "what", what, "err", err)
	s.loginFailed(w, r, http.StatusBadGateway, "Discord is away", "We could not reach Discord to ask who you are. Wait a minute and sign in once more.")
}

// localPath returns where to go after signing in: a path of this service, or "/". Whatever a browser could take for another
// host is refused, and so are the paths that sign in or answer machines.
func localPath(to string) string {
	if len(to) > 512 || !strings.HasPrefix(to, "/") || strings.ContainsAny(to, "\\\r\n\t\x00") {
		return "/"
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	for _, p := range []string{"/login", "/logout", "/api", "/static"} {
		if u.Path == p || strings.HasPrefix(u.Path, p+"/") {
			return "/"
		}
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func hubWho(p who) hub.Who {
	return hub.Who{User: p.user, Session: p.session, CanAck: p.may(scopeAck)}
}
