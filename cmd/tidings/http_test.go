package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/sim"
	"tidings/sim/simtest"
)

// Clients that send too much, too slowly or nothing at all cost little, and others are served.
func TestRudeClientsAreBounded(t *testing.T) {
	d := simtest.Start(t, sim.Options{})
	owner := d.Person("owner")
	d.Guild("Harbour", owner, nil, []string{"general"}, nil)
	c := configFor(t, d)
	c.Listen = freeAddress(t)
	token := makeToken(t, c, owner.ID)
	spawn(t, c) // a process of its own: it and this one hold an end each of very many connections
	s := &service{t: t, url: "http://" + c.Listen}
	eventually(t, "the service is ready", time.Minute, func() bool {
		status, _, err := s.try(credential{}, "GET", "/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.DialTimeout("tcp", u.Host, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	fine := func(what string) {
		t.Helper()
		if status := s.call(credential{}, "GET", "/readyz", nil, nil); status != http.StatusOK {
			t.Errorf("%s: GET /readyz = %d", what, status)
		}
	}
	status := func(conn net.Conn) int {
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0 // hung up
		}
		res.Body.Close()
		return res.StatusCode
	}

	const many = 10000
	memory := func() float64 {
		t.Helper()
		_, text, err := s.try(credential{}, "GET", "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, "process_resident_memory_bytes "); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatal("the process does not say how much memory it has")
		return 0
	}
	// One costs a goroutine and two buffers of 4 KB, together 12 KB when measured; the race detector makes 60 to 70 of it.
	before, bound := memory(), float64(many*20<<10)
	if raced {
		bound = many * 100 << 10
	}
	// Half-open: connected, and a line sent at most.
	var half []net.Conn
	for i := range many {
		conn := dial()
		if i%2 == 0 {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		}
		half = append(half, conn)
	}
	fine("beside half-open connections")
	grown := memory() - before
	t.Logf("%d half-open connections: %.0f MB more than %.0f MB", many, grown/1e6, before/1e6)
	if grown > bound {
		t.Errorf("%d half-open connections hold %.0f MB", many, grown/1e6)
	}
	// Those that have begun a header are hung up on, whatever they go on to send.
	var wg sync.WaitGroup
	for _, conn := range half[:20] {
		wg.Go(func() {
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("a slow header is not ended: %v", err)
			}
		})
	}
	// Headers of a megabyte.
	for _, header := range []string{"X-Big: " + strings.Repeat("a", 1<<20), strings.Repeat("X-Many: a\r\n", 1<<16), "Cookie: tidings=" + strings.Repeat("a", 1<<20)} {
		conn := dial()
		go fmt.Fprintf(conn, "GET /api/me HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", u.Host, header) // it may be hung up on in between
		if got := status(conn); got != 0 && got != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of a megabyte is answered with %d", got)
		}
	}
	// Bodies that are larger than anything here needs, with and without saying so.
	for _, length := range []string{"Content-Length: 1073741824", "Transfer-Encoding: chunked"} {
		for _, path := range []string{"/api/messages/read", "/login/callback", "/webhooks/discord/discord"} {
			conn := dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", path, u.Host, length)
			go func() {
				chunk := "10000\r\n" + strings.Repeat("a", 1<<16) + "\r\n"
				for range 100 {
					if _, err := io.WriteString(conn, chunk); err != nil {
						return
					}
				}
			}()
			if got := status(conn); got != 0 && got/100 != 4 {
				t.Errorf("%s with %s is answered with %d", path, length, got)
			}
		}
	}
	// A body that grows a thousandfold when it is unpacked is not unpacked.
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 100 {
		z.Write(zeros)
	}
	z.Close()
	for _, path := range []string{"/api/messages/read", "/webhooks/discord/discord"} {
		req, err := http.NewRequest("POST", s.url+path, bytes.NewReader(bomb.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Content-Encoding", "gzip")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 4 {
			t.Errorf("%s with a bomb is answered with %s", path, resp.Status)
		}
	}
	// Live sockets whose frames are too large, by what they say of themselves, by many pieces, or once they are unpacked.
	var packed bytes.Buffer
	f, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		f.Write(zeros)
	}
	f.Flush()
	size := binary.BigEndian.AppendUint16(nil, uint16(packed.Len()))
	if packed.Len() > math.MaxUint16 {
		t.Fatalf("the packed frame has %d bytes, more than its head can say", packed.Len())
	}
	filling := strings.Repeat("a", 1<<16-1)
	for name, frames := range map[string][]string{
		"a frame of a gigabyte": {"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00", filling},
		"endless pieces":        {"\x01\xfe\xff\xff\x00\x00\x00\x00", filling},
		"a packed frame":        {"\xc1\xfe" + string(size) + "\x00\x00\x00\x00" + packed.String()},
	} {
		conn := dial()
		fmt.Fprintf(conn, "GET /api/live HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", u.Host, token)
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%s: the live socket does not open: %v", name, err)
		}
		go func() {
			for n := 0; n < 1<<26; {
				for _, part := range frames {
					if _, err := io.WriteString(conn, part); err != nil {
						return
					}
					n += len(part)
				}
			}
		}()
		if _, err := io.Copy(io.Discard, in); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the socket is not ended", name)
		}
	}
	fine("after them")
	grown = memory() - before
	t.Logf("after large headers, bodies, bombs and frames: %.0f MB more", grown/1e6)
	if grown > bound {
		t.Errorf("in the end %.0f MB more are held", grown/1e6)
	}
	wg.Wait()
	fine("in the end")
}

// Of connections that nobody asks anything on, some may stay open; the one that has waited longest goes first. Requests that are under way and live sockets are none of them.
func TestConnectionsWithoutARequestAreFew(t *testing.T) {
	t.Parallel()
	few := newIdle(prometheus.NewRegistry())
	few.soft, few.hard, few.young = 2, 3, time.Hour
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		}
		asked <- struct{}{}
		<-release
	}))
	server.Config.ConnState = few.state
	server.Start()
	defer server.Close()
	connect := func(say string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	live := connect("GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	slow := connect("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	<-asked
	// In the order in which they came, and each known to the server before the next one.
	var half []net.Conn
	known := func(n int) func() bool {
		return func() bool {
			few.mu.Lock()
			defer few.mu.Unlock()
			return few.all.Len() == n
		}
	}
	for i := range 3 {
		half = append(half, connect("GET / HTTP/1.1\r\nHost"))
		eventually(t, "the connection is known", 2*time.Minute, known(i+1))
	}
	// All are young: above hard the oldest goes, and no more.
	half = append(half, connect(""))
	if _, err := half[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest is not closed: %v", err)
	}
	// None is young any more: all above soft go.
	few.mu.Lock()
	few.young = 0
	few.mu.Unlock()
	half = append(half, connect(""))
	for _, conn := range half[1:3] {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the next is not closed: %v", err)
		}
	}
	close(release)
	for name, conn := range map[string]net.Conn{"the request under way": slow, "the live socket": live} {
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 ") {
			t.Errorf("%s is answered with %q, %v", name, line, err)
		}
	}
	// The last two may still ask.
	for _, conn := range half[3:] {
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("one of the newest is answered with %v, %v", res, err)
		}
		<-asked
	}
}
