package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// Clients that send too much, too slowly or nothing at all cost little, and others are served.
func TestRudeClientsAreBounded(t *testing.T) {
	d := simtest.Start(t, sim.Options{})
	c := configFor(t, d)
	s := start(t, c)
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

	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	// Half-open: connected, and a line sent at most.
	const many = 2000
	var half []net.Conn
	for i := range many {
		conn := dial()
		if i%2 == 0 {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		}
		half = append(half, conn)
	}
	fine("beside half-open connections")
	var during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&during)
	if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > many*40<<10 {
		t.Errorf("%d half-open connections hold %d KB", many, grown>>10)
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
	fine("after them")
	wg.Wait()
	fine("in the end")
}
