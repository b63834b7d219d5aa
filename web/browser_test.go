package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/hub"
	"tidings/web/browsertest"
)

func TestMain(m *testing.M) {
	code := testdb.Run(m)
	browsertest.Stop()
	os.Exit(code)
}

// tab opens a tab that is signed in. Whatever the page says on the console, breaches of its policy too, fails the test.
func tab(t *testing.T, w *world, base string) context.Context {
	t.Helper()
	return tabWith(t, base, func() []*http.Cookie {
		client, _ := signIn(t, w, base, "/")
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		return client.Jar.Cookies(u)
	})
}

func tabWith(t *testing.T, base string, cookies func() []*http.Cookie) context.Context {
	t.Helper()
	return browsertest.Open(t, base, cookies()...)
}

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	browsertest.Do(t, ctx, actions...)
}

func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	browsertest.Until(t, ctx, expression)
}

func press(t *testing.T, ctx context.Context, keys ...string) {
	t.Helper()
	for _, k := range keys {
		do(t, ctx, chromedp.KeyEvent(k))
	}
}

const live = `document.body.dataset.status === 'live'`

// arrive stores a message and tells the sockets as hub would: the delta and the message itself.
func (w *world) arrive(c discord.ChannelID, id discord.MessageID, author discord.UserID, name, content string, more ...string) tidings.Message {
	m := w.say(c, id, author, name, content, more...)
	var roles, users []string
	for _, r := range m.Mentions.Roles {
		roles = append(roles, `"`+r.String()+`"`)
	}
	for _, u := range m.Mentions.Users {
		users = append(users, `"`+u.String()+`"`)
	}
	w.mu.Lock()
	v := w.version[c]
	w.mu.Unlock()
	b, err := w.encoder.Encode(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.push(fmt.Sprintf(`{"op":"delta","c":"%d","g":"%d","v":%d,"k":"create","id":"%d","a":"%d","n":1,"m":{"u":[%s],"r":[%s],"e":%t}}`+"\n"+`{"op":"message","c":"%d","v":%d,"message":%s}`,
		c, m.Guild, v, m.ID, m.Author, strings.Join(users, ","), strings.Join(roles, ","), m.Mentions.Everyone, c, v, b))
	return m
}

// drop deletes a message and tells the sockets.
func (w *world) drop(c discord.ChannelID, id discord.MessageID) {
	w.mu.Lock()
	var gone tidings.Message
	for i, m := range w.messages[c] {
		if m.ID == id {
			gone = m
			w.messages[c] = append(w.messages[c][:i:i], w.messages[c][i+1:]...)
			break
		}
	}
	w.version[c]++
	v := w.version[c]
	w.mu.Unlock()
	w.push(fmt.Sprintf(`{"op":"delta","c":"%d","g":"%d","v":%d,"k":"delete","id":"%d","a":"%d","n":-1,"m":{"u":[],"r":[],"e":false}}`, c, gone.Guild, v, id, gone.Author))
}

// settled is a world with a morning's messages.
func settled(t testing.TB) *world {
	w := newWorld(t)
	eve, cy, ci := discord.UserID(2_000_005<<22), discord.UserID(3_000_002<<22), discord.UserID(4_000_003<<22)
	w.read[10], w.read[11], w.read[12], w.read[15], w.read[20], w.read[21] = at(2, 8, 30), at(2, 23, 0), at(3, 9, 0), at(1, 0, 0), at(3, 7, 0), at(3, 23, 0)
	w.say(10, at(2, 8, 0), bob, "Bob Fjord", "Morning all. The release train leaves at noon.")
	w.say(10, at(2, 8, 1), bob, "Bob Fjord", "Please have a look at <https://go.dev/doc/go1.26> before that.")
	w.say(10, at(2, 9, 12), eve, "Evelyn", "I looked: `sync.WaitGroup.Go` makes half of our **helpers** unnecessary 🎉", `{"reactions":[{"count":4,"emoji":{"name":"🎉"}},{"count":2,"emoji":{"name":"👀"}}]}`)
	w.say(10, at(2, 9, 13), eve, "Evelyn", "```go\nvar wg sync.WaitGroup\nfor _, u := range urls {\n\twg.Go(func() { fetch(u) }) // no Add, no Done\n}\nwg.Wait()\n```")
	w.say(10, at(3, 8, 2), cy, "Cyrus the Elder", "<@7> could you review the last one? ||the tests fail on Windows||", `{"mentions":[{"id":"7","username":"ada","global_name":"Ada"}]}`)
	w.say(10, at(3, 8, 4), bob, "Bob Fjord", "On it.\n> could you review the last one?\nSee <#11> as well.", `{"type":19,"message_reference":{"message_id":"5"},"referenced_message":{"id":"5","channel_id":"10","content":"could you review the last one?","type":0,"author":{"id":"12582920000008","username":"Cyrus the Elder"}}}`)
	w.say(10, at(3, 8, 30), ci, "Build", "", `{"author":{"id":"16777228000003","username":"Build","bot":true},"embeds":[{"title":"main is green","url":"https://ci.test/77","color":4437377,"description":"412 tests in **38 s**, *nothing* skipped","fields":[{"name":"Branch","value":"`+"`main`"+`","inline":true},{"name":"Commit","value":"`+"`a1b2c3d`"+`","inline":true}],"footer":{"text":"build 77"}}]}`)
	w.say(11, at(3, 7, 40), eve, "Evelyn", "How do I keep a select from spinning when one of its channels is closed?")
	w.say(11, at(3, 7, 41), eve, "Evelyn", "# Setting\n- one producer\n- *n* consumers\n  - each with a timeout\n-# yes, I have read the FAQ")
	w.say(15, at(3, 7, 50), cy, "Cyrus the Elder", "Set the variable to `nil` once it is closed; a nil channel blocks for ever.")
	w.say(15, at(3, 7, 52), eve, "Evelyn", "That is it, thank you!")
	w.say(20, at(3, 7, 30), cy, "Old Tom", "Slip 14 is free from Saturday on.", `{"attachments":[{"id":"1","filename":"harbour-plan.png","content_type":"image/png","size":284113,"width":1400,"height":900,"url":"https://cdn.discordapp.com/attachments/1/2/harbour-plan.png"}]}`)
	w.say(20, at(3, 8, 45), bob, "Bob Fjord", "@everyone the regatta is **moved to Sunday**", `{"mention_everyone":true}`)
	w.say(21, at(3, 6, 0), ci, "Forecast", "NW 4, gusts 6")
	return w
}

func TestPageComesAlive(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/"))
	until(t, ctx, live)
	until(t, ctx, `document.title === '(11) Tidings'`)
	until(t, ctx, `document.querySelectorAll('article').length === 11`)

	// Counts and stream follow the socket.
	m := w.arrive(12, at(3, 9, 30), bob, "Bob Fjord", "hello <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	until(t, ctx, `document.title === '(12) Tidings'`)
	until(t, ctx, `document.querySelector('a[data-open="12"] .badge.alert')?.textContent === '@1'`)
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"]')?.classList.contains('mentions-me')`, m.ID))
	w.drop(12, m.ID)
	until(t, ctx, `document.title === '(11) Tidings'`)
	until(t, ctx, fmt.Sprintf(`!document.querySelector('article[data-id="%d"]')`, m.ID))

	// A frame that was lost is made good.
	w.say(12, at(3, 9, 40), bob, "Bob Fjord", "nobody told of this one")
	w.arrive(12, at(3, 9, 41), bob, "Bob Fjord", "but of this one")
	until(t, ctx, `document.title === '(13) Tidings'`)

	// Another device's mark is followed.
	status, body, _ := ask(t, newBrowser(t), "POST", ts.URL+"/api/messages/read", `{"all":true,"up_to":"`+at(4, 0, 0).String()+`"}`, "Authorization", "Bearer both")
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	until(t, ctx, `document.title === 'Tidings'`)
	until(t, ctx, `!document.querySelector('#end').hidden`)
	until(t, ctx, `document.querySelector('#icon').getAttribute('href').endsWith('/favicon.svg')`)
}

func TestKeyboard(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/"))
	until(t, ctx, live)
	press(t, ctx, "j", "j", "j", "k")
	until(t, ctx, `document.querySelectorAll('article')[1] === document.querySelector('article[data-selected]') && document.activeElement === document.querySelector('article[data-selected]')`)
	press(t, ctx, "m")
	until(t, ctx, `document.querySelector('#toast').textContent.includes('Undo') && document.title === '(9) Tidings'`)
	press(t, ctx, "u")
	until(t, ctx, `document.title === '(11) Tidings'`)
	press(t, ctx, "?")
	until(t, ctx, `document.querySelector('#help').open`)
	do(t, ctx, chromedp.KeyEvent("\x1b"))
	until(t, ctx, `!document.querySelector('#help').open`)
	do(t, ctx, chromedp.KeyEvent("k", chromedp.KeyModifiers(kb.ModifierCtrl)))
	until(t, ctx, `document.activeElement.id === 'palette-input'`)
	press(t, ctx, "h", "a", "r", "b")
	until(t, ctx, `document.querySelectorAll('#palette-list li').length > 0 && document.querySelector('#palette-list li[aria-selected="true"]').innerText.includes('harbour')`)
	do(t, ctx, chromedp.KeyEvent("\r"))
	until(t, ctx, `location.pathname === '/c/20' && document.querySelector('#title').textContent === '#harbour'`)
	// What was in sight for a second is read, and the mark says on which rev it was based.
	until(t, ctx, `document.title === '(9) #harbour · Tidings'`)
	until(t, ctx, `!!document.querySelector('.new-line')`)
	// Marking unread by hand is not undone by looking.
	press(t, ctx, "k", "U")
	until(t, ctx, `document.title === '(10) #harbour · Tidings' && document.querySelector('#toast').textContent.includes('Unread from here')`)
	press(t, ctx, "g", "f")
	until(t, ctx, `location.pathname === '/' && document.title === '(10) Tidings'`)
	press(t, ctx, "g", "i")
	until(t, ctx, `!!document.activeElement.closest('#channels')`)
	press(t, ctx, "M")
	until(t, ctx, `document.title === 'Tidings'`)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](`history.back()`)); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, `location.pathname === '/c/20' && document.querySelectorAll('article').length === 2`)
}

