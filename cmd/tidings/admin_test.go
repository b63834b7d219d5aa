package main

import (
	"net"
	"net/http"
	"testing"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestOperatorsHaveAnAddressOfTheirOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := configFor(t, simtest.Start(t, sim.Options{}))
	open := start(t, c)
	if status := open.call(credential{}, "GET", "/metrics", nil, nil); status != http.StatusOK {
		t.Errorf("GET /metrics without ADMIN_LISTEN = %d, want 200", status)
	}
	if err := open.stop(); err != nil {
		t.Fatal(err)
	}
	c.AdminListen = address
	closed := start(t, c)
	if status := closed.call(credential{}, "GET", "/metrics", nil, nil); status != http.StatusNotFound {
		t.Errorf("GET /metrics beside ADMIN_LISTEN = %d, want 404", status)
	}
	admin := &service{t: t, url: "http://" + address}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if status := admin.call(credential{}, "GET", path, nil, nil); status != http.StatusOK {
			t.Errorf("GET %s at ADMIN_LISTEN = %d, want 200", path, status)
		}
	}
}
