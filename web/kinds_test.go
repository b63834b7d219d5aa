package web

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"
)

// everyKind says one message of each kind that Discord has, in the order of what it shows.
func everyKind(w *world) {
	eve, cy, ci := discord.UserID(2_000_005<<22), discord.UserID(3_000_002<<22), discord.UserID(4_000_003<<22)
	n := 0
	say := func(author discord.UserID, name, content string, more ...string) {
		n++
		w.say(10, at(2, 9, n), author, name, content, more...)
	}
	say(bob, "Bob Fjord", "# Heading\n## Smaller\n**bold** *slanted* __under__ ~~struck~~ `code` ||hidden **inside**||\n> quoted\n- one\n  - two\n1. first\n-# small print")
	say(bob, "Bob Fjord", "```go\nfunc main() { println(\"tide\") } // comes in\n```")
	say(eve, "Evelyn", "<@7> <@&50> <#11> @everyone <:anchor:123456789012345678> <a:wave:223456789012345678> </help:323456789012345678>",
		`{"mentions":[{"id":"7","username":"ada","global_name":"Ada"}],"mention_roles":["50"],"mention_everyone":true}`)
	say(eve, "Evelyn", "🎉⚓", "{}")
	say(eve, "Evelyn", "At <t:1772442000:F>, that is <t:1772442000:R>, <t:1772442000:d> <t:1772442000:t>")
	say(eve, "Evelyn", "[masked](https://example.org/a) <https://example.org/b> https://discord.com/channels/16777216/11/99", `{"edited_timestamp":"2026-03-02T09:30:00+00:00"}`)
	say(cy, "Cyrus", "an answer", `{"type":19,"message_reference":{"message_id":"5","channel_id":"10"},"referenced_message":{"id":"5","channel_id":"10","content":"the question, *in short*","type":0,"author":{"id":"12582920000008","username":"Cyrus"}}}`)
	say(cy, "Cyrus", "an answer to nothing", `{"type":19,"message_reference":{"message_id":"6","channel_id":"10"},"referenced_message":null}`)
	say(cy, "Cyrus", "", `{"message_reference":{"type":1,"message_id":"8","channel_id":"12","guild_id":"16777216"},"message_snapshots":[{"message":{"type":0,"content":"forwarded **words**","timestamp":"2026-03-01T12:00:00+00:00","attachments":[{"id":"4","filename":"map.pdf","content_type":"application/pdf","size":20480,"url":"https://cdn.discordapp.com/attachments/1/4/map.pdf"}],"embeds":[]}}]}`)
	say(bob, "Bob Fjord", "files", `{"attachments":[
		{"id":"1","filename":"chart.png","content_type":"image/png","size":204800,"width":640,"height":480,"url":"https://cdn.discordapp.com/attachments/1/1/chart.png","description":"a chart of the bay"},
		{"id":"2","filename":"SPOILER_end.mp4","content_type":"video/mp4","size":5242880,"width":640,"height":360,"url":"https://cdn.discordapp.com/attachments/1/2/SPOILER_end.mp4"},
		{"id":"3","filename":"song.ogg","content_type":"audio/ogg","size":1048576,"url":"https://cdn.discordapp.com/attachments/1/3/song.ogg"},
		{"id":"4","filename":"notes.txt","content_type":"text/plain","size":312,"url":"https://cdn.discordapp.com/attachments/1/4/notes.txt"}]}`)
	wave := base64.StdEncoding.EncodeToString([]byte{0, 40, 90, 180, 255, 200, 120, 60, 20, 80, 160, 220, 140, 70, 30, 10})
	say(eve, "Evelyn", "", `{"flags":8192,"attachments":[{"id":"5","filename":"voice-message.ogg","content_type":"audio/ogg","size":30000,"duration_secs":7.4,"waveform":"`+wave+`","url":"https://cdn.discordapp.com/attachments/1/5/voice-message.ogg"}]}`)
	say(eve, "Evelyn", "", `{"sticker_items":[{"id":"812345678901234567","name":"Sailing away","format_type":1},{"id":"812345678901234568","name":"Drawn","format_type":3}]}`)
	say(cy, "Cyrus", "", `{"poll":{"question":{"text":"Which sail?"},"answers":[{"answer_id":1,"poll_media":{"text":"Main","emoji":{"name":"⛵"}}},{"answer_id":2,"poll_media":{"text":"Jib"}}],"expiry":"2026-03-02T10:00:00+00:00","allow_multiselect":true,"results":{"is_finalized":true,"answer_counts":[{"id":1,"count":5},{"id":2,"count":3}]}}}`)
	say(ci, "Harbour bot", "", `{"author":{"id":"16777228000003","username":"Harbour bot","bot":true},"embeds":[{"type":"rich","title":"Storm warning","url":"https://weather.example/1","description":"Gusts of **9**","color":15158332,"author":{"name":"Coast guard","url":"https://weather.example"},"provider":{"name":"Weather"},"fields":[{"name":"From","value":"West","inline":true},{"name":"Until","value":"Noon","inline":true},{"name":"Why","value":"A low"}],"footer":{"text":"issued"},"timestamp":"2026-03-02T08:00:00+00:00","thumbnail":{"url":"https://cdn.discordapp.com/a.png","width":80,"height":80}}]}`)
	say(ci, "Tide news", "crossposted", `{"flags":2,"webhook_id":"16777228000009","author":{"id":"16777228000009","username":"Tide news","bot":true}}`)
	say(ci, "Harbour bot", "", `{"flags":32768,"author":{"id":"16777228000003","username":"Harbour bot","bot":true},"components":[{"type":17,"accent_color":3447003,"components":[
		{"type":9,"components":[{"type":10,"content":"## Berth 12\nfree until *noon*"}],"accessory":{"type":2,"style":5,"label":"Map","url":"https://example.org/map"}},
		{"type":14},{"type":12,"items":[{"media":{"url":"https://cdn.discordapp.com/attachments/1/6/berth.png"},"description":"the berth"}]},
		{"type":1,"components":[{"type":2,"style":1,"label":"Reserve","custom_id":"x"},{"type":3,"custom_id":"y","placeholder":"How long?","options":[]}]}]}]}`)
	say(bob, "Bob Fjord", "with reactions", `{"pinned":true,"reactions":[{"count":4,"emoji":{"name":"🎉"}},{"count":2,"emoji":{"id":"123456789012345678","name":"anchor"}}]}`)
	say(bob, "Bob Fjord", "with a thread", `{"flags":32,"thread":{"id":"15","name":"Why does my select spin?","message_count":3}}`)
	say(bob, "Bob Fjord", "", "{}")
	for _, system := range []string{`"type":7`, `"type":6`, `"type":8`, `"type":12,"content":"Coast news"`, `"type":18,"content":"Why does my select spin?"`, `"type":4,"content":"harbour"`,
		`"type":46,"embeds":[{"type":"poll_result","fields":[{"name":"poll_question_text","value":"Which sail?"},{"name":"victor_answer_text","value":"Main"},{"name":"victor_answer_votes","value":"5"},{"name":"total_votes","value":"8"}]}]`, `"type":99`} {
		say(cy, "Cyrus", "", "{"+system+"}")
	}
	say(eve, "עדה", "שלום לכולם, הסירה מוכנה. see `main.go`", "{}")
}

