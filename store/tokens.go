package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
)

// Scopes of API tokens.
const (
	ScopeRead     = "read"     // see messages and counts
	ScopeAck      = "ack"      // mark them
	ScopeWebhooks = "webhooks" // make and delete webhooks where they may
	ScopeAdmin    = "admin"    // operate the service; only for those who are in ADMINS
)

var scopesThereAre = []string{ScopeRead, ScopeAck, ScopeWebhooks, ScopeAdmin}

// tokenPrefix lets people and secret scanners recognise a token. 32 random bytes follow it.
const tokenPrefix = "tdg_"

var tokenLen = len(tokenPrefix) + base64.RawURLEncoding.EncodedLen(32)

// Token is an API token without its secret.
type Token struct {
	ID        int64          `db:"id"`
	User      discord.UserID `db:"user_id"`
	Name      string         `db:"name"`
	Scopes    pq.StringArray `db:"scopes"`
	CreatedAt time.Time      `db:"created_at"`
	UsedAt    *time.Time     `db:"used_at"` // nil when never; exact to a minute
}

const insertToken = `
INSERT INTO api_tokens (user_id, name, hash, scopes)
SELECT id, $2, $3, $4
FROM users
WHERE id = $1 AND (SELECT count(*) FROM api_tokens WHERE user_id = $1 AND revoked_at IS NULL) < $5`

// MaxTokens is how many tokens a person may have that are not revoked.
const MaxTokens = 100

// CreateToken makes a bearer token for a known person. The token is returned this once; only its hash is kept.
func (s *Store) CreateToken(ctx context.Context, user discord.UserID, name string, scopes []string) (string, error) {
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	if len(scopes) == 0 {
		return "", fmt.Errorf("create token: %w", tidings.InvalidField("scopes", "give at least one"))
	}
	for _, scope := range scopes {
		if !slices.Contains(scopesThereAre, scope) {
			return "", fmt.Errorf("create token: %w", tidings.InvalidField("scopes", "%q is none: there are %s", scope, strings.Join(scopesThereAre, ", ")))
		}
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	r, err := s.db.ExecContext(ctx, insertToken, int64(user), name, hash[:], pq.StringArray(scopes), MaxTokens)
	if err != nil {
		return "", fmt.Errorf("create token for user %d: %w", user, unavailable(err))
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return "", fmt.Errorf("create token for user %d: %w", user, errors.Join(tidings.ErrNotFound, err))
	}
	return token, nil
}

// A token in steady use writes its row once a minute, not with each request.
const useToken = `
WITH used AS (
	UPDATE api_tokens
	SET used_at = now()
	WHERE hash = $1 AND revoked_at IS NULL AND (used_at IS NULL OR used_at < now() - interval '1 minute')
)
SELECT user_id, scopes
FROM api_tokens
WHERE hash = $1 AND revoked_at IS NULL`

// UserByToken returns whose the token is and what it may do; [tidings.ErrNotFound] for one that is unknown or revoked.
func (s *Store) UserByToken(ctx context.Context, token string) (discord.UserID, []string, error) {
	if len(token) != tokenLen || !strings.HasPrefix(token, tokenPrefix) {
		return 0, nil, fmt.Errorf("token: %w", tidings.ErrNotFound)
	}
	hash := sha256.Sum256([]byte(token))
	var found struct {
		User   discord.UserID `db:"user_id"`
		Scopes pq.StringArray `db:"scopes"`
	}
	err := s.db.GetContext(often(ctx, 1), &found, useToken, hash[:])
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return 0, nil, fmt.Errorf("token: %w", unavailable(err))
	}
	return found.User, found.Scopes, nil
}

const selectTokens = `
SELECT id, user_id, name, scopes, created_at, used_at
FROM api_tokens
WHERE user_id = $1 AND revoked_at IS NULL
ORDER BY id`

// Tokens lists the person's tokens that are not revoked, oldest first.
func (s *Store) Tokens(ctx context.Context, user discord.UserID) ([]Token, error) {
	var tokens []Token
	if err := s.db.SelectContext(ctx, &tokens, selectTokens, int64(user)); err != nil {
		return nil, fmt.Errorf("list tokens of user %d: %w", user, unavailable(err))
	}
	return tokens, nil
}

const revokeToken = `
UPDATE api_tokens
SET revoked_at = now()
WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL
RETURNING hash`

// RevokeToken ends one of the person's tokens at once; [tidings.ErrNotFound] when they have no such token. It returns the
// token's key, as [TokenKey] gives it.
func (s *Store) RevokeToken(ctx context.Context, user discord.UserID, id int64) (key string, err error) {
	var hash []byte
	err = s.db.GetContext(ctx, &hash, revokeToken, id, int64(user))
	if errors.Is(err, sql.ErrNoRows) {
		err = tidings.ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("revoke token %d: %w", id, unavailable(err))
	}
	return hex.EncodeToString(hash), nil
}

// TokenKey names a token, or a session by what its cookie holds, without being worth anything to whoever sees it.
func TokenKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

const selectTokenStands = `
SELECT EXISTS (
	SELECT
	FROM api_tokens
	WHERE hash = $1 AND revoked_at IS NULL AND $2 = ANY (scopes)
)`

// TokenStands reports whether a token with the scope has that key and is not revoked.
func (s *Store) TokenStands(ctx context.Context, key, scope string) (bool, error) {
	hash, err := hex.DecodeString(key)
	if err != nil {
		return false, nil
	}
	var stands bool
	if err := s.db.GetContext(ctx, &stands, selectTokenStands, hash, scope); err != nil {
		return false, fmt.Errorf("token: %w", unavailable(err))
	}
	return stands, nil
}
