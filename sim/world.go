package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// createUser makes a person with a token.
func (s *Sim) createUser(username, globalName string) *User {
	u := &User{ID: s.newID(), Username: username, GlobalName: globalName}
	u.Token = s.token(u.ID)
	s.users[u.ID], s.byToken[u.Token] = u, u
	s.dirty = true
	return u
}

// createGuild makes a guild with its owner and the bot in it. bot is what the bot's own role may.
func (s *Sim) createGuild(name string, owner ID, everyone, bot Perm) *Guild {
	g := &Guild{
		ID: s.newID(), Name: name, OwnerID: owner, Features: []string{"COMMUNITY", "NEWS"}, Roles: map[ID]*Role{}, Members: map[ID]*Member{},
		Bans: map[ID]string{}, JoinedAt: Stamp{s.now()}, Indexed: Stamp{s.now().Add(s.o.SearchDelay)},
	}
	s.guilds[g.ID] = g
	g.Roles[g.ID] = &Role{ID: g.ID, Name: "@everyone", Permissions: everyone}
	g.addMember(&Member{UserID: owner, JoinedAt: Stamp{s.now()}, Roles: []ID{}})
	r := &Role{ID: s.newID(), Name: s.app.Name, Permissions: bot, Position: 1, Managed: true, Tags: json.RawMessage(`{"bot_id":"` + s.app.ID.String() + `"}`)}
	g.Roles[r.ID] = r
	g.addMember(&Member{UserID: s.app.ID, Roles: []ID{r.ID}, JoinedAt: Stamp{s.now()}})
	s.dirty = true
	return g
}

// botRole is the guild's managed role of the bot.
func (g *Guild) botRole() ID {
	for id, r := range g.Roles {
		if r.Managed {
			return id
		}
	}
	return 0
}

type worldUser struct {
	ID         ID     `json:"id"`
	Username   string `json:"username"`
	GlobalName string `json:"global_name,omitempty"`
	Token      string `json:"token"`
}

func (u *User) world() worldUser { return worldUser{u.ID, u.Username, u.GlobalName, u.Token} }

type worldMember struct {
	UserID ID   `json:"user_id"`
	Roles  []ID `json:"roles"`
}

type worldGuild struct {
	ID          ID            `json:"id"`
	Name        string        `json:"name"`
	OwnerID     ID            `json:"owner_id"`
	Unavailable bool          `json:"unavailable,omitempty"`
	Roles       []*Role       `json:"roles"`
	Channels    []wireChannel `json:"channels"`
	Threads     []wireChannel `json:"threads"`
	Members     []worldMember `json:"members"`
}

func (s *Sim) worldGuild(g *Guild) worldGuild {
	w := worldGuild{ID: g.ID, Name: g.Name, OwnerID: g.OwnerID, Unavailable: g.Unavailable, Roles: g.roleList(), Channels: []wireChannel{}, Threads: []wireChannel{}, Members: []worldMember{}}
	for _, ch := range s.guildChannels(g) {
		w.Channels = append(w.Channels, s.wireChannel(ch, 0))
	}
	for _, ch := range s.byGuild[g.ID] {
		if ch.thread() {
			w.Threads = append(w.Threads, s.wireChannel(ch, 0))
		}
	}
	slices.SortFunc(w.Threads, func(a, b wireChannel) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for _, id := range g.memberIDs {
		w.Members = append(w.Members, worldMember{id, append([]ID{}, g.Members[id].Roles...)})
	}
	return w
}

// noSuch is the error of a call under /sim/ that names what is not there: 404. Others are 400.
type noSuch string

func (e noSuch) Error() string { return "there is no such " + string(e) }

// under does the work of a call under /sim/ with the lock held, and writes its answer without it: what do gives as
// JSON, nothing (204) for nil, or the error.
func (s *Sim) under(w http.ResponseWriter, do func() (any, error)) {
	b, err := func() ([]byte, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		v, err := do()
		if err != nil || v == nil {
			return nil, err
		}
		return json.Marshal(v)
	}()
	switch {
	case errors.As(err, new(noSuch)):
		writeJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
	case err != nil:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	case b == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	}
}

// readSim reads the JSON body of a call under /sim/; an empty one leaves v as it is.
func readSim(w http.ResponseWriter, r *http.Request, v any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 256<<20)).Decode(v)
	if err != nil && !errors.Is(err, io.EOF) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "body: " + err.Error()})
		return false
	}
	return true
}

// simWorld answers everything that there is: the bot's credentials, people with tokens, guilds.
func (s *Sim) simWorld(w http.ResponseWriter, _ *http.Request) {
	s.under(w, func() (any, error) {
		out := struct {
			Bot    Bot          `json:"bot"`
			Users  []worldUser  `json:"users"`
			Guilds []worldGuild `json:"guilds"`
		}{Bot: s.bot(), Users: []worldUser{}, Guilds: []worldGuild{}}
		for _, id := range slices.Sorted(maps.Keys(s.users)) {
			if u := s.users[id]; !u.Bot {
				out.Users = append(out.Users, u.world())
			}
		}
		for _, id := range slices.Sorted(maps.Keys(s.guilds)) {
			out.Guilds = append(out.Guilds, s.worldGuild(s.guilds[id]))
		}
		return out, nil
	})
}

