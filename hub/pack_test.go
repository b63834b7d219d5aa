package hub_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

// Who accepts compressed frames gets the same changes as who does not, in fewer bytes, and every such reader the very same bytes.
func TestCompressedFramesSayTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben, carl}, c1, c2)
	n := start(t, newProcess(w), hub.Options{}, nil)
	plain, packed := n.dial(t, anna), n.dial(t, anna, "packed")
	raws := []*rawSocket{n.packed(t, ben), n.packed(t, carl)}
	for _, s := range []*socket{plain, packed} {
		s.send(`{"op":"watch","channels":["1001"]}`)
		s.settle()
	}
	for i := range 50 {
		c := []discord.ChannelID{c1, c2}[i%2]
		d := w.create(c, 99, tidings.Mentions{Users: []discord.UserID{anna}})
		d.Message.Content = strings.Repeat("tidings ", i) // the first has no message
		if i == 20 {
			d.Message.Content = strings.Repeat("x", 70_000) // a longer header
		}
		n.Tell(bg, told(d))
	}
	var said [2][]string
	for i, s := range []*socket{plain, packed} {
		s.delta(c2, 25)
		s.settle()
		for _, f := range s.all() {
			if f.Op == "delta" || f.Op == "message" {
				said[i] = append(said[i], f.raw)
			}
		}
	}
	if a, b := strings.Join(said[0], "\n"), strings.Join(said[1], "\n"); a != b || len(said[0]) != 74 {
		t.Errorf("compressed, %d frames: %.300s\nnot compressed, %d: %.300s", len(said[1]), b, len(said[0]), a)
	}

	// What a raw reader gets is compressed, and the same for both.
	var got [2]string
	for i, r := range raws {
		size := 0
		for size < 50 {
			op, b := r.anyFrame()
			if op == 0xc1 {
				size++
				got[i] += b
			} else if op != 0x81 {
				t.Fatalf("a frame that begins with %x", op)
			}
		}
	}
	if got[0] != got[1] {
		t.Error("two readers of compressed frames got different bytes")
	}
	if len(got[0]) > 50*150 {
		t.Errorf("50 changes took %d bytes compressed", len(got[0]))
	}

	// A client may compress, too; and pieces of that may dribble.
	ws, _, err := websocket.Dial(bg, n.url+"/?user=11", &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for i := range 3 {
		if err := ws.Write(bg, websocket.MessageText, []byte(`{"op":"sync","channels":["1001","1001","1001","1001"]}`)); err != nil {
			t.Fatal(err)
		}
		for op := ""; op != "count"; {
			_, b, err := ws.Read(bg)
			if err != nil {
				t.Fatalf("read %d: %v", i, err)
			}
			if strings.HasPrefix(string(b), `{"op":"count"`) {
				op = "count"
			}
		}
	}
}

// packed is raw with an offer of compression, past hello and snapshot.
func (n *node) packed(t *testing.T, user discord.UserID) *rawSocket {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(nc, "GET /?user=%d HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", user)
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake = %v, %v", resp, err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "server_no_context_takeover") {
		t.Fatalf("extensions = %q, want permessage-deflate without context takeover", got)
	}
	r := &rawSocket{t, nc, br}
	for range 2 {
		r.anyFrame()
	}
	return r
}

// A long snapshot takes as long to compress as hundreds of writes. Others' frames do not wait for that.
func TestTheLoopDoesNotCompressSnapshots(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, ids(t, 100)...)
	held := make(chan struct{})
	n := start(t, newProcess(w), hub.Options{Trace: func(hub.Delivery) { <-held }}, nil)
	first := n.dial(t, anna)
	n.Tell(bg, told(w.create(5000, carl, tidings.Mentions{})))
	first.delta(5000, 1) // and the loop stands
	compressed := make(chan bool, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n.Serve(rw, r, hub.Who{User: anna})
		compressed <- n.Compressed(anna)
		close(held)
	}))
	defer srv.Close()
	m := &node{Hub: n.Hub, process: n.process, url: srv.URL}
	s := m.open(t, anna, "packed")
	if !<-compressed {
		t.Error("the snapshot is left for the loop to compress")
	}
	s.next("snapshot")
}
