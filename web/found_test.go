package web

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// standsOut is an expression for what stands out in a place of the page, and contrast one for how well it can be read there.
const (
	standsOut = `((place) => [...(CSS.highlights.get(place) ?? [])].filter((r) => r.startContainer.isConnected).map((r) => r.startContainer.data.slice(r.startOffset, r.endOffset)).join('|'))`
	contrast  = `((theme) => {
		document.documentElement.dataset.theme = theme;
		const style = getComputedStyle(document.querySelector('#stream .content'), '::highlight(found)');
		const light = (c) => c.match(/\d+/g).slice(0, 3).map((x) => x / 255).map((x) => (x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)).reduce((n, x, i) => n + x * [.2126, .7152, .0722][i], .05);
		const [a, b] = [light(style.color), light(style.backgroundColor)];
		return Math.max(a, b) / Math.min(a, b);
	})`
)

// What was searched for stands out in what was found, on the page of searches and beside a channel, and nowhere else.
func TestWhatWasSearchedForStandsOut(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.say(deck, bob, "A **Tide**, no tides: low `tide`, <b>Tide</b>, ||tide||, <@&510>")
	w.say(deck, bob, "a herring in https://e.test/herring_net")
	w.say(deck, bob, "officers at low tide, low on tide")
	ctx := tabWith(t, w.base, func() []*http.Cookie { return sessionOf(t, w.store, ada) })
	do(t, ctx, chromedp.Navigate(w.base+"/search?q=tide+-noon+in:deck"))
	until(t, ctx, live+` && `+standsOut+`('found') === 'tide|tide|Tide|tide|Tide'`)
	until(t, ctx, `!document.querySelector('#stream mark, #stream .content b')`)
	for _, theme := range []string{"light", "dark"} {
		until(t, ctx, contrast+`('`+theme+`') >= 7`)
	}

	search := func(box, q, want string) {
		t.Helper()
		do(t, ctx, evaluateIn(`(() => { const i = document.querySelector('`+box+`'); i.value = '`+q+`'; i.form.requestSubmit(); })()`))
		until(t, ctx, want)
	}
	search("#search-input", `"low tide" or herring -noon`, standsOut+`('found') === 'low tide|herring|herring|low|tide'`)
	search("#search-input", "officers", standsOut+`('found') === 'officers'`) // the name of a role was not searched

	do(t, ctx, chromedp.Navigate(w.base+"/c/501"))
	until(t, ctx, live+` && document.querySelectorAll('#stream article').length === 3 && `+standsOut+`('found') === ''`)
	press(t, ctx, "F")
	until(t, ctx, `document.activeElement.id === 'beside-input'`)
	search("#beside-input", "herring", standsOut+`('found-beside') === 'herring|herring' && `+standsOut+`('found') === ''`)
}
