package main

import (
	"strings"
	"testing"
	"time"
)

func TestAReplayShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	clock := time.Unix(0, 0)
	var out strings.Builder
	p := newProgress(&out, func() time.Time { return clock })
	for _, sent := range []int{0, 5, 50, 51, 100} {
		clock = clock.Add(time.Second)
		p.show("a", sent, 100)
	}
	want := "replay a [###############               ] 50/100 25/s\nreplay a [##############################] 100/100 25/s\n"
	if got := out.String(); got != want {
		t.Errorf("shown = %q, want %q", got, want)
	}

	out.Reset()
	p.terminal = true
	p.show("b", 50, 100)
	clock = clock.Add(time.Second)
	p.show("b", 100, 100)
	if got := out.String(); strings.Count(got, "\r") != 2 || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "100/100 50/s\x1b[K\n") {
		t.Errorf("on a terminal = %q, want one line that is written over", got)
	}
}
