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
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("%w encryption key: want 32 bytes, got %d", tidings.ErrInvalid, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

func (s *sealer) seal(u discord.UserID, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, owner(u))
}

func (s *sealer) open(u discord.UserID, sealed []byte) ([]byte, error) {
	b, err := s.aead.Open(nil, nil, sealed, owner(u))
	if err != nil {
		return nil, fmt.Errorf("open the token of user %d: %w", u, err)
	}
	return b, nil
}

func owner(u discord.UserID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(u)) }

// random returns a text that nobody can guess and that fits into an address.
func random() string { return rand.Text() }
