package sim

import (
	"time"
)

// The demo's world: five servers of people who have lives. Everything here is made up.

type demoPerson struct{ username, name string }

var demoPeople = []demoPerson{
	{"mara.lindqvist", "Mara Lindqvist"}, {"tobi_okafor", "Tobi Okafor"}, {"juneh", "June Hartley"}, {"renatafm", "Renata F. Moura"},
	{"sven.ok", "Sven"}, {"priya_nair", "Priya Nair"}, {"dmitri.v", "Dmitri Volkov"}, {"hanae", "Hanae Sato"},
	{"callum-r", "Callum Reid"}, {"zofia.w", "Zofia Wrona"}, {"oluwaseun", "Seun Adebayo"}, {"lucia.b", "Lucía Barrios"},
	{"noor_e", "Noor El-Amin"}, {"bjarne", "Bjarne Holm"}, {"kwame.a", "Kwame Asante"}, {"elodie_m", "Élodie Marchand"},
	{"tamsin", "Tamsin Gray"}, {"yusuf.k", "Yusuf Kaya"}, {"ingrid.s", "Ingrid Solheim"}, {"rafa.c", "Rafael Castro"},
	{"mei.lin", "Mei Lin"}, {"otis_bell", "Otis Bell"}, {"anouk.d", "Anouk de Wit"}, {"jonah.p", "Jonah Park"}, {"saoirse", "Saoirse Byrne"},
}

type demoRole struct {
	name  string
	color int
	perms Perm
	hoist bool
	ping  bool
	who   []int
}

type demoChannel struct {
	name, topic string
	kind        int
	category    string
	// only are roles that see the channel; empty, everybody does. hidden keeps the bot out too.
	only   []string
	hidden bool
	corpus string
	weight int
}

type demoGuild struct {
	name, about string
	owner       int
	members     []int
	roles       []demoRole
	channels    []demoChannel
	tags        []string
}

const moderator = ManageMessages | KickMembers | BanMembers | ModerateMembers | MentionEveryone | ManageThreads | PinMessages | ManageNicknames

