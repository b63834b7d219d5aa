package sim

import (
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

func (c *call) getMember() (any, error) {
	_, m, err := c.theMember()
	if err != nil {
		return nil, err
	}
	return c.wireMember(m, true), nil
}

func (c *call) theMember() (*Guild, *Member, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, nil, err
	}
	id := c.pathID("user_id")
	m := g.Members[id]
	if m == nil {
		if c.users[id] == nil {
			return nil, nil, errUnknownUser()
		}
		return nil, nil, errUnknownMember()
	}
	return g, m, nil
}

// getMembers pages through the members by id. A bot needs the GUILD_MEMBERS intent granted.
func (c *call) getMembers() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if c.user.Bot && c.app.Refused&IntentMembers != 0 {
		return nil, errAccess()
	}
	limit, err := c.queryInt("limit", 1, 1, 1000)
	if err != nil {
		return nil, err
	}
	after, _, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearch(g.memberIDs, after)
	if found {
		i++
	}
	out := []wireMember{}
	for _, id := range g.memberIDs[i:min(len(g.memberIDs), i+limit)] {
		out = append(out, c.wireMember(g.Members[id], true))
	}
	return out, nil
}

func (c *call) findMembers() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	limit, err := c.queryInt("limit", 1, 1, 1000)
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query().Get("query")
	if q == "" {
		return nil, badField("query", "BASE_TYPE_REQUIRED", "This field is required")
	}
	out := []wireMember{}
	for _, m := range c.searchMembers(g, q, limit) {
		out = append(out, c.wireMember(m, true))
	}
	return out, nil
}

func (c *call) patchMember() (any, error) {
	g, m, err := c.theMember()
	if err != nil {
		return nil, err
	}
	var in struct {
		Nick    opt[string] `json:"nick"`
		Roles   opt[[]ID]   `json:"roles"`
		Timeout opt[Stamp]  `json:"communication_disabled_until"`
		Flags   opt[int]    `json:"flags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	own := m.UserID == c.user.ID
	above := g.topRole(c.user.ID) > g.topRole(m.UserID)
	if in.Nick.Set {
		need := ManageNicknames
		if own {
			need = ChangeNickname
		}
		if err := c.need(g, need); err != nil {
			return nil, err
		}
		if !own && !above {
			return nil, errPermissions()
		}
		if utf8.RuneCountInString(in.Nick.V) > 32 {
			return nil, badField("nick", "BASE_TYPE_BAD_LENGTH", "Must be 32 or fewer in length.")
		}
	}
	if in.Roles.Set {
		if err := c.need(g, ManageRoles); err != nil {
			return nil, err
		}
		for _, id := range in.Roles.V {
			if g.Roles[id] == nil || id == g.ID {
				return nil, errUnknownRole()
			}
		}
		for _, id := range differing(m.Roles, in.Roles.V) {
			if g.Roles[id].Position >= g.topRole(c.user.ID) {
				return nil, errPermissions()
			}
		}
	}
	if in.Timeout.Set {
		if err := c.need(g, ModerateMembers); err != nil {
			return nil, err
		}
		if !above || g.base(m.UserID)&Administrator != 0 {
			return nil, errPermissions()
		}
		if in.Timeout.V.After(c.now().Add(28 * 24 * time.Hour)) {
			return nil, badField("communication_disabled_until", "DATE_TIME_TYPE_RANGE", "Timeouts cannot be longer than 28 days.")
		}
	}
	c.changing(g, func() {
		if in.Nick.Set {
			m.Nick = in.Nick.V
		}
		if in.Roles.Set {
			m.Roles = slices.Compact(slices.Sorted(slices.Values(in.Roles.V)))
		}
		if in.Timeout.Set {
			m.TimedOutUntil = in.Timeout.V
		}
		m.Flags = in.Flags.Or(m.Flags)
		c.emitMember("GUILD_MEMBER_UPDATE", g, m)
	})
	return c.wireMember(m, true), nil
}

// differing are the ids that are in one list only.
func differing(a, b []ID) []ID {
	var out []ID
	for _, id := range a {
		if !slices.Contains(b, id) {
			out = append(out, id)
		}
	}
	for _, id := range b {
		if !slices.Contains(a, id) {
			out = append(out, id)
		}
	}
	return out
}

func (c *call) putMemberRole() (any, error)    { return c.changeRole(true) }
func (c *call) deleteMemberRole() (any, error) { return c.changeRole(false) }

func (c *call) changeRole(add bool) (any, error) {
	g, r, err := c.theRole(true)
	if err != nil {
		return nil, err
	}
	m := g.Members[c.pathID("user_id")]
	if m == nil {
		return nil, errUnknownMember()
	}
	if r.ID == g.ID || r.Managed {
		return nil, errPermissions()
	}
	if m.has(r.ID) == add {
		return empty{}, nil
	}
	c.changing(g, func() {
		if add {
			m.Roles = append(slices.Clone(m.Roles), r.ID)
		} else {
			m.Roles = slices.DeleteFunc(slices.Clone(m.Roles), func(id ID) bool { return id == r.ID })
		}
		c.emitMember("GUILD_MEMBER_UPDATE", g, m)
	})
	return empty{}, nil
}

// putMember adds a person with an access token that has the scope guilds.join, as Discord's call does.
func (c *call) putMember() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, CreateInvite); err != nil {
		return nil, err
	}
	var in struct {
		AccessToken string `json:"access_token"`
		Nick        string `json:"nick"`
		Roles       []ID   `json:"roles"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	u := c.users[c.pathID("user_id")]
	if u == nil {
		return nil, errUnknownUser()
	}
	gr := c.grants.byAccess[in.AccessToken]
	if u.Token != in.AccessToken && (gr == nil || gr.UserID != u.ID || !gr.has("guilds.join")) {
		return nil, fail(http.StatusForbidden, 50025, "Invalid OAuth2 access token")
	}
	if g.Members[u.ID] != nil {
		return empty{}, nil
	}
	if _, banned := g.Bans[u.ID]; banned {
		return nil, fail(http.StatusForbidden, 40007, "The user is banned from this guild.")
	}
	m := c.join(g, u, in.Roles)
	m.Nick = in.Nick
	return created{c.wireMember(m, true)}, nil
}

// join makes somebody a member and tells everybody.
func (s *Sim) join(g *Guild, u *User, roles []ID) *Member {
	m := &Member{UserID: u.ID, Roles: slices.Clone(roles), JoinedAt: Stamp{s.now()}}
	g.addMember(m)
	if u.Bot {
		s.joinGuild(g, u.ID)
		return m
	}
	s.emitMember("GUILD_MEMBER_ADD", g, m)
	return m
}

// part ends a membership and tells everybody.
func (s *Sim) part(g *Guild, u *User) {
	g.dropMember(u.ID)
	for _, ch := range s.byGuild[g.ID] {
		delete(ch.ThreadMembers, u.ID)
	}
	if u.Bot {
		s.leaveGuild(g, u.ID, false)
		return
	}
	s.emit(g, "GUILD_MEMBER_REMOVE", IntentMembers, nil, same(struct {
		GuildID ID       `json:"guild_id"`
		User    wireUser `json:"user"`
	}{g.ID, u.wire()}))
}

func (c *call) kick() (any, error) {
	g, m, err := c.theMember()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, KickMembers); err != nil {
		return nil, err
	}
	if g.topRole(c.user.ID) <= g.topRole(m.UserID) {
		return nil, errPermissions()
	}
	c.part(g, c.users[m.UserID])
	return empty{}, nil
}