func TestOpenChannelIsLive(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, ctx, live)
	until(t, ctx, `document.querySelectorAll('article').length === 7 && document.querySelectorAll('.new-line').length === 1`)
	m := w.arrive(10, at(3, 10, 0), bob, "Bob Fjord", "<img src=x onerror=alert(1)> **new**")
	until(t, ctx, fmt.Sprintf(`document.querySelector('article[data-id="%d"] .content')?.textContent === '<img src=x onerror=alert(1)> new'`, m.ID))
	// The view began at the new line; what is below is read once it has been in sight.
	until(t, ctx, `!document.querySelector('#pill').hidden && document.querySelector('a[data-open="10"] .badge:last-child') !== null`)
	do(t, ctx, chromedp.Click(chromedp.CSS("#pill")))
	until(t, ctx, `!document.querySelector('a[data-open="10"] .badge') && document.querySelector('#pill').hidden`)
	w.arrive(20, at(3, 10, 1), bob, "Bob Fjord", "elsewhere")
	until(t, ctx, `document.querySelector('a[data-open="20"] .badge:last-child').textContent === '3' && document.querySelectorAll('article').length === 8`)
	w.push(`{"op":"access","epoch":2,"gained":[],"lost":["10"],"roles":{}}`)
	w.mu.Lock()
	set := *w.sets[ada]
	g := set.Guilds[0]
	g.Channels = g.Channels[1:]
	set.Guilds = []tidings.VisibleGuild{g, set.Guilds[1]}
	w.sets[ada] = &set
	w.mu.Unlock()
	until(t, ctx, `location.pathname === '/' && !document.querySelector('a[data-open="10"]') && !document.querySelector('article[data-channel="10"]')`)
}