var demoGuilds = []demoGuild{
	{
		name: "Tern Labs", about: "Where the Tern team builds things", owner: 0, members: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		roles: []demoRole{
			{name: "Maintainers", color: 0xe67e22, perms: moderator | ManageChannels | ManageRoles, hoist: true, ping: true, who: []int{0, 1, 5}},
			{name: "Engineering", color: 0x3498db, hoist: true, ping: true, who: []int{0, 1, 2, 5, 6, 8}},
			{name: "Design", color: 0x9b59b6, hoist: true, ping: true, who: []int{3, 7, 9}},
			{name: "On call", color: 0xe74c3c, ping: true, who: []int{1, 6}},
		},
		channels: []demoChannel{
			{name: "Lobby", kind: typeCategory},
			{name: "announcements", topic: "What everybody should know", kind: typeNews, category: "Lobby", corpus: "announce", weight: 1},
			{name: "general", topic: "Anything goes, within reason", category: "Lobby", corpus: "chat", weight: 8},
			{name: "introductions", category: "Lobby", corpus: "hello", weight: 1},
			{name: "Building", kind: typeCategory},
			{name: "backend", topic: "Services, databases, queues", category: "Building", corpus: "dev", weight: 8},
			{name: "frontend", topic: "Pixels and state", category: "Building", corpus: "dev", weight: 6},
			{name: "incidents", topic: "One thread per incident, please", category: "Building", corpus: "ops", weight: 4},
			{name: "design-crit", topic: "Work in progress, kind words", category: "Building", corpus: "design", weight: 3},
			{name: "Behind the door", kind: typeCategory},
			{name: "maintainers", topic: "Only for maintainers", category: "Behind the door", only: []string{"Maintainers"}, corpus: "ops", weight: 3},
			{name: "hiring", topic: "Confidential", category: "Behind the door", only: []string{"Maintainers"}, hidden: true, corpus: "chat", weight: 1},
			{name: "Standup", kind: typeVoice, category: "Lobby", corpus: "chat", weight: 1},
		},
	},
	{
		name: "Kettle & Loaf", about: "Bread, tea, and what went wrong in the oven", owner: 15, members: []int{2, 3, 7, 9, 11, 12, 15, 16, 18, 20, 22, 24},
		roles: []demoRole{
			{name: "Head bakers", color: 0xc0792a, perms: moderator, hoist: true, who: []int{15, 18}},
			{name: "Sourdough", color: 0xf1c40f, ping: true, who: []int{2, 9, 15, 24}},
			{name: "Tea people", color: 0x2ecc71, ping: true, who: []int{7, 12, 20}},
		},
		channels: []demoChannel{
			{name: "Kitchen", kind: typeCategory},
			{name: "welcome", category: "Kitchen", corpus: "hello", weight: 1},
			{name: "what-are-you-baking", topic: "Show us the crumb", category: "Kitchen", corpus: "baking", weight: 7},
			{name: "tea-table", topic: "Leaves, water, time", category: "Kitchen", corpus: "tea", weight: 4},
			{name: "recipes", topic: "One recipe a post", kind: typeForum, category: "Kitchen"},
			{name: "head-bakers", category: "Kitchen", only: []string{"Head bakers"}, corpus: "baking", weight: 1},
		},
		tags: []string{"bread", "sweet", "savoury", "question"},
	},
	{
		name: "Northline Trail Runners", about: "Hills, mud, and the van at 6:30", owner: 18, members: []int{0, 4, 6, 8, 13, 14, 17, 18, 19, 21, 23, 24},
		roles: []demoRole{
			{name: "Organisers", color: 0x1abc9c, perms: moderator, hoist: true, ping: true, who: []int{18, 13}},
			{name: "Saturday group", color: 0x95a5a6, ping: true, who: []int{0, 8, 13, 17, 24}},
		},
		channels: []demoChannel{
			{name: "meetups", topic: "When and where", corpus: "running", weight: 4},
			{name: "race-reports", corpus: "running", weight: 3},
			{name: "gear", topic: "Shoes, mostly", corpus: "running", weight: 3},
			{name: "off-topic", corpus: "chat", weight: 4},
			{name: "organisers", only: []string{"Organisers"}, corpus: "running", weight: 1},
			{name: "The van", kind: typeVoice, corpus: "chat", weight: 1},
		},
	},
	{
		name: "Pixel Orchard", about: "A small game, made slowly", owner: 20, members: []int{1, 3, 5, 7, 10, 14, 19, 20, 21, 22, 23},
		roles: []demoRole{
			{name: "Core team", color: 0xe91e63, perms: moderator, hoist: true, ping: true, who: []int{20, 22, 10}},
			{name: "Playtesters", color: 0x11806a, ping: true, who: []int{1, 5, 19, 21, 23}},
		},
		channels: []demoChannel{
			{name: "news", kind: typeNews, corpus: "announce", weight: 1},
			{name: "devlog", topic: "What changed today", corpus: "game", weight: 5},
			{name: "art", corpus: "design", weight: 3},
			{name: "playtest-feedback", topic: "What broke, what was fun", corpus: "game", weight: 5},
			{name: "bugs", topic: "A post per bug", kind: typeForum},
			{name: "core", only: []string{"Core team"}, corpus: "game", weight: 2},
		},
		tags: []string{"open", "confirmed", "fixed", "needs info"},
	},
	{
		name: "Harbour Street Neighbours", about: "Number 1 to 98", owner: 16, members: []int{2, 4, 8, 11, 12, 15, 16, 17, 21, 23, 24},
		roles: []demoRole{{name: "Committee", color: 0x607d8b, perms: moderator, hoist: true, ping: true, who: []int{16, 11, 8}}},
		channels: []demoChannel{
			{name: "noticeboard", corpus: "street", weight: 3},
			{name: "lost-and-found", corpus: "street", weight: 2},
			{name: "borrow-and-lend", topic: "Ladders, drills, jam jars", corpus: "street", weight: 3},
			{name: "committee", only: []string{"Committee"}, corpus: "street", weight: 1},
		},
	},
}

// demoVoice is what people say in a channel, and how often compared with other channels.
type demoVoice struct {
	corpus string
	weight int
}

// demoEveryone is @everyone's permissions in the demo: as usual, but only moderators ping everybody.
const demoEveryone = everyoneDefault &^ MentionEveryone

// demoBot is what the bot's role may in the demo: reading and a few moderator's acts, no administrator.
const demoBot = ViewChannel | ReadMessageHistory | Connect | SendMessages | SendMessagesInThreads | AddReactions | EmbedLinks

