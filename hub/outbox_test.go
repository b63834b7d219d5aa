package hub

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A frame of which a part was sent goes out whole even when everything else is dropped.
func TestDroppingWhatWaitsKeepsFramesWhole(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 20 {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var tasks sync.WaitGroup
		o := newOutbox(c, nil, 4<<20, &tasks)
		f := textFrame(bytes.Repeat([]byte{byte('a' + i%26)}, 300_000+i))
		sent := 0
		for {
			if err := o.send(f.b, false); err != nil {
				t.Fatal(err)
			}
			sent++
			o.mu.Lock()
			full := o.flushing
			o.mu.Unlock()
			if full {
				break
			}
		}
		o.send(f.b, false)
		o.shut(closeBytes(statusSlow, "retry_ms=1"), true)
		if err := o.send(f.b, true); err == nil {
			t.Error("a frame after the close frame is taken")
		}
		o.Close() // waits for the close frame
		peer.SetDeadline(time.Now().Add(10 * time.Second))
		all, err := io.ReadAll(peer)
		if err != nil {
			t.Fatal(err)
		}
		rest := all
		whole := 0
		for bytes.HasPrefix(rest, f.b) {
			rest = rest[len(f.b):]
			whole++
		}
		if want := closeBytes(statusSlow, "retry_ms=1"); !bytes.Equal(rest, want) || whole < sent-1 || whole > sent+1 {
			t.Fatalf("after %d whole frames of %d sent came %d bytes %.20q, want the close frame", whole, sent, len(rest), rest)
		}
		tasks.Wait()
		peer.Close()
	}
}
