package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// someNames are those of a reader who sees the channel deck (5) below Text (4) in the guild 1, whose roles are pilots (510) and <b> (511), and of
// who is in the guild 2 as well. There is a vault (6), which they do not see.
func someNames() *Names {
	set := &tidings.VisibleSet{Guilds: []tidings.VisibleGuild{
		{Guild: tidings.Guild{ID: 1}, Channels: []tidings.Channel{{ID: 5, Name: "deck"}}, Parents: []tidings.Channel{{ID: 4, Name: "Text"}}},
		{Guild: tidings.Guild{ID: 2}, Channels: []tidings.Channel{{ID: 25, Name: "elsewhere"}}},
	}}
	states := map[discord.GuildID]*tidings.GuildState{
		1: {Roles: []tidings.Role{{ID: 510, Name: "pilots"}, {ID: 511, Name: "<b>"}}, Channels: []tidings.Channel{{ID: 5, Name: "deck"}, {ID: 6, Name: "vault"}}},
		2: {Roles: []tidings.Role{{ID: 520, Name: "strangers"}}},
		3: {Roles: []tidings.Role{{ID: 530, Name: "strangers"}}},
	}
	return NewNames(set, func(g discord.GuildID) (*tidings.GuildState, bool) { s, ok := states[g]; return s, ok })
}

// What a reader may know is named; what is hidden or unknown looks like nothing that there is.
func TestNamesAreThoseThatTheReaderMayKnow(t *testing.T) {
	t.Parallel()
	role := func(id, text string) string {
		return `<span class="mention role" data-role="` + id + `">` + text + `</span>`
	}
	channel := func(id, text string) string {
		return `<span class="mention channel" data-channel="` + id + `">` + text + `</span>`
	}
	for _, c := range []struct{ name, content, excerpt, html string }{
		{"a role and channels", "<@&510> in <#5> and <#4>", "@pilots in #deck and #Text", role("510", "@<bdi>pilots</bdi>") + " in " + channel("5", "#<bdi>deck</bdi>") + " and " + channel("4", "#<bdi>Text</bdi>")},
		{"a name of signs", "**<@&511>**", "@<b>", "<strong>" + role("511", "@<bdi>&lt;b&gt;</bdi>") + "</strong>"},
		{"a hidden channel", "<#6>", "#channel", channel("6", "#channel")},
		{"unknown ones", "<#99> <@&99> <#99999999999999999999>", "#channel @role #channel", channel("99", "#channel") + " " + role("99", "@role") + " " + channel("99999999999999999999", "#channel")},
		{"those of another guild", "<#25> <@&520> <@&530>", "#channel @role @role", channel("25", "#channel") + " " + role("520", "@role") + " " + role("530", "@role")},
		{"what looks like one", `<span class="mention role" data-role="510">@role</span>`, `<span class="mention role" data-role="510">@role</span>`,
			"&lt;span class=&#34;mention role&#34; data-role=&#34;510&#34;&gt;@role&lt;/span&gt;"},
		{"one that is hidden in a line", "||<@&510>||", "▒▒▒", `<span class="spoiler" tabindex="0" role="button" aria-label="Spoiler">` + role("510", "@<bdi>pilots</bdi>") + "</span>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			said, err := json.Marshal(c.content)
			if err != nil {
				t.Fatal(err)
			}
			content := `"content":` + string(said)
			m := message(t, `{"id":"9","channel_id":"5","type":19,`+content+`,"author":{"id":"5","username":"ada"},"message_reference":{"message_id":"8"},
				"referenced_message":{"id":"8","channel_id":"5","type":0,"author":{"id":"7","username":"bob"},`+content+`},
				"embeds":[{"title":`+string(said)+`,"description":`+string(said)+`,"fields":[{"name":"n","value":`+string(said)+`}]}],
				"components":[{"type":17,"components":[{"type":10,`+content+`}]}],"message_snapshots":[{"message":{`+content+`}}]}`)
			if got := Excerpt(m, someNames()); got != c.excerpt {
				t.Errorf("Excerpt() = %q, want %q", got, c.excerpt)
			}
			shared := New(Options{}).Message(m)
			before, err := json.Marshal(shared)
			if err != nil {
				t.Fatal(err)
			}
			v := shared.Named(someNames())
			if v.Reply.Excerpt != c.excerpt {
				t.Errorf("the quoted line = %q, want %q", v.Reply.Excerpt, c.excerpt)
			}
			html := "<p>" + c.html + "</p>"
			for what, got := range map[string]string{
				"the text": string(v.HTML), "an embed": string(v.Embeds[0].Description), "its field": string(v.Embeds[0].Fields[0].Value),
				"a component": string(v.Components[0].Children[0].HTML), "a forward": string(v.Forwards[0].HTML), "a title": "<p>" + string(v.Embeds[0].Title) + "</p>",
			} {
				if got != html {
					t.Errorf("%s = %s, want %s", what, got, html)
				}
				if err := safe(got); err != nil {
					t.Errorf("%s: %v in %s", what, err, got)
				}
			}
			// Others have the same view, and other names.
			if after, err := json.Marshal(shared); err != nil || string(after) != string(before) {
				t.Errorf("naming has changed what it was made of: %s, %v", after, err)
			}
			line, err := New(Options{}).EncodeFor(m, someNames())
			if err != nil || strings.Contains(string(line), "vault") || strings.Contains(string(line), "strangers") {
				t.Errorf("EncodeFor() = %s, %v", line, err)
			}
		})
	}
}

// A name is longer than what stands for it: the line is cut where it is too long with names.
func TestALineIsCutWithItsNames(t *testing.T) {
	t.Parallel()
	m := message(t, `{"id":"9","channel_id":"5","type":0,"author":{"id":"5","username":"ada"},"content":"`+strings.Repeat("x", excerptLength-4)+` <@&510> <@&511>"}`)
	if got, want := Excerpt(m, someNames()), strings.Repeat("x", excerptLength-4)+" @pi…"; got != want {
		t.Errorf("Excerpt() = %q, want %q", got, want)
	}
}
