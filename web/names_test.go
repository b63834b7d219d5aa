package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	xhtml "golang.org/x/net/html"
)

// inWords is what people read of a page or of a part of one.
func inWords(s string) string {
	var b strings.Builder
	z := xhtml.NewTokenizer(strings.NewReader(s))
	for z.Next() != xhtml.ErrorToken {
		switch t := z.Token(); {
		case t.Type == xhtml.TextToken:
			b.WriteString(t.Data)
		case t.Data == "p" || t.Data == "div":
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// stream is what the first view shows of messages.
var stream = regexp.MustCompile(`(?s)<article .*</article>`)

// Where no script fills in names, what was written for a reader has them; a channel that they may not see has none.
func TestNamesWhereNoScriptFillsThemIn(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	const said = "all <@&510> to <#502>, not <#599> and <@&599>"
	w.say(deck, bob, said, `{"type":19,"message_reference":{"message_id":"8"},"referenced_message":{"id":"8","channel_id":"501","type":0,"content":"ask <@&510> in <#502>","author":{"id":"9","username":"eve"}},
		"embeds":[{"title":"of <#502>","description":"for <@&510>"}],"components":[{"type":17,"components":[{"type":10,"content":"by <@&510>"}]}]}`)
	v := w.view(`{"name":"all"}`)
	var feed struct{ Atom, JSON string }
	if err := json.Unmarshal([]byte(w.api("POST", "/api/views/"+v.ID+"/feed", "")), &feed); err != nil {
		t.Fatal(err)
	}
	// outputs are what leaves without the page's script, as text.
	outputs := func() map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, address := range []string{feed.Atom, feed.JSON} {
			status, body, _ := ask(t, newBrowser(t), "GET", address, "")
			if status != http.StatusOK {
				t.Fatalf("GET %s = %d %s", address, status, body)
			}
			if address == feed.JSON {
				var items struct {
					Items []struct{ Content_html string }
				}
				if err := json.Unmarshal([]byte(body), &items); err != nil {
					t.Fatal(err)
				}
				body = items.Items[0].Content_html
			} else {
				body = xhtml.UnescapeString(body)
			}
			out[address[strings.LastIndexByte(address, '.'):]] = inWords(body)
		}
		for _, path := range []string{"/", "/c/501", "/?filter=all"} {
			out["the page "+path] = inWords(stream.FindString(w.api("GET", path, "")))
		}
		for _, query := range []string{"channel=501", "view=" + v.ID} {
			var body ExportBody
			if err := json.Unmarshal([]byte(w.api("GET", "/api/export?format=json&"+query, "")), &body); err != nil {
				t.Fatal(err)
			}
			m := body.Messages[0]
			out["export of "+query] = fmt.Sprint(inWords(string(m.HTML)), " / ", m.Reply.Excerpt, " / ", inWords(string(m.Embeds[0].Title+" "+m.Embeds[0].Description)))
			if m.Content != said {
				t.Errorf("the text as it was written is %q, want %q", m.Content, said)
			}
		}
		return out
	}
	for what, got := range outputs() {
		wants := []string{"all @officers to #bridge, not #channel and @role"}
		if strings.HasPrefix(what, "the page") {
			wants = append(wants, "by @officers")
		}
		if !strings.HasPrefix(what, ".") {
			wants = append(wants, "ask @officers in #bridge", "of #bridge for @officers")
		}
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s says %q, want %q in it", what, got, want)
			}
		}
	}
	// The script has names of its own, which may be others by the time that it shows something.
	if got := w.api("GET", "/api/messages?channel=501", ""); !strings.Contains(got, "#channel") || strings.Contains(got, "bridge") {
		t.Errorf("GET /api/messages = %s", got)
	}

	w.lose(bridge)
	for what, got := range outputs() {
		if !strings.Contains(got, "all @officers to #channel, not #channel and @role") || strings.Contains(got, "bridge") {
			t.Errorf("%s says %q to who may not see the bridge", what, got)
		}
	}
	for _, path := range []string{"/", "/c/501"} {
		if got := w.api("GET", path, ""); strings.Contains(got, "bridge") {
			t.Errorf("GET %s names the bridge to who may not see it: %s", path, got)
		}
	}
}
