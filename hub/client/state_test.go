package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"pgregory.net/rapid"
)

const snapshot = `{"op":"snapshot","unread":{"rev":3,"ignored":["66"],"total":1,"mentions":0,"guilds":[{"id":"101","name":"g","icon":"","unread":1,
"mentions":0,"roles":["77"],"channels":[{"id":"1001","name":"c","type":0,"parent":null,"unread":1,"mentions":0,
"first_unread":"51","read_id":"50","last_id":"51","version":9,"muted":false,"complete_since":null}]}]}}`

// apply gives frames to a fresh state and returns which channels it asked for.
func apply(t *testing.T, frames ...string) (*State, []discord.ChannelID) {
	t.Helper()
	s := &State{}
	var asked []discord.ChannelID
	for _, f := range append([]string{`{"op":"hello","session":"x","user":"11","heartbeat_ms":25000,"resumed":false,"cursor":"1.a"}`, snapshot}, frames...) {
		_, ask, err := s.Apply([]byte(f))
		if err != nil {
			t.Fatalf("Apply(%s) = %v", f, err)
		}
		asked = append(asked, ask...)
	}
	return s, asked
}

func create(v int64, id int, author int, m string) string {
	return fmt.Sprintf(`{"op":"delta","c":"1001","g":"101","v":%d,"k":"create","id":"%d","a":"%d","n":1,"m":%s}`, v, id, author, m)
}

const nobody = `{"u":[],"r":[],"e":false}`

func TestRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                      string
		frames                    []string
		unread, mentions, asked   int
		version                   int64
		firstUnread, readID, last discord.MessageID
	}{
		{"snapshot", nil, 1, 0, 0, 9, 51, 50, 51},
		{"message", []string{create(10, 60, 12, nobody)}, 2, 0, 0, 10, 51, 50, 60},
		{"own message", []string{create(10, 60, 11, nobody)}, 1, 0, 0, 10, 51, 50, 60},
		{"ignored author", []string{create(10, 60, 66, nobody)}, 1, 0, 0, 10, 51, 50, 60},
		{"message below the position", []string{create(10, 40, 12, nobody)}, 1, 0, 0, 10, 51, 50, 51},
		{"mention of the user", []string{create(10, 60, 12, `{"u":["11"],"r":[],"e":false}`)}, 2, 1, 0, 10, 51, 50, 60},
		{"mention of a role", []string{create(10, 60, 12, `{"u":[],"r":["77"],"e":false}`)}, 2, 1, 0, 10, 51, 50, 60},
		{"mention of everyone", []string{create(10, 60, 12, `{"u":[],"r":[],"e":true}`)}, 2, 1, 0, 10, 51, 50, 60},
		{"mention of others", []string{create(10, 60, 12, `{"u":["9"],"r":["8"],"e":false}`)}, 2, 0, 0, 10, 51, 50, 60},
		{"system message", []string{strings.Replace(create(10, 60, 12, nobody), `"n":1`, `"n":0`, 1)}, 1, 0, 0, 10, 51, 50, 51},
		{"edit adds a mention", []string{
			`{"op":"delta","c":"1001","g":"101","v":10,"k":"update","id":"51","a":"12","n":0,"m":{"u":["11"],"r":[],"e":false},"m0":` + nobody + `}`,
		}, 1, 1, 0, 10, 51, 50, 51},
		{"edit takes a mention away", []string{
			create(10, 60, 12, `{"u":["11"],"r":[],"e":false}`),
			`{"op":"delta","c":"1001","g":"101","v":11,"k":"update","id":"60","a":"12","n":0,"m":` + nobody + `,"m0":{"u":["11"],"r":[],"e":false}}`,
		}, 2, 0, 0, 11, 51, 50, 60},
		{"edit of the text", []string{
			`{"op":"delta","c":"1001","g":"101","v":10,"k":"update","id":"51","a":"12","n":0,"m":{"u":["11"],"r":[],"e":false}}`,
		}, 1, 0, 0, 10, 51, 50, 51},
		{"delete", []string{
			create(10, 60, 12, `{"u":["11"],"r":[],"e":false}`),
			`{"op":"delta","c":"1001","g":"101","v":11,"k":"delete","id":"60","a":"12","n":-1,"m":{"u":["11"],"r":[],"e":false}}`,
		}, 1, 0, 0, 11, 51, 50, 60},
		{"delete of the only one", []string{
			`{"op":"delta","c":"1001","g":"101","v":10,"k":"delete","id":"51","a":"12","n":-1,"m":` + nobody + `}`,
		}, 0, 0, 0, 10, 0, 50, 51},
		{"bulk delete", []string{
			create(10, 60, 12, `{"u":["11"],"r":[],"e":false}`), create(11, 61, 12, nobody),
			`{"op":"delta","c":"1001","g":"101","v":12,"k":"delete","n":-1,"ids":[["60","12",{"u":["11"],"r":[],"e":false}],["61","12",` +
				nobody + `],["40","12",` + nobody + `]]}`,
		}, 1, 0, 0, 12, 51, 50, 61},
		{"repeat", []string{create(10, 60, 12, nobody), create(10, 60, 12, nobody), create(9, 51, 12, nobody)}, 2, 0, 0, 10, 51, 50, 60},
		{"hole", []string{create(11, 61, 12, nobody), create(12, 62, 12, nobody)}, 1, 0, 1, 9, 51, 50, 51},
		{"hole, then counts from before the later frames", []string{
			create(11, 61, 12, nobody), create(12, 62, 12, nobody),
			`{"op":"count","c":"1001","v":11,"unread":3,"mentions":0,"first_unread":"51","read_id":"50","last_id":"61"}`,
		}, 4, 0, 1, 12, 51, 50, 62},
		{"hole that comes late", []string{
			create(12, 62, 12, nobody), create(11, 61, 12, nobody),
			`{"op":"count","c":"1001","v":10,"unread":2,"mentions":0,"first_unread":"51","read_id":"50","last_id":"60"}`,
		}, 4, 0, 1, 12, 51, 50, 62},
		{"counts that leave a hole", []string{
			create(13, 63, 12, nobody),
			`{"op":"count","c":"1001","v":11,"unread":3,"mentions":0,"first_unread":"51","read_id":"50","last_id":"61"}`,
		}, 3, 0, 2, 11, 51, 50, 61},
		{"reset", []string{`{"op":"delta","c":"1001","g":"101","v":12,"k":"reset"}`, create(13, 63, 12, nobody)}, 1, 0, 1, 9, 51, 50, 51},
		{"reset, then counts from before it", []string{
			`{"op":"delta","c":"1001","g":"101","v":12,"k":"reset"}`,
			`{"op":"count","c":"1001","v":11,"unread":3,"mentions":0,"first_unread":"51","read_id":"50","last_id":"61"}`,
		}, 1, 0, 2, 9, 51, 50, 51},
		{"reset at a known version", []string{`{"op":"delta","c":"1001","g":"101","v":9,"k":"reset"}`}, 1, 0, 0, 9, 51, 50, 51},
		{"read", []string{
			`{"op":"read","rev":4,"channels":[{"c":"1001","v":9,"read_id":"51","unread":0,"mentions":0,"first_unread":null}]}`,
			create(10, 60, 12, nobody),
		}, 1, 0, 0, 10, 60, 51, 60},
		{"read of an older mark", []string{
			`{"op":"read","rev":5,"channels":[{"c":"1001","v":9,"read_id":"51","unread":0,"mentions":0,"first_unread":null}]}`,
			`{"op":"read","rev":4,"channels":[{"c":"1001","v":9,"read_id":"50","unread":1,"mentions":0,"first_unread":"51"}]}`,
		}, 0, 0, 0, 9, 0, 51, 51},
		{"read that was counted earlier than the newest frame", []string{
			create(10, 60, 12, nobody),
			`{"op":"read","rev":4,"channels":[{"c":"1001","v":9,"read_id":"51","unread":0,"mentions":0,"first_unread":null}]}`,
		}, 2, 0, 1, 10, 51, 51, 60},
		{"channel that is not visible", []string{
			`{"op":"delta","c":"1","g":"101","v":10,"k":"reset"}`,
			`{"op":"count","c":"1","v":11,"unread":3,"mentions":0,"first_unread":"51","read_id":"50","last_id":"61"}`,
		}, 1, 0, 0, 9, 51, 50, 51},
		{"frame of tomorrow", []string{`{"op":"weather","sun":true}`, `{"op":"status"}`, `{"op":"recovered","c":"1001","from":"1","to":"2","n":1}`},
			1, 0, 0, 9, 51, 50, 51},
		{"roles", []string{
			`{"op":"access","epoch":7,"gained":[],"lost":[],"roles":{"101":["78"]}}`,
			create(10, 60, 12, `{"u":[],"r":["77"],"e":false}`), create(11, 61, 12, `{"u":[],"r":["78"],"e":false}`),
		}, 3, 1, 0, 11, 51, 50, 61},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, asked := apply(t, tt.frames...)
			c, _ := s.Channel(1001)
			got := fmt.Sprint(c.Unread, c.Mentions, len(asked), c.Version, c.FirstUnread, c.ReadID, c.LastID)
			want := fmt.Sprint(tt.unread, tt.mentions, tt.asked, tt.version, tt.firstUnread, tt.readID, tt.last)
			if got != want {
				t.Errorf("unread, mentions, asked, version, first, read, last = %s, want %s", got, want)
			}
		})
	}
}

func TestGainedAndLostChannels(t *testing.T) {
	t.Parallel()
	s, asked := apply(t,
		`{"op":"access","epoch":7,"gained":["1002"],"lost":["1001"],"roles":{}}`,
		`{"op":"delta","c":"1002","g":"101","v":6,"k":"create","id":"60","a":"12","n":1,"m":{"u":[],"r":["77"],"e":false}}`,
		create(10, 60, 12, nobody),
	)
	if _, ok := s.Channel(1001); ok || s.Settled() {
		t.Errorf("after the access frame: lost channel known = %v, settled = %v", ok, s.Settled())
	}
	if _, _, err := s.Apply([]byte(`{"op":"count","c":"1002","v":5,"unread":2,"mentions":0,"first_unread":"51","read_id":"50","last_id":"52"}`)); err != nil {
		t.Fatal(err)
	}
	if unread, mentions := s.Totals(); unread != 3 || mentions != 1 || !s.Settled() || len(asked) != 0 {
		t.Errorf("totals = %d, %d, settled %v, asked %v, want 3, 1, true, none", unread, mentions, s.Settled(), asked)
	}
}

