package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/web/browsertest"
)

// wire is the way from the browser to the service, which can be cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// newWire lets connections to the address that it returns through to another, until the test ends.
func newWire(t *testing.T, to string) (*wire, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wire{conns: map[net.Conn]bool{}}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || !p.keep(in, out) {
				in.Close()
				if out != nil {
					out.Close()
				}
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				done.Go(func() {
					io.Copy(way[0], way[1])
					way[0].Close()
					way[1].Close()
					p.forget(way[0])
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.set(true)
		done.Wait()
	})
	return p, "http://" + l.Addr().String()
}

func (p *wire) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.cut
}

func (p *wire) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// set cuts the line, with all that goes over it, or mends it.
func (p *wire) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			c.Close()
		}
	}
}

// house is a service with a community, over a line to the browsers; each reader reads for one test alone.
type house struct {
	t       *testing.T
	d       *simtest.Running
	c       *Config
	s       *service
	wire    *wire
	owner   simtest.Person
	guild   simtest.Guild
	readers map[string]simtest.Person
	tokens  map[string]string
}

func newHouse(t *testing.T, readers ...string) *house {
	t.Helper()
	return newHouseWith(t, func(*Config) {}, readers...)
}

// newHouseWith is newHouse with other settings.
func newHouseWith(t *testing.T, change func(*Config), readers ...string) *house {
	t.Helper()
	h := &house{t: t, d: simtest.Start(t, sim.Options{}), readers: map[string]simtest.Person{}, tokens: map[string]string{}}
	h.owner = h.d.Person("Ingrid")
	var members []simtest.Person
	for _, r := range readers {
		h.readers[r] = h.d.Person(r)
		members = append(members, h.readers[r])
	}
	h.guild = h.d.Guild("Harbour", h.owner, members, []string{"general", "tides", "nets", "secret", "hostile"}, nil)
	h.c = configFor(t, h.d)
	h.c.Listen = freeAddress(t)
	if p, ok := h.readers["audits"]; ok {
		h.c.Admins = []string{p.ID} // who looks at every page looks at those of operators too
	}
	change(h.c)
	h.wire, h.c.PublicURL = newWire(t, h.c.Listen)
	h.s = start(t, h.c)
	for _, r := range readers {
		h.tokens[r] = makeToken(t, h.c, h.readers[r].ID)
		eventually(t, r+" may read", time.Minute, func() bool { return len(h.s.unread(credential{token: h.tokens[r]}).channels()) == 5 })
	}
	return h
}

// tab opens a page as a reader.
func (h *house) tab(t *testing.T, reader, path string) context.Context {
	t.Helper()
	ctx := browsertest.Open(t, h.s.url, h.s.signIn(h.readers[reader].ID))
	h.visit(t, ctx, path)
	return ctx
}

func (h *house) visit(t *testing.T, ctx context.Context, path string) {
	t.Helper()
	browsertest.Do(t, ctx, chromedp.Navigate(h.s.url+path))
	browsertest.Until(t, ctx, `document.body?.dataset.status === 'live' || document.body?.dataset.ready === 'yes'`)
}

func (h *house) say(channel, text string) string {
	h.t.Helper()
	id, _ := h.d.Say(h.owner, h.guild.Channel(channel), text)["id"].(string)
	return id
}

func press(t *testing.T, ctx context.Context, keys ...string) {
	t.Helper()
	for _, k := range keys {
		browsertest.Do(t, ctx, chromedp.KeyEvent(k))
	}
}

// TestThePage lets a real browser do what people do, on one service.
func TestThePage(t *testing.T) {
	h := newHouse(t, "marks", "loses", "scrolls", "searches", "types", "swipes", "waits", "audits", "views", "beside", "shared", "calm")
	t.Run("mark all and undo in two browsers", h.marksInTwoBrowsers)
	t.Run("a permission is lost while looking", h.losesAChannel)
	t.Run("scrolling through a long history", h.scrolls)
	t.Run("search", h.searches)
	t.Run("a walk over every key", h.types)
	t.Run("swipe to read on a phone", h.swipes)
	t.Run("views and keywords", h.savesViews)
	t.Run("threads, pins and a search beside the channel", h.looksBeside)
	t.Run("a phone", h.holdsAPhone)
	t.Run("what comes up is calm", h.keepsCalm)
	t.Run("a large zoom", h.zooms)
	t.Run("a system's own colours", h.forcedColours)
	t.Run("views have names", h.names)
	t.Run("what cannot be fetched is not called empty", h.cannotFetch)
	t.Run("hostile messages stay text", h.hostile)
	t.Run("other directions and less motion", h.turns)
	t.Run("axe finds nothing", h.accessible)
	t.Run("the line is cut and the service restarts while looking", h.waits)
	t.Run("offline and back", h.offline)
}

