package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidings/jobs"
	"tidings/jobs/pushtest"
	"tidings/web/browsertest"
)

// TestThePagesConnection is about the one socket that tabs share, and what they do without.
func TestThePagesConnection(t *testing.T) {
	h := newHouse(t, "shares", "polls", "listens")
	t.Run("tabs share one socket", h.sharesASocket)
	t.Run("the socket is blocked", h.pollsWhileBlocked)
	t.Run("little is said aloud", h.saysLittle)
	t.Run("a page without a connection", h.opensOffline)
}

// opensOffline opens a page while nothing can be reached: the service worker has one to show, and it gives way by itself.
func (h *house) opensOffline(t *testing.T) {
	b := h.tab(t, "listens", "/")
	version := strings.Split(h.asset(""), "/")[2]
	browsertest.Until(t, b, `navigator.serviceWorker.getRegistration().then((r) => window.worked = r?.active?.state === 'activated') && window.worked`)
	browsertest.Until(t, b, `caches.keys().then((k) => window.kept = k.join()) && window.kept === 'tidings-`+version+`'`)
	h.wire.set(true)
	other := browsertest.Beside(t, b)
	browsertest.Do(t, other, evaluate(`location.assign('`+h.s.url+`/saved')`))
	browsertest.Until(t, other, `document.querySelector('h1')?.textContent === 'No connection' && getComputedStyle(document.querySelector('.primary')).fontWeight === '600'`)
	h.wire.set(false)
	browsertest.Until(t, other, `location.pathname === '/saved' && document.body.dataset.status === 'live'`)
	browsertest.Until(t, b, `document.body.dataset.status === 'live'`)
}

// saysLittle counts what a screen reader is given to say while much happens.
func (h *house) saysLittle(t *testing.T) {
	b := h.tab(t, "listens", "/c/"+h.guild.Channel("general"))
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false'`)
	browsertest.Do(t, b, evaluate(`(() => { window.said = []; const o = new MutationObserver((l) => said.push(...l.map((m) => (m.target.closest?.('[id]') ?? m.target.parentElement.closest('[id]')).id)));
		for (const n of document.querySelectorAll('[role="status"], [role="alert"], [role="log"], [aria-live]')) o.observe(n, { childList: true, characterData: true, subtree: true }); })()`))
	for n := range 12 {
		h.say("nets", fmt.Sprint("elsewhere ", n))
		h.say("general", fmt.Sprint("here ", n))
	}
	last := h.say("general", "the last of them")
	browsertest.Until(t, b, `!!document.querySelector('article[data-id="`+last+`"]') && /new messages|Ingrid: /.test(document.querySelector('#said').textContent)`)
	browsertest.Until(t, b, `((l) => { if (l.some((id) => id !== 'said') || l.length > 4) throw new Error('said: ' + l); return true; })(said)`)
	// What is said is what the page shows: by name what can be named, and nothing of what is hidden.
	h.visit(t, b, "/c/"+h.guild.Channel("general"))
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false'`)
	h.say("general", "now **in** <#"+h.guild.Channel("nets")+">\nnot <#99>, ||or so||")
	browsertest.Until(t, b, `document.querySelector('#said').textContent === 'Ingrid: now in #nets not #channel, ▒▒▒'`)
}

// sockets is how many live sockets the service holds.
func (h *house) sockets() string {
	h.t.Helper()
	_, text, err := h.s.try(credential{}, "GET", "/metrics", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "tidings_hub_connections "); ok {
			return strings.TrimSpace(n)
		}
	}
	h.t.Fatalf("no metric of connections: %.200s", text)
	return ""
}

