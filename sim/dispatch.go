package sim

import (
	"encoding/json"
)

// view is for whom a dispatch is encoded: sessions of the same view share the bytes.
type view struct {
	user    ID
	content bool
}

// emit sends a guild's event to every session that may have it: its bot is in the guild, the guild is of its shard and
// available, one of the intents was asked for (0: none needed), and where a channel is given, the bot reads there.
func (s *Sim) emit(g *Guild, t string, need Intent, ch *Channel, data func(view) any) {
	s.dirty = true
	if g.Unavailable {
		return
	}
	var cache map[view][]byte
	for _, x := range s.sessions {
		if need != 0 && x.intents&need == 0 || !x.has(g.ID) || g.Members[x.user.ID] == nil || s.expired(x) {
			continue
		}
		if ch != nil && !s.readsText(x.user.ID, ch) {
			continue
		}
		v := view{x.user.ID, x.intents&IntentContent != 0}
		b, ok := cache[v]
		if !ok {
			var err error
			if b, err = json.Marshal(data(v)); err != nil {
				s.log.Error("event cannot be encoded", "event", t, "err", err)
				return
			}
			if cache == nil {
				cache = map[view][]byte{}
			}
			cache[v] = b
		}
		s.deliver(x, t, b, g)
	}
}

// deliver gives one encoded dispatch to one session, past the faults that lose, repeat or hold it.
func (s *Sim) deliver(x *session, t string, d []byte, g *Guild) {
	for range s.tamper(x, t, d, g) {
		s.push(x, t, d)
	}
}

// same is for data that all sessions get alike.
func same(v any) func(view) any { return func(view) any { return v } }

// emitMessage sends MESSAGE_CREATE or MESSAGE_UPDATE, without its content where the intent is missing.
func (s *Sim) emitMessage(t string, m *Message) {
	ch := s.channels[m.ChannelID]
	s.emit(s.guilds[ch.GuildID], t, IntentMessages, ch, func(v view) any {
		w := s.gatewayMessage(m, v.user)
		if t == "MESSAGE_CREATE" {
			w.Reactions = nil
		}
		if !v.content {
			w = bare(w, v.user)
		}
		if len(w.extra) == 0 {
			return plainMessage(w)
		}
		return w
	})
	s.relay(t, m)
}

func (s *Sim) emitChannel(t string, ch *Channel) {
	g := s.guilds[ch.GuildID]
	if ch.thread() {
		s.emit(g, t, IntentGuilds, ch, func(v view) any { return s.wireChannel(ch, v.user) })
		return
	}
	// Bots are told of all channels of their guilds, also of those that they cannot see.
	s.emit(g, t, IntentGuilds, nil, func(v view) any { return s.wireChannel(ch, v.user) })
}

type roleEvent struct {
	GuildID ID    `json:"guild_id"`
	Role    *Role `json:"role,omitempty"`
	RoleID  ID    `json:"role_id,omitempty"`
}

func (s *Sim) emitMember(t string, g *Guild, m *Member) {
	w := s.wireMember(m, true)
	w.GuildID = g.ID
	s.emitAbout(g, t, m.UserID, w)
}

// emitAbout sends an event about a member: sessions without GUILD_MEMBERS get only GUILD_MEMBER_UPDATE of their own bot.
func (s *Sim) emitAbout(g *Guild, t string, user ID, data any) {
	if u := s.users[user]; u != nil && u.Bot && t == "GUILD_MEMBER_UPDATE" {
		s.emit(g, t, 0, nil, same(data))
		return
	}
	s.emit(g, t, IntentMembers, nil, same(data))
}

// changing runs a change that may move what bots see, and afterwards sends THREAD_LIST_SYNC for each channel that a bot
// has gained. Losing access has no event of its own, as on Discord.
func (s *Sim) changing(g *Guild, change func()) {
	before := map[ID]map[ID]bool{}
	for _, x := range s.sessions {
		if before[x.user.ID] == nil {
			before[x.user.ID] = s.visible(g, x.user.ID)
		}
	}
	change()
	for user, had := range before {
		for id := range s.visible(g, user) {
			if !had[id] {
				s.syncThreads(g, user, id)
			}
		}
	}
}

func (s *Sim) visible(g *Guild, user ID) map[ID]bool {
	out := map[ID]bool{}
	for id, ch := range s.byGuild[g.ID] {
		if !ch.thread() && s.sees(user, ch) {
			out[id] = true
		}
	}
	return out
}