func (h *house) marksInTwoBrowsers(t *testing.T) {
	first, second := h.tab(t, "marks", "/"), h.tab(t, "marks", "/c/"+h.guild.Channel("nets"))
	h.say("general", "one")
	h.say("tides", "two <@"+h.readers["marks"].ID+">")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title.startsWith('(2) ')`)
		browsertest.Until(t, b, `document.querySelector('#icon').getAttribute('href') === '/icon.svg?mentions=1'`)
	}
	press(t, first, "M")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `!document.title.startsWith('(')`)
	}
	browsertest.Until(t, first, `document.querySelector('#end-title').textContent === 'All caught up' && !document.querySelector('#end').hidden`)
	press(t, first, "u")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title.startsWith('(2) ') && document.querySelector('#channels .badge.alert').textContent === '@1'`)
	}
	// A mute is followed too: what is muted does not count, and is dimmed.
	if status := h.s.call(credential{token: h.tokens["marks"]}, "PUT", "/api/mutes/"+h.guild.Channel("general"), map[string]any{}, nil); status != http.StatusOK {
		t.Fatalf("mute = %d", status)
	}
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title.startsWith('(1) ') && document.querySelector('[data-open="`+h.guild.Channel("general")+`"]').classList.contains('muted')`)
	}
}

func (h *house) losesAChannel(t *testing.T) {
	secret := h.guild.Channel("secret")
	h.say("secret", "the password is tide")
	b := h.tab(t, "loses", "/c/"+secret)
	browsertest.Until(t, b, `document.querySelector('#stream').innerText.includes('the password is tide')`)
	h.d.Must(h.owner.Token, "PUT", "/channels/"+secret+"/permissions/"+h.guild.ID, simtest.Object{"type": 0, "deny": "1024", "allow": "0"}, nil)
	browsertest.Until(t, b, `location.pathname === '/' && document.querySelector('#toast').innerText.includes('no longer read')`)
	browsertest.Until(t, b, `!document.querySelector('[data-open="`+secret+`"]') && !document.body.innerText.includes('the password is tide')`)
	h.d.Must(h.owner.Token, "DELETE", "/channels/"+secret+"/permissions/"+h.guild.ID, nil, nil)
}

func (h *house) scrolls(t *testing.T) {
	const messages = 420
	var lines []map[string]any
	for n := 1; n <= messages; n++ {
		lines = append(lines, map[string]any{"channel": "long", "at": "09:14", "nick": fmt.Sprintf("nick%d", n%7), "text": fmt.Sprintf("line %d.", n)})
	}
	h.d.Sim200("POST", "/sim/replay", map[string]any{"lines": lines, "guild": h.guild.ID, "rate": 0}, nil)
	me := credential{token: h.tokens["scrolls"]}
	long := ""
	eventually(t, "the history is stored", time.Minute, func() bool {
		for id, c := range h.s.unread(me).channels() {
			if c.Unread == messages {
				long = id
			}
		}
		return long != ""
	})
	b := h.tab(t, "scrolls", "/c/"+long)
	browsertest.Until(t, b, `document.querySelector('#stream').innerText.includes('line 420.')`)
	// The first unread message is far above; the banner leads there.
	browsertest.Until(t, b, `document.querySelector('#recovered button')?.textContent === 'Begin at the first'`)
	scroll := func(to string, until string) {
		t.Helper()
		browsertest.Until(t, b, `(() => {
			const s = document.querySelector('#scroll');
			if (document.querySelectorAll('#stream article').length > 300) throw new Error('the page holds too much');
			if (`+until+`) return true;
			s.scrollTop = `+to+`;
			s.dispatchEvent(new WheelEvent('wheel')); // at the very edge nothing scrolls
			return false;
		})()`)
	}
	has := func(n int) string {
		return fmt.Sprintf(`[...document.querySelectorAll('#stream .content')].some((c) => c.textContent === 'line %d.')`, n)
	}
	scroll("Math.max(0, s.scrollTop - 1500)", has(1))
	browsertest.Until(t, b, `!`+has(messages)+` && document.querySelector('#older').hidden`)
	scroll("s.scrollTop + 1500", has(messages))
	browsertest.Until(t, b, `!`+has(1))
	// In order, nothing twice, nothing missing.
	browsertest.Until(t, b, `(() => {
		const n = [...document.querySelectorAll('#stream .content')].map((c) => Number(c.textContent.match(/\d+/)[0]));
		return n.length > 100 && n.every((x, i) => i === 0 || x === n[i - 1] + 1);
	})()`)
	// The place is kept while something comes in below, and over a reload.
	browsertest.Do(t, b, evaluate(`document.querySelector('#scroll').scrollTop -= 2000`))
	browsertest.Until(t, b, `(window.place = (() => {
		const top = document.querySelector('#scroll').getBoundingClientRect().top;
		const n = [...document.querySelectorAll('#stream article')].find((a) => a.getBoundingClientRect().bottom > top + 8);
		return { id: n.dataset.id, top: n.getBoundingClientRect().top };
	})()) && true`)
	h.d.Say(h.owner, long, "below")
	browsertest.Until(t, b, `document.querySelector('#pill').textContent === '1 new ↓' && !document.querySelector('#pill').hidden`)
	still := `Math.abs(document.querySelector('article[data-id="' + place.id + '"]').getBoundingClientRect().top - place.top) < 3`
	browsertest.Until(t, b, still)
	browsertest.Until(t, b, `(sessionStorage.setItem('test-place', JSON.stringify(place)), true)`)
	browsertest.Do(t, b, chromedp.Reload())
	browsertest.Until(t, b, `document.body?.dataset.ready === 'yes' && (window.place = JSON.parse(sessionStorage.getItem('test-place'))) && document.querySelector('article[data-id="' + place.id + '"]') && `+still)
	press(t, b, "G")
	browsertest.Until(t, b, `document.querySelector('article[data-selected]')?.innerText.includes('below') && document.querySelector('#pill').hidden`)
}

func (h *house) searches(t *testing.T) {
	h.say("nets", "the quick brown herring")
	wanted := h.say("nets", "a herring of another colour")
	h.say("tides", "herring at low tide")
	b := h.tab(t, "searches", "/")
	press(t, b, "/")
	browsertest.Until(t, b, `location.pathname === '/search' && document.activeElement.id === 'search-input'`)
	browsertest.Do(t, b, evaluate(`document.activeElement.value = ''`)) // the protocol types the key itself, too
	browsertest.Do(t, b, chromedp.KeyEvent("herring -quick in:nets\r"))
	browsertest.Until(t, b, `location.search.includes('herring') && [...document.querySelectorAll('#stream article')].map((a) => a.dataset.id).join() === '`+wanted+`'`)
	browsertest.Until(t, b, `document.activeElement.id === 'scroll'`) // so that the keys walk over what was found
	press(t, b, "j", "\r")
	browsertest.Until(t, b, `location.pathname === '/c/`+h.guild.Channel("nets")+`' && document.querySelector('article[data-selected]')?.dataset.id === '`+wanted+`'`)
	browsertest.Until(t, b, `document.querySelector('#stream').innerText.includes('quick brown')`) // what stood around it
	// What cannot be understood is said, not swallowed.
	h.visit(t, b, "/search?q=has:wings")
	browsertest.Until(t, b, `document.querySelector('#end').classList.contains('fault') && document.querySelector('#end-text').textContent.includes('has:wings')`)
}

// asset is the address of one of the page's files.
func (h *house) asset(name string) string {
	h.t.Helper()
	answer, err := http.Get(h.s.url + "/offline")
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	page, _ := io.ReadAll(answer.Body)
	_, rest, _ := strings.Cut(string(page), `"/static/`)
	version, _, _ := strings.Cut(rest, "/")
	return "/static/" + version + "/" + name
}

