package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"tidings/web/browsertest"
)

// cannotFetch opens views while the service answers with faults. The page says so where the messages would be, promises nothing else, and shows
// them, all of them, as soon as they can be had.
func (h *house) cannotFetch(t *testing.T) {
	first := h.say("nets", "said before the fault")
	b := h.tab(t, "calm", "/?filter=mentions")
	browsertest.Until(t, b, `document.body.dataset.status === 'live'`)
	// Timers of the page that try again are held, so that each try is made by hand here.
	browsertest.Do(t, b, evaluate(`(() => { const real = window.setTimeout; window.setTimeout = (f, ms, ...rest) => (f.name === 'again' ? (window.due = f, 0) : real(f, ms, ...rest)); })()`))
	fault := evaluate(`(() => { window.real ??= window.fetch; window.fetch = (u, o) => (/^\/api\/(feed|messages)/.test(u)
		? Promise.resolve(new Response('{"status":503,"detail":"The database is away."}', { status: 503 })) : real(u, o)); })()`)
	over := evaluate(`window.fetch = real`)
	browsertest.Do(t, b, fault)
	press(t, b, "g", "f")
	says := `!document.querySelector('#end').hidden && document.querySelector('#end').innerText.includes('The database is away.')
		&& document.querySelector('#end-title').hidden && document.querySelector('#said').textContent.includes('The database is away.')`
	browsertest.Until(t, b, says)
	// What comes meanwhile does not pass for all there is.
	total := `Number(document.querySelector('#total').textContent)`
	browsertest.Do(t, b, evaluate(`window.had = `+total))
	h.say("nets", "said during the fault")
	browsertest.Until(t, b, total+` === had + 1 && !document.querySelector('#stream article') && document.querySelector('#pill').hidden && `+says)
	// Asking again while it lasts changes nothing, and moves nothing.
	browsertest.Do(t, b, evaluate(`(() => { window.asked = 0; const fault = window.fetch; window.fetch = (u, o) => { if (/^\/api\/feed/.test(u)) asked++; return fault(u, o); }; due(); })()`))
	browsertest.Until(t, b, `asked === 1 && `+says)
	browsertest.Do(t, b, over)
	browsertest.Do(t, b, chromedp.Focus(chromedp.CSS(`#end-links button`)))
	press(t, b, "\r")
	whole := `['said before the fault', 'said during the fault'].every((x) => document.querySelector('#stream').innerText.includes(x)) && document.querySelector('#end').hidden`
	browsertest.Until(t, b, whole+` && document.activeElement !== document.body`)

	// By itself, too, and where somebody wanted to begin.
	browsertest.Do(t, b, fault)
	browsertest.Do(t, b, evaluate(`(() => { const a = document.createElement('a'); a.dataset.open = '`+h.guild.Channel("nets")+`'; a.dataset.at = '`+first+`'; document.querySelector('#main').append(a); a.click(); })()`))
	browsertest.Until(t, b, says)
	browsertest.Do(t, b, over, evaluate(`due()`))
	browsertest.Until(t, b, whole+` && document.querySelector('article[data-selected]')?.dataset.id === '`+first+`'`)
}
