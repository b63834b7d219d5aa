//go:build screenshots

package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidings/embedded/testdb"
	"tidings/web/browsertest"
)

// TestScreenshots writes pictures of the main views over the demo world to docs/screenshots: make screenshots.
func TestScreenshots(t *testing.T) {
	_, prefix := testdb.Redis(t)
	c := &Config{
		DatabaseURL: testdb.Postgres(t), RedisURL: "unix://" + testdb.RedisOptions(t).Addr, RedisPrefix: prefix, DataDir: t.TempDir(), Listen: freeAddress(t),
		Roles: []string{"gateway", "jobs", "web"}, Gateway: "on", RetentionDays: 30, HistoryDays: 7, AddressSockets: 500,
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- demoCmd{}.Run(ctx, c, slog.New(slog.NewTextHandler(logWriter{t}, nil)), &output{io.Discard, io.Discard})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	base := "http://" + c.Listen
	eventually(t, "the demo answers", 2*time.Minute, func() bool {
		answer, err := http.Get(base + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	b := browsertest.Open(t, base)
	browsertest.Do(t, b, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(base+"/login"))
	browsertest.Until(t, b, `location.pathname === '/oauth2/authorize'`)
	browsertest.Do(t, b, evaluate(`[...document.querySelectorAll('button[name="user_id"]')].find((x) => x.innerText.includes('June Hartley')).click()`))
	browsertest.Until(t, b, `document.body?.dataset.status === 'live'`)
	// The world is lively: a while of it makes good pictures.
	browsertest.Until(t, b, `document.querySelectorAll('#channels a[data-open]').length >= 9 && document.querySelectorAll('#stream article').length >= 25 && document.querySelector('#mentions').textContent !== ''`)
	// A view of one's own, and a thread beside its channel.
	browsertest.Do(t, b, evaluate(`fetch('/api/views', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'Pictures and polls', has: ['image'] }) })
		.then(() => fetch('/api/views', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'Work', guilds: [Object.values(JSON.parse(document.querySelector('#first').textContent).unread.guilds).find((g) => g.name === 'Tern Labs').id] }) }))
		.then(() => { window.saved = true; })`))
	browsertest.Until(t, b, `window.saved`)
	busiest := `document.querySelector('#channels a.unread[data-open]').getAttribute('href')`
	for _, shot := range []struct {
		name, scheme, path, act string
		width, height           int64
	}{
		{"feed-dark", "dark", "'/'", "", 1280, 800},
		{"feed-light", "light", "'/?filter=all'", "", 1280, 800},
		{"channel-dark", "dark", busiest, "", 1280, 800},
		{"thread-light", "light", "'/c/' + JSON.parse(document.querySelector('#first').textContent).unread.guilds.flatMap((g) => g.channels).find((c) => c.name === 'what-are-you-baking').id",
			`document.querySelector('#show-threads').click(); setTimeout(() => document.querySelector('.thread-row').click(), 400); setTimeout(() => { window.beside = true; }, 1500)`, 1440, 860},
		{"view-light", "light", "'/'", `document.querySelector('#new-view').click(); setTimeout(() => { document.querySelector('#view-name').value = 'Release talk'; window.beside = true; }, 500)`, 1280, 860},
		{"search-light", "light", "'/search?q=thank'", "", 1280, 800},
		{"palette-dark", "dark", "'/'", `(() => { document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true }));
			const i = document.querySelector('#palette-input'); i.value = 'ta'; i.dispatchEvent(new Event('input')); })()`, 1280, 800},
		{"settings-light", "light", "'/settings'", "", 1280, 800},
		{"phone-dark", "dark", "'/'", "", 390, 780},
		{"phone-light", "light", "'/?filter=all'", "", 390, 780},
		{"phone-inbox-dark", "dark", "'/'", `document.querySelector('#menu').click()`, 390, 780},
	} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
		if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		browsertest.Do(t, b, chromedp.EmulateViewport(shot.width, shot.height), evaluate(`window.leaving = location.assign(`+shot.path+`)`))
		browsertest.Until(t, b, `!('leaving' in window) && (document.body?.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false' && document.querySelectorAll('#stream article').length > 3 || document.body?.classList.contains('settings') && document.body.dataset.ready === 'yes')`)
		if shot.act != "" {
			browsertest.Do(t, b, evaluate(shot.act))
		}
		if strings.Contains(shot.act, "window.beside") {
			browsertest.Until(t, b, `window.beside`)
		}
		browsertest.Do(t, b, evaluate(`requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = true; }))`))
		browsertest.Until(t, b, `window.drawn`)
		picture, err := chromedp.Call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(90))})
		if err != nil {
			t.Fatal(err)
		}
		if len(picture.Data) > 150<<10 {
			t.Errorf("%s takes %d bytes, want less than 150 KB", shot.name, len(picture.Data))
		}
		if err := os.WriteFile(filepath.Join("..", "..", "docs", "screenshots", shot.name+".webp"), picture.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
