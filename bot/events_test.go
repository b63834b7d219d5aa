package bot

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func TestDispatchesBecomeEvents(t *testing.T) {
	t.Parallel()
	text := func(f func(*tidings.Channel)) tidings.Channel {
		c := tidings.Channel{ID: 9, Guild: 7, Type: tidings.ChannelText, Name: "general"}
		f(&c)
		return c
	}
	for _, c := range []struct {
		what, name, raw string
		channel         discord.ChannelID
		want            tidings.Body
	}{
		{
			"a whole guild", "GUILD_CREATE", `{"id":"7","name":"G","icon":null,"owner_id":"3","member_count":2,"presences":[],
				"roles":[{"id":"7","name":"@everyone","permissions":"1024","color":0,"position":0,"colors":{"x":1}}],
				"channels":[{"id":"9","type":0,"name":"general","topic":null,"position":1,"parent_id":"8","last_message_id":"50",
					"permission_overwrites":[{"id":"7","type":0,"allow":"0","deny":"1024"},{"id":"3","type":1,"allow":"1024","deny":"0"}]}],
				"threads":[{"id":"10","type":11,"name":"t","parent_id":"9","guild_id":"7","thread_metadata":{"archived":false}}],
				"members":[{"user":{"id":"3"},"roles":["7"],"nick":null}]}`, 0,
			tidings.GuildSeen{
				Guild: tidings.Guild{ID: 7, Name: "G", Owner: 3, Available: true},
				Roles: []tidings.Role{{Guild: 7, ID: 7, Name: "@everyone", Permissions: 1024}},
				Channels: []tidings.Channel{text(func(c *tidings.Channel) {
					c.Position, c.Parent, c.LastMessage = 1, 8, 50
					c.Overwrites = []tidings.Overwrite{{ID: 7, Deny: 1024}, {ID: 3, Type: tidings.OverwriteMember, Allow: 1024}}
				})},
				Threads: []tidings.Channel{{ID: 10, Guild: 7, Type: 11, Name: "t", Parent: 9}},
				Members: []tidings.Member{{Guild: 7, User: 3, Roles: []discord.RoleID{7}}},
			},
		},
		{"a guild in an outage", "GUILD_CREATE", `{"id":"7","unavailable":true}`, 0, tidings.GuildGone{Outage: true}},
		{"an outage", "GUILD_DELETE", `{"id":"7","unavailable":true}`, 0, tidings.GuildGone{Outage: true}},
		{"the bot was removed", "GUILD_DELETE", `{"id":"7"}`, 0, tidings.GuildGone{}},
		{
			"a guild's new owner", "GUILD_UPDATE", `{"id":"7","name":"G","owner_id":"4","icon":"h","roles":[]}`, 0,
			tidings.GuildUpdated{Guild: tidings.Guild{ID: 7, Name: "G", Owner: 4, Icon: "h", Available: true}},
		},
		{
			"a channel", "CHANNEL_UPDATE", `{"id":"9","guild_id":"7","type":0,"name":"general","nsfw":true}`, 9,
			tidings.ChannelSeen{Channel: text(func(c *tidings.Channel) { c.NSFW = true })},
		},
		{
			"a channel of a type nobody knows", "CHANNEL_CREATE", `{"id":"9","guild_id":"7","type":99,"name":"general"}`, 9,
			tidings.ChannelSeen{Channel: text(func(c *tidings.Channel) { c.Type = 99 })},
		},
		{"a channel's end", "CHANNEL_DELETE", `{"id":"9","guild_id":"7","type":0}`, 9, tidings.ChannelGone{ID: 9}},
		{
			"a thread put away", "THREAD_UPDATE", `{"id":"10","guild_id":"7","type":12,"parent_id":"9","name":"t","thread_metadata":{"archived":true,"locked":false}}`, 10,
			tidings.ChannelSeen{Channel: tidings.Channel{ID: 10, Guild: 7, Type: 12, Parent: 9, Name: "t", Archived: true}},
		},
		{"a thread's end", "THREAD_DELETE", `{"id":"10","guild_id":"7","parent_id":"9","type":11}`, 10, tidings.ChannelGone{ID: 10}},
		{
			"threads of some channels", "THREAD_LIST_SYNC", `{"guild_id":"7","channel_ids":["9"],"threads":[{"id":"10","type":11,"parent_id":"9","name":"t"}],"members":[]}`, 0,
			tidings.ThreadsSynced{Parents: []discord.ChannelID{9}, Threads: []tidings.Channel{{ID: 10, Guild: 7, Type: 11, Parent: 9, Name: "t"}}},
		},
		{"threads of the whole guild", "THREAD_LIST_SYNC", `{"guild_id":"7","threads":[]}`, 0, tidings.ThreadsSynced{}},
		{
			"who is in a thread", "THREAD_MEMBERS_UPDATE", `{"id":"10","guild_id":"7","member_count":2,"added_members":[{"id":"10","user_id":"3","flags":0}],"removed_member_ids":["4"]}`, 10,
			tidings.ThreadMembersChanged{Thread: 10, Added: []discord.UserID{3}, Removed: []discord.UserID{4}},
		},
		{
			"the bot is in a thread", "THREAD_MEMBER_UPDATE", `{"id":"10","guild_id":"7","user_id":"5","flags":1}`, 10,
			tidings.ThreadMembersChanged{Thread: 10, Added: []discord.UserID{5}},
		},
		{
			"a role", "GUILD_ROLE_UPDATE", `{"guild_id":"7","role":{"id":"20","name":"mods","permissions":"8","color":255,"position":2}}`, 0,
			tidings.RoleSeen{Role: tidings.Role{Guild: 7, ID: 20, Name: "mods", Permissions: 8, Color: 255, Position: 2}},
		},
		{"a role's end", "GUILD_ROLE_DELETE", `{"guild_id":"7","role_id":"20"}`, 0, tidings.RoleGone{ID: 20}},
		{
			"a member", "GUILD_MEMBER_UPDATE", `{"guild_id":"7","user":{"id":"3"},"roles":["20"],"nick":"N","flags":16,"communication_disabled_until":"2026-01-02T03:04:05.678000+00:00"}`, 0,
			tidings.MemberSeen{Member: tidings.Member{Guild: 7, User: 3, Roles: []discord.RoleID{20}, Nick: "N", Flags: 16, TimeoutUntil: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}},
		},
		{"a member's end", "GUILD_MEMBER_REMOVE", `{"guild_id":"7","user":{"id":"3"}}`, 0, tidings.MemberGone{User: 3}},
		{"a delete", "MESSAGE_DELETE", `{"id":"100","channel_id":"9","guild_id":"7"}`, 9, tidings.MessagesDeleted{IDs: []discord.MessageID{100}}},
		{
			"a bulk delete", "MESSAGE_DELETE_BULK", `{"ids":["100","101",null,"x"],"channel_id":"9","guild_id":"7"}`, 9,
			tidings.MessagesDeleted{IDs: []discord.MessageID{100, 101}},
		},
		{
			"a reaction", "MESSAGE_REACTION_ADD", `{"user_id":"3","channel_id":"9","message_id":"100","guild_id":"7","emoji":{"id":null,"name":"👍"},"burst":false,"type":0}`, 9,
			tidings.ReactionChanged{Change: tidings.ReactionAdded, Message: 100, User: 3, Emoji: "👍"},
		},
		{
			"a custom reaction taken back", "MESSAGE_REACTION_REMOVE", `{"user_id":"3","channel_id":"9","message_id":"100","guild_id":"7","emoji":{"id":"77","name":"cat"}}`, 9,
			tidings.ReactionChanged{Change: tidings.ReactionRemoved, Message: 100, User: 3, Emoji: "cat:77"},
		},
		{
			"all of one emoji", "MESSAGE_REACTION_REMOVE_EMOJI", `{"channel_id":"9","message_id":"100","guild_id":"7","emoji":{"id":"77","name":null}}`, 9,
			tidings.ReactionChanged{Change: tidings.ReactionsOfEmojiRemoved, Message: 100, Emoji: ":77"},
		},
		{
			"all reactions", "MESSAGE_REACTION_REMOVE_ALL", `{"channel_id":"9","message_id":"100","guild_id":"7"}`, 9,
			tidings.ReactionChanged{Change: tidings.ReactionsCleared, Message: 100},
		},
		{
			"a pin", "CHANNEL_PINS_UPDATE", `{"channel_id":"9","guild_id":"7","last_pin_timestamp":"2026-01-02T03:04:05+00:00"}`, 9,
			tidings.PinsChanged{LastPin: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		},
		{"no pin left", "CHANNEL_PINS_UPDATE", `{"channel_id":"9","guild_id":"7","last_pin_timestamp":null}`, 9, tidings.PinsChanged{}},
		{
			"a vote taken back", "MESSAGE_POLL_VOTE_REMOVE", `{"user_id":"3","channel_id":"9","message_id":"100","guild_id":"7","answer_id":2}`, 9,
			tidings.PollVoted{Message: 100, User: 3, Answer: 2, Removed: true},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			ev, err := decode(c.name, []byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := ev.Body.(tidings.MemberSeen); ok {
				m.Member.TimeoutUntil = m.Member.TimeoutUntil.UTC()
				ev.Body = m
			}
			if p, ok := ev.Body.(tidings.PinsChanged); ok {
				p.LastPin = p.LastPin.UTC()
				ev.Body = p
			}
			if !reflect.DeepEqual(ev.Body, c.want) || ev.Guild != 7 || ev.Channel != c.channel {
				t.Errorf("decode() = guild %d channel %d %+v, want guild 7 channel %d %+v", ev.Guild, ev.Channel, ev.Body, c.channel, c.want)
			}
		})
	}
}

// Each of these objects is one on which a typed decoder drops the message.
func TestMessagesThatStumpTypedDecodersAreKeptWhole(t *testing.T) {
	t.Parallel()
	for what, extra := range map[string]string{
		"integer nonce":       `"nonce":12345678901234567890`,
		"components v2":       `"flags":32768,"components":[{"type":17,"components":[{"type":10,"content":"hello"},{"type":12,"items":[{"media":{"url":"x"}}]}]}]`,
		"premium button":      `"components":[{"type":1,"components":[{"type":2,"style":6,"sku_id":"1"}]}]`,
		"components snapshot": `"message_snapshots":[{"message":{"components":[{"type":9,"accessory":{"type":11}}]}}]`,
		"type above 255":      `"type":4711`,
		"field nobody knows":  `"holograms":[{"depth":{"z":[]}}]`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			raw := `{"id":"100","channel_id":"9","guild_id":"7","author":{"id":"3"},"content":"c",` + extra + `}`
			ev, err := decode("MESSAGE_CREATE", []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			m, ok := ev.Body.(tidings.MessageCreated)
			if !ok || string(m.Message.Payload) != raw || m.Message.Content != "c" || !m.Message.Countable {
				t.Errorf("decode() = %+v, want the message with its bytes, countable", ev.Body)
			}
		})
	}
}

