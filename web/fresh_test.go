package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// freshOnDiscord is Discord's side: it signs links for as long as life says, and counts the questions.
type freshOnDiscord struct {
	mu     sync.Mutex
	world  *world
	life   time.Duration
	pages  int
	asked  int
	pinned []discord.MessageID
	err    error
	hold   chan struct{} // when set, answers wait for it
}

func (f *freshOnDiscord) Upto(_ context.Context, _ discord.GuildID, c discord.ChannelID, newest discord.MessageID) ([]tidings.Message, error) {
	f.mu.Lock()
	f.pages++
	hold, err := f.hold, f.err
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err != nil || f.world == nil {
		return nil, err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	var page []tidings.Message
	for _, m := range f.world.messages[c] {
		if m.ID <= newest {
			m.Payload = []byte(strings.ReplaceAll(string(m.Payload), "?ex=1", fmt.Sprintf("?ex=%x", time.Now().Add(f.life).Unix())))
			page = append(page, m)
		}
	}
	return page, nil
}

func (f *freshOnDiscord) Pins(context.Context, discord.ChannelID) ([]discord.MessageID, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.pinned, false, f.err
}

// counted is how often Discord was asked.
func (f *freshOnDiscord) counted() (pages, pins int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pages, f.asked
}

func withFile(name string) string {
	return `{"attachments":[{"id":"1","filename":"` + name + `","content_type":"image/png","size":1,"url":"https://cdn.discordapp.com/attachments/1/2/` + name + `?ex=1&is=1&hm=1"}]}`
}

// Links of many messages come from one question to Discord, for however many people ask, and of messages that the person may
// read alone.
func TestLinksThatExpiredAreRefreshed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &freshOnDiscord{world: w, life: 24 * time.Hour, hold: make(chan struct{})}
	ts := w.serve(func(o *Options) { o.Fresh = d })
	var names []string
	for n := range 5 {
		w.say(10, at(2, 9, n), bob, "bob", "", withFile(fmt.Sprintf("%d.png", n)))
		names = append(names, fmt.Sprintf(`{"channel":"10","message":"%d"}`, at(2, 9, n)))
	}
	w.say(99, at(2, 9, 9), bob, "bob", "", withFile("secret.png")) // a channel that she may not read
	body := `{"messages":[` + strings.Join(append(names, fmt.Sprintf(`{"channel":"99","message":"%d"}`, at(2, 9, 9)), `{"channel":"10","message":"12345"}`), ",") + `]}`
	type answer struct{ Links map[string]string }
	refresh := func() answer {
		status, text, _ := ask(t, newBrowser(t), "POST", ts.URL+"/api/links", body, "Authorization", "Bearer reader", "Content-Type", "application/json")
		var a answer
		if err := json.Unmarshal([]byte(text), &a); status != http.StatusOK || err != nil {
			t.Errorf("POST /api/links = %d %s", status, text)
		}
		return a
	}
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			a := refresh()
			if len(a.Links) != 5 {
				t.Errorf("links = %v, want those of five messages", a.Links)
			}
			for bare, link := range a.Links {
				if !strings.HasPrefix(link, bare+"?ex=") || strings.Contains(link, "ex=1&") || strings.Contains(link, "secret") {
					t.Errorf("the link for %s is %s", bare, link)
				}
			}
		})
	}
	close(d.hold)
	done.Wait()
	before, _ := d.counted()
	if before > 4 { // those who came together shared; who came between two questions asked once each
		t.Errorf("Discord was asked %d times", before)
	}
	refresh()
	if n, _ := d.counted(); n != before {
		t.Errorf("what is known was asked for again")
	}
	d.mu.Lock()
	d.err = tidings.ErrUnavailable
	d.mu.Unlock()
	if len(refresh().Links) != 5 {
		t.Errorf("what is good for a day was forgotten when Discord went away")
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &freshOnDiscord{world: w, pinned: []discord.MessageID{at(2, 9, 1), 77 << 22, at(2, 9, 0)}}
	ts := w.serve(func(o *Options) { o.Fresh = d })
	w.say(10, at(2, 9, 0), bob, "bob", "first")
	w.say(10, at(2, 9, 1), bob, "bob", "second")
	get := func(c, token string) (int, string) {
		status, text, _ := ask(t, newBrowser(t), "GET", ts.URL+"/api/channels/"+c+"/pins", "", "Authorization", "Bearer "+token)
		return status, text
	}
	status, text := get("10", "reader")
	var body PinsBody
	if err := json.Unmarshal([]byte(text), &body); status != http.StatusOK || err != nil {
		t.Fatalf("GET pins = %d %s %v", status, text, err)
	}
	if len(body.Messages) != 2 || body.Messages[0].Content != "second" || len(body.Elsewhere) != 1 || body.Elsewhere[0] != 77<<22 {
		t.Errorf("pins = %+v, want second, first, and one that is not kept here", body)
	}
	get("10", "reader")
	if _, n := d.counted(); n != 1 {
		t.Errorf("Discord was asked %d times for what it had just said", n)
	}
	if status, _ := get("99", "reader"); status != http.StatusNotFound {
		t.Errorf("pins of a channel that may not be read = %d", status)
	}
	d.mu.Lock()
	d.err = tidings.ErrUnavailable
	d.mu.Unlock()
	if status, _ := get("11", "reader"); status != http.StatusServiceUnavailable {
		t.Errorf("pins while Discord is away = %d, want 503", status)
	}
	if status, _ := func() (int, string) {
		s, b, _ := ask(t, newBrowser(t), "GET", w.serve().URL+"/api/channels/10/pins", "", "Authorization", "Bearer reader")
		return s, b
	}(); status != http.StatusServiceUnavailable {
		t.Errorf("pins without anybody to ask = %d, want 503", status)
	}
}

// A link that has expired opens all the same, and a page that is full of them asks once.
func TestAnExpiredLinkOpens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &freshOnDiscord{world: w, life: 24 * time.Hour}
	ts := w.serve(func(o *Options) { o.Fresh = d })
	w.say(10, at(2, 9, 0), bob, "bob", "", withFile("a.png"))
	w.say(10, at(2, 9, 1), bob, "bob", "", withFile("b.png"))
	b := tab(t, w, ts.URL)
	do(t, b, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, b, live+` && document.querySelectorAll('#stream .file a').length === 2`)
	do(t, b, evaluateIn(`(() => { window.went = []; window.open = () => ({ location: { replace: (u) => went.push(u) }, close() {} }); for (const a of document.querySelectorAll('#stream .file a')) a.click(); })()`))
	until(t, b, `went.length === 2 && went.every((u) => /^https:\/\/cdn\.discordapp\.com\/attachments\/1\/2\/[ab]\.png\?ex=[0-9a-f]{8}&/.test(u))`)
	if pages, _ := d.counted(); pages != 1 {
		t.Errorf("Discord was asked %d times for two links that were wanted together", pages)
	}
	// Now they are good, and are followed as any other.
	until(t, b, `[...document.querySelectorAll('#stream .file a')].every((a) => !a.href.includes('ex=1&'))`)
}

// A channel whose history the bot has lost answers with empty pages, however many messages of it are asked about.
func TestWhatIsRememberedOfLinksIsBounded(t *testing.T) {
	t.Parallel()
	f := newFresh(&freshOnDiscord{})
	for id := range discord.MessageID(freshKept + 10) {
		if _, err := f.linksOf(t.Context(), tidings.Message{Channel: 1, ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.links) > freshKept {
		t.Errorf("links of %d messages are remembered, want %d at most", len(f.links), freshKept)
	}
}
