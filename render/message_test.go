package render

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tidings"
)

func message(t testing.TB, object string) tidings.Message {
	t.Helper()
	m, err := tidings.ParseMessage([]byte(object), 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMessageCarriesWhatDiscordShows(t *testing.T) {
	t.Parallel()
	m := message(t, `{"id":"1125899906842624","channel_id":"2","guild_id":"1","type":19,"content":"see <@7>","flags":4,
		"author":{"id":"5","username":"ada","global_name":"Ada L","avatar":"a_1f","bot":true},"member":{"nick":"Countess"},
		"edited_timestamp":"2024-05-06T07:08:09.123000+00:00","timestamp":"2024-05-06T07:00:00+00:00",
		"mentions":[{"id":"7","username":"bob","member":{"nick":"Bobby"}}],"mention_roles":["9"],"mention_everyone":true,
		"message_reference":{"message_id":"88","channel_id":"2"},
		"referenced_message":{"id":"88","channel_id":"2","type":0,"content":"**first** ||secret||","author":{"id":"7","username":"bob"}},
		"attachments":[{"id":"3","filename":"SPOILER_a.png","content_type":"image/png","size":12,"url":"https://cdn.discordapp.com/a.png?ex=1","width":4,"height":3},{"id":"4","filename":"x","url":"javascript:x"}],
		"embeds":[{"title":"T **b**","description":"D <b>","url":"https://e.test","color":255,"author":{"name":"A"},"footer":{"text":"F"},"fields":[{"name":"n","value":"v","inline":true}]}],
		"sticker_items":[{"id":"6","name":"wave"}],
		"reactions":[{"count":2,"emoji":{"id":null,"name":"👍"}},{"count":1,"emoji":{"id":"77","name":"cat"}},{"count":0,"emoji":{"name":"x"}}],
		"poll":{"question":{"text":"Q"},"answers":[{"answer_id":1,"poll_media":{"text":"yes","emoji":{"name":"✅"}}}],"expiry":null,"results":{"is_finalized":true,"answer_counts":[{"id":1,"count":4}]}},
		"nonce":12,"components":[{"type":17,"components":[{"type":10,"content":"# hi"},{"type":1,"components":[{"type":2,"label":"Go","url":"https://b.test"}]}]},{"type":999}]}`)
	v := New(Options{}).Message(m)
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"id":"1125899906842624","channel":"2","guild":"1","author":{"id":"5","name":"Countess","avatar":"a_1f","bot":true,"webhook":false}`,
		`"edited_timestamp":"2024-05-06T07:08:09.123Z"`, `"timestamp":"2024-05-06T07:00:00Z"`,
		`"mentions":{"u":["7"],"r":["9"],"e":true}`,
		`"reply":{"id":"88","author":{"id":"7","name":"bob"`, `"excerpt":"first ▒▒▒","deleted":false`,
		`"name":"SPOILER_a.png","type":"image/png","size":12,"url":"https://cdn.discordapp.com/a.png?ex=1","width":4,"height":3,"spoiler":true`,
		`{"id":"4","name":"x","type":"","size":0,"url":""}`,
		`"url":"https://e.test","color":255,"author":"A","footer":"F"`, `"inline":true`,
		`"stickers":[{"id":"6","name":"wave"}]`,
		`"reactions":[{"emoji":"👍","count":2},{"emoji":"cat","id":"77","count":1}]`,
		`"poll":{"question":"Q","answers":[{"id":1,"text":"✅ yes","votes":4}],"multiple":false,"finalized":true}`,
		`{"kind":"link","text":"Go","url":"https://b.test"}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("View lacks %s\nin %s", want, got)
		}
	}
	if v.HTML != `<p>see <span class="mention user" data-user="7">@<bdi>Bobby</bdi></span></p>` {
		t.Errorf("HTML = %s", v.HTML)
	}
	if v.Embeds[0].Title != "T <strong>b</strong>" || v.Embeds[0].Description != "<p>D &lt;b&gt;</p>" {
		t.Errorf("embed = %+v", v.Embeds[0])
	}
	if len(v.Components) != 1 || v.Components[0].Kind != "container" || v.Components[0].Children[0].HTML != "<h4>hi</h4>" || v.Components[0].Children[1].Kind != "row" {
		t.Errorf("components = %+v", v.Components)
	}
}

func TestMessageOfEveryKind(t *testing.T) {
	t.Parallel()
	const base = `{"id":"9","channel_id":"2","author":{"id":"5","username":"ada"},`
	for _, c := range []struct{ name, object, system, html, excerpt string }{
		{"join", `"type":7,"content":""}`, "ada joined the server.", "<p>ada joined the server.</p>", "ada joined the server."},
		{"thread", `"type":18,"content":"<b> plans"}`, "ada started a thread: “<b> plans”.", "<p>ada started a thread: “&lt;b&gt; plans”.</p>", "ada started a thread: “<b> plans”."},
		{"unknown type without text", `"type":9999,"content":""}`, "ada did something that is not known here yet (message type 9999).", "<p>ada did something that is not known here yet (message type 9999).</p>", ""},
		{"unknown type with text", `"type":9999,"content":"x"}`, "", "<p>x</p>", "x"},
		{"deleted original", `"type":19,"content":"x","message_reference":{"message_id":"8"},"referenced_message":null}`, "", "<p>x</p>", "x"},
		{"forward", `"type":0,"content":"","message_reference":{"type":1,"message_id":"8"},"message_snapshots":[{"message":{"content":"*far*","attachments":[],"embeds":[]}}]}`, "", "", "Forwarded: far"},
		{"image only", `"type":0,"content":"","attachments":[{"id":"1","filename":"a.png","content_type":"image/png"}]}`, "", "", "Image: a.png"},
		{"components only", `"type":0,"flags":32768,"content":"","components":[{"type":17,"components":[{"type":10,"content":"**hello**"}]}]}`, "", "", "hello"},
		{"poll with a winner", `"type":46,"content":"","embeds":[{"type":"poll_result","fields":[{"name":"poll_question_text","value":"Tea?"},{"name":"victor_answer_text","value":"<b>yes"},{"name":"victor_answer_votes","value":"3"},{"name":"total_votes","value":"4"}]}]}`,
			"ada's poll has ended: “Tea?”. “<b>yes” won with 3 of 4 votes.", "<p>ada&#39;s poll has ended: “Tea?”. “&lt;b&gt;yes” won with 3 of 4 votes.</p>", ""},
		{"poll without votes", `"type":46,"content":"","embeds":[{"type":"poll_result","fields":[{"name":"poll_question_text","value":"Tea?"},{"name":"total_votes","value":"0"}]}]}`,
			"ada's poll has ended: “Tea?”. Nobody voted.", "<p>ada&#39;s poll has ended: “Tea?”. Nobody voted.</p>", ""},
		{"a field of an unforeseen kind", `"type":0,"content":"x","embeds":{"a":1},"poll":"?","reactions":[1,{"count":"many"}],"attachments":[null]}`, "", "<p>x</p>", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := message(t, base+c.object)
			v := New(Options{}).Message(m)
			if v.System != c.system || string(v.HTML) != c.html {
				t.Errorf("View = system %q, html %q, want %q, %q", v.System, v.HTML, c.system, c.html)
			}
			if e := Excerpt(m, nil); c.excerpt != "" && e != c.excerpt {
				t.Errorf("Excerpt = %q, want %q", e, c.excerpt)
			}
			if _, err := json.Marshal(v); err != nil {
				t.Error(err)
			}
		})
	}
	if v := New(Options{}).Message(message(t, base+`"type":19,"content":"x","message_reference":{"message_id":"8"},"referenced_message":null}`)); v.Reply == nil || !v.Reply.Deleted {
		t.Errorf("Reply to a deleted message = %+v", v.Reply)
	}
	if v := New(Options{}).Message(tidings.Message{ID: 9, Channel: 2, Content: "x"}); v.HTML != "<p>x</p>" || v.Author.Name != "Unknown" {
		t.Errorf("View without payload = %+v", v)
	}
}

// What is heard, seen or passed on rather than written keeps what the page needs to show it.
func TestMessageKeepsWhatIsNotText(t *testing.T) {
	t.Parallel()
	v := New(Options{}).Message(message(t, `{"id":"9","channel_id":"2","author":{"id":"5","username":"ada"},"type":0,"flags":8192,"content":"",
		"attachments":[{"id":"1","filename":"voice-message.ogg","content_type":"audio/ogg","size":9,"url":"https://cdn.discordapp.com/v.ogg","duration_secs":3.5,"waveform":"AAF/"},
			{"id":"2","filename":"a.ogg","waveform":"\"><b>"}],
		"sticker_items":[{"id":"6","name":"wave","format_type":4}],
		"reactions":[{"count":1,"emoji":{"id":"77","name":"cat","animated":true}}],
		"message_reference":{"type":1,"channel_id":"33","message_id":"44"},
		"message_snapshots":[{"message":{"content":"far","attachments":[],"embeds":[],"components":[{"type":17,"components":[{"type":10,"content":"inner"}]}]}}],
		"components":[{"type":17,"accent_color":255,"spoiler":true,"components":[
			{"type":9,"components":[{"type":10,"content":"beside"}],"accessory":{"type":11,"media":{"url":"https://cdn.discordapp.com/t.png"},"description":"alt"}},
			{"type":14},
			{"type":12,"items":[{"media":{"url":"https://cdn.discordapp.com/g.png"},"spoiler":true},{"media":{"url":"javascript:x"}}]}]}]}`))
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"seconds":3.5,"waveform":"AAF/"`, `"name":"a.ogg","type":"","size":0,"url":""}`, `{"id":"6","name":"wave","format":4}`, `{"emoji":"cat","id":"77","animated":true,"count":1}`,
		`"forwards":[{"channel":"33","message":"44","html":"\u003cp\u003efar\u003c/p\u003e\u003cp\u003einner\u003c/p\u003e"`,
		`{"kind":"container","color":255,"spoiler":true,"children":[{"kind":"section","children":[{"kind":"text","html":"\u003cp\u003ebeside\u003c/p\u003e"},{"kind":"media","text":"alt","url":"https://cdn.discordapp.com/t.png"}]},{"kind":"separator"},{"kind":"gallery","children":[{"kind":"media","url":"https://cdn.discordapp.com/g.png","spoiler":true}]}]}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("View lacks %s\nin %s", want, got)
		}
	}
}