func TestWhatIsNobodysBusinessIsIgnored(t *testing.T) {
	t.Parallel()
	for what, c := range map[string][2]string{
		"direct message":       {"MESSAGE_CREATE", `{"id":"1","channel_id":"2","author":{"id":"3"},"content":"psst"}`},
		"edited direct one":    {"MESSAGE_UPDATE", `{"id":"1","channel_id":"2","author":{"id":"3"},"content":"psst"}`},
		"deleted direct one":   {"MESSAGE_DELETE", `{"id":"1","channel_id":"2"}`},
		"direct reaction":      {"MESSAGE_REACTION_ADD", `{"message_id":"1","channel_id":"2","user_id":"3","emoji":{"name":"x"}}`},
		"direct channel":       {"CHANNEL_CREATE", `{"id":"2","type":1}`},
		"ephemeral message":    {"MESSAGE_CREATE", `{"id":"1","channel_id":"2","guild_id":"7","flags":64,"author":{"id":"3"},"content":"psst"}`},
		"an event without use": {"TYPING_START", `{"channel_id":"2","guild_id":"7"}`},
	} {
		if ev, err := decode(c[0], []byte(c[1])); !errors.Is(err, errIgnored) {
			t.Errorf("%s: decode() = %+v, %v, want it ignored", what, ev, err)
		}
	}
}

