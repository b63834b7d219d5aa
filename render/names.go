package render

import (
	"html/template"
	"regexp"
	"slices"
	"strconv"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Names tells what one reader may call the roles and channels that messages mention. A message is told of its own guild's alone: of that
// it was confirmed that the reader may see it. What is unknown and what is hidden have no name alike; a nil Names knows none.
// It is for one goroutine.
type Names struct {
	set    *tidings.VisibleSet
	guild  func(discord.GuildID) (*tidings.GuildState, bool)
	guilds map[discord.GuildID]guildNames
}

type guildNames struct {
	roles    map[discord.RoleID]string
	channels map[discord.ChannelID]string
}

// NewNames makes the names of a set of channels. guild tells a guild's roles, which all its members may know; it is (*access.Access).Guild.
func NewNames(set *tidings.VisibleSet, guild func(discord.GuildID) (*tidings.GuildState, bool)) *Names {
	return &Names{set: set, guild: guild, guilds: map[discord.GuildID]guildNames{}}
}

// of is gathered at a guild's first mention: most messages have none.
func (n *Names) of(id discord.GuildID) guildNames {
	if n == nil {
		return guildNames{}
	}
	if known, ok := n.guilds[id]; ok {
		return known
	}
	g := guildNames{map[discord.RoleID]string{}, map[discord.ChannelID]string{}}
	if i := slices.IndexFunc(n.set.Guilds, func(v tidings.VisibleGuild) bool { return v.Guild.ID == id }); i >= 0 {
		if state, ok := n.guild(id); ok {
			for _, r := range state.Roles {
				g.roles[r.ID] = r.Name
			}
		}
		for _, list := range [][]tidings.Channel{n.set.Guilds[i].Parents, n.set.Guilds[i].Channels} {
			for _, c := range list {
				g.channels[c.ID] = c.Name
			}
		}
	}
	n.guilds[id] = g
	return g
}

// name is that of a role or channel that is mentioned in a message of a guild, "" for none.
func (n *Names) name(in discord.GuildID, what tokenKind, id string) string {
	x, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return ""
	}
	if what == tokenRole {
		return n.of(in).roles[discord.RoleID(x)]
	}
	return n.of(in).channels[discord.ChannelID(x)]
}

// Named is the message with the names that a reader may know, for what no page fills in. The view that it was made of stays as it is.
func (v View) Named(n *Names) View {
	f := filler{n, v.Guild}
	v.HTML = f.html(v.HTML)
	v.Embeds = f.embeds(v.Embeds)
	v.Components = f.components(v.Components)
	v.Forwards = slices.Clone(v.Forwards)
	for i := range v.Forwards {
		w := &v.Forwards[i]
		w.HTML, w.Embeds = f.html(w.HTML), f.embeds(w.Embeds)
	}
	if v.Reply != nil && v.Reply.unnamed != nil {
		r := *v.Reply
		e := excerptOf(*r.unnamed, n)
		r.Excerpt, r.HTML = e.plain(), e.html()
		v.Reply = &r
	}
	return v
}

// filler puts names into what has been written as HTML.
type filler struct {
	names *Names
	guild discord.GuildID
}

// placeholder is what [writer.token] writes of a role or channel. Nothing that a message says can look like it: its angle brackets are escaped.
var placeholder = regexp.MustCompile(`(<span class="mention (role|channel)" data-(?:role|channel)="(\d+)">)[@#](?:role|channel)</span>`)

func (f filler) html(s template.HTML) template.HTML {
	return template.HTML(placeholder.ReplaceAllStringFunc(string(s), func(whole string) string {
		m := placeholder.FindStringSubmatch(whole)
		what, sign := tokenRole, "@"
		if m[2] == "channel" {
			what, sign = tokenChannel, "#"
		}
		name := f.names.name(f.guild, what, m[3])
		if name == "" {
			return whole
		}
		return m[1] + sign + "<bdi>" + escape(name) + "</bdi></span>"
	}))
}

func (f filler) embeds(in []Embed) []Embed {
	out := slices.Clone(in)
	for i := range out {
		e := &out[i]
		e.Title, e.Description = f.html(e.Title), f.html(e.Description)
		e.Fields = slices.Clone(e.Fields)
		for j := range e.Fields {
			e.Fields[j].Name, e.Fields[j].Value = f.html(e.Fields[j].Name), f.html(e.Fields[j].Value)
		}
	}
	return out
}

func (f filler) components(in []Component) []Component {
	out := slices.Clone(in)
	for i := range out {
		out[i].HTML, out[i].Children = f.html(out[i].HTML), f.components(out[i].Children)
	}
	return out
}
