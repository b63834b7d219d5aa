package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// identified is one IDENTIFY, for the day's limit and the limit on concurrency.
type identified struct {
	at  time.Time
	key int
}

type identify struct {
	Token      string                     `json:"token"`
	Properties map[string]json.RawMessage `json:"properties"`
	Intents    *Intent                    `json:"intents"`
	Shard      *[2]int                    `json:"shard"`
	Large      int                        `json:"large_threshold"`
}

// identify begins a new session, or ends the connection with the code that says why not.
func (s *Sim) identify(c *conn, d json.RawMessage) {
	if c.sess != nil {
		c.end(closeAlready, "Already authenticated.")
		return
	}
	var in identify
	if json.Unmarshal(d, &in) != nil || in.Properties == nil {
		c.end(closeDecode, "Error while decoding payload.")
		return
	}
	s.record.Identifies++
	bot := s.byToken[strings.TrimPrefix(in.Token, "Bot ")]
	shard := [2]int{0, 1}
	if in.Shard != nil {
		shard = *in.Shard
	}
	switch {
	case bot == nil || !bot.Bot:
		c.end(closeAuthFailed, "Authentication failed.")
		return
	case shard[1] < 1 || shard[0] < 0 || shard[0] >= shard[1]:
		c.end(closeInvalidShard, "Invalid shard.")
		return
	case in.Shard == nil && s.o.RequireShards:
		c.end(closeShardingRequired, "Sharding required.")
		return
	case in.Intents == nil || *in.Intents < 0 || *in.Intents&^known != 0:
		c.end(closeInvalidIntents, "Invalid intent(s).")
		return
	case *in.Intents&privileged&s.app.Refused != 0:
		c.end(closeRefusedIntents, "Disallowed intent(s).")
		return
	}
	now := s.now()
	s.started = slices.DeleteFunc(s.started, func(i identified) bool { return now.Sub(i.at) > 24*time.Hour })
	if len(s.started) >= s.o.IdentifyLimit {
		s.exhaust(bot)
		c.end(closeAuthFailed, "Authentication failed.")
		return
	}
	key := shard[0] % s.o.MaxConcurrency
	if n := len(s.started); s.o.IdentifyEvery > 0 && n > 0 {
		for _, i := range s.started[max(0, n-64):] {
			if i.key == key && now.Sub(i.at) < s.o.IdentifyEvery {
				c.send(opInvalidSession, false)
				return
			}
		}
	}
	s.started = append(s.started, identified{now, key})
	if s.invalid(c) {
		return
	}
	x := &session{
		id: s.hexID(), user: bot, token: bot.Token, intents: *in.Intents, shard: shard, version: c.version, conn: c,
		large: in.Large, chunked: map[ID]time.Time{},
	}
	if x.large < 50 || x.large > 250 {
		x.large = 50
	}
	c.sess, s.sessions[x.id] = x, x
	s.ready(c, x, in.Shard)
}

func (s *Sim) hexID() string { return fmt.Sprintf("%016x%016x", s.rand.Uint64(), s.rand.Uint64()) }

// exhaust is what happens past the day's identifies: every session dies and the token is reset.
func (s *Sim) exhaust(bot *User) {
	for id, x := range s.sessions {
		if x.user != bot {
			continue
		}
		if x.conn != nil {
			x.conn.end(closeAuthFailed, "Authentication failed.")
		}
		delete(s.sessions, id)
	}
	delete(s.byToken, bot.Token)
	bot.Token = s.token(bot.ID)
	s.byToken[bot.Token] = bot
	s.started = nil
}

func (s *Sim) ready(c *conn, x *session, shard *[2]int) {
	type unavailable struct {
		ID          ID   `json:"id"`
		Unavailable bool `json:"unavailable"`
	}
	me := struct {
		wireUser
		Verified   bool    `json:"verified"`
		MFAEnabled bool    `json:"mfa_enabled"`
		Email      *string `json:"email"`
	}{wireUser: x.user.wire(), Verified: true, MFAEnabled: true}
	guilds := []unavailable{}
	var mine []*Guild
	for _, g := range s.guildsOf(x.user.ID) {
		if x.has(g.ID) {
			guilds = append(guilds, unavailable{g.ID, true})
			mine = append(mine, g)
		}
	}
	d := map[string]any{
		"v": x.version, "user": me, "guilds": guilds, "session_id": x.id, "session_type": "normal", "private_channels": []string{},
		"resume_gateway_url": s.wsURL(c.host) + "/gateway/resume", "application": map[string]any{"id": s.app.ID, "flags": s.app.flags()},
		"relationships": []string{}, "user_settings": map[string]any{}, "presences": []string{}, "guild_join_requests": []string{}, "_trace": []string{"[\"sim\",{\"micros\":0}]"},
	}
	if shard != nil {
		d["shard"] = *shard
	}
	s.pushJSON(x, "READY", d)
	if x.intents&IntentGuilds == 0 {
		return
	}
	for _, g := range mine {
		if !g.Unavailable {
			s.pushJSON(x, "GUILD_CREATE", s.guildCreate(g, x))
		}
	}
}