func TestWhatIsHalfUnderstoodGivesNobodyAccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, name, raw string
		want            tidings.Body
	}{
		{
			"an overwrite of an unknown type hides its channel", "CHANNEL_UPDATE",
			`{"id":"9","guild_id":"7","type":0,"name":"n","permission_overwrites":[{"id":"7","type":5,"allow":"0","deny":"1024"}]}`,
			tidings.ChannelSeen{Channel: tidings.Channel{ID: 9, Guild: 7, Type: tidings.ChannelUnknown, Name: "n"}},
		},
		{
			"a channel without a type is hidden", "CHANNEL_UPDATE", `{"id":"9","guild_id":"7","name":"n"}`,
			tidings.ChannelSeen{Channel: tidings.Channel{ID: 9, Guild: 7, Type: tidings.ChannelUnknown}},
		},
		{
			"a role with strange permissions gives none", "GUILD_ROLE_UPDATE", `{"guild_id":"7","role":{"id":"20","permissions":"all"}}`,
			tidings.RoleSeen{Role: tidings.Role{Guild: 7, ID: 20}},
		},
		{
			"a member with a strange role is gone", "GUILD_MEMBER_UPDATE", `{"guild_id":"7","user":{"id":"3"},"roles":["mods"]}`,
			tidings.MemberGone{User: 3},
		},
		{
			"one strange channel does not take the guild along", "GUILD_CREATE",
			`{"id":"7","name":"G","owner_id":"3","roles":[],"channels":[{"id":"9","type":"text"},{"type":0},{"id":"10","type":0,"name":"ok"}],"threads":[],"members":[]}`,
			tidings.GuildSeen{
				Guild: tidings.Guild{ID: 7, Name: "G", Owner: 3, Available: true},
				Channels: []tidings.Channel{
					{ID: 9, Guild: 7, Type: tidings.ChannelUnknown}, {ID: 10, Guild: 7, Type: tidings.ChannelText, Name: "ok"},
				},
			},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			ev, err := decode(c.name, []byte(c.raw))
			if !errors.Is(err, errHalf) || !reflect.DeepEqual(ev.Body, c.want) || ev.Guild != 7 {
				t.Errorf("decode() = %+v, %v, want %+v, half understood", ev, err, c.want)
			}
		})
	}
}

