package render

import (
	"strings"
	"testing"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	names := map[string]string{"7": "Ada <b>"}
	const a = `target="_blank" rel="noopener noreferrer nofollow ugc"`
	const spoiler = `<span class="spoiler" tabindex="0" role="button" aria-label="Spoiler">`
	const pre = `<pre class="code" tabindex="0"><code>`
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hello", "<p>hello</p>"},
		{"line breaks", "a\nb", "<p>a<br>b</p>"},
		{"blank line", "a\n\nb", "<p>a</p><p>b</p>"},
		{"indented line is kept", "        a", "<p>a</p>"},
		{"tab-indented lines are kept", "\ta\n\n\t\tb", "<p>a</p><p>b</p>"},
		{"bold, italic, both", "**b** *i* _i_ ***bi***", "<p><strong>b</strong> <em>i</em> <em>i</em> <em><strong>bi</strong></em></p>"},
		{"underline is not bold", "__u__ ~~s~~", "<p><u>u</u> <s>s</s></p>"},
		{"one tilde is text", "~s~ ~/x", "<p>~s~ ~/x</p>"},
		{"snake case is text", "some_long_name", "<p>some_long_name</p>"},
		{"times is text", "2 * 3 * 4", "<p>2 * 3 * 4</p>"},
		{"spoiler with spaces and marks", "|| a **b** ||", "<p>" + spoiler + " a <strong>b</strong> </span></p>"},
		{"one spoiler sign is text", "a || b", "<p>a || b</p>"},
		{"code", "`a*b*` ``c`d``", "<p><code>a*b*</code> <code>c`d</code></p>"},
		{"code block", "```\n# no *marks*\n> here\n```", pre + "# no *marks*\n&gt; here</code></pre>"},
		{"code block with language", "```go\nvar x\n```", pre + `<span class="hl-k">var</span> x</code></pre>`},
		{"code block inside a line", "see ```x``` ok", `<p>see</p>` + pre + `x</code></pre><p>ok</p>`},
		{"a first line with spaces is code", "```not a lang\nx```", pre + "not a lang\nx</code></pre>"},
		{"code block that is not closed", "```js\nx", "<p>```js<br>x</p>"},
		{"tilde fences are text", "~~~\nx\n~~~", "<p>~~~<br>x<br>~~~</p>"},
		{"quote ends with its line", "> a\nb", "<blockquote><p>a</p></blockquote><p>b</p>"},
		{"quote needs a space", ">a", "<p>&gt;a</p>"},
		{"quotes do not nest", "> > a", "<blockquote><p>&gt; a</p></blockquote>"},
		{"quote of everything that follows", "x\n>>> a\nb", "<p>x</p><blockquote><p>a<br>b</p></blockquote>"},
		{"code in a quote", "> ```\n> x\n> ```\ny", `<blockquote>` + pre + `x</code></pre></blockquote><p>y</p>`},
		{"headings", "# a\n## b\n### c\n#### d", "<h4>a</h4><h5>b</h5><h6>c</h6><p>#### d</p>"},
		{"hash tag", "#a", "<p>#a</p>"},
		{"subtext", "-# small *print*", `<p class="subtext">small <em>print</em></p>`},
		{"list", "- a\n- b\n  - c\nend", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>end</p>"},
		{"numbered list", "3. a\n4. b", `<ol start="3"><li>a</li><li>b</li></ol>`},
		{"list markers on one line do not nest", "- - - a", "<ul><li>- - a</li></ul>"},
		{"plus and parenthesis are text", "+ a\n\n1) b", "<p>+ a</p><p>1) b</p>"},
		{"rules are text", "---\n***", "<p>---<br>***</p>"},
		{"setext is text", "a\n===", "<p>a<br>===</p>"},
		{"masked link", "[a *b*](https://x.test/y)", `<p><a href="https://x.test/y" ` + a + `>a <em>b</em></a></p>`},
		{"masked link with title", `[a](<https://x.test/y> "t")`, `<p><a href="https://x.test/y" ` + a + `>a</a></p>`},
		{"masked link to a script", "[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"},
		{"masked link to data", "[a](data:text/html,x)", "<p>[a](data:text/html,x)</p>"},
		{"masked link without a scheme", "[a](//x.test)", "<p>[a](//x.test)</p>"},
		{"masked link that pretends", "[https://bank.test](https://x.test)", `<p>[<a href="https://bank.test" ` + a + `>https://bank.test</a>](<a href="https://x.test" ` + a + `>https://x.test</a>)</p>`},
		{"reference links are text", "[a]: https://x.test\n[a]", `<p>[a]: <a href="https://x.test" ` + a + `>https://x.test</a><br>[a]</p>`},
		{"bare address ends before the full stop", "see https://x.test/a_b_c?d=1&e=2.", `<p>see <a href="https://x.test/a_b_c?d=1&amp;e=2" ` + a + `>https://x.test/a_b_c?d=1&amp;e=2</a>.</p>`},
		{"bare address in parentheses", "(https://x.test/a_(b))", `<p>(<a href="https://x.test/a_(b)" ` + a + `>https://x.test/a_(b)</a>)</p>`},
		{"bare address in bold", "**https://x.test**", `<p><strong><a href="https://x.test" ` + a + `>https://x.test</a></strong></p>`},
		{"bare address in a spoiler", "||https://x.test||", `<p>` + spoiler + `<a href="https://x.test" ` + a + `>https://x.test</a></span></p>`},
		{"address without preview", "<https://x.test>", `<p><a href="https://x.test" ` + a + `>https://x.test</a></p>`},
		{"no address inside a word", "xhttps://x.test", "<p>xhttps://x.test</p>"},
		{"escapes", `\*a\* \_b\_ \<@7> 5 \\ c`, `<p>*a* _b_ &lt;@7&gt; 5 \ c</p>`},
		{"shrug", `¯\_(ツ)_/¯`, `<p>¯\_(ツ)_/¯</p>`},
		{"entities are text", "&amp; &#60;", "<p>&amp;amp; &amp;#60;</p>"},
		{"mention", "<@7> <@!8>", `<p><span class="mention user" data-user="7">@<bdi>Ada &lt;b&gt;</bdi></span> <span class="mention user" data-user="8">@<bdi>unknown</bdi></span></p>`},
		{"channel and role by id only", "<#5> <@&6>", `<p><span class="mention channel" data-channel="5">#channel</span> <span class="mention role" data-role="6">@role</span></p>`},
		{"emoji", "a <:cat:9> <a:dog:10>", `<p>a <span class="emoji" data-id="9">:cat:</span> <span class="emoji" data-id="10">:dog:</span></p>`},
		{"time", "<t:1618953630:R> <t:0>", `<p><time datetime="2021-04-20T21:20:30Z" data-style="R">20 April 2021 21:20 UTC</time> <time datetime="1970-01-01T00:00:00Z" data-style="f">1 January 1970 00:00 UTC</time></p>`},
		{"time out of range", "<t:9999999999999>", "<p>&lt;t:9999999999999&gt;</p>"},
		{"command", "</a b:1>", `<p><span class="mention command">/a b</span></p>`},
		{"page of the server", "<id:guide>", `<p><span class="mention">Server Guide</span></p>`},
		{"everyone without effect", "@everyone", "<p>@everyone</p>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := string(New(Options{}).HTML(c.in, names, false)); got != c.want {
				t.Errorf("HTML(%q)\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
	if got := string(New(Options{}).HTML("hi @everyone, @here", nil, true)); got != `<p>hi <span class="mention">@everyone</span>, <span class="mention">@here</span></p>` {
		t.Errorf("HTML with everyone = %s", got)
	}
	if got := string(New(Options{DiscordCDN: true}).HTML("<:cat:9>", nil, false)); !strings.Contains(got, `src="https://cdn.discordapp.com/emojis/9.webp?size=96"`) {
		t.Errorf("HTML with the CDN = %s", got)
	}
}

// hostile inputs, each of which has broken some renderer.
var hostile = map[string]string{
	"script":                   `<script>alert(1)</script>`,
	"event handler":            `<img src=x onerror=alert(1)>`,
	"attribute escape":         `<@7"onmouseover=alert(1)> [a](https://x.test/"onmouseover="alert(1))`,
	"autolink attribute":       `https://x.test/"onmouseover="alert(1) https://x.test/'x`,
	"angle autolink":           `<javascript:alert(1)> <data:text/html,x> <https://x.test/"><script>alert(1)</script>`,
	"encoded scheme":           `[a](javascript&#58;alert(1)) [a](java&#x09;script:alert(1)) [a](\x01javascript:alert(1))`,
	"upper scheme":             `[a](JaVaScRiPt:alert(1)) [a](vbscript:x) [a](blob:https://x) [a](file:///etc/passwd)`,
	"image":                    `![a](javascript:alert(1)) ![a](https://x.test/i.png)`,
	"style":                    `<style>*{display:none}</style><a style="x">`,
	"comment":                  `<!-- x --> <![CDATA[x]]> <?php x ?>`,
	"code language":            "```\"><script>\nx\n```",
	"code language with class": "```html\n<script>alert(1)</script>\n```",
	"svg":                      `<svg/onload=alert(1)>`,
	"bidi":                     "\u202Eabc\u202C \u2066x",
	"nul":                      "a\x00b<scr\x00ipt>",
	"emoji name":               `<:"><script>:1>`,
	"command name":             `</"><script>alert(1):1>`,
	"title":                    `[a](https://x.test "\"><script>alert(1)</script>")`,
	"userinfo":                 `[a](https://good.test@evil.test/) https://a:b@x.test`,
	"broken percent":           `[a](https://x.test/%zz) https://x.test/%`,
}

func TestHostileInputStaysText(t *testing.T) {
	t.Parallel()
	for name, in := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(Options{DiscordCDN: true})
			checkSafe(t, string(r.HTML(in, map[string]string{"7": in}, true)))
			checkSafe(t, string(r.inline(in, nil)))
		})
	}
}