type threadListSync struct {
	GuildID    ID                 `json:"guild_id"`
	ChannelIDs []ID               `json:"channel_ids"`
	Threads    []wireChannel      `json:"threads"`
	Members    []wireThreadMember `json:"members"`
}

func (s *Sim) syncThreads(g *Guild, user, parent ID) {
	switch s.channels[parent].Type {
	case typeText, typeNews, typeForum, typeMedia:
	default:
		return
	}
	e := threadListSync{GuildID: g.ID, ChannelIDs: []ID{parent}, Threads: []wireChannel{}, Members: []wireThreadMember{}}
	for _, th := range s.activeThreads(g, user, parent) {
		w := s.wireChannel(th, user)
		e.Threads = append(e.Threads, w)
		if w.Member != nil {
			e.Members = append(e.Members, *w.Member)
		}
	}
	s.emit(g, "THREAD_LIST_SYNC", IntentGuilds, nil, same(e))
}

// guildCreate is the data of GUILD_CREATE: the guild with its roles, channels, active threads and, since presences
// are not simulated, the bot as its only member (all of a small guild with the presences intent).
func (s *Sim) guildCreate(g *Guild, x *session) any {
	type unavailable struct {
		ID          ID   `json:"id"`
		Unavailable bool `json:"unavailable"`
	}
	if g.Unavailable {
		return unavailable{g.ID, true}
	}
	w := struct {
		wireGuild
		JoinedAt        Stamp         `json:"joined_at"`
		Large           bool          `json:"large"`
		Unavailable     bool          `json:"unavailable"`
		MemberCount     int           `json:"member_count"`
		VoiceStates     []string      `json:"voice_states"`
		Members         []wireMember  `json:"members"`
		Channels        []wireChannel `json:"channels"`
		Threads         []wireChannel `json:"threads"`
		Presences       []string      `json:"presences"`
		StageInstances  []string      `json:"stage_instances"`
		ScheduledEvents []string      `json:"guild_scheduled_events"`
		Soundboard      []string      `json:"soundboard_sounds"`
	}{
		wireGuild: g.wire(), JoinedAt: g.JoinedAt, Large: len(g.Members) > x.large, MemberCount: len(g.Members), VoiceStates: []string{},
		Members: []wireMember{}, Channels: []wireChannel{}, Threads: []wireChannel{}, Presences: []string{}, StageInstances: []string{},
		ScheduledEvents: []string{}, Soundboard: []string{},
	}
	for _, id := range g.memberIDs {
		if id == x.user.ID || x.intents&IntentPresences != 0 && len(g.Members) <= x.large {
			w.Members = append(w.Members, s.wireMember(g.Members[id], true))
		}
	}
	for _, ch := range s.guildChannels(g) {
		w.Channels = append(w.Channels, s.wireChannel(ch, x.user.ID))
	}
	for _, th := range s.activeThreads(g, x.user.ID, 0) {
		w.Threads = append(w.Threads, s.wireChannel(th, x.user.ID))
	}
	return w
}

// joinGuild tells the sessions of a bot that it is in a guild: GUILD_CREATE.
func (s *Sim) joinGuild(g *Guild, user ID) {
	for _, x := range s.sessions {
		if x.user.ID == user && x.has(g.ID) && x.intents&IntentGuilds != 0 {
			s.deliverJSON(x, "GUILD_CREATE", s.guildCreate(g, x), g)
		}
	}
}

// leaveGuild tells the sessions of a bot that a guild is gone, or only unavailable.
func (s *Sim) leaveGuild(g *Guild, user ID, unavailable bool) {
	for _, x := range s.sessions {
		if x.user.ID == user && x.has(g.ID) && x.intents&IntentGuilds != 0 {
			d := map[string]any{"id": g.ID}
			if unavailable {
				d["unavailable"] = true
			}
			s.deliverJSON(x, "GUILD_DELETE", d, g)
		}
	}
}

// deliverJSON encodes a dispatch for one session and delivers it past the faults.
func (s *Sim) deliverJSON(x *session, t string, v any, g *Guild) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Error("event cannot be encoded", "event", t, "err", err)
		return
	}
	s.deliver(x, t, b, g)
}

// pushJSON encodes a dispatch of the session's own (READY, RESUMED, chunks), which no fault touches.
func (s *Sim) pushJSON(x *session, t string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Error("event cannot be encoded", "event", t, "err", err)
		return
	}
	s.push(x, t, b)
}