func (h *house) swipes(t *testing.T) {
	h.say("tides", "swipe me")
	b := browsertest.Open(t, h.s.url, h.s.signIn(h.readers["swipes"].ID))
	if _, err := chromedp.Call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	browsertest.Do(t, b, chromedp.EmulateViewport(360, 740))
	h.visit(t, b, "/")
	browsertest.Until(t, b, `[...document.querySelectorAll('#stream article')].some((a) => a.innerText.includes('swipe me'))`)
	browsertest.Until(t, b, `document.documentElement.scrollWidth <= innerWidth`)
	at, err := chromedp.Run(b, chromedp.Evaluate[[]float64](`(() => {
		const a = [...document.querySelectorAll('#stream article')].find((x) => x.innerText.includes('swipe me'));
		a.scrollIntoView({ block: 'center' });
		const r = a.getBoundingClientRect();
		window.before = document.title;
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`))
	if err != nil {
		t.Fatal(err)
	}
	point := func(kind input.DispatchTouchEventType, by float64) {
		t.Helper()
		p := input.DispatchTouchEventParams{Type: kind, TouchPoints: []*input.TouchPoint{}}
		if kind != input.DispatchTouchEventTypeTouchEnd {
			p.TouchPoints = append(p.TouchPoints, &input.TouchPoint{X: at[0] + by, Y: at[1]})
		}
		if _, err := chromedp.Call(b, input.DispatchTouchEvent, p); err != nil {
			t.Fatal(err)
		}
	}
	point(input.DispatchTouchEventTypeTouchStart, 0)
	for by := -20.0; by >= -120; by -= 20 {
		point(input.DispatchTouchEventTypeTouchMove, by)
	}
	point(input.DispatchTouchEventTypeTouchEnd, 0)
	browsertest.Until(t, b, `document.querySelector('#toast').innerText.includes('Read up to here in #tides') && document.title !== before`)
}

