package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidings/web/browsertest"
)

// types presses every key of the help and looks at what it does. The focus is never lost on the way.
func (h *house) types(t *testing.T) {
	general, tides := h.guild.Channel("general"), h.guild.Channel("tides")
	me := credential{token: h.tokens["types"]}
	before := h.say("nets", "before")
	eventually(t, "all that was said before is read", time.Minute, func() bool {
		h.s.call(me, "POST", "/api/messages/read", map[string]any{"all": true, "up_to": before}, nil)
		u := h.s.unread(me)
		return u.channels()[h.guild.Channel("nets")].LastID == before && u.Total == 0
	})
	var ids []string
	for n := range 6 {
		ids = append(ids, h.say([]string{"general", "tides"}[n%2], fmt.Sprintf("typed %d", n)))
	}
	var view struct{ ID string }
	if status := h.s.call(me, "POST", "/api/views", map[string]any{"name": "Tides", "channels": []string{tides}}, &view); status != http.StatusOK {
		t.Fatalf("POST /api/views = %d", status)
	}
	b := h.tab(t, "types", "/")
	browsertest.Do(t, b, evaluate(`(() => { window.opened = []; window.open = (u) => { opened.push(u); return null; };
		Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (s) => { window.copied = s; } } }); })()`))
	walked := map[string]bool{}
	chosen := func(n int) string {
		return `document.activeElement === document.querySelector('article[data-selected]') && document.activeElement.dataset.id === '` + ids[n] + `'`
	}
	step := func(key, then string) {
		t.Helper()
		walked[key] = true
		for _, k := range strings.Fields(key) {
			switch k {
			case "Enter":
				k = "\r"
			case "Escape":
				k = "\x1b"
			}
			press(t, b, k)
		}
		browsertest.Until(t, b, then)
		if key != "g p" { // another page
			browsertest.Until(t, b, `document.activeElement !== document.body`)
		}
	}
	browsertest.Until(t, b, `document.title === '(6) Tidings' && document.querySelectorAll('#stream article').length === 6`)
	step("j", chosen(0))
	step("j", chosen(1))
	step("k", chosen(0))
	step("n", chosen(1))
	step("n", chosen(2))
	step("p", chosen(1))
	step("G", chosen(5))
	step(".", chosen(0))
	step("o", `opened.at(-1) === 'https://discord.com/channels/`+h.guild.ID+`/`+general+`/`+ids[0]+`'`)
	step("c", `copied.endsWith('/c/`+general+`?at=`+ids[0]+`')`)
	step("s", `document.querySelector('#toast').innerText.includes('Saved') && !!document.querySelector('article[data-selected] .kept')`)
	step("x", `document.activeElement.getAttribute('role') === 'menuitem'`)
	step("Escape", `document.querySelector('#menu-box').hidden && `+chosen(0))
	step("m", `document.title === '(5) Tidings'`)
	step("u", `document.title === '(6) Tidings'`)
	step("M", `document.title === 'Tidings'`)
	step("j", chosen(1))
	step("U", `document.title === '(3) Tidings'`)
	step("g f", `location.pathname === '/' && document.querySelectorAll('#stream article').length === 3`)
	step("j", chosen(1))
	step("Enter", `location.pathname === '/c/`+tides+`' && `+chosen(1))
	h.say("general", "typed for J")
	browsertest.Until(t, b, `document.querySelector('[data-open="`+general+`"] .badge')`)
	step("J", `location.pathname === '/c/`+general+`'`)
	h.say("tides", "typed for K")
	browsertest.Until(t, b, `document.querySelector('[data-open="`+tides+`"] .badge')`)
	step("K", `location.pathname === '/c/`+tides+`'`)
	for _, k := range []struct{ key, title string }{{"i", "About this channel"}, {"b", "Pinned"}, {"t", "Threads"}} {
		step(k.key, `!document.querySelector('#beside').hidden && document.activeElement.textContent === '`+k.title+`'`)
		step("Escape", `document.querySelector('#beside').hidden`)
	}
	step("X", `document.activeElement.getAttribute('role') === 'menuitem' && document.querySelector('#menu-box').getAttribute('aria-label') === '#tides' && document.querySelector('#menu-box').innerText.includes('Mute for an hour')`)
	step("Escape", `document.querySelector('#menu-box').hidden`)
	// In the inbox it is the menu of the row that has the focus.
	step("g i", `!!document.activeElement.closest('#channels a[data-open]')`)
	browsertest.Do(t, b, evaluate(`document.querySelector('#channels [data-fold]').focus()`))
	step("X", `document.querySelector('#menu-box').getAttribute('aria-label') === 'Harbour' && document.querySelector('#menu-box').innerText.includes('Notifications')`)
	step("Escape", `document.activeElement.matches('[data-fold]')`)
	step("F", `document.activeElement.id === 'beside-input'`)
	step("Escape", `document.querySelector('#beside').hidden && document.activeElement.id !== 'beside-input'`)
	step("g 1", fmt.Sprintf(`location.search === '?view=%s' && document.querySelector('#title').textContent === 'Tides' && document.querySelectorAll('#stream article').length > 3`, view.ID))
	step("g k", `location.search === '?filter=keywords'`)
	step("v", `document.querySelector('#view-form').open && document.activeElement.id === 'view-name'`)
	step("Escape", `!document.querySelector('#view-form').open`)
	step("g m", `location.search === '?filter=mentions'`)
	step("g a", `location.search === '?filter=all'`)
	step("g s", `location.pathname === '/saved' && document.querySelectorAll('#stream article').length === 1`)
	step("g i", `!!document.activeElement.closest('#channels, #filter, .find')`)
	step("f", `document.activeElement.id === 'filter'`)
	step("Escape", `document.activeElement.id !== 'filter'`)
	step("/", `document.activeElement.id === 'search-input'`)
	step("Escape", `document.activeElement.id !== 'search-input'`)
	step("?", `document.querySelector('#help').open`)
	step("Escape", `!document.querySelector('#help').open`)
	walked["Ctrl+K"] = true
	browsertest.Do(t, b, chromedp.KeyEvent("k", chromedp.KeyModifiers(kb.ModifierCtrl)))
	browsertest.Until(t, b, `document.activeElement.id === 'palette-input'`)
	browsertest.Do(t, b, chromedp.KeyEvent(">everything"))
	browsertest.Until(t, b, `[...document.querySelectorAll('#palette-list li')].some((l) => l.innerText.includes('Mark everything as read'))`)
	browsertest.Do(t, b, evaluate(`(() => { const i = document.querySelector('#palette-input'); i.value = 'gener'; i.dispatchEvent(new Event('input')); })()`))
	browsertest.Until(t, b, `document.querySelector('#palette-list li[aria-selected="true"]').innerText.includes('general')`)
	press(t, b, "\r")
	browsertest.Until(t, b, `location.pathname === '/c/`+general+`'`)
	step("g p", `location.pathname === '/settings'`)
	// The help names no key that was not pressed here.
	browsertest.Do(t, b, evaluate(`import('`+h.asset("keys.js")+`').then((m) => { window.names = m.keys.map((k) => k.key); })`))
	browsertest.Until(t, b, `window.names?.length > 20`)
	pressed, _ := json.Marshal(walked)
	browsertest.Until(t, b, `((left) => { if (left.length) throw new Error('not pressed: ' + left); return true; })(names.filter((k) => !(`+string(pressed)+`)[k]))`)
}