// What was lost while there was no connection is gone from the page, too: the snapshot of the next one does not name it.
func TestChannelIsLostWhileAway(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, ctx, live+` && document.querySelectorAll('article[data-channel="10"]').length === 7`)
	w.mu.Lock()
	set := *w.sets[ada]
	g := set.Guilds[0]
	g.Channels = g.Channels[1:]
	set.Guilds = []tidings.VisibleGuild{g, set.Guilds[1]}
	w.sets[ada] = &set
	w.mu.Unlock()
	w.hangUp()
	until(t, ctx, `location.pathname === '/' && document.querySelector('#toast').innerText.includes('no longer read')`)
	until(t, ctx, live+` && !document.querySelector('a[data-open="10"]') && !document.querySelector('article[data-channel="10"]')`)
}

// A connection that breaks costs nothing but time: the page comes back by itself and shows what it has missed.
func TestPageComesBack(t *testing.T) {
	w := settled(t)
	var cut sync.Mutex // held while the socket is refused
	down := false
	ts := w.serve(func(o *Options) { o.Live = refusing{w, &cut, &down} })
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, ctx, live+` && document.querySelectorAll('article').length === 7`)
	cut.Lock()
	down = true
	cut.Unlock()
	w.hangUp()
	until(t, ctx, `document.body.dataset.status === 'connecting'`)
	w.say(10, at(3, 11, 0), bob, "Bob Fjord", "while you were away")
	w.drop(10, at(2, 9, 12))
	// Without a socket the page asks from time to time.
	until(t, ctx, `document.body.dataset.status === 'polling'`)
	until(t, ctx, `document.body.innerText.includes('while you were away') && !document.body.innerText.includes('I looked')`)
	w.say(10, at(3, 11, 1), bob, "Bob Fjord", "and once more")
	cut.Lock()
	down = false
	cut.Unlock()
	until(t, ctx, live+` && document.body.innerText.includes('and once more')`)
}

