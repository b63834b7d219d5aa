package hub_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
)

// rawSocket is a websocket client that sends and reads bytes as the test wants.
type rawSocket struct {
	t *testing.T
	net.Conn
	br *bufio.Reader
}

func (n *node) raw(t *testing.T, user discord.UserID, query ...string) *rawSocket {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(nc, "GET /?user=%d&%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tidings.v1\r\n\r\n", user, strings.Join(query, "&"))
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake = %v, %v", resp, err)
	}
	return &rawSocket{t, nc, br}
}

func masked(fin bool, op byte, payload string) []byte {
	b := []byte{op, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	if fin {
		b[0] |= 0x80
	}
	for i := range len(payload) {
		b = append(b, payload[i]^byte(1+i%4))
	}
	return b
}

// frame reads one frame and fails when the stream is not made of whole ones.
func (r *rawSocket) frame() (op byte, payload string) {
	r.t.Helper()
	first, payload := r.anyFrame()
	if first&0x70 != 0 {
		r.t.Fatalf("no frame begins with %x", first)
	}
	return first & 0xf, payload
}

// anyFrame is frame for extensions too: it returns the first byte.
func (r *rawSocket) anyFrame() (first byte, payload string) {
	r.t.Helper()
	var h [2]byte
	if _, err := io.ReadFull(r.br, h[:]); err != nil {
		r.t.Fatalf("read a frame: %v", err)
	}
	n := uint64(h[1])
	switch n {
	case 126:
		var x [2]byte
		io.ReadFull(r.br, x[:])
		n = uint64(binary.BigEndian.Uint16(x[:]))
	case 127:
		var x [8]byte
		io.ReadFull(r.br, x[:])
		n = binary.BigEndian.Uint64(x[:])
	}
	if h[1]&0x80 != 0 || n > 16<<20 {
		r.t.Fatalf("no frame begins with %x", h)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.br, b); err != nil {
		r.t.Fatalf("read a frame's %d bytes: %v", n, err)
	}
	return h[0], string(b)
}

func TestBytesThatDribbleAreUnderstood(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	r := n.raw(t, anna)
	var all []byte
	all = append(all, masked(true, 1, `{"op":"ping"}`)...)
	all = append(all, masked(true, 9, "one")...)
	all = append(all, masked(false, 1, `{"op":`)...)
	all = append(all, masked(true, 9, "two")...)
	all = append(all, masked(true, 0, `"ping"}`)...)
	for i := range all {
		if _, err := r.Write(all[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Write(all); err != nil {
		t.Fatal(err)
	}
	var pongs []string
	answers := 0
	for len(pongs) < 4 || answers < 4 {
		switch op, p := r.frame(); {
		case op == 10:
			pongs = append(pongs, p)
		case strings.Contains(p, `"pong"`):
			answers++
		}
	}
	if got := strings.Join(pongs, " "); got != "one two one two" {
		t.Errorf("pongs = %s", got)
	}
}

// The library's pongs and the loop's frames share the socket without ever being inside one another, also while it is full.
func TestControlFramesDuringFanOut(t *testing.T) {
	t.Parallel()
	t.Run("many writes with one call", func(t *testing.T) {
		t.Parallel()
		controlFramesDuringFanOut(t, func(h *hub.Hub) {})
	})
	t.Run("a call for each write", func(t *testing.T) {
		t.Parallel()
		controlFramesDuringFanOut(t, (*hub.Hub).Plain)
	})
}

func controlFramesDuringFanOut(t *testing.T, change func(*hub.Hub)) {
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, func(h *hub.Hub) {
		h.BoundPending(64 << 20)
		change(h)
	})
	for range 3 { // who is written to in the same pass
		n.raw(t, anna)
	}
	r := n.raw(t, anna)
	r.Write(masked(true, 1, `{"op":"watch","all":true}`))
	r.Write(masked(true, 1, `{"op":"ping"}`))
	for op, p := r.frame(); op != 1 || !strings.Contains(p, "pong"); op, p = r.frame() {
	}
	const messages = 2000
	go func() {
		for i := range messages {
			d := w.create(c1, ben, tidings.Mentions{})
			d.Message.Content = strings.Repeat("x", 1000+i)
			n.Tell(bg, told(d))
			if i%10 == 0 {
				r.Write(masked(true, 9, fmt.Sprint(i/10)))
			}
		}
	}()
	deltas, pongs := 0, 0
	for deltas < messages || pongs < messages/10 {
		switch op, p := r.frame(); {
		case op == 10:
			if p != fmt.Sprint(pongs) {
				t.Fatalf("pong %q, want %d", p, pongs)
			}
			pongs++
		case op == 1 && strings.Contains(p, `"op":"delta"`):
			deltas++
			if !strings.Contains(p, fmt.Sprintf(`"v":%d,`, deltas)) {
				t.Fatalf("frame %d = %s", deltas, p)
			}
		case op == 1 && strings.Contains(p, `"op":"message"`) && strings.HasSuffix(p, `x"}}`):
		case op == 9:
		default:
			t.Fatalf("opcode %d: %.100q", op, p)
		}
	}
}

func TestNothingFollowsAClose(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	for _, who := range []string{"client", "server"} {
		r := n.raw(t, anna)
		r.Write(masked(true, 1, `{"op":"ping"}`))
		for op, p := r.frame(); op != 1 || !strings.Contains(p, "pong"); op, p = r.frame() {
		}
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
				}
			}
		}()
		for range 20 {
			r.frame()
		}
		if who == "client" {
			r.Write(masked(true, 8, "\x03\xe8bye"))
		} else {
			r.Write(masked(true, 1, `{`))
		}
		op, p := r.frame()
		for ; op != 8; op, p = r.frame() {
		}
		if want := map[string]string{"client": "\x03\xe8", "server": "\x0f\xa0"}[who]; !strings.HasPrefix(p, want) {
			t.Errorf("%s closes: close frame = %q", who, p)
		}
		if who == "server" {
			r.Write(masked(true, 8, p))
		}
		if rest, err := io.ReadAll(r.br); err != nil || len(rest) > 0 {
			t.Errorf("%s closes: %d bytes after the close frame, %v", who, len(rest), err)
		}
		close(stop)
		<-done
	}
}

