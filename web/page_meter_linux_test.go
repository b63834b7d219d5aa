package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// meter tells what a page costs while it is looked at: the time in which its main thread had something to do, and of that the time in which it
// had a processor and the time in which it waited for one, by the scheduler's own account.
type meter struct {
	t    *testing.T
	ctx  context.Context
	pid  int
	what string
	from reading
	all  []span
}

// reading is where everything stands at a moment. Times are in seconds.
type reading struct {
	at           time.Time
	page         map[string]float64
	ran, waited  float64 // of the page's main thread
	own, machine float64 // processor time of the service with the load, and of the whole machine
	resident     float64 // MB of the page's process
}

// span is what came between two readings.
type span struct {
	what                                                       string
	length, busy, ran, waited, script, layout, own, machine    float64
	heapFrom, heapTo, residentFrom, residentTo, nodes, longest float64
	over50, over100                                            int
	frames                                                     []longFrame // those over 100 ms
}

// longFrame is one of the browser's long animation frames, in ms. What is neither scripts nor drawing is waiting, or the browser's own.
type longFrame struct {
	Duration, Scripts, Drawing float64
	Who                        string
}

func newMeter(t *testing.T, ctx context.Context) *meter {
	t.Helper()
	m := &meter{t: t, ctx: ctx, pid: renderer(t)}
	do(t, ctx, chromedp.Evaluate[chromedp.Void](`void (() => {
		window.long = []; window.frames100 = [];
		new PerformanceObserver((l) => long.push(...l.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
		new PerformanceObserver((l) => { for (const e of l.getEntries()) if (e.duration > 100 && frames100.length < 50) {
			const end = e.startTime + e.duration, scripts = e.scripts.reduce((n, s) => n + s.duration, 0);
			frames100.push({ Duration: e.duration, Scripts: scripts, Drawing: e.styleAndLayoutStart ? end - e.styleAndLayoutStart : 0,
				Who: e.scripts.map((s) => s.invoker + ' ' + s.sourceFunctionName + ' ' + Math.round(s.duration) + ' (layout ' + Math.round(s.forcedStyleAndLayoutDuration) + ')').join(', ') });
		} }).observe({ type: 'long-animation-frame' });
	})()`))
	if _, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return m
}

// renderer is the process that shows the page: of those that this test has started the one that has worked most.
func renderer(t *testing.T) int {
	t.Helper()
	parent, best, most := map[int]int{}, 0, -1.0
	kinds := map[int]bool{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, _ := os.ReadFile(dir + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			parent[pid], _ = strconv.Atoi(f[1])
		}
		line, _ := os.ReadFile(dir + "/cmdline")
		kinds[pid] = strings.Contains(string(line), "--type=renderer")
	}
	for pid, is := range kinds {
		mine := false
		for p := pid; p > 1 && !mine; p = parent[p] {
			mine = p == os.Getpid()
		}
		if !is || !mine {
			continue
		}
		if ran, _ := scheduled(pid); ran > most {
			best, most = pid, ran
		}
	}
	if best == 0 {
		t.Fatal("the page's process was not found")
	}
	return best
}

// scheduled is how long a process' main thread has had a processor, and how long it has waited for one, in seconds.
func scheduled(pid int) (ran, waited float64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, pid))
	var r, w float64
	fmt.Sscan(string(b), &r, &w)
	return r / 1e9, w / 1e9
}

func (m *meter) read() reading {
	m.t.Helper()
	if _, err := chromedp.Call(m.ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
		m.t.Fatal(err)
	}
	r, err := chromedp.Call(m.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		m.t.Fatal(err)
	}
	now := reading{at: time.Now(), page: map[string]float64{}}
	for _, x := range r.Metrics {
		now.page[x.Name] = x.Value
	}
	now.ran, now.waited = scheduled(m.pid)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		m.t.Fatal(err)
	}
	now.own = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	b, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(first) {
		if n, err := strconv.ParseFloat(f, 64); err == nil && (i <= 3 || i > 5 && i <= 8) { // all but idle, waiting for disks, and guests
			now.machine += n / 100
		}
	}
	b, _ = os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	if _, rest, ok := strings.Cut(string(b), "VmRSS:"); ok {
		fmt.Sscan(rest, &now.resident)
		now.resident /= 1024
	}
	return now
}

