package ingest

import (
	"runtime"
	"testing"
	"weak"

	"tidings"
)

// What a storm has left behind may be hundreds of megabytes of messages; a quiet lane must not keep it.
func TestALaneForgetsWhatWasTaken(t *testing.T) {
	t.Parallel()
	l := newLane()
	var pushed []weak.Pointer[item]
	for range 1000 {
		it := &item{ev: tidings.Event{Body: tidings.MessagesDeleted{}}}
		pushed = append(pushed, weak.Make(it))
		l.push(it)
	}
	for range 3 { // One is left.
		if n := len(l.take(333)); n != 333 {
			t.Fatalf("take() gave %d items, want 333", n)
		}
	}
	runtime.GC()
	kept := 0
	for _, p := range pushed {
		if p.Value() != nil {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("%d items are kept of which 1 is still in the lane", kept)
	}
	l.take(1)
	runtime.GC()
	if pushed[999].Value() != nil {
		t.Error("an empty lane keeps its last item")
	}
	runtime.KeepAlive(l)
}
