package web

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestPageUnderLoad shows the page 500 channels in which 50 messages arrive each second, for a little while, or for PAGE_LOAD. It asserts what it
// takes and that the counts are right; times are printed, because they depend on the machine.
func TestPageUnderLoad(t *testing.T) {
	const channels, rate = 500, 50
	length := time.Minute
	if s := os.Getenv("PAGE_LOAD"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	set := &tidings.VisibleSet{User: ada, Epoch: 1}
	var ids []discord.ChannelID
	for g := range 10 {
		guild := tidings.VisibleGuild{Guild: tidings.Guild{ID: discord.GuildID(100+g) << 22, Name: fmt.Sprintf("Server number %d", g), Available: true}}
		for n := range channels / 10 {
			id := discord.ChannelID(1000 + g*100 + n)
			guild.Channels = append(guild.Channels, tidings.Channel{ID: id, Guild: guild.Guild.ID, Name: fmt.Sprintf("channel-%d-%d", g, n)})
			ids = append(ids, id)
		}
		set.Guilds = append(set.Guilds, guild)
	}
	w.sets[ada] = set
	words := "the tide comes in and the nets go out while somebody asks whether the ropes are dry and nobody knows for certain"
	now := time.Now().Add(-time.Hour)
	said := 0
	next := func() (discord.ChannelID, discord.MessageID, string) {
		now = now.Add(20 * time.Millisecond)
		said++
		return ids[rand.IntN(len(ids))], tidings.FirstID(now), fmt.Sprintf("%s **%d** `%s`", words[:20+rand.IntN(len(words)-20)], said, words[:8])
	}
	for range 3 * channels {
		c, id, text := next()
		w.say(c, id, bob, "Bob Fjord", text)
	}
	ts := w.serve()
	ctx := tab(t, w, ts.URL)
	do(t, ctx, chromedp.Navigate(ts.URL+"/"))
	until(t, ctx, live)
	until(t, ctx, fmt.Sprintf(`document.title === '(999+) Tidings' && document.querySelectorAll('#channels a').length > %d`, channels*9/10))
	bytes, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`(() => {
		const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter((r) => !r.name.includes('worker') && !r.name.includes('/offline') && r.startTime < performance.getEntriesByName('ready')[0].startTime)];
		return [all.reduce((n, r) => n + r.encodedBodySize, 0), performance.getEntriesByName('ready')[0].startTime,
			all[0].responseStart, all[0].responseEnd, Math.max(...all.filter((r) => r.name.endsWith('.js')).map((r) => r.responseEnd))];
	})()`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first view of %d channels: %.0f KB compressed, interactive after %.0f ms; the page began to arrive after %.0f ms and was there after %.0f ms, its modules after %.0f ms", channels, bytes[0]/1024, bytes[1], bytes[2], bytes[3], bytes[4])
	if bytes[0] > 100<<10 {
		t.Errorf("the first view takes %.0f KB, want at most 100", bytes[0]/1024)
	}

	first, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`new Promise((done) => { new PerformanceObserver((l) => done(l.getEntries().map((e) => e.duration))).observe({ type: 'longtask', buffered: true }); setTimeout(() => done([]), 500); })`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tasks over 50 ms until then, in ms: %.0f", first)
	began := time.Now()
	m := newMeter(t, ctx)
	measure := func(what string, length time.Duration) {
		// A line a minute, so that who runs it for long sees how memory goes.
		m.begin(what)
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for end := time.Now().Add(length); time.Now().Before(end); {
			<-tick.C
			c, id, text := next()
			w.arrive(c, id, bob, "Bob Fjord", text)
			if m.age() >= time.Minute && time.Until(end) >= 30*time.Second {
				m.end()
				m.begin(what)
			}
		}
		m.end()
	}
	measure("reading the feed from its beginning", length/2)
	do(t, ctx, chromedp.Evaluate[chromedp.Void](`void document.querySelector('#pill').click()`))
	measure("at the end of the feed, which follows", length/2)
	until(t, ctx, `document.querySelectorAll('#stream article').length <= 240`)
	// However fast it went, the page counts what the service counts.
	until(t, ctx, fmt.Sprintf(`[...document.querySelectorAll('#where')].some((p) => p.textContent.startsWith((%d).toLocaleString() + ' unread'))`, said))
	if heap := m.all[len(m.all)-1].heapTo; heap > 10 {
		t.Errorf("the page holds %.1f MB in the end, want at most 10", heap)
	}
	fmt.Printf("SUMMARY page under load: %d channels, %d messages a second for %s; first view %.0f KB compressed (at most 100), interactive after %.0f ms (under 1000), tasks over 50 ms until then: %.0f\n%s",
		channels, rate, time.Since(began).Round(time.Second), bytes[0]/1024, bytes[1], first, m.summary())
}
