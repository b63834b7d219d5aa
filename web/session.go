package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/alexedwards/scs/v2"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
	"tidings/store"
)

const (
	sessionUser  = "user"  // the Discord id in digits
	sessionLogin = "login" // state, verifier and where to go, while a sign-in is under way
)

// cookieName has the __Host- prefix over https, which binds the cookie to this host and to https.
func cookieName(secure bool) string {
	if secure {
		return "__Host-tidings"
	}
	return "tidings"
}

func newSessions(store scs.Store, secure bool) *scs.SessionManager {
	m := scs.New()
	m.Store = store
	m.Lifetime = sessionLife
	m.Cookie.Name = cookieName(secure)
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Secure = secure
	m.Cookie.Path = "/"
	return m
}

// who is the person behind a request.
type who struct {
	user    discord.UserID
	session string // the key of what came in the cookie or header, after its kind
	scopes  []string
	cookie  bool
}

func (w who) may(scope string) bool { return w.cookie || slices.Contains(w.scopes, scope) }

// Scopes of API tokens. A session may do everything.
const (
	scopeRead     = "read"
	scopeAck      = "ack"
	scopeWebhooks = "webhooks" // makes and deletes webhooks where the person may
	scopeAdmin    = "admin"    // manages tokens and sessions, too
)

// identify says who is asking: by the Authorization header where there is one, else by the session cookie. user is 0 when
// nobody is signed in.
func (s *Server) identify(r *http.Request) (who, error) {
	w, err := s.credentials(r)
	if err != nil || w.user == 0 || len(s.o.Access.Visible(w.user).Guilds) > 0 {
		return w, err
	}
	// Perhaps another process has let them in a moment ago.
	if err := s.o.Access.CatchUp(r.Context()); err != nil {
		s.log.Warn("what others have changed could not be read; somebody may see their channels late", "user", w.user, "err", err)
	}
	return w, nil
}

func (s *Server) credentials(r *http.Request) (who, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		kind, token, _ := strings.Cut(h, " ")
		token = strings.TrimSpace(token)
		if !strings.EqualFold(kind, "Bearer") || token == "" || len(token) > 256 {
			return who{}, nil
		}
		user, scopes, err := s.o.Store.UserByToken(r.Context(), token)
		if errors.Is(err, tidings.ErrNotFound) || errors.Is(err, tidings.ErrUnauthorized) {
			return who{}, nil
		}
		if err != nil {
			return who{}, err
		}
		return who{user: user, scopes: scopes, session: kindToken + store.TokenKey(token)}, nil
	}
	c, err := r.Cookie(s.sessions.Cookie.Name)
	if err != nil || c.Value == "" || len(c.Value) > 256 {
		return who{}, nil
	}
	ctx, err := s.sessions.Load(r.Context(), c.Value)
	if err != nil {
		return who{}, err
	}
	return s.signedIn(ctx), nil
}

// signedIn reads the person out of a session that is loaded in ctx.
func (s *Server) signedIn(ctx context.Context) who {
	id, err := strconv.ParseUint(s.sessions.GetString(ctx, sessionUser), 10, 64)
	if err != nil {
		return who{}
	}
	return who{user: discord.UserID(id), session: kindCookie + store.TokenKey(s.sessions.Token(ctx)), cookie: true}
}

// The kinds of credential that a live socket can hang on.
const (
	kindCookie = "cookie "
	kindToken  = "token "
)

// Alive reports whether what a live socket was opened with still stands. hub asks it from time to time, so that a session
// that has ended elsewhere, or a token that was revoked, does not live on in a socket.
func (s *Server) Alive(ctx context.Context, session string) (bool, error) {
	if key, ok := strings.CutPrefix(session, kindToken); ok {
		return s.o.Store.TokenStands(ctx, key, scopeRead)
	}
	if key, ok := strings.CutPrefix(session, kindCookie); ok {
		return s.o.Store.SessionStands(ctx, key)
	}
	return false, nil
}

type whoKey struct{}

// person lets only signed-in people through to a page; others are shown the way in.
func (s *Server) person(next func(http.ResponseWriter, *http.Request, who)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.identify(r)
		if err != nil {
			s.pageError(w, r, err)
			return
		}
		if who.user == 0 || !who.may(scopeRead) {
			s.signInPage(w, r)
			return
		}
		next(w, r, who)
	}
}

func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	p, err := s.identify(r)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case p.user == 0 && r.Header.Get("Authorization") == "" && strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		// A page does not see the status of a socket that was refused, but it does see a close code: hub sends 4001.
		s.o.Live.Serve(w, r, hub.Who{Address: s.liveAddress(r)})
	case p.user == 0:
		s.fail(w, r, notSignedIn())
	case !p.may(scopeRead):
		s.fail(w, r, scopeMissing(scopeRead))
	default:
		who := hubWho(p)
		who.Address = s.liveAddress(r)
		s.o.Live.Serve(w, r, who)
	}
}

// liveAddress is the address whose live sockets are counted; "" for those of this machine and of private networks: whoever comes from there
// without a word of a proxy that is trusted stands for many.
func (s *Server) liveAddress(r *http.Request) string {
	from := s.address(r)
	ip, err := netip.ParseAddr(from)
	if err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
		return ""
	}
	if p, err := netip.ParsePrefix(from); err == nil && (p.Addr().IsPrivate() || p.Addr().IsLinkLocalUnicast() || p.Contains(netip.IPv6Loopback())) {
		return ""
	}
	return from
}

func notSignedIn() error {
	return problemf(http.StatusUnauthorized, "You are not signed in. Sign in at /login, or send a token as \"Authorization: Bearer TOKEN\".")
}

func scopeMissing(scope string) error {
	return problemf(http.StatusForbidden, "The token lacks the scope %q. Make one that has it, signed in at POST /api/tokens or with: tidings token create --scopes read,ack", scope)
}
