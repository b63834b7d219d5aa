package main

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tidings/web/browsertest"
)

// zooms reads at 200 % on a small laptop, where a page has 640 × 400 px: every channel can be brought into sight, and the way to the settings stays.
func (h *house) zooms(t *testing.T) {
	for n := range 3 {
		for _, channel := range []string{"general", "tides", "nets"} {
			h.say(channel, "zoomed "+string(rune('a'+n)))
		}
	}
	b := browsertest.Open(t, h.s.url, h.s.signIn(h.readers["calm"].ID))
	browsertest.Do(t, b, chromedp.EmulateViewport(640, 400))
	h.visit(t, b, "/?filter=all")
	// However little room there is, who, where and when are one line, and the name is the last of them that is cut.
	browsertest.Until(t, b, `(() => {
		const a = document.querySelector('#stream article:has(.where)'), header = a?.querySelector('header'), author = a?.querySelector('.author');
		if (!header) return false;
		a.querySelector('.where bdi').textContent = 'a channel with a name of a hundred letters '.repeat(3);
		const line = (n) => n.getBoundingClientRect().height < 1.7 * parseFloat(getComputedStyle(n).fontSize);
		const named = line(header) && author.scrollWidth <= author.clientWidth + 1 && header.scrollWidth <= header.clientWidth;
		author.textContent = 'W'.repeat(100);
		return named && line(header) && header.scrollWidth <= header.clientWidth && header.querySelector('time').getBoundingClientRect().right <= innerWidth;
	})()`)
	browsertest.Until(t, b, `document.querySelectorAll('#channels a[data-open]').length >= 3`)
	click(t, b, "#menu")
	browsertest.Until(t, b, `document.body.classList.contains('drawer')`)
	browsertest.Until(t, b, `[...document.querySelectorAll('#channels a[data-open], #filter, [href="/settings"]')].every((n) => {
		n.scrollIntoView({ block: 'center' });
		const r = n.getBoundingClientRect();
		return n === document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) || n.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2));
	}) && document.documentElement.scrollWidth <= innerWidth`)
	// Somebody who tabs to a channel sees more than a line of the list.
	browsertest.Until(t, b, `(() => { document.querySelector('#channels a[data-open]').focus(); const f = document.querySelector('#inbox footer').getBoundingClientRect();
		return [...document.querySelectorAll('#channels a[data-open]')].filter((n) => { const r = n.getBoundingClientRect(); return r.top >= 0 && r.bottom <= f.top; }).length >= 3; })()`)
}

// forcedColours reads with the few colours of a system's high contrast: backgrounds are gone, and where one is can be seen all the same.
func (h *house) forcedColours(t *testing.T) {
	h.say("tides", "plain before ||hidden words|| and after")
	h.say("tides", "<@"+h.readers["calm"].ID+"> look")
	b := h.tab(t, "calm", "/c/"+h.guild.Channel("tides"))
	if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "forced-colors", Value: "active"}}}); err != nil {
		t.Fatal(err)
	}
	lined := func(selector string) string {
		return `((n) => n && ['outline', 'border-inline-start'].some((x) => getComputedStyle(n)[x.replace(/-(.)/g, (_, c) => c.toUpperCase()) + 'Style'] === 'solid' && parseFloat(getComputedStyle(n).getPropertyValue(x + '-width')) >= 2))(document.querySelector('` + selector + `'))`
	}
	browsertest.Until(t, b, `!!document.querySelector('.spoiler') && !!document.querySelector('.message.mentions-me') && document.body.dataset.status === 'live'`)
	browsertest.Until(t, b, lined(".message.mentions-me")+` && `+lined(`#channels a[aria-current="page"]`)+` && !(`+lined(".message:not(.mentions-me, [data-selected])")+`)`)
	// What is hidden stays so until it is asked for.
	browsertest.Until(t, b, `((s) => s.color === s.backgroundColor)(getComputedStyle(document.querySelector('.spoiler')))`)
	press(t, b, "k", "k")
	browsertest.Until(t, b, lined(".message[data-selected]:not(.mentions-me)"))
	press(t, b, "x")
	browsertest.Until(t, b, `document.activeElement.getAttribute('role') === 'menuitem' && `+lined("#menu-box :focus"))
	press(t, b, "\x1b")
	browsertest.Do(t, b, evaluate(`document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true }))`))
	browsertest.Until(t, b, lined(`#palette-list [aria-selected="true"]`)+` && !(`+lined(`#palette-list [aria-selected="false"]`)+`)`)
}

// names goes from view to view by keyboard: tabs and the history are called after what they show, and who listens is told where a key has led.
func (h *house) names(t *testing.T) {
	h.say("tides", "<@"+h.readers["calm"].ID+"> where are you?")
	b := h.tab(t, "calm", "/?filter=all")
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && /^\(\d+\) Everything · Tidings$/.test(document.title) && document.querySelector('#said').textContent === ''`)
	press(t, b, "J")
	browsertest.Until(t, b, `location.pathname.startsWith('/c/') && document.title.endsWith('#' + document.querySelector('#channels a[aria-current] bdi').textContent + ' · Tidings')
		&& /^tides, Harbour, \d+ unread messages?$/.test(document.querySelector('#said').textContent)`)
	press(t, b, "g", "s")
	browsertest.Until(t, b, `document.title.endsWith('Saved · Tidings') && document.querySelector('#said').textContent === 'Saved'`)
	press(t, b, "g", "f")
	browsertest.Until(t, b, `/^(\(\d+\) )?Tidings$/.test(document.title) && document.querySelector('#said').textContent === 'Unread'`)
	// The server says the same as the page.
	browsertest.Do(t, b, evaluate(`fetch('/c/`+h.guild.Channel("tides")+`').then((a) => a.text()).then((x) => { window.served = new DOMParser().parseFromString(x, 'text/html').title; })`))
	browsertest.Until(t, b, `/^(\(\d+\) )?#tides · Tidings$/.test(window.served)`)
	// Who has no keywords is shown the way to some.
	if status := h.s.call(credential{token: h.tokens["calm"]}, "PUT", "/api/keywords", map[string]any{"keywords": []string{}}, nil); status != http.StatusOK {
		t.Fatalf("PUT /api/keywords = %d", status)
	}
	h.visit(t, b, "/?filter=keywords")
	browsertest.Until(t, b, `document.querySelector('#end-text').textContent.startsWith('You have no keywords yet') && document.querySelector('#end-links a').checkVisibility()`)
	click(t, b, "#end-links a")
	browsertest.Until(t, b, `location.pathname === '/settings' && location.hash && document.getElementById(location.hash.slice(1)).textContent === 'Keywords'`)
}