func (m *meter) begin(what string) {
	// Garbage is collected before and after; that is not the page's doing.
	m.what, m.from = what, m.read()
	if _, err := chromedp.Run(m.ctx, chromedp.Evaluate[bool](`(long.splice(0), frames100.splice(0), true)`)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *meter) age() time.Duration { return time.Since(m.from.at) }

func (m *meter) end() {
	m.t.Helper()
	long, err := chromedp.Run(m.ctx, chromedp.Evaluate[[]float64](`long.splice(0)`))
	if err != nil {
		m.t.Fatal(err)
	}
	frames, err := chromedp.Run(m.ctx, chromedp.Evaluate[[]longFrame](`frames100.splice(0)`))
	if err != nil {
		m.t.Fatal(err)
	}
	a, b := m.from, m.read()
	of := func(names ...string) float64 {
		n := 0.0
		for _, name := range names {
			n += b.page[name] - a.page[name]
		}
		return n
	}
	s := span{
		what: m.what, length: b.page["Timestamp"] - a.page["Timestamp"], busy: of("TaskDuration"), script: of("ScriptDuration"), layout: of("LayoutDuration", "RecalcStyleDuration"),
		ran: b.ran - a.ran, waited: b.waited - a.waited, own: b.own - a.own, machine: b.machine - a.machine, heapFrom: a.page["JSHeapUsedSize"] / (1 << 20), heapTo: b.page["JSHeapUsedSize"] / (1 << 20),
		residentFrom: a.resident, residentTo: b.resident, nodes: b.page["Nodes"], over50: len(long), frames: frames,
	}
	for _, d := range long {
		s.longest = max(s.longest, d)
		if d > 100 {
			s.over100++
		}
	}
	m.all = append(m.all, s)
	fmt.Println(s)
	for _, f := range frames {
		fmt.Println("    " + f.String())
	}
}

func (s span) String() string {
	share := func(x float64) float64 { return 100 * x / s.length }
	return fmt.Sprintf("%s, %.0f s: main thread busy %.1f %% (script %.1f %%, layout and style %.1f %%), had a processor %.1f %%, waited for one %.1f %%; tasks over 50 ms %d, over 100 ms %d, the longest %.0f ms; "+
		"heap %.1f → %.1f MB, resident %.0f → %.0f MB, %.0f nodes; service and load %.1f %% of a processor, the machine %.1f %%",
		s.what, s.length, share(s.busy), share(s.script), share(s.layout), share(s.ran), share(s.waited), s.over50, s.over100, s.longest,
		s.heapFrom, s.heapTo, s.residentFrom, s.residentTo, s.nodes, share(s.own), share(s.machine))
}

func (f longFrame) String() string {
	return fmt.Sprintf("a frame of %.0f ms: scripts %.0f ms, style, layout and painting %.0f ms, the rest %.0f ms waiting or the browser's own: %s", f.Duration, f.Scripts, f.Drawing, max(0, f.Duration-f.Scripts-f.Drawing), f.Who)
}

// summary puts all spans together.
func (m *meter) summary() string {
	if len(m.all) == 0 {
		return ""
	}
	sum := span{what: "all of it", heapFrom: m.all[0].heapFrom, residentFrom: m.all[0].residentFrom}
	scripted := 0
	for _, s := range m.all {
		sum.length, sum.busy, sum.ran, sum.waited, sum.script, sum.layout = sum.length+s.length, sum.busy+s.busy, sum.ran+s.ran, sum.waited+s.waited, sum.script+s.script, sum.layout+s.layout
		sum.own, sum.machine, sum.over50, sum.over100, sum.longest = sum.own+s.own, sum.machine+s.machine, sum.over50+s.over50, sum.over100+s.over100, max(sum.longest, s.longest)
		sum.heapTo, sum.residentTo, sum.nodes = s.heapTo, s.residentTo, s.nodes
		for _, f := range s.frames {
			if f.Scripts+f.Drawing > 100 {
				scripted++
			}
		}
	}
	verdict := func(ok bool) string {
		if ok {
			return "met"
		}
		return "NOT met"
	}
	return fmt.Sprintf("SUMMARY %v\nSUMMARY main thread under 30 %%: %s (%.1f %%). No task over 100 ms: %s (%d, the longest %.0f ms; frames whose scripts and drawing took over 100 ms: %d). Heap %.1f → %.1f MB.\n",
		sum, verdict(sum.busy/sum.length < .3), 100*sum.busy/sum.length, verdict(sum.over100 == 0), sum.over100, sum.longest, scripted, sum.heapFrom, sum.heapTo)
}
