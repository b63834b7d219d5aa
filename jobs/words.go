package jobs

import (
	"context"
	"log/slog"

	"tidings/store"
)

// WordFinder finds the words of older messages anew. It is *store.Store.
type WordFinder interface {
	FindWords(ctx context.Context, j store.Job) (written int, err error)
}

// FindWords is the handler of [store.FindWords].
func FindWords(f WordFinder, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		n, err := f.FindWords(ctx, j)
		if err == nil {
			log.Info("every message is found by each of its words", "written", n)
		}
		return err
	}
}