// refusing is a live socket that can be told to answer 503.
type refusing struct {
	*world
	mu   *sync.Mutex
	down *bool
}

func (f refusing) Serve(w http.ResponseWriter, r *http.Request, who hub.Who) {
	f.mu.Lock()
	down := *f.down
	f.mu.Unlock()
	if down {
		http.Error(w, "going away", http.StatusServiceUnavailable)
		return
	}
	f.world.Serve(w, r, who)
}

// Looks for people: SHOTS names a folder into which pictures of the pages are put.
func TestScreens(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	for _, c := range []struct {
		name, path, scheme string
		width, height      int64
		act                string
	}{
		{"feed-light", "/", "light", 1280, 800, ""},
		{"feed-dark", "/", "dark", 1280, 800, ""},
		{"channel-dark", "/c/10", "dark", 1280, 800, ""},
		{"channel-light", "/c/10", "light", 1280, 1100, ""},
		{"feed-360", "/", "light", 360, 740, ""},
		{"channel-360-dark", "/c/10", "dark", 360, 740, ""},
		{"drawer-360", "/", "dark", 360, 740, `document.querySelector('#menu').click()`},
		{"help", "/", "light", 1280, 800, `document.querySelector('#keys').click()`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := tab(t, w, ts.URL)
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			do(t, ctx, chromedp.EmulateViewport(c.width, c.height), chromedp.Navigate(ts.URL+c.path))
			until(t, ctx, live)
			if c.act != "" {
				if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](c.act)); err != nil {
					t.Fatal(err)
				}
			}
			// Nothing may be wider than the window.
			until(t, ctx, `document.documentElement.scrollWidth <= innerWidth && document.querySelector('#scroll').scrollWidth <= document.querySelector('#scroll').clientWidth`)
			if dir := os.Getenv("SHOTS"); dir != "" {
				png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, c.name+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A delta whose message went to nobody, as between a connection's first frame and its watch, is noticed: the message is fetched. One that is
// repeated after it was deleted stays away.
func TestAMessageThatWasNotToldIsFetched(t *testing.T) {
	w := settled(t)
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, ctx, live+` && document.querySelectorAll('article').length === 7`)
	m := w.say(10, at(3, 11, 0), bob, "Bob Fjord", "told to nobody")
	w.push(fmt.Sprintf(`{"op":"delta","c":"10","g":"%d","v":%d,"k":"create","id":"%d","a":"%d","n":1,"m":null}`, m.Guild, w.version[10], m.ID, m.Author))
	until(t, ctx, `document.querySelector('#stream').innerText.includes('told to nobody')`)
	b, err := w.encoder.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	w.drop(10, m.ID)
	until(t, ctx, `!document.querySelector('#stream').innerText.includes('told to nobody')`)
	w.push(fmt.Sprintf(`{"op":"message","c":"10","v":%d,"message":%s}`, w.version[10]-1, b))
	w.arrive(10, at(3, 11, 1), bob, "Bob Fjord", "what comes after it")
	until(t, ctx, `document.querySelector('#stream').innerText.includes('what comes after it') && !document.querySelector('#stream').innerText.includes('told to nobody')`)
}

// Who reads further up keeps what they read, however much comes below.
func TestThePlaceIsKeptWhateverComes(t *testing.T) {
	w := settled(t)
	for n := range 60 {
		w.say(10, at(3, 11, n), bob, "Bob Fjord", fmt.Sprintf("line %d. %s", n, strings.Repeat("and so on ", 40)))
	}
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/c/10"))
	until(t, ctx, live+` && document.querySelectorAll('article').length >= 50`)
	do(t, ctx, chromedp.Evaluate[chromedp.Void](`void (document.querySelector('#scroll').scrollTop = 900)`))
	until(t, ctx, `document.querySelectorAll('article').length >= 50 && (() => { const s = document.querySelector('#scroll'), top = s.getBoundingClientRect().top;
		const n = [...document.querySelectorAll('article')].find((a) => a.getBoundingClientRect().bottom > top + 8);
		window.place = { id: n.dataset.id, top: n.getBoundingClientRect().top };
		return s.scrollTop > 400; })()`)
	for n := range 300 {
		w.arrive(10, at(3, 13, 0)+discord.MessageID(n)<<22, bob, "Bob Fjord", fmt.Sprintf("more %d", n))
	}
	until(t, ctx, `document.querySelector('#pill').textContent === '300 new ↓'`)
	until(t, ctx, `document.querySelectorAll('article').length <= 240 && Math.abs(document.querySelector('article[data-id="' + place.id + '"]').getBoundingClientRect().top - place.top) < 3`)
	do(t, ctx, chromedp.Click(chromedp.CSS("#pill")))
	until(t, ctx, `document.querySelector('#stream').innerText.includes('more 299') && document.querySelector('#pill').hidden`)
}

// What somebody sees before there is anything to read fits a phone, and says what to do next.
func TestFirstRunPages(t *testing.T) {
	guilds := func(n int) func(*Options) {
		return func(o *Options) {
			o.Guilds = func(context.Context) ([]discord.GuildID, error) { return make([]discord.GuildID, n), nil }
			o.Invite = "https://discord.com/oauth2/authorize?client_id=1"
		}
	}
	for _, c := range []struct {
		name, path, title, action string
		user                      discord.UserID
		change                    func(*Options)
	}{
		{"sign-in", "/", "Tidings", "Sign in with Discord", 0, guilds(0)},
		{"no-server", "/", "The bot is in no server yet", "Invite the bot", nobody, guilds(0)},
		{"no-channel", "/", "No channel for you yet", "Look again", nobody, guilds(2)},
		{"refused", "/login/callback?error=access_denied", "This sign-in has expired", "Sign in with Discord", 0, guilds(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ts := w.serve(c.change)
			var cookies []*http.Cookie
			if c.user != 0 {
				cookies = sessionOf(t, w, c.user)
			}
			ctx := tabWith(t, ts.URL, func() []*http.Cookie { return cookies })
			for _, scheme := range []string{"dark", "light"} {
				if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
					t.Fatal(err)
				}
				for _, width := range []int64{360, 1280} {
					do(t, ctx, chromedp.EmulateViewport(width, 740), chromedp.Navigate(ts.URL+c.path))
					until(t, ctx, `document.querySelector('h1')?.textContent === '`+c.title+`' && document.querySelector('a.primary')?.textContent === '`+c.action+`'`)
					until(t, ctx, `document.documentElement.scrollWidth <= innerWidth`)
					if dir := os.Getenv("SHOTS"); dir != "" {
						png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
						if err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", c.name, width, scheme)), png, 0o644); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		})
	}
}