// The page of every kind of message; its golden file is what a reviewer reads, with SHOTS=DIR there is a picture too.
func TestEveryKindOfMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everyKind(w)
	ts := w.serve()
	b := tab(t, w, ts.URL)
	if _, err := chromedp.Call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Lisbon"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-GB"}); err != nil {
		t.Fatal(err)
	}
	do(t, b, chromedp.EmulateViewport(1280, 3600), chromedp.Navigate(ts.URL+"/c/10"))
	until(t, b, live+` && document.querySelectorAll('#stream article').length === 28`)
	// A spoiler opens by keyboard, and a waveform has its samples.
	do(t, b, evaluateIn(`document.querySelector('.spoiler').focus()`))
	press(t, b, "\r")
	until(t, b, `document.querySelector('.spoiler.shown')?.innerText === 'hidden inside' && document.querySelectorAll('.wave i').length === 16`)
	got, err := chromedp.Run(b, chromedp.Evaluate[string](`(() => {
		const copy = document.querySelector('#stream').cloneNode(true);
		for (const r of copy.querySelectorAll('time[data-style="R"]')) r.textContent = 'RELATIVE';
		for (const a of copy.querySelectorAll('article')) a.before('\n\n');
		return copy.innerHTML.replaceAll('<div', '\n<div').replaceAll('<header', '\n<header').replaceAll('\u202f', ' ') + '\n';
	})()`))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("SHOTS"); dir != "" {
		for _, scheme := range []string{"light", "dark"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			png, err := chromedp.Run(b, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "kinds-"+scheme+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden := filepath.Join("testdata", "every_kind.html")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		g, x := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(x)) {
			if g[i] != x[i] {
				t.Errorf("line %d of the page is\n%s\nand was\n%s", i+1, g[i], x[i])
				break
			}
		}
		t.Error("messages look different; look at them (SHOTS=DIR) and run go test ./web -run TestEveryKindOfMessage -update")
	}
}

// evaluateIn runs a statement in the page for what it does.
func evaluateIn(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void]("void (" + js + ")")
}
