package sim

import (
	"strconv"
	"strings"
)

func (c *call) getGateway() (any, error) {
	return map[string]string{"url": c.wsURL(c.host) + "/gateway"}, nil
}

func (c *call) getGatewayBot() (any, error) {
	if !c.user.Bot {
		return nil, errUnauthorized()
	}
	used := 0
	reset := c.now()
	for _, i := range c.started {
		if age := c.now().Sub(i.at); age < day {
			used++
			if used == 1 {
				reset = i.at
			}
		}
	}
	type limit struct {
		Total          int   `json:"total"`
		Remaining      int   `json:"remaining"`
		ResetAfter     int64 `json:"reset_after"`
		MaxConcurrency int   `json:"max_concurrency"`
	}
	l := limit{Total: c.o.IdentifyLimit, Remaining: max(0, c.o.IdentifyLimit-used), MaxConcurrency: c.o.MaxConcurrency}
	if used > 0 {
		l.ResetAfter = (day - c.now().Sub(reset)).Milliseconds()
	}
	return struct {
		URL    string `json:"url"`
		Shards int    `json:"shards"`
		Limit  limit  `json:"session_start_limit"`
	}{c.wsURL(c.host) + "/gateway", c.o.Shards, l}, nil
}

// wireApplication is Discord's application object as its owner and bot see it.
func (c *call) wireApplication() map[string]any {
	a := c.app
	owner := c.users[a.ID]
	if u := c.users[a.OwnerID]; u != nil {
		owner = u
	}
	guilds := len(c.guildsOf(a.ID))
	uris := a.RedirectURIs
	if uris == nil {
		uris = []string{}
	}
	types := a.EventsTypes
	if types == nil {
		types = []string{}
	}
	w := map[string]any{
		"id": a.ID, "name": a.Name, "icon": nil, "description": a.Description, "type": nil, "bot": c.users[a.ID].wire(), "bot_public": true,
		"bot_require_code_grant": false, "summary": "", "verify_key": a.publicKey(), "flags": a.flags(), "flags_new": strconv.Itoa(a.flags()),
		"redirect_uris": uris, "interactions_endpoint_url": nil, "role_connections_verification_url": nil, "owner": owner.wire(),
		"approximate_guild_count": guilds, "approximate_user_install_count": 0, "approximate_user_authorization_count": c.grants.people(),
		"event_webhooks_url": nil, "event_webhooks_status": max(a.EventsStatus, 1), "event_webhooks_types": types, "explicit_content_filter": 0,
		"team": nil, "eligible_oauth2_scopes": []string{"identify", "guilds", "guilds.members.read", "guilds.join", "bot"},
	}
	if a.EventsURL != "" {
		w["event_webhooks_url"] = a.EventsURL
	}
	return w
}

func (c *call) getApplication() (any, error) {
	if !c.user.Bot {
		return nil, errUnauthorized()
	}
	return c.wireApplication(), nil
}

// getAuthorization says what the bearer token may and whose it is.
func (c *call) getAuthorization() (any, error) {
	if c.grant == nil {
		return nil, errUnauthorized()
	}
	a := c.app
	w := map[string]any{
		"application": map[string]any{
			"id": a.ID, "name": a.Name, "icon": nil, "description": a.Description, "type": nil, "bot_public": true, "bot_require_code_grant": false,
			"verify_key": a.publicKey(), "flags": a.flags(), "flags_new": strconv.Itoa(a.flags()),
		},
		"expires": Stamp{c.grant.Expires}, "scopes": c.grant.Scopes,
	}
	if c.grant.has("identify") {
		w["user"] = c.user.wire()
	}
	return w, nil
}

// scope asks that a bearer token has a scope. Own tokens have all.
func (c *call) scope(name string) error {
	if c.grant != nil && !c.grant.has(name) {
		return errScope()
	}
	return nil
}

func (c *call) getMe() (any, error) {
	if err := c.scope("identify"); err != nil {
		return nil, err
	}
	w := struct {
		wireUser
		MFAEnabled  bool    `json:"mfa_enabled"`
		Locale      string  `json:"locale"`
		PremiumType int     `json:"premium_type"`
		Verified    *bool   `json:"verified,omitempty"`
		Email       *string `json:"email,omitempty"`
	}{wireUser: c.user.wire(), Locale: "en-US"}
	if c.grant == nil || c.grant.has("email") {
		w.Verified = ptr(true)
		if !c.user.Bot {
			w.Email = ptr(strings.ToLower(c.user.Username) + "@example.org")
		}
	}
	return w, nil
}

func (c *call) getUser() (any, error) {
	u := c.users[c.pathID("user_id")]
	if u == nil {
		return nil, errUnknownUser()
	}
	return u.wire(), nil
}

func (c *call) getMyGuilds() (any, error) {
	if err := c.scope("guilds"); err != nil {
		return nil, err
	}
	limit, err := c.queryInt("limit", 200, 1, 200)
	if err != nil {
		return nil, err
	}
	after, _, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	before, _, err := c.queryID("before")
	if err != nil {
		return nil, err
	}
	type guild struct {
		ID          ID       `json:"id"`
		Name        string   `json:"name"`
		Icon        *string  `json:"icon"`
		Banner      *string  `json:"banner"`
		Owner       bool     `json:"owner"`
		Permissions Perm     `json:"permissions"`
		Features    []string `json:"features"`
		Members     *int     `json:"approximate_member_count,omitempty"`
		Presences   *int     `json:"approximate_presence_count,omitempty"`
	}
	out := []guild{}
	for _, g := range c.guildsOf(c.user.ID) {
		if g.ID <= after || before != 0 && g.ID >= before || len(out) == limit {
			continue
		}
		w := g.wire()
		x := guild{ID: g.ID, Name: g.Name, Icon: w.Icon, Owner: g.OwnerID == c.user.ID, Permissions: g.base(c.user.ID), Features: w.Features}
		if c.r.URL.Query().Get("with_counts") == "true" {
			x.Members, x.Presences = ptr(len(g.Members)), ptr(len(g.Members))
		}
		out = append(out, x)
	}
	return out, nil
}

func (c *call) getMyMember() (any, error) {
	if err := c.scope("guilds.members.read"); err != nil {
		return nil, err
	}
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	return c.wireMember(g.Members[c.user.ID], true), nil
}
