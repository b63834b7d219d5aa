package bot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// The types of this file name those fields of Discord's objects that the product needs. Unknown fields are fine; null is
// the same as absent.

// id is a snowflake as JSON has it: a string or a number; null and "" are 0.
type id uint64

// UnmarshalJSON implements json.Unmarshaler.
func (i *id) UnmarshalJSON(b []byte) error {
	*i = 0
	if bytes.Equal(b, []byte("null")) || bytes.Equal(b, []byte(`""`)) {
		return nil
	}
	n, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 64)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%.40q is no id", b)
	}
	*i = id(n)
	return nil
}

// ids is a list of snowflakes; elements that are none are left out, because nothing can be done with them.
type ids []id

// UnmarshalJSON implements json.Unmarshaler.
func (l *ids) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*l = nil
	for _, r := range raw {
		var i id
		if i.UnmarshalJSON(r) == nil && i != 0 {
			*l = append(*l, i)
		}
	}
	return nil
}

// listOf converts ids into a list of one of the typed ids.
func listOf[T ~uint64](l ids) []T {
	if len(l) == 0 {
		return nil
	}
	out := make([]T, len(l))
	for i, v := range l {
		out[i] = T(v)
	}
	return out
}

// bits is a permission set: a decimal string, or a number from old proxies.
type bits uint64

// UnmarshalJSON implements json.Unmarshaler.
func (p *bits) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 64)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%.40q is no permission set", b)
	}
	*p = bits(n)
	return nil
}

// text is a string that Postgres can hold: its text has no zero byte.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = text(strings.ReplaceAll(s, "\x00", "\uFFFD"))
	return nil
}

// moment is a time that may be null. One that cannot be read is none: nothing that is decided here hangs on it.
type moment time.Time

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(b []byte) error {
	*m = moment{}
	var s string
	if json.Unmarshal(b, &s) != nil || s == "" {
		return nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		*m = moment(t)
	}
	return nil
}

type wireGuild struct {
	ID          id   `json:"id"`
	Name        text `json:"name"`
	Icon        text `json:"icon"`
	OwnerID     id   `json:"owner_id"`
	Unavailable bool `json:"unavailable"`

	Roles    []json.RawMessage `json:"roles"`
	Channels []json.RawMessage `json:"channels"`
	Threads  []json.RawMessage `json:"threads"`
	Members  []json.RawMessage `json:"members"`
}

func (w wireGuild) guild() tidings.Guild {
	return tidings.Guild{
		ID: discord.GuildID(w.ID), Name: string(w.Name), Icon: string(w.Icon), Owner: discord.UserID(w.OwnerID),
		Available: !w.Unavailable,
	}
}

type wireRole struct {
	ID          id   `json:"id"`
	Name        text `json:"name"`
	Color       int  `json:"color"`
	Position    int  `json:"position"`
	Permissions bits `json:"permissions"`
}

// parseRole reads a role. One that cannot be understood gives nobody anything; without an id it is an error.
func parseRole(raw []byte, guild discord.GuildID) (tidings.Role, error) {
	var w wireRole
	if err := json.Unmarshal(raw, &w); err != nil {
		only := idOf(raw)
		if only == 0 {
			return tidings.Role{}, fmt.Errorf("%w role: %w", tidings.ErrInvalid, err)
		}
		return tidings.Role{Guild: guild, ID: discord.RoleID(only)}, fmt.Errorf("%w role %d: %w", errHalf, only, err)
	}
	if w.ID == 0 {
		return tidings.Role{}, fmt.Errorf("%w role: no id", tidings.ErrInvalid)
	}
	return tidings.Role{
		Guild: guild, ID: discord.RoleID(w.ID), Name: string(w.Name), Color: w.Color, Position: w.Position,
		Permissions: tidings.Permissions(w.Permissions),
	}, nil
}

type wireChannel struct {
	ID            id              `json:"id"`
	GuildID       id              `json:"guild_id"`
	ParentID      id              `json:"parent_id"`
	Type          *int            `json:"type"`
	Name          text            `json:"name"`
	Topic         text            `json:"topic"`
	Position      int             `json:"position"`
	NSFW          bool            `json:"nsfw"`
	LastMessageID id              `json:"last_message_id"`
	Overwrites    []wireOverwrite `json:"permission_overwrites"`
	Thread        *struct {
		Archived  bool   `json:"archived"`
		ArchiveAt moment `json:"archive_timestamp"`
	} `json:"thread_metadata"`
}

type wireOverwrite struct {
	ID    id              `json:"id"`
	Type  json.RawMessage `json:"type"`
	Allow bits            `json:"allow"`
	Deny  bits            `json:"deny"`
}

// errHalf says that an object was only half understood. What is returned beside it gives less than the object may
// have meant, never more.
var errHalf = errors.New("half understood")

