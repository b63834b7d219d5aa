package sim

import (
	"encoding/json"
	"slices"
	"sort"
)

// User is a person, a bot or the system.
type User struct {
	ID         ID     `json:"id"`
	Username   string `json:"username"`
	GlobalName string `json:"global_name,omitempty"`
	Avatar     string `json:"avatar,omitempty"`
	Bot        bool   `json:"bot,omitempty"`
	Token      string `json:"token"`
}

// wireUser is Discord's user object, in the stricter form that its API description asks for.
type wireUser struct {
	ID                   ID          `json:"id"`
	Username             string      `json:"username"`
	Discriminator        string      `json:"discriminator"`
	GlobalName           *string     `json:"global_name"`
	Avatar               *string     `json:"avatar"`
	Bot                  bool        `json:"bot,omitempty"`
	System               bool        `json:"system,omitempty"`
	PublicFlags          int         `json:"public_flags"`
	Flags                int         `json:"flags"`
	Banner               *string     `json:"banner"`
	AccentColor          *int        `json:"accent_color"`
	AvatarDecorationData *string     `json:"avatar_decoration_data"`
	Collectibles         *string     `json:"collectibles"`
	PrimaryGuild         *string     `json:"primary_guild"`
	Member               *wireMember `json:"member,omitempty"`
}

func (u *User) wire() wireUser {
	w := wireUser{ID: u.ID, Username: u.Username, Discriminator: "0", Bot: u.Bot}
	if u.Bot {
		w.Discriminator = "4242"
	}
	if u.GlobalName != "" {
		w.GlobalName = &u.GlobalName
	}
	if u.Avatar != "" {
		w.Avatar = &u.Avatar
	}
	return w
}

// Role is a role of a guild. Its JSON is Discord's.
type Role struct {
	ID           ID              `json:"id"`
	Name         string          `json:"name"`
	Color        int             `json:"color"`
	Colors       RoleColors      `json:"colors"`
	Hoist        bool            `json:"hoist"`
	Icon         *string         `json:"icon"`
	UnicodeEmoji *string         `json:"unicode_emoji"`
	Position     int             `json:"position"`
	Permissions  Perm            `json:"permissions"`
	Managed      bool            `json:"managed"`
	Mentionable  bool            `json:"mentionable"`
	Flags        int             `json:"flags"`
	Tags         json.RawMessage `json:"tags,omitempty"`
}

// RoleColors repeats the colour in the newer form.
type RoleColors struct {
	Primary   int  `json:"primary_color"`
	Secondary *int `json:"secondary_color"`
	Tertiary  *int `json:"tertiary_color"`
}

// Member is a person's membership of one guild.
type Member struct {
	UserID        ID     `json:"user_id"`
	Nick          string `json:"nick,omitempty"`
	Roles         []ID   `json:"roles"`
	JoinedAt      Stamp  `json:"joined_at"`
	TimedOutUntil Stamp  `json:"timed_out_until"`
	Flags         int    `json:"flags,omitempty"`
}

func (m *Member) has(role ID) bool { return slices.Contains(m.Roles, role) }

// wireMember is Discord's member object.
type wireMember struct {
	User                 *wireUser `json:"user,omitempty"`
	GuildID              ID        `json:"guild_id,omitempty"`
	Nick                 *string   `json:"nick"`
	Avatar               *string   `json:"avatar"`
	Banner               *string   `json:"banner"`
	AvatarDecorationData *string   `json:"avatar_decoration_data"`
	Roles                []ID      `json:"roles"`
	JoinedAt             Stamp     `json:"joined_at"`
	PremiumSince         *string   `json:"premium_since"`
	Deaf                 bool      `json:"deaf"`
	Mute                 bool      `json:"mute"`
	Flags                int       `json:"flags"`
	Pending              bool      `json:"pending"`
	TimedOutUntil        Stamp     `json:"communication_disabled_until"`
	Permissions          *Perm     `json:"permissions,omitempty"`
}

// wireMember gives the member object, with the user in it or, as in messages, without.
func (s *Sim) wireMember(m *Member, withUser bool) wireMember {
	w := wireMember{Roles: slices.Clone(m.Roles), JoinedAt: m.JoinedAt, Flags: m.Flags, TimedOutUntil: m.TimedOutUntil}
	if w.Roles == nil {
		w.Roles = []ID{}
	}
	if m.Nick != "" {
		w.Nick = ptr(m.Nick)
	}
	if withUser {
		w.User = ptr(s.users[m.UserID].wire())
	}
	return w
}

// Emoji is a guild's own emoji.
type Emoji struct {
	ID       ID     `json:"id"`
	Name     string `json:"name"`
	Animated bool   `json:"animated"`
}

// Guild is one server.
type Guild struct {
	ID          ID             `json:"id"`
	Name        string         `json:"name"`
	Icon        string         `json:"icon,omitempty"`
	Description string         `json:"description,omitempty"`
	OwnerID     ID             `json:"owner_id"`
	System      ID             `json:"system_channel_id"`
	Features    []string       `json:"features"`
	Emojis      []Emoji        `json:"emojis"`
	Roles       map[ID]*Role   `json:"roles"`
	Members     map[ID]*Member `json:"members"`
	Bans        map[ID]string  `json:"bans"`
	JoinedAt    Stamp          `json:"joined_at"`
	// Unavailable is an outage of this guild: no events, 500 for its calls.
	Unavailable bool `json:"unavailable,omitempty"`
	// Indexed is when search becomes possible; before it, search answers 202.
	Indexed Stamp `json:"indexed"`
	// memberIDs are the members' ids in order, kept because lists and searches page by id.
	memberIDs []ID
}