func TestASlowLanguageRests(t *testing.T) {
	t.Parallel()
	r := New(Options{})
	const code = "```go\nvar x\n```"
	if got := string(r.HTML(code, nil, false)); !strings.Contains(got, "hl-k") {
		t.Errorf("HTML = %s", got)
	}
	r.resting.rest("go")
	if got := string(r.HTML(code, nil, false)); strings.Contains(got, "hl-") || !strings.Contains(got, "var x") {
		t.Errorf("HTML while Go rests = %s", got)
	}
}

// What matters of these is that each ends, and that no browser has to nest without bound.
func TestHugeAndDeepInputEnds(t *testing.T) {
	t.Parallel()
	fill := func(s string) string { return strings.Repeat(s, maxMarkdown/len([]rune(s))) }
	for name, in := range map[string]string{
		"brackets": fill("["), "link openings": fill("[a]("), "stars": fill("*"), "star pairs": fill("*a "), "nested emphasis": fill("*_"),
		"mixed": fill("**a __b ~~c ||d "), "spoilers": fill("||a"), "backticks": fill("`a``b"), "runs of backticks": ticks(), "fences": fill("```a"),
		"quotes": fill("> "), "quoted lines": fill("> a\n"), "dashes": fill("- "), "staircase": staircase(), "angles": fill("<"), "tokens": fill("<@1>"),
		"addresses": fill("http://a"), "parentheses": "http://a" + fill(")")[:5000], "backslashes": fill(`\`), "newlines": fill("\n"), "tabs": fill("\t"),
		"images": fill("!["), "closings": fill("]("), "numbers": fill("1. "), "hashes": fill("#"), "subtext": fill("-# a\n"),
		"deep emphasis": strings.Repeat("*a _b ", 500) + strings.Repeat("c_ d* ", 500),
		"slow code":     "```perl\n" + fill("s{")[:3900] + "```", "slow code in markdown": "```markdown\n" + fill("[")[:3900] + "```",
		"too long": strings.Repeat("<b>**x** ", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := string(New(Options{}).HTML(in, nil, true))
			checkSafe(t, out)
			if d := depth(out); d > maxDepth*2 {
				t.Errorf("tags nest %d deep", d)
			}
			if len(out) > 200*len(in)+1000 {
				t.Errorf("%d bytes became %d", len(in), len(out))
			}
		})
	}
}

func ticks() string {
	var b strings.Builder
	for i := 1; b.Len() < maxMarkdown-200; i++ {
		b.WriteString(strings.Repeat("`", i) + " ")
	}
	return b.String()
}

func staircase() string {
	var b strings.Builder
	for i := 0; b.Len() < maxMarkdown-300; i++ {
		b.WriteString(strings.Repeat(" ", 2*i) + "- a\n")
	}
	return b.String()
}

func depth(s string) (most int) {
	d := 0
	for i := range len(s) - 1 {
		if s[i] == '<' && s[i+1] == '/' {
			d--
		} else if s[i] == '<' && !strings.HasPrefix(s[i:], "<br>") && !strings.HasPrefix(s[i:], "<img ") {
			d++
		}
		most = max(most, d)
	}
	return most
}

// checkSafe holds every tag, attribute and address of a page's HTML to the list of what render may write.
func checkSafe(t testing.TB, s string) {
	t.Helper()
	if err := safe(s); err != nil {
		t.Errorf("%v in %s", err, clip(s, 2000))
	}
}
