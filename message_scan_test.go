package tidings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
)

// scanSeeds are messages as they come, and what a scanner may get wrong.
var scanSeeds = []string{
	`{"type":0,"tts":false,"timestamp":"2026-11-23T15:28:09.242000+00:00","pinned":false,"mentions":[{"username":"bo","id":"7","member":{"roles":["1"]}}],"mention_roles":["5","6"],"mention_everyone":true,` +
		`"member":{"roles":[],"mute":false,"joined_at":null},"id":"1574446465777008640","flags":16384,"embeds":[{"title":"a \"b\"","fields":[{"name":"x","value":"y","inline":true}]}],"edited_timestamp":null,` +
		`"content":"h\u00e9llo \ud83d\ude00 <b>\u003c\n\t\\ \/ é 😀","components":[],"channel_id":"1574446425096454148","author":{"username":"ada","id":"9","global_name":null,"bot":true},"attachments":[{"id":"1","content_type":"image/png"}],"guild_id":"3"}`,
	` { "id" : "1" , "channel_id" : "2" , "x" : [ 1 , -2.5e+10 , [ ] , { } , true , false , null , "" ] } `,
	`{"id":"1","channel_id":"2","content":"a","content":"b"}`,
	`{"id":"1","channel_id":"2","CONTENT":"a","Content":"b"}`,
	`{"id":"1","channel_id":"2","content":"a","\u0063ontent":"b"}`,
	`{"id":"1","channel_id":"2","flag` + "ſ" + `":64,"mention_roleſ":["8"]}`,
	`{"id":"1","channel_id":"2","author":{"id":"3"},"author":{"username":"x"}}`,
	`{"id":"1","channel_id":"2","author":{"ID":"3","id":"4"}}`,
	`{"id":"1","channel_id":"2","author":null,"type":null,"flags":null,"content":null,"mentions":null,"mention_roles":null,"mention_everyone":null,"embeds":null,"guild_id":null}`,
	`{"id":1,"channel_id":2,"author":{"id":3,"username":4,"global_name":{}}}`,
	`{"id":"01","channel_id":"0002","type":00}`,
	`{"id":"18446744073709551615","channel_id":"18446744073709551616"}`,
	`{"id":"","channel_id":"2"}`,
	`{"id":"1","channel_id":"2","type":1.0,"flags":1e2}`,
	`{"id":"1","channel_id":"2","type":-1}`,
	`{"id":"1","channel_id":"2","flags":18446744073709551615}`,
	`{"id":"1","channel_id":"2","content":"\ud800"}`,
	`{"id":"1","channel_id":"2","content":"\ud800\u0041\udc00\ud800\ud800"}`,
	`{"id":"1","channel_id":"2","content":"\udc00\ud800"}`,
	`{"id":"1","channel_id":"2","content":"\u00"}`,
	`{"id":"1","channel_id":"2","content":"\x41"}`,
	`{"id":"1","channel_id":"2","content":"\u0000"}`,
	"{\"id\":\"1\",\"channel_id\":\"2\",\"content\":\"a\xffb\",\"x\":\"\xff\"}",
	"{\"id\":\"1\",\"channel_id\":\"2\",\"content\":\"a\x01b\"}",
	"{\"id\":\"1\",\"channel_id\":\"2\",\"content\":\"\x7f\u2028\"}",
	"{\"id\":\"1\",\"channel_id\":\"2\",\"x\xff\":1}",
	`{"id":"1","channel_id":"2","mentions":[{"id":"3","id":"4"}]}`,
	`{"id":"1","channel_id":"2","mentions":[null,{"id":null},{}]}`,
	`{"id":"1","channel_id":"2","mentions":[3]}`,
	`{"id":"1","channel_id":"2","mentions":{}}`,
	`{"id":"1","channel_id":"2","mention_roles":[null,"x"]}`,
	`{"id":"1","channel_id":"2","mention_everyone":"yes"}`,
	`{"id":"1","channel_id":"2","edited_timestamp":"2026-11-23T15:28:09.242000+00:00"}`,
	`{"id":"1","channel_id":"2","edited_timestamp":"yesterday"}`,
	`{"id":"1","channel_id":"2",}`, `{"id":"1",,"channel_id":"2"}`, `{"id":"1" "channel_id":"2"}`, `{"id":"1","channel_id":"2"`, `{"id":"1","channel_id":"2"}}`,
	`{"id":"1","channel_id":"2","x":[1,]}`, `{"id":"1","channel_id":"2","x":[,1]}`, `{"id":"1","channel_id":"2","x":{"a"}}`, `{"id":"1","channel_id":"2","x":{"a":}}`, `{"id":"1","channel_id":"2","x":[}`,
	`{"id":"1","channel_id":"2","x":01}`, `{"id":"1","channel_id":"2","x":-}`, `{"id":"1","channel_id":"2","x":1.}`, `{"id":"1","channel_id":"2","x":1e}`, `{"id":"1","channel_id":"2","x":.5}`, `{"id":"1","channel_id":"2","x":+1}`,
	`{"id":"1","channel_id":"2","x":tru}`, `{"id":"1","channel_id":"2","x":nulll}`, `{"id":"1","channel_id":"2","x":"` + "\\", `{"id":"1","channel_id":"2","x":"\u12`,
	`null`, `[]`, `""`, ``, `{}`, `{}{}`,
}