// A socket that cannot be tried without waiting, as under TLS, is written by its flusher alone.
func TestUnderTLS(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna}, c1)
	n := start(t, newProcess(w), hub.Options{}, nil)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n.Serve(rw, r, hub.Who{User: anna})
	}))
	defer srv.Close()
	defer n.stop()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	defer tr.CloseIdleConnections()
	ws, _, err := websocket.Dial(bg, srv.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for range 2 {
		if _, _, err := ws.Read(bg); err != nil {
			t.Fatal(err)
		}
	}
	for v := int64(1); v <= 200; v++ {
		n.Tell(bg, told(w.create(c1, ben, tidings.Mentions{})))
		if v%50 != 0 {
			continue
		}
		for u := v - 49; u <= v; u++ {
			if _, b, err := ws.Read(bg); err != nil || !strings.Contains(string(b), fmt.Sprintf(`"v":%d,`, u)) {
				t.Fatalf("frame %d = %s, %v", u, b, err)
			}
		}
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// The answer to the handshake travels with the first frame, but waits no longer than a beat for it: a client must not believe that
// nobody is there while the counts take long.
func TestTheHandshakeIsAnsweredWhileCountsAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.guild(g1, []discord.UserID{anna, ben}, c1)
	p := newProcess(w)
	turn := make(chan struct{})
	p.summaries = func(*tidings.Unread) { <-turn }
	n := start(t, p, hub.Options{}, nil)
	release := sync.OnceFunc(func() { close(turn) })
	t.Cleanup(release)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		n.Serve(rw, r, hub.Who{User: ben})
	}))
	defer srv.Close()
	defer n.stop()
	plain := n.open(t, anna)
	ws, resp, err := websocket.Dial(bg, srv.URL, &websocket.DialOptions{HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options is %q in the answer, want what the handler set", got)
	}
	release()
	plain.next("hello")
	plain.next("snapshot")
	for _, want := range []string{`{"op":"hello"`, `{"op":"snapshot"`} {
		if _, b, err := ws.Read(bg); err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("got %s, %v, want %s", b, err, want)
		}
	}
}
