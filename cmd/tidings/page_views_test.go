package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"

	"tidings/sim/simtest"
	"tidings/web/browsertest"
)

// click clicks on what a selector finds, as a script would: it need not be in sight.
func click(t *testing.T, b context.Context, selector string) {
	t.Helper()
	browsertest.Until(t, b, `document.querySelector('`+selector+`')`)
	browsertest.Do(t, b, evaluate(`document.querySelector('`+selector+`').click()`))
}

// write puts text into a field, as pasting does.
func write(t *testing.T, b context.Context, selector, text string) {
	t.Helper()
	browsertest.Do(t, b, evaluate(`(() => { const i = document.querySelector('`+selector+`'); i.focus(); i.value = '`+text+`'; i.dispatchEvent(new Event('input', { bubbles: true })); })()`))
}

// savesViews makes a view, sees it count, shares it, gives it an address, deletes it and takes that back.
func (h *house) savesViews(t *testing.T) {
	b := h.tab(t, "views", "/")
	press(t, b, "v")
	browsertest.Until(t, b, `document.querySelector('#view-form').open`)
	click(t, b, "#view-fields button.primary")
	browsertest.Until(t, b, `document.querySelector('#view-form').open`) // it has no name yet
	write(t, b, "#view-name", "Nets alone")
	write(t, b, "#view-where", "nets")
	click(t, b, "#view-places button")
	browsertest.Until(t, b, `document.querySelector('#view-chosen').innerText.includes('#nets')`)
	click(t, b, `[name="unread_only"]`)
	click(t, b, "#view-fields button.primary")
	browsertest.Until(t, b, `location.search.startsWith('?view=') && document.querySelector('#my-views [aria-current] .name').textContent === 'Nets alone'`)
	badge := `Number(document.querySelector('#my-views .badge:last-child')?.textContent ?? 0)`
	browsertest.Until(t, b, `(window.had = `+badge+`, true)`)
	h.say("tides", "not for the view")
	id := h.say("nets", "a herring for the view")
	browsertest.Until(t, b, badge+` === had + 1 && !!document.querySelector('article[data-id="`+id+`"]') && !document.querySelector('#stream').innerText.includes('not for the view')`)
	click(t, b, "#mark")
	browsertest.Until(t, b, badge+` === 0 && document.querySelector('#toast').innerText.includes('Nets alone is read')`)
	press(t, b, "u")
	browsertest.Until(t, b, badge+` === had + 1`)

	click(t, b, "#edit-view")
	browsertest.Until(t, b, `document.querySelector('#view-form').open && document.querySelector('#view-name').value === 'Nets alone' && document.querySelector('[name="unread_only"]').checked`)
	browsertest.Do(t, b, evaluate(`Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (s) => { window.copied = s; } } })`))
	click(t, b, "#view-feed")
	browsertest.Until(t, b, `document.querySelector('#view-secret code') && copied.endsWith('.atom')`)
	address, err := chromedp.Run(b, chromedp.Evaluate[string](`copied`))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.Get(address); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the address for feed readers answers %v %v", answer, err)
	} else {
		answer.Body.Close()
	}
	click(t, b, "#view-share")
	browsertest.Until(t, b, `copied.includes('/?shared=')`)
	link, err := chromedp.Run(b, chromedp.Evaluate[string](`copied`))
	if err != nil {
		t.Fatal(err)
	}
	other := h.tab(t, "shared", link[len(h.s.url):])
	browsertest.Until(t, other, `document.querySelector('#view-form').open && document.querySelector('#view-name').value === 'Nets alone' && document.querySelector('#view-chosen').innerText.includes('#nets')`)
	click(t, other, "#view-fields button.primary")
	browsertest.Until(t, other, `document.querySelector('#my-views').innerText.includes('Nets alone')`)

	click(t, b, "#view-delete")
	browsertest.Until(t, b, `location.search === '' && !document.querySelector('#my-views li') && document.querySelector('#toast').innerText.includes('is deleted')`)
	click(t, b, "#toast button")
	browsertest.Until(t, b, `document.querySelector('#my-views').innerText.includes('Nets alone')`)
	browsertest.Do(t, b, chromedp.KeyEvent("k", chromedp.KeyModifiers(2)))
	browsertest.Until(t, b, `document.querySelector('#palette').open`)
	write(t, b, "#palette-input", "nets al")
	browsertest.Until(t, b, `document.querySelector('#palette-list li').innerText.includes('Nets alone')`)
	press(t, b, "\r")
	browsertest.Until(t, b, `location.search.startsWith('?view=')`)

	h.visit(t, b, "/settings")
	browsertest.Until(t, b, `document.querySelector('#views').innerText.includes('Nets alone') && document.querySelector('#keywords .none')`)
	write(t, b, "#keyword", "Storm warning")
	click(t, b, "#add-keyword button")
	browsertest.Until(t, b, `document.querySelector('#keywords').innerText.includes('Storm warning')`)
	said := h.say("general", "a storm-warning from the coast")
	h.say("general", "storms, warnings")
	h.visit(t, b, "/?filter=keywords")
	browsertest.Until(t, b, `[...document.querySelectorAll('#stream article')].map((a) => a.dataset.id).join() === '`+said+`' && !document.querySelector('#keywords-link').hidden`)
	live := h.say("tides", "STORM WARNING for tonight")
	browsertest.Until(t, b, `!!document.querySelector('article[data-id="`+live+`"]')`)
}