// checkScan compares the scanner's word with that of encoding/json.
func checkScan(t *testing.T, b []byte) (sure bool) {
	t.Helper()
	var w wireMessage
	if !scanMessage(bytes.Clone(b), &w) {
		return false
	}
	var want wireMessage
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatalf("taken: %q, which encoding/json refuses: %v", b, err)
	}
	if !reflect.DeepEqual(w, want) {
		t.Fatalf("of %q\nread %+v %+v\nwant %+v %+v", b, w, w.Author, want, want.Author)
	}
	return true
}

// Whatever is scanned has the fields that encoding/json finds, and is valid.
func TestAScannedMessageIsWhatEncodingJSONReads(t *testing.T) {
	t.Parallel()
	for _, s := range scanSeeds {
		checkScan(t, []byte(s))
	}
	for depth := 1; depth < 300; depth++ {
		for _, brackets := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			inner := "1"
			if depth%2 == 0 {
				inner = "" // Empty lists; an object without a value is not valid.
			}
			checkScan(t, []byte(`{"id":"1","channel_id":"2","x":`+strings.Repeat(brackets[0], depth)+inner+strings.Repeat(brackets[1], depth)+`}`))
		}
	}
	// Each byte of a message in turn: missing, and as another one.
	b := []byte(scanSeeds[0])
	for i := range b {
		checkScan(t, slices.Delete(bytes.Clone(b), i, i+1))
		checkScan(t, b[:i])
		for _, c := range []byte("\x00\x1f\"\\{}[],:0aA \xc3\xff") {
			other := bytes.Clone(b)
			other[i] = c
			checkScan(t, other)
		}
	}
}

// What Discord sends is scanned, not left to encoding/json.
func TestEverydayMessagesAreScanned(t *testing.T) {
	t.Parallel()
	for _, s := range []string{scanSeeds[0], scanSeeds[1], scanSeeds[8]} {
		if !checkScan(t, []byte(s)) {
			t.Errorf("not scanned: %s", s)
		}
	}
	m, err := ParseMessage([]byte(scanSeeds[0]), 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Payload = nil
	want := Message{
		Channel: 1574446425096454148, ID: 1574446465777008640, Guild: 3, Author: 9, AuthorNames: [2]string{"ada"}, Flags: 16384,
		Content: "héllo 😀 <b><\n\t\\ / é 😀", Countable: true, Has: HasFile | HasImage | HasEmbed,
		Mentions: Mentions{Users: []discord.UserID{7}, Roles: []discord.RoleID{5, 6}, Everyone: true},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("ParseMessage() = %+v\nwant %+v", m, want)
	}
}

func FuzzScanMessage(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkScan(t, b)
		// The same as one value among others, where most of a message is only stepped over.
		checkScan(t, fmt.Appendf(nil, `{"id":"1","channel_id":"2","member":%s,"content":"x"}`, b))
		checkScan(t, fmt.Appendf(nil, `{"id":"1","channel_id":"2","content":%s}`, b))
		checkScan(t, fmt.Appendf(nil, `{"id":"1","channel_id":"2","content":"%s"}`, b))
		checkScan(t, fmt.Appendf(nil, `{"id":"1","channel_id":"2","author":{"id":"3","username":"%s"},"x":"%s"}`, b, b))
	})
}

// BenchmarkParseMessage is what reading one message costs, and the same by encoding/json alone.
func BenchmarkParseMessage(b *testing.B) {
	raw := []byte(scanSeeds[0])
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			var w wireMessage
			if !scanMessage(raw, &w) {
				b.Fatal("not scanned")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeMessage(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
