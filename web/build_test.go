package web

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page that stays open over an update of the service says so, and a page that is opened then has nothing to say.
func TestAnOpenPageNoticesANewVersion(t *testing.T) {
	w := settled(t)
	var now atomic.Pointer[Server]
	ts := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { now.Load().ServeHTTP(rw, r) }))
	t.Cleanup(ts.Close)
	build := func(version string) {
		s, err := New(Options{Store: w, Access: w, Live: w, OAuth: discordSide{w}, EncryptionKey: make([]byte, 32), Version: version})
		if err != nil {
			t.Fatal(err)
		}
		s.assets.version = version
		now.Store(s)
	}
	build("one")
	ctx := tab(t, w, ts.URL)
	kept := `caches.keys().then((k) => window.kept = k.join()) && window.kept === `
	do(t, ctx, chromedp.Navigate(ts.URL+"/"))
	until(t, ctx, live+` && `+kept+`'tidings-one'`)
	build("two")
	w.hangUp()
	until(t, ctx, `document.querySelector('#toast a')?.textContent === 'Reload' && document.querySelector('#toast').innerText.includes('updated')`)
	until(t, ctx, kept+`'tidings-two'`) // what was kept of the old one is gone
	do(t, ctx, chromedp.Click(chromedp.CSS("#toast a")))
	until(t, ctx, live+` && !document.querySelector('#toast a') && document.querySelector('script[type="module"]').src.includes('/static/two/')`)
	w.hangUp()
	until(t, ctx, `document.body.dataset.status === 'connecting'`)
	until(t, ctx, live+` && !document.querySelector('#toast a')`)
}
