//go:build screenshots

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"golang.org/x/sync/errgroup"

	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/web/browsertest"
)

// TestScreenshots writes pictures of the main views over the demo world to docs/screenshots: make screenshots. With SHOTS it writes every page, in
// dark and light and three widths, to the folder of that name instead, for somebody to look at.
func TestScreenshots(t *testing.T) {
	_, prefix := testdb.Redis(t)
	c := &Config{
		DatabaseURL: testdb.Postgres(t), RedisURL: "unix://" + testdb.RedisOptions(t).Addr, RedisPrefix: prefix, DataDir: t.TempDir(), Listen: freeAddress(t),
		Roles: []string{"gateway", "jobs", "web"}, Gateway: "on", RetentionDays: 30, HistoryDays: 7, AddressSockets: 500,
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(logWriter{t}, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	discord := "http://" + l.Addr().String()
	go func() { ended <- demoWithOperator(ctx, c, l, log) }()
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
	// The world is lively: a while of it makes good pictures. One mention is not left to chance.
	world := worldOf(t, discord)
	for _, g := range world.Guilds {
		for _, ch := range g.Channels {
			if g.Name == "Tern Labs" && ch.Name == "frontend" {
				askDiscord(t, discord+"/api/v10/channels/"+ch.ID+"/messages", world.user("tobi_okafor").Token,
					"<@"+world.user("juneh").ID+"> could you read the release notes before noon? The last two lines are yours.")
			}
		}
	}
	browsertest.Until(t, b, `document.querySelectorAll('#channels a[data-open]').length >= 9`)
	browsertest.Until(t, b, `document.querySelectorAll('#stream article').length >= 16`)
	browsertest.Until(t, b, `document.querySelectorAll('#stream article').length >= 25 && document.querySelector('#mentions').textContent !== ''`)
	// A view of one's own, and a thread beside its channel.
	browsertest.Do(t, b, evaluate(`fetch('/api/views', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'Pictures and polls', has: ['image'] }) })
		.then(() => fetch('/api/views', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'Work', guilds: [Object.values(JSON.parse(document.querySelector('#first').textContent).unread.guilds).find((g) => g.name === 'Tern Labs').id] }) }))
		.then(() => { window.saved = true; })`))
	browsertest.Until(t, b, `window.saved`)
	if dir := os.Getenv("SHOTS"); dir != "" {
		shootEverything(t, b, base, dir)
		return
	}
	busiest := `[...document.querySelectorAll('#channels a.unread[data-open]')].filter((a) => !a.innerText.includes('↳')).sort((a, b) => parseInt(b.innerText.match(/\d*$/)) - parseInt(a.innerText.match(/\d*$/)))[0].getAttribute('href')`
	for _, shot := range []struct {
		name, scheme, path, act string
		width, height           int64
	}{
		{"feed-dark", "dark", "'/'", "", 1280, 800},
		{"feed-light", "light", "'/?filter=all'", "", 1280, 800},
		{"channel-dark", "dark", busiest, "", 1280, 800},
		{"thread-light", "light", "'/c/' + JSON.parse(document.querySelector('#first').textContent).unread.guilds.flatMap((g) => g.channels).find((c) => c.name === 'what-are-you-baking').id",
			`document.querySelector('#show-threads').click(); setInterval(() => { const row = document.querySelector('.thread-row'); if (row && !window.asked) { window.asked = true; row.click(); } window.shown ||= document.querySelectorAll('#beside article').length > 0; }, 200)`, 1440, 860},
		{"view-light", "light", "'/'", `document.querySelector('#new-view').click(); setInterval(() => { if (!document.querySelector('#view-form').open) return; document.querySelector('#view-name').value = 'Release talk'; window.shown = true; }, 200)`, 1280, 860},
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
			browsertest.Do(t, b, evaluate(`(() => { `+shot.act+` })()`))
		}
		if strings.Contains(shot.act, "window.shown") {
			browsertest.Until(t, b, `window.shown`)
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

// shootEverything takes a picture of every page, of the whole of those that scroll.
func shootEverything(t *testing.T, b context.Context, base, dir string) {
	named := func(channel string) string {
		return `'/c/' + (window.ids ??= JSON.parse(document.querySelector('#first').textContent).unread.guilds.flatMap((g) => g.channels)).find((c) => c.name === '` + channel + `').id`
	}
	click := func(id string) string { return `document.querySelector('#` + id + `').click()` }
	for _, shot := range []struct{ name, path, act string }{
		{"feed", "'/'", ""}, {"all", "'/?filter=all'", ""}, {"mentions", "'/?filter=mentions'", ""}, {"keywords", "'/?filter=keywords'", ""}, {"saved", "'/saved'", ""},
		{"search", "'/search?q=thank'", ""}, {"search-none", "'/search?q=xyzzyx'", ""}, {"search-fault", "'/search?q=has:wings'", ""},
		{"channel", named("what-are-you-baking"), ""}, {"drawer", "'/'", click("menu")}, {"help", "'/'", click("keys")}, {"palette", "'/'", `document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true }))`},
		{"view", "'/'", click("new-view")}, {"marks", named("what-are-you-baking"), click("mark-more")}, {"menu", "'/'", `for (const key of 'jx') document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))`},
		{"about", named("what-are-you-baking"), click("show-about")}, {"find", named("what-are-you-baking"), click("show-find")}, {"threads", named("what-are-you-baking"), click("show-threads")},
		{"thread", named("what-are-you-baking"), `document.querySelector('#show-threads').click(); setTimeout(() => document.querySelector('.thread-row')?.click(), 400)`},
		{"all-read", "'/'", `document.querySelector('#mark').click()`},
		{"settings", "'/settings'", ""}, {"status", "'/status'", ""}, {"api", "'/api'", ""}, {"admin", "'/admin'", ""}, {"jobs", "'/admin/jobs'", ""}, {"people", "'/admin/people'", ""}, {"audit", "'/admin/audit'", ""}, {"me", "'/admin/me'", ""},
		{"server", "document.querySelector('main a[href*=\"/admin/servers/\"], main a[href*=\"/admin/\"]')?.getAttribute('href') ?? '/admin'", ""},
		{"nothing", "'/nothing'", ""}, {"offline", "'/offline'", ""}, {"refused", "'/login/callback?error=access_denied'", ""},
	} {
		if only := os.Getenv("SHOTS_OF"); only != "" && !strings.Contains(","+only+",", ","+shot.name+",") {
			continue
		}
		for _, width := range []int64{360, 1280, 2560} {
			for _, scheme := range []string{"dark", "light"} {
				from := "/"
				if shot.name == "server" {
					from = "/admin"
				}
				media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
				if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, media); err != nil {
					t.Fatal(err)
				}
				height := map[int64]int64{360: 740, 1280: 800, 2560: 1440}[width]
				browsertest.Do(t, b, chromedp.EmulateViewport(width, height), chromedp.Navigate(base+from))
				browsertest.Until(t, b, `document.readyState === 'complete'`)
				browsertest.Do(t, b, evaluate(`window.leaving = location.assign(`+shot.path+`)`))
				browsertest.Until(t, b, `!('leaving' in window) && document.readyState === 'complete' && (!document.body.classList.contains('app') || document.body.dataset.status === 'live' && document.querySelector('#stream').getAttribute('aria-busy') === 'false')
					&& (!document.body.classList.contains('settings') || document.body.dataset.ready === 'yes')`)
				if shot.act != "" {
					browsertest.Do(t, b, evaluate(`(() => { `+shot.act+`; setTimeout(() => { window.acted = true; }, 1200); })()`))
					browsertest.Until(t, b, `window.acted`)
				}
				browsertest.Do(t, b, evaluate(`requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = true; }))`))
				browsertest.Until(t, b, `window.drawn`)
				wide, err := chromedp.Run(b, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
				if err != nil || wide {
					t.Errorf("%s at %d: wider than the window: %t, %v", shot.name, width, wide, err)
				}
				params := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true)}
				tall, err := chromedp.Run(b, chromedp.Evaluate[float64](`Math.min(document.documentElement.scrollHeight, 4000)`))
				if err != nil {
					t.Fatal(err)
				}
				params.Clip = &page.Viewport{Width: float64(width), Height: max(tall, float64(height)), Scale: 1}
				picture, err := chromedp.Call(b, page.CaptureScreenshot, params)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", shot.name, width, scheme)), picture.Data, 0o644); err != nil {
					t.Fatal(err)
				}
				if shot.name == "all-read" {
					browsertest.Do(t, b, evaluate(`(() => { document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'u', bubbles: true })); setTimeout(() => { window.undone = true; }, 600); })()`))
					browsertest.Until(t, b, `window.undone`)
				}
			}
		}
	}
}

// demoWorld is what the simulated Discord says of itself.
type demoWorld struct {
	Users  []demoUser
	Guilds []struct {
		Name     string
		Channels []struct{ ID, Name string }
	}
}

type demoUser struct{ ID, Username, Token string }

func (w demoWorld) user(name string) demoUser {
	for _, u := range w.Users {
		if u.Username == name {
			return u
		}
	}
	return demoUser{}
}

func worldOf(t *testing.T, discord string) (w demoWorld) {
	t.Helper()
	answer, err := http.Get(discord + "/sim/world")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&w); err != nil {
		t.Fatal(err)
	}
	return w
}

// askDiscord posts a message as somebody.
func askDiscord(t *testing.T, url, token, text string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"content": text})
	r, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %d", url, answer.StatusCode)
	}
}

// demoWithOperator is the demo, in which June may do everything. Its Discord listens on l.
func demoWithOperator(ctx context.Context, c *Config, l net.Listener, log *slog.Logger) error {
	discord := sim.New(sim.Options{World: "demo", Pace: 400 * time.Millisecond, BaseURL: "http://" + l.Addr().String()})
	bot := discord.Bot()
	c.DiscordURL, c.DiscordToken, c.DiscordClientID, c.DiscordClientSecret = "http://"+l.Addr().String(), bot.Token, bot.ClientID.String(), bot.ClientSecret
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return runSim(ctx, discord, l) })
	g.Go(func() error {
		answer, err := http.Get(c.DiscordURL + "/sim/world")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var world demoWorld
		if err := json.NewDecoder(answer.Body).Decode(&world); err != nil {
			return err
		}
		c.Admins = []string{world.user("juneh").ID}
		return serve(ctx, c, log, func(string) {})
	})
	return g.Wait()
}
