package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// contents are the texts of a page, joined.
func contents(page []simtest.Object) string {
	var out []string
	for _, m := range page {
		out = append(out, m["content"].(string))
	}
	return strings.Join(out, " ")
}

func TestHistoryIsNewestFirstWithEveryCursor(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada := r.Person("ada")
	g := r.Guild("Works", ada, nil, []string{"general"}, nil)
	ch := g.Channel("general")
	var ids []string
	for i := range 10 {
		ids = append(ids, r.Say(ada, ch, fmt.Sprint(i))["id"].(string))
	}
	r.Must(ada.Token, "DELETE", "/channels/"+ch+"/messages/"+ids[4], nil, nil)
	tests := []struct{ name, query, want string }{
		{"newest", "?limit=3", "9 8 7"},
		{"before", "?limit=3&before=" + ids[5], "3 2 1"},
		{"after is closest to the cursor", "?limit=3&after=" + ids[1], "5 3 2"},
		{"after the channel's id is its beginning", "?limit=2&after=" + ch, "1 0"},
		{"around", "?limit=4&around=" + ids[6], "7 6 5 3"},
		{"around a deleted one", "?limit=4&around=" + ids[4], "6 5 3 2"},
		{"default limit", "", "9 8 7 6 5 3 2 1 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var page []simtest.Object
			r.Must(ada.Token, "GET", "/channels/"+ch+"/messages"+tt.query, nil, &page)
			if got := contents(page); got != tt.want {
				t.Errorf("page = %q, want %q", got, tt.want)
			}
		})
	}
	var e struct{ Code int }
	if got := r.Do(ada.Token, "GET", "/channels/"+ch+"/messages?limit=101", nil, &e); got != 400 || e.Code != 50035 {
		t.Errorf("limit=101: %d %d, want 400 50035", got, e.Code)
	}
	if got := r.Do(ada.Token, "GET", "/channels/"+ch+"/messages/"+ids[4], nil, &e); got != 404 || e.Code != 10008 {
		t.Errorf("deleted message: %d %d, want 404 10008", got, e.Code)
	}
}

func TestMissingPermissionsAnswerAsDiscordDoes(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general", "secret"}, nil)
	ch, secret := g.Channel("general"), g.Channel("secret")
	r.Say(ada, ch, "hello")
	r.Must(ada.Token, "PUT", "/channels/"+secret+"/permissions/"+g.ID, simtest.Object{"type": 0, "deny": "1024"}, nil)

	var e struct{ Code int }
	if got := r.Do(bob.Token, "GET", "/channels/"+secret+"/messages", nil, &e); got != 403 || e.Code != 50001 {
		t.Errorf("without VIEW_CHANNEL: %d %d, want 403 50001", got, e.Code)
	}
	r.Must(ada.Token, "PUT", "/channels/"+ch+"/permissions/"+bob.ID, simtest.Object{"type": 1, "deny": "65536"}, nil)
	var page []simtest.Object
	r.Must(bob.Token, "GET", "/channels/"+ch+"/messages", nil, &page)
	if len(page) != 0 {
		t.Errorf("without READ_MESSAGE_HISTORY: %v, want an empty list", page)
	}
	r.Must(ada.Token, "PUT", "/channels/"+ch+"/permissions/"+bob.ID, simtest.Object{"type": 1, "deny": "2048"}, nil)
	if got := r.Do(bob.Token, "POST", "/channels/"+ch+"/messages", simtest.Object{"content": "x"}, &e); got != 403 || e.Code != 50013 {
		t.Errorf("without SEND_MESSAGES: %d %d, want 403 50013", got, e.Code)
	}
	if got := r.Do(ada.Token, "POST", "/channels/"+ch+"/messages", simtest.Object{"content": " "}, &e); got != 400 || e.Code != 50006 {
		t.Errorf("an empty message: %d %d, want 400 50006", got, e.Code)
	}
	if got := r.Do(ada.Token, "POST", "/channels/"+ch+"/messages", simtest.Object{"content": strings.Repeat("x", 2001)}, &e); got != 400 || e.Code != 50035 {
		t.Errorf("2001 characters: %d %d, want 400 50035", got, e.Code)
	}
	if got := r.Do("nonsense", "GET", "/users/@me", nil, &e); got != 401 || e.Code != 0 {
		t.Errorf("a bad token: %d %d, want 401 0", got, e.Code)
	}
	if got := r.Do(ada.Token, "GET", "/channels/1/messages", nil, &e); got != 404 || e.Code != 10003 {
		t.Errorf("an unknown channel: %d %d, want 404 10003", got, e.Code)
	}
	if got := r.Do(ada.Token, "GET", "/no/such/call", nil, nil); got != 404 {
		t.Errorf("an unknown call: %d, want 404", got)
	}
	if got := r.Do(ada.Token, "DELETE", "/gateway", nil, nil); got != 405 {
		t.Errorf("a wrong method: %d, want 405", got)
	}
}