func (h *house) sharesASocket(t *testing.T) {
	first := browsertest.Open(t, h.s.url, h.s.signIn(h.readers["shares"].ID))
	// A worker of another build, or of somebody else, must be another one.
	browsertest.Do(t, first, early(`window.SharedWorker = class extends SharedWorker { constructor(url, o) { super(url, o); window.worker = [String(url), o.name]; } };`))
	h.visit(t, first, "/")
	browsertest.Until(t, first, `document.body.dataset.status === 'live' && JSON.stringify(worker) === JSON.stringify([location.origin + '`+h.asset("shared.js?own")+`', '`+h.readers["shares"].ID+`'])`)
	h.say("general", "one")
	browsertest.Until(t, first, `document.title === '(1) Tidings'`)
	second := browsertest.Beside(t, first)
	h.visit(t, second, "/c/"+h.guild.Channel("tides"))
	browsertest.Until(t, second, `document.body.dataset.status === 'live' && document.title === '(1) #tides · Tidings'`)
	if n := h.sockets(); n != "1" {
		t.Errorf("two tabs have %s sockets", n)
	}
	// What the second one watches does not take from the first, nor does its end.
	h.say("general", "two")
	browsertest.Until(t, first, `document.title === '(2) Tidings'`)
	browsertest.Until(t, second, `document.title === '(2) #tides · Tidings'`)
	browsertest.Until(t, first, `document.querySelector('#stream').innerText.includes('two')`)
	browsertest.Do(t, second, chromedp.Navigate("about:blank"))
	h.say("general", "three")
	browsertest.Until(t, first, `document.title === '(3) Tidings' && document.querySelector('#stream').innerText.includes('three')`)
	// A tab that comes later stands where the first does.
	h.visit(t, second, "/")
	browsertest.Until(t, second, `document.body.dataset.status === 'live' && document.title === '(3) Tidings'`)
	press(t, second, "M")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === 'Tidings'`)
	}
	if n := h.sockets(); n != "1" {
		t.Errorf("two tabs have %s sockets", n)
	}
	// Signing out in one is known in the other.
	browsertest.Do(t, second, evaluate(`fetch('/logout', { method: 'POST' })`))
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.body.dataset.status === 'out'`)
	}
}

// early runs a script in every document of the tab before its own.
func early(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})
}

func (h *house) pollsWhileBlocked(t *testing.T) {
	target, err := url.Parse(h.s.url)
	if err != nil {
		t.Fatal(err)
	}
	var blocked atomic.Bool
	blocked.Store(true)
	pass := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/live" && blocked.Load() {
			http.Error(w, "no sockets here", http.StatusForbidden)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	cookie := h.s.signIn(h.readers["polls"].ID)
	shared, own := browsertest.Open(t, proxy.URL, cookie), browsertest.Open(t, proxy.URL, cookie)
	browsertest.Do(t, own, early(`delete window.SharedWorker;`))
	both := []context.Context{shared, own}
	for _, b := range both {
		browsertest.Do(t, b, chromedp.Navigate(proxy.URL+"/"))
		browsertest.Until(t, b, `document.body?.dataset.ready === 'yes' && document.body.dataset.status === 'polling'`)
		browsertest.Until(t, b, `(window.had = Number(document.title.match(/\d+/)?.[0] ?? 0), true)`)
	}
	h.say("nets", "nobody pushes this")
	for _, b := range both {
		browsertest.Until(t, b, `document.title === '(' + (had + 1) + ') Tidings' && document.querySelector('#stream').innerText.includes('nobody pushes this')`)
	}
	blocked.Store(false)
	for _, b := range both {
		browsertest.Until(t, b, `document.body.dataset.status === 'live'`)
	}
	h.say("nets", "pushed again")
	for _, b := range both {
		browsertest.Until(t, b, `document.title === '(' + (had + 2) + ') Tidings'`)
	}
}

// TestNotifications goes the whole way from a message to what a browser shows, while a page is open and while none is.
func TestNotifications(t *testing.T) {
	push := pushtest.Start(t)
	h := newHouseWith(t, func(c *Config) { c.OutgoingHTTP = push.HTTP() }, "asks", "leaves", "tabs")
	t.Run("while a tab is open", h.notifiesOnce)
	t.Run("while none is", func(t *testing.T) { h.pushes(t, push) })
}

// may lets the pages of a tab notify.
func (h *house) may(t *testing.T, tab context.Context) {
	t.Helper()
	if _, err := chromedp.Call(tab, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted, Origin: h.s.url,
		BrowserContextID: chromedp.FromContext(tab).BrowserContextID,
	}); err != nil {
		t.Fatal(err)
	}
}

// look takes the focus from a tab, or gives it back. Without a screen every tab believes to have it, so the page is told otherwise.
func look(t *testing.T, tab context.Context, on bool) {
	t.Helper()
	if _, err := chromedp.Call(tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: on}); err != nil {
		t.Fatal(err)
	}
	browsertest.Do(t, tab, evaluate(fmt.Sprintf(`(() => { document.hasFocus = () => %t; dispatchEvent(new Event('%s')); })()`, on, map[bool]string{true: "focus", false: "blur"}[on])))
}

