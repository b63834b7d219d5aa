package hub

// border follows the frames in the bytes of a peer, to know when all of its messages so far are whole.
type border struct {
	left uint64 // bytes of a payload still to come
	head [14]byte
	got  uint8 // bytes of a header that has begun
	open bool  // a message of which only a part of the frames has come
}

// pass takes the next bytes of the peer.
func (f *border) pass(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)))
			f.left -= n
			b = b[n:]
			continue
		}
		f.head[f.got] = b[0]
		f.got++
		b = b[1:]
		if f.got < 2 {
			continue
		}
		size, length := uint8(2), uint64(f.head[1]&0x7f)
		switch length {
		case 126:
			size = 4
		case 127:
			size = 10
		}
		if f.head[1]&0x80 != 0 {
			if size += 4; f.got < size {
				continue
			}
		} else if f.got < size {
			continue
		}
		if length >= 126 {
			n := 2
			if length == 127 {
				n = 8
			}
			length = 0
			for _, x := range f.head[2 : 2+n] {
				length = length<<8 | uint64(x)
			}
		}
		if op := f.head[0] & 0xf; op < 8 {
			f.open = f.head[0]&0x80 == 0
		}
		f.left, f.got = length, 0
	}
}

// clean reports whether the next byte begins a message or a control frame between messages.
func (f *border) clean() bool { return f.left == 0 && f.got == 0 && !f.open }
