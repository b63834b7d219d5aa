package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// bearerKey is the context key of whose token a request carries.
type bearerKey struct{}

// tokenHash names a token without telling it.
func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

// perToken keeps people's limits apart: Discord counts requests of bearer tokens per token.
type perToken struct{ Limiter }

// Acquire implements [Limiter].
func (l perToken) Acquire(ctx context.Context, r Route) (func(Answer), error) {
	if who, ok := ctx.Value(bearerKey{}).(string); ok {
		r.Major += " " + who
	}
	return l.Limiter.Acquire(ctx, r)
}
