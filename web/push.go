package web

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/store"
)

// pushKeys are the service's keys for Web Push, read once.
type pushKeys struct {
	mu              sync.Mutex
	public, private string
}

// PushKeys returns the service's keys for Web Push (VAPID: RFC 8292), in URL-safe base64: the public one that browsers subscribe with, and the
// private one that signs. They are made at the first question, once for all processes, and the private one is encrypted where it is kept.
func (s *Server) PushKeys(ctx context.Context) (public, private string, err error) {
	s.push.mu.Lock()
	defer s.push.mu.Unlock()
	if s.push.public != "" {
		return s.push.public, s.push.private, nil
	}
	fresh := func() (string, []byte, error) {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return "", nil, fmt.Errorf("make keys for push: %w", err)
		}
		return base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), s.seal.seal(0, key.Bytes()), nil
	}
	public, sealed, err := s.o.Store.PushKeys(ctx, nil, fresh)
	if err != nil {
		return "", "", err
	}
	plain, err := s.seal.open(0, sealed)
	if err != nil {
		// ENCRYPTION_KEY was lost, and with it what browsers are told at: they subscribe anew when their page is opened.
		s.log.Warn("the key for web push opens with none of our keys; another one is made", "err", err)
		if public, sealed, err = s.o.Store.PushKeys(ctx, sealed, fresh); err != nil {
			return "", "", err
		}
		if plain, err = s.seal.open(0, sealed); err != nil {
			return "", "", fmt.Errorf("open the key for web push: %w", err)
		}
	}
	s.push.public, s.push.private = public, base64.RawURLEncoding.EncodeToString(plain)
	return s.push.public, s.push.private, nil
}

// PushAddress is a PushSubscription as browsers write it.
type PushAddress struct {
	Endpoint string          `json:"endpoint" maxLength:"1000" doc:"The push service's address of this browser: https, on the public internet"`
	Keys     PushAddressKeys `json:"keys"`
}

// PushAddressKeys are what is encrypted with for one browser.
type PushAddressKeys struct {
	P256DH string `json:"p256dh" maxLength:"200" doc:"The browser's public key, in base64"`
	Auth   string `json:"auth" maxLength:"100" doc:"The shared secret, in base64"`
}

// check says which field is wrong, and how.
func (a PushAddress) check() (field, why string) {
	if why := badTarget(a.Endpoint); why != "" {
		return "body.endpoint", why
	}
	key, err := decodeKey(a.Keys.P256DH)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(key)
	}
	if err != nil {
		return "body.keys.p256dh", "expected a public key of the curve P-256, in base64"
	}
	if auth, err := decodeKey(a.Keys.Auth); err != nil || len(auth) != 16 {
		return "body.keys.auth", "expected 16 bytes in base64"
	}
	return "", ""
}

// decodeKey reads base64 as browsers write it, with the alphabet of addresses and without padding.
func decodeKey(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

func (a PushAddress) sealed(s *sealer, u discord.UserID) ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return s.seal(u, b), nil
}

// endPush ends what a session was told by. A session that has ended without it is noticed when something is sent.
func (s *Server) endPush(ctx context.Context, sessions ...string) {
	if err := s.o.Store.EndPush(ctx, sessions...); err != nil {
		s.log.Warn("push subscriptions of ended sessions stay until something is sent", "err", err)
	}
}

// NotifyStore keeps of what people are notified, and which browsers are told. It is part of [Store].
type NotifyStore interface {
	notifyPrefs
	PushSubscriptions(ctx context.Context, user discord.UserID) ([]store.PushSubscription, error)
	SavePush(ctx context.Context, p store.PushSubscription, endpoint string) (store.PushSubscription, error)
	DeletePush(ctx context.Context, user discord.UserID, id int64) error
	EndPush(ctx context.Context, sessions ...string) error
	PushKeys(ctx context.Context, lost []byte, fresh func() (public string, sealed []byte, err error)) (public string, sealed []byte, err error)
}
