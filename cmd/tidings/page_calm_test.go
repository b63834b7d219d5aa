package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"tidings/web/browsertest"
)

// keepsCalm holds that what comes up covers nothing that it is about, promises nothing that is in sight already, and goes without taking the
// focus along.
func (h *house) keepsCalm(t *testing.T) {
	me := credential{token: h.tokens["calm"]}
	last := h.say("nets", "the last of before")
	eventually(t, "all that was said before is read", time.Minute, func() bool {
		h.s.call(me, "POST", "/api/messages/read", map[string]any{"all": true, "up_to": last}, nil)
		u := h.s.unread(me)
		return u.channels()[h.guild.Channel("nets")].LastID == last && u.Total == 0
	})
	b := h.tab(t, "calm", "/")
	// Somebody looks elsewhere. What comes meanwhile has room: there is nothing further down to go to.
	browsertest.Do(t, b, evaluate(`document.hasFocus = () => false`))
	h.say("tides", "calm one")
	said := h.say("tides", "calm two")
	browsertest.Until(t, b, fmt.Sprintf(`!!document.querySelector('#stream article[data-id="%s"]') && document.title === '(2) Tidings' && document.querySelector('#pill').hidden`, said))
	browsertest.Do(t, b, evaluate(`delete document.hasFocus`))

	// Mentions are some messages of many: they offer no button that marks all the others.
	h.visit(t, b, "/?filter=mentions")
	browsertest.Until(t, b, `document.querySelector('#mark').hidden && document.querySelector('#mark-more').hidden`)

	// A view of some messages does not boast of the mentions in its channels.
	h.say("tides", "<@"+h.readers["calm"].ID+"> no poll")
	var view struct{ ID string }
	if status := h.s.call(me, "POST", "/api/views", map[string]any{"name": "Polls", "has": []string{"poll"}, "channels": []string{h.guild.Channel("tides")}}, &view); status != http.StatusOK {
		t.Fatalf("POST /api/views = %d", status)
	}
	h.visit(t, b, "/?view="+view.ID)
	browsertest.Until(t, b, `document.querySelector('#mentions').textContent === '1' && document.querySelector('#where').textContent === 'All caught up'`)

	// The menu of the lowest message stands above it.
	for n := range 20 {
		said = h.say("tides", fmt.Sprintf("calm line %d", n))
	}
	h.visit(t, b, "/c/"+h.guild.Channel("tides"))
	browsertest.Until(t, b, `!!document.querySelector('article[data-id="`+said+`"]')`)
	press(t, b, "G", "x")
	browsertest.Until(t, b, `document.activeElement.getAttribute('role') === 'menuitem' && document.querySelector('#menu-box').getBoundingClientRect().bottom <= document.querySelector('article[data-selected]').getBoundingClientRect().top`)
	press(t, b, "\x1b")

	// Who is about to take something back is not hurried, and stands afterwards where they stood before.
	if status := h.s.call(me, "PUT", "/api/keywords", map[string]any{"keywords": []string{"herring"}}, nil); status != http.StatusOK {
		t.Fatalf("PUT /api/keywords = %d", status)
	}
	h.visit(t, b, "/settings")
	browsertest.Until(t, b, `document.querySelector('#keywords button')`)
	browsertest.Do(t, b, evaluate(`(() => { const real = window.setTimeout; window.setTimeout = (f, ms, ...rest) => (ms === 6000 ? (window.due = f, 0) : real(f, ms, ...rest)); })()`))
	click(t, b, "#keywords button")
	browsertest.Until(t, b, `document.querySelector('#toast button') && document.activeElement.id === 'keyword'`)
	browsertest.Do(t, b, evaluate(`(() => { document.querySelector('#toast button').focus(); due(); })()`))
	browsertest.Until(t, b, `document.activeElement.matches('#toast button')`)
	press(t, b, "\r")
	browsertest.Until(t, b, `document.querySelector('#keywords').innerText.includes('herring') && document.activeElement.id === 'keyword'`)
	click(t, b, "#keywords button")
	browsertest.Until(t, b, `document.querySelector('#toast button') && document.activeElement.id === 'keyword'`)
	browsertest.Do(t, b, evaluate(`due()`))
	browsertest.Until(t, b, `!document.querySelector('#toast').hasChildNodes()`)
}