// shown waits for what the service worker shows, as title and text, a line each.
func shown(t *testing.T, tab context.Context, want ...string) {
	t.Helper()
	b, _ := json.Marshal(strings.Join(want, "\n"))
	browsertest.Do(t, tab, evaluate(`window.asking ??= setInterval(async () => { const r = await navigator.serviceWorker.getRegistration();
		window.notes = ((await r?.getNotifications()) ?? []).map((n) => n.title + ': ' + n.body.replace(/\n/g, ' | ')).sort().join('\n'); }, 50)`))
	browsertest.Until(t, tab, `window.notes === `+string(b))
}

func (h *house) notifiesOnce(t *testing.T) {
	me := credential{token: h.tokens["tabs"]}
	first := h.tab(t, "tabs", "/settings")
	h.may(t, first)
	// The settings, by keyboard alone.
	browsertest.Until(t, first, `document.querySelector('#notify-how').dataset.ready === 'yes'`)
	browsertest.Do(t, first, evaluate(`document.querySelector('input[name="notify"][value="none"]').focus()`))
	press(t, first, kb.ArrowDown) // chooses the next one
	browsertest.Until(t, first, `document.querySelector('input[name="notify"][value="open"]').checked && document.querySelector('#notify-note').textContent.includes('while Tidings is open')`)
	h.visit(t, first, "/c/"+h.guild.Channel("nets"))
	second := browsertest.Beside(t, first)
	h.visit(t, second, "/")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.body.dataset.status === 'live' && navigator.serviceWorker.getRegistration().then((r) => window.worked = !!r?.active) && window.worked`)
	}
	mention := "<@" + h.readers["tabs"].ID + ">"
	h.say("general", "seen while looking "+mention)
	browsertest.Until(t, first, `document.title === '(1) #nets · Tidings'`)
	for _, b := range []context.Context{first, second} {
		// Looking away and back in no time leaves nothing behind.
		browsertest.Do(t, b, evaluate(`(() => { for (const on of [false, true, true]) { document.hasFocus = () => on; dispatchEvent(new Event(on ? 'focus' : 'blur')); } })()`))
		look(t, b, false)
	}
	h.say("general", "come here "+mention+" ||quickly||, to <#"+h.guild.Channel("nets")+"> or <#99>")
	h.say("tides", "nobody needs this")
	shown(t, first, "Ingrid · #general · Harbour: come here @tabs ▒▒▒, to #nets or #channel")
	// Of a channel whose level is all, everything; of one of nothing, nothing. Both tabs hear of each change, ask, and have read the answer.
	for _, b := range []context.Context{first, second} {
		browsertest.Do(t, b, evaluate(`(() => { const ask = fetch; window.flying = 0; window.fetch = async (...a) => {
			flying++;
			try {
				const answer = await ask(...a);
				if (String(a[0]).endsWith('/api/notifications')) answer.clone().json().then((n) => { window.levels = n.levels; });
				return answer;
			} finally {
				setTimeout(() => { flying--; }, 100);
			}
		}; })()`))
	}
	for channel, level := range map[string]string{"tides": "all", "general": "nothing"} {
		if status := h.s.call(me, "PUT", "/api/notifications/levels/"+h.guild.Channel(channel), map[string]any{"level": level}, nil); status != http.StatusOK {
			t.Fatalf("level = %d", status)
		}
		for _, b := range []context.Context{first, second} {
			browsertest.Until(t, b, `window.levels?.some((l) => l.scope === '`+h.guild.Channel(channel)+`' && l.level === '`+level+`') && flying === 0`)
		}
	}
	h.say("general", "be silent "+mention)
	h.say("tides", "and turns again")
	shown(t, first, "Ingrid · #general · Harbour: come here @tabs ▒▒▒, to #nets or #channel", "Ingrid · #tides · Harbour: and turns again")
	h.upload("tides", "table.txt")
	shown(t, first, "Ingrid · #general · Harbour: come here @tabs ▒▒▒, to #nets or #channel", "Ingrid · #tides · Harbour: table.txt")
	// What is read elsewhere goes away.
	var u unread
	h.s.call(me, "GET", "/api/unread", nil, &u)
	h.s.call(me, "POST", "/api/messages/read", map[string]any{"all": true, "up_to": u.channels()[h.guild.Channel("tides")].LastID}, nil)
	shown(t, first)
	h.looks(t, first)
}

// upload has the owner send a file without a word.
func (h *house) upload(channel, name string) {
	h.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	file, err := form.CreateFormFile("files[0]", name)
	if err == nil {
		_, err = io.WriteString(file, "high water at noon")
	}
	if err = errors.Join(err, form.Close()); err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequest("POST", h.d.URL+"/api/v10/channels/"+h.guild.Channel(channel)+"/messages", &b)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", h.owner.Token)
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("the file is answered %d", resp.StatusCode)
	}
}

// pushes has a browser subscribe whose push service is ours, closes its page, and gives it what arrives there.
func (h *house) pushes(t *testing.T, push *pushtest.Service) {
	b := push.Browser()
	subscription, err := json.Marshal(b.Subscription())
	if err != nil {
		t.Fatal(err)
	}
	me := credential{token: h.tokens["leaves"]}
	tab := browsertest.Open(t, h.s.url, h.s.signIn(h.readers["leaves"].ID))
	h.may(t, tab)
	// There is no push service that a test could reach: its answer is given in its place.
	browsertest.Do(t, tab, early(`(() => { let given = null; PushManager.prototype.getSubscription = async () => given;
		PushManager.prototype.subscribe = async (o) => (given = { options: { applicationServerKey: o.applicationServerKey.buffer }, toJSON: () => (`+string(subscription)+`),
			unsubscribe: async () => { given = null; return true; } }); })()`))
	h.visit(t, tab, "/settings")
	browsertest.Until(t, tab, `document.querySelector('#notify-how').dataset.ready === 'yes'`)
	browsertest.Do(t, tab, chromedp.Click(chromedp.CSS(`input[name="notify"][value="push"]`)))
	browsertest.Until(t, tab, `document.querySelector('#browsers').innerText.includes('this one') && document.querySelector('#notify-note').textContent.includes('closed')`)

	mention := "<@" + h.readers["leaves"].ID + ">"
	deleted := h.say("general", "a slip of the tongue")
	h.d.Must(h.owner.Token, "DELETE", "/channels/"+h.guild.Channel("general")+"/messages/"+deleted, nil, nil)
	id := h.say("general", "anybody there, "+mention+"? **bold**")
	arrived := func(n int) jobs.Notice {
		t.Helper()
		eventually(t, fmt.Sprintf("push %d arrives", n), time.Minute, func() bool { return len(b.Pushes()) >= n })
		var got jobs.Notice
		if err := json.Unmarshal(b.Pushes()[n-1].Body, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := arrived(1)
	if got.Title != "Ingrid · #general · Harbour" || got.Body != "anybody there, @leaves? bold" || got.URL != "/c/"+h.guild.Channel("general")+"?at="+id {
		t.Errorf("the browser is told %+v", got)
	}

	// The service worker shows it once, whoever brings it, and nothing while its person looks.
	registration := make(chan string, 1)
	go func() {
		for e, err := range chromedp.Events(tab, serviceworker.WorkerRegistrationUpdated) {
			if err != nil {
				return
			}
			for _, r := range e.Registrations {
				select {
				case registration <- string(r.RegistrationID):
				default:
				}
			}
		}
	}()
	if _, err := chromedp.Call(tab, serviceworker.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	var worker string
	select {
	case worker = <-registration:
	case <-time.After(2 * time.Minute):
		t.Fatal("no service worker is registered")
	}
	deliver := func(data []byte) {
		t.Helper()
		if _, err := chromedp.Call(tab, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
			Origin: h.s.url, RegistrationID: serviceworker.RegistrationID(worker), Data: string(data),
		}); err != nil {
			t.Fatal(err)
		}
	}
	away := func(data ...[]byte) {
		t.Helper()
		browsertest.Do(t, tab, chromedp.Navigate("about:blank"))
		for _, d := range data {
			deliver(d)
		}
		h.visit(t, tab, "/settings")
	}
	notice := func(title string) []byte {
		b, err := json.Marshal(jobs.Notice{Tag: title, Title: title, Body: "one", URL: "/"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	away(b.Pushes()[0].Body)
	shown(t, tab, got.Title+": "+got.Body)
	browsertest.Do(t, tab, evaluate(`navigator.serviceWorker.getRegistration().then(async (r) => { for (const n of await r.getNotifications()) n.close(); })`))
	shown(t, tab)
	deliver(notice("Looking")) // a page with the focus is open
	away(b.Pushes()[0].Body, notice("Away"))
	shown(t, tab, "Away: one")

	// A click on it shows the message in a page that is open.
	h.visit(t, tab, "/")
	browsertest.Do(t, tab, evaluate(`navigator.serviceWorker.dispatchEvent(new MessageEvent('message', { data: { open: { channel: '`+h.guild.Channel("general")+`', id: '`+id+`' } } }))`))
	browsertest.Until(t, tab, `location.pathname === '/c/`+h.guild.Channel("general")+`' && document.querySelector('article[data-selected]')?.dataset.id === '`+id+`'`)

	// While they look, nothing is pushed; nor is what was read then.
	h.visit(t, tab, "/c/"+h.guild.Channel("general"))
	browsertest.Until(t, tab, `document.body.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false'`)
	seen := h.say("general", "you see this "+mention)
	browsertest.Until(t, tab, `!!document.querySelector('article[data-id="`+seen+`"]')`)
	eventually(t, "what is looked at is read", time.Minute, func() bool {
		return h.s.unread(me).channels()[h.guild.Channel("general")].Unread == 0
	})
	// Nor while the words of it are not to be told.
	browsertest.Do(t, tab, chromedp.Navigate(h.s.url+"/settings"))
	browsertest.Until(t, tab, `document.querySelector('#notify-how')?.dataset.ready === 'yes'`)
	browsertest.Do(t, tab, evaluate(`document.querySelector('#notify-words').click()`))
	eventually(t, "words are no longer told", time.Minute, func() bool {
		var n struct{ Browsers []struct{ Words bool } }
		h.s.call(me, "GET", "/api/notifications", nil, &n)
		return len(n.Browsers) == 1 && !n.Browsers[0].Words
	})
	browsertest.Do(t, tab, chromedp.Navigate("about:blank"))
	h.say("tides", "a secret, "+mention)
	if got := arrived(2); got.Title != "You were mentioned" || got.Body != "#tides · Harbour" {
		t.Errorf("without words the browser is told %+v", got)
	}

	// Signing out ends it.
	h.visit(t, tab, "/settings")
	browsertest.Until(t, tab, `document.querySelector('#notify-how')?.dataset.ready === 'yes'`)
	browsertest.Do(t, tab, chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	eventually(t, "no browser is told", time.Minute, func() bool {
		var n struct{ Browsers []any }
		h.s.call(me, "GET", "/api/notifications", nil, &n)
		return len(n.Browsers) == 0
	})
	asked := push.Asked()
	h.say("tides", "too late, "+mention)
	h.say("tides", "really, "+mention)
	eventually(t, "the messages are stored", time.Minute, func() bool {
		return h.s.unread(me).channels()[h.guild.Channel("tides")].Mentions == 3
	})
	if n := push.Asked(); n != asked {
		t.Errorf("after signing out the browser was told %d times", n-asked)
	}
}

// looks holds the settings and the menu of a channel's notifications to their width and to axe, wide and narrow, in light and dark. SHOTS names a
// folder into which pictures of them are put.
func (h *house) looks(t *testing.T, tab context.Context) {
	axe, err := os.ReadFile(filepath.Join(browsertest.Modules(t), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("SHOTS")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1440} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
			if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			check := func(what string) {
				t.Helper()
				browsertest.Until(t, tab, `document.documentElement.scrollWidth <= innerWidth`)
				found, err := chromedp.Run(tab, chromedp.Evaluate[string](string(axe)+`;
					axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.filter((v) => ['moderate', 'serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.help + ' ' + v.nodes[0].html).join('\n'))`, chromedp.EvalAwaitPromise))
				if err != nil || found != "" {
					t.Errorf("%s, %s, %d wide: %v %s", what, scheme, width, err, found)
				}
				if dir == "" {
					return
				}
				picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", what, scheme, width)), picture, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			browsertest.Do(t, tab, chromedp.EmulateViewport(width, 900), chromedp.Navigate(h.s.url+"/settings"))
			browsertest.Until(t, tab, `document.querySelector('#notify-how')?.dataset.ready === 'yes'`)
			check("settings")
			tides := h.guild.Channel("tides")
			h.visit(t, tab, "/c/"+tides)
			browsertest.Do(t, tab, evaluate(`(() => { document.querySelector('[data-open="`+tides+`"]').dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: 60, clientY: 200 }));
				[...document.querySelectorAll('#menu-box button')].find((b) => b.innerText.includes('Notifications')).click(); })()`))
			browsertest.Until(t, tab, `document.querySelectorAll('#menu-box [role="menuitemradio"]').length === 4 && document.querySelector('#menu-box [aria-checked="true"]').innerText === 'Every message'`)
			check("menu")
		}
	}
}
