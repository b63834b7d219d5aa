package ingest

import (
	"testing"

	"tidings"
)

func mark(seq int64) tidings.Mark { return tidings.Mark{Session: "s", Epoch: 1, Seq: seq} }

// A sequence may come a second time while its first event still waits in its lane.
func TestTheMarkGoesOnAfterARepeatOfWhatIsStillOnItsWay(t *testing.T) {
	t.Parallel()
	var tr tracker
	for _, seq := range []int64{9, 10, 9, 10} {
		tr.given(mark(seq))
	}
	for _, seq := range []int64{10, 10, 9, 9} { // The lane of 9 is slower.
		tr.committed(mark(seq))
	}
	tr.given(mark(11))
	tr.committed(mark(11))
	marks := tr.unsaved()
	if len(marks) != 1 || marks[0].Seq != 11 {
		t.Errorf("unsaved() = %+v, want sequence 11", marks)
	}
	p := tr.streams[streamOf(mark(0))]
	if len(p.waiting) != 0 || len(p.done) != 0 {
		t.Errorf("%d sequences wait and %d are remembered, want none", len(p.waiting), len(p.done))
	}
}

// A mark says what the database has confirmed before, so that one that has gone back is noticed.
func TestAMarkSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	var tr tracker
	tell := func(seq int64) tidings.Mark {
		t.Helper()
		tr.given(mark(seq))
		tr.committed(mark(seq))
		marks := tr.unsaved()
		if len(marks) != 1 {
			t.Fatalf("unsaved() = %+v, want one", marks)
		}
		return marks[0]
	}
	first := tell(1)
	tr.saved([]tidings.Mark{first})
	if second := tell(2); first.Known != 0 || second.Known != 1 {
		t.Errorf("marks are %+v and %+v, want that nothing is known and then 1", first, second)
	}
}