// simUser makes a person; with guilds, a member of them.
func (s *Sim) simUser(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Username   string `json:"username"`
		GlobalName string `json:"global_name"`
		Guilds     []ID   `json:"guilds"`
	}
	if !readSim(w, r, &in) {
		return
	}
	s.under(w, func() (any, error) {
		if in.Username == "" {
			return nil, errors.New("username is missing")
		}
		u := s.createUser(in.Username, in.GlobalName)
		for _, id := range in.Guilds {
			if g := s.guilds[id]; g != nil {
				s.join(g, u, nil)
			}
		}
		return u.world(), nil
	})
}

// simGuild makes a guild with the bot in it. The bot's role is an administrator unless bot_permissions says less.
func (s *Sim) simGuild(w http.ResponseWriter, r *http.Request) {
	var in guildRequest
	if readSim(w, r, &in) {
		s.under(w, func() (any, error) { return s.simCreateGuild(&in) })
	}
}

type guildRequest struct {
	Name           string          `json:"name"`
	Owner          string          `json:"owner"`
	Channels       []string        `json:"channels"`
	Members        json.RawMessage `json:"members"`
	BotPermissions opt[Perm]       `json:"bot_permissions"`
	Everyone       opt[Perm]       `json:"everyone_permissions"`
}

// members reads the field of the same name: "all", or ids.
func (in *guildRequest) members(s *Sim) ([]ID, error) {
	var ids []ID
	var word string
	switch {
	case len(in.Members) == 0 || string(in.Members) == "null":
		return nil, nil
	case json.Unmarshal(in.Members, &word) == nil && word == "all":
		for _, id := range slices.Sorted(maps.Keys(s.users)) {
			if !s.users[id].Bot {
				ids = append(ids, id)
			}
		}
		return ids, nil
	case json.Unmarshal(in.Members, &ids) != nil:
		return nil, errors.New(`members is neither "all" nor a list of ids`)
	}
	for _, id := range ids {
		if s.users[id] == nil {
			return nil, fmt.Errorf("there is no user %d", uint64(id))
		}
	}
	return ids, nil
}

func (s *Sim) simCreateGuild(in *guildRequest) (any, error) {
	owner, err := s.person(in.Owner)
	if err != nil {
		return nil, err
	}
	members, err := in.members(s)
	if err != nil {
		return nil, err
	}
	g := s.createGuild(in.Name, owner.ID, in.Everyone.Or(everyoneDefault), in.BotPermissions.Or(Administrator))
	for _, id := range members {
		if g.Members[id] == nil {
			g.addMember(&Member{UserID: id, JoinedAt: Stamp{s.now()}, Roles: []ID{}})
		}
	}
	for i, name := range in.Channels {
		ch := s.addChannel(&Channel{ID: s.newID(), GuildID: g.ID, Name: name, Position: i})
		if g.System == 0 {
			g.System = ch.ID
		}
	}
	s.joinGuild(g, s.app.ID)
	return s.worldGuild(g), nil
}

// person finds somebody by id or username; "" is the first person, made if there is none.
func (s *Sim) person(key string) (*User, error) {
	if id, ok := parseID(key); ok {
		if u := s.users[id]; u != nil {
			return u, nil
		}
		return nil, fmt.Errorf("there is no user %s", key)
	}
	var first *User
	for _, u := range s.users {
		if u.Bot {
			continue
		}
		if key != "" && strings.EqualFold(u.Username, key) {
			return u, nil
		}
		if first == nil || u.ID < first.ID {
			first = u
		}
	}
	switch {
	case key != "":
		return nil, fmt.Errorf("there is no user %q", key)
	case first == nil:
		return s.createUser("owner", ""), nil
	}
	return first, nil
}

// simMessages answers the true messages of a channel, oldest first, deleted ones with "deleted": true.
func (s *Sim) simMessages(w http.ResponseWriter, r *http.Request) {
	id, _ := parseID(r.URL.Query().Get("channel"))
	s.under(w, func() (any, error) {
		ch := s.channels[id]
		if ch == nil {
			return nil, noSuch("channel")
		}
		out := make([]wireMessage, 0, len(ch.Messages))
		for _, m := range ch.Messages {
			wm := s.wireMessage(m, 0, false)
			wm.extra = map[string]json.RawMessage{"deleted": json.RawMessage(strconv.FormatBool(m.Deleted))}
			maps.Copy(wm.extra, m.Extra)
			out = append(out, wm)
		}
		return out, nil
	})
}

func (s *Sim) simIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>A simulated Discord</title><body style="font:16px/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark">
<h1>A simulated Discord</h1><p>REST is at <code>/api/v10</code>, the gateway at what <code>/api/v10/gateway/bot</code> answers, OAuth2 at <code>/oauth2/authorize</code>.
Tokens of the bot and of every person: <a href="/sim/world">/sim/world</a>. What clients did: <a href="/sim/log">/sim/log</a>.</p>`)
}