// looksBeside opens a thread, what is pinned and a search beside a channel.
func (h *house) looksBeside(t *testing.T) {
	general := h.guild.Channel("general")
	start := h.say("general", "who mends the nets?")
	var thread struct{ ID string }
	h.d.Must(h.owner.Token, "POST", "/channels/"+general+"/messages/"+start+"/threads", simtest.Object{"name": "Mending"}, &thread)
	h.d.Say(h.owner, thread.ID, "I do, on Mondays")
	h.d.Must(h.owner.Token, "PUT", "/channels/"+general+"/messages/pins/"+start, nil, nil)
	b := h.tab(t, "beside", "/c/"+general)
	browsertest.Until(t, b, `!document.querySelector('#show-threads').hidden`)
	press(t, b, "t")
	click(t, b, ".thread-row")
	browsertest.Until(t, b, `document.querySelector('#beside-title').innerText.includes('Mending') && document.querySelector('#beside-body').innerText.includes('on Mondays') && location.pathname === '/c/`+general+`'`)
	// What was seen beside the channel is read, and what comes is there at once.
	browsertest.Until(t, b, `!document.querySelector('[data-open="`+thread.ID+`"] .badge')`)
	id, _ := h.d.Say(h.owner, thread.ID, "and on Tuesdays")["id"].(string)
	browsertest.Until(t, b, `document.querySelector('#beside article[data-id="`+id+`"]') && !document.querySelector('#stream article[data-id="`+id+`"]')`)
	h.d.Must(h.owner.Token, "DELETE", "/channels/"+thread.ID+"/messages/"+id, nil, nil)
	browsertest.Until(t, b, `!document.querySelector('#beside article[data-id="`+id+`"]')`)
	press(t, b, "j")
	browsertest.Until(t, b, `document.activeElement.matches('#beside article')`)
	press(t, b, "s")
	browsertest.Until(t, b, `document.querySelector('#toast').innerText.includes('Saved')`)
	press(t, b, "\x1b")
	browsertest.Until(t, b, `document.querySelector('#beside').hidden && document.activeElement !== document.body`)

	press(t, b, "b")
	browsertest.Until(t, b, `document.querySelector('#beside article')?.dataset.id === '`+start+`'`)
	press(t, b, "\x1b")
	press(t, b, "F")
	browsertest.Until(t, b, `document.activeElement.id === 'beside-input'`)
	write(t, b, "#beside-input", "mends")
	press(t, b, "\r")
	browsertest.Until(t, b, `document.querySelector('#beside article')?.dataset.id === '`+start+`'`)
	// Around a hit stands what was said there.
	browsertest.Do(t, b, evaluate(`document.querySelector('#beside-scroll').focus()`))
	press(t, b, "j", "\r")
	browsertest.Until(t, b, `document.querySelector('article[data-selected]')?.dataset.id === '`+start+`' && location.search === '?at=`+start+`'`)
	press(t, b, "i")
	browsertest.Until(t, b, `document.querySelector('#beside .facts')?.innerText.includes('Complete since')`)
}

