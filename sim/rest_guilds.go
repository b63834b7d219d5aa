package sim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// guildsOf are the guilds that a person or bot is a member of, by id.
func (s *Sim) guildsOf(user ID) []*Guild {
	var out []*Guild
	for _, g := range s.guilds {
		if g.Members[user] != nil {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *Guild) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (c *call) getGuild() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	w := g.wire()
	if c.r.URL.Query().Get("with_counts") == "true" {
		w.ApproximateMemberCount, w.ApproximatePresenceCount = ptr(len(g.Members)), ptr(len(g.Members))
	}
	return w, nil
}

func (c *call) patchGuild() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageGuild); err != nil {
		return nil, err
	}
	var in struct {
		Name        opt[string] `json:"name"`
		Description opt[string] `json:"description"`
		System      opt[ID]     `json:"system_channel_id"`
		OwnerID     opt[ID]     `json:"owner_id"`
		Icon        opt[string] `json:"icon"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if n := utf8.RuneCountInString(in.Name.V); in.Name.Set && (n < 2 || n > 100) {
		return nil, badField("name", "BASE_TYPE_BAD_LENGTH", "Must be between 2 and 100 in length.")
	}
	if in.OwnerID.There() {
		if c.user.ID != g.OwnerID {
			return nil, errPermissions()
		}
		if g.Members[in.OwnerID.V] == nil {
			return nil, errUnknownMember()
		}
	}
	c.changing(g, func() {
		g.Name, g.OwnerID = in.Name.Or(g.Name), in.OwnerID.Or(g.OwnerID)
		if in.Description.Set {
			g.Description = in.Description.V
		}
		if in.System.Set {
			g.System = in.System.V
		}
		if in.Icon.Set {
			g.Icon = ""
			if in.Icon.There() {
				g.Icon = c.hexID()
			}
		}
		c.emit(g, "GUILD_UPDATE", IntentGuilds, nil, same(g.wire()))
	})
	return g.wire(), nil
}

func (c *call) getRoles() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	return g.roleList(), nil
}

func (c *call) getRoleCounts() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	out := map[ID]int{}
	for id := range g.Roles {
		if id != g.ID {
			out[id] = 0
		}
	}
	for _, m := range g.Members {
		for _, id := range m.Roles {
			out[id]++
		}
	}
	return out, nil
}

// theRole gives the path's role. With manage, the caller must have MANAGE_ROLES and stand above it.
func (c *call) theRole(manage bool) (*Guild, *Role, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, nil, err
	}
	if manage {
		if err := c.need(g, ManageRoles); err != nil {
			return nil, nil, err
		}
	}
	r := g.Roles[c.pathID("role_id")]
	if r == nil {
		return nil, nil, errUnknownRole()
	}
	if manage && r.ID != g.ID && r.Position >= g.topRole(c.user.ID) {
		return nil, nil, errPermissions()
	}
	return g, r, nil
}

func (c *call) getRole() (any, error) {
	_, r, err := c.theRole(false)
	if err != nil {
		return nil, err
	}
	return r, nil
}

type roleRequest struct {
	Name        opt[string] `json:"name"`
	Permissions opt[Perm]   `json:"permissions"`
	Color       opt[int]    `json:"color"`
	Colors      *RoleColors `json:"colors"`
	Hoist       opt[bool]   `json:"hoist"`
	Mentionable opt[bool]   `json:"mentionable"`
}

// apply changes a role. Nobody gives a permission that they do not have.
func (in *roleRequest) apply(c *call, g *Guild, r *Role) error {
	if in.Permissions.There() && in.Permissions.V&^g.base(c.user.ID)&allPermissions&^r.Permissions != 0 {
		return errPermissions()
	}
	r.Name = in.Name.Or(r.Name)
	r.Permissions = in.Permissions.Or(r.Permissions)
	r.Color = in.Color.Or(r.Color)
	if in.Colors != nil {
		r.Color, r.Colors = in.Colors.Primary, *in.Colors
	}
	r.Colors.Primary = r.Color
	r.Hoist, r.Mentionable = in.Hoist.Or(r.Hoist), in.Mentionable.Or(r.Mentionable)
	return nil
}

func (c *call) postRole() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageRoles); err != nil {
		return nil, err
	}
	var in roleRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(g.Roles) >= 250 {
		return nil, fail(http.StatusBadRequest, 30005, "Maximum number of guild roles reached (250)")
	}
	r := &Role{ID: c.newID(), Name: "new role", Permissions: g.Roles[g.ID].Permissions, Position: 1}
	if err := in.apply(c, g, r); err != nil {
		return nil, err
	}
	g.Roles[r.ID] = r
	c.emit(g, "GUILD_ROLE_CREATE", IntentGuilds, nil, same(roleEvent{GuildID: g.ID, Role: r}))
	return r, nil
}

func (c *call) patchRole() (any, error) {
	g, r, err := c.theRole(true)
	if err != nil {
		return nil, err
	}
	var in roleRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var ferr error
	c.changing(g, func() {
		if ferr = in.apply(c, g, r); ferr == nil {
			c.emit(g, "GUILD_ROLE_UPDATE", IntentGuilds, nil, same(roleEvent{GuildID: g.ID, Role: r}))
		}
	})
	if ferr != nil {
		return nil, ferr
	}
	return r, nil
}

func (c *call) patchRolePositions() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageRoles); err != nil {
		return nil, err
	}
	var in []struct {
		ID       ID       `json:"id"`
		Position opt[int] `json:"position"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	for _, x := range in {
		r := g.Roles[x.ID]
		if r == nil {
			return nil, errUnknownRole()
		}
		r.Position = x.Position.Or(r.Position)
		c.emit(g, "GUILD_ROLE_UPDATE", IntentGuilds, nil, same(roleEvent{GuildID: g.ID, Role: r}))
	}
	return g.roleList(), nil
}

func (c *call) deleteRole() (any, error) {
	g, r, err := c.theRole(true)
	if err != nil {
		return nil, err
	}
	if r.ID == g.ID || r.Managed {
		return nil, fail(http.StatusBadRequest, 50028, "Invalid Role")
	}
	c.changing(g, func() {
		delete(g.Roles, r.ID)
		for _, m := range g.Members {
			m.Roles = slices.DeleteFunc(slices.Clone(m.Roles), func(id ID) bool { return id == r.ID })
		}
		for _, ch := range c.byGuild[g.ID] {
			ch.Overwrites = slices.DeleteFunc(slices.Clone(ch.Overwrites), func(o Overwrite) bool { return o.ID == r.ID })
		}
		c.emit(g, "GUILD_ROLE_DELETE", IntentGuilds, nil, same(roleEvent{GuildID: g.ID, RoleID: r.ID}))
	})
	return empty{}, nil
}

// searchMembers finds members whose username or nickname begins with query.
func (s *Sim) searchMembers(g *Guild, query string, limit int) []*Member {
	q := strings.ToLower(query)
	var out []*Member
	for _, id := range g.memberIDs {
		m, u := g.Members[id], s.users[id]
		if strings.HasPrefix(strings.ToLower(u.Username), q) || strings.HasPrefix(strings.ToLower(u.GlobalName), q) || m.Nick != "" && strings.HasPrefix(strings.ToLower(m.Nick), q) {
			if out = append(out, m); len(out) == limit {
				break
			}
		}
	}
	return out
}
