package tidings

import (
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Guild is one of Discord's servers that the bot is in.
type Guild struct {
	ID    discord.GuildID `db:"id"`
	Name  string          `db:"name"`
	Icon  string          `db:"icon"` // Discord's icon hash, "" for none
	Owner discord.UserID  `db:"owner_id"`
	// Available is false while Discord reports an outage of the guild; what is stored stays readable.
	Available bool `db:"available"`
}

// Role is one of a guild's roles. The role whose id is the guild's is @everyone.
type Role struct {
	Guild       discord.GuildID `db:"guild_id"`
	ID          discord.RoleID  `db:"id"`
	Name        string          `db:"name"`
	Color       int             `db:"color"` // 0xRRGGBB, 0 for none
	Position    int             `db:"position"`
	Permissions Permissions     `db:"permissions"`
}

// Member is a person's membership of a guild. Only the members who have signed in are kept.
type Member struct {
	Guild discord.GuildID
	User  discord.UserID
	Nick  string
	Roles []discord.RoleID
	Flags uint64 // Discord's guild member flags; see [MemberIsGuest]
	// TimeoutUntil is communication_disabled_until; zero for none. A timeout takes away all but reading.
	TimeoutUntil time.Time
}

// MemberIsGuest marks a member who was invited to one voice channel only and may read nothing else.
// Source: discord.com/developers/docs/resources/guild#guild-member-object-guild-member-flags.
const MemberIsGuest = 1 << 4

// GuildState is all that decides who may read what in one guild, read in one snapshot.
type GuildState struct {
	Guild   Guild
	Version int64 // the access version that this is of
	// Silences is how often events of the guild were lost for good: what was said of members before is to be asked again.
	Silences int64
	Roles    []Role
	// Channels holds every channel that is not deleted, archived threads too.
	Channels []Channel
	// Members holds the signed-in people who are in the guild; whoever is missing may read nothing.
	Members []Member
	// ThreadMembers maps private threads to the signed-in people who are in them.
	ThreadMembers map[discord.ChannelID][]discord.UserID
}