func (h *house) hostile(t *testing.T) {
	b := h.tab(t, "audits", "/c/"+h.guild.Channel("hostile"))
	browsertest.Do(t, b, evaluate(`window.hit = (window.alert = () => { window.fell = true; })`))
	for _, text := range []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg/onload=alert(1)>`, `[go](javascript:alert(1))`, `<javascript:alert(1)>`,
		`[a](https://e.test/"onmouseover="alert(1))`, "```html\n<script>alert(1)</script>\n```", "`<b onclick=alert(1)>`", `||<iframe src=javascript:alert(1)>||`,
		"# <marquee>", `<t:99999999999999:R> <t:0:R> <#1> <@&1> <@1> </x:1> <a:b:1>`, "\u202egnp.exe\u202c and \u2066more", strings.Repeat("Z\u0310\u0311\u0312\u0313\u0314", 300),
		strings.Repeat("> ", 300) + "deep", strings.Repeat("*_~~||", 200) + "x", strings.Repeat("W", 1900), strings.Repeat("- a\n  ", 250), "\x00\u2028\u2029\ufeff",
		`https://example.org/?a=<script>alert(1)</script>&"'`, strings.Repeat("[", 900), `</bdi></article></main><form action=//evil.test><input name=x>`,
	} {
		h.say("hostile", text)
	}
	last := h.say("hostile", "the last of them")
	browsertest.Until(t, b, `!!document.querySelector('article[data-id="`+last+`"]')`)
	check := `!window.fell && !document.querySelector('#stream :is(script, iframe, object, embed, form, input, svg, marquee, style, link)')
		&& [...document.querySelectorAll('#stream *')].every((n) => [...n.attributes].every((a) => !/^on/i.test(a.name) && !/^\s*(javascript|data|vbscript):/i.test(a.value)))
		&& [...document.querySelectorAll('#stream a')].every((a) => ['http:', 'https:'].includes(a.protocol))
		&& document.documentElement.scrollWidth <= innerWidth && document.querySelector('#scroll').scrollWidth <= document.querySelector('#scroll').clientWidth`
	browsertest.Until(t, b, check)
	browsertest.Until(t, b, `[...document.querySelectorAll('#stream .content')].some((c) => c.textContent === '<script>alert(1)</script>')`)
	h.visit(t, b, "/c/"+h.guild.Channel("hostile"))
	browsertest.Until(t, b, `!!document.querySelector('article[data-id="`+last+`"]') && `+check)
	answer, err := http.Get(h.s.url + "/offline")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q", policy)
	}
}