// holdsAPhone walks through the page at 360 px: nothing is wider than the screen, and what is touched is large enough.
func (h *house) holdsAPhone(t *testing.T) {
	b := browsertest.Open(t, h.s.url, h.s.signIn(h.readers["beside"].ID))
	browsertest.Do(t, b, chromedp.EmulateViewport(360, 740))
	fits := `document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('button, a.button, .inbox a, input:not([type="radio"]):not([type="checkbox"])')]
		.filter((n) => n.checkVisibility() && !n.closest('[inert]')).every((n) => { const r = n.getBoundingClientRect(); return r.width >= 24 && r.height >= 24 || !!n.closest('p, .content'); })`
	h.visit(t, b, "/c/"+h.guild.Channel("general"))
	browsertest.Until(t, b, `document.querySelectorAll('#stream article').length > 3 && `+fits)
	click(t, b, "#show-threads")
	browsertest.Until(t, b, `document.querySelector('.thread-row') && document.querySelector('#beside').getBoundingClientRect().width === 360 && `+fits)
	click(t, b, "#beside-close")
	click(t, b, "#menu")
	browsertest.Until(t, b, `document.body.classList.contains('drawer') && document.querySelector('#main').inert && document.querySelector('#inbox').contains(document.activeElement) && `+fits)
	press(t, b, "\x1b")
	browsertest.Until(t, b, `!document.body.classList.contains('drawer') && document.activeElement.id === 'menu'`)
	// What has no room in the bar is in its menu.
	click(t, b, "#mark-more")
	browsertest.Until(t, b, `document.querySelector('#menu-box').innerText.includes('Pinned') && document.querySelector('#menu-box').innerText.includes('About this channel') && document.querySelector('#menu-box').innerText.includes('Mute, notifications and more') && `+fits)
	press(t, b, "\x1b")
	click(t, b, "#menu")
	click(t, b, `[data-view="all"]`)
	browsertest.Until(t, b, `!document.body.classList.contains('drawer') && location.search === '?filter=all' && `+fits)
	click(t, b, "#menu")
	click(t, b, "#new-view")
	browsertest.Until(t, b, `document.querySelector('#view-form').open && `+fits)
	for _, path := range []string{"/settings", "/saved", "/search?q=nets"} {
		h.visit(t, b, path)
		browsertest.Until(t, b, fits)
	}
}

// offline opens a page while there is no line: it says so, and comes back by itself.
func (h *house) offline(t *testing.T) {
	b := h.tab(t, "waits", "/?filter=all")
	browsertest.Do(t, b, evaluate(`navigator.serviceWorker.ready.then((r) => { window.worker = r.active.state; })`))
	browsertest.Until(t, b, `window.worker`)
	h.wire.set(true)
	browsertest.Until(t, b, `document.body.dataset.status !== 'live'`)
	browsertest.Do(t, b, evaluate(`void setTimeout(() => location.reload(), 0)`))
	browsertest.Until(t, b, `document.body.innerText.includes('No connection')`)
	h.wire.set(false)
	browsertest.Until(t, b, `document.body.dataset.status === 'live' && location.search === '?filter=all' && document.querySelectorAll('#stream article').length > 3`)
}
