package sim

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	codeLife   = 100 * time.Second
	accessLife = 604800 * time.Second
)

// grant is one person's authorization of the application.
type grant struct {
	ID      string    `json:"id"`
	UserID  ID        `json:"user_id"`
	Scopes  []string  `json:"scopes"`
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Expires time.Time `json:"expires"`
}

func (g *grant) has(scope string) bool { return slices.Contains(g.Scopes, scope) }

// authCode is a code that waits to be exchanged, once.
type authCode struct {
	user      ID
	scopes    []string
	redirect  string
	challenge string
	expires   time.Time
}

// grants are all authorizations, by their tokens.
type grants struct {
	byAccess  map[string]*grant
	byRefresh map[string]*grant
	codes     map[string]*authCode
}

func newGrants() *grants {
	return &grants{byAccess: map[string]*grant{}, byRefresh: map[string]*grant{}, codes: map[string]*authCode{}}
}

func (g *grants) put(x *grant) { g.byAccess[x.Access], g.byRefresh[x.Refresh] = x, x }

func (g *grants) drop(x *grant) {
	delete(g.byAccess, x.Access)
	delete(g.byRefresh, x.Refresh)
}

func (g *grants) people() int {
	seen := map[ID]bool{}
	for _, x := range g.byRefresh {
		seen[x.UserID] = true
	}
	return len(seen)
}

func (g *grants) expire(now time.Time) {
	for k, c := range g.codes {
		if now.After(c.expires) {
			delete(g.codes, k)
		}
	}
}

//go:embed authorize.html
var authorizeHTML string

var authorizePage = template.Must(template.New("authorize").Parse(authorizeHTML))

// scopesOf reads a scope parameter.
func scopesOf(v string) []string {
	out := strings.Fields(v)
	slices.Sort(out)
	return slices.Compact(out)
}

// authorizeRequest checks what a site asks for. Where it cannot be trusted to be sent back to, problem says why.
func (s *Sim) authorizeRequest(q url.Values) (redirect *url.URL, problem string) {
	if q.Get("client_id") != s.app.ID.String() {
		return nil, "Unknown application."
	}
	u, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "Invalid OAuth2 redirect_uri."
	}
	if len(s.app.RedirectURIs) > 0 && !slices.Contains(s.app.RedirectURIs, q.Get("redirect_uri")) {
		return nil, "Invalid OAuth2 redirect_uri: it is not registered with the application."
	}
	if t := q.Get("response_type"); t != "code" {
		return nil, "Unsupported response_type."
	}
	if len(scopesOf(q.Get("scope"))) == 0 {
		return nil, "No scopes were provided."
	}
	for _, sc := range scopesOf(q.Get("scope")) {
		if !slices.Contains([]string{"identify", "email", "guilds", "guilds.members.read", "guilds.join", "connections", "openid", "bot"}, sc) {
			return nil, "The requested scope is invalid, unknown, or malformed."
		}
	}
	if m := q.Get("code_challenge_method"); q.Get("code_challenge") != "" && m != "S256" {
		return nil, "Only S256 is supported as code_challenge_method."
	}
	return u, ""
}

type authorizePerson struct {
	ID             ID
	Name, Username string
	Initial        string
	Hue            uint64
	Servers        []string
}

// oauthAuthorize shows the page on which one chooses who to be.
func (s *Sim) oauthAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	_, problem := s.authorizeRequest(q)
	data := struct {
		App     string
		Problem string
		Scopes  []string
		Params  map[string]string
		People  []authorizePerson
	}{App: s.app.Name, Problem: problem, Scopes: scopesOf(q.Get("scope")), Params: map[string]string{}}
	for k := range q {
		data.Params[k] = q.Get(k)
	}
	if problem == "" {
		for _, u := range s.people500() {
			p := authorizePerson{ID: u.ID, Name: u.GlobalName, Username: u.Username, Hue: uint64(u.ID) * 0x9e3779b97f4a7c15 >> 32 % 360}
			if p.Name == "" {
				p.Name = u.Username
			}
			p.Initial = strings.ToUpper(string([]rune(p.Name)[:1]))
			for _, g := range s.guildsOf(u.ID) {
				p.Servers = append(p.Servers, g.Name)
			}
			data.People = append(data.People, p)
		}
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
	}
	if err := authorizePage.Execute(w, data); err != nil {
		s.log.Warn("page not written", "err", err)
	}
}