// turns reads what is written from right to left, and asks for less motion.
func (h *house) turns(t *testing.T) {
	hebrew, mixed := h.say("hostile", "שלום עולם\n> ציטוט\n- נקודה"), h.say("hostile", "an English word, then שלום")
	b := h.tab(t, "audits", "/c/"+h.guild.Channel("hostile"))
	direction := func(id string) string {
		return `getComputedStyle(document.querySelector('article[data-id="` + id + `"] .content')).direction`
	}
	browsertest.Until(t, b, direction(hebrew)+` === 'rtl' && `+direction(mixed)+` === 'ltr'`)
	// It begins at the right, and moves nothing around it.
	browsertest.Until(t, b, `(() => {
		const text = document.createRange(), p = document.querySelector('article[data-id="`+hebrew+`"] .content p'), box = p.getBoundingClientRect();
		text.selectNodeContents(p);
		return Math.abs(text.getBoundingClientRect().right - box.right) < 2 && getComputedStyle(document.querySelector('#stream')).direction === 'ltr';
	})()`)
	// The bar of a quotation and the points of a list stand where its lines begin.
	browsertest.Until(t, b, `(() => {
		const of = (s) => getComputedStyle(document.querySelector('article[data-id="`+hebrew+`"] .content ' + s));
		return of('blockquote').borderRightWidth === '3px' && of('blockquote').borderLeftWidth === '0px' && parseFloat(of('ul').paddingRight) > 8;
	})()`)
	motion := func(how string) {
		t.Helper()
		if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: how}}}); err != nil {
			t.Fatal(err)
		}
	}
	press(t, b, "j", "c") // says that the link was copied, or that it could not be
	browsertest.Until(t, b, `getComputedStyle(document.querySelector('#toast div')).animationName === 'rise'`)
	motion("reduce")
	press(t, b, "c")
	browsertest.Until(t, b, `getComputedStyle(document.querySelector('#toast div')).animationName === 'none' && document.getAnimations().length === 0`)
}

