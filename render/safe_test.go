package render

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	xhtml "golang.org/x/net/html"

	"tidings"
)

// allowed lists every tag and attribute that render may write.
var allowed = map[string]string{
	"p": " class ", "br": "", "strong": "", "em": "", "u": "", "s": "", "code": "", "bdi": "", "blockquote": "", "ul": "", "li": "",
	"ol": " start ", "h4": "", "h5": "", "h6": "", "pre": " class tabindex ", "a": " href target rel ",
	"span": " class tabindex role aria-label data-user data-role data-channel data-id ", "time": " datetime data-style ",
	"img": " class loading src alt title ",
}

func safe(s string) error {
	z := xhtml.NewTokenizer(strings.NewReader(s))
	var open []string
	for {
		switch z.Next() {
		case xhtml.ErrorToken:
			if len(open) != 0 {
				return fmt.Errorf("%v is not closed", open)
			}
			return nil
		case xhtml.CommentToken, xhtml.DoctypeToken:
			return fmt.Errorf("%s", z.Raw())
		case xhtml.EndTagToken:
			t := z.Token()
			if len(open) == 0 || open[len(open)-1] != t.Data {
				return fmt.Errorf("</%s> closes %v", t.Data, open)
			}
			open = open[:len(open)-1]
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			t := z.Token()
			attrs, ok := allowed[t.Data]
			if !ok {
				return fmt.Errorf("tag %s", t.Data)
			}
			for _, a := range t.Attr {
				if !strings.Contains(attrs, " "+a.Key+" ") {
					return fmt.Errorf("attribute %s of %s", a.Key, t.Data)
				}
				if a.Key == "href" || a.Key == "src" {
					u, err := url.Parse(a.Val)
					if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
						return fmt.Errorf("address %q", a.Val)
					}
				}
			}
			if t.Data != "br" && t.Data != "img" {
				open = append(open, t.Data)
			}
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, in := range hostile {
		f.Add(in)
	}
	for _, in := range []string{
		"**a** __b__ ~~c~~ ||d|| `e` ```go\nf\n``` > g", ">>> a\n- b\n  1. c", "[a](https://x.test) <t:1:R> <@7> <#1> <:a:1>", "# a\n-# b\n> c\n\nd",
		"- a\n\n      b\n", "-\t\ta", "1.\tx\n\n\ty", "> \n>\n> -", "- ```\n  a\n  ```", "> - a\n>   ```x```\n> b", "\\", "a\\\nb", "*a\n\n\tb*", "- a\n - b\n  - c\n   - d\n",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if !utf8.ValidString(in) { // JSON cannot carry it
			return
		}
		r := New(Options{DiscordCDN: true})
		out := string(r.HTML(in, map[string]string{"7": in}, true))
		checkSafe(t, out)
		checkSafe(t, string(r.inline(in, nil)))
		Excerpt(tidings.Message{ID: 1, Channel: 1, Guild: 1, Content: in}, someNames())
		// Nothing that was written may be lost. Forms between brackets stand for something else, and fences name languages.
		if !strings.ContainsAny(in, "<[`@") && utf8.RuneCountInString(in) <= maxMarkdown {
			if got, want := letters(html.UnescapeString(tags(out))), letters(in); got != want {
				t.Errorf("HTML(%q) shows %q, want %q: %s", in, got, want, out)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(`{"id":"1","channel_id":"2","type":19,"content":"x","embeds":[{"title":"t","fields":[{"name":"n"}]}],"components":[{"type":17,"components":[{"type":10,"content":"c"}],"accessory":{"type":11,"media":{"url":"https://x.test"}}}]}`)
	f.Add(`{"id":"1","channel_id":"2","message_snapshots":[{"message":{"content":"x"}}],"poll":{"answers":[{}]},"referenced_message":{"id":"1","channel_id":"1"},"message_reference":{}}`)
	f.Add(`{"id":"1","channel_id":"2","type":19,"referenced_message":{"id":"1","channel_id":"1","content":"<@&510> <b> \u0000 <#5> <@7>","mentions":[{"id":"7","username":"\u0000<b>"}]},"message_reference":{}}`)
	f.Fuzz(func(t *testing.T, object string) {
		m, err := tidings.ParseMessage([]byte(object), 1)
		if err != nil {
			return
		}
		r := New(Options{})
		v := r.Message(m)
		if _, err := r.Encode(m); err != nil {
			t.Fatal(err)
		}
		for _, v := range []View{v, v.Named(someNames())} {
			checkSafe(t, string(v.HTML))
			for _, e := range v.Embeds {
				checkSafe(t, string(e.Title+e.Description))
			}
			if v.Reply != nil {
				checkSafe(t, string(v.Reply.HTML))
			}
		}
		Excerpt(m, someNames())
	})
}

func letters(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) {
			return c
		}
		return -1
	}, s)
}

func tags(s string) string {
	var b strings.Builder
	z := xhtml.NewTokenizer(strings.NewReader(s))
	for z.Next() != xhtml.ErrorToken {
		if t := z.Token(); t.Type == xhtml.TextToken {
			b.WriteString(html.EscapeString(t.Data))
		}
	}
	return b.String()
}
