package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// sealer encrypts what must not be readable in a copy of the database, with AES-256-GCM. The person's id is bound in, so
// that one person's token cannot be put in another's place.
type sealer struct {
	aead cipher.AEAD
	old  []cipher.AEAD // for what was sealed before the key was changed
}

func newSealer(key []byte, old ...[]byte) (*sealer, error) {
	s := &sealer{}
	var err error
	if s.aead, err = newAEAD(key); err != nil {
		return nil, err
	}
	for _, k := range old {
		aead, err := newAEAD(k)
		if err != nil {
			return nil, err
		}
		s.old = append(s.old, aead)
	}
	return s, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("%w encryption key: want 32 bytes, got %d", tidings.ErrInvalid, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts a person's token as the service does.
func Seal(key []byte, u discord.UserID, plain []byte) ([]byte, error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	return s.seal(u, plain), nil
}

// Open is the reverse of [Seal].
func Open(key []byte, u discord.UserID, sealed []byte) ([]byte, error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	return s.open(u, sealed)
}

// Reseal makes a function that seals again under key what was sealed under one of the old keys. It returns nil for what is under key
// already, and an error for what none of the keys opens.
func Reseal(key []byte, old ...[]byte) (func(u discord.UserID, sealed []byte) ([]byte, error), error) {
	s, err := newSealer(key, old...)
	if err != nil {
		return nil, err
	}
	return func(u discord.UserID, sealed []byte) ([]byte, error) {
		if _, err := s.aead.Open(nil, nil, sealed, owner(u)); err == nil {
			return nil, nil
		}
		plain, err := s.open(u, sealed)
		if err != nil {
			return nil, err
		}
		return s.seal(u, plain), nil
	}, nil
}

func (s *sealer) seal(u discord.UserID, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, owner(u)) // #nosec G407 -- this AEAD makes a random nonce itself and takes none
}

func (s *sealer) open(u discord.UserID, sealed []byte) ([]byte, error) {
	b, err := s.aead.Open(nil, nil, sealed, owner(u))
	for i := 0; err != nil && i < len(s.old); i++ {
		b, err = s.old[i].Open(nil, nil, sealed, owner(u))
	}
	if err != nil {
		return nil, fmt.Errorf("open the token of user %d: %w", u, err)
	}
	return b, nil
}

func owner(u discord.UserID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(u)) }

// random returns a text that nobody can guess and that fits into an address.
func random() string { return rand.Text() }
