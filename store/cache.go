package store

import (
	"context"

	"tidings"
)

// afterCommit is told what a transaction changed, right after its commit. It must not fail and must not take long.
func (s *Store) afterCommit(ctx context.Context, r tidings.Result) {}