func (g *Guild) addMember(m *Member) {
	if g.Members[m.UserID] == nil {
		i, _ := slices.BinarySearch(g.memberIDs, m.UserID)
		g.memberIDs = slices.Insert(g.memberIDs, i, m.UserID)
	}
	g.Members[m.UserID] = m
}

func (g *Guild) dropMember(user ID) {
	delete(g.Members, user)
	if i, ok := slices.BinarySearch(g.memberIDs, user); ok {
		g.memberIDs = slices.Delete(g.memberIDs, i, i+1)
	}
}

// roleList is the guild's roles by position, as Discord lists them.
func (g *Guild) roleList() []*Role {
	out := make([]*Role, 0, len(g.Roles))
	for _, r := range g.Roles {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Position != out[j].Position {
			return out[i].Position < out[j].Position
		}
		return out[i].ID < out[j].ID
	})
	return out
}

type wireEmoji struct {
	ID            ID        `json:"id"`
	Name          string    `json:"name"`
	Roles         []ID      `json:"roles"`
	RequireColons bool      `json:"require_colons"`
	Managed       bool      `json:"managed"`
	Animated      bool      `json:"animated"`
	Available     bool      `json:"available"`
	User          *wireUser `json:"user,omitempty"`
}

// wireGuild is Discord's guild object.
type wireGuild struct {
	ID                        ID          `json:"id"`
	Name                      string      `json:"name"`
	Icon                      *string     `json:"icon"`
	Description               *string     `json:"description"`
	HomeHeader                *string     `json:"home_header"`
	Splash                    *string     `json:"splash"`
	DiscoverySplash           *string     `json:"discovery_splash"`
	Features                  []string    `json:"features"`
	Banner                    *string     `json:"banner"`
	OwnerID                   ID          `json:"owner_id"`
	ApplicationID             *ID         `json:"application_id"`
	Region                    string      `json:"region"`
	AFKChannelID              *ID         `json:"afk_channel_id"`
	AFKTimeout                int         `json:"afk_timeout"`
	SystemChannelID           ID          `json:"system_channel_id"`
	SystemChannelFlags        int         `json:"system_channel_flags"`
	WidgetEnabled             bool        `json:"widget_enabled"`
	WidgetChannelID           *ID         `json:"widget_channel_id"`
	VerificationLevel         int         `json:"verification_level"`
	Roles                     []*Role     `json:"roles"`
	DefaultNotifications      int         `json:"default_message_notifications"`
	MFALevel                  int         `json:"mfa_level"`
	ExplicitContentFilter     int         `json:"explicit_content_filter"`
	MaxPresences              *int        `json:"max_presences"`
	MaxMembers                int         `json:"max_members"`
	MaxStageVideoChannelUsers int         `json:"max_stage_video_channel_users"`
	MaxVideoChannelUsers      int         `json:"max_video_channel_users"`
	VanityURLCode             *string     `json:"vanity_url_code"`
	PremiumTier               int         `json:"premium_tier"`
	PremiumSubscriptionCount  int         `json:"premium_subscription_count"`
	PreferredLocale           string      `json:"preferred_locale"`
	RulesChannelID            *ID         `json:"rules_channel_id"`
	SafetyAlertsChannelID     *ID         `json:"safety_alerts_channel_id"`
	PublicUpdatesChannelID    *ID         `json:"public_updates_channel_id"`
	PremiumProgressBarEnabled bool        `json:"premium_progress_bar_enabled"`
	NSFW                      bool        `json:"nsfw"`
	NSFWLevel                 int         `json:"nsfw_level"`
	Emojis                    []wireEmoji `json:"emojis"`
	Stickers                  []string    `json:"stickers"`
	IncidentsData             *string     `json:"incidents_data"`
	ApproximateMemberCount    *int        `json:"approximate_member_count,omitempty"`
	ApproximatePresenceCount  *int        `json:"approximate_presence_count,omitempty"`
}

func (g *Guild) wire() wireGuild {
	w := wireGuild{
		ID: g.ID, Name: g.Name, Features: g.Features, OwnerID: g.OwnerID, Region: "deprecated", AFKTimeout: 300,
		SystemChannelID: g.System, VerificationLevel: 1, Roles: g.roleList(), DefaultNotifications: 1, MaxMembers: 500000,
		MaxStageVideoChannelUsers: 50, MaxVideoChannelUsers: 25, PreferredLocale: "en-US", Emojis: []wireEmoji{}, Stickers: []string{},
	}
	if w.Features == nil {
		w.Features = []string{}
	}
	if g.Icon != "" {
		w.Icon = &g.Icon
	}
	if g.Description != "" {
		w.Description = &g.Description
	}
	for _, e := range g.Emojis {
		w.Emojis = append(w.Emojis, wireEmoji{ID: e.ID, Name: e.Name, Animated: e.Animated, Roles: []ID{}, RequireColons: true, Available: true})
	}
	return w
}