// parseChannel reads a channel or a thread. One that cannot be understood has [tidings.ChannelUnknown] for its type, so
// that nobody may read it; without an id it is an error.
func parseChannel(raw []byte, guild discord.GuildID) (tidings.Channel, error) {
	c, _, err := parseChannelAt(raw, guild)
	return c, err
}

// parseChannelAt also returns when a thread was archived.
func parseChannelAt(raw []byte, guild discord.GuildID) (tidings.Channel, time.Time, error) {
	var w wireChannel
	var archived time.Time
	err := json.Unmarshal(raw, &w)
	if err == nil && w.Type == nil {
		err = errors.New("no type")
	}
	c := tidings.Channel{Guild: guild, Type: tidings.ChannelUnknown}
	if err == nil {
		c.ID, c.Type = discord.ChannelID(w.ID), *w.Type
		if w.GuildID != 0 {
			c.Guild = discord.GuildID(w.GuildID)
		}
		c.Parent, c.Name, c.Topic, c.Position = discord.ChannelID(w.ParentID), string(w.Name), string(w.Topic), w.Position
		c.NSFW, c.LastMessage = w.NSFW, discord.MessageID(w.LastMessageID)
		if w.Thread != nil {
			c.Archived, archived = w.Thread.Archived, time.Time(w.Thread.ArchiveAt)
		}
		if !c.IsThread() {
			c.Overwrites, err = overwrites(w.Overwrites)
		}
	}
	if err != nil {
		only := idOf(raw)
		if only == 0 {
			return tidings.Channel{}, archived, fmt.Errorf("%w channel: %w", tidings.ErrInvalid, err)
		}
		if g := guildOf(raw); g != 0 {
			guild = discord.GuildID(g)
		}
		c = tidings.Channel{ID: discord.ChannelID(only), Guild: guild, Type: tidings.ChannelUnknown, Name: c.Name}
		return c, archived, fmt.Errorf("%w channel %d: %w", errHalf, only, err)
	}
	if c.ID == 0 {
		return tidings.Channel{}, archived, fmt.Errorf("%w channel: no id", tidings.ErrInvalid)
	}
	return c, archived, nil
}

func overwrites(list []wireOverwrite) ([]tidings.Overwrite, error) {
	var out []tidings.Overwrite
	for _, w := range list {
		o := tidings.Overwrite{
			ID: discord.Snowflake(w.ID), Allow: tidings.Permissions(w.Allow), Deny: tidings.Permissions(w.Deny),
		}
		switch strings.Trim(string(w.Type), `"`) {
		case "0", "role":
			o.Type = tidings.OverwriteRole
		case "1", "member":
			o.Type = tidings.OverwriteMember
		default:
			return nil, fmt.Errorf("overwrite of type %.20q", w.Type)
		}
		if o.ID == 0 {
			return nil, errors.New("overwrite without an id")
		}
		out = append(out, o)
	}
	return out, nil
}

type wireUser struct {
	ID         id   `json:"id"`
	Username   text `json:"username"`
	GlobalName text `json:"global_name"`
	Avatar     text `json:"avatar"`
	Bot        bool `json:"bot"`
}

func (w wireUser) user() tidings.User {
	name := w.GlobalName
	if name == "" {
		name = w.Username
	}
	return tidings.User{ID: discord.UserID(w.ID), Name: string(name), Avatar: string(w.Avatar)}
}

type wireMember struct {
	GuildID id        `json:"guild_id"`
	User    *wireUser `json:"user"`
	Nick    text      `json:"nick"`
	Roles   []id      `json:"roles"`
	Flags   uint64    `json:"flags"`
	Timeout moment    `json:"communication_disabled_until"`
}

// parseMember reads a member. A role that cannot be read is an error: its overwrites may deny something.
func parseMember(raw []byte, guild discord.GuildID, user discord.UserID) (tidings.Member, error) {
	var w wireMember
	if err := json.Unmarshal(raw, &w); err != nil {
		return tidings.Member{}, fmt.Errorf("%w member: %w", tidings.ErrInvalid, err)
	}
	m := tidings.Member{
		Guild: guild, User: user, Nick: string(w.Nick), Roles: listOf[discord.RoleID](w.Roles), Flags: w.Flags,
		TimeoutUntil: time.Time(w.Timeout),
	}
	if w.User != nil && w.User.ID != 0 {
		m.User = discord.UserID(w.User.ID)
	}
	if m.User == 0 {
		return tidings.Member{}, fmt.Errorf("%w member: no user", tidings.ErrInvalid)
	}
	return m, nil
}

// idOf reads "id" of an object whose other fields may be anything.
func idOf(raw []byte) id { return field(raw, "id") }

// guildOf reads "guild_id" likewise.
func guildOf(raw []byte) id { return field(raw, "guild_id") }

func field(raw []byte, name string) id {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return 0
	}
	var i id
	if v, ok := fields[name]; !ok || i.UnmarshalJSON(v) != nil {
		return 0
	}
	return i
}