func TestMentionsAreWhatTheTextNamesAndTheAuthorMay(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general"}, simtest.Object{"everyone_permissions": "68608"})
	ch := g.Channel("general")
	var quiet, loud simtest.Object
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/roles", simtest.Object{"name": "quiet"}, &quiet)
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/roles", simtest.Object{"name": "loud", "mentionable": true}, &loud)
	roles := " <@&" + quiet["id"].(string) + "> <@&" + loud["id"].(string) + ">"

	tests := []struct {
		name         string
		who          simtest.Person
		body         simtest.Object
		users, roles int
		everyone     bool
	}{
		{"who may ping all", ada, simtest.Object{"content": "@everyone <@" + bob.ID + "> <@!" + bob.ID + ">" + roles}, 1, 2, true},
		{"who may not", bob, simtest.Object{"content": "@everyone @here" + roles}, 0, 1, false},
		{"in code", ada, simtest.Object{"content": "`@everyone <@" + bob.ID + ">` ```\n<@" + bob.ID + ">\n```"}, 0, 0, false},
		{"allowed_mentions none", ada, simtest.Object{"content": "@here <@" + bob.ID + ">" + roles, "allowed_mentions": simtest.Object{"parse": []string{}}}, 0, 0, false},
		{"allowed_mentions one", ada, simtest.Object{"content": "<@" + bob.ID + "> <@" + ada.ID + ">", "allowed_mentions": simtest.Object{"users": []string{ada.ID}}}, 1, 0, false},
		{"an unknown user", ada, simtest.Object{"content": "<@123456>"}, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m simtest.Object
			r.Must(tt.who.Token, "POST", "/channels/"+ch+"/messages", tt.body, &m)
			users, roles := len(m["mentions"].([]any)), len(m["mention_roles"].([]any))
			if users != tt.users || roles != tt.roles || m["mention_everyone"] != tt.everyone {
				t.Errorf("mentions %d users, %d roles, everyone %v; want %d, %d, %v", users, roles, m["mention_everyone"], tt.users, tt.roles, tt.everyone)
			}
		})
	}
	t.Run("a reply pings its author unless told not to", func(t *testing.T) {
		m := r.Say(bob, ch, "question")
		var reply simtest.Object
		ref := simtest.Object{"message_id": m["id"]}
		r.Must(ada.Token, "POST", "/channels/"+ch+"/messages", simtest.Object{"content": "yes", "message_reference": ref}, &reply)
		if len(reply["mentions"].([]any)) != 1 || reply["type"] != 19.0 || reply["referenced_message"].(map[string]any)["id"] != m["id"] {
			t.Errorf("reply = %v", reply)
		}
		r.Must(ada.Token, "POST", "/channels/"+ch+"/messages", simtest.Object{"content": "yes", "message_reference": ref, "allowed_mentions": simtest.Object{"replied_user": false}}, &reply)
		if len(reply["mentions"].([]any)) != 0 {
			t.Errorf("reply without ping mentions %v", reply["mentions"])
		}
	})
}

