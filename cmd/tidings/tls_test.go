package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/hub/client"
	"tidings/sim"
	"tidings/sim/simtest"
)

// The service fetches its certificates by itself: one by a handshake at its own port, one by an answer at port 80, and keeps them over a restart.
func TestCertificatesAreFetched(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner := d.Person("owner")
	guild := d.Guild("Harbour", owner, nil, []string{"general"}, nil)
	ca, asks, pool := newAuthority(t)
	ca.kind = func(name string) string {
		if name == "two.example.org" {
			return "http-01"
		}
		return "tls-alpn-01"
	}
	c := configFor(t, d)
	c.Listen = freeAddress(t)
	c.TLS = TLSConfig{Domains: []string{"one.example.org", "two.example.org"}, ACMEURL: ca.url + "/directory", HTTPListen: freeAddress(t), Email: "keeper@example.org"}
	c.TLSClient = asks
	ca.reach["tls-alpn-01"], ca.reach["http-01"] = c.Listen, c.TLS.HTTPListen
	if faults := c.faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	token := makeToken(t, c, owner.ID)
	run := start(t, c)
	if _, port, _ := strings.Cut(c.Listen, ":"); run.url != "https://one.example.org:"+port {
		t.Errorf("it says that it is at %s", run.url)
	}
	secure := to(c.Listen, pool)
	for _, name := range c.TLS.Domains {
		resp, err := secure.Get("https://" + name + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET https://%s/readyz = %s", name, resp.Status)
		}
	}
	ca.mu.Lock()
	if want := []string{"tls-alpn-01 one.example.org", "http-01 two.example.org"}; !slices.Equal(ca.asked, want) {
		t.Errorf("the challenges were %q, want %q", ca.asked, want)
	}
	ca.mu.Unlock()
	if _, err := secure.Get("https://three.example.org/readyz"); err == nil {
		t.Error("a certificate is shown for a name that was not asked for")
	}
	// Who comes without TLS is sent on; a token that is sent in the open is not answered.
	plain := to(c.TLS.HTTPListen, pool)
	resp, err := plain.Get("http://one.example.org/settings?a=b")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, want := resp.Header.Get("Location"), run.url+"/settings?a=b"; resp.StatusCode != http.StatusFound || got != want {
		t.Errorf("without TLS: %s to %s, want 302 to %s", resp.Status, got, want)
	}
	if resp, err := plain.Post("http://one.example.org/api/messages/read", "application/json", strings.NewReader("{}")); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("POST without TLS = %v, %v", resp, err)
	}
	// The live socket goes through TLS too.
	live, err := client.Dial(t.Context(), "https://one.example.org", client.Options{Token: token, HTTP: secure})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	d.Say(owner, guild.Channel("general"), "Good morning")
	for op := ""; op != "delta"; {
		ev, err := live.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		op = ev.Op
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	ca.kind = func(string) string { t.Error("a certificate that is there is fetched again"); return "http-01" }
	start(t, c)
	if _, err := secure.Get("https://two.example.org/readyz"); err != nil {
		t.Error(err)
	}
	eventually(t, "tidings health finds the process ready", 10*time.Second, func() bool {
		return (healthCmd{}).Run(t.Context(), c, &output{io.Discard, io.Discard}) == nil
	})
}

// A certificate in a file is used, and the one that replaces it after a while too.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, _, _ := newAuthority(t)
	files := &certFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), log: slog.New(slog.DiscardHandler)}
	write := func(name string, at time.Time) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.sign(&x509.Certificate{DNSNames: []string{name}}, ca.root, key.Public())})
		if err := os.WriteFile(files.cert, cert, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(files.cert, at, at); err != nil {
			t.Fatal(err)
		}
	}
	shown := func() string {
		t.Helper()
		cert, err := files.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.DNSNames[0]
	}
	if _, err := files.get(nil); err == nil {
		t.Error("a certificate is shown although there is none")
	}
	now := time.Now()
	write("old.example.org", now.Add(-time.Hour))
	if name := shown(); name != "old.example.org" {
		t.Errorf("shown is %s", name)
	}
	write("new.example.org", now)
	files.read = now.Add(-time.Minute)
	if name := shown(); name != "new.example.org" {
		t.Errorf("after the file was replaced %s is shown", name)
	}
	if err := os.WriteFile(files.key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(files.cert, now.Add(time.Hour), now.Add(time.Hour))
	files.read = now.Add(-time.Minute)
	if name := shown(); name != "new.example.org" {
		t.Errorf("while the pair is half replaced %s is shown", name)
	}
}

func TestTLSSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		c     Config
		fault string
	}{
		{"a key is missing", Config{TLS: TLSConfig{Cert: "/nowhere"}}, "belong together"},
		{"no such files", Config{TLS: TLSConfig{Cert: "/nowhere", Key: "/nowhere"}}, "cannot be used"},
		{"an address", Config{TLS: TLSConfig{Domains: []string{"127.0.0.1"}}}, "no certificate"},
		{"a name of this machine", Config{TLS: TLSConfig{Domains: []string{"localhost"}}}, "no certificate"},
		{"a way to nowhere", Config{TLS: TLSConfig{HTTPListen: ":80"}}, "is the way to https"},
		{"not secure", Config{PublicURL: "http://a.example.org", TLS: TLSConfig{Domains: []string{"a.example.org"}}}, "begins with http://"},
		{"fine", Config{TLS: TLSConfig{Domains: []string{"a.example.org"}, HTTPListen: ":80"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			faults := strings.Join(tt.c.tlsFaults(), "\n")
			if !strings.Contains(faults, tt.fault) || tt.fault == "" && faults != "" {
				t.Errorf("tlsFaults() = %q, want it to say %q", faults, tt.fault)
			}
		})
	}
}
