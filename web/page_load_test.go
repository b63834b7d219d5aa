//go:build pageload

package web

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestPageUnderLoad measures the page with 500 channels in which 50 messages arrive each second, for a minute, or for
// PAGE_LOAD. It asserts the sizes and that the counts are right; times are printed, because they depend on the machine.
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
		const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter((r) => !r.name.includes('worker') && !r.name.includes('/offline'))];
		return [all.reduce((n, r) => n + r.encodedBodySize, 0), performance.getEntriesByName('ready')[0].startTime];
	})()`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first view of %d channels: %.0f KB compressed, interactive after %.0f ms", channels, bytes[0]/1024, bytes[1])
	if bytes[0] > 100<<10 {
		t.Errorf("the first view takes %.0f KB, want at most 100", bytes[0]/1024)
	}

	do(t, ctx, chromedp.Evaluate[chromedp.Void](`void (() => { window.long = []; new PerformanceObserver((l) => long.push(...l.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
		window.worst = []; new PerformanceObserver((l) => { for (const e of l.getEntries()) worst.push([e.duration, e.scripts.map((s) => s.invoker + ' ' + s.sourceFunctionName + ' ' + Math.round(s.duration) + ' ms, of it layout ' + Math.round(s.forcedStyleAndLayoutDuration)).join('; ')]); worst = worst.sort((a, b) => b[0] - a[0]).slice(0, 3); }).observe({ type: 'long-animation-frame' }); })()`))
	if _, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	read := func() map[string]float64 {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(globalThis.gc?.(), true)`)); err != nil {
			t.Fatal(err)
		}
		r, err := chromedp.Call(ctx, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]float64{}
		for _, x := range r.Metrics {
			m[x.Name] = x.Value
		}
		return m
	}
	measure := func(what string, length time.Duration) {
		before, began := read(), time.Now()
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for time.Since(began) < length {
			<-tick.C
			c, id, text := next()
			w.arrive(c, id, bob, "Bob Fjord", text)
		}
		after := read()
		longest, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`((l) => [l.length, Math.max(0, ...l), l.filter((x) => x > 100).length])(long.splice(0))`))
		if err != nil {
			t.Fatal(err)
		}
		worst, err := chromedp.Run(ctx, chromedp.Evaluate[string](`worst.splice(0).map((w) => Math.round(w[0]) + ' ms: ' + w[1]).join(' | ')`))
		if err != nil {
			t.Fatal(err)
		}
		share := (after["TaskDuration"] - before["TaskDuration"]) / (after["Timestamp"] - before["Timestamp"])
		t.Logf("%s: main thread %.1f %% (script %.1f %%, layout and style %.1f %%), %.0f tasks over 50 ms, %.0f over 100 ms, the longest %.0f ms; heap %.1f → %.1f MB, %.0f → %.0f nodes", what, 100*share,
			100*(after["ScriptDuration"]-before["ScriptDuration"])/(after["Timestamp"]-before["Timestamp"]),
			100*(after["LayoutDuration"]+after["RecalcStyleDuration"]-before["LayoutDuration"]-before["RecalcStyleDuration"])/(after["Timestamp"]-before["Timestamp"]),
			longest[0], longest[2], longest[1], before["JSHeapUsedSize"]/(1<<20), after["JSHeapUsedSize"]/(1<<20), before["Nodes"], after["Nodes"])
		t.Logf("the longest frames: %s", worst)
	}
	measure("reading the feed from its beginning", length/2)
	do(t, ctx, chromedp.Evaluate[chromedp.Void](`void document.querySelector('#pill').click()`))
	measure("at the end of the feed, which follows", length/2)
	until(t, ctx, `document.querySelectorAll('#stream article').length <= 240`)
	// However fast it went, the page counts what the service counts.
	until(t, ctx, fmt.Sprintf(`[...document.querySelectorAll('#where')].some((p) => p.textContent.startsWith((%d).toLocaleString() + ' messages'))`, said))
}
