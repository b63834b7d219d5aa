package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

// A page that was opened before an update has the parts of it that it loads later from its own build, or loads itself anew; what
// somebody has typed keeps it from that.
func TestAnOpenPageNeverMixesBuilds(t *testing.T) {
	for _, c := range []struct {
		name      string
		held      bool   // whether the browser held the part before the update
		typed     string // what stands in the field above the channels
		then      string
		of        string // the build that the page is of in the end
		askedAnew bool
	}{
		{"what was held is there", true, "", `!document.querySelector('#beside').hidden && document.querySelector('#beside-title').textContent === 'About this channel'`, "one", false},
		{"what was not has the page loaded anew", false, "", `document.querySelector('script[type="module"]').src.includes('/static/two/')`, "two", true},
		{"but not while somebody types", false, "gen", `document.querySelector('#toast a')?.textContent === 'Reload' && document.querySelector('#filter').value === 'gen'`, "one", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := settled(t)
			var now atomic.Pointer[Server]
			var refused, asked atomic.Bool
			ts := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/static/one/beside.js") {
					if now.Load().assets.version == "two" {
						asked.Store(true)
					} else if refused.Load() {
						http.Error(rw, "not yet", http.StatusGone)
						return
					}
				}
				now.Load().ServeHTTP(rw, r)
			}))
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
			refused.Store(!c.held)
			ctx := tab(t, w, ts.URL)
			do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
			until(t, ctx, live)
			until(t, ctx, `document.querySelector('link[rel="modulepreload"][href*="beside.js"]') && performance.getEntriesByType('resource').some((r) => r.name.includes('beside.js') && r.responseEnd > 0)`)
			build("two")
			if c.typed != "" {
				do(t, ctx, chromedp.Evaluate[chromedp.Void](`void (document.querySelector('#filter').value = 'gen')`))
			}
			do(t, ctx, chromedp.Click(chromedp.CSS("#show-about")))
			until(t, ctx, c.then)
			until(t, ctx, `document.querySelector('script[type="module"]').src.includes('/static/`+c.of+`/')`)
			if asked.Load() != c.askedAnew {
				t.Errorf("the part was asked for again: %t, want %t", asked.Load(), c.askedAnew)
			}
		})
	}
}

// What is loaded later is held alone: whatever it imports must be what the page has from the beginning.
func TestPartsThatAreLoadedLaterImportWhatIsThere(t *testing.T) {
	a, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(a.files["lazy.js"].body), "const names = [")
	list, _, _ = strings.Cut(list, "]")
	names := strings.Split(list, ", ")
	if len(names) < 2 {
		t.Fatalf("the parts are %q", list)
	}
	for _, name := range names {
		name = strings.Trim(name, "'")
		if _, ok := a.files[name]; !ok || slices.Contains(a.modules, name) {
			t.Errorf("%s is not loaded later", name)
		}
		for _, m := range a.imported(name, map[string]bool{}) {
			if m != name && !slices.Contains(a.modules, m) {
				t.Errorf("%s imports %s, which the page does not have", name, m)
			}
		}
	}
}