// people500 are up to 500 people, by id, for the page.
func (s *Sim) people500() []*User {
	var out []*User
	for _, u := range s.users {
		if !u.Bot {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *User) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out[:min(500, len(out))]
}

// oauthChoose is the form's target: it sends the browser back with a code for the chosen person, or with access_denied.
func (s *Sim) oauthChoose(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	to, problem := s.choose(r.Form)
	if problem != "" {
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// choose makes the code and gives the address to which the browser goes back with it.
func (s *Sim) choose(q url.Values) (to, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, problem := s.authorizeRequest(q)
	if problem != "" {
		return "", problem
	}
	back := u.Query()
	if st := q.Get("state"); st != "" {
		back.Set("state", st)
	}
	id, _ := parseID(q.Get("user_id"))
	switch person := s.users[id]; {
	case q.Get("deny") != "":
		back.Set("error", "access_denied")
		back.Set("error_description", "The resource owner or authorization server denied the request")
	case person == nil || person.Bot:
		return "", "Choose a person."
	default:
		code := s.secret(22)
		s.grants.codes[code] = &authCode{user: id, scopes: scopesOf(q.Get("scope")), redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), expires: s.now().Add(codeLife)}
		back.Set("code", code)
	}
	u.RawQuery = back.Encode()
	return u.String(), ""
}

// oauthError writes an error in OAuth2's own form. These calls send no rate limit headers.
func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// oauthClient reads the form and checks the client's credentials, from Basic or from the form.
func (s *Sim) oauthClient(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/x-www-form-urlencoded") {
		oauthError(w, http.StatusBadRequest, "invalid_request", "Only application/x-www-form-urlencoded is accepted.")
		return false
	}
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "The form cannot be read.")
		return false
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	} else if v, err := url.QueryUnescape(secret); err == nil {
		secret = v
	}
	s.mu.Lock()
	good := id == s.app.ID.String() && subtle.ConstantTimeCompare([]byte(secret), []byte(s.app.Secret)) == 1
	s.mu.Unlock()
	if !good {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "Invalid client credentials.")
	}
	return good
}

// oauthToken exchanges a code, once and within 100 s, or a refresh token, which is replaced.
func (s *Sim) oauthToken(w http.ResponseWriter, r *http.Request) {
	if !s.oauthClient(w, r) {
		s.noteOAuth(r, "/oauth2/token", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	g, code, description := s.newGrant(r.PostForm)
	s.dirty = true
	s.mu.Unlock()
	if g == nil {
		s.noteOAuth(r, "/oauth2/token", http.StatusBadRequest)
		oauthError(w, http.StatusBadRequest, code, description)
		return
	}
	s.noteOAuth(r, "/oauth2/token", http.StatusOK)
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "access_token": g.Access, "expires_in": int(accessLife.Seconds()), "refresh_token": g.Refresh, "scope": strings.Join(g.Scopes, " "),
	})
}

func (s *Sim) newGrant(f url.Values) (g *grant, code, description string) {
	switch f.Get("grant_type") {
	case "authorization_code":
		k := f.Get("code")
		c := s.grants.codes[k]
		delete(s.grants.codes, k)
		if c == nil || s.now().After(c.expires) {
			return nil, "invalid_grant", `Invalid "code" in request.`
		}
		if c.redirect != f.Get("redirect_uri") {
			return nil, "invalid_grant", `Invalid "redirect_uri" in request.`
		}
		if c.challenge != "" {
			sum := sha256.Sum256([]byte(f.Get("code_verifier")))
			if base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
				return nil, "invalid_grant", `Invalid "code_verifier" in request.`
			}
		}
		g = &grant{ID: s.secret(12), UserID: c.user, Scopes: c.scopes}
		s.relayAuthorized(g, true)
	case "refresh_token":
		old := s.grants.byRefresh[f.Get("refresh_token")]
		if old == nil {
			return nil, "invalid_grant", `Invalid "refresh_token" in request.`
		}
		s.grants.drop(old)
		g = &grant{ID: old.ID, UserID: old.UserID, Scopes: old.Scopes}
	default:
		return nil, "unsupported_grant_type", "Unsupported grant_type."
	}
	g.Access, g.Refresh, g.Expires = s.secret(22), s.secret(22), s.now().Add(accessLife)
	s.grants.put(g)
	return g, "", ""
}

// oauthRevoke ends the whole authorization that a token belongs to. Unknown tokens are no error.
func (s *Sim) oauthRevoke(w http.ResponseWriter, r *http.Request) {
	if !s.oauthClient(w, r) {
		return
	}
	t := r.PostForm.Get("token")
	s.mu.Lock()
	g := s.grants.byAccess[t]
	if g == nil {
		g = s.grants.byRefresh[t]
	}
	if g != nil {
		s.deauthorize(g.UserID)
	}
	s.mu.Unlock()
	s.noteOAuth(r, "/oauth2/token/revoke", http.StatusOK)
	writeJSON(w, http.StatusOK, struct{}{})
}

// deauthorize ends everything that a person has granted to the application.
func (s *Sim) deauthorize(user ID) {
	any := false
	for _, g := range s.grants.byRefresh {
		if g.UserID == user {
			s.grants.drop(g)
			any = true
		}
	}
	for _, g := range s.grants.byAccess {
		if g.UserID == user {
			s.grants.drop(g)
		}
	}
	if any {
		s.dirty = true
		s.relayAuthorized(&grant{UserID: user}, false)
	}
}
