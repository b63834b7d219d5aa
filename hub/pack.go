package hub

import (
	"bytes"
	"compress/flate"
	"sync"
)

// worthPacking is the size from which a frame is compressed for those who accept it. Below it next to nothing is saved.
const worthPacking = 96

// packers are reused: a new one is 600 KB.
var packers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is a good one
	return w
}}

// packed returns the frame as permessage-deflate has it, without context takeover: it is made once, and the same bytes go to
// everybody who accepts them. What compression does not make smaller stays as it is.
func (f *frame) packed() []byte {
	f.packing.Do(func() {
		f.small = f.b
		var text []byte
		for i, p := range f.parts {
			if i > 0 {
				text = append(text, '\n')
			}
			text = append(text, p.body()...)
		}
		if f.parts == nil {
			text = f.body()
		}
		if len(text) < worthPacking {
			return
		}
		out := bytes.NewBuffer(room(len(text) / 2))
		w := packers.Get().(*flate.Writer)
		defer packers.Put(w)
		w.Reset(out)
		_, err := w.Write(text)
		if err != nil || w.Flush() != nil {
			return // a buffer takes everything
		}
		// The empty block at the end is left out, as RFC 7692 wants it.
		if b := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff}); len(b) < len(f.b) {
			f.small = sealAs(b, finalText|packedBit).b
		}
	})
	return f.small
}

// wire is the frame as a connection takes it.
func (f *frame) wire(packed bool) []byte {
	if packed {
		return f.packed()
	}
	return f.b
}
