package web

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
)

const (
	maxBody = 64 << 10
	// requestTime bounds every request except the live socket.
	requestTime = 30 * time.Second
)

// csp lets the page load its own files and nothing else. Styles that depend on data are set through the CSSOM.
func csp(cdn bool) string {
	media := ""
	if cdn {
		media = " https://cdn.discordapp.com https://media.discordapp.net https://images-ext-1.discordapp.net https://images-ext-2.discordapp.net"
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'" + media, "connect-src 'self'",
		"media-src 'self'" + media, "worker-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "manifest-src 'self'",
	}, "; ")
}

// guard is around every route: headers, limits, cross-origin protection, the log, and the last net for panics.
func (s *Server) guard(next http.Handler) http.Handler {
	policy := csp(s.o.DiscordCDN)
	cross := http.NewCrossOriginProtection()
	if s.public != nil {
		if err := cross.AddTrustedOrigin(s.public.String()); err != nil {
			s.log.Warn("the public URL is no origin", "err", err)
		}
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, problemf(http.StatusForbidden, "This request came from another site, so it was not carried out."))
	}))
	inner := cross.Handler(next)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), interest-cohort=()")
		if s.public != nil && s.public.Scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if r.URL.Path == "/api/live" {
			// The socket takes the connection over and lives on; it has limits of its own.
			inner.ServeHTTP(w, r)
			return
		}
		h.Set("Cache-Control", "private, no-store")
		limit := int64(maxBody)
		if strings.HasPrefix(r.URL.Path, "/webhooks/") {
			limit = maxWebhookBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		rec := &recorder{ResponseWriter: w}
		start := time.Now()
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error("a request panicked", "method", r.Method, "path", shownPath(r), "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					s.fail(rec, r, errors.New("panic"))
				}
			}
			s.log.Debug("request", "method", r.Method, "path", shownPath(r), "status", rec.status, "took", time.Since(start))
		}()
		inner.ServeHTTP(rec, r.WithContext(ctx))
	})
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Hijack implements [http.Hijacker]. Who takes a connection here makes it a live socket, and answers by itself.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, b, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return c, b, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// metrics shows the metrics to whoever asks on this machine, past every proxy, and to operators. Numbers tell strangers much, too.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if !onThisMachine(r) {
		p, err := s.identify(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !s.operator(p) {
			s.fail(w, r, problemf(http.StatusForbidden, "Metrics are for this machine and for operators: ask at a loopback address, with the token of somebody in ADMINS, or set ADMIN_LISTEN."))
			return
		}
	}
	s.o.Metrics.ServeHTTP(w, r)
}

// onThisMachine reports whether a request was made here, to a loopback address, and came through no proxy: one on this machine
// makes everybody's requests look local, but for their headers and the host that they name.
func onThisMachine(r *http.Request) bool {
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return loopback(r.RemoteAddr) && (host == "localhost" || loopback(net.JoinHostPort(strings.Trim(host, "[]"), "0")))
}

func loopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

// readyz says to this machine alone what is wrong: it names servers.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.o.Ready != nil {
		if err := s.o.Ready(r.Context()); err != nil {
			why := ""
			if onThisMachine(r) {
				why = ": " + err.Error()
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte("not ready" + why + "\n"))
			return
		}
	}
	w.Write([]byte("ready\n"))
}