func TestWhatPostgresCannotHoldIsReplaced(t *testing.T) {
	t.Parallel()
	ev, err := decode("CHANNEL_CREATE", []byte(`{"id":"9","guild_id":"7","type":0,"name":"a\u0000b","topic":"\u0000"}`))
	if err != nil {
		t.Fatal(err)
	}
	c := ev.Body.(tidings.ChannelSeen).Channel
	if strings.ContainsRune(c.Name+c.Topic, 0) {
		t.Errorf("name %q and topic %q hold a zero byte", c.Name, c.Topic)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range decoders {
		f.Add(name, `{"id":"1","channel_id":"2","guild_id":"7","message_id":"3","user_id":"4","user":{"id":"4"},"role":{"id":"5","permissions":"0"},"role_id":"5"}`)
	}
	f.Add("MESSAGE_CREATE", message9(100))
	f.Add("GUILD_CREATE", `{"id":"7","roles":[{}],"channels":[null],"threads":[1],"members":[{"user":null}]}`)
	f.Add("MESSAGE_DELETE_BULK", `{"ids":[18446744073709551615,-1,"",null],"channel_id":"2","guild_id":"7"}`)
	f.Fuzz(func(t *testing.T, name, raw string) {
		ev, err := decode(name, []byte(raw))
		if err == nil || errors.Is(err, errHalf) {
			if ev.Body == nil || ev.Guild == 0 || int64(ev.Guild) < 0 && !strings.HasPrefix(name, "MESSAGE_") {
				t.Errorf("decode(%q, %q) = %+v, %v", name, raw, ev, err)
			}
			return
		}
		if ev.Body != nil {
			t.Errorf("decode(%q, %q) = %+v beside %v", name, raw, ev, err)
		}
		if ev, placed, ok := salvage(name, []byte(raw)); ok && (ev.Body == nil || placed && ev.Guild == 0) {
			t.Errorf("salvage(%q, %q) = %+v, %t", name, raw, ev, placed)
		}
	})
}

// The scanner must never read a frame otherwise than encoding/json does.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"t":"MESSAGE_CREATE","s":3,"op":0,"d":{"a":"}\"","b":[1,{}]}}`, `{"op":10,"d":{"heartbeat_interval":41250}}`, `{"op":11}`,
		` { "s" : null , "t":null,"op":9,"d":false } `, `{"op":0,"op":1}`, `{"OP":0}`, `{"op":0,"d":"\\"}`, `{"op":0,}`, `{"op":1.0}`, `[]`, ``, `{"\u006fp":3}`,
		`{"op":0,"d":{"a":1]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseFrame([]byte(s))
		var want struct {
			Op *int            `json:"op"`
			S  *int64          `json:"s"`
			T  *string         `json:"t"`
			D  json.RawMessage `json:"d"`
		}
		if json.Unmarshal([]byte(s), &want) != nil || want.Op == nil {
			return // What is not JSON may be seen through or not; whoever decodes the data sees it.
		}
		if err != nil {
			t.Fatalf("parseFrame(%q) = %v", s, err)
		}
		seq, name := int64(0), ""
		if want.S != nil {
			seq = *want.S
		}
		if want.T != nil {
			name = *want.T
		}
		if got.op != *want.Op || got.seq != seq || got.name != name || string(got.data) != string(want.D) {
			t.Errorf("parseFrame(%q) = %+v, want op %d seq %d name %q data %s", s, got, *want.Op, seq, name, want.D)
		}
	})
}
