package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

// TLSConfig is what there is to set about serving https without a proxy.
type TLSConfig struct {
	Domains    []string `env:"TLS_DOMAINS" name:"tls-domains" placeholder:"NAME" help:"Serve https under these names with certificates that are fetched by ACME and kept in DATA_DIR. LISTEN must be reached at port 443, or HTTP_LISTEN at port 80."`
	Email      string   `env:"TLS_EMAIL" name:"tls-email" placeholder:"ADDRESS" help:"Where the certificate authority writes to when something is wrong with a certificate."`
	ACMEURL    string   `env:"TLS_ACME_URL" name:"tls-acme-url" placeholder:"URL" help:"The directory of another certificate authority than Let's Encrypt."`
	Cert       string   `env:"TLS_CERT" name:"tls-cert" type:"path" placeholder:"FILE" help:"Serve https with the certificates in this PEM file, which is read again when it has changed."`
	Key        string   `env:"TLS_KEY" name:"tls-key" type:"path" placeholder:"FILE" help:"The key of TLS_CERT."`
	HTTPListen string   `env:"HTTP_LISTEN" name:"http-listen" placeholder:"ADDRESS" help:"With TLS: a second address without, such as :80, which sends browsers to https and answers the certificate authority's HTTP-01 challenges."`
}

// tlsOn reports whether the service speaks https itself to people.
func (c *Config) tlsOn() bool { return len(c.TLS.Domains) > 0 || c.TLS.Cert != "" }

// servesTLS reports whether LISTEN speaks https: where no people come, no certificate is fetched for those who ask for health.
func (c *Config) servesTLS() bool { return c.tlsOn() && c.does("web") }

// tlsFaults checks what is set about TLS.
func (c *Config) tlsFaults() (f []string) {
	bad := func(format string, a ...any) { f = append(f, fmt.Sprintf(format, a...)) }
	t := c.TLS
	if (t.Cert == "") != (t.Key == "") {
		bad("TLS_CERT and TLS_KEY belong together.")
	} else if t.Cert != "" {
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			bad("TLS_CERT and TLS_KEY cannot be used: %v.", err)
		}
	}
	if t.Cert != "" && len(t.Domains) > 0 {
		bad("TLS_DOMAINS fetches certificates, and TLS_CERT gives one: set one of them.")
	}
	for _, d := range t.Domains {
		if ascii, err := idna.Lookup.ToASCII(d); err != nil || !strings.Contains(ascii, ".") || net.ParseIP(d) != nil {
			bad("TLS_DOMAINS names %q, for which no certificate can be had: it is like tidings.example.org.", d)
		}
	}
	if t.ACMEURL != "" {
		if u, err := url.Parse(t.ACMEURL); err != nil || u.Host == "" || u.Scheme != "https" {
			bad("TLS_ACME_URL %q is not an https address.", t.ACMEURL)
		}
	}
	if t.HTTPListen != "" {
		if _, _, err := net.SplitHostPort(t.HTTPListen); err != nil {
			bad("HTTP_LISTEN %q is not host:port.", t.HTTPListen)
		}
		if !c.tlsOn() {
			bad("HTTP_LISTEN is the way to https: it needs TLS_DOMAINS or TLS_CERT.")
		}
	}
	if c.tlsOn() && strings.HasPrefix(c.PublicURL, "http://") {
		bad("PUBLIC_URL begins with http://, but the service speaks https.")
	}
	return f
}

// newTLS returns how https is served, and what answers on HTTP_LISTEN; both are nil without TLS.
func newTLS(c *Config, address string, log *slog.Logger) (*tls.Config, http.Handler) {
	switch toHTTPS := redirect(address); {
	case len(c.TLS.Domains) > 0:
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(filepath.Join(c.DataDir, "certificates")),
			HostPolicy: autocert.HostWhitelist(c.TLS.Domains...), Email: c.TLS.Email,
			Client: &acme.Client{DirectoryURL: c.TLS.ACMEURL, UserAgent: "tidings/" + version, HTTPClient: c.TLSClient},
		}
		config := m.TLSConfig()
		config.MinVersion = tls.VersionTLS12
		get := config.GetCertificate
		faults := newOnce(log)
		config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := get(hello)
			faults.note(err, hello.ServerName)
			return cert, err
		}
		if c.TLS.HTTPListen == "" {
			return config, nil // HTTPHandler would offer a challenge that nobody could answer
		}
		return config, m.HTTPHandler(toHTTPS)
	case c.TLS.Cert != "":
		files := &certFiles{cert: c.TLS.Cert, key: c.TLS.Key, log: log}
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.get, NextProtos: []string{"h2", "http/1.1"}}, toHTTPS
	}
	return nil, nil
}

// redirect sends browsers to https. What is not a browser's looking is refused, so that no token is sent in the open twice.
func redirect(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "Use "+address+".", http.StatusBadRequest)
			return
		}
		path := r.URL.RequestURI()
		if !strings.HasPrefix(path, "/") { // of "GET x:.example" it is .example, which would become part of the host
			path = "/"
		}
		http.Redirect(w, r, address+path, http.StatusFound) // #nosec G710 -- the host is ours
	})
}

// certFiles is a certificate that somebody else renews.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	read    time.Time // when its file was last looked at
	changed time.Time // when its file was last changed
}

// certLook is how often the file is looked at, at most.
const certLook = 10 * time.Second

func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now != nil && time.Since(f.read) < certLook {
		return f.now, nil
	}
	f.read = time.Now()
	st, err := os.Stat(f.cert)
	if err == nil && f.now != nil && st.ModTime().Equal(f.changed) {
		return f.now, nil
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.LoadX509KeyPair(f.cert, f.key)
	}
	switch {
	case err == nil:
		f.now, f.changed = &cert, st.ModTime()
	case f.now != nil: // half of the pair is replaced so far, perhaps
		f.log.Warn("the certificate cannot be read again; the old one is used", "file", f.cert, "err", err)
	default:
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return f.now, nil
}

// once logs why certificates are not to be had, each name's reason once an hour. Strangers who ask for other names are not worth a line.
type once struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time
}

func newOnce(log *slog.Logger) *once { return &once{log: log, last: map[string]time.Time{}} }

func (o *once) note(err error, name string) {
	if err == nil || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "not configured in HostWhitelist") || name == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.last[name]) < time.Hour || len(o.last) > 100 {
		return
	}
	o.last[name] = time.Now()
	o.log.Error("no certificate can be had; is the service reached under this name at port 443, or HTTP_LISTEN at port 80?", "name", name, "err", err)
}
