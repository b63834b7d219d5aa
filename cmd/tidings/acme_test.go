package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is a small ACME server (RFC 8555): it knows one account, one order at a time for each name, and signs once it has seen the challenge
// answered where the name leads. It does not check signatures.
type authority struct {
	t     *testing.T
	url   string
	key   *ecdsa.PrivateKey
	root  *x509.Certificate
	kind  func(name string) string // of the challenge that is offered
	reach map[string]string        // kind → the address to which every name leads

	mu     sync.Mutex
	thumb  string // of the account's key
	valid  map[string]bool
	issued map[string][]byte // name → its chain in PEM
	asked  []string          // challenges that were answered, as kind and name
}

func newAuthority(t *testing.T) (*authority, *http.Client, *x509.CertPool) {
	t.Helper()
	a := &authority{t: t, reach: map[string]string{}, valid: map[string]bool{}, issued: map[string][]byte{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, a.key.Public())
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return a, server.Client(), pool
}

func (a *authority) sign(c, parent *x509.Certificate, public any) []byte {
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(24*90*time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		a.t.Error(err)
	}
	return der
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Replay-Nonce", rand.Text())
	var body struct{ Protected, Payload string }
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &body)
	payload, _ := base64.RawURLEncoding.DecodeString(body.Payload)
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	name := part[len(part)-1]
	order := func() map[string]any {
		o := map[string]any{"status": "pending", "identifiers": []map[string]string{{"type": "dns", "value": name}},
			"authorizations": []string{a.url + "/authz/" + name}, "finalize": a.url + "/finalize/" + name}
		if a.valid[name] {
			o["status"] = "ready"
		}
		if a.issued[name] != nil {
			o["status"], o["certificate"] = "valid", a.url+"/cert/"+name
		}
		return o
	}
	challenge := func() map[string]string {
		c := map[string]string{"type": a.kind(name), "url": a.url + "/challenge/" + name, "token": "token-" + name, "status": "pending"}
		if a.valid[name] {
			c["status"] = "valid"
		}
		return c
	}
	switch part[0] {
	case "directory":
		say(200, map[string]string{"newNonce": a.url + "/nonce", "newAccount": a.url + "/account", "newOrder": a.url + "/order"})
	case "nonce":
	case "account":
		protected, _ := base64.RawURLEncoding.DecodeString(body.Protected)
		var head struct {
			JWK struct{ Crv, Kty, X, Y string }
		}
		_ = json.Unmarshal(protected, &head)
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, head.JWK.Crv, head.JWK.Kty, head.JWK.X, head.JWK.Y))
		a.thumb = base64.RawURLEncoding.EncodeToString(sum[:])
		w.Header().Set("Location", a.url+"/account/1")
		say(201, map[string]string{"status": "valid"})
	case "order":
		var in struct{ Identifiers []struct{ Value string } }
		_ = json.Unmarshal(payload, &in)
		if len(in.Identifiers) == 1 {
			name = in.Identifiers[0].Value
		}
		w.Header().Set("Location", a.url+"/orders/"+name)
		say(201, order())
	case "orders":
		say(200, order())
	case "authz":
		status := "pending"
		if a.valid[name] {
			status = "valid"
		}
		say(200, map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": name}, "challenges": []any{challenge()}})
	case "challenge":
		if err := a.look(name); err != nil {
			a.t.Errorf("the challenge of %s is not answered: %v", name, err)
		} else {
			a.valid[name] = true
			a.asked = append(a.asked, a.kind(name)+" "+name)
		}
		say(200, challenge())
	case "finalize":
		var in struct{ CSR string }
		_ = json.Unmarshal(payload, &in)
		der, _ := base64.RawURLEncoding.DecodeString(in.CSR)
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil || !a.valid[name] || !slices.Equal(csr.DNSNames, []string{name}) {
			say(403, map[string]string{"type": "urn:ietf:params:acme:error:unauthorized"})
			return
		}
		leaf := a.sign(&x509.Certificate{Subject: csr.Subject, DNSNames: csr.DNSNames, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.root, csr.PublicKey)
		a.issued[name] = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})...)
		w.Header().Set("Location", a.url+"/orders/"+name)
		say(200, order())
	case "cert":
		_, _ = w.Write(a.issued[name])
	default:
		say(404, map[string]string{"type": "urn:ietf:params:acme:error:malformed"})
	}
}

// look sees whether a challenge is answered where the name leads.
func (a *authority) look(name string) error {
	answer := "token-" + name + "." + a.thumb
	switch kind := a.kind(name); kind {
	case "http-01":
		req, _ := http.NewRequest("GET", "http://"+a.reach[kind]+"/.well-known/acme-challenge/token-"+name, nil)
		req.Host = name
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); string(text) != answer {
			return fmt.Errorf("%s answers %q, want %q", req.URL, text, answer)
		}
	case "tls-alpn-01":
		conn, err := tls.Dial("tcp", a.reach[kind], &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		sum := sha256.Sum256([]byte(answer))
		want, _ := asn1.Marshal(sum[:])
		leaf := conn.ConnectionState().PeerCertificates[0]
		for _, e := range leaf.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && string(e.Value) == string(want) {
				return nil
			}
		}
		return fmt.Errorf("its certificate for %v does not carry the answer", leaf.DNSNames)
	}
	return nil
}

// to makes a client for which every name leads to one address.
func to(address string, pool *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