func TestWholeLifeOfChannelsRolesThreadsAndMembers(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	ada, bob, eve := r.Person("ada"), r.Person("bob"), r.Person("eve")
	g := r.Guild("Works", ada, []simtest.Person{bob, eve}, []string{"general"}, nil)
	c, _ := login(t, r, allIntents)
	c.want("GUILD_CREATE")
	ch := g.Channel("general")
	type O = simtest.Object

	var cat, news, forum, voice, role O
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/channels", O{"name": "Area", "type": 4}, &cat)
	c.want("CHANNEL_CREATE")
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/channels", O{"name": "News Desk", "type": 5, "parent_id": cat["id"]}, &news)
	if news["name"] != "news-desk" {
		t.Errorf("name = %v, want news-desk", news["name"])
	}
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/channels", O{"name": "forum", "type": 15, "available_tags": []O{{"name": "open"}}}, &forum)
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/channels", O{"name": "voice", "type": 2}, &voice)
	r.Say(ada, voice["id"].(string), "text in voice")
	r.Must(ada.Token, "PATCH", "/channels/"+ch, O{"topic": "all things", "rate_limit_per_user": 5}, nil)
	c.want("CHANNEL_UPDATE")
	r.Say(bob, ch, "once")
	if got := r.Do(bob.Token, "POST", "/channels/"+ch+"/messages", O{"content": "twice"}, nil); got != 429 {
		t.Errorf("second message in slowmode = %d, want 429", got)
	}
	r.Must(ada.Token, "PATCH", "/channels/"+ch, O{"rate_limit_per_user": 0}, nil)

	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/roles", O{"name": "Editors", "color": 255, "permissions": "8192"}, &role)
	c.want("GUILD_ROLE_CREATE")
	rolePath := "/guilds/" + g.ID + "/members/" + bob.ID + "/roles/" + role["id"].(string)
	r.Must(ada.Token, "PUT", rolePath, nil, nil)
	c.want("GUILD_MEMBER_UPDATE")
	r.Must(ada.Token, "PATCH", "/guilds/"+g.ID+"/roles/"+role["id"].(string), O{"name": "Writers", "hoist": true}, nil)
	c.want("GUILD_ROLE_UPDATE")
	var e struct{ Code int }
	if got := r.Do(eve.Token, "PUT", rolePath, nil, &e); got != 403 || e.Code != 50013 {
		t.Errorf("giving a role without MANAGE_ROLES: %d %d", got, e.Code)
	}
	r.Must(ada.Token, "PATCH", "/guilds/"+g.ID+"/members/"+eve.ID, O{"nick": "Evie", "roles": []string{role["id"].(string)}, "communication_disabled_until": time.Now().Add(time.Hour)}, nil)
	if got := r.Do(ada.Token, "PATCH", "/guilds/"+g.ID+"/members/"+eve.ID, O{"nick": "Evie"}, nil); got != 200 {
		t.Errorf("nick = %d", got)
	}

	m := r.Say(bob, ch, "let us talk")
	id := m["id"].(string)
	var th, own, post O
	r.Must(bob.Token, "POST", "/channels/"+ch+"/messages/"+id+"/threads", O{"name": "talk"}, &th)
	if th["id"] != id {
		t.Errorf("thread id = %v, want the message's %s", th["id"], id)
	}
	c.want("THREAD_CREATE")
	r.Say(ada, id, "in the thread <@"+eve.ID+">")
	c.want("THREAD_MEMBERS_UPDATE")
	r.Must(ada.Token, "POST", "/channels/"+ch+"/threads", O{"name": "just us", "type": 12}, &own)
	if got := r.Do(bob.Token, "GET", "/channels/"+own["id"].(string), nil, nil); got != 403 {
		t.Errorf("a private thread for others = %d, want 403", got)
	}
	r.Must(ada.Token, "PUT", "/channels/"+own["id"].(string)+"/thread-members/"+bob.ID, nil, nil)
	r.Must(bob.Token, "GET", "/channels/"+own["id"].(string), nil, nil)
	var members []O
	r.Must(ada.Token, "GET", "/channels/"+own["id"].(string)+"/thread-members?with_member=true", nil, &members)
	if len(members) != 2 {
		t.Errorf("%d thread members, want 2", len(members))
	}
	r.Must(ada.Token, "DELETE", "/channels/"+own["id"].(string)+"/thread-members/"+bob.ID, nil, nil)
	tag := forum["available_tags"].([]any)[0].(map[string]any)["id"]
	r.Must(bob.Token, "POST", "/channels/"+forum["id"].(string)+"/threads", O{"name": "post", "applied_tags": []any{tag}, "message": O{"content": "first"}}, &post)
	if post["message"].(map[string]any)["id"] != post["id"] {
		t.Errorf("starter message %v of post %v", post["message"], post["id"])
	}
	var active struct{ Threads []O }
	r.Must(r.BotToken(), "GET", "/guilds/"+g.ID+"/threads/active", nil, &active)
	if len(active.Threads) != 3 {
		t.Errorf("%d active threads, want 3", len(active.Threads))
	}
	r.Must(bob.Token, "PATCH", "/channels/"+id, O{"archived": true}, nil)
	c.want("THREAD_UPDATE")
	var archived struct {
		Threads []O
		HasMore bool `json:"has_more"`
	}
	r.Must(bob.Token, "GET", "/channels/"+ch+"/threads/archived/public", nil, &archived)
	if len(archived.Threads) != 1 || archived.HasMore {
		t.Errorf("archived = %v", archived)
	}
	r.Must(ada.Token, "GET", "/channels/"+ch+"/threads/archived/private", nil, nil)
	r.Must(ada.Token, "GET", "/channels/"+ch+"/users/@me/threads/archived/private", nil, nil)
	r.Say(bob, id, "awake again")
	c.want("THREAD_UPDATE")

	path := "/channels/" + ch + "/messages/" + id
	r.Must(ada.Token, "PUT", path+"/reactions/%F0%9F%91%8D/@me", nil, nil)
	c.want("MESSAGE_REACTION_ADD")
	var who []O
	r.Must(bob.Token, "GET", path+"/reactions/%F0%9F%91%8D", nil, &who)
	if len(who) != 1 || who[0]["id"] != ada.ID {
		t.Errorf("reactions by %v, want ada", who)
	}
	r.Must(ada.Token, "DELETE", path+"/reactions/%F0%9F%91%8D/@me", nil, nil)
	c.want("MESSAGE_REACTION_REMOVE")
	r.Must(ada.Token, "PUT", path+"/reactions/%F0%9F%91%8D/@me", nil, nil)
	r.Must(ada.Token, "DELETE", path+"/reactions", nil, nil)
	c.want("MESSAGE_REACTION_REMOVE_ALL")
	r.Must(ada.Token, "PUT", "/channels/"+ch+"/messages/pins/"+id, nil, nil)
	c.want("CHANNEL_PINS_UPDATE")
	var pins struct{ Items []O }
	r.Must(ada.Token, "GET", "/channels/"+ch+"/messages/pins", nil, &pins)
	r.Must(ada.Token, "GET", "/channels/"+ch+"/pins", nil, nil)
	if len(pins.Items) != 1 {
		t.Errorf("pins = %v", pins)
	}
	r.Must(ada.Token, "DELETE", "/channels/"+ch+"/pins/"+id, nil, nil)
	r.Must(bob.Token, "POST", "/channels/"+ch+"/typing", nil, nil)
	c.want("TYPING_START")

	a, b := r.Say(bob, ch, "a"), r.Say(bob, ch, "b")
	r.Must(ada.Token, "POST", "/channels/"+ch+"/messages/bulk-delete", O{"messages": []any{a["id"], b["id"]}}, nil)
	if f := c.want("MESSAGE_DELETE_BULK"); len(f.get(t, "ids").([]any)) != 2 {
		t.Errorf("bulk delete %s", f.D)
	}

	for _, p := range []string{"", "?with_counts=true", "/channels", "/roles", "/roles/member-counts", "/roles/" + role["id"].(string), "/members?limit=1000", "/members/search?query=ev&limit=5",
		"/members/" + eve.ID, "/bans", "/webhooks"} {
		r.Must(r.BotToken(), "GET", "/guilds/"+g.ID+p, nil, nil)
	}
	for _, p := range []string{"/gateway", "/gateway/bot", "/users/@me", "/users/@me/guilds?with_counts=true", "/users/" + eve.ID, "/applications/@me", "/oauth2/applications/@me", "/users/@me/guilds/" + g.ID + "/member"} {
		r.Must(r.BotToken(), "GET", p, nil, nil)
	}

	r.Must(ada.Token, "DELETE", "/guilds/"+g.ID+"/members/"+eve.ID, nil, nil)
	c.want("GUILD_MEMBER_REMOVE")
	if got := r.Do(r.BotToken(), "GET", "/guilds/"+g.ID+"/members/"+eve.ID, nil, &e); got != 404 || e.Code != 10007 {
		t.Errorf("a former member: %d %d, want 404 10007", got, e.Code)
	}
	r.Must(r.BotToken(), "PUT", "/guilds/"+g.ID+"/members/"+eve.ID, O{"access_token": eve.Token}, nil)
	c.want("GUILD_MEMBER_ADD")
	r.Must(ada.Token, "PUT", "/guilds/"+g.ID+"/bans/"+bob.ID, O{"delete_message_seconds": 3600}, nil)
	c.want("GUILD_BAN_ADD")
	c.want("MESSAGE_DELETE_BULK")
	r.Must(ada.Token, "GET", "/guilds/"+g.ID+"/bans/"+bob.ID, nil, nil)
	r.Must(ada.Token, "DELETE", "/guilds/"+g.ID+"/bans/"+bob.ID, nil, nil)
	r.Must(ada.Token, "DELETE", "/guilds/"+g.ID+"/roles/"+role["id"].(string), nil, nil)
	c.want("GUILD_ROLE_DELETE")
	r.Must(ada.Token, "DELETE", "/channels/"+cat["id"].(string), nil, nil)
	c.want("CHANNEL_DELETE")
	r.Must(ada.Token, "PATCH", "/guilds/"+g.ID, O{"name": "Renamed"}, nil)
	if f := c.want("GUILD_UPDATE"); f.get(t, "name") != "Renamed" {
		t.Errorf("GUILD_UPDATE %s", f.D)
	}
	r.Must(r.BotToken(), "DELETE", "/users/@me/guilds/"+g.ID, nil, nil)
	if f := c.want("GUILD_DELETE"); strings.Contains(string(f.D), "unavailable") {
		t.Errorf("GUILD_DELETE %s, want no word of unavailable", f.D)
	}
}