// wsURL is the gateway's origin as the client reached it.
func (s *Sim) wsURL(host string) string {
	if s.o.BaseURL != "" {
		return "ws" + strings.TrimPrefix(s.o.BaseURL, "http")
	}
	return "ws://" + host
}

// resume takes a session up again, replays what its client missed, and says RESUMED.
func (s *Sim) resume(c *conn, d json.RawMessage) {
	if c.sess != nil {
		c.end(closeAlready, "Already authenticated.")
		return
	}
	var in struct {
		Token     string `json:"token"`
		SessionID string `json:"session_id"`
		Seq       int64  `json:"seq"`
	}
	if json.Unmarshal(d, &in) != nil {
		c.end(closeDecode, "Error while decoding payload.")
		return
	}
	s.record.Resumes++
	token := strings.TrimPrefix(in.Token, "Bot ")
	if u := s.byToken[token]; u == nil || !u.Bot {
		c.end(closeAuthFailed, "Authentication failed.")
		return
	}
	x := s.sessions[in.SessionID]
	if x == nil || x.token != token || s.expired(x) || s.refused(c) || in.Seq < x.first()-1 {
		if x != nil && x.conn == nil {
			delete(s.sessions, x.id)
		}
		c.send(opInvalidSession, false)
		return
	}
	if in.Seq > x.seq {
		delete(s.sessions, x.id)
		c.end(closeInvalidSeq, "Invalid seq.")
		return
	}
	if old := x.conn; old != nil {
		old.sess = nil
		old.drop()
	}
	x.conn, c.sess, x.sent, x.version = c, x, in.Seq, c.version
	s.record.Resumed++
	s.pushJSON(x, "RESUMED", map[string]any{"_trace": []string{"[\"sim\",{\"micros\":0}]"}})
}

// requestMembers answers op 8 with GUILD_MEMBERS_CHUNKs. The whole list needs GUILD_MEMBERS and is given once in 30 s.
func (s *Sim) requestMembers(c *conn, d json.RawMessage) {
	var in struct {
		GuildID ID              `json:"guild_id"`
		Query   *string         `json:"query"`
		Limit   int             `json:"limit"`
		UserIDs json.RawMessage `json:"user_ids"`
		Nonce   string          `json:"nonce"`
	}
	if json.Unmarshal(d, &in) != nil {
		c.end(closeDecode, "Error while decoding payload.")
		return
	}
	x := c.sess
	g := s.guilds[in.GuildID]
	if g == nil || g.Members[x.user.ID] == nil || !x.has(g.ID) {
		return
	}
	var found []*Member
	var missing []ID
	switch {
	case len(in.UserIDs) > 0 && string(in.UserIDs) != "null":
		var ids []ID
		if json.Unmarshal(in.UserIDs, &ids) != nil {
			var one ID
			if json.Unmarshal(in.UserIDs, &one) != nil {
				c.end(closeDecode, "Error while decoding payload.")
				return
			}
			ids = []ID{one}
		}
		for _, id := range ids[:min(len(ids), 100)] {
			if m := g.Members[id]; m != nil {
				found = append(found, m)
			} else {
				missing = append(missing, id)
			}
		}
	case in.Query != nil && *in.Query != "":
		found = s.searchMembers(g, *in.Query, min(max(in.Limit, 1), 100))
	case in.Query == nil || x.intents&IntentMembers == 0:
		return
	default:
		if last := x.chunked[g.ID]; s.now().Sub(last) < 30*time.Second {
			s.pushJSON(x, "RATE_LIMITED", map[string]any{
				"opcode": opRequestMembers, "retry_after": (30*time.Second - s.now().Sub(last)).Seconds(),
				"meta": map[string]any{"guild_id": g.ID, "nonce": in.Nonce},
			})
			return
		}
		x.chunked[g.ID] = s.now()
		for _, id := range g.memberIDs {
			found = append(found, g.Members[id])
		}
	}
	chunks := max(1, (len(found)+999)/1000)
	for i := range chunks {
		members := []wireMember{}
		for _, m := range found[i*1000 : min(len(found), (i+1)*1000)] {
			members = append(members, s.wireMember(m, true))
		}
		e := map[string]any{"guild_id": g.ID, "members": members, "chunk_index": i, "chunk_count": chunks}
		if len(missing) > 0 {
			e["not_found"] = missing
		}
		if in.Nonce != "" {
			e["nonce"] = in.Nonce
		}
		s.pushJSON(x, "GUILD_MEMBERS_CHUNK", e)
	}
}
