// Package browsertest drives a real Chromium for tests of pages. One browser serves a test binary, one tab a test; nothing
// that a page asks for leaves this machine, and whatever it says on its console fails the test.
package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

var (
	once    sync.Once
	browser context.Context
	failure error
)

func start() {
	path := os.Getenv("CHROME")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		failure = fmt.Errorf("no Chromium: apt-get install -y chromium, or set CHROME")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // tests may run as root
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("dns-over-https-mode", "off"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"),
		chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(60*time.Second),
	)
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ = chromedp.NewContext(allocator)
	failure = chromedp.Do(browser)
}

// Stop ends the browser, when one was started. It belongs at the end of TestMain.
func Stop() {
	if browser != nil && failure == nil {
		chromedp.Cancel(browser)
	}
}

// patience is how long a page may take to come to what is waited for.
const patience = 60 * time.Second

// Open opens an empty tab with cookies for the pages at base, which believes to have the focus. It lives until the test ends,
// five minutes at most, or two hours in a run without a limit of time.
func Open(t testing.TB, base string, cookies ...*http.Cookie) context.Context {
	t.Helper()
	once.Do(start)
	if failure != nil {
		t.Fatal(failure)
	}
	ctx := open(t, browser, chromedp.WithNewBrowserContext())
	yes := true
	for _, c := range cookies {
		if _, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: base, HTTPOnly: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	return ctx
}

// Beside opens another tab of the browser that a tab is of: with its cookies, its storage and its workers.
func Beside(t testing.TB, tab context.Context) context.Context {
	t.Helper()
	return open(t, browser, chromedp.WithExistingBrowserContext(chromedp.FromContext(tab).BrowserContextID))
}

func open(t testing.TB, parent context.Context, how chromedp.ContextOption) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, how)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the first call must not carry the time limit
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	go func() { // ends with the tab
		for m, err := range console {
			if err != nil {
				return
			}
			if strings.Contains(m.Text, "WebSocket") || strings.Contains(m.URL, "/api/live") {
				continue // Chrome writes of every socket that could not be opened
			}
			if strings.Contains(m.Text, "net::ERR_CONNECTION_") || strings.Contains(m.Text, "net::ERR_SOCKET_") || strings.Contains(m.Text, "net::ERR_EMPTY_RESPONSE") ||
				m.Text == "Failed to fetch a worker script." {
				continue // a test has cut the line; what leads away from this machine fails otherwise
			}
			if strings.Contains(m.Text, "responded with a status of 410") {
				continue // a page of an older build asks for a part of it that is no more
			}
			if strings.Contains(m.Text, "responded with a status of 4") && !strings.Contains(m.URL, "/static/") &&
				(!strings.Contains(m.URL, "/api/") || strings.Contains(m.Text, "status of 422")) {
				continue // and of every page, and every search, that says what is wrong
			}
			if m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				t.Errorf("console: %s %s", m.Text, m.URL)
			}
		}
	}()
	life := 5 * time.Minute
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if _, limited := d.Deadline(); !limited {
			life = 2 * time.Hour // a long run by hand, with -timeout 0
		}
	}
	ctx, stop := context.WithTimeout(ctx, life)
	t.Cleanup(stop)
	if _, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// Do acts in a tab.
func Do(t testing.TB, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, actions...); err != nil {
		t.Fatalf("%v\n%s", err, state(tab))
	}
}

// Until waits for an expression in the page to be true, over navigations too.
func Until(t testing.TB, tab context.Context, expression string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error is what a page gives that is just being left.
		holds, err := chromedp.Run(tab, chromedp.Evaluate[bool](`!!(`+expression+`)`))
		if err == nil && holds {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the page never came to: %s (%v)\n%s", expression, err, state(tab))
		case <-tab.Done():
			t.Fatalf("the page never came to: %s (%v)", expression, tab.Err())
		}
	}
}

// state is what a person would see of the page, for a failure's text.
func state(tab context.Context) string {
	s, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.title + ' | ' + location.href + ' | focus on ' + document.activeElement?.outerHTML.slice(0, 120) + '\n' + (document.body ? document.body.innerText.slice(0, 1500) : '')`))
	if err != nil {
		return err.Error()
	}
	return s
}