// A client ends with what a recount gives, whatever the way loses, repeats and reorders.
func TestEndsWithTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &State{}
		for _, f := range []string{`{"op":"hello","user":"11","heartbeat_ms":1,"cursor":""}`, snapshot} {
			if _, _, err := s.Apply([]byte(f)); err != nil {
				t.Fatal(err)
			}
		}
		type message struct {
			id      int
			author  int
			mention bool
		}
		live := []message{{51, 12, false}}
		version, next, read, rev := int64(9), 60, 50, 3
		counts := func() (unread, mentions int) {
			for _, m := range live {
				if m.id > read && m.author != 11 {
					unread++
					if m.mention {
						mentions++
					}
				}
			}
			return unread, mentions
		}
		var pending int // answers to sync that are on their way
		give := func(frame string) {
			_, ask, err := s.Apply([]byte(frame))
			if err != nil {
				t.Fatal(err)
			}
			pending += len(ask)
		}
		mentions := func(yes bool) string {
			if yes {
				return `{"u":["11"],"r":[],"e":false}`
			}
			return nobody
		}
		answer := func() {
			pending--
			unread, mentions := counts()
			give(fmt.Sprintf(`{"op":"count","c":"1001","v":%d,"unread":%d,"mentions":%d,"first_unread":null,"read_id":"%d","last_id":null}`,
				version, unread, mentions, read))
		}
		var held []string
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			frame := ""
			switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case k < 5:
				m := message{next, rapid.SampledFrom([]int{11, 12}).Draw(t, "author"), rapid.Bool().Draw(t, "mention")}
				next++
				live = append(live, m)
				version++
				frame = create(version, m.id, m.author, mentions(m.mention))
			case k < 7 && len(live) > 0:
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				m := live[i]
				live = slices.Delete(live, i, i+1)
				version++
				frame = fmt.Sprintf(`{"op":"delta","c":"1001","g":"101","v":%d,"k":"delete","id":"%d","a":"%d","n":-1,"m":%s}`, version, m.id, m.author, mentions(m.mention))
			case k == 7:
				read = max(read, rapid.IntRange(50, next).Draw(t, "up to"))
				rev++
				unread, mentions := counts()
				give(fmt.Sprintf(`{"op":"read","rev":%d,"channels":[{"c":"1001","v":%d,"read_id":"%d","unread":%d,"mentions":%d,"first_unread":null}]}`,
					rev, version, read, unread, mentions))
				continue
			case k == 8 && pending > 0:
				answer()
				continue
			default:
				version++
				frame = fmt.Sprintf(`{"op":"delta","c":"1001","g":"101","v":%d,"k":"reset"}`, version)
			}
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0: // lost
			case 1:
				held = append(held, frame)
			case 2:
				give(frame)
				give(frame)
			default:
				give(frame)
			}
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				give(held[0])
				held = held[1:]
			}
		}
		// A lost frame shows with the next one.
		version++
		give(fmt.Sprintf(`{"op":"delta","c":"1001","g":"101","v":%d,"k":"update","id":"1","a":"12","n":0,"m":%s}`, version, nobody))
		for i := 0; pending > 0; i++ {
			if i > 1000 {
				t.Fatal("the client never stops asking")
			}
			answer()
		}
		c, _ := s.Channel(1001)
		if unread, mentions := counts(); c.Stale || c.Unread != unread || c.Mentions != mentions || c.Version != version || int(c.ReadID) != read {
			t.Fatalf("ends with %+v, want %d unread, %d mentions at version %d, read %d", c, unread, mentions, version, read)
		}
	})
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{
		snapshot, create(10, 60, 12, nobody), `{"op":"count","c":"1001","v":11,"unread":3,"mentions":0,"first_unread":"51","read_id":"50","last_id":"61"}`,
		`{"op":"read","rev":4,"channels":[{"c":"1001","v":9,"read_id":"51","unread":0,"mentions":0,"first_unread":null}]}`,
		`{"op":"access","epoch":7,"gained":["1002"],"lost":["1001"],"roles":{"101":["1"]}}`,
		`{"op":"delta","c":"1001","v":10,"k":"delete","n":-1,"ids":[["60","12",{"u":["11"]}]]}`,
		`{"op":"delta","c":"1001","v":10,"ids":[[]]}`, `{"op":"access","roles":{"":null}}`, `null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var s State
		_, _, _ = s.Apply(line) // before any snapshot
		if _, _, err := s.Apply([]byte(snapshot)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, _, _ = s.Apply(line)
		}
	})
}