// leave is a person or bot leaving a guild by itself.
func (c *call) leave() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if g.OwnerID == c.user.ID {
		return nil, fail(http.StatusBadRequest, 50055, "Invalid Guild")
	}
	c.part(g, c.user)
	return empty{}, nil
}

type banEntry struct {
	Reason *string  `json:"reason"`
	User   wireUser `json:"user"`
}

func (c *call) banOf(g *Guild, id ID) banEntry {
	e := banEntry{User: c.users[id].wire()}
	if r := g.Bans[id]; r != "" {
		e.Reason = &r
	}
	return e
}

func (c *call) bansGuild() (*Guild, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	return g, c.need(g, BanMembers)
}

func (c *call) getBans() (any, error) {
	g, err := c.bansGuild()
	if err != nil {
		return nil, err
	}
	out := []banEntry{}
	ids := []ID{}
	for id := range g.Bans {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		out = append(out, c.banOf(g, id))
	}
	return out, nil
}

func (c *call) getBan() (any, error) {
	g, err := c.bansGuild()
	if err != nil {
		return nil, err
	}
	id := c.pathID("user_id")
	if _, ok := g.Bans[id]; !ok {
		return nil, errUnknownBan()
	}
	return c.banOf(g, id), nil
}

type banEvent struct {
	GuildID ID       `json:"guild_id"`
	User    wireUser `json:"user"`
}

// ban removes a person, for good, and deletes what they wrote in the last delete_message_seconds.
func (c *call) ban() (any, error) {
	g, err := c.bansGuild()
	if err != nil {
		return nil, err
	}
	u := c.users[c.pathID("user_id")]
	if u == nil {
		return nil, errUnknownUser()
	}
	if g.Members[u.ID] != nil && g.topRole(c.user.ID) <= g.topRole(u.ID) {
		return nil, errPermissions()
	}
	var in struct {
		Seconds int `json:"delete_message_seconds"`
		Days    int `json:"delete_message_days"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	g.Bans[u.ID] = c.r.Header.Get("X-Audit-Log-Reason")
	c.emit(g, "GUILD_BAN_ADD", IntentModeration, nil, same(banEvent{g.ID, u.wire()}))
	if g.Members[u.ID] != nil {
		c.part(g, u)
	}
	span := time.Duration(in.Seconds)*time.Second + time.Duration(in.Days)*24*time.Hour
	if span > 0 {
		c.purge(g, u.ID, idAt(c.now().Add(-span)))
	}
	return empty{}, nil
}

// purge deletes what somebody wrote since an id, as one bulk delete a channel.
func (s *Sim) purge(g *Guild, user, since ID) {
	for _, ch := range s.byGuild[g.ID] {
		var ids []ID
		i, _ := ch.find(since)
		for _, m := range ch.Messages[i:] {
			if !m.Deleted && m.AuthorID == user && m.WebhookID == 0 {
				s.bury(ch, m)
				ids = append(ids, m.ID)
			}
		}
		if len(ids) > 0 {
			s.emit(g, "MESSAGE_DELETE_BULK", IntentMessages, ch, same(deletion{IDs: ids, ChannelID: ch.ID, GuildID: g.ID}))
		}
	}
}

func (c *call) unban() (any, error) {
	g, err := c.bansGuild()
	if err != nil {
		return nil, err
	}
	id := c.pathID("user_id")
	if _, ok := g.Bans[id]; !ok {
		return nil, errUnknownBan()
	}
	delete(g.Bans, id)
	c.emit(g, "GUILD_BAN_REMOVE", IntentModeration, nil, same(banEvent{g.ID, c.users[id].wire()}))
	return empty{}, nil
}