func TestMessagesOfEveryKind(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{})
	type O = simtest.Object
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general", "other"}, nil)
	ch, other := g.Channel("general"), g.Channel("other")
	c, _ := login(t, r, allIntents)
	c.want("GUILD_CREATE")
	post := func(body O) O {
		t.Helper()
		var m O
		r.Must(ada.Token, "POST", "/channels/"+ch+"/messages", body, &m)
		if f := c.want("MESSAGE_CREATE"); f.get(t, "id") != m["id"] {
			t.Errorf("MESSAGE_CREATE %s, want %v", f.D, m["id"])
		}
		return m
	}
	m := post(O{"content": "integer nonce", "nonce": 12345})
	if m["nonce"] != 12345.0 {
		t.Errorf("nonce = %v, want the integer", m["nonce"])
	}
	post(O{"embeds": []O{{"title": "T", "description": "D", "fields": []O{{"name": "n", "value": "v"}}}}})
	v2 := post(O{"flags": 1 << 15, "components": []O{{"type": 17, "components": []O{{"type": 10, "content": "# hello"}, {"type": 14},
		{"type": 9, "components": []O{{"type": 10, "content": "x"}}, "accessory": O{"type": 11, "media": O{"url": "https://example.org/a.png"}}}}},
		{"type": 12, "items": []O{{"media": O{"url": "https://example.org/b.png"}}}}, {"type": 1, "components": []O{{"type": 2, "style": 5, "label": "go", "url": "https://example.org"}}}}})
	if v2["content"] != "" || v2["flags"] != float64(1<<15) {
		t.Errorf("components v2 = %v", v2)
	}
	poll := post(O{"poll": O{"question": O{"text": "Tea?"}, "answers": []O{{"poll_media": O{"text": "yes"}}, {"poll_media": O{"text": "no"}}}, "duration": 1}})
	r.Sim200("POST", "/sim/votes", O{"channel": ch, "message": poll["id"], "user": bob.ID, "answer": 2}, nil)
	c.want("MESSAGE_POLL_VOTE_ADD")
	r.Must(ada.Token, "GET", "/channels/"+ch+"/polls/"+poll["id"].(string)+"/answers/2", nil, nil)
	r.Must(ada.Token, "POST", "/channels/"+ch+"/polls/"+poll["id"].(string)+"/expire", nil, nil)
	c.want("MESSAGE_UPDATE")
	if f := c.want("MESSAGE_CREATE"); f.get(t, "type") != 46.0 {
		t.Errorf("after a poll: %s, want its result", f.D)
	}
	post(O{"sticker_ids": []string{"749054660769218631"}})
	post(O{"content": "quiet", "flags": 1 << 12})

	src := r.Say(bob, other, "forward me")
	c.want("MESSAGE_CREATE")
	fw := post(O{"message_reference": O{"type": 1, "message_id": src["id"], "channel_id": other}})
	snap := fw["message_snapshots"].([]any)[0].(map[string]any)["message"].(map[string]any)
	if snap["content"] != "forward me" || fw["content"] != "" {
		t.Errorf("forward = %v", fw)
	}

	var hook O
	r.Must(ada.Token, "POST", "/channels/"+ch+"/webhooks", O{"name": "Ticker"}, &hook)
	c.want("WEBHOOKS_UPDATE")
	hookPath := "/webhooks/" + hook["id"].(string) + "/" + hook["token"].(string)
	var wm O
	r.Must("", "POST", hookPath+"?wait=true", O{"content": "from outside", "username": "Weather"}, &wm)
	f := c.want("MESSAGE_CREATE")
	if f.get(t, "webhook_id") != hook["id"] || f.get(t, "author", "username") != "Weather" || f.get(t, "member") != nil {
		t.Errorf("webhook message %s", f.D)
	}
	r.Must("", "PATCH", hookPath+"/messages/"+wm["id"].(string), O{"content": "changed"}, nil)
	r.Must("", "GET", hookPath+"/messages/"+wm["id"].(string), nil, nil)
	r.Must("", "DELETE", hookPath+"/messages/"+wm["id"].(string), nil, nil)
	if got := r.Do("", "POST", "/webhooks/"+hook["id"].(string)+"/wrong", O{"content": "x"}, nil); got != 401 {
		t.Errorf("a wrong webhook token = %d, want 401", got)
	}
	r.Must(ada.Token, "GET", "/channels/"+ch+"/webhooks", nil, nil)
	r.Must(ada.Token, "GET", "/webhooks/"+hook["id"].(string), nil, nil)

	var news O
	r.Must(ada.Token, "POST", "/guilds/"+g.ID+"/channels", O{"name": "news", "type": 5}, &news)
	r.Must(ada.Token, "POST", "/channels/"+news["id"].(string)+"/followers", O{"webhook_channel_id": other}, nil)
	r.Must(ada.Token, "GET", "/channels/"+other+"/webhooks", nil, nil)
	n := r.Say(ada, news["id"].(string), "extra, extra")
	r.Must(ada.Token, "POST", "/channels/"+news["id"].(string)+"/messages/"+n["id"].(string)+"/crosspost", nil, nil)
	for {
		f := c.want("MESSAGE_CREATE")
		if f.get(t, "channel_id") == other && f.get(t, "flags") == 2.0 {
			if f.get(t, "content") != "extra, extra" || f.get(t, "webhook_id") == nil {
				t.Errorf("crosspost %s", f.D)
			}
			break
		}
	}

	var odd O
	r.Sim200("POST", "/sim/messages", O{"channel": ch, "author": ada.ID, "type": 77, "content": "from the future", "fields": O{"novelty": O{"a": 1}}}, &odd)
	if f := c.want("MESSAGE_CREATE"); f.get(t, "type") != 77.0 || f.get(t, "novelty") == nil {
		t.Errorf("unknown message %s", f.D)
	}
	link := post(O{"content": "see https://example.org/some-page"})
	f = c.want("MESSAGE_UPDATE")
	if f.get(t, "id") != link["id"] || f.get(t, "edited_timestamp") != nil || len(f.get(t, "embeds").([]any)) != 1 {
		t.Errorf("resolved embed %s, want one embed and no edited_timestamp", f.D)
	}

	var page []O
	r.Must(r.BotToken(), "GET", "/channels/"+ch+"/messages?limit=100", nil, &page)
	if !slices.ContainsFunc(page, func(m O) bool { return m["type"] == 77.0 }) {
		t.Errorf("the unknown message is not in the history")
	}
	var found struct {
		Total    int   `json:"total_results"`
		Messages [][]O `json:"messages"`
	}
	r.Must(r.BotToken(), "GET", "/guilds/"+g.ID+"/messages/search?content=forward", nil, &found)
	if found.Total != 1 || found.Messages[0][0]["hit"] != true {
		t.Errorf("search = %v", found)
	}
}