// createDemo makes the lively world: people and servers that are months old, and two days of history.
func (s *Sim) createDemo() {
	now := s.now()
	defer func() { s.past = time.Time{} }()
	var people []*User
	for i, p := range demoPeople {
		s.past = now.AddDate(-2, 0, i*17)
		people = append(people, s.createUser(p.username, p.name))
	}
	s.app.OwnerID = people[0].ID
	for i, d := range demoGuilds {
		s.past = now.AddDate(0, -8, i*11)
		s.createDemoGuild(d, people)
	}
	s.createHistory(now)
}

func (s *Sim) createDemoGuild(d demoGuild, people []*User) {
	g := s.createGuild(d.name, people[d.owner].ID, demoEveryone, demoBot)
	g.Description = d.about
	g.Emojis = []Emoji{{ID: s.newID(), Name: "tern"}, {ID: s.newID(), Name: "partyloaf", Animated: true}}
	g.JoinedAt = Stamp{g.ID.Time().Add(time.Hour)}
	for i, n := range d.members {
		g.addMember(&Member{UserID: people[n].ID, JoinedAt: Stamp{g.ID.Time().Add(time.Duration(i) * 7 * time.Hour)}, Roles: []ID{}})
	}
	roles := map[string]ID{}
	for i, dr := range d.roles {
		r := &Role{ID: s.newID(), Name: dr.name, Color: dr.color, Colors: RoleColors{Primary: dr.color}, Hoist: dr.hoist, Mentionable: dr.ping, Permissions: demoEveryone | dr.perms, Position: len(d.roles) - i + 1}
		g.Roles[r.ID], roles[dr.name] = r, r.ID
		for _, n := range dr.who {
			if m := g.Members[people[n].ID]; m != nil {
				m.Roles = append(m.Roles, r.ID)
			}
		}
	}
	categories := map[string]ID{}
	for i, dc := range d.channels {
		ch := &Channel{ID: s.newID(), GuildID: g.ID, Type: dc.kind, Name: dc.name, Topic: dc.topic, Position: i, ParentID: categories[dc.category]}
		if dc.kind == typeCategory {
			categories[dc.name] = ch.ID
		}
		if len(dc.only) > 0 {
			ch.Overwrites = append(ch.Overwrites, Overwrite{ID: g.ID, Type: 0, Deny: ViewChannel})
			for _, name := range dc.only {
				ch.Overwrites = append(ch.Overwrites, Overwrite{ID: roles[name], Type: 0, Allow: ViewChannel})
			}
			if !dc.hidden {
				ch.Overwrites = append(ch.Overwrites, Overwrite{ID: g.botRole(), Type: 0, Allow: ViewChannel})
			}
		}
		if dc.kind == typeNews {
			ch.Overwrites = append(ch.Overwrites, Overwrite{ID: g.ID, Type: 0, Deny: SendMessages})
			for _, id := range roles {
				if g.Roles[id].Permissions&ManageMessages != 0 {
					ch.Overwrites = append(ch.Overwrites, Overwrite{ID: id, Type: 0, Allow: SendMessages})
				}
			}
		}
		if dc.kind == typeForum {
			for _, t := range d.tags {
				ch.Tags = append(ch.Tags, Tag{ID: s.newID(), Name: t})
			}
		}
		if g.System == 0 && dc.kind == typeText {
			g.System = ch.ID
		}
		s.addChannel(ch)
	}
}

// voiceOf says what is talked about in a channel of the demo, by its name; threads talk as their parents do.
func (s *Sim) voiceOf(ch *Channel) (demoVoice, bool) {
	if ch.thread() {
		parent := s.channels[ch.ParentID]
		if parent == nil {
			return demoVoice{}, false
		}
		switch parent.Name {
		case "recipes":
			return demoVoice{"baking", 2}, true
		case "bugs":
			return demoVoice{"game", 2}, true
		}
		v, ok := s.voiceOf(parent)
		v.weight = 2
		return v, ok
	}
	g := s.guilds[ch.GuildID]
	for _, d := range demoGuilds {
		if d.name != g.Name {
			continue
		}
		for _, dc := range d.channels {
			if dc.name == ch.Name && dc.corpus != "" {
				return demoVoice{dc.corpus, dc.weight}, true
			}
		}
	}
	return demoVoice{}, false
}
