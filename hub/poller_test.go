package hub

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// wire makes a frame as a client sends it.
func wire(fin bool, op byte, payload []byte) []byte {
	b := []byte{op, 0x80}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, 9, 8, 7, 6), payload...)
}

// However the bytes are cut, the places where nothing is half said are found, and no other.
func TestBordersBetweenMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		clean := map[int]bool{0: true}
		open := false
		for range rapid.IntRange(1, 8).Draw(t, "frames") {
			payload := make([]byte, rapid.SampledFrom([]int{0, 1, 125, 126, 127, 300, 65535, 65536}).Draw(t, "length"))
			if rapid.Bool().Draw(t, "control") {
				stream = append(stream, wire(true, byte(rapid.IntRange(8, 10).Draw(t, "op")), payload[:min(len(payload), 125)])...)
			} else {
				fin, op := rapid.Bool().Draw(t, "fin"), byte(1)
				if open {
					op = 0
				}
				stream = append(stream, wire(fin, op, payload)...)
				open = !fin
			}
			clean[len(stream)] = !open
		}
		var f border
		for at := 0; at < len(stream); {
			n := min(rapid.SampledFrom([]int{1, 2, 3, 5, 17, 256, 100_000}).Draw(t, "cut"), len(stream)-at)
			f.pass(stream[at : at+n])
			at += n
			if f.clean() != clean[at] {
				t.Fatalf("clean after %d bytes = %v, want %v", at, f.clean(), clean[at])
			}
		}
	})
}

func FuzzBorder(f *testing.F) {
	f.Add(wire(true, 1, []byte("x")))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5})
	f.Add([]byte{0x81, 0x00, 0x89, 0x7e, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, single border
		whole.pass(b)
		for i := range b {
			single.pass(b[i : i+1])
		}
		if whole.left != single.left || whole.got != single.got || whole.open != single.open {
			t.Fatalf("%x at once = %+v, byte by byte = %+v", b, whole, single)
		}
	})
}