// accessible has axe look at every page, in light and dark. Its rules of impact moderate, serious and critical must hold.
func (h *house) accessible(t *testing.T) {
	axe, err := os.ReadFile(filepath.Join(browsertest.Modules(t), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	h.say("general", "a mention of <@"+h.readers["audits"].ID+">, `code`, ||a spoiler|| and a [link](https://example.org)\n```go\nvar x = 1 // one\n```\n> quoted\n-# small")
	h.d.Must(h.owner.Token, "POST", "/channels/"+h.guild.Channel("general")+"/messages", simtest.Object{"content": "", "poll": simtest.Object{"question": simtest.Object{"text": "Tea?"},
		"answers": []any{simtest.Object{"poll_media": simtest.Object{"text": "Yes"}}, simtest.Object{"poll_media": simtest.Object{"text": "No"}}}, "duration": 24}}, nil)
	b := h.tab(t, "audits", "/")
	for _, p := range []struct{ path, act string }{
		{"/", ""}, {"/", `document.querySelector('#keys').click()`}, {"/?filter=all", ""}, {"/?filter=mentions", ""}, {"/c/" + h.guild.Channel("general"), ""}, {"/?filter=keywords", ""},
		{"/", `document.querySelector('#new-view').click()`}, {"/", `document.querySelector('#mark-more').click()`},
		{"/c/" + h.guild.Channel("general"), `document.querySelector('#show-about').click()`}, {"/c/" + h.guild.Channel("general"), `document.querySelector('#show-find').click()`},
		{"/c/" + h.guild.Channel("general"), `document.querySelector('#show-pins').click()`},
		{"/c/" + h.guild.Channel("general"), `document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true }))`},
		{"/c/" + h.guild.Channel("general"), `document.querySelector('#show-threads').click()`},
		{"/search?q=mention", ""}, {"/search?q=has:wings", ""}, {"/saved", ""}, {"/settings", ""}, {"/offline", ""}, {"/nothing", ""}, {"/login/callback?error=access_denied", ""},
		{"/status", ""}, {"/api", ""}, {"/admin", ""}, {"/admin/servers/" + h.guild.ID, ""}, {"/admin/jobs", ""}, {"/admin/people", ""}, {"/admin/audit", ""}, {"/admin/me", ""},
		{"/signed-out", ""},
	} {
		if p.path == "/signed-out" { // the last one: what somebody sees who is not signed in
			b, p.path = browsertest.Open(t, h.s.url), "/"
		}
		for _, scheme := range []string{"light", "dark"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
			if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			browsertest.Do(t, b, chromedp.Navigate(h.s.url+p.path))
			browsertest.Until(t, b, `document.readyState === 'complete' && (!document.body.classList.contains('app') || (document.body.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false'))
				&& (!document.body.classList.contains('settings') || document.body.dataset.ready === 'yes')`)
			if p.act != "" {
				browsertest.Do(t, b, evaluate(p.act))
				browsertest.Until(t, b, `document.querySelector('dialog[open], #menu-box:not([hidden]), #beside[aria-busy="false"]:not([hidden])')`)
			}
			found, err := chromedp.Run(b, chromedp.Evaluate[string](string(axe)+`;
				axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.filter((v) => ['moderate', 'serious', 'critical'].includes(v.impact))
					.map((v) => v.id + ': ' + v.help + '\n' + v.nodes.slice(0, 4).map((n) => '    ' + n.html.slice(0, 200) + ' | ' + n.failureSummary.replace(/\s+/g, ' ')).join('\n')).join('\n'))`, chromedp.EvalAwaitPromise))
			if err != nil {
				t.Fatal(err)
			}
			if found != "" {
				t.Errorf("%s %s %s:\n%s", p.path, p.act, scheme, found)
			}
			if p.act == "" && scheme == "dark" { // and each fits a phone
				browsertest.Do(t, b, chromedp.EmulateViewport(360, 740))
				browsertest.Until(t, b, `innerWidth === 360 && document.documentElement.scrollWidth <= innerWidth`)
				browsertest.Do(t, b, chromedp.EmulateViewport(1280, 800))
			}
		}
	}
}

// waits loses the connection, and then the service, while somebody looks. The page comes back by itself and is right.
func (h *house) waits(t *testing.T) {
	b := h.tab(t, "waits", "/")
	browsertest.Do(t, b, evaluate(`window.untouched = true`))
	general := h.guild.Channel("general")
	badge := `Number(document.querySelector('[data-open="` + general + `"] .badge:last-child')?.textContent ?? 0)`
	browsertest.Until(t, b, `(window.had = `+badge+`, true)`)
	// Whoever looks at the newest is shown what comes; whoever reads elsewhere keeps their place.
	latest := func() {
		browsertest.Until(t, b, `(() => { const s = document.querySelector('#scroll'), l = document.querySelector('#pill'); if (l && !l.hidden) l.click(); s.scrollTop = s.scrollHeight; return s.scrollHeight - s.scrollTop - s.clientHeight < 4 })()`)
	}
	latest()
	h.wire.set(true)
	browsertest.Until(t, b, `document.body.dataset.status !== 'live'`)
	h.say("general", "said while the line was cut")
	// A page that is opened now says that there is no connection, and comes back too.
	h.wire.set(false)
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && `+badge+` === had + 1`)
	browsertest.Until(t, b, `document.querySelector('#stream').innerText.includes('said while the line was cut')`)

	latest()
	if err := h.s.stop(); err != nil {
		t.Fatal(err)
	}
	browsertest.Until(t, b, `document.body.dataset.status !== 'live'`)
	h.say("general", "said while the service was down")
	h.s = start(h.t, h.c)
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && `+badge+` === had + 2`)
	browsertest.Until(t, b, `document.querySelector('#stream').innerText.includes('said while the service was down')`)
	h.say("general", "and live again")
	browsertest.Until(t, b, badge+` === had + 3 && window.untouched === true`)
}