func TestJumbo(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"👍": true, "👍🏽 👨‍👩‍👧": true, "<:cat:9> <a:dog:1>": true, "👍 ok": false, "": false, "7": false, " ": false, strings.Repeat("👍", 28): false} {
		if got := jumbo(in); got != want {
			t.Errorf("jumbo(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestExcerptIsShort(t *testing.T) {
	t.Parallel()
	m := message(t, fmt.Sprintf(`{"id":"9","channel_id":"2","author":{"id":"5","username":"ada"},"type":0,"content":%q}`, "> q\n```go\nx\n```\n"+strings.Repeat("wörd ", 100)))
	e := Excerpt(m, nil)
	if n := len([]rune(e)); n > excerptLength+1 || !strings.HasPrefix(e, "q x wörd") || strings.ContainsAny(e, "\n`>") {
		t.Errorf("Excerpt = %q (%d)", e, n)
	}
}

// The line above an answer says what it quotes as plain text, and as HTML where the reader has names to fill in.
func TestTheQuotedLineLeavesNamesToTheReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, excerpt, html string }{
		{"nothing to name", "plain **text** <@7> @role", "plain text @Bobby @role", ""},
		{"a role", "ahoy <@&510>!", "ahoy @role!", `ahoy <span data-role="510">@role</span>!`},
		{"roles and a channel, among signs", "@role <b> **<@&510>**\\n<@&511> in <#5> <@7>", "@role <b> @role @role in #channel @Bobby",
			`@role &lt;b&gt; <span data-role="510">@role</span> <span data-role="511">@role</span> in <span data-channel="5">#channel</span> @Bobby`},
		{"hidden ones", "||<@&510>|| <@&511>", "▒▒▒ @role", `▒▒▒ <span data-role="511">@role</span>`},
		{"with a sign that no text can have", "a\\u0000b <@&510>", "a\uFFFDb @role", "a\uFFFDb " + `<span data-role="510">@role</span>`},
		{"one that is cut off", strings.Repeat("x", excerptLength-4) + " <@&510> <@&511>", strings.Repeat("x", excerptLength-4) + " @ro…", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := New(Options{}).Message(message(t, `{"id":"9","channel_id":"2","type":19,"content":"x","author":{"id":"5","username":"ada"},"message_reference":{"message_id":"8"},
				"referenced_message":{"id":"8","channel_id":"2","type":0,"author":{"id":"7","username":"bob"},"mentions":[{"id":"7","username":"bob","member":{"nick":"Bobby"}}],"content":"`+c.content+`"}}`))
			if v.Reply.Excerpt != c.excerpt || string(v.Reply.HTML) != c.html {
				t.Errorf("Reply = %q, html %q, want %q, %q", v.Reply.Excerpt, v.Reply.HTML, c.excerpt, c.html)
			}
		})
	}
	forward := `{"id":"8","channel_id":"2","type":0,"content":"","author":{"id":"7","username":"bob"},"message_reference":{"type":1,"message_id":"4"},"message_snapshots":[{"message":{"content":"<@&510>","attachments":[],"embeds":[]}}]}`
	v := New(Options{}).Message(message(t, `{"id":"9","channel_id":"2","type":19,"content":"x","author":{"id":"5","username":"ada"},"message_reference":{"message_id":"8"},"referenced_message":`+forward+`}`))
	if want := `Forwarded: <span data-role="510">@role</span>`; string(v.Reply.HTML) != want {
		t.Errorf("Reply to a forward = %q, want %q", v.Reply.HTML, want)
	}
}
