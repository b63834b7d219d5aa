// Package pushtest is a push service for tests: it takes what is sent to browsers, checks who sent it (VAPID, RFC 8292), and opens it
// with the browser's keys (RFC 8291), which a real one cannot.
package pushtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
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

// Host is where browsers' addresses are. Only the client of [Service.HTTP] gets there.
const Host = "example.com"

// Service is a push service of some browsers.
type Service struct {
	t        testing.TB
	server   *httptest.Server
	mu       sync.Mutex
	browsers map[string]*Browser
	status   int
	retry    string
	asked    int
}

// Browser is somebody's, with what a PushSubscription of it holds.
type Browser struct {
	s             *Service
	Endpoint      string
	P256DH, Auth  string // in base64 as browsers write it
	key           *ecdh.PrivateKey
	auth          []byte
	pushes        []Push
	VAPID, Mailto string // the public key and the subscriber that the last push came with
}

// Push is one that has arrived.
type Push struct {
	Body   []byte // as it was before it was encrypted
	Size   int    // bytes that went over the line
	Header http.Header
}

// Start runs a push service until the test ends.
func Start(t testing.TB) *Service {
	s := &Service{t: t, browsers: map[string]*Browser{}, status: http.StatusCreated}
	s.server = httptest.NewTLSServer(http.HandlerFunc(s.take))
	t.Cleanup(s.server.Close)
	return s
}

// HTTP is a client that reaches the service as [Host].
func (s *Service) HTTP() *http.Client {
	c := s.server.Client()
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.server.Listener.Addr().String())
	}
	return c
}

// Browser makes another one.
func (s *Service) Browser() *Browser {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &Browser{s: s, key: key, auth: make([]byte, 16), Endpoint: "https://" + Host + "/push/" + rand.Text()}
	rand.Read(b.auth)
	b.P256DH, b.Auth = base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.browsers[b.Endpoint] = b
	return b
}

// Subscription is what the browser gives to whoever wants to tell it something.
func (b *Browser) Subscription() map[string]any {
	return map[string]any{"endpoint": b.Endpoint, "keys": map[string]any{"p256dh": b.P256DH, "auth": b.Auth}}
}

// Answer says with which status the service answers from now on, and what Retry-After says.
func (s *Service) Answer(status int, retryAfter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.retry = status, retryAfter
}

// Asked is how many requests there were, refused ones too.
func (s *Service) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Pushes lists what has arrived at the browser.
func (b *Browser) Pushes() []Push {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	return slices.Clone(b.pushes)
}

func (s *Service) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<10))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	b := s.browsers["https://"+Host+r.URL.Path]
	if s.retry != "" {
		w.Header().Set("Retry-After", s.retry)
	}
	if s.status/100 != 2 || b == nil {
		status := s.status
		if b == nil {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		return
	}
	var plain []byte
	if err == nil {
		plain, err = b.open(body)
	}
	if err == nil {
		err = b.sender(r.Header.Get("Authorization"))
	}
	if err == nil && (r.Header.Get("TTL") == "" || r.Header.Get("Content-Encoding") != "aes128gcm") {
		err = fmt.Errorf("headers %v", r.Header)
	}
	if err != nil {
		s.t.Errorf("a push service refuses a push: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.pushes = append(b.pushes, Push{plain, len(body), r.Header})
	w.WriteHeader(s.status)
}

// sender checks the signature of an Authorization of VAPID.
func (b *Browser) sender(header string) error {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	token, k, ok2 := strings.Cut(rest, ", k=")
	parts := strings.Split(token, ".")
	if !ok || !ok2 || len(parts) != 3 {
		return fmt.Errorf("the header %q is none of VAPID", header)
	}
	raw := base64.RawURLEncoding
	key, err1 := raw.DecodeString(k)
	claims, err2 := raw.DecodeString(parts[1])
	sig, err3 := raw.DecodeString(parts[2])
	if err := errors.Join(err1, err2, err3); err != nil || len(key) != 65 || len(sig) != 64 {
		return fmt.Errorf("VAPID's parts: %v", err)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil {
		return fmt.Errorf("VAPID's key: %w", err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errors.New("VAPID's signature does not fit")
	}
	var c struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(claims, &c); err != nil || c.Aud != "https://"+Host || time.Until(time.Unix(c.Exp, 0)) > 24*time.Hour || !strings.Contains(c.Sub, ":") {
		return fmt.Errorf("VAPID's claims %s: %v", claims, err)
	}
	b.VAPID, b.Mailto = k, c.Sub
	return nil
}

// open decrypts a body of aes128gcm with one record (RFC 8188, RFC 8291).
func (b *Browser) open(body []byte) ([]byte, error) {
	if len(body) < 86 || body[20] != 65 {
		return nil, errors.New("the body is too short")
	}
	salt, size, from, sealed := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:86], body[86:]
	if len(sealed) > int(size) || len(body) > 4096 {
		return nil, errors.New("the body is too long")
	}
	sender, err := ecdh.P256().NewPublicKey(from)
	if err != nil {
		return nil, err
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(from)
	secret, err1 := hkdf.Key(sha256.New, shared, b.auth, info, 32)
	key, err2 := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, err3 := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: nonce\x00", 12)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, sealed, nil)
	if err != nil {
		return nil, err
	}
	plain = []byte(strings.TrimRight(string(plain), "\x00"))
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("the record has no end")
	}
	return plain[:len(plain)-1], nil
}
