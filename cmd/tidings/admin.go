package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
)

// listenAdmin opens ADMIN_LISTEN, for the eyes of operators only. Both results are nil when it is empty.
func listenAdmin(c *Config, metrics http.Handler) (net.Listener, http.Handler, error) {
	if c.AdminListen == "" {
		return nil, nil, nil
	}
	l, err := net.Listen("tcp", c.AdminListen)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; choose another address with ADMIN_LISTEN=…", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return l, mux, nil
}
